CREATE TABLE events USING kafka OPTIONS ('subscribePattern' = 'ev.*');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
