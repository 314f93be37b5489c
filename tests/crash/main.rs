//! Stopped at every effect, with and without a power loss, and started again, a run leaves what an undisturbed one leaves.
//!
//! A **scenario** ([`scenarios`]) is a folder as it was before, and a program: a first run, a full refresh, a run that
//! purges, the embedded log's writer, and so on. Run once undisturbed it shows which points it reaches and what comes out.
//! A **case** is a scenario with one or several crashes, and for each maybe a power loss ([`power`]): the program is ended
//! at the point, what was not durable is taken in some subset, the program is started again. Then everything is compared:
//! tables, dead letters, quarantine, late rows, the sums of all reports, `checkpoint verify`, the bytes of staged files that
//! were written twice. Between crash and restart, readers must see no torn file and no row that does not come out at the end.
//!
//! At the end every point of [`POINTS`] must have been reached, and no other; and in an undisturbed run every file must
//! have gone through the door whose points these are.
//!
//! `docs/testing.md` names the environment variables.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod case;
mod folders;
mod journal;
mod log;
mod power;
mod scenarios;
#[path = "../support/mod.rs"]
mod support;
mod world;
mod worlds;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use case::Case;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use scenarios::Scenario;
use sluicebox_durable::fault::POINTS;

/// How much is tried.
struct Effort {
    seed: u64,
    /// Rounds with other places and other losses.
    rounds: u64,
    /// Every time that a point is reached, and after a crash every point that a scenario's recoveries reach.
    all: bool,
    /// Only the cases whose description holds this.
    only: Option<String>,
    /// Only the k-th of n parts of the cases, as (k, n), for what takes longer than there is time at once. Pairs are chosen among the
    /// recoveries of the part.
    part: (usize, usize),
}

impl Effort {
    fn from_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok().map(|v| v.parse().unwrap());
        Self {
            seed: number("SLUICEBOX_CRASH_SEED").unwrap_or(1),
            rounds: number("SLUICEBOX_CRASH_SEEDS").unwrap_or(1),
            all: std::env::var_os("SLUICEBOX_CRASH_ALL").is_some(),
            only: std::env::var("SLUICEBOX_CRASH_ONLY").ok(),
            part: std::env::var("SLUICEBOX_CRASH_PART").ok().map_or((1, 1), |part| {
                let (nth, parts) = part.split_once('/').unwrap();
                (nth.parse().unwrap(), parts.parse().unwrap())
            }),
        }
    }

    /// Those of `cases` that belong to the part. A seed puts them into one order, so that the parts together are all.
    fn part_of(&self, cases: Vec<Case>) -> Vec<Case> {
        let (nth, parts) = self.part;
        assert!((1..=parts).contains(&nth), "SLUICEBOX_CRASH_PART={nth}/{parts}");
        cases.into_iter().skip(nth - 1).step_by(parts).collect()
    }

    /// Whether all that is reached is looked at together.
    fn whole(&self) -> bool {
        self.only.is_none() && self.part.1 == 1
    }

    fn wants(&self, case: &Case) -> bool {
        self.only.as_ref().is_none_or(|only| case.to_string().contains(only))
    }
}

/// What all cases found.
#[derive(Default)]
struct Found {
    failures: Mutex<Vec<String>>,
    reached: Mutex<BTreeSet<String>>,
    crashes: AtomicUsize,
    losses: AtomicUsize,
    /// Points that the runs after a crash reach, for the pairs.
    recoveries: Mutex<Vec<(Case, BTreeMap<String, u64>)>>,
}

#[test]
fn stopped_at_every_effect_everything_comes_out_as_undisturbed() {
    let effort = Effort::from_environment();
    let found = Found::default();
    // Told at once, and not by `println!`, which the harness keeps until the end.
    let _ = writeln!(std::io::stderr(), "SLUICEBOX_CRASH_SEED={}", effort.seed);
    let scenarios = scenarios::built(effort.only.as_deref());
    for scenario in &scenarios {
        found.reached.lock().unwrap().extend(scenario.points.keys().cloned());
        assert!(scenario.escaped.is_empty(), "{}: not by the door: {:#?}", scenario.name, scenario.escaped);
    }
    if effort.only.is_none() {
        found.reached.lock().unwrap().extend(scenarios::held(&scenarios[0]).into_keys());
    }
    let mut rng = SmallRng::seed_from_u64(effort.seed);
    let named = effort.only.as_deref().and_then(|only| Case::parse(only, &scenarios));
    let single: Vec<Case> = match named {
        Some(case) => vec![case],
        None => effort.part_of((0..effort.rounds).flat_map(|_| singles(&scenarios, &effort, &mut rng)).collect()),
    };
    let tried = single.len();
    run_all(&single, &scenarios, &effort, &found);
    // Each part meets most points in its recoveries, so it tries its share of them alone.
    let pairs = effort.part_of(pairs(&found, &effort, &mut rng));
    run_all(&pairs, &scenarios, &effort, &found);
    let points: BTreeSet<String> = scenarios.iter().flat_map(|s| s.points.keys().cloned()).collect();
    println!(
        "seed {}: {} places in {} scenarios, {} cases with one crash and {} with two; {} crashes, {} names and files lost \
         with the power",
        effort.seed,
        points.len(),
        scenarios.len(),
        tried,
        pairs.len(),
        found.crashes.load(Ordering::Relaxed),
        found.losses.load(Ordering::Relaxed),
    );
    let failures = found.failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} failures, the first ones:\n{}",
        failures.len(),
        failures[..failures.len().min(5)].join("\n")
    );
    if effort.whole() {
        all_points_are_reached(&found.reached.into_inner().unwrap());
    }
}

