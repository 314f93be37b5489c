//! The formats of events, by the options of their source.
//!
//! The table of options and this module share their lists, so the words are the same.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
pub use sluicebox_core::provenance::{KEY_COLUMN as KEY, RESCUED_COLUMN as RESCUED, VALUE_COLUMN as VALUE};
use sluicebox_functions::schema::{How, written_columns};

use crate::ast::{DeclaredColumn, SourceDef};
pub use crate::kinds::{ColumnsFrom, FormatWords, ValueFormat};
use crate::values::{OptionDef, ValueType, option};

static AVRO: FormatWords = FormatWords { name: "avro", columns: ColumnsFrom::Registry, of_keys: true, options: &[] };
static JSON: FormatWords = FormatWords { name: "json", columns: ColumnsFrom::List, of_keys: true, options: OF_JSON };
static TEXT: FormatWords =
    FormatWords { name: "text", columns: ColumnsFrom::Format(DataType::Utf8), of_keys: true, options: &[] };
static BINARY: FormatWords =
    FormatWords { name: "binary", columns: ColumnsFrom::Format(DataType::Binary), of_keys: true, options: &[] };

impl ValueFormat {
    /// Avro in Confluent's framing; the registry has its columns.
    pub const AVRO: Self = Self::new(&AVRO);
    /// JSON, an object an event; the source declares its columns.
    pub const JSON: Self = Self::new(&JSON);
    /// Text in UTF-8, one column.
    pub const TEXT: Self = Self::new(&TEXT);
    /// Bytes, one column.
    pub const BINARY: Self = Self::new(&BINARY);

    /// Those that every pipeline can name.
    pub const STANDARD: [Self; 4] = [Self::AVRO, Self::JSON, Self::TEXT, Self::BINARY];

    /// That of the values of `source`.
    #[must_use]
    pub fn of(source: &SourceDef) -> Self {
        source.value_format
    }

    /// That of the keys of `source`, if it says one: then its rows have the column [`KEY`].
    #[must_use]
    pub fn of_key(source: &SourceDef) -> Option<Self> {
        source.key_format
    }
}

/// What becomes of the fields of an event that no column is declared for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtraFields {
    /// They are left out.
    Ignore,
    /// They are kept as JSON text in the column [`RESCUED`].
    Rescue,
    /// The event becomes a dead letter.
    Letter,
}

impl ExtraFields {
    const ALL: [Self; 3] = [Self::Ignore, Self::Rescue, Self::Letter];

    /// Their names, as the option takes them.
    pub const NAMES: &'static [&'static str] = &[Self::Ignore.name(), Self::Rescue.name(), Self::Letter.name()];

    /// Its name, as the option takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Rescue => "rescue",
            Self::Letter => "letter",
        }
    }
}

/// How JSON writes a TIMESTAMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonTimestamps {
    /// A text, as `2026-01-31T10:15:00Z`.
    Iso8601,
    /// A number of seconds since 1970 UTC.
    EpochSeconds,
    /// A number of milliseconds since 1970 UTC.
    EpochMillis,
    /// A number of microseconds since 1970 UTC.
    EpochMicros,
}

impl JsonTimestamps {
    const ALL: [Self; 4] = [Self::Iso8601, Self::EpochSeconds, Self::EpochMillis, Self::EpochMicros];

    /// Their names, as the option takes them.
    pub const NAMES: &'static [&'static str] =
        &[Self::Iso8601.name(), Self::EpochSeconds.name(), Self::EpochMillis.name(), Self::EpochMicros.name()];

    /// Its name, as the option takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iso8601 => "iso8601",
            Self::EpochSeconds => "epoch_seconds",
            Self::EpochMillis => "epoch_millis",
            Self::EpochMicros => "epoch_micros",
        }
    }
}

