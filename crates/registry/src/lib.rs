//! The Schema Registry: as a client of a server over HTTP, and as a server over a folder.
//!
//! **Owns** what a registry is asked ([`Registry`]), the client ([`client`]), the embedded registry with its REST API and its judgement
//! of compatibility ([`store`]), the names of schemas ([`key`]), schemas kept beside a checkpoint ([`cache`]), and Avro schemas,
//! parsed ([`schema`]): compatibility and references need them.
//!
//! **May not know** events, rows, batches, or which columns a schema becomes.
//!
//! **States.** A [`SchemaCache`] and a [`RegistryStore`] are folders of files that are created once and never changed. A client
//! remembers what was answered: an id means one schema for ever; that there is none is believed for a few seconds.
//!
//! **Invariants** of the design kept here: 6 and 7 (no answer, request or schema panics, takes memory without end, or keeps others
//! waiting), 8 (a damaged file stops the run with its name and the way out).
//!
//! **A crash** leaves schemas in the cache and changes of the embedded registry, each a whole file or none, which the next start
//! reads.

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
