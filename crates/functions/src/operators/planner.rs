//! Plans operators, literals and casts as Spark does.
//!
//! DataFusion's planner asks [`SparkOperators`] about each operator with two operands, and about no others, with the types known. Other
//! expressions with a meaning of their own in Spark are rewritten to that form before (see `sluicebox-pipeline`, `bind::spark`): an
//! operator whose name begins with [`marks::PREFIX`], and whose right side is NULL or the argument of the mark.

use arrow::datatypes::DataType;
use datafusion::common::{
    Column, DFSchema, DataFusionError, Diagnostic, Result, ScalarValue, TableReference, plan_err,
};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr, RawFieldAccessExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, Operator};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::arithmetic::{self, Op};
use super::{compare, conditional, like, literal, nested, sums, temporal, text};
use crate::{casts, types};

/// The operators that a parsed query is rewritten to.
pub mod marks {
    /// What all of them begin with; no pipeline can write it.
    pub const PREFIX: &str = "spark ";
    /// A number, its digits as text on the left.
    pub const NUMBER: &str = "spark number";
    /// A number with the suffix BD, its digits as text on the left.
    pub const DECIMAL: &str = "spark decimal";
    /// A number with the suffix D, its digits as text on the left.
    pub const DOUBLE: &str = "spark double";
    /// A number with the suffix F, as [`DOUBLE`].
    pub const FLOAT: &str = "spark float";
    /// `CAST(left AS T)`; on the right `CAST(NULL AS T)`.
    pub const CAST: &str = "spark cast";
    /// `TRY_CAST`, as [`CAST`].
    pub const TRY_CAST: &str = "spark try_cast";
    /// `-left`.
    pub const NEGATE: &str = "spark -";
    /// `+left`.
    pub const PLUS: &str = "spark +";
    /// `~left`.
    pub const NOT_BITS: &str = "spark ~";
    /// CASE, IN, BETWEEN, LIKE, sum and avg, on the left: their operands get types.
    pub const TYPED: &str = "spark typed";
    /// `left DIV right`.
    pub const DIV: &str = "spark DIV";
    /// `left >>> right`.
    pub const SHIFT_UNSIGNED: &str = "spark >>>";
    /// `left IS DISTINCT FROM right`.
    pub const DISTINCT: &str = "spark IS DISTINCT FROM";
    /// `left IS NOT DISTINCT FROM right`.
    pub const NOT_DISTINCT: &str = "spark IS NOT DISTINCT FROM";
}

/// Plans operators in Spark's meaning.
#[derive(Debug)]
pub struct SparkOperators;

impl ExprPlanner for SparkOperators {
    fn plan_binary_op(&self, raw: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let known = |expr: &Expr| expr.get_type(schema).is_ok();
        let marked = matches!(&raw.op, BinaryOperator::Custom(name) if name.starts_with(marks::PREFIX));
        let typed = matches!(&raw.op, BinaryOperator::Custom(name) if name == marks::TYPED);
        let unknown = |expr: &Expr| expr.column_refs().iter().any(|column| !schema.has_column(column));
        if typed && !unknown(&raw.left) {
            return typed_of(raw.left, schema).map(PlannerResult::Planned).map_err(told);
        }
        if !known(&raw.left) || !known(&raw.right) {
            // An unknown column or function is told with its place once the whole expression is there, with both its sides.
            let both = |raw: RawBinaryExpr| match raw.right {
                Expr::Literal(..) | Expr::Cast(_) => raw.left,
                right => Expr::BinaryExpr(BinaryExpr::new(Box::new(raw.left), Operator::Eq, Box::new(right))),
            };
            return Ok(if marked { PlannerResult::Planned(both(raw)) } else { PlannerResult::Original(raw) });
        }
        match operator(raw, schema) {
            Ok(planned) => Ok(planned),
            Err(error) => Err(told(error)),
        }
    }

    fn plan_field_access(
        &self,
        raw: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let Ok(of) = raw.expr.get_type(schema) else { return Ok(PlannerResult::Original(raw)) };
        let planned = match raw.field_access {
            GetFieldAccess::NamedStructField { name } => match &of {
                DataType::Map(..) | DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) => {
                    nested::field(raw.expr, &text_of(&name), &of)
                }
                other => plan_err!("{} has no fields", types::article(other)),
            },
            GetFieldAccess::ListIndex { key } => nested::item(raw.expr, *key, schema),
            range @ GetFieldAccess::ListRange { .. } => {
                return Ok(PlannerResult::Original(RawFieldAccessExpr { field_access: range, expr: raw.expr }));
            }
        };
        planned.map(PlannerResult::Planned).map_err(told)
    }

    fn plan_compound_identifier(
        &self,
        field: &arrow::datatypes::Field,
        qualifier: Option<&TableReference>,
        nested_names: &[String],
    ) -> Result<PlannerResult<Vec<Expr>>> {
        let column = Expr::Column(Column::from((qualifier, field)));
        let mut expr = column;
        let mut of = field.data_type().clone();
        for name in nested_names {
            expr = nested::field(expr, name, &of).map_err(told)?;
            let Some(next) = nested::field_type(&of, name) else {
                return plan_err!("there is no field `{name}` in {}", types::article(&of));
            };
            of = next;
        }
        Ok(PlannerResult::Planned(expr))
    }
}

