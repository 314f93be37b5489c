CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREMING TABLE bronze AS SELECT * FROM STREAM events;
