CREATE TABLE events (id BIGINT) USING kafka OPTIONS (
  'subscribe' = 'events', 'value.format' = 'json', 'key.format' = 'json');

CREATE TABLE others (id BIGINT, key STRING) USING kafka OPTIONS (
  'subscribe' = 'others', 'value.format' = 'json', 'key.format' = 'text');

CREATE TABLE lines USING kafka OPTIONS ('subscribe' = 'lines', 'value.format' = 'text',
  'key.format' = 'JSON');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
