CREATE TABLE events USING files OPTIONS ('path' = 'data/in');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
