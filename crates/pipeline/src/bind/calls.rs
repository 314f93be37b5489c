//! Calls whose meaning depends on their text: names of struct fields, options, schemas. They are made explicit in the parsed query, before
//! DataFusion plans it.

use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, Result};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Subscript, Value, VisitMut,
    VisitorMut,
};

use super::generators::call;
use crate::visit;

/// Makes the calls in `node` explicit.
///
/// # Errors
/// An argument that must be written out and is not.
pub(super) fn explicit(node: &mut impl VisitMut) -> Result<()> {
    match visit::change(node, &mut Explicit { parameters: Vec::new() }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(message) => Err(DataFusionError::Plan(message)),
    }
}

struct Explicit {
    /// The parameters of the lambdas that are open, in lower case.
    parameters: Vec<Vec<String>>,
}

fn text(text: impl Into<String>) -> Expr {
    Expr::value(Value::SingleQuotedString(text.into()))
}

fn unnamed(expr: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
}

/// The name that a column of `expr` has in Spark, if it has one.
fn name_of(expr: &Expr) -> Option<String> {
    let shown =
        |ident: &Ident| if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() };
    match expr {
        Expr::Identifier(ident) => Some(shown(ident)),
        Expr::CompoundIdentifier(idents) => idents.last().map(shown),
        Expr::CompoundFieldAccess { access_chain, .. } => match access_chain.last()? {
            AccessExpr::Dot(Expr::Identifier(ident)) => Some(shown(ident)),
            _ => dotted(expr).map(str::to_owned),
        },
        Expr::Named { name, .. } => Some(shown(name)),
        Expr::Nested(inner) => name_of(inner),
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// `map('a', 'b')` as `a=b`.
fn options(expr: &Expr) -> Option<String> {
    let Expr::Function(function) = expr else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    if !function.name.to_string().eq_ignore_ascii_case("map") {
        return None;
    }
    let texts = list.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => literal(expr),
        _ => None,
    });
    let texts = texts.collect::<Option<Vec<_>>>()?;
    Some(texts.chunks(2).map(|pair| pair.join("=")).collect::<Vec<_>>().join(";"))
}

/// `of.name` as `of['name']`, which is planned with the type of `of` known.
fn dot(of: Expr, name: &Ident) -> Expr {
    // A text in double quotes, which no pipeline can write, tells that it was written with a dot.
    let name = if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() };
    let index = Expr::value(Value::DoubleQuotedString(name));
    let step = AccessExpr::Subscript(Subscript::Index { index });
    match of {
        Expr::CompoundFieldAccess { root, mut access_chain } => {
            access_chain.push(step);
            Expr::CompoundFieldAccess { root, access_chain }
        }
        root => Expr::CompoundFieldAccess { root: Box::new(root), access_chain: vec![step] },
    }
}

