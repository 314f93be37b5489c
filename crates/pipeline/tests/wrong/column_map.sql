CREATE TABLE events (id BIGINT, counts ARRAY<MAP<INT, BIGINT>>) USING kafka OPTIONS ('subscribe' = 'events', 'value.format' = 'json');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
