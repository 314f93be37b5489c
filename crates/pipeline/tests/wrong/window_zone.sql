CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE g AS SELECT count(*) AS n FROM STREAM events WATERMARK ts DELAY OF INTERVAL 1 DAY GROUP BY window(ts, '1 day', tz => 'Europe/Berlon');
