CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE s AS SELECT a FROM STREAM events WHERE (a > 0));
