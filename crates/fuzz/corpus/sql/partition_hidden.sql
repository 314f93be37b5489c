CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE bronze_events PARTITIONED BY (_partition, day, day) AS SELECT * FROM STREAM events;
