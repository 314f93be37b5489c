CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE __sb_events AS SELECT * FROM STREAM events;
