//! Arithmetic with dates, timestamps and intervals.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, DurationMicrosecondType, Field, FieldRef, Float64Type, Int32Type, Int64Type,
    IntervalMonthDayNano, TimeUnit,
};
use chrono::{Days, Months, NaiveDate};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_datafusion_err, plan_err};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use super::arithmetic::{Op, zipped};
use crate::{casts, types};

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

/// The value of a constant interval.
#[must_use]
pub fn constant(expr: &Expr) -> Option<IntervalMonthDayNano> {
    match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(value), _) => *value,
        Expr::Literal(ScalarValue::IntervalDayTime(Some(v)), _) => {
            Some(IntervalMonthDayNano::new(0, v.days, i64::from(v.milliseconds) * 1_000_000))
        }
        Expr::Literal(ScalarValue::IntervalYearMonth(Some(months)), _) => {
            Some(IntervalMonthDayNano::new(*months, 0, 0))
        }
        Expr::Cast(cast) => constant(&cast.expr),
        Expr::Alias(alias) => constant(&alias.expr),
        _ => None,
    }
}

/// Whether `expr` is a difference of two dates, whose only unit in Spark is the day.
#[must_use]
pub fn is_days(expr: &Expr, schema: &DFSchema) -> bool {
    let date = |side: &Expr| match side {
        Expr::Cast(cast) => cast.expr.get_type(schema).is_ok_and(|of| of == DataType::Date32),
        _ => false,
    };
    match expr {
        Expr::Alias(alias) => is_days(&alias.expr, schema),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => date(left) && date(right),
        _ => false,
    }
}

/// The microseconds of an interval without months.
#[must_use]
pub fn micros(interval: IntervalMonthDayNano) -> Option<i64> {
    let IntervalMonthDayNano { months, days, nanoseconds } = interval;
    let nanos = i128::from(days) * NANOS_PER_DAY + i128::from(nanoseconds);
    (months == 0).then(|| i64::try_from(nanos / 1000).ok())?
}

fn literal(interval: IntervalMonthDayNano) -> Expr {
    Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), None)
}

/// `left op right` if a date, a timestamp or an interval is in it.
///
/// # Errors
/// If Spark has no such operation.
pub fn plan(op: Op, left: Expr, right: Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let (l, r) = (left.get_type(schema)?, right.get_type(schema)?);
    let temporal = |t: &DataType| types::is_interval(t) || matches!(t, DataType::Date32 | DataType::Timestamp(..));
    if !temporal(&l) && !temporal(&r) {
        return Ok(None);
    }
    let sides = Sides { op, left, right, l, r };
    sides.plan().map(Some)
}

struct Sides {
    op: Op,
    left: Expr,
    right: Expr,
    l: DataType,
    r: DataType,
}

impl Sides {
    fn plan(self) -> Result<Expr> {
        use DataType::{Date32, Timestamp};
        let days = |t: &DataType| matches!(t, DataType::Int8 | DataType::Int16 | DataType::Int32);
        let instant = |t: &DataType| matches!(t, Date32 | Timestamp(..));
        match (self.op, &self.l, &self.r) {
            (Op::Add | Op::Subtract, Date32, r) if days(r) => self.shifted_days(),
            (Op::Add, l, Date32) if days(l) => self.swapped().shifted_days(),
            (Op::Subtract, l, r) if instant(l) && instant(r) => self.difference(),
            (Op::Subtract, l, r) if instant(l) && types::is_text(r) => {
                let right = casts::plan(self.right, &self.r, &self.l, false)?;
                Self { r: self.l.clone(), right, ..self }.difference()
            }
            (Op::Subtract, l, r) if types::is_text(l) && instant(r) => {
                let left = casts::plan(self.left, &self.l, &self.r, false)?;
                Self { l: self.r.clone(), left, ..self }.difference()
            }
            (Op::Add, l, r) if types::is_interval(l) && instant(r) => self.swapped().moved(),
            (Op::Add | Op::Subtract, l, r) if instant(l) && types::is_interval(r) => self.moved(),
            (Op::Add | Op::Subtract, l, r) if types::is_interval(l) && types::is_interval(r) => self.joined(),
            (Op::Multiply, l, r) if types::is_interval(l) && types::is_number(r) => self.scaled(),
            (Op::Multiply, l, r) if types::is_number(l) && types::is_interval(r) => self.swapped().scaled(),
            (Op::Divide, l, r) if types::is_interval(l) && types::is_number(r) => self.scaled(),
            _ => self.refuse(),
        }
    }

    fn swapped(self) -> Self {
        Self { left: self.right, right: self.left, l: self.r, r: self.l, ..self }
    }

