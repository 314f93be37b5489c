CREATE TABLE events USING kafka OPTIONS (
  'subscribe' = 'events',
  'kafka.auto.offset.reset' = 'earliest');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
