CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE bronze_events (CONSTRAINT a CHECK (id > 0)) AS SELECT * FROM STREAM events;
