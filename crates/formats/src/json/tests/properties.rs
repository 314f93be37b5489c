//! Properties over random rows, written by serde_json, and random bytes.

use std::collections::BTreeMap;

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use arrow::datatypes::{DataType, Field};
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Map, Value as Json, json};

use super::{batch, column, list, map, of, one, record, timestamp};
use crate::ErrorClass;
use crate::json::reader::Reader;
use crate::json::time;
use crate::json::{Extra, JsonOptions, RESCUED, Timestamps};
use crate::limits::Limits;
use crate::testing::{letters, rows};

/// A row; what is `None` is NULL, or missing.
#[derive(Debug, Clone)]
struct Row {
    id: i64,
    flag: Option<bool>,
    small: Option<i16>,
    real: Option<f64>,
    text: Option<String>,
    cents: Option<i64>,
    micros: Option<i64>,
    list: Option<Vec<Option<i32>>>,
    map: Option<BTreeMap<String, Option<String>>>,
    nested: Option<(Option<String>, Vec<f32>)>,
}

fn a_row() -> impl Strategy<Value = Row> {
    let finite = any::<f64>().prop_filter("finite", |value| value.is_finite());
    let single = any::<f32>().prop_filter("finite", |value| value.is_finite());
    let simple = (
        any::<i64>(),
        any::<Option<bool>>(),
        any::<Option<i16>>(),
        prop::option::of(finite),
        prop::option::of(".{0,20}"),
        prop::option::of(-99_999_999_i64..=99_999_999),
        prop::option::of(-8_000_000_000_000_000_000_i64..=8_000_000_000_000_000_000),
    );
    let nested = (
        prop::option::of(prop::collection::vec(any::<Option<i32>>(), 0..4)),
        prop::option::of(prop::collection::btree_map(".{0,6}", prop::option::of(".{0,6}"), 0..4)),
        prop::option::of((prop::option::of(".{0,6}"), prop::collection::vec(single, 0..3))),
    );
    (simple, nested).prop_map(|((id, flag, small, real, text, cents, micros), (list, map, nested))| Row {
        id,
        flag,
        small,
        real,
        text,
        cents,
        micros,
        list,
        map,
        nested,
    })
}

fn columns() -> Vec<Field> {
    vec![
        Field::new("id", DataType::Int64, false),
        column("flag", DataType::Boolean),
        column("small", DataType::Int16),
        column("real", DataType::Float64),
        column("text", DataType::Utf8),
        column("price", DataType::Decimal128(8, 2)),
        column("at", timestamp(Some("UTC"))),
        column("list", list(DataType::Int32)),
        column("map", map(DataType::Utf8)),
        column("nested", record(vec![column("name", DataType::Utf8), column("floats", list(DataType::Float32))])),
    ]
}

impl Row {
    /// As a producer writes it: fields in an order that `seed` chooses, NULL as null or not at all, with others among them.
    fn event(&self, seed: u64) -> Vec<u8> {
        let decimal = |cents: i64| {
            let text = format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100);
            if seed.is_multiple_of(2) { Json::String(text) } else { serde_json::from_str(&text).unwrap_or(Json::Null) }
        };
        let nested = self.nested.as_ref().map(|(name, floats)| json!({"floats": floats, "more": {}, "name": name}));
        let mut fields = vec![
            ("id", json!(self.id)),
            ("flag", json!(self.flag)),
            ("small", json!(self.small)),
            ("real", json!(self.real)),
            ("text", json!(self.text)),
            ("price", self.cents.map_or(Json::Null, decimal)),
            ("at", json!(self.micros)),
            ("list", json!(self.list)),
            ("map", json!(self.map)),
            ("nested", nested.unwrap_or_default()),
            ("extra", json!([{"a": [seed]}, "é\u{1}"])),
        ];
        let by = usize::try_from(seed % 11).unwrap_or_default();
        fields.rotate_left(by);
        let kept = fields.into_iter().filter(|(_, value)| !value.is_null() || seed.is_multiple_of(3));
        let object: Map<String, Json> = kept.map(|(name, value)| (name.to_owned(), value)).collect();
        let object = Json::Object(object);
        let written =
            if seed.is_multiple_of(5) { serde_json::to_vec_pretty(&object) } else { serde_json::to_vec(&object) };
        written.unwrap_or_default()
    }

    /// As the tests show a decoded row.
    fn decoded(&self) -> Json {
        let nested = self.nested.as_ref().map(|(name, floats)| {
            json!({"name": name, "floats": floats.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>()})
        });
        let real = |value: f64| format!("{value:?}");
        json!({
            "id": self.id, "flag": self.flag, "small": self.small, "real": self.real.map(real), "text": self.text,
            "price": self.cents.map(|cents| cents.to_string()), "at": self.micros, "list": self.list, "map": self.map,
            "nested": nested,
        })
    }
}

