CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events

CREATE STREAMING TABLE silver_events AS SELECT * FROM STREAM bronze_events;
