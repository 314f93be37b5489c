CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE a LOCATION 's3://bucket/a' AS SELECT * FROM STREAM events;
