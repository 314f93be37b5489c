//! Chooses the stored type of a column: one that DuckDB, Spark, pyarrow, pandas and polars read alike.
//!
//! Parquet can hold types that one of these readers rejects. Spark rejects a whole table for one timestamp of nanoseconds; DuckDB rejects a
//! table for a map with a duplicate key. `tests/real/readers_test.py` reads every type with all five.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, StructArray, UInt32Array};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options, take};
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, FieldRef, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};

/// The type in which a column of `data_type` is written; `data_type` itself where all readers take it, or none does.
///
/// - Timestamps are in microseconds, those with a zone in UTC; times of day in microseconds.
/// - Of types that differ only in how they lie in memory there is one: text, binary, list, date, decimal.
/// - What is always NULL is text.
/// - Unsigned numbers get the signed type that holds them all, as Spark reads them; half floats become floats.
#[must_use]
pub fn stored(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time64(TimeUnit::Microsecond),
        DataType::Date64 => DataType::Date32,
        DataType::Null => DataType::Utf8,
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Decimal256(p, s) if *p <= DECIMAL128_MAX_PRECISION => DataType::Decimal128(*p, *s),
        DataType::Dictionary(_, values) => stored(values),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => DataType::List(stored_field(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(stored_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(stored_field(entries), *sorted),
        other => other.clone(),
    }
}

fn stored_field(field: &FieldRef) -> FieldRef {
    let data_type = stored(field.data_type());
    if data_type == *field.data_type() {
        return Arc::clone(field);
    }
    Arc::new(Field::new(field.name(), data_type, field.is_nullable()))
}

/// `rows` with every column in the form in which it is written. A column that cannot be cast stays as it is.
///
/// # Errors
/// When a value has no place in the type that is written, as a number of seconds may in microseconds.
pub fn stored_rows(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = rows.schema_ref();
    let same = schema.fields().iter().all(|f| stored(f.data_type()) == *f.data_type() && !holds_map(f.data_type()));
    if same {
        return Ok(rows.clone());
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let mut fields = Vec::with_capacity(rows.num_columns());
    let mut columns = Vec::with_capacity(rows.num_columns());
    for (field, column) in schema.fields().iter().zip(rows.columns()) {
        let wanted = stored(field.data_type());
        let column = if wanted != *field.data_type() && can_cast_types(field.data_type(), &wanted) {
            cast_with_options(column, &wanted, &options)?
        } else {
            Arc::clone(column)
        };
        let column = last_of_each_key(&column)?;
        fields.push(Field::new(field.name(), column.data_type().clone(), field.is_nullable()));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// Whether there is a map in a column of this type.
#[must_use]
pub fn holds_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) => true,
        DataType::List(f) | DataType::LargeList(f) | DataType::FixedSizeList(f, _) => holds_map(f.data_type()),
        DataType::Struct(fields) => fields.iter().any(|f| holds_map(f.data_type())),
        _ => false,
    }
}

/// `column` with one entry for each key in every map that it holds: where a key is named twice its last value counts.
///
/// # Errors
/// None for a column that is well formed.
pub fn last_of_each_key(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if !holds_map(column.data_type()) {
        return Ok(Arc::clone(column));
    }
    match column.data_type() {
        DataType::Map(..) => {
            let map = unique_keys(column.as_map())?;
            let DataType::Map(entries, sorted) = map.data_type() else { return Ok(Arc::new(map)) };
            let (keys, values) = (last_of_each_key(map.keys())?, last_of_each_key(map.values())?);
            let DataType::Struct(fields) = entries.data_type() else { return Ok(Arc::new(map)) };
            let rows = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
            let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, rows, nulls, *sorted)?))
        }
        DataType::List(item) => {
            let list = column.as_list::<i32>();
            let items = last_of_each_key(list.values())?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, items, nulls)?))
        }
        DataType::Struct(fields) => {
            let of = column.as_struct();
            let members = of.columns().iter().map(last_of_each_key).collect::<Result<Vec<_>, _>>()?;
            let nulls = of.nulls().cloned();
            Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), members, nulls, of.len())?))
        }
        _ => Ok(Arc::clone(column)),
    }
}

/// Entries up to which each is compared with those before it: quicker than to hash so few.
const FEW: usize = 8;

