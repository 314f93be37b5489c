//! A Schema Registry over HTTP: which servers are asked, what their answers mean, and how long they are waited for.

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
