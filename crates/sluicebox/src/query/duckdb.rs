//! Queries by DuckDB, linked.
//!
//! Its Arrow is another major version than ours, so rows cross the border as text: DuckDB casts every column itself, and
//! writes JSON itself.
//!
//! Before it runs a statement DuckDB takes it apart (`json_serialize_sql`, which knows SELECT alone): what is none is refused, and
//! the tables that it names are made views of, no others. Then the door is shut: no file but those of the tables can be opened, no
//! setting changed.

mod words;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use duckdb::{Connection, InterruptHandle};
use serde_json::Value;
use sluicebox_pipeline::ask::{Asked, StatementKind, TableName};
use sluicebox_pipeline::ast::Span;
use sluicebox_pipeline::diagnostic::Diagnostic;
use sluicebox_sinks::TableFolder;
use sluicebox_sinks::parquet::view::View;
use tempfile::TempDir;

use super::Rows;
use super::tables::{self, Tables};
use super::text::{Gone, Text};
use words::{first_line, is_too_deep, lower_first, mistake, too_deep};

/// A row of the query; a column of this name would be taken for it.
const ROW: &str = "__sb_row";

/// A query that DuckDB runs, on a thread of its own: dropped, it stops.
#[derive(Default)]
pub struct Running(Connected);

/// The connection that a query runs on, once there is one.
type Connected = Arc<Mutex<Run>>;

/// How far a query has come.
#[derive(Default)]
pub struct Run {
    connection: Option<Arc<InterruptHandle>>,
    stopped: bool,
}

impl Running {
    /// Where the query puts its connection.
    pub fn connected(&self) -> Connected {
        Arc::clone(&self.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut run = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        run.stopped = true;
        // Of a query that has come to its end this stops nothing.
        if let Some(connection) = run.connection.take() {
            connection.interrupt();
        }
    }
}

/// Gives the rows of the statement `asked` of `text` to `taker`, every column as text; with `json` one column with an object a row. It can
/// be stopped once it is `connected`.
pub fn run(
    tables: &Tables,
    text: &Text,
    asked: &Asked,
    json: bool,
    taker: &mut dyn Rows,
    connected: &Mutex<Run>,
) -> anyhow::Result<()> {
    let connection = Connection::open_in_memory().context("cannot start DuckDB")?;
    {
        let mut run = connected.lock().unwrap_or_else(PoisonError::into_inner);
        anyhow::ensure!(!run.stopped, "the query was stopped");
        run.connection = Some(connection.interrupt_handle());
    }
    let sql = text.sql.get(asked.span.start..asked.span.end).unwrap_or_default();
    let _files = prepare(&connection, tables, text, asked)?;
    let wrapped = match (&asked.kind, json) {
        (StatementKind::Explain, _) => sql.to_owned(),
        (_, true) => format!("SELECT to_json({ROW})::VARCHAR AS json FROM ({sql}\n) AS {ROW}"),
        (_, false) => {
            let limit = taker.most_rows().map(|most| format!(" LIMIT {most}")).unwrap_or_default();
            format!("SELECT COLUMNS(*)::VARCHAR FROM ({sql}\n){limit}")
        }
    };
    let offset = wrapped.find(sql).unwrap_or(0);
    rows(&connection, &wrapped, taker).map_err(|error| {
        let Some(error) = error.downcast_ref::<duckdb::Error>() else { return error };
        let said = error.to_string();
        if said.contains("No such file or directory") || said.contains("No files found") {
            return Gone(said).into();
        }
        text.wrong(vec![mistake(&said, &wrapped, offset, asked.span)]).into()
    })
}

/// Makes views of the tables that `asked` names, and lets no other file be opened. Gives the folder of what memory does not hold, which is
/// removed when it is dropped.
fn prepare(connection: &Connection, tables: &Tables, text: &Text, asked: &Asked) -> anyhow::Result<TempDir> {
    connection.execute_batch("SET TimeZone = 'UTC'").context("cannot set DuckDB's time zone")?;
    // Under a name that nobody can guess, and for this user alone: other users may write to the folder around it.
    let files = tempfile::Builder::new()
        .prefix("sluicebox-query-")
        .tempdir()
        .context("cannot make a folder for temporary files")?;
    let (memory, path) = (super::MEMORY >> 20, files.path().display().to_string().replace('\'', "''"));
    let limits = format!("SET memory_limit = '{memory}MiB'; SET temp_directory = '{path}'");
    connection.execute_batch(&limits).context("cannot limit DuckDB's memory")?;
    let sql = text.sql.get(asked.span.start..asked.span.end).unwrap_or_default();
    let select = match asked.kind {
        StatementKind::Explain => explained(sql),
        _ => sql,
    };
    let base = asked.span.start + (sql.len() - select.len());
    let (mut unknown, mut allowed) = (Vec::new(), Vec::new());
    for name in named(connection, text, select, base)? {
        match tables.find(&name) {
            Ok(folder) => {
                create_view(connection, folder, &name)?;
                // DuckDB checks a glob against the allowed paths as it is written.
                for path in folder.paths() {
                    let path = std::path::absolute(path)?.display().to_string();
                    allowed.extend([as_it_is(&path), path.replace('\'', "''")]);
                }
            }
            Err(mistake) => unknown.push(*mistake),
        }
    }
    if !unknown.is_empty() {
        return Err(text.wrong(unknown).into());
    }
    shut(connection, &allowed)?;
    Ok(files)
}

/// What EXPLAIN stands before.
fn explained(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        let word = rest.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        if !["explain", "analyze", "verbose"].iter().any(|w| word.eq_ignore_ascii_case(w)) {
            return rest.trim_start();
        }
        rest = rest.trim_start().get(word.len()..).unwrap_or_default();
    }
}

