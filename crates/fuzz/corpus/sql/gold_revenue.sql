SET 'pipeline.name' = 'revenue_5m';   -- default: the file's name

CREATE TABLE sales_events USING kafka OPTIONS (
  'subscribe' = 'sales.events.v1', 'value.format' = 'avro', 'startingOffsets' = 'earliest', 'sample' = 'sales');

CREATE STREAMING TABLE bronze_sales
  PARTITIONED BY (ingest_date) LOCATION 'data/bronze/sales'
AS SELECT *, CAST(ingest_time AS DATE) AS ingest_date FROM STREAM sales_events;

CREATE STREAMING TABLE silver_sales (
  CONSTRAINT has_event_id EXPECT (event_id IS NOT NULL)                          ON VIOLATION QUARANTINE,
  CONSTRAINT known_region EXPECT (region IN ('NA', 'EMEA', 'APAC', 'LATAM'))     ON VIOLATION QUARANTINE,
  CONSTRAINT known_tier   EXPECT (plan_tier IN ('free', 'pro', 'enterprise'))    ON VIOLATION QUARANTINE,
  CONSTRAINT known_money  EXPECT (currency IN ('USD', 'EUR', 'GBP'))             ON VIOLATION QUARANTINE,
  CONSTRAINT valid_amount EXPECT (amount >= 0)                                   ON VIOLATION QUARANTINE,
  CONSTRAINT within_sla   EXPECT (ingest_time - event_time <= INTERVAL '5 minutes'))
  PARTITIONED BY (event_date) LOCATION 'data/silver/sales'
AS SELECT DISTINCT ON (event_id) *, CAST(event_time AS DATE) AS event_date
   FROM STREAM bronze_sales WATERMARK event_time DELAY OF INTERVAL '10 minutes';

CREATE STREAMING TABLE gold_revenue_5m
  PARTITIONED BY (window_date) LOCATION 'data/gold/revenue_5m'
AS SELECT window.start AS window_start, window.end AS window_end, region, plan_tier,
          sum(amount) AS revenue, count(*) AS event_count, CAST(window.start AS DATE) AS window_date
   FROM STREAM silver_sales
   GROUP BY window(event_time, INTERVAL '5 minutes'), region, plan_tier;
