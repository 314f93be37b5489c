//! Links in the place of folders in which a run deletes: nothing behind one is deleted, and what the message says is a way on.
//! And full refreshes that failed half-way.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use serde_json::json;

use crate::matrix::record_of;
use crate::scene::{Scene, said, seal};
use crate::support::{Workspace, contents};
use crate::{GOLD, everything, seed};

const CHECKPOINT: &str = "checkpoints/revenue_5m";
const TABLE: &str = "data/bronze/sales";

fn scene() -> Scene {
    Scene::new(600, 300, 150, &[])
}

/// The query's id.
fn query(scene: &Scene) -> String {
    let metadata = record_of(&scene.files()[&Path::new(CHECKPOINT).join("metadata")]);
    metadata["id"].as_str().unwrap().to_owned()
}

/// A folder of somebody else beside the project's, with names that runs delete.
fn victim(scene: &Scene) -> PathBuf {
    let victim = scene.job.path().join("victim");
    let names =
        ["f", "sub/y", "7/f", "3/9/x", ".tmp-1-0-x", "000000000-000-abcdef12.parquet", "k=1/000000000-000-ab.parquet"];
    for name in names {
        std::fs::create_dir_all(victim.join(name).parent().unwrap()).unwrap();
        std::fs::write(victim.join(name), name).unwrap();
    }
    victim
}

/// Where links are put, below the project.
fn places(scene: &Scene) -> Vec<String> {
    let records = ["offsets", "commits", "compactions", "state", "sources", "pipelines"];
    let mut places: Vec<String> = records.iter().map(|name| format!("{CHECKPOINT}/{name}")).collect();
    let folder_of = |within: &str, end: &str| {
        let found = |path: &&PathBuf| path.starts_with(within) && path.to_string_lossy().ends_with(end);
        scene.files().keys().find(found).unwrap().parent().unwrap().to_str().unwrap().to_owned()
    };
    places.push(folder_of(&format!("{CHECKPOINT}/state"), ".arrow"));
    places.push(folder_of(TABLE, ".parquet"));
    places.push(format!("{TABLE}/_staging"));
    let letters: String = query(scene).chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    places.push(format!("data/bronze/.sluicebox-{letters}"));
    places
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Plain,
    Refresh,
    Compact,
}

fn run(scene: &Scene, how: How) -> std::process::Output {
    match how {
        How::Plain => scene.run(&[]),
        How::Refresh => scene.run(&["--full-refresh"]),
        How::Compact => scene.job.run(&["compact", GOLD]),
    }
}

/// Puts a link at `place`, runs, follows the message, and runs again.
fn try_one(scene: &Scene, place: &str, how: How) {
    let what = format!("{place}, {how:?}");
    let (at, aside) = (scene.job.path().join(place), scene.job.path().join("aside"));
    let victim = victim(scene);
    let before = contents(&victim);
    let had = at.exists();
    if had {
        std::fs::rename(&at, &aside).unwrap();
    }
    symlink(&victim, &at).unwrap();
    let output = run(scene, how);
    let told = said(&output, &what);
    let after = contents(&victim);
    // A folder of the checkpoint that is a link serves as a folder: something may have come.
    let changed = before.iter().find(|(path, content)| after.get(*path) != Some(*content));
    assert!(changed.is_none(), "{what}: {changed:?} was deleted or changed: {told}");
    let in_checkpoint = place.starts_with(CHECKPOINT);
    // An operator's folder in `state` goes as any link in a folder does that is emptied.
    let emptied = in_checkpoint && place.matches('/').count() > 2;
    if !in_checkpoint || (how == How::Refresh && !emptied) {
        assert_eq!(output.status.code(), Some(1), "{what}: {told}");
        // Before a refresh is looked at, a folder behind the link may be taken for a record.
        let is_told = told.contains("is a link to") || place.ends_with("pipelines");
        assert!(told.contains(place) && is_told, "{what}: {told}");
        assert_eq!(after, before, "{what}: something came");
        assert!(!scene.job.path().join(CHECKPOINT).join("refresh").exists(), "{what}: a refresh was begun");
        scene.assert_nothing_else(&what);
    }
    let _ = std::fs::remove_file(&at);
    if had && how != How::Refresh {
        std::fs::rename(&aside, &at).unwrap();
    }
    let output = run(scene, how);
    assert!(output.status.success(), "{what}, then without the link: {}", said(&output, &what));
    match how {
        How::Refresh => scene.assert_anew(&what),
        How::Plain => scene.assert_right(&what),
        How::Compact => {
            let output = scene.run(&[]);
            assert!(output.status.success(), "{what}, then a run: {}", said(&output, &what));
            scene.assert_right(&what);
        }
    }
    scene.reset();
}

