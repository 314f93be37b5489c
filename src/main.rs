//! The command line: a file a subcommand, no logic of the engine.
//!
//! Data goes to stdout, everything for people to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage or SQL, 3 an
//! expectation with FAIL UPDATE stopped the run.

mod checkpoint;
mod compact;
mod failure;
mod live;
mod load;
mod out;
mod plan;
mod produce;
mod query;
mod registry;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// glibc keeps a heap a thread and gives little of it back: of the memory of a run at full speed a third was unused. Its settings
/// are in `.cargo/config.toml`; docs/performance.md has the figures.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Avro events in Kafka become bronze, silver and gold Parquet, exactly once, from one SQL file.
#[derive(Debug, Parser)]
#[command(name = "sluicebox", version, about, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  sluicebox run sql/gold_revenue.sql            run a pipeline until Ctrl-C
  sluicebox plan sql/gold_revenue.sql           check it without touching data
  sluicebox query 'SELECT * FROM gold.revenue_5m ORDER BY window_start'

With KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL set, sources read your Kafka; without them, the embedded log
below data/.log.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a pipeline: read, check, write tables, until Ctrl-C
    Run(run::RunArgs),
    /// Check a pipeline without touching data: graph, schemas, state, guarantees
    Plan(plan::PlanArgs),
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
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .without_time()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("SLUICEBOX_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn")),
        )
        .init();
    // Of the threads that decode and write, more than a few gain nothing, and each keeps memory of its own.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(2 * cores + 4).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::from(1);
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Run(args) => Box::pin(run::run(args)).await,
            Command::Plan(args) => plan::plan(args).await,
            Command::Query(args) => query::query(args).await,
            Command::Produce(args) => produce::produce(args).await,
            Command::Compact(args) => compact::compact(args).await,
            Command::Checkpoint(command) => checkpoint::checkpoint(&command),
            Command::Registry(args) => registry::registry(args).await,
        }
    });
    // A blocking read of a source that is being stopped must not hold up the end of the process.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}
