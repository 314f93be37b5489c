//! Whether the clauses and properties of a table fit what stands after its `USING`.

use sluicebox_core::provenance::BATCH_HEADER;

use super::super::cursor::quoted;
use crate::ast::{Spanned, TableDef, Using};
use crate::diagnostic::Diagnostic;
use crate::settings;
use crate::values;
use crate::vocabulary::Vocabulary;

/// Every check there is.
pub(super) fn check(table: &TableDef, vocabulary: &Vocabulary, found: &mut Vec<Diagnostic>) {
    let using = table.using();
    if using != Using::Parquet {
        no_folder(table, found);
    }
    if using == Using::Kafka {
        topic(table, found);
    } else if let Some(format) = &table.format
        && format.value != using.as_str()
    {
        let help = match format.value.as_str() {
            "files" | "rate" => {
                format!("a source is declared by CREATE TABLE {} USING {}", table.name.value, format.value)
            }
            other => vocabulary.using_help(other),
        };
        found.push(
            Diagnostic::new(
                "unknown-format",
                format.span,
                format!("tables cannot be written as {}", quoted(&format.value)),
                "not a format of tables",
            )
            .with_help(help),
        );
    }
    // A name that no table has is told with the nearest, elsewhere.
    let is_of_another = |name: &str| {
        !settings::is_for(name, using)
            && (settings::is_for(name, Using::Kafka)
                || settings::is_for(name, Using::Parquet)
                || vocabulary.properties().any(|property| property.name == name))
    };
    for (key, _) in table.properties.iter().filter(|(key, _)| is_of_another(&key.value)) {
        let (message, help) = match using {
            Using::Kafka if settings::is_for(&key.value, Using::Parquet) => {
                ("is about files, and the table has none", "take it out, or write USING parquet")
            }
            Using::Parquet if settings::is_for(&key.value, Using::Kafka) => {
                ("is about events, and the table has none", "take it out, or write USING kafka")
            }
            Using::Kafka | Using::Parquet | Using::Added(_) => {
                ("is no property of such a table", "take it out, or write another kind after USING")
            }
        };
        let message = format!("{} {message}", quoted(&key.value));
        found.push(Diagnostic::new("conflicting-options", key.span, message, "not of this table").with_help(help));
    }
    let level = table.properties.iter().find(|(k, _)| k.value == "compression.level");
    let codec = table.properties.iter().find(|(k, _)| k.value == "compression");
    if let (Some((key, _)), Some((_, value))) = (level, codec)
        && !value.value.eq_ignore_ascii_case("zstd")
    {
        found.push(
            Diagnostic::new(
                "conflicting-options",
                key.span,
                format!("compression '{}' has no level", value.value),
                "for zstd only",
            )
            .with_help("take compression.level out")
            .with_related(value.span, "the compression"),
        );
    }
}

/// What a table that is not made of files cannot have.
fn no_folder(table: &TableDef, found: &mut Vec<Diagnostic>) {
    let (no_folder, not_there, in_no_folders, help) = match table.using() {
        Using::Added(_) => (
            "a table of this kind has no folder",
            "not a folder's",
            "rows of a table of this kind are in no folders",
            "take PARTITIONED BY out",
        ),
        Using::Kafka | Using::Parquet => (
            "a table in Kafka has no folder",
            "not a topic's",
            "events of a topic are in no folders",
            "take PARTITIONED BY out; equal keys, by 'key.columns', come to one partition of the topic",
        ),
    };
    if let Some(location) = &table.location {
        found.push(
            Diagnostic::new("location", location.span, no_folder, not_there)
                .with_help("take LOCATION out, or write USING parquet"),
        );
    }
    if let Some(column) = table.partitioned_by.first() {
        found.push(
            Diagnostic::new("conflicting-options", column.span, in_no_folders, "no folder's name").with_help(help),
        );
    }
}

/// What a table in Kafka must have, and cannot have.
fn topic(table: &TableDef, found: &mut Vec<Diagnostic>) {
    if table.property("topic").is_none() {
        found.push(
            Diagnostic::new(
                "missing-option",
                table.name.span,
                format!("the table {} names no topic", quoted(&table.name.value)),
                "no topic",
            )
            .with_help("add 'topic' = 'topic' to its TBLPROPERTIES"),
        );
    }
    if let Some((_, value)) = table.properties.iter().find(|(key, _)| key.value == "header.columns") {
        headers(value, found);
    }
    let is_avro = table.property("value.format").is_some_and(|format| format.eq_ignore_ascii_case("avro"));
    if let Some((key, _)) = table.properties.iter().find(|(key, _)| key.value == "value.subject" && !is_avro) {
        found.push(
            Diagnostic::new("conflicting-options", key.span, "values of JSON have no subject", "for Avro only")
                .with_help("add 'value.format' = 'avro', or take value.subject out"),
        );
    }
}

/// Headers that are told apart by nothing: a column that is named twice, or one that is called as the header of the batch.
fn headers(columns: &Spanned<String>, found: &mut Vec<Diagnostic>) {
    let mut names = values::names(&columns.value);
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let message = format!("{} is named twice among the headers", quoted(twice[0]));
        found.push(
            Diagnostic::new("conflicting-options", columns.span, message, "one column twice")
                .with_help("name each column once"),
        );
    }
    if names.contains(&BATCH_HEADER) {
        let message = format!("each event has the header {}, which names its batch", quoted(BATCH_HEADER));
        found.push(
            Diagnostic::new("reserved-name", columns.span, message, "this name is taken")
                .with_help("give the column another name, by AS in the query"),
        );
    }
}
