//! The library: what the command line does, for any program.
//!
//! **Owns** the way from a file of SQL to what can be planned and run ([`load`]), and queries over the folders of tables
//! ([`query`]).
//!
//! **May not know** a terminal, the words of a command line, or exit codes.

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
pub use run::{RunOptions, Watch, run};
pub use sluicebox_engine::progress::{Progress, Status};
pub use sluicebox_engine::{Observer, Totals, Trigger};
/// What sources, sinks, formats and functions of a program's own are made of, in the versions that this is built with.
pub use {
    arrow, datafusion, sluicebox_core, sluicebox_formats, sluicebox_pipeline, sluicebox_sinks, sluicebox_sources,
};
