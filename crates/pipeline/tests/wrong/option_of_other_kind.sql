CREATE TABLE events USING rate OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
