//! Reports as rows, for queries over many batches.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int32Builder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use sluicebox_core::PartitionId;

use crate::error::Result;
use crate::judge::Sample;
use crate::report::{BatchReport, Status, TableCounts, action_name};

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

static METRICS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("query_id", DataType::Utf8, false),
        Field::new("pipeline", DataType::Utf8, false),
        Field::new("batch_clock", time(), false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("dataset", DataType::Utf8, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("metric", DataType::Utf8, false),
        Field::new("value", DataType::Int64, true),
        Field::new("time", time(), true),
        Field::new("status", DataType::Utf8, true),
    ]))
});

/// The columns of [`BatchReport::to_rows`]: one row a number. The batch's id is not among them: it is in the path.
///
/// | column | type | what |
/// |---|---|---|
/// | query_id, pipeline | Utf8 | whose report |
/// | batch_clock | Timestamp(us, UTC) | the batch's clock |
/// | kind | Utf8 | `batch`, `source`, `partition`, `lost`, `dead_letters`, `schema_drift`, `ignored_field`, `schema`, `table`, `error` or `expectation` |
/// | dataset | Utf8 | the pipeline, source or table |
/// | name | Utf8, nullable | `topic/partition`, the same and a reason for `lost`, error class, schema, field that the reader schema lacks, `column: expression` for `error`, or expectation; NULL for batch, source and table |
/// | metric | Utf8 | which number: `written`, `failed`, `lost_offsets`, `watermark`, ... |
/// | value | Int64, nullable | the number, if it is a count or an offset |
/// | time | Timestamp(us, UTC), nullable | the number, if it is a time |
/// | status | Utf8, nullable | `pass`, `warn` or `fail`; for sources and tables `pass` if the ledger balances |
#[must_use]
pub fn metrics_schema() -> SchemaRef {
    Arc::clone(&METRICS)
}

static SAMPLES: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("query_id", DataType::Utf8, false),
        Field::new("pipeline", DataType::Utf8, false),
        Field::new("dataset", DataType::Utf8, false),
        Field::new("expectation", DataType::Utf8, false),
        Field::new("condition", DataType::Utf8, false),
        Field::new("action", DataType::Utf8, false),
        Field::new("topic", DataType::Utf8, true),
        Field::new("partition", DataType::Int32, true),
        Field::new("offset", DataType::Int64, true),
        Field::new("row", DataType::Utf8, false),
        Field::new("error", DataType::Utf8, true),
    ]))
});

/// What stands in the place of an expectation's name in samples of rows that could not be computed.
const ON_ERROR: &str = "on.error";

/// The columns of [`samples_batch`]: one row a sample; topic, partition and offset are NULL below an aggregate or a join;
/// `row` is a JSON object of the table's columns; `error` says why the condition could not be evaluated, else NULL.
///
/// Of a row that could not be computed `expectation` is `on.error`, `condition` the expression, `action` what became of the
/// row, `row` the columns that the expression reads, `error` what went wrong.
#[must_use]
pub fn samples_schema() -> SchemaRef {
    Arc::clone(&SAMPLES)
}

/// The samples of all tables of a batch, in the order of tables and text; `None` if there are none. `parts` is the
/// batch's sorted list of partitions.
///
/// # Errors
/// None for a report that is well formed.
pub fn samples_batch(
    report: &BatchReport,
    tables: &[TableCounts],
    parts: &[PartitionId],
) -> Result<Option<RecordBatch>> {
    let mut text: [StringBuilder; 7] = std::array::from_fn(|_| StringBuilder::new());
    let [query, pipeline, dataset, expectation, condition, action, row] = &mut text;
    let (mut topic, mut error) = (StringBuilder::new(), StringBuilder::new());
    let (mut partition, mut offset) = (Int32Builder::new(), Int64Builder::new());
    let mut rows = 0_usize;
    let mut push = |of: &TableCounts, what: [&str; 3], sample: &Sample| {
        let part = sample.part.and_then(|p| usize::try_from(p).ok()).and_then(|p| parts.get(p));
        query.append_value(&report.query_id);
        pipeline.append_value(&report.pipeline);
        dataset.append_value(&of.table);
        expectation.append_value(what[0]);
        condition.append_value(what[1]);
        action.append_value(what[2]);
        row.append_value(&sample.row);
        topic.append_option(part.map(|p| p.topic.as_str()));
        partition.append_option(part.map(|p| p.partition));
        offset.append_option(sample.offset);
        error.append_option(sample.error.as_deref());
        rows += 1;
    };
    for table in tables {
        for result in &table.expectations {
            let what = [result.name.as_str(), result.text.as_str(), action_name(result.action)];
            result.samples.iter().for_each(|sample| push(table, what, sample));
        }
        for result in &table.errors {
            let what = [ON_ERROR, result.expression.as_str(), result.on_error.as_str()];
            result.samples.iter().for_each(|sample| push(table, what, sample));
        }
    }
    if rows == 0 {
        return Ok(None);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(query.finish()),
        Arc::new(pipeline.finish()),
        Arc::new(dataset.finish()),
        Arc::new(expectation.finish()),
        Arc::new(condition.finish()),
        Arc::new(action.finish()),
        Arc::new(topic.finish()),
        Arc::new(partition.finish()),
        Arc::new(offset.finish()),
        Arc::new(row.finish()),
        Arc::new(error.finish()),
    ];
    Ok(Some(RecordBatch::try_new(samples_schema(), columns)?))
}