/// Rows that are handed on at once.
const PORTION: usize = 8192;

/// Gives the rows of `sql` to `taker`. DuckDB keeps the whole result, in its own form: what it streams, its client hands on with a
/// panic for every error.
fn rows(connection: &Connection, sql: &str, taker: &mut dyn Rows) -> anyhow::Result<()> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let names = rows.as_ref().map(|s| s.column_names()).unwrap_or_default();
    let fields: Vec<Field> = names.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    loop {
        let mut builders: Vec<StringBuilder> = names.iter().map(|_| StringBuilder::new()).collect();
        let mut count = 0;
        while count < PORTION
            && let Some(row) = rows.next()?
        {
            for (i, builder) in builders.iter_mut().enumerate() {
                builder.append_option(row.get::<_, Option<String>>(i)?);
            }
            count += 1;
        }
        let columns = builders.iter_mut().map(|b| Arc::new(b.finish()) as ArrayRef).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        if taker.add(&batch)?.is_break() || count < PORTION {
            return Ok(());
        }
    }
}

/// No file but those that views name can be opened from here on, none written, and no setting changed.
fn shut(connection: &Connection, allowed: &[String]) -> anyhow::Result<()> {
    let allowed: Vec<String> = allowed.iter().map(|a| format!("'{a}'")).collect();
    let locked = connection.execute_batch(&format!(
        "SET allowed_directories = [{}]; SET enable_external_access = false; SET lock_configuration = true",
        allowed.join(", ")
    ));
    locked.context("cannot lock DuckDB")
}

/// The tables that `sql`, which begins at `base` of the text, names; refused if it is not one SELECT.
fn named(connection: &Connection, text: &Text, sql: &str, base: usize) -> anyhow::Result<Vec<TableName>> {
    let told: String = connection
        .query_row("SELECT json_serialize_sql(?::VARCHAR)::VARCHAR", [sql], |row| row.get(0))
        .context("DuckDB cannot take the query apart")?;
    let whole = Span { start: base, end: base + sql.len() };
    let told: Value = match serde_json::from_str(&told) {
        Ok(told) => told,
        Err(e) if e.to_string().starts_with("recursion limit exceeded") => {
            return Err(text.wrong(vec![too_deep(whole)]).into());
        }
        Err(e) => return Err(e).context("DuckDB took the query apart in a form that cannot be read"),
    };
    if told["error"] == Value::Bool(true) {
        let said = told["error_message"].as_str().unwrap_or("it cannot be read");
        if is_too_deep(said) {
            return Err(text.wrong(vec![too_deep(whole)]).into());
        }
        let place = told["position"]
            .as_str()
            .and_then(|p| p.parse().ok())
            .or_else(|| told["position"].as_u64().and_then(|p| usize::try_from(p).ok()));
        let span = place.map_or(whole, |at: usize| word_at(&text.sql, base + at));
        if told["error_type"] == "not implemented" {
            let diagnostic =
                Diagnostic::new("read-only", whole, "`query` only reads, one SELECT at a time", "no SELECT")
                    .with_help("write SELECT ... FROM <layer>.<table>");
            return Err(text.wrong(vec![diagnostic]).into());
        }
        return Err(text.wrong(vec![Diagnostic::new("syntax", span, lower_first(first_line(said)), "here")]).into());
    }
    if told["statements"].as_array().is_none_or(|all| all.len() != 1) {
        let diagnostic = Diagnostic::new("read-only", whole, "`query` runs one SELECT at a time", "");
        return Err(text.wrong(vec![diagnostic]).into());
    }
    let (mut found, mut given) = (Vec::new(), Vec::new());
    walk(&told, &text.sql, base, &mut found, &mut given);
    let is_given =
        |t: &TableName| matches!(t.parts.as_slice(), [one] if given.iter().any(|g| g.eq_ignore_ascii_case(one)));
    found.retain(|t| !is_given(t));
    Ok(found)
}

