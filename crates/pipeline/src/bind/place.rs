//! Converts the places that sqlparser and DataFusion give, lines and columns, to byte offsets of the text.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Location, Span as LineSpan};
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::Spanned;
use datafusion::sql::sqlparser::tokenizer;

use crate::ast::Span;
use crate::diagnostic::byte_span;

/// Finds bytes by line and column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    text: &'a str,
}

impl<'a> Places<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// The place of a span of DataFusion.
    pub(super) fn of(&self, span: LineSpan) -> Option<Span> {
        let location = |l: Location| tokenizer::Location { line: l.line, column: l.column };
        byte_span(self.text, tokenizer::Span { start: location(span.start), end: location(span.end) })
    }

    /// The place of a part of the parsed SQL, or `otherwise` if it has none.
    pub(super) fn node(&self, node: &impl Spanned, otherwise: Span) -> Span {
        self.parsed(node.span()).unwrap_or(otherwise)
    }

    /// The place of a span of sqlparser.
    pub(super) fn parsed(&self, span: tokenizer::Span) -> Option<Span> {
        byte_span(self.text, span)
    }

    /// The smallest place that holds the columns of `expressions`.
    pub(super) fn columns<'e>(&self, expressions: impl IntoIterator<Item = &'e Expr>) -> Option<Span> {
        let spans = expressions.into_iter().flat_map(spans);
        spans
            .filter_map(|span| self.of(span))
            .reduce(|a, b| Span { start: a.start.min(b.start), end: a.end.max(b.end) })
    }

    /// How long the text is.
    pub(super) fn length(&self) -> usize {
        self.text.len()
    }

    /// The text at `span`.
    pub(super) fn text(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }
}

/// The place of the first column in `expr`.
pub(super) fn first_span(expr: &Expr) -> Option<LineSpan> {
    spans(expr).into_iter().next()
}

fn spans(expr: &Expr) -> Vec<LineSpan> {
    let mut found = Vec::new();
    let walked = expr.apply(|e| {
        if let Expr::Column(column) = e {
            found.extend(column.spans().first());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    if walked.is_err() { Vec::new() } else { found }
}
