//! For callers that compile a graph: gives DataFusion's errors their place in the pipeline's text.

use datafusion::common::DataFusionError;
use datafusion::logical_expr::Expr;

use super::place::Places;
use super::plan::diagnose;
use super::said;
use super::words::Words;
use crate::ast::Span;
use crate::diagnostic::Diagnostic;

/// An error of DataFusion in the words of SQL, in one line.
#[must_use]
pub fn in_words(error: &DataFusionError) -> String {
    said::of(error).line()
}

/// Makes diagnostics of what goes wrong with the plans of a pipeline.
#[derive(Debug, Clone, Copy)]
pub struct Blamer<'a> {
    places: Places<'a>,
}

impl<'a> Blamer<'a> {
    /// For the pipeline of this text.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { places: Places::new(text) }
    }

    /// An error of `exprs`: where their columns stand, else at `otherwise`.
    pub fn blame<'e>(
        &self,
        error: &DataFusionError,
        exprs: impl IntoIterator<Item = &'e Expr>,
        otherwise: Span,
    ) -> Diagnostic {
        let span = self.places.columns(exprs).unwrap_or(otherwise);
        diagnose(error, &self.places, span)
    }

    /// An aggregate that cannot be split into partial states, or does not take its arguments.
    #[must_use]
    pub fn blame_aggregate(&self, error: &DataFusionError, aggregate: &Expr, otherwise: Span) -> Diagnostic {
        let span = self.places.columns([aggregate]).unwrap_or(otherwise);
        let call = Words::default().say(aggregate);
        let said = said::of(error);
        let mut diagnostic =
            Diagnostic::new("aggregate", span, format!("`{call}` cannot be computed over a stream"), "this aggregate");
        diagnostic = diagnostic.with_note(said.line()).with_help_opt(said.help);
        let help = "aggregate a single column of a simple type (CAST it if needed), or drop DISTINCT";
        if diagnostic.help.is_none() { diagnostic.with_help(help) } else { diagnostic }
    }

    /// A mistake in words.
    pub fn say<'e>(
        &self,
        code: &'static str,
        message: &str,
        exprs: impl IntoIterator<Item = &'e Expr>,
        otherwise: Span,
    ) -> Diagnostic {
        let said = said::text(message);
        Diagnostic::new(code, self.places.columns(exprs).unwrap_or(otherwise), said.message, "")
            .with_help_opt(said.help)
    }
}
