//! Whole numbers in calls of Spark's functions are INT, as Spark reads them.
//!
//! DataFusion reads `1` as a BIGINT, and `date_add(day, 1)` of datafusion-spark, which takes an INT, would not be found.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use datafusion::execution::SessionStateDefaults;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, UnaryOperator, Value, VisitMut,
    VisitorMut,
};

/// The names that only datafusion-spark has a function for.
static SPARK_ONLY: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let names = |functions: Vec<std::sync::Arc<datafusion::logical_expr::ScalarUDF>>| {
        functions
            .iter()
            .flat_map(|f| std::iter::once(f.name()).chain(f.aliases().iter().map(String::as_str)).map(str::to_owned))
            .collect::<BTreeSet<String>>()
    };
    let defaults = names(SessionStateDefaults::default_scalar_functions());
    let mut spark = names(datafusion_spark::all_default_scalar_functions());
    spark.retain(|name| !defaults.contains(name));
    spark
});

/// Makes INT of the whole numbers in calls of Spark's functions.
pub(super) fn int_literals(node: &mut impl VisitMut) {
    // Nothing breaks off.
    let _ = node.visit(&mut IntLiterals);
}

struct IntLiterals;

impl VisitorMut for IntLiterals {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && SPARK_ONLY.contains(&function.name.to_string().to_lowercase())
            && let FunctionArguments::List(list) = &mut function.args
        {
            for arg in &mut list.args {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) = arg
                    && is_int(arg)
                {
                    let number = std::mem::replace(arg, Expr::value(Value::Null));
                    *arg = Expr::Cast {
                        kind: CastKind::Cast,
                        expr: Box::new(number),
                        data_type: DataType::Int(None),
                        array: false,
                        format: None,
                    };
                }
            }
        }
        ControlFlow::Continue(())
    }
}

/// Whether `expr` is a whole number that Spark reads as an INT.
fn is_int(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(&value.value, Value::Number(digits, false) if digits.parse::<i32>().is_ok()),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => is_int(expr),
        _ => false,
    }
}
