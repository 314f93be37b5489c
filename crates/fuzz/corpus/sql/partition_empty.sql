CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE bronze_events PARTITIONED BY () AS SELECT * FROM STREAM events;
