//! Integer arithmetic that never wraps. DataFusion's own wraps unless each operation is told not to.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Literal, NegativeExpr};
use datafusion::physical_expr::projection::ProjectionExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::projection::ProjectionExec;

/// `expr` over rows of `schema`, with an error in place of a number that does not fit its type.
///
/// # Errors
/// None for an expression over these rows.
pub fn checked(expr: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Transformed<Arc<dyn PhysicalExpr>>> {
    expr.transform_up(|e| {
        if let Some(binary) = e.downcast_ref::<BinaryExpr>()
            && matches!(binary.op(), Operator::Plus | Operator::Minus | Operator::Multiply)
        {
            let (left, right) = (Arc::clone(binary.left()), Arc::clone(binary.right()));
            let checked = BinaryExpr::new(left, *binary.op(), right).with_fail_on_overflow(true);
            // Equal when it is checked already.
            let same = checked == *binary;
            return Ok(if same { Transformed::no(e) } else { Transformed::yes(Arc::new(checked)) });
        }
        if let Some(negative) = e.downcast_ref::<NegativeExpr>() {
            let of = negative.arg().data_type(schema)?;
            if let Some(zero) = zero(&of) {
                let zero = Arc::new(Literal::new(zero));
                let less = BinaryExpr::new(zero, Operator::Minus, Arc::clone(negative.arg()));
                return Ok(Transformed::yes(Arc::new(less.with_fail_on_overflow(true))));
            }
        }
        Ok(Transformed::no(e))
    })
}

/// Of the integers that have a negative value without a positive one.
fn zero(of: &DataType) -> Option<ScalarValue> {
    of.is_signed_integer().then(|| ScalarValue::new_zero(of).ok()).flatten()
}

/// `plan` with all arithmetic of its projections and filters checked.
///
/// # Errors
/// When a node cannot be made again, which does not happen for a plan that could be made once.
pub fn checked_plan(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        if let Some(projection) = node.downcast_ref::<ProjectionExec>() {
            let schema = projection.input().schema();
            let exprs = projection.expr().iter().map(|e| checked(Arc::clone(&e.expr), &schema));
            let exprs = exprs.collect::<Result<Vec<_>>>()?;
            if exprs.iter().all(|e| !e.transformed) {
                return Ok(Transformed::no(node));
            }
            let exprs = exprs
                .into_iter()
                .zip(projection.expr())
                .map(|(e, of)| ProjectionExpr { expr: e.data, alias: of.alias.clone() })
                .collect::<Vec<_>>();
            let made = ProjectionExec::try_new(exprs, Arc::clone(projection.input()))?;
            return Ok(Transformed::yes(Arc::new(made) as _));
        }
        if let Some(filter) = node.downcast_ref::<FilterExec>() {
            let predicate = checked(Arc::clone(filter.predicate()), &filter.input().schema())?;
            if !predicate.transformed {
                return Ok(Transformed::no(node));
            }
            let made = FilterExecBuilder::from(filter).with_predicate(predicate.data).build()?;
            return Ok(Transformed::yes(Arc::new(made) as _));
        }
        Ok(Transformed::no(node))
    })
    .map(|checked| checked.data)
}
