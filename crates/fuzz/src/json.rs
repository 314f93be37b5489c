//! Events of any bytes, read as JSON into columns of every type.
//!
//! Input: a byte that chooses the options, then values, each preceded by a byte with its length.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use serde::de::IgnoredAny;
use sluicebox_formats::json::{Extra, JsonOptions, Timestamps, decoder};
use sluicebox_formats::{Decoded, DecoderOptions, Limits, SourceDecoder};

use crate::input::{array, events, wait};

fn columns() -> Fields {
    let of = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let list = |item: DataType| DataType::List(Arc::new(Field::new("element", item, true)));
    let pair = Fields::from(vec![Field::new("key", DataType::Utf8, false), of("value", DataType::Int16)]);
    let record = Fields::from(vec![of("x", DataType::Utf8), Field::new("y", DataType::Float64, false)]);
    vec![
        Field::new("id", DataType::Int64, false),
        of("flag", DataType::Boolean),
        of("tiny", DataType::Int8),
        of("real", DataType::Float32),
        of("price", DataType::Decimal128(9, 2)),
        of("name", DataType::Utf8),
        of("bytes", DataType::Binary),
        of("day", DataType::Date32),
        of("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        of("local", DataType::Timestamp(TimeUnit::Microsecond, None)),
        of("tags", list(DataType::Utf8)),
        of("map", DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair), false)), false)),
        of("parts", list(DataType::Struct(record))),
    ]
    .into()
}

fn options(how: u8) -> JsonOptions {
    JsonOptions {
        extra: [Extra::Ignore, Extra::Rescue, Extra::Letter][usize::from(how) % 3],
        timestamps: [Timestamps::Iso8601, Timestamps::EpochSeconds, Timestamps::EpochMillis, Timestamps::EpochMicros]
            [usize::from(how / 3) % 4],
        // Small, so that what one event may cost is met within the length of an input.
        max_depth: 8,
        max_bytes: 200,
    }
}

fn decode(decoder: &SourceDecoder, values: &[Option<Vec<u8>>]) -> Decoded {
    let raw = events(values);
    let prepared = wait(decoder.prepare(std::slice::from_ref(&raw))).unwrap();
    let decoded = decoder.decode(&prepared, std::slice::from_ref(&raw), &[0]).unwrap();
    let rows: usize = decoded.rows.iter().map(RecordBatch::num_rows).sum();
    let tombstones = usize::try_from(decoded.tombstones).unwrap();
    assert_eq!(rows + decoded.dead_letters.num_rows() + tombstones, values.len(), "every event has one fate");
    decoded
}

/// See the top.
pub(crate) fn run(mut input: &[u8]) {
    let [how] = array::<1>(&mut input);
    let limits = Limits { values: 256, ..Limits::default() };
    let decoder = decoder(&DecoderOptions { limits, ..DecoderOptions::new("s") }, &columns(), &options(how)).unwrap();
    let mut values = vec![Some(input.to_vec()), None];
    while !input.is_empty() {
        let [length] = array::<1>(&mut input);
        let (value, rest) = input.split_at(usize::from(length).min(input.len()));
        values.push(Some(value.to_vec()));
        input = rest;
    }
    let together = decode(&decoder, &values);
    let columns = together.rows.first().map_or(0, |rows| rows.num_columns() - 9);
    let (mut row, mut letter) = (0, 0);
    for value in &values {
        let alone = decode(&decoder, std::slice::from_ref(value));
        if let Some(rows) = alone.rows.first() {
            // No event changes what becomes of another.
            for column in 0..columns {
                let among = together.rows[0].column(column).slice(row, 1);
                assert_eq!(&among, rows.column(column), "together and alone");
            }
            row += 1;
            let json = value.as_deref().unwrap_or_default();
            assert!(serde_json::from_slice::<IgnoredAny>(json).is_ok(), "a row is made of JSON");
        }
        letter += alone.dead_letters.num_rows();
    }
    assert_eq!(together.dead_letters.num_rows(), letter, "together and alone");
}
