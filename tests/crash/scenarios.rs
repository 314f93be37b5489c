//! What is crashed.

use std::collections::BTreeMap;

use crate::case::same;
use crate::world::{Ended, Outcome, Program, World};
use crate::worlds::{Worlds, produce, produce_notes, run, without_reports};

/// The points of an exchange of partition folders.
const SWAPS: &[&str] = &["swap.", "compaction."];

/// What is compared at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Everything that a pipeline leaves.
    Tables,
    /// What was acknowledged to the writer of the log.
    Log,
}

/// A topic that grows between the crash and the next start.
pub struct Grown {
    /// Where it lies.
    pub log: World,
    /// What comes out when nothing was planned before the crash: then all is read by one run.
    pub at_once: Outcome,
}

/// A folder, a program to crash in it, and what came out when nobody did.
pub struct Scenario {
    pub name: &'static str,
    pub before: World,
    pub program: Program,
    /// What is run after a crash.
    pub again: Program,
    /// What is run after a crash when `again` ends with 2, as what it was asked for had not begun.
    pub asked_again: Option<Program>,
    /// A table whose rows the program replaces: until it has, readers may see those that were there.
    pub replaces: Option<&'static str>,
    pub ends: Ended,
    pub check: Check,
    /// What has come to the topic when the program is started again.
    pub grown: Option<Grown>,
    /// Whether batches keep their ids, so that staged files of one name are of one batch.
    pub replays: bool,
    /// How many of its cases with one crash are tried when not all are asked for.
    pub sample: usize,
    /// The points of interest; all if empty.
    focus: &'static [&'static str],
    /// How often the program reaches each point.
    pub points: BTreeMap<String, u64>,
    pub outcome: Outcome,
    /// What the tables held before.
    pub held: Outcome,
    /// Files that the points know nothing of.
    pub escaped: Vec<String>,
}

impl Scenario {
    /// Runs it undisturbed.
    fn new(name: &'static str, before: World, program: Program, again: Program) -> Self {
        let mut scenario = Self {
            name,
            before,
            program,
            again,
            asked_again: None,
            replaces: None,
            ends: Ended::Code(0),
            check: Check::Tables,
            grown: None,
            replays: true,
            sample: usize::MAX,
            focus: &[],
            points: BTreeMap::new(),
            outcome: Outcome::new(),
            held: Outcome::new(),
            escaped: Vec::new(),
        };
        let calm = World::copy_of(&scenario.before);
        let (ended, said) = calm.run(&scenario.program, None);
        scenario.points = calm.points();
        scenario.ends = ended;
        if matches!(scenario.program, Program::Writer) {
            assert_eq!(ended, Ended::Code(0), "{said}");
            scenario.check = Check::Log;
            crate::log::check(calm.path()).unwrap();
            return scenario;
        }
        calm.verify().unwrap();
        scenario.held = scenario.before.tables().unwrap();
        scenario.outcome = calm.outcome().unwrap();
        if scenario.before.journal().is_empty() && name == "first" {
            scenario.escaped = calm.escaped();
        }
        scenario
    }

    fn focus(mut self, focus: &'static [&'static str]) -> Self {
        self.focus = focus;
        self
    }

    /// A scenario that does not come to its point would show nothing.
    fn reaches(&self, point: &str) {
        assert!(self.points.get(point).is_some_and(|times| *times > 0), "{}: {point} is not reached", self.name);
    }

    pub fn wants(&self, point: &str) -> bool {
        self.focus.is_empty() || self.focus.iter().any(|f| point.starts_with(f))
    }
}

/// The points of a run that finds its checkpoint held, and ends.
pub fn held(calm: &Scenario) -> BTreeMap<String, u64> {
    let world = World::copy_of(&calm.before);
    world.ok(&calm.program);
    let hold = |path: &str| {
        let file =
            std::fs::OpenOptions::new().write(true).open(world.path().join("checkpoints/crash").join(path)).unwrap();
        file.lock().unwrap();
        file
    };
    // As the run does that holds it.
    let _held = (hold("lock"), hold("epochs/1"));
    let (ended, said) = world.run(&calm.again, None);
    assert_eq!(ended, Ended::Code(1), "{said}");
    world.points()
}

