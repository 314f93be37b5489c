//! `+ - * / % DIV`, signs and shifts. They never wrap: an overflow or a division by zero is an error of the row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, PrimitiveArray, new_null_array};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, DurationMicrosecondType, Field, FieldRef, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::decimal;
use crate::types;

/// An operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
    /// `DIV`
    Quotient,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
    /// `>>>`
    ShiftRightUnsigned,
    /// `&`
    And,
    /// `|`
    Or,
    /// `^`
    Xor,
    /// `-` before one operand.
    Negate,
}

impl Op {
    /// As it is written.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract | Self::Negate => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::Quotient => "DIV",
            Self::ShiftLeft => "<<",
            Self::ShiftRight => ">>",
            Self::ShiftRightUnsigned => ">>>",
            Self::And => "&",
            Self::Or => "|",
            Self::Xor => "^",
        }
    }

    /// DataFusion's operator of the same sign, if there is one.
    fn ordinary(self) -> Option<Operator> {
        match self {
            Self::Add => Some(Operator::Plus),
            Self::Subtract => Some(Operator::Minus),
            Self::Multiply => Some(Operator::Multiply),
            Self::Divide => Some(Operator::Divide),
            Self::Remainder => Some(Operator::Modulo),
            Self::And => Some(Operator::BitwiseAnd),
            Self::Or => Some(Operator::BitwiseOr),
            Self::Xor => Some(Operator::BitwiseXor),
            Self::ShiftLeft => Some(Operator::BitwiseShiftLeft),
            Self::ShiftRight => Some(Operator::BitwiseShiftRight),
            Self::Quotient | Self::ShiftRightUnsigned | Self::Negate => None,
        }
    }

    fn function(self) -> &'static str {
        match self {
            Self::Add => "exact_add",
            Self::Subtract => "exact_subtract",
            Self::Multiply => "exact_multiply",
            Self::Divide => "exact_divide",
            Self::Remainder => "exact_remainder",
            Self::Quotient => "exact_div",
            Self::ShiftLeft => "exact_shift_left",
            Self::ShiftRight => "exact_shift_right",
            Self::ShiftRightUnsigned => "exact_shift_right_unsigned",
            Self::And => "bits_and",
            Self::Or => "bits_or",
            Self::Xor => "bits_xor",
            Self::Negate => "exact_negate",
        }
    }
}

/// The expression `left op right`, which gives `out`; the operands have their types already.
#[must_use]
pub fn call(op: Op, args: Vec<Expr>, out: DataType) -> Expr {
    ScalarUDF::from(Arithmetic { op, out, signature: Signature::variadic_any(Volatility::Immutable) }).call(args)
}

/// An operator as a function. No pipeline can name it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Arithmetic {
    op: Op,
    out: DataType,
    signature: Signature,
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        self.op.function()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    // As DataFusion names a column of such an expression.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let names: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(match names.as_slice() {
            [one] => format!("(- {one})"),
            names => names.join(&format!(" {} ", self.op.symbol())),
        })
    }

    fn return_type(&self, _of: &[DataType]) -> Result<DataType> {
        Ok(self.out.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.out.clone(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if self.op == Op::Negate {
            return crate::unary(&args, negate);
        }
        crate::binary(&args, |left, right| binary(self.op, left, right, &self.out))
    }
}

/// The operator that `function` computes, if it does one.
pub(super) fn operator(function: &ScalarUDF) -> Option<Op> {
    function.inner().downcast_ref::<Arithmetic>().map(|arithmetic| arithmetic.op)
}

/// `expr` with operators in place of the functions that compute them, for messages.
#[must_use]
pub fn readable(expr: &Expr) -> Expr {
    let plain = |expr: Expr| match &expr {
        Expr::ScalarFunction(call) => match (call.func.inner().downcast_ref::<Arithmetic>(), call.args.as_slice()) {
            (Some(function), [left, right]) => match function.op.ordinary() {
                Some(op) => Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(
                    Box::new(left.clone()),
                    op,
                    Box::new(right.clone()),
                ))),
                None => Transformed::no(expr),
            },
            (Some(_), [one]) => Transformed::yes(Expr::Negative(Box::new(one.clone()))),
            _ => Transformed::no(expr),
        },
        // That of a number that is written is the planner's.
        Expr::Cast(cast) => match cast.expr.as_ref() {
            Expr::Literal(value, _) if value.data_type().is_numeric() => Transformed::yes((*cast.expr).clone()),
            _ => Transformed::no(expr),
        },
        Expr::Literal(ScalarValue::Int32(Some(value)), _) => {
            Transformed::yes(Expr::Literal(ScalarValue::Int64(Some(i64::from(*value))), None))
        }
        _ => Transformed::no(expr),
    };
    // Nothing fails in there.
    expr.clone().transform_up(|expr| Ok(plain(expr))).map_or_else(|_| expr.clone(), |plain| plain.data)
}

