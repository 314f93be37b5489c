//! Pipelines that are right: what the parser makes of them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use sluicebox_core::shown::acts;
use sluicebox_pipeline::ast::{Action, Pipeline, SourceKind, Span};
use sluicebox_pipeline::diagnostic::{COMMAND_LINE, Diagnostic, Diagnostics};
use sluicebox_pipeline::options;
use sluicebox_pipeline::parse;
use sluicebox_pipeline::settings::{self, Compression, Properties, Settings, Trigger};
use sluicebox_pipeline::values::{Reference, resolve};

fn read(text: &str) -> Pipeline {
    read_with(text, &[])
}

fn read_with(text: &str, overrides: &[(&str, &str)]) -> Pipeline {
    let overrides: Vec<_> = overrides.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    parse("test.sql", text, &overrides).unwrap_or_else(|d| panic!("{}", d.render(false)))
}

fn gold() -> Pipeline {
    read(include_str!("../../../sql/gold_revenue.sql"))
}

/// The query of a table, as SQL.
fn query(pipeline: &Pipeline, table: &str) -> String {
    let table = pipeline.tables.iter().find(|t| t.name.value == table).unwrap();
    table.flows[0].query.ast.to_string()
}

#[test]
fn the_first_pipeline() {
    let pipeline = gold();
    assert_eq!(pipeline.name, "revenue_5m");
    let source = &pipeline.sources[0];
    assert_eq!((source.name.value.as_str(), source.kind.value), ("sales_events", SourceKind::KAFKA));
    let get = |name| options::get(source, name);
    assert_eq!(get("subscribe"), Some("sales.events.v1"));
    assert_eq!(get("startingOffsets"), Some("earliest"));
    assert_eq!((get("sample"), get("assign")), (Some("sales"), None));
    let silver = &pipeline.tables[1];
    let actions: Vec<Action> = silver.constraints.iter().map(|c| c.action).collect();
    assert_eq!(actions[..5], [Action::Quarantine; 5]);
    assert_eq!(actions[5], Action::Warn);
    let within = &silver.constraints[5];
    assert_eq!(&pipeline.text[within.span.start..within.span.end], "ingest_time - event_time <= INTERVAL '5 minutes'");
    assert_eq!(silver.partitioned_by[0].value, "event_date");
    let stream = &silver.flows[0].query.streams[0];
    assert_eq!(stream.table.value, "bronze_sales");
    let watermark = stream.watermark.as_ref().unwrap();
    assert_eq!((watermark.column.value.as_str(), watermark.delay_micros), ("event_time", 600_000_000));
    assert_eq!(
        &pipeline.text[watermark.span.start..watermark.span.end],
        "WATERMARK event_time DELAY OF INTERVAL '10 minutes'"
    );
    let locations: Vec<String> = pipeline.tables.iter().map(settings::location).collect();
    assert_eq!(locations, ["data/bronze/sales", "data/silver/sales", "data/gold/revenue_5m"]);
    insta::assert_snapshot!(query(&pipeline, "silver_sales"));
    insta::assert_snapshot!(query(&pipeline, "gold_revenue_5m"));
}

const SOURCE: &str = "CREATE TABLE events USING kafka OPTIONS ('subscribe' = 'events');\n";

/// A pipeline with one table `g` that is fed by `query`.
fn with_query(query: &str) -> Pipeline {
    read(&format!("{SOURCE}CREATE STREAMING TABLE g AS {query};"))
}

fn rewritten(text: &str) -> String {
    query(&with_query(text), "g")
}

#[test]
fn streams_are_taken_out_in_every_form() {
    for text in [
        "SELECT * FROM STREAM events WATERMARK ts DELAY OF INTERVAL 10 MINUTES AS e",
        "SELECT * FROM STREAM events AS e WATERMARK ts DELAY OF INTERVAL '10' MINUTE",
        "SELECT * FROM STREAM(events) e WATERMARK ts DELAY OF INTERVAL '10 minutes'",
        "select * from stream ( EVENTS ) watermark TS delay of interval '600 seconds' e",
        "SELECT * FROM STREAM `events` WATERMARK `ts` DELAY OF INTERVAL 9 MINUTES 60 SECONDS e",
    ] {
        let pipeline = with_query(text);
        let query = &pipeline.tables[0].flows[0].query;
        assert_eq!(query.streams.len(), 1, "{text}");
        let stream = &query.streams[0];
        assert_eq!(stream.table.value, "events", "{text}");
        let watermark = stream.watermark.as_ref().unwrap();
        assert_eq!((watermark.column.value.as_str(), watermark.delay_micros), ("ts", 600_000_000), "{text}");
        assert_eq!(query.ast.to_string().to_lowercase(), "select * from __sb_stream_0 as e", "{text}");
    }
}

