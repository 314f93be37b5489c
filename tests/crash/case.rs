//! One case: crashes, power losses, the run to the end, and what must hold.

use std::collections::BTreeMap;
use std::fmt;

use sluicebox_checkpoint::Checkpoint;

use crate::scenarios::{Check, Scenario};
use crate::world::{Ended, Outcome, World};

/// A crash at a point, `<name>:<phase>`, when it is reached for the `at`-th time; then a power loss, if there is a seed.
#[derive(Debug, Clone)]
pub struct Crash {
    pub point: String,
    pub at: u64,
    pub power: Option<u64>,
}

/// A scenario with crashes.
#[derive(Debug, Clone)]
pub struct Case {
    pub scenario: &'static str,
    pub crashes: Vec<Crash>,
}

/// What came of a case.
pub struct Tried {
    pub result: Result<(), String>,
    pub crashed: usize,
    pub losses: usize,
    /// The points that each run reached, in order.
    pub points: Vec<BTreeMap<String, u64>>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.scenario)?;
        for crash in &self.crashes {
            write!(f, " {}:{}", crash.point, crash.at)?;
            match crash.power {
                Some(seed) => write!(f, " power={seed}")?,
                None => f.write_str(" killed")?,
            }
        }
        Ok(())
    }
}

impl Case {
    pub fn new(scenario: &'static str) -> Self {
        Self { scenario, crashes: Vec::new() }
    }

    pub fn crash(mut self, point: &str, at: u64, power: Option<u64>) -> Self {
        self.crashes.push(Crash { point: point.to_owned(), at, power });
        self
    }

    /// The case that `text` describes in full, as it is printed of one that fails.
    pub fn parse(text: &str, scenarios: &[Scenario]) -> Option<Self> {
        let mut words = text.split_whitespace();
        let scenario = scenarios.iter().find(|s| words.clone().next() == Some(s.name))?;
        words.next();
        let mut case = Self::new(scenario.name);
        while let Some(place) = words.next() {
            let (point, at) = place.rsplit_once(':')?;
            let power = match words.next()? {
                "killed" => None,
                power => Some(power.strip_prefix("power=")?.parse().ok()?),
            };
            case = case.crash(point, at.parse().ok()?, power);
        }
        (!case.crashes.is_empty()).then_some(case)
    }

    pub fn run(&self, scenario: &Scenario) -> Tried {
        let mut tried = Tried { result: Ok(()), crashed: 0, losses: 0, points: Vec::new() };
        tried.result = self.steps(scenario, &mut tried.crashed, &mut tried.losses, &mut tried.points);
        tried
    }

    fn steps(
        &self,
        scenario: &Scenario,
        crashed: &mut usize,
        losses: &mut usize,
        points: &mut Vec<BTreeMap<String, u64>>,
    ) -> Result<(), String> {
        let world = World::copy_of(&scenario.before);
        let mut staged = Vec::new();
        let mut expected = &scenario.outcome;
        for (nth, crash) in self.crashes.iter().enumerate() {
            let program = if nth == 0 { &scenario.program } else { &scenario.again };
            let at = format!("{}:{}", crash.point, crash.at);
            let (mut ended, mut said) = world.run(program, Some(&at));
            if let (Ended::Code(2), Some(asked)) = (ended, &scenario.asked_again) {
                (ended, said) = world.run(asked, Some(&at));
            }
            points.push(world.points());
            // Files are staged side by side, so how often a point is reached may differ a little from run to run.
            match ended {
                Ended::Crashed => *crashed += 1,
                ended if ended == scenario.ends => {}
                ended => return Err(format!("{ended:?} before the crash: {said}")),
            }
            if scenario.check == Check::Tables {
                staged.extend(world.staged());
            }
            if let Some(seed) = crash.power {
                *losses += world.lose_power(seed);
            }
            if scenario.check == Check::Tables {
                shows_only(expected, scenario, &world.tables()?)?;
            }
            if let (0, Some(grown)) = (nth, &scenario.grown) {
                if !world.has_planned() {
                    expected = &grown.at_once;
                }
                world.take_log_of(&grown.log);
            }
        }
        let (mut ended, mut said) = world.run(&scenario.again, None);
        if let (Ended::Code(2), Some(asked)) = (ended, &scenario.asked_again) {
            (ended, said) = world.run(asked, None);
        }
        points.push(world.points());
        if ended != scenario.ends {
            return Err(format!("{ended:?} after the crash: {said}"));
        }
        match scenario.check {
            Check::Log => crate::log::check(world.path()),
            Check::Tables => {
                same(expected, &world.outcome()?)?;
                world.verify()?;
                no_record_is_left(&Checkpoint::new(world.path().join("checkpoints/crash")))?;
                if scenario.grown.is_some() {
                    world.keeps_its_end()?;
                }
                if scenario.replays {
                    staged.extend(world.staged());
                    replays_are_the_same(staged)?;
                }
                Ok(())
            }
        }
    }
}

