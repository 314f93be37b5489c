//! Judges the candidates of one table in one batch by its expectations.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, ListBuilder, RecordBatch, StringBuilder,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::physical_plan::PhysicalExpr;
use serde::{Deserialize, Serialize};
use sluicebox_core::{Masked, provenance};
use sluicebox_pipeline::ast::Action;
use sluicebox_pipeline::bind::checked::checked;
use sluicebox_pipeline::equal;
use sluicebox_pipeline::graph::Expectation;

use crate::error::{QualityError, Result};
use crate::quarantine::Quarantine;
use crate::reason::reason;
use crate::render::row_as_json;
use crate::row_error::place;

/// Samples kept of each expectation in a batch, unless told otherwise.
pub const SAMPLES: usize = 10;

/// A row that broke an expectation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Index of its source partition in the batch's sorted list; `None` where rows have no provenance.
    pub part: Option<i32>,
    /// Its offset in that partition; `None` where rows have no provenance.
    pub offset: Option<i64>,
    /// Its visible columns as one JSON object, long values cut.
    pub row: String,
    /// Why the condition could not be evaluated on it; `None` if it was false or NULL.
    pub error: Option<String>,
}

/// What became of one expectation in one batch. `evaluated = passed + failed`, and `null_result` and `error_result` of
/// the failed ones are counted apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectationResult {
    /// The expectation.
    pub name: String,
    /// Its condition as it was written.
    pub text: String,
    /// What happens to a row that breaks it.
    pub action: Action,
    /// Candidates.
    pub evaluated: u64,
    /// Candidates for which the condition is true.
    pub passed: u64,
    /// Candidates for which it is not.
    pub failed: u64,
    /// Candidates for which it is NULL.
    pub null_result: u64,
    /// Candidates on which it cannot be evaluated.
    pub error_result: u64,
    /// The first rows that broke it, in order.
    pub samples: Vec<Sample>,
    /// The first row on which it cannot be evaluated.
    pub first_error: Option<Sample>,
}

/// The expectation that fails a batch: the first one, in the order of the text, that is FAIL UPDATE and was broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailUpdate {
    /// The expectation.
    pub expectation: String,
    /// Its condition as it was written.
    pub text: String,
    /// How many rows broke it.
    pub failed: u64,
    /// The first of them, in order.
    pub samples: Vec<Sample>,
}

/// What became of some candidates.
#[derive(Debug, Default)]
pub struct Judged {
    /// Those that go on, with their hidden columns, in order.
    pub kept: Vec<Masked>,
    /// Those for the quarantine, with the columns of [`crate::quarantine_schema`], in order.
    pub quarantined: Vec<RecordBatch>,
    /// How many were dropped.
    pub dropped: u64,
    /// How many broke an expectation that fails the batch: they are neither kept, quarantined nor dropped.
    pub failed: u64,
}

/// What became of all candidates of a table in a batch.
#[derive(Debug)]
pub struct Verdict {
    /// One for each expectation, in the order of the text.
    pub results: Vec<ExpectationResult>,
    /// Set when the batch must not be committed.
    pub failed: Option<FailUpdate>,
}

/// Judges the candidates of one table in one batch.
#[derive(Debug)]
pub struct Judge {
    schema: SchemaRef,
    quarantine: Quarantine,
    conditions: Vec<Condition>,
    samples: usize,
}

#[derive(Debug)]
struct Condition {
    expr: Arc<dyn PhysicalExpr>,
    result: ExpectationResult,
}

/// One condition on the rows of one batch.
struct Outcome {
    /// Not null; true where the condition is, and of rows that are not meant.
    holds: BooleanArray,
    nulls: u64,
    /// Row and message of each error, in order.
    errors: Vec<(usize, String)>,
}

impl Judge {
    /// A judge for rows whose visible columns are those of `schema`. The batch's clock has to be bound in the conditions.
    ///
    /// # Errors
    /// When a condition cannot be evaluated even on no rows.
    pub fn try_new(expectations: &[Expectation], schema: SchemaRef, session: &SessionState) -> Result<Self> {
        let conditions = expectations
            .iter()
            .map(|e| {
                let expr = compile(e, &schema, session).map_err(|source| QualityError::Condition {
                    name: e.name.clone(),
                    text: e.text.clone(),
                    source: Box::new(source),
                })?;
                let result = ExpectationResult {
                    name: e.name.clone(),
                    text: e.text.clone(),
                    action: e.action,
                    evaluated: 0,
                    passed: 0,
                    failed: 0,
                    null_result: 0,
                    error_result: 0,
                    samples: Vec::new(),
                    first_error: None,
                };
                Ok(Condition { expr, result })
            })
            .collect::<Result<_>>()?;
        Ok(Self { quarantine: Quarantine::new("", &schema, &[]), schema, conditions, samples: SAMPLES })
    }

