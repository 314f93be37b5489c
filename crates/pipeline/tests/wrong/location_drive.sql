CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE a LOCATION 'C:/data/a' AS SELECT * FROM STREAM events;
