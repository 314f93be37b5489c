CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE a LOCATION 'dbfs:/tables/a' AS SELECT * FROM STREAM events;
