//! A client of a Schema Registry over HTTP: it chooses the server, classifies the answer, and waits for servers that are down.
//!
//! It does not use `schema_registry_converter`, which tells neither a transient error from a refusal nor a wrong URL from an unknown
//! schema. `tests/converter.rs` shows it, `docs/decisions/0028` weighs it.

mod address;
mod answer;
mod connect;
mod flight;
mod http;
#[cfg(test)]
mod misbehaving;
mod options;
#[cfg(test)]
mod tests;

pub use address::Address;
pub use answer::LONGEST_NAME;
pub use http::HttpRegistry;
pub use options::{Auth, HttpOptions};
