//! The suite that every format must pass: an event becomes the same row or dead letter whatever its neighbours are.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use arrow::ipc::writer::StreamWriter;
use futures::executor::block_on;
use sluicebox_core::raw::RawEvents;

use super::raw;
use crate::class::ErrorClass;
use crate::decoded::Decoded;
use crate::source::SourceDecoder;

/// Events of a batch of the suite.
const EVENTS: u64 = 60;

/// What one event becomes.
#[derive(Debug, Clone)]
enum Fate {
    Tombstone,
    /// The columns of the value.
    Row(RecordBatch),
    Letter(ErrorClass),
}

/// An event, and what becomes of it alone.
type Known = (Option<Vec<u8>>, Fate);

/// Tries `decoder` on the values `good`, which become rows, and `bad`, which become dead letters of these classes: alone and among each
/// other, in any place, cut into any chunks, in portions of any budget, again, and by several threads at once.
///
/// # Panics
/// When it fails.
pub fn conforms(decoder: &SourceDecoder, good: &[Vec<u8>], bad: &[(Vec<u8>, ErrorClass)]) {
    let known: Vec<Known> = [(None, Fate::Tombstone)]
        .into_iter()
        .chain(good.iter().map(|value| (Some(value.clone()), alone(decoder, value, None))))
        .chain(bad.iter().map(|(value, class)| (Some(value.clone()), alone(decoder, value, Some(*class)))))
        .collect();
    in_any_place(decoder, &known);
    let mut seed = 1;
    for _ in 0..20 {
        let events: Vec<&Known> = (0..EVENTS).map(|_| &known[below(&mut seed, known.len())]).collect();
        let values: Vec<Option<Vec<u8>>> = events.iter().map(|(value, _)| value.clone()).collect();
        let whole = raw(0, &values);
        let decoded = decode(decoder, std::slice::from_ref(&whole), usize::MAX);
        check(decoder, &whole, &decoded, &events);
        again(decoder, &whole, &decoded);
        in_chunks(decoder, &whole, &decoded, &mut seed);
        in_portions(decoder, &whole, &decoded, &mut seed);
    }
}

fn decode(decoder: &SourceDecoder, events: &[RawEvents], budget: usize) -> Decoded {
    let prepared = block_on(decoder.prepare(events)).unwrap();
    decoder.decode_within(&prepared, events, &vec![0; events.len()], budget).unwrap()
}

/// What becomes of `value`: a dead letter of `class`, or a row if that is none.
fn alone(decoder: &SourceDecoder, value: &[u8], class: Option<ErrorClass>) -> Fate {
    let decoded = decode(decoder, &[raw(0, &[Some(value.to_vec())])], usize::MAX);
    let shown = String::from_utf8_lossy(value);
    let message = || decoded.dead_letters.column_by_name("message").unwrap().as_string::<i32>().value(0).to_owned();
    match (class, &decoded.rows[..]) {
        (None, [row]) if row.num_rows() == 1 => Fate::Row(value_of(decoder, row)),
        (None, _) => {
            assert!(decoded.dead_letters.num_rows() == 0, "a good event is a dead letter: {}: {shown}", message());
            Fate::Row(RecordBatch::new_empty(decoder.schema()))
        }
        (Some(class), rows) => {
            assert_eq!(rows.len(), 0, "a bad event became a row: {shown}");
            assert_eq!(decoded.by_class, BTreeMap::from([(class, 1)]), "{}: {shown}", message());
            assert!(!message().is_empty(), "a dead letter says why it is one: {shown}");
            Fate::Letter(class)
        }
    }
}

/// The columns of the values of `rows`.
fn value_of(decoder: &SourceDecoder, rows: &RecordBatch) -> RecordBatch {
    let columns: Vec<usize> = (0..decoder.schema().index_of("_topic").unwrap()).collect();
    rows.project(&columns).unwrap()
}

/// A bad event first, last and between others.
fn in_any_place(decoder: &SourceDecoder, known: &[Known]) {
    let good = known.iter().find(|(_, fate)| matches!(fate, Fate::Row(_)));
    for bad in known.iter().filter(|(_, fate)| matches!(fate, Fate::Letter(_))) {
        for place in 0..3 {
            let mut events: Vec<&Known> = good.into_iter().chain(good).collect();
            events.insert(place.min(events.len()), bad);
            let values: Vec<Option<Vec<u8>>> = events.iter().map(|(value, _)| value.clone()).collect();
            let whole = raw(0, &values);
            check(decoder, &whole, &decode(decoder, std::slice::from_ref(&whole), usize::MAX), &events);
        }
    }
}

