//! The soak from its start to its end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sluicebox_core::{Clock, SystemClock};

use crate::job::Job;
use crate::killer::{Ends, Killer};
use crate::producer::Producer;
use crate::readers::{Readers, Saw};
use crate::servers::Servers;
use crate::{SoakArgs, check, pipeline, scripts};

/// How long a run lives on average when nobody asks for a number of kills.
const LIFE: Duration = Duration::from_secs(3);
/// The same of a run that compacts, which needs some batches before there is anything to exchange.
const LIFE_TO_EXCHANGE: Duration = Duration::from_secs(6);

/// What was done.
struct Told {
    seed: u64,
    events: u64,
    ends: Ends,
    batches: u64,
    exchanges: u64,
    saw: Vec<Saw>,
}

/// Runs the soak, and says how it went.
pub fn soak(args: &SoakArgs) -> Result<()> {
    let clock = SystemClock::new();
    let seed = args.seed.unwrap_or_else(|| clock.now_micros().unsigned_abs() % 1_000_000_007);
    if !(args.minutes > 0.0 && args.minutes <= 100_000.0 && args.rate > 0.0) {
        bail!("--minutes and --rate must be more than 0");
    }
    let temporary = tempfile::Builder::new().prefix("sluicebox-soak-").tempdir()?;
    let folder = match &args.folder {
        Some(folder) => std::path::absolute(folder)?,
        None => temporary.path().to_owned(),
    };
    std::fs::create_dir_all(&folder)?;
    println!("seed {seed}, {} minutes, in {}", args.minutes, folder.display());
    match in_folder(args, seed, &folder) {
        Ok(told) => {
            show(&told, clock.monotonic());
            Ok(())
        }
        Err(error) => {
            // What it left is kept to be looked at.
            let kept = temporary.keep();
            let place = args.folder.as_ref().map_or(kept, |_| folder.clone());
            Err(error.context(format!("FAILED with --seed {seed}; see {}", place.display())))
        }
    }
}

fn show(told: &Told, took: Duration) {
    let Told { seed, events, ends, batches, exchanges, saw } = told;
    println!(
        "{} kills ({} while it started, {} just after a commit), {} stops, {batches} batches, {events} events",
        ends.kills, ends.while_starting, ends.after_commit, ends.stops
    );
    if *exchanges > 0 {
        println!("{exchanges} folders exchanged, {} kills meanwhile", ends.while_exchanging);
    }
    for Saw { reader, reads, again, .. } in saw {
        let again = if *again > 0 { format!(", {again} of them again since a file was gone") } else { String::new() };
        println!("{reader}: {reads} reads{again}, none wrong");
    }
    println!("nobody can tell (seed {seed}, {:.0} s)", took.as_secs_f64());
}

fn in_folder(args: &SoakArgs, seed: u64, folder: &Path) -> Result<Told> {
    let binary = scripts::binary(args.binary.as_deref())?;
    let python = scripts::python()?;
    let servers = Servers::up(folder)?;
    let mut random = SmallRng::seed_from_u64(seed);
    let topic = format!("soak-{seed}-{}", SystemClock::new().now_micros() / 1000);
    let time = Duration::from_secs_f64(args.minutes * 60.0);
    let events = args.events.unwrap_or_else(|| whole(args.rate * time.as_secs_f64()));
    let max_offsets = random.random_range(whole(args.rate)..4 * whole(args.rate)).max(100);
    let job = |name: &str, max_offsets: u64, compacts: bool| {
        let pipeline = match args.compact {
            true => pipeline::partitioned(&folder.join(format!("{name}.sql")), time, compacts)?,
            false => pipeline::example(),
        };
        let (folder, binary, topic) = (folder.join(name), binary.clone(), topic.clone());
        anyhow::Ok(Job { folder, binary, pipeline, compacts, topic, max_offsets, servers: &servers })
    };
    let wild = job("wild", max_offsets, args.compact)?;
    fresh(&wild)?;
    let producer = Producer::start(&servers, &topic, seed, events, time)?;
    let schema_id = producer.schema_id;
    let mut readers = Readers::start(&python, &wild.folder, args.compact)?;
    let ends = under_fire(args, &wild, random, time, &producer, &mut readers)?;
    let produced = producer.finish(false)?;
    println!("{} events produced, {} kills; reading the rest", produced.events, ends.kills);
    wild.run_to_end()?;
    let saw = readers.finish()?;
    saw.iter().for_each(|reader| println!("{}", reader.told));
    // Also undisturbed by compaction.
    let calm = job("calm", 50_000, false)?;
    fresh(&calm)?;
    calm.run_to_end().context("the undisturbed run")?;
    check::compare(&python, &wild, &calm, &folder.join("ledger.jsonl"), schema_id)?;
    let (batches, exchanges) = (wild.batches(), wild.exchanges());
    Ok(Told { seed, events: produced.events, ends, batches, exchanges, saw })
}

/// Kills runs until all events are there and it was often enough.
fn under_fire(
    args: &SoakArgs,
    job: &Job<'_>,
    random: SmallRng,
    time: Duration,
    producer: &Producer,
    readers: &mut Readers,
) -> Result<Ends> {
    // Starting again takes its time too, and some end by being asked.
    let life = args.kills.map_or(if args.compact { LIFE_TO_EXCHANGE } else { LIFE }, |kills| {
        (time / (kills + kills / 4 + 1)).mul_f64(0.8)
    });
    let mut killer = Killer::new(job, random, life);
    let (clock, mut told) = (SystemClock::new(), Duration::ZERO);
    while !producer.is_done() || args.kills.is_some_and(|wanted| killer.ends.kills < wanted) {
        killer.one_run()?;
        readers.must_run()?;
        if clock.monotonic() > told + Duration::from_secs(15) {
            told = clock.monotonic();
            let (seconds, kills) = (told.as_secs_f64(), killer.ends.kills);
            println!("{seconds:.0} s: {kills} kills, {} batches, {} exchanges", job.batches(), job.exchanges());
        }
    }
    killer.must_have_hit_many()?;
    killer.must_have_exchanged()?;
    Ok(killer.ends)
}

/// Refuses a folder that holds an earlier soak: its tables would be compared with another topic.
fn fresh(job: &Job<'_>) -> Result<()> {
    if job.folder.exists() {
        bail!("{} is there already: remove it, or name another --folder", job.folder.display());
    }
    std::fs::create_dir_all(&job.folder).with_context(|| PathBuf::from(&job.folder).display().to_string())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate times a time, checked to be positive"
)]
fn whole(number: f64) -> u64 {
    number.max(1.0) as u64
}