/// Of each compaction for which another stands the record is gone: when that one is replaced itself, nobody would stand for it.
fn no_record_is_left(checkpoint: &Checkpoint) -> Result<(), String> {
    let numbers = checkpoint.compaction_numbers().map_err(|e| e.to_string())?;
    for number in &numbers {
        let replaces = checkpoint.compaction(*number).map_err(|e| e.to_string())?.replaces;
        if let Some(left) = replaces.iter().find(|replaced| numbers.contains(replaced)) {
            return Err(format!("the record of compaction {left} is left, for which that of {number} stands"));
        }
    }
    Ok(())
}

/// A replayed batch gives the same bytes.
fn replays_are_the_same(staged: Vec<(std::path::PathBuf, Vec<u64>)>) -> Result<(), String> {
    let mut first = BTreeMap::new();
    for (name, hashes) in staged {
        for hash in hashes {
            if *first.entry(name.clone()).or_insert(hash) != hash {
                return Err(format!("{} was staged twice, with different bytes", name.display()));
            }
        }
    }
    Ok(())
}

/// What readers see in between is part of what comes out, and nothing twice.
fn shows_only(expected: &Outcome, scenario: &Scenario, found: &Outcome) -> Result<(), String> {
    let none = Vec::new();
    // What is retained no longer is there until it is retired.
    for (name, rows) in found.iter().filter(|(name, _)| !name.starts_with("tables/retired")) {
        if scenario.replaces.is_some_and(|table| name.starts_with(table))
            && shows(scenario.held.get(name).unwrap_or(&none), rows).is_ok()
        {
            continue;
        }
        shows(expected.get(name).unwrap_or(&none), rows).map_err(|row| {
            format!("{name}: before the restart readers see a row twice, or one that is not to come: {row}")
        })?;
    }
    Ok(())
}

/// Fails with the first of `rows`, which are sorted, that is not among `expected`, or is more often.
fn shows<'r>(expected: &[String], rows: &'r [String]) -> Result<(), &'r String> {
    let mut left = expected.iter();
    rows.iter().try_for_each(|row| if left.any(|e| e == row) { Ok(()) } else { Err(row) })
}

/// Fails with the first difference.
pub fn same(expected: &Outcome, found: &Outcome) -> Result<(), String> {
    let names: std::collections::BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let none = Vec::new();
    for name in names {
        let (e, f) = (expected.get(name).unwrap_or(&none), found.get(name).unwrap_or(&none));
        if e != f {
            let at = e.iter().zip(f).position(|(e, f)| e != f).unwrap_or(e.len().min(f.len()));
            let show = |rows: &Vec<String>| rows.get(at).cloned().unwrap_or_else(|| "nothing".to_owned());
            let (there, counts) = ((show(e), show(f)), (e.len(), f.len()));
            return Err(format!(
                "{name}: {counts:?} rows expected and found; first difference\n  {}\n  {}",
                there.0, there.1
            ));
        }
    }
    Ok(())
}
