//! Splits rows by hive folder.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, partition};
use arrow::datatypes::{DataType, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::{LakeError, Result};
use crate::layout;
use crate::parquet::gather::{Run, push_run};

/// The partition columns of a table.
#[derive(Debug, Clone)]
pub(crate) struct Partitioning {
    /// Name and position in the table's schema, in the order of the folders.
    columns: Vec<(String, usize)>,
}

impl Partitioning {
    /// Checks the partition columns of the table at `location`.
    pub(crate) fn try_new(location: &Path, schema: &Schema, partitioned_by: Vec<String>) -> Result<Self> {
        let refuse = |column: &str, reason: String| LakeError::Column {
            location: location.to_path_buf(),
            column: column.to_owned(),
            reason,
        };
        let mut columns: Vec<(String, usize)> = Vec::with_capacity(partitioned_by.len());
        for name in partitioned_by {
            let Some((position, field)) = schema.column_with_name(&name) else {
                return Err(refuse(&name, "a partition column must be a column of the table".to_owned()));
            };
            if columns.iter().any(|(other, _)| *other == name) {
                return Err(refuse(&name, "it is named twice in PARTITIONED BY".to_owned()));
            }
            if !layout::is_partition_column(&name) {
                return Err(refuse(
                    &name,
                    "a partition column becomes a folder's name: it may not start with _ or . (readers hide those), and \
                     may hold letters, digits, -, _, . and ~ only; give it another name with AS"
                        .to_owned(),
                ));
            }
            if !can_partition(field.data_type()) {
                return Err(refuse(
                    &name,
                    format!(
                        "rows cannot be partitioned by values of type {}; cast it to a date, a timestamp, a number \
                         without exponent or text",
                        field.data_type()
                    ),
                ));
            }
            columns.push((name, position));
        }
        if columns.len() == schema.fields().len() {
            let last = columns.last().map(|(name, _)| name.clone()).unwrap_or_default();
            return Err(refuse(&last, "a table needs a column that is not a partition column".to_owned()));
        }
        Ok(Self { columns })
    }

    /// The names of the columns, in the order of the folders.
    pub(crate) fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// The positions of the columns that are written into files.
    pub(crate) fn file_columns(&self, schema: &Schema) -> Vec<usize> {
        (0..schema.fields().len()).filter(|i| self.columns.iter().all(|(_, position)| position != i)).collect()
    }

    /// Folder, relative to `location` and without a slash at its end, to its rows in order. One entry with an empty
    /// folder if there are no partition columns.
    pub(crate) fn split(&self, location: &Path, rows: &[RecordBatch]) -> Result<BTreeMap<String, Vec<Run>>> {
        let mut split =
            Split { partitioning: self, location, known: HashMap::new(), named: HashMap::new(), folders: Vec::new() };
        let mut converter = None;
        for (batch, rows) in rows.iter().enumerate().filter(|(_, rows)| rows.num_rows() > 0) {
            if self.columns.is_empty() {
                split.whole(Run { batch, start: 0, len: rows.num_rows() });
                continue;
            }
            let mut values: Vec<ArrayRef> =
                self.columns.iter().map(|(_, position)| plain(rows.column(*position))).collect::<Result<_, _>>()?;
            let ranges = partition(&values)?.ranges();
            if ranges.len() == 1 {
                // The common case, one date in all rows: look at the first row only.
                values = values.iter().map(|v| v.slice(0, 1)).collect();
            }
            if converter.is_none() {
                let fields = values.iter().map(|v| SortField::new(v.data_type().clone())).collect();
                converter = Some(RowConverter::new(fields)?);
            }
            let Some(converter) = converter.as_ref() else { continue };
            let keys = converter.convert_columns(&values)?;
            for range in ranges {
                let run = Run { batch, start: range.start, len: range.len() };
                split.add(keys.row(range.start).as_ref(), &values, run)?;
            }
        }
        Ok(split.folders.into_iter().collect())
    }
}

/// Folders found so far.
struct Split<'a> {
    partitioning: &'a Partitioning,
    location: &'a Path,
    /// Encoded values to the position in `folders`; several may share one (NULL and the empty text do).
    known: HashMap<Box<[u8]>, usize>,
    /// Folder to its position in `folders`.
    named: HashMap<String, usize>,
    folders: Vec<(String, Vec<Run>)>,
}

impl Split<'_> {
    fn whole(&mut self, run: Run) {
        if self.folders.is_empty() {
            self.folders.push((String::new(), Vec::new()));
        }
        if let Some((_, runs)) = self.folders.first_mut() {
            push_run(runs, run);
        }
    }

    fn add(&mut self, key: &[u8], values: &[ArrayRef], run: Run) -> Result<()> {
        let at = if let Some(at) = self.known.get(key) {
            *at
        } else {
            let folder = self.folder(values, run.start)?;
            let next = self.folders.len();
            let at = *self.named.entry(folder.clone()).or_insert(next);
            if at == next {
                self.folders.push((folder, Vec::new()));
            }
            self.known.insert(key.into(), at);
            at
        };
        if let Some((_, runs)) = self.folders.get_mut(at) {
            push_run(runs, run);
        }
        Ok(())
    }

    fn folder(&self, values: &[ArrayRef], row: usize) -> Result<String> {
        let mut path = String::new();
        for ((column, _), array) in self.partitioning.columns.iter().zip(values) {
            if !path.is_empty() {
                path.push('/');
            }
            let before = path.len();
            let value = if array.is_null(row) { None } else { Some(text_of(array, row)?) };
            layout::push_folder(&mut path, column, value.as_deref());
            let bytes = path.len() - before;
            if bytes > layout::MAX_NAME_BYTES {
                return Err(LakeError::LongPartitionValue {
                    location: self.location.to_path_buf(),
                    column: column.clone(),
                    bytes,
                    limit: layout::MAX_NAME_BYTES,
                });
            }
        }
        Ok(path)
    }
}

