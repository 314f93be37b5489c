//! `sluicebox run`: a pipeline until Ctrl-C.

use clap::{Args, ValueEnum};
use sluicebox_engine::{Config, Engine, Totals, Trigger};
use sluicebox_pipeline::values;
use tokio::sync::watch;

use crate::failure::Usage;
use crate::live::Show;
use crate::load::{LoadArgs, Loaded, engine_trigger};

/// Run a pipeline: read, check, write tables, until Ctrl-C
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  sluicebox run sql/gold_revenue.sql
  sluicebox run sql/gold_revenue.sql --trigger available-now
  sluicebox run sql/gold_revenue.sql --trigger '1 second' --progress json | jq .numInputRows
  sluicebox run sql/gold_revenue.sql --set sales_events.maxOffsetsPerTrigger=50000

Ctrl-C finishes the batch in progress; a second one stops at once, which loses nothing either.")]
pub struct RunArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// When batches start: `available-now`, or an interval such as '1 second'; without it as soon as there is data, at
    /// most one a second once caught up
    #[arg(long, value_name = "TRIGGER")]
    trigger: Option<String>,
    /// Delete this pipeline's tables and start from the beginning
    #[arg(long)]
    full_refresh: bool,
    /// Go on in the place of a run that hangs and cannot be stopped
    #[arg(long)]
    take_over: bool,
    /// Adopt the latest schema of this source's subject; may be given several times
    #[arg(long, value_name = "SOURCE")]
    repin: Vec<String>,
    /// What to show while running
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto)]
    progress: ProgressMode,
}

/// What to show while running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// A live status on a terminal, else a line at the start and the end
    Auto,
    /// A live status
    Bar,
    /// One line a batch on stdout, with the keys of Spark's StreamingQueryProgress
    Json,
    /// Nothing but warnings and errors
    None,
}

/// Runs the pipeline.
pub async fn run(args: RunArgs) -> anyhow::Result<()> {
    let trigger = args.trigger.as_deref().map(trigger).transpose()?;
    let known = crate::load::source_names(&args.load)?;
    if let Some(unknown) = args.repin.iter().find(|name| !known.contains(name)) {
        return Err(Usage(format!("--repin {unknown}: there is no such source; there are {}", known.join(", "))).into());
    }
    // Signals are caught before anything is written, so that the first Ctrl-C always ends cleanly.
    let stop = stop_watch();
    let adopts = |source: &str| args.full_refresh || args.repin.iter().any(|r| r == source);
    // A broker or a registry that does not answer is waited for; whoever stops the run then has nothing to finish.
    let Some(loaded) = unless_stopped(&stop, Loaded::for_run(&args.load, adopts)).await else { return Ok(()) };
    let mut loaded = loaded?;
    let show = Show::choose(args.progress);
    show.opening(&loaded);
    let feeder = loaded.start_sample(&stop);
    let trigger = trigger.or(loaded.trigger).unwrap_or(Trigger::Default);
    let parquet = loaded.parquet_options();
    let config = Config {
        sources: loaded.sources,
        graph: loaded.graph,
        session: loaded.session,
        checkpoint: loaded.checkpoint,
        working_dir: loaded.working_dir,
        data_dir: loaded.data_dir,
        trigger,
        batch_bytes: loaded.settings.batch_bytes,
        samples: usize::try_from(loaded.settings.dq_samples).unwrap_or(10),
        parquet,
        clock: loaded.clock,
        take_over: args.take_over,
        full_refresh: args.full_refresh,
        repin: args.repin,
    };
    let Some(engine) = unless_stopped(&stop, Engine::open(config)).await else { return Ok(()) };
    let mut engine = engine?;
    show.opened(&engine);
    let mut observer = show.observer();
    let result = engine.run(stop.clone(), observer.as_mut()).await;
    drop(observer);
    if let Some(feeder) = feeder {
        feeder.abort();
    }
    let totals: Totals = result?;
    show.closing(&totals);
    Ok(())
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

/// Turns true at the first Ctrl-C or SIGTERM; the second ends the process.
pub fn stop_watch() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        stop_signal().await;
        eprintln!("stopping after the batch in progress; once more to stop at once");
        if sender.send(true).is_err() {
            return;
        }
        stop_signal().await;
        std::process::exit(130);
    });
    receiver
}

/// Ready at the next Ctrl-C or SIGTERM.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
