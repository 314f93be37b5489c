//! Rewrites a parsed query so that operators, literals and casts are planned as in Spark.
//!
//! DataFusion's planner asks about operators with two operands alone: see [`sluicebox_functions::operators::planner`]. So numbers, signs,
//! casts, CASE, IN, BETWEEN, LIKE and the sums become such operators, under names that no pipeline can write.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, Function, GroupByExpr, Ident, Query, Select,
    TimezoneInfo, UnaryOperator, Value, ValueWithSpan, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use sluicebox_functions::operators::conditional;
use sluicebox_functions::operators::planner::marks;

use super::intervals;
use crate::{sql, visit};

/// Brings `node` into the form that is planned.
pub(super) fn rewrite(node: &mut impl VisitMut) {
    // Nothing breaks off.
    let _ = visit::change(node, &mut Marker);
}

struct Marker;

impl VisitorMut for Marker {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Some(order_by) = &mut query.order_by
            && let datafusion::sql::sqlparser::ast::OrderByKind::Expressions(exprs) = &mut order_by.kind
        {
            exprs.iter_mut().for_each(|e| keep_position(&mut e.expr));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
            exprs.iter_mut().for_each(keep_position);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Interval(interval) = expr {
            intervals::plain(interval);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let taken = std::mem::replace(expr, null());
        *expr = marked(taken);
        ControlFlow::Continue(())
    }
}

/// A number that counts columns, as in GROUP BY 1, stays as it is: one with the flag that sqlparser keeps for `1L` is left alone.
fn keep_position(expr: &mut Expr) {
    if let Expr::Value(ValueWithSpan { value: Value::Number(_, long), .. }) = expr {
        *long = true;
    }
}

fn null() -> Expr {
    Expr::Value(Value::Null.with_empty_span())
}

fn text(text: String, span: Span) -> Expr {
    Expr::Value(Value::SingleQuotedString(text).with_span(span))
}

fn mark(left: Expr, mark: &str, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::Custom(mark.to_owned()), right: Box::new(right) }
}

fn typed(expr: Expr) -> Expr {
    mark(expr, marks::TYPED, null())
}

/// `NULL` of a type, which says it.
fn of_type(data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(null()), data_type, format: None, array: false }
}

/// `expr`, its children marked already.
fn marked(expr: Expr) -> Expr {
    match expr {
        Expr::Value(ValueWithSpan { value, span }) => value_of(value, span),
        Expr::UnaryOp { op, expr } => unary(op, expr),
        // That of a type's name, see `of_type`, has been made here.
        Expr::Cast { kind, expr, data_type, format: None, array: false } => {
            let lenient = matches!(kind, CastKind::TryCast | CastKind::SafeCast);
            mark(*expr, if lenient { marks::TRY_CAST } else { marks::CAST }, of_type(data_type))
        }
        Expr::TypedString(typed) => {
            let ValueWithSpan { value, span } = typed.value;
            match value.into_string() {
                Some(value) => mark(text(value, span), marks::CAST, of_type(typed.data_type)),
                None => null(),
            }
        }
        Expr::IsDistinctFrom(left, right) => mark(*left, marks::DISTINCT, *right),
        Expr::IsNotDistinctFrom(left, right) => mark(*left, marks::NOT_DISTINCT, *right),
        like @ (Expr::Like { .. } | Expr::ILike { .. }) => likes(like),
        Expr::Case { .. } | Expr::InList { .. } | Expr::Between { .. } => typed(expr),
        Expr::CompoundFieldAccess { root, access_chain } => access(root, access_chain),
        Expr::Function(function) => call(function),
        other => other,
    }
}

fn value_of(value: Value, span: Span) -> Expr {
    match value {
        Value::Number(digits, false) => mark(text(digits, span), marks::NUMBER, null()),
        Value::SingleQuotedRawStringLiteral(raw)
        | Value::DoubleQuotedRawStringLiteral(raw)
        | Value::TripleSingleQuotedRawStringLiteral(raw)
        | Value::TripleDoubleQuotedRawStringLiteral(raw) => text(raw, span),
        // Half a byte is one with a zero before it.
        Value::HexStringLiteral(digits) if digits.len() % 2 == 1 => {
            Expr::Value(Value::HexStringLiteral(format!("0{digits}")).with_span(span))
        }
        value => Expr::Value(value.with_span(span)),
    }
}