    fn refuse(&self) -> Result<Expr> {
        let advice = match (&self.l, &self.r) {
            (DataType::Date32, r) if types::is_number(r) || types::is_text(r) => {
                "; a DATE is moved by an INT of days or by INTERVAL '1' DAY"
            }
            (DataType::Timestamp(..), _) | (_, DataType::Timestamp(..)) => {
                "; a TIMESTAMP is moved by an interval, such as INTERVAL '1' DAY"
            }
            _ => "",
        };
        let (l, r) = (types::article(&self.l), types::article(&self.r));
        plan_err!("`{}` does not take {l} and {r}{advice}", self.op.symbol())
    }

    fn ordinary(self) -> Expr {
        let op = if self.op == Op::Subtract { Operator::Minus } else { Operator::Plus };
        Expr::BinaryExpr(BinaryExpr::new(Box::new(self.left), op, Box::new(self.right)))
    }

    /// A date and a number of days.
    fn shifted_days(self) -> Result<Expr> {
        let right = casts::plan(self.right, &self.r, &DataType::Int32, false)?;
        Ok(DateMove::call(DateStep::Days { back: self.op == Op::Subtract }, vec![self.left, right]))
    }

    fn difference(self) -> Result<Expr> {
        let micros = |expr: Expr, of: &DataType| match of {
            DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(expr),
            DataType::Timestamp(_, zone) => {
                casts::plan(expr, of, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()), false)
            }
            _ => casts::plan(expr, of, &types::timestamp(), false),
        };
        let (left, right) = (micros(self.left, &self.l)?, micros(self.right, &self.r)?);
        Ok(Self { left, right, ..self }.ordinary())
    }

    /// A date or timestamp, moved by an interval.
    fn moved(self) -> Result<Expr> {
        if self.l != DataType::Date32 {
            return Ok(self.ordinary());
        }
        match constant(&self.right) {
            Some(step) if step.nanoseconds == 0 && (step.months == 0 || step.days == 0) => {
                let sign = if self.op == Op::Subtract { -1 } else { 1 };
                let (months, days) = (step.months.checked_mul(sign), step.days.checked_mul(sign));
                match (months, days) {
                    (Some(months), Some(days)) => Ok(DateMove::call(DateStep::By { months, days }, vec![self.left])),
                    _ => self.refuse(),
                }
            }
            _ => {
                let left = casts::plan(self.left, &self.l, &types::timestamp(), false)?;
                Ok(Self { left, ..self }.ordinary())
            }
        }
    }

    /// Two intervals.
    fn joined(self) -> Result<Expr> {
        let (Some(a), Some(b)) = (constant(&self.left), constant(&self.right)) else { return Ok(self.ordinary()) };
        let added = |a: IntervalMonthDayNano, b: IntervalMonthDayNano| {
            Some(IntervalMonthDayNano::new(
                a.months.checked_add(b.months)?,
                a.days.checked_add(b.days)?,
                a.nanoseconds.checked_add(b.nanoseconds)?,
            ))
        };
        let b = if self.op == Op::Subtract { negated(b) } else { Some(b) };
        match b.and_then(|b| added(a, b)) {
            Some(sum) => Ok(literal(sum)),
            None => plan_err!("the interval is too long"),
        }
    }

    /// An interval and a number.
    fn scaled(self) -> Result<Expr> {
        let Some(interval) = constant(&self.left) else {
            return match &self.l {
                DataType::Duration(_) => self.scaled_duration(),
                _ => plan_err!("an interval that is multiplied or divided is a constant, such as INTERVAL '1' DAY"),
            };
        };
        if interval.months != 0 {
            let factor = match &self.right {
                Expr::Literal(ScalarValue::Int32(Some(v)), _) if self.op == Op::Multiply => Some(*v),
                _ => None,
            };
            return match factor.and_then(|f| interval.months.checked_mul(f)) {
                Some(months) if interval.days == 0 && interval.nanoseconds == 0 => {
                    Ok(literal(IntervalMonthDayNano::new(months, 0, 0)))
                }
                _ => plan_err!(
                    "an interval of months is multiplied by a whole number that is a constant; write add_months(d, n)"
                ),
            };
        }
        let Some(micros) = micros(interval) else { return plan_err!("the interval is too long") };
        let duration = ScalarValue::DurationMicrosecond(Some(micros));
        Self { left: Expr::Literal(duration, None), l: DataType::Duration(TimeUnit::Microsecond), ..self }
            .scaled_duration()
    }

    fn scaled_duration(self) -> Result<Expr> {
        let micros = DataType::Duration(TimeUnit::Microsecond);
        let left = casts::plan(self.left, &self.l, &micros, false)?;
        let whole = self.r.is_integer() && self.op == Op::Multiply;
        let to = if whole { DataType::Int64 } else { DataType::Float64 };
        let right = casts::plan(self.right, &self.r, &to, false)?;
        let by = DateStep::Scaled { divided: self.op == Op::Divide };
        Ok(DateMove::call(by, vec![left, right]))
    }
}

