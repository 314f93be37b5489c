//! The batch loop: admit, plan, run the graph, commit, publish, recover.
//!
//! **Owns** the start of a run, as a list of steps ([`Engine::open`]), the decision what a batch reads ([`admit`](mod@admit)), the reading
//! and decoding of a batch, the order of plan, stage, commit and publish ([`Engine::run`]), triggers and the end of a run, and the reports
//! of a batch ([`report`], [`progress`]).
//!
//! **May not know** Kafka or Parquet: sources and sinks come in through their traits and types. `sluicebox_runtime` computes a batch,
//! `sluicebox_checkpoint` holds what is durable between batches, `sluicebox_evolve` interprets a changed SQL, and `sluicebox_upkeep`
//! compacts and retires between batches.
//!
//! **States of a batch**: planned (`offsets/<id>` durable), committed (`commits/<id>` durable), published (its files have their names;
//! `offsets/<id+1>` proves it).
//!
//! **Invariants**: 1 (the ledger of each batch is proved before its commit), 2 and 3 (the order of a batch's steps), 4 (a replay uses the
//! plan's ranges, clock and watermarks), 6 (admission under a budget of bytes).
//!
//! **A crash** before `offsets/<id>` leaves no effect. After a crash before `commits/<id>`, the next start replays the batch as planned and
//! sweeps what it staged. After a crash behind `commits/<id>`, it publishes the batch again from its manifest. The next purge removes state
//! files that no commit names.

pub mod admit;
pub mod begin;
mod code;
pub mod config;
mod decoding;
pub mod engine;
mod error;
mod hearing;
mod journal;
mod letters;
mod opening;
mod outcome;
mod positions;
mod preflight;
pub mod progress;
mod prove;
mod read;
pub mod report;
mod shutdown;
mod topics;
mod trigger;

pub use begin::{Begin, Starting};
pub use config::{Config, RowsOf, SourceBinding, Trigger};
pub use engine::Engine;
pub use error::EngineError;
pub use outcome::BatchOutcome;
pub use preflight::{Room, check_folders};
pub use progress::{Observer, Totals};
pub use prove::prove;
