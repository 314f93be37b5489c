//! Checks that a source's list of columns and its options fit the formats of its events.

use sluicebox_functions::schema::{How, written};

use super::super::cursor::quoted;
use crate::ast::{DeclaredColumn, SourceDef, Span, Spanned};
use crate::diagnostic::Diagnostic;
use crate::formats::{ColumnsFrom, KEY, ValueFormat};
use crate::vocabulary::Vocabulary;

/// Every check there is.
pub(super) fn check(source: &SourceDef, vocabulary: &Vocabulary, found: &mut Vec<Diagnostic>) {
    let (value, key) = (ValueFormat::of(source), ValueFormat::of_key(source));
    found.extend(list(source, value));
    found.extend(listed_key(source, value, key));
    if value == ValueFormat::JSON {
        let listed = source.columns.iter().flat_map(|columns| &columns.value);
        found.extend(listed.filter_map(map_without_texts));
    }
    for (name, _) in &source.options {
        found.extend(of_other_format(name, vocabulary, value, key));
    }
}

/// Where the option `name` stands; the name of the source where it does not.
fn place(source: &SourceDef, name: &str) -> Span {
    source.options.iter().find(|(key, _)| key.value == name).map_or(source.name.span, |(_, value)| value.span)
}

/// A list of columns where the format has its own, or none where it needs one.
fn list(source: &SourceDef, value: ValueFormat) -> Option<Diagnostic> {
    let name = &source.name.value;
    match (&value.words().columns, &source.columns) {
        (ColumnsFrom::List, None) => {
            let message = format!("the source {} does not say which columns its events have", quoted(name));
            let help = format!("list them: CREATE TABLE {name} (id BIGINT NOT NULL, name STRING, ...) USING kafka");
            Some(Diagnostic::new("source-columns", source.name.span, message, "no columns").with_help(help))
        }
        (ColumnsFrom::List, Some(_)) | (_, None) => None,
        (ColumnsFrom::Registry, Some(columns)) => Some(
            Diagnostic::new(
                "source-columns",
                columns.span,
                "the registry has the columns of an Avro topic",
                "columns are not listed",
            )
            .with_help("take the list out; or, if the events are JSON, add 'value.format' = 'json' to the OPTIONS"),
        ),
        (ColumnsFrom::Format(single), Some(columns)) => {
            let of = written(single, How::Declared);
            let message = format!("a source of '{}' has one column, value {of}", value.name());
            Some(
                Diagnostic::new("source-columns", columns.span, message, "columns are not listed")
                    .with_help("take the list out, and make columns of value in the first table below"),
            )
        }
    }
}

/// A key of JSON without its column, or a listed column where that of the key will stand.
fn listed_key(source: &SourceDef, value: ValueFormat, key: Option<ValueFormat>) -> Option<Diagnostic> {
    let key = key?;
    let mut listed = source.columns.iter().flat_map(|columns| &columns.value);
    let listed = listed.find(|column| column.name.value == KEY);
    let columns = |format: ValueFormat| &format.words().columns;
    match (columns(key), columns(value), listed) {
        (ColumnsFrom::List, ColumnsFrom::List, None) if source.columns.is_some() => Some(
            Diagnostic::new(
                "source-columns",
                place(source, "key.format"),
                "the type of a key of JSON is that of the column `key`, which is not listed",
                "no column `key`",
            )
            .with_help("list it, as in key STRUCT<id: STRING>, or key STRING"),
        ),
        (ColumnsFrom::List, ColumnsFrom::Registry | ColumnsFrom::Format(_), _) => Some(
            Diagnostic::new(
                "conflicting-options",
                place(source, "key.format"),
                "a key of JSON has the type of a listed column, and only values of JSON have a list",
                "not beside these values",
            )
            .with_help("write 'key.format' = 'text', and from_json(key, ...) in the first table below"),
        ),
        (ColumnsFrom::Registry | ColumnsFrom::Format(_), _, Some(column)) => Some(
            Diagnostic::new(
                "reserved-name",
                column.name.span,
                format!("with 'key.format' = '{}' the column `key` is that of the events' keys", key.name()),
                "this name is taken",
            )
            .with_help("take the column out, or 'key.format'"),
        ),
        _ => None,
    }
}

/// A map whose keys are no texts, which JSON does not have.
fn map_without_texts(column: &DeclaredColumn) -> Option<Diagnostic> {
    use arrow::datatypes::DataType as D;
    fn wrong(data_type: &D) -> Option<&D> {
        match data_type {
            D::List(item) => wrong(item.data_type()),
            D::Struct(fields) => fields.iter().find_map(|field| wrong(field.data_type())),
            D::Map(entries, _) => match entries.data_type() {
                D::Struct(pair) if pair.len() == 2 && pair[0].data_type() == &D::Utf8 => wrong(pair[1].data_type()),
                _ => Some(data_type),
            },
            _ => None,
        }
    }
    let map = written(wrong(&column.data_type.value)?, How::Declared);
    let message = format!("the keys of a map in JSON are STRING, and {map} has others");
    Some(
        Diagnostic::new("unknown-type", column.data_type.span, message, "not a type of JSON")
            .with_help("write MAP<STRING, ...>, and cast its keys in the first table below"),
    )
}

/// An option of keys of Avro where they are in the format `key`, or in none.
fn of_other_keys(name: &Spanned<String>, key: Option<ValueFormat>) -> Diagnostic {
    let found = key.map_or_else(|| "bytes".to_owned(), |key| format!("in '{}'", key.name()));
    let message = format!("{} is of keys in 'avro', and those of this source are {found}", quoted(&name.value));
    Diagnostic::new("conflicting-options", name.span, message, "not of this format")
        .with_help("take it out, or write 'key.format' = 'avro'")
}

/// An option that says nothing of events in these formats.
fn of_other_format(
    name: &Spanned<String>,
    vocabulary: &Vocabulary,
    value: ValueFormat,
    key: Option<ValueFormat>,
) -> Option<Diagnostic> {
    let option = name.value.as_str();
    let has_schema = |format: ValueFormat| format.words().columns == ColumnsFrom::Registry;
    let (of, fits) = match option {
        "sample" => (ValueFormat::AVRO, value == ValueFormat::AVRO),
        "value.subject" | "value.schema.version" => (ValueFormat::AVRO, has_schema(value)),
        "key.subject" | "key.schema.version" => {
            return (!key.is_some_and(has_schema)).then(|| of_other_keys(name, key));
        }
        _ if option.starts_with("schema.registry.") => {
            (ValueFormat::AVRO, has_schema(value) || key.is_some_and(has_schema))
        }
        _ => {
            let is_its = |format: &ValueFormat| format.words().options.iter().any(|own| own.name == option);
            let of = vocabulary.formats().find(is_its)?;
            (of, value == of)
        }
    };
    let message = format!(
        "{} is of events in '{}', and those of this source are in '{}'",
        quoted(option),
        of.name(),
        value.name()
    );
    (!fits).then(|| {
        Diagnostic::new("conflicting-options", name.span, message, "not of this format")
            .with_help(format!("take it out, or write 'value.format' = '{}'", of.name()))
    })
}
