//! The configuration of a run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::SessionState;
use sluicebox_checkpoint::Checkpoint;
use sluicebox_core::Clock;
use sluicebox_evolve::{FileRows, Opening, Prepared};
use sluicebox_formats::{SourceDecoder, SourcePin};
use sluicebox_pipeline::graph::Graph;
use sluicebox_runtime::graph::ClauseSettings;
use sluicebox_sinks::Sinks;
use sluicebox_sources::Source;

use crate::begin::Starting;

/// When batches start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// As soon as there is data; at most one a second once caught up, since each leaves files.
    Default,
    /// At most one an interval; zero never waits.
    Interval(Duration),
    /// What was there at the start, in limited batches, then batches without data until the watermark stands still.
    AvailableNow,
}

/// Where the rows of a source come from.
#[derive(Clone)]
pub enum RowsOf {
    /// Its events, decoded.
    Events(Arc<SourceDecoder>),
    /// The files of tables that hold what became of its events.
    Files(Arc<FileRows>),
}

/// A source with what turns its events into rows.
pub struct SourceBinding {
    /// The source's name in the pipeline.
    pub name: String,
    /// For progress: `Kafka[sales.events.v1]`.
    pub description: String,
    /// Where the events come from.
    pub source: Box<dyn Source>,
    /// What turns them into rows.
    pub rows: RowsOf,
    /// How the decoder reads values; made durable at the first start.
    pub pin: SourcePin,
    /// `maxOffsetsPerTrigger`.
    pub max_offsets: Option<u64>,
    /// `idleTimeout` and `maxFuture`.
    pub clauses: ClauseSettings,
    /// Where its first start begins.
    pub starting: Starting,
    /// `dead.letters.max.ratio`: the share of its events that may become dead letters.
    pub max_letters: Option<f64>,
}

impl std::fmt::Debug for SourceBinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceBinding").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Everything that [`Engine::open`](crate::Engine::open) needs.
#[derive(Debug)]
pub struct Config {
    /// The checked pipeline.
    pub graph: Graph,
    /// The session that planned it.
    pub session: SessionState,
    /// Its sources.
    pub sources: Vec<SourceBinding>,
    /// Where the run resumes from.
    pub checkpoint: Checkpoint,
    /// The folder to which relative locations are relative, absolute.
    pub working_dir: PathBuf,
    /// The folder of quarantine, late rows, dead letters and reports, absolute: `data`.
    pub data_dir: PathBuf,
    /// When batches start.
    pub trigger: Trigger,
    /// `batch.bytes`.
    pub batch_bytes: u64,
    /// `memory.limit`: bytes of memory for the state of all operators.
    pub memory_limit: u64,
    /// After so many deltas of an operator what it holds is folded into a segment, or written whole:
    /// [`DELTAS`](sluicebox_runtime::segments::DELTAS), fewer where a test is to restart from what was written so.
    pub state_deltas: usize,
    /// The most rows of an expectation that a batch keeps as samples.
    pub samples: usize,
    /// Where the rows of each table go.
    pub sinks: Sinks,
    /// What each table wants of its partitions, by table.
    pub policies: std::collections::BTreeMap<String, sluicebox_upkeep::compact::Policy>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How long an available-now run waits for events that it knows to be there; `None` for ever.
    pub give_up_after: Option<Duration>,
    /// Whether to pass a living run's lock.
    pub take_over: bool,
    /// The sources whose reader schema replaces the one that the checkpoint has pinned.
    pub repin: Vec<String>,
    /// Whether to delete the tables and start from the beginning.
    pub full_refresh: bool,
    /// Whether a full refresh deletes what pipelines of this name wrote under checkpoints that are lost, too.
    pub take_tables: bool,
    /// What the run does with its pipeline, and the part of it that `graph` and `sources` are.
    pub change: Prepared,
}

impl Config {
    /// What a start knows of its pipeline.
    pub(crate) fn opening(&self) -> Opening<'_> {
        Opening {
            checkpoint: &self.checkpoint,
            pipeline: &self.graph.pipeline,
            change: &self.change,
            clock: self.clock.as_ref(),
            plan_partitions: self.plan_partitions(),
            full_refresh: self.full_refresh,
            take_tables: self.take_tables,
        }
    }

    /// The sources whose pinned reader schema is replaced.
    pub(crate) fn repinned(&self) -> impl Iterator<Item = &SourceBinding> {
        self.sources.iter().filter(|source| self.repin.contains(&source.name))
    }

    /// The partitions of every plan.
    pub(crate) fn plan_partitions(&self) -> usize {
        self.session.config().target_partitions()
    }
}
