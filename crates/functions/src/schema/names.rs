//! The names of types.

use arrow::datatypes::{DataType, TimeUnit};

use crate::types::timestamp;

/// Every name that a type has, of which a misspelt one may be meant.
pub const NAMES: &[&str] = &[
    "boolean",
    "tinyint",
    "byte",
    "smallint",
    "short",
    "int",
    "integer",
    "bigint",
    "long",
    "float",
    "real",
    "double",
    "decimal",
    "dec",
    "numeric",
    "string",
    "binary",
    "date",
    "timestamp",
    "timestamp_ltz",
    "timestamp_ntz",
    "array",
    "map",
    "struct",
];

/// The types, as a message lists them.
pub const IN_WORDS: &str = "types are BOOLEAN, TINYINT, SMALLINT, INT, BIGINT, FLOAT, DOUBLE, DECIMAL(p, s), STRING, BINARY, DATE, \
                            TIMESTAMP, ARRAY<...>, MAP<...> and STRUCT<...>";

/// The type of this name, in any case, that takes no parameters.
#[must_use]
pub fn named(name: &str) -> Option<DataType> {
    Some(match name.to_ascii_lowercase().as_str() {
        "boolean" => DataType::Boolean,
        "tinyint" | "byte" => DataType::Int8,
        "smallint" | "short" => DataType::Int16,
        "int" | "integer" => DataType::Int32,
        "bigint" | "long" => DataType::Int64,
        "float" | "real" => DataType::Float32,
        "double" => DataType::Float64,
        "string" => DataType::Utf8,
        "binary" => DataType::Binary,
        "date" => DataType::Date32,
        "timestamp" | "timestamp_ltz" => timestamp(),
        "timestamp_ntz" => DataType::Timestamp(TimeUnit::Microsecond, None),
        _ => return None,
    })
}

/// What to write in place of a type that others have, and Spark or a table does not.
pub(super) fn instead(name: &str) -> Option<&'static str> {
    Some(match name.to_ascii_lowercase().as_str() {
        "text" | "clob" | "nvarchar" | "varchar2" | "uuid" | "enum" => "write STRING",
        "bool" => "write BOOLEAN",
        "number" => "write DECIMAL(p, s), or BIGINT for whole numbers",
        "int8" | "int64" | "serial" | "bigserial" => "write BIGINT",
        "int2" | "int16" => "write SMALLINT",
        "int4" | "int32" | "mediumint" => "write INT",
        "float4" | "float32" => "write FLOAT",
        "float8" | "float64" => "write DOUBLE",
        "bytes" | "bytea" | "blob" | "varbinary" => "write BINARY",
        "datetime" | "timestamptz" => "write TIMESTAMP",
        "time" => "write STRING: Spark has no type for a time of day",
        "json" | "jsonb" | "variant" | "object" => "write STRING, and take it apart with get_json_object or from_json",
        "row" | "record" => "write STRUCT<name: type, ...>",
        "list" => "write ARRAY<type>",
        "interval" => "write BIGINT or STRING: an event holds no INTERVAL",
        _ => return None,
    })
}
