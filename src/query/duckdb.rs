//! Queries by DuckDB, linked.
//!
//! Its Arrow is another major version than ours, so rows cross the border as text: DuckDB casts every column itself, and
//! writes JSON itself.
//!
//! Before it runs a statement DuckDB takes it apart (`json_serialize_sql`, which knows SELECT alone): what is none is refused, and
//! the tables that it names are made views of, no others. Then the door is shut: no file but those of the tables can be opened, no
//! setting changed.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use duckdb::{Connection, InterruptHandle};
use serde_json::Value;
use sluicebox_lake::TableFolder;
use sluicebox_lake::view::View;
use sluicebox_pipeline::ask::{Asked, Kind, TableName};
use sluicebox_pipeline::ast::Span;
use sluicebox_pipeline::bind::ASK_FOR_LESS;
use sluicebox_pipeline::diagnostic::{Diagnostic, nearest};
use tempfile::TempDir;

use super::tables::{self, Tables};
use super::text::{Gone, Text};
use super::{Format, Stdout};

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

/// Gives the rows of the statement `asked` of `text` to `printer`, every column as text; for [`Format::Json`] one column with an object a
/// row. It can be stopped once it is `connected`.
pub fn run(
    tables: &Tables,
    text: &Text,
    asked: &Asked,
    format: Format,
    printer: &mut Stdout,
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
    let wrapped = match (&asked.kind, format) {
        (Kind::Explain, _) => sql.to_owned(),
        (_, Format::Json) => format!("SELECT to_json({ROW})::VARCHAR AS json FROM ({sql}\n) AS {ROW}"),
        (_, Format::Table | Format::Csv | Format::SafeCsv) => {
            let limit = printer.most_rows().map(|most| format!(" LIMIT {most}")).unwrap_or_default();
            format!("SELECT COLUMNS(*)::VARCHAR FROM ({sql}\n){limit}")
        }
    };
    let offset = wrapped.find(sql).unwrap_or(0);
    rows(&connection, &wrapped, printer).map_err(|error| {
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
        Kind::Explain => explained(sql),
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

/// Rows that are printed at once.
const PORTION: usize = 8192;

/// Gives the rows of `sql` to `printer`. DuckDB keeps the whole result, in its own form: what it streams, its client hands on with a
/// panic for every error.
fn rows(connection: &Connection, sql: &str, printer: &mut Stdout) -> anyhow::Result<()> {
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
        if printer.add(&batch)?.is_break() || count < PORTION {
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

/// Whether DuckDB says so of a query that is nested deeper than it goes. It offers a setting, and `query` has none.
fn is_too_deep(said: &str) -> bool {
    ["Max expression depth limit", "memory exhausted at or near"].iter().any(|wording| said.contains(wording))
}

/// A query that is nested deeper than DuckDB, or who reads its tree, goes.
fn too_deep(at: Span) -> Diagnostic {
    Diagnostic::new("too-deep", at, "this is nested too deeply", "too many levels")
        .with_help("nest it less: ask in several queries, or write many comparisons with OR as one IN (...)")
}

/// What DuckDB says against `wrapped`, in which the statement at `span` of the text begins at `offset`.
fn mistake(said: &str, wrapped: &str, offset: usize, span: Span) -> Diagnostic {
    if is_too_deep(said) {
        return too_deep(span);
    }
    let mut at = span;
    // `LINE 1: SELECT nope FROM ...`, and below it a caret under the place.
    let mut lines = said.lines().skip_while(|line| !line.starts_with("LINE "));
    if let (Some(line), Some(caret)) = (lines.next(), lines.next())
        && let (Some((prefix, shown)), Some(column)) = (line.split_once(": "), caret.find('^'))
        && let Some(from) = column.checked_sub(prefix.len() + 2)
        && let Some(rest) = shown.get(from..)
        && let Some(place) = wrapped.find(rest.trim_end_matches("...")).and_then(|p| p.checked_sub(offset))
        && place < span.end - span.start
    {
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len()).max(1);
        at = Span { start: span.start + place, end: span.start + place + word };
    }
    let Told { code, message, help: way_on } = told(said);
    // The nearest comes first.
    let near = said.lines().find_map(|line| line.trim().strip_prefix("Candidate bindings: "));
    let near = near.and_then(|near| near.split('"').nth(1)).map(|name| name.rsplit('.').next().unwrap_or(name));
    let help = near.map(|near| format!("did you mean `{near}`?"));
    if let Some(name) = message.split_once("\" not found in FROM").and_then(|(head, _)| head.split('"').nth(1)) {
        let message = format!("there is no column `{name}`");
        let help = help.or_else(|| Some("DESCRIBE <layer>.<table> shows the columns".to_owned()));
        return Diagnostic::new("unknown-column", at, message, "no such column").with_help_opt(help);
    }
    Diagnostic::new(code, at, message, "").with_help(help.unwrap_or(way_on))
}

/// What DuckDB said, with the code of its kind and a way on.
struct Told {
    code: &'static str,
    message: String,
    help: String,
}

/// What wordings of DuckDB mean: a code, and the way on.
const WORDINGS: [(&str, &str, &str); 13] = [
    ("failed to allocate", "out-of-memory", ASK_FOR_LESS),
    ("could not allocate", "out-of-memory", ASK_FOR_LESS),
    ("must appear in the GROUP BY clause", "not-grouped", "add the column to GROUP BY, or aggregate it, as in max(x)"),
    ("clause cannot contain aggregates", "aggregate", "write the condition after HAVING"),
    ("cannot contain window functions", "aggregate", "compute it in a subquery, and ask for it outside"),
    (
        "More than one row returned by a subquery",
        "query",
        "aggregate it, as in (SELECT max(x) FROM ...), or ask with IN",
    ),
    ("Set operations can only apply", "type-mismatch", "give both the same columns in the same order"),
    (
        "Could not convert string",
        "bad-constant",
        "correct the value, or write TRY_CAST(x AS type), which is NULL for what cannot be cast",
    ),
    ("Could not choose a best candidate", "argument-types", "say which type is meant: CAST(x AS type)"),
    ("Unimplemented type for cast", "type-mismatch", "cast it to another type first, or take a function"),
    ("ORDER term out of range", "query", "name the column to order by"),
    (
        "Ambiguous reference to",
        "query",
        "write t.x with the name or alias of the table, and give each table of FROM another one",
    ),
    ("Referenced table", "query", "name a table of FROM, or the alias that it has there"),
];

/// The reason in words of SQL, and what to do about it.
fn told(said: &str) -> Told {
    let reason = first_line(said);
    if let Some(name) =
        reason.split_once("Function with name ").and_then(|(_, rest)| rest.split_once(" does not exist"))
    {
        return no_function(name.0.trim_matches('"'), said);
    }
    if let Some((_, rest)) = reason.split_once("No function matches the given name and argument types '")
        && let Some((call, _)) = rest.split_once("'.")
    {
        return no_such_call(call, said);
    }
    if let Some(name) = reason.split_once("Type with name ").and_then(|(_, rest)| rest.split_once(" does not exist")) {
        let help = "types are BOOLEAN, TINYINT, SMALLINT, INT, BIGINT, FLOAT, DOUBLE, DECIMAL(p, s), VARCHAR, BLOB, DATE, TIMESTAMP and \
                    TIMESTAMPTZ, with [] behind them for lists";
        return Told { code: "unknown-type", message: format!("there is no type `{}`", name.0), help: help.to_owned() };
    }
    let known = WORDINGS.iter().find(|(wording, ..)| reason.to_lowercase().contains(&wording.to_lowercase()));
    let otherwise =
        "DESCRIBE <layer>.<table> shows columns and their types; --engine datafusion takes the SQL of a pipeline";
    let (code, help) = known.map_or(("query", otherwise), |(_, code, help)| (*code, *help));
    Told { code, message: lower_first(reason.trim_end_matches('!')), help: help.to_owned() }
}

/// A function that DuckDB does not have; that a pipeline has it is worth a word.
fn no_function(name: &str, said: &str) -> Told {
    let state = sluicebox_pipeline::bind::functions::session_state(1);
    let lower = name.to_lowercase();
    let ours = state.scalar_functions().contains_key(&lower) || state.aggregate_functions().contains_key(&lower);
    let windows = state.window_functions().contains_key(&lower);
    let near =
        said.lines().find_map(|line| line.strip_prefix("Did you mean \"")).and_then(|rest| rest.split('"').next());
    let help = match near.and_then(|near| nearest(name, [near])) {
        _ if windows => format!("it looks at other rows: write {name}(...) OVER (ORDER BY ...)"),
        _ if ours => "it is one of a pipeline's: --engine datafusion has those".to_owned(),
        Some(near) => format!("did you mean `{near}`?"),
        None => "DuckDB's documentation lists its functions; --engine datafusion has those of a pipeline".to_owned(),
    };
    Told { code: "unknown-function", message: format!("there is no function `{name}`"), help }
}

/// Forms of a function that are shown.
const FORMS: usize = 4;

/// A function or operator that does not take what it is given: `call` is `upper(INTEGER, INTEGER_LITERAL)`.
fn no_such_call(call: &str, said: &str) -> Told {
    let (name, types) = call.split_once('(').unwrap_or((call, ")"));
    let types = types.trim_end_matches(')').replace("_LITERAL", "").replace("STRING", "VARCHAR");
    if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
        let message = format!("`{name}` does not take {}", types.replace(", ", " and "));
        return Told { code: "type-mismatch", message, help: "CAST one to the type of the other".to_owned() };
    }
    let message = match types.as_str() {
        "" => format!("{name} takes arguments, and is given none"),
        types => format!("{name} does not take ({types})"),
    };
    // `upper(VARCHAR) -> VARCHAR`
    let form = |line: &str| line.trim().split_once(" -> ").map(|(form, _)| form.to_owned());
    let is_form = |form: &String| form.starts_with(name) && form.as_bytes().get(name.len()) == Some(&b'(');
    let mut forms: Vec<String> = said.lines().filter_map(form).filter(is_form).collect();
    forms.dedup();
    let more = if forms.len() > FORMS { ", ..." } else { "" };
    let help = match forms.as_slice() {
        [] => "CAST the arguments to types that it takes, or remove or add some".to_owned(),
        some => format!("it takes {}{more}", some.iter().take(FORMS).cloned().collect::<Vec<_>>().join(", ")),
    };
    Told { code: "argument-types", message, help }
}

/// The reason, without DuckDB's name for its kind.
fn first_line(said: &str) -> &str {
    let line = said.lines().next().unwrap_or_default();
    match line.split_once(" Error: ") {
        Some((kind, reason)) if kind.chars().all(|c| c.is_alphabetic() || c == ' ') => reason,
        _ => line,
    }
}

/// `text` in lower case at its beginning; a word of SQL keeps its capitals.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => first.to_lowercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_query_refuses_is_not_offered() {
        let said = "Binder Error: Max expression depth limit of 1000 exceeded. Use \"SET max_expression_depth TO x\" to increase the \
                    maximum expression depth.";
        let mistake = mistake(said, "SELECT 1", 0, Span { start: 0, end: 8 });
        assert_eq!(mistake.code, "too-deep");
        assert!(!format!("{mistake:?}").contains("SET "), "{mistake:?}");
    }

    #[test]
    fn what_duckdb_says_gets_its_code_and_a_way_on() {
        for (said, code, message, help) in [
            (
                "Catalog Error: Scalar Function with name nosuch does not exist!\nDid you mean \"cosh\"?\n\nLINE 1: SELECT",
                "unknown-function",
                "there is no function `nosuch`",
                "DuckDB's documentation lists",
            ),
            (
                "Catalog Error: Scalar Function with name uper does not exist!\nDid you mean \"upper\"?",
                "unknown-function",
                "there is no function `uper`",
                "did you mean `upper`?",
            ),
            (
                "Catalog Error: Scalar Function with name date_format does not exist!",
                "unknown-function",
                "there is no function `date_format`",
                "--engine datafusion",
            ),
            (
                "Catalog Error: Scalar Function with name row_number does not exist!",
                "unknown-function",
                "there is no function `row_number`",
                "row_number(...) OVER (ORDER BY ...)",
            ),
            (
                "Binder Error: No function matches the given name and argument types 'upper(INTEGER, INTEGER_LITERAL)'. You might \
                 need to add explicit type casts.\n\tCandidate functions:\n\tupper(VARCHAR) -> VARCHAR\n\n\nLINE 1: SELECT",
                "argument-types",
                "upper does not take (INTEGER, INTEGER)",
                "it takes upper(VARCHAR)",
            ),
            (
                "Binder Error: No function matches the given name and argument types '+(INTEGER, VARCHAR)'. You might need to",
                "type-mismatch",
                "`+` does not take INTEGER and VARCHAR",
                "CAST one",
            ),
            (
                "Binder Error: WHERE clause cannot contain aggregates!",
                "aggregate",
                "WHERE clause cannot contain aggregates",
                "HAVING",
            ),
            ("Catalog Error: Type with name FOO does not exist!", "unknown-type", "there is no type `FOO`", "BIGINT"),
            (
                "Out of Memory Error: failed to allocate data of size 1.0 GiB (1.5 GiB/512.0 MiB used)",
                "out-of-memory",
                "failed to allocate data of size 1.0 GiB (1.5 GiB/512.0 MiB used)",
                "ask for less at once",
            ),
            ("Binder Error: Something else", "query", "something else", "DESCRIBE"),
        ] {
            let told = told(said);
            assert_eq!((told.code, told.message.as_str()), (code, message), "{said}");
            assert!(told.help.contains(help), "{said}: {}", told.help);
        }
    }
}
