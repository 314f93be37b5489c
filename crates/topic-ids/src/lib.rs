//! The ids of Kafka topics: what tells a topic from another of the same name that took its place.
//!
//! **Owns** one question, [`topic_ids`], and the only `unsafe` code of the workspace, in one module. rdkafka has no safe
//! call for it; the reasons, and what was weighed against it, are in `docs/decisions/`.
//!
//! **May not know** anything but the client that it is handed.
//!
//! **Invariants** (numbers of the design): 7, no answer of a broker makes it panic, and every pointer that librdkafka
//! hands out is checked before it is read and given back once.
//!
//! **A crash** leaves nothing behind.

mod ffi;

pub use ffi::topic_ids;
