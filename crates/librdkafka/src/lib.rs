//! What librdkafka offers only through its C interface, and what it does not offer. The first: topic ids, which tell a topic from a later
//! one of the same name, and polls that return many events of a partition. The second: record batches as the broker sent them, still
//! packed.
//!
//! **Owns** [`topic_ids`], [`Queue`], and all `unsafe` code of the workspace: `batches.c`, which replaces a function of librdkafka, and the
//! calls for which rdkafka has no safe wrapper. `docs/decisions/` gives the reasons and the alternatives.
//!
//! **May not know** anything but the client that it is handed.
//!
//! **Invariants** (numbers of the design): 7, no answer of a broker makes it panic. It checks every pointer of librdkafka before it reads
//! it, and frees it once.
//!
//! **A crash** leaves nothing.

mod batches;
mod message;
mod owned;
mod queue;
mod topic_ids;

pub use message::{Header, Message, Polled};
pub use queue::Queue;
pub use topic_ids::topic_ids;
