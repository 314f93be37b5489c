CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

/* all of them
CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
