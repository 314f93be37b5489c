//! Functions that choose among their arguments, which are cast to their common type. `if`, `nvl2` and `nullif` become CASE. `typeof` does
//! not compute its argument.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable};

use crate::{casts, types, values};

/// The functions that are planned here.
pub const NAMES: [&str; 6] = ["coalesce", "nvl", "ifnull", "greatest", "least", "typeof"];

/// The call with its arguments of one type; `nvl` and `ifnull` as `coalesce`, `typeof` as the text that it gives.
///
/// # Errors
/// If the arguments have nothing in common, or `nvl` has not two of them.
pub fn plan(function: ScalarFunction, schema: &DFSchema) -> Result<Expr> {
    let name = function.func.name().to_owned();
    let called = |names: &[&str]| names.iter().any(|n| *n == name || function.func.aliases().iter().any(|a| a == n));
    if !called(&NAMES) {
        return Ok(Expr::ScalarFunction(function));
    }
    if name == "typeof" {
        return type_of(function, schema);
    }
    let of = function.args.iter().map(|arg| arg.get_type(schema)).collect::<Result<Vec<DataType>>>()?;
    let two = called(&["nvl", "ifnull"]);
    if two && of.len() != 2 {
        return plan_err!("`{name}` takes 2 arguments, here it has {}; `coalesce` takes any number", of.len());
    }
    let Some(common) = types::common_of(&of) else {
        let names: Vec<String> = of.iter().map(types::name).collect();
        return plan_err!("`{name}` has values of types with nothing in common: {}; CAST them", names.join(", "));
    };
    let cast = |(arg, of): (&Expr, &DataType)| {
        if *of == common { Ok(arg.clone()) } else { casts::plan(arg.clone(), of, &common, false) }
    };
    let args = function.args.iter().zip(&of).map(cast).collect::<Result<Vec<_>>>()?;
    if two {
        return Ok(datafusion::functions::core::expr_fn::coalesce(args));
    }
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(function.func, args)))
}

/// `typeof` as a constant, under the name of the call; an aggregate is left in it, since it makes the query one of groups.
fn type_of(function: ScalarFunction, schema: &DFSchema) -> Result<Expr> {
    let name = match function.args.as_slice() {
        [argument] if !argument.exists(|e| Ok(matches!(e, Expr::AggregateFunction(_))))? => {
            values::type_name(&argument.get_type(schema)?)
        }
        _ => return Ok(Expr::ScalarFunction(function)),
    };
    let call = Expr::ScalarFunction(function).schema_name().to_string();
    Ok(Expr::Literal(ScalarValue::Utf8(Some(name)), None).alias(call))
}
