CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

SELECT * FROM STREAM events;
