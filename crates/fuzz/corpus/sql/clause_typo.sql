CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE bronze_events LOCATON 'data/x' AS SELECT * FROM STREAM events;
