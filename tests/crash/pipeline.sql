-- Every operator, over a topic that two sources read, with rows of every fate.
SET 'pipeline.name' = 'crash';
-- So little that deduplication folds its keys into segments in every batch, and looks for copies there.
SET 'memory.limit' = '4 KiB';
-- All rows that broke an expectation, so that what is kept does not depend on how the topic is cut into batches.
SET 'dq.samples' = '1000';

CREATE TABLE sales_events USING kafka OPTIONS (
  'subscribe' = 'sales.events.v1', 'value.format' = 'avro', 'startingOffsets' = 'earliest', 'maxOffsetsPerTrigger' = '180');

CREATE TABLE again USING kafka OPTIONS (
  'subscribe' = 'sales.events.v1', 'value.format' = 'avro', 'startingOffsets' = 'earliest', 'maxOffsetsPerTrigger' = '230');

CREATE STREAMING TABLE bronze_sales PARTITIONED BY (ingest_date)
AS SELECT *, CAST(ingest_time AS DATE) AS ingest_date FROM STREAM sales_events;

CREATE STREAMING TABLE silver_sales (
  CONSTRAINT has_event_id EXPECT (event_id IS NOT NULL)                          ON VIOLATION QUARANTINE,
  CONSTRAINT known_region EXPECT (region IN ('NA', 'EMEA', 'APAC', 'LATAM'))     ON VIOLATION QUARANTINE,
  CONSTRAINT known_money  EXPECT (currency IN ('USD', 'EUR', 'GBP'))             ON VIOLATION QUARANTINE,
  CONSTRAINT valid_amount EXPECT (amount >= 0)                                   ON VIOLATION DROP ROW,
  CONSTRAINT within_sla   EXPECT (ingest_time - event_time <= INTERVAL '1 minute'))
  PARTITIONED BY (region)
AS SELECT DISTINCT ON (event_id) * FROM STREAM bronze_sales WATERMARK event_time DELAY OF INTERVAL '10 minutes';

-- Two folders between LOCATION and the one that files are in.
CREATE STREAMING TABLE silver_deep PARTITIONED BY (region, plan_tier, ingest_date)
AS SELECT event_id, amount, region, plan_tier, ingest_date FROM STREAM bronze_sales WHERE region = 'EMEA' AND amount >= 20;

CREATE STREAMING TABLE silver_ids
AS SELECT DISTINCT ON (event_id) event_id, _partition, _offset FROM STREAM again
   WHERE amount >= 10 AND event_id IS NOT NULL;

CREATE STREAMING TABLE gold_5m PARTITIONED BY (window_date)
AS SELECT window.start AS window_start, region, count(*) AS events, min(amount) AS least, max(amount) AS most,
          CAST(window.start AS DATE) AS window_date
   FROM STREAM silver_sales GROUP BY window(event_time, INTERVAL '5 minutes'), region;

CREATE STREAMING TABLE gold_hop
AS SELECT window.start AS window_start, count(*) AS events, count(DISTINCT plan_tier) AS tiers
   FROM STREAM silver_sales GROUP BY window(event_time, INTERVAL '10 minutes', INTERVAL '5 minutes');

CREATE STREAMING TABLE gold_rollup
AS SELECT w.start AS window_start, sum(events) AS events, max(events) AS busiest FROM (
     SELECT window, region, count(*) AS events FROM STREAM silver_sales
     GROUP BY window(event_time, INTERVAL '5 minutes'), region)
   GROUP BY window(window, INTERVAL '30 minutes') AS w;
