CREATE TABLE events USING kafka OPTIONS (
  'subscribe' = 'events', 'startingOffsets' = '{"events": [0, 1]}');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
