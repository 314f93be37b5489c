//! Rows on stdout: a table that fits the terminal, CSV or JSON.
//!
//! What a cell holds is text: a table is for people, and has it written out; so have CSV and JSON on a terminal. To programs they give the
//! bytes as they are.

use std::io::{ErrorKind, IsTerminal, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use console::{measure_text_width, truncate_str};
use sluicebox::query::Rows;
use sluicebox_core::shown::{in_json, shown, shown_lines};

use crate::failure::Usage;

use super::Format;
use super::cells::{bytes as bytes_of, finite, guarded, mapped};
use super::far;

#[cfg(test)]
mod tests;

/// Rows of a table that a terminal gets; the rest is counted.
const MOST_ROWS: usize = 1000;

/// Rows that are read for a table on a terminal: no more are counted.
const MOST_COUNTED: usize = 100_000;

/// The narrowest that a column is cut to: less tells nothing.
const NARROW: usize = 6;

/// Bytes that are held back before the first are printed. Until then a query can begin anew.
const HELD: usize = 1 << 20;

/// Bytes of rows that are held for a table into a pipe or file.
const MOST_BYTES: usize = 64 << 20;

/// Why there is no table of so many rows.
const TOO_LARGE: &str = "a table into a pipe or file is printed when all its rows are there, of 64 MiB at most";

/// Prints rows as they come.
#[derive(Debug)]
pub struct Printer<W> {
    out: W,
    form: Form,
    /// What is to be printed next.
    held: Vec<u8>,
    printed: bool,
    /// Whether a batch has come, so that the header is written.
    begun: bool,
    /// Whether a terminal takes what is printed.
    on_terminal: bool,
    /// Whether no text of CSV may be taken for a formula.
    is_guarded: bool,
    /// Whether the rows are a plan, whose cells have several lines, all of them the engine's.
    is_plan: bool,
}

#[derive(Debug)]
enum Form {
    Csv,
    Json,
    /// One column, whose texts are lines.
    Lines,
    /// The first rows, to be fitted into a width, and how many rows there are.
    Fitted {
        first: Vec<RecordBatch>,
        all: usize,
        width: usize,
    },
    /// All rows, and how many bytes they are: the widest value of each column decides how wide the table is.
    Whole {
        batches: Vec<RecordBatch>,
        bytes: usize,
    },
}

impl Printer<std::io::Stdout> {
    /// A printer on stdout. `lines`: the rows are lines of JSON already.
    pub fn stdout(format: Format, lines: bool) -> Self {
        let out = std::io::stdout();
        let on_terminal = out.is_terminal();
        let form = match format {
            _ if lines => Form::Lines,
            Format::Table if on_terminal => {
                let (_, columns) = console::Term::stdout().size();
                Form::Fitted { first: Vec::new(), all: 0, width: usize::from(columns) }
            }
            Format::Table => Form::Whole { batches: Vec::new(), bytes: 0 },
            Format::Csv | Format::SafeCsv => Form::Csv,
            Format::Json => Form::Json,
        };
        Self { on_terminal, is_guarded: format == Format::SafeCsv, ..Self::new(out, form) }
    }
}

impl<W: Write> Printer<W> {
    fn new(out: W, form: Form) -> Self {
        Self {
            out,
            form,
            held: Vec::new(),
            printed: false,
            begun: false,
            on_terminal: false,
            is_guarded: false,
            is_plan: false,
        }
    }

    /// The same for what EXPLAIN gives, if `is_plan`.
    pub fn of_plan(self, is_plan: bool) -> Self {
        Self { is_plan, ..self }
    }

    /// Whether something has been printed, so that the rows cannot be computed anew.
    pub fn has_printed(&self) -> bool {
        self.printed
    }

    /// Takes the next rows; breaks off when no more are wanted: a table is full, or nobody reads any more.
    fn taken(&mut self, batch: &RecordBatch) -> anyhow::Result<ControlFlow<()>> {
        let batch = &far::printable(batch)?;
        match &mut self.form {
            Form::Csv => {
                let builder = datafusion::arrow::csv::WriterBuilder::new().with_header(!self.begun);
                let mut cells = flat(batch)?;
                if self.is_guarded {
                    cells = mapped(&cells, guarded)?;
                }
                if self.on_terminal {
                    cells = mapped(&cells, shown)?;
                }
                builder.build(&mut self.held).write(&cells)?;
            }
            Form::Json => {
                // Every row has every column, so that programs need not know which may be missing.
                let builder = WriterBuilder::new().with_explicit_nulls(true);
                let mut writer = builder.build::<_, LineDelimited>(&mut self.held);
                writer.write(batch)?;
                writer.finish()?;
            }
            Form::Lines => {
                for line in batch.columns().first().iter().flat_map(|c| c.as_string::<i32>().iter().flatten()) {
                    self.held.extend_from_slice(finite(line).as_bytes());
                    self.held.push(b'\n');
                }
            }
            Form::Fitted { first, all, .. } => {
                let room = MOST_ROWS.saturating_sub(*all).min(batch.num_rows());
                if room > 0 || first.is_empty() {
                    first.push(batch.slice(0, room));
                }
                *all += batch.num_rows();
                if *all >= MOST_COUNTED {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Form::Whole { batches, bytes } => {
                for column in batch.columns() {
                    *bytes += bytes_of(&column.to_data())?;
                }
                if *bytes > MOST_BYTES {
                    return Err(
                        Usage(format!("{TOO_LARGE}: ask for less, or --format csv or json, which hold none")).into()
                    );
                }
                batches.push(batch.clone());
            }
        }
        self.begun = true;
        if self.held.len() < HELD { Ok(ControlFlow::Continue(())) } else { self.print() }
    }

    /// Prints what is left.
    pub fn end(mut self) -> anyhow::Result<()> {
        match &mut self.form {
            Form::Fitted { first, all, width } => {
                self.held = fitted(first, *width, MOST_ROWS, *all, self.is_plan)?.into_bytes();
            }
            Form::Whole { batches, .. } => {
                let batches = std::mem::take(batches);
                self.whole(&batches)?;
            }
            Form::Csv | Form::Json | Form::Lines => {}
        }
        self.print().map(|_| ())
    }

    /// Prints all rows as a table, in portions: cells are as wide as the widest of their column.
    fn whole(&mut self, batches: &[RecordBatch]) -> anyhow::Result<()> {
        let Some(first) = batches.first() else { return Ok(()) };
        let names: Vec<String> = first.schema_ref().fields().iter().map(|f| shown(f.name()).into_owned()).collect();
        let mut widths: Vec<usize> = names.iter().map(|name| width_of(name)).collect();
        each_row(batches, self.is_plan, |row| {
            for (width, cell) in widths.iter_mut().zip(&row) {
                *width = (*width).max(width_of(cell));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let rule = rule(&widths);
        self.held = [rule.as_str(), &line(&names, &widths), &rule].concat().into_bytes();
        each_row(batches, self.is_plan, |row| {
            self.held.extend_from_slice(line(&row, &widths).as_bytes());
            if self.held.len() < HELD { Ok(ControlFlow::Continue(())) } else { self.print() }
        })?;
        self.held.extend_from_slice(rule.as_bytes());
        Ok(())
    }

    /// A reader that goes away (`| head`) wants no more, and is no error.
    fn print(&mut self) -> anyhow::Result<ControlFlow<()>> {
        self.printed |= !self.held.is_empty();
        if self.on_terminal && matches!(self.form, Form::Json | Form::Lines) {
            let json = in_json(&String::from_utf8_lossy(&self.held)).into_owned();
            self.held = json.into_bytes();
        }
        let printed = self.out.write_all(&self.held).and_then(|()| self.out.flush());
        self.held.clear();
        match printed {
            Ok(()) => Ok(ControlFlow::Continue(())),
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
            Err(e) => Err(e.into()),
        }
    }
}

impl<W: Write + Send> Rows for Printer<W> {
    fn add(&mut self, batch: &RecordBatch) -> anyhow::Result<ControlFlow<()>> {
        self.taken(batch)
    }

    fn most_rows(&self) -> Option<usize> {
        matches!(self.form, Form::Fitted { .. }).then_some(MOST_COUNTED)
    }
}

/// Lists, structs and maps as the text that a table would show, and bytes as hexadecimal digits, for CSV has neither.
fn flat(batch: &RecordBatch) -> anyhow::Result<RecordBatch> {
    let options = FormatOptions::default();
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let binary = matches!(field.data_type(), DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
        if !field.data_type().is_nested() && !binary {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
            continue;
        }
        let formatter = ArrayFormatter::try_new(column, &options)?;
        let text: StringArray =
            (0..column.len()).map(|row| column.is_valid(row).then(|| formatter.value(row).to_string())).collect();
        fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
        columns.push(Arc::new(text));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// The first `most` rows of `all` as a table of `width` characters at most: the widest columns are cut first, their cells end with `…`,
/// and columns that have no room at all are counted below. Those of a plan keep their lines.
fn fitted(batches: &[RecordBatch], width: usize, most: usize, all: usize, is_plan: bool) -> anyhow::Result<String> {
    let Some(first) = batches.first() else { return Ok(String::new()) };
    let names: Vec<String> = first.schema_ref().fields().iter().map(|f| shown(f.name()).into_owned()).collect();
    let rows = cells(batches, most, is_plan)?;
    let wanted: Vec<usize> = (0..names.len())
        .map(|i| rows.iter().filter_map(|r| r.get(i)).chain(names.get(i)).map(|cell| width_of(cell)).max().unwrap_or(0))
        .collect();
    let widths = widths(&wanted, width);
    let rule = rule(&widths);
    let mut text = rule.clone();
    text.push_str(&line(&names, &widths));
    text.push_str(&rule);
    for row in &rows {
        text.push_str(&line(row, &widths));
    }
    text.push_str(&rule);
    let mut more = Vec::new();
    if all > rows.len() {
        let over = if all >= MOST_COUNTED { "over " } else { "" };
        let left = all.min(MOST_COUNTED) - rows.len();
        more.push(format!("{over}{left} more row{}", if left == 1 { "" } else { "s" }));
    }
    let hidden = names.get(widths.len()..).unwrap_or_default();
    if !hidden.is_empty() {
        let plural = if hidden.len() == 1 { "" } else { "s" };
        more.push(format!("{} more column{plural} ({})", hidden.len(), hidden.join(", ")));
    }
    if !more.is_empty() {
        let note = format!("and {}; name columns, or --format csv or json", more.join(", "));
        text.push_str(&truncate_str(&note, width.max(NARROW), "…"));
        text.push('\n');
    }
    Ok(text)
}

/// The cells of the first `most` rows.
fn cells(batches: &[RecordBatch], most: usize, is_plan: bool) -> anyhow::Result<Vec<Vec<String>>> {
    let mut rows = Vec::new();
    each_row(batches, is_plan, |row| {
        if rows.len() == most {
            return Ok(ControlFlow::Break(()));
        }
        rows.push(row);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(rows)
}

/// Gives the cells of each row to `take` until it breaks off, NULL as nothing.
fn each_row(
    batches: &[RecordBatch],
    is_plan: bool,
    mut take: impl FnMut(Vec<String>) -> anyhow::Result<ControlFlow<()>>,
) -> anyhow::Result<()> {
    let text = |cell: String| match is_plan {
        true => shown_lines(cell.trim_end()).into_owned(),
        false => shown(&cell).into_owned(),
    };
    let options = FormatOptions::default();
    for batch in batches {
        let formatters = batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options));
        let formatters = formatters.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            if take(formatters.iter().map(|f| text(f.value(row).to_string())).collect())?.is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// How wide the widest line of `cell` is.
fn width_of(cell: &str) -> usize {
    cell.split('\n').map(measure_text_width).max().unwrap_or(0)
}

/// The line above and below the rows.
fn rule(widths: &[usize]) -> String {
    format!("+{}+\n", widths.iter().map(|w| "-".repeat(w + 2)).collect::<Vec<_>>().join("+"))
}

/// How wide each column is, of those that have room.
fn widths(wanted: &[usize], width: usize) -> Vec<usize> {
    // `| ` before each column, ` ` behind, and `|` at the end.
    let room = |columns: usize| width.saturating_sub(columns * 3 + 1);
    let mut shown = wanted.len();
    while shown > 1 && wanted.iter().take(shown).map(|w| (*w).min(NARROW)).sum::<usize>() > room(shown) {
        shown -= 1;
    }
    let mut widths: Vec<usize> = wanted.iter().take(shown).copied().collect();
    let room = room(shown).max(NARROW);
    while widths.iter().sum::<usize>() > room {
        let over = widths.iter().sum::<usize>() - room;
        let widest = widths.iter().copied().max().unwrap_or(0);
        let next = widths.iter().copied().filter(|w| *w < widest).max().unwrap_or(0);
        let at: Vec<usize> = (0..widths.len()).filter(|i| widths.get(*i) == Some(&widest)).collect();
        // As far as the next widest, or as far as is needed, for all that are as wide.
        let cut = (widest - next).min(over.div_ceil(at.len().max(1))).max(1);
        for i in at {
            if let Some(w) = widths.get_mut(i) {
                *w = w.saturating_sub(cut).max(1);
            }
        }
        if widest <= 1 {
            break;
        }
    }
    widths
}

/// A row, of as many lines as the cell that has most.
fn line(cells: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for at in 0..cells.iter().map(|cell| cell.split('\n').count()).max().unwrap_or(1) {
        for (cell, width) in cells.iter().zip(widths) {
            let cell = truncate_str(cell.split('\n').nth(at).unwrap_or_default(), *width, "…");
            let pad = width.saturating_sub(measure_text_width(&cell));
            text.push_str(&format!("| {cell}{} ", " ".repeat(pad)));
        }
        text.push_str("|\n");
    }
    text
}
