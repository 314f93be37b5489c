//! `sluicebox run`: a pipeline until Ctrl-C.

use std::collections::BTreeMap;
use std::task::Poll;

use clap::Args;
use sluicebox::load::{Checked, Loaded, engine_trigger};
use sluicebox::{RunOptions, Watch};
use sluicebox_engine::{Engine, Observer, Totals, Trigger};
use sluicebox_evolve::{Backfill, Prepared, Request, Stage};
use sluicebox_pipeline::diagnostic::nearest;
use sluicebox_pipeline::values;
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
    let options = RunOptions {
        trigger,
        full_refresh: args.full_refresh.iter().any(|t| t == ALL),
        take_tables: args.take_tables,
        take_over: args.take_over,
        repin: args.repin.clone(),
        request: request(&args)?,
        wait,
    };
    // It is there before the first look at a broker, which may be one that does not answer.
    let unwritten = Unwritten::default();
    let mut console = Console { show, observer: show.observer(&unwritten), warned: false };
    sluicebox::run(&spec, options, &stop, &mut console).await?;
    unwritten.refuse()
}

/// What a run tells people.
struct Console {
    show: Show,
    observer: Box<dyn Observer>,
    /// Whether the warnings have been drawn.
    warned: bool,
}

impl Watch for Console {
    fn observer(&mut self) -> &mut dyn Observer {
        self.observer.as_mut()
    }

    fn checked(&mut self, checked: &Checked, request: &Request) -> sluicebox::Result<()> {
        if !std::mem::replace(&mut self.warned, true) {
            failure::warn(&checked.graph);
        }
        refuse_unknown_tables(request, checked)
    }

    fn opening(&mut self, loaded: &Loaded, change: &Prepared, finishes: bool) {
        self.show.opening(loaded, change, finishes);
    }

    fn opened(&mut self, engine: &Engine, repinned: &[String]) {
        self.show.opened(engine, repinned);
    }

    fn closing(&mut self, totals: &Totals, stage: &Stage) {
        self.show.closing(totals, stage);
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

/// The flags name tables that there are.
fn refuse_unknown_tables(request: &Request, checked: &Checked) -> sluicebox::Result<()> {
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
