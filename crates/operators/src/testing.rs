//! Generated topics for tests, and the scenarios that operators see of them: read in any cuts, judged by a real watermark, without late
//! rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UInt8Type};
use proptest::prelude::*;
use sluicebox_core::PartitionId;
use sluicebox_core::provenance;

use crate::conformance::Batch;
use crate::watermark::{AtEnd, ClauseConfig, Watermark};

/// Microseconds of a second.
pub(crate) const SECOND: i64 = 1_000_000;

/// The delay of every scenario: ten seconds.
pub(crate) const DELAY: i64 = 10 * SECOND;

/// An event. Its columns are made from few numbers, so that a failing case shrinks well.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Event time in microseconds.
    pub time: Option<i64>,
    /// What `k` and `n` are made of.
    pub key: u8,
    /// What the other columns are made of.
    pub value: i64,
}

/// Events by partition and offset.
pub(crate) type Topic = Vec<Vec<Event>>;

/// What one batch takes of each partition, and in rows of how many it is handed on.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    pub take: Vec<usize>,
    pub chunk: usize,
    /// Whether the batch's partitions that are read to their end count as idle.
    pub finishing: bool,
}

/// A row that was not late, where the oracle can see it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub part: usize,
    pub offset: usize,
    pub event: Event,
}

/// Topics of up to three partitions, event time going forward from before 1970 with jitter.
pub(crate) fn topic(longest: usize) -> impl Strategy<Value = Topic> {
    // Exact multiples of a second and their neighbours, since ends of windows and delays are multiples.
    let jitter = (-14i64..6, -1i64..=1).prop_map(|(seconds, micros)| seconds * SECOND + micros);
    let event = (prop::option::weighted(0.93, jitter), 0u8..6, -8i64..9);
    let partition = (-60i64..0, prop::collection::vec(event, 0..longest)).prop_map(|(start, events)| {
        let place = |(at, (jitter, key, value)): (usize, (Option<i64>, u8, i64))| Event {
            time: jitter.map(|jitter| (start + at as i64 * 4) * SECOND + jitter),
            key,
            value,
        };
        events.into_iter().enumerate().map(place).collect()
    });
    prop::collection::vec(partition, 1..4)
}

/// Ways to read a topic.
pub(crate) fn cuts(longest: usize) -> impl Strategy<Value = Vec<Cut>> {
    let cut = (prop::collection::vec(0usize..9, 3), 1usize..6, prop::bool::weighted(0.1));
    let cut = cut.prop_map(|(take, chunk, finishing)| Cut { take, chunk, finishing });
    prop::collection::vec(cut, 1..longest)
}

/// The columns of a topic's rows.
pub(crate) fn schema() -> SchemaRef {
    let visible = [
        Field::new("k", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
        Field::new("s", DataType::Utf8, false),
        Field::new("v", DataType::Float64, true),
        Field::new("i", DataType::Int64, true),
        Field::new("b", DataType::Boolean, false),
    ];
    let mut fields: Vec<FieldRef> = visible.into_iter().map(Arc::new).collect();
    fields.extend(provenance::provenance_fields());
    fields.extend(provenance::watermark_fields());
    Arc::new(Schema::new(fields))
}

/// `rows` as a batch of [`schema`], all in time.
pub(crate) fn batch(rows: &[Seen]) -> RecordBatch {
    let events = || rows.iter().map(|row| &row.event);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(events().map(|e| (e.key % 3 != 0).then(|| format!("k{}", e.key % 3))).collect::<StringArray>()),
        Arc::new(events().map(|e| (e.key != 5).then_some(i64::from(e.key / 3))).collect::<Int64Array>()),
        Arc::new(events().map(|e| Some(format!("s{}", e.value.rem_euclid(5)))).collect::<StringArray>()),
        Arc::new(events().map(|e| (e.value % 4 != 0).then_some(e.value as f64 / 4.0)).collect::<Float64Array>()),
        Arc::new(events().map(|e| (e.value % 5 != 0).then_some(e.value)).collect::<Int64Array>()),
        Arc::new(events().map(|e| Some(e.value % 2 == 0)).collect::<BooleanArray>()),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.part as i32))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.offset as i64))),
        Arc::new(events().map(|e| e.time).collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        Arc::new(arrow::array::UInt8Array::from_value(0, rows.len())),
    ];
    RecordBatch::try_new(schema(), columns).unwrap_or_else(|e| unreachable!("{e}"))
}

/// Reads `topic` as `cuts` say, the rest in a last batch, and then once more without data. Gives what an operator
/// behind the watermark sees, and its rows in the order in which it sees them.
pub(crate) fn scenario(topic: &Topic, cuts: &[Cut]) -> (Vec<Batch>, Vec<Seen>) {
    let parts: Vec<PartitionId> = (0..topic.len()).map(|p| PartitionId::new("s", "t", p as i32)).collect();
    let mut watermark = Watermark::new(ClauseConfig {
        id: "c".into(),
        delay_micros: DELAY,
        idle_timeout_micros: i64::MAX,
        max_future_micros: i64::MAX,
    });
    let rest = Cut { take: vec![usize::MAX; 3], chunk: 4, finishing: true };
    let nothing = Cut { take: vec![0; 3], ..rest.clone() };
    let (mut at, mut batches, mut seen) = (vec![0; topic.len()], Vec::new(), Vec::new());
    for cut in cuts.iter().chain([&rest, &nothing]) {
        let mut rows = Vec::new();
        for (part, events) in topic.iter().enumerate() {
            let to = events.len().min(at[part] + cut.take[part].min(events.len()));
            rows.extend((at[part]..to).map(|offset| Seen { part, offset, event: events[offset].clone() }));
            at[part] = to;
        }
        let mut in_time = Vec::new();
        for chunk in rows.chunks(cut.chunk) {
            in_time.extend(judged(&mut watermark, chunk, &parts, &mut seen));
        }
        let progress = parts.iter().cloned().zip(0..).map(|(p, part)| {
            let left = topic[part].len() - at[part];
            (p, if left == 0 { AtEnd::Reached } else { AtEnd::Backlog(left as u64) })
        });
        let watermark = watermark.end_batch(0, &progress.collect::<BTreeMap<_, _>>(), cut.finishing);
        batches.push(Batch { rows: in_time, watermark });
    }
    (batches, seen)
}

fn judged(
    watermark: &mut Watermark,
    rows: &[Seen],
    parts: &[PartitionId],
    seen: &mut Vec<Seen>,
) -> Option<RecordBatch> {
    let batch = batch(rows);
    let times = batch.column_by_name(provenance::EVENT_TIME)?;
    let judged = watermark.judge(&batch, times, parts, 0).unwrap_or_else(|e| unreachable!("{e}"));
    let in_time: BooleanArray = judged.late.values().iter().map(|late| Some(*late == 0)).collect();
    seen.extend(rows.iter().zip(in_time.values()).filter(|(_, keep)| *keep).map(|(row, _)| row.clone()));
    let batch = filter_record_batch(&batch, &in_time).unwrap_or_else(|e| unreachable!("{e}"));
    debug_assert!(batch.column_by_name(provenance::LATE)?.as_primitive::<UInt8Type>().values().iter().all(|l| *l == 0));
    (batch.num_rows() > 0).then_some(batch)
}
