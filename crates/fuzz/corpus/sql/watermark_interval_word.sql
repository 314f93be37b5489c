CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE s AS SELECT * FROM STREAM events WATERMARK ts DELAY OF '10 minutes';
