CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE sent USING kafka TBLPROPERTIES ('topic' = 'out', 'header.columns' = 'sluicebox.batch') AS SELECT * FROM STREAM events;
