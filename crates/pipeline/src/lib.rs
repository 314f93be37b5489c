//! From SQL text to a checked pipeline, without I/O.
//!
//! **Owns** the language: its statements ([`parse`](mod@parse)), options ([`options`]), the formats of events in them ([`formats`]),
//! settings ([`settings`]), the lists of what there is ([`vocabulary`]), the function `window` ([`window`]), the equality of values ([`equal`]), the form of a diagnostic
//! ([`diagnostic`]), and the graph of plans and stateful operators that an engine runs batches through ([`bind`], [`graph`]).
//!
//! **May not know** files, brokers, registries, environment variables or batches. The caller gives the schemas of sources. Secrets stay
//! references such as `${env:NAME}` until the station that needs them resolves them.
//!
//! **States**: text; [`ast::Pipeline`] (every name, option and query with its place; no schema needed); [`graph::Graph`] (every column
//! resolved; only the data can still be wrong). A mistake is reported in the first state that can show it, before anything is read or
//! written.
//!
//! **Invariants** (numbers of the design): 7, no text panics; and 5, because a plan depends on the text alone and never on the rows of a batch.
//!
//! **A crash** leaves nothing: the crate writes nothing.

pub mod ask;
pub mod ast;
pub mod bind;
pub mod diagnostic;
pub mod equal;
pub mod formats;
pub mod graph;
pub mod kinds;
mod late;
pub mod leaf;
pub mod options;
pub mod parse;
pub mod room;
pub mod settings;
mod span;
mod sql;
pub mod values;
mod visit;
pub mod vocabulary;
pub mod window;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use parse::parse;
pub use vocabulary::Vocabulary;
