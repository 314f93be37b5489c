CREATE TABLE events USING kafka OPTIONS (
  'subscribe' = 'events', 'schema.registry.url' = 'localhost:8081');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
