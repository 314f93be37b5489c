CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE MATERIALIZED VIEW v AS SELECT * FROM events;
