//! The engine: it opens a pipeline (lock, identity, ownership, state), and then stands where the pipeline's last run left it.

use std::collections::BTreeMap;

use sluicebox_checkpoint::RunLock;
use sluicebox_checkpoint::records::{Commit, Metadata, Offsets};
use sluicebox_checkpoint::recovery::decide;
use sluicebox_core::PartitionId;
use sluicebox_core::station::{self, AllSpent};
use sluicebox_evolve::Stage;
use sluicebox_evolve::adopt::{self, Adopted};
use sluicebox_runtime::graph::Runner;
use sluicebox_runtime::outputs::{Held, Outputs};
use sluicebox_runtime::segments::Segments;
use sluicebox_sinks::Publisher;
use sluicebox_upkeep::compact;

use crate::begin::Begin;
use crate::config::{Config, Trigger};
use crate::hearing::Hearing;
use crate::journal::Journal;
use crate::letters::Letters;
use crate::opening::Newest;
use crate::positions::positions;
use crate::preflight::{self, Learned};
use crate::progress::Totals;
use crate::read::ReadAhead;
use crate::report::{Identity, Told};
use crate::trigger::Goal;
use crate::{EngineError, opening};

mod batch;
mod compacting;
mod planned;
mod publishing;
mod reading;
mod run;

use publishing::Unpublished;

/// A pipeline that holds its checkpoint and is ready to run.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    lock: RunLock,
    /// The marks of the output folders, locked: so that a run of a copied checkpoint is refused.
    _held: Held,
    metadata: Metadata,
    outputs: Outputs,
    publisher: Publisher,
    runner: Runner,
    /// State that is on its way to disk.
    segments: Segments,
    /// The first offset not read, by partition.
    positions: BTreeMap<PartitionId, i64>,
    /// The newest commit.
    last: Option<Commit>,
    /// The plan of the newest batch.
    last_offsets: Option<Offsets>,
    /// A batch that was planned and must be replayed first.
    replay: Option<Offsets>,
    next_batch: u64,
    /// Rows of the newest commit that may not be in their sinks.
    unpublished: Option<Unpublished>,
    /// Where an available-now run stops.
    run_end: Option<BTreeMap<PartitionId, i64>>,
    /// Since when each partition is heard.
    hearing: Hearing,
    /// What the trigger that fired last is to read.
    goal: Goal,
    /// Whether the next batch may be decided on before this one is over.
    looks_ahead: bool,
    /// The next batch, as far as it was read ahead.
    ahead: Option<ReadAhead>,
    /// Whether this run has removed what older ones left staged.
    swept: bool,
    identity: Identity,
    progress: Totals,
    journal: Journal,
    /// What the stations had taken at the end of the last batch.
    spent: AllSpent,
    /// What the log has been told of rows in this run.
    told: Told,
    /// What is compacted between batches.
    compaction: compact::Live,
    /// The pipeline that its commits name.
    adopted: Adopted,
    /// Where its sources began or went on.
    begins: Vec<Begin>,
    /// What its sources have given since it began.
    letters: Letters,
}

impl Engine {
    /// Takes the checkpoint's lock and the next epoch, proves that checkpoint, log and tables belong together, restores
    /// the state, publishes what was committed and maybe not published.
    ///
    /// # Errors
    /// When another run holds the checkpoint, or something in it, in the tables or in the log is not what it must be.
    pub async fn open(mut config: Config) -> Result<Self, EngineError> {
        let checkpoint = config.checkpoint.clone();
        // A first start that is refused leaves nothing, and one that waits for a broker has nothing to leave.
        let learned = preflight::first_start(&mut config).await?;
        checkpoint.prepare()?;
        let run_id = uuid::Uuid::new_v4().to_string();
        let lock = checkpoint.lock(config.take_over, &run_id, config.clock.now_micros())?;
        let epoch = lock.epoch.epoch;
        // If a later run has taken over, its cleanup caused this error. Report the takeover, not the symptom.
        Box::pin(Self::open_locked(config, lock, &run_id, learned))
            .await
            .map_err(|error| checkpoint.refuse_later_epochs(epoch).map_or_else(EngineError::from, |()| error))
    }

    /// The steps of a start. Each acts only on what those before it have proved.
    async fn open_locked(
        mut config: Config,
        lock: RunLock,
        run_id: &str,
        learned: Option<Learned>,
    ) -> Result<Self, EngineError> {
        let (checkpoint, epoch) = (config.checkpoint.clone(), lock.epoch.epoch);
        opening::tidy(&checkpoint, &lock)?;
        let outputs = opening::outputs(&config)?;
        let (logs, first) = match learned {
            Some(learned) => (learned.logs, learned.begins),
            None => (opening::identities(&mut config.sources).await?, BTreeMap::new()),
        };
        opening::refreshed(&config, &outputs, &lock, &logs)?;
        let recovery = decide(checkpoint.observe()?)?;
        let metadata = opening::metadata(&config, &outputs, &logs, epoch)?;
        let Newest { mut last, replay, plan: last_offsets } =
            opening::newest(&config, &metadata, &logs, recovery, epoch)?;
        let held = opening::hold(&config, &outputs, &metadata, recovery, epoch)?;
        opening::pin_topics(&checkpoint, &metadata, &logs)?;
        let runner = opening::new_runner(&config)?;
        opening::repin(&config, epoch)?;
        opening::published(&checkpoint, &outputs, &metadata, recovery, last.as_ref())?;
        let unpublished = publishing::unpublished(recovery, last.as_ref(), &config.sinks)?;
        let adopted = opening::adopted(&config, &outputs, &lock, &metadata, &logs, &mut last)?;
        let runner = opening::restored(&config, last.as_ref(), replay.as_ref(), &adopted, runner)?;
        let (positions, begins) = positions(&mut config, last.as_ref(), last_offsets.as_ref(), first, epoch).await?;
        let names = config.sources.iter().map(|s| s.name.as_str());
        let run_end = adopt::fill_end(&config.change.stage, names, last.as_ref());
        Ok(Self {
            compaction: compact::Live::new(outputs.tables(), &config.policies),
            adopted,
            begins,
            letters: Letters::default(),
            segments: Segments::new(config.memory_limit, config.state_deltas),
            identity: Identity::new(&config, &metadata, run_id),
            config,
            lock,
            _held: held,
            metadata,
            outputs,
            publisher: Publisher::default(),
            runner,
            positions,
            next_batch: last.as_ref().map_or(0, |commit| commit.batch_id + 1),
            last,
            last_offsets,
            replay,
            unpublished,
            run_end,
            hearing: Hearing::default(),
            goal: Goal::default(),
            looks_ahead: false,
            ahead: None,
            swept: false,
            progress: Totals::default(),
            journal: Journal::default(),
            spent: station::spent(),
            told: Told::default(),
        })
    }

    /// The folders that the run writes to, for the first lines that a user sees.
    #[must_use]
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// Where each source began or went on, in the order of the text; none of what fills a table.
    #[must_use]
    pub fn begins(&self) -> &[Begin] {
        &self.begins
    }

    /// Whether this run goes on from a batch of an earlier one.
    #[must_use]
    pub fn resumes_at(&self) -> Option<u64> {
        self.last.as_ref().map(|commit| commit.batch_id + 1)
    }

    /// Whether batches are those of an available-now run.
    fn available_now(&self) -> bool {
        self.config.trigger == Trigger::AvailableNow
    }

    /// Whether the whole pipeline runs, and not a part that brings it to where it can.
    fn is_live(&self) -> bool {
        self.config.change.stage == Stage::Live
    }
}
