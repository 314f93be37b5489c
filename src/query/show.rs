//! Rows on stdout: a table that fits the terminal, CSV or JSON.
//!
//! What a cell holds is text: a table is for people, and has it written out; so have CSV and JSON on a terminal. To programs they give the
//! bytes as they are.

use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use console::{measure_text_width, truncate_str};
use sluicebox_core::shown::{in_json, shown, shown_lines};

use super::Format;
use super::cells::{guarded, mapped};
use super::far;

/// Rows of a table that a terminal gets; the rest is counted.
const MOST_ROWS: usize = 1000;

/// Rows that are read for a table on a terminal: no more are counted.
const MOST_COUNTED: usize = 100_000;

/// The narrowest that a column is cut to: less tells nothing.
const NARROW: usize = 6;

/// Bytes that are held back before the first are printed. Until then a query can begin anew.
const HELD: usize = 1 << 20;

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
    /// All rows: the widest value of each column decides how wide the table is.
    Whole(Vec<RecordBatch>),
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
            Format::Table => Form::Whole(Vec::new()),
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

    /// The most rows that are of any use, if not all are.
    #[cfg(feature = "duckdb")]
    pub fn most_rows(&self) -> Option<usize> {
        matches!(self.form, Form::Fitted { .. }).then_some(MOST_COUNTED)
    }

    /// Takes the next rows; breaks off when no more are wanted: a table is full, or nobody reads any more.
    pub fn add(&mut self, batch: &RecordBatch) -> anyhow::Result<ControlFlow<()>> {
        let batch = &far::printable(batch)?;
        match &mut self.form {
            Form::Csv => {
                let builder = ::datafusion::arrow::csv::WriterBuilder::new().with_header(!self.begun);
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
            Form::Whole(batches) => batches.push(batch.clone()),
        }
        self.begun = true;
        if self.held.len() < HELD { Ok(ControlFlow::Continue(())) } else { self.print() }
    }

    /// Prints what is left.
    pub fn end(mut self) -> anyhow::Result<()> {
        match &self.form {
            Form::Fitted { first, all, width } => {
                self.held = fitted(first, *width, MOST_ROWS, *all, self.is_plan)?.into_bytes();
            }
            Form::Whole(batches) => {
                self.held = fitted(batches, usize::MAX, usize::MAX, 0, self.is_plan)?.into_bytes();
            }
            Form::Csv | Form::Json | Form::Lines => {}
        }
        self.print().map(|_| ())
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
    let width_of = |cell: &String| cell.split('\n').map(measure_text_width).max().unwrap_or(0);
    let wanted: Vec<usize> = (0..names.len())
        .map(|i| rows.iter().filter_map(|r| r.get(i)).chain(names.get(i)).map(width_of).max().unwrap_or(0))
        .collect();
    let widths = widths(&wanted, width);
    let rule = format!("+{}+\n", widths.iter().map(|w| "-".repeat(w + 2)).collect::<Vec<_>>().join("+"));
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

/// The cells of the first `most` rows, NULL as nothing.
fn cells(batches: &[RecordBatch], most: usize, is_plan: bool) -> anyhow::Result<Vec<Vec<String>>> {
    let text = |cell: String| match is_plan {
        true => shown_lines(cell.trim_end()).into_owned(),
        false => shown(&cell).into_owned(),
    };
    let options = FormatOptions::default();
    let mut rows = Vec::new();
    for batch in batches {
        let formatters = batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options));
        let formatters = formatters.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows().min(most - rows.len()) {
            rows.push(formatters.iter().map(|f| text(f.value(row).to_string())).collect());
        }
    }
    Ok(rows)
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

/// DuckDB's JSON with `null` for NaN and the infinities, which JSON has no words for.
fn finite(line: &str) -> Cow<'_, str> {
    if !["NaN", "Infinity"].iter().any(|word| line.contains(word)) {
        return line.into();
    }
    let (mut out, mut rest) = (String::with_capacity(line.len()), line);
    while let Some(c) = rest.chars().next() {
        let word = ["NaN", "-Infinity", "Infinity"].into_iter().find(|word| rest.starts_with(word));
        let taken = match (word, c) {
            (Some(word), _) => {
                out.push_str("null");
                rest = &rest[word.len()..];
                continue;
            }
            (None, '"') => text_end(rest),
            (None, c) => c.len_utf8(),
        };
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out.into()
}

/// How long the text is that `json` begins with, its quotes among it.
fn text_end(json: &str) -> usize {
    let mut escaped = false;
    for (at, c) in json.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use arrow::array::{Date32Array, Int64Array, StructArray, TimestampMicrosecondArray};
    use proptest::prelude::*;

    use super::*;

    fn rows(columns: &[(&str, &[&str])]) -> Vec<RecordBatch> {
        let columns = columns.iter().map(|(n, v)| (*n, Arc::new(StringArray::from(v.to_vec())) as ArrayRef));
        vec![RecordBatch::try_from_iter(columns).unwrap()]
    }

    #[test]
    fn what_fits_is_not_cut_and_what_does_not_is_cut_where_it_is_widest() {
        let batches = rows(&[("id", &["1", "22"]), ("name", &["a fairly long name", "b\nc"])]);
        let whole = fitted(&batches, 80, 10, 2, false).unwrap();
        assert!(whole.contains("| 1  | a fairly long name |\n| 22 | b\\nc "), "{whole}");
        let cut = fitted(&batches, 20, 10, 2, false).unwrap();
        assert!(cut.contains("| 1  | a fairly l… |"), "{cut}");
        assert!(cut.lines().all(|l| measure_text_width(l) <= 20), "{cut}");
        let plan = fitted(&batches, 80, 10, 2, true).unwrap();
        assert!(plan.contains("| 22 | b                  |\n|    | c                  |\n"), "{plan}");
    }

    /// What clears a terminal, names its window, turns the direction of writing, and begins another row.
    const HOSTILE: &str = "a\u{1b}[2J\u{1b}]0;pwned\u{7}\r\n| 9 | \u{202e}\u{9b}31m\u{7f}\tb";

    #[test]
    fn what_a_cell_holds_is_text_on_a_terminal_and_in_every_table() {
        let batch = rows(&[("k", &["1", "2"]), (HOSTILE, &[HOSTILE, "plain"])]).remove(0);
        let printed = |form: Form, on_terminal: bool| {
            let mut out = Vec::new();
            let mut printer = Printer { on_terminal, ..Printer::new(&mut out, form) };
            assert!(printer.add(&batch).unwrap().is_continue());
            printer.end().unwrap();
            String::from_utf8(out).unwrap()
        };
        let fitted = || Form::Fitted { first: Vec::new(), all: 0, width: 500 };
        let tables = [(Form::Whole(Vec::new()), false), (Form::Whole(Vec::new()), true), (fitted(), true)];
        for (form, on_terminal) in tables.into_iter().chain([(Form::Csv, true), (Form::Json, true)]) {
            let text = printed(form, on_terminal);
            assert!(!text.replace('\n', "").contains(sluicebox_core::shown::acts), "{text:?}");
            assert!(text.lines().count() <= 6 && text.contains("[2J") && text.contains("plain"), "{text}");
        }
        // Programs get what is there.
        let csv = printed(Form::Csv, false);
        assert!(csv.contains(&format!("1,\"{HOSTILE}\"\n")), "{csv:?}");
        let json = printed(Form::Json, false);
        let row: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
        assert_eq!(row[HOSTILE], HOSTILE);
        assert!(json.contains('\u{202e}'), "{json:?}");
        let shown = printed(Form::Json, true);
        assert_eq!(serde_json::from_str::<serde_json::Value>(shown.lines().next().unwrap()).unwrap(), row);
    }

    #[test]
    fn times_of_any_year_are_printed_in_every_form() {
        // 2024-02-29, and a year that Arrow's calendar does not have; of the timestamps, 290,000 years after 1970.
        let days: ArrayRef =
            Arc::new(Date32Array::from(vec![Some(19_782), Some(200_758_000), Some(-200_758_000), None]));
        let far = 9_000_000_000_000_500_000;
        let micros = TimestampMicrosecondArray::from(vec![Some(1_709_208_000_500_000), Some(far), Some(-far), None]);
        let zoned: ArrayRef = Arc::new(micros.clone().with_timezone("UTC"));
        let plain: ArrayRef = Arc::new(micros);
        let fields = ["d", "t"].map(|name| Field::new(name, DataType::Null, true));
        let nested: Vec<(Arc<Field>, ArrayRef)> = fields
            .iter()
            .zip([&days, &zoned])
            .map(|(field, column)| {
                (Arc::new(field.clone().with_data_type(column.data_type().clone())), Arc::clone(column))
            })
            .collect();
        let nested: ArrayRef = Arc::new(StructArray::from(nested));
        let batch = RecordBatch::try_from_iter([("d", days), ("z", zoned), ("p", plain), ("s", nested)]).unwrap();
        let printed = |form: Form| {
            let mut out = Vec::new();
            let mut printer = Printer::new(&mut out, form);
            assert!(printer.add(&batch).unwrap().is_continue());
            printer.end().unwrap();
            String::from_utf8(out).unwrap()
        };
        let csv = printed(Form::Csv);
        let near = "2024-02-29,2024-02-29T12:00:00.500Z,2024-02-29T12:00:00.500,";
        assert!(csv.lines().nth(1).unwrap().starts_with(near), "{csv}");
        let row = csv.lines().nth(2).unwrap();
        assert!(row.starts_with("+551626-09-26"), "{csv}");
        let whole = Form::Fitted { first: Vec::new(), all: 0, width: 300 };
        for text in [csv.clone(), printed(Form::Json), printed(Form::Whole(Vec::new())), printed(whole)] {
            assert!(!text.contains("ERROR") && !text.contains("Failed"), "{text}");
            for column in row.split(',').take(3) {
                assert!(text.matches(column).count() >= 1, "{column}: {text}");
            }
        }
        let json = printed(Form::Json);
        let last: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
        let null = serde_json::Value::Null;
        assert_eq!((&last["d"], &last["z"], &last["s"]["d"]), (&null, &null, &null));
    }

    #[test]
    fn rows_and_columns_without_room_are_counted() {
        let many: Vec<(String, ArrayRef)> =
            (0..40).map(|i| (format!("column_{i}"), Arc::new(Int64Array::from(vec![i; 5])) as ArrayRef)).collect();
        let batches = [RecordBatch::try_from_iter(many).unwrap()];
        let text = fitted(&batches, 80, 3, 5, false).unwrap();
        assert!(text.contains("and 2 more rows, 32 more columns (column_8, "), "{text}");
        assert!(text.lines().all(|l| measure_text_width(l) <= 80), "{text}");
    }

    #[test]
    fn rows_are_printed_as_they_come_but_for_the_first_mebibyte() {
        let batch =
            RecordBatch::try_from_iter([("text", Arc::new(StringArray::from(vec!["x".repeat(99); 8192])) as ArrayRef)]);
        let batch = batch.unwrap();
        for form in [Form::Csv, Form::Json] {
            let mut out = Vec::new();
            let mut printer = Printer::new(&mut out, form);
            assert!(printer.add(&batch).unwrap().is_continue());
            assert!(!printer.has_printed(), "as long as little has come, the query can begin anew");
            for _ in 0..20 {
                assert!(printer.add(&batch).unwrap().is_continue());
                assert!(printer.held.len() < 2 * HELD);
            }
            assert!(printer.has_printed());
            printer.end().unwrap();
            let text = String::from_utf8(out).unwrap();
            let headers = text.lines().filter(|l| *l == "text").count();
            assert_eq!(text.lines().count(), 21 * 8192 + headers);
            assert!(headers <= 1);
        }
    }

    #[test]
    fn a_table_on_a_terminal_keeps_what_it_shows_and_stops_to_count() {
        let batch = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1; 8192])) as ArrayRef)]).unwrap();
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, Form::Fitted { first: Vec::new(), all: 0, width: 80 });
        let mut batches = 1;
        while printer.add(&batch).unwrap().is_continue() {
            batches += 1;
        }
        assert_eq!(batches, MOST_COUNTED.div_ceil(8192));
        assert!(!printer.has_printed());
        printer.end().unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("| 1 |").count(), MOST_ROWS);
        assert!(text.contains("and over 99000 more rows"), "{}", &text[text.len() - 200..]);
    }

    #[test]
    fn a_reader_that_goes_away_wants_no_more() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut printer = Printer::new(Gone, Form::Csv);
        let long = "x".repeat(HELD);
        let batch = rows(&[("text", &[long.as_str()])]).remove(0);
        assert!(printer.add(&batch).unwrap().is_break());
        printer.end().unwrap();
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(
            wanted in prop::collection::vec(0..90_usize, 1..30), width in 20..200_usize
        ) {
            let widths = widths(&wanted, width);
            prop_assert!(widths.iter().sum::<usize>() + widths.len() * 3 < width + 1, "{:?}", widths);
            prop_assert!(widths.iter().zip(&wanted).all(|(w, wanted)| w <= wanted));
        }
    }
}
