//! Every file that a run depends on, damaged in every way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::kinds::{DAMAGES, Damage, Expect, Kind, expected, kind_of};
use crate::scene::{Scene, said};
use crate::support::make_fifo;
use crate::{everything, seed};

const CHECKPOINT: &str = "checkpoints/revenue_5m";

/// One of these is in every message that stops a run: the way out.
const WAYS_OUT: [&str; 11] = [
    "--full-refresh",
    "estore",
    "remove",
    "opy",
    "move",
    "run again",
    "check",
    "Point",
    "choose another",
    "correct the option",
    // A flipped bit of the version is taken for a version.
    "Go on with that one",
];

/// The newest commit's own file, its plan, and the state files that it names.
fn current_files(scene: &Scene) -> BTreeSet<PathBuf> {
    let root = Path::new(CHECKPOINT);
    let newest = |folder: &str| {
        let ids = scene.files().keys().filter_map(|p| p.strip_prefix(root.join(folder)).ok()?.to_str()?.parse().ok());
        ids.max().unwrap_or(0u64)
    };
    let (plan, commit) = (newest("offsets"), newest("commits"));
    let mut current = BTreeSet::from([root.join(format!("offsets/{plan}")), root.join(format!("commits/{commit}"))]);
    // The newest tells whether it was done; those since the newest commit, where its files are.
    current.insert(root.join(format!("compactions/{}", newest("compactions"))));
    let since = |path: &&PathBuf| {
        let sealed = path.starts_with(root.join("compactions"));
        sealed && record_of(&scene.files()[*path])["after"].as_u64() == Some(commit)
    };
    current.extend(scene.files().keys().filter(since).cloned());
    let record = record_of(&scene.files()[&root.join(format!("commits/{commit}"))]);
    for state in record["state"].as_object().unwrap().values() {
        let segments = state["segments"].as_array().into_iter().flatten();
        let files = state["deltas"].as_array().unwrap().iter().chain([&state["snapshot"]]).chain(segments);
        current.extend(files.filter_map(|f| f["path"].as_str()).map(|path| root.join(path)));
    }
    // A mark counts when there are files beside it.
    for mark in scene.files().keys().filter(|p| p.to_string_lossy().ends_with("_sluicebox_owner")) {
        let name = mark.file_name().unwrap().to_string_lossy();
        let folder = mark.with_file_name(name.trim_start_matches('.').trim_end_matches("_sluicebox_owner"));
        let has_files = |p: &&PathBuf| p.starts_with(&folder) && p.extension().is_some_and(|e| e == "parquet");
        if scene.files().keys().any(|p| has_files(&p)) {
            current.insert(mark.clone());
        }
    }
    current
}

/// What a sealed file says.
pub fn record_of(content: &[u8]) -> serde_json::Value {
    let text = std::str::from_utf8(content).unwrap();
    serde_json::from_str(text.split_once('\n').unwrap().1).unwrap()
}

/// Files by kind.
pub fn by_kind(scene: &Scene, wanted: impl Fn(&Path) -> bool) -> BTreeMap<Kind, Vec<PathBuf>> {
    let current = current_files(scene);
    let mut kinds: BTreeMap<Kind, Vec<PathBuf>> = BTreeMap::new();
    for path in scene.files().keys() {
        if let Some(kind) = kind_of(path, |p| current.contains(p))
            && wanted(path)
        {
            kinds.entry(kind).or_default().push(path.clone());
        }
    }
    kinds
}

