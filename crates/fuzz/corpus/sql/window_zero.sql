CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE g AS SELECT window.start, count(*) AS n FROM STREAM events WATERMARK ts DELAY OF INTERVAL 1 DAY GROUP BY window(ts, '0 seconds');
