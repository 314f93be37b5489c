//! The cost of schemas that somebody else wrote.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::*;
use crate::testing::quickly;
use crate::testing::texts::{many, record, symbols};

mod apache;

fn parse(text: String) -> Result<AvroSchema, SchemaError> {
    AvroSchema::parse(&SchemaText::new(text))
}

fn refused(text: String) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn a_default_is_found_at_once_among_many_symbols() {
    let kind = |n| if n == 0 { symbols("E", 60_000) } else { "\"E\"".to_owned() };
    let field = |n| format!(r#"{{"name":"f{n}","type":{},"default":"s59999"}}"#, kind(n));
    let schema = parse(record("R", &many(20_000, field))).unwrap();
    quickly(|| schema.check_defaults()).unwrap();
}

#[test]
fn the_defaults_of_a_schema_are_bounded_in_all() {
    let inner = record("In", &many(9_000, |n| format!(r#"{{"name":"f{n}","type":"int","default":1}}"#)));
    let of = |count| {
        let kind = |n| if n == 0 { inner.clone() } else { "\"In\"".to_owned() };
        parse(record("Out", &many(count, |n| format!(r#"{{"name":"g{n}","type":{},"default":{{}}}}"#, kind(n)))))
    };
    of(100).unwrap().check_defaults().unwrap();
    let problem = quickly(|| of(200).unwrap().check_defaults()).unwrap_err().to_string();
    assert!(problem.contains("more than 1000000 values in all"), "{problem}");
}

/// Each branch of this union looks at all of the text.
#[test]
fn a_long_default_is_not_looked_at_by_each_branch() {
    let branches = many(9_000, |n| format!(r#"{{"type":"fixed","name":"F{n}","size":{}}}"#, 500_000 + n));
    let text = "x".repeat(600_000);
    let schema = parse(record("R", &format!(r#"{{"name":"f","type":[{branches}],"default":"{text}"}}"#))).unwrap();
    let problem = quickly(|| schema.check_defaults()).unwrap_err().to_string();
    assert!(problem.contains("of no branch"), "{problem}");
    // One text of that length is fine.
    let field = format!(r#"{{"name":"f","type":["int","string"],"default":"{text}"}}"#);
    parse(record("R", &field)).unwrap().check_defaults().unwrap();
}

#[test]
fn symbols_and_aliases_are_bounded() {
    assert!(parse(symbols("E", 65_536)).is_ok());
    assert!(refused(symbols("E", 65_537)).contains("65537 symbols, 65536 are the most"));
    let long = format!(r#"{{"type":"enum","name":"E","symbols":["{}"]}}"#, "s".repeat(1_025));
    assert!(refused(long).contains("1024 are the most"));
    assert!(refused(r#"{"type":"enum","name":"E","symbols":["A","B","A"]}"#.to_owned()).contains("two symbols 'A'"));
    let aliases = |of_type, of_field| {
        let (a, b) = (many(of_type, |n| format!("\"a{n}\"")), many(of_field, |n| format!("\"b{n}\"")));
        format!(
            r#"{{"type":"record","name":"R","aliases":[{a}],"fields":[{{"name":"f","type":"int","aliases":[{b}]}}]}}"#
        )
    };
    assert!(parse(aliases(10_000, 10_000)).is_ok());
    assert!(refused(aliases(10_000, 10_001)).contains("more than 20000 aliases"));
}

/// The path of a field that lies deep below long names is not written out for each of its neighbours.
#[test]
fn what_lies_deep_is_told_by_the_beginning_of_its_path() {
    let mut schema = record("Last", r#"{"name":"ok","type":"int"},{"name":"bad","type":"nowhere"}"#);
    for level in 0..30 {
        let name = format!("f{level}_{}", "n".repeat(1_000));
        schema = record(&format!("R{level}"), &format!(r#"{{"name":"{name}","type":{schema}}}"#));
    }
    let problem = refused(schema);
    assert!(
        problem.len() < 2_500
            && problem.contains("R29.f29_nnn")
            && problem.contains("(2,016 characters): type 'nowhere'"),
        "{problem}"
    );
}
