CREATE TABLE events USING kafka OPTIONS (
  'subscribe' = 'events', 'kafka.sasl.password' = '${KAFKA_PASSWORD}', 'idleTimeout' = '${env:IDLE}');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
