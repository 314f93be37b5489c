CREATE TABLE events USING kafka OPTIONS (
  'subscribe' = 'events', 'kafka.sasl.password' = 'hunter2');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