fn negate(values: &ArrayRef) -> Result<ArrayRef> {
    fn of<T: ArrowPrimitiveType>(values: &ArrayRef) -> Result<ArrayRef> {
        let out: PrimitiveArray<T> = values.as_primitive::<T>().try_unary::<_, T, _>(|v| {
            v.neg_checked().or_else(|_| exec_err!("-({v:?}) overflows {}", types::name(&T::DATA_TYPE)))
        })?;
        Ok(Arc::new(out.with_data_type(values.data_type().clone())))
    }
    match values.data_type() {
        DataType::Int8 => of::<Int8Type>(values),
        DataType::Int16 => of::<Int16Type>(values),
        DataType::Int32 => of::<Int32Type>(values),
        DataType::Int64 => of::<Int64Type>(values),
        DataType::Float32 => of::<Float32Type>(values),
        DataType::Float64 => of::<Float64Type>(values),
        DataType::Decimal128(..) => of::<Decimal128Type>(values),
        DataType::Duration(_) => of::<DurationMicrosecondType>(values),
        other => internal_err!("the negative of a {other}"),
    }
}

fn binary(op: Op, left: &ArrayRef, right: &ArrayRef, out: &DataType) -> Result<ArrayRef> {
    if matches!(op, Op::And | Op::Or | Op::Xor) {
        return bits(op, left, right);
    }
    match (left.data_type(), right.data_type()) {
        (DataType::Int8, DataType::Int8) => whole::<Int8Type>(op, left, right),
        (DataType::Int16, DataType::Int16) => whole::<Int16Type>(op, left, right),
        (DataType::Int32, DataType::Int32) => whole::<Int32Type>(op, left, right),
        (DataType::Int64, DataType::Int64) => whole::<Int64Type>(op, left, right),
        (DataType::Int64, DataType::Int32) => shifted(op, left, right),
        (DataType::Float32, DataType::Float32) => floating::<Float32Type>(op, left, right),
        (DataType::Float64, DataType::Float64) => floating::<Float64Type>(op, left, right),
        (DataType::Decimal128(_, s1), DataType::Decimal128(_, s2)) => decimals(op, left, right, (*s1, *s2), out),
        (DataType::Decimal256(_, s1), DataType::Int64) => average(left, right, *s1, out),
        (l, r) => internal_err!("{l} {} {r}", op.symbol()),
    }
}

/// `one` of each pair of values that are not NULL. Of a side with a single value, that one.
pub(super) fn zipped<A, B, O>(
    left: &ArrayRef,
    right: &ArrayRef,
    one: impl Fn(A::Native, B::Native) -> Result<O::Native>,
) -> Result<PrimitiveArray<O>>
where
    A: ArrowPrimitiveType,
    B: ArrowPrimitiveType,
    O: ArrowPrimitiveType,
{
    let (a, b) = (left.as_primitive::<A>(), right.as_primitive::<B>());
    let empty = |n| new_null_array(&O::DATA_TYPE, n).as_primitive::<O>().clone();
    match (a.len(), b.len()) {
        (n, m) if n == m && a.null_count() == 0 && b.null_count() == 0 => {
            let values = a.values().iter().zip(b.values()).map(|(x, y)| one(*x, *y));
            Ok(PrimitiveArray::new(values.collect::<Result<Vec<_>>>()?.into(), None))
        }
        (n, m) if n == m => {
            let mut out = PrimitiveArray::<O>::builder(n);
            for (x, y) in a.iter().zip(b.iter()) {
                match (x, y) {
                    (Some(x), Some(y)) => out.append_value(one(x, y)?),
                    _ => out.append_null(),
                }
            }
            Ok(out.finish())
        }
        (n, 1) if b.is_null(0) => Ok(empty(n)),
        (1, n) if a.is_null(0) => Ok(empty(n)),
        (_, 1) => {
            let y = b.value(0);
            a.try_unary(|x| one(x, y))
        }
        _ => {
            let x = a.value(0);
            b.try_unary(|y| one(x, y))
        }
    }
}

fn whole<T: ArrowPrimitiveType>(op: Op, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
    let name = types::name(&T::DATA_TYPE);
    let checked = |x: T::Native, y: T::Native| {
        let symbol = op.symbol();
        if matches!(op, Op::Remainder | Op::Quotient) && y.is_zero() {
            return exec_err!("{x:?} {symbol} 0: division by zero");
        }
        let value = match op {
            Op::Add => x.add_checked(y),
            Op::Subtract => x.sub_checked(y),
            Op::Multiply => x.mul_checked(y),
            Op::Remainder => Ok(x.mod_wrapping(y)),
            _ => x.div_checked(y),
        };
        value.or_else(|_| exec_err!("{x:?} {symbol} {y:?} overflows {name}"))
    };
    if matches!(op, Op::ShiftLeft | Op::ShiftRight | Op::ShiftRightUnsigned) {
        return shifted(op, left, right);
    }
    Ok(Arc::new(zipped::<T, T, T>(left, right, checked)?))
}

