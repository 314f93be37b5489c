//! Values and types as `scripts/spark/answers.py` writes them.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use serde_json::{Map, Value, json};

/// Spark's name of a type; a type that Spark does not have under its name here.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "void".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "string".to_owned(),
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => "binary".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Duration(_) => "interval".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamp".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, None) => "timestamp_ntz".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::List(item) | DataType::LargeList(item) => format!("array<{}>", type_name(item.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => {
                format!("map<{},{}>", type_name(pair[0].data_type()), type_name(pair[1].data_type()))
            }
            other => other.to_string(),
        },
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|f| format!("{}:{}", f.name(), type_name(f.data_type()))).collect();
            format!("struct<{}>", fields.join(","))
        }
        DataType::Dictionary(_, value) => type_name(value),
        other => other.to_string(),
    }
}

/// A row's visible values.
pub fn row(batch: &RecordBatch, at: usize) -> Vec<Value> {
    batch.columns().iter().map(|column| value(column, at)).collect()
}

/// The value of `array` at `at`.
pub fn value(array: &ArrayRef, at: usize) -> Value {
    if array.data_type() == &DataType::Null || array.is_null(at) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Boolean => json!(array.as_boolean().value(at)),
        DataType::Duration(_) => value(
            &cast(&cast(array, &DataType::Duration(TimeUnit::Microsecond)).unwrap(), &DataType::Int64).unwrap(),
            at,
        ),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            json!(cast(array, &DataType::Int64).unwrap().as_primitive::<Int64Type>().value(at))
        }
        DataType::Float32 | DataType::Float64 => {
            json!(format!("{:?}", cast(array, &DataType::Float64).unwrap().as_primitive::<Float64Type>().value(at)))
        }
        DataType::Decimal128(..) => json!(array.as_primitive::<Decimal128Type>().value_as_string(at)),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => {
            json!(cast(array, &DataType::Utf8).unwrap().as_string::<i32>().value(at))
        }
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => {
            let bytes = cast(array, &DataType::Binary).unwrap();
            json!(bytes.as_binary::<i32>().value(at).iter().map(|b| format!("{b:02x}")).collect::<String>())
        }
        DataType::Date32 => {
            let date = array.as_primitive::<Date32Type>().value_as_date(at);
            json!(date.map_or_else(|| "out of range".to_owned(), |d| d.format("%Y-%m-%d").to_string()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let time = array.as_primitive::<TimestampMicrosecondType>().value_as_datetime(at);
            json!(time.map_or_else(|| "out of range".to_owned(), |t| t.format("%Y-%m-%dT%H:%M:%S%.6f").to_string()))
        }
        DataType::List(_) => list(&array.as_list::<i32>().value(at)),
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(at)),
        DataType::Map(..) => {
            let entries = array.as_map().value(at);
            let pair = |i| json!([value(entries.column(0), i), value(entries.column(1), i)]);
            let mut pairs: Vec<Value> = (0..entries.len()).map(pair).collect();
            pairs.sort_by_key(|pair| pair.to_string());
            Value::Array(pairs)
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let member = |(field, column): (&std::sync::Arc<arrow::datatypes::Field>, &ArrayRef)| {
                (field.name().clone(), value(column, at))
            };
            Value::Object(fields.iter().zip(columns).map(member).collect::<Map<_, _>>())
        }
        DataType::Dictionary(_, inner) => value(&cast(array, inner).unwrap(), at),
        other => json!(format!("a value of {other}")),
    }
}

fn list(items: &ArrayRef) -> Value {
    Value::Array((0..items.len()).map(|i| value(items, i)).collect())
}

/// Whether two values are the same; floating-point numbers, which are written as text, may differ in the last digits.
pub fn same(spark: &Value, ours: &Value, floating: bool) -> bool {
    match (spark, ours) {
        (Value::String(a), Value::String(b)) if floating && a != b => match (number(a), number(b)) {
            (Some(a), Some(b)) if a.is_nan() || b.is_nan() => a.is_nan() && b.is_nan(),
            (Some(a), Some(b)) => a == b && a.is_sign_negative() == b.is_sign_negative() || close(a, b),
            _ => false,
        },
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, floating)),
        (Value::Object(a), Value::Object(b)) => {
            a.keys().eq(b.keys()) && a.iter().zip(b).all(|((_, a), (_, b))| same(a, b, floating))
        }
        (a, b) => a == b,
    }
}

fn close(a: f64, b: f64) -> bool {
    a != 0.0 && b != 0.0 && ((a - b) / a).abs() < 1e-13
}

fn number(text: &str) -> Option<f64> {
    match text {
        "nan" | "NaN" => Some(f64::NAN),
        other => other.parse().ok(),
    }
}
