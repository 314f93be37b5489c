CREATE TABLE events USING kafka OPTIONS (
  'subscribe' = 'events',
  'endingOffsets' = 'latest');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