fn text_of(value: &ScalarValue) -> String {
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            text.clone()
        }
        other => other.to_string(),
    }
}

/// An error of planning in the form that is shown as it is.
fn told(error: DataFusionError) -> DataFusionError {
    if error.diagnostic().is_some() {
        return error;
    }
    match &error {
        DataFusionError::Plan(text) => {
            DataFusionError::Plan(text.clone()).with_diagnostic(Diagnostic::new_error(text, None))
        }
        _ => error,
    }
}

fn operator(raw: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
    use BinaryOperator as B;
    let RawBinaryExpr { op, left, right } = raw;
    let planned = match &op {
        B::Custom(mark) if mark.starts_with(marks::PREFIX) => marked(mark, left, right, schema)?,
        B::Plus => arithmetic(Op::Add, left, right, schema)?,
        B::Minus => arithmetic(Op::Subtract, left, right, schema)?,
        B::Multiply => arithmetic(Op::Multiply, left, right, schema)?,
        B::Divide => arithmetic(Op::Divide, left, right, schema)?,
        B::Modulo => arithmetic(Op::Remainder, left, right, schema)?,
        B::BitwiseAnd => bits(Op::And, left, right, schema)?,
        B::BitwiseOr => bits(Op::Or, left, right, schema)?,
        B::BitwiseXor => bits(Op::Xor, left, right, schema)?,
        B::PGBitwiseShiftLeft => shift(Op::ShiftLeft, left, right, schema)?,
        B::PGBitwiseShiftRight => shift(Op::ShiftRight, left, right, schema)?,
        B::Eq => compare::compare(Operator::Eq, left, right, schema)?,
        B::NotEq => compare::compare(Operator::NotEq, left, right, schema)?,
        B::Lt => compare::compare(Operator::Lt, left, right, schema)?,
        B::LtEq => compare::compare(Operator::LtEq, left, right, schema)?,
        B::Gt => compare::compare(Operator::Gt, left, right, schema)?,
        B::GtEq => compare::compare(Operator::GtEq, left, right, schema)?,
        B::Spaceship => compare::compare(Operator::IsNotDistinctFrom, left, right, schema)?,
        B::And | B::Or => {
            let operator = if op == B::And { Operator::And } else { Operator::Or };
            let (left, right) = (condition(left, &op, schema)?, condition(right, &op, schema)?);
            Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)))
        }
        B::AtArrow | B::ArrowAt => {
            for of in [left.get_type(schema)?, right.get_type(schema)?] {
                if !matches!(of, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)) {
                    return plan_err!("`{op}` does not take {}; it compares arrays", types::article(&of));
                }
            }
            let (whole, part) = if op == B::AtArrow { (left, right) } else { (right, left) };
            crate::theirs::array_has_all().call(vec![whole, part])
        }
        B::StringConcat => text::concat(&left, &right, schema)?,
        _ => return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right })),
    };
    Ok(PlannerResult::Planned(planned))
}

fn condition(expr: Expr, op: &BinaryOperator, schema: &DFSchema) -> Result<Expr> {
    match expr.get_type(schema)? {
        DataType::Boolean | DataType::Null => Ok(expr),
        of if types::is_text(&of) => casts::plan(expr, &of, &DataType::Boolean, false),
        of => plan_err!("{op} takes conditions, not {}", types::article(&of)),
    }
}