fn unary(op: UnaryOperator, expr: Box<Expr>) -> Expr {
    match op {
        UnaryOperator::Minus => mark(*expr, marks::NEGATE, null()),
        UnaryOperator::Plus => mark(*expr, marks::PLUS, null()),
        UnaryOperator::BitwiseNot => mark(*expr, marks::NOT_BITS, null()),
        UnaryOperator::BangNot => Expr::UnaryOp { op: UnaryOperator::Not, expr },
        op => Expr::UnaryOp { op, expr },
    }
}

/// LIKE, and LIKE ANY and ALL as several.
fn likes(like: Expr) -> Expr {
    let (insensitive, negated, any, expr, pattern, escape_char) = match like {
        Expr::Like { negated, any, expr, pattern, escape_char } => (false, negated, any, expr, pattern, escape_char),
        Expr::ILike { negated, any, expr, pattern, escape_char } => (true, negated, any, expr, pattern, escape_char),
        other => return other,
    };
    let one = |pattern: Expr| {
        let (expr, pattern, any, escape_char) = (expr.clone(), Box::new(pattern), false, escape_char.clone());
        typed(if insensitive {
            Expr::ILike { negated, any, expr, pattern, escape_char }
        } else {
            Expr::Like { negated, any, expr, pattern, escape_char }
        })
    };
    let all = match *pattern {
        Expr::Tuple(patterns) if any => Ok((BinaryOperator::Or, patterns)),
        Expr::Nested(pattern) if any => Ok((BinaryOperator::Or, vec![*pattern])),
        Expr::Function(function) if name_of(&function) == "all" || name_of(&function) == "some" => {
            let op = if name_of(&function) == "all" { BinaryOperator::And } else { BinaryOperator::Or };
            sql::arguments(&function).map(|patterns| (op, patterns)).ok_or(Expr::Function(function))
        }
        pattern => Err(pattern),
    };
    match all {
        Err(pattern) => one(pattern),
        Ok((op, patterns)) => {
            let joined = patterns.into_iter().map(one).reduce(|left, right| Expr::BinaryOp {
                left: Box::new(left),
                op: op.clone(),
                right: Box::new(right),
            });
            Expr::Nested(Box::new(joined.unwrap_or_else(null)))
        }
    }
}

fn name_of(function: &Function) -> String {
    function.name.to_string().to_lowercase()
}

/// `int(x)` is a cast; sums, and functions that choose among their arguments, get their types.
fn call(function: Function) -> Expr {
    let name = name_of(&function);
    let sum = matches!(
        name.as_str(),
        "sum"
            | "avg"
            | "mean"
            | "try_sum"
            | "try_avg"
            | "median"
            | "percentile"
            | "percentile_approx"
            | "approx_percentile"
    );
    if function.over.is_none() && (sum || function.filter.is_some() || conditional::NAMES.contains(&name.as_str())) {
        return typed(Expr::Function(function));
    }
    let data_type = match name.as_str() {
        "boolean" => DataType::Boolean,
        "tinyint" => DataType::TinyInt(None),
        "smallint" => DataType::SmallInt(None),
        "int" => DataType::Int(None),
        "bigint" => DataType::BigInt(None),
        "float" => DataType::Real,
        "double" => DataType::Double(ExactNumberInfo::None),
        "decimal" => DataType::Decimal(ExactNumberInfo::None),
        "date" => DataType::Date,
        "timestamp" => DataType::Timestamp(None, TimezoneInfo::None),
        "binary" => DataType::Binary(None),
        "string" => DataType::String(None),
        _ => return Expr::Function(function),
    };
    match sql::arguments(&function).as_deref() {
        Some([argument]) => mark(argument.clone(), marks::CAST, of_type(data_type)),
        _ => Expr::Function(function),
    }
}

/// The planner knows `x.name` after an item or a call when the name is text.
fn access(root: Box<Expr>, access_chain: Vec<AccessExpr>) -> Expr {
    let mut plain = matches!(*root, Expr::Identifier(_));
    let named = |ident: Ident| {
        // Without quotes a name means its lower case.
        let name = if ident.quote_style.is_some() { ident.value } else { ident.value.to_lowercase() };
        AccessExpr::Dot(text(name, ident.span))
    };
    let chain = access_chain.into_iter().map(|access| match access {
        AccessExpr::Dot(Expr::Identifier(ident)) if !plain => named(ident),
        other => {
            plain &= matches!(other, AccessExpr::Dot(_));
            other
        }
    });
    let access_chain = chain.collect();
    Expr::CompoundFieldAccess { root, access_chain }
}
