CREATE TABLE events (userId STRING, props STRUCT<pageUrl: STRING>) USING kafka OPTIONS ('subscribe' = 'events', 'value.format' = 'json');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
