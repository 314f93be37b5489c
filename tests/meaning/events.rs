//! Events: rows with disorder, copies, values out of their domain, NULLs; tombstones; bytes that are no rows.

use proptest::prelude::*;
use sluicebox_samples::avro::{bytes, long};

use crate::PARTITIONS;

/// The clock of every batch. Most events lie before it.
pub const CLOCK: i64 = 1_800_000_000_000_000;
/// Where the event times begin: an hour boundary, so that windows are easy to read.
pub const START: i64 = 1_799_996_400_000_000;
/// Event times are multiples of it, so that rows fall exactly on edges, marks and delays again and again.
pub const GRAIN: i64 = 30_000_000;
/// The regions; the last is unknown to the expectations.
pub const REGIONS: [&str; 4] = ["A", "B", "C", "?"];

/// Numbers of which some are equal and do not look the same: both zeros, and two NaN of different bits.
pub const RATIOS: [f64; 6] = [0.0, -0.0, f64::NAN, f64::from_bits(0xfff8_0000_0000_0000), 1.5, -2.25];
/// The first of those in [`RATIOS`] that are equal to each; and where they stand in order.
pub const FORMS: [usize; 6] = [0, 0, 2, 2, 4, 5];
pub const RANKS: [i64; 6] = [1, 1, 3, 3, 2, 0];
pub const CITIES: [&str; 2] = ["x", "y"];
pub const LETTERS: [&str; 2] = ["a", "b"];
/// Texts of which some are numbers.
pub const CODES: [&str; 4] = ["7", "3", "x", "99999999999"];

/// The schema of the values.
pub const SCHEMA: &str = r#"{"type": "record", "name": "E", "fields": [
    {"name": "seq", "type": "long"},
    {"name": "key", "type": ["null", "string"]},
    {"name": "event_time", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
    {"name": "region", "type": "string"},
    {"name": "amount", "type": ["null", "double"]},
    {"name": "qty", "type": ["null", "int"]},
    {"name": "cents", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
    {"name": "ratio", "type": ["null", "double"]},
    {"name": "place", "type": {"type": "record", "name": "Place", "fields": [
        {"name": "city", "type": "string"}, {"name": "height", "type": "double"}]}},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "scores", "type": {"type": "map", "values": "double"}},
    {"name": "code", "type": "string"},
    {"name": "w", "type": "string"}]}"#;

/// What is chosen for one event.
#[derive(Debug, Clone)]
pub struct Event {
    partition: usize,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// A row: its key, how many grains it is ahead of (or behind) its place in the stream, and its values.
    Row { key: Key, shift: i64, future: bool, no_time: bool, values: Values },
    /// The same row again as some earlier event.
    Copy(prop::sample::Index),
    /// No value.
    Tombstone,
    /// No row.
    Malformed(u8),
}

#[derive(Debug, Clone)]
enum Key {
    /// One of a few that belong to the partition.
    Own(u8),
    /// One that only this row and its copies have; copies may lie in other partitions.
    Once,
    Null,
}

#[derive(Debug, Clone, Default)]
struct Values {
    region: usize,
    /// Quarters: sums of them are exact in any order.
    amount: Option<i32>,
    qty: Option<i32>,
    cents: i64,
    nested: Nested,
    code: usize,
    w: usize,
}

/// Numbers among others, by their places in [`RATIOS`], [`CITIES`] and [`LETTERS`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Nested {
    pub ratio: Option<usize>,
    /// City and height.
    pub place: (usize, usize),
    pub tags: Vec<usize>,
    /// In the order in which they are written; each letter once.
    pub scores: Vec<(usize, usize)>,
}

/// A row, as a reader of the topic sees it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// Differs from row to row; copies share it.
    pub seq: i64,
    pub key: Option<String>,
    pub time: Option<i64>,
    pub region: &'static str,
    pub amount: Option<f64>,
    pub qty: Option<i32>,
    pub cents: i64,
    pub nested: Nested,
    pub code: &'static str,
    /// Called like a window.
    pub w: &'static str,
}

