//! How fast the sales pipeline goes from a topic to its tables, beside what is possible on the same machine in the same
//! run.
//!
//! Every line is a process of its own, so that processor time and memory are comparable: the pipeline lines run the
//! binary as a user does, the other lines run this program again with a job that does one station and nothing else.
//! `scripts/bench.sh` brings up Kafka and a registry and calls it; `--help` says what it takes.

mod jobs;
mod latency;
mod measure;
mod place;

use std::path::Path;

use anyhow::{Context, bail};
use clap::Parser;

use crate::jobs::Job;
use crate::measure::{Measured, run_job, run_pipeline};
use crate::place::{Place, Topic};

/// Throughput and latency of sql/gold_revenue.sql beside the ceilings of the same run
#[derive(Debug, Parser)]
struct Args {
    /// Sales events in 3 partitions
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// Where from: kafka, embedded, or both; without a broker in the environment, the embedded log
    #[arg(long)]
    from: Vec<Place>,
    /// How many times each line is measured; the fastest one is printed
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Seconds of the latency section; 0 leaves it out
    #[arg(long, default_value_t = 30)]
    latency_seconds: u64,
    /// Events a second of the latency section
    #[arg(long, default_value_t = 2_000)]
    latency_rate: u64,
    /// Leave the throughput section out
    #[arg(long)]
    only_latency: bool,
    /// Options handed on to `sluicebox run` of every pipeline line, for example `--set=batch.bytes=32MB`
    #[arg(long = "run-option", allow_hyphen_values = true)]
    run_options: Vec<String>,
    /// Run this job and print what it took: how the program calls itself
    #[arg(long, hide = true)]
    job: Option<Job>,
    /// The topic of the job
    #[arg(long, hide = true, default_value = "")]
    topic: String,
    /// Cargo says so to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(job) = args.job {
        let place = args.from.first().copied().context("a job needs --from")?;
        return jobs::run(job, place, &args.topic);
    }
    let places = match (args.from.is_empty(), Place::has_broker()) {
        (false, _) => args.from.clone(),
        (true, true) => vec![Place::Kafka, Place::Embedded],
        (true, false) => vec![Place::Embedded],
    };
    println!("{} cores; {} events in 3 partitions", cores(), args.events);
    for place in places {
        if place == Place::Kafka && !Place::has_broker() {
            bail!("--from kafka needs KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL: scripts/bench.sh sets them");
        }
        if !args.only_latency {
            throughput(&args, place)?;
        }
        if args.latency_seconds > 0 {
            latency::section(place, args.latency_rate, args.latency_seconds, &args.run_options)?;
        }
    }
    Ok(())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// One line of the table.
struct Line {
    name: String,
    measured: Measured,
}

fn throughput(args: &Args, place: Place) -> anyhow::Result<()> {
    let topic = Topic::filled(place, args.events)?;
    let best = |name: &str, run: &dyn Fn() -> anyhow::Result<Measured>| -> anyhow::Result<Line> {
        let mut best: Option<Measured> = None;
        for _ in 0..args.rounds.max(1) {
            let measured = run()?;
            if measured.events != args.events {
                bail!("{name} saw {} of {} events", measured.events, args.events);
            }
            if best.as_ref().is_none_or(|b| measured.steady > b.steady) {
                best = Some(measured);
            }
        }
        Ok(Line { name: name.to_owned(), measured: best.context("at least one round")? })
    };
    let mut ceilings = Vec::new();
    if place == Place::Kafka {
        ceilings.push(best("librdkafka polls and drops", &|| run_job(Job::Poll, &topic))?);
    }
    ceilings.push(best("the source reads and drops", &|| run_job(Job::Source, &topic))?);
    ceilings.push(best("the Parquet writer alone, bronze rows", &|| run_job(Job::Write, &topic))?);
    let read = ceilings.first().map_or(0.0, |l| l.measured.steady);
    let write = ceilings.last().map_or(0.0, |l| l.measured.steady);
    let mut lines = vec![best("decode alone", &|| run_job(Job::Decode, &topic))?];
    for (name, tables) in [("bronze", 1), ("bronze + silver", 2), ("all layers with DQ", 3)] {
        let sql = pipeline(tables)?;
        lines.push(best(name, &|| run_pipeline(&topic, &sql, &args.run_options))?);
    }
    print_table(place, &ceilings, &lines, (read, write));
    Ok(())
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

fn print_table(place: Place, ceilings: &[Line], lines: &[Line], (read, write): (f64, f64)) {
    println!("\nfrom {}", place.title());
    println!(
        "{:<40} {:>11} {:>11} {:>8} {:>8} {:>9} {:>9} {:>9}",
        "", "events/s", "with start", "/ reader", "/ writer", "CPU us/ev", "peak MiB", "MB written"
    );
    for line in ceilings.iter().chain(lines) {
        let m = &line.measured;
        println!(
            "{:<40} {:>11.0} {:>11.0} {:>8.2} {:>8.2} {:>9.2} {:>9.0} {:>9.1}",
            line.name,
            m.steady,
            m.whole,
            m.steady / read,
            m.steady / write,
            m.cpu_micros / m.events as f64,
            m.peak_bytes as f64 / 1_048_576.0,
            m.bytes_written as f64 / 1e6,
        );
    }
    for line in lines.iter().filter(|line| !line.measured.steps.is_empty()) {
        let total: f64 = line.measured.steps.iter().map(|(_, ms)| ms).sum();
        let steps = line.measured.steps.iter().map(|(step, ms)| format!("{step} {:.0} %", 100.0 * ms / total));
        println!(
            "{}: {} batches, p50 {} ms; {}",
            line.name,
            line.measured.batches,
            line.measured.batch_p50,
            steps.collect::<Vec<_>>().join(", ")
        );
    }
}
