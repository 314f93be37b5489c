//! Records of the checkpoint that somebody edited and sealed again: whole by their checksum, and naming others' folders, paths
//! out of a folder, numbers that never were. A run does nothing outside of its tables, and blames nothing on itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use crate::compactions;
use crate::matrix::record_of;
use crate::scene::{Scene, said, seal};
use crate::support::contents;
use crate::{GOLD, everything, seed};

const CHECKPOINT: &str = "checkpoints/revenue_5m";

/// The fields that name folders and files.
const NAMES: [&str; 7] = ["location", "locations", "staging", "folder", "staged", "target", "path"];
/// The fields that count.
const NUMBERS: [&str; 8] = ["batch_id", "epoch", "number", "generation", "after", "pipeline", "rows", "bytes"];

/// A record with one field that is to be edited.
#[derive(Debug, Clone)]
struct Case {
    /// The record's path below the checkpoint.
    record: String,
    content: Value,
    /// Where the field is in it.
    at: String,
    to: Value,
    /// Whether no run can go on with it.
    stops: bool,
}

/// Places of the fields of `value` that may be edited, with their names.
fn fields(value: &Value, at: &str, name: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields_of) => {
            for (key, value) in fields_of {
                // Each table's folders.
                let key_of = if name == "clears" { "clears" } else { key.as_str() };
                fields(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), key_of, found);
            }
        }
        Value::Array(values) => {
            for (n, value) in values.iter().enumerate() {
                fields(value, &format!("{at}/{n}"), name, found);
            }
        }
        Value::String(_) if NAMES.contains(&name) || name == "clears" => found.push((at.to_owned(), name.to_owned())),
        Value::Number(_) if NUMBERS.contains(&name) => found.push((at.to_owned(), name.to_owned())),
        _ => {}
    }
}

fn newest(scene: &Scene, folder: &str) -> u64 {
    let folder = Path::new(CHECKPOINT).join(folder);
    let ids = scene.files().keys().filter_map(|path| path.strip_prefix(&folder).ok()?.to_str()?.parse().ok());
    ids.max().unwrap()
}

/// The records that a start acts on: those of the scene, an adoption that clears a table, and a refresh that was begun.
fn records(scene: &Scene) -> Vec<(String, Value)> {
    let read = |name: &str| record_of(&scene.files()[&Path::new(CHECKPOINT).join(name)]);
    let mut records: Vec<(String, Value)> = ["offsets", "commits", "compactions"]
        .map(|folder| format!("{folder}/{}", newest(scene, folder)))
        .into_iter()
        .chain(["metadata".to_owned()])
        .map(|name| (name.clone(), read(&name)))
        .collect();
    let adopted = newest(scene, "pipelines");
    let mut next = read(&format!("pipelines/{adopted}"));
    next["number"] = json!(adopted + 1);
    next["clears"] = json!({"bronze_sales": ["../../data/bronze/sales"]});
    records.push((format!("pipelines/{}", adopted + 1), next));
    let locations = ["../../data/bronze/sales", "../../data/gold/revenue_5m", "../../data/silver/sales"];
    let refresh = json!({"id": read("metadata")["id"], "generation": 2, "locations": locations});
    records.push(("refresh".to_owned(), refresh));
    records
}

fn cases(scene: &Scene) -> Vec<Case> {
    let project = scene.job.path().to_str().unwrap();
    let others = ["../../victim".to_owned(), format!("{project}/victim"), format!("{project}/twin")];
    let strange =
        ["..", "", "/", "../../data/silver/sales", "state/../../../victim/x", "k=1/../../../victim", "../../new/k=1"];
    let mut cases = Vec::new();
    for (record, content) in records(scene) {
        let mut found = Vec::new();
        fields(&content, "", "", &mut found);
        for (at, name) in found {
            let mut case = |to: Value, stops| {
                cases.push(Case { record: record.clone(), content: content.clone(), at: at.clone(), to, stops });
            };
            match content.pointer(&at).and_then(Value::as_u64) {
                Some(number) => [0, number + 1, u64::MAX].into_iter().for_each(|to| case(json!(to), false)),
                None => {
                    // Beside a table is looked for by the table, whatever the record says; a shape is compared with the text's.
                    let stops = name != "staging" && !at.contains("/shape/");
                    others.iter().for_each(|to| case(json!(to), stops));
                    strange.iter().for_each(|to| case(json!(to), false));
                }
            }
        }
    }
    cases
}

