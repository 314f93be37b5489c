//! The command line: a file a subcommand, no logic of the engine.
//!
//! Data goes to stdout, everything for people to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage or SQL, 3 an
//! expectation with FAIL UPDATE stopped the run.

mod checkpoint;
mod compact;
mod explain;
mod failure;
mod live;
mod load;
mod log;
mod out;
mod plan;
mod produce;
mod query;
mod registry;
mod run;
mod screen;
mod version;

use std::ffi::OsString;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use sluicebox_durable::way_out;
use tokio::signal::unix::{SignalKind, signal};

use crate::screen::say;

/// glibc keeps a heap a thread and gives little of it back: of the memory of a run at full speed a third was unused. Its settings
/// are in `.cargo/config.toml`; docs/performance.md has the figures.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Avro events in Kafka become bronze, silver and gold Parquet, exactly once, from one SQL file.
#[derive(Debug, Parser)]
#[command(name = "sluicebox", version, long_version = version::LONG.as_str(), about, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The form of log lines on stderr
    #[arg(long, value_enum, global = true, value_name = "FORM", env = failure::LOG_FORMAT, default_value = "text")]
    log_format: log::Format,
}

const EXAMPLES: &str = "\
Examples:
  sluicebox run sql/gold_revenue.sql            run a pipeline until Ctrl-C
  sluicebox plan sql/gold_revenue.sql           check it without touching data
  sluicebox query 'SELECT * FROM gold.revenue_5m ORDER BY window_start'
  sluicebox explain unknown-column              what error[unknown-column] means

With KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL set, sources read your Kafka; without them, the embedded log
below data/.log. SLUICEBOX_LOG=info (or debug, or librdkafka=debug) says more on stderr.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a pipeline: read, check, write tables, until Ctrl-C
    Run(run::RunArgs),
    /// Check a pipeline without touching data: graph, schemas, state, guarantees
    Plan(plan::PlanArgs),
    /// What an error's code means, and how to write what is right
    Explain(explain::ExplainArgs),
    /// SQL over every table below data/, as views <layer>.<table>
    Query(query::QueryArgs),
    /// Write made-up events to a topic
    Produce(produce::ProduceArgs),
    /// Put the small files of a pipeline's partitions together, and retire partitions that are too old
    Compact(compact::CompactArgs),
    /// Look into a checkpoint
    #[command(subcommand)]
    Checkpoint(checkpoint::CheckpointCommand),
    /// Serve the embedded schema registry alone
    Registry(registry::RegistryArgs),
    /// What was built, with what
    Version(version::VersionArgs),
    /// Completions of the command line for a shell
    #[command(after_help = "\
Examples:
  sluicebox completions bash > ~/.local/share/bash-completion/completions/sluicebox
  sluicebox completions zsh > ~/.zfunc/_sluicebox
  sluicebox completions fish > ~/.config/fish/completions/sluicebox.fish")]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// The words of the command line. One that begins as a comment of SQL, `-- ...`, is a statement and no option: pasted ones often do.
fn words(words: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    words.map(|word| {
        let rest = word.to_str().and_then(|text| text.strip_prefix("--"));
        if rest.is_some_and(|rest| rest.starts_with(char::is_whitespace)) {
            let mut spaced = OsString::from(" ");
            spaced.push(word);
            return spaced;
        }
        word
    })
}

/// Lets a write beyond `ulimit -f` be an error, which has a message, and not a signal, which ends the process without one. A signal
/// once caught stays caught.
fn catch_file_size() {
    const SIGXFSZ: SignalKind = SignalKind::from_raw(25);
    if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() {
        let _within = runtime.enter();
        if let Err(error) = signal(SIGXFSZ) {
            say!("a file that is larger than `ulimit -f` allows will end this process: {error}");
        }
    }
}

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(failure::panicked));
    catch_file_size();
    let cli = match Cli::try_parse_from(words(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => return failure::refused(&error),
    };
    if let Err(usage) = log::start(cli.log_format) {
        return failure::report(&usage.into());
    }
    // Of the threads that decode and write, more than a few gain nothing, and each keeps memory of its own.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(2 * cores + 4).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failure::report(&anyhow::anyhow!("cannot start: {error}{}", way_out(&error))),
    };
    // What blocks takes turns on as few threads as there are, but needs one: without it the process ends here and not half-way.
    drop(runtime.spawn_blocking(|| ()));
    let work = async {
        match cli.command {
            Command::Run(args) => Box::pin(run::run(args)).await,
            Command::Plan(args) => plan::plan(args).await,
            Command::Explain(args) => explain::explain(&args),
            Command::Query(args) => query::query(args).await,
            Command::Produce(args) => produce::produce(args).await,
            Command::Compact(args) => compact::compact(args).await,
            Command::Checkpoint(command) => checkpoint::checkpoint(&command),
            Command::Registry(args) => registry::registry(args).await,
            Command::Version(args) => version::version(&args),
            Command::Completions { shell } => completions(shell),
        }
    };
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(work)));
    // A blocking read of a source that is being stopped must not hold up the end of the process.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    failure::ended(&result)
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sluicebox", &mut script);
    Ok(out::write_with(|out| out.write_all(&script))?)
}
