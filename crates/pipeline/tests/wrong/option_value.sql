CREATE TABLE events USING kafka OPTIONS (
  'subscribe' = 'events', 'startingOffsets' = 'earlist',
  'failOnDataLoss' = 'yes', 'maxOffsetsPerTrigger' = '10k', 'idleTimeout' = 10, 'value.format' = 'protobuf');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
