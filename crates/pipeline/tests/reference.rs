//! `docs/sql.md` says what the parser takes: its tables are those of the code, and its examples parse.
//!
//! `UPDATE_DOCS=1 cargo test -p sluicebox-pipeline --test reference` writes the tables.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use sluicebox_pipeline::ast::SourceKind;
use sluicebox_pipeline::settings::{KAFKA_PROPERTIES, PROPERTIES, SETTINGS};
use sluicebox_pipeline::{Vocabulary, parse, values::ValueType};

/// A row of a table, as it stands in the reference.
fn row(name: &str, value: ValueType, default: &str, doc: &str) -> String {
    format!("| `{name}` | {} | {default} | {doc} |\n", Vocabulary::default().describe(value))
}

fn table(head: &str, rows: impl Iterator<Item = String>) -> String {
    format!("| {head} | value | default | meaning |\n|---|---|---|---|\n{}", rows.collect::<String>())
}

/// The tables, by the names of their marks.
fn tables() -> [(&'static str, String); 4] {
    let vocabulary = Vocabulary::default();
    let options = vocabulary.options_of(SourceKind::KAFKA);
    [
        ("settings", table("key", SETTINGS.iter().map(|k| row(k.name, k.value, k.default, k.doc)))),
        ("options", table("option", options.map(|k| row(k.name, k.value, k.default, k.doc)))),
        ("properties", table("property", PROPERTIES.iter().map(|k| row(k.name, k.value, k.default, k.doc)))),
        (
            "kafka properties",
            table("property", KAFKA_PROPERTIES.iter().map(|k| row(k.name, k.value, k.default, k.doc))),
        ),
    ]
}

#[test]
fn the_tables_are_those_of_the_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sql.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut updated = text.clone();
    for (name, table) in tables() {
        let start = format!("<!-- {name} -->\n");
        let from = updated.find(&start).unwrap() + start.len();
        let to = from + updated[from..].find("<!-- end -->").unwrap();
        updated.replace_range(from..to, &table);
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, updated).unwrap();
        return;
    }
    assert_eq!(text, updated, "docs/sql.md is stale: UPDATE_DOCS=1 cargo test -p sluicebox-pipeline --test reference");
}

#[test]
fn every_example_parses() {
    let text = include_str!("../../../docs/sql.md");
    let mut examples = text.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let first = examples.next().unwrap();
    parse("docs/sql.md", first, &[]).unwrap_or_else(|d| panic!("{}", d.render(false)));
    let mut count = 0;
    for example in examples {
        let whole = format!("{}{example}", first.replace("SET 'pipeline.name' = 'orders';\n", ""));
        parse("docs/sql.md", &whole, &[]).unwrap_or_else(|d| panic!("{}", d.render(false)));
        count += 1;
    }
    assert!(count > 8);
}
