//! Functions that choose among their arguments, which get the type that they have in common.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Case, Expr, ExprSchemable, Operator};

use super::compare;
use crate::{casts, types};

/// The functions that are planned here.
pub const NAMES: [&str; 8] = ["coalesce", "nvl", "ifnull", "nvl2", "nullif", "if", "greatest", "least"];

/// The call with its arguments of one type; `if`, `nvl2` and `nullif` as CASE.
///
/// # Errors
/// If the arguments have nothing in common.
pub fn plan(function: ScalarFunction, schema: &DFSchema) -> Result<Expr> {
    let name = function.func.name().to_owned();
    let aliased = |names: &[&str]| names.iter().any(|n| *n == name || function.func.aliases().iter().any(|a| a == n));
    match function.args.as_slice() {
        [condition, then, otherwise] if aliased(&["if"]) => {
            case(condition.clone(), then.clone(), Some(otherwise.clone()), schema)
        }
        [value, then, otherwise] if aliased(&["nvl2"]) => {
            case(value.clone().is_not_null(), then.clone(), Some(otherwise.clone()), schema)
        }
        [value, other] if aliased(&["nullif"]) => {
            let of = value.get_type(schema)?;
            let same = compare::compare(Operator::Eq, value.clone(), other.clone(), schema)?;
            case(same, Expr::Literal(ScalarValue::try_from(&of)?, None), Some(value.clone()), schema)
        }
        args if aliased(&["coalesce", "nvl", "ifnull", "greatest", "least"]) => {
            let of = args.iter().map(|arg| arg.get_type(schema)).collect::<Result<Vec<DataType>>>()?;
            let Some(common) = types::common_of(&of) else {
                let names: Vec<String> = of.iter().map(types::name).collect();
                return plan_err!(
                    "`{name}` has values of types with nothing in common: {}; CAST them",
                    names.join(", ")
                );
            };
            let cast = |(arg, of): (&Expr, &DataType)| {
                if *of == common { Ok(arg.clone()) } else { casts::plan(arg.clone(), of, &common, false) }
            };
            let args = args.iter().zip(&of).map(cast).collect::<Result<Vec<_>>>()?;
            if aliased(&["nvl", "ifnull"]) {
                return Ok(datafusion::functions::core::expr_fn::coalesce(args));
            }
            Ok(Expr::ScalarFunction(ScalarFunction::new_udf(function.func, args)))
        }
        _ => Ok(Expr::ScalarFunction(function)),
    }
}

fn case(when: Expr, then: Expr, otherwise: Option<Expr>, schema: &DFSchema) -> Result<Expr> {
    let pairs = vec![(Box::new(when), Box::new(then))];
    compare::case(Case::new(None, pairs, otherwise.map(Box::new)), schema)
}
