//! Comparisons: both sides are cast to their common type. The optimiser makes 0.0 and -0.0 one value, and NaN the largest.

use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::{BinaryExpr, InList};
use datafusion::logical_expr::{Between, Case, Expr, ExprSchemable, Operator};

use super::{literal, temporal};
use crate::{casts, types};

/// `left op right`.
///
/// # Errors
/// If the types have nothing in common.
pub fn compare(op: Operator, left: Expr, right: Expr, schema: &DFSchema) -> Result<Expr> {
    let (l, r) = (left.get_type(schema)?, right.get_type(schema)?);
    let (left, right) = sides(&op.to_string(), (left, &l), (right, &r))?;
    Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
}

fn sides(op: &str, (left, l): (Expr, &DataType), (right, r): (Expr, &DataType)) -> Result<(Expr, Expr)> {
    if types::is_interval(l) || types::is_interval(r) {
        return match (temporal::constant(&left), temporal::constant(&right)) {
            (Some(a), Some(b)) => lengths(op, a, b),
            // How a time difference is compared with an interval is the analyser's business.
            _ if types::is_interval(l) && types::is_interval(r) => Ok((left, right)),
            _ => incomparable(op, l, r),
        };
    }
    for t in [l, r] {
        if matches!(t, DataType::Map(..)) {
            return plan_err!("`{op}` does not compare {}; compare its items", types::article(t));
        }
    }
    let same = l == r || types::is_text(l) && types::is_text(r) || types::is_binary(l) && types::is_binary(r);
    let instants = matches!((l, r), (DataType::Timestamp(..), DataType::Timestamp(..)));
    if same || instants {
        return Ok((left, right));
    }
    // A whole number that is written needs no wider DECIMAL than its digits do.
    let exact = |expr: &Expr, of: &DataType, other: &DataType| match literal::digits(expr, of, other) {
        Some((p, s)) if types::is_decimal(other) => DataType::Decimal128(p, s),
        _ => of.clone(),
    };
    let common = types::common(&exact(&left, l, r), &types::named_as(&exact(&right, r, l), l));
    let Some(common) = common else { return incomparable(op, l, r) };
    Ok((as_operand(left, l, &common)?, as_operand(right, r, &common)?))
}

fn incomparable<T>(op: &str, l: &DataType, r: &DataType) -> Result<T> {
    plan_err!("`{op}` cannot compare {} with {}; CAST one of them", types::article(l), types::article(r))
}

/// Two constant intervals as numbers that are compared as they are.
fn lengths(op: &str, a: IntervalMonthDayNano, b: IntervalMonthDayNano) -> Result<(Expr, Expr)> {
    let literal = |value: i64| Expr::Literal(ScalarValue::Int64(Some(value)), None);
    let whole = |i: IntervalMonthDayNano| i.days == 0 && i.nanoseconds == 0;
    if whole(a) && whole(b) {
        return Ok((literal(a.months.into()), literal(b.months.into())));
    }
    match (temporal::micros(a), temporal::micros(b)) {
        (Some(a), Some(b)) => Ok((literal(a), literal(b))),
        _ => plan_err!("`{op}` cannot compare months, which have no fixed length, with days"),
    }
}

fn as_operand(expr: Expr, from: &DataType, to: &DataType) -> Result<Expr> {
    if from == to { Ok(expr) } else { casts::plan(expr, from, to, false) }
}

/// `expr IN (list)`.
///
/// # Errors
/// If the types have nothing in common.
pub fn in_list(list: InList, schema: &DFSchema) -> Result<Expr> {
    let mut of = vec![list.expr.get_type(schema)?];
    for item in &list.list {
        of.push(item.get_type(schema)?);
    }
    if of.iter().any(types::is_interval) {
        return Ok(Expr::InList(list));
    }
    if of.iter().all(|t| types::is_text(t) || t == &DataType::Null) {
        return Ok(Expr::InList(list));
    }
    let named: Vec<DataType> = of.iter().map(|t| types::named_as(t, &of[0])).collect();
    let common = common_of("IN", &named)?;
    let mut of = of.iter();
    let mut operand = |expr: Expr| as_operand(expr, of.next().unwrap_or(&common), &common);
    let expr = Box::new(operand(*list.expr)?);
    let items = list.list.into_iter().map(operand).collect::<Result<Vec<_>>>()?;
    Ok(Expr::InList(InList::new(expr, items, list.negated)))
}

fn common_of(what: &str, of: &[DataType]) -> Result<DataType> {
    match types::common_of(of) {
        Some(common) => Ok(common),
        None => {
            let mut names: Vec<String> = of.iter().map(types::name).collect();
            names.dedup();
            plan_err!("{what} has values of types with nothing in common: {}; CAST them", names.join(", "))
        }
    }
}

/// `expr BETWEEN low AND high`.
///
/// # Errors
/// If the types have nothing in common.
pub fn between(between: Between, schema: &DFSchema) -> Result<Expr> {
    let of = [&between.expr, &between.low, &between.high].map(|e| e.get_type(schema));
    let [of, low, high] = of;
    let (of, low, high) = (of?, low?, high?);
    if [&of, &low, &high].iter().any(|t| types::is_interval(t)) {
        return Ok(Expr::Between(between));
    }
    let (a, bottom) = sides("BETWEEN", ((*between.expr).clone(), &of), (*between.low, &low))?;
    let (b, top) = sides("BETWEEN", (*between.expr, &of), (*between.high, &high))?;
    if a == b {
        return Ok(Expr::Between(Between::new(Box::new(a), between.negated, Box::new(bottom), Box::new(top))));
    }
    let both = a.gt_eq(bottom).and(b.lt_eq(top));
    Ok(if between.negated { Expr::Not(Box::new(both)) } else { both })
}

/// `CASE`, whose values get the type that they have in common.
///
/// # Errors
/// If the types have nothing in common.
pub fn case(case: Case, schema: &DFSchema) -> Result<Expr> {
    let mut when_then = case.when_then_expr;
    let mut operand = case.expr;
    if let Some(of) = operand.take() {
        for (when, _) in &mut when_then {
            **when = compare(Operator::Eq, (*of).clone(), (**when).clone(), schema)?;
        }
    }
    for (when, _) in &when_then {
        let of = when.get_type(schema)?;
        if !matches!(of, DataType::Boolean | DataType::Null) {
            return plan_err!("what follows WHEN is {}, not a condition", types::article(&of));
        }
    }
    let mut values: Vec<&mut Box<Expr>> = when_then.iter_mut().map(|(_, then)| then).collect();
    let mut otherwise = case.else_expr;
    values.extend(otherwise.as_mut());
    let of = values.iter().map(|v| v.get_type(schema)).collect::<Result<Vec<_>>>()?;
    let intervals = of.iter().any(types::is_interval);
    if of.windows(2).any(|pair| pair[0] != pair[1]) && !intervals {
        let common = common_of("CASE", &of)?;
        for (value, of) in values.into_iter().zip(&of) {
            if *of != common {
                **value = casts::plan((**value).clone(), of, &common, false)?;
            }
        }
    }
    Ok(Expr::Case(Case::new(None, when_then, otherwise)))
}
