CREATE TABLE events (
  id BIGINT, ts TIMESTAMP,
  PRIMARY KEY (id),
  CONSTRAINT positive CHECK (id > 0),
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND) USING kafka OPTIONS ('subscribe' = 'events', 'value.format' = 'json');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
