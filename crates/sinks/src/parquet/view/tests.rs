//! What the view makes of names, values and columns.

use sluicebox_core::{Clock, SystemClock};

use super::*;

#[test]
fn words_for_types_come_back() {
    let timestamp = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
    for data_type in [
        DataType::Boolean,
        DataType::Int8,
        DataType::Int64,
        DataType::Utf8,
        DataType::Date32,
        timestamp(None),
        timestamp(Some("UTC")),
        DataType::Decimal128(9, 2),
    ] {
        assert_eq!(word_of(&data_type).as_deref().and_then(type_of), Some(data_type));
    }
    assert_eq!(word_of(&DataType::Null), None);
    assert_eq!(type_of("decimal"), None);
}

#[test]
fn what_would_not_be_written_so_as_a_number_is_text() {
    for (value, is) in [
        ("1", DataType::Int64),
        ("-5", DataType::Int64),
        ("0", DataType::Int64),
        ("001", DataType::Utf8),
        ("-", DataType::Utf8),
        ("2026-01-31", DataType::Date32),
        ("2026-1-31", DataType::Utf8),
        ("1.5", DataType::Utf8),
    ] {
        assert_eq!(guess(value), is, "{value}");
    }
}

#[test]
fn types_of_files_that_grew_are_put_together() {
    let named = |name: &str, t| Arc::new(Field::new(name, t, false));
    let structure = |fields: Vec<FieldRef>| DataType::Struct(fields.into());
    let old = structure(vec![named("a", DataType::Int32)]);
    let new = structure(vec![named("b", DataType::Utf8), named("a", DataType::Int64)]);
    let both = structure(vec![named("a", DataType::Int64), Arc::new(Field::new("b", DataType::Utf8, true))]);
    assert_eq!(together(&old, &new), Some(both));
    let millis = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(together(&millis, &micros), Some(micros));
    assert_eq!(together(&DataType::Decimal128(10, 2), &DataType::Decimal128(9, 4)), Some(DataType::Decimal128(12, 4)));
    assert_eq!(together(&DataType::Utf8, &DataType::Int32), None);
}

fn fields(names: impl Iterator<Item = usize>) -> Fields {
    names.map(|n| Field::new(format!("column_{n:05}"), DataType::Int32, false)).collect()
}

/// Files are others' too: what looks for each column among all takes half a minute here.
#[test]
fn many_columns_of_several_files_are_found_by_name() {
    let footer = |name: &str, columns| Footer { path: PathBuf::from(name), bytes: 1, columns, told: None };
    let footers = [footer("/t/a.parquet", fields(0..60_000)), footer("/t/b.parquet", fields((1..60_001).rev()))];
    let clock = SystemClock::new();
    let found = columns(Path::new("/t"), &footers, &[]).unwrap_or_else(|e| unreachable!("{e}"));
    assert!(clock.monotonic().as_secs() < 12, "{:?}", clock.monotonic());
    let all: Fields = fields(0..60_001).iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    assert_eq!(found, all);
}

#[test]
fn many_fields_of_a_struct_are_found_by_name() {
    let (a, b) = (DataType::Struct(fields(0..50_000)), DataType::Struct(fields((1..50_001).rev())));
    let clock = SystemClock::new();
    let both = together(&a, &b);
    assert!(clock.monotonic().as_secs() < 12, "{:?}", clock.monotonic());
    let Some(DataType::Struct(both)) = both else { unreachable!() };
    let nullable: Vec<bool> = both.iter().map(|f| f.is_nullable()).collect();
    assert_eq!((both.len(), nullable[0], nullable[1], nullable[50_000]), (50_001, true, false, true));
}
