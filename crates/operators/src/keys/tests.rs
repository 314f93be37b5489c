#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::*;
use proptest::prelude::*;

use super::*;

fn encoding(column: &ArrayRef) -> Vec<Vec<u8>> {
    encodings("t", std::slice::from_ref(column), column.len()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// One column of every type, with values at which an encoding could go wrong.
fn vectors() -> Vec<(&'static str, ArrayRef)> {
    let micros = |values: Vec<Option<i64>>| TimestampMicrosecondArray::from(values);
    let list = |item: ArrayRef, lengths: Vec<usize>, nulls: Vec<bool>| -> ArrayRef {
        let field = Arc::new(Field::new("item", item.data_type().clone(), true));
        Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), item, Some(NullBuffer::from(nulls))))
    };
    vec![
        ("null", Arc::new(NullArray::new(1))),
        ("boolean", Arc::new(BooleanArray::from(vec![Some(false), Some(true), None]))),
        ("int8", Arc::new(Int8Array::from(vec![Some(-1), Some(5), None]))),
        ("int32", Arc::new(Int32Array::from(vec![-1, 5, i32::MIN]))),
        ("int64", Arc::new(Int64Array::from(vec![Some(-1), Some(5), Some(i64::MIN), Some(i64::MAX), None]))),
        ("uint64", Arc::new(UInt64Array::from(vec![5, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX]))),
        ("float32", Arc::new(Float32Array::from(vec![0.5, -0.0, f32::NAN, f32::INFINITY]))),
        ("float64", Arc::new(Float64Array::from(vec![0.5, -0.0, 0.0, -f64::NAN, f64::NEG_INFINITY, 1e300]))),
        (
            "utf8",
            Arc::new(StringArray::from(vec![
                Some(""),
                Some("a"),
                Some("Zürich"),
                Some("0d6a4a6e-4e0c-4f0b-9d6e-3f3c2b1a0f9e"),
                None,
            ])),
        ),
        ("utf8 of 200", Arc::new(StringArray::from(vec!["x".repeat(200)]))),
        ("binary", Arc::new(BinaryArray::from(vec![&b""[..], &[0, 255]]))),
        (
            "decimal128(9,2)",
            Arc::new(
                Decimal128Array::from(vec![0, 1, -1, 127, 128, -128, -129, 99_999])
                    .with_precision_and_scale(9, 2)
                    .unwrap(),
            ),
        ),
        (
            "decimal128(38,0)",
            Arc::new(
                Decimal128Array::from(vec![i128::MAX / 2, i128::MIN / 2]).with_precision_and_scale(38, 0).unwrap(),
            ),
        ),
        (
            "timestamp us utc",
            Arc::new(micros(vec![Some(1_700_000_000_123_456), Some(-1), Some(0), None]).with_timezone("UTC")),
        ),
        ("timestamp ns", Arc::new(TimestampNanosecondArray::from(vec![-1, 1]))),
        ("date32", Arc::new(Date32Array::from(vec![0, -1, 20_000]))),
        ("time64 us", Arc::new(Time64MicrosecondArray::from(vec![0, 86_399_999_999]))),
        ("duration ms", Arc::new(DurationMillisecondArray::from(vec![-1, 1_500]))),
        ("interval months", Arc::new(IntervalYearMonthArray::from(vec![14]))),
        ("interval day time", Arc::new(IntervalDayTimeArray::from(vec![IntervalDayTime::new(-1, 2)]))),
        (
            "interval month day nano",
            Arc::new(IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(1, -2, 3)])),
        ),
        (
            "list of int32",
            list(
                Arc::new(Int32Array::from(vec![Some(1), None, Some(2)])),
                vec![2, 0, 0, 1],
                vec![true, true, false, true],
            ),
        ),
        ("struct", Arc::new(structs())),
        ("map", Arc::new(maps(&[&[("b", 2), ("a", 1)], &[]]))),
    ]
}

fn structs() -> StructArray {
    let fields = Fields::from(vec![Field::new("a", DataType::Utf8, true), Field::new("b", DataType::Int64, true)]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![Some("x"), None, Some("y")])),
        Arc::new(Int64Array::from(vec![Some(1), None, Some(2)])),
    ];
    StructArray::new(fields, columns, Some(NullBuffer::from(vec![true, true, false])))
}

