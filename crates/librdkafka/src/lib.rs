//! What librdkafka offers only through its C interface: the ids of topics, which tell a topic from another of the same name
//! that took its place, and a partition's events many at a time.
//!
//! **Owns** [`topic_ids`], [`Queue`], and all `unsafe` code of the workspace. rdkafka has no safe calls for these; the
//! reasons, and what was weighed against it, are in `docs/decisions/`.
//!
//! **May not know** anything but the client that it is handed.
//!
//! **Invariants** (numbers of the design): 7, no answer of a broker makes it panic, and every pointer that librdkafka
//! hands out is checked before it is read and given back once.
//!
//! **A crash** leaves nothing behind.

mod message;
mod owned;
mod queue;
mod topic_ids;

pub use message::{Header, Message, Polled};
pub use queue::Queue;
pub use topic_ids::topic_ids;
