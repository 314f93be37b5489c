//! The progress and the live status of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sluicebox_checkpoint::records::{self, PlannedRange};
use sluicebox_core::clock::iso;
use sluicebox_core::station::Spent;
use sluicebox_core::{Station, waiting};
use sluicebox_runtime::graph::{OperatorChange, Runner, TableOutput};
use sluicebox_sources::LostRange;

use super::{Identity, SourceTally};
use crate::outcome::BatchOutcome;
use crate::progress::{
    Progress, STATIONS, SinkProgress, SourceProgress, StateOperatorProgress, Status, TableStatus, Totals, per_second,
};

/// The progress of a batch, `since_last` after the one before it began.
#[must_use]
pub fn progress(identity: &Identity, outcome: &BatchOutcome, since_last: Option<Duration>) -> Progress {
    let duration = millis(outcome.durations.get("triggerExecution").copied().unwrap_or_default());
    let read: u64 = outcome.sources.iter().map(|s| s.read).sum();
    let interval = since_last.map(millis);
    Progress {
        id: identity.query_id.clone(),
        run_id: identity.run_id.clone(),
        name: identity.pipeline.clone(),
        timestamp: iso(outcome.offsets.clock_micros),
        batch_id: outcome.offsets.batch_id,
        batch_duration: duration,
        num_input_rows: read,
        input_rows_per_second: interval.and_then(|i| per_second(read, i)),
        processed_rows_per_second: per_second(read, duration),
        duration_ms: outcome.durations.iter().map(|(name, d)| (*name, millis(*d))).collect(),
        event_time: event_time(outcome),
        state_operators: outcome.operators.iter().map(|change| operator(change, &outcome.tables)).collect(),
        sources: outcome.sources.iter().map(|s| source(identity, s, interval, duration)).collect(),
        sink: sink(identity, &outcome.tables),
        observed_metrics: outcome
            .tables
            .iter()
            .map(|t| (t.table.clone(), observed(t)))
            .chain([stations(outcome)])
            .collect(),
    }
}

fn event_time(outcome: &BatchOutcome) -> BTreeMap<&'static str, String> {
    let lowest = outcome.watermarks_after.values().copied().min().flatten();
    let bounds = outcome.tables.iter().filter_map(|t| t.event_time);
    let bounds = bounds.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let (min, max) = (bounds.map(|b| ("min", iso(b.0))), bounds.map(|b| ("max", iso(b.1))));
    lowest.map(|w| ("watermark", iso(w))).into_iter().chain(min).chain(max).collect()
}

fn operator(change: &OperatorChange, tables: &[TableOutput]) -> StateOperatorProgress {
    let table = tables.iter().find(|t| t.table == change.table);
    StateOperatorProgress {
        operator_name: change.kind.in_progress.to_owned(),
        num_rows_total: change.rows,
        num_rows_updated: change.updated,
        all_updates_time_ms: millis(change.updates),
        num_rows_removed: change.removed,
        all_removals_time_ms: millis(change.removals),
        commit_time_ms: millis(change.commit),
        memory_used_bytes: change.memory_bytes as u64,
        num_rows_dropped_by_watermark: table.map_or(0, |t| t.fates.late),
        num_shuffle_partitions: 1,
        num_state_store_instances: 1,
        custom_metrics: Map::from_iter([("operatorId".to_owned(), Value::from(change.id.clone()))]),
    }
}

fn source(identity: &Identity, report: &SourceTally, interval: Option<u64>, duration: u64) -> SourceProgress {
    let behind: Vec<i64> = report.ranges.iter().map(|r| r.log_end - r.range.to).collect();
    let sum: i64 = behind.iter().sum();
    let average = if behind.is_empty() { 0.0 } else { rate(sum) / rate(i64::try_from(behind.len()).unwrap_or(1)) };
    SourceProgress {
        description: identity.sources.get(&report.source).cloned().unwrap_or_else(|| report.source.clone()),
        start_offset: offsets(&report.ranges, |r| r.range.from),
        end_offset: offsets(&report.ranges, |r| r.range.to),
        latest_offset: offsets(&report.ranges, |r| r.log_end),
        num_input_rows: report.read,
        input_rows_per_second: interval.and_then(|i| per_second(report.read, i)),
        processed_rows_per_second: per_second(report.read, duration),
        metrics: BTreeMap::from([
            ("lostOffsets", report.lost_offsets(None).to_string()),
            ("lostRanges", lost(&report.lost)),
            ("avgOffsetsBehindLatest", format!("{average:.1}")),
            ("maxOffsetsBehindLatest", behind.iter().max().copied().unwrap_or(0).to_string()),
            ("minOffsetsBehindLatest", behind.iter().min().copied().unwrap_or(0).to_string()),
        ]),
    }
}

