SET batch.bytes = 1 MiB;
SET 'batch.bytes' = '2 MiB';
CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