/// A scenario by its name.
type Named = (&'static str, fn(&Worlds) -> Scenario);

/// All scenarios; the first is that of a first run.
const ALL: &[Named] = &[
    ("first", first),
    ("grown", grown),
    ("refresh", refresh),
    ("refreshed_first", refreshed_first),
    ("repin", repin),
    ("purge", purge),
    ("snapshot", snapshot),
    ("failing", failing),
    ("changed", |worlds| changed("changed", "topic", worlds)),
    ("filled", |worlds| changed("filled", "files", worlds)),
    ("compact", compact),
    ("twice", twice),
    ("keeping", keeping),
    ("kept", kept),
    ("json", json),
    ("topic", topic),
    ("writer", |_| Scenario::new("writer", World::new(), Program::Writer, Program::Writer)),
];

/// The scenarios of the cases that `only` can describe: the one that it begins with, or else all.
pub fn built(only: Option<&str>) -> Vec<Scenario> {
    let word = only.and_then(|only| only.split_whitespace().next());
    let named = word.filter(|word| ALL.iter().any(|(name, _)| name == word));
    let worlds = Worlds::default();
    let wanted = ALL.iter().filter(|(name, _)| named.is_none_or(|named| named == *name));
    wanted
        .map(|(name, make)| {
            let scenario = make(&worlds);
            assert_eq!(scenario.name, *name);
            scenario
        })
        .collect()
}

/// Where the pipeline has run, with the journal of what it did.
pub fn undisturbed() -> World {
    let world = World::copy_of(Worlds::default().log());
    go_on(&world);
    world
}

/// Where the pipeline was killed at `point`, with the journal of what it did.
pub fn killed(point: &str) -> World {
    let world = World::copy_of(Worlds::default().log());
    let (ended, said) = world.run(&calm(), Some(point));
    assert_eq!(ended, Ended::Crashed, "{said}");
    world
}

/// Runs the pipeline to its end, with its journal behind what is there.
pub fn go_on(world: &World) {
    let (ended, said) = world.run(&calm(), None);
    assert_eq!(ended, Ended::Code(0), "{said}");
}

fn calm() -> Program {
    run("pipeline.sql", &[])
}

fn first(worlds: &Worlds) -> Scenario {
    let first = Scenario::new("first", World::copy_of(worlds.log()), calm(), calm());
    assert_eq!(first.ends, Ended::Code(0));
    every_kind_of_row(&first.outcome);
    // However it is cut, the same comes out: what is compared does not depend on batches.
    same(&first.outcome, &worlds.other().outcome().unwrap()).unwrap();
    first
}

/// What has come since a run was killed is for the next one: the first is finished to its own end, where it closes all windows.
fn grown(worlds: &Worlds) -> Scenario {
    let program = run("pipeline.sql", &["--set", "sales_events.maxOffsetsPerTrigger=90"]);
    let before = World::copy_of(worlds.log());
    let mut grown = Scenario::new("grown", before, program.clone(), program.clone()).focus(&[
        "offsets.",
        "commit.",
        "publish.",
        "stage.sync",
    ]);
    // Appended once: whether an event is late must not hang on the seconds in which it was made.
    let log = World::copy_of(worlds.log());
    produce(&log, 160, 9);
    let [after, at_once] = [true, false].map(|reads_before| {
        let world = World::copy_of(worlds.log());
        if reads_before {
            world.ok(&program);
        }
        world.take_log_of(&log);
        world.ok(&program);
        world.keeps_its_end().unwrap();
        world.outcome().unwrap()
    });
    assert!(after != at_once, "it makes no difference when a run ends");
    grown.outcome = after;
    grown.grown = Some(Grown { log, at_once });
    grown.sample = 30;
    grown
}

fn refresh(worlds: &Worlds) -> Scenario {
    let refresh = run("pipeline.sql", &["--full-refresh"]);
    let mut refresh = Scenario::new("refresh", World::copy_of(worlds.more()), refresh, calm()).focus(&[
        "refresh.",
        "clear.",
        "metadata.",
        "owner.rename",
        "owner.write",
    ]);
    refresh.replays = false;
    refresh
}

/// A full refresh that is the first start ever: before it has metadata, what it leaves is taken for no other's folder.
fn refreshed_first(worlds: &Worlds) -> Scenario {
    let program = run("pipeline.sql", &["--full-refresh"]);
    let mut first = Scenario::new("refreshed_first", World::copy_of(worlds.log()), program, calm()).focus(&[
        "checkpoint.",
        "lock.",
        "epoch.",
        "refresh.",
        "metadata.",
        "owner.",
    ]);
    first.replays = false;
    first.sample = 30;
    first
}

fn repin(worlds: &Worlds) -> Scenario {
    let repin = run("pipeline.sql", &["--repin", "sales_events"]);
    Scenario::new("repin", World::copy_of(worlds.more()), repin, calm()).focus(&["source."])
}

fn purge(worlds: &Worlds) -> Scenario {
    let old = World::copy_of(worlds.log());
    let small = ["--set", "sales_events.maxOffsetsPerTrigger=4", "--set", "again.maxOffsetsPerTrigger=4"];
    old.ok(&run("pipeline.sql", &small));
    produce(&old, 70, 6);
    let purge = run("pipeline.sql", &small);
    // So many batches that segments are merged, too.
    Scenario::new("purge", old, purge.clone(), purge).focus(&["purge.", "segment."])
}

/// State that is written whole, to which budgets that fold in every batch never let it come: the run is killed shortly before, so
/// that the program goes on from deltas, writes snapshots, and is started again from those.
fn snapshot(worlds: &Worlds) -> Scenario {
    let roomy = |offsets: u32| {
        let of = |source: &str| format!("{source}.maxOffsetsPerTrigger={offsets}");
        let (one, other) = (of("sales_events"), of("again"));
        run("pipeline.sql", &["--set", "memory.limit=256 MiB", "--set", &one, "--set", &other])
    };
    let killed = World::copy_of(worlds.log());
    let (ended, said) = killed.run(&roomy(3), Some("commit.link:after:96"));
    assert_eq!(ended, Ended::Crashed, "{said}");
    assert!(!killed.has_snapshot(), "what is written whole is to be written by the program");
    let (before, program) = (World::copy_of(&killed), roomy(10));
    let calm = World::copy_of(&before);
    calm.ok(&program);
    assert!(calm.has_snapshot(), "nothing was written whole");
    let mut snapshot =
        Scenario::new("snapshot", before, program.clone(), program).focus(&["state.", "commit.", "purge."]);
    // Wherever state was meanwhile, the same comes out.
    same(&worlds.other().outcome().unwrap(), &snapshot.outcome).unwrap();
    snapshot.sample = 20;
    snapshot
}

fn failing(worlds: &Worlds) -> Scenario {
    let failing = run("failing.sql", &[]);
    let failing = Scenario::new("failing", World::copy_of(worlds.log()), failing.clone(), failing).focus(&["failed."]);
    assert_eq!(failing.ends, Ended::Code(3));
    failing
}

fn compact(worlds: &Worlds) -> Scenario {
    let compact = Program::sluicebox(&["compact", "compact.sql"]);
    let mut compact = Scenario::new("compact", World::copy_of(worlds.many()), compact.clone(), compact).focus(SWAPS);
    compact.replays = false;
    assert_eq!(compact.outcome, worlds.many().outcome().unwrap(), "the same rows");
    compact
}

/// Folders that were compacted before are compacted with what has come since: the new record stands for the old one too.
fn twice(worlds: &Worlds) -> Scenario {
    let compact = Program::sluicebox(&["compact", "compact.sql"]);
    let before = World::copy_of(worlds.many());
    before.ok(&compact);
    produce(&before, 160, 8);
    before.ok(&run("compact.sql", &["--set", "sales_events.maxOffsetsPerTrigger=40"]));
    let mut twice = Scenario::new("twice", before, compact.clone(), compact).focus(SWAPS);
    twice.replays = false;
    twice.sample = 30;
    twice.reaches("compaction.remove:before");
    twice
}

/// The same by a run that compacts between its batches.
fn kept(worlds: &Worlds) -> Scenario {
    let before = World::copy_of(worlds.log());
    before.ok(&keeping_run("60"));
    produce(&before, 160, 8);
    let kept = keeping_run("30");
    let mut kept = Scenario::new("kept", before, kept.clone(), kept).focus(SWAPS);
    kept.sample = 30;
    kept.reaches("compaction.remove:before");
    kept
}

fn keeping_run(offsets: &str) -> Program {
    run("keeping.sql", &["--set", &format!("sales_events.maxOffsetsPerTrigger={offsets}")])
}

/// A run that compacts between its batches, and retires.
fn keeping(worlds: &Worlds) -> Scenario {
    let keeping = keeping_run("60");
    let keeping = Scenario::new("keeping", World::copy_of(worlds.log()), keeping.clone(), keeping).focus(SWAPS);
    assert!(!keeping.outcome.keys().any(|name| name.starts_with("tables/retired")), "all of it is retired");
    keeping
}

/// Sources that no registry is asked for. What they are read as is pinned, and what a batch decodes does not depend on how it is cut.
fn json(_: &Worlds) -> Scenario {
    let before = World::new();
    produce_notes(&before);
    let cut = World::copy_of(&before);
    cut.ok(&run("json.sql", &["--set", "notes.maxOffsetsPerTrigger=34", "--set", "as_bytes.maxOffsetsPerTrigger=70"]));
    let program = run("json.sql", &[]);
    let mut json = Scenario::new("json", before, program.clone(), program)
        .focus(&["source.", "offsets.", "stage.", "commit.", "publish.", "events."]);
    assert_eq!(json.ends, Ended::Code(0));
    for name in ["bronze/notes", "bronze/bytes", "gold/notes", "dead_letters/crash/notes"] {
        assert!(json.outcome.keys().any(|k| k.starts_with(name)), "nothing in {name}: {:?}", json.outcome.keys());
    }
    same(&json.outcome, &cut.outcome().unwrap()).unwrap();
    json.sample = 24;
    json
}

/// Tables whose rows are in topics: what is published is no name, but a transaction, and readers see all of it or nothing.
fn topic(_: &Worlds) -> Scenario {
    let before = World::new();
    produce_notes(&before);
    let cut = World::copy_of(&before);
    cut.ok(&run("topic.sql", &["--set", "notes.maxOffsetsPerTrigger=34"]));
    let program = run("topic.sql", &[]);
    let mut topic = Scenario::new("topic", before, program.clone(), program).focus(&[
        "stage.",
        "commit.",
        "publish.",
        "transaction.",
        "log.",
        "topic.",
        "subject.",
        "sweep.",
    ]);
    assert_eq!(topic.ends, Ended::Code(0));
    for point in ["transaction.write:half", "transaction.sync:after", "log.write:half", "publish.remove:after"] {
        topic.reaches(point);
    }
    let [kept, sent, counted] = ["tables/kept", "topic/sent", "topic/counted"].map(|name| topic.outcome[name].len());
    assert!(kept > 100 && sent == kept && counted > 5, "{kept} rows kept, {sent} sent, {counted} counted");
    same(&topic.outcome, &cut.outcome().unwrap()).unwrap();
    topic.sample = 40;
    topic
}

/// A run of another SQL over what was read: one table computed again, two that are new, filled from `from`.
fn changed(name: &'static str, from: &str, worlds: &Worlds) -> Scenario {
    let fill = ["gold_5m", "silver_accounts", "gold_tiers"].map(|table| format!("--backfill={table}={from}"));
    let small = ["--set", "sales_events.maxOffsetsPerTrigger=180"];
    let flags: Vec<&str> =
        small.into_iter().chain(["--full-refresh=gold_5m"]).chain(fill.iter().map(String::as_str)).collect();
    let asked = run("changed.sql", &flags);
    let again = run("changed.sql", &small);
    let mut scenario = Scenario::new(name, World::copy_of(worlds.other()), asked.clone(), again).focus(&[
        "pipeline.",
        "clear.",
        "owner.",
        "source.",
        "offsets.",
        "commit.",
        "state.",
        "stage.",
        "publish.",
        "events.",
        "epoch.",
        "sweep.",
    ]);
    assert_eq!(scenario.ends, Ended::Code(0));
    // However the tables are filled, they are those of a pipeline that had this SQL from the start.
    same(worlds.anew(), &without_reports(scenario.outcome.clone())).unwrap();
    scenario.asked_again = Some(asked);
    scenario.replaces = Some("gold/5m");
    scenario.sample = 14;
    scenario
}

/// A scenario without late rows would prove nothing about them.
fn every_kind_of_row(outcome: &Outcome) {
    let wanted = [
        "bronze/sales",
        "silver/sales",
        "silver/deep",
        "silver/ids",
        "gold/5m",
        "gold/hop",
        "gold/rollup",
        "late/crash/silver_sales",
        "quarantine/crash/silver_sales",
        "dead_letters/crash/sales_events",
        "dead_letters/crash/again",
    ];
    for name in wanted {
        assert!(outcome.keys().any(|k| k.starts_with(name)), "nothing in {name}: {:?}", outcome.keys());
    }
    for (name, rows) in [("tombstones", 2), ("dropped", 1), ("duplicate", 1)] {
        let reports = &outcome["reports of crash"];
        let of =
            |line: &&String| line.contains(name) && line.rsplit(' ').next().unwrap().parse::<u64>().unwrap() >= rows;
        assert!(reports.iter().any(|line| of(&line)), "no {name}: {reports:?}");
    }
}
