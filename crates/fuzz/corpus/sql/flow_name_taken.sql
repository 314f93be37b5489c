CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
CREATE FLOW bronze_events AS INSERT INTO bronze_events SELECT * FROM STREAM events;
