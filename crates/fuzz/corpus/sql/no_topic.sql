CREATE TABLE events USING kafka OPTIONS ('sample' = 'sales');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
