CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CRAETE STREAMING TABLE bronze AS SELECT * FROM STREAM events;
