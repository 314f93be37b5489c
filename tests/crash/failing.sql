-- An expectation that stops the run, in the first batch that has such a row.
SET 'pipeline.name' = 'failing';

CREATE TABLE sales_events USING kafka OPTIONS (
  'subscribe' = 'sales.events.v1', 'value.format' = 'avro', 'startingOffsets' = 'earliest');

CREATE STREAMING TABLE bronze_failing (CONSTRAINT valid_amount EXPECT (amount >= 0) ON VIOLATION FAIL UPDATE)
AS SELECT event_id, amount FROM STREAM sales_events;
