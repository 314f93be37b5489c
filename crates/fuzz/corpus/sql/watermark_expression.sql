CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE s AS SELECT * FROM STREAM events WATERMARK to_timestamp(ts) DELAY OF INTERVAL '10 minutes';
