#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::parse::{Json, Lenient, Malformed, parse};
use super::write::decimal;
use super::{ddl, path};

fn read(text: &str) -> Result<Option<Json<'_>>, Malformed> {
    parse(text, Lenient { control: false, not_finite: true })
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
