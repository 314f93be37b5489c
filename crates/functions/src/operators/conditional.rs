//! Functions that choose among their arguments, which get the type that they have in common. `if`, `nvl2` and `nullif` come as CASE.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable};

use crate::{casts, types};

/// The functions that are planned here.
pub const NAMES: [&str; 5] = ["coalesce", "nvl", "ifnull", "greatest", "least"];

/// The call with its arguments of one type; `nvl` and `ifnull` as `coalesce`.
///
/// # Errors
/// If the arguments have nothing in common, or `nvl` has not two of them.
pub fn plan(function: ScalarFunction, schema: &DFSchema) -> Result<Expr> {
    let name = function.func.name().to_owned();
    let called = |names: &[&str]| names.iter().any(|n| *n == name || function.func.aliases().iter().any(|a| a == n));
    if !called(&NAMES) {
        return Ok(Expr::ScalarFunction(function));
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
