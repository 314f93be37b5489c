//! Rewrites calls with a syntax of their own, and operators that are written as functions, to plain calls and operators.
//!
//! `trim(BOTH 'x' FROM s)`, `extract(YEAR FROM t)`, `timestampadd(DAY, 1, t)` become calls of the functions that [`sluicebox_functions`]
//! has under Spark's names. Without the rewrite, DataFusion would plan functions of its own for them. `mod(a, b)`, `isnull(a)`,
//! `equal_null(a, b)` become operators.

use std::ops::ControlFlow;

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, CeilFloorKind, DateTimeField, Expr, Function, Spanned, TrimWhereField, UnaryOperator,
    Value, ValueWithSpan, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::{sql, visit};

/// Brings `node` into plain calls and operators.
///
/// # Errors
/// If what would stand in the query twice is longer than [`LONGEST`].
pub(super) fn plain(node: &mut impl VisitMut) -> Result<()> {
    match visit::change(node, &mut Forms) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(name) => plan_err!(
            "the first argument of {name} is longer than {LONGEST} characters; compute it in a subquery under a name, and give {name} the \
             name"
        ),
    }
}

struct Forms;

/// What stands twice in a rewritten call is at most so long as text: calls within calls would double it each time.
const LONGEST: usize = 4096;

impl VisitorMut for Forms {
    /// The name of a call whose argument is too long to stand there twice.
    type Break = String;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
        if let Some(name) = too_long(expr) {
            return ControlFlow::Break(name);
        }
        let taken = std::mem::replace(expr, Expr::Value(Value::Null.with_empty_span()));
        *expr = rewritten(taken);
        ControlFlow::Continue(())
    }
}

fn text(text: impl Into<String>, span: Span) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.into()).with_span(span))
}

fn number(digits: &str, span: Span) -> Expr {
    Expr::Value(Value::Number(digits.to_owned(), false).with_span(span))
}

/// A call of `name`, at the place of `args`.
fn call(name: &str, args: impl IntoIterator<Item = Expr>) -> Expr {
    let args: Vec<Expr> = args.into_iter().collect();
    let span = args.iter().map(Spanned::span).find(|span| span.start.line > 0).unwrap_or_else(Span::empty);
    sql::call(name, args, span)
}

fn nested(expr: Expr) -> Box<Expr> {
    Box::new(Expr::Nested(Box::new(expr)))
}

fn case(conditions: Vec<(Expr, Expr)>, otherwise: Option<Expr>) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: conditions.into_iter().map(|(condition, result)| CaseWhen { condition, result }).collect(),
        else_result: otherwise.map(Box::new),
    }
}

fn rewritten(expr: Expr) -> Expr {
    match expr {
        Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
            let name = match trim_where {
                Some(TrimWhereField::Leading) => "ltrim",
                Some(TrimWhereField::Trailing) => "rtrim",
                Some(TrimWhereField::Both) | None => "trim",
            };
            // Of `trim(chars, text)` the parser takes the first to be the text.
            call(
                name,
                trim_what.map(|what| *what).into_iter().chain([*expr]).chain(trim_characters.unwrap_or_default()),
            )
        }
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            let start = |expr: &Expr| number("1", expr.span());
            let from = match (substring_from, &substring_for) {
                (Some(from), _) => Some(*from),
                (None, Some(_)) => Some(start(&expr)),
                (None, None) => None,
            };
            call("substring", std::iter::once(*expr).chain(from).chain(substring_for.map(|n| *n)))
        }
        Expr::Position { expr, r#in } => call("locate", [*expr, *r#in]),
        Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            call("overlay", [*expr, *overlay_what, *overlay_from].into_iter().chain(overlay_for.map(|n| *n)))
        }
        Expr::Extract { field, expr, .. } => {
            let field = text(field.to_string(), expr.span());
            call("date_part", [field, *expr])
        }
        Expr::Ceil { expr, field } => cut("ceil", *expr, field),
        Expr::Floor { expr, field } => cut("floor", *expr, field),
        Expr::Function(function) => of_function(function),
        // The path is text before numbers in it are planned.
        Expr::JsonAccess { value, path } => {
            let path = path.to_string();
            let path = text(path.strip_prefix(':').unwrap_or(&path), value.span());
            Expr::BinaryOp { left: value, op: BinaryOperator::Custom(":".to_owned()), right: Box::new(path) }
        }
        other => other,
    }
}

