CREATE TABLE events (
  id BIGINT PRIMARY KEY,
  state STRING DEFAULT 'new',
  day DATE GENERATED ALWAYS AS (CAST(ts AS DATE)),
  ts TIMESTAMP NULL) USING kafka OPTIONS ('subscribe' = 'events', 'value.format' = 'json');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
