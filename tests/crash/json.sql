-- Events that no registry knows: JSON in columns that the source lists, with keys; and the same topic as bytes.
SET 'pipeline.name' = 'crash';

CREATE TABLE notes (
  id BIGINT NOT NULL, ts TIMESTAMP NOT NULL, tags ARRAY<STRING>, shop STRUCT<city: STRING, height: DOUBLE>)
USING kafka OPTIONS (
  'subscribe' = 'notes', 'value.format' = 'json', 'key.format' = 'text', 'json.timestamps' = 'epoch_millis',
  'json.extraFields' = 'rescue', 'maxOffsetsPerTrigger' = '60');

CREATE TABLE as_bytes USING kafka OPTIONS (
  'subscribe' = 'notes', 'value.format' = 'binary', 'maxOffsetsPerTrigger' = '90');

CREATE STREAMING TABLE bronze_notes AS SELECT * FROM STREAM notes;

CREATE STREAMING TABLE bronze_bytes AS SELECT * FROM STREAM as_bytes;

CREATE STREAMING TABLE gold_notes
AS SELECT window.start AS window_start, count(*) AS notes, max(id) AS newest
   FROM STREAM bronze_notes WATERMARK ts DELAY OF INTERVAL '10 minutes' GROUP BY window(ts, INTERVAL '5 minutes');
