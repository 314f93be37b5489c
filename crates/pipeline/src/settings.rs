//! `SET` keys and `TBLPROPERTIES`: which there are, what they take, and what they mean.
//!
//! The lists are what `docs/sql.md` is checked against.

pub(crate) mod tables;

use crate::ast::{Pipeline, SourceKind, TableDef, Using};
use crate::diagnostic::nearest;
use crate::options::check as options;
use crate::values::{self, OptionDef, Problem};
pub use crate::values::{Trigger, ValueType};
use crate::vocabulary::Vocabulary;

use self::tables::is_of_clients;
pub use self::tables::{KAFKA_PROPERTIES, PROPERTIES, SETTINGS};

/// Those of [`PROPERTIES`] that are not about files.
const OF_ALL: [&str; 2] = [OUTPUT_MODE, "on.error"];

/// Whether the property `name`, as the reference has it, is one of tables in Kafka alone, or of tables of files alone.
pub(crate) fn is_for(name: &str, using: Using) -> bool {
    let is_in = |known: &[OptionDef]| known.iter().any(|property| property.name == name);
    let is_own = match using {
        Using::Parquet => is_in(PROPERTIES),
        Using::Kafka => is_of_clients(name) || is_in(KAFKA_PROPERTIES),
        Using::Added(kind) => is_in(kind.words().properties),
    };
    OF_ALL.contains(&name) || is_own
}

/// The names of the properties that a table may have whose rows go there, but for those of clients.
pub(crate) fn properties_of(using: Using) -> impl Iterator<Item = &'static str> {
    let added: &'static [OptionDef] = match using {
        Using::Added(kind) => kind.words().properties,
        Using::Parquet | Using::Kafka => &[],
    };
    let known = PROPERTIES.iter().chain(KAFKA_PROPERTIES).chain(added);
    known.map(|property| property.name).filter(move |name| is_for(name, using))
}

/// Whether the value of the property keeps its references until its sink is made: it may be a secret, or hold one.
pub(crate) fn keeps_references(vocabulary: &Vocabulary, name: &str) -> bool {
    if is_of_clients(name) {
        return options::keeps_references(SourceKind::KAFKA, vocabulary, name);
    }
    let mut added = vocabulary.properties();
    added.any(|property| property.name.eq_ignore_ascii_case(name) && options::may_be_secret(property.value))
}

/// Delta's properties that have a meaning here under another name.
const DELTA: &[(&str, &str)] = &[
    ("delta.targetFileSize", "target.file.size"),
    ("delta.autoOptimize.autoCompact", "compact.auto"),
    ("delta.autoOptimize.optimizeWrite", "target.file.size"),
];

const OUTPUT_MODE: &str = "output.mode";

fn is_other_mode(value: &str) -> bool {
    ["update", "complete"].contains(&value.trim().to_lowercase().as_str())
}

/// Whether there is such a setting and it may have such a value, in whose place the file has `written`. `name` is in lower case.
pub(crate) fn check(name: &str, value: &str, written: &str) -> Result<(), Problem> {
    match SETTINGS.iter().find(|s| s.name == name) {
        Some(setting) => values::check(setting.value, setting.name, value, written),
        None => Err(unknown("setting", name, SETTINGS.iter().map(|s| s.name))),
    }
}

/// The property's name as the reference has it, if key and value are right.
pub(crate) fn check_property(
    vocabulary: &Vocabulary,
    name: &str,
    value: &str,
    written: &str,
) -> Result<String, Problem> {
    if is_of_clients(name) {
        return options::check(SourceKind::KAFKA, vocabulary, name, value, written);
    }
    match PROPERTIES.iter().chain(KAFKA_PROPERTIES).chain(vocabulary.properties()).find(|p| p.name.eq_ignore_ascii_case(name)) {
        Some(property) if property.name == OUTPUT_MODE && is_other_mode(value) => Err(Problem {
            about_value: true,
            message: format!("a table of Parquet files cannot take the output mode `{}`", value.trim()),
            label: "rows in files cannot change".into(),
            help: Some(
                "leave it out: in append mode a row is written once, when it is final, which for an aggregate is when its \
                 window closes"
                    .into(),
            ),
            code: Some("output-mode"),
        }),
        Some(property) => {
            values::check(property.value, property.name, value, written).map(|()| property.name.to_owned())
        }
        None => {
            let added = vocabulary.properties().map(|p| p.name);
            Err(unknown("property", name, PROPERTIES.iter().map(|p| p.name).chain(added)))
        }
    }
}