fn options(extra: Extra) -> JsonOptions {
    JsonOptions { extra, timestamps: Timestamps::EpochMicros, ..JsonOptions::default() }
}

proptest! {
    #[test]
    fn what_serde_json_writes_is_read_as_what_it_was(
        written in prop::collection::vec((a_row(), any::<u64>()), 1..8),
    ) {
        let events: Vec<Vec<u8>> = written.iter().map(|(row, seed)| row.event(*seed)).collect();
        let decoded = batch(&of(columns(), &options(Extra::Ignore)), &events);
        prop_assert!(letters(&decoded).is_empty());
        let expected: Vec<Json> = written.iter().map(|(row, _)| row.decoded()).collect();
        prop_assert_eq!(rows(&decoded), expected);
        // And what is not declared is there, as it was.
        let rescued = batch(&of(columns(), &options(Extra::Rescue)), &events);
        for (row, (source, seed)) in rows(&rescued).into_iter().zip(&written) {
            let kept: Json = serde_json::from_str(row[RESCUED].as_str().unwrap_or_default()).unwrap_or_default();
            let mut expected = json!({"extra": [{"a": [seed]}, "é\u{1}"]});
            if source.nested.is_some() {
                expected["nested.more"] = json!({});
            }
            prop_assert_eq!(kept, expected);
        }
    }

    /// What serde_json takes for one value is one here, and the other way round; but for names that are there twice, halves of
    /// surrogate pairs, and depth.
    #[test]
    fn what_is_json_is_what_serde_json_says(text in any_json()) {
        let limits = Limits { depth: 100, ..Limits::default() };
        let ours = match std::str::from_utf8(&text) {
            Ok(_) => Reader::new(&text, &limits).only_value().map_err(|fault| fault.class),
            Err(_) => Err(ErrorClass::InvalidUtf8),
        };
        let theirs = serde_json::from_slice::<IgnoredAny>(&text);
        match (&ours, &theirs) {
            (Ok(()), theirs) => prop_assert!(theirs.is_ok(), "{:?}", theirs.as_ref().err()),
            (Err(ErrorClass::NotJson | ErrorClass::SeveralValues), theirs) => prop_assert!(theirs.is_err()),
            (Err(class), _) => {
                let known = [ErrorClass::DuplicateKey, ErrorClass::InvalidUtf8, ErrorClass::TooDeep];
                prop_assert!(known.contains(class), "{class}");
            }
        }
    }

    /// A damaged event costs itself: it is what it is alone, and so are its neighbours.
    #[test]
    fn damage_costs_its_own_event(
        row in a_row(), seed in any::<u64>(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let decoder = of(columns(), &options(Extra::Rescue));
        let event = row.event(seed);
        let mut damaged = event.clone();
        let at = at.index(damaged.len());
        if cut { damaged.truncate(at) } else { damaged[at] = byte }
        let whole = one(&decoder, &event);
        let alone = one(&decoder, &damaged);
        let decoded = batch(&decoder, &[event.clone(), damaged, event]);
        let mut expected = vec![whole.clone(), whole];
        expected.insert(1, alone);
        let good: Vec<Json> = expected.iter().filter_map(|event| event.clone().ok()).collect();
        prop_assert_eq!(rows(&decoded), good);
        let bad: Vec<String> = expected.into_iter().filter_map(|event| event.err().map(|(class, _)| class)).collect();
        prop_assert_eq!(letters(&decoded).into_iter().map(|(_, class)| class).collect::<Vec<_>>(), bad);
    }

    /// Arrow reads every time that is read here as the same.
    #[test]
    fn times_are_those_that_arrow_reads(
        year in 1700_i32..2200, month in 1_u32..=12, day in 1_u32..=31, hour in 0_u32..24, minute in 0_u32..60, second in 0_u32..60,
        fraction in prop::option::of("[0-9]{1,6}"), zone in prop::sample::select(vec!["", "Z", "+01:30", "-11:00"]),
    ) {
        let fraction = fraction.map(|digits| format!(".{digits}")).unwrap_or_default();
        let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}");
        let ours = time::timestamp(text.as_bytes()).map(time::Written::in_utc);
        let theirs = string_to_timestamp_nanos(&text).ok().map(|nanos| nanos.div_euclid(1_000));
        prop_assert_eq!(ours, theirs, "{}", text);
    }
}

/// Texts that are JSON, or nearly so.
fn any_json() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"a\"",
        "\"b\\n\"",
        "\\u00e4",
        "\\ud83d\\ude00",
        "\\",
        "0",
        "-",
        "1.5",
        "e3",
        "true",
        "nul",
        "null",
        "false",
        " ",
        "\n",
        "ä",
        "\u{1}",
        "{\"a\":1}",
        "[1,2]",
        "\"k\":",
        "{}",
        "[]",
    ]);
    let joined = prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat().into_bytes());
    prop_oneof![joined, prop::collection::vec(any::<u8>(), 0..12)]
}
