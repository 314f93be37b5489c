CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM events;
CREATE STREAMING TABLE j AS SELECT * FROM STREAM events e JOIN bronze_events b ON e.id = b.id;
