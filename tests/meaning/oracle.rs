//! What every table must hold, and whether it does: bronze and silver from the model, gold as a batch query by DataFusion
//! over all of the model's rows at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Float64Builder, Int32Array, Int64Array, ListArray, ListBuilder, MapArray,
    MapBuilder, RecordBatch, StringArray, StringBuilder, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field};
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::events::{CITIES, LETTERS, Nested, RANKS, RATIOS};
use crate::harness::Job;
use crate::model::{Model, Placed};
use crate::pipeline::{AGGREGATES, Action, By, Column, Gold, Keys};
use crate::tables::{files, numbers, rows, table_rows};

/// The columns of a row that do not say where it came from.
const VALUES: [&str; 13] =
    ["seq", "key", "event_time", "region", "amount", "qty", "cents", "ratio", "place", "tags", "scores", "code", "w"];
const PLACE: [&str; 2] = ["_partition", "_offset"];

/// Compares every table of `job` with what the model says.
pub fn compare(model: &Model, job: &Job, place: &str) {
    let with_place = [VALUES.as_slice(), &PLACE].concat();
    bronze(model, job, place);
    // Of copies in several partitions any may be the first.
    let certain = model.shape.silver.keys == Keys::None || !model.shape.copies_cross_partitions();
    let columns = if certain { with_place.clone() } else { VALUES.to_vec() };
    same(place, "silver", &placed_rows(&model.silver, &columns), &table_rows(&job.path("data/silver/e"), &columns));
    for (table, late) in model.late_by_table() {
        // A late row has the columns that its query needs.
        let own = match table {
            "silver_e" => with_place.clone(),
            "gold_e" => vec!["seq", "event_time"],
            _ => vec!["cents"],
        };
        let columns: Vec<&str> = own.iter().copied().chain(["_late"]).collect();
        let expected = tagged_rows(late.iter().map(|(placed, why)| (placed, (*why).to_owned())), &own);
        let found = table_rows(&job.path(&format!("data/late/m/{table}")), &columns);
        same(place, &format!("late rows of {table}"), &expected, &found);
    }
    quarantine(model, job, place, &with_place);
    let dead: Vec<String> = model.dead.iter().map(|(p, o, class)| format!("{p} | {o} | {class}")).collect();
    let found = table_rows(&job.path("data/dead_letters/m/e"), &["partition", "offset", "error_class"]);
    same(place, "dead letters", &sorted(dead), &found);
    if let Some(gold) = &model.shape.gold {
        windows(model, gold, job, place);
    }
}

fn bronze(model: &Model, job: &Job, place: &str) {
    let by_region = model.shape.bronze_by_region;
    let columns: Vec<&str> = VALUES.iter().copied().filter(|c| !by_region || *c != "region").chain(PLACE).collect();
    let mut found = Vec::new();
    for file in files(&job.path("data/bronze/e")) {
        // Percent-encoded in the path; of the regions only the unknown one needs it.
        let folder = file.folder_value("region").map(|v| v.replace("%3F", "?"));
        assert_eq!(folder.is_some(), by_region, "{}", file.path.display());
        let suffix = folder.map_or_else(String::new, |region| format!(" | {region}"));
        found.extend(rows(&file.batches, &columns).into_iter().map(|row| row + &suffix));
    }
    let expected = if by_region {
        tagged_rows(model.bronze.iter().map(|placed| (placed, placed.row.region.to_owned())), &columns)
    } else {
        placed_rows(&model.bronze, &columns)
    };
    same(place, "bronze", &expected, &sorted(found));
}

fn quarantine(model: &Model, job: &Job, place: &str, columns: &[&str]) {
    let expected = tagged_rows(
        model.quarantine.iter().map(|(placed, names)| (placed, format!("[{}]", names.replace(',', ", ")))),
        columns,
    );
    let columns: Vec<&str> = columns.iter().copied().chain(["_violations"]).collect();
    same(place, "quarantine", &expected, &table_rows(&job.path("data/quarantine/m/silver_e"), &columns));
}

/// Fails with the first difference between two sorted lists.
pub fn same(place: &str, table: &str, expected: &[String], found: &[String]) {
    if expected == found {
        return;
    }
    let count = |rows: &[String]| {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        rows.iter().for_each(|row| *counts.entry(row.clone()).or_default() += 1);
        counts
    };
    let mut differences = count(expected);
    count(found).into_iter().for_each(|(row, n)| *differences.entry(row).or_default() -= n);
    let lines: Vec<String> = differences
        .iter()
        .filter(|(_, n)| **n != 0)
        .take(12)
        .map(|(row, n)| format!("  {} {row}", if *n > 0 { "missing  " } else { "not expected" }))
        .collect();
    panic!("{place}, {table}: {} rows expected, {} found\n{}", expected.len(), found.len(), lines.join("\n"));
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

fn placed_rows(placed: &[Placed], columns: &[&str]) -> Vec<String> {
    rows(&[batch(placed.iter(), &[])], columns)
}

/// Rows with one more text each.
fn tagged_rows<'a>(tagged: impl Iterator<Item = (&'a Placed, String)>, columns: &[&str]) -> Vec<String> {
    let (placed, tags): (Vec<&Placed>, Vec<String>) = tagged.unzip();
    let lines = crate::tables::unsorted(&batch(placed.into_iter(), &[]), columns);
    sorted(lines.into_iter().zip(tags).map(|(line, tag)| format!("{line} | {tag}")).collect())
}