/// What a number is.
enum Number {
    Count(u64),
    Offset(i64),
    Time(i64),
}

/// Collects rows of [`metrics_schema`].
#[derive(Default)]
struct Metrics {
    kind: StringBuilder,
    dataset: StringBuilder,
    name: StringBuilder,
    metric: StringBuilder,
    value: Int64Builder,
    time: Option<TimestampMicrosecondBuilder>,
    status: StringBuilder,
    rows: usize,
}

/// What the numbers of one subject have in common.
#[derive(Clone, Copy)]
struct Subject<'a> {
    kind: &'a str,
    dataset: &'a str,
    name: Option<&'a str>,
    status: Option<Status>,
}

impl Metrics {
    fn push(&mut self, subject: Subject<'_>, metric: &str, number: &Number) {
        self.kind.append_value(subject.kind);
        self.dataset.append_value(subject.dataset);
        self.name.append_option(subject.name);
        self.metric.append_value(metric);
        let (value, time) = match number {
            Number::Count(count) => (i64::try_from(*count).ok(), None),
            Number::Offset(offset) => (Some(*offset), None),
            Number::Time(micros) => (None, Some(*micros)),
        };
        self.value.append_option(value);
        self.time.get_or_insert_default().append_option(time);
        self.status.append_option(subject.status.map(status_name));
        self.rows += 1;
    }

    fn counts<const N: usize>(&mut self, subject: Subject<'_>, counts: [(&str, u64); N]) {
        for (metric, count) in counts {
            self.push(subject, metric, &Number::Count(count));
        }
    }
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Warn => "warn",
        Status::Fail => "fail",
    }
}

fn ledger_status(ok: bool) -> Option<Status> {
    Some(if ok { Status::Pass } else { Status::Fail })
}

impl BatchReport {
    /// The report as rows of [`metrics_schema`].
    ///
    /// # Errors
    /// None for a report that is well formed.
    pub fn to_rows(&self) -> Result<RecordBatch> {
        let mut metrics = Metrics::default();
        let batch = Subject { kind: "batch", dataset: &self.pipeline, name: None, status: Some(self.status) };
        let sum = |of: fn(&crate::SourceReport) -> u64| self.sources.iter().map(of).sum();
        metrics.counts(batch, [("read", sum(|s| s.read)), ("dead_letters", sum(|s| s.dead_letters))]);
        self.source_rows(&mut metrics);
        self.table_rows(&mut metrics);
        let n = metrics.rows;
        let repeat = |text: &str| {
            let mut builder = StringBuilder::with_capacity(n, n * text.len());
            (0..n).for_each(|_| builder.append_value(text));
            Arc::new(builder.finish()) as ArrayRef
        };
        let mut clock = TimestampMicrosecondBuilder::with_capacity(n);
        clock.append_value_n(self.batch_clock.0, n);
        let columns: Vec<ArrayRef> = vec![
            repeat(&self.query_id),
            repeat(&self.pipeline),
            Arc::new(clock.finish().with_timezone("UTC")),
            Arc::new(metrics.kind.finish()),
            Arc::new(metrics.dataset.finish()),
            Arc::new(metrics.name.finish()),
            Arc::new(metrics.metric.finish()),
            Arc::new(metrics.value.finish()),
            Arc::new(metrics.time.unwrap_or_default().finish().with_timezone("UTC")),
            Arc::new(metrics.status.finish()),
        ];
        Ok(RecordBatch::try_new(metrics_schema(), columns)?)
    }