/// That each of `events`, which are those of `whole`, became what it becomes alone.
fn check(decoder: &SourceDecoder, whole: &RawEvents, decoded: &Decoded, events: &[&Known]) {
    assert_eq!(decoded.taken, events.len(), "all events are taken");
    let offsets = whole.events.column(0).as_primitive::<Int64Type>().values();
    let rows = concat_batches(&decoder.schema(), &decoded.rows).unwrap();
    let (mut row, mut letter, mut tombstones) = (0, 0, 0);
    let offset_of = |batch: &RecordBatch, name: &str, at: usize| {
        batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().value(at)
    };
    for ((_, fate), offset) in events.iter().zip(offsets) {
        match fate {
            Fate::Tombstone => tombstones += 1,
            Fate::Row(alone) => {
                assert_eq!(offset_of(&rows, "_offset", row), *offset, "rows come in the order of the events");
                assert_eq!(value_of(decoder, &rows.slice(row, 1)), *alone, "a row among others is the row alone");
                row += 1;
            }
            Fate::Letter(class) => {
                let letters = &decoded.dead_letters;
                let found = letters.column_by_name("error_class").unwrap().as_string::<i32>().value(letter);
                assert_eq!(
                    offset_of(letters, "offset", letter),
                    *offset,
                    "dead letters come in the order of the events"
                );
                assert_eq!(found, class.as_str(), "a dead letter among others is of the class that it is alone");
                letter += 1;
            }
        }
    }
    assert_eq!((row, letter), (rows.num_rows(), decoded.dead_letters.num_rows()), "every event has one fate");
    assert_eq!(decoded.tombstones, tombstones);
    assert_eq!(decoded.by_class.values().sum::<u64>(), decoded.dead_letters.num_rows() as u64);
}

/// Bytes of what was decoded.
fn bytes(decoded: &Decoded) -> Vec<u8> {
    let mut out = Vec::new();
    for batch in decoded.rows.iter().chain([&decoded.dead_letters]) {
        let mut writer = StreamWriter::try_new(&mut out, batch.schema_ref()).unwrap();
        writer.write(batch).unwrap();
        writer.finish().unwrap();
    }
    out
}

/// The same events give the same bytes, whoever decodes them.
fn again(decoder: &SourceDecoder, whole: &RawEvents, first: &Decoded) {
    let events = std::slice::from_ref(whole);
    let expected = bytes(first);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(|| bytes(&decode(decoder, events, usize::MAX)))).collect();
        for thread in threads {
            assert_eq!(thread.join().ok().as_ref(), Some(&expected), "the same events give the same bytes");
        }
    });
}

/// Which chunks the events come in does not show.
fn in_chunks(decoder: &SourceDecoder, whole: &RawEvents, expected: &Decoded, seed: &mut u64) {
    let mut chunks = Vec::new();
    let mut rest = whole.clone();
    while rest.events.num_rows() > 0 {
        let (head, tail) = rest.split_at(below(seed, 20));
        chunks.push(head);
        rest = tail;
    }
    let cut = decode(decoder, &chunks, usize::MAX);
    assert_eq!((&cut.rows, &cut.dead_letters), (&expected.rows, &expected.dead_letters), "chunks do not show");
    assert_eq!((cut.taken, cut.tombstones, &cut.by_class), (expected.taken, expected.tombstones, &expected.by_class));
    assert_eq!(cut.schemas, expected.schemas);
}

/// Which portions the events are decoded in does not show either.
fn in_portions(decoder: &SourceDecoder, whole: &RawEvents, expected: &Decoded, seed: &mut u64) {
    let (mut rows, mut letters, mut tombstones) = (Vec::new(), Vec::new(), 0);
    let mut rest = whole.clone();
    while rest.events.num_rows() > 0 {
        let budget = 1 + below(seed, 16 * decoder.least_row());
        let decoded = decode(decoder, std::slice::from_ref(&rest), budget);
        assert!(decoded.taken > 0, "a portion is one event at least");
        rows.extend(decoded.rows);
        letters.push(decoded.dead_letters);
        tombstones += decoded.tombstones;
        (_, rest) = rest.split_at(decoded.taken);
    }
    let all = |batches: &[RecordBatch]| concat_batches(&decoder.schema(), batches).unwrap();
    assert_eq!(all(&rows), all(&expected.rows), "portions do not show");
    assert_eq!(concat_batches(&expected.dead_letters.schema(), &letters).unwrap(), expected.dead_letters);
    assert_eq!(tombstones, expected.tombstones);
}

/// A number below `count`, which is not 0.
fn below(seed: &mut u64, count: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 33).unwrap_or_default() % count
}
