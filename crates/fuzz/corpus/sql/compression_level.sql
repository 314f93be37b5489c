CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE bronze_events TBLPROPERTIES ('compression' = 'none', 'compression.level' = 3) AS SELECT * FROM STREAM events;
