//! Which keys of `SET` and which properties there are. `docs/sql.md` is checked against these lists.

use crate::values::{OptionDef, ValueType, option as key};

/// Every key of `SET`.
pub const SETTINGS: &[OptionDef] = &[
    key("pipeline.name", ValueType::Name, "the file's name without `.sql`", "Names the checkpoint and the reports."),
    key(
        "checkpoint",
        ValueType::Path,
        "`checkpoints/<pipeline.name>`",
        "The folder that a run resumes from; `--checkpoint` goes before it.",
    ),
    key(
        "trigger",
        ValueType::Trigger,
        "`1 second`",
        "How often batches start once the run has caught up: what is in the log when it fires is read, in as many batches as that takes. `--trigger` goes before it.",
    ),
    key(
        "batch.bytes",
        ValueType::Size(64 << 10),
        "`16 MiB`",
        "At most so many bytes of raw values in a batch, whatever the backlog; bounds memory.",
    ),
    key(
        "memory.limit",
        ValueType::Size(1 << 10),
        "`64 MiB`",
        "About so much memory for what the tables remember, shared equally by their operators with state; what is more is kept on disk.",
    ),
    key(
        "query.memory",
        ValueType::Size(1 << 20),
        "`128 MiB`",
        "So much memory may the query of a table take at once for what its aggregates hold, and so much what it makes of a batch beyond its rows.",
    ),
    key(
        "dq.samples",
        ValueType::Int(0, 10_000),
        "`10`",
        "At most so many sample rows for each expectation and batch in the report.",
    ),
];

/// Every key of `TBLPROPERTIES`.
pub const PROPERTIES: &[OptionDef] = &[
    key(
        "target.file.size",
        ValueType::Size(1 << 20),
        "`256 MiB`",
        "A file of a batch that would be larger is cut in several of about this size.",
    ),
    key(
        "compact.auto",
        ValueType::Bool,
        "`false`",
        "Whether a run puts together the small files of partitions that are closed, between its batches.",
    ),
    key(
        "compact.after",
        ValueType::Duration,
        "`1 hour`",
        "A partition is closed for `compact.auto` when nothing was written to it for so long.",
    ),
    key(
        "retain",
        ValueType::Duration,
        "for ever",
        "How long rows stay after the end of the day in the first partition column that is a date or timestamp; whole partitions go.",
    ),
    key(
        "output.mode",
        ValueType::OneOf(&["append"]),
        "`append`",
        "A row is written once, when it is final. Parquet files cannot take `update` or `complete`.",
    ),
    key(
        "on.error",
        ValueType::OneOf(&["quarantine", "null", "fail"]),
        "`quarantine`",
        "What becomes of a row that the query cannot compute: it goes to quarantine; what cannot be computed of it is NULL; or the run stops.",
    ),
    key("compression", ValueType::OneOf(&["zstd", "none"]), "`zstd`", "How Parquet files are compressed."),
    key("compression.level", ValueType::Int(1, 22), "`1`", "The level of zstd: higher is smaller and slower."),
];

/// Every key of `TBLPROPERTIES` of a table `USING kafka`, but for `kafka.*` and `schema.registry.*`, which are those of a source.
pub const KAFKA_PROPERTIES: &[OptionDef] = &[
    key(
        "topic",
        ValueType::Name,
        "",
        "The topic that rows are appended to. Required. In Kafka it must be there; in the embedded log it is made, with one partition.",
    ),
    key(
        "value.format",
        ValueType::OneOf(&["json", "avro"]),
        "`json`",
        "How a row becomes the value of an event: an object of JSON with every column, or Avro in Confluent's framing.",
    ),
    key(
        "value.subject",
        ValueType::Name,
        "`<topic>-value`",
        "The registry's subject under which the table's Avro schema is registered when a run starts.",
    ),
    key(
        "key.columns",
        ValueType::Names,
        "no key",
        "The columns that make the key: the value of one as text, of several a list of JSON. Equal keys come to one partition, as from Java's producer.",
    ),
    key(
        "header.columns",
        ValueType::Names,
        "none",
        "Columns that are headers too, as text, each once. Each event has the header `sluicebox.batch` beside them.",
    ),
    key(
        "unknown.batch",
        ValueType::OneOf(&["stop", "publish", "skip"]),
        "`stop`",
        "What happens to a committed batch of which the topic no longer tells whether it is in it: the run stops and says how to find out; the batch is published, maybe once more; or it is taken for published.",
    ),
];

/// Whether tables of files or of Kafka have the property `name`.
pub(crate) fn is_property(name: &str) -> bool {
    let mut known = PROPERTIES.iter().chain(KAFKA_PROPERTIES);
    is_of_clients(name) || known.any(|property| property.name.eq_ignore_ascii_case(name))
}

/// Whether the property is handed to the clients of Kafka or of its registry.
pub(crate) fn is_of_clients(name: &str) -> bool {
    ["kafka.", "schema.registry."]
        .iter()
        .any(|prefix| name.get(..prefix.len()).is_some_and(|p| p.eq_ignore_ascii_case(prefix)))
}
