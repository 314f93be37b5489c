CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events' 'sample' = 'sales');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
