//! `sluicebox run`: a pipeline until Ctrl-C.

use std::collections::BTreeMap;
use std::task::Poll;
use std::time::Duration;

use clap::Args;
use sluicebox::load::{Checked, Loaded, engine_trigger, policies, sinks_of};
use sluicebox_checkpoint::envelope;
use sluicebox_durable::fault::What;
use sluicebox_engine::{Config, Engine, EngineError, Observer, Totals, Trigger, check_folders};
use sluicebox_evolve::{Backfill, Decision, Prepared, Request, Stage};
use sluicebox_formats::SourcePin;
use sluicebox_pipeline::diagnostic::nearest;
use sluicebox_pipeline::values;
use sluicebox_runtime::segments::DELTAS;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::failure::{self, Usage};
use crate::live::{ProgressMode, Show, Unwritten};
use crate::load::LoadArgs;
use crate::screen::{self, say};

/// Run a pipeline: read, check, write tables, until Ctrl-C
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluicebox run sql/gold_revenue.sql
  sluicebox run sql/gold_revenue.sql --trigger available-now
  sluicebox run sql/gold_revenue.sql --trigger '1 second' --progress json | jq .numInputRows
  sluicebox run sql/gold_revenue.sql --set sales_events.maxOffsetsPerTrigger=50000
  sluicebox run sql/gold_revenue.sql --full-refresh
  sluicebox run sql/gold_revenue.sql --full-refresh=silver_sales,gold_revenue_5m
  sluicebox run sql/gold_revenue.sql --reset-state=gold_revenue_5m
  sluicebox run sql/gold_revenue.sql --backfill gold_new=none

When the SQL has changed since the checkpoint was written, `sluicebox plan` says what is safe and what needs one of these.

Ctrl-C finishes the batch in progress; a second one stops at once, which loses nothing either.")]
pub struct RunArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// When batches start: `available-now`, or an interval such as '1 second'; without it as soon as there is data, at
    /// most one batch per second once caught up
    #[arg(long, value_name = "TRIGGER")]
    trigger: Option<String>,
    /// Delete this pipeline's tables and start from the beginning; with =TABLE,... the rows of these tables alone, which
    /// are computed again from the topic
    #[arg(long, value_name = "TABLE,...", num_args = 0..=1, require_equals = true, default_missing_value = ALL,
          value_delimiter = ',')]
    full_refresh: Vec<String>,
    /// With --full-refresh: delete what a pipeline of this name wrote under a checkpoint that is lost, too
    #[arg(long, requires = "full_refresh")]
    take_tables: bool,
    /// Keep the rows of these tables and forget what their operators remember
    #[arg(long, value_name = "TABLE,...", require_equals = true, value_delimiter = ',')]
    reset_state: Vec<String>,
    /// Where a new or refreshed table gets the rows that it has missed: `topic` (the default) reads its topics again,
    /// `files` reads the files of its upstream table, `none` begins it with the rows to come; may be given several times
    #[arg(long, value_name = "TABLE=topic|files|none")]
    backfill: Vec<String>,
    /// Go on in the place of a run that hangs and cannot be stopped
    #[arg(long)]
    take_over: bool,
    /// Adopt the latest schema of this source's subject; may be given several times
    #[arg(long, value_name = "SOURCE")]
    repin: Vec<String>,
    /// What to show while running
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto)]
    progress: ProgressMode,
    /// As JSON, for programs: the same as --progress json
    #[arg(long, conflicts_with = "progress")]
    json: bool,
}

/// What `--full-refresh` without tables stands for.
const ALL: &str = "*";

