CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE kept TBLPROPERTIES ('topic' = 'out') AS SELECT * FROM STREAM events;
