//! Events a second: of each set of layers, beside the ceilings of the same run, and where the time goes.

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::json;

use crate::jobs::Job;
use crate::measure::{Measured, run_job, run_pipeline};
use crate::place::{Place, Topic};
use crate::{Out, pipeline};

/// The sets of layers, with the number of tables of the pipeline that are in each.
const LAYERS: [(&str, usize); 3] = [("bronze", 1), ("bronze + silver", 2), ("all layers with DQ", 3)];

/// One line of the table.
struct Line {
    name: String,
    measured: Measured,
    /// The overlapped ceiling, measured right after the line.
    ceiling: Option<Measured>,
    /// What share of its own ceiling the line had in each round, ascending.
    shares: Vec<f64>,
}

impl Line {
    /// The line of the round whose share of its own ceiling is the middle one: a machine's speed changes from minute to minute,
    /// and what is compared should have been measured in the same one. Without ceilings the fastest, for what disturbs a
    /// round makes it slower.
    fn of(name: &str, mut rounds: Vec<(Measured, Option<Measured>)>) -> anyhow::Result<Self> {
        let rank = |(measured, ceiling): &(Measured, Option<Measured>)| {
            ceiling.as_ref().map_or(measured.steady, |ceiling| measured.steady / ceiling.steady)
        };
        rounds.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
        let with_ceiling = rounds.iter().all(|(_, ceiling)| ceiling.is_some());
        let shares = if with_ceiling { rounds.iter().map(rank).collect() } else { Vec::new() };
        let last = rounds.len().saturating_sub(1);
        let chosen = if with_ceiling { last / 2 } else { last };
        let (measured, ceiling) = rounds.into_iter().nth(chosen).context("at least one round")?;
        Ok(Self { name: name.to_owned(), measured, ceiling, shares })
    }
}

/// Prints the section.
pub fn section(place: Place, events: u64, rounds: u32, options: &[String], out: &mut Out) -> anyhow::Result<()> {
    let topic = Topic::filled(place, events, &[])?;
    let nowhere = Path::new(".");
    let line = |name: &str, run: &dyn Fn() -> anyhow::Result<(Measured, Option<Measured>)>| -> anyhow::Result<Line> {
        let all = (0..rounds.max(1)).map(|_| run()).collect::<Result<Vec<_>, _>>()?;
        if let Some((measured, _)) = all.iter().find(|(measured, _)| measured.events != events) {
            bail!("{name} saw {} of {events} events", measured.events);
        }
        Line::of(name, all)
    };
    let job = |name: &str, job: Job| line(name, &|| Ok((run_job(job, &topic, nowhere)?, None)));
    let mut ceilings = Vec::new();
    if place == Place::Kafka {
        ceilings.push(job("librdkafka takes and drops", Job::Poll)?);
    }
    ceilings.push(job("the source reads and drops", Job::Source)?);
    ceilings.push(job("the Parquet writer alone, bronze rows", Job::Write)?);
    let read = ceilings.first().map_or(0.0, |l| l.measured.steady);
    let mut decode = job("decode alone", Job::Decode)?;
    // It writes nothing: its ceiling is the reader alone.
    decode.ceiling = ceilings.first().map(|l| Measured { steady: l.measured.steady, ..Measured::default() });
    let mut lines = vec![decode];
    for (name, tables) in LAYERS {
        let sql = pipeline(tables)?;
        lines.push(line(name, &|| {
            let (measured, workspace) = run_pipeline(&topic, &sql, options)?;
            let ceiling = run_job(Job::Ceiling, &topic, &workspace.path().join("data"))?;
            Ok((measured, Some(ceiling)))
        })?);
    }
    print_table(place, &ceilings, &lines, read);
    for line in ceilings.iter().chain(&lines) {
        out.add(&record(place, line))?;
    }
    Ok(())
}

fn record(place: Place, line: &Line) -> serde_json::Value {
    let m = &line.measured;
    json!({
        "section": "throughput", "from": place.name(), "line": line.name, "events": m.events, "eventsPerSecond": m.steady,
        "cpuMicrosPerEvent": m.cpu_micros / m.events as f64, "peakBytes": m.peak_bytes, "bytesWritten": m.bytes_written,
        "ceiling": line.ceiling.as_ref().map(|c| c.steady), "sharesOfCeiling": line.shares,
        "ceilingCpuMicrosPerEvent": line.ceiling.as_ref().map(|c| c.cpu_micros / m.events as f64),
        "shares": m.stations.shares(m.cpu_micros), "fsyncs": m.stations.fsyncs(),
    })
}

