-- What tests/real/hostile_test.py attacks: a table of the events as they are, and tables that make much of a number or a text that stands
-- in an event.
SET 'pipeline.name' = 'hostile';
-- For each of three tables; what one call makes comes on top, 128 MiB at most.
SET 'query.memory' = '32 MiB';

CREATE TABLE events USING kafka OPTIONS (
  'subscribe' = 'hostile', 'value.format' = 'avro', 'startingOffsets' = 'earliest', 'includeHeaders' = 'true');

CREATE STREAMING TABLE bronze_hostile AS SELECT * FROM STREAM events;

CREATE STREAMING TABLE silver_texts AS
SELECT id, _partition, _offset, lpad(text, CAST(k AS INT), 'x') AS padded, length(repeat(text, CAST(k AS INT))) AS repeated,
       replace(text, 'a', pattern) AS replaced, text RLIKE pattern AS is_like, split(text, pattern) AS parts,
       levenshtein(text, left(pattern, 100)) AS distance, from_json(text, 'MAP<STRING, STRING>') AS json
FROM STREAM bronze_hostile;

CREATE STREAMING TABLE silver_rows AS
SELECT id, _partition, _offset, text, explode(sequence(1, k)) AS n FROM STREAM bronze_hostile;

CREATE STREAMING TABLE silver_lists AS
SELECT id, _partition, _offset, array_repeat(pattern, CAST(k AS INT)) AS patterns, element_at(transform(sequence(1, k), x -> x + 1), -1) AS last
FROM STREAM bronze_hostile;

CREATE STREAMING TABLE gold_hostile AS
SELECT window.start AS window_start, kind, count(*) AS events, sum(k) AS k, max(text) AS largest, array_agg(k) AS ks,
       count(DISTINCT left(pattern, 100)) AS patterns
FROM STREAM bronze_hostile WATERMARK at DELAY OF INTERVAL '1 minute'
GROUP BY window(at, INTERVAL '10 seconds'), kind;
