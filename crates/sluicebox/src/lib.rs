//! The library behind the command line: a program plans and runs pipelines by it, and queries tables.
//!
//! ```no_run
//! use sluicebox::{Job, Progress, Status};
//!
//! # async fn example() -> sluicebox::Result<()> {
//! let job = Job::read("sql/gold_revenue.sql")?;
//! let mut told = |batch: &Progress, _: &Status| println!("batch {}", batch.batch_id);
//! job.run_available(&mut told).await?;
//! let rows = sluicebox::query::rows("data", "SELECT sum(revenue) FROM gold.revenue_5m").await?;
//! # let _ = rows;
//! # Ok(())
//! # }
//! ```
//!
//! **Owns** the way from a file of SQL to a plan ([`load`], [`Plan`]) and to a run ([`run()`], [`Job`]); the sources, tables, formats and
//! functions that a pipeline may name ([`Connectors`]), to which a program adds its own; and queries over the folders of tables ([`query`]).
//!
//! **May not know** a terminal, the words of a command line, or exit codes. It computes nothing itself: the engine decides the contents of a
//! batch and the order of its steps.
//!
//! **States of a pipeline**: text ([`load::Spec`]), checked ([`load::Checked`]: nothing has been touched), loaded ([`load::Loaded`]:
//! samples filled, sources connected), opened by the engine.
//!
//! **Invariants** (numbers of the design): 8, and that a mistake is shown before anything has been read or written.
//!
//! **A crash** before a pipeline is loaded leaves nothing; from then on what it leaves is the engine's.

pub mod connectors;
pub mod error;
mod job;
pub mod load;
mod plan;
pub mod query;
mod run;

pub use connectors::{Connectors, Home};
pub use error::{Error, NoThread, Result, Usage, told};
pub use job::Job;
pub use plan::Plan;
pub use run::{RunOptions, Watch, config, run};
pub use sluicebox_engine::progress::{Progress, Status};
pub use sluicebox_engine::{Observer, Totals, Trigger};
/// What sources, sinks, formats and functions of a program's own are made of, in the versions that this is built with.
pub use {
    arrow, datafusion, sluicebox_core, sluicebox_formats, sluicebox_pipeline, sluicebox_sinks, sluicebox_sources,
};
