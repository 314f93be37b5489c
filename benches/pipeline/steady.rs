//! A batch a second for a long time: nothing may grow but the tables.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use serde_json::{Value, json};
use sluicebox_core::Clock;

use crate::Out;
use crate::latency::short_windows;
use crate::live::Live;
use crate::measure::{percentile, resident_of};
use crate::place::{Place, files};

/// Events a second.
const RATE: u64 = 2_000;

/// Lines of the table.
const PARTS: u32 = 12;

/// What there is at the end of a part.
struct Look {
    resident: u64,
    checkpoint: usize,
}

/// Prints the section: a line for each twelfth of the time.
pub fn section(place: Place, seconds: u64, options: &[String], out: &mut Out) -> anyhow::Result<()> {
    let mut live = Live::start(place, RATE, &short_windows()?, "1 second", options)?;
    let part = Duration::from_secs(seconds) / PARTS;
    let mut looks = Vec::new();
    let mut ends = Vec::new();
    for _ in 0..PARTS {
        live.produce(part)?;
        ends.push(live.clock.now_micros());
        let checkpoint = files(Path::new("checkpoints"), &|_| true).len();
        looks.push(Look { resident: resident_of(live.process())?, checkpoint });
    }
    let progress = live.stop()?;
    println!("\nsteady, from {}: {RATE} events/s for {seconds} s, a batch a second", place.title());
    println!(
        "{:>8} {:>8} {:>8} {:>8} {:>8} {:>14} {:>20}",
        "minute", "batches", "p50 ms", "p95 ms", "max ms", "resident MiB", "checkpoint files"
    );
    let mut from = i64::MIN;
    for (nth, (look, end)) in (1..).zip(looks.iter().zip(ends)) {
        let mut lengths = Vec::new();
        for batch in progress.iter().filter(|p| p["numInputRows"].as_u64().unwrap_or(0) > 0) {
            if (from..end).contains(&at(batch)?) {
                lengths.extend(batch["batchDuration"].as_u64());
            }
        }
        let [p50, p95, most] = [50, 95, 100].map(|p| percentile(&mut lengths, p));
        let minute = f64::from(nth) * part.as_secs_f64() / 60.0;
        let resident = look.resident as f64 / f64::from(1 << 20);
        println!(
            "{minute:>8.1} {:>8} {p50:>8} {p95:>8} {most:>8} {resident:>14.0} {:>20}",
            lengths.len(),
            look.checkpoint
        );
        let values = json!({"minute": minute, "batches": lengths.len(), "p50": p50, "p95": p95, "max": most,
            "resident": resident, "checkpoint": look.checkpoint});
        out.add(&json!({"section": "steady", "from": place.name(), "values": values}))?;
        from = end;
    }
    Ok(())
}

/// When a batch began, microseconds since 1970.
fn at(batch: &Value) -> anyhow::Result<i64> {
    let text = batch["timestamp"].as_str().context("progress without a timestamp")?;
    Ok(string_to_timestamp_nanos(text)? / 1000)
}
