//! The columns that a source lists, and what its options say of the encoding of its events.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use proptest::prelude::*;
use sluicebox_functions::schema::{How, written, written_columns};
use sluicebox_pipeline::ast::{Pipeline, SourceDef};
use sluicebox_pipeline::formats::{self, ExtraFields, JsonOptions, JsonTimestamps, ValueFormat};
use sluicebox_pipeline::parse;

const TABLE: &str = ";\nCREATE STREAMING TABLE t AS SELECT * FROM STREAM events;";

fn pipeline(source: &str, set: &[(&str, &str)]) -> Pipeline {
    let set: Vec<(String, String)> = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    match parse("p.sql", &format!("{source}{TABLE}"), &set) {
        Ok(pipeline) => pipeline,
        Err(mistakes) => {
            assert_eq!(mistakes.render(false), "", "{source}");
            parse("p.sql", "", &[]).unwrap()
        }
    }
}

fn source(text: &str) -> SourceDef {
    pipeline(text, &[]).sources.remove(0)
}

fn json(columns: &str, options: &str) -> SourceDef {
    source(&format!(
        "CREATE TABLE events ({columns}) USING kafka OPTIONS ('subscribe' = 'events', 'value.format' = 'json'{options})"
    ))
}

fn map_of(key: DataType, value: DataType) -> DataType {
    let pair = vec![Field::new("key", key, false), Field::new("value", value, true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair.into()), false)), false)
}

#[test]
fn columns_have_the_types_that_are_listed() {
    let source = json(
        "tenant STRING NOT NULL, ts TIMESTAMP NOT NULL COMMENT 'when it happened', session_id STRING, -- of a browser
         props STRUCT<page STRING NOT NULL, `Ref``s`: ARRAY<ARRAY<INT>>>, tags ARRAY<STRING>, m MAP<STRING, BIGINT>,
         `userId` LONG COMMENT \"as it came\", n DEC, d NUMERIC(5), e DECIMAL(38, 38), b BINARY, f REAL, g DOUBLE,
         y BYTE, s SHORT, l TIMESTAMP_LTZ, z TIMESTAMP_NTZ, t DATE, o BOOLEAN",
        "",
    );
    let utc = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let list = |item: DataType| DataType::new_list(item, true);
    let props = DataType::Struct(
        vec![Field::new("page", DataType::Utf8, false), Field::new("Ref`s", list(list(DataType::Int32)), true)].into(),
    );
    let wanted = [
        Field::new("tenant", DataType::Utf8, false),
        Field::new("ts", utc(), false),
        Field::new("session_id", DataType::Utf8, true),
        Field::new("props", props, true),
        Field::new("tags", list(DataType::Utf8), true),
        Field::new("m", map_of(DataType::Utf8, DataType::Int64), true),
        Field::new("userId", DataType::Int64, true),
        Field::new("n", DataType::Decimal128(10, 0), true),
        Field::new("d", DataType::Decimal128(5, 0), true),
        Field::new("e", DataType::Decimal128(38, 38), true),
        Field::new("b", DataType::Binary, true),
        Field::new("f", DataType::Float32, true),
        Field::new("g", DataType::Float64, true),
        Field::new("y", DataType::Int8, true),
        Field::new("s", DataType::Int16, true),
        Field::new("l", utc(), true),
        Field::new("z", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("t", DataType::Date32, true),
        Field::new("o", DataType::Boolean, true),
    ];
    let wanted: Vec<FieldRef> = wanted.into_iter().map(Arc::new).collect();
    assert_eq!(formats::value_columns(&source).unwrap(), wanted);
    assert_eq!(formats::listed(&source).unwrap(), written_columns(&wanted, How::Declared));
}

#[test]
fn places_are_those_of_the_text() {
    let text = "CREATE TABLE events (id BIGINT NOT NULL, m MAP<STRING, ARRAY<INT>>) USING kafka OPTIONS \
                ('subscribe' = 'events', 'value.format' = 'json')";
    let columns = source(text).columns.unwrap();
    assert_eq!(&text[columns.span.start..columns.span.end], "(id BIGINT NOT NULL, m MAP<STRING, ARRAY<INT>>)");
    let [id, m] = columns.value.as_slice() else { return assert_eq!(columns.value.len(), 2) };
    let at = |span: sluicebox_pipeline::ast::Span| &text[span.start..span.end];
    assert_eq!((at(id.name.span), at(id.data_type.span)), ("id", "BIGINT"));
    assert_eq!((at(m.name.span), at(m.data_type.span)), ("m", "MAP<STRING, ARRAY<INT>>"));
}

#[test]
fn text_and_bytes_have_one_column() {
    for (format, data_type) in [("text", DataType::Utf8), ("BINARY", DataType::Binary)] {
        let of = source(&format!(
            "CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events', 'value.format' = '{format}')"
        ));
        let value: FieldRef = Arc::new(Field::new("value", data_type, false));
        assert_eq!(formats::value_columns(&of).unwrap(), [value]);
        assert_eq!(formats::key_column(&of), None);
    }
    let avro = source("CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events')");
    assert_eq!((ValueFormat::of(&avro), formats::value_columns(&avro)), (ValueFormat::AVRO, None));
}

#[test]
fn a_key_has_a_column_of_its_own_and_what_is_rescued_too() {
    let of =
        json("id BIGINT, key STRUCT<id: STRING NOT NULL>", ", 'key.format' = 'json', 'json.extraFields' = 'rescue'");
    let names: Vec<String> = formats::value_columns(&of).unwrap().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["id", "_rescued"]);
    let key = formats::key_column(&of).unwrap();
    assert_eq!(
        (key.name().as_str(), written(key.data_type(), How::Declared)),
        ("key", "STRUCT<id: STRING NOT NULL>".into())
    );

    let text = json("id BIGINT", ", 'key.format' = 'text'");
    assert_eq!(formats::key_column(&text).unwrap().data_type(), &DataType::Utf8);
    let plain = json("key STRING", "");
    assert_eq!(
        formats::value_columns(&plain).unwrap()[0].name(),
        "key",
        "without 'key.format' it is a field as any other"
    );
}