/// Options of values of JSON.
const OF_JSON: &[OptionDef] = &[
    option(
        "json.extraFields",
        ValueType::OneOf(ExtraFields::NAMES),
        "`ignore`",
        "What becomes of fields that are not listed: they are left out, kept as JSON text in the column `_rescued`, or make the event a dead letter.",
    ),
    option(
        "json.timestamps",
        ValueType::OneOf(JsonTimestamps::NAMES),
        "`iso8601`",
        "How a TIMESTAMP is written: as text such as `2026-01-31T10:15:00Z`, or as a number of seconds, milliseconds or microseconds since 1970 UTC. Never guessed.",
    ),
    option(
        "json.maxDepth",
        ValueType::Int(1, 1_000),
        "`100`",
        "At most so many objects and arrays stand within each other; a deeper event is a dead letter.",
    ),
];

/// What the options of a source say of its JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonOptions {
    /// `json.extraFields`.
    pub extra: ExtraFields,
    /// `json.timestamps`.
    pub timestamps: JsonTimestamps,
    /// `json.maxDepth`.
    pub max_depth: usize,
}

impl JsonOptions {
    /// `json.maxDepth` where it is not set.
    pub const MAX_DEPTH: usize = 100;

    /// The options of `source`, with their defaults.
    #[must_use]
    pub fn of(source: &SourceDef) -> Self {
        let extra = word(source, "json.extraFields", &ExtraFields::ALL, ExtraFields::name);
        let timestamps = word(source, "json.timestamps", &JsonTimestamps::ALL, JsonTimestamps::name);
        let max_depth = source.option("json.maxDepth").and_then(|depth| depth.trim().parse().ok());
        Self {
            extra: extra.unwrap_or(ExtraFields::Ignore),
            timestamps: timestamps.unwrap_or(JsonTimestamps::Iso8601),
            max_depth: max_depth.unwrap_or(Self::MAX_DEPTH),
        }
    }
}

/// The one of `all` whose name an option of `source` has.
fn word<T: Copy>(source: &SourceDef, option: &str, all: &[T], name: fn(T) -> &'static str) -> Option<T> {
    let given = source.option(option)?.to_lowercase();
    all.iter().copied().find(|one| name(*one) == given)
}

/// The list of columns of `source` as it would be written, if it has one.
#[must_use]
pub fn listed(source: &SourceDef) -> Option<String> {
    let columns = source.columns.as_ref()?;
    let fields: Vec<FieldRef> = columns.value.iter().map(DeclaredColumn::field).collect();
    Some(written_columns(&fields, How::Declared))
}

/// The columns that the values of `source` give, if they are known without a registry.
#[must_use]
pub fn value_columns(source: &SourceDef) -> Option<Vec<FieldRef>> {
    let format = ValueFormat::of(source);
    if let Some(single) = format.single() {
        // What has no value is a tombstone, and no row.
        return Some(vec![Arc::new(Field::new(VALUE, single, false))]);
    }
    if format.words().columns != ColumnsFrom::List {
        return None;
    }
    let of_key = ValueFormat::of_key(source).is_some();
    let listed = source.columns.iter().flat_map(|columns| &columns.value);
    let mut fields: Vec<FieldRef> =
        listed.filter(|column| !(of_key && column.name.value == KEY)).map(|column| column.field()).collect();
    if format == ValueFormat::JSON && JsonOptions::of(source).extra == ExtraFields::Rescue {
        fields.push(Arc::new(Field::new(RESCUED, DataType::Utf8, true)));
    }
    Some(fields)
}

/// The column that the keys of `source` give, if they have a format, and it is known without a registry. It stands behind those of the
/// value.
#[must_use]
pub fn key_column(source: &SourceDef) -> Option<FieldRef> {
    let format = ValueFormat::of_key(source)?;
    if let Some(single) = format.single() {
        return Some(Arc::new(Field::new(KEY, single, true)));
    }
    let mut listed = source.columns.iter().flat_map(|columns| &columns.value);
    listed.find(|column| column.name.value == KEY).map(|column| column.field())
}
