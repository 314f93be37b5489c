//! The Schema Registry: a client of servers over HTTP, and a server over a folder.
//!
//! **Owns** the questions to a registry ([`Registry`]), the client ([`client`]), the embedded registry with its REST API and its
//! compatibility check ([`store`]), the names of schemas ([`key`]), the schema cache of a checkpoint ([`cache`]), and the parser of Avro
//! schemas ([`schema`]), which compatibility and references need.
//!
//! **May not know** events, rows, batches, or which columns a schema becomes.
//!
//! **States.** A [`SchemaCache`] and a [`RegistryStore`] are folders of files that are created once and never changed. A client caches
//! answers: a schema id forever, since it never changes its meaning, and an unknown id for a few seconds.
//!
//! **Invariants** of the design kept here: 6 and 7 (no answer, request or schema panics, takes unbounded memory, or keeps other clients
//! waiting), 8 (a damaged file stops the run; the error names it and the remedy).
//!
//! **A crash** leaves each cached schema and each change of the embedded registry as a complete file or not at all. The next start reads
//! them.

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests make and damage files by hand"))]

mod cache;
mod client;
mod error;
pub mod key;
mod references;
mod registry;
pub mod schema;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use cache::SchemaCache;
pub use client::{Address, Auth, HttpOptions, HttpRegistry, LONGEST_NAME};
pub use error::SchemaFileError;
pub use key::{Guid, SchemaKey};
pub use registry::{PinnedSchema, Reference, ReferencedText, Registry, RegistryError, SchemaText};
pub use store::RegistryStore;