#[test]
fn options_of_json_have_defaults_and_the_command_line_goes_before_them() {
    let plain = json("id BIGINT", "");
    let defaults = JsonOptions {
        extra: ExtraFields::Ignore,
        timestamps: JsonTimestamps::Iso8601,
        max_depth: JsonOptions::MAX_DEPTH,
    };
    assert_eq!(JsonOptions::of(&plain), defaults);
    let text = "CREATE TABLE events (id BIGINT) USING kafka OPTIONS ('subscribe' = 'events', 'value.format' = 'JSON', \
                'json.timestamps' = 'Epoch_Millis', 'json.maxDepth' = 5, 'json.extraFields' = 'rescue')";
    let set = pipeline(text, &[("events.json.extraFields", "letter")]);
    assert_eq!(
        JsonOptions::of(&set.sources[0]),
        JsonOptions { extra: ExtraFields::Letter, timestamps: JsonTimestamps::EpochMillis, max_depth: 5 }
    );
    // The command line may name another format, for which the list is then wrong, or missing.
    let avro = parse("p.sql", &format!("{text}{TABLE}"), &[("events.value.format".to_owned(), "avro".to_owned())]);
    let mistakes = avro.unwrap_err().to_string();
    assert!(mistakes.contains("registry has the columns"), "{mistakes}");
}

#[test]
fn each_name_of_an_option_is_read_as_itself() {
    for name in ValueFormat::STANDARD.map(ValueFormat::name) {
        let columns = if name == "json" { "(id BIGINT)" } else { "" };
        let of = source(&format!(
            "CREATE TABLE events {columns} USING kafka OPTIONS ('subscribe' = 'events', 'value.format' = '{name}')"
        ));
        assert_eq!(ValueFormat::of(&of).name(), name);
    }
    for name in ExtraFields::NAMES {
        assert_eq!(
            JsonOptions::of(&json("id BIGINT", &format!(", 'json.extraFields' = '{name}'"))).extra.name(),
            *name
        );
    }
    for name in JsonTimestamps::NAMES {
        let of = json("id BIGINT", &format!(", 'json.timestamps' = '{name}'"));
        assert_eq!(JsonOptions::of(&of).timestamps.name(), *name);
    }
}

/// The options of keys of Avro say nothing of other keys; and a pattern names no subject.
#[test]
fn keys_of_avro_have_a_subject_of_their_own() {
    let text =
        |options: &str| format!("CREATE TABLE events USING kafka OPTIONS ('value.format' = 'text', {options}){TABLE}");
    let right = "'subscribePattern' = 'e.*', 'key.format' = 'avro', 'key.subject' = 'k', 'key.schema.version' = 3";
    for right in [right, "'subscribe' = 'e', 'key.format' = 'avro', 'schema.registry.url' = 'http://registry:8081'"] {
        assert!(parse("p.sql", &text(right), &[]).is_ok(), "{right}");
    }
    for (wrong, says) in [
        ("'subscribePattern' = 'e.*', 'key.format' = 'avro'", "add 'key.subject'"),
        ("'subscribe' = 'e', 'key.format' = 'text', 'key.subject' = 'k'", "those of this source are in 'text'"),
        ("'subscribe' = 'e', 'key.schema.version' = 1", "those of this source are bytes"),
    ] {
        let mistakes = parse("p.sql", &text(wrong), &[]).unwrap_err();
        let told = mistakes.render(false);
        assert!(mistakes.len() == 1 && told.contains(says), "{wrong}: {told}");
    }
}

fn simple() -> impl Strategy<Value = DataType> {
    prop_oneof![
        Just(DataType::Boolean),
        Just(DataType::Int8),
        Just(DataType::Int16),
        Just(DataType::Int32),
        Just(DataType::Int64),
        Just(DataType::Float32),
        Just(DataType::Float64),
        Just(DataType::Utf8),
        Just(DataType::Binary),
        Just(DataType::Date32),
        Just(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        Just(DataType::Timestamp(TimeUnit::Microsecond, None)),
        (1..=38_u8)
            .prop_flat_map(|p| (Just(p), 0..=p))
            .prop_map(|(p, s)| { DataType::Decimal128(p, i8::try_from(s).unwrap()) }),
    ]
}

fn any_type() -> impl Strategy<Value = DataType> {
    simple().prop_recursive(5, 24, 4, |inner| {
        // Any character that can be typed may stand in a name, the quotes among them.
        let fields: BoxedStrategy<BTreeMap<String, (DataType, bool)>> =
            prop::collection::btree_map("[ -~äß]{1,6}", (inner.clone(), any::<bool>()), 1..4).boxed();
        prop_oneof![
            inner.clone().prop_map(|item| DataType::new_list(item, true)),
            inner.prop_map(|value| map_of(DataType::Utf8, value)),
            fields.prop_map(|fields| {
                let field =
                    |(name, (data_type, nullable)): (String, (DataType, bool))| Field::new(name, data_type, nullable);
                DataType::Struct(fields.into_iter().map(field).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn a_type_that_is_written_is_read_as_the_same(data_type in any_type(), nullable in any::<bool>()) {
        let fields: Vec<FieldRef> = vec![Arc::new(Field::new("c", data_type, nullable))];
        let text = written_columns(&fields, How::Declared);
        let of = json(&text, "");
        prop_assert_eq!(formats::value_columns(&of).unwrap(), fields, "{}", text);
    }
}
