//! Runs a pipeline: checked, compared with its checkpoint, connected, and its batches until it is stopped.

use std::time::Duration;

use sluicebox_checkpoint::envelope;
use sluicebox_durable::fault::What;
use sluicebox_engine::{Config, Engine, EngineError, Observer, Totals, Trigger, check_folders};
use sluicebox_evolve::{Decision, Prepared, Request, Stage};
use sluicebox_formats::SourcePin;
use sluicebox_runtime::segments::DELTAS;
use tokio::sync::watch;

use crate::error::Result;
use crate::load::{Checked, Loaded, Spec, policies, sinks_of};

/// What is asked of a run, beside its pipeline.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// When batches start; without it as the pipeline's `SET 'trigger'` says.
    pub trigger: Option<Trigger>,
    /// Whether to delete the tables and start from the beginning.
    pub full_refresh: bool,
    /// Whether a full refresh deletes what a pipeline of this name wrote under a checkpoint that is lost, too.
    pub take_tables: bool,
    /// Whether to go on in the place of a run that hangs and cannot be stopped.
    pub take_over: bool,
    /// The sources that get the registry's latest schema, whatever the checkpoint has pinned.
    pub repin: Vec<String>,
    /// Which tables are computed again, filled or emptied of their state.
    pub request: Request,
    /// How long what does not answer is waited for; `None` for ever.
    pub wait: Option<Duration>,
}

/// Who is told of a run. What is not asked for is not told.
pub trait Watch: Send {
    /// Who is told of its batches.
    fn observer(&mut self) -> &mut dyn Observer;

    /// The pipeline is right, and nothing has been touched. Called again when a part of it has run before all of it does.
    ///
    /// # Errors
    /// What is to keep it from running.
    fn checked(&mut self, checked: &Checked, request: &Request) -> Result<()> {
        let _ = (checked, request);
        Ok(())
    }

    /// Its sources are connected; `finishes` says that an earlier start has begun a full refresh, which this one finishes.
    fn opening(&mut self, loaded: &Loaded, change: &Prepared, finishes: bool) {
        let _ = (loaded, change, finishes);
    }

    /// Its checkpoint is open; `repinned` says what became of reader schemas.
    fn opened(&mut self, engine: &Engine, repinned: &[String]) {
        let _ = (engine, repinned);
    }

    /// It has come to its end.
    fn closing(&mut self, totals: &Totals, stage: &Stage) {
        let _ = (totals, stage);
    }
}

/// Runs the pipeline until `stop` turns true, or until all that was there is read if its trigger says so. Gives what its last part did;
/// `None` when it was stopped before that began.
///
/// A part of the pipeline may have to run before all of it does: see `sluicebox_evolve`.
///
/// # Errors
/// When the pipeline is wrong or may not go on with its checkpoint, and what ends its run.
pub async fn run(
    spec: &Spec,
    options: RunOptions,
    stop: &watch::Receiver<bool>,
    watcher: &mut dyn Watch,
) -> Result<Option<Totals>> {
    let RunOptions { trigger, mut full_refresh, take_tables, take_over, repin, mut request, wait } = options;
    let command = request.command.clone();
    loop {
        let adopts = |source: &str| full_refresh || repin.iter().any(|r| r == source);
        // A broker or a registry that does not answer is waited for; whoever stops the run then has nothing to finish.
        let Some(checked) = unless_stopped(stop, Checked::new(spec, adopts, wait)).await else { return Ok(None) };
        let checked = checked?;
        watcher.checked(&checked, &request)?;
        let change = prepared(&checked, full_refresh, request)?;
        let stage = change.stage.clone();
        let (take_tables, repin) = (full_refresh && take_tables, repin.clone());
        let asked =
            RunOptions { trigger, full_refresh, take_tables, take_over, repin, request: Request::default(), wait };
        let (totals, done) = Box::pin(run_stage(&asked, checked, change, stop, watcher)).await?;
        if !done || stage == Stage::Live {
            return Ok(totals);
        }
        (full_refresh, request) = (false, Request { command: command.clone(), ..Request::default() });
    }
}

/// The pipeline compared with its checkpoint; nothing has been touched. A full refresh leaves nothing to compare with.
fn prepared(checked: &Checked, full_refresh: bool, request: Request) -> Result<Prepared> {
    let request = Request { readable: sluicebox_evolve::readable(&checked.graph), ..request };
    let shape = checked.shape()?;
    if full_refresh || checked.checkpoint.refresh().map_err(EngineError::from)?.is_some() {
        return Ok(Prepared { shape, request, decision: Decision::First, stage: Stage::Live, changes: None });
    }
    let text = checked.graph.pipeline.resolved.clone();
    Ok(sluicebox_evolve::prepare(&checked.checkpoint, shape, &text, request).map_err(EngineError::from)?)
}