/// Rows in Arrow's form, with further columns.
fn batch<'a>(placed: impl Iterator<Item = &'a Placed>, more: &[(&str, ArrayRef)]) -> RecordBatch {
    let placed: Vec<&Placed> = placed.collect();
    let row = || placed.iter().map(|p| &p.row);
    let cents = Decimal128Array::from_iter_values(row().map(|r| i128::from(r.cents)));
    let nested = || row().map(|r| &r.nested);
    let columns: [(&str, ArrayRef); 15] = [
        ("seq", Arc::new(Int64Array::from_iter_values(row().map(|r| r.seq)))),
        ("key", Arc::new(row().map(|r| r.key.clone()).collect::<StringArray>())),
        ("event_time", Arc::new(row().map(|r| r.time).collect::<TimestampMicrosecondArray>())),
        ("region", Arc::new(StringArray::from_iter_values(row().map(|r| r.region)))),
        ("amount", Arc::new(row().map(|r| r.amount).collect::<Float64Array>())),
        ("qty", Arc::new(row().map(|r| r.qty).collect::<Int32Array>())),
        ("cents", Arc::new(cents.with_precision_and_scale(10, 2).unwrap())),
        ("ratio", Arc::new(nested().map(|n| n.ratio.map(|at| RATIOS[at])).collect::<Float64Array>())),
        ("place", Arc::new(places(nested()))),
        ("tags", Arc::new(tags(nested()))),
        ("scores", Arc::new(scores(nested()))),
        ("code", Arc::new(StringArray::from_iter_values(row().map(|r| r.code)))),
        ("w", Arc::new(StringArray::from_iter_values(row().map(|r| r.w)))),
        (
            "_partition",
            Arc::new(Int32Array::from_iter_values(placed.iter().map(|p| i32::try_from(p.partition).unwrap()))),
        ),
        ("_offset", Arc::new(Int64Array::from_iter_values(placed.iter().map(|p| p.offset)))),
    ];
    let all = columns.into_iter().chain(more.iter().map(|(name, column)| (*name, Arc::clone(column))));
    RecordBatch::try_from_iter_with_nullable(all.map(|(name, column)| (name, column, true))).unwrap()
}

fn places<'a>(rows: impl Iterator<Item = &'a Nested>) -> StructArray {
    let (cities, heights): (Vec<&str>, Vec<f64>) = rows.map(|n| (CITIES[n.place.0], RATIOS[n.place.1])).unzip();
    let fields = [("city", DataType::Utf8), ("height", DataType::Float64)];
    let fields: Vec<Field> = fields.into_iter().map(|(name, data_type)| Field::new(name, data_type, false)).collect();
    StructArray::new(
        fields.into(),
        vec![Arc::new(StringArray::from(cities)), Arc::new(Float64Array::from(heights))],
        None,
    )
}

fn tags<'a>(rows: impl Iterator<Item = &'a Nested>) -> ListArray {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in rows {
        row.tags.iter().for_each(|tag| builder.values().append_value(LETTERS[*tag]));
        builder.append(true);
    }
    builder.finish()
}

fn scores<'a>(rows: impl Iterator<Item = &'a Nested>) -> MapArray {
    let mut builder = MapBuilder::new(None, StringBuilder::new(), Float64Builder::new());
    for row in rows {
        for (letter, ratio) in &row.scores {
            builder.keys().append_value(LETTERS[*letter]);
            builder.values().append_value(RATIOS[*ratio]);
        }
        builder.append(true).unwrap();
    }
    builder.finish()
}

/// What of each row gold groups by, as text: equal values have one.
fn group_texts(placed: &[Placed], by: By) -> Vec<String> {
    let mut formed = placed.to_vec();
    formed.iter_mut().for_each(|placed| placed.row.nested = placed.row.nested.form());
    match by {
        By::Nothing => vec![String::new(); placed.len()],
        By::City => placed.iter().map(|placed| CITIES[placed.row.nested.place.0].to_owned()).collect(),
        By::Region | By::Column(_) => crate::tables::unsorted(&batch(formed.iter(), &[]), &[by.name().unwrap()]),
    }
}

