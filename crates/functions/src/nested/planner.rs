//! Plans syntax as functions of this crate: `map(...)`, `v:a.b`, `points.x` over an array of structs.

use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, Result, TableReference};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, lit};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::types::{element_of, entry_of, name, plain};
use crate::error::plan_error;

/// Plans what SQL has a form of its own for.
#[derive(Debug)]
pub struct NestedPlanner;

fn call(function: &std::sync::Arc<datafusion::logical_expr::ScalarUDF>, args: Vec<Expr>) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(std::sync::Arc::clone(function), args))
}

impl ExprPlanner for NestedPlanner {
    fn plan_make_map(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(PlannerResult::Planned(call(&super::maps::map_function(), args)))
    }

    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if expr.op != BinaryOperator::Custom(":".to_owned()) {
            return Ok(PlannerResult::Original(expr));
        }
        let of = plain(&expr.left.get_type(schema)?);
        if !matches!(of, DataType::Utf8 | DataType::Null) {
            return plan_error(format!(
                "`:` takes a value out of JSON text, this is {}: write a dot for a field",
                name(&of)
            ));
        }
        let Expr::Literal(path, _) = &expr.right else {
            return plan_error("the path after `:` is written out, as in v:a.b[0]");
        };
        let path = crate::json::path_of_colon(path.try_as_str().flatten().unwrap_or_default());
        Ok(PlannerResult::Planned(call(&crate::json::get_json_object(), vec![expr.left, lit(path)])))
    }

    fn plan_compound_identifier(
        &self,
        field: &Field,
        qualifier: Option<&TableReference>,
        nested_names: &[String],
    ) -> Result<PlannerResult<Vec<Expr>>> {
        let mut data_type = field.data_type().clone();
        let mut expr = Expr::Column((qualifier, field).into());
        let mut seen = false;
        for name in nested_names {
            let list = element_of(&data_type).is_some_and(|e| matches!(e, DataType::Struct(_)));
            let Some(next) = inside(&data_type, name) else { return Ok(PlannerResult::Original(Vec::new())) };
            seen |= list || entry_of(&data_type).is_some();
            expr = if list {
                call(&super::access::field_of_each(), vec![expr, lit(name.as_str())])
            } else if entry_of(&data_type).is_some() {
                call(&super::access::element_at_function(), vec![expr, lit(name.as_str())])
            } else {
                datafusion::functions::core::expr_fn::get_field(expr, name.as_str())
            };
            data_type = next;
        }
        // What is made of structs alone is DataFusion's, which knows more of them.
        Ok(if seen { PlannerResult::Planned(expr) } else { PlannerResult::Original(Vec::new()) })
    }
}

/// The type of `.name` within a value of `data_type`.
fn inside(data_type: &DataType, name: &str) -> Option<DataType> {
    let field = |of: &DataType| match of {
        DataType::Struct(fields) => fields.iter().find(|f| f.name() == name).map(|f| f.data_type().clone()),
        _ => None,
    };
    if let Some(element) = element_of(data_type) {
        return Some(super::types::list_of(&field(element)?));
    }
    match entry_of(data_type) {
        Some((DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View, value)) => Some(value.clone()),
        Some(_) => None,
        None => field(data_type),
    }
}
