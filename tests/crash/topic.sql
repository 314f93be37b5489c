-- Tables that are topics of the embedded log, in JSON and in Avro, beside one of files with the rows of the first.
SET 'pipeline.name' = 'crash';

CREATE TABLE notes (id BIGINT NOT NULL, ts TIMESTAMP NOT NULL) USING kafka OPTIONS (
  'subscribe' = 'notes', 'value.format' = 'json', 'json.timestamps' = 'epoch_millis', 'maxOffsetsPerTrigger' = '60');

CREATE STREAMING TABLE kept AS SELECT id, ts FROM STREAM notes;

CREATE STREAMING TABLE sent USING kafka TBLPROPERTIES ('topic' = 'sent', 'key.columns' = 'id')
AS SELECT id, ts FROM STREAM notes;

CREATE STREAMING TABLE counted USING kafka TBLPROPERTIES ('topic' = 'counted', 'value.format' = 'avro')
AS SELECT window.start AS window_start, count(*) AS notes, max(id) AS newest
   FROM STREAM kept WATERMARK ts DELAY OF INTERVAL '10 minutes' GROUP BY window(ts, INTERVAL '5 minutes');