/// An interval of the same length backwards.
#[must_use]
pub fn negated(interval: IntervalMonthDayNano) -> Option<IntervalMonthDayNano> {
    let IntervalMonthDayNano { months, days, nanoseconds } = interval;
    Some(IntervalMonthDayNano::new(months.checked_neg()?, days.checked_neg()?, nanoseconds.checked_neg()?))
}

/// What is done to a date or a time difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum DateStep {
    /// Moved by days that are the second operand.
    Days { back: bool },
    /// Moved by a constant; the day of a shorter month is its last.
    By { months: i32, days: i32 },
    /// A time difference times a number, or divided by one.
    Scaled { divided: bool },
}

/// No pipeline can name it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct DateMove {
    name: String,
    step: DateStep,
    signature: Signature,
}

impl DateMove {
    fn call(step: DateStep, args: Vec<Expr>) -> Expr {
        let name = match step {
            DateStep::Days { back: false } => "date_plus_days".to_owned(),
            DateStep::Days { back: true } => "date_minus_days".to_owned(),
            DateStep::By { months, days } => format!("date_plus_{months}_months_{days}_days"),
            DateStep::Scaled { divided: false } => "interval_times".to_owned(),
            DateStep::Scaled { divided: true } => "interval_divided".to_owned(),
        };
        ScalarUDF::from(Self { name, step, signature: Signature::variadic_any(Volatility::Immutable) }).call(args)
    }

    fn out(&self) -> DataType {
        match self.step {
            DateStep::Scaled { .. } => DataType::Duration(TimeUnit::Microsecond),
            _ => DataType::Date32,
        }
    }
}

impl ScalarUDFImpl for DateMove {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _of: &[DataType]) -> Result<DataType> {
        Ok(self.out())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.out(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match self.step {
            DateStep::By { months, days } => crate::unary(&args, |dates| by_constant(dates, months, days)),
            DateStep::Days { back } => crate::binary(&args, |dates, days| by_days(dates, days, back)),
            DateStep::Scaled { divided } => crate::binary(&args, |spans, by| scaled(spans, by, divided)),
        }
    }
}

fn by_days(dates: &ArrayRef, days: &ArrayRef, back: bool) -> Result<ArrayRef> {
    let moved = zipped::<Date32Type, Int32Type, Date32Type>(dates, days, |date, days| {
        let moved = if back { date.checked_sub(days) } else { date.checked_add(days) };
        moved.ok_or_else(|| exec_datafusion_err!("a DATE moved by {days} days overflows"))
    })?;
    Ok(Arc::new(moved))
}

fn by_constant(dates: &ArrayRef, months: i32, days: i32) -> Result<ArrayRef> {
    let epoch = NaiveDate::default();
    let moved = |date: i32| {
        let date = Date32Type::to_naive_date_opt(date)?;
        let count = Months::new(months.unsigned_abs());
        let date = if months < 0 { date.checked_sub_months(count)? } else { date.checked_add_months(count)? };
        let count = Days::new(days.unsigned_abs().into());
        let date = if days < 0 { date.checked_sub_days(count)? } else { date.checked_add_days(count)? };
        i32::try_from(date.signed_duration_since(epoch).num_days()).ok()
    };
    let out: PrimitiveArray<Date32Type> = dates.as_primitive::<Date32Type>().try_unary(|date| {
        moved(date).ok_or_else(|| exec_datafusion_err!("a DATE moved by {months} months and {days} days overflows"))
    })?;
    Ok(Arc::new(out))
}

fn scaled(spans: &ArrayRef, by: &ArrayRef, divided: bool) -> Result<ArrayRef> {
    let overflow = || exec_datafusion_err!("an INTERVAL {} a number overflows", if divided { "by" } else { "times" });
    let out = match by.data_type() {
        DataType::Int64 => {
            zipped::<DurationMicrosecondType, Int64Type, DurationMicrosecondType>(spans, by, |span, n| {
                span.checked_mul(n).ok_or_else(overflow)
            })?
        }
        _ => zipped::<DurationMicrosecondType, Float64Type, DurationMicrosecondType>(spans, by, |span, n| {
            if divided && n == 0.0 {
                return Err(exec_datafusion_err!("an INTERVAL / 0: division by zero"));
            }
            #[expect(clippy::cast_precision_loss, reason = "Spark computes in doubles, too")]
            let value = if divided { span as f64 / n } else { span as f64 * n };
            let value = value.round();
            casts::number::whole_of_double(value, i64::MIN, i64::MAX).ok_or_else(overflow)
        })?,
    };
    Ok(Arc::new(out))
}
