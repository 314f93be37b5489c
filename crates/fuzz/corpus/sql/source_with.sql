CREATE TABLE events USING kafka WITH ('subscribe' = 'events');
CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
