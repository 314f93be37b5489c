//! The batch loop: admit, write-ahead, run the graph, commit, publish, recover.
//!
//! **Owns** the checkpoint ([`checkpoint`]), the decision what a batch reads ([`admit`](mod@admit)), the walk of a batch
//! through the checked graph, the order of stage, commit and publish ([`batch`]), recovery
//! ([`engine`], [`checkpoint::recovery`]), triggers and the end of a run ([`run`]), and progress ([`progress`]).
//!
//! **May not know** Kafka, Avro's encoding or Parquet: sources, decoders and table formats come in through their traits
//! and types.
//!
//! **States of a batch**: planned (`offsets/<id>` durable), committed (`commits/<id>` durable), published (its files have
//! their names; `offsets/<id+1>` proves it).
//!
//! **Invariants**: 1 (the ledger of each batch is proved before its commit), 2 and 3 (the order in [`batch`]), 4 (a replay
//! uses the plan's ranges, clock and watermarks), 6 (admission under a budget of bytes), 8 (every record is checksummed;
//! what is missing or damaged stops the run).
//!
//! **A crash** before `offsets/<id>`: nothing happened. Before `commits/<id>`: the batch is replayed as planned, what it
//! staged is swept. After it: the batch is published again from its manifest. State files that no commit names are
//! removed by the next purge.

pub mod admit;
pub mod batch;
pub mod begin;
mod code;
mod compacting;
pub mod config;
mod decoding;
pub mod engine;
mod error;
mod goal;
mod journal;
mod leave;
mod letters;
mod planned;
mod preflight;
pub mod progress;
mod prove;
mod read;
pub mod report;
pub mod run;
mod topics;

pub use begin::{Begin, Starting};
pub use config::{Config, RowsOf, SourceBinding, Trigger};
pub use engine::Engine;
pub use error::EngineError;
pub use preflight::{Room, check_folders};
pub use prove::prove;
pub use run::{Observer, Totals};
