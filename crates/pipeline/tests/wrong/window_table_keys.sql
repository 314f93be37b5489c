CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE g AS SELECT k, count(*) AS n FROM SESSION(TABLE events, DESCRIPTOR(ts), INTERVAL '5' MINUTE) GROUP BY window_start, window_end, k;
