//! Generators of events, and where they put them: for tests, benches, `produce` and the `sample` option of a source.
//!
//! **Owns** what made-up events are ([`sales`]), how keys choose partitions ([`partitioner`]), the topics that events
//! can go to ([`sink`]), telling a registry their schema ([`mod@register`]), and filling the embedded log for a source's
//! `sample` option ([`feeder`]).
//!
//! **May not know** pipelines, the engine or tables: to whoever reads a topic, events from here are events.
//!
//! **States**: a generator has none; event `i` is a function of the configuration and `i`, so two runs, threads or
//! versions make the same stream. A feeder knows of each partition which event comes next, and learns it from the log.
//!
//! **Invariants** (numbers of the design): 3, a topic that a sample fills holds each event of its backlog once and in
//! order, however often its feeder was killed; 7, the malformed events are there so that every reader is tried on them.
//!
//! **A crash** of `produce` leaves a prefix of the stream in each partition of the topic. A crash of a feeder leaves the
//! same, at worst with a torn append behind it; the next feeder goes on from what is there.

pub mod avro;
pub mod error;
pub mod feeder;
pub mod mix;
pub mod partitioner;
pub mod register;
pub mod sales;
pub mod sink;

pub use error::{ProduceError, Result};
pub use register::register;