/// `map` with one entry for each key of a row, in the order in which the keys were named first, with the value that was named
/// last. Readers of Avro do so; readers of Parquet refuse the column, or the whole file, for a key that is there twice.
///
/// # Errors
/// None for a map that is well formed.
pub fn unique_keys(map: &MapArray) -> Result<MapArray, ArrowError> {
    let converter = RowConverter::new(vec![SortField::new(map.keys().data_type().clone())])?;
    let ends: Vec<usize> = map.offsets().iter().map(|end| usize::try_from(*end).unwrap_or_default()).collect();
    if !has_repeated(map, &ends, &converter)? {
        return Ok(map.clone());
    }
    let keys = converter.convert_columns(&[Arc::clone(map.keys())])?;
    let mut kept: Vec<u32> = Vec::with_capacity(map.keys().len());
    let mut offsets: Vec<i32> = Vec::with_capacity(ends.len());
    offsets.push(0);
    let mut places: HashMap<OwnedRow, usize> = HashMap::new();
    for (row, pair) in ends.windows(2).enumerate() {
        if let ([from, to], true) = (pair, map.is_valid(row)) {
            places.clear();
            for at in *from..*to {
                let entry = u32::try_from(at).unwrap_or(u32::MAX);
                match places.entry(keys.row(at).owned()) {
                    Entry::Occupied(place) => {
                        if let Some(old) = kept.get_mut(*place.get()) {
                            *old = entry;
                        }
                    }
                    Entry::Vacant(place) => {
                        place.insert(kept.len());
                        kept.push(entry);
                    }
                }
            }
        }
        offsets.push(i32::try_from(kept.len()).unwrap_or(i32::MAX));
    }
    let DataType::Map(field, sorted) = map.data_type() else { return Ok(map.clone()) };
    let entries = take(map.entries(), &UInt32Array::from(kept), None)?;
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    MapArray::try_new(Arc::clone(field), offsets, entries.as_struct().clone(), map.nulls().cloned(), *sorted)
}

/// Whether a row of `map` names a key twice.
fn has_repeated(map: &MapArray, ends: &[usize], converter: &RowConverter) -> Result<bool, ArrowError> {
    if ends.windows(2).all(|pair| matches!(pair, [from, to] if to - from < 2)) {
        return Ok(false);
    }
    if let Some(texts) = map.keys().as_string_opt::<i32>() {
        return Ok(repeats(ends, |at| texts.value(at)));
    }
    let keys = converter.convert_columns(&[Arc::clone(map.keys())])?;
    Ok(repeats(ends, |at| keys.row(at)))
}

