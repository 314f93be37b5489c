//! A question as a pipeline of one streaming table over the rows of `inputs.jsonl`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use serde_json::{Value, json};
use sluicebox_core::provenance::{event_time_type, is_hidden, provenance_fields, visible};
use sluicebox_core::{ManualClock, PartitionId};
use sluicebox_pipeline::bind::{self, session_state};
use sluicebox_pipeline::parse;
use sluicebox_runtime::ClauseSettings;
use sluicebox_runtime::graph::{AtEnd, BatchInput, Runner};

use crate::canonical::{row, same, type_name};

/// The event time of all inputs, which `at` holds: 2024-01-01.
const AT: i64 = 1_704_067_200_000_000;
/// A time at which every window over `AT` is closed.
const AFTER: i64 = AT + 400 * 86_400_000_000;

/// A line of a file of questions.
#[derive(Debug)]
pub struct Question {
    pub text: String,
    /// Whether the pipeline is refused here.
    refused: bool,
    /// Why the answer here is another one than Spark's.
    differs: Option<String>,
}

/// What came of a question here.
#[derive(Debug)]
pub enum Answer {
    /// The pipeline was refused.
    Refused(String),
    /// A value for each row, `{"error": ...}` where it cannot be computed; rows as arrays for a query.
    Rows { types: Vec<String>, names: Vec<String>, rows: Vec<Value> },
}

impl Question {
    /// The question of a line, if it is one.
    pub fn of_line(line: &str) -> Option<Self> {
        let (text, mark) = line.split_once(" -- ").unwrap_or((line, ""));
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            return None;
        }
        let differs = mark.trim().strip_prefix("differs:").map(|why| why.trim().to_owned());
        Some(Self { text: text.to_owned(), refused: mark.trim() == "refused", differs })
    }

    fn kind(&self) -> (&str, &str) {
        match self.text.split_once(": ") {
            Some((kind @ ("agg" | "sel"), rest)) => (kind, rest.trim()),
            _ => ("expr", &self.text),
        }
    }

    /// Whether it is an expression that is said to give what Spark gives.
    pub fn is_plain(&self) -> bool {
        self.kind().0 == "expr" && !self.refused && self.differs.is_none()
    }

    /// Compares our answer with Spark's.
    pub fn judge(&self, spark: &Value, ours: &Answer) -> Result<(), String> {
        let same = self.compare(spark, ours);
        if self.refused {
            return match ours {
                Answer::Refused(message) if !message.trim().is_empty() => Ok(()),
                _ => Err(format!("is to be refused, gave {ours:?}")),
            };
        }
        match (&self.differs, same) {
            (Some(why), Ok(())) => Err(format!("is said to differ ({why}), and does not")),
            (Some(_), Err(_)) => Ok(()),
            (None, same) => same,
        }
    }

    fn compare(&self, spark: &Value, ours: &Answer) -> Result<(), String> {
        let all_fail = |rows: &[Value]| rows.iter().all(|r| r.get("error").is_some());
        let spark_rows = spark["rows"].as_array();
        let (types, names, rows) = match ours {
            Answer::Refused(message) => {
                // What fails for every row is a constant, which may be refused.
                let fails = spark_rows.is_none() || spark_rows.is_some_and(|rows| all_fail(rows));
                return if fails { Ok(()) } else { Err(format!("refused:\n{message}")) };
            }
            Answer::Rows { types, names, rows } => (types, names, rows),
        };
        let Some(spark_rows) = spark_rows else {
            return if spark.get("plan_error").is_none() && all_fail(rows) {
                Ok(())
            } else {
                Err(format!("Spark refuses it with {}{}, here it is {rows:?}", spark["plan_error"], spark["error"]))
            };
        };
        let query = self.kind().0 == "sel";
        let mut spark_rows = spark_rows.clone();
        if query {
            // As ours are: Python sorts text by another order.
            spark_rows.sort_by_key(order);
        }
        let wanted: Vec<String> = match &spark["type"] {
            Value::Array(types) => types.iter().map(|t| t.as_str().unwrap_or_default().to_owned()).collect(),
            one => vec![one.as_str().unwrap_or_default().to_owned()],
        };
        // A time difference has one type here, whatever its largest and smallest unit.
        let wanted: Vec<String> = wanted
            .into_iter()
            .map(|t| {
                if t.starts_with("interval") && !t.contains("year") && !t.contains("month") {
                    "interval".to_owned()
                } else {
                    t
                }
            })
            .collect();
        if types != &wanted {
            return Err(format!("is {} in Spark, {} here", wanted.join(", "), types.join(", ")));
        }
        if query && spark["names"] != json!(names) {
            return Err(format!("columns are {} in Spark, {names:?} here", spark["names"]));
        }
        let floating = wanted.iter().any(|t| t.contains("double") || t.contains("float"));
        let one = |spark: &Value, ours: &Value| match spark.get("error") {
            // Spark has a value, which Python cannot hold.
            Some(Value::String(error)) if matches!(error.as_str(), "ValueError" | "OverflowError") => true,
            Some(_) => ours.get("error").is_some(),
            None => same(spark, ours, floating),
        };
        if spark_rows.len() == rows.len() && spark_rows.iter().zip(rows).all(|(a, b)| one(a, b)) {
            return Ok(());
        }
        let different = spark_rows.iter().zip(rows).enumerate().filter(|(_, (a, b))| !one(a, b));
        let shown: Vec<String> =
            different.take(3).map(|(i, (a, b))| format!("row {i}: {a} in Spark, {b} here")).collect();
        Err(format!("{} rows in Spark, {} here; {}", spark_rows.len(), rows.len(), shown.join("; ")))
    }
}

