CREATE TABLE events USING kafka OPTIONS (
  'subscribe' = 'events',
  'json.extraFields' = 'rescue');

CREATE TABLE others (id BIGINT) USING kafka OPTIONS (
  'subscribe' = 'others', 'value.format' = 'json',
  'value.subject' = 'others-value');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
