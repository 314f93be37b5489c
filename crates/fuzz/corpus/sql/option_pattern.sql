CREATE TABLE events USING kafka OPTIONS ('subscribePattern' = 'sales(');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
