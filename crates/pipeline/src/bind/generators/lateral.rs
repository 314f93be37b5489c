//! Lateral aliases: a name that the SELECT list gives, used in a later item: `SELECT i + 1 AS n, n * 2 AS m`.
//!
//! The rewrite replaces the name by its expression. A column of the table takes precedence over it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::common::Result;
use datafusion::sql::sqlparser::ast as sql;
use datafusion::sql::sqlparser::ast::{Visitor, VisitorMut};

use super::plan_error;
use crate::visit;

/// So long may an item be as text with all names in it replaced: each use of a name doubles what it stands for.
const LONGEST: usize = 16_384;

/// Replaces names of items of the SELECT list in the items behind them; `columns` are those of the table, in lower case.
///
/// # Errors
/// If an item gets too long.
pub(super) fn resolve(select: &mut sql::Select, columns: impl FnOnce() -> Result<BTreeSet<String>>) -> Result<()> {
    let mut given: Vec<(String, sql::Expr)> = Vec::new();
    let mut columns = Some(columns);
    let mut known: Option<BTreeSet<String>> = None;
    for item in &mut select.projection {
        if !given.is_empty() && uses(item, &given) {
            if let Some(columns) = columns.take() {
                // What cannot be planned is told when the whole is.
                known = columns().ok();
            }
            let Some(known) = &known else { return Ok(()) };
            given.retain(|(name, _)| !known.contains(&name.to_lowercase()));
            let _ = visit::change(item, &mut Names { given: &given, parameters: Vec::new() });
            if item.to_string().len() > LONGEST {
                return plan_error(
                    "an item that uses names of the items before it gets too long: give them names in a subquery, as in \
                     FROM (SELECT *, a + b AS c FROM ...)"
                        .to_owned(),
                );
            }
        }
        if let sql::SelectItem::ExprWithAlias { expr, alias } = item {
            given.push((normal(alias), expr.clone()));
        }
    }
    Ok(())
}

/// A name as it is meant: without quotes in lower case.
fn normal(name: &sql::Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

/// Whether one of `given` may be named in `item`.
fn uses(item: &sql::SelectItem, given: &[(String, sql::Expr)]) -> bool {
    struct Uses<'a>(&'a [(String, sql::Expr)]);
    impl Visitor for Uses<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &sql::Expr) -> ControlFlow<()> {
            match expr {
                sql::Expr::Identifier(name) if self.0.iter().any(|(given, _)| *given == normal(name)) => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    visit::read(item, &mut Uses(given)).is_break()
}

struct Names<'a> {
    given: &'a [(String, sql::Expr)],
    /// The parameters of the lambdas that are open.
    parameters: Vec<Vec<String>>,
}

impl VisitorMut for Names<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut sql::Expr) -> ControlFlow<()> {
        if let sql::Expr::Lambda(lambda) = expr {
            self.parameters.push(lambda.params.iter().map(|p| normal(&p.name)).collect());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut sql::Expr) -> ControlFlow<()> {
        match expr {
            sql::Expr::Lambda(_) => {
                self.parameters.pop();
            }
            sql::Expr::Identifier(name) => {
                let name = normal(name);
                // Of two of one name the last is meant; the table has no two, which is told.
                let given = self.given.iter().rev().find(|(given, _)| *given == name);
                if let Some((_, given)) = given
                    && !self.parameters.iter().flatten().any(|p| *p == name)
                {
                    *expr = sql::Expr::Nested(Box::new(given.clone()));
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