/// Runs the pipeline.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    let trigger = args.trigger.as_deref().map(trigger).transpose()?;
    let show = Show::choose(if args.json { ProgressMode::Json } else { args.progress });
    let spec = args.load.spec()?;
    let (known, wait) = args.load.first_look(&spec, trigger)?;
    if let Some(unknown) = args.repin.iter().find(|name| !known.contains(name)) {
        return Err(
            Usage(format!("--repin {unknown}: unknown source `{unknown}`; sources: {}", known.join(", "))).into()
        );
    }
    // Signals are caught before anything is written, so that the first Ctrl-C always ends cleanly.
    let stop = stop_watch("stopping after the current batch; press Ctrl-C again to stop now");
    let mut full_refresh = args.full_refresh.iter().any(|t| t == ALL);
    let mut request = request(&args)?;
    // It is there before the first look at a broker, which may be one that does not answer.
    let unwritten = Unwritten::default();
    let mut observer = show.observer(&unwritten);
    let mut warned = false;
    // A part of the pipeline may have to run before all of it does: see `sluicebox_evolve`.
    loop {
        let adopts = |source: &str| full_refresh || args.repin.iter().any(|r| r == source);
        // A broker or a registry that does not answer is waited for; whoever stops the run then has nothing to finish.
        let checked = unless_stopped(&stop, Checked::new(&spec, adopts, wait)).await;
        let Some(checked) = checked else { return unwritten.refuse() };
        let checked = checked?;
        if !std::mem::replace(&mut warned, true) {
            failure::warn(&checked.graph);
        }
        refuse_unknown_tables(&request, &checked)?;
        let change = prepared(&checked, full_refresh, request)?;
        let stage = change.stage.clone();
        let asked = Asked { trigger, full_refresh, take_tables: full_refresh && args.take_tables, wait };
        let done = Box::pin(run_stage(&args, asked, checked, change, &stop, (show, observer.as_mut()))).await?;
        if !done || stage == Stage::Live {
            return unwritten.refuse();
        }
        (full_refresh, request) = (false, Request { command: args.load.command(), ..Request::default() });
    }
}

/// What the flags ask for.
fn request(args: &RunArgs) -> anyhow::Result<Request> {
    let all = args.full_refresh.iter().any(|t| t == ALL);
    if all && args.full_refresh.len() + args.reset_state.len() + args.backfill.len() > 1 {
        return Err(
            Usage("--full-refresh without tables computes all of them again: leave the others out".to_owned()).into()
        );
    }
    if args.take_tables && !all {
        return Err(Usage(
            "--take-tables goes with --full-refresh without tables, which deletes all of them".to_owned(),
        )
        .into());
    }
    let mut backfill = BTreeMap::new();
    for text in &args.backfill {
        let (table, from) = text.split_once('=').unwrap_or((text, ""));
        let from = match from {
            "topic" => Backfill::Topic,
            "files" => Backfill::Files,
            "none" => Backfill::None,
            _ => return Err(Usage(format!("--backfill {text}: write TABLE=topic, TABLE=files or TABLE=none")).into()),
        };
        backfill.insert(table.to_owned(), from);
    }
    Ok(Request {
        refresh: args.full_refresh.iter().filter(|t| *t != ALL).cloned().collect(),
        reset: args.reset_state.iter().cloned().collect(),
        backfill,
        readable: BTreeMap::new(),
        command: args.load.command(),
    })
}

/// The pipeline compared with its checkpoint; nothing has been touched. A full refresh leaves nothing to compare with.
fn prepared(checked: &Checked, full_refresh: bool, request: Request) -> anyhow::Result<Prepared> {
    let request = Request { readable: sluicebox_evolve::readable(&checked.graph), ..request };
    let shape = checked.shape()?;
    if full_refresh || checked.checkpoint.refresh().map_err(EngineError::from)?.is_some() {
        return Ok(Prepared { shape, request, decision: Decision::First, stage: Stage::Live, changes: None });
    }
    let text = checked.graph.pipeline.resolved.clone();
    Ok(sluicebox_evolve::prepare(&checked.checkpoint, shape, &text, request).map_err(EngineError::from)?)
}

/// The flags name tables that there are.
fn refuse_unknown_tables(request: &Request, checked: &Checked) -> anyhow::Result<()> {
    let known: Vec<&str> = checked.graph.tables.iter().map(|table| table.name.as_str()).collect();
    let named = [
        ("full-refresh", request.refresh.iter().collect::<Vec<_>>()),
        ("reset-state", request.reset.iter().collect()),
        ("backfill", request.backfill.keys().collect()),
    ];
    for (flag, names) in named {
        let Some(unknown) = names.into_iter().find(|name| !known.contains(&name.as_str())) else { continue };
        let help = match nearest(unknown, known.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("there are {}.", known.join(", ")),
        };
        let is_source = checked.graph.pipeline.sources.iter().any(|source| source.name.value == *unknown);
        let what = if is_source { "is a source, and no table" } else { "is no table of this pipeline" };
        return Err(Usage(format!("--{flag}={unknown}: `{unknown}` {what}; {help} Nothing was touched")).into());
    }
    Ok(())
}

/// What the command line and the pipeline ask for, beside the tables.
#[derive(Debug, Clone, Copy)]
struct Asked {
    trigger: Option<Trigger>,
    full_refresh: bool,
    take_tables: bool,
    wait: Option<Duration>,
}

