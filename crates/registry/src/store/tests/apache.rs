//! Shows how `apache-avro` compares two schemas, and so why this crate compares them itself. If one of these tests fails, that crate has
//! mended it: look at the decision again.

use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};

use super::*;

/// Whether `apache-avro` says that `reader` reads everything that `writer` wrote.
fn theirs(reader: &str, writer: &str) -> bool {
    let parse = |text: &str| Schema::parse_str(text).unwrap();
    SchemaCompatibility::can_read(&parse(writer), &parse(reader)) == Ok(Compatibility::Full)
}

fn event(fields: &[&str]) -> String {
    format!(r#"{{"type":"record","name":"E","fields":[{}]}}"#, fields.join(","))
}

#[test]
fn of_plain_types_both_say_the_same() {
    let kinds = ["boolean", "int", "long", "float", "double", "bytes", "string"];
    for (reader, writer) in kinds.iter().flat_map(|reader| kinds.iter().map(move |writer| (reader, writer))) {
        let forms = [
            (format!("\"{reader}\""), format!("\"{writer}\"")),
            (format!(r#"["null","{reader}"]"#), format!("\"{writer}\"")),
            (format!(r#"["null","{reader}"]"#), format!(r#"["{writer}","null"]"#)),
            (format!("\"{reader}\""), format!(r#"["null","{writer}"]"#)),
            (format!(r#"{{"type":"array","items":"{reader}"}}"#), format!(r#"{{"type":"array","items":"{writer}"}}"#)),
            (format!(r#"{{"type":"map","values":"{reader}"}}"#), format!(r#"{{"type":"map","values":"{writer}"}}"#)),
        ];
        for (reader, writer) in forms {
            assert_eq!(reads(&reader, &writer), theirs(&reader, &writer), "{writer} as {reader}");
        }
    }
}

#[test]
fn changes_that_may_be_made_are_refused() {
    let decimal =
        |precision: u32| format!(r#"{{"type":"bytes","logicalType":"decimal","precision":{precision},"scale":2}}"#);
    let fixed = r#"{"type":"fixed","name":"F","size":2}"#;
    let defined = |name: &str| format!(r#"{{"name":"{name}","type":{fixed}}}"#);
    for (reader, writer) in [
        // A record that got another name, and kept the old one as an alias.
        (r#"{"type":"record","name":"N","aliases":["E"],"fields":[]}"#.to_owned(), event(&[])),
        // The first of two fields of a type was left out: the second one defines the type now.
        (event(&[&defined("b")]), event(&[&defined("a"), r#"{"name":"b","type":"F"}"#])),
        // Logical types do not count, as in Confluent's registry.
        (decimal(12), decimal(10)),
    ] {
        assert!(reads(&reader, &writer), "{writer} as {reader}");
        assert!(!theirs(&reader, &writer), "{writer} as {reader}");
    }
}

#[test]
fn changes_that_cannot_be_read_are_let_through() {
    let symbols = |list: &str| format!(r#"{{"type":"enum","name":"F","symbols":[{list}]}}"#);
    let new_field = format!(r#"{{"name":"z","type":{},"default":"A"}}"#, symbols(r#""A""#));
    let old_field = format!(r#"{{"name":"a","type":{}}}"#, symbols(r#""A","B""#));
    let by_name = r#"{"name":"b","type":"F"}"#;
    for (reader, writer) in [
        // Of two types that are used by name, the names alone are compared.
        (event(&[&new_field, by_name]), event(&[&old_field, by_name])),
        // A text of any length, as sixteen bytes.
        (
            r#"{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}"#.to_owned(),
            r#"{"type":"string","logicalType":"uuid"}"#.to_owned(),
        ),
    ] {
        assert!(!reads(&reader, &writer), "{writer} as {reader}");
        assert!(theirs(&reader, &writer), "{writer} as {reader}");
    }
}