#[test]
fn nothing_behind_a_link_is_deleted_and_without_it_all_goes_on() {
    let scene = scene();
    let places = places(&scene);
    let all: Vec<(&str, How)> = places
        .iter()
        .flat_map(|place| [How::Plain, How::Refresh, How::Compact].map(|how| (place.as_str(), how)))
        .collect();
    let mut random = SmallRng::seed_from_u64(seed());
    let always = |(place, how): &(&str, How)| match *how {
        How::Refresh => place.ends_with("state") || place.contains(".sluicebox") || place.contains("state/"),
        How::Plain => place.ends_with("_staging") || place.contains('='),
        How::Compact => false,
    };
    let (mut cases, others): (Vec<_>, Vec<_>) = all.into_iter().partition(always);
    let amount = if everything() { others.len() } else { 5 };
    cases.extend(others.choose_multiple(&mut random, amount));
    assert!(cases.len() >= 10, "{cases:?}");
    for (place, how) in cases {
        println!("{place}, {how:?}");
        try_one(&scene, place, how);
    }
}

/// Beside the tables too, and before a batch comes that would be written there.
#[test]
fn a_link_in_the_place_of_a_batch_beside_the_tables_stops_a_run_at_its_start() {
    let scene = scene();
    for folder in ["data/dead_letters/revenue_5m/sales_events", "data/dq/revenue_5m/metrics"] {
        try_one(&scene, &format!("{folder}/batch_id=999"), How::Plain);
    }
}

#[test]
fn state_on_another_disk_serves_a_run_and_a_full_refresh_asks_for_the_folder_itself() {
    let scene = scene();
    let (state, elsewhere) = (scene.job.path().join(CHECKPOINT).join("state"), scene.job.path().join("elsewhere"));
    std::fs::rename(&state, &elsewhere).unwrap();
    symlink(&elsewhere, &state).unwrap();
    let output = scene.run(&[]);
    let told = said(&output, "a linked state");
    assert!(output.status.success() && told.contains("state is a link: what is over in it stays"), "{told}");
    scene.assert_right("a linked state");
    let before = contents(&elsewhere);
    let output = scene.run(&["--full-refresh"]);
    let told = said(&output, "a refresh of it");
    assert!(!output.status.success() && told.contains("Put the folder itself there, or remove the link"), "{told}");
    assert_eq!(contents(&elsewhere), before);
    std::fs::remove_file(&state).unwrap();
    std::fs::rename(&elsewhere, &state).unwrap();
    let output = scene.run(&["--full-refresh"]);
    assert!(output.status.success(), "{}", said(&output, "the folder itself"));
    scene.assert_anew("the folder itself");
}

/// The folders that have a mark, below the project.
fn marked(scene: &Scene) -> Vec<String> {
    let folder = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?.strip_prefix('.')?.strip_suffix("_sluicebox_owner")?;
        Some(path.with_file_name(name).to_str()?.to_owned())
    };
    scene.files().keys().filter_map(folder).collect()
}

/// Lets a full refresh be begun that clears `folders`.
fn begin(scene: &Scene, folders: &[String]) {
    let locations: Vec<String> = folders.iter().map(|folder| format!("../../{folder}")).collect();
    let record = json!({"id": query(scene), "generation": 2, "locations": locations});
    std::fs::write(scene.job.path().join(CHECKPOINT).join("refresh"), seal(&record)).unwrap();
}

/// Runs, and fails unless the refresh that was begun is finished.
fn finishes(scene: &Scene, what: &str) -> String {
    let output = scene.run(&[]);
    let told = said(&output, what);
    assert!(output.status.success(), "{what}: {told}");
    assert!(told.contains("the full refresh that was begun is finished"), "{what}: {told}");
    assert!(!scene.job.path().join(CHECKPOINT).join("refresh").exists(), "{what}: the record is left");
    told
}