#[test]
fn streams_stand_in_joins_subqueries_and_unions() {
    let text = "WITH a AS (SELECT * FROM STREAM events) \
                SELECT x FROM (SELECT * FROM STREAM events e WHERE k IN (SELECT k FROM a)) s \
                JOIN STREAM events f ON s.id = f.id, STREAM events AS h, (STREAM events AS i CROSS JOIN a) \
                UNION ALL SELECT substring(x FROM 2) FROM STREAM events WHERE a IS DISTINCT FROM stream AND stream > extract(day FROM stream)";
    insta::assert_snapshot!(rewritten(text));
    assert_eq!(with_query(text).tables[0].flows[0].query.streams.len(), 6);
}

#[test]
fn a_column_or_alias_may_be_called_stream() {
    let text = "SELECT stream, max(stream) AS watermark, a stream FROM STREAM events stream WHERE stream.watermark > 1";
    assert_eq!(
        rewritten(text),
        "SELECT stream, max(stream) AS watermark, a AS stream FROM __sb_stream_0 AS stream WHERE stream.watermark > 1"
    );
}

#[test]
fn clauses_in_any_order_and_spelling() {
    let pipeline = read(
        r#"set Batch.Bytes = 4 MiB; -- a comment; with a semicolon
        SET 'trigger' = 'available-now';
        create table if not exists Events using KAFKA options (
            subscribe 'a, b', "kafka.bootstrap.servers" "localhost:9092", failondataloss = FALSE, maxOffsetsPerTrigger 5,
            'kafka.sasl.password' = '${env:KAFKA_PASSWORD}', idletimeout = '1 min');
        create or refresh streaming table Gold_Sums
          (constraint A expect (x > 0) on violation drop row, constraint b expect (y in (1, 2)))
          tblproperties ('compression' = 'zstd', compression.level = 9, target.file.size '64 MiB')
          location "out/gold" comment 'sums' partitioned by (`Day`, hour) using PARQUET
        as with e as (select * from stream events) select * from e;
        create temporary view v comment 'none' as select 1 as one;
        create flow more as insert into gold_sums by name select * from stream events;"#,
    );
    assert_eq!(Settings::of(&pipeline).batch_bytes, 4 << 20);
    assert_eq!(Settings::of(&pipeline).trigger, Trigger::AvailableNow);
    assert_eq!(pipeline.name, "test");
    let written: Vec<_> =
        pipeline.sources[0].options.iter().map(|(k, v)| (k.value.as_str(), v.value.as_str())).collect();
    assert_eq!(
        written,
        [
            ("subscribe", "a, b"),
            ("kafka.bootstrap.servers", "localhost:9092"),
            ("failOnDataLoss", "false"),
            ("maxOffsetsPerTrigger", "5"),
            ("kafka.sasl.password", "${env:KAFKA_PASSWORD}"),
            ("idleTimeout", "1 min")
        ]
    );
    assert_eq!(options::EventTimeOptions::of(&pipeline.sources[0]).idle_timeout_micros, 60_000_000);
    let table = &pipeline.tables[0];
    assert_eq!(table.name.value, "gold_sums");
    assert_eq!(settings::location(table), "out/gold");
    assert_eq!(table.partitioned_by.iter().map(|c| c.value.as_str()).collect::<Vec<_>>(), ["Day", "hour"]);
    assert_eq!(Properties::of(table).compression, Compression::Zstd(9));
    assert_eq!(Properties::of(table).target_file_size, 64 << 20);
    assert_eq!(table.constraints.iter().map(|c| c.action).collect::<Vec<_>>(), [Action::Drop, Action::Warn]);
    assert_eq!(table.flows.iter().map(|f| f.name.value.as_str()).collect::<Vec<_>>(), ["gold_sums", "more"]);
    assert_eq!(table.flows[1].query.streams[0].leaf, "__sb_stream_1");
}

#[test]
fn the_command_line_goes_before_the_file() {
    let text =
        format!("SET 'batch.bytes' = '1 MiB';\n{SOURCE}CREATE STREAMING TABLE g AS SELECT * FROM STREAM events;");
    let overrides = [("Batch.bytes", "2 MiB"), ("events.startingOffsets", "earliest"), ("events.subscribe", "other")];
    let pipeline = read_with(&text, &overrides);
    assert_eq!(Settings::of(&pipeline).batch_bytes, 2 << 20);
    let get = |name| options::get(&pipeline.sources[0], name);
    assert_eq!((get("subscribe"), get("startingOffsets")), (Some("other"), Some("earliest")));
    let wrong = [("batch.byte", "1"), ("events.subscrib", "x"), ("event.subscribe", "x"), ("batch.bytes", "x")];
    let wrong: Vec<_> = wrong.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let diagnostics = parse("test.sql", &text, &wrong).unwrap_err();
    insta::assert_snapshot!(diagnostics.render(false));
    insta::assert_snapshot!(diagnostics.to_string());
}

