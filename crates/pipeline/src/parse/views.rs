//! Views that are read without STREAM: the parsed query reads each as a stream, as if STREAM stood before its name.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, ObjectNamePart, Query as SqlQuery, TableAlias, TableFactor, VisitorMut,
};

use super::Context;
use crate::ast::{Query, Spanned, StreamRef};
use crate::diagnostic::byte_span;
use crate::visit;

/// The names that WITH gives, as they are seen from where a walk over a query stands: a part of WITH sees those before it, the body
/// sees all.
#[derive(Debug, Default)]
pub(super) struct Scopes(Vec<Scope>);

#[derive(Debug)]
struct Scope {
    names: Vec<String>,
    /// How many of them have been defined. The walk goes through the parts of WITH first, in order.
    defined: usize,
}

impl Scopes {
    /// Goes into `query`.
    pub(super) fn enter(&mut self, query: &SqlQuery) {
        let parts = query.with.iter().flat_map(|with| &with.cte_tables);
        let names: Vec<String> = parts.map(|cte| ident(&cte.alias.name)).collect();
        // With RECURSIVE, which is refused later, each sees itself.
        let recursive = query.with.as_ref().is_some_and(|with| with.recursive);
        let defined = if recursive { names.len() } else { 0 };
        self.0.push(Scope { names, defined });
    }

    /// Goes out of the query that was gone into last.
    pub(super) fn leave(&mut self) {
        self.0.pop();
        if let Some(outer) = self.0.last_mut() {
            outer.defined = (outer.defined + 1).min(outer.names.len());
        }
    }

    /// Whether `name` is that of a part of WITH here.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.0.iter().flat_map(|scope| scope.names.iter().take(scope.defined)).any(|n| n == name)
    }
}

/// The name that an identifier stands for.
pub(super) fn ident(ident: &Ident) -> String {
    if ident.quote_style.is_none() { ident.value.to_lowercase() } else { ident.value.clone() }
}

/// Makes streams of the views that queries read without STREAM. All names have been checked.
pub(super) fn read(cx: &mut Context<'_>) {
    let views: BTreeSet<String> = cx.views.iter().map(|view| view.name.value.clone()).collect();
    if views.is_empty() {
        return;
    }
    let (text, mut leaves) = (cx.text, cx.leaves);
    let flows = cx.tables.iter_mut().flat_map(|table| &mut table.flows).map(|flow| &mut flow.query);
    for query in cx.views.iter_mut().map(|view| &mut view.query).chain(flows) {
        let Query { ast, streams, span, .. } = query;
        let mut reader =
            Reader { text, views: &views, scopes: Scopes::default(), leaves: &mut leaves, whole: *span, streams };
        let _ = visit::change(ast, &mut reader);
        streams.sort_by_key(|stream| stream.table.span.start);
    }
    cx.leaves = leaves;
}

struct Reader<'a> {
    text: &'a str,
    views: &'a BTreeSet<String>,
    scopes: Scopes,
    leaves: &'a mut usize,
    whole: crate::ast::Span,
    streams: &'a mut Vec<StreamRef>,
}

impl VisitorMut for Reader<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut SqlQuery) -> ControlFlow<()> {
        self.scopes.enter(query);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut SqlQuery) -> ControlFlow<()> {
        self.scopes.leave();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: None, alias, .. } = factor
            && let [ObjectNamePart::Identifier(written)] = name.0.as_slice()
        {
            let (view, written) = (ident(written), written.clone());
            if self.views.contains(&view) && !self.scopes.holds(&view) {
                let span = byte_span(self.text, written.span).unwrap_or(self.whole);
                let leaf = format!("{}{}", super::stream::LEAF, self.leaves);
                *self.leaves += 1;
                let place = written.span;
                *name = ObjectName(vec![ObjectNamePart::Identifier(Ident::with_span(place, leaf.clone()))]);
                alias.get_or_insert_with(|| TableAlias {
                    explicit: true,
                    name: written,
                    columns: Vec::new(),
                    at: None,
                });
                self.streams.push(StreamRef { leaf, table: Spanned { value: view, span }, watermark: None });
            }
        }
        ControlFlow::Continue(())
    }
}
