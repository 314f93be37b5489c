//! The progress of a batch, in the exact keys of Spark's `StreamingQueryProgress`, so that listeners written for Spark work.
//!
//! Timings are in the progress alone: everything that is committed must be the same when the batch is replayed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use sluicebox_core::Fates;
use sluicebox_core::waiting::Waiting;

/// Under this name `observedMetrics` has what each station of the road took: how often it was at work (`times`; of `sync`,
/// the number of fsyncs), and for how many microseconds, of time (`wallMicros`) and of a processor (`cpuMicros`), over
/// all threads. See [`sluicebox_core::station`].
pub const STATIONS: &str = "sluicebox.stations";

/// One batch's progress. Keys in Spark's order.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The query's id.
    pub id: String,
    /// This run's id.
    pub run_id: String,
    /// The pipeline's name.
    pub name: String,
    /// The batch's clock, ISO 8601 UTC with milliseconds.
    pub timestamp: String,
    /// The batch.
    pub batch_id: u64,
    /// Milliseconds from plan to publish.
    pub batch_duration: u64,
    /// Events read.
    pub num_input_rows: u64,
    /// Events read per second since the last batch began; absent when it cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_rows_per_second: Option<f64>,
    /// Events read per second of the batch's duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processed_rows_per_second: Option<f64>,
    /// Milliseconds by step, keys sorted.
    pub duration_ms: BTreeMap<&'static str, u64>,
    /// `watermark`, and `min` and `max` of the rows that were written, as far as they are known.
    pub event_time: BTreeMap<&'static str, String>,
    /// One for each operator with state.
    pub state_operators: Vec<StateOperatorProgress>,
    /// One for each source.
    pub sources: Vec<SourceProgress>,
    /// The tables together.
    pub sink: SinkProgress,
    /// The counters of quality: fates and expectations by table; and, as [`STATIONS`], what each station took.
    pub observed_metrics: Map<String, Value>,
}

/// The state of one operator after a batch.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateOperatorProgress {
    /// `dedup` or `windowAggregate`.
    pub operator_name: String,
    /// Keys, or groups, in the state.
    pub num_rows_total: u64,
    /// Rows that the batch added.
    pub num_rows_updated: u64,
    /// Milliseconds of taking in rows.
    pub all_updates_time_ms: u64,
    /// Rows that the batch removed.
    pub num_rows_removed: u64,
    /// Milliseconds of closing.
    pub all_removals_time_ms: u64,
    /// Milliseconds of writing the state's files.
    pub commit_time_ms: u64,
    /// Bytes in memory.
    pub memory_used_bytes: u64,
    /// Late rows.
    pub num_rows_dropped_by_watermark: u64,
    /// Always 1: plans have one partition.
    pub num_shuffle_partitions: u64,
    /// Always 1.
    pub num_state_store_instances: u64,
    /// `operatorId`.
    pub custom_metrics: Map<String, Value>,
}

/// What was read from one source.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceProgress {
    /// `Kafka[topic, ...]`.
    pub description: String,
    /// `{topic: {partition: offset}}`, the first offset read.
    pub start_offset: Value,
    /// The first offset not read.
    pub end_offset: Value,
    /// The newest known end.
    pub latest_offset: Value,
    /// Events read.
    pub num_input_rows: u64,
    /// Events read per second since the last batch began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_rows_per_second: Option<f64>,
    /// Events read per second of the batch's duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processed_rows_per_second: Option<f64>,
    /// `avgOffsetsBehindLatest`, `maxOffsetsBehindLatest`, `minOffsetsBehindLatest`; and ours, `lostOffsets` and
    /// `lostRanges`: what was gone before it was read.
    pub metrics: BTreeMap<&'static str, String>,
}

/// What was written.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkProgress {
    /// The tables.
    pub description: String,
    /// Rows written to all tables.
    pub num_output_rows: i64,
    /// Rows written, by table.
    pub metrics: BTreeMap<String, String>,
}

/// Why a table has no rows yet, or how far it is: for the live status.
#[derive(Debug, Clone, PartialEq)]
pub struct TableStatus {
    /// The table.
    pub table: String,
    /// Its fates in this run.
    pub fates: Fates,
    /// Its fates since [`Status::since`].
    pub total: Fates,
    /// What it waits for, in words; `None` when it has written rows.
    pub waits_for: Option<String>,
}

/// What the live status shows beside the progress.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// The tables in topological order.
    pub tables: Vec<TableStatus>,
    /// Offsets not read yet, over all partitions; `None` while a broker that does not answer keeps it from being known.
    pub backlog: Option<u64>,
    /// The watermark of the first clause, microseconds since 1970.
    pub watermark: Option<i64>,
    /// Dead letters in this run.
    pub dead_letters: u64,
    /// Dead letters since [`Status::since`].
    pub total_dead_letters: u64,
    /// The batch with which the totals begin: 0 for all that the pipeline did, another one when an older version began it.
    pub since: u64,
    /// What is waited for outside of the run.
    pub waiting: Vec<Waiting>,
    /// What sources wait for beside it, in words: topics of a pattern that are not there yet.
    pub waits: Vec<String>,
    /// Fields of writers that no table has, `field of source`, seen in this run.
    pub ignored_fields: Vec<String>,
}

/// `count` per second over `millis`, to one decimal; `None` when no time has passed.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub fn per_second(count: u64, millis: u64) -> Option<f64> {
    (millis > 0).then(|| (count as f64 * 10_000.0 / millis as f64).round() / 10.0)
}

/// Is told what happens.
///
/// ```
/// use sluicebox_engine::Observer;
/// use sluicebox_engine::progress::{Progress, Status};
///
/// /// Remembers how far the run is behind.
/// #[derive(Default)]
/// struct Lag(Option<u64>);
///
/// impl Observer for Lag {
///     fn batch(&mut self, progress: &Progress, status: &Status) {
///         println!("batch {} read {} events", progress.batch_id, progress.num_input_rows);
///         self.0 = status.backlog;
///     }
///
///     fn idle(&mut self, status: &Status) {
///         self.0 = status.backlog;
///     }
/// }
///
/// let mut lag = Lag::default();
/// lag.idle(&Status { backlog: Some(3), ..Status::default() });
/// assert_eq!(lag.0, Some(3));
/// ```
pub trait Observer: Send {
    /// A batch has been published.
    fn batch(&mut self, progress: &Progress, status: &Status);

    /// Nothing to read; called about once a second.
    fn idle(&mut self, status: &Status) {
        let _ = status;
    }
}

/// A closure is told of batches.
impl<F: FnMut(&Progress, &Status) + Send> Observer for F {
    fn batch(&mut self, progress: &Progress, status: &Status) {
        self(progress, status);
    }
}

/// What a run did, over all its batches.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Batches.
    pub batches: u64,
    /// Events read.
    pub events: u64,
    /// Events without a value, which are no rows and no errors.
    pub tombstones: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Offsets that were gone before they were read.
    pub lost_offsets: u64,
    /// Fates by table.
    pub tables: BTreeMap<String, Fates>,
    /// When the last batch began, by the clock that never goes back.
    pub last_start: Option<Duration>,
    /// Offsets not read at the end of the last batch.
    pub backlog: u64,
}