/// Every row in each of its windows, with what the oracle knows of it instead of numbers that look different and are equal.
fn rows_in_windows(model: &Model, gold: &Gold) -> RecordBatch {
    let pairs: Vec<(Placed, i64, i64)> = model
        .in_windows
        .iter()
        .flat_map(|row| {
            let placed = Placed { partition: 0, offset: 0, row: row.clone() };
            gold.windows(row.time.unwrap()).into_iter().map(move |(start, end)| (placed.clone(), start, end))
        })
        .collect();
    let starts: ArrayRef = Arc::new(Int64Array::from_iter_values(pairs.iter().map(|p| p.1)));
    let ends: ArrayRef = Arc::new(Int64Array::from_iter_values(pairs.iter().map(|p| p.2)));
    let placed: Vec<Placed> = pairs.into_iter().map(|p| p.0).collect();
    let texts = |by| -> ArrayRef { Arc::new(StringArray::from(group_texts(&placed, by))) };
    let ranks = placed.iter().map(|p| p.row.nested.ratio.map(|at| RANKS[at]));
    let letters = placed.iter().map(|p| p.row.w);
    let more: [(&str, ArrayRef); 6] = [
        ("wstart", starts),
        ("wend", ends),
        ("by_text", texts(gold.by)),
        ("place_text", texts(By::Column(Column::Place))),
        ("rank", Arc::new(ranks.collect::<Int64Array>())),
        ("letter", Arc::new(StringArray::from_iter_values(letters))),
    ];
    batch(placed.iter(), &more)
}

/// The query of gold's groups whose windows end at or before `closed`.
fn groups_of(gold: &Gold, closed: i64) -> String {
    let column = gold.by.name().map_or_else(String::new, |name| format!("by_text AS {name}, "));
    let having = gold.having.map_or_else(String::new, |having| format!(" HAVING {}", having.sql()[1]));
    let aggregates = AGGREGATES.map(|[_, oracle, name]| format!("{oracle} AS {name}")).join(", ");
    format!(
        "SELECT wstart, wend, {column}{aggregates} FROM input WHERE wend <= {closed} GROUP BY wstart, wend, by_text{having}"
    )
}

/// The groups that break gold's expectation and whose windows end after `from`, at or before `to`.
pub fn broken_groups(model: &Model, gold: &Gold, from: Option<i64>, to: Option<i64>) -> Vec<String> {
    let (from, to) = (from.unwrap_or(i64::MIN), to.unwrap_or(i64::MIN));
    let broken = format!("SELECT * FROM ({}) WHERE NOT n < 4 AND wend > {from}", groups_of(gold, to));
    query(&rows_in_windows(model, gold), &broken, &["wstart", "wend", "n"])
}

/// Compares the windows' tables with plain aggregations over every row in its windows.
fn windows(model: &Model, gold: &Gold, job: &Job, place: &str) {
    let input = rows_in_windows(model, gold);
    let closed = model.watermark().unwrap_or(i64::MIN);
    let groups = groups_of(gold, closed);
    let mut columns = vec!["wstart", "wend"];
    columns.extend(gold.by.name());
    columns.extend(AGGREGATES.map(|[_, _, name]| name));
    let kept = match gold.expectation {
        Some(Action::Drop | Action::Quarantine) => format!("SELECT * FROM ({groups}) WHERE n < 4"),
        _ => groups.clone(),
    };
    let found = table_rows(&job.path("data/gold/e"), &columns);
    same(place, "gold", &query(&input, &kept, &columns), &found);
    if gold.expectation == Some(Action::Quarantine) {
        let broken = format!("SELECT * FROM ({groups}) WHERE NOT n < 4");
        let found = table_rows(&job.path("data/quarantine/m/gold_e"), &columns);
        same(place, "quarantine of gold", &query(&input, &broken, &columns), &found);
    }
    if let Some(minutes) = gold.rollup {
        let size = minutes * 60_000_000;
        let above = format!(
            "SELECT start AS wstart, start + {size} AS wend, sum(n) AS n, max(c) AS c, count(*) AS windows FROM (
               SELECT (wend - 1) - (wend - 1) % {size} AS start, count(*) AS n, sum(cents) AS c FROM input
               GROUP BY wstart, wend, by_text)
             WHERE start + {size} <= {closed} GROUP BY start"
        );
        let columns = ["wstart", "wend", "n", "c", "windows"];
        same(place, "rollup", &query(&input, &above, &columns), &table_rows(&job.path("data/gold/rollup"), &columns));
    }
    for file in files(&job.path("data/gold/e")) {
        for batch in &file.batches {
            assert!(
                numbers(batch, "wend").into_iter().all(|end| end <= closed),
                "{place}: a window came out too early"
            );
        }
    }
}

/// The rows of a batch query over `input`, on one thread.
fn query(input: &RecordBatch, sql: &str, columns: &[&str]) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let batches = runtime.block_on(async {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        context.register_batch("input", input.clone()).unwrap();
        context.sql(sql).await.unwrap().collect().await.unwrap()
    });
    rows(&batches, columns)
}
