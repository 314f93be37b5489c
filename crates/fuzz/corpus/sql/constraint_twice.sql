CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE bronze_events (CONSTRAINT a EXPECT (id > 0), CONSTRAINT a EXPECT (id < 9)) AS SELECT * FROM STREAM events;