/// A crash with a power loss at each point of each scenario, before, half-way and after; and a crash alone after each that
/// changes something: before it all is as it was after the one before.
fn singles(scenarios: &[Scenario], effort: &Effort, rng: &mut SmallRng) -> Vec<Case> {
    let mut all = Vec::new();
    for scenario in scenarios {
        let mut cases = Vec::new();
        for (point, count) in scenario.points.iter().filter(|(p, _)| scenario.wants(p)) {
            let once = |rng: &mut SmallRng| BTreeSet::from([rng.random_range(1..=*count)]);
            let times = if effort.all { (1..=*count).collect() } else { once(rng) };
            cases.extend(times.into_iter().map(|at| Case::new(scenario.name).crash(point, at, Some(rng.random()))));
            if effort.all || !(point.contains(".sync") || point.ends_with(":before")) {
                cases.extend(once(rng).into_iter().map(|at| Case::new(scenario.name).crash(point, at, None)));
            }
        }
        cases.shuffle(rng);
        if !effort.all {
            cases.truncate(scenario.sample);
        }
        all.extend(cases);
    }
    all.shuffle(rng);
    all
}

/// A second crash, in the run after the first.
fn pairs(found: &Found, effort: &Effort, rng: &mut SmallRng) -> Vec<Case> {
    let mut recoveries = std::mem::take(&mut *found.recoveries.lock().unwrap());
    // Threads end in any order; the choice must not depend on it.
    recoveries.sort_by_key(|(case, _)| case.to_string());
    recoveries.shuffle(rng);
    let mut cases = Vec::new();
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    for (case, points) in &recoveries {
        let points: Vec<_> = points.iter().collect();
        // First what no case has met yet in a recovery of this scenario, then anything.
        let mut chosen: Vec<_> =
            points.iter().filter(|(p, _)| seen.insert((case.scenario.to_owned(), (*p).clone()))).collect();
        if !effort.all {
            chosen.truncate(if cases.len() < 40 { 10 } else { 2 });
            chosen.extend(points.choose_multiple(rng, usize::from(cases.len() < 50)));
        }
        for (point, count) in chosen {
            let power = rng.random_bool(0.7).then(|| rng.random());
            cases.push(case.clone().crash(point, rng.random_range(1..=**count), power));
        }
    }
    if !effort.all {
        cases.truncate(60);
    }
    cases
}

fn run_all(cases: &[Case], scenarios: &[Scenario], effort: &Effort, found: &Found) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(nth) else { break };
                    if nth > 0 && nth.is_multiple_of(500) {
                        let _ = writeln!(std::io::stderr(), "{nth} of {} cases", cases.len());
                    }
                    if effort.wants(case) {
                        try_one(case, scenarios, found);
                    }
                }
            });
        }
    });
}

fn try_one(case: &Case, scenarios: &[Scenario], found: &Found) {
    let scenario = scenarios.iter().find(|s| s.name == case.scenario).unwrap();
    let tried = case.run(scenario);
    found.reached.lock().unwrap().extend(tried.points.iter().flat_map(|p| p.keys().cloned()));
    found.crashes.fetch_add(tried.crashed, Ordering::Relaxed);
    found.losses.fetch_add(tried.losses, Ordering::Relaxed);
    if let (1, Some(recovery)) = (case.crashes.len(), tried.points.last()) {
        found.recoveries.lock().unwrap().push((case.clone(), recovery.clone()));
    }
    if let Err(why) = tried.result {
        let _ = writeln!(std::io::stderr(), "FAILED {case}\n  {why}");
        found.failures.lock().unwrap().push(format!("SLUICEBOX_CRASH_ONLY='{case}'\n  {why}"));
    }
}

fn all_points_are_reached(reached: &BTreeSet<String>) {
    let declared: BTreeSet<String> = POINTS
        .iter()
        .flat_map(|(what, effects)| effects.iter().map(move |effect| (what, effect)))
        .flat_map(|(what, effect)| {
            let name = format!("{}.{}", what.as_str(), effect.as_str());
            effect.phases().iter().map(move |phase| format!("{name}:{}", phase.as_str()))
        })
        .collect();
    println!(
        "{} points, each before, after and half-way where there is one: {}",
        POINTS.iter().map(|(_, e)| e.len()).sum::<usize>(),
        declared.len()
    );
    let never: Vec<_> = declared.difference(reached).collect();
    let unknown: Vec<_> = reached.difference(&declared).collect();
    assert!(never.is_empty() && unknown.is_empty(), "never reached: {never:?}; not in the list of points: {unknown:?}");
}
