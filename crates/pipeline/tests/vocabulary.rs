//! Kinds of sources and tables, and formats, that a program adds: named in the text, checked as those that every pipeline has.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use sluicebox_pipeline::ast::{Pipeline, Using};
use sluicebox_pipeline::formats::{self, ColumnsFrom, FormatWords};
use sluicebox_pipeline::kinds::{SourceWords, TableWords};
use sluicebox_pipeline::options::{ValueType, option};
use sluicebox_pipeline::parse::parse_in;
use sluicebox_pipeline::vocabulary::{Vocabulary, WordError};

static QUEUE: SourceWords = SourceWords {
    name: "queue",
    options: &[
        option("queue.length", ValueType::Int(1, 100), "`10`", "How many."),
        option("place", ValueType::Text, "", "Where."),
    ],
};

static CSV: FormatWords = FormatWords {
    name: "csv",
    columns: ColumnsFrom::List,
    of_keys: false,
    options: &[option("csv.separator", ValueType::OneOf(&["comma", "tab"]), "`comma`", "What is between values.")],
};

static MEMORY: TableWords = TableWords {
    name: "memory",
    properties: &[
        option("memory.rows", ValueType::Int(1, 1000), "`100`", "How many rows it holds."),
        option("memory.key", ValueType::Secret, "", "What opens it."),
    ],
};

fn vocabulary() -> Vocabulary {
    let mut words = Vocabulary::default();
    words.add_source(&QUEUE).unwrap();
    words.add_format(&CSV).unwrap();
    words.add_table(&MEMORY).unwrap();
    words
}

fn said(text: &str) -> String {
    match parse_in("p.sql", text, &[], &|_| None, &vocabulary()) {
        Ok(_) => panic!("it is taken: {text}"),
        Err(mistakes) => mistakes.render(false),
    }
}

fn read(text: &str) -> Pipeline {
    parse_in("p.sql", text, &[], &|_| None, &vocabulary())
        .unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)))
}

const TABLE: &str = "; CREATE STREAMING TABLE t AS SELECT id FROM STREAM s";

#[test]
fn what_is_added_is_named_as_what_is_there() {
    let text = "CREATE TABLE s (id BIGINT) USING queue OPTIONS ('Queue.Length' = '5', 'value.format' = 'CSV', 'csv.separator' = 'tab', \
                'maxFuture' = '1 day', 'place' = '${env:PLACE}'); \
                CREATE STREAMING TABLE t USING memory TBLPROPERTIES ('memory.rows' = '7', 'on.error' = 'fail') AS SELECT id FROM STREAM s";
    let pipeline = read(text);
    let source = &pipeline.sources[0];
    assert_eq!((source.kind.value.name(), source.value_format.name()), ("queue", "csv"));
    assert_eq!(source.option("queue.length"), Some("5"));
    assert_eq!(source.option("place"), Some("${env:PLACE}"), "who needs it looks");
    assert_eq!(formats::value_columns(source).unwrap()[0].name(), "id");
    let table = &pipeline.tables[0];
    assert!(matches!(table.using(), Using::Added(kind) if kind.name() == "memory"));
    // Options that are named on the command line are those of this kind too.
    let set = [("s.queue.length".to_owned(), "6".to_owned())];
    let set = parse_in("p.sql", text, &set, &|_| None, &vocabulary()).unwrap();
    assert_eq!(set.sources[0].option("queue.length"), Some("6"));
}

#[test]
fn a_mistake_is_told_with_the_names_that_there_are() {
    for (source, told) in [
        ("USING quue", "did you mean queue?"),
        ("USING rabbits", "write USING kafka or USING queue"),
        ("USING queue OPTIONS ('queue.lenght' = '5')", "did you mean 'queue.length'?"),
        ("USING queue OPTIONS ('queue.length' = '500')", "whole number from 1 to 100"),
        ("USING queue OPTIONS ('subscribe' = 'a')", "its own are queue.length, place"),
        ("USING queue OPTIONS ('kafka.client.id' = 'a')", "has no option `kafka.client.id`"),
        ("USING kafka OPTIONS ('subscribe' = 'a', 'queue.length' = '5')", "a source of kind kafka has no option"),
        ("USING queue OPTIONS ('value.format' = 'protobuf')", "it is 'avro', 'json', 'text', 'binary' or 'csv'"),
        (
            "(id BIGINT) USING queue OPTIONS ('value.format' = 'csv', 'key.format' = 'csv')",
            "it is 'avro', 'json', 'text' or 'binary'",
        ),
        ("USING queue OPTIONS ('value.format' = 'csv')", "list them: CREATE TABLE s"),
        (
            "USING queue OPTIONS ('value.format' = 'text', 'csv.separator' = 'tab')",
            "is of events in 'csv', and those of this source are in 'text'",
        ),
    ] {
        let said = said(&format!("CREATE TABLE s {source}{TABLE}"));
        assert!(said.contains(told), "{source}: {said}");
    }
    let source =
        "CREATE TABLE s USING kafka OPTIONS ('subscribe' = 'a', 'value.format' = 'text'); CREATE STREAMING TABLE t";
    for (table, told) in [
        ("USING memry", "did you mean memory?"),
        ("USING tape", "write USING parquet, kafka or memory"),
        ("USING memory LOCATION 'data/t'", "a table of this kind has no folder"),
        ("USING memory PARTITIONED BY (value)", "take PARTITIONED BY out"),
        ("USING memory TBLPROPERTIES ('compression' = 'zstd')", "is no property of such a table"),
        ("TBLPROPERTIES ('memory.rows' = '7')", "is no property of such a table"),
        ("USING memory TBLPROPERTIES ('memory.row' = '7')", "did you mean 'memory.rows'?"),
    ] {
        let said = said(&format!("{source} {table} AS SELECT value FROM STREAM s"));
        assert!(said.contains(told), "{table}: {said}");
    }
}