#[test]
fn the_command_line_sets_a_property_of_a_table() {
    let text = format!(
        "{SOURCE}CREATE STREAMING TABLE g TBLPROPERTIES ('compression' = 'none', 'target.file.size' = '2 MiB') AS
         SELECT * FROM STREAM events;
         CREATE STREAMING TABLE sent USING kafka TBLPROPERTIES ('topic' = 'out') AS SELECT * FROM STREAM events;
         CREATE STREAMING TABLE batch AS SELECT * FROM STREAM events;"
    );
    let overrides =
        [("g.Compression", "zstd"), ("sent.topic", "other"), ("sent.key.columns", "id"), ("batch.bytes", "2 MiB")];
    let pipeline = read_with(&text, &overrides);
    let property = |table: usize, name| pipeline.tables[table].property(name);
    assert_eq!((property(0, "compression"), property(0, "target.file.size")), (Some("zstd"), Some("2 MiB")));
    assert_eq!((property(1, "topic"), property(1, "key.columns")), (Some("other"), Some("id")));
    assert_eq!(Settings::of(&pipeline).batch_bytes, 2 << 20, "a setting, though there is a table of that name");
    for (key, value, said) in [
        ("g.retan", "1 day", "there is no property `retan`; did you mean g.retain?"),
        ("sent.key.colums", "id", "did you mean sent.key.columns?"),
        ("sentt.topic", "t", "there is no setting `sentt.topic`; did you mean sent.topic?"),
        ("g.target.file.size", "large", "is not a size"),
        ("sent.retain", "1 day", "is about files"),
        ("g.topic", "t", "is about events"),
    ] {
        let mistakes = parse("test.sql", &text, &[(key.to_owned(), value.to_owned())]).unwrap_err().to_string();
        assert!(mistakes.contains(said), "--set {key}={value}: {mistakes}");
    }
}

#[test]
fn the_name_is_the_files() {
    let text = format!("{SOURCE}CREATE STREAMING TABLE g AS SELECT * FROM STREAM events;");
    assert_eq!(parse("sql/revenue.sql", &text, &[]).unwrap().name, "revenue");
    assert_eq!(parse("sql/my revenue (2).sql", &text, &[]).unwrap().name, "my_revenue_2");
}

#[test]
fn colours_only_when_asked_for() {
    let diagnostics = parse("t.sql", "SELECT 1", &[]).unwrap_err();
    assert!(!diagnostics.render(false).contains('\u{1b}'));
    assert!(diagnostics.render(true).contains('\u{1b}'));
}

#[test]
fn what_a_text_or_a_message_holds_is_drawn_and_does_nothing() {
    let text = "SELECT '\u{1b}[2J\u{202e}\u{2028}',\r\n\t'\u{9b}' x";
    let start = text.find(" x").unwrap() + 1;
    let found = |span: Span| {
        Diagnostic::new("query", span, "said \u{1b}]0;pwned\u{7}\r\nerror[FAKE]: fine", "here\u{202e}")
            .with_help("help\u{9b}31m".to_owned() + &"!".repeat(5_000))
            .with_note("note\u{7f}")
            .with_related(Span { start: 0, end: 6 }, "there\u{1b}c")
    };
    for span in [Span { start, end: start + 1 }, COMMAND_LINE] {
        let found = Diagnostics::new("a\u{1b}[m.sql", text, vec![found(span)]);
        for said in [found.render(false), found.to_string()] {
            assert!(!said.replace('\n', "").contains(acts), "{said:?}");
            assert!(said.contains(r"said \u{1b}]0;pwned\u{7}\r\nerror[FAKE]: fine"), "{said}");
            assert!(said.contains("(5,008 characters)") && !said.contains(&"!".repeat(4_001)), "{said}");
            assert_eq!(said.contains(r"a\u{1b}[m.sql:2:6"), span != COMMAND_LINE, "{said}");
        }
    }
}

#[test]
fn references_are_resolved_by_the_caller() {
    let lookup = |reference: Reference<'_>| match reference {
        Reference::Env("U") => Ok("ann".to_owned()),
        Reference::File("/run/p") => Ok("${env:U}".to_owned()),
        other => Err(format!("{other:?}")),
    };
    assert_eq!(resolve("${env:U}:${file:/run/p}$", lookup).unwrap(), "ann:${env:U}$");
    assert_eq!(resolve("a ${b} ${", lookup).unwrap(), "a ${b} ${");
    assert_eq!(resolve("${env:X}", lookup).unwrap_err(), "Env(\"X\")");
}

