//! Events that are right as Avro and at the edges of their types cost themselves at most, never their neighbours.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::sync::Arc;

use sluicebox_core::SystemClock;
use sluicebox_formats::framing::frame;
use sluicebox_samples::avro::{bytes, long};
use sluicebox_sources::{EmbeddedLog, Record};
use support::{Workspace, assert_same};

/// A sale with these times, quantity and amount.
fn sale(id: &str, event_time: i64, ingest_time: i64, quantity: i64, amount: &[u8]) -> Record {
    let mut body = Vec::new();
    long(1, &mut body);
    bytes(id.as_bytes(), &mut body);
    bytes(b"acct-1", &mut body);
    long(event_time, &mut body);
    long(ingest_time, &mut body);
    for text in ["EMEA", "pro", "a product"] {
        bytes(text.as_bytes(), &mut body);
    }
    long(quantity, &mut body);
    bytes(b"EUR", &mut body);
    bytes(amount, &mut body);
    Record { value: Some(frame(1, &body).into()), ..Record::default() }
}

fn extremes() -> Vec<Record> {
    // As far from 1970 as a calendar shows, and beyond.
    let furthest = 8_000_000_000_000_000_000;
    let times = [i64::MIN, -furthest, -62_135_596_800_000_001, -1, 0, 253_402_300_800_000_000, furthest, i64::MAX];
    // The most digits that a decimal(12, 2) has.
    let most = 999_999_999_999_i64.to_be_bytes();
    let mut records = Vec::new();
    for (i, time) in times.into_iter().enumerate() {
        for (j, other) in times.into_iter().enumerate() {
            let quantity = if i % 2 == 0 { i64::from(i32::MAX) } else { i64::from(i32::MIN) };
            records.push(sale(&format!("extreme-{i}-{j}"), time, other, quantity, &most));
        }
    }
    records
}

#[test]
fn times_and_numbers_at_the_edges_of_their_types_cost_nobody_else_anything() {
    let calm = Workspace::new();
    calm.produce(2_000, 3);
    let job = Workspace::with_log_of(&calm);
    calm.run_to_end(&[]);
    let log = EmbeddedLog::open(job.path().join("data/.log"), Arc::new(SystemClock::new())).unwrap();
    let extremes = extremes();
    log.append("sales.events.v1", 0, &extremes).unwrap();
    job.run_to_end(&["--set", "sales_events.maxOffsetsPerTrigger=500"]);
    job.ok(&["checkpoint", "verify", "checkpoints/revenue_5m"]);

    let one = |sql: &str| job.rows(sql)[0].parse::<usize>().unwrap();
    let count = |table: &str| {
        if job.rows_exist(table) {
            one(&format!("SELECT count(*) FROM {table} WHERE event_id LIKE 'extreme%'"))
        } else {
            0
        }
    };
    // Of eight times two are none that a calendar has, in either column.
    // Of the other six, two days are such that a folder can be named by them: rows of the others are in quarantine.
    assert_eq!((count("bronze.sales"), count("quarantine.bronze_sales")), (12, 24), "a row each");
    let dead = one("SELECT count(*) FROM dead_letters.sales_events WHERE error_class = 'OUT_OF_RANGE'");
    assert_eq!(dead, extremes.len() - 36, "or a dead letter");
    let fates: usize = ["silver.sales", "late.silver_sales", "quarantine.silver_sales"].map(count).iter().sum();
    assert_eq!(fates, 12, "each row has one fate");

    // What the others became has not changed.
    let silver = "SELECT event_id, _partition, _offset, region FROM silver.sales WHERE event_id NOT LIKE 'extreme%'";
    assert_same(&[("silver", calm.rows(silver))], &[("silver", job.rows(silver))]);
}
