CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE sent USING kafka TBLPROPERTIES ('topic' = 'out', 'retain' = '7 days') AS SELECT * FROM STREAM events;
