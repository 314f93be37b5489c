#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef};
use datafusion::execution::SessionState;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::prelude::{is_not_true, now};
use proptest::prelude::*;
use sluicebox_core::{Blame, Blamed, Masked, masked, provenance};
use sluicebox_pipeline::ast::{Action, Span};
use sluicebox_pipeline::graph::Expectation;

use super::*;
use crate::{VIOLATIONS, quarantine_schema};

fn session() -> SessionState {
    SessionStateBuilder::new().with_default_features().build()
}

fn expectation(name: &str, condition: Expr, action: Action) -> Expectation {
    Expectation { name: name.to_owned(), text: condition.to_string(), condition, action, span: Span::default() }
}

fn visible_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)]))
}

type Row = (Option<i64>, Option<&'static str>);

/// Rows with provenance: partition 3, offsets from 100.
fn rows(values: &[Row]) -> RecordBatch {
    let mut fields: Vec<FieldRef> = visible_schema().fields().iter().cloned().collect();
    fields.extend(provenance::provenance_fields());
    let n = i64::try_from(values.len()).unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(values.iter().map(|(a, _)| *a).collect::<Int64Array>()),
        Arc::new(values.iter().map(|(_, b)| *b).collect::<StringArray>()),
        Arc::new(Int32Array::from_value(3, values.len())),
        Arc::new(Int64Array::from_iter_values(100..100 + n)),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn judge(expectations: &[Expectation]) -> Judge {
    Judge::try_new(expectations, visible_schema(), &session()).unwrap()
}

fn offsets(batches: &[RecordBatch]) -> Vec<i64> {
    batches
        .iter()
        .flat_map(|b| {
            b.column_by_name(provenance::OFFSET)
                .unwrap()
                .as_primitive::<Int64Type>()
                .values()
                .iter()
                .copied()
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Conditions, each with what it is for one row: true, false, NULL, or an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    Is(bool),
    Null,
    Error,
}

/// A condition and its naive evaluator.
type Case = (Expr, fn(Row) -> Truth);

fn cases() -> Vec<Case> {
    fn of(value: Option<bool>) -> Truth {
        value.map_or(Truth::Null, Truth::Is)
    }
    vec![
        (col("a").gt_eq(lit(0_i64)), |(a, _)| of(a.map(|a| a >= 0))),
        (col("b").is_not_null(), |(_, b)| Truth::Is(b.is_some())),
        (col("b").in_list(vec![lit("x"), lit("y")], false), |(_, b)| of(b.map(|b| b == "x" || b == "y"))),
        (lit(true), |_| Truth::Is(true)),
        (lit(datafusion::scalar::ScalarValue::Boolean(None)), |_| Truth::Null),
        ((lit(10_i64) / col("a")).gt(lit(1_i64)), |(a, _)| match a {
            Some(0) => Truth::Error,
            a => of(a.map(|a| 10 / a > 1)),
        }),
        (lit(datafusion::scalar::ScalarValue::Null), |_| Truth::Null),
        (is_not_true(col("a").eq(lit(2_i64))), |(a, _)| Truth::Is(a != Some(2))),
    ]
}

const ACTIONS: [Action; 4] = [Action::Warn, Action::Drop, Action::Quarantine, Action::Fail];

proptest! {
    #[test]
    fn it_judges_as_a_naive_evaluator_does(
        values in prop::collection::vec(
            (prop::option::weighted(0.8, -2_i64..8), prop::option::weighted(0.8, prop::sample::select(vec!["x", "y", "z"]))),
            0..60,
        ),
        chosen in prop::collection::vec((0_usize..8, 0_usize..4), 0..5),
        cut in 1_usize..20,
        // Rows that are not meant: none, some, or nearly all of them.
        left_out in prop::sample::select(vec![0_u64, 0x1111_1111_1111_1111, 0x0f3c_5a96_0f3c_5a96, u64::MAX - 4]),
    ) {
        let cases = cases();
        let expectations: Vec<Expectation> = chosen
            .iter()
            .enumerate()
            .map(|(i, (case, action))| expectation(&format!("e{i}"), cases[*case].0.clone(), ACTIONS[*action]))
            .collect();
        let all = rows(&values);
        let batches: Vec<RecordBatch> =
            (0..values.len()).step_by(cut).map(|at| all.slice(at, cut.min(values.len() - at))).collect();
        let meant = |row: usize| left_out >> (row % 64) & 1 == 0;
        let batches: Vec<Masked> = (0..)
            .step_by(cut)
            .zip(batches)
            .map(|(at, rows)| {
                let mask = BooleanBuffer::collect_bool(rows.num_rows(), |row| meant(at + row));
                Masked::new(rows, mask)
            })
            .collect();
        let values: Vec<(i64, Row)> = (100..).zip(values).enumerate().filter(|(i, _)| meant(*i)).map(|(_, v)| v).collect();
        let mut judge = judge(&expectations).with_samples(3);
        let judged = judge.judge(batches).unwrap();
        let verdict = judge.finish();

        let (mut kept, mut quarantined, mut dropped, mut failed) = (Vec::new(), Vec::new(), 0, 0);
        for (offset, row) in &values {
            let broken: Vec<usize> =
                (0..chosen.len()).filter(|i| cases[chosen[*i].0].1(*row) != Truth::Is(true)).collect();
            match broken.iter().map(|i| expectations[*i].action).max() {
                None | Some(Action::Warn) => kept.push(*offset),
                Some(Action::Drop) => dropped += 1,
                Some(Action::Quarantine) => {
                    quarantined.push((row.0, broken.iter().map(|i| format!("e{i}")).collect::<Vec<_>>()));
                }
                Some(Action::Fail) => failed += 1,
            }
        }
        prop_assert_eq!(offsets(&masked::into_rows(judged.kept).unwrap()), kept);
        prop_assert_eq!(judged.dropped, dropped);
        prop_assert_eq!(judged.failed, failed);
        let found: Vec<(Option<i64>, Vec<String>)> = judged.quarantined.iter().flat_map(quarantined_rows).collect();
        prop_assert_eq!(found, quarantined);

        for (i, result) in verdict.results.iter().enumerate() {
            let truths: Vec<Truth> = values.iter().map(|(_, row)| cases[chosen[i].0].1(*row)).collect();
            let of = |truth: Truth| u64::try_from(truths.iter().filter(|t| **t == truth).count()).unwrap();
            prop_assert_eq!(result.evaluated, u64::try_from(values.len()).unwrap());
            prop_assert_eq!(result.passed, of(Truth::Is(true)));
            prop_assert_eq!(result.failed, result.evaluated - result.passed);
            prop_assert_eq!(result.null_result, of(Truth::Null));
            prop_assert_eq!(result.error_result, of(Truth::Error));
            let first: Vec<(Option<i64>, bool)> = values
                .iter()
                .zip(&truths)
                .filter(|(_, t)| **t != Truth::Is(true))
                .take(3)
                .map(|((offset, _), t)| (Some(*offset), *t == Truth::Error))
                .collect();
            let samples: Vec<_> = result.samples.iter().map(|s| (s.offset, s.error.is_some())).collect();
            prop_assert_eq!(samples, first);
        }
        let fails = verdict.results.iter().find(|r| r.action == Action::Fail && r.failed > 0).map(|r| r.name.clone());
        prop_assert_eq!(verdict.failed.map(|f| f.expectation), fails);
    }
}

fn quarantined_rows(batch: &RecordBatch) -> Vec<(Option<i64>, Vec<String>)> {
    assert_eq!(batch.schema(), quarantine_schema(&visible_schema()));
    let a = batch.column(0).as_primitive::<Int64Type>();
    let violations = batch.column_by_name(VIOLATIONS).unwrap().as_list::<i32>();
    (0..batch.num_rows())
        .map(|i| {
            let names = violations.value(i);
            let names = names.as_string::<i32>().iter().map(|n| n.unwrap().to_owned()).collect();
            (a.is_valid(i).then(|| a.value(i)), names)
        })
        .collect()
}

#[test]
fn a_batch_that_passes_is_handed_on_uncopied() {
    let all = rows(&[(Some(1), Some("x")), (Some(2), None)]);
    let mut judge = judge(&[
        expectation("positive", col("a").gt(lit(0_i64)), Action::Quarantine),
        expectation("named", col("b").is_not_null(), Action::Warn),
    ]);
    let judged = judge.judge(vec![all.clone().into()]).unwrap();
    assert!(judged.quarantined.is_empty());
    assert!(Arc::ptr_eq(judged.kept[0].all().column(0), all.column(0)));
    assert_eq!(judge.finish().results[1].failed, 1);
}

#[test]
fn samples_are_the_first_rows_in_order_with_their_values() {
    let values: Vec<Row> = (0..50).map(|i| (Some(i), (i % 2 == 0).then_some("x"))).collect();
    let mut judge = judge(&[expectation("odd", col("a").lt(lit(20_i64)), Action::Drop)]);
    judge.judge(vec![rows(&values[..30]).into(), rows(&values[30..]).into()]).unwrap();
    let samples = judge.finish().results.remove(0).samples;
    assert_eq!(samples.len(), SAMPLES);
    assert_eq!(
        samples[0],
        Sample { part: Some(3), offset: Some(120), row: r#"{"a":20,"b":"x"}"#.to_owned(), error: None }
    );
    assert_eq!(samples[1].row, r#"{"a":21,"b":null}"#);
}

#[test]
fn rows_without_provenance_are_judged_too() {
    let batch = provenance::visible(&rows(&[(Some(-1), None)])).unwrap();
    let mut judge = judge(&[expectation("positive", col("a").gt(lit(0_i64)), Action::Quarantine)]);
    let judged = judge.judge(vec![batch.into()]).unwrap();
    assert!(judged.kept.is_empty());
    assert_eq!(judged.quarantined[0].num_rows(), 1);
    let sample = &judge.finish().results[0].samples[0];
    assert_eq!((sample.part, sample.offset), (None, None));
}

#[test]
fn an_error_names_the_row_it_is_about_and_spares_the_others() {
    let mut values: Vec<Row> = vec![(Some(5), None); 1000];
    values[777].0 = Some(0);
    let mut judge = judge(&[expectation("ratio", (lit(10_i64) / col("a")).gt(lit(1_i64)), Action::Quarantine)]);
    let judged = judge.judge(vec![rows(&values).into()]).unwrap();
    assert_eq!(judged.kept[0].count(), 999);
    let result = judge.finish().results.remove(0);
    assert_eq!((result.failed, result.error_result, result.null_result), (1, 1, 0));
    assert_eq!(result.samples[0].offset, Some(877));
    assert!(result.samples[0].error.as_ref().unwrap().to_lowercase().contains("divide by zero"), "{result:?}");
}

#[test]
fn a_condition_that_no_row_can_meet_is_an_error_at_once() {
    for (condition, says) in
        [(col("nope").is_null(), "nope"), (col("a"), "not BOOLEAN"), (now().is_not_null().and(col("a")), "")]
    {
        let broken = [expectation("broken", condition, Action::Warn)];
        let error = Judge::try_new(&broken, visible_schema(), &session()).unwrap_err();
        assert!(error.to_string().contains("expectation broken") && error.to_string().contains(says), "{error}");
        assert_eq!(error.blame(), Blame::User);
    }
}

#[test]
fn rows_of_other_columns_are_refused() {
    let mut judge = judge(&[]);
    let other = rows(&[(None, None)]).project(&[1, 0, 2, 3]).unwrap();
    assert!(matches!(judge.judge(vec![other.into()]), Err(QualityError::Rows(_))));
}
