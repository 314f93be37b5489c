//! A disk that is full, broken, read-only or forbidden, at every effect of a run: it stops with the file's name and what to
//! do, and once the disk is well the next run gives the tables of an undisturbed one.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::scene::Scene;
use crate::support::text;
use crate::{everything, seed};

/// What the disk says, the words of the way out, and on which effects such a disk fails.
const DISKS: [(&str, &str, &[&str]); 4] = [
    ("ENOSPC", "make room", &["create", "write", "sync", "link", "rename", "folder", "sync_folder", "open"]),
    ("EIO", "kernel's log", &["write", "sync", "sync_folder", "read", "list", "remove", "link", "rename"]),
    ("EROFS", "writable", &["create", "open", "link", "rename", "folder", "remove", "remove_folder"]),
    ("EACCES", "this user", &["create", "open", "link", "rename", "folder", "read", "list", "remove"]),
];

/// Effects that a run can do without: what they leave is done later, or counts for nothing. These may fail and the run goes
/// on; if it does, the tables must be right.
const SPARED: [&str; 5] = ["tidy", "group.call", "registry.call", "table.sync_folder", "swap.remove_folder"];

fn command(scene: &Scene) -> Command {
    let mut command = scene.command(150);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// How often a run reaches each effect.
fn effects(scene: &Scene) -> BTreeMap<String, u64> {
    let log = scene.job.path().join("effects.log");
    assert!(command(scene).env("SLUICEBOX_FAULT_LOG", &log).output().unwrap().status.success());
    let mut effects = BTreeMap::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        if let Some(name) = line.strip_suffix(":before") {
            *effects.entry(name.to_owned()).or_default() += 1;
        }
    }
    scene.reset();
    effects
}

/// Lets the effect fail, once or from then on, then runs on a disk that is well.
fn fail_at(scene: &Scene, name: &str, errno: &str, way_out: &str, at: u64, for_good: bool) -> bool {
    let fault = format!("{name}:{errno}:{at}{}", if for_good { "+" } else { "" });
    let output = command(scene).env("SLUICEBOX_FAIL_AT", &fault).output().unwrap();
    let said = text(&output.stderr);
    assert!(!said.contains("panicked") && !said.contains("a bug in Sluicebox"), "{fault}: {said}");
    // The first look at the newest records is for the number of the next epoch, that at where a source started for the way out that a
    // message names; what is wrong with them is met again.
    let first_look = ["offsets.read", "commit.read", "source.read"].contains(&name) && !for_good;
    let spared = first_look || SPARED.iter().any(|s| name.ends_with(s));
    let failed = !output.status.success();
    if failed {
        assert_eq!(output.status.code(), Some(1), "{fault}: {said}");
        let error = said.lines().find(|l| l.starts_with("error[")).unwrap_or_default();
        assert!(error.contains(way_out), "{fault}: no way out: {said}");
        assert!(
            error.contains(scene.job.path().to_str().unwrap()) || error.contains("data/"),
            "{fault}: no file: {said}"
        );
    } else {
        // Effects of several threads are not reached in the same order twice: a late one may not have been reached.
        assert!(spared || at > 1, "{fault}: the run went on as if nothing had happened");
    }
    // A disk that is well again.
    let output = command(scene).output().unwrap();
    assert!(output.status.success(), "{fault}, then well again: {}", text(&output.stderr));
    scene.assert_right(&fault);
    if failed {
        scene.job.ok(&["checkpoint", "verify", "checkpoints/revenue_5m"]);
    }
    scene.reset();
    failed
}

#[test]
fn a_disk_that_fails_stops_the_run_by_name_and_loses_nothing() {
    let scene = Scene::new(300, 450, 150, &[]);
    let effects = effects(&scene);
    assert!(effects.len() > 40, "{} effects: {effects:?}", effects.len());
    let mut random = SmallRng::seed_from_u64(seed());
    let mut cases = Vec::new();
    for (name, count) in &effects {
        let effect = name.split_once('.').unwrap().1;
        for (errno, way_out, fails_on) in DISKS {
            if fails_on.contains(&effect) {
                // The first time, and some later one.
                for at in [1, random.random_range(1..=*count)] {
                    cases.push((name, errno, way_out, at, random.random_bool(0.5)));
                }
            }
        }
    }
    let amount = if everything() { cases.len() } else { 45 };
    let (mut tried, mut stopped) = (0, 0);
    for (name, errno, way_out, at, for_good) in cases.choose_multiple(&mut random, amount) {
        tried += 1;
        stopped += u32::from(fail_at(&scene, name, errno, way_out, *at, *for_good));
    }
    println!("{tried} failures of {}, {stopped} stopped the run", cases.len());
    assert!(stopped * 2 > tried, "{stopped} of {tried} failures stopped the run");
}

#[test]
fn a_sync_that_failed_is_never_taken_for_one_that_worked() {
    let scene = Scene::new(300, 450, 150, &[]);
    for name in ["commit.sync", "commit.sync_folder", "offsets.sync", "state.sync", "stage.sync", "publish.sync_folder"]
    {
        assert!(fail_at(&scene, name, "EIO", "kernel's log", 1, false), "{name}: the run went on after a failed sync");
    }
}

#[test]
fn an_order_of_columns_that_cannot_be_read_once_is_never_taken_for_none() {
    let scene = Scene::new(300, 450, 150, &[]);
    for name in ["pipeline.list", "pipeline.read"] {
        assert!(fail_at(&scene, name, "EIO", "kernel's log", 1, false), "{name}: the run went on in another order");
    }
}