/// The name of a column of `expr`, if that was written with a dot last.
pub(super) fn dotted(expr: &Expr) -> Option<&str> {
    let Expr::CompoundFieldAccess { access_chain, .. } = expr else { return None };
    match access_chain.last()? {
        AccessExpr::Subscript(Subscript::Index { index: Expr::Value(value) }) => match &value.value {
            Value::DoubleQuotedString(name) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

impl VisitorMut for Explicit {
    type Break = String;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
        if matches!(expr, Expr::Lambda(_)) {
            self.parameters.pop();
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
        match expr {
            Expr::Lambda(lambda) => {
                let names = lambda.params.iter().map(|p| p.name.value.to_lowercase()).collect();
                self.parameters.push(names);
            }
            Expr::CompoundIdentifier(parts) if parts.len() > 1 && self.is_parameter(&parts[0]) => {
                let mut parts = std::mem::take(parts).into_iter();
                if let Some(first) = parts.next() {
                    *expr = parts.fold(Expr::Identifier(first), |of, name| dot(of, &name));
                }
            }
            Expr::CompoundFieldAccess { root, access_chain } => self.dots(root, access_chain),
            Expr::AnyOp { .. } | Expr::AllOp { .. } => {
                return ControlFlow::Break(
                    "ANY and ALL behind an operator are not supported: write x IN (1, 2), or array_contains(list, x)"
                        .to_owned(),
                );
            }
            // What stands in parentheses behind these is a list, not a row.
            Expr::Like { any: true, pattern, .. } | Expr::ILike { any: true, pattern, .. } => {
                if let Expr::Tuple(patterns) = pattern.as_mut() {
                    **pattern = call("some", std::mem::take(patterns));
                }
            }
            // Spark's row in parentheses is a struct.
            Expr::Tuple(values) => *expr = named_struct(std::mem::take(values)),
            Expr::Struct { values, fields } if fields.is_empty() => *expr = named_struct(std::mem::take(values)),
            Expr::Function(function) => {
                return self.function(function).map_or(ControlFlow::Continue(()), |r| {
                    r.map_or_else(ControlFlow::Break, |new| {
                        *expr = new;
                        ControlFlow::Continue(())
                    })
                });
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// A struct of `values`, named as they are called, or `col1`, `col2`.
fn named_struct(values: Vec<Expr>) -> Expr {
    let named = values.into_iter().enumerate().flat_map(|(at, value)| {
        let name = name_of(&value).unwrap_or_else(|| format!("col{}", at + 1));
        let value = match value {
            Expr::Named { expr, .. } => *expr,
            other => other,
        };
        [text(name), value]
    });
    call("named_struct", named.collect())
}

impl Explicit {
    fn is_parameter(&self, name: &Ident) -> bool {
        let name = name.value.to_lowercase();
        self.parameters.iter().flatten().any(|p| *p == name)
    }

    /// Makes `['name']` of `.name` behind what is no column.
    fn dots(&self, root: &mut Expr, chain: &mut Vec<AccessExpr>) {
        let mut column = match root {
            Expr::Identifier(name) => !self.is_parameter(name),
            _ => false,
        };
        for step in chain {
            match step {
                // The first names may be those of a table and its column.
                AccessExpr::Dot(Expr::Identifier(_)) if column => {}
                AccessExpr::Dot(Expr::Identifier(name)) => {
                    let named = dot(Expr::value(Value::Null), name);
                    if let Expr::CompoundFieldAccess { mut access_chain, .. } = named
                        && let Some(last) = access_chain.pop()
                    {
                        *step = last;
                    }
                }
                _ => column = false,
            }
        }
    }

    /// What stands for a call, if it is another expression.
    fn function(&self, function: &mut Function) -> Option<Result<Expr, String>> {
        let name = function.name.to_string().to_lowercase();
        let FunctionArguments::List(list) = &mut function.args else { return None };
        match name.as_str() {
            "arrays_zip" => {
                let names = list.args.iter().enumerate().map(|(at, arg)| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                        name_of(expr).unwrap_or_else(|| at.to_string())
                    }
                    _ => at.to_string(),
                });
                let names = names.collect::<Vec<_>>().join(",");
                list.args.push(unnamed(text(names)));
            }
            "from_json" | "to_json" => {
                let last = if name == "from_json" { 2 } else { 1 };
                if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(given))) = list.args.get_mut(last) {
                    match options(given) {
                        Some(options) => *given = text(options),
                        None => {
                            return Some(Err(format!(
                                "the options of {name} are written out, as in map('mode', 'FAILFAST')"
                            )));
                        }
                    }
                }
            }
            "schema_of_json" => {
                let schema = match list.args.as_slice() {
                    [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] => literal(expr),
                    _ => None,
                };
                return Some(match schema.map(sluicebox_functions::json::schema_of_json) {
                    Some(Some(schema)) => Ok(text(schema)),
                    Some(None) => Err("schema_of_json is given a text that is no JSON".to_owned()),
                    None => Err("schema_of_json takes one JSON text that is written out: it tells the schema before there are rows".to_owned()),
                });
            }
            _ => {}
        }
        None
    }
}