fn print_table(place: Place, ceilings: &[Line], lines: &[Line], read: f64) {
    println!("\nfrom {}", place.title());
    println!(
        "{:<38} {:>10} {:>10} {:>8} {:>9} {:>9} {:>9} {:>10} {:>9}",
        "", "events/s", "with start", "/ reader", "/ ceiling", "CPU us/ev", "peak MiB", "MB written", "ceiling"
    );
    for line in ceilings.iter().chain(lines) {
        let m = &line.measured;
        let ratio = line.ceiling.as_ref().map_or(String::new(), |c| format!("{:.2}", m.steady / c.steady));
        let ceiling = line.ceiling.as_ref().map_or(String::new(), |c| format!("{:.0}", c.steady));
        println!(
            "{:<38} {:>10.0} {:>10.0} {:>8.2} {:>9} {:>9.2} {:>9.0} {:>10.1} {:>9}",
            line.name,
            m.steady,
            m.whole,
            m.steady / read,
            ratio,
            m.cpu_micros / m.events as f64,
            m.peak_bytes as f64 / 1_048_576.0,
            m.bytes_written as f64 / 1e6,
            ceiling,
        );
    }
    for line in lines.iter().filter(|line| !line.measured.steps.is_empty()) {
        print_shares(line);
    }
}

fn print_shares(line: &Line) {
    let m = &line.measured;
    let total: f64 = m.steps.iter().map(|(_, ms)| ms).sum();
    println!(
        "{}: {} batches, p50 {} ms, {:.0} % of the time in none",
        line.name,
        m.batches,
        m.batch_p50,
        100.0 * m.between
    );
    println!("  time by step:    {}", list(m.steps.iter().map(|(step, ms)| (step.as_str(), ms / total))));
    let shares = m.stations.shares(m.cpu_micros);
    println!("  CPU by station:  {}", list(shares.iter().map(|(station, share)| (station.as_str(), *share))));
    let (fsyncs, millis) = m.stations.fsyncs();
    println!("  fsyncs:          {fsyncs:.0} a batch, {millis:.2} ms each");
    if let Some(ceiling) = &line.ceiling {
        let parts: Vec<String> = ceiling.parts.iter().map(|(part, seconds)| format!("{part} {seconds:.2} s")).collect();
        println!(
            "  ceiling:         {:.2} CPU us/event, {:.2} of this line's; {}, {:.1} MB",
            ceiling.cpu_micros / ceiling.events as f64,
            ceiling.cpu_micros / m.cpu_micros,
            parts.join(", "),
            ceiling.bytes_written as f64 / 1e6
        );
        let shares: Vec<String> = line.shares.iter().map(|share| format!("{share:.2}")).collect();
        println!("  / ceiling:       {} by round", shares.join(", "));
    }
}

/// `encode 41 %, decode 12 %, ...`, without what rounds to nothing.
fn list<'a>(shares: impl Iterator<Item = (&'a str, f64)>) -> String {
    let shares =
        shares.filter(|(_, share)| *share >= 0.005).map(|(name, share)| format!("{name} {:.0} %", 100.0 * share));
    shares.collect::<Vec<_>>().join(", ")
}

/// Prints the section on writers: three schema ids in turn and 1 % broken events, beside one id and none. The reader schema
/// is the first in both, so that the tables have the same columns.
pub fn writers(place: Place, events: u64, options: &[String], out: &mut Out) -> anyhow::Result<()> {
    let sql = pipeline(LAYERS.len())?;
    let mut options = options.to_vec();
    options.push("--set=sales_events.value.schema.version=1".to_owned());
    println!("\nwriters, from {}: all layers with DQ", place.title());
    println!("{:<38} {:>10} {:>9} {:>9}", "", "events/s", "CPU us/ev", "peak MiB");
    let mut clean: Option<Measured> = None;
    for (name, produce) in [
        ("one schema id, no broken event", ["--writer-schemas", "1", "--malformed", "0"]),
        ("three in turn, 1 % broken events", ["--writer-schemas", "3", "--malformed", "0.01"]),
    ] {
        let topic = Topic::filled(place, events, &produce)?;
        let (measured, _) = run_pipeline(&topic, &sql, &options)?;
        if measured.events != events {
            bail!("{name} saw {} of {events} events", measured.events);
        }
        println!(
            "{name:<38} {:>10.0} {:>9.2} {:>9.0}",
            measured.steady,
            measured.cpu_micros / events as f64,
            measured.peak_bytes as f64 / 1_048_576.0
        );
        let Some(clean) = &clean else {
            clean = Some(measured);
            continue;
        };
        let (rate, cpu) = (measured.steady / clean.steady, clean.cpu_micros / measured.cpu_micros);
        println!("{rate:.2} of the clean rate; by CPU {cpu:.2}");
        out.add(&json!({"section": "writers", "from": place.name(), "ratio": rate, "cpuRatio": cpu}))?;
    }
    Ok(())
}
