CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'a', 'subscribe' = 'b');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