/// Whether values of this type have one plain text form that readers take back.
fn can_partition(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => can_partition(values),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean => true,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => true,
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) => *scale >= 0,
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => *scale >= 0,
        other => other.is_integer(),
    }
}

/// `array` without a dictionary around its values.
fn plain(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Dictionary(_, values) => cast(array, values),
        _ => Ok(ArrayRef::clone(array)),
    }
}

/// The text of a value that is not NULL: dates as `2026-01-31`, timestamps as `2026-01-31 10:15:00[.ffffff]` in UTC,
/// decimals with all digits of their scale, as Spark and DuckDB write and infer them.
fn text_of(array: &ArrayRef, row: usize) -> Result<String, ArrowError> {
    let bad = || ArrowError::CastError(format!("a partition value of type {} out of range", array.data_type()));
    let days = |days: i64| -> Option<String> {
        let date = chrono::DateTime::from_timestamp(days.checked_mul(86_400)?, 0)?;
        Some(date.format("%Y-%m-%d").to_string())
    };
    match array.data_type() {
        DataType::Date32 => {
            let value = array.as_primitive::<arrow::datatypes::Date32Type>().value(row);
            days(i64::from(value)).ok_or_else(bad)
        }
        DataType::Date64 => {
            let value = array.as_primitive::<arrow::datatypes::Date64Type>().value(row);
            days(value.div_euclid(86_400_000)).ok_or_else(bad)
        }
        DataType::Timestamp(unit, _) => {
            let raw = cast(&array.slice(row, 1), &DataType::Int64)?;
            let raw = raw.as_primitive::<arrow::datatypes::Int64Type>().value(0);
            timestamp_text(raw, *unit).ok_or_else(bad)
        }
        _ => {
            let options = FormatOptions::default();
            Ok(ArrayFormatter::try_new(array.as_ref(), &options)?.value(row).try_to_string()?)
        }
    }
}

fn timestamp_text(raw: i64, unit: TimeUnit) -> Option<String> {
    let (per_second, digits) = match unit {
        TimeUnit::Second => (1, 0),
        TimeUnit::Millisecond => (1_000, 3),
        TimeUnit::Microsecond => (1_000_000, 6),
        TimeUnit::Nanosecond => (1_000_000_000, 9),
    };
    let mut text =
        chrono::DateTime::from_timestamp(raw.div_euclid(per_second), 0)?.format("%Y-%m-%d %H:%M:%S").to_string();
    let fraction = raw.rem_euclid(per_second);
    if fraction != 0 {
        let fraction = format!("{fraction:0digits$}");
        text.push('.');
        text.push_str(fraction.trim_end_matches('0'));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::sync::Arc;

    use super::*;
    use arrow::array::{BooleanArray, Date32Array, Decimal128Array, TimestampMicrosecondArray, UInt8Array};
    use arrow::datatypes::Field;

    fn text(array: impl Array + 'static) -> String {
        text_of(&(Arc::new(array) as ArrayRef), 0).unwrap()
    }

    #[test]
    fn values_are_written_as_spark_and_duckdb_write_them() {
        assert_eq!(text(Date32Array::from(vec![20_000])), "2024-10-04");
        assert_eq!(text(Date32Array::from(vec![-1])), "1969-12-31");
        let micros = 1_728_036_900_000_000;
        let at = |v| TimestampMicrosecondArray::from(vec![v]).with_timezone("UTC");
        assert_eq!(text(at(micros)), "2024-10-04 10:15:00");
        assert_eq!(text(at(micros + 120_000)), "2024-10-04 10:15:00.12");
        assert_eq!(text(at(-1)), "1969-12-31 23:59:59.999999");
        let decimal = Decimal128Array::from(vec![1250]).with_precision_and_scale(9, 2).unwrap();
        assert_eq!(text(decimal), "12.50");
        assert_eq!(text(BooleanArray::from(vec![true])), "true");
        assert_eq!(text(UInt8Array::from(vec![7])), "7");
    }

    #[test]
    fn columns_that_make_no_folder_are_refused_by_name() {
        let schema = Schema::new(vec![
            Field::new("_hidden", DataType::Utf8, false),
            Field::new("f", DataType::Float64, false),
            Field::new("a", DataType::Utf8, false),
        ]);
        for (by, says) in [
            (vec!["_hidden"], "start with _"),
            (vec!["f"], "Float64"),
            (vec!["nope"], "must be a column"),
            (vec!["a", "a"], "twice"),
        ] {
            let by: Vec<String> = by.into_iter().map(str::to_owned).collect();
            let error = Partitioning::try_new(Path::new("/t"), &schema, by).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
        let all =
            Partitioning::try_new(Path::new("/t"), &Schema::new(vec![schema.field(2).clone()]), vec!["a".to_owned()]);
        assert!(all.unwrap_err().to_string().contains("not a partition column"));
    }
}
