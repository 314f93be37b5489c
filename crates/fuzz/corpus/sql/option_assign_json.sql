CREATE TABLE events USING kafka OPTIONS ('assign' = '{"events": 0}');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
