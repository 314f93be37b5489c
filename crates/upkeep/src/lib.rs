//! What keeps tables and checkpoint in order: partitions compacted and retired, and both proved against each other.
//!
//! **Owns** which partitions are due, how a folder is exchanged, beside a run and without one ([`compact`]), and the proof that
//! records, files and state agree ([`verify`]).
//!
//! **May not know** sources, queries, or how a batch is run: it is handed the newest commit, and no batch is under way.
//!
//! **States of a compaction**: rewritten beside the table, recorded, exchanged; the next start finishes or takes back the newest one.
//!
//! **Invariants**: 2 (a reader sees the old folder or the new one, each whole), 3 (whoever is killed leaves one of both), 8 (a file
//! that is not what was committed becomes part of no other).
//!
//! **A crash** before the exchange leaves a folder beside the table, which the next start removes; after it, the old one.

pub mod compact;
mod error;
pub mod verify;

pub use error::UpkeepError;
