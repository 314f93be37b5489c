//! The cost of schemas and ids that a producer chooses: linear in their size, not quadratic.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;

use arrow::datatypes::DataType;
use serde_json::json;
use sluicebox_registry::SchemaText;
use sluicebox_registry::schema::AvroSchema;
use sluicebox_registry::testing::quickly;
use sluicebox_registry::testing::texts::{many, record, reversed, symbols};

use crate::avro::program::{Op, Program, What};
use crate::avro::shape::value_fields;
use crate::framing::frame;
use crate::testing::{Body, Fixture, raw};

fn schema(text: &str) -> AvroSchema {
    AvroSchema::parse(&SchemaText::new(text)).unwrap()
}

fn compile(writer: &str, reader: &str) -> Result<Program, String> {
    let (writer, reader) = (Arc::new(schema(writer)), schema(reader));
    quickly(|| Program::compile(writer, &reader))
}

/// A record whose field `x` is of this type.
fn with_x(kind: &str) -> String {
    record("R", &format!(r#"{{"name":"x","type":{kind}}}"#))
}

#[test]
fn many_symbols_are_resolved_each_once() {
    let (writer, reader) = (with_x(&reversed("E", 60_000)), with_x(&symbols("E", 60_000)));
    quickly(|| {
        let fixture = Fixture::new(&reader, &[(1, &writer)]);
        assert_eq!(fixture.one(1, &Body::default().long(0).0).unwrap(), json!({ "x": "s59999" }));
    });
}

#[test]
fn fields_of_one_enum_share_its_symbols() {
    let fields = |kind: String| {
        let kind = move |n| if n == 0 { kind.clone() } else { "\"E\"".to_owned() };
        record("R", &many(5_000, |n| format!(r#"{{"name":"f{n}","type":{}}}"#, kind(n))))
    };
    let program = compile(&fields(reversed("E", 60_000)), &fields(symbols("E", 60_000))).unwrap();
    let Op::Record(root) = &program.root else { unreachable!() };
    let of = |at: usize| match &root.steps[at].what {
        What::Read { op: Op::Enum(symbols), .. } => Arc::clone(symbols),
        other => unreachable!("{other:?}"),
    };
    assert!(Arc::ptr_eq(&of(0), &of(4_999)));
}

#[test]
fn many_fields_are_found_by_name_and_by_alias() {
    // What is read stands behind what is not.
    let field = |n: usize, more: &str| format!(r#"{{"name":"f{n}","type":"int"{more}}}"#);
    let writer = record("R", &many(80_000, |n| field(n, "")));
    let by_name = many(8_500, |n| field(71_000 + n, ""));
    let by_alias = many(500, |n| format!(r#"{{"name":"g{n}","type":"int","aliases":["no","f{}"]}}"#, 79_500 + n));
    let program = compile(&writer, &record("R", &format!("{by_name},{by_alias}"))).unwrap();
    assert_eq!(program.ignored.len(), 71_000);
}

#[test]
fn unions_of_many_branches_are_resolved_up_to_a_limit() {
    let union = |count: usize, from: usize| {
        let name = |n: usize| format!(r#"{{"type":"fixed","name":"F{}","size":{}}}"#, from + n, from + n);
        with_x(&format!("[{}]", many(count, name)))
    };
    compile(&union(1_000, 0), &union(1_000, 0)).unwrap();
    // Of these no two fit.
    let problem = compile(&union(1_000, 0), &union(1_000, 1_000)).unwrap_err();
    assert!(
        problem.len() < 1_000 && problem.contains("fixed 'F1000' of 1000 bytes") && problem.contains("and 990 more"),
        "{problem}"
    );
    let program = compile(&union(4_000, 0), &union(4_000, 0)).unwrap();
    let Op::Record(root) = &program.root else { unreachable!() };
    let text = format!("{:?}", root.steps[0].what);
    assert!(text.contains("too large to be resolved"), "4,000 times 4,000 branches are not compared");
}

#[test]
fn a_union_of_many_members_becomes_columns() {
    let branches = many(9_500, |n| format!(r#"{{"type":"fixed","name":"F{n}","size":1}}"#));
    let twins = r#"{"type":"fixed","name":"a.Twin","size":1},{"type":"fixed","name":"b.Twin","size":1}"#;
    let schema = schema(&with_x(&format!("[{branches},{twins}]")));
    let (columns, _) = quickly(|| value_fields(&schema)).unwrap();
    let DataType::Struct(members) = columns[0].data_type() else { unreachable!() };
    let names: Vec<&str> = members.iter().skip(9_499).map(|m| m.name().as_str()).collect();
    assert_eq!(names, ["F9499", "a.Twin", "b.Twin"]);
}

/// As a producer writes who frames noise.
#[test]
fn many_ids_of_one_batch_are_counted_each_at_once() {
    let reader = record("R", r#"{"name":"x","type":"int"}"#);
    let fixture = Fixture::new(&reader, &[]);
    let values: Vec<_> = (0..60_000).map(|id| Some(frame(id, &[2]))).collect();
    let events = [raw(0, &values)];
    let writers = fixture.prepare(&events).unwrap();
    let decoded = quickly(|| fixture.decoder.decode(&writers, &events, &[0])).unwrap();
    assert_eq!(decoded.schemas.iter().map(|s| s.dead_letters).sum::<u64>(), 60_000);
    assert!(decoded.schemas.is_sorted_by_key(|s| s.key));
}

/// A message of a writer's schema is that of each of its events.
#[test]
fn what_is_wrong_with_a_schema_is_told_shortly() {
    let reader = record("R", r#"{"name":"x","type":"int"}"#);
    let unknown = with_x(&format!("\"{}\"", "n".repeat(1 << 20)));
    let (class, message) = Fixture::new(&reader, &[(1, &unknown)]).one(1, &[2]).unwrap_err();
    assert_eq!(class, "UNSUPPORTED_SCHEMA");
    assert!(message.len() < 1_200 && message.contains("R.x") && message.contains("nnn"), "{}", message.len());
}
