CREATE TABLE events (
  id BIGIN, name VARCHAR(20),
  user UUID, x POINT, ts TIMESTAMP(3),
  total DECIMAL(40, 2)) USING kafka OPTIONS ('subscribe' = 'events', 'value.format' = 'json');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
