#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use arrow::array::{ArrayRef, AsArray, BinaryArray, Int64Array, TimestampMillisecondArray, new_null_array};
use arrow::datatypes::{Int32Type, Int64Type};
use async_trait::async_trait;
use sluicebox_core::provenance::{OFFSET, PART};
use sluicebox_core::raw::{column, raw_schema};
use sluicebox_formats::framing::frame;
use sluicebox_formats::{DecoderOptions, avro};
use sluicebox_registry::{Guid, PinnedSchema, Registry, RegistryError, SchemaCache, SchemaText};
use sluicebox_sources::Taken;
use tempfile::TempDir;

use super::*;

const WRITER: &str = r#"{"type":"record","name":"E","fields":[{"name":"n","type":"int"}]}"#;

/// Events at `offsets`, all of the same value.
pub(crate) fn events(partition: &PartitionId, offsets: &[i64], value: &[u8]) -> RawEvents {
    let times = TimestampMillisecondArray::from(offsets.to_vec()).with_timezone("UTC");
    let null = |column: usize| new_null_array(raw_schema().field(column).data_type(), offsets.len());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(offsets.to_vec())),
        Arc::new(times),
        null(column::KEY),
        Arc::new(BinaryArray::from_iter_values(offsets.iter().map(|_| value))),
        null(column::HEADERS),
    ];
    let events = RecordBatch::try_new(raw_schema(), columns).unwrap();
    RawEvents { partition: partition.clone(), events, large: Vec::new() }
}

/// Knows [`WRITER`] as id 1.
#[derive(Debug)]
struct One;

fn unknown<T>() -> Result<T, RegistryError> {
    Err(RegistryError::NotFound { what: "it".to_owned(), registry: "none".to_owned() })
}

#[async_trait]
impl Registry for One {
    async fn by_id(&self, id: i32) -> Result<Arc<SchemaText>, RegistryError> {
        if id == 1 { Ok(Arc::new(SchemaText::new(WRITER))) } else { unknown() }
    }

    async fn by_guid(&self, _: Guid) -> Result<Arc<SchemaText>, RegistryError> {
        unknown()
    }

    async fn latest(&self, _: &str) -> Result<PinnedSchema, RegistryError> {
        unknown()
    }

    async fn version(&self, _: &str, _: i32) -> Result<PinnedSchema, RegistryError> {
        unknown()
    }
}

/// A decoder whose reader schema has `fields` beside the writer's one.
fn decoder(fields: &str) -> (SharedDecoder, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let reader = WRITER.replace("]}", &format!(",{fields}]}}"));
    let pinned = PinnedSchema { subject: "t-value".into(), version: 2, id: 2, text: SchemaText::new(reader) };
    let cache = SchemaCache::open(dir.path()).unwrap();
    (Arc::new(avro::decoder(&DecoderOptions::new("s"), pinned, Arc::new(One), cache).unwrap()), dir)
}

/// The number of the partition and the offset of each row.
fn places(rows: &[RecordBatch]) -> Vec<(i32, i64)> {
    let of = |rows: &RecordBatch| {
        let parts = rows.column_by_name(PART).unwrap().as_primitive::<Int32Type>().values().to_vec();
        let offsets = rows.column_by_name(OFFSET).unwrap().as_primitive::<Int64Type>().values().to_vec();
        parts.into_iter().zip(offsets)
    };
    rows.iter().flat_map(of).collect()
}

/// Events of two partitions with gaps between, as a source gives them.
fn two_partitions(count: i64) -> (Vec<RawEvents>, Vec<PartitionId>) {
    let partitions = vec![PartitionId::new("s", "t", 0), PartitionId::new("s", "t", 1)];
    let value = frame(1, &[2]);
    let chunk = |partition: &PartitionId, from: i64| {
        let offsets: Vec<i64> = (from..(from + 4096).min(count / 2)).map(|n| 3 * n).collect();
        events(partition, &offsets, &value)
    };
    let chunks = |p: &PartitionId| (0..count / 2).step_by(4096).map(|from| chunk(p, from)).collect::<Vec<_>>();
    (partitions.iter().flat_map(chunks).collect(), partitions)
}

