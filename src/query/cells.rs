//! The texts of a result: how long they are, and how they are changed before they are printed.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayData, ArrayRef, AsArray, BinaryViewArray, RecordBatch, StringArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;

/// `batch` with what `change` makes of each text, the names of columns among them.
pub fn mapped(batch: &RecordBatch, change: fn(&str) -> Cow<'_, str>) -> anyhow::Result<RecordBatch> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let mut column = Arc::clone(column);
        if is_text(column.data_type()) {
            let texts = cast(&column, &DataType::Utf8)?;
            let texts: StringArray = texts.as_string::<i32>().iter().map(|text| text.map(change)).collect();
            column = Arc::new(texts) as ArrayRef;
        }
        fields.push(Field::new(change(field.name()), column.data_type().clone(), true));
        columns.push(column);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// How many bytes `column` takes. What the views of long texts lead to counts too, once for each view.
pub fn bytes(column: &ArrayData) -> Result<usize, ArrowError> {
    Ok(column.get_slice_memory_size()? + viewed(column))
}

fn viewed(values: &ArrayData) -> usize {
    let sum = |lengths: &mut dyn Iterator<Item = u32>| {
        lengths.map(|length| usize::try_from(length).unwrap_or_default()).sum::<usize>()
    };
    let own = match values.data_type() {
        DataType::Utf8View => sum(&mut StringViewArray::from(values.clone()).lengths()),
        DataType::BinaryView => sum(&mut BinaryViewArray::from(values.clone()).lengths()),
        _ => 0,
    };
    own + values.child_data().iter().map(viewed).sum::<usize>()
}

/// `text` with `'` before it, if a spreadsheet would take it for a formula, which may ask for other files and hosts. A number is none,
/// whatever its sign. Where `;` or a tab separates cells, what stands behind one is another cell, quoted or not: the quote of a cell that
/// is not the first of its line is none then, and a line end within it begins a line.
pub fn guarded(text: &str) -> Cow<'_, str> {
    const ENDS: [char; 4] = [';', '\t', '\r', '\n'];
    let mut out = String::with_capacity(text.len() + 1);
    for (at, cell) in text.split_inclusive(ENDS).enumerate() {
        let begins = match at {
            0 => text,
            _ => cell.trim_end_matches(ENDS).trim_start_matches(['"', ' ']),
        };
        if is_formula(begins) {
            out.push('\'');
        }
        out.push_str(cell);
    }
    if out.len() == text.len() { Cow::Borrowed(text) } else { Cow::Owned(out) }
}

fn is_formula(cell: &str) -> bool {
    let is_number = || cell.parse::<f64>().is_ok_and(f64::is_finite);
    // The wide forms are those that some take for the narrow ones.
    cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) && !is_number()
}

/// DuckDB's JSON with `null` for NaN and the infinities, which JSON has no words for.
pub fn finite(line: &str) -> Cow<'_, str> {
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

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use arrow::array::{Array, DictionaryArray, Int64Array, LargeStringArray, StructArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn what_a_spreadsheet_would_compute_is_guarded() {
        for formula in ["=1+1", "@SUM(A1)", "-2+3", "+1-1", "-x", "-inf", "\r1", "\na", "=", "＝1"] {
            assert_eq!(guarded(formula), format!("'{formula}"));
        }
        for (text, told) in [
            ("\t=1", "'\t'=1"),
            ("\n=1+1", "'\n'=1+1"),
            ("\r=1", "'\r'=1"),
            ("a\n=1+1", "a\n'=1+1"),
            ("a\r\n@x\n-5", "a\r\n'@x\n-5"),
            ("a\n＋1", "a\n'＋1"),
            ("a;=1+1", "a;'=1+1"),
            ("a\t@x;-5;-x", "a\t'@x;-5;'-x"),
            ("a; \"=1", "a;' \"=1"),
            ("=1;b", "'=1;b"),
        ] {
            assert_eq!(guarded(text), told);
        }
        for plain in [
            "a;b",
            "a;-5\t+1",
            "a\nb\r\n-5\n",
            ";",
            "",
            "-5",
            "+3.5e-2",
            "-0",
            "a=1",
            "'=1",
            " =1",
            "2026-11-30",
            "1+1",
        ] {
            assert_eq!(guarded(plain), plain);
        }
    }

    #[test]
    fn what_views_lead_to_is_counted() {
        let text = "x".repeat(100);
        let views = StringViewArray::from(vec![text.as_str(), "short"]);
        assert_eq!(bytes(&views.slice(0, 1).to_data()).unwrap(), 16 + 100);
        let binary = BinaryViewArray::from(vec![text.as_bytes(); 3]);
        let fields = vec![Field::new("b", DataType::BinaryView, true)];
        let nested = StructArray::try_new(fields.into(), vec![Arc::new(binary)], None).unwrap();
        assert_eq!(bytes(&nested.to_data()).unwrap(), 3 * (16 + 100));
        assert_eq!(bytes(&StringArray::from(vec!["ab"]).to_data()).unwrap(), 8 + 2);
    }

    #[test]
    fn every_text_is_changed_whatever_its_type_and_nothing_else() {
        let columns: [(&str, ArrayRef); 4] = [
            ("=a", Arc::new(StringArray::from(vec![Some("=1"), None]))),
            ("b", Arc::new(LargeStringArray::from(vec!["=1", "x"]))),
            ("c", Arc::new(DictionaryArray::<Int32Type>::from_iter(["=1", "x"]))),
            ("d", Arc::new(Int64Array::from(vec![-1, 1]))),
        ];
        let changed = mapped(&RecordBatch::try_from_iter(columns).unwrap(), guarded).unwrap();
        assert_eq!(changed.schema().field(0).name(), "'=a");
        for (column, second) in [(0, None), (1, Some("x")), (2, Some("x"))] {
            let texts: Vec<Option<&str>> = changed.column(column).as_string::<i32>().iter().collect();
            assert_eq!(texts, [Some("'=1"), second]);
        }
        assert_eq!(changed.column(3).data_type(), &DataType::Int64);
    }
}
