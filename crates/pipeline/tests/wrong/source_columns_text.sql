CREATE TABLE events (id BIGINT) USING kafka OPTIONS ('subscribe' = 'events', 'value.format' = 'text');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
