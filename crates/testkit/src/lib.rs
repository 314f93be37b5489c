//! Generators of events, and where they put them: for tests, benches, `produce` and the `sample` option of a source.
//!
//! **Owns** what made-up events are ([`sales`]), how keys choose partitions ([`partitioner`]), the topics that events
//! can go to ([`sink`]), and telling a registry their schema ([`mod@register`]).
//!
//! **May not know** pipelines, the engine or tables: to whoever reads a topic, events from here are events.
//!
//! **States**: a generator has none; event `i` is a function of the configuration and `i`, so two runs, threads or
//! versions make the same stream.
//!
//! **A crash** of `produce` leaves a prefix of the stream in each partition of the topic.

pub mod error;
pub mod mix;
pub mod partitioner;
pub mod register;
pub mod sales;
pub mod sink;

pub use error::{ProduceError, Result};
pub use register::register;
