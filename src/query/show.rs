//! Rows on stdout: a table that fits the terminal, CSV or JSON.

use std::io::IsTerminal;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use console::{measure_text_width, truncate_str};

use super::{Answer, Format};
use crate::out;

/// Rows of a table that a terminal gets; the rest is counted.
const MOST_ROWS: usize = 1000;

/// The narrowest that a column is cut to: less tells nothing.
const NARROW: usize = 6;

/// Prints an answer.
pub fn print(answer: &Answer, format: Format) -> anyhow::Result<()> {
    let text = match format {
        _ if answer.lines => lines(&answer.batches),
        Format::Table if std::io::stdout().is_terminal() => {
            let (_, columns) = console::Term::stdout().size();
            fitted(&answer.batches, usize::from(columns), MOST_ROWS)?
        }
        Format::Table => format!("{}\n", arrow::util::pretty::pretty_format_batches(&answer.batches)?),
        Format::Csv => csv(&answer.batches)?,
        Format::Json => json(&answer.batches)?,
    };
    Ok(out::write_with(|out| out.write_all(text.as_bytes()))?)
}

/// One column of text, a line a row.
fn lines(batches: &[RecordBatch]) -> String {
    let columns = batches.iter().filter_map(|b| b.columns().first());
    let mut text = String::new();
    for line in columns.flat_map(|c| c.as_string::<i32>().iter().flatten().collect::<Vec<_>>()) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn csv(batches: &[RecordBatch]) -> anyhow::Result<String> {
    let mut text = Vec::new();
    let mut writer = ::datafusion::arrow::csv::WriterBuilder::new().with_header(true).build(&mut text);
    for batch in batches {
        writer.write(&flat(batch)?)?;
    }
    drop(writer);
    Ok(String::from_utf8(text)?)
}

fn json(batches: &[RecordBatch]) -> anyhow::Result<String> {
    let mut text = Vec::new();
    let mut writer = arrow::json::LineDelimitedWriter::new(&mut text);
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    drop(writer);
    Ok(String::from_utf8(text)?)
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

/// The first `most` rows as a table of `width` characters at most: the widest columns are cut first, their cells end with `…`,
/// and columns that have no room at all are counted below.
fn fitted(batches: &[RecordBatch], width: usize, most: usize) -> anyhow::Result<String> {
    let Some(first) = batches.first() else { return Ok(String::new()) };
    let names: Vec<String> = first.schema_ref().fields().iter().map(|f| one_line(f.name())).collect();
    let rows = cells(batches, most)?;
    let all: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let wanted: Vec<usize> = (0..names.len())
        .map(|i| {
            rows.iter().filter_map(|r| r.get(i)).chain(names.get(i)).map(|c| measure_text_width(c)).max().unwrap_or(0)
        })
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
        more.push(format!("{} more rows", all - rows.len()));
    }
    let hidden = names.get(widths.len()..).unwrap_or_default();
    if !hidden.is_empty() {
        more.push(format!("{} more columns ({})", hidden.len(), hidden.join(", ")));
    }
    if !more.is_empty() {
        let note = format!("and {}; name columns, or --format csv or json", more.join(", "));
        text.push_str(&truncate_str(&note, width.max(NARROW), "…"));
        text.push('\n');
    }
    Ok(text)
}

/// The cells of the first `most` rows, NULL as nothing.
fn cells(batches: &[RecordBatch], most: usize) -> anyhow::Result<Vec<Vec<String>>> {
    let options = FormatOptions::default();
    let mut rows = Vec::new();
    for batch in batches {
        let formatters = batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options));
        let formatters = formatters.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows().min(most - rows.len()) {
            rows.push(formatters.iter().map(|f| one_line(&f.value(row).to_string())).collect());
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

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        let cell = truncate_str(cell, *width, "…");
        let pad = width.saturating_sub(measure_text_width(&cell));
        text.push_str(&format!("| {cell}{} ", " ".repeat(pad)));
    }
    text.push_str("|\n");
    text
}

/// Without line ends and what would move the cursor.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use arrow::array::Int64Array;
    use proptest::prelude::*;

    use super::*;

    fn rows(columns: &[(&str, &[&str])]) -> Vec<RecordBatch> {
        let columns = columns.iter().map(|(n, v)| (*n, Arc::new(StringArray::from(v.to_vec())) as ArrayRef));
        vec![RecordBatch::try_from_iter(columns).unwrap()]
    }

    #[test]
    fn what_fits_is_not_cut_and_what_does_not_is_cut_where_it_is_widest() {
        let batches = rows(&[("id", &["1", "22"]), ("name", &["a fairly long name", "b\nc"])]);
        let whole = fitted(&batches, 80, 10).unwrap();
        assert!(whole.contains("| 1  | a fairly long name |\n| 22 | b c "), "{whole}");
        let cut = fitted(&batches, 20, 10).unwrap();
        assert!(cut.contains("| 1  | a fairly l… |"), "{cut}");
        assert!(cut.lines().all(|l| measure_text_width(l) <= 20), "{cut}");
    }

    #[test]
    fn rows_and_columns_without_room_are_counted() {
        let many: Vec<(String, ArrayRef)> =
            (0..40).map(|i| (format!("column_{i}"), Arc::new(Int64Array::from(vec![i; 5])) as ArrayRef)).collect();
        let batches = [RecordBatch::try_from_iter(many).unwrap()];
        let text = fitted(&batches, 80, 3).unwrap();
        assert!(text.contains("and 2 more rows, 32 more columns (column_8, "), "{text}");
        assert!(text.lines().all(|l| measure_text_width(l) <= 80), "{text}");
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
