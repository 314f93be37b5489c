//! What a first pipeline runs into: views, variables of the environment, and what is said of what is misspelt.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use sluicebox_core::{Clock, SystemClock};
use support::{Workspace, text};

const SALES: &str = "CREATE TABLE sales USING kafka OPTIONS ('subscribe' = 'sales.events.v1');\n";

/// A folder with a few events and a pipeline `p.sql` of `statements` over them.
fn with(statements: &str) -> Workspace {
    let place = Workspace::new();
    place.produce(400, 1);
    place.write("p.sql", &format!("{SALES}{statements}"));
    place
}

const RUN: [&str; 4] = ["run", "p.sql", "--trigger", "available-now"];

#[test]
fn a_view_is_read_without_stream() {
    let place = with(
        "CREATE TEMPORARY VIEW big AS SELECT * FROM STREAM sales WHERE amount > 100;
        CREATE TEMPORARY VIEW \"Bigger\" AS SELECT b.* FROM big AS b WHERE b.amount > 200;
        CREATE STREAMING TABLE plain AS SELECT event_id FROM big;
        CREATE STREAMING TABLE aliased AS SELECT v.event_id FROM big v WHERE v.amount < 200;
        CREATE STREAMING TABLE named AS SELECT big.event_id FROM big;
        CREATE STREAMING TABLE streamed AS SELECT event_id FROM STREAM big;
        CREATE STREAMING TABLE within AS WITH w AS (SELECT event_id FROM big) SELECT event_id FROM w;
        CREATE STREAMING TABLE shadowed AS WITH big AS (SELECT event_id FROM big WHERE amount > 200) SELECT * FROM big;
        CREATE STREAMING TABLE nested AS SELECT event_id FROM (SELECT * FROM \"Bigger\") x;
        CREATE STREAMING TABLE once AS SELECT DISTINCT ON (event_id) * FROM big;
        CREATE STREAMING TABLE both_ways AS SELECT event_id FROM big UNION ALL SELECT event_id FROM STREAM big;",
    );
    place.ok(&RUN);
    let rows = |table: &str| place.value(&format!("SELECT count(*) FROM tables.{table}"));
    let big = rows("plain");
    assert!(big > 0 && rows("nested") > 0 && rows("aliased") > 0);
    for table in ["named", "streamed", "within"] {
        assert_eq!(rows(table), big, "{table}");
    }
    assert_eq!(rows("both_ways"), 2 * big);
    assert_eq!(rows("shadowed"), rows("nested"));
    assert!(rows("once") <= big && rows("once") > 0);
}

#[test]
fn a_misspelt_view_and_one_with_a_name_of_with_are_told_as_such() {
    let place = with(
        "CREATE TEMPORARY VIEW big AS SELECT * FROM STREAM sales;
        CREATE STREAMING TABLE t AS SELECT event_id FROM bgi;
        CREATE STREAMING TABLE u AS WITH w AS (SELECT event_id FROM w) SELECT * FROM w;",
    );
    let said = place.fails(2, &["plan", "p.sql"]);
    assert!(said.contains("did you mean big?"), "{said}");
    assert!(said.contains("there is no table or view `w`"), "{said}");
}

#[test]
fn a_variable_in_a_query_is_its_value() {
    let place = with(
        "CREATE STREAMING TABLE t (CONSTRAINT there EXPECT (region <> '${env:OTHER}') ON VIOLATION DROP ROW)
        AS SELECT '${env:NAME}' AS x, '${other}' AS y, region FROM STREAM sales WHERE region <> '${env:REGION}';",
    );
    let odd = "it's \\n ${env:REGION} \"x\"";
    let run = |args: &[&str], region: &str, other: &str| {
        let mut command = place.command(args);
        let output = command.env("REGION", region).env("OTHER", other).env("NAME", odd).output().unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (status, said) = run(&RUN, "EU", "none");
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(place.value("SELECT count(*) FROM tables.t WHERE region = 'EU'"), 0);
    assert!(place.value("SELECT count(*) FROM tables.t") > 0);
    assert_eq!(place.rows("SELECT DISTINCT y FROM tables.t"), ["${other}"]);
    // As CSV has it: engines read backslashes in a literal differently.
    assert_eq!(place.rows("SELECT DISTINCT x FROM tables.t"), [format!("\"{}\"", odd.replace('"', "\"\""))]);
    // Another value is another SQL: of the query, and of an expectation, whose text stands in no plan.
    let (_, said) = run(&["plan", "p.sql"], "EU", "none");
    assert!(said.contains("nothing has changed"), "{said}");
    for (region, other) in [("APAC", "none"), ("EU", "some")] {
        let (_, said) = run(&["plan", "p.sql"], region, other);
        assert!(!said.contains("nothing has changed"), "{region} {other}: {said}");
    }
    let (status, said) = run(&RUN, "EU", "some");
    assert_eq!(status, Some(0), "{said}");
    // One that is not set has a place.
    let said = place.fails(2, &RUN);
    assert!(said.contains("error[unset-reference]: this text names the environment variable OTHER"), "{said}");
    assert!(said.contains("p.sql:2:62") && said.contains("variable REGION"), "{said}");
    place.write(
        "p.sql",
        &format!("{SALES}CREATE STREAMING TABLE t AS SELECT '${{file:/etc/hostname}}' AS x FROM STREAM sales;"),
    );
    let said = place.fails(2, &RUN);
    assert!(said.contains("error[plain-secret]"), "{said}");
}

#[test]
fn a_pattern_that_matched_nothing_is_corrected() {
    let place = Workspace::new();
    place.produce(400, 1);
    let source = |selects: &str| {
        let options = format!("{selects}, 'value.subject' = 'sales.events.v1-value', 'startingOffsets' = 'latest'");
        let table = "CREATE STREAMING TABLE t AS SELECT event_id FROM STREAM sales;";
        place.write("p.sql", &format!("CREATE TABLE sales USING kafka OPTIONS ({options});\n{table}"));
    };
    source("'subscribePattern' = 'sales[.]evnts.*'");
    place.ok(&RUN);
    source("'subscribe' = 'sales.events.v1'");
    let plan = place.ok(&["plan", "p.sql"]);
    assert!(plan.contains("source sales: safe"), "{plan}");
    place.ok(&RUN);
    assert!(!place.rows_exist("tables.t"), "it starts at the end, as startingOffsets says");
    place.produce(400, 2);
    place.ok(&RUN);
    assert!(place.value("SELECT count(*) FROM tables.t") > 300);
    // What has been read is not taken for anything else.
    source("'subscribePattern' = 'sales[.]evnts.*'");
    let said = place.fails(2, &RUN);
    assert!(said.contains("the tables hold rows of what it read"), "{said}");
}

#[test]
fn a_misspelt_topic_is_told_with_its_place_and_the_one_that_is_meant() {
    let place = with("CREATE STREAMING TABLE t AS SELECT event_id FROM STREAM sales;");
    let pipeline = std::fs::read_to_string(place.path().join("p.sql")).unwrap();
    place.write("p.sql", &pipeline.replace("sales.events.v1", "sales.event.v1"));
    for args in [&["plan", "p.sql"][..], &RUN] {
        let said = place.fails(2, args);
        for part in ["error[unknown-topic]", "'sales.event.v1'", "p.sql:1:55", "did you mean 'sales.events.v1'?"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    let said = Workspace::new().fails(2, &["plan", "sql/gold_revenue.sql"]);
    assert!(said.contains("error[unknown-topic]") && said.contains("sluicebox produce sales"), "{said}");
}

#[test]
fn what_does_not_answer_is_waited_for_as_long_as_is_asked_for() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = Workspace::new();
    let url = format!("http://{closed}");
    let produced = ["produce", "sales", "--events", "1", "--wait", "1500ms"];
    for (args, env) in [(&["plan", "sql/gold_revenue.sql", "--wait", "1500ms"][..], &url), (&produced, &url)] {
        let mut command = place.command(args);
        let command = command.env("KAFKA_BOOTSTRAP_SERVERS", closed.to_string()).env("SCHEMA_REGISTRY_URL", env);
        let clock = SystemClock::new();
        let began = clock.monotonic();
        let output = command.output().unwrap();
        let (took, said) = ((clock.monotonic() - began).as_millis(), text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{said}");
        // A machine that has much else to do may be slow; what does not wait so long at all is 30 seconds by default.
        assert!((1_400..25_000).contains(&took), "{took} ms: {said}");
        assert!(said.contains("`--wait`"), "{said}");
    }
}

#[test]
fn every_line_for_programs_is_an_object() {
    let place = with("CREATE STREAMING TABLE t AS SELECT \"Other\" AS \"X\", event_id AS x, region FROM STREAM sales;");
    let objects = |args: &[&str], status: i32| -> Vec<serde_json::Value> {
        let output = place.command(args).env("SLUICEBOX_LOG_FORMAT", "json").output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
        said.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{args:?}: {e}: {line}")))
            .collect()
    };
    let failed = objects(&["plan", "p.sql"], 2);
    assert_eq!(failed.len(), 1, "{failed:?}");
    let (one, told) = (&failed[0], |key: &str| failed[0][key].clone());
    assert_eq!((told("level"), told("code"), told("file")), ("ERROR".into(), "unknown-column".into(), "p.sql".into()));
    assert_eq!((told("line"), told("column")), (2.into(), 36.into()), "{one}");
    assert!(one["timestamp"].is_string() && one["help"].as_str().unwrap().contains("'Other'"), "{one}");
    let pipeline = std::fs::read_to_string(place.path().join("p.sql")).unwrap();
    place.write("p.sql", &pipeline.replace("\"Other\"", "region"));
    let ran = objects(&RUN, 0);
    assert!(ran.iter().any(|o| o["code"] == "readers-case" && o["level"] == "WARN"), "{ran:?}");
    assert!(ran.iter().any(|o| o["message"].as_str().is_some_and(|m| m.contains("events read"))), "{ran:?}");
    assert_eq!(objects(&["plan", "nowhere.sql"], 2)[0]["level"], "ERROR");
    assert_eq!(objects(&["plan"], 2)[0]["level"], "ERROR");
    // For people, a warning's code stands where that of an error stands.
    let said = text(&place.run(&["plan", "p.sql"]).stderr);
    assert!(said.contains("warning[readers-case]: "), "{said}");
    assert!(place.ok(&["explain", "warning[readers-case]:"]).contains("readers-case"));
    let output = place.command(&["plan", "p.sql"]).env("SLUICEBOX_LOG_FORMAT", "nope").output().unwrap();
    assert!(text(&output.stderr).contains("SLUICEBOX_LOG_FORMAT='nope'"), "{}", text(&output.stderr));
}

#[test]
fn what_is_not_there_is_told_once_and_where_it_is_named() {
    let place = with("CREATE STREAMING TABLE t AS SELECT event_id FROM STREAM sales;");
    let pipeline = std::fs::read_to_string(place.path().join("p.sql")).unwrap();
    let said = place.fails(2, &["plan", "q.sql"]);
    assert!(said.contains("did you mean p.sql?"), "{said}");
    let said = text(&place.run(&["run", "p.sql", "--checkpoint", "p.sql", "--trigger", "available-now"]).stderr);
    assert_eq!(said.matches("Not a directory").count(), 1, "{said}");
    place.write("p.sql", &pipeline.replace("TABLE t AS", "TABLE t LOCATION 'p.sql/x' AS"));
    let said = place.fails(1, &RUN);
    assert_eq!(said.matches("Not a directory").count(), 1, "{said}");
    assert!(said.contains("error[file]") && said.contains("p.sql:2:35"), "{said}");
    place.write("p.sql", &pipeline.replace("TABLE t AS", "TABLE t LOCATION '/proc/x' AS"));
    let planned = place.run(&["plan", "p.sql"]);
    let said = text(&planned.stderr);
    assert!(said.contains("error[file]") && said.contains("p.sql:2:35"), "{said}");
    assert_eq!((said + &text(&planned.stdout)).matches("No such file").count(), 1);
    let secret = "'kafka.sasl.password' = '${env:NO_SUCH_PASSWORD}', 'subscribe'";
    place.write("p.sql", &pipeline.replace("'subscribe'", secret));
    let said = place.fails(2, &["plan", "p.sql"]);
    assert!(said.contains("error[unset-reference]: `kafka.sasl.password`") && said.contains("p.sql:1:65"), "{said}");
}

#[test]
fn what_is_asked_for_and_cannot_be_is_told_without_more() {
    let place = with(
        "CREATE STREAMING TABLE t AS SELECT event_id FROM STREAM sales;
        CREATE STREAMING TABLE below AS SELECT event_id FROM STREAM t;",
    );
    place.ok(&RUN);
    let said = place.fails(2, &[&RUN[..], &["--full-refresh=t"]].concat());
    assert!(said.contains("error[cannot-refresh]: what was asked for cannot be done"), "{said}");
    assert!(said.contains("--full-refresh=t,below") && !said.contains("has changed"), "{said}");
    let said = place.fails(2, &[&RUN[..], &["--full-refresh", "t"]].concat());
    assert!(said.contains("write --full-refresh=t"), "{said}");
    let said = place.fails(2, &[&RUN[..], &["--full-refresh=belo"]].concat());
    assert!(said.contains("did you mean below? Nothing was touched"), "{said}");
}

#[test]
fn a_divisor_of_zero_is_warned_of() {
    let place = with("CREATE STREAMING TABLE t (CONSTRAINT c EXPECT (mod(c, 0) IS NULL)) AS
        SELECT length(region) / 0 AS a, length(region) % -0.0 AS b, CASE WHEN region = 'x' THEN 1 ELSE length(region) DIV (0L) END AS c,
               length(region) / 0.5 AS d, try_divide(1, 0) AS e FROM STREAM sales;");
    let output = place.run(&["plan", "p.sql"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said.matches("warning[division-by-zero]").count(), 4, "{said}");
    assert!(said.contains("p.sql:3:16") && said.contains("p.sql:2:"), "{said}");
}

#[test]
fn a_unit_that_is_none_is_warned_of() {
    let place = with("CREATE TEMPORARY VIEW v AS SELECT *, date_trunc('hourr', event_time) AS h FROM STREAM sales;
        CREATE STREAMING TABLE t (CONSTRAINT c EXPECT (TRUNC(event_time, 'DAY') IS NULL))
        AS SELECT h, event_time, date_trunc('hour', event_time) AS right, region FROM v WHERE region <> r'\\d' AND region <> 'a\nb';");
    let output = place.run(&["plan", "p.sql"]);
    let (plan, said) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said.matches("warning[unknown-unit]").count(), 2, "{said}");
    assert!(said.contains("date_trunc has no unit 'hourr'") && said.contains("did you mean 'HOUR'?"), "{said}");
    assert!(said.contains("trunc has no unit 'DAY'") && said.contains("p.sql:3:"), "{said}");
    assert!(plan.contains(r"'\\d'") && plan.contains(r"'a\nb'"), "{plan}");
    let said = place.fails(2, &["plan", "p.sql", "--set", "sale.maxOffsetsPerTrigger=1"]);
    assert!(said.contains("`sale.maxOffsetsPerTrigger`") && said.contains("sales.maxOffsetsPerTrigger?"), "{said}");
}