async fn turn(
    decoder: &SharedDecoder,
    events: Vec<RawEvents>,
    partitions: &[PartitionId],
    budget: usize,
) -> (Vec<(i32, i64)>, Vec<RawEvents>) {
    let mut report = SourceTally::new("s", &[], &Taken::default());
    let mut left = budget;
    let done = decode(&mut report, decoder, events, partitions, &mut left).await.unwrap();
    let places = places(&done.rows);
    assert_eq!(report.rows, places.len() as u64);
    assert!(left == 0 || done.rest.is_empty(), "all the room is used, or all events are");
    (places, done.rest)
}

#[tokio::test]
async fn rows_are_made_in_turns_that_fill_their_room_and_each_event_is_in_one() {
    let wide: Vec<_> =
        (0..100).map(|n| format!(r#"{{"name":"c{n}","type":["null","long"],"default":null}}"#)).collect();
    let long = format!(r#"{{"name":"s","type":"string","default":"{}"}}"#, "x".repeat(1_000));
    // The one is known not to fit before it is tried, the other is not; on several cores several threads try it.
    for (fields, row) in [(wide.join(","), 100 * 8), (long, 1_000)] {
        let (decoder, _dir) = decoder(&fields);
        let (mut events, partitions) = two_partitions(20_000);
        let (all, rest) = turn(&decoder, events.clone(), &partitions, usize::MAX).await;
        assert!(rest.is_empty());
        assert_eq!(all.len(), 20_000);
        let budget = 4 << 20;
        let most = budget / row;
        let (mut turns, mut before) = (0, 0);
        while !events.is_empty() {
            let (places, rest) = turn(&decoder, events, &partitions, budget).await;
            assert_eq!(places[..], all[before..before + places.len()], "in their order");
            before += places.len();
            let is_full = (most * 9 / 10..=most + 1).contains(&places.len());
            assert!(is_full || rest.is_empty(), "{} rows, of which {most} fit", places.len());
            events = rest;
            turns += 1;
        }
        assert_eq!(before, 20_000);
        assert!(turns > 2, "{turns} turns");
    }
}

#[tokio::test]
async fn where_there_is_no_room_nobody_is_asked_and_all_is_left() {
    let (decoder, _dir) = decoder(r#"{"name":"s","type":"string","default":""}"#);
    let partition = PartitionId::new("s", "t", 0);
    let unknown = events(&partition, &[1, 2], &frame(9, &[2]));
    let (rows, rest) = turn(&decoder, vec![unknown], &[partition], 0).await;
    assert_eq!((rows.len(), rest.len(), rest[0].first_offset()), (0, 1, Some(1)));
}

#[test]
fn room_is_shared_by_what_portions_weigh_and_no_more_than_there_is() {
    assert_eq!(shares(&[1, 3], 400), [100, 300]);
    assert_eq!(shares(&[7], 400), [400]);
    assert_eq!(shares(&[1, 1, 1], 400), [133, 133, 133]);
    assert_eq!(shares(&[0], 400), [0]);
    assert_eq!(shares(&[usize::MAX / 2, usize::MAX / 2], usize::MAX)[0], usize::MAX / 2);
}

#[test]
fn events_are_split_between_chunks_and_within_them() {
    let partition = PartitionId::new("s", "t", 0);
    let chunk = |offsets: &[i64]| events(&partition, offsets, b"v");
    let ends = |events: &[RawEvents]| events.iter().map(|e| (e.first_offset().unwrap(), e.events.num_rows())).collect();
    for (count, before, behind) in [
        (0, vec![], vec![(1, 2), (5, 3)]),
        (1, vec![(1, 1)], vec![(2, 1), (5, 3)]),
        (2, vec![(1, 2)], vec![(5, 3)]),
        (4, vec![(1, 2), (5, 2)], vec![(9, 1)]),
        (9, vec![(1, 2), (5, 3)], vec![]),
    ] {
        let (first, rest) = split(vec![chunk(&[1, 2]), chunk(&[5, 7, 9])], count);
        let found: (Vec<(i64, usize)>, Vec<_>) = (ends(&first), ends(&rest));
        assert_eq!(found, (before, behind), "{count}");
    }
}
