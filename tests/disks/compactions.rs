//! The records of partition folders that were exchanged: damaged, lost, and with foreign files beside them.

use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::kinds::{DAMAGES, Damage, Kind, expected};
use crate::matrix::{by_kind, damage, record_of, try_one};
use crate::scene::{Scene, said};
use crate::support::{Workspace, text};
use crate::{GOLD, seed};

const FOLDER: &str = "checkpoints/revenue_5m/compactions";

/// A project whose tables have several files a partition, and whose newest commit has files of some table whatever the clock says:
/// the last batch of a run, which has no events, closes some of so short windows.
pub fn job() -> Workspace {
    let job = Workspace::new();
    let text = std::fs::read_to_string(job.path().join(GOLD)).unwrap();
    let short = text.replace("window(event_time, INTERVAL '5 minutes')", "window(event_time, INTERVAL '1 second')");
    assert_ne!(short, text);
    job.write(GOLD, &short);
    job.produce(900, 4);
    job.run_to_end(&["--set", "sales_events.maxOffsetsPerTrigger=150"]);
    job
}

fn records(scene: &Scene) -> Vec<PathBuf> {
    scene.files().keys().filter(|path| path.starts_with(FOLDER)).cloned().collect()
}

/// Whether the exchange of `record` took a file away that the newest commit names. Not every commit has files of every table: the
/// last one of a run only closes windows.
fn took_from_the_newest(scene: &Scene, record: &Path) -> bool {
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u64>().ok();
    let commits = scene.files().iter().filter(|(path, _)| path.starts_with("checkpoints/revenue_5m/commits"));
    let (_, newest) = commits.max_by_key(|(path, _)| number(path)).unwrap();
    let (newest, record) = (record_of(newest), record_of(&scene.files()[record]));
    let inputs: Vec<&str> = record["inputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file.as_str().unwrap().split(' ').next().unwrap())
        .collect();
    let outputs = newest["outputs"].as_array().unwrap().iter().filter(|output| output["id"] == record["output"]);
    outputs.flat_map(|output| output["staged"]["files"].as_array().unwrap()).any(|file| {
        let target = Path::new(file["target"].as_str().unwrap());
        inputs.contains(&target.file_name().unwrap().to_str().unwrap())
    })
}

/// Every damage of a record of each kind. `misses` says of a removed one whether files of the newest commit may be missed then.
/// Gives how many were.
fn damage_all(scene: &Scene, misses: impl Fn(&Kind) -> bool) -> usize {
    let mut random = SmallRng::seed_from_u64(seed());
    let (mut tried, mut were_missed) = (0, 0);
    for (kind, files) in by_kind(scene, |path| path.starts_with(FOLDER)) {
        assert_eq!(kind.name, "compaction");
        for how in DAMAGES {
            let missed_one = files.iter().find(|path| misses(&kind) && took_from_the_newest(scene, path));
            let missed_one = missed_one.filter(|_| how == Damage::Removed);
            let path = missed_one.unwrap_or(&files[0]);
            if !damage(scene, path, how, &records(scene), &mut random) {
                continue;
            }
            println!("{} (current: {}), {how:?}", path.display(), kind.current);
            if missed_one.is_some() {
                missed(scene, path);
                were_missed += 1;
            } else {
                try_one(scene, path, &kind, how, how == Damage::Emptied, expected(&kind, how));
            }
            tried += 1;
            scene.reset();
        }
    }
    assert!(tried >= 4, "{tried} damages");
    were_missed
}

/// A record that is gone, of an exchange since the newest commit: its files are missed by name, and nothing is done.
fn missed(scene: &Scene, record: &Path) {
    let output = scene.run(&[]);
    let told = said(&output, "a record that is missed");
    assert!(!output.status.success() && told.contains(" is lost: ") && told.contains("--full-refresh"), "{told}");
    scene.assert_nothing_else("a record that is missed");
    std::fs::write(scene.job.path().join(record), &scene.files()[record]).unwrap();
    let output = scene.run(&[]);
    assert!(output.status.success(), "{}", said(&output, "the record restored"));
    scene.assert_right("the record restored");
}

#[test]
fn a_damaged_record_of_a_compaction_stops_the_run_by_name_or_does_no_harm() {
    // Compacted since the newest commit.
    let compacted = job();
    compacted.ok(&["compact", GOLD]);
    compacted.produce(300, 5);
    let scene = Scene::of(compacted);
    assert!(damage_all(&scene, |_| true) > 0, "no record took a file of the newest commit");
    // Batches later only the newest is looked at, and nobody misses it but who proves of which batches the rows are.
    scene.job.run_to_end(&[]);
    scene.job.produce(200, 6);
    let Scene { job, .. } = scene;
    let scene = Scene::of(job);
    damage_all(&scene, |_| false);
    let lost = records(&scene).pop().unwrap();
    std::fs::remove_file(scene.job.path().join(&lost)).unwrap();
    let output = scene.job.run(&["checkpoint", "verify", "checkpoints/revenue_5m"]);
    let told = text(&output.stdout) + &text(&output.stderr);
    let number = lost.file_name().unwrap().to_str().unwrap();
    assert!(!output.status.success() && told.contains(&format!("compaction {number}, which")), "{told}");
}

#[test]
fn foreign_files_beside_the_records_are_not_taken_for_any() {
    let job = job();
    job.ok(&["compact", GOLD]);
    job.produce(300, 5);
    let scene = Scene::of(job);
    let newest = records(&scene).pop().unwrap();
    let folder = scene.job.path().join(FOLDER);
    let number: u64 = newest.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let put = |name: &str| std::fs::write(folder.join(name), &scene.files()[&newest]).unwrap();
    // No numbers.
    let [later, padded] = [format!("+{}", number + 1), format!("0{number}")];
    for name in ["notes.txt", "1.bak", ".2", "1e3", &later, &padded] {
        put(name);
        for beside in ["offsets", "commits"] {
            std::fs::write(folder.with_file_name(beside).join(name.replace(['0', '+'], "+9")), "not ours").unwrap();
        }
    }
    std::fs::create_dir(folder.join("old")).unwrap();
    let output = scene.run(&[]);
    assert!(output.status.success(), "{}", said(&output, "names that are no numbers"));
    scene.assert_right("names that are no numbers");
    assert_eq!(std::fs::read(folder.join("1.bak")).unwrap(), scene.files()[&newest], "it is left alone");
    scene.reset();
    // A copy under the next number would be the newest, of an exchange that never was.
    let next = (number + 1).to_string();
    type Put<'a> = &'a dyn Fn(&Path);
    let kinds: [(&str, Put<'_>); 3] = [
        ("a copy", &|at| std::fs::write(at, &scene.files()[&newest]).unwrap()),
        ("a text", &|at| std::fs::write(at, "not ours").unwrap()),
        ("a folder", &|at| std::fs::create_dir(at).unwrap()),
    ];
    for (what, put) in kinds {
        let at = folder.join(&next);
        put(&at);
        let output = scene.run(&[]);
        let told = said(&output, what);
        assert!(!output.status.success() && told.contains(&format!("compactions/{next}")), "{what}: {told}");
        scene.assert_nothing_else(what);
        if at.is_dir() {
            std::fs::remove_dir(&at).unwrap()
        } else {
            std::fs::remove_file(&at).unwrap()
        }
        let output = scene.run(&[]);
        assert!(output.status.success(), "{what}, then removed: {}", said(&output, what));
        scene.assert_right(what);
        scene.reset();
    }
}

#[cfg(feature = "faults")]
#[test]
fn a_damaged_record_of_a_compaction_in_flight_stops_the_run_by_name_or_does_no_harm() {
    // Before the first exchange of a folder (the very first one is a trial), and after it.
    for at in ["swap.exchange:before:2", "swap.exchange:after:2"] {
        let job = job();
        let output = job.command(&["compact", GOLD]).env("SLUICEBOX_CRASH_AT", at).output().unwrap();
        assert_eq!(output.status.code(), None, "{at}: it was not reached");
        job.produce(300, 5);
        let scene = Scene::of(job);
        assert_eq!(records(&scene).len(), 1, "{at}");
        damage_all(&scene, |_| at.contains("after"));
    }
}
