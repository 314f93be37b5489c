CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE sent USING kafka AS SELECT * FROM STREAM events;
