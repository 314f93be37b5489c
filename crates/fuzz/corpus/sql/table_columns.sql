CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE bronze_events (id BIGINT, CONSTRAINT a EXPECT (id > 0)) AS SELECT * FROM STREAM events;
