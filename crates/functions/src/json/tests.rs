#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and looks at its own clock"
)]

use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, StringArray};

use super::parse::{Json, Lenient, Malformed, parse};
use super::write::decimal;
use super::{ddl, from, path};

fn read(text: &str) -> Result<Option<Json<'_>>, Malformed> {
    parse(text, Lenient { control: false, not_finite: true }).unwrap()
}

#[test]
fn text_that_is_no_json_is_told_from_text_that_is() {
    for good in
        ["{}", "[]", " [1 , 2]", "\"a\\u00e4\\ud83d\\ude00\"", "-0.5e+3", "{'a':'b'}", "NaN", "-INF", "1 2", "{} x"]
    {
        assert!(matches!(read(good), Ok(Some(_))), "{good}");
    }
    for bad in ["{", "[1,]", "{\"a\"}", "01", "1.", "tru", "truer", "\"\u{1}\"", "{a:1}", "\"\\x\"", "-", "\"abc", "1a"]
    {
        assert!(read(bad).is_err(), "{bad}");
    }
    assert_eq!(read("  "), Ok(None));
    assert!(read(&"[".repeat(100_000)).is_err(), "a deep value is no reason to end");
}

/// What any text gives is a value or an error.
#[test]
fn no_text_panics() {
    let pieces =
        ["{", "}", "[", "]", "\"", "'", ":", ",", "\\", "\\u12", "1", "-", ".", "e", "true", "ä", " ", "\\ud800"];
    let mut seed = 1_u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..12 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(pieces[usize::try_from(seed >> 33).unwrap() % pieces.len()]);
        }
        let _ = read(&text);
        let _ = path::steps(&text);
        let _ = ddl::parse(&text);
    }
}

#[test]
fn decimals_are_written_as_java_writes_them() {
    assert_eq!((decimal(-1234, 2), decimal(5, 3), decimal(1, 8)), ("-12.34".into(), "0.005".into(), "1E-8".into()));
    assert_eq!(decimal(0, 2), "0.00");
}

#[test]
fn a_schema_says_where_it_cannot_be_read() {
    assert!(
        ddl::parse("a INT, b ARRAY<STRUCT<c: DECIMAL(5,2)>> COMMENT 'x', `d e` MAP<STRING, DOUBLE> NOT NULL").is_ok()
    );
    assert!(ddl::parse("a INT b").unwrap_err().contains('b'));
    assert!(ddl::parse("a NOTHING").unwrap_err().contains("NOTHING"));
    assert!(ddl::parse("").is_err());
    let deep = |n: usize| ddl::parse(&("ARRAY<".repeat(n) + "INT" + &">".repeat(n)));
    assert!(deep(50).is_ok());
    assert!(deep(51).unwrap_err().contains("more than 50 types"));
    assert!(deep(1_000_000).is_err(), "a deep schema is no reason to end");
}

/// The column that `from_json` makes of `text` by `schema`.
fn made(text: &str, schema: &str) -> arrow::array::ArrayRef {
    let schema = ddl::parse(schema).unwrap();
    from::from_json(&StringArray::from(vec![text]), &schema, true).unwrap()
}

/// At this size what looks for each key among all takes a minute.
#[test]
fn many_keys_are_read_each_at_once() {
    let began = Instant::now();
    let entries = |numbers: std::ops::Range<u32>| {
        let all: Vec<String> = numbers.map(|n| format!("\"key{n:05}\":{n}")).collect();
        all.join(",")
    };
    let text = format!("{{{},{}}}", entries(0..60_000), entries(0..60_000));
    let map = made(&text, "MAP<STRING, INT>");
    assert_eq!(map.as_map().value_length(0), 60_000);
    let fields: Vec<String> = (0..5_000).map(|n| format!("key{:05} INT", 59_999 - n)).collect();
    let row = made(&text, &fields.join(", "));
    assert_eq!(row.as_struct().num_columns(), 5_000);
    assert!(row.as_struct().columns().iter().all(|column| column.is_valid(0)));
    let items = format!("[{{{}}},{{{}}}]", entries(0..60_000), entries(1..60_001));
    assert_eq!(ddl::schema_of(&items).unwrap().matches("key").count(), 60_001);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn of_a_key_that_is_there_twice_the_last_value_counts() {
    let few = made(r#"{"a":1,"b":2,"a":3}"#, "MAP<STRING, INT>");
    assert_eq!(few.as_map().keys().as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["a", "b"]);
    let entries: Vec<String> = (0..40).map(|n| format!("\"k{}\":{n}", n % 20)).collect();
    let text = format!("{{{}}}", entries.join(","));
    let many = made(&text, "MAP<STRING, INT>");
    let values = many.as_map().values().as_primitive::<arrow::datatypes::Int32Type>().values().to_vec();
    assert_eq!(values, (20..40).collect::<Vec<_>>());
    let columns: Vec<String> = (0..20).map(|n| format!("k{n} INT")).collect();
    let row = made(&text, &columns.join(", "));
    let first = row.as_struct().column(0).as_primitive::<arrow::datatypes::Int32Type>();
    assert_eq!(first.value(0), 20);
}

/// Of 16 MiB of a digit and a comma a value took 50 bytes when it was read, and three times as much as a cell.
#[test]
fn a_text_of_too_many_values_is_a_row_that_cannot_be_computed() {
    let of = |count: usize| StringArray::from(vec![format!("[{}1]", "1,".repeat(count - 1))]);
    let schema = ddl::parse("ARRAY<INT>").unwrap();
    let problem = from::from_json(&of(1 << 20), &schema, false).map(|_| "read").unwrap_err().to_string();
    // The array is a value too.
    assert!(problem.contains("more than 1048576 values"), "{problem}");
    let most = from::from_json(&of((1 << 20) - 1), &schema, false).unwrap();
    assert_eq!(most.as_list::<i32>().value_length(0), (1 << 20) - 1);
}

/// After each mebibyte of texts their values become an array.
#[test]
fn rows_of_many_texts_are_what_they_are_alone() {
    let long = format!("[{{\"a\":1,\"b\":{{\"k\":\"{}\"}}}},null]", "x".repeat(300_000));
    let texts = StringArray::from_iter((0..9).map(|n| (n % 4 != 1).then_some(if n == 4 { "[]" } else { &*long })));
    let schema = ddl::parse("ARRAY<STRUCT<a: INT, b: MAP<STRING, STRING>>>").unwrap();
    let all = from::from_json(&texts, &schema, true).unwrap();
    assert_eq!(all.len(), 9);
    for row in 0..9 {
        let alone = from::from_json(&texts.slice(row, 1), &schema, true).unwrap();
        assert_eq!(&all.slice(row, 1), &alone, "row {row}");
    }
    assert_eq!(all.as_list::<i32>().value_length(8), 2);
}
