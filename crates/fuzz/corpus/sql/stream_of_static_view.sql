CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');

CREATE TEMPORARY VIEW regions AS SELECT 'NA' AS region;
CREATE STREAMING TABLE bronze_events AS SELECT * FROM STREAM regions;
