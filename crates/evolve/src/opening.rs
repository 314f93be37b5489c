//! The arguments that a start hands to this crate.

use std::collections::BTreeMap;

use sluicebox_checkpoint::Checkpoint;
use sluicebox_core::Clock;
use sluicebox_pipeline::ast::Pipeline;
use sluicebox_sources::LogIdentity;

use crate::observe::Prepared;

/// The log that each source reads.
pub type Logs = BTreeMap<String, LogIdentity>;

/// What a start knows of its pipeline before it acts on what the checkpoint says.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// Where the run resumes from.
    pub checkpoint: &'a Checkpoint,
    /// What was written.
    pub pipeline: &'a Pipeline,
    /// The pipeline compared with the checkpoint, and what the run does with it.
    pub change: &'a Prepared,
    /// The time.
    pub clock: &'a dyn Clock,
    /// The partitions of every plan.
    pub plan_partitions: usize,
    /// Whether a full refresh is asked for.
    pub full_refresh: bool,
    /// Whether that deletes what pipelines of this name wrote under checkpoints that are lost, too.
    pub take_tables: bool,
}
