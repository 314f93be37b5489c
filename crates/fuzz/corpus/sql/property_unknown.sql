CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE bronze_events TBLPROPERTIES ('target.filesize' = '64 MiB', 'compression' = 'gzip') AS SELECT * FROM STREAM events;
