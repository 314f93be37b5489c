#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use sluicebox_checkpoint::PipelineRecord;
use sluicebox_checkpoint::shape::Shape;
use sluicebox_core::provenance::provenance_fields;
use sluicebox_core::{Clock, SystemClock};
use sluicebox_pipeline::bind;

use super::*;

const SOURCE: &str = "CREATE TABLE orders USING kafka OPTIONS ('subscribe' = 'orders.v1');";
const BRONZE: &str = "CREATE STREAMING TABLE bronze AS SELECT * FROM STREAM orders;";
const SILVER: &str = "CREATE STREAMING TABLE silver (CONSTRAINT paid EXPECT (total > 0) ON VIOLATION QUARANTINE)
  PARTITIONED BY (day)
  AS SELECT DISTINCT ON (id) id, at, country, total, CAST(at AS DATE) AS day
     FROM STREAM bronze WATERMARK at DELAY OF INTERVAL '10 minutes' WHERE total < 1000;";
const GOLD: &str = "CREATE STREAMING TABLE gold AS SELECT window.start AS at, country, sum(total) AS total
  FROM STREAM silver GROUP BY window(at, INTERVAL '5 minutes'), country;";

fn graph(sql: &str) -> sluicebox_pipeline::graph::Graph {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields: Vec<Arc<Field>> = vec![
        Arc::new(Field::new("id", DataType::Utf8, false)),
        Arc::new(Field::new("at", time.clone(), true)),
        Arc::new(Field::new("seen", time, true)),
        Arc::new(Field::new("country", DataType::Utf8, true)),
        Arc::new(Field::new("total", DataType::Int64, true)),
    ];
    fields.extend(provenance_fields());
    let schema = Arc::new(Schema::new(fields));
    let pipeline = sluicebox_pipeline::parse("t.sql", sql, &[]).unwrap();
    let sources = pipeline.sources.iter().map(|s| (s.name.value.clone(), Arc::clone(&schema))).collect();
    bind::bind(pipeline, &sources).unwrap()
}

fn shape(sql: &str) -> Shape {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    shape_of(&graph(sql), Path::new("/w"), &bind::functions::session_state(1), &clock).unwrap()
}

fn all() -> String {
    [SOURCE, BRONZE, SILVER, GOLD].join("\n")
}

fn facts() -> ChangeFacts {
    ChangeFacts { committed: true, from_batch: 7, ..ChangeFacts::default() }
}