/// What lies at an offset.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Row(Row),
    Tombstone,
    /// The value's bytes, and the class that the dead letter must have.
    Malformed(Vec<u8>, &'static str),
}

/// What is appended in one step, by partition.
pub type Step = Vec<Vec<Content>>;

/// Any event.
pub fn event() -> impl Strategy<Value = Event> {
    let key = prop_oneof![6 => (0u8..4).prop_map(Key::Own), 3 => Just(Key::Once), 1 => Just(Key::Null)];
    // Mostly a little disorder, now and then far behind or ahead.
    let shift = prop_oneof![8 => -4i64..4, 2 => -40i64..0, 1 => 0i64..30];
    let values = (
        prop_oneof![9 => 0usize..3, 1 => Just(3usize)],
        prop::option::weighted(0.85, -40i32..400),
        prop::option::weighted(0.85, 0i32..8),
        -300i64..3000,
        nested(),
        (0..CODES.len(), 0..LETTERS.len()),
    )
        .prop_map(|(region, amount, qty, cents, nested, (code, w))| Values {
            region,
            amount,
            qty,
            cents,
            nested,
            code,
            w,
        });
    let row = (key, shift, prop::bool::weighted(0.02), prop::bool::weighted(0.05), values)
        .prop_map(|(key, shift, future, no_time, values)| What::Row { key, shift, future, no_time, values });
    let what = prop_oneof![
        14 => row,
        4 => any::<prop::sample::Index>().prop_map(What::Copy),
        1 => Just(What::Tombstone),
        1 => (0u8..6).prop_map(What::Malformed),
    ];
    (0..PARTITIONS, what).prop_map(|(partition, what)| Event { partition, what })
}

fn nested() -> impl Strategy<Value = Nested> {
    let ratio = || prop_oneof![3 => 0usize..2, 2 => 2usize..4, 2 => 4usize..6];
    let scores = (prop::option::weighted(0.8, ratio()), prop::option::weighted(0.5, ratio()), any::<bool>());
    let scores = scores.prop_map(|(a, b, turned)| {
        let mut scores: Vec<(usize, usize)> = [a.map(|a| (0, a)), b.map(|b| (1, b))].into_iter().flatten().collect();
        if turned {
            scores.reverse();
        }
        scores
    });
    let place = (0..CITIES.len(), ratio());
    (prop::option::weighted(0.9, ratio()), place, prop::collection::vec(0..LETTERS.len(), 0..3), scores)
        .prop_map(|(ratio, place, tags, scores)| Nested { ratio, place, tags, scores })
}

impl Nested {
    /// With the first of those that are equal in the place of each.
    pub fn form(&self) -> Self {
        let mut scores: Vec<(usize, usize)> =
            self.scores.iter().map(|(letter, ratio)| (*letter, FORMS[*ratio])).collect();
        scores.sort_unstable();
        Self {
            ratio: self.ratio.map(|ratio| FORMS[ratio]),
            place: (self.place.0, FORMS[self.place.1]),
            tags: self.tags.clone(),
            scores,
        }
    }
}

/// What the steps append. A copy lies where its own partition says if `cross` and if no other row has its key; else in the
/// partition of the first, since offsets give no order between partitions.
pub fn log_of(steps: &[Vec<Event>], cross: bool) -> Vec<Step> {
    let mut first: Vec<(usize, Row, bool)> = Vec::new();
    let mut place = 0;
    let mut log = Vec::new();
    for events in steps {
        let mut step: Step = vec![Vec::new(); PARTITIONS];
        for event in events {
            place += 1;
            let (partition, content) = match &event.what {
                What::Tombstone => (event.partition, Content::Tombstone),
                What::Malformed(kind) => (event.partition, malformed(*kind)),
                What::Copy(_) if first.is_empty() => (event.partition, Content::Tombstone),
                What::Copy(of) => {
                    let (home, row, alone) = of.get(&first);
                    (if cross && *alone { event.partition } else { *home }, Content::Row(row.clone()))
                }
                What::Row { key, shift, future, no_time, values } => {
                    let row = row(place, event.partition, key, *shift, *future, *no_time, values);
                    // NULL keys are equal to each other: they stay in one partition.
                    let home = if row.key.is_none() { 0 } else { event.partition };
                    first.push((home, row.clone(), matches!(key, Key::Once)));
                    (home, Content::Row(row))
                }
            };
            step[partition].push(content);
        }
        log.push(step);
    }
    log
}

