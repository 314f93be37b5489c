//! Finds constants that cannot be computed: a text that is no number, an invalid regular expression, an invalid format. They would fail for
//! each row, so they are reported before the first.

use arrow::array::RecordBatch;
use arrow::array::RecordBatchOptions;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_plan::ColumnarValue;
use std::sync::Arc;

use super::clock::{bind_clock, bind_expr_clock, uses_clock};
use super::said;
use super::words::Words;
use crate::ast::Span;
use crate::diagnostic::Diagnostic;

/// A constant that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadConstant {
    /// The expression in SQL.
    pub(super) expr: String,
    /// Why, as DataFusion says it.
    pub(super) why: String,
}

impl BadConstant {
    /// The mistake at its place.
    pub(super) fn diagnostic(&self, span: Span) -> Diagnostic {
        let said = said::text(&self.why);
        let expr = self.expr.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMP").replace("AS INTEGER)", "AS INT)");
        let message = format!("`{}` cannot be computed", expr.replace("AS BOOL)", "AS BOOLEAN)"));
        Diagnostic::new("bad-constant", span, message, "fails for every row")
            .with_note(said.line())
            .with_help(said.help.unwrap_or_else(|| "write another constant".to_owned()))
    }
}

/// Functions some of whose arguments may never be computed: what fails there may be meant to.
const LAZY: [&str; 8] = ["coalesce", "nvl", "nvl2", "ifnull", "if", "iff", "nullif", "raise_error"];

