SET 'pipline.name' = 'x';
CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events', 'startOffsets' = 'earliest');
CREATE STREAMING TABLE bronze_events PARTITION BY (day) AS SELECT * FROM STREAM events;
CREATE STREAMING TABLE silver_events AS SELECT * FORM STREAM bronze_events;
