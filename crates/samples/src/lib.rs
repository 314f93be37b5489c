//! Generators of events, and the topics that they fill: for tests, benches, `produce` and the `sample` option of a source.
//!
//! **Owns** the generated events ([`sales`]), the partitioner of keys ([`partitioner`]), the topics that events can go to ([`sink`]), the
//! registration of their schema ([`mod@register`]), and the feeder that fills the embedded log for a source's `sample` option ([`feeder`]).
//!
//! **May not know** pipelines, the engine or tables. A reader of a topic cannot tell generated events from others.
//!
//! **States**: a generator has none. Event `i` is a function of the configuration and `i`, so two runs, threads or versions generate the
//! same stream. A feeder knows the next event of each partition. It learns it from the log.
//!
//! **Invariants** (numbers of the design): 3, a topic that a feeder fills holds each event of its backlog once and in order, however often
//! the feeder was killed; 7, malformed events are part of the stream, so that every reader meets them.
//!
//! **A crash** of `produce` leaves a prefix of the stream in each partition of the topic. A crash of a feeder leaves the same, perhaps with
//! a torn append behind it. The next feeder continues from there.

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
