//! Whole numbers beside a DECIMAL, in functions that compute as operators do.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{Expr, ExprSchemable};

use crate::operators::literal::digits;
use crate::{casts, types};

/// The functions whose type depends on how many digits a constant is written with.
const COUNTING: [&str; 6] = ["try_add", "try_subtract", "try_multiply", "try_divide", "try_mod", "pmod"];

/// Makes DECIMALs of the whole numbers that `try_multiply` and its like have beside a DECIMAL, before constants are folded:
/// `1 + 1` would then be a 2 of one digit, and the result of another type than the table's column.
#[derive(Debug)]
pub struct WholeAsDecimal;

impl FunctionRewrite for WholeAsDecimal {
    fn name(&self) -> &str {
        "whole_as_decimal"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _: &ConfigOptions) -> Result<Transformed<Expr>> {
        let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return Ok(Transformed::no(expr)) };
        let rebuilt = |args| Expr::ScalarFunction(ScalarFunction { func: func.clone(), args });
        if !COUNTING.contains(&func.name()) || args.len() != 2 {
            return Ok(Transformed::no(rebuilt(args)));
        }
        let of = [args[0].get_type(schema)?, args[1].get_type(schema)?];
        if !of.iter().any(types::is_decimal) || !of.iter().any(DataType::is_integer) {
            return Ok(Transformed::no(rebuilt(args)));
        }
        let exact = |(at, arg): (usize, Expr)| match digits(&arg, &of[at], &of[1 - at]) {
            Some((p, s)) if of[at].is_integer() => casts::plan(arg, &of[at], &DataType::Decimal128(p, s), false),
            _ => Ok(arg),
        };
        let args = args.into_iter().enumerate().map(exact).collect::<Result<_>>()?;
        Ok(Transformed::yes(rebuilt(args)))
    }
}
