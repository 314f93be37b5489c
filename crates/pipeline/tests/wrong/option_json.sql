CREATE TABLE events (id BIGINT) USING kafka OPTIONS ('subscribe' = 'events', 'value.format' = 'json',
  'json.timestamps' = 'guess',
  'timestampFormat' = 'yyyy-MM-dd');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
