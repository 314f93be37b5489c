//! From SQL text to a checked pipeline, without I/O.
//!
//! **Owns** the language: its statements ([`parse`](mod@parse)), options ([`options`]), what they say of the events' encoding
//! ([`formats`]), settings ([`settings`]), the
//! function `window` ([`window`]), when two values are equal ([`equal`]), what a mistake looks like to the user ([`diagnostic`]), and the graph of plans and
//! stateful operators that an engine can run a batch through ([`bind`], [`graph`]).
//!
//! **May not know** files, brokers, registries, environment variables or batches: the schemas of sources are handed in,
//! and secrets stay references such as `${env:NAME}` until the station that needs them looks.
//!
//! **Its states**: text, [`ast::Pipeline`] (every name, option and query with its place; nothing needs a schema),
//! [`graph::Graph`] (every column resolved; nothing can be wrong any more but the data). A mistake is found in the first
//! state that can see it, so that nothing has been read or written when it is reported.
//!
//! **Invariants** (DESIGN section 5): 7, no text panics; and it serves 5, because a plan is made from the text alone and
//! never from what a batch holds.
//!
//! **A crash** leaves nothing, since nothing is ever written.

pub mod ask;
pub mod ast;
pub mod bind;
pub mod diagnostic;
pub mod equal;
pub mod formats;
pub mod graph;
mod late;
pub mod leaf;
pub mod options;
pub mod parse;
pub mod room;
pub mod settings;
mod sql;
pub mod values;
pub mod window;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use parse::parse;
