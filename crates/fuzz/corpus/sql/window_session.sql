CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE g AS SELECT count(*) AS n FROM STREAM events WATERMARK ts DELAY OF INTERVAL 1 DAY GROUP BY session_window(ts, '0 seconds');