#[test]
fn a_byte_order_mark_and_spaces_of_any_kind_are_no_riddle() {
    let plain = "CREATE TABLE a USING kafka OPTIONS ('subscribe' = 'ab');\n\
                 CREATE STREAMING TABLE t AS SELECT x, 'p\u{a0}q' AS y FROM STREAM a;\n";
    let odd =
        format!("\u{feff}{}", plain.replace("TABLE t", "TABLE\u{a0}t").replace("SELECT x", "SELECT\u{3000}x\u{200b}"));
    let (plain, odd) = (read(plain), read(&odd.replace('\n', "\r\n")));
    assert_eq!(query(&plain, "t"), query(&odd, "t"));
    assert!(query(&odd, "t").contains("'p\u{a0}q'"), "what is in a text stays");
}

#[test]
fn what_only_looks_like_sql_is_told_by_its_name() {
    let said = |text: &str| parse("t.sql", text, &[]).unwrap_err().to_string();
    for (odd, named) in [
        ("“x”", "U+201C, a typographic quote"),
        ("x – 1", "U+2013, a typographic dash"),
        ("x，y", "a full-width comma"),
    ] {
        let text = format!("CREATE STREAMING TABLE t AS SELECT {odd} FROM STREAM a;");
        assert!(said(&text).contains(named), "{}", said(&text));
        assert!(said(&text).contains("t.sql:1:"), "{}", said(&text));
    }
}

#[test]
fn values_of_the_environment_stand_everywhere_but_in_the_place_of_secrets() {
    let text = "SET 'batch.bytes' = '${env:BATCH}';
        CREATE TABLE a USING kafka OPTIONS ('subscribe' = 'a-${env:TENANT}', 'kafka.sasl.password' = '${env:SECRET}');
        CREATE STREAMING TABLE t LOCATION 'data/${env:TENANT}/t' TBLPROPERTIES ('compression' = '${env:CODEC}')
        AS SELECT * FROM STREAM a;";
    let env = |name: &str| match name {
        "BATCH" => Some("8 MiB".to_owned()),
        "TENANT" => Some("acme".to_owned()),
        "CODEC" => Some("none".to_owned()),
        "SECRET" => Some("hunter2".to_owned()),
        _ => None,
    };
    let overrides = [("a.startingOffsets".to_owned(), "${env:FROM}".to_owned())];
    let read = sluicebox_pipeline::parse::parse_with("t.sql", text, &[], &env).unwrap();
    assert_eq!(Settings::of(&read).batch_bytes, 8 << 20);
    assert_eq!(options::get(&read.sources[0], "subscribe"), Some("a-acme"));
    assert_eq!(
        options::get(&read.sources[0], "kafka.sasl.password"),
        Some("${env:SECRET}"),
        "a secret stays where it is"
    );
    assert_eq!(read.tables[0].location.as_ref().unwrap().value, "data/acme/t");
    assert_eq!(Properties::of(&read.tables[0]).compression, Compression::None);
    let unset = sluicebox_pipeline::parse::parse_with("t.sql", text, &overrides, &env).unwrap_err();
    assert!(unset.to_string().contains("environment variable FROM, which is not set"), "{unset}");
    let file = text.replace("data/${env:TENANT}", "${file:/etc/tenant}");
    let refused = sluicebox_pipeline::parse::parse_with("t.sql", &file, &[], &env).unwrap_err();
    assert!(refused.to_string().contains("reference that names no place"), "{refused}");
}

#[test]
fn values_of_the_environment_stand_in_texts_of_every_kind_in_a_query() {
    let env = |name: &str| (name == "TENANT").then(|| "acme".to_owned());
    let read = |text: &str| {
        let sql = format!(
            "CREATE TABLE a USING kafka OPTIONS ('subscribe' = 'a'); CREATE STREAMING TABLE t AS SELECT {text} AS y FROM STREAM a;"
        );
        sluicebox_pipeline::parse::parse_with("t.sql", &sql, &[], &env).map(|read| query(&read, "t"))
    };
    for (text, stands) in [
        ("'${env:TENANT}-1'", "'acme-1'"),
        (r"r'^${env:TENANT}-\d+$'", r"'^acme-\d+$'"),
        ("r'''${env:TENANT} ${1}'''", "'acme ${1}'"),
    ] {
        let query = read(text).unwrap();
        assert!(query.contains(&format!("SELECT {stands} AS y")), "{text}: {query}");
        let unset = read(&text.replace("TENANT", "NOBODY")).unwrap_err().to_string();
        assert!(unset.contains("environment variable NOBODY, which is not set"), "{text}: {unset}");
    }
}