#[test]
fn a_secret_of_a_table_that_was_added_keeps_its_reference() {
    let source = "CREATE TABLE s USING kafka OPTIONS ('subscribe' = 'a', 'value.format' = 'text')";
    let table = |key: &str| {
        format!(
            "{source}; CREATE STREAMING TABLE t USING memory TBLPROPERTIES ('memory.key' = '{key}') AS SELECT value FROM STREAM s"
        )
    };
    let words = vocabulary();
    let env = |name: &str| (name == "KEY").then(|| "open sesame".to_owned());
    let parsed = |text: &str, set: &[(String, String)]| parse_in("p.sql", text, set, &env, &words);
    let pipeline = parsed(&table("${env:KEY}"), &[]).unwrap();
    assert_eq!(pipeline.tables[0].property("memory.key"), Some("${env:KEY}"));
    assert!(!pipeline.resolved.contains("sesame"));
    let set = [("t.memory.key".to_owned(), "${env:KEY}".to_owned())];
    let pipeline = parsed(&table("${file:key}"), &set).unwrap();
    assert_eq!(pipeline.tables[0].property("memory.key"), Some("${env:KEY}"));
    assert!(said(&table("sesame")).contains("holds a secret"));
}

#[test]
fn a_name_is_taken_once() {
    static KAFKA: SourceWords = SourceWords { name: "kafka", options: &[] };
    static LOUD: SourceWords = SourceWords { name: "Loud", options: &[] };
    static SAME: SourceWords = SourceWords { name: "same", options: &[option("maxFuture", ValueType::Text, "", "")] };
    static JSON: FormatWords = FormatWords { name: "json", columns: ColumnsFrom::List, of_keys: false, options: &[] };
    static ODD: FormatWords = FormatWords {
        name: "odd",
        columns: ColumnsFrom::List,
        of_keys: false,
        options: &[option("json.odd", ValueType::Bool, "", "")],
    };
    // One option has the source `queue`, and one the clients of a registry.
    static BESIDE: FormatWords = FormatWords {
        name: "queue",
        columns: ColumnsFrom::List,
        of_keys: false,
        options: &[option("queue.length", ValueType::Bool, "", "")],
    };
    static CLIENT: FormatWords = FormatWords {
        name: "schema",
        columns: ColumnsFrom::List,
        of_keys: false,
        options: &[option("schema.registry.kind", ValueType::Bool, "", "")],
    };
    static PARQUET: TableWords = TableWords { name: "parquet", properties: &[] };
    static TOPIC: TableWords = TableWords { name: "other", properties: &[option("topic", ValueType::Name, "", "")] };
    let mut words = vocabulary();
    let taken = |added: Result<(), WordError>| matches!(added, Err(WordError::Taken { .. }));
    for words_of in [&QUEUE, &KAFKA, &SAME] {
        assert!(taken(words.add_source(words_of)), "{}", words_of.name);
    }
    assert!(matches!(words.add_source(&LOUD), Err(WordError::NoName { .. })));
    assert!(taken(words.add_format(&JSON)) && taken(words.add_format(&CSV)));
    assert!(matches!(words.add_format(&ODD), Err(WordError::OtherOption { .. })));
    for words_of in [&BESIDE, &CLIENT] {
        assert!(taken(words.add_format(words_of)), "{}", words_of.name);
    }
    for words_of in [&MEMORY, &PARQUET, &TOPIC] {
        assert!(taken(words.add_table(words_of)), "{}", words_of.name);
    }
}
