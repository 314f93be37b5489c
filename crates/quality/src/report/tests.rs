#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use std::sync::Arc;

use arrow::array::{Array, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Int64Type, Schema};
use arrow::util::pretty::pretty_format_batches;
use proptest::prelude::*;
use sluicebox_core::{Blame, Blamed};
use sluicebox_pipeline::graph::OnError;

use super::*;
use crate::judge::Sample;
use crate::{ErrorResult, samples_batch, samples_schema};

const CLOCK: i64 = 1_790_000_000_123_456;

fn header() -> ReportHeader {
    ReportHeader {
        query_id: "0f3a9c1e".to_owned(),
        pipeline: "revenue_5m".to_owned(),
        sql_hash: "aabb".to_owned(),
        batch_id: 42,
        batch_clock: CLOCK,
    }
}

fn parts() -> Vec<PartitionId> {
    (0..2).map(|p| PartitionId::new("sales_events", "sales.events.v1", p)).collect()
}

fn source() -> SourceReport {
    let mut source = SourceReport {
        source: "sales_events".to_owned(),
        read: 150,
        tombstones: 2,
        dead_letters: 3,
        rows: 145,
        schemas: vec![SchemaReport { id: 7, subject: None, version: Some(3), records: 148, first_seen: true }],
        ..SourceReport::default()
    };
    source.schema_drift.insert("id 7".to_owned(), vec!["customer.zip".to_owned(), "note".to_owned()]);
    source.dead_letters_by_class.insert("truncated".to_owned(), 2);
    source.dead_letters_by_class.insert("unknown_schema_id".to_owned(), 1);
    for (part, (start, end, records)) in parts().iter().zip([(100, 210, 100), (0, 50, 50)]) {
        let gap_offsets = u64::try_from(end - start).unwrap() - records;
        source.add_range(part, InputRange { start, end, records, gap_offsets, lost_offsets: 0 });
    }
    source
}