/// Folders that are another's, and nobody's, with files of names that runs delete.
fn others(scene: &Scene) -> Vec<PathBuf> {
    let project = scene.job.path();
    for folder in ["victim", "twin"] {
        for name in
            ["f", "7/f", "000000000-000-abcdef12.parquet", "k=1/000000000-000-abcdef12.parquet", "_staging/1/x.staged"]
        {
            let path = project.join(folder).join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
    }
    let owner =
        json!({"query_id": "another", "generation": 1, "pipeline": "other", "table": "twin", "checkpoint": "/c"});
    std::fs::write(project.join(".twin_sluicebox_owner"), seal(&owner)).unwrap();
    vec![project.join("victim"), project.join("twin")]
}

fn try_one(scene: &Scene, case: &Case) {
    let Case { record, content, at, to, stops } = case;
    let what = format!("{record}{at} = {to}");
    scene.reset();
    let others = others(scene);
    let look = || -> Vec<_> { others.iter().map(|folder| contents(folder)).collect() };
    let names = || -> BTreeSet<_> {
        std::fs::read_dir(scene.job.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    let (before, named) = (look(), names());
    let mut edited = content.clone();
    *edited.pointer_mut(at).unwrap() = to.clone();
    std::fs::write(scene.job.path().join(CHECKPOINT).join(record), seal(&edited)).unwrap();
    let output = scene.run(&[]);
    let told = said(&output, &what);
    assert!(before == look(), "{what}: what is another's was changed: {told}");
    assert_eq!(named, names(), "{what}: something was made: {told}");
    assert!(!stops || !output.status.success(), "{what}: the run went on: {told}");
}

#[test]
fn an_edited_record_leads_a_run_to_nothing_outside_of_its_tables() {
    let job = compactions::job();
    job.ok(&["compact", GOLD]);
    job.produce(300, 5);
    let scene = Scene::of(job);
    let all = cases(&scene);
    let of = |field: &str| all.iter().filter(|case| case.at.contains(field)).count();
    for field in
        ["location", "staging", "folder", "staged", "target", "path", "clears", "locations", "generation", "epoch"]
    {
        assert!(of(field) > 0, "no record has {field}");
    }
    let mut random = SmallRng::seed_from_u64(seed());
    let (first, others): (Vec<_>, Vec<_>) = all.iter().partition(|case| {
        // Always: those that would have deleted, or made folders.
        let deletes =
            ["/locations/0", "/clears/bronze_sales/0", "/files/0/location", "/location", "/folder", "/staging"];
        // In nobody's folder, and in one that bears another's mark.
        let there = case.to.as_str().is_some_and(|to| to.ends_with("victim") || to.ends_with("twin"));
        deletes.contains(&case.at.as_str()) && there
    });
    let amount = if everything() { others.len() } else { 25 };
    let sampled = others.choose_multiple(&mut random, amount).copied();
    for case in first.iter().copied().chain(sampled) {
        println!("{}{} = {}", case.record, case.at, case.to);
        try_one(&scene, case);
    }
}

#[test]
fn a_record_that_names_what_is_not_ours_is_called_damaged_and_restored_it_goes_on() {
    let job = compactions::job();
    job.ok(&["compact", GOLD]);
    job.produce(300, 5);
    let scene = Scene::of(job);
    let all = cases(&scene);
    for (folder, field) in [
        ("commits", "location"),
        ("commits", "target"),
        ("commits", "path"),
        ("commits", "rows"),
        ("compactions", "location"),
        ("compactions", "folder"),
    ] {
        let wanted = |case: &&Case| {
            let never = case.stops || field == "rows" && case.to == json!(u64::MAX);
            case.record.starts_with(folder) && case.at.ends_with(&format!("/{field}")) && never
        };
        let case = all.iter().find(wanted).unwrap();
        try_one(&scene, case);
        let output = scene.run(&[]);
        let told = said(&output, &case.record);
        assert_eq!(output.status.code(), Some(1), "{told}");
        let words = ["error[damaged-checkpoint]", case.record.as_str(), "is damaged: it ", "Restore the checkpoint"];
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
        let record = Path::new(CHECKPOINT).join(&case.record);
        std::fs::write(scene.job.path().join(&record), &scene.files()[&record]).unwrap();
        let output = scene.run(&[]);
        assert!(output.status.success(), "{}: {}", case.record, said(&output, "restored"));
        scene.assert_right(&case.record);
    }
}
