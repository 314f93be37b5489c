//! How fast the sales pipeline goes from a topic to its tables, beside what is possible on the same machine in the same
//! run; how long an event is on the road; and what grows.
//!
//! Every line is a process of its own, so that processor time and memory are comparable: the pipeline lines run the
//! binary as a user does, the other lines run this program again with a job that does one station and nothing else.
//! `scripts/bench.sh` brings up Kafka and a registry and calls it; `--help` says what it takes.

// Lines of JSON, and arrow-json alone: as the bench of decoding has them.
#[path = "../../crates/formats/benches/decode/arrow_json.rs"]
mod arrow_json;
mod ceiling;
mod growth;
mod jobs;
mod json;
mod latency;
mod live;
mod measure;
mod place;
mod steady;
mod throughput;
mod visible;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum};

use crate::jobs::Job;
use crate::place::Place;

/// Throughput, latency and growth of sql/gold_revenue.sql beside the ceilings of the same run
#[derive(Debug, Parser)]
struct Args {
    /// Sales events in 3 partitions
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// Where from: kafka, embedded, or both; without a broker in the environment, the embedded log
    #[arg(long)]
    from: Vec<Place>,
    /// What to measure; growth takes minutes and is left out unless it is named
    #[arg(long, value_delimiter = ',', default_values = ["throughput", "writers", "latency"])]
    sections: Vec<Section>,
    /// How many times each line of the throughput section is measured; the fastest one is printed
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Seconds of each rate of the latency section; 0 leaves it out
    #[arg(long, default_value_t = 60)]
    latency_seconds: u64,
    /// Events a second of the latency section; may be given several times. The faster first: a broker that has just been started
    /// compiles what it does often
    #[arg(long, default_values_t = [20_000, 2_000])]
    latency_rate: Vec<u64>,
    /// Seconds for which the pipeline is then left idle, measured; 30 if the section is that long, else 0
    #[arg(long)]
    idle_seconds: Option<u64>,
    /// Seconds of the section steady
    #[arg(long, default_value_t = 3_600)]
    steady_seconds: u64,
    /// So many batches are the last mark of the section growth; the marks before it are a tenth, a hundredth, ...
    #[arg(long, default_value_t = 10_000)]
    growth_batches: u64,
    /// Options handed on to `sluicebox run` of every pipeline line, for example `--set=batch.bytes=32MB`
    #[arg(long = "run-option", allow_hyphen_values = true)]
    run_options: Vec<String>,
    /// Append what is printed to this file, a JSON object a line: for `scripts/charts.py`
    #[arg(long)]
    out: Option<PathBuf>,
    /// Run this job and print what it took: how the program calls itself
    #[arg(long, hide = true)]
    job: Option<Job>,
    /// The topic of the job
    #[arg(long, hide = true, default_value = "")]
    topic: String,
    /// The tables of the job
    #[arg(long, hide = true, default_value = ".")]
    data: PathBuf,
    /// Cargo says so to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// Events a second, with the share of each station, beside the ceilings; then what `json` prints
    Throughput,
    /// The same events as JSON beside Avro, and JSON decoded beside arrow-json over the same bytes
    Json,
    /// Three writer schemas in turn and 1 % bad events, beside one schema and none
    Writers,
    /// From an event to the file that shows it, at a steady rate
    Latency,
    /// 1 to 64 partitions, 1 to 64 tables
    Growth,
    /// A batch a second for an hour: whether batches, memory and folders grow
    Steady,
    /// Many batches: what they, a start and the folders become
    Batches,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(job) = args.job {
        let place = args.from.first().copied().context("a job needs --from")?;
        return jobs::run(job, place, &args.topic, &args.data);
    }
    let mut out = Out::open(args.out.as_deref())?;
    let places = match (args.from.is_empty(), Place::has_broker()) {
        (false, _) => args.from.clone(),
        (true, true) => vec![Place::Kafka, Place::Embedded],
        (true, false) => vec![Place::Embedded],
    };
    println!("{} cores; {} events in 3 partitions", cores(), args.events);
    let wants = |section| args.sections.contains(&section);
    for place in places {
        if place == Place::Kafka && !Place::has_broker() {
            bail!("--from kafka needs KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL: scripts/bench.sh sets them");
        }
        if wants(Section::Throughput) {
            throughput::section(place, args.events, args.rounds, &args.run_options, &mut out)?;
        }
        if wants(Section::Writers) {
            throughput::writers(place, args.events, &args.run_options, &mut out)?;
        }
        if wants(Section::Latency) && args.latency_seconds > 0 {
            for rate in &args.latency_rate {
                let idle = args.idle_seconds.unwrap_or(if args.latency_seconds < 30 { 0 } else { 30 });
                let length = latency::Length { seconds: args.latency_seconds, idle };
                latency::section(place, *rate, length, &args.run_options, &mut out)?;
            }
        }
        if wants(Section::Steady) {
            steady::section(place, args.steady_seconds, &args.run_options, &mut out)?;
        }
        if wants(Section::Growth) {
            growth::partitions(place, args.events, &args.run_options, &mut out)?;
            growth::tables(place, args.events, &args.run_options, &mut out)?;
        }
    }
    if wants(Section::Throughput) || wants(Section::Json) {
        json::section(args.events, args.rounds, &args.run_options, &mut out)?;
    }
    if wants(Section::Batches) {
        growth::batches(args.growth_batches, &args.run_options, &mut out)?;
    }
    Ok(())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The file of `--out`.
struct Out(Option<std::fs::File>);

impl Out {
    fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let open = |path: &Path| std::fs::OpenOptions::new().create(true).append(true).open(path);
        // Sections change the working directory.
        Ok(Self(path.map(|path| open(path).with_context(|| path.display().to_string())).transpose()?))
    }

    fn add(&mut self, record: &serde_json::Value) -> anyhow::Result<()> {
        if let Some(file) = &mut self.0 {
            writeln!(file, "{record}")?;
        }
        Ok(())
    }
}

/// `sql/gold_revenue.sql` up to and with its first `tables` tables, without the sample.
fn pipeline(tables: usize) -> anyhow::Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/gold_revenue.sql");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let text = text.replace(", 'sample' = 'sales'", "");
    let mark = "CREATE STREAMING TABLE";
    let ends: Vec<usize> = text.match_indices(mark).map(|(at, _)| at).collect();
    Ok(text.get(..ends.get(tables).copied().unwrap_or(text.len())).unwrap_or_default().to_owned())
}
