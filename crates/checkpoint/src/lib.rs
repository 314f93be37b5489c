//! The checkpoint: the folder that a run resumes from.
//!
//! ```text
//! metadata               query id, generation, the logs that are read     written once
//! epochs/<n>             one file a run, locked while it lives            create-if-absent
//! pipelines/<n>          a version of the SQL, and what was decided for it create-if-absent, before its first batch
//! sources/<name>/        starting offsets, reader schema, writer schemas  written before the first fetch
//! offsets/<id>           the plan of batch <id>                           before any effect of the batch
//! state/<operator>/      deltas, segments, snapshots                      before the commit that names them
//! outbox/<table>/        rows that wait for a sink with transactions      before the commit that names them
//! commits/<id>           the commit of batch <id>                         this is the moment it happens
//! compactions/<n>        a partition folder that was exchanged            before the exchange
//! refresh                a full refresh in progress                       removed when it is done
//! ```
//!
//! [`envelope`] wraps every file but those below `state/` and `outbox/`. Files below `state/` carry their version. The commit names both
//! kinds with length and checksum. `sluicebox_sinks` writes and reads `outbox/`.
//!
//! **Owns** the records and their format ([`records`], [`PipelineRecord`], [`shape`]), the lock and the epoch of a run ([`RunLock`]), the
//! decision what a start does first ([`recovery`]), the files of operators' state, the fence that stops a superseded run, the purge of old
//! records, and the list of names that a run gives. A file with any other name belongs to somebody else and stays.
//!
//! **May not know** how a batch is run, where events come from, what an operator does, SQL or Parquet.
//!
//! **States of a record**: absent, being written (a temporary file whose name carries the run's epoch), there. Nothing changes a record,
//! with four exceptions: `metadata`, a source's starting offsets and its reader schema are replaced, and `refresh` is removed.
//!
//! **Invariants**: 3 (a record is durable before any effect that depends on it; of two runs that write one record, one succeeds), 8 (every
//! record has a checksum; a missing or damaged record stops the run, and the error names it).
//!
//! **A crash** leaves a record complete or absent. The next run sweeps temporary files of earlier runs and state files that no commit
//! names.

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests make and damage files by hand"))]

mod compactions;
pub mod envelope;
mod error;
mod fence;
mod folder;
mod judge;
mod lock;
mod numbers;
mod ours;
mod pipelines;
mod place;
mod purge;
pub mod records;
pub mod recovery;
mod segment_files;
pub mod shape;
mod state_files;

pub use compactions::{Settled, settled};
pub use error::CheckpointError;
pub use folder::Checkpoint;
pub use lock::{RunLock, hostname};
pub use numbers::has_records;
pub use pipelines::{PipelineRecord, column_order};
pub use purge::keep_from;
pub use segment_files::StagedSegment;
pub use state_files::StateKind;
