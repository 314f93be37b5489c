CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE bronze_events USING delta AS SELECT * FROM STREAM events;
