CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE g AS SELECT window(ts, '1 hour', '15 minutes') AS w FROM STREAM events;