fn result(action: Action, failed: u64) -> ExpectationResult {
    let sample = |offset| Sample { part: Some(1), offset: Some(offset), row: r#"{"a":-3}"#.to_owned(), error: None };
    ExpectationResult {
        name: "valid_amount".to_owned(),
        text: "amount >= 0".to_owned(),
        action,
        evaluated: 145,
        passed: 145 - failed,
        failed,
        null_result: 0,
        error_result: 0,
        samples: (0..i64::try_from(failed).unwrap()).map(sample).collect(),
        first_error: None,
    }
}

fn table(result: ExpectationResult) -> TableCounts {
    let fates = Fates { rows_in: 145, written: 140, duplicate: 2, late: 1, quarantined: 2, ..Fates::default() };
    TableCounts {
        table: "silver_sales".to_owned(),
        ledger: Ledger::Rows,
        fates,
        future: 0,
        expectations: vec![result],
        errors: Vec::new(),
        event_time: Some((CLOCK - 1000, CLOCK)),
        watermark: Some(CLOCK - 600_000_000),
    }
}

fn report(action: Action, failed: u64) -> BatchReport {
    BatchReport::new(header(), vec![source()], &[table(result(action, failed))], &parts())
}

#[test]
fn a_report_says_what_was_read_and_what_became_of_it() {
    let report = report(Action::Quarantine, 2);
    report.check().unwrap();
    let json = String::from_utf8(report.to_json().unwrap()).unwrap();
    for part in [
        r#"{"format":1,"query_id":"0f3a9c1e","pipeline":"revenue_5m","sql_hash":"aabb","batch_id":42"#,
        r#""batch_clock":"2026-09-21T14:13:20.123456Z","status":"warn","balance":{"ok":true,"broken":[]}"#,
        r#""input":{"sales.events.v1":{"0":{"start":100,"end":210,"records":100,"gap_offsets":10,"lost_offsets":0},"1":"#,
        r#""dead_letters_by_class":{"truncated":2,"unknown_schema_id":1}"#,
        r#""schema_drift":{"id 7":["customer.zip","note"]}"#,
        r#""schemas":[{"id":7,"subject":null,"version":3,"records":148,"first_seen":true}]"#,
        r#""ledger":{"equation":"rows_in = written + duplicate + late + quarantined + dropped + filtered","ok":true}"#,
        r#""name":"valid_amount","dataset":"silver_sales","expr":"amount >= 0","action":"quarantine","evaluated":145"#,
        r#""samples":[{"topic":"sales.events.v1","partition":1,"offset":0},"#,
    ] {
        assert!(json.contains(part), "{part} in {json}");
    }
    assert!(json.ends_with("}\n") && json.lines().count() == 1);
    assert_eq!(BatchReport::from_json(json.as_bytes()).unwrap(), report);
}

#[test]
fn the_same_batch_gives_the_same_bytes() {
    let one = report(Action::Warn, 3);
    let two = report(Action::Warn, 3);
    assert_eq!(one.to_json().unwrap(), two.to_json().unwrap());
    assert_eq!(one.to_rows().unwrap(), two.to_rows().unwrap());
}

#[test]
fn the_status_is_the_worst_of_all() {
    assert_eq!(report(Action::Fail, 1).status, Status::Fail);
    assert_eq!(report(Action::Drop, 1).status, Status::Warn);
    assert_eq!(report(Action::Fail, 0).status, Status::Warn, "dead letters are a warning");
    let clean = BatchReport::new(header(), Vec::new(), &[table(result(Action::Fail, 0))], &parts());
    assert_eq!(clean.status, Status::Pass);
    let mut lost = SourceReport::default();
    lost.add_range(&parts()[0], InputRange { lost_offsets: 1, ..InputRange::default() });
    assert_eq!(BatchReport::new(header(), vec![lost], &[], &parts()).status, Status::Warn);
}

#[test]
fn what_was_lost_is_told_range_by_range() {
    let mut source = source();
    let lost = |from, to, reason: &str| LostReport {
        topic: "sales.events.v1".to_owned(),
        partition: 1,
        from,
        to,
        reason: reason.to_owned(),
    };
    source.lost = vec![lost(3, 100, "deleted"), lost(200, 210, "topic_gone")];
    let report = BatchReport::new(header(), vec![source], &[], &parts());
    let json = String::from_utf8(report.to_json().unwrap()).unwrap();
    let part = r#""lost":[{"topic":"sales.events.v1","partition":1,"from":3,"to":100,"reason":"deleted"},"#;
    assert!(json.contains(part), "{json}");
    assert_eq!(BatchReport::from_json(json.as_bytes()).unwrap(), report);
    let rows = report.to_rows().unwrap();
    let rows = pretty_format_batches(&[rows]).unwrap().to_string();
    for (name, metric, value) in [
        ("sales.events.v1/1 deleted", "from", "3"),
        ("sales.events.v1/1 deleted", "to", "100"),
        ("sales.events.v1/1 topic_gone", "to", "210"),
    ] {
        let found = rows.lines().any(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            cells.contains(&"lost") && cells.contains(&name) && cells.contains(&metric) && cells.contains(&value)
        });
        assert!(found, "{name} {metric} {value} in\n{rows}");
    }
}

