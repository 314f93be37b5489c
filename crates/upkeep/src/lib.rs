//! Upkeep of tables and checkpoint: compaction, retention, and `verify`, which proves both against each other.
//!
//! **Owns** the decision which partitions are due, the exchange of a folder, beside a run and without one ([`compact`]), and the proof that
//! records, files and state agree ([`verify`]).
//!
//! **May not know** sources, queries, or how a batch is run. Its caller gives it the newest commit, and no batch is under way.
//!
//! **States of a compaction**: rewritten beside the table, recorded, exchanged. The next start finishes or reverts the newest one.
//!
//! **Invariants**: 2 (a reader sees the old folder or the new one, each complete), 3 (a kill at any moment leaves one of both), 8 (a file
//! that differs from its commit never becomes part of another file).
//!
//! **A crash** before the exchange leaves the new folder beside the table. A crash after it leaves the old one. The next start removes
//! either.

pub mod compact;
mod error;
pub mod verify;

pub use error::UpkeepError;
