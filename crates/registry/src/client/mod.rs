//! A Schema Registry over HTTP: which servers are asked, what their answers mean, and how long they are waited for.
//!
//! It does not stand on `schema_registry_converter`, which tells neither trouble that passes from refusals nor a wrong URL from an unknown
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
