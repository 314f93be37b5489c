CREATE TABLE events (id BIGINT, id STRING, s STRUCT<a: INT, a: STRING>) USING kafka OPTIONS ('subscribe' = 'events', 'value.format' = 'json');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