/// Collects the tables that a tree of DuckDB's names, and the names that WITH gives.
fn walk(node: &Value, sql: &str, base: usize, found: &mut Vec<TableName>, given: &mut Vec<String>) {
    match node {
        Value::Object(members) => {
            if members.get("type").is_some_and(|t| t == "BASE_TABLE") {
                let part = |key: &str| members.get(key).and_then(Value::as_str).filter(|p| !p.is_empty());
                let parts = ["catalog_name", "schema_name", "table_name"].into_iter().filter_map(part);
                let at = members.get("query_location").and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok());
                let span = at.map_or(Span { start: base, end: base }, |at| word_at(sql, base + at));
                found.push(TableName { parts: parts.map(str::to_owned).collect(), span });
            }
            if let Some(map) = members.get("cte_map").and_then(|m| m.get("map")).and_then(Value::as_array) {
                given.extend(map.iter().filter_map(|e| e.get("key").and_then(Value::as_str)).map(str::to_owned));
            }
            members.values().for_each(|inner| walk(inner, sql, base, found, given));
        }
        Value::Array(items) => items.iter().for_each(|inner| walk(inner, sql, base, found, given)),
        _ => {}
    }
}

/// The name, with its dots, that stands at byte `at`.
fn word_at(sql: &str, at: usize) -> Span {
    let rest = sql.get(at..).unwrap_or_default();
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '"');
    let len = rest.find(|c: char| !part(c)).unwrap_or(rest.len());
    Span { start: at, end: at + len.max(1) }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` in a pattern that stands for itself alone.
fn as_it_is(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '[' | '*' | '?' => out.extend(['[', c, ']']),
            '\'' => out.push_str("''"),
            c => out.push(c),
        }
    }
    out
}

fn create_view(connection: &Connection, table: &TableFolder, name: &TableName) -> anyhow::Result<()> {
    let view = tables::look(table)?;
    let [layer, written] = name.parts.as_slice() else { return Ok(()) };
    let (layer, written) = (quoted(layer), quoted(written));
    let select = if view.files.is_empty() { empty(&view) } else { over_files(&view) };
    let made = connection.execute_batch(&format!(
        "CREATE SCHEMA IF NOT EXISTS {layer}; CREATE OR REPLACE VIEW {layer}.{written} AS {select}"
    ));
    made.map_err(|e| anyhow::anyhow!("{}", first_line(&e.to_string())))
        .with_context(|| format!("table {}.{} cannot be read", table.layer, table.table))
}

/// The columns of a table without a file.
fn empty(view: &View) -> String {
    let fields = view.columns.iter().chain(&view.partitions);
    let columns: Vec<String> =
        fields.map(|f| format!("NULL::{} AS {}", type_of(f.data_type()), quoted(f.name()))).collect();
    format!("SELECT {} WHERE false", columns.join(", "))
}

fn over_files(view: &View) -> String {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    let files: Vec<String> = view.files.iter().map(|f| format!("'{}'", as_it_is(&absolute(&f.path)))).collect();
    let files = files.join(", ");
    let mut columns: Vec<String> = view.columns.iter().map(|f| quoted(f.name())).collect();
    columns.extend(view.partitions.iter().map(|f| {
        let name = quoted(f.name());
        // The folder of NULL is also that of the empty text.
        if f.is_nullable() || *f.data_type() != DataType::Utf8 {
            name
        } else {
            format!("COALESCE({name}, '') AS {name}")
        }
    }));
    let types: Vec<String> =
        view.partitions.iter().map(|f| format!("{}: '{}'", quoted(f.name()), type_of(f.data_type()))).collect();
    let hive = if types.is_empty() {
        "hive_partitioning = false".to_owned()
    } else {
        format!("hive_partitioning = true, hive_types = {{{}}}", types.join(", "))
    };
    format!("SELECT {} FROM read_parquet([{files}], {hive}, union_by_name = true)", columns.join(", "))
}

/// What DuckDB calls a type that partition columns are written in.
fn type_of(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INTEGER".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMPTZ".to_owned(),
        DataType::Timestamp(_, None) => "TIMESTAMP".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        _ => "VARCHAR".to_owned(),
    }
}
