//! The batch loop: admit, write-ahead, run the graph, commit, publish, recover.
//!
//! **Owns** the start of a run, as a list of steps ([`Engine::open`]), the decision what a batch reads ([`admit`](mod@admit)), the
//! reading and decoding of a batch, the order of plan, stage, commit and publish ([`Engine::run`]), triggers and the end of a run,
//! and what is told of a batch ([`report`], [`progress`]).
//!
//! **May not know** Kafka or Parquet: sources and sinks come in through their traits and types. What a batch computes is
//! `sluicebox_runtime`'s, what is durable between batches `sluicebox_checkpoint`'s, what a changed SQL means `sluicebox_evolve`'s,
//! what is put in order between batches `sluicebox_upkeep`'s.
//!
//! **States of a batch**: planned (`offsets/<id>` durable), committed (`commits/<id>` durable), published (its files have
//! their names; `offsets/<id+1>` proves it).
//!
//! **Invariants**: 1 (the ledger of each batch is proved before its commit), 2 and 3 (the order of a batch's steps), 4 (a replay
//! uses the plan's ranges, clock and watermarks), 6 (admission under a budget of bytes).
//!
//! **A crash** before `offsets/<id>`: nothing happened. Before `commits/<id>`: the batch is replayed as planned, what it
//! staged is swept. After it: the batch is published again from its manifest. State files that no commit names are
//! removed by the next purge.

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