#[test]
fn a_ledger_that_does_not_balance_stops_the_batch_with_its_numbers() {
    let broken: [fn(&mut SourceReport); 4] = [
        |s| s.read += 1,
        |s| s.rows -= 1,
        |s| s.dead_letters_by_class.clear(),
        |s| {
            s.read += 1;
            s.rows += 1;
        },
    ];
    for broken in broken {
        let mut source = source();
        broken(&mut source);
        let report = BatchReport::new(header(), vec![source], &[], &parts());
        let error = report.check().unwrap_err();
        assert!(error.to_string().contains("source sales_events in batch 42"), "{error}");
        assert_eq!(report.balance, Balance { ok: false, broken: vec!["sales_events".to_owned()] });
        assert_eq!(error.blame(), Blame::Us);
    }
    let mut counts = table(result(Action::Warn, 0));
    counts.fates.duplicate += 1;
    let report = BatchReport::new(header(), vec![source()], &[counts], &parts());
    let error = report.check().unwrap_err().to_string();
    for part in ["table silver_sales", "rows_in = written + duplicate", "rows_in 145", "written 140", "duplicate 3"] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

proptest! {
    #[test]
    fn a_table_balances_exactly_when_its_equation_holds(
        n in prop::array::uniform7(0_u64..3), on_the_way in prop::array::uniform3(0_u64..3), slip in 0_u64..2,
    ) {
        let [written, duplicate, late, quarantined, dropped, filtered, absorbed] = n;
        let [duplicate_in, quarantined_in, filtered_in] = on_the_way;
        let out = written + quarantined + dropped;
        let (duplicate_all, filtered_all) = (duplicate + duplicate_in, filtered + filtered_in);
        let fates = Fates {
            written, late, dropped, absorbed, duplicate_in, quarantined_in, filtered_in,
            duplicate: duplicate_all, quarantined: quarantined + quarantined_in, filtered: filtered_all,
            ..Fates::default()
        };
        let all_in = absorbed + late + filtered_all + quarantined_in;
        let all_rows = out + quarantined_in + duplicate_all + late + filtered_all;
        for (ledger, fates) in [
            (Ledger::Rows, Fates { rows_in: all_rows + slip, ..fates }),
            (Ledger::Aggregate, Fates { rows_in: all_in + slip, rows_out: out, ..fates }),
            (Ledger::Aggregate, Fates { rows_in: all_in, rows_out: out + slip, ..fates }),
            (Ledger::OutOnly, Fates { rows_out: out + duplicate + filtered + slip, ..fates }),
        ] {
            prop_assert_eq!(Ledger::holds(ledger.equation(), &fates), Some(slip == 0));
            let counts = TableCounts { ledger, fates, ..table(result(Action::Warn, 0)) };
            let report = BatchReport::new(header(), Vec::new(), &[counts], &parts());
            prop_assert_eq!(report.check().is_ok(), slip == 0);
            prop_assert_eq!(report.balance.ok, slip == 0);
        }
    }
}

/// `checkpoint verify` proves reports that an older version wrote.
#[test]
fn the_equations_of_older_reports_still_hold() {
    let rows = "rows_in = written + duplicate + late + quarantined + dropped + filtered";
    let aggregate = "rows_in = absorbed + late + filtered; rows_out = written + quarantined + dropped";
    let out = "rows_out = written + quarantined + dropped";
    let fates = Fates { rows_in: 9, written: 4, duplicate: 2, late: 1, dropped: 1, filtered: 1, ..Fates::default() };
    assert_eq!(Ledger::holds(rows, &fates), Some(true));
    assert_eq!(Ledger::holds(rows, &Fates { rows_in: 8, ..fates }), Some(false));
    // It counted what a DISTINCT on the way took out, and balanced without it.
    assert_eq!(Ledger::holds(out, &Fates { rows_out: 5, ..fates }), Some(true));
    assert_eq!(Ledger::holds(out, &Fates { rows_out: 7, ..fates }), Some(false));
    let fates = Fates { rows_in: 9, absorbed: 8, late: 1, rows_out: 3, written: 2, quarantined: 1, ..Fates::default() };
    assert_eq!(Ledger::holds(aggregate, &fates), Some(true));
    assert_eq!(Ledger::holds(aggregate, &Fates { absorbed: 7, ..fates }), Some(false));
    assert_eq!(Ledger::holds("rows_in = rows_out", &fates), None);
}

#[test]
fn rows_hold_one_number_each() {
    let report = report(Action::Quarantine, 2);
    let rows = report.to_rows().unwrap();
    assert_eq!(rows.schema(), crate::metrics_schema());
    let text = |name: &str| rows.column_by_name(name).unwrap().as_string::<i32>().clone();
    let value = rows.column_by_name("value").unwrap().as_primitive::<Int64Type>().clone();
    let find = |kind: &str, name: Option<&str>, metric: &str| -> Vec<i64> {
        let (kinds, names, metrics) = (text("kind"), text("name"), text("metric"));
        (0..rows.num_rows())
            .filter(|i| kinds.value(*i) == kind && names.is_valid(*i).then(|| names.value(*i)) == name)
            .filter(|i| metrics.value(*i) == metric)
            .map(|i| value.value(i))
            .collect()
    };
    assert_eq!(find("batch", None, "read"), [150]);
    assert_eq!(find("source", None, "rows"), [145]);
    assert_eq!(find("partition", Some("sales.events.v1/0"), "end"), [210]);
    assert_eq!(find("dead_letters", Some("truncated"), "count"), [2]);
    assert_eq!(find("schema", Some("7"), "records"), [148]);
    assert_eq!(find("schema_drift", Some("id 7"), "ignored_fields"), [2]);
    assert_eq!(find("ignored_field", Some("customer.zip"), "ignored"), [1]);
    assert_eq!(find("table", None, "duplicate"), [2]);
    assert_eq!(find("expectation", Some("valid_amount"), "failed"), [2]);
    let times = rows.column_by_name("time").unwrap().as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.iter().flatten().collect::<Vec<_>>(), [CLOCK - 1000, CLOCK, CLOCK - 600_000_000]);
}

