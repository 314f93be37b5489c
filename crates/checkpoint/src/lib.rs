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
//! Every file but those below `state/` and `outbox/` is wrapped by [`envelope`]; files below `state/` carry their version, and both
//! are named with length and checksum by the commit. Those of `outbox/` are written and read by `sluicebox_sinks`.
//!
//! **Owns** the records and their format ([`records`], [`PipelineRecord`], [`shape`]), the lock and the epoch of a run
//! ([`RunLock`]), the decision what a start does first ([`recovery`]), the files of operators' state, how a record is kept from a
//! run that was passed, which records may go, and which names are a run's at all: what bears another is somebody else's, and stays.
//!
//! **May not know** how a batch is run, where events come from, what an operator does, SQL or Parquet.
//!
//! **States of a record**: absent, being made (a temporary file whose name carries the epoch of the run that makes it), there.
//! A record is never changed; `metadata`, a source's start and its reader schema are replaced, `refresh` is removed.
//!
//! **Invariants**: 3 (a record is durable before anything that follows from it is done; of two runs one makes it), 8 (every
//! record is checksummed; what is missing or damaged stops the run with its name).
//!
//! **A crash** leaves a record whole or absent. Temporary files of an earlier run are swept by the next one, and so are state
//! files that no commit names.

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