fn request(refresh: &[&str], reset: &[&str]) -> Request {
    Request {
        refresh: refresh.iter().map(|t| (*t).to_owned()).collect(),
        reset: reset.iter().map(|t| (*t).to_owned()).collect(),
        backfill: BTreeMap::new(),
        readable: BTreeMap::new(),
        command: "sluicebox run t.sql".to_owned(),
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

fn changes(old: &str, new: &str, request: &Request, facts: &ChangeFacts) -> (Changes, Result<Adoption, Vec<String>>) {
    let (old, new) = (shape(old), shape(new));
    let mut changes = compare(&old, &new, facts);
    let adoption = resolve(&mut changes, (&old, &new), request, facts, &BTreeSet::new());
    let verdict = changes.iter().map(|c| c.verdict).max().unwrap();
    let checkpoint = "checkpoints/t".to_owned();
    let changes =
        Changes { checkpoint, verdict, from_batch: facts.from_batch, replays: false, compared_with: 3, changes };
    (changes, adoption)
}

/// The pipeline with `from` replaced by `to`, compared with the pipeline.
fn after(from: &str, to: &str) -> (Changes, Result<Adoption, Vec<String>>) {
    let old = all();
    assert!(old.contains(from), "no `{from}`");
    changes(&old, &old.replace(from, to), &request(&[], &[]), &facts())
}

fn verdicts(changes: &Changes) -> Vec<(&str, Verdict)> {
    let changed = changes.changes.iter().filter(|c| c.verdict != Verdict::Unchanged);
    changed.map(|c| (c.name.as_str(), c.verdict)).collect()
}

#[test]
fn the_same_sql_has_the_same_shape_however_it_is_written_and_what_else_there_is() {
    let spaced = all().replace(' ', "  ").replace("INTERVAL  '", "INTERVAL '").replace("'5  m", "'5 m");
    let spaced = spaced.replace("'10  m", "'10 m").replace("'1  ", "'1 ");
    assert_eq!(shape(&all()), shape(&format!("-- a comment\n{spaced}")));
    // Another table before the others moves the names that the binder chooses, and nothing else.
    let more =
        [SOURCE, "CREATE STREAMING TABLE other AS SELECT id FROM STREAM orders;", BRONZE, SILVER, GOLD].join("\n");
    let (old, new) = (shape(&all()), shape(&more));
    for (name, table) in &old.tables {
        assert_eq!(Some(table), new.tables.get(name));
    }
    let json = serde_json::to_string(&old).unwrap();
    assert_eq!(old, serde_json::from_str(&json).unwrap());
}

#[test]
fn every_change_has_its_verdict() {
    use Verdict::{Choice, Refused, Safe};
    type Case<'a> = (&'a str, &'a str, &'a [(&'a str, Verdict)]);
    let cases: &[Case<'_>] = &[
        ("total < 1000", "total < 2000", &[("silver", Safe)]),
        ("WHERE total < 1000", "", &[("silver", Safe)]),
        ("total > 0", "total >= 0", &[("silver", Safe)]),
        ("QUARANTINE", "DROP ROW", &[("silver", Safe)]),
        ("PARTITIONED BY (day)", "PARTITIONED BY (day) TBLPROPERTIES ('compression' = 'none')", &[("silver", Safe)]),
        ("country, total, CAST", "country, upper(id) AS name, total, CAST", &[("silver", Safe)]),
        // What reads it takes columns by name.
        ("country, total, CAST", "total, country, CAST", &[("silver", Safe)]),
        ("SELECT * FROM", "SELECT *, id || '!' AS shout FROM", &[("bronze", Safe)]),
        ("'subscribe' = 'orders.v1'", "'subscribe' = 'orders.v1,orders.v2'", &[("orders", Safe)]),
        ("'orders.v1'", "'orders.v1', 'startingOffsets' = 'earliest'", &[("orders", Safe)]),
        ("'orders.v1'", "'orders.v1', 'includeHeaders' = 'true'", &[("orders", Safe)]),
        ("'orders.v1'", "'orders.v1', 'idleTimeout' = '1 minute'", &[("orders", Safe)]),
        ("'orders.v1'", "'orders.v1', 'maxOffsetsPerTrigger' = '9', 'kafka.client.id' = 'x'", &[]),
        ("'subscribe' = 'orders.v1'", "'subscribe' = 'orders.v2'", &[("orders", Refused)]),
        ("'subscribe' = 'orders.v1'", "'subscribePattern' = 'orders.*', 'value.subject' = 's'", &[("orders", Refused)]),
        ("DISTINCT ON (id)", "DISTINCT ON (id, country)", &[("silver", Choice)]),
        ("DISTINCT ON (id)", "DISTINCT ON (upper(id))", &[("silver", Choice)]),
        ("DISTINCT ON (id)", "", &[("silver", Safe)]),
        ("'10 minutes'", "'20 minutes'", &[("gold", Safe), ("silver", Choice)]),
        ("sum(total)", "max(total)", &[("gold", Choice)]),
        ("sum(total) AS total", "sum(total) AS total, count(*) AS n", &[("gold", Choice)]),
        ("'5 minutes'), country", "'15 minutes'), country", &[("gold", Choice)]),
        ("'5 minutes'), country", "'5 minutes', '1 minute'), country", &[("gold", Choice)]),
        ("country, sum(total)", "lower(country) AS country, sum(total)", &[("gold", Safe)]),
        ("PARTITIONED BY (day)", "", &[("silver", Choice)]),
        ("id, at, country", "id, at, CAST(country AS VARCHAR) AS country", &[("silver", Safe)]),
        ("country, total, CAST", "country, CAST(total AS INT) AS total, CAST", &[("gold", Choice), ("silver", Choice)]),
        ("PARTITIONED BY (day)", "PARTITIONED BY (day) LOCATION 'data/elsewhere'", &[("silver", Refused)]),
        ("FROM STREAM bronze", "FROM STREAM orders", &[("gold", Choice), ("silver", Refused)]),
    ];
    let mut wrong = Vec::new();
    for (from, to, expected) in cases {
        let (changes, adoption) = after(from, to);
        if verdicts(&changes) != *expected {
            wrong.push(format!("`{from}` -> `{to}`\n{changes}"));
        }
        let stops = expected.iter().any(|(_, v)| *v > Safe);
        assert_eq!(adoption.is_err(), stops, "`{from}` -> `{to}`");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_key_that_a_projection_below_computes_otherwise_is_another_key() {
    let query = |key: &str| {
        format!(
            "{SOURCE} CREATE STREAMING TABLE t AS SELECT DISTINCT ON (k) k, total FROM
             (SELECT {key} AS k, at, total FROM STREAM orders WATERMARK at DELAY OF INTERVAL '1 minute');"
        )
    };
    let (changes, _) = changes(&query("upper(id)"), &query("lower(id)"), &request(&[], &[]), &facts());
    assert_eq!(verdicts(&changes), [("t", Verdict::Choice)], "{changes}");
    assert!(changes.to_string().contains("keys `upper(id)` are `lower(id)`"), "{changes}");
}

#[test]
fn the_event_time_of_a_window_is_part_of_its_state() {
    let query = |column: &str| {
        format!(
            "{SOURCE} CREATE STREAMING TABLE t AS SELECT window.start AS s, count(*) AS n FROM STREAM orders
             WATERMARK {column} DELAY OF INTERVAL '1 minute' GROUP BY window({column}, INTERVAL '1 minute');"
        )
    };
    let (changes, _) = changes(&query("at"), &query("seen"), &request(&[], &[]), &facts());
    assert_eq!(verdicts(&changes), [("t", Verdict::Choice)], "{changes}");
    // In a stateless table it is judged anew, and the old watermark is forgotten.
    let plain = |column: &str| {
        format!(
            "{SOURCE} CREATE STREAMING TABLE t AS SELECT id FROM STREAM orders WATERMARK {column} DELAY OF INTERVAL '1 minute';"
        )
    };
    let (changes, adoption) = self::changes(&plain("at"), &plain("seen"), &request(&[], &[]), &facts());
    assert_eq!(verdicts(&changes), [("t", Verdict::Safe)], "{changes}");
    assert_eq!(adoption.unwrap().forgets, set(&["t.0"]));
}

#[test]
fn another_list_of_columns_of_a_source_is_told() {
    let listed = |columns: &str, more: &str| {
        let source = format!(
            "CREATE TABLE orders ({columns}) USING kafka OPTIONS ('subscribe' = 'orders.v1', 'value.format' = 'json'{more});"
        );
        [source.as_str(), BRONZE].join("\n")
    };
    let old = shape(&listed("id STRING NOT NULL, `Total` BIGINT", ""));
    assert_eq!(old.sources["orders"].options["columns"], "id STRING NOT NULL, `Total` BIGINT");
    assert_eq!(shape(&listed("id   string not null, `Total` LONG", "")), old, "the same types under other names");
    let new = shape(&listed("id STRING, `Total` BIGINT", ", 'json.timestamps' = 'epoch_millis'"));
    let told: Vec<String> =
        compare(&old, &new, &facts()).into_iter().flat_map(|c| c.differences).map(|d| d.what).collect();
    assert!(told.iter().any(|what| what.starts_with("'columns' was 'id STRING NOT NULL, ")), "{told:?}");
    assert!(told.iter().any(|what| what == "'json.timestamps' was not set, is 'epoch_millis'"), "{told:?}");
}

#[test]
fn a_new_table_is_filled_unless_it_reads_only_what_is_new() {
    let old = [SOURCE, BRONZE].join("\n");
    let more = "CREATE TABLE others USING kafka OPTIONS ('subscribe' = 'others');
        CREATE STREAMING TABLE fresh AS SELECT id FROM STREAM others;";
    let new = format!("{}{more}", all());
    let (changes, adoption) = changes(&old, &new, &request(&[], &[]), &facts());
    assert_eq!(changes.verdict, Verdict::Safe, "{changes}");
    assert_eq!(adoption.unwrap().backfills, set(&["silver", "gold"]));

    let mut none = request(&[], &[]);
    none.backfill.insert("gold".to_owned(), Backfill::None);
    let (_, adoption) = self::changes(&old, &new, &none, &facts());
    assert_eq!(adoption.unwrap().backfills, set(&["silver"]));

    let first = ChangeFacts { committed: false, ..facts() };
    let (_, adoption) = self::changes(&old, &new, &request(&[], &[]), &first);
    assert_eq!(adoption.unwrap(), Adoption::default(), "without a commit nothing was missed");

    let occupied = ChangeFacts { occupied: set(&["gold"]), ..facts() };
    let (changes, adoption) = self::changes(&old, &new, &request(&[], &[]), &occupied);
    assert_eq!(changes.verdict, Verdict::Refused, "{changes}");
    assert!(adoption.is_err());
    let (_, adoption) = self::changes(&old, &new, &request(&["gold"], &[]), &occupied);
    assert_eq!(adoption.unwrap().clears, set(&["gold"]));
}

#[test]
fn a_refresh_takes_the_tables_below_with_it_and_forgets_what_they_remember() {
    let (_, adoption) = changes(&all(), &all(), &request(&["silver"], &[]), &facts());
    let problems = adoption.unwrap_err();
    assert!(problems[0].ends_with("sluicebox run t.sql --full-refresh=silver,gold"), "{problems:?}");
    let (_, adoption) = changes(&all(), &all(), &request(&["silver", "gold"], &[]), &facts());
    let adoption = adoption.unwrap();
    assert_eq!(adoption.clears, set(&["silver", "gold"]));
    assert_eq!(adoption.backfills, set(&["silver", "gold"]));
    assert_eq!(adoption.forgets, set(&["silver.dedup.0", "silver.0", "gold.aggregate.0"]));
}

#[test]
fn a_reset_forgets_operators_and_keeps_the_watermark_so_that_no_window_is_written_twice() {
    let new = all().replace("sum(total)", "max(total)").replace("DISTINCT ON (id)", "DISTINCT ON (country)");
    let (_, adoption) = changes(&all(), &new, &request(&[], &["gold"]), &facts());
    assert_eq!(adoption.unwrap_err(), ["table silver needs a decision"]);
    let (_, adoption) = changes(&all(), &new, &request(&[], &["gold", "silver"]), &facts());
    let adoption = adoption.unwrap();
    assert_eq!(adoption.forgets, set(&["silver.dedup.0", "gold.aggregate.0"]));
    assert_eq!((adoption.clears, adoption.backfills), (set(&[]), set(&[])));
    // State that is reset makes no column another.
    let new = all().replace("sum(total) AS total", "avg(total) AS total");
    let (_, adoption) = changes(&all(), &new, &request(&[], &["gold"]), &facts());
    assert!(adoption.is_err());
}

#[test]
fn what_was_not_filled_to_its_end_begins_anew() {
    let facts = ChangeFacts { unfinished: set(&["gold"]), ..facts() };
    let (changes, adoption) = changes(&all(), &all(), &request(&[], &[]), &facts);
    assert_eq!(verdicts(&changes), [("gold", Verdict::Safe)]);
    let adoption = adoption.unwrap();
    assert_eq!((adoption.clears, adoption.backfills), (set(&["gold"]), set(&["gold"])));
}

#[test]
fn what_was_retired_is_said_where_a_table_is_filled_from_files() {
    let (old, new) = ([SOURCE, BRONZE, SILVER].join("\n"), all());
    let retired = BTreeMap::from([("silver".to_owned(), Retired::new(&["day=2026-01-02", "day=2026-01-01"], 70))]);
    let facts = ChangeFacts { retired, ..facts() };
    let mut asked = request(&[], &[]);
    asked.readable.insert("silver".to_owned(), Ok("orders".to_owned()));
    let lacks = "without what silver has retired: 2 partitions from day=2026-01-01 to day=2026-01-02, 70 rows";
    let text = changes(&old, &new, &asked, &facts).0.to_string();
    assert!(text.contains(&format!("whatever the topic still holds, {lacks}")), "{text}");
    assert!(text.contains("again from the pipeline's start up to batch 7; the other"), "{text}");
    asked.backfill.insert("gold".to_owned(), Backfill::Files);
    let text = changes(&old, &new, &asked, &facts).0.to_string();
    assert!(text.contains(&format!("from the files of silver up to batch 7, {lacks}; the other")), "{text}");
}

#[test]
fn a_table_with_rows_from_before_a_column_that_cannot_be_null_fills_none_from_its_files() {
    let bronze =
        |columns: &str| format!("{SOURCE}CREATE STREAMING TABLE bronze AS SELECT {columns} FROM STREAM orders;");
    let record = |columns: &str, cleared: bool| PipelineRecord {
        number: 1,
        epoch: 1,
        adopted_micros: 0,
        file: String::new(),
        text: String::new(),
        shape: shape(&bronze(columns)),
        logs: BTreeMap::new(),
        forgets: BTreeSet::new(),
        backfills: BTreeSet::new(),
        from_files: false,
        clears: if cleared { BTreeMap::from([("bronze".to_owned(), Vec::new())]) } else { BTreeMap::new() },
    };
    // A column that came, and one that could be NULL before.
    let now = "id, 1 AS one, 'x' AS country";
    let lacking = |records: &[PipelineRecord]| files::lacking(records, &shape(&bronze(now)));
    let of_bronze = |columns: &[&str]| BTreeMap::from([("bronze".to_owned(), set(columns))]);
    let second = "id, 1 AS one, country";
    assert_eq!(lacking(&[record("id", false), record(second, false)]), of_bronze(&["country", "one"]));
    assert_eq!(lacking(&[record("id", false), record(second, true)]), of_bronze(&["country"]));
    assert_eq!(lacking(&[record(second, false), record(now, true)]), BTreeMap::new());

    let more = bronze(now) + "CREATE STREAMING TABLE gold AS SELECT id FROM STREAM bronze;";
    let facts = ChangeFacts { lacking: of_bronze(&["country", "one"]), ..facts() };
    let mut asked = request(&[], &[]);
    asked.readable.insert("bronze".to_owned(), Ok("orders".to_owned()));
    let text = changes(&bronze(now), &more, &asked, &facts).0.to_string();
    assert!(text.contains("--backfill=gold=none") && !text.contains("=files"), "{text}");
    asked.backfill.insert("gold".to_owned(), Backfill::Files);
    let problems = changes(&bronze(now), &more, &asked, &facts).1.unwrap_err().join("\n");
    let why = "bronze has rows that are older than its columns country and one, which cannot be NULL. Write gold=topic";
    assert!(problems.contains(why), "{problems}");
}

#[test]
fn names_that_are_none_are_told() {
    let mut asked = request(&["nothing"], &["nobody"]);
    asked.backfill.insert("gold".to_owned(), Backfill::None);
    let (_, adoption) = changes(&all(), &all(), &asked, &facts());
    let problems = adoption.unwrap_err().join("\n");
    for part in ["--full-refresh=nothing", "--reset-state=nobody", "there are bronze, gold, silver", "--backfill=gold"]
    {
        assert!(problems.contains(part), "{problems}");
    }
}

#[test]
fn plan_tells_what_is_safe() {
    let new = all()
        .replace("total < 1000", "total < 2000")
        .replace("total > 0", "total >= 0")
        .replace("country, total, CAST", "country, upper(id) AS name, total, CAST")
        .replace(GOLD, "CREATE STREAMING TABLE gold_2 AS SELECT id FROM STREAM silver;");
    let (changes, _) = changes(&all(), &new, &request(&[], &[]), &facts());
    insta::assert_snapshot!(changes.to_string());
}

#[test]
fn plan_tells_the_ways_on() {
    let new = all()
        .replace("DISTINCT ON (id)", "DISTINCT ON (country)")
        .replace("CAST(at AS DATE) AS day", "at AS day")
        .replace("sum(total) AS total", "sum(total) AS total, count(*) AS n")
        .replace("'orders.v1'", "'orders.v2'")
        .replace("STREAMING TABLE bronze AS", "STREAMING TABLE bronze LOCATION 'data/new' AS");
    let (changes, _) = changes(&all(), &new, &request(&[], &[]), &facts());
    insta::assert_snapshot!(changes.to_string());
    insta::assert_snapshot!(serde_json::to_string_pretty(changes.changes.last().unwrap()).unwrap());
}

#[test]
fn nothing_new_is_told_as_that() {
    let (changes, adoption) = changes(&all(), &all(), &request(&[], &[]), &facts());
    assert_eq!(
        changes.to_string(),
        "since the checkpoint checkpoints/t\n  nothing has changed: the next run goes on with batch 7\n"
    );
    assert_eq!(adoption.unwrap(), Adoption::default());
}

#[test]
fn the_part_that_fills_a_table_has_names_of_its_own_above_it() {
    let graph = graph(&all());
    let part = part(&graph, &set(&["gold"]), 4);
    assert_eq!(part.tables.len(), 3);
    let clauses: Vec<String> = part.clauses().into_keys().collect();
    assert_eq!(clauses, ["backfill-4.silver.0"]);
    let ids: Vec<String> = part.describe().tables.iter().flat_map(|t| &t.state).map(|s| s.id.clone()).collect();
    assert_eq!(ids, ["backfill-4.silver.dedup.0", "gold.aggregate.0"]);
    assert_eq!(part.tables[2].clauses, ["backfill-4.silver.0"]);
    assert_eq!(part.pipeline.sources[0].name.value, "backfill-4.orders");
    assert_eq!(part.tables[0].flows[0].node.streams()[0].upstream, "backfill-4.orders");
    assert_eq!(part.tables[1].flows[0].node.streams()[0].upstream, "bronze");
    let own = super::part(&graph, &set(&["silver", "gold"]), 4);
    assert_eq!(own.clauses().into_keys().collect::<Vec<_>>(), ["silver.0"]);
    let bronze = super::part(&graph, &set(&["bronze"]), 4);
    assert_eq!(bronze.tables.len(), 1);
    assert_eq!(without(&graph, &set(&["silver", "gold"])).tables.len(), 1);
}
