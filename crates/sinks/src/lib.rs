//! Sinks: where the rows of a batch go once its commit is durable.
//!
//! **Owns** the trait of all sinks ([`Sink`]), the rows that wait for a transactional sink ([`Outbox`]), and tables in folders of files,
//! which any reader may glob at any moment: the staged and final names of files ([`layout`]), their encoding (Parquet in hive folders:
//! [`ParquetTable`], [`crate::parquet`]), the three steps of a write (`stage` here, the commit in the engine's checkpoint, [`publish()`]
//! here), the owner of a folder ([`owner`]), and the list of tables ([`catalog`]). Its suite, `testing` (feature `testing`), runs over any
//! sink.
//!
//! **May not know** SQL, expectations, watermarks, or any batch but the one it is handed.
//!
//! ```text
//!  LOCATION/_staging/<epoch>/<name>.staged   written, fsynced             1. stage
//!  checkpoints/<pipeline>/commits/<id>       names the staged files       2. commit (engine)
//!  LOCATION/<col>=<value>/<name>.parquet     linked, folders fsynced,     3. publish
//!                                            staged name removed
//! ```
//!
//! **The states of a file**: absent, staged (invisible to every glob for `*.parquet` or `*.json`), linked (both names point to one
//! content), published (the final name only). Publishing links the staged file to its final name and does not rename it, because a link
//! never replaces an existing file, whatever other process is running. It removes the staged name after the folder of the final name has
//! been fsynced, so that no power loss removes both.
//!
//! **Invariants** (numbers of the design): 2, a name below LOCATION shows a complete, committed file or is absent; 3, every step may be
//! repeated, by this process or by another; 4, rows reach a writer in chunks of a fixed size, however the batches were cut, and a file
//! depends on neither clock nor process; 6, one writer is open at a time.
//!
//! **A crash** in `stage` leaves files below `_staging/<epoch>` that no commit names. [`sweep`] of a later epoch removes them. A crash in
//! `publish` leaves some files final and others staged. Publishing the manifest again finishes it. A crash in [`owner::clear`] leaves some
//! files. Clearing again finishes it.
//!
//! Compaction and retention **later** exchange the folder of a partition for one with fewer files, or with none:
//! [`compact`](crate::parquet::compact).
//!
//! Effects on files are named `table`, `owner`, `stage`, `publish`, `sweep`, `clear` and `swap` ([`sluicebox_durable::fault`]).

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests make and damage files by hand"))]

pub mod catalog;
mod contents;
mod error;
mod fit;
mod folder;
pub mod kafka;
pub mod layout;
mod outbox;
mod output;
pub mod owner;
pub mod parquet;
mod publish;
mod sink;
mod staged;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod upkeep;

pub use self::parquet::{BATCH_ID, ParquetOptions, ParquetTable, ParquetVersion, stage_beside};
pub use catalog::{BESIDE_LAYERS, TableFolder, list_tables, list_without_rows};
pub use contents::{Contents, contents, contents_after};
pub use error::{LakeError, RemoteError, Result};
pub use folder::{existing, prepare, real_path, sweep, try_out};
pub use outbox::{OUTBOX, Outbox, OutboxRows, is_outbox_name, is_outbox_path};
pub use output::{Staged, StagedFiles, StagedRows};
pub use owner::Owner;
pub use publish::{Check, PublishFacts, PublishStep, Publisher, Refusal, Seen, decide, publish};
pub use sink::{Rows, Sink, Sinks, Takes};
pub use staged::{BatchKey, StagedFile, stage_file};
pub use upkeep::Upkeep;
