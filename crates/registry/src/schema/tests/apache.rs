//! Shows what `apache-avro` does with schemas that anybody may register, and so why this crate parses them itself. If one of these tests
//! fails, that crate has mended it: look at the decision again.

use apache_avro::Schema;

use super::*;
use crate::{Reference, ReferencedText};

fn field(name: &str, kind: &str) -> String {
    format!(r#"{{"name":"{name}","type":{kind}}}"#)
}

/// `schema`, which refers to `referenced` as `name`.
fn referring(schema: &str, name: &str, referenced: &str) -> SchemaText {
    let reference = Reference { name: name.to_owned(), subject: "s".to_owned(), version: 1 };
    let references = vec![ReferencedText { reference, schema: referenced.to_owned() }];
    SchemaText { schema: schema.to_owned(), references }
}

#[test]
fn a_reference_under_another_name_ends_the_process() {
    let referenced = r#"{"name":"A","type":{"type":"record","name":"B","fields":[]}}"#;
    let parsed = std::panic::catch_unwind(|| Schema::parse_str_with_list("\"long\"", [referenced]).is_ok());
    assert!(parsed.is_err(), "it no longer panics");
    assert!(AvroSchema::parse(&referring("\"A\"", "A", referenced)).is_ok());
}

#[test]
fn what_is_no_field_is_left_out_without_a_word() {
    let text = record("R", "\"x\"");
    let Schema::Record(taken) = Schema::parse_str(&text).unwrap() else { unreachable!() };
    assert!(taken.fields.is_empty());
    assert!(refused(text).contains("is no field"));
}

#[test]
fn a_name_means_two_types() {
    let fixed = |size: usize| format!(r#"{{"type":"fixed","name":"F","size":{size}}}"#);
    let twice = record("R", &[field("a", &fixed(4)), field("b", &fixed(8))].join(","));
    assert!(Schema::parse_str(&twice).is_ok());
    assert!(refused(twice).contains("'F' is defined twice"));
    // An alias is a name for readers of what others wrote, and not for the schema itself.
    let aliased = r#"{"type":"fixed","name":"F","aliases":["G"],"size":4}"#;
    let by_alias = record("R", &[field("a", aliased), field("b", "\"G\"")].join(","));
    assert!(Schema::parse_str(&by_alias).is_ok());
    assert!(refused(by_alias).contains("type 'G' is neither a primitive type"));
}

/// Confluent's registry takes each of them.
#[test]
fn schemas_that_are_registered_cannot_be_read() {
    let of_wrong_default = record("R", r#"{"name":"id","type":"long","default":"one"}"#);
    let of_errors = r#"{"type":"error","name":"E","fields":[]}"#.to_owned();
    let of_odd_logic = r#"{"type":"int","logicalType":7}"#.to_owned();
    for text in [of_wrong_default, of_errors, of_odd_logic] {
        assert!(Schema::parse_str(&text).is_err(), "{text}");
        assert!(parse(text).is_ok());
    }
    let country = r#"{"type":"enum","name":"Country","symbols":["DE"]}"#;
    let namespaced =
        format!(r#"{{"type":"record","name":"R","namespace":"a","fields":[{}]}}"#, field("c", "\"Country\""));
    assert!(Schema::parse_str_with_list(&namespaced, [country]).is_err());
    assert!(AvroSchema::parse(&referring(&namespaced, "Country", country)).is_ok());
}
