CREATE TABLE events (id, name STRING NOT, note STRING COMMENT none, tag STRING key,) USING kafka OPTIONS ('subscribe' = 'events', 'value.format' = 'json');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
