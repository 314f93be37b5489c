//! Every code of an error has a page that says what it means, and the page's examples are what it says.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use sluicebox_core::provenance::{event_time_type, provenance_fields};
use sluicebox_formats::ErrorClass;
use sluicebox_pipeline::{bind, parse};

const PAGES: &str = include_str!("../docs/errors.md");
const SOURCE: &str = "CREATE TABLE orders USING kafka OPTIONS ('subscribe' = 'orders');\n";

/// The pages: a code, and what stands below it.
fn pages() -> Vec<(String, String)> {
    let parts = PAGES.split("\n### ").skip(1).map(|part| part.split("\n## ").next().unwrap());
    parts.map(|part| part.split_once('\n').unwrap()).map(|(code, text)| (code.to_owned(), text.to_owned())).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// Where a code stands: it is the first literal behind each of these.
const HEADS: [&str; 10] = [
    "Diagnostic::new(",
    "Diagnostic::warning(",
    "code: ",
    ".refuse(",
    ".at(",
    "at(p, ",
    "at(problem, ",
    "code: Some(",
    ".code = ",
    "Said::new(",
];

fn codes() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    for krate in std::fs::read_dir(root.join("crates")).unwrap() {
        sources(&krate.unwrap().path().join("src"), &mut files);
    }
    let is_code = |text: &str| text.len() > 2 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let mut codes = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for head in HEADS {
            for rest in text.split(head).skip(1) {
                let literal = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
                codes.extend(literal.filter(|code| is_code(code)).map(str::to_owned));
            }
        }
        if file.ends_with("engine/src/code.rs") || file.ends_with("formats/src/code.rs") {
            codes.extend(text.split('"').filter(|code| is_code(code)).map(str::to_owned));
        }
    }
    codes
}

#[test]
fn every_code_of_the_sources_has_a_page_and_every_page_a_code() {
    let codes = codes();
    assert!(codes.len() > 100, "the sources were read: {}", codes.len());
    let classes = ErrorClass::ALL.iter().map(|class| class.as_str().to_owned());
    let wanted: BTreeSet<String> = codes.into_iter().chain(classes).collect();
    let there: BTreeSet<String> = pages().into_iter().map(|(code, _)| code).collect();
    let without: Vec<_> = wanted.difference(&there).collect();
    assert!(without.is_empty(), "codes without a page in docs/errors.md: {without:?}");
    let stale: Vec<_> = there.difference(&wanted).collect();
    assert!(stale.is_empty(), "pages of codes that are nowhere: {stale:?}");
    assert_eq!(pages().len(), there.len(), "no code has two pages");
}

fn orders() -> SchemaRef {
    let text = || DataType::Utf8;
    let entries = vec![Field::new("key", text(), false), Field::new("value", text(), true)];
    let map = DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries.into()), false)), false);
    let mut fields: Vec<Arc<Field>> = [
        ("order_id", text()),
        ("customer", text()),
        ("amount", DataType::Decimal128(12, 2)),
        ("quantity", DataType::Int32),
        ("ts", event_time_type()),
        ("paid_at", event_time_type()),
        ("tags", DataType::List(Arc::new(Field::new_list_field(text(), true)))),
        ("address", DataType::Struct(Fields::from(vec![Field::new("city", text(), true)]))),
        ("attributes", map),
        ("_topic", text()),
    ]
    .into_iter()
    .map(|(name, data_type)| Arc::new(Field::new(name, data_type, true)))
    .collect();
    fields.extend(provenance_fields());
    Arc::new(Schema::new(fields))
}

/// The codes of what is wrong with an example.
fn found(example: &str) -> Vec<String> {
    let whole = if example.contains("CREATE TABLE orders") { example.to_owned() } else { format!("{SOURCE}{example}") };
    let schemas = BTreeMap::from([("orders".to_owned(), orders())]);
    let bound = parse("p.sql", &whole, &[]).and_then(|pipeline| bind::bind(pipeline, &schemas));
    let proved = match bound {
        Ok(graph) => {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(sluicebox_engine::prove(&graph, &bind::session_state(1)))
        }
        Err(found) => Err(found),
    };
    proved.err().map(|found| found.list().iter().map(|d| d.code.to_owned()).collect()).unwrap_or_default()
}

fn example<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("{word}:\n\n```sql\n"))?;
    rest.split_once("\n```").map(|(example, _)| example)
}

#[test]
fn what_a_page_calls_wrong_is_wrong_by_its_code_and_what_it_calls_right_is_right() {
    let mut mistakes = Vec::new();
    let mut shown = 0;
    for (code, text) in &pages() {
        if let Some(wrong) = example(text, "Wrong") {
            shown += 1;
            let found = found(wrong);
            if !found.contains(code) {
                mistakes.push(format!("{code}: the wrong example gives {found:?}:\n{wrong}"));
            }
        }
        if let Some(right) = example(text, "Right") {
            let found = found(right);
            if !found.is_empty() {
                mistakes.push(format!("{code}: the right example gives {found:?}:\n{right}"));
            }
        }
    }
    assert!(shown > 80, "the examples were read: {shown}");
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n\n"));
}

fn sluicebox(args: &[&str]) -> (Option<i32>, String, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_sluicebox")).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

#[test]
fn explain_prints_the_page_of_a_code_however_it_was_copied() {
    for asked in ["unknown-column", "error[unknown-column]:", "[unknown-column]", "UNKNOWN-COLUMN"] {
        let (status, out, _) = sluicebox(&["explain", asked]);
        assert_eq!(status, Some(0), "{asked}");
        assert!(out.starts_with("unknown-column\n\nThere is no column of this name"), "{out}");
        assert!(out.contains("Wrong:") && out.contains("Right:") && !out.contains("```"), "{out}");
    }
    let (status, out, _) = sluicebox(&["explain", "INVALID_MAGIC_BYTE"]);
    assert!(status == Some(0) && out.contains("framing"), "{out}");
    let (status, _, err) = sluicebox(&["explain", "unknown-colum"]);
    assert_eq!(
        (status, err.trim()),
        (Some(2), "error: there is no code `unknown-colum`; did you mean unknown-column?")
    );
    let (_, out, _) = sluicebox(&["explain"]);
    assert_eq!(out.lines().count(), pages().len(), "one line for each page");
}
