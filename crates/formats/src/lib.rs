//! Formats of values, and the frame of a source row: from raw events to rows and dead letters.
//!
//! **Owns** the frame that every row has, whatever its format ([`SourceDecoder`]): the columns of the event itself, provenance, dead
//! letters ([`dead_letter_schema`]) and the closed list of their reasons ([`class`]), the portions that threads decode ([`portions()`]),
//! and how a value names its schema ([`framing`]). A format is a [`Decoder`] of values alone: [`avro`], [`json`], [`mod@text`]. Its suite,
//! `testing` (feature `testing`), runs over any format.
//!
//! **May not know** where events come from, what a batch is, SQL, or what becomes of rows and dead letters. `sluicebox_registry` fetches
//! and caches schemas.
//!
//! **States.** A decoder has its columns from the start. The decoder of Avro learns writer schemas as events name them.
//!
//! **Invariants** of the design kept here: 1 (every event of a batch becomes a tombstone, a dead letter or a row, and is counted there), 6
//! ([`Limits`] bounds the cost of one event), 7 (no input panics, and an event that fails leaves nothing in the columns of its neighbours).
//!
//! **A crash** leaves no effect. The registry's cache holds the schemas that a decoder learned, each as a complete file or not at all.

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests make and damage files by hand"))]

pub mod avro;
pub mod class;
mod code;
mod column;
mod decoded;
mod decoder;
mod error;
mod event_decoder;
mod events;
mod fault;
mod format;
pub mod framing;
pub mod json;
mod key;
mod letters;
mod limits;
mod pin;
mod portions;
mod run;
mod source;
mod standard;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod text;

pub use avro::{LeftOut, ignored_fields, key_column, left_out, source_columns};
pub use class::ErrorClass;
pub use column::{Column, List, Map, Struct, Values, VarBytes};
pub use decoded::{Decoded, SchemaUse};
pub use decoder::{Decoder, Prepared};
pub use error::FormatError;
pub use event_decoder::{EventDecoder, Letter, Refused, Row};
pub use events::Event;
pub use format::{Declared, DeclaredFormat, Format, Reads, SchemaFormat, Schemas, Words};
pub use key::{KEY, KeyDecoder, with_key_column};
pub use letters::dead_letter_schema;
pub use limits::Limits;
pub use pin::SourcePin;
pub use portions::{portions, weight};
pub use run::Run;
pub use source::{DecoderOptions, SourceDecoder};
pub use standard::standard;
