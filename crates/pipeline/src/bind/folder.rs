//! Refuses values of partition columns that change how readers type the column.
//!
//! Readers infer the type of a partition column from its folders: one folder `day=+58804-08-12` turns all dates into text. So a row with
//! such a value counts as one that cannot be computed. It goes where such rows go, with the reason.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Date32Type, FieldRef, TimestampMicrosecondType};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The function's name. Nobody can call it: it is in no session.
pub(super) const PARTITION_VALUE: &str = "partition_value";

/// The first and the last day that every reader takes: of the years 1 and 9999.
const DAYS: (i32, i32) = (-719_162, 2_932_896);
const MICROS_PER_DAY: i64 = 86_400_000_000;
/// The most bytes that a folder's name may have on the usual filesystems.
const MOST_BYTES: usize = 255;

/// How a folder's name says NULL. pyarrow and polars take it so even where a part of it is encoded.
const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// `expr`, an error where its value is none that the folder of `column` can be named by; as it is for types of which all are.
pub(super) fn guarded(expr: Expr, column: &str, data_type: &DataType) -> Expr {
    match data_type {
        DataType::Date32 | DataType::Timestamp(..) | DataType::Utf8 => {
            Arc::new(ScalarUDF::from(PartitionValue::new(column))).call(vec![expr])
        }
        _ => expr,
    }
}

/// What is within the guard, if `expr` is one.
pub(super) fn unguarded(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(f) if f.func.name() == PARTITION_VALUE => f.args.first(),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PartitionValue {
    column: String,
    signature: Signature,
}

impl PartitionValue {
    fn new(column: &str) -> Self {
        Self { column: column.to_owned(), signature: Signature::any(1, Volatility::Immutable) }
    }

    fn check(&self, values: &ArrayRef) -> Result<()> {
        let wrong = match values.data_type() {
            DataType::Date32 => {
                let days = values.as_primitive::<Date32Type>();
                days.iter().flatten().find(|d| !(DAYS.0..=DAYS.1).contains(d)).map(year_of)
            }
            DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _) => {
                let micros = values.as_primitive::<TimestampMicrosecondType>();
                let day = |m: i64| i32::try_from(m.div_euclid(MICROS_PER_DAY)).unwrap_or(i32::MAX);
                micros.iter().flatten().map(day).find(|d| !(DAYS.0..=DAYS.1).contains(d)).map(year_of)
            }
            DataType::Utf8 => {
                let room = MOST_BYTES.saturating_sub(self.column.len() + 1);
                let texts = values.as_string::<i32>();
                if texts.iter().flatten().any(|text| text.eq_ignore_ascii_case(NULL_FOLDER)) {
                    return Err(self.wrong("readers take this text for NULL"));
                }
                let long = texts.iter().flatten().map(encoded_len).find(|bytes| *bytes > room);
                long.map(|bytes| {
                    format!(
                        "it takes {} bytes, of which a folder's name has {MOST_BYTES}",
                        bytes + self.column.len() + 1
                    )
                })
            }
            _ => None,
        };
        match wrong {
            None => Ok(()),
            Some(why) => Err(self.wrong(&why)),
        }
    }

    fn wrong(&self, why: &str) -> DataFusionError {
        DataFusionError::Execution(format!(
            "the value of partition column {} cannot be a folder name: {why}",
            self.column
        ))
    }
}

fn year_of(days: i32) -> String {
    // Days of 400 years; good enough to name a year that is far away.
    let year = 1970 + i64::from(days) * 400 / 146_097;
    format!("it is about the year {year}, and readers take years 1 to 9999")
}

/// Bytes of a text in a folder's name: what is not plain is percent-encoded.
fn encoded_len(text: &str) -> usize {
    let plain = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    text.chars().map(|c| if plain(c) { c.len_utf8() } else { 3 }).sum()
}

impl ScalarUDFImpl for PartitionValue {
    fn name(&self) -> &str {
        PARTITION_VALUE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        arg_types.first().cloned().ok_or_else(|| DataFusionError::Internal("no value to check".to_owned()))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        args.arg_fields.first().cloned().ok_or_else(|| DataFusionError::Internal("no value to check".to_owned()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(value) = args.args.into_iter().next() else {
            return Err(DataFusionError::Internal("no value to check".to_owned()));
        };
        match &value {
            ColumnarValue::Array(values) => self.check(values)?,
            ColumnarValue::Scalar(scalar) => self.check(&scalar.to_array()?)?,
        }
        Ok(value)
    }

    // What is shown, and compared with what an older version made, is the value alone.
    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.first().map(|value| value.schema_name().to_string()).unwrap_or_default())
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.first().map(|value| value.schema_name().to_string()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    fn said(values: Arc<impl Array + 'static>) -> String {
        let values: ArrayRef = values;
        PartitionValue::new("day").check(&values).map_or_else(|e| e.strip_backtrace(), |()| "fine".to_owned())
    }

    #[test]
    fn dates_that_readers_do_not_take_are_errors_and_others_are_not() {
        for days in [DAYS.0, DAYS.1, 0] {
            assert_eq!(said(Arc::new(Date32Array::from(vec![None, Some(days)]))), "fine");
            let micros = i64::from(days) * MICROS_PER_DAY;
            assert_eq!(said(Arc::new(TimestampMicrosecondArray::from(vec![micros]))), "fine");
        }
        assert_eq!(
            said(Arc::new(TimestampMicrosecondArray::from(vec![(i64::from(DAYS.1) + 1) * MICROS_PER_DAY - 1]))),
            "fine"
        );
        for days in [DAYS.0 - 1, DAYS.1 + 1, i32::MAX, i32::MIN] {
            let said = said(Arc::new(Date32Array::from(vec![Some(0), Some(days)])));
            assert!(said.contains("partition column day") && said.contains("years 1 to 9999"), "{said}");
        }
        assert!(said(Arc::new(Date32Array::from(vec![20_758_000]))).contains("the year 58803"));
        let instants = TimestampMicrosecondArray::from(vec![0, i64::MAX]);
        assert!(said(Arc::new(instants.clone())).contains("years 1 to 9999"));
        assert!(said(Arc::new(instants.with_timezone("UTC"))).contains("years 1 to 9999"));
    }

    #[test]
    fn a_text_that_makes_too_long_a_name_is_an_error() {
        assert_eq!(said(Arc::new(StringArray::from(vec!["x".repeat(251)]))), "fine");
        assert!(said(Arc::new(StringArray::from(vec!["x".repeat(252)]))).contains("256 bytes"));
        assert!(said(Arc::new(StringArray::from(vec!["/".repeat(84)]))).contains("256 bytes"));
        assert_eq!(said(Arc::new(StringArray::from(vec!["ß".repeat(125)]))), "fine");
        assert!(said(Arc::new(StringArray::from(vec!["__hive_default_partition__"]))).contains("NULL"));
    }
}
