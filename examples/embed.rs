//! A pipeline in a program: orders in JSON, in the embedded log, become a silver and a gold table, which a query reads.
//!
//! ```text
//! cargo run --example embed
//! ```
//!
//! Its home has no variables, so that no broker is named by KAFKA_BOOTSTRAP_SERVERS: sources read the embedded log.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use arrow::util::pretty::pretty_format_batches;
use bytes::Bytes;
use sluicebox::{Home, Job, Progress, Status, query};
use sluicebox_core::{Clock, SystemClock};
use sluicebox_sources::{Record, TopicOptions};

const SQL: &str = "
CREATE TABLE orders (id BIGINT NOT NULL, shop STRING NOT NULL, cents BIGINT NOT NULL, ordered_at TIMESTAMP NOT NULL)
  USING kafka OPTIONS ('subscribe' = 'orders.v1', 'value.format' = 'json');

CREATE STREAMING TABLE silver_orders (CONSTRAINT paid EXPECT (cents > 0) ON VIOLATION DROP ROW)
  AS SELECT id, shop, cents, ordered_at FROM STREAM orders WATERMARK ordered_at DELAY OF INTERVAL '10 minutes';

CREATE STREAMING TABLE gold_shops
  AS SELECT window.start AS hour, shop, count(*) AS orders, sum(cents) AS cents
     FROM STREAM silver_orders GROUP BY window(ordered_at, INTERVAL '1 hour'), shop;
";

/// The last order is so much later that the hour before it is final.
const ORDERS: [&str; 6] = [
    r#"{"id": 1, "shop": "north", "cents": 1200, "ordered_at": "2024-05-01T10:05:00Z"}"#,
    r#"{"id": 2, "shop": "south", "cents": 800, "ordered_at": "2024-05-01T10:20:00Z"}"#,
    r#"{"id": 3, "shop": "north", "cents": 500, "ordered_at": "2024-05-01T10:50:00Z"}"#,
    r#"{"id": 4, "shop": "south", "cents": -1, "ordered_at": "2024-05-01T10:55:00Z"}"#,
    "this is no order",
    r#"{"id": 5, "shop": "north", "cents": 900, "ordered_at": "2024-05-01T11:30:00Z"}"#,
];

const HOUR: &str = "\
+-------+--------+-------+
| shop  | orders | cents |
+-------+--------+-------+
| north | 2      | 1700  |
| south | 1      | 800   |
+-------+--------+-------+";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let home = Home::at(folder.path()).with_variables(BTreeMap::new());
    write_orders(&home)?;

    let job = Job::of("orders.sql", SQL).at_home(home);
    println!("{}", job.plan().await?);

    let mut told = |batch: &Progress, _: &Status| println!("batch {}: {} events", batch.batch_id, batch.num_input_rows);
    let totals = job.run_available(&mut told).await?;
    println!("{} events, {} of them dead letters", totals.events, totals.dead_letters);
    assert_eq!((totals.events, totals.dead_letters), (6, 1));
    let silver = totals.tables.get("silver_orders").context("fates of silver_orders")?;
    assert_eq!((silver.written, silver.dropped), (4, 1));

    // What was read is not read again.
    assert_eq!(job.run_available(&mut told).await?.events, 0);

    let sql = "SELECT shop, orders, cents FROM gold.shops ORDER BY shop";
    let hour = pretty_format_batches(&query::rows(folder.path().join("data"), sql).await?)?.to_string();
    println!("the hour that is final:\n{hour}");
    assert_eq!(hour, HOUR);
    Ok(())
}

/// A topic of the embedded log, as a producer would fill one of Kafka.
fn write_orders(home: &Home) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let log = home.open_log(&clock)?;
    log.create_topic("orders.v1", 1, TopicOptions::default())?;
    let record = |order: &str| Record { value: Some(Bytes::from(order.to_owned())), ..Record::default() };
    log.append("orders.v1", 0, &ORDERS.map(record))?;
    Ok(())
}