#[expect(clippy::cast_precision_loss, reason = "an average for people")]
fn rate(n: i64) -> f64 {
    n as f64
}

/// `topic/partition from..to reason` of each, comma-separated.
fn lost(lost: &[LostRange]) -> String {
    let one = |l: &LostRange| format!("{} {}..{} {}", l.partition, l.range.from, l.range.to, l.reason.as_str());
    lost.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// `{topic: {partition: offset}}`, as Spark prints offsets.
fn offsets(ranges: &[PlannedRange], offset: impl Fn(&PlannedRange) -> i64) -> Value {
    let mut topics: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for range in ranges {
        topics
            .entry(&range.partition.topic)
            .or_default()
            .insert(range.partition.partition.to_string(), Value::from(offset(range)));
    }
    json!(topics)
}

fn sink(identity: &Identity, tables: &[TableOutput]) -> SinkProgress {
    let rows: u64 = tables.iter().map(|t| t.fates.written).sum();
    SinkProgress {
        description: identity.sinks.clone(),
        num_output_rows: i64::try_from(rows).unwrap_or(i64::MAX),
        metrics: tables.iter().map(|t| (t.table.clone(), t.fates.written.to_string())).collect(),
    }
}

/// What each station took, under a name that no table has.
fn stations(outcome: &BatchOutcome) -> (String, Value) {
    let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
    let one = |(station, spent): (Station, Spent)| {
        let took = json!({"times": spent.times, "wallMicros": micros(spent.wall), "cpuMicros": micros(spent.cpu)});
        (station.as_str().to_owned(), took)
    };
    (STATIONS.to_owned(), Value::Object(outcome.spent.iter().filter(|(_, s)| s.times > 0).map(one).collect()))
}

/// The counters of one table: its fates and its expectations.
fn observed(table: &TableOutput) -> Value {
    let mut metrics = match serde_json::to_value(table.fates) {
        Ok(Value::Object(fates)) => fates,
        _ => Map::new(),
    };
    for result in &table.expectations {
        metrics.insert(format!("failed_{}", result.name), Value::from(result.failed));
    }
    metrics.insert("errors".to_owned(), Value::from(table.errors.iter().map(|error| error.rows).sum::<u64>()));
    Value::Object(metrics)
}

/// The live status: what each table has done, and what one with nothing out yet waits for.
pub fn status(totals: &Totals, all: Option<&records::Totals>, runner: &mut Runner) -> Status {
    let waits = runner.waits();
    let waiting = waiting::now();
    let tables = runner
        .table_names()
        .into_iter()
        .map(|table| {
            let fates = totals.tables.get(&table).copied().unwrap_or_default();
            let total = all.and_then(|all| all.tables.get(&table)).copied().unwrap_or(fates);
            let waits_for =
                if total.written > 0 { None } else { waits.get(&table).map(|w| w.describe(totals.backlog)) };
            TableStatus { table, fates, total, waits_for }
        })
        .collect();
    Status {
        tables,
        backlog: waiting.iter().all(|w| !w.what.starts_with("broker")).then_some(totals.backlog),
        watermark: runner.watermarks().into_values().min().flatten(),
        dead_letters: totals.dead_letters,
        total_dead_letters: all.map_or(totals.dead_letters, |all| all.dead_letters),
        since: all.map_or(0, |all| all.since),
        waiting,
        waits: Vec::new(),
        ignored_fields: Vec::new(),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
