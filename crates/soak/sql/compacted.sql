-- sql/gold_revenue.sql with partitions that close while the soak lasts, and with compaction. What is in double braces is filled in by
-- the soak: how many seconds of event time a partition of bronze and silver holds, and whether a run compacts.
SET 'pipeline.name' = 'revenue_5m';
SET 'trigger' = '200 milliseconds';

CREATE TABLE sales_events USING kafka OPTIONS (
  'subscribe' = 'sales.events.v1', 'value.format' = 'avro', 'startingOffsets' = 'earliest', 'sample' = 'sales');

CREATE STREAMING TABLE bronze_sales
  PARTITIONED BY (ingest_date, ingest_slot) LOCATION 'data/bronze/sales'
  TBLPROPERTIES ('target.file.size' = '1 MiB', 'compact.auto' = '{{compact}}', 'compact.after' = '500 milliseconds')
AS SELECT *, CAST(ingest_time AS DATE) AS ingest_date,
          CAST(unix_seconds(ingest_time) / {{seconds}} AS BIGINT) AS ingest_slot FROM STREAM sales_events;

CREATE STREAMING TABLE silver_sales (
  CONSTRAINT has_event_id EXPECT (event_id IS NOT NULL)                          ON VIOLATION QUARANTINE,
  CONSTRAINT known_region EXPECT (region IN ('NA', 'EMEA', 'APAC', 'LATAM'))     ON VIOLATION QUARANTINE,
  CONSTRAINT known_tier   EXPECT (plan_tier IN ('free', 'pro', 'enterprise'))    ON VIOLATION QUARANTINE,
  CONSTRAINT known_money  EXPECT (currency IN ('USD', 'EUR', 'GBP'))             ON VIOLATION QUARANTINE,
  CONSTRAINT valid_amount EXPECT (amount >= 0)                                   ON VIOLATION QUARANTINE,
  CONSTRAINT within_sla   EXPECT (ingest_time - event_time <= INTERVAL '5 minutes'))
  PARTITIONED BY (event_date, event_slot) LOCATION 'data/silver/sales'
  TBLPROPERTIES ('target.file.size' = '1 MiB', 'compact.auto' = '{{compact}}', 'compact.after' = '500 milliseconds')
AS SELECT DISTINCT ON (event_id) *, CAST(event_time AS DATE) AS event_date,
          CAST(unix_seconds(event_time) / {{seconds}} AS BIGINT) AS event_slot
   FROM STREAM bronze_sales WATERMARK event_time DELAY OF INTERVAL '10 minutes';

-- Two dozen windows to a partition, a few to a batch: it is compacted while it grows, over and over.
CREATE STREAMING TABLE gold_revenue_5m
  PARTITIONED BY (window_date, window_slot) LOCATION 'data/gold/revenue_5m'
  TBLPROPERTIES ('compact.auto' = '{{compact}}', 'compact.after' = '300 milliseconds')
AS SELECT window.start AS window_start, window.end AS window_end, region, plan_tier,
          sum(amount) AS revenue, count(*) AS event_count, CAST(window.start AS DATE) AS window_date,
          CAST(unix_seconds(window.start) / 7200 AS BIGINT) AS window_slot
   FROM STREAM silver_sales
   GROUP BY window(event_time, INTERVAL '5 minutes'), region, plan_tier;