fn cut(name: &str, expr: Expr, field: CeilFloorKind) -> Expr {
    match field {
        CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => call(name, [expr]),
        CeilFloorKind::DateTimeField(_) => Expr::Ceil { expr: Box::new(expr), field },
        CeilFloorKind::Scale(scale) => call(name, [expr, Expr::Value(scale)]),
    }
}

/// The name of a call that would have its first argument twice, if that is too long.
fn too_long(expr: &Expr) -> Option<String> {
    let Expr::Function(function) = expr else { return None };
    let name = function.name.to_string().to_lowercase();
    let twice = matches!(name.as_str(), "nullif" | "nullifzero" | "zeroifnull" | "decode");
    let first = twice.then(|| sql::arguments(function)).flatten()?.into_iter().next()?;
    (first.to_string().len() > LONGEST).then_some(name)
}

fn of_function(function: Function) -> Expr {
    let name = function.name.to_string().to_lowercase();
    let Some(args) = sql::arguments(&function) else { return Expr::Function(function) };
    match (name.as_str(), args.as_slice()) {
        ("timestampadd" | "dateadd" | "date_add", [Expr::Identifier(unit), number, time])
            if unit.quote_style.is_none() =>
        {
            call("timestampadd", [text(&unit.value, unit.span), number.clone(), time.clone()])
        }
        ("timestampdiff" | "datediff" | "date_diff", [Expr::Identifier(unit), start, end])
            if unit.quote_style.is_none() =>
        {
            call("timestampdiff", [text(&unit.value, unit.span), start.clone(), end.clone()])
        }
        ("mod", [left, right]) => *nested(Expr::BinaryOp {
            left: nested(left.clone()),
            op: BinaryOperator::Modulo,
            right: nested(right.clone()),
        }),
        ("negative", [of]) => *nested(Expr::UnaryOp { op: UnaryOperator::Minus, expr: nested(of.clone()) }),
        ("positive", [of]) => *nested(Expr::UnaryOp { op: UnaryOperator::Plus, expr: nested(of.clone()) }),
        ("isnull", [of]) => Expr::IsNull(nested(of.clone())),
        ("isnotnull", [of]) => Expr::IsNotNull(nested(of.clone())),
        ("equal_null", [left, right]) => Expr::IsNotDistinctFrom(nested(left.clone()), nested(right.clone())),
        ("if", [condition, then, otherwise]) => case(vec![(condition.clone(), then.clone())], Some(otherwise.clone())),
        ("nvl2", [of, then, otherwise]) => {
            case(vec![(Expr::IsNotNull(nested(of.clone())), then.clone())], Some(otherwise.clone()))
        }
        ("nullif", [of, with]) => {
            let equal =
                Expr::BinaryOp { left: nested(of.clone()), op: BinaryOperator::Eq, right: nested(with.clone()) };
            case(vec![(equal, Expr::Value(Value::Null.with_empty_span()))], Some(of.clone()))
        }
        ("nullifzero", [of]) => {
            let zero = number("0", of.span());
            let equal = Expr::BinaryOp { left: nested(of.clone()), op: BinaryOperator::Eq, right: Box::new(zero) };
            case(vec![(equal, Expr::Value(Value::Null.with_empty_span()))], Some(of.clone()))
        }
        ("zeroifnull", [of]) => {
            case(vec![(Expr::IsNotNull(nested(of.clone())), of.clone())], Some(number("0", of.span())))
        }
        ("decode", [of, rest @ ..]) if rest.len() > 1 => decode(of, rest),
        ("like", [of, pattern]) => like(of, pattern, None),
        ("like", [of, pattern, Expr::Value(escape)]) => like(of, pattern, Some(escape.clone())),
        ("ilike", [of, pattern]) => Expr::ILike {
            negated: false,
            any: false,
            expr: nested(of.clone()),
            pattern: nested(pattern.clone()),
            escape_char: None,
        },
        _ => Expr::Function(function),
    }
}

fn like(of: &Expr, pattern: &Expr, escape_char: Option<ValueWithSpan>) -> Expr {
    Expr::Like { negated: false, any: false, expr: nested(of.clone()), pattern: Box::new(pattern.clone()), escape_char }
}

/// `decode(x, 1, 'one', 2, 'two', 'other')`: pairs of a value and what is given for it, and what is given else.
fn decode(of: &Expr, rest: &[Expr]) -> Expr {
    let pairs = rest.chunks_exact(2);
    let otherwise = pairs.remainder().first().cloned();
    let equal = |with: &Expr| Expr::IsNotDistinctFrom(nested(of.clone()), nested(with.clone()));
    case(pairs.map(|pair| (equal(&pair[0]), pair[1].clone())).collect(), otherwise)
}
