//! `sum(CAST(v AS DOUBLE))` beside `sum(v)`.
//!
//! DataFusion leaves casts out of column names. So it takes two aggregates, or two keys of a group, that differ in a cast for one column.
//! Where that happens, the casts are wrapped in a function that does nothing but give them a name.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast as sql;
use datafusion::sql::sqlparser::ast::{Spanned as _, Visitor, VisitorMut};

use super::grouping::ordinal;
use super::names::{Scope, is_aggregate, is_window_call, strip};
use crate::visit;

/// The name of the function.
pub(crate) const NAMED_CAST: &str = "__sb_named_cast";

/// Wraps the casts in the aggregates and group keys of `select` that would have one name.
pub(super) fn tell_apart(select: &mut sql::Select, scope: &dyn Scope) {
    let mut columns = Columns { scope, queries: 0, found: BTreeMap::new() };
    let _ = visit::read(&select.projection, &mut columns);
    let _ = visit::read(&select.having, &mut columns);
    let projection = &select.projection;
    if let sql::GroupByExpr::Expressions(exprs, _) = &select.group_by {
        let keys = exprs.iter().map(|expr| named_item(projection, expr).unwrap_or(expr)).map(strip);
        keys.filter(|expr| !is_window_call(expr)).for_each(|expr| columns.add(expr));
    }
    let several = columns.found.into_iter().filter(|(_, texts)| texts.len() > 1);
    let mistaken: BTreeSet<String> = several.map(|(bare, _)| bare).collect();
    if mistaken.is_empty() {
        return;
    }
    let mut wrapping = Wrapping { mistaken, inside: 0 };
    let _ = visit::change(&mut select.projection, &mut wrapping);
    let _ = visit::change(&mut select.having, &mut wrapping);
    let _ = visit::change(&mut select.group_by, &mut wrapping);
}

/// The item of the SELECT list that an item of GROUP BY names, by number or name.
fn named_item<'s>(projection: &'s [sql::SelectItem], expr: &sql::Expr) -> Option<&'s sql::Expr> {
    match expr {
        sql::Expr::Value(value) => match projection.get(ordinal(&value.value)?.checked_sub(1)?)? {
            sql::SelectItem::ExprWithAlias { expr, .. } | sql::SelectItem::UnnamedExpr(expr) => Some(expr),
            _ => None,
        },
        sql::Expr::Identifier(name) => projection.iter().find_map(|item| match item {
            sql::SelectItem::ExprWithAlias { expr, alias } if alias.value.eq_ignore_ascii_case(&name.value) => {
                Some(expr)
            }
            _ => None,
        }),
        _ => None,
    }
}

/// `expr` as DataFusion names it: without casts and without what its columns are qualified by.
fn bare(expr: &sql::Expr) -> String {
    let mut bare = expr.clone();
    let _ = visit::change_expressions(&mut bare, &mut |part| {
        while let sql::Expr::Cast { expr, .. } | sql::Expr::Nested(expr) = part {
            *part = (**expr).clone();
        }
        if let sql::Expr::CompoundIdentifier(names) = part
            && let Some(last) = names.pop()
        {
            *part = sql::Expr::Identifier(last);
        }
        ControlFlow::<()>::Continue(())
    });
    bare.to_string().to_lowercase()
}

/// The aggregates and keys of a SELECT: what each is without casts, and the texts that are that.
struct Columns<'a> {
    scope: &'a dyn Scope,
    queries: usize,
    found: BTreeMap<String, BTreeSet<String>>,
}

impl Columns<'_> {
    fn add(&mut self, expr: &sql::Expr) {
        self.found.entry(bare(expr)).or_default().insert(expr.to_string());
    }
}

impl Visitor for Columns<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &sql::Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &sql::Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &sql::Expr) -> ControlFlow<()> {
        if self.queries == 0 && is_aggregate(expr, self.scope) {
            self.add(expr);
        }
        ControlFlow::Continue(())
    }
}

/// Wraps the casts in what is mistaken for something else.
struct Wrapping {
    /// As [`bare`] gives it.
    mistaken: BTreeSet<String>,
    /// How many expressions are open, from one that is mistaken on.
    inside: usize,
}

impl VisitorMut for Wrapping {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut sql::Expr) -> ControlFlow<()> {
        if self.inside > 0 || (!is_window_call(expr) && self.mistaken.contains(&bare(expr))) {
            self.inside += 1;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut sql::Expr) -> ControlFlow<()> {
        if self.inside > 0 {
            self.inside -= 1;
            if matches!(expr, sql::Expr::Cast { .. }) {
                *expr = crate::sql::call(NAMED_CAST, [expr.clone()], expr.span());
            }
        }
        ControlFlow::Continue(())
    }
}

/// The function, which is what it is given.
pub(crate) fn named_cast() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::from(NamedCast { signature: Signature::any(1, Volatility::Immutable) })));
    Arc::clone(&FUNCTION)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NamedCast {
    signature: Signature,
}

impl ScalarUDFImpl for NamedCast {
    fn name(&self) -> &'static str {
        NAMED_CAST
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        types.first().cloned().map_or_else(|| internal_err!("a cast of nothing"), Ok)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        args.arg_fields.first().cloned().map_or_else(|| internal_err!("a cast of nothing"), Ok)
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let named = |word: &str, of: &Expr, to: &DataType| {
            format!("{word}({} AS {})", of.schema_name(), crate::bind::sql_type(to).to_uppercase())
        };
        Ok(match args {
            [Expr::Cast(cast)] => named("CAST", &cast.expr, cast.field.data_type()),
            [Expr::TryCast(cast)] => named("TRY_CAST", &cast.expr, cast.field.data_type()),
            [other] => format!("CAST({other})"),
            _ => return internal_err!("a cast of nothing"),
        })
    }

    fn simplify(&self, mut args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match args.pop() {
            Some(cast) => Ok(ExprSimplifyResult::Simplified(cast)),
            None => internal_err!("a cast of nothing"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        args.args.into_iter().next().map_or_else(|| internal_err!("a cast of nothing"), Ok)
    }
}
