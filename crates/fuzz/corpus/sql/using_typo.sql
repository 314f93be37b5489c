CREATE TABLE events USING kafak OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