    fn source_rows(&self, metrics: &mut Metrics) {
        for source in &self.sources {
            let ok = source.ledger.as_ref().is_some_and(|l| l.ok);
            let subject = Subject { kind: "source", dataset: &source.source, name: None, status: ledger_status(ok) };
            metrics.counts(
                subject,
                [
                    ("read", source.read),
                    ("tombstones", source.tombstones),
                    ("dead_letters", source.dead_letters),
                    ("rows", source.rows),
                ],
            );
            for (topic, partition, range) in source.ranges() {
                let name = format!("{topic}/{partition}");
                let status = if range.lost_offsets > 0 { Status::Warn } else { Status::Pass };
                let subject = Subject { kind: "partition", name: Some(&name), status: Some(status), ..subject };
                metrics.push(subject, "start", &Number::Offset(range.start));
                metrics.push(subject, "end", &Number::Offset(range.end));
                metrics.counts(
                    subject,
                    [
                        ("records", range.records),
                        ("gap_offsets", range.gap_offsets),
                        ("lost_offsets", range.lost_offsets),
                    ],
                );
            }
            for lost in &source.lost {
                let name = format!("{}/{} {}", lost.topic, lost.partition, lost.reason);
                let subject = Subject { kind: "lost", name: Some(&name), status: Some(Status::Warn), ..subject };
                metrics.push(subject, "from", &Number::Offset(lost.from));
                metrics.push(subject, "to", &Number::Offset(lost.to));
            }
            for (class, count) in &source.dead_letters_by_class {
                let subject =
                    Subject { kind: "dead_letters", name: Some(class), status: Some(Status::Warn), ..subject };
                metrics.counts(subject, [("count", *count)]);
            }
            for (schema, fields) in &source.schema_drift {
                let subject = Subject { kind: "schema_drift", name: Some(schema), status: None, ..subject };
                let count = u64::try_from(fields.len()).unwrap_or(u64::MAX);
                metrics.counts(subject, [("ignored_fields", count)]);
                for field in fields {
                    let subject =
                        Subject { kind: "ignored_field", name: Some(field), status: Some(Status::Warn), ..subject };
                    metrics.counts(subject, [("ignored", 1)]);
                }
            }
            for schema in &source.schemas {
                let name = schema.id.to_string();
                let subject = Subject { kind: "schema", name: Some(&name), status: None, ..subject };
                metrics.counts(subject, [("records", schema.records), ("first_seen", u64::from(schema.first_seen))]);
            }
        }
    }

    fn table_rows(&self, metrics: &mut Metrics) {
        for table in &self.tables {
            let status = ledger_status(table.ledger.ok);
            let subject = Subject { kind: "table", dataset: &table.table, name: None, status };
            metrics.counts(subject, table.fates.named());
            metrics.counts(subject, [("future_event_time", table.future_event_time)]);
            let Some(freshness) = table.freshness else { continue };
            for (metric, time) in [
                ("event_time_min", freshness.event_time_min),
                ("event_time_max", freshness.event_time_max),
                ("watermark", freshness.watermark),
            ] {
                if let Some(time) = time {
                    metrics.push(subject, metric, &Number::Time(time.0));
                }
            }
        }
        for table in &self.tables {
            for error in &table.errors {
                let name = error.column.as_ref().map(|column| format!("{column}: {}", error.expr));
                let subject = Subject {
                    kind: "error",
                    dataset: &table.table,
                    name: Some(name.as_ref().unwrap_or(&error.expr)),
                    status: Some(Status::Warn),
                };
                metrics.counts(subject, [("rows", error.rows)]);
            }
        }
        for expectation in &self.expectations {
            let subject = Subject {
                kind: "expectation",
                dataset: &expectation.dataset,
                name: Some(&expectation.name),
                status: Some(expectation.status),
            };
            metrics.counts(
                subject,
                [
                    ("evaluated", expectation.evaluated),
                    ("passed", expectation.passed),
                    ("failed", expectation.failed),
                    ("null_result", expectation.null_result),
                    ("error_result", expectation.error_result),
                ],
            );
        }
    }
}
