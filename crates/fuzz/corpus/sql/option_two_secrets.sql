CREATE TABLE events USING kafka OPTIONS (
  'subscribe' = 'events', 'schema.registry.bearer.auth.token' = '${env:T}', 'schema.registry.basic.auth.user.info' = '${file:/run/u}');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