/// Runs with a refresh begun, which stops with all of `words` before it deletes anything.
fn stops(scene: &Scene, code: i32, words: &[&str]) {
    let output = scene.run(&[]);
    let told = said(&output, &words.join(", "));
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(words.iter().all(|word| told.contains(word)), "{told}");
    let kept = |path: &&PathBuf| path.starts_with(Path::new(CHECKPOINT).join("commits")) || path.starts_with(TABLE);
    let gone = scene.files().keys().filter(kept).find(|path| !scene.job.path().join(path).exists());
    assert_eq!(gone, None, "{told}");
}

#[test]
fn a_full_refresh_that_cannot_go_on_for_a_link_goes_on_without_it() {
    let scene = scene();
    begin(&scene, &marked(&scene));
    let (victim, state) = (victim(&scene), scene.job.path().join(CHECKPOINT).join("state"));
    let before = contents(&victim);
    std::fs::remove_dir_all(&state).unwrap();
    symlink(&victim, &state).unwrap();
    stops(&scene, 1, &["state: it is a link to", "remove the link"]);
    assert_eq!(contents(&victim), before);
    std::fs::remove_file(&state).unwrap();
    finishes(&scene, "without the link");
    scene.assert_anew("without the link");
    assert_eq!(contents(&victim), before);
}

#[test]
fn a_full_refresh_that_cannot_go_on_for_a_nested_table_goes_on_with_another_location() {
    let scene = scene();
    begin(&scene, &marked(&scene));
    let gold = scene.job.path().join("data/gold/revenue_5m");
    std::fs::create_dir(gold.join("inner")).unwrap();
    std::fs::copy(scene.job.path().join("data/silver/.sales_sluicebox_owner"), gold.join(".inner_sluicebox_owner"))
        .unwrap();
    stops(&scene, 2, &["lies inside", "choose another LOCATION"]);
    let text = std::fs::read_to_string(scene.job.path().join(GOLD)).unwrap();
    let moved = text.replace("data/gold/revenue_5m", "data/gold/elsewhere");
    assert_ne!(moved, text);
    scene.job.write(GOLD, &moved);
    let told = finishes(&scene, "with another LOCATION");
    assert!(told.contains("data/gold/revenue_5m is not cleared"), "{told}");
    assert!(gold.join("inner").exists());
    let anew = Workspace::with_log_of(&scene.job);
    anew.run_to_end(&[]);
    for (found, expected) in [("gold.elsewhere", "gold.revenue_5m"), ("bronze.sales", "bronze.sales")] {
        let rows = |job: &Workspace, table: &str| job.rows(&format!("SELECT * FROM {table}"));
        assert!(rows(&scene.job, found) == rows(&anew, expected), "{found} differs");
    }
}

#[test]
fn a_full_refresh_that_was_begun_with_another_text_is_done_once_more() {
    let scene = scene();
    let without: Vec<String> = marked(&scene).into_iter().filter(|folder| !folder.contains("gold")).collect();
    begin(&scene, &without);
    let words = [
        "data/gold/revenue_5m",
        "generation 1 of this pipeline",
        "checkpoint is at 2",
        "Run `--full-refresh` once more",
    ];
    stops(&scene, 2, &words);
    let output = scene.run(&["--full-refresh"]);
    assert!(output.status.success(), "{}", said(&output, "once more"));
    scene.assert_anew("once more");
    scene.job.ok(&["checkpoint", "verify", CHECKPOINT]);
}

#[test]
fn a_refresh_that_names_what_is_not_ours_is_damaged_and_touches_nothing() {
    let scene = scene();
    let victim = victim(&scene);
    let before = contents(&victim);
    begin(&scene, &[marked(&scene), vec!["victim".to_owned()]].concat());
    stops(
        &scene,
        1,
        &["refresh is damaged", "victim, which has no mark of this pipeline", "remove the file", "--full-refresh"],
    );
    assert_eq!(contents(&victim), before);
    // The one way on: nobody had asked for it.
    std::fs::remove_file(scene.job.path().join(CHECKPOINT).join("refresh")).unwrap();
    assert!(scene.run(&[]).status.success());
    scene.assert_right("without the record");
    scene.reset();
    // The other.
    self::victim(&scene);
    begin(&scene, &[marked(&scene), vec!["victim".to_owned()]].concat());
    let output = scene.run(&["--full-refresh"]);
    assert!(output.status.success(), "{}", said(&output, "a refresh"));
    scene.assert_anew("a refresh");
    assert_eq!(contents(&victim), before);
}