/// Damages the file; false when it cannot be damaged so: nothing to cut, no other of its kind.
pub fn damage(scene: &Scene, path: &Path, how: Damage, kind: &[PathBuf], random: &mut SmallRng) -> bool {
    let at = scene.job.path().join(path);
    let mut content = scene.files()[path].clone();
    match how {
        // A segment that ends early is one whose last append was cut off, and another partition's is as whole as its own.
        Damage::Halved | Damage::Replaced if path.extension().is_some_and(|end| end == "log") => return false,
        Damage::Removed => std::fs::remove_file(at).unwrap(),
        Damage::Fifo => {
            std::fs::remove_file(&at).unwrap();
            make_fifo(&at);
        }
        _ if content.is_empty() => return false,
        Damage::Emptied => std::fs::write(at, "").unwrap(),
        Damage::Halved => std::fs::write(at, &content[..content.len() / 2]).unwrap(),
        Damage::BitFlipped => {
            let whole = Some(0..content.len());
            let segment = path.extension().is_some_and(|end| end == "log");
            let bytes = if segment { checked_bytes(&content).choose(random).cloned() } else { whole };
            let Some(bytes) = bytes else { return false };
            let bit = random.random_range(bytes.start * 8..bytes.end * 8);
            content[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(at, content).unwrap();
        }
        Damage::Replaced => {
            let others: Vec<&PathBuf> = kind.iter().filter(|p| scene.files()[*p] != content).collect();
            let Some(other) = others.choose(random) else { return false };
            std::fs::write(at, &scene.files()[*other]).unwrap();
        }
    }
    true
}

/// The bytes of a log's segment whose damage can be told: those that a batch's checksum covers, and the checksum itself, of
/// every batch but the last, which when it does not fit is taken for an append that was cut off (`docs/semantics.md`).
fn checked_bytes(segment: &[u8]) -> Vec<std::ops::Range<usize>> {
    const LENGTH: std::ops::Range<usize> = 8..12;
    const CHECKSUM: usize = 17;
    let mut batches = Vec::new();
    let mut start = 0;
    while let Some(length) = segment.get(start + LENGTH.start..start + LENGTH.end) {
        let end = start + LENGTH.end + u32::from_be_bytes(length.try_into().unwrap()) as usize;
        batches.push(start + CHECKSUM..end);
        start = end;
    }
    batches.pop();
    batches
}

/// Tries one damage: see the table in `kinds`.
pub fn try_one(scene: &Scene, path: &Path, kind: &Kind, how: Damage, refresh: bool, expected: Expect) {
    let what = format!("{} ({}), {how:?}", path.display(), kind.name);
    let output = scene.run(&[]);
    let said = said(&output, &what);
    let stopped = !output.status.success();
    match expected {
        Expect::Stops => assert!(stopped, "{what}: the run went on"),
        Expect::GoesOn => assert!(!stopped, "{what}: {said}"),
        Expect::Either => {}
    }
    if !stopped {
        return scene.assert_right(&what);
    }
    let name = path.strip_prefix(CHECKPOINT).unwrap_or(path);
    // A mark that names another is told by its folder, a log that is another one by its source.
    let by_place = match kind.name {
        "mark" => path.parent().and_then(Path::to_str),
        "log id" | "topic" | "segment" => Some("sales"),
        _ => None,
    };
    let named = said.contains(name.to_str().unwrap()) || by_place.is_some_and(|place| said.contains(place));
    assert!(named, "{what}: it is not named: {said}");
    assert!(WAYS_OUT.iter().any(|way| said.contains(way)), "{what}: no way out: {said}");
    // A part of the log that cannot be read does not keep the rest from being read first.
    if !path.starts_with("data/.log") {
        scene.assert_nothing_else(&what);
    }
    // What is lost of the log itself no refresh brings back.
    if refresh && !path.starts_with("data/.log") && said.contains("--full-refresh") {
        let output = scene.run(&["--full-refresh"]);
        assert!(output.status.success(), "{what}: the way out is none: {}", crate::scene::said(&output, &what));
        return scene.assert_anew(&format!("{what}, after the full refresh"));
    }
    // The other way out: what was damaged is put back, and the run goes on.
    let _ = std::fs::remove_file(scene.job.path().join(path));
    std::fs::write(scene.job.path().join(path), &scene.files()[path]).unwrap();
    let output = scene.run(&[]);
    assert!(output.status.success(), "{what}, then restored: {}", crate::scene::said(&output, &what));
    scene.assert_right(&format!("{what}, then restored"));
}

/// Walks through all kinds, `samples` files of each.
fn walk(scene: &Scene, wanted: impl Fn(&Path) -> bool, samples: usize) -> usize {
    let mut random = SmallRng::seed_from_u64(seed());
    let mut tried = 0;
    for (kind, files) in by_kind(scene, wanted) {
        for how in DAMAGES {
            let amount = match (everything(), kind.current) {
                (true, _) => files.len(),
                (_, true) => samples,
                _ => 1,
            };
            for (at, path) in files.choose_multiple(&mut random, amount).enumerate() {
                if damage(scene, path, how, &files, &mut random) {
                    // The refresh reads everything again: once a kind.
                    try_one(scene, path, &kind, how, at == 0 && how == Damage::Emptied, expected(&kind, how));
                    tried += 1;
                    scene.reset();
                }
            }
        }
    }
    tried
}

#[test]
fn a_damaged_file_of_the_checkpoint_stops_the_run_by_name_or_does_no_harm() {
    // More than a hundred batches, so that the purge has been; and so little memory that there are segments of state.
    let scene = Scene::new(1_060, 40, 10, &["--set", "memory.limit=20 KiB"]);
    let kinds = by_kind(&scene, |p| p.starts_with(CHECKPOINT));
    let names: BTreeSet<&str> = kinds.keys().map(|k| k.name).collect();
    assert_eq!(
        Vec::from_iter(names),
        ["commit", "epoch", "lock", "metadata", "pipeline", "plan", "reader", "start", "state", "state segment"]
    );
    let of = |end: &str| scene.files().keys().filter(|p| p.to_string_lossy().ends_with(end)).count();
    let (deltas, segments) = (of(".delta.arrow"), of(".segment"));
    assert!(deltas >= 3 && segments >= 3, "{deltas} deltas, {segments} segments");
    println!("{} damages", walk(&scene, |p| p.starts_with(CHECKPOINT), 2));
}

#[test]
fn a_damaged_schema_of_the_cache_stops_the_run_by_name_or_does_no_harm() {
    let scene = Scene::with_old_schema(400, 200, 150);
    let kept = |p: &Path| p.starts_with(CHECKPOINT) && p.iter().any(|part| part == "schemas");
    assert!(scene.files().keys().any(|p| kept(p)), "no schema was kept");
    println!("{} damages", walk(&scene, kept, 2));
}

#[test]
fn a_damaged_file_of_the_log_or_the_marks_stops_the_run_by_name_or_does_no_harm() {
    let scene = Scene::new(1_000, 300, 200, &[]);
    println!("{} damages", walk(&scene, |p| !p.starts_with(CHECKPOINT), 2));
}

/// A project whose run was ended at `at`.
#[cfg(feature = "faults")]
fn crashed(at: &str, more: &[&str]) -> crate::support::Workspace {
    let job = crate::support::Workspace::new();
    job.produce(600, 4);
    if !more.is_empty() {
        job.run_to_end(&[]);
    }
    let mut args =
        vec!["run", crate::GOLD, "--trigger", "available-now", "--set", "sales_events.maxOffsetsPerTrigger=150"];
    args.extend(more);
    let output = job.command(&args).env("SLUICEBOX_CRASH_AT", at).output().unwrap();
    assert_eq!(output.status.code(), None, "{at}: it was not reached");
    job
}

#[cfg(feature = "faults")]
#[test]
fn a_damaged_record_of_a_batch_in_flight_stops_the_run_by_name_or_does_no_harm() {
    let mut random = SmallRng::seed_from_u64(seed());
    // Planned and not committed; committed and not published.
    for (at, kinds) in
        [("commit.link:before:3", ["plan", "commit", "state"]), ("publish.link:before:9", ["plan", "commit", "state"])]
    {
        let scene = Scene::of(crashed(at, &[]));
        let all = by_kind(&scene, |p| p.starts_with(CHECKPOINT));
        for (kind, files) in all.iter().filter(|(kind, _)| kind.current && kinds.contains(&kind.name)) {
            for how in DAMAGES {
                let Some(path) = files.choose(&mut random) else { continue };
                if damage(&scene, path, how, files, &mut random) {
                    // Without its plan the batch was never planned, and is planned anew; without its commit it is run again.
                    let expected =
                        if how == Damage::Removed && kind.name != "state" { Expect::Either } else { Expect::Stops };
                    println!("{at}: {} ({}), {how:?}", path.display(), kind.name);
                    try_one(&scene, path, kind, how, false, expected);
                }
                scene.reset();
            }
        }
    }
}

#[cfg(feature = "faults")]
#[test]
fn a_damaged_record_of_a_full_refresh_stops_the_run_by_name_and_a_refresh_is_the_way_out() {
    let record = Path::new(CHECKPOINT).join("refresh");
    // Before anything was deleted, and half-way.
    for at in ["refresh.link:after:1", "clear.remove:after:4"] {
        let scene = Scene::of(crashed(at, &["--full-refresh"]));
        for how in [Damage::Emptied, Damage::Halved, Damage::BitFlipped] {
            let mut random = SmallRng::seed_from_u64(seed());
            assert!(damage(&scene, &record, how, &[], &mut random), "there is no record");
            let output = scene.run(&[]);
            let said = said(&output, at);
            assert!(!output.status.success() && said.contains("refresh"), "{at}, {how:?}: {said}");
            assert!(WAYS_OUT.iter().any(|way| said.contains(way)), "{at}, {how:?}: no way out: {said}");
            scene.assert_nothing_else(at);
            // Put back, it is gone on with.
            std::fs::write(scene.job.path().join(&record), &scene.files()[&record]).unwrap();
            assert!(scene.run(&[]).status.success());
            scene.assert_right(at);
            scene.reset();
        }
    }
}
