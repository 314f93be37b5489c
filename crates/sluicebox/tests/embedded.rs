//! A program that embeds a pipeline: its functions, sources, formats and tables beside those that every pipeline has.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use bytes::Bytes;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use sluicebox::connectors::{TableAsked, TableConnector};
use sluicebox::{Connectors, Error, Home, Job, Progress, Status, query};
use sluicebox_core::words::{ColumnsFrom, FormatWords, OptionDef, ValueType};
use sluicebox_core::{Blame, Blamed, Certainty, Clock, ManualClock};
use sluicebox_formats::{
    Declared, DeclaredFormat, DecoderOptions, Format, FormatError, Reads, SourceDecoder, Words, json,
};
use sluicebox_pipeline::kinds::TableWords;
use sluicebox_sinks::{LakeError, RemoteError, Sink};
use sluicebox_sources::{Record, TopicOptions};

const SOURCE: &str = "CREATE TABLE e USING kafka OPTIONS ('subscribe' = 'e', 'value.format' = 'text');\n";

/// A folder whose embedded log has the topic `e` with these values.
fn folder(values: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_700_000_000_000_000));
    let log = Home::at(folder.path()).open_log(&clock).unwrap();
    log.create_topic("e", 1, TopicOptions::default()).unwrap();
    let record = |value: &&str| Record { value: Some(Bytes::from((*value).to_owned())), ..Record::default() };
    log.append("e", 0, &values.iter().map(record).collect::<Vec<_>>()).unwrap();
    folder
}

/// Where brokers are none, whatever the environment says.
fn home(folder: &tempfile::TempDir) -> Home {
    Home::at(folder.path()).with_variables(BTreeMap::new())
}

fn nobody(_: &Progress, _: &Status) {}

/// The function `halved`, which cannot compute an odd number.
fn halved() -> ScalarUDF {
    fn half(args: &[ColumnarValue]) -> Result<ColumnarValue, DataFusionError> {
        let numbers = args[0].to_array(1)?;
        let mut halves = Vec::new();
        for number in numbers.as_primitive::<Int64Type>() {
            match number {
                Some(odd) if odd % 2 != 0 => {
                    return Err(DataFusionError::Execution(format!("halved: {odd} is odd")));
                }
                even => halves.push(even.map(|even| even / 2)),
            }
        }
        let halves = Arc::new(halves.into_iter().collect::<arrow::array::Int64Array>());
        Ok(match &args[0] {
            ColumnarValue::Array(_) => ColumnarValue::Array(halves),
            ColumnarValue::Scalar(_) => ColumnarValue::Scalar(ScalarValue::try_from_array(halves.as_ref(), 0)?),
        })
    }
    create_udf("halved", vec![DataType::Int64], DataType::Int64, Volatility::Immutable, Arc::new(half))
}

async fn count(folder: &Path, table: &str) -> i64 {
    let rows = query::rows(folder.join("data"), &format!("SELECT count(*) AS n FROM {table}")).await.unwrap();
    rows.iter().map(|batch| batch.column(0).as_primitive::<Int64Type>().value(0)).sum()
}

#[tokio::test]
async fn what_a_function_cannot_compute_is_told_with_its_place_as_all_else_is() {
    let folder = folder(&["2", "4", "7", "6"]);
    let table = |options: &str| {
        format!(
            "{SOURCE}CREATE STREAMING TABLE t {options} AS SELECT halved(CAST(value AS BIGINT)) AS half FROM STREAM e;"
        )
    };
    let with = || Connectors::standard().with_scalar(halved()).unwrap();
    let stops = Job::of("p.sql", table("TBLPROPERTIES ('on.error' = 'fail')")).at_home(home(&folder)).with(with());
    let error = stops.run_available(&mut nobody).await.unwrap_err();
    let said = error.to_string();
    for part in ["table `t`", "halved: 7 is odd", "e/0 at offset 2"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!((error.code(), error.blame()), (Some("fail-row"), Blame::Outside));
    let goes_on = Job::of("q.sql", table("LOCATION 'data/q/t'")).at_home(home(&folder)).with(with());
    let totals = goes_on.run_available(&mut nobody).await.unwrap();
    assert_eq!((totals.tables["t"].written, totals.tables["t"].quarantined), (3, 1));
    // Without the function the text is wrong.
    let unknown = Job::of("q.sql", table("")).at_home(home(&folder)).plan().await.unwrap_err();
    assert!(matches!(&unknown, Error::Wrong(found) if found.to_string().contains("halved")), "{unknown}");
}

#[tokio::test]
async fn a_run_goes_on_where_the_last_one_stood_and_tells_of_its_batches() {
    let folder = folder(&["a", "b", "c"]);
    let job = Job::of("p.sql", format!("{SOURCE}CREATE STREAMING TABLE t AS SELECT value FROM STREAM e;"))
        .at_home(home(&folder))
        .set("e.maxOffsetsPerTrigger", "2");
    let plan = job.plan().await.unwrap();
    assert!(plan.refused.is_none() && plan.changes.is_none(), "{plan}");
    let mut batches = Vec::new();
    let mut told = |progress: &Progress, _: &Status| batches.push(progress.num_input_rows);
    assert_eq!(job.run_available(&mut told).await.unwrap().events, 3);
    assert_eq!(batches, [2, 1]);
    assert_eq!(job.run_available(&mut nobody).await.unwrap().events, 0);
    assert_eq!(count(folder.path(), "tables.t").await, 3);
    assert!(job.plan().await.unwrap().changes.is_some(), "there is a checkpoint to compare with");
    // One that was told to stop before it began ends, and has read nothing.
    let (_stop, stopped) = tokio::sync::watch::channel(true);
    let read = job.run_until(&stopped, &mut nobody).await.unwrap();
    assert_eq!(read.map_or(0, |totals| totals.events), 0);
    // Another folder is another world.
    let elsewhere = tempfile::tempdir().unwrap();
    let error = job.clone().at_home(home(&elsewhere)).run_available(&mut nobody).await.unwrap_err();
    assert!(error.to_string().contains("topic 'e' does not exist"), "{error}");
}

/// A table of a kind that cannot be written: it says how long its key is.
#[derive(Debug)]
struct Locked;

static LOCKED: TableWords = TableWords {
    name: "locked",
    properties: &[OptionDef { name: "locked.key", value: ValueType::Secret, default: "", doc: "What opens it." }],
};

impl TableConnector for Locked {
    fn words(&self) -> &'static TableWords {
        &LOCKED
    }

    fn sink(&self, asked: &TableAsked<'_>) -> Result<Arc<dyn Sink>, LakeError> {
        let key = asked.property("locked.key").unwrap_or_default();
        assert_eq!(asked.meant, [("locked.key".to_owned(), key.to_owned())]);
        Err(RemoteError::Refused {
            doing: format!("open {}", asked.name),
            why: format!("a key of {} letters opens nothing", key.len()),
            certainty: Certainty::NotDone,
            blame: Blame::User,
        }
        .into())
    }
}