/// A first start is refused before anything is filled, connected or written.
fn look_first(checked: &Checked, asked: Asked) -> anyhow::Result<()> {
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

/// Runs a stage to its end. False when it was stopped before.
async fn run_stage(
    args: &RunArgs,
    asked: Asked,
    checked: Checked,
    change: Prepared,
    stop: &watch::Receiver<bool>,
    (show, observer): (Show, &mut dyn Observer),
) -> anyhow::Result<bool> {
    let Asked { trigger, full_refresh, take_tables, wait } = asked;
    let live = change.stage == Stage::Live;
    look_first(&checked, asked)?;
    let options = checked.options();
    let Some(loaded) = unless_stopped(stop, Loaded::connect(checked, &change.stage)).await else { return Ok(false) };
    let mut loaded = loaded?;
    let stage = change.stage.clone();
    let finishes = !full_refresh && loaded.checkpoint.refresh().map_err(EngineError::from)?.is_some();
    show.opening(&loaded, &change, finishes);
    let feeder = if live { loaded.start_sample(stop) } else { None };
    let trigger = trigger.or(loaded.trigger).filter(|_| live).unwrap_or(Trigger::Default);
    let policies = policies(&loaded.graph);
    let config = Config {
        sources: loaded.sources,
        graph: loaded.graph,
        session: loaded.session,
        checkpoint: loaded.checkpoint,
        working_dir: loaded.working_dir,
        data_dir: loaded.data_dir,
        trigger: if live { trigger } else { Trigger::AvailableNow },
        batch_bytes: loaded.settings.batch_bytes,
        memory_limit: loaded.settings.memory_limit,
        state_deltas: DELTAS,
        samples: usize::try_from(loaded.settings.dq_samples).unwrap_or(10),
        sinks: loaded.sinks,
        policies,
        clock: loaded.clock,
        give_up_after: wait,
        take_over: args.take_over,
        full_refresh,
        take_tables,
        // What fills a table reads a source of its own, which is pinned anew.
        repin: if matches!(change.stage, Stage::Fill { .. }) { Vec::new() } else { args.repin.clone() },
        change,
    };
    let repinned = repinned(&config);
    let Some(engine) = Box::pin(unless_stopped(stop, Engine::open(config))).await else { return Ok(false) };
    let mut engine = engine.map_err(|error| options.place(error))?;
    show.opened(&engine, &repinned);
    let result = engine.run(stop.clone(), observer).await;
    if let Some(feeder) = feeder {
        feeder.abort();
    }
    let totals: Totals = result.map_err(|error| options.place(error))?;
    show.closing(&totals, &stage);
    Ok(!*stop.borrow())
}

/// What `--repin` will have done to each reader schema, once the checkpoint is open.
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

fn trigger(text: &str) -> anyhow::Result<Trigger> {
    values::trigger(text).map(engine_trigger).ok_or_else(|| {
        Usage(format!(
            "--trigger '{text}' is neither `available-now` nor an interval such as '1 second' or '500 milliseconds'"
        ))
        .into()
    })
}

/// Turns true at the first Ctrl-C, SIGTERM or SIGHUP, which is answered with `stopping`; the second ends the process. From the
/// return of this call on neither ends the process by itself.
#[expect(clippy::disallowed_methods, reason = "it lives as long as the process, whose end it says")]
pub fn stop_watch(stopping: &'static str) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    let mut signals = StopSignals::catch();
    tokio::spawn(async move {
        signals.next().await;
        say!("{stopping}");
        if sender.send(true).is_err() {
            return;
        }
        signals.next().await;
        screen::show(Vec::new());
        std::process::exit(130);
    });
    receiver
}

/// Ready at the next Ctrl-C, SIGTERM or SIGHUP, which do not end the process from the call on, not only once this is awaited.
pub fn stop_signal() -> impl Future<Output = ()> {
    let mut signals = StopSignals::catch();
    async move { signals.next().await }
}

/// Whether whoever started the process had it ignore SIGHUP, as nohup does.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & 1 != 0
}

/// Ctrl-C, SIGTERM and SIGHUP, caught as soon as it exists. Where one cannot be caught, it ends the process as it always did.
struct StopSignals(Vec<Signal>);

impl StopSignals {
    fn catch() -> Self {
        let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
        // Under nohup a terminal that is closed is to end nothing.
        if !ignores_hangup() {
            kinds.push(SignalKind::hangup());
        }
        Self(kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect())
    }

    async fn next(&mut self) {
        std::future::poll_fn(|context| {
            let caught = self.0.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if caught { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
