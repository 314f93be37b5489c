CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE bronze_events AS WITH e AS (SELECT * FROM STREAM events) SELECT * FROM STREAM e;
