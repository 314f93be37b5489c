CREATE TABLE events USING kafka OPTIONS (subscribe = 'events', kafka.bootstrap.servers = localhost:9092);
CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