/// The inputs.
pub struct Harness {
    schema: SchemaRef,
    rows: RecordBatch,
}

impl Harness {
    pub fn new(folder: &Path) -> Self {
        let ddl = std::fs::read_to_string(folder.join("inputs.ddl")).unwrap();
        let fields = fields(ddl.trim());
        let json = std::fs::File::open(folder.join("inputs.jsonl")).unwrap();
        let reader = ReaderBuilder::new(Arc::new(Schema::new(fields.clone())));
        let batches: Vec<RecordBatch> =
            reader.build(std::io::BufReader::new(json)).unwrap().collect::<Result<_, _>>().unwrap();
        let rows = concat_batches(&batches[0].schema(), &batches).unwrap();
        let n = rows.num_rows();
        let bin = cast(rows.column_by_name("s").unwrap(), &DataType::Binary).unwrap();
        let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![AT; n]).with_timezone("UTC"));
        let mut columns = rows.columns().to_vec();
        columns.extend([bin, at]);
        columns.push(Arc::new(Int32Array::from(vec![0; n])));
        columns.push(Arc::new(Int64Array::from_iter_values(0..i64::try_from(n).unwrap())));
        let mut fields: Vec<FieldRef> = fields.iter().cloned().collect();
        fields.push(Arc::new(Field::new("bin", DataType::Binary, true)));
        fields.push(Arc::new(Field::new("at", event_time_type(), false)));
        fields.extend(provenance_fields());
        let schema = Arc::new(Schema::new(fields));
        Self { rows: RecordBatch::try_new(Arc::clone(&schema), columns).unwrap(), schema }
    }

    /// What comes of a question here.
    pub async fn answer(&self, question: &Question) -> Answer {
        let (kind, text) = question.kind();
        let select = match kind {
            "sel" => text.replace("FROM inputs", "FROM STREAM inputs"),
            "agg" => format!(
                "SELECT {text} AS v FROM STREAM inputs WATERMARK at DELAY OF INTERVAL '1 hour' \
                 GROUP BY window(at, INTERVAL '1 day')"
            ),
            _ => format!("SELECT {text} AS v FROM STREAM inputs"),
        };
        let all = [self.rows.clone()];
        match self.run(&select, &all).await {
            Ok(Answer::Rows { types, names, rows }) if kind != "expr" || rows.len() == self.rows.num_rows() => {
                let mut rows = rows;
                if kind == "sel" {
                    rows.sort_by_key(order);
                }
                let rows = if kind == "sel" { rows } else { rows.into_iter().map(first).collect() };
                Answer::Rows { types, names, rows }
            }
            Ok(refused @ Answer::Refused(_)) => refused,
            other if kind == "expr" => self.one_by_one(&select, other.err()).await,
            Ok(answer) => answer,
            Err((types, names, error)) => Answer::Rows { types, names, rows: vec![json!({ "error": error })] },
        }
    }

    /// Each row alone, since one of them cannot be computed.
    async fn one_by_one(&self, select: &str, failed: Option<Failed>) -> Answer {
        let mut out = Vec::new();
        let (mut types, mut names) = failed.map(|(types, names, _)| (types, names)).unwrap_or_default();
        for at in 0..self.rows.num_rows() {
            out.push(match self.run(select, &[self.rows.slice(at, 1)]).await {
                Ok(Answer::Rows { types: t, names: n, rows }) => {
                    (types, names) = (t, n);
                    rows.into_iter().next().map_or_else(|| json!({"error": "no row"}), first)
                }
                Ok(refused @ Answer::Refused(_)) => return refused,
                Err((.., error)) => json!({ "error": error }),
            });
        }
        Answer::Rows { types, names, rows: out }
    }

    /// The rows of the table `t` whose query is `select`.
    async fn run(&self, select: &str, rows: &[RecordBatch]) -> Result<Answer, Failed> {
        self.run_batches(select, &[rows.to_vec()]).await
    }

    /// What an aggregate gives when each row is a batch of its own, in the order `order`.
    pub async fn row_by_row(&self, aggregate: &str, order: &[usize]) -> Value {
        let select = format!(
            "SELECT {aggregate} AS v FROM STREAM inputs WATERMARK at DELAY OF INTERVAL '1 hour' \
             GROUP BY window(at, INTERVAL '1 day')"
        );
        let batches: Vec<Vec<RecordBatch>> =
            order.iter().enumerate().map(|(offset, row)| vec![self.row_at(*row, offset)]).collect();
        match self.run_batches(&select, &batches).await {
            Ok(Answer::Rows { rows, .. }) => json!(rows),
            Ok(Answer::Refused(message)) => json!({ "refused": message }),
            Err((.., error)) => json!({ "error": error }),
        }
    }

    /// The row `row` of the inputs as the event at `offset`.
    fn row_at(&self, row: usize, offset: usize) -> RecordBatch {
        let mut columns = self.rows.slice(row, 1).columns().to_vec();
        if let Some(last) = columns.last_mut() {
            *last = Arc::new(Int64Array::from(vec![i64::try_from(offset).unwrap()]));
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns).unwrap()
    }

    /// The table `t {table}` over the inputs' rows `batches`, batch by batch: its rows, and how many are in quarantine.
    pub async fn table(&self, table: &str, batches: &[Vec<usize>]) -> Result<(Vec<Value>, usize), String> {
        let mut offset = 0;
        let mut row = |row: &usize| {
            offset += 1;
            self.row_at(*row, offset - 1)
        };
        let batches: Vec<Vec<RecordBatch>> = batches.iter().map(|rows| rows.iter().map(&mut row).collect()).collect();
        match self.ran(table, &batches).await {
            Ok((Answer::Rows { rows, .. }, lost)) => Ok((rows, lost)),
            Ok((Answer::Refused(message), _)) | Err((.., message)) => Err(message),
        }
    }

    async fn run_batches(&self, select: &str, given: &[Vec<RecordBatch>]) -> Result<Answer, Failed> {
        match self.ran(&format!("AS {select}"), given).await? {
            (Answer::Rows { types, names, .. }, lost) if lost > 0 => {
                Err((types, names, format!("{lost} in quarantine")))
            }
            (answer, _) => Ok(answer),
        }
    }

    /// What the table `t {table}` holds, and how many rows are in quarantine.
    async fn ran(&self, table: &str, given: &[Vec<RecordBatch>]) -> Result<(Answer, usize), Failed> {
        let text = format!(
            "CREATE TABLE inputs USING kafka OPTIONS ('subscribe' = 'inputs');\nCREATE STREAMING TABLE t {table};"
        );
        let sources = BTreeMap::from([("inputs".to_owned(), Arc::clone(&self.schema))]);
        let graph = match parse("question.sql", &text, &[]).and_then(|pipeline| bind::bind(pipeline, &sources)) {
            Ok(graph) => graph,
            Err(mistakes) => return Ok((Answer::Refused(mistakes.render(false)), 0)),
        };
        let shown: Vec<&FieldRef> = graph.tables[0].schema.fields().iter().filter(|f| !is_hidden(f.name())).collect();
        let types: Vec<String> = shown.iter().map(|f| type_name(f.data_type())).collect();
        let names: Vec<String> = shown.iter().map(|f| f.name().clone()).collect();
        let settings = |_: &_| ClauseSettings { idle_timeout_micros: 1, max_future_micros: i64::MAX / 4 };
        let failed = |error: String| (types.clone(), names.clone(), error);
        let clock = Arc::new(ManualClock::at(AT));
        let mut runner =
            Runner::try_new(&graph, session_state(1), 1, clock, settings).map_err(|e| failed(e.to_string()))?;
        let (mut out, mut lost) = (Vec::new(), 0);
        let mut batches = given.to_vec();
        if table.contains("WATERMARK") {
            batches.push(vec![self.closing()]);
        }
        for rows in &batches {
            let outputs = runner.run_batch(input(rows), |_| Ok(())).await.map_err(|e| failed(e.to_string()))?;
            // As after a commit: the state of the batch is taken away.
            runner.changes().map_err(|e| failed(e.to_string()))?;
            lost += outputs[0].quarantined.iter().map(RecordBatch::num_rows).sum::<usize>();
            for batch in &outputs[0].rows {
                let batch = visible(batch).unwrap();
                out.extend((0..batch.num_rows()).map(|at| Value::Array(row(&batch, at))));
            }
        }
        Ok((Answer::Rows { types, names, rows: out }, lost))
    }

    /// A row that closes all windows.
    fn closing(&self) -> RecordBatch {
        let last = self.rows.slice(self.rows.num_rows() - 1, 1);
        let mut columns = last.columns().to_vec();
        let at = self.schema.index_of("at").unwrap();
        columns[at] = Arc::new(TimestampMicrosecondArray::from(vec![AFTER]).with_timezone("UTC"));
        let offset = columns.len() - 1;
        columns[offset] = Arc::new(Int64Array::from(vec![1000]));
        RecordBatch::try_new(Arc::clone(&self.schema), columns).unwrap()
    }
}

