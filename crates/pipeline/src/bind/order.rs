//! The order in which views and tables are bound: each after those that it reads.

use std::collections::BTreeSet;

use crate::ast::{Pipeline, Span, StreamRef, TableDef, ViewDef};

/// A view or a table.
#[derive(Clone, Copy)]
pub(super) enum Item<'p> {
    View(&'p ViewDef),
    Table(&'p TableDef),
}

impl<'p> Item<'p> {
    pub(super) fn name(&self) -> &'p str {
        match self {
            Self::View(view) => &view.name.value,
            Self::Table(table) => &table.name.value,
        }
    }

    fn span(&self) -> Span {
        match self {
            Self::View(view) => view.name.span,
            Self::Table(table) => table.name.span,
        }
    }

    pub(super) fn streams(&self) -> Vec<&'p StreamRef> {
        match self {
            Self::View(view) => view.query.streams.iter().collect(),
            Self::Table(table) => table.flows.iter().flat_map(|f| &f.query.streams).collect(),
        }
    }

    pub(super) fn upstreams(&self) -> Vec<&'p str> {
        self.streams().into_iter().map(|s| s.table.value.as_str()).collect()
    }
}

/// The views and tables, each after those it reads, else in the order of the text. The parser has refused names that are
/// not there and circles; in a pipeline that it did not make, what stands on a circle is left out.
pub(super) fn order(pipeline: &Pipeline) -> Vec<Item<'_>> {
    let views = pipeline.views.iter().map(Item::View);
    let mut rest: Vec<Item<'_>> = views.chain(pipeline.tables.iter().map(Item::Table)).collect();
    rest.sort_by_key(Item::span);
    let mut waiting: BTreeSet<&str> = rest.iter().map(Item::name).collect();
    let mut ordered = Vec::with_capacity(rest.len());
    while let Some(at) = rest.iter().position(|item| item.upstreams().iter().all(|u| !waiting.contains(u))) {
        let item = rest.remove(at);
        waiting.remove(item.name());
        ordered.push(item);
    }
    ordered
}
