//! CAST, TRY_CAST and `::` in Spark's meaning.
//!
//! A cast that arrow does as Spark does stays an ordinary cast, which the planner and the engine can see through. The others are functions
//! of this module.

pub mod kernel;
pub mod number;
pub mod show;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Diagnostic, Result, ScalarValue, plan_err};
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TryCast,
    Volatility,
};

use crate::types;

/// The expression that casts `expr`, of type `from`, to `to`; with `lenient` what cannot be cast is NULL.
///
/// # Errors
/// If Spark has no such cast, or `expr` is a constant that cannot be cast.
pub fn plan(expr: Expr, from: &DataType, to: &DataType, lenient: bool) -> Result<Expr> {
    if from == to || from == &DataType::Null || same_text(from, to) {
        return Ok(plain(expr, to, lenient));
    }
    if !allowed(from, to) {
        let (name, to) = (types::name(from), types::name(to));
        return plan_err!("{} cannot be cast to {to}{}", types::article(from), advice(&name, &to));
    }
    if agrees(from, to) {
        return Ok(plain(expr, to, lenient));
    }
    if let (Expr::Literal(value, _), false) = (&expr, lenient) {
        // What a constant cannot become is told before any row is read.
        if let Err(error) = kernel::run(&value.to_array()?, to, false) {
            let text = error.strip_backtrace();
            let message = text.strip_prefix("Execution error: ").unwrap_or(&text).to_owned();
            return Err(DataFusionError::Plan(message.clone()).with_diagnostic(Diagnostic::new_error(message, None)));
        }
    }
    Ok(ScalarUDF::from(SparkCast::new(to.clone(), lenient)).call(vec![expr]))
}

/// `value` as `to`, if it is a constant that can be cast; for literals.
///
/// # Errors
/// As of [`kernel::run`].
pub fn constant(value: &ScalarValue, to: &DataType) -> Result<ScalarValue> {
    ScalarValue::try_from_array(&kernel::run(&value.to_array()?, to, false)?, 0)
}

/// What `function` casts to, and whether what cannot be cast is NULL, if it is a cast.
pub(crate) fn cast_of(function: &ScalarUDF) -> Option<(&DataType, bool)> {
    function.inner().downcast_ref::<SparkCast>().map(|cast| (&cast.to, cast.lenient))
}

fn plain(expr: Expr, to: &DataType, lenient: bool) -> Expr {
    if lenient {
        Expr::TryCast(TryCast::new(Box::new(expr), to.clone()))
    } else {
        Expr::Cast(Cast::new(Box::new(expr), to.clone()))
    }
}

fn same_text(from: &DataType, to: &DataType) -> bool {
    types::is_text(from) && types::is_text(to) || types::is_binary(from) && types::is_binary(to)
}

/// Whether Spark has the cast, in ANSI mode.
fn allowed(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    match (from, to) {
        (D::Interval(_), _) => types::is_interval(to),
        _ if from == to || types::is_text(to) => true,
        (D::List(a) | D::LargeList(a), D::List(b)) => allowed(a.data_type(), b.data_type()),
        (D::Struct(a), D::Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| allowed(a.data_type(), b.data_type()))
        }
        (D::Map(a, _), D::Map(b, _)) => allowed(a.data_type(), b.data_type()),
        _ if from.is_nested() || to.is_nested() => false,
        (D::Null, _) => true,
        // What only DataFusion has: intervals of text, and durations among themselves.
        _ if types::is_interval(to) => types::is_interval(from) || types::is_text(from),
        _ if types::is_text(from) => true,
        (D::Boolean, _) => types::is_number(to),
        (D::Date32, _) => matches!(to, D::Timestamp(..)),
        (D::Timestamp(_, Some(_)), _) => types::is_number(to) || matches!(to, D::Date32 | D::Timestamp(..)),
        (D::Timestamp(_, None), _) => matches!(to, D::Date32 | D::Timestamp(..)),
        _ if types::is_number(from) => types::is_number(to) || matches!(to, D::Boolean | D::Timestamp(_, Some(_))),
        _ if types::is_interval(from) || types::is_binary(from) => false,
        // Types that Spark does not have are DataFusion's.
        _ => true,
    }
}

/// What to write where the number of a difference of times is wanted.
pub(crate) const OF_A_DIFFERENCE: &str = "; write datediff(a, b) for the days between two dates, unix_timestamp(a) - unix_timestamp(b) for \
                                          the seconds between two timestamps";

/// What to write instead of a cast that there is not.
fn advice(from: &str, to: &str) -> &'static str {
    match (from, to) {
        // Spark's number is of days for dates and of seconds for timestamps.
        ("INTERVAL", _) => OF_A_DIFFERENCE,
        ("DATE", "INT" | "BIGINT") => "; write unix_date(d) for the days since 1970",
        ("INT" | "BIGINT", "DATE") => "; write date_from_unix_date(n) for n days since 1970",
        ("TIMESTAMP_NTZ", "INT" | "BIGINT") => "; cast it to TIMESTAMP first",
        _ => "",
    }
}

/// Whether arrow's cast gives what Spark's gives for every value.
fn agrees(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    let rank = |t: &DataType| match t {
        D::Int8 => Some(1),
        D::Int16 => Some(2),
        D::Int32 => Some(3),
        D::Int64 => Some(4),
        _ => None,
    };
    match (from, to) {
        (a, b) if rank(a).is_some() && rank(b).is_some() => rank(a) <= rank(b),
        (a, D::Float32 | D::Float64 | D::Boolean) if a.is_integer() => true,
        (a, D::Decimal128(p, s)) if types::decimal_of(a).is_some() => {
            types::decimal_of(a)
                .is_some_and(|(p1, s1)| *s >= s1 && i32::from(*p) - i32::from(*s) >= i32::from(p1) - i32::from(s1))
                && !matches!(a, D::Decimal256(..))
        }
        (D::Float32, D::Float64) | (D::Float64, D::Float32 | D::Boolean) | (D::Float32, D::Boolean) => true,
        (D::Boolean, b) => b.is_integer() || types::is_float(b) || types::is_text(b),
        (D::Date32, D::Timestamp(..)) | (D::Timestamp(..), D::Date32 | D::Timestamp(..)) => true,
        (a, b) if types::is_text(b) => a.is_integer() || matches!(a, D::Decimal128(..) | D::Date32),
        (a, D::Binary) if types::is_text(a) => true,
        (a, b) if types::is_interval(a) || types::is_interval(b) => !types::is_text(b),
        _ => false,
    }
}

/// A cast that arrow does otherwise than Spark. No pipeline can name it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SparkCast {
    name: String,
    to: DataType,
    lenient: bool,
    signature: Signature,
}

impl SparkCast {
    fn new(to: DataType, lenient: bool) -> Self {
        let name = format!("{}_to_{}", if lenient { "try_cast" } else { "cast" }, types::name(&to).to_lowercase());
        Self { name, to, lenient, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for SparkCast {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    // A cast does not show in a column's name.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.iter().map(|arg| arg.schema_name().to_string()).collect())
    }

    fn return_type(&self, _of: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        // NaN and infinity become NULL when cast to DECIMAL.
        let no_number = types::is_decimal(&self.to) && args.arg_fields.iter().any(|f| types::is_float(f.data_type()));
        let nullable = self.lenient || no_number || args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.to.clone(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        crate::unary(&args, |values| kernel::run(values, &self.to, self.lenient))
    }
}
