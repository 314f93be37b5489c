//! What librdkafka offers only through its C interface: the ids of topics, which tell a topic from another of the same name
//! that took its place, and a partition's events many at a time. And what it does not offer: record batches as they came, not
//! unpacked.
//!
//! **Owns** [`topic_ids`], [`Queue`], and all `unsafe` code of the workspace: `batches.c`, which takes the place of a function of
//! librdkafka, and calls for which rdkafka has no safe ones. The reasons, and what was weighed against it, are in
//! `docs/decisions/`.
//!
//! **May not know** anything but the client that it is handed.
//!
//! **Invariants** (numbers of the design): 7, no answer of a broker makes it panic, and every pointer that librdkafka
//! hands out is checked before it is read and given back once.
//!
//! **A crash** leaves nothing behind.

mod batches;
mod message;
mod owned;
mod queue;
mod topic_ids;

pub use message::{Header, Message, Polled};
pub use queue::Queue;
pub use topic_ids::topic_ids;
