//! An optimiser rule: plans and expressions that compare values compare their forms.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, BinaryExpr, Case, Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::{has_twins, normal};

/// Functions of which all arguments are compared with each other, and none is given back.
const COMPARING: [&str; 4] = ["array_has", "array_contains", "array_position", "array_positions"];

/// Aggregates that compare their arguments, by name. `max_by`, `median` and `percentile` compare the form by themselves, and give the value as
/// it is.
const ORDERING: [&str; 7] =
    ["min", "max", "mode", "collect_set", "approx_distinct", "approx_count_distinct", "histogram_numeric"];

/// The rule, see the module's page. It comes before all others: what they fold or move is then compared by its form.
#[derive(Debug, Default)]
pub struct OneEquality;

impl OptimizerRule for OneEquality {
    fn name(&self) -> &'static str {
        "one_equality"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !matches!(plan, LogicalPlan::Projection(_) | LogicalPlan::Filter(_)) {
            return Ok(Transformed::no(plan));
        }
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(rewritten(expr, &schema)?.update_data(|expr| name.restore(expr)))
        })
    }
}

/// `expr`, over columns of `schema`, with the forms of values compared. Types must have been coerced; the name may change.
///
/// # Errors
/// When the type of a part of it cannot be told.
pub fn one_equality(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    rewritten(expr, schema).map(|rewritten| rewritten.data)
}

/// The form of `expr`: equal values have one. Itself where its type has no values that are equal and do not look the same.
///
/// # Errors
/// When its type cannot be told.
pub fn same(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    put(expr, schema).map(|put| put.data)
}

fn put(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if is_form(&expr) || !has_twins(&expr.get_type(schema)?) {
        return Ok(Transformed::no(expr));
    }
    if let Expr::Cast(Cast { expr: of, .. }) = &expr
        && is_exact(&of.get_type(schema)?)
    {
        // What was a whole number is neither -0.0 nor NaN.
        return Ok(Transformed::no(expr));
    }
    Ok(match expr {
        Expr::Literal(value, metadata) => {
            let form = form_of(&value)?;
            let changed = form.to_array_of_size(1)?.to_data() != value.to_array_of_size(1)?.to_data();
            Transformed::new_transformed(Expr::Literal(form, metadata), changed)
        }
        other => Transformed::yes(FORM.call(vec![other])),
    })
}

fn rewritten(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) => {
            let (left, right) = (put(*left, schema)?, put(*right, schema)?);
            let changed = left.transformed || right.transformed;
            let binary = BinaryExpr::new(Box::new(left.data), op, Box::new(right.data));
            Ok(Transformed::new_transformed(Expr::BinaryExpr(binary), changed))
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let (expr, low, high) = (put(*expr, schema)?, put(*low, schema)?, put(*high, schema)?);
            let changed = expr.transformed || low.transformed || high.transformed;
            let between = Between::new(Box::new(expr.data), negated, Box::new(low.data), Box::new(high.data));
            Ok(Transformed::new_transformed(Expr::Between(between), changed))
        }
        Expr::InList(mut list) => {
            let expr = put(*list.expr, schema)?;
            let (items, changed) = put_all(list.list, schema)?;
            list.expr = Box::new(expr.data);
            list.list = items;
            Ok(Transformed::new_transformed(Expr::InList(list), changed || expr.transformed))
        }
        Expr::Case(case) if case.expr.is_some() => of_case(case, schema),
        Expr::ScalarFunction(call) => of_call(call, schema),
        Expr::AggregateFunction(aggregate) => of_aggregate(aggregate, schema),
        other => Ok(Transformed::no(other)),
    })
}

fn compares(op: Operator) -> bool {
    use Operator as O;
    matches!(op, O::Eq | O::NotEq | O::Lt | O::LtEq | O::Gt | O::GtEq | O::IsDistinctFrom | O::IsNotDistinctFrom)
}

fn put_all(exprs: Vec<Expr>, schema: &DFSchema) -> Result<(Vec<Expr>, bool)> {
    let mut changed = false;
    let mut all = Vec::with_capacity(exprs.len());
    for expr in exprs {
        let put = put(expr, schema)?;
        changed |= put.transformed;
        all.push(put.data);
    }
    Ok((all, changed))
}

