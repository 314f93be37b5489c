CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events', 'dead.letters.max.ratio' = '5%');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
