CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE bronze_events PARTITION BY (day) AS SELECT * FROM STREAM events;
