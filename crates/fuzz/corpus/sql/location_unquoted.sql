CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE s LOCATION data/silver/s AS SELECT * FROM STREAM events;