/// A first start is refused before anything is filled, connected or written.
fn look_first(checked: &Checked, asked: &RunOptions) -> Result<()> {
    if checked.checkpoint.is_new().map_err(EngineError::from)? {
        let working_dir = checked.home.absolute()?;
        let data_dir = working_dir.join("data");
        let folders = (working_dir.as_path(), data_dir.as_path());
        let asked = (asked.full_refresh, asked.take_tables);
        let sinks = sinks_of(checked)?;
        check_folders(&checked.graph, folders, &sinks, &checked.checkpoint, asked)
            .map_err(|error| checked.at_location(error))?;
    }
    Ok(())
}

/// Runs a stage to its end: what it did, and whether it came there. It did not when it was stopped.
async fn run_stage(
    asked: &RunOptions,
    checked: Checked,
    change: Prepared,
    stop: &watch::Receiver<bool>,
    watcher: &mut dyn Watch,
) -> Result<(Option<Totals>, bool)> {
    look_first(&checked, asked)?;
    let options = checked.options();
    let Some(loaded) = unless_stopped(stop, Loaded::connect(checked, &change.stage)).await else {
        return Ok((None, false));
    };
    let mut loaded = loaded?;
    let stage = change.stage.clone();
    let finishes = !asked.full_refresh && loaded.checkpoint.refresh().map_err(EngineError::from)?.is_some();
    watcher.opening(&loaded, &change, finishes);
    let feeder = if stage == Stage::Live { loaded.start_sample(stop) } else { None };
    let config = config(asked, loaded, change);
    let repinned = repinned(&config);
    let Some(engine) = Box::pin(unless_stopped(stop, Engine::open(config))).await else { return Ok((None, false)) };
    let mut engine = engine.map_err(|error| options.place(error))?;
    watcher.opened(&engine, &repinned);
    let result = engine.run(stop.clone(), watcher.observer()).await;
    if let Some(feeder) = feeder {
        feeder.abort();
    }
    let totals: Totals = result.map_err(|error| options.place(error))?;
    watcher.closing(&totals, &stage);
    let done = !*stop.borrow();
    Ok((Some(totals), done))
}

/// What the engine runs: for a program that opens it itself.
#[must_use]
pub fn config(asked: &RunOptions, loaded: Loaded, change: Prepared) -> Config {
    let trigger = match change.stage {
        Stage::Live => asked.trigger.or(loaded.trigger).unwrap_or(Trigger::Default),
        Stage::Finish { .. } | Stage::Fill { .. } => Trigger::AvailableNow,
    };
    // What fills a table reads a source of its own, which is pinned anew.
    let repin = if matches!(change.stage, Stage::Fill { .. }) { Vec::new() } else { asked.repin.clone() };
    Config {
        policies: policies(&loaded.graph),
        sources: loaded.sources,
        graph: loaded.graph,
        session: loaded.session,
        checkpoint: loaded.checkpoint,
        working_dir: loaded.working_dir,
        data_dir: loaded.data_dir,
        trigger,
        batch_bytes: loaded.settings.batch_bytes,
        memory_limit: loaded.settings.memory_limit,
        state_deltas: DELTAS,
        samples: usize::try_from(loaded.settings.dq_samples).unwrap_or(10),
        sinks: loaded.sinks,
        clock: loaded.clock,
        give_up_after: asked.wait,
        take_over: asked.take_over,
        full_refresh: asked.full_refresh,
        take_tables: asked.take_tables,
        repin,
        change,
    }
}

/// What adopting the latest schemas will have done to each reader schema, once the checkpoint is open.
fn repinned(config: &Config) -> Vec<String> {
    let asked = config.sources.iter().filter(|source| config.repin.contains(&source.name));
    let said = asked.filter_map(|source| {
        let path = config.checkpoint.source_dir(&source.name).join("reader");
        // What is damaged is told by who needs it; of a first start there is none.
        let old: SourcePin = envelope::read(What::Source, &path).ok()??;
        let (name, new) = (&source.name, &source.pin);
        Some(match old == *new {
            true => format!("{name}: {new} is adopted already"),
            false => format!("{name}: {old} -> {new}"),
        })
    });
    said.collect()
}

/// What `work` gives, or nothing when the run is stopped first.
async fn unless_stopped<T>(stop: &watch::Receiver<bool>, work: impl Future<Output = T>) -> Option<T> {
    let mut stop = stop.clone();
    tokio::select! {
        done = work => Some(done),
        Ok(_) = stop.wait_for(|stop| *stop) => None,
    }
}