fn maps(rows: &[&[(&str, i64)]]) -> MapArray {
    let mut builder = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for row in rows {
        for (key, value) in *row {
            builder.keys().append_value(key);
            builder.values().append_value(*value);
        }
        builder.append(true).unwrap();
    }
    builder.finish()
}

/// The vectors of version 1 as text: type, row, encoding, key.
fn golden() -> String {
    let mut text = String::new();
    for (name, column) in vectors() {
        let keys = keys("t", std::slice::from_ref(&column), column.len()).unwrap();
        for (row, (bytes, key)) in encoding(&column).iter().zip(keys).enumerate() {
            writeln!(text, "{name} | {row} | {} | {key:032x}", hex(bytes)).unwrap();
        }
    }
    text
}

#[test]
fn version_1_is_as_it_was_committed() {
    let committed = include_str!("../../tests/keys_v1.txt");
    assert_eq!(VERSION, 1);
    // A difference breaks every checkpoint there is: make a new version instead.
    assert!(golden() == committed, "the key encoding has changed; it is now:\n{}", golden());
}

#[test]
fn encodings_are_what_the_table_says() {
    let utf8: ArrayRef = Arc::new(StringArray::from(vec![Some("ab"), Some(""), None]));
    assert_eq!(encoding(&utf8), [vec![5, 2, b'a', b'b'], vec![5, 0], vec![0]]);
    let long: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(300)]));
    assert_eq!(encoding(&long)[0][..3], [5, 0xac, 0x02]);
    let decimal: ArrayRef = Arc::new(Decimal128Array::from(vec![128, -128]).with_precision_and_scale(9, 2).unwrap());
    assert_eq!(encoding(&decimal), [vec![7, 2, 2, 0x80, 0], vec![7, 2, 1, 0x80]]);
    let before: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![-1]));
    let mut expected = vec![8];
    expected.extend((-1i64).to_le_bytes());
    expected.extend(999_000_000u32.to_le_bytes());
    assert_eq!(encoding(&before)[0], expected);
}

/// Both columns encode alike, row by row.
fn alike(one: &ArrayRef, two: &ArrayRef) {
    assert_eq!(encoding(one), encoding(two), "{} and {}", one.data_type(), two.data_type());
}

#[test]
fn values_are_encoded_by_what_they_are_not_how_they_are_stored() {
    let text: ArrayRef =
        Arc::new(StringArray::from(vec![Some("a"), None, Some("a long text, beyond what a view holds")]));
    let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    for layout in [DataType::LargeUtf8, DataType::Utf8View, dictionary] {
        alike(&text, &cast(&text, &layout).unwrap());
    }
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![&b"ab"[..], &b"cd"[..]]));
    for layout in [DataType::LargeBinary, DataType::BinaryView, DataType::FixedSizeBinary(2)] {
        alike(&bytes, &cast(&bytes, &layout).unwrap());
    }
    let small: ArrayRef = Arc::new(Int8Array::from(vec![Some(-7), None, Some(7)]));
    for wider in [DataType::Int16, DataType::Int32, DataType::Int64] {
        alike(&small, &cast(&small, &wider).unwrap());
    }
    let unsigned: ArrayRef = Arc::new(UInt8Array::from(vec![7, 255]));
    alike(&unsigned, &cast(&unsigned, &DataType::UInt64).unwrap());
    alike(&unsigned, &cast(&unsigned, &DataType::Int64).unwrap());
    let float: ArrayRef = Arc::new(Float32Array::from(vec![0.1, -0.0]));
    alike(&float, &cast(&float, &DataType::Float64).unwrap());
    let decimal: ArrayRef = Arc::new(Decimal128Array::from(vec![-12_345, 0]).with_precision_and_scale(9, 2).unwrap());
    for wider in [DataType::Decimal32(9, 2), DataType::Decimal64(18, 2), DataType::Decimal256(40, 2)] {
        alike(&decimal, &cast(&decimal, &wider).unwrap());
    }
    let instant: ArrayRef = Arc::new(TimestampSecondArray::from(vec![-3, 3]));
    let zoned = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    for finer in [DataType::Timestamp(TimeUnit::Microsecond, None), zoned] {
        alike(&instant, &cast(&instant, &finer).unwrap());
    }
    let date: ArrayRef = Arc::new(Date32Array::from(vec![-3, 3]));
    alike(&date, &cast(&date, &DataType::Date64).unwrap());
    let time: ArrayRef = Arc::new(Time32SecondArray::from(vec![3]));
    alike(&time, &cast(&time, &DataType::Time64(TimeUnit::Nanosecond)).unwrap());
}

