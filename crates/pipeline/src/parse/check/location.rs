//! Where tables are written.

use crate::ast::{Span, TableDef, Using};
use crate::diagnostic::Diagnostic;
use crate::values::{check_path, local_path};

/// Folders that runs write to beside tables: no table may be there.
const OURS: &[&str] = &["data/dq", "data/quarantine", "data/dead_letters", "data/late", "data/.log", "checkpoints"];

/// Where a table without LOCATION is written: a prefix chooses its layer.
pub(crate) fn default_location(table: &str) -> String {
    for layer in ["bronze", "silver", "gold"] {
        if let Some(rest) = table.strip_prefix(layer).and_then(|r| r.strip_prefix('_'))
            && !rest.is_empty()
        {
            return format!("data/{layer}/{rest}");
        }
    }
    format!("data/tables/{table}")
}

/// Every table is written to a folder of its own.
pub(super) fn check(tables: &[TableDef], found: &mut Vec<Diagnostic>) {
    let mut places: Vec<(Vec<String>, Span, &str, String)> = Vec::new();
    for table in tables.iter().filter(|table| table.using() == Using::Parquet) {
        let (path, span) = match &table.location {
            Some(location) => (location.value.clone(), location.span),
            None => (default_location(&table.name.value), table.name.span),
        };
        if let Err(problem) = check_path("LOCATION", &path) {
            found.push(problem.at("location", span));
            continue;
        }
        let parts = components(&path);
        let path = if parts.first().is_some_and(|p| p == "/") {
            format!("/{}", parts[1..].join("/"))
        } else {
            parts.join("/")
        };
        if parts.is_empty() || path == "/" {
            found.push(
                Diagnostic::new("location", span, "a table needs a folder of its own", "not a folder of its own")
                    .with_help("write a path, as in 'data/silver/sales'"),
            );
            continue;
        }
        if let Some(ours) = OURS.iter().find(|ours| overlap(&components(ours), &parts)) {
            found.push(
                Diagnostic::new(
                    "location",
                    span,
                    format!("runs keep their own files in {ours}"),
                    if path == **ours { "no place for a table" } else { "overlaps with it" },
                )
                .with_help("write a path, as in 'data/silver/sales'"),
            );
            continue;
        }
        if let Some((other_parts, other, name, _)) = places.iter().find(|(p, ..)| overlap(p, &parts)) {
            let same = *other_parts == parts;
            let message = if same {
                format!("two tables are written to {path}")
            } else {
                format!("{path} lies within the folder of another table, or around it")
            };
            found.push(
                Diagnostic::new("duplicate-location", span, message, format!("the folder of {}", table.name.value))
                    .with_help(
                        "give each table a folder of its own: readers take every file below it for a row of the table",
                    )
                    .with_related(*other, format!("the folder of {name}")),
            );
        }
        places.push((parts, span, &table.name.value, path));
    }
}

/// Whether one is the other, or lies within it.
fn overlap(a: &[String], b: &[String]) -> bool {
    a.iter().zip(b).all(|(x, y)| x == y)
}

/// The parts of a path without `.`, `..`, empty ones and `file:`; the first is `/` if it is absolute.
fn components(path: &str) -> Vec<String> {
    let path = local_path(path);
    let mut parts: Vec<String> = if path.starts_with('/') { vec!["/".to_owned()] } else { Vec::new() };
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last().map(String::as_str) {
                Some("/") => {}
                None | Some("..") => parts.push("..".to_owned()),
                Some(_) => {
                    parts.pop();
                }
            },
            part => parts.push(part.to_owned()),
        }
    }
    parts
}