    /// Makes rows for the quarantine by `quarantine`, which is of the same columns.
    #[must_use]
    pub fn with_quarantine(mut self, quarantine: Quarantine) -> Self {
        self.quarantine = quarantine;
        self
    }

    /// Keeps at most `samples` samples of each expectation.
    #[must_use]
    pub fn with_samples(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    /// Judges `candidates`, visible columns first, then hidden ones. What passes is handed on uncopied.
    ///
    /// # Errors
    /// When the rows do not have the table's columns.
    pub fn judge(&mut self, candidates: Vec<Masked>) -> Result<Judged> {
        let mut judged = Judged::default();
        for rows in candidates {
            self.judge_one(rows, &mut judged)?;
        }
        Ok(judged)
    }

    /// What became of all candidates.
    #[must_use]
    pub fn finish(self) -> Verdict {
        let results: Vec<ExpectationResult> = self.conditions.into_iter().map(|c| c.result).collect();
        let failed = results.iter().find(|r| r.action == Action::Fail && r.failed > 0).map(|r| FailUpdate {
            expectation: r.name.clone(),
            text: r.text.clone(),
            failed: r.failed,
            samples: r.samples.clone(),
        });
        Verdict { results, failed }
    }

    fn judge_one(&mut self, chosen: Masked, judged: &mut Judged) -> Result<()> {
        let batch = chosen.all();
        let visible = self.visible(batch)?;
        let mut outcomes = Vec::with_capacity(self.conditions.len());
        for condition in &mut self.conditions {
            let outcome = evaluate(&condition.expr, &visible, chosen.mask());
            condition.record(&outcome, &chosen, &visible, self.samples)?;
            outcomes.push(outcome);
        }
        let kept = self.where_action(&outcomes, batch.num_rows(), None);
        if kept.true_count() == batch.num_rows() {
            judged.kept.push(chosen);
            return Ok(());
        }
        let quarantined = self.where_action(&outcomes, batch.num_rows(), Some(Action::Quarantine));
        if quarantined.true_count() > 0 {
            judged.quarantined.push(self.quarantine(batch, &outcomes, &quarantined)?);
        }
        let dropped = self.where_action(&outcomes, batch.num_rows(), Some(Action::Drop));
        judged.dropped += count(&dropped);
        judged.failed += count(&self.where_action(&outcomes, batch.num_rows(), Some(Action::Fail)));
        let kept = chosen.and(kept.values());
        if kept.count() > 0 {
            judged.kept.push(kept);
        }
        Ok(())
    }

    /// The rows whose strictest broken expectation has `action`; with `None` those that are kept: nothing stricter than
    /// a warning.
    fn where_action(&self, outcomes: &[Outcome], rows: usize, action: Option<Action>) -> BooleanArray {
        let breaks = |stricter: &dyn Fn(Action) -> bool| {
            self.conditions
                .iter()
                .zip(outcomes)
                .filter(|(c, o)| stricter(c.result.action) && o.holds.true_count() < rows)
                .map(|(_, o)| !o.holds.values())
                .reduce(|a, b| &a | &b)
        };
        let none = || BooleanArray::from(vec![false; rows]).values().clone();
        let mask = match action {
            None => !&breaks(&|a| a > Action::Warn).unwrap_or_else(none),
            Some(action) => {
                let this = breaks(&|a| a == action).unwrap_or_else(none);
                &this & &!&breaks(&|a| a > action).unwrap_or_else(none)
            }
        };
        BooleanArray::new(mask, None)
    }

    /// `batch` without hidden columns, checked against the schema that conditions were made for.
    fn visible(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let visible = provenance::visible(batch)?;
        let found = visible.schema_ref().fields();
        let same = found.len() == self.schema.fields().len()
            && found
                .iter()
                .zip(self.schema.fields())
                .all(|(a, b)| a.name() == b.name() && a.data_type().equals_datatype(b.data_type()));
        if !same {
            let list = |fields: &arrow::datatypes::Fields| {
                fields.iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect::<Vec<_>>().join(", ")
            };
            let (found, wanted) = (list(found), list(self.schema.fields()));
            return Err(QualityError::Rows(format!("found ({found}), expected ({wanted})")));
        }
        Ok(visible)
    }

    /// The rows of `mask` with the columns of quarantine.
    fn quarantine(&self, rows: &RecordBatch, outcomes: &[Outcome], mask: &BooleanArray) -> Result<RecordBatch> {
        let item = Arc::new(Field::new_list_field(DataType::Utf8, false));
        let mut violations = ListBuilder::new(StringBuilder::new()).with_field(item);
        for row in mask.values().set_indices() {
            for (condition, outcome) in self.conditions.iter().zip(outcomes) {
                if !outcome.holds.value(row) {
                    violations.values().append_value(&condition.result.name);
                }
            }
            violations.append(true);
        }
        self.quarantine.violating(&filter_record_batch(rows, mask)?, violations.finish())
    }
}

impl Condition {
    /// Adds the outcome on `chosen` to the counts, and samples until there are enough.
    fn record(&mut self, outcome: &Outcome, chosen: &Masked, visible: &RecordBatch, samples: usize) -> Result<()> {
        let (result, batch) = (&mut self.result, chosen.all());
        let rows = u64::try_from(chosen.count()).unwrap_or(0);
        let failed = u64::try_from(batch.num_rows() - outcome.holds.true_count()).unwrap_or(0);
        let passed = rows - failed;
        result.evaluated += rows;
        result.passed += passed;
        result.failed += failed;
        result.null_result += outcome.nulls;
        result.error_result += u64::try_from(outcome.errors.len()).unwrap_or(0);
        if passed == rows {
            return Ok(());
        }
        let wanted = samples.saturating_sub(result.samples.len());
        for row in (!outcome.holds.values()).set_indices().take(wanted) {
            let error = outcome.errors.iter().find(|(at, _)| *at == row).map(|(_, message)| message.clone());
            result.samples.push(sample(batch, visible, row, error)?);
        }
        if let (None, Some((row, message))) = (&result.first_error, outcome.errors.first()) {
            result.first_error = Some(sample(batch, visible, *row, Some(message.clone()))?);
        }
        Ok(())
    }
}

fn sample(batch: &RecordBatch, visible: &RecordBatch, row: usize, error: Option<String>) -> Result<Sample> {
    let (part, offset) = place(batch, row);
    Ok(Sample { part, offset, row: row_as_json(visible, row)?, error })
}

fn count(mask: &BooleanArray) -> u64 {
    u64::try_from(mask.true_count()).unwrap_or(0)
}

/// The physical expression of a condition, tried on no rows: what fails there fails on all.
fn compile(
    expectation: &Expectation,
    schema: &SchemaRef,
    session: &SessionState,
) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let df_schema = DFSchema::try_from(Arc::clone(schema))?;
    let condition = equal::one_equality(expectation.condition.clone(), &df_schema)?;
    let expr = session.create_physical_expr(condition, &df_schema)?;
    let expr = checked(expr, schema)?.data;
    let data_type = expr.data_type(schema)?;
    if !matches!(data_type, DataType::Boolean | DataType::Null) {
        return Err(DataFusionError::Plan(format!("it is {data_type}, not Boolean")));
    }
    whole(&expr, &RecordBatch::new_empty(Arc::clone(schema)))?;
    Ok(expr)
}

