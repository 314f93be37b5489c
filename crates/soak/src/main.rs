//! Kills sluicebox at random moments, for as long as you like, and checks whether a reader could tell.
//!
//! ```text
//! cargo run -p sluicebox-soak -- soak --minutes 10
//! ```
//!
//! **Owns** the topic that it fills, the run that it kills, and the readers that watch meanwhile. The code that decides shares nothing with
//! sluicebox: Kafka and the registry are real, the readers are DuckDB and pyarrow, and Python computes what every table must hold from the
//! events that a Kafka client reads from the topic (`tests/real`).
//!
//! **May not know** anything of sluicebox but its command line, and of a checkpoint only that `commits/` has a file for each batch and
//! `compactions/` one for each exchange.
//!
//! **A failure** prints the seed, and keeps the folder.

mod check;
mod job;
mod killer;
mod pipeline;
mod producer;
mod readers;
mod scripts;
mod servers;
mod soak;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "sluicebox-soak", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Kill a run at random against a real Kafka while other readers glob its tables, then compare everything
    Soak(SoakArgs),
}

/// Kill a run at random against a real Kafka while other readers glob its tables, then compare everything
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  cargo run -p sluicebox-soak -- soak --minutes 10
  cargo run -p sluicebox-soak -- soak --minutes 60 --rate 5000 --seed 7 --folder /tmp/soak
  cargo run -p sluicebox-soak -- soak --minutes 10 --compact

Without KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL it starts a broker and a registry of its own (scripts/servers.sh: Java 21,
Maven), and makes a Python environment (scripts/python-env.sh) for the readers and the oracle. It ends with code 1 at the first
difference, and prints the seed with which the same events and moments are chosen again.")]
pub struct SoakArgs {
    /// How long events are produced and the run is killed; what comes after to compare takes about half as long
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// Events a second; with --events it follows from that
    #[arg(long, default_value_t = 1500.0)]
    rate: f64,
    /// So many events in all
    #[arg(long)]
    events: Option<u64>,
    /// At least so many kills; without it one in three seconds, with --compact in six
    #[arg(long)]
    kills: Option<u32>,
    /// With tables whose partitions close within seconds and are compacted meanwhile: readers may find a file gone that they
    /// have listed, and read again; kills come while folders are exchanged too
    #[arg(long)]
    compact: bool,
    /// Chooses events and moments; without it another one each time
    #[arg(long)]
    seed: Option<u64>,
    /// The sluicebox to run; without it one is built
    #[arg(long, value_name = "PROGRAM")]
    binary: Option<PathBuf>,
    /// Where to work; kept. Without it a temporary folder, which is kept only when something is wrong
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Command::Soak(args) = Cli::parse().command;
    match soak::soak(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(1)
        }
    }
}
