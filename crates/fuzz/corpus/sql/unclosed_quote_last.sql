CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE bronze_events LOCATION 'data/bronze/events AS SELECT * FROM STREAM events;