fn row(place: i64, partition: usize, key: &Key, shift: i64, future: bool, no_time: bool, values: &Values) -> Row {
    let time = if future { CLOCK + 7_200_000_000 + place } else { START + (place + shift) * GRAIN };
    Row {
        seq: place,
        key: match key {
            Key::Own(k) => Some(format!("{partition}-{k}")),
            Key::Once => Some(format!("once-{place}")),
            Key::Null => None,
        },
        time: (!no_time).then_some(time),
        region: REGIONS[values.region],
        amount: values.amount.map(|quarters| f64::from(quarters) / 4.0),
        qty: values.qty,
        cents: values.cents,
        nested: values.nested.clone(),
        code: CODES[values.code],
        w: LETTERS[values.w],
    }
}

fn malformed(kind: u8) -> Content {
    let values = Values { cents: 1, ..Values::default() };
    let sound = encode(&row(1, 0, &Key::Once, 0, false, false, &values), 1);
    let (bytes, class) = match kind {
        0 => (Vec::new(), "INCOMPLETE_HEADER"),
        1 => (b"{\"seq\": 1}".to_vec(), "INVALID_MAGIC_BYTE"),
        2 => (sound[..sound.len() - 2].to_vec(), "TRUNCATED"),
        3 => ([sound.as_slice(), &[0]].concat(), "TRAILING_BYTES"),
        4 => {
            let mut bytes = sound;
            bytes[1..5].copy_from_slice(&77u32.to_be_bytes());
            (bytes, "UNKNOWN_SCHEMA_ID")
        }
        _ => {
            let mut bytes = sound;
            // After `seq`, one byte for 1, stands the branch of `key`.
            bytes[6] = 8;
            (bytes, "INVALID_UNION_BRANCH")
        }
    };
    Content::Malformed(bytes, class)
}

/// The framed value of a row.
pub fn encode(row: &Row, schema_id: u32) -> Vec<u8> {
    let mut out = vec![0];
    out.extend(schema_id.to_be_bytes());
    long(row.seq, &mut out);
    option(row.key.as_ref(), &mut out, |key, out| bytes(key.as_bytes(), out));
    option(row.time.as_ref(), &mut out, |time, out| long(*time, out));
    bytes(row.region.as_bytes(), &mut out);
    option(row.amount.as_ref(), &mut out, |amount, out| out.extend(amount.to_le_bytes()));
    option(row.qty.as_ref(), &mut out, |qty, out| long(i64::from(*qty), out));
    let cents = row.cents.to_be_bytes();
    long(8, &mut out);
    out.extend(cents);
    let double = |at: usize, out: &mut Vec<u8>| out.extend(RATIOS[at].to_le_bytes());
    let Nested { ratio, place, tags, scores } = &row.nested;
    option(ratio.as_ref(), &mut out, |ratio, out| double(*ratio, out));
    bytes(CITIES[place.0].as_bytes(), &mut out);
    double(place.1, &mut out);
    block(tags, &mut out, |tag, out| bytes(LETTERS[*tag].as_bytes(), out));
    block(scores, &mut out, |(letter, ratio), out| {
        bytes(LETTERS[*letter].as_bytes(), out);
        double(*ratio, out);
    });
    bytes(row.code.as_bytes(), &mut out);
    bytes(row.w.as_bytes(), &mut out);
    out
}

fn block<T>(items: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    if !items.is_empty() {
        long(i64::try_from(items.len()).unwrap(), out);
        items.iter().for_each(|item| write(item, out));
    }
    out.push(0);
}

fn option<T>(value: Option<&T>, out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    match value {
        None => out.push(0),
        Some(value) => {
            out.push(2);
            write(value, out);
        }
    }
}
