CREATE TABLE events (id BIGINT, _topic STRING, __sb_part INT, _rescued STRING) USING kafka OPTIONS ('subscribe' = 'events', 'value.format' = 'json');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
