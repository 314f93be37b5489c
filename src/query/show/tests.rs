#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use arrow::array::{Date32Array, Int64Array, StringViewArray, StructArray, TimestampMicrosecondArray};
use proptest::prelude::*;

use super::*;

fn rows(columns: &[(&str, &[&str])]) -> Vec<RecordBatch> {
    let columns = columns.iter().map(|(n, v)| (*n, Arc::new(StringArray::from(v.to_vec())) as ArrayRef));
    vec![RecordBatch::try_from_iter(columns).unwrap()]
}

fn whole() -> Form {
    Form::Whole { batches: Vec::new(), bytes: 0 }
}

#[test]
fn a_table_into_a_pipe_is_printed_in_portions_and_holds_so_much_and_no_more() {
    let long = "x".repeat(1_000);
    let batches: Vec<RecordBatch> = ["a", long.as_str(), "bc"]
        .iter()
        .flat_map(|last| rows(&[("id", &["1"; 2_000]), ("name", &[*last; 2_000])]))
        .collect();
    let mut out = Vec::new();
    let mut printer = Printer::new(&mut out, whole());
    for batch in &batches {
        assert!(printer.add(batch).unwrap().is_continue());
    }
    printer.end().unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), fitted(&batches, usize::MAX, usize::MAX, 0, false).unwrap());

    let mut printer = Printer::new(Vec::new(), whole());
    let mut taken = 0;
    let refused = loop {
        match printer.add(&batches[1]) {
            Ok(_) => taken += 1,
            Err(refused) => break refused,
        }
    };
    assert!((30..34).contains(&taken), "{taken} of 2 MB");
    assert!(refused.is::<Usage>() && refused.to_string().contains("--format csv"), "{refused}");
}

/// DataFusion has texts as views, whose contents stand beside them.
#[test]
fn a_table_into_a_pipe_holds_no_more_of_views() {
    let long = "x".repeat(1_000);
    let views: ArrayRef = Arc::new(StringViewArray::from(vec![long.as_str(); 2_000]));
    let batch = RecordBatch::try_from_iter([("name", views)]).unwrap();
    let mut printer = Printer::new(Vec::new(), whole());
    let taken = (0..100).take_while(|_| printer.add(&batch).is_ok()).count();
    assert!((30..36).contains(&taken), "{taken} of 2 MB");
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
    let tables = [(whole(), false), (whole(), true), (fitted(), true)];
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
    let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(19_782), Some(200_758_000), Some(-200_758_000), None]));
    let far = 9_000_000_000_000_500_000;
    let micros = TimestampMicrosecondArray::from(vec![Some(1_709_208_000_500_000), Some(far), Some(-far), None]);
    let zoned: ArrayRef = Arc::new(micros.clone().with_timezone("UTC"));
    let plain: ArrayRef = Arc::new(micros);
    let fields = ["d", "t"].map(|name| Field::new(name, DataType::Null, true));
    let nested: Vec<(Arc<Field>, ArrayRef)> = fields
        .iter()
        .zip([&days, &zoned])
        .map(|(field, column)| (Arc::new(field.clone().with_data_type(column.data_type().clone())), Arc::clone(column)))
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
    let fitted = Form::Fitted { first: Vec::new(), all: 0, width: 300 };
    for text in [csv.clone(), printed(Form::Json), printed(whole()), printed(fitted)] {
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