/// `CASE x WHEN y THEN ...` compares x with each y.
fn of_case(case: Case, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Case { expr, when_then_expr, else_expr } = case;
    let mut changed = false;
    let mut put_one = |expr: Box<Expr>| {
        let put = put(*expr, schema)?;
        changed |= put.transformed;
        Ok::<_, datafusion::error::DataFusionError>(Box::new(put.data))
    };
    let expr = expr.map(&mut put_one).transpose()?;
    let branches = when_then_expr.into_iter().map(|(when, then)| Ok((put_one(when)?, then)));
    let when_then_expr = branches.collect::<Result<_>>()?;
    Ok(Transformed::new_transformed(Expr::Case(Case { expr, when_then_expr, else_expr }), changed))
}

fn of_call(call: ScalarFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let ScalarFunction { func, mut args } = call;
    if func.name() == "nullif" && args.len() == 2 && has_twins(&args[0].get_type(schema)?) {
        // It gives its first argument back, as that is.
        let (value, other) = (args.swap_remove(0), args.swap_remove(0));
        let equal = Expr::BinaryExpr(BinaryExpr::new(
            Box::new(same(value.clone(), schema)?),
            Operator::Eq,
            Box::new(same(other, schema)?),
        ));
        let null = Expr::Literal(ScalarValue::try_from(&value.get_type(schema)?)?, None);
        let case = Case::new(None, vec![(Box::new(equal), Box::new(null))], Some(Box::new(value)));
        return Ok(Transformed::yes(Expr::Case(case)));
    }
    let changed = if COMPARING.contains(&func.name()) {
        let (all, changed) = put_all(args, schema)?;
        args = all;
        changed
    } else {
        false
    };
    Ok(Transformed::new_transformed(Expr::ScalarFunction(ScalarFunction { func, args }), changed))
}

/// Of an aggregate with DISTINCT, or one that orders by them, its arguments; and what it is ordered by.
fn of_aggregate(aggregate: AggregateFunction, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let AggregateFunction { func, mut params } = aggregate;
    let mut changed = false;
    let name = func.name();
    let first = params.args.first().map(|arg| arg.get_type(schema)).transpose()?;
    // Of nested values, `min` and `max` compare the form by themselves.
    let by_itself = matches!(name, "min" | "max") && first.is_some_and(|of| of.is_nested());
    if params.distinct || ORDERING.contains(&name) && !by_itself || name.starts_with("approx_percentile_") {
        (params.args, changed) = put_all(params.args, schema)?;
    }
    for sort in &mut params.order_by {
        let put = put(std::mem::take(&mut sort.expr), schema)?;
        changed |= put.transformed;
        sort.expr = put.data;
    }
    Ok(Transformed::new_transformed(Expr::AggregateFunction(AggregateFunction { func, params }), changed))
}

/// Whether values of this type become floating point without becoming -0.0 or NaN.
fn is_exact(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_decimal() || *data_type == DataType::Boolean
}

fn is_form(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.func.inner().is::<FormFunction>())
}

fn form_of(value: &ScalarValue) -> Result<ScalarValue> {
    ScalarValue::try_from_array(&normal(&value.to_array_of_size(1)?)?, 0)
}

static FORM: LazyLock<ScalarUDF> = LazyLock::new(|| ScalarUDF::from(FormFunction::new()));

/// The form of its argument. No pipeline can name it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct FormFunction {
    signature: Signature,
}

impl FormFunction {
    fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for FormFunction {
    fn name(&self) -> &'static str {
        "__sb_form"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Null))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let Some(of) = args.arg_fields.first() else { return datafusion::common::internal_err!("a form of nothing") };
        Ok(Arc::new(Field::new(self.name(), of.data_type().clone(), of.is_nullable())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.first() {
            Some(ColumnarValue::Array(values)) => Ok(ColumnarValue::Array(normal(values)?)),
            Some(ColumnarValue::Scalar(value)) => Ok(ColumnarValue::Scalar(form_of(value)?)),
            None => datafusion::common::internal_err!("a form of nothing"),
        }
    }
}