fn repeats<K: Eq + std::hash::Hash>(ends: &[usize], key: impl Fn(usize) -> K) -> bool {
    let mut seen: std::collections::HashSet<K> = std::collections::HashSet::new();
    ends.windows(2).any(|pair| {
        let [from, to] = pair else { return false };
        if to - from <= FEW {
            return (*from..*to).any(|at| (*from..at).any(|before| key(before) == key(at)));
        }
        seen.clear();
        (*from..*to).any(|at| !seen.insert(key(at)))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use arrow::array::{Int32Array, StringArray, TimestampNanosecondArray, UInt64Array};
    use proptest::prelude::*;

    use super::*;

    type Rows = Vec<Option<Vec<(String, i32)>>>;

    fn map_of(rows: &Rows) -> MapArray {
        let all: Vec<&(String, i32)> = rows.iter().flatten().flatten().collect();
        let keys = StringArray::from_iter_values(all.iter().map(|(k, _)| k));
        let values = Int32Array::from_iter_values(all.iter().map(|(_, v)| *v));
        let fields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int32, true)];
        let entries = StructArray::try_new(fields.into(), vec![Arc::new(keys), Arc::new(values)], None).unwrap();
        let offsets = OffsetBuffer::from_lengths(rows.iter().map(|r| r.as_ref().map_or(0, Vec::len)));
        let nulls = rows.iter().map(Option::is_some).collect();
        let field = Arc::new(Field::new("entries", entries.data_type().clone(), false));
        MapArray::try_new(field, offsets, entries, Some(nulls), false).unwrap()
    }

    fn rows_of(map: &MapArray) -> Rows {
        let row = |row: usize| {
            map.is_valid(row).then(|| {
                let entries = map.value(row);
                let (keys, values) = (entries.column(0).as_string::<i32>(), entries.column(1));
                let values = values.as_primitive::<arrow::datatypes::Int32Type>();
                (0..entries.len()).map(|i| (keys.value(i).to_owned(), values.value(i))).collect()
            })
        };
        (0..map.len()).map(row).collect()
    }

    /// As a dictionary of Python is filled.
    fn filled(rows: &Rows) -> Rows {
        let one = |entries: &Vec<(String, i32)>| {
            let mut kept: Vec<(String, i32)> = Vec::new();
            for (key, value) in entries {
                match kept.iter_mut().find(|(k, _)| k == key) {
                    Some(entry) => entry.1 = *value,
                    None => kept.push((key.clone(), *value)),
                }
            }
            kept
        };
        rows.iter().map(|r| r.as_ref().map(one)).collect()
    }

    proptest! {
        #[test]
        fn of_a_key_that_is_named_twice_the_last_value_counts(
            rows in prop::collection::vec(
                prop::option::of(prop::collection::vec(("[a-e]{0,2}", 0..9_i32), 0..14)), 0..6)
        ) {
            let map = map_of(&rows);
            prop_assert_eq!(rows_of(&unique_keys(&map).unwrap()), filled(&rows));
            let sliced = map.slice(rows.len() / 2, rows.len() - rows.len() / 2);
            prop_assert_eq!(rows_of(&unique_keys(&sliced).unwrap()), filled(&rows)[rows.len() / 2..].to_vec());
        }
    }

    #[test]
    fn rows_are_cast_to_what_is_written() {
        let instants = TimestampNanosecondArray::from(vec![Some(1_234_567), None]).with_timezone("UTC");
        let rows = RecordBatch::try_from_iter([
            ("n", Arc::new(UInt64Array::from(vec![u64::MAX, 0])) as ArrayRef),
            ("at", Arc::new(instants)),
        ])
        .unwrap();
        let written = stored_rows(&rows).unwrap();
        let decimals = written.column(0).as_primitive::<arrow::datatypes::Decimal128Type>();
        assert_eq!(decimals.values().to_vec(), [i128::from(u64::MAX), 0]);
        let micros = written.column(1).as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
        assert_eq!((micros.value(0), micros.is_null(1)), (1_234, true));
        assert_eq!(stored_rows(&written).unwrap(), written);
    }

    #[test]
    fn what_lies_otherwise_in_memory_is_written_alike() {
        let named = |name: &str, data_type| Field::new(name, data_type, true);
        let ts = |unit, zone: Option<&str>| DataType::Timestamp(unit, zone.map(Into::into));
        let list = |t: DataType| DataType::List(Arc::new(named("item", t)));
        for (is, written) in [
            (ts(TimeUnit::Nanosecond, Some("+02:00")), ts(TimeUnit::Microsecond, Some("UTC"))),
            (ts(TimeUnit::Second, None), ts(TimeUnit::Microsecond, None)),
            (DataType::Time32(TimeUnit::Second), DataType::Time64(TimeUnit::Microsecond)),
            (DataType::UInt8, DataType::Int16),
            (DataType::UInt16, DataType::Int32),
            (DataType::UInt32, DataType::Int64),
            (DataType::UInt64, DataType::Decimal128(20, 0)),
            (DataType::Float16, DataType::Float32),
            (DataType::Decimal256(38, 3), DataType::Decimal128(38, 3)),
            (DataType::Decimal256(39, 3), DataType::Decimal256(39, 3)),
            (DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::LargeUtf8)), DataType::Utf8),
            (
                DataType::LargeList(Arc::new(named("item", ts(TimeUnit::Millisecond, None)))),
                list(ts(TimeUnit::Microsecond, None)),
            ),
            (
                DataType::Struct(vec![named("a", DataType::Utf8View), named("b", DataType::Int8)].into()),
                DataType::Struct(vec![named("a", DataType::Utf8), named("b", DataType::Int8)].into()),
            ),
        ] {
            assert_eq!(stored(&is), written);
            assert_eq!(stored(&written), written, "what is written is read back as it is");
        }
    }
}
