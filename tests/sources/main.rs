//! What a run and `plan` say of brokers, topics, registries and foreign events: true, aloud, and not for ever.
//!
//! The cluster is librdkafka's mock, the registry a few lines of `bench.rs`.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod bench;
#[path = "../support/mod.rs"]
mod support;

mod hostile;
mod letters;
mod places;
mod refused;
mod secrets;
mod swollen;
mod told;
