//! Names in HAVING that both the SELECT list and the input have.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sql;
use datafusion::sql::sqlparser::ast::{Spanned as _, VisitorMut};

use super::names::{Scope, ident, is_aggregate};

/// What an unnamed subquery is called whose columns have to be qualified.
const FROM: &str = "__sb_from";

/// Names the only table of `select`, if it is a subquery without a name.
pub(super) fn name_subquery(select: &mut sql::Select) {
    if let [table] = select.from.as_mut_slice()
        && let sql::TableFactor::Derived { alias: alias @ None, .. } = &mut table.relation
    {
        let name = sql::Ident::new(FROM);
        *alias = Some(sql::TableAlias { explicit: true, name, columns: Vec::new(), at: None });
    }
}

/// Tells names of the SELECT list from columns of the input that are called the same: inside of aggregates, and where GROUP
/// BY names the column, it is the column, which is qualified; elsewhere it is what the name stands for.
pub(super) struct Columns<'a> {
    aliases: &'a BTreeMap<String, sql::Expr>,
    keys: &'a BTreeSet<String>,
    input: &'a [(Option<String>, String)],
    scope: &'a dyn Scope,
    queries: usize,
    aggregates: usize,
    /// Whether one had nothing that it could be qualified by.
    unnamed: bool,
}

impl<'a> Columns<'a> {
    /// Of a SELECT with these `aliases` that groups by `keys` and reads the columns `input`.
    pub(super) fn new(
        aliases: &'a BTreeMap<String, sql::Expr>,
        keys: &'a BTreeSet<String>,
        input: &'a [(Option<String>, String)],
        scope: &'a dyn Scope,
    ) -> Self {
        Self { aliases, keys, input, scope, queries: 0, aggregates: 0, unnamed: false }
    }

    /// Whether a column had nothing that it could be qualified by.
    pub(super) fn is_unnamed(&self) -> bool {
        self.unnamed
    }
}

impl VisitorMut for Columns<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut sql::Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut sql::Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut sql::Expr) -> ControlFlow<()> {
        self.aggregates += usize::from(is_aggregate(expr, self.scope));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut sql::Expr) -> ControlFlow<()> {
        self.aggregates -= usize::from(is_aggregate(expr, self.scope));
        let parts = match &*expr {
            sql::Expr::Identifier(name) => vec![name.clone()],
            sql::Expr::CompoundIdentifier(parts) => parts.clone(),
            _ => return ControlFlow::Continue(()),
        };
        let name = parts.first().map(ident).unwrap_or_default();
        let (Some(meant), Some((qualifier, _)), 0) =
            (self.aliases.get(&name), self.input.iter().find(|(_, column)| *column == name), self.queries)
        else {
            return ControlFlow::Continue(());
        };
        if self.aggregates > 0 || self.keys.contains(&name) {
            self.unnamed |= qualifier.is_none();
            let qualifier = qualifier.as_deref().unwrap_or(FROM);
            let first = sql::Ident { value: qualifier.to_owned(), quote_style: Some('"'), span: expr.span() };
            *expr = sql::Expr::CompoundIdentifier(std::iter::once(first).chain(parts).collect());
        } else if parts.len() == 1 {
            *expr = sql::Expr::Nested(Box::new(meant.clone()));
        }
        ControlFlow::Continue(())
    }
}
