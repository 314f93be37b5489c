//! `sluicebox query`: SQL over every table below `data/`, read as any other reader would, from the files of the folders. By
//! DuckDB when built with the feature `duckdb`, else by DataFusion.
//!
//! It only reads: what would write is refused before an engine sees it ([`sluicebox_pipeline::ask`]).

mod cells;
mod edit;
mod far;
mod prompt;
mod show;

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use clap::{Args, ValueEnum};
use sluicebox::load::read_text;
use sluicebox::query::{Gone, Rows, Tables, Text, columns, compute, look};
use sluicebox_pipeline::ask::{self, Asked, StatementKind};

use crate::failure::Usage;

use show::Printer;

/// The printer of rows.
type Stdout = Printer<std::io::Stdout>;

/// SQL over every table below data/, as views <layer>.<table>
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluicebox query 'SELECT * FROM gold.revenue_5m ORDER BY window_start DESC LIMIT 12'
  sluicebox query 'SHOW TABLES'
  sluicebox query 'DESCRIBE silver.sales'
  sluicebox query -f report.sql --format csv > report.csv
  sluicebox query -f report.sql --safe-csv > for_a_spreadsheet.csv
  sluicebox query                               a prompt, on a terminal

It only reads: statements that write, or set something, are refused.")]
pub struct QueryArgs {
    /// The query, or several with semicolons between; without it and without -f a prompt on a terminal, else read from stdin
    #[arg(value_name = "SQL")]
    sql: Option<String>,
    /// A file with the query
    #[arg(short, long, value_name = "FILE", conflicts_with = "sql")]
    file: Option<PathBuf>,
    /// The folder of the tables
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// How to print rows; a table on a terminal, else csv
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// As JSON, for programs: the same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// With `'` before each text of the CSV that a spreadsheet would take for a formula
    #[arg(long, conflicts_with = "json")]
    safe_csv: bool,
    /// What computes the rows
    #[arg(long, value_enum, default_value_t)]
    engine: Engine,
}

/// How to print rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people, cut to the width of a terminal
    Table,
    /// Comma-separated, with a header
    Csv,
    /// The same under --safe-csv
    #[value(skip)]
    SafeCsv,
    /// One JSON object a line
    Json,
}

/// What computes the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// DuckDB
    #[cfg(feature = "duckdb")]
    #[cfg_attr(feature = "duckdb", default)]
    Duckdb,
    /// DataFusion, with the functions that a pipeline has
    #[cfg_attr(not(feature = "duckdb"), default)]
    Datafusion,
}

impl From<Engine> for sluicebox::query::Engine {
    fn from(engine: Engine) -> Self {
        match engine {
            #[cfg(feature = "duckdb")]
            Engine::Duckdb => Self::Duckdb,
            Engine::Datafusion => Self::Datafusion,
        }
    }
}

/// Runs the query, or asks for one after the other at a prompt.
pub async fn query(args: QueryArgs) -> anyhow::Result<()> {
    let terminal = std::io::stdout().is_terminal();
    let format =
        args.format.or(args.json.then_some(Format::Json)).unwrap_or(if terminal { Format::Table } else { Format::Csv });
    let format = match format {
        Format::Csv if args.safe_csv => Format::SafeCsv,
        Format::Table | Format::Json if args.safe_csv => {
            return Err(Usage("--safe-csv is of CSV alone: give --format csv with it".to_owned()).into());
        }
        format => format,
    };
    let data = home(&args.data);
    let text = match (args.sql, args.file) {
        (Some(sql), _) => Text { file: "query".to_owned(), sql },
        (None, Some(file)) => {
            let sql = read_text(&home(&file), &file.display().to_string())?;
            Text { file: file.display().to_string(), sql: without_bom(sql) }
        }
        (None, None) if std::io::stdin().is_terminal() && terminal => {
            return prompt::run(&data, format, args.engine).await;
        }
        (None, None) => {
            let mut sql = String::new();
            std::io::stdin().read_to_string(&mut sql).context("cannot read the query from stdin")?;
            Text { file: "stdin".to_owned(), sql: without_bom(sql) }
        }
    };
    let asked = ask::statements(&text.file, &text.sql)?;
    let tables = Tables::below(&data)?;
    if tables.is_empty() {
        let data = data.display();
        let none = format!("there are no tables below {data}: run a pipeline first, or name their folder with --data");
        return Err(Usage(none).into());
    }
    for asked in &asked {
        answer(&tables, &text, asked, format, args.engine).await?;
    }
    Ok(())
}

/// Prints what `asked` gives. A file that a compaction exchanges meanwhile is looked for anew, unless rows have been printed.
async fn answer(tables: &Tables, text: &Text, asked: &Asked, format: Format, engine: Engine) -> anyhow::Result<()> {
    let rows = |columns: Vec<(&str, ArrayRef)>| {
        let mut printer = Printer::stdout(format, false);
        let _ = printer.add(&RecordBatch::try_from_iter(columns)?)?;
        printer.end()
    };
    match &asked.kind {
        StatementKind::ShowTables => return rows(vec![("table", Arc::new(StringArray::from(tables.written())))]),
        StatementKind::Describe(name) => {
            let folder = tables.find(name).map_err(|mistake| text.wrong(vec![*mistake]))?;
            let columns = columns(&look(folder)?);
            let names = StringArray::from_iter_values(columns.iter().map(|(name, ..)| name));
            let types = StringArray::from_iter_values(columns.iter().map(|(_, r#type, _)| r#type));
            let partitions: BooleanArray = columns.iter().map(|(.., partition)| Some(*partition)).collect();
            return rows(vec![
                ("column", Arc::new(names)),
                ("type", Arc::new(types)),
                ("partition", Arc::new(partitions)),
            ]);
        }
        StatementKind::Rows | StatementKind::Explain => {}
    }
    let mut tries = 0;
    loop {
        tries += 1;
        let (printer, computed) = computed(tables, text, asked, format, engine).await?;
        match computed {
            Ok(()) => return printer.end(),
            Err(error) if error.is::<Gone>() && printer.has_printed() => {
                return Err(error.context("rows are missing from what was printed: ask again"));
            }
            Err(error) if tries < 3 && error.is::<Gone>() => {}
            Err(error) => return Err(error),
        }
    }
}

/// Computes and prints rows: the printer with those that are not printed yet, and whether there are more.
async fn computed(
    tables: &Tables,
    text: &Text,
    asked: &Asked,
    format: Format,
    engine: Engine,
) -> anyhow::Result<(Stdout, anyhow::Result<()>)> {
    let engine = sluicebox::query::Engine::from(engine);
    let json = format == Format::Json && asked.kind == StatementKind::Rows && engine.writes_json();
    let printer = Printer::stdout(format, json).of_plan(asked.kind == StatementKind::Explain);
    compute(engine, (tables, text, asked), json, printer).await
}

/// `path` with `~` at its beginning as the folder of the user: `--data=~/lake` comes as it is from most shells.
fn home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => path.to_owned(),
    }
}

/// A file of some editors begins with a mark that is no part of its text.
fn without_bom(text: String) -> String {
    match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}