/// Types, names and the error of a question that failed at run time.
type Failed = (Vec<String>, Vec<String>, String);

/// What rows are sorted by: their text, in which NaN is written in two ways.
fn order(row: &Value) -> String {
    row.to_string().to_lowercase()
}

fn first(row: Value) -> Value {
    match row {
        Value::Array(mut values) => values.swap_remove(0),
        other => other,
    }
}

fn input(rows: &[RecordBatch]) -> BatchInput {
    let partition = PartitionId::new("inputs", "inputs", 0);
    BatchInput {
        clock_micros: AFTER,
        partitions: vec![partition.clone()],
        at_end: BTreeMap::from([(partition, AtEnd::Reached)]),
        finishing: false,
        rows: BTreeMap::from([("inputs".to_owned(), rows.to_vec())]),
    }
}

/// The fields that a text such as `i INT, st STRUCT<a:INT>` lists.
fn fields(ddl: &str) -> Fields {
    let field = |part: &str, separator: char| {
        let (name, kind) = part.trim().split_once(separator).unwrap();
        Field::new(name, data_type(kind.trim()), true)
    };
    let separator = if ddl.contains(' ') { ' ' } else { ':' };
    split(ddl).into_iter().map(|part| field(part, separator)).collect()
}

/// The parts of `text` between commas that stand within no brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '<' | '(' => depth += 1,
            '>' | ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn data_type(kind: &str) -> DataType {
    let within = |kind: &str| kind[kind.find(['<', '(']).unwrap() + 1..kind.len() - 1].to_owned();
    match kind {
        "TINYINT" => DataType::Int8,
        "SMALLINT" => DataType::Int16,
        "INT" => DataType::Int32,
        "BIGINT" => DataType::Int64,
        "FLOAT" => DataType::Float32,
        "DOUBLE" => DataType::Float64,
        "BOOLEAN" => DataType::Boolean,
        "STRING" => DataType::Utf8,
        "DATE" => DataType::Date32,
        "TIMESTAMP" => event_time_type(),
        _ if kind.starts_with("DECIMAL") => {
            let inside = within(kind);
            let (precision, scale) = inside.split_once(',').unwrap();
            DataType::Decimal128(precision.parse().unwrap(), scale.parse().unwrap())
        }
        _ if kind.starts_with("ARRAY") => DataType::new_list(data_type(&within(kind)), true),
        _ if kind.starts_with("STRUCT") => DataType::Struct(fields(&within(kind))),
        _ if kind.starts_with("MAP") => {
            let inside = within(kind);
            let parts = split(&inside);
            let entries = Fields::from(vec![
                Field::new("key", data_type(parts[0]), false),
                Field::new("value", data_type(parts[1]), true),
            ]);
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
        }
        other => panic!("no type {other}"),
    }
}
