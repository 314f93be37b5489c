CREATE TABLE events USING kafka OPTIONS (
  'subscribe' = 'events',
  'session.timeout.ms' = '6000');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