fn marked(mark: &str, left: Expr, right: Expr, schema: &DFSchema) -> Result<Expr> {
    match mark {
        marks::NUMBER => literal::number(&left),
        marks::DECIMAL => literal::exact(&left),
        marks::DOUBLE => literal::floating(&left, false),
        marks::FLOAT => literal::floating(&left, true),
        marks::CAST | marks::TRY_CAST => {
            let (from, to) = (left.get_type(schema)?, right.get_type(schema)?);
            if mark == marks::CAST
                && let Some(literal) = literal::typed(&left, &to)
            {
                return literal;
            }
            if types::is_text(&to) && temporal::is_days(&left, schema) {
                return plan_err!(
                    "the difference of two DATEs as text is one of days in Spark; write datediff(a, b) for its number, or take TIMESTAMPs"
                );
            }
            casts::plan(left, &from, &to, mark == marks::TRY_CAST)
        }
        marks::NEGATE => negate(left, schema),
        marks::PLUS => {
            let of = left.get_type(schema)?;
            if types::is_text(&of) || of == DataType::Null {
                return casts::plan(left, &of, &DataType::Float64, false);
            }
            if types::is_number(&of) || types::is_interval(&of) { Ok(left) } else { no_sign("+", &of) }
        }
        marks::NOT_BITS => {
            let of = left.get_type(schema)?;
            if !of.is_integer() {
                return plan_err!("`~` takes a whole number, not {}", types::article(&of));
            }
            let ones = casts::constant(&ScalarValue::Int64(Some(-1)), &of)?;
            Ok(arithmetic::call(Op::Xor, vec![left, Expr::Literal(ones, None)], of))
        }
        marks::TYPED => typed_of(left, schema),
        marks::DIV => arithmetic(Op::Quotient, left, right, schema),
        marks::SHIFT_UNSIGNED => shift(Op::ShiftRightUnsigned, left, right, schema),
        marks::DISTINCT => compare::compare(Operator::IsDistinctFrom, left, right, schema),
        marks::NOT_DISTINCT => compare::compare(Operator::IsNotDistinctFrom, left, right, schema),
        other => plan_err!("there is no operator `{other}`"),
    }
}

fn typed_of(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    match expr {
        Expr::Case(case) => compare::case(case, schema),
        Expr::InList(list) => compare::in_list(list, schema),
        Expr::Between(between) => compare::between(between, schema),
        Expr::Like(of) => like::like(of, schema),
        Expr::ScalarFunction(function) => conditional::plan(function, schema),
        // count(*) has its name already.
        Expr::Alias(mut alias) if matches!(*alias.expr, Expr::AggregateFunction(_)) => {
            alias.expr = Box::new(typed_of(*alias.expr, schema)?);
            Ok(Expr::Alias(alias))
        }
        Expr::AggregateFunction(function) => {
            // DataFusion would cast it.
            if let Some(filter) = &function.params.filter
                && let of = filter.get_type(schema)?
                && !matches!(of, DataType::Boolean | DataType::Null)
            {
                return plan_err!("`FILTER` takes conditions, not {}", types::article(&of));
            }
            Ok(sums::plan(&function, schema)?.unwrap_or(Expr::AggregateFunction(function)))
        }
        other => Ok(other),
    }
}

fn no_sign<T>(sign: &str, of: &DataType) -> Result<T> {
    plan_err!("`{sign}` takes a number, not {}", types::article(of))
}

fn negate(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let of = expr.get_type(schema)?;
    if let Some(interval) = temporal::constant(&expr) {
        let Some(negated) = temporal::negated(interval) else { return plan_err!("the interval is too long") };
        return Ok(Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(negated)), None));
    }
    if types::is_text(&of) || of == DataType::Null {
        let double = casts::plan(expr, &of, &DataType::Float64, false)?;
        return Ok(arithmetic::call(Op::Negate, vec![double], DataType::Float64));
    }
    if matches!(of, DataType::Interval(_)) {
        return Ok(Expr::Negative(Box::new(expr)));
    }
    if !types::is_number(&of) && !types::is_interval(&of) {
        return no_sign("-", &of);
    }
    let to = types::signed(&of);
    let expr = casts::plan(expr, &of, &to, false)?;
    Ok(arithmetic::call(Op::Negate, vec![expr], to))
}

/// `+ - * / % DIV`.
fn arithmetic(op: Op, left: Expr, right: Expr, schema: &DFSchema) -> Result<Expr> {
    if let Some(planned) = temporal::plan(op, left.clone(), right.clone(), schema)? {
        return Ok(planned);
    }
    let (l, r) = (left.get_type(schema)?, right.get_type(schema)?);
    let symbol = op.symbol();
    let refused = || plan_err!("`{symbol}` does not take {} and {}", types::article(&l), types::article(&r));
    let number = |t: &DataType| types::is_number(t) || types::is_text(t) || t == &DataType::Null;
    if !number(&l) || !number(&r) || types::is_text(&l) && types::is_text(&r) {
        return refused();
    }
    // Text and NULL are what they stand beside.
    let of = |own: &DataType, other: &DataType| match own {
        t if types::is_text(t) => types::promoted(other).unwrap_or(DataType::Float64),
        DataType::Null if types::is_text(other) || other == &DataType::Null => DataType::Float64,
        DataType::Null => types::signed(other),
        t => types::signed(t),
    };
    let (left_of, right_of) = (of(&l, &r), of(&r, &l));
    let (a, b, out) = operands(op, (&left, &left_of), (&right, &right_of))?;
    let left = casts::plan(left, &l, &left_of, false).and_then(|e| casts::plan(e, &left_of, &a, false))?;
    let right = casts::plan(right, &r, &right_of, false).and_then(|e| casts::plan(e, &right_of, &b, false))?;
    Ok(arithmetic::call(op, vec![left, right], out))
}