#[test]
fn samples_are_rows_beside_the_report() {
    let tables = [table(result(Action::Quarantine, 2))];
    let report = BatchReport::new(header(), vec![source()], &tables, &parts());
    let samples = samples_batch(&report, &tables, &parts()).unwrap().unwrap();
    assert_eq!(samples.schema(), samples_schema());
    assert_eq!(samples.num_rows(), 2);
    let row = samples.column_by_name("row").unwrap().as_string::<i32>();
    assert_eq!(row.value(1), r#"{"a":-3}"#);
    let none = [table(result(Action::Quarantine, 0))];
    assert!(samples_batch(&report, &none, &parts()).unwrap().is_none());
}

#[test]
fn a_sample_of_a_row_that_cannot_be_computed_says_what_became_of_it() {
    for (on_error, action) in [(OnError::Quarantine, "quarantine"), (OnError::Null, "null"), (OnError::Fail, "fail")] {
        let sample = Sample {
            part: Some(0),
            offset: Some(17),
            row: r#"{"v":"x"}"#.to_owned(),
            error: Some("'x' is no INT".to_owned()),
        };
        let error = ErrorResult {
            column: Some("n".to_owned()),
            expression: "CAST(v AS INT)".to_owned(),
            on_error,
            rows: 3,
            first: sample.clone(),
            samples: vec![sample],
        };
        let tables = [TableCounts { errors: vec![error], ..table(result(Action::Warn, 0)) }];
        let report = BatchReport::new(header(), vec![source()], &tables, &parts());
        let samples = samples_batch(&report, &tables, &parts()).unwrap().unwrap();
        let text = |name: &str| samples.column_by_name(name).unwrap().as_string::<i32>().value(0).to_owned();
        let found = ["expectation", "condition", "action", "row", "error"].map(text);
        assert_eq!(found, ["on.error", "CAST(v AS INT)", action, r#"{"v":"x"}"#, "'x' is no INT"]);
    }
}

#[test]
fn event_times_are_taken_from_the_hidden_column() {
    let schema = Arc::new(Schema::new(vec![Field::new(provenance::EVENT_TIME, provenance::event_time_type(), true)]));
    let batch = |times: Vec<Option<i64>>| {
        let times = TimestampMicrosecondArray::from(times).with_timezone("UTC");
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(times)]).unwrap()
    };
    let batches = [batch(vec![None, Some(5)]), batch(vec![]), batch(vec![None]), batch(vec![Some(9), Some(-2)])];
    assert_eq!(event_time_bounds(&batches), Some((-2, 9)));
    assert_eq!(event_time_bounds(&batches[1..3]), None);
    let bare =
        RecordBatch::new_empty(Arc::new(Schema::new(vec![Field::new("a", arrow::datatypes::DataType::Int64, true)])));
    assert_eq!(event_time_bounds(&[bare]), None);
}

#[test]
fn times_beyond_named_years_survive() {
    for micros in [0, CLOCK, -1, i64::MAX, i64::MIN] {
        let text = serde_json::to_string(&Micros(micros)).unwrap();
        assert_eq!(serde_json::from_str::<Micros>(&text).unwrap(), Micros(micros), "{text}");
    }
}

#[test]
fn times_of_any_year_are_read_back() {
    for micros in [0, -62_135_596_800_000_001, 253_402_300_800_000_000, 8_000_000_000_000_000_000, i64::MIN, i64::MAX] {
        let text = serde_json::to_string(&Micros(micros)).unwrap();
        assert_eq!(serde_json::from_str::<Micros>(&text).unwrap(), Micros(micros), "{text}");
    }
}
