//! Avro events and the Schema Registry: the second station of the road, from raw events to source rows.
//!
//! **Owns** framing ([`framing`]), the Schema Registry as a client ([`registry`]) and as a server over a folder ([`store`]),
//! schemas and their resolution ([`schema`]), decoding ([`decode`]), and the closed list of reasons why an
//! event becomes a dead letter ([`class`]).
//!
//! **May not know** where events come from, what a batch is, SQL, or what becomes of rows and dead letters.
//!
//! **States.** A [`Decoder`] has its reader schema from the start ([`PinnedSchema`]) and learns writer schemas as events
//! name them. A [`SchemaCache`] and a [`RegistryStore`] are folders of files that are created once and never changed.
//!
//! **Invariants** of the design kept here: 1 (every event of a batch is a tombstone, a dead letter or a row, each counted
//! where it happens), 6 (what one event may cost is limited, [`Limits`]), 7 (no input panics, and an event that fails
//! leaves nothing in the columns of its neighbours).
//!
//! **A crash** leaves no effect but schemas in the cache and changes of the embedded registry, each a whole file or none,
//! which the next start reads.

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests make and damage files by hand"))]

mod bounded;
pub mod class;
pub mod decode;
mod error;
mod foreign;
pub mod framing;
pub mod registry;
pub mod schema;
pub mod store;
#[cfg(test)]
mod testing;
mod told;
pub use class::ErrorClass;
pub use decode::{
    Decoded, Decoder, DecoderOptions, LeftOut, Limits, SchemaUse, Writers, dead_letter_schema, ignored_fields,
    left_out, portions, source_columns, weight,
};
pub use error::AvroError;
pub use framing::{Guid, SchemaKey};
pub use registry::cache::SchemaCache;
pub use registry::{HttpOptions, HttpRegistry, PinnedSchema, Registry, RegistryError, SchemaText};
pub use store::RegistryStore;
