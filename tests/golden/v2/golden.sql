-- Every operator and every kind of output that this version has, over the sales events.
SET 'pipeline.name' = 'golden';
-- So little that every batch folds its state into segments.
SET 'memory.limit' = '1 KiB';

-- The events stay where they are in time while the tests' clock goes on, or is behind.
CREATE TABLE sales_events USING kafka OPTIONS (
  'subscribe' = 'sales.events.v1', 'value.format' = 'avro', 'startingOffsets' = 'earliest', 'maxOffsetsPerTrigger' = '90',
  'maxFuture' = '36500 days');

CREATE TEMPORARY VIEW with_day AS SELECT *, CAST(ingest_time AS DATE) AS ingest_date FROM STREAM sales_events;

CREATE STREAMING TABLE bronze_sales PARTITIONED BY (ingest_date) AS SELECT * FROM STREAM with_day;

CREATE STREAMING TABLE silver_sales (
  CONSTRAINT has_event_id EXPECT (event_id IS NOT NULL)                      ON VIOLATION QUARANTINE,
  CONSTRAINT known_region EXPECT (region IN ('NA', 'EMEA', 'APAC', 'LATAM')) ON VIOLATION QUARANTINE,
  CONSTRAINT valid_amount EXPECT (amount >= 0)                               ON VIOLATION DROP ROW,
  CONSTRAINT within_sla   EXPECT (ingest_time - event_time <= INTERVAL '5 minutes'))
  PARTITIONED BY (event_date)
AS SELECT DISTINCT ON (event_id) *, CAST(event_time AS DATE) AS event_date
   FROM STREAM bronze_sales WATERMARK event_time DELAY OF INTERVAL '10 minutes';

CREATE STREAMING TABLE silver_accounts AS
SELECT DISTINCT ON (account_id) account_id, region, plan_tier FROM STREAM bronze_sales;

CREATE STREAMING TABLE gold_revenue PARTITIONED BY (window_date)
AS SELECT window.start AS window_start, window.end AS window_end, region, plan_tier,
          sum(amount) AS revenue, count(*) AS event_count, CAST(window.start AS DATE) AS window_date
   FROM STREAM silver_sales
   GROUP BY window(event_time, INTERVAL '5 minutes'), region, plan_tier;

CREATE STREAMING TABLE gold_hops
AS SELECT window.start AS window_start, product, min(amount) AS least, max(amount) AS most, avg(quantity) AS quantity
   FROM STREAM silver_sales
   GROUP BY window(event_time, INTERVAL '10 minutes', INTERVAL '5 minutes'), product;