fn bits(op: Op, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
    macro_rules! of {
        ($type:ty) => {
            Ok(Arc::new(zipped::<$type, $type, $type>(left, right, |x, y| {
                Ok(match op {
                    Op::And => x & y,
                    Op::Or => x | y,
                    _ => x ^ y,
                })
            })?))
        };
    }
    match left.data_type() {
        DataType::Int8 => of!(Int8Type),
        DataType::Int16 => of!(Int16Type),
        DataType::Int32 => of!(Int32Type),
        DataType::Int64 => of!(Int64Type),
        other => internal_err!("the bits of a {other}"),
    }
}

/// As Java shifts: by the lowest five or six bits of the distance.
fn shifted(op: Op, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
    #[expect(clippy::cast_sign_loss, clippy::cast_possible_wrap, reason = "the bits count, not the sign")]
    match left.data_type() {
        DataType::Int64 => Ok(Arc::new(zipped::<Int64Type, Int32Type, Int64Type>(left, right, |x, by| {
            let by = by as u32;
            Ok(match op {
                Op::ShiftLeft => x.wrapping_shl(by),
                Op::ShiftRight => x.wrapping_shr(by),
                _ => (x as u64).wrapping_shr(by) as i64,
            })
        })?)),
        _ => Ok(Arc::new(zipped::<Int32Type, Int32Type, Int32Type>(left, right, |x, by| {
            let by = by as u32;
            Ok(match op {
                Op::ShiftLeft => x.wrapping_shl(by),
                Op::ShiftRight => x.wrapping_shr(by),
                _ => (x as u32).wrapping_shr(by) as i32,
            })
        })?)),
    }
}

fn floating<T: ArrowPrimitiveType>(op: Op, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
    let one = |x: T::Native, y: T::Native| {
        if matches!(op, Op::Remainder | Op::Divide) && y.is_zero() {
            return exec_err!("{x:?} {} 0: division by zero", op.symbol());
        }
        Ok(match op {
            Op::Add => x.add_wrapping(y),
            Op::Subtract => x.sub_wrapping(y),
            Op::Multiply => x.mul_wrapping(y),
            Op::Remainder => x.mod_wrapping(y),
            _ => x.div_wrapping(y),
        })
    };
    Ok(Arc::new(zipped::<T, T, T>(left, right, one)?))
}

fn decimals(op: Op, left: &ArrayRef, right: &ArrayRef, scales: (i8, i8), out: &DataType) -> Result<ArrayRef> {
    let shown = |x: i128, y: i128| {
        let text = |v, scale| Decimal128Type::format_decimal_of(v, scale);
        format!("{} {} {}", text(x, scales.0), op.symbol(), text(y, scales.1))
    };
    let one = |x: i128, y: i128, to: (u8, i8)| {
        if y == 0 && matches!(op, Op::Divide | Op::Remainder | Op::Quotient) {
            return exec_err!("{}: division by zero", shown(x, y));
        }
        match decimal::compute(op, x, y, scales, to) {
            Some(value) => Ok(value),
            None => exec_err!("{} overflows {}", shown(x, y), types::name(out)),
        }
    };
    if let DataType::Decimal128(p, s) = out {
        let values = zipped::<Decimal128Type, Decimal128Type, Decimal128Type>(left, right, |x, y| one(x, y, (*p, *s)))?;
        return Ok(Arc::new(values.with_data_type(out.clone())));
    }
    let quotient = zipped::<Decimal128Type, Decimal128Type, Int64Type>(left, right, |x, y| {
        let value = one(x, y, (types::MAX_PRECISION, 0))?;
        i64::try_from(value).or_else(|_| exec_err!("{} overflows BIGINT", shown(x, y)))
    })?;
    Ok(Arc::new(quotient))
}

/// A sum by a count.
fn average(sums: &ArrayRef, counts: &ArrayRef, scale: i8, out: &DataType) -> Result<ArrayRef> {
    let DataType::Decimal128(p, s) = out else { return internal_err!("an average is a DECIMAL, not {out}") };
    let mut values = PrimitiveArray::<Decimal128Type>::builder(sums.len());
    let (sums, counts) = (sums.as_primitive::<Decimal256Type>(), counts.as_primitive::<Int64Type>());
    for (sum, count) in sums.iter().zip(counts) {
        match (sum, count) {
            (Some(sum), Some(count)) if count != 0 => match decimal::average(sum, count, scale, (*p, *s)) {
                Some(value) => values.append_value(value),
                None => return exec_err!("the average overflows {}", types::name(out)),
            },
            _ => values.append_null(),
        }
    }
    Ok(Arc::new(values.finish().with_data_type(out.clone())))
}

/// An unscaled value as it is written.
trait Shown {
    fn format_decimal_of(value: i128, scale: i8) -> String;
}

impl Shown for Decimal128Type {
    fn format_decimal_of(value: i128, scale: i8) -> String {
        use arrow::datatypes::DecimalType;
        Self::format_decimal(value, types::MAX_PRECISION, scale)
    }
}
