CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE g AS SELECT session_window(ts, '1 hour') AS w FROM STREAM events;