/// The first constant of `plan` that cannot be computed.
pub(super) fn of_plan(plan: &LogicalPlan, state: &SessionState) -> Option<BadConstant> {
    let bound = if uses_clock(plan) { bind_clock(plan.clone(), 0).ok() } else { None };
    let mut found = None;
    // What cannot be walked has been refused before.
    let _ = bound.as_ref().unwrap_or(plan).apply(|node| {
        let inputs: Vec<_> = node.inputs().into_iter().map(LogicalPlan::schema).collect();
        let schema = match inputs.as_slice() {
            [one] => one.as_ref().clone(),
            _ => node.schema().as_ref().clone(),
        };
        node.apply_expressions(|expr| {
            found = of_expr(expr, &schema, state);
            Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    });
    found
}

/// The first constant of a condition that cannot be computed.
pub(super) fn of_condition(expr: &Expr, schema: &DFSchema, state: &SessionState) -> Option<BadConstant> {
    of_expr(&bind_expr_clock(expr.clone(), 0).ok()?, schema, state)
}

fn of_expr(expr: &Expr, schema: &DFSchema, state: &SessionState) -> Option<BadConstant> {
    let children = match expr {
        Expr::Case(_) => Vec::new(),
        Expr::ScalarFunction(f) if LAZY.contains(&f.func.name()) => Vec::new(),
        Expr::TryCast(_) => Vec::new(),
        other => children(other),
    };
    if let Expr::Cast(cast) = expr
        && let DataType::Timestamp(_, Some(zone)) = cast.field.data_type()
        && zone.parse::<arrow::array::timezone::Tz>().is_err()
    {
        return Some(BadConstant {
            expr: format!("AT TIME ZONE '{zone}'"),
            why: format!("there is no time zone '{zone}'"),
        });
    }
    // The innermost one is to blame.
    if let Some(inner) = children.into_iter().find_map(|child| of_expr(child, schema, state)) {
        return Some(inner);
    }
    let probed = probe(expr, schema)?;
    let error = evaluate(&probed.with, state).err()?;
    let why = said::plain(&error);
    let same = |other: &DataFusionError| said::plain(other) == why;
    if probed.without.is_some_and(|without| evaluate(&without, state).is_err_and(|e| same(&e))) {
        return None;
    }
    Some(BadConstant { expr: Words::default().say(expr), why })
}

fn children(expr: &Expr) -> Vec<&Expr> {
    let mut found = Vec::new();
    // Nothing fails in there.
    let _ = expr.apply_children(|child| {
        found.push(child);
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// What is computed to know whether a constant fails.
struct Probe {
    with: Expr,
    /// The same without the constants: what fails alike is not their fault.
    without: Option<Expr>,
}

fn probe(expr: &Expr, schema: &DFSchema) -> Option<Probe> {
    if matches!(expr, Expr::Literal(..) | Expr::Column(_) | Expr::Alias(_)) {
        return None;
    }
    // These are meant to fail, for some rows.
    if matches!(expr, Expr::ScalarFunction(f) if ["assert_true", "raise_error"].contains(&f.func.name())) {
        return None;
    }
    if is_constant(expr) {
        return Some(Probe { with: expr.clone(), without: None });
    }
    let typed = |e: &Expr, value: fn(&DataType) -> Result<ScalarValue>| {
        let data_type = e.get_type(schema).ok()?;
        Some(Expr::Literal(value(&data_type).ok()?, None))
    };
    match expr {
        // A pattern is read when there is a text for it.
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_regex(*op) && is_constant(right) => {
            let text = Expr::Literal(ScalarValue::Utf8(Some(String::new())), None);
            let with = Expr::BinaryExpr(BinaryExpr { left: Box::new(text), op: *op, right: right.clone() });
            typed(left, ScalarValue::try_new_null).map(|_| Probe { with, without: None })
        }
        Expr::ScalarFunction(f)
            if f.func.signature().volatility == Volatility::Immutable && f.args.iter().any(is_text) =>
        {
            let pattern = ["regexp", "rlike"].iter().any(|name| f.func.name().contains(name));
            let fill: fn(&DataType) -> Result<ScalarValue> = if pattern { empty_text } else { harmless };
            let called = |text: bool| {
                let args = f.args.iter().map(|arg| match arg {
                    constant if is_constant(constant) && (text || !is_text(constant)) => Some(constant.clone()),
                    other => typed(other, fill),
                });
                let args = args.collect::<Option<Vec<Expr>>>()?;
                Some(Expr::ScalarFunction(ScalarFunction { func: Arc::clone(&f.func), args }))
            };
            Some(Probe { with: called(true)?, without: Some(called(false)?) })
        }
        _ => None,
    }
}

/// A value with which no function fails for the value's sake: times and bytes are all alike, of texts and numbers only NULL is.
fn harmless(data_type: &DataType) -> Result<ScalarValue> {
    let any =
        data_type.is_temporal() || matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
    if any { ScalarValue::new_default(data_type) } else { ScalarValue::try_new_null(data_type) }
}

/// An empty text, in which a pattern is looked for; of other types a harmless value.
fn empty_text(data_type: &DataType) -> Result<ScalarValue> {
    if data_type.is_string() { ScalarValue::new_default(data_type) } else { harmless(data_type) }
}

fn is_regex(op: Operator) -> bool {
    matches!(op, Operator::RegexMatch | Operator::RegexIMatch | Operator::RegexNotMatch | Operator::RegexNotIMatch)
}

fn is_text(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Literal(ScalarValue::Utf8(Some(_)) | ScalarValue::Utf8View(Some(_)) | ScalarValue::LargeUtf8(Some(_)), _)
    )
}

/// Whether the value depends on no row, no clock and nothing else.
fn is_constant(expr: &Expr) -> bool {
    let depends = expr.exists(|e| {
        Ok(match e {
            Expr::ScalarFunction(f) => f.func.signature().volatility != Volatility::Immutable,
            Expr::Literal(..)
            | Expr::BinaryExpr(_)
            | Expr::Like(_)
            | Expr::SimilarTo(_)
            | Expr::Not(_)
            | Expr::Negative(_)
            | Expr::Between(_)
            | Expr::Case(_)
            | Expr::Cast(_)
            | Expr::TryCast(_)
            | Expr::InList(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_) => false,
            _ => true,
        })
    });
    !depends.unwrap_or(true)
}

fn evaluate(expr: &Expr, state: &SessionState) -> Result<ColumnarValue> {
    let row = RecordBatchOptions::new().with_row_count(Some(1));
    let rows = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &row)?;
    // Some functions, such as coalesce, are computed only in the form that they are simplified to.
    let expr = ExprSimplifier::new(SimplifyContext::default()).simplify(expr.clone())?;
    state.create_physical_expr(expr, &DFSchema::empty())?.evaluate(&rows)
}
