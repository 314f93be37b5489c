#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};

use super::{Column, How, Kind, Mistake, NAMES, columns, data_type, named, pieces, written, written_columns};
use crate::types::{name, timestamp};

fn declared(text: &str) -> Result<Vec<Column>, Mistake> {
    columns(pieces(text), How::Declared)
}

fn mistake(text: &str) -> Mistake {
    declared(text).unwrap_err()
}

#[test]
fn every_name_is_a_type_with_or_without_parameters() {
    for word in NAMES {
        let whole = match *word {
            "array" => "ARRAY<INT>",
            "map" => "MAP<STRING, INT>",
            "struct" => "STRUCT<a INT>",
            simple => simple,
        };
        assert!(data_type(pieces(whole), How::Declared).is_ok(), "{whole}");
    }
    assert_eq!(named("Timestamp"), Some(timestamp()));
    assert_eq!(named("TIMESTAMP_NTZ"), Some(DataType::Timestamp(TimeUnit::Microsecond, None)));
    assert_eq!(named("number"), None);
}

#[test]
fn columns_say_names_types_and_whether_they_may_be_null() {
    let text = "tenant STRING NOT NULL, ts: TIMESTAMP COMMENT 'when' NOT NULL, `Order Id` DECIMAL(12, 2), \
                props STRUCT<page STRING NOT NULL, `x``y`: ARRAY<MAP<STRING, BIGINT>>>";
    let columns = declared(text).unwrap();
    let said: Vec<(&str, String, bool)> =
        columns.iter().map(|c| (c.name.as_str(), written(&c.data_type, How::Declared), c.nullable)).collect();
    assert_eq!(
        said,
        [
            ("tenant", "STRING".to_owned(), false),
            ("ts", "TIMESTAMP".to_owned(), false),
            ("Order Id", "DECIMAL(12,2)".to_owned(), true),
            ("props", "STRUCT<page: STRING NOT NULL, `x``y`: ARRAY<MAP<STRING, BIGINT>>>".to_owned(), true),
        ]
    );
    for column in &columns {
        let (name, data_type) = (column.name_place, column.type_place);
        assert!(text[name.start..name.end].contains(&column.name), "{column:?}");
        let shown = text[data_type.start..data_type.end].replace(' ', "");
        assert!(shown.starts_with(name_of(&column.data_type).as_str()), "{shown}");
    }
}

/// The first word of a type.
fn name_of(data_type: &DataType) -> String {
    let whole = name(data_type);
    whole.split(['<', '(']).next().unwrap_or_default().to_owned()
}

#[test]
fn a_text_takes_names_as_they_are_and_values_that_are_missing() {
    let columns = columns(pieces("userId VARCHAR(5) NOT NULL, s STRUCT<>"), How::Text).unwrap();
    assert_eq!(
        (columns[0].name.as_str(), &columns[0].data_type, columns[0].nullable),
        ("userId", &DataType::Utf8, true)
    );
}

#[test]
fn each_mistake_has_its_kind_and_place() {
    for (text, kind, underlined) in [
        ("a", Kind::End, "a"),
        ("a INT NOT", Kind::End, "NOT"),
        ("a INT COMMENT 5", Kind::Unexpected, "5"),
        ("a INT b", Kind::Unexpected, "b"),
        ("1a INT", Kind::Unexpected, "1a"),
        ("`` INT", Kind::Unexpected, "``"),
        ("a INT, userId STRING", Kind::Column, "userId"),
        ("s STRUCT<pageUrl: STRING>", Kind::Column, "pageUrl"),
        ("a INT PRIMARY KEY", Kind::Column, "PRIMARY"),
        ("a INT DEFAULT 5", Kind::Column, "DEFAULT"),
        ("a INT GENERATED ALWAYS AS (b)", Kind::Column, "GENERATED"),
        ("a STRING COLLATE UTF8_LCASE", Kind::Column, "COLLATE"),
        ("s STRUCT<a: INT NULL>", Kind::Column, "NULL"),
        ("a VARCHAR(20)", Kind::Type, "VARCHAR(20)"),
        ("a NUMBER", Kind::Type, "NUMBER"),
        ("a TIMESTAMP(3)", Kind::Type, "("),
        ("a DECIMAL(39, 2)", Kind::Type, "DECIMAL(39, 2)"),
        ("a DECIMAL(2, 3)", Kind::Type, "DECIMAL(2, 3)"),
        ("a DECIMAL(0)", Kind::Type, "DECIMAL(0)"),
        ("a STRUCT<>", Kind::Type, "STRUCT"),
        ("a STRUCT<b: INT, b: STRING>", Kind::Duplicate, "b"),
    ] {
        let found = mistake(text);
        assert_eq!((found.kind, &text[found.place.start..found.place.end]), (kind, underlined), "{text}: {found:?}");
        assert!(!found.message.is_empty() && !found.label.is_empty());
    }
    let deep = format!("a {}INT{}", "ARRAY<".repeat(51), ">".repeat(51));
    assert_eq!(mistake(&deep).kind, Kind::Depth);
}

#[test]
fn what_is_written_is_read_as_the_same() {
    for text in [
        "STRUCT<`Ab`: INT, `1`: DATE, `a b`: BINARY, `c``d`: DECIMAL(38,38) NOT NULL>",
        "MAP<STRING, ARRAY<STRUCT<n: TIMESTAMP_NTZ NOT NULL>>>",
        "ARRAY<TINYINT>",
    ] {
        let read = data_type(pieces(text), How::Declared).unwrap();
        assert_eq!(written(&read, How::Declared), text);
    }
}

#[test]
fn columns_are_written_as_they_are_declared() {
    let text = "tenant STRING NOT NULL, `userId` BIGINT, props STRUCT<page: STRING>";
    let fields: Vec<_> = declared(text).unwrap().iter().map(|column| Arc::new(column.field())).collect();
    assert_eq!(written_columns(&fields, How::Declared), text);
}
