//! The types to which Spark implicitly casts a function's arguments, and the type names that `typeof` returns.

use arrow::datatypes::{DataType, TimeUnit};

use crate::rows::timestamp;

/// What an argument is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// Text or binary; what is neither becomes text.
    Bytes,
    /// Binary; text is its UTF-8 bytes.
    Binary,
    Int,
    Long,
    Double,
    Bool,
    Date,
    Time,
    /// A local time.
    TimeNtz,
    /// `DECIMAL(16,6)`, for seconds.
    Seconds,
    /// Any number as it is; text becomes DOUBLE.
    Number,
    Any,
}

impl Kind {
    /// The kind in a sentence.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Bytes | Self::Binary => "text or binary",
            Self::Int | Self::Long => "a whole number",
            Self::Double | Self::Seconds | Self::Number => "a number",
            Self::Bool => "a condition",
            Self::Date => "a date",
            Self::Time | Self::TimeNtz => "a timestamp",
            Self::Any => "a value",
        }
    }

    /// The type that a value of type `of` is cast to, if it may be.
    pub(crate) fn data_type(self, of: &DataType) -> Option<DataType> {
        if let DataType::Dictionary(_, of) = of {
            return self.data_type(of);
        }
        let text = matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null);
        let binary = matches!(of, DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
        let number = of.is_numeric();
        let time = matches!(of, DataType::Date32 | DataType::Timestamp(..) | DataType::Null);
        let atomic = text || binary || number || time || of == &DataType::Boolean;
        match self {
            Self::Text => atomic.then_some(DataType::Utf8),
            Self::Bytes if binary => Some(DataType::Binary),
            Self::Bytes => atomic.then_some(DataType::Utf8),
            Self::Binary => (text || binary).then_some(DataType::Binary),
            Self::Int => (number || text).then_some(DataType::Int32),
            Self::Long => (number || text).then_some(DataType::Int64),
            Self::Double => (number || text).then_some(DataType::Float64),
            Self::Bool => (text || of == &DataType::Boolean).then_some(DataType::Boolean),
            Self::Date => (text || time).then_some(DataType::Date32),
            Self::Time => (text || time).then(timestamp),
            Self::TimeNtz => (text || time).then_some(DataType::Timestamp(TimeUnit::Microsecond, None)),
            Self::Seconds => (number || text).then_some(DataType::Decimal128(16, 6)),
            Self::Number if of == &DataType::Null => Some(DataType::Float64),
            Self::Number if text => Some(DataType::Float64),
            Self::Number => number.then(|| of.clone()),
            Self::Any if text && of != &DataType::Null => Some(DataType::Utf8),
            Self::Any if binary => Some(DataType::Binary),
            Self::Any => Some(of.clone()),
        }
    }
}

/// Spark's name of a type, in small letters, as `typeof` gives it.
pub(crate) fn type_name(of: &DataType) -> String {
    match of {
        DataType::Null => "void".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "binary".to_owned()
        }
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp".to_owned(),
        DataType::Timestamp(_, None) => "timestamp_ntz".to_owned(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("decimal({precision},{scale})")
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("array<{}>", type_name(item.data_type()))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => {
                format!("map<{},{}>", type_name(pair[0].data_type()), type_name(pair[1].data_type()))
            }
            other => format!("map<{other}>"),
        },
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|f| format!("{}:{}", f.name(), type_name(f.data_type()))).collect();
            format!("struct<{}>", fields.join(","))
        }
        DataType::Dictionary(_, value) => type_name(value),
        DataType::Interval(_) | DataType::Duration(_) => "interval".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}