fn unknown(what: &str, name: &str, known: impl Iterator<Item = &'static str>) -> Problem {
    let names: Vec<&str> = known.collect();
    let help = if name.starts_with("spark.") {
        format!("Spark's own keys have no meaning here; there are {}", names.join(", "))
    } else if let Some((_, ours)) = DELTA.iter().find(|(theirs, _)| theirs.eq_ignore_ascii_case(name)) {
        format!("that is Delta's name; here it is '{ours}'")
    } else {
        match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("there are {}", names.join(", ")),
        }
    };
    Problem::unknown(format!("there is no {what} `{name}`"), help)
}

/// The settings of a pipeline with their defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `checkpoint`, if it is set.
    pub checkpoint: Option<String>,
    /// `trigger`.
    pub trigger: Trigger,
    /// `batch.bytes`.
    pub batch_bytes: u64,
    /// `memory.limit`.
    pub memory_limit: u64,
    /// `query.memory`, in bytes.
    pub query_memory: u64,
    /// `dq.samples`.
    pub dq_samples: u32,
}

impl Settings {
    /// The settings of `pipeline`.
    #[must_use]
    pub fn of(pipeline: &Pipeline) -> Self {
        let get = |name: &str| pipeline.settings.get(name).map(|s| s.value.as_str());
        let number = |name: &str, default: u32| get(name).and_then(|v| v.trim().parse().ok()).unwrap_or(default);
        Self {
            checkpoint: get("checkpoint").map(str::to_owned),
            trigger: get("trigger").and_then(values::trigger).unwrap_or(Trigger::Every(1_000_000)),
            batch_bytes: get("batch.bytes").and_then(values::size).unwrap_or(16 << 20),
            memory_limit: get("memory.limit").and_then(values::size).unwrap_or(64 << 20),
            query_memory: get("query.memory").and_then(values::size).unwrap_or(128 << 20),
            dq_samples: number("dq.samples", 10),
        }
    }
}

/// How a table's Parquet files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard, at this level.
    Zstd(u32),
    /// Not at all.
    None,
}

/// What becomes of a row that a table's query cannot compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// It goes to quarantine.
    #[default]
    Quarantine,
    /// What cannot be computed of it is NULL, and it goes on.
    Null,
    /// The batch is not committed, and the run ends.
    Fail,
}

impl OnError {
    /// As `on.error` has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quarantine => "quarantine",
            Self::Null => "null",
            Self::Fail => "fail",
        }
    }
}

/// The properties of a table with their defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Properties {
    /// `target.file.size`, in bytes.
    pub target_file_size: u64,
    /// `compression` and `compression.level`.
    pub compression: Compression,
    /// `compact.auto`.
    pub compact_auto: bool,
    /// `compact.after`, in microseconds.
    pub compact_after: i64,
    /// `retain`, in microseconds.
    pub retain: Option<i64>,
    /// `on.error`.
    pub on_error: OnError,
}

impl Properties {
    /// The properties of `table`.
    #[must_use]
    pub fn of(table: &TableDef) -> Self {
        Self::from_pairs(|name| table.properties.iter().find(|(k, _)| k.value == name).map(|(_, v)| v.value.as_str()))
    }

    /// The properties that `get` gives by their names in lower case.
    #[must_use]
    pub fn from_pairs<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Self {
        let level = get("compression.level").and_then(|v| v.trim().parse().ok()).unwrap_or(1);
        let compression = match get("compression").map(str::to_lowercase).as_deref() {
            Some("none") => Compression::None,
            _ => Compression::Zstd(level),
        };
        Self {
            target_file_size: get("target.file.size").and_then(values::size).unwrap_or(256 << 20),
            compression,
            compact_auto: get("compact.auto").and_then(values::boolean).unwrap_or(false),
            compact_after: get("compact.after").and_then(values::duration).unwrap_or(3_600_000_000),
            retain: get("retain").and_then(values::duration),
            on_error: match get("on.error").map(str::to_lowercase).as_deref() {
                Some("null") => OnError::Null,
                Some("fail") => OnError::Fail,
                _ => OnError::Quarantine,
            },
        }
    }
}

/// Of a table in Kafka its topic in words, of one of a kind that was added its kind and name. Else where its files go: its LOCATION, else by its name: `bronze_`, `silver_` and `gold_` are layers,
/// `data/<layer>/<rest>`, all else is in `data/tables/<name>`. Relative to the working directory.
#[must_use]
pub fn location(table: &TableDef) -> String {
    match table.using() {
        Using::Kafka => return format!("the Kafka topic {}", table.property("topic").unwrap_or_default()),
        Using::Added(kind) => return format!("{} {}", kind.name(), table.name.value),
        Using::Parquet => {}
    }
    match &table.location {
        Some(location) => crate::values::local_path(&location.value).to_owned(),
        None => crate::parse::default_location(&table.name.value),
    }
}