/// The condition on all rows at once.
fn whole(expr: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<ArrayRef, DataFusionError> {
    expr.evaluate(rows)?.into_array(rows.num_rows())
}

/// The condition on the rows of `mask`, on all without one; where that fails, on halves of them, down to the rows that it
/// fails on. It is evaluated on the other rows too, but what comes of that does not show.
fn evaluate(expr: &Arc<dyn PhysicalExpr>, rows: &RecordBatch, mask: Option<&BooleanBuffer>) -> Outcome {
    let mut holds = BooleanBufferBuilder::new(rows.num_rows());
    let mut outcome = Outcome { holds: BooleanArray::from(Vec::<bool>::new()), nulls: 0, errors: Vec::new() };
    let mut rest = vec![(0, rows.num_rows())];
    while let Some((start, len)) = rest.pop() {
        let meant = mask.map(|mask| mask.slice(start, len));
        match whole(expr, &rows.slice(start, len)) {
            Ok(values) => {
                outcome.nulls += nulls(&values, meant.as_ref());
                let values = match values.as_boolean_opt() {
                    Some(values) => match values.nulls() {
                        Some(nulls) => values.values() & nulls.inner(),
                        None => values.values().clone(),
                    },
                    // A NULL literal has a type of its own.
                    None => BooleanBuffer::new_unset(len),
                };
                holds.append_buffer(&meant.map_or_else(|| values.clone(), |meant| &values | &!&meant));
            }
            Err(error) if len <= 1 => {
                let meant = meant.is_none_or(|meant| meant.value(0));
                if meant {
                    outcome.errors.push((start, reason(&error)));
                }
                holds.append_n(len, !meant);
            }
            Err(_) => {
                let half = len / 2;
                rest.push((start + half, len - half));
                rest.push((start, half));
            }
        }
    }
    outcome.holds = BooleanArray::new(holds.finish(), None);
    outcome
}

/// How many of `values` are NULL where they are meant.
fn nulls(values: &ArrayRef, meant: Option<&BooleanBuffer>) -> u64 {
    let count = match (values.logical_nulls(), meant) {
        (None, _) => 0,
        (Some(nulls), None) => nulls.null_count(),
        (Some(nulls), Some(meant)) => (&!nulls.inner() & meant).count_set_bits(),
    };
    u64::try_from(count).unwrap_or(0)
}

#[cfg(test)]
mod tests;