/// The types of the operands and of the result.
fn operands(
    op: Op,
    (left, l): (&Expr, &DataType),
    (right, r): (&Expr, &DataType),
) -> Result<(DataType, DataType, DataType)> {
    let fractional = types::is_float(l) || types::is_float(r);
    if op == Op::Quotient {
        if fractional {
            return plan_err!(
                "`DIV` takes whole numbers and DECIMALs, not {} and {}",
                types::article(l),
                types::article(r)
            );
        }
        if l.is_integer() && r.is_integer() {
            return Ok((DataType::Int64, DataType::Int64, DataType::Int64));
        }
    }
    if (types::is_decimal(l) || types::is_decimal(r)) && !fractional {
        let (a, b) = (literal::digits(left, l, r), literal::digits(right, r, l));
        let (Some(a), Some(b)) = (a, b) else { return plan_err!("a DECIMAL beside {}", types::article(r)) };
        let out = if op == Op::Quotient { DataType::Int64 } else { decimal_result(op, a, b) };
        return Ok((DataType::Decimal128(a.0, a.1), DataType::Decimal128(b.0, b.1), out));
    }
    if op == Op::Divide {
        return Ok((DataType::Float64, DataType::Float64, DataType::Float64));
    }
    match types::common(l, r) {
        Some(common) => Ok((common.clone(), common.clone(), common)),
        None => plan_err!("`{}` does not take {} and {}", op.symbol(), types::article(l), types::article(r)),
    }
}

/// The DECIMAL that an operator gives of two DECIMALs of these precisions and scales.
pub(crate) fn decimal_result(op: Op, (p1, s1): (u8, i8), (p2, s2): (u8, i8)) -> DataType {
    let (p1, s1, p2, s2) = (i32::from(p1), i32::from(s1), i32::from(p2), i32::from(s2));
    let scale = s1.max(s2);
    match op {
        Op::Multiply => types::adjusted(p1 + p2 + 1, s1 + s2),
        Op::Divide => {
            let scale = (s1 + p2 + 1).max(6);
            types::adjusted(p1 - s1 + s2 + scale, scale)
        }
        Op::Remainder => types::adjusted((p1 - s1).min(p2 - s2) + scale, scale),
        _ => types::adjusted((p1 - s1).max(p2 - s2) + scale + 1, scale),
    }
}

/// `& | ^`.
fn bits(op: Op, left: Expr, right: Expr, schema: &DFSchema) -> Result<Expr> {
    let (l, r) = (left.get_type(schema)?, right.get_type(schema)?);
    let whole = |t: &DataType| t.is_integer() || types::is_text(t) || t == &DataType::Null;
    let common = types::common(&l, &r).filter(DataType::is_integer);
    let Some(common) = common.filter(|_| whole(&l) && whole(&r)) else {
        let (l, r) = (types::article(&l), types::article(&r));
        return plan_err!("`{}` takes whole numbers, not {l} and {r}", op.symbol());
    };
    let left = casts::plan(left, &l, &common, false)?;
    let right = casts::plan(right, &r, &common, false)?;
    Ok(arithmetic::call(op, vec![left, right], common))
}

/// `<< >> >>>`.
fn shift(op: Op, left: Expr, right: Expr, schema: &DFSchema) -> Result<Expr> {
    let (l, r) = (left.get_type(schema)?, right.get_type(schema)?);
    let number = |t: &DataType| types::is_number(t) || t == &DataType::Null;
    if !number(&l) || !number(&r) {
        return plan_err!(
            "`{}` takes whole numbers, not {} and {}",
            op.symbol(),
            types::article(&l),
            types::article(&r)
        );
    }
    // As in Spark, what is behind a point is left out.
    let out = if l == DataType::Int64 { DataType::Int64 } else { DataType::Int32 };
    let left = casts::plan(left, &l, &out, false)?;
    let right = casts::plan(right, &r, &DataType::Int32, false)?;
    Ok(arithmetic::call(op, vec![left, right], out))
}
