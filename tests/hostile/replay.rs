//! A batch that was cut by what its rows take, killed and replayed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::support::{files_below, is_parquet, told};
use crate::{Bench, with_default};

/// The staged and the published files of the table, by name, with their content.
fn files(bench: &Bench, wanted: impl Fn(&PathBuf) -> bool) -> BTreeMap<String, Vec<u8>> {
    let files = files_below(&bench.job.path().join("data/bronze/t")).into_iter().filter(wanted);
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    files.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn a_batch_that_was_cut_is_the_same_batch_when_it_is_replayed() {
    let bench = Bench::new(&with_default(100_000));
    bench.events(1_500);
    let plan = |batch: u64| std::fs::read(bench.job.path().join(format!("checkpoints/p/offsets/{batch}"))).unwrap();
    // The second of three is staged and not committed.
    let killed = bench.command(&[]).env("SLUICEBOX_CRASH_AT", "commit.link:before:2").output().unwrap();
    assert_eq!(killed.status.code(), None, "{}", told(&killed));
    let is_staged = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "staged");
    let (staged, planned) = (files(&bench, is_staged), plan(1));
    assert!(!staged.is_empty());
    assert!(!bench.job.path().join("checkpoints/p/commits/1").exists());
    // Replayed whole, though a new batch would now have less room.
    let batches = bench.run(&["--set", "batch.bytes=1 MiB"]);
    assert!(plan(1) == planned, "the plan is another");
    let published = files(&bench, |path| is_parquet(path));
    for (name, content) in staged {
        let same = published.iter().filter(|(_, published)| **published == content).count();
        assert_eq!(same, 1, "{name} is no published file");
    }
    // What was left over is no more than 500 rows, in batches of 160.
    assert!((3..=8).contains(&batches), "{batches} batches");
    bench.has_rows(1_500);
}
