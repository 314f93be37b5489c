//! Avro: raw events into source rows, by the reader schema that the checkpoint pins.
//!
//! One walk over a body checks every byte and appends the values to the columns. Rows of all writer schemas go into the same columns, in
//! offset order. If an event fails, its values are truncated from the columns again, and it becomes a dead letter.

mod asking;
mod cursor;
mod decoder;
mod foreign;
mod format;
mod key;
mod leaf;
mod number;
mod probe;
mod program;
mod reader;
mod resolve;
mod shape;
mod skip;
#[cfg(test)]
mod tests;
mod walk;
mod writers;

pub use decoder::{AvroDecoder, decoder};
pub use format::Avro;
pub(crate) use key::AvroKey;
pub(crate) use probe::Probe;
pub use reader::{ignored_fields, key_column, left_out, source_columns};
pub use shape::LeftOut;
pub(crate) use writers::Writers;
