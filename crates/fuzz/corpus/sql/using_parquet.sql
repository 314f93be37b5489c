CREATE TABLE events USING parquet OPTIONS ('path' = 'data');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
