//! Table formats: how a batch's rows become files that any reader may glob at any moment.
//!
//! **Owns** folders of files: where a staged file lies and what its final name is ([`layout`]), how rows become files
//! ([`TableFormat`]; Parquet in hive folders: [`ParquetTable`], [`crate::parquet`]), the three steps of a write (`stage` here, the commit in the
//! engine's checkpoint, [`publish()`] here), whose folder it is ([`owner`]), and what tables there are ([`catalog`]).
//!
//! **May not know** Kafka, Avro, SQL, expectations, watermarks, or any batch but the one it is handed.
//!
//! ```text
//!  LOCATION/_staging/<epoch>/<name>.staged   written, fsynced             1. stage
//!  checkpoints/<pipeline>/commits/<id>       names the staged files       2. commit (engine)
//!  LOCATION/<col>=<value>/<name>.parquet     linked, folders fsynced,     3. publish
//!                                            staged name removed
//! ```
//!
//! **The states of a file**: absent, staged (invisible to every glob for `*.parquet` or `*.json`), linked (both names
//! point to one content), published (the final name only). Publishing links the staged file to its final name instead of
//! renaming it, because a link never replaces a file that is there, whoever else is running; the staged name goes only
//! when the folder of the final name has been fsynced, so that no power loss can take both.
//!
//! **Invariants** (DESIGN section 5): 2, a name below LOCATION shows a whole, committed file or is absent; 3, every step
//! may be repeated, by this process or by another; 4, rows reach a writer in chunks of a fixed size, whatever the cuts of
//! the batches that brought them, and nothing of the clock or the process goes into a file; 6, one writer is open at a time.
//!
//! **A crash** in `stage` leaves files below `_staging/<epoch>` that no commit names: [`sweep`] of a later epoch removes
//! them. A crash in `publish` leaves some files final and others staged: publishing the manifest again finishes. A crash
//! in [`owner::clear`] leaves some files: clearing again finishes.
//!
//! **Later** the folder of a partition may be exchanged for one with fewer files, or for none: [`compact`](crate::parquet::compact).
//!
//! Effects on files are named `table`, `owner`, `stage`, `publish`, `sweep`, `clear` and `swap` ([`sluicebox_durable::fault`]).

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests make and damage files by hand"))]

pub mod catalog;
mod contents;
mod error;
mod folder;
pub mod layout;
pub mod owner;
pub mod parquet;
mod publish;
mod staged;
#[cfg(test)]
mod tests;

pub use self::parquet::{ParquetOptions, ParquetTable, ParquetVersion};
pub use catalog::{BESIDE_LAYERS, TableFolder, list_tables, list_without_rows};
pub use contents::{Contents, contents, contents_after};
pub use error::{LakeError, Result};
pub use folder::{existing, prepare, real_path, sweep, try_out};
pub use owner::Owner;
pub use publish::{Check, PublishFacts, PublishStep, Publisher, Refusal, Seen, decide, publish};
pub use staged::{BatchKey, StagedFile, stage_file};

use std::path::Path;

use arrow::array::RecordBatch;

/// How the rows of a table become files. Every implementation keeps the invariants of this page.
pub trait TableFormat: Send + Sync + std::fmt::Debug {
    /// The table's folder, absolute.
    fn location(&self) -> &Path;

    /// Makes the folder, durable, and proves that files can be staged and published in it; see [`prepare`].
    ///
    /// # Errors
    /// When the folder cannot be made, is read-only, or its filesystem cannot publish.
    fn prepare(&self) -> Result<()> {
        prepare(self.location())
    }

    /// Writes `rows`, in their order, to staged files and makes them durable. Nothing of it is visible to readers. No rows
    /// give no files. Staging the same batch again in the same epoch replaces what was staged.
    ///
    /// # Errors
    /// When the rows are not the table's, a partition value is too long for a folder's name, or a file cannot be written; what was
    /// staged until then is never published, and swept later.
    fn stage(&self, batch: &BatchKey<'_>, rows: &[RecordBatch]) -> Result<Vec<StagedFile>>;

    /// Gives the committed `files` their final names; see [`publish()`].
    ///
    /// # Errors
    /// When another file is in the way, a staged file is lost or damaged, or the filesystem fails.
    fn publish(&self, files: &[StagedFile], check: Check) -> Result<()> {
        publish(self.location(), files, check)
    }

    /// Removes what older epochs staged and no commit names; see [`sweep`] for when this may be called.
    ///
    /// # Errors
    /// When a file or folder cannot be removed.
    fn sweep(&self, epoch: u64) -> Result<()> {
        sweep(self.location(), epoch)
    }
}