#[tokio::test]
async fn a_table_that_was_added_is_handed_the_secret_that_its_reference_stands_for() {
    let folder = folder(&["a"]);
    let variables = BTreeMap::from([("KEY".to_owned(), "open sesame".to_owned())]);
    let table = "CREATE STREAMING TABLE t USING locked TBLPROPERTIES ('locked.key' = '${env:KEY}') AS SELECT value FROM STREAM e;";
    let job = Job::of("p.sql", format!("{SOURCE}{table}"))
        .at_home(Home::at(folder.path()).with_variables(variables))
        .with(Connectors::standard().with_table(Locked).unwrap());
    let plan = job.plan().await.unwrap();
    let refused = plan.refused.as_ref().unwrap().to_string();
    assert!(refused.contains("a key of 11 letters"), "{refused}");
    assert!(!format!("{plan}{refused}").contains("sesame"), "{plan}");
}

/// JSON by another name, with an option of its own.
#[derive(Debug)]
struct Notes;

static NOTES: FormatWords = FormatWords {
    name: "notes",
    columns: ColumnsFrom::List,
    of_keys: false,
    options: &[OptionDef {
        name: "notes.strict",
        value: ValueType::Bool,
        default: "`false`",
        doc: "Whether more is wrong.",
    }],
};

impl Format for Notes {
    fn words(&self) -> Words {
        Words::Own(&NOTES)
    }

    fn reads(&self) -> Reads<'_> {
        Reads::Declared(self)
    }
}

impl DeclaredFormat for Notes {
    fn values(&self, options: &DecoderOptions, declared: &Declared<'_>) -> Result<SourceDecoder, FormatError> {
        let strict = (declared.option)("notes.strict").as_deref() == Some("true");
        let extra = if strict { json::Extra::Letter } else { json::Extra::Ignore };
        json::decoder(options, declared.columns, &json::JsonOptions { extra, ..json::JsonOptions::default() })
    }
}

#[tokio::test]
async fn a_format_that_was_added_reads_events_by_its_own_options() {
    let folder = folder(&[r#"{"id": 1}"#, r#"{"id": 2, "more": true}"#]);
    let table = "CREATE STREAMING TABLE t AS SELECT id FROM STREAM e;";
    let job = |name: &str, options: &str| {
        let source = format!("CREATE TABLE e (id BIGINT) USING kafka OPTIONS ('subscribe' = 'e', {options});");
        let connectors = Connectors::standard().with_format(Notes).unwrap();
        let table = table.replace(" t ", &format!(" {name} "));
        Job::of(format!("{name}.sql"), format!("{source}{table}")).at_home(home(&folder)).with(connectors)
    };
    let totals = job("loose", "'value.format' = 'notes'").run_available(&mut nobody).await.unwrap();
    assert_eq!((totals.events, totals.dead_letters), (2, 0));
    let strict = job("strict", "'value.format' = 'notes', 'notes.strict' = 'true'");
    assert_eq!(strict.run_available(&mut nobody).await.unwrap().dead_letters, 1);
    for (options, told) in [
        ("'value.format' = 'xml'", "or 'notes'"),
        ("'value.format' = 'notes', 'notes.strickt' = 'true'", "did you mean 'notes.strict'?"),
        ("'value.format' = 'json', 'notes.strict' = 'true'", "is of events in 'notes'"),
    ] {
        let wrong = job("wrong", options).plan().await.unwrap_err();
        assert!(matches!(&wrong, Error::Wrong(found) if found.to_string().contains(told)), "{options}: {wrong}");
    }
    assert!(Connectors::standard().with_format(Notes).unwrap().with_format(Notes).is_err(), "a name is taken once");
}
