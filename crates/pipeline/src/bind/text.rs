//! The output of `plan` for people.

use std::fmt::{self, Write};

use super::describe::{Description, StateDescription, TableDescription};

/// Width of the words at the left.
const LEFT: usize = 14;

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "pipeline {}", self.pipeline)?;
        writeln!(f)?;
        let mut shown = Vec::new();
        for source in &self.sources {
            writeln!(f, "{} ({})", source.name, source.kind)?;
            self.branches(f, &source.name, "", &mut shown)?;
        }
        for table in &self.tables {
            writeln!(f)?;
            self.table(f, table)?;
        }
        Ok(())
    }
}

/// A step on one line: a backslash in it is one of a text, which SQL writes twice.
fn escaped(step: &str) -> String {
    step.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
}

impl Description {
    /// The tables that read `upstream`, with those below them; a table with several upstreams is shown in full once.
    fn branches<'d>(
        &'d self,
        f: &mut fmt::Formatter<'_>,
        upstream: &str,
        indent: &str,
        shown: &mut Vec<&'d str>,
    ) -> fmt::Result {
        let below: Vec<&TableDescription> =
            self.tables.iter().filter(|t| t.upstreams.iter().any(|u| u == upstream)).collect();
        for (i, table) in below.iter().enumerate() {
            let last = i + 1 == below.len();
            let (fork, bar) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            if shown.contains(&table.name.as_str()) {
                writeln!(f, "{indent}{fork}{} (as above)", table.name)?;
                continue;
            }
            shown.push(&table.name);
            let note = summary(table);
            let note = if note.is_empty() { note } else { format!("  {note}") };
            writeln!(f, "{indent}{fork}{}{note}", table.name)?;
            self.branches(f, &table.name, &format!("{indent}{bar}"), shown)?;
        }
        Ok(())
    }

    fn table(&self, f: &mut fmt::Formatter<'_>, table: &TableDescription) -> fmt::Result {
        writeln!(f, "table {}", table.name)?;
        row(f, "reads", &[table.upstreams.join(", ")])?;
        let partitions = match table.partitioned_by.as_slice() {
            [] => String::new(),
            columns => format!(", partitioned by {}", columns.join(", ")),
        };
        row(f, "writes", &[format!("{} ({}{partitions})", table.location, table.format)])?;
        row(f, "output mode", &[format!("{}, {}", table.output_mode, table.guarantee)])?;
        row(f, "watermark", &watermark(table, &self.pipeline))?;
        for flow in &table.flows {
            let name = if flow.name == table.name { "steps".to_owned() } else { format!("flow {}", flow.name) };
            let steps: Vec<String> =
                flow.steps.iter().enumerate().map(|(i, s)| format!("{}. {}", i + 1, escaped(s))).collect();
            row(f, &name, &steps)?;
        }
        let state: Vec<String> = table.state.iter().flat_map(state).collect();
        row(f, "state", &if state.is_empty() { vec!["none".to_owned()] } else { state })?;
        row(
            f,
            "expectations",
            &aligned(table.expectations.iter().map(|e| [e.name.clone(), e.action.to_owned(), e.condition.clone()])),
        )?;
        row(f, "ledger", &table.ledger_equation.split("; ").map(str::to_owned).collect::<Vec<_>>())?;
        row(
            f,
            "columns",
            &aligned(table.columns.iter().map(|c| {
                let mut notes = Vec::new();
                if !c.nullable {
                    notes.push("not null");
                }
                if c.event_time {
                    notes.push("event time");
                }
                if c.partition {
                    notes.push("partition");
                }
                [c.name.clone(), c.r#type.clone(), notes.join(", ")]
            })),
        )
    }
}

/// What a table is for, in the tree.
fn summary(table: &TableDescription) -> String {
    let mut words = Vec::new();
    for clause in table.watermark.iter().flat_map(|w| &w.clauses).filter(|c| c.here) {
        words.push(format!("watermark {} - {}", clause.column, clause.delay));
    }
    for state in &table.state {
        words.push(state.brief.clone());
    }
    if !table.expectations.is_empty() {
        let n = table.expectations.len();
        words.push(format!("{n} expectation{}", if n == 1 { "" } else { "s" }));
    }
    words.join(", ")
}

fn watermark(table: &TableDescription, pipeline: &str) -> Vec<String> {
    let Some(watermark) = &table.watermark else { return vec!["none".to_owned()] };
    let mut lines: Vec<String> = watermark
        .clauses
        .iter()
        .map(|c| {
            let late = || format!("; late rows go to data/late/{pipeline}/{}", table.name);
            let from = if c.here { late() } else { String::new() };
            format!("{} of {}, delay {} ({}){from}", c.column, c.upstream, c.delay, c.id)
        })
        .collect();
    if watermark.clauses.len() > 1 {
        lines.push("together: the smallest of them".to_owned());
    }
    lines
}

fn state(state: &StateDescription) -> Vec<String> {
    let keys = if state.keys.is_empty() { String::new() } else { format!(" ({})", state.keys.join(", ")) };
    let until = if state.bounded { "until" } else { "kept" };
    vec![format!("{}: {}{keys}", state.id, state.holds), format!("  {until} {}", state.until)]
}

/// Cells in columns, the last one ragged.
fn aligned(rows: impl Iterator<Item = [String; 3]>) -> Vec<String> {
    let rows: Vec<[String; 3]> = rows.collect();
    let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
    let (a, b) = (width(0), width(1));
    rows.iter().map(|r| format!("{:a$}  {:b$}  {}", r[0], r[1], r[2]).trim_end().to_owned()).collect()
}

/// A word at the left, lines at the right; nothing without lines.
fn row(f: &mut fmt::Formatter<'_>, name: &str, lines: &[String]) -> fmt::Result {
    let mut left = name.to_owned();
    for line in lines {
        let mut out = String::new();
        write!(out, "  {left:LEFT$}{}{line}", if left.chars().count() >= LEFT { " " } else { "" })?;
        writeln!(f, "{}", out.trim_end())?;
        left.clear();
    }
    Ok(())
}