#[test]
fn lists_are_encoded_alike_in_every_layout() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), None]),
        Some(vec![Some(3), Some(4)]),
    ]);
    let item = Arc::new(Field::new_list_field(DataType::Int32, true));
    let list: ArrayRef = Arc::new(list);
    alike(&list, &cast(&list, &DataType::LargeList(Arc::clone(&item))).unwrap());
    alike(&list, &cast(&list, &DataType::FixedSizeList(Arc::clone(&item), 2)).unwrap());
    let views = ListViewArray::from(list.as_list::<i32>().clone());
    alike(&list, &(Arc::new(views) as ArrayRef));
}

#[test]
fn slices_runs_and_unions_are_encoded_by_their_values() {
    for (_, column) in vectors() {
        for from in 0..column.len() {
            let slice = column.slice(from, column.len() - from);
            assert_eq!(encoding(&slice), encoding(&column)[from..], "{}", column.data_type());
        }
    }
    let runs: ArrayRef = Arc::new(["a", "a", "b"].into_iter().collect::<Int32RunArray>());
    alike(&runs, &(Arc::new(StringArray::from(vec!["a", "a", "b"])) as ArrayRef));
    alike(&runs.slice(1, 2), &(Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef));
    let mut union = UnionBuilder::new_dense();
    union.append::<Int32Type>("a", 1).unwrap();
    union.append::<Float64Type>("b", 1.0).unwrap();
    let union: ArrayRef = Arc::new(union.build().unwrap());
    let encoded = encoding(&union);
    assert_eq!(encoded[0][..3], [0x12, 0, 2]);
    assert_eq!(encoded[1][..3], [0x12, 1, 4]);
}

#[test]
fn what_is_equal_has_one_encoding() {
    let floats: ArrayRef =
        Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN, f64::from_bits(0x7ff0_0000_0000_0001)]));
    let encoded = encoding(&floats);
    assert_eq!(encoded[0], encoded[1]);
    assert!(encoded[2] == encoded[3] && encoded[3] == encoded[4]);
    let maps: ArrayRef = Arc::new(maps(&[&[("b", 2), ("a", 1)], &[("a", 1), ("b", 2)], &[("a", 2), ("b", 1)]]));
    let encoded = encoding(&maps);
    assert_eq!(encoded[0], encoded[1], "a map has no order");
    assert_ne!(encoded[0], encoded[2]);
}

#[test]
fn the_fast_paths_give_what_the_slow_one_gives() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["", "a", "Zürich", &"y".repeat(1_000)]));
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![0, -1, i64::MIN, i64::MAX]));
    for column in [text, numbers] {
        let slow: Vec<u128> = encoding(&column).iter().map(|bytes| xxh3_128(bytes)).collect();
        assert_eq!(keys("t", std::slice::from_ref(&column), 4).unwrap(), slow);
        assert_eq!(keys("t", &[column.slice(1, 2)], 2).unwrap(), slow[1..3]);
    }
}

#[test]
fn no_columns_make_one_key() {
    let same = keys("t", &[], 3).unwrap();
    assert!(same.len() == 3 && same[0] == same[1] && same[1] == same[2]);
}

proptest! {
    /// Two rows have one encoding if and only if their values are equal, wherever the border between columns lies.
    #[test]
    fn different_rows_have_different_encodings(
        one in prop::collection::vec((prop::option::of("[ab\u{0}\u{5}]{0,3}"), prop::option::of(-1i64..2)), 1..8),
    ) {
        let text: ArrayRef = Arc::new(one.iter().map(|(s, _)| s.as_deref()).collect::<StringArray>());
        let more: ArrayRef = Arc::new(one.iter().rev().map(|(s, _)| s.as_deref()).collect::<StringArray>());
        let number: ArrayRef = Arc::new(one.iter().map(|(_, n)| *n).collect::<Int64Array>());
        let encoded = encodings("t", &[text, more, number], one.len()).unwrap();
        let row = |at: usize| (&one[at].0, &one[one.len() - 1 - at].0, one[at].1);
        for a in 0..one.len() {
            for b in 0..one.len() {
                prop_assert_eq!(row(a) == row(b), encoded[a] == encoded[b]);
            }
        }
    }
}
