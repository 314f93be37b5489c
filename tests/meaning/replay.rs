//! The newest batch, taken back and run again, writes the same bytes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sluicebox_checkpoint::records::Commit;

use crate::harness::{Cut, Job};

/// Takes the newest batch of `job` back: its commit and its published files go, its plan stays, as if the run had been
/// killed just before the commit. Then runs on and compares every file.
pub fn check(job: &Job, sql: &str, cut: &Cut) {
    let Some(commit) = job.newest() else { return };
    let before = contents(&commit);
    for path in before.keys() {
        std::fs::remove_file(path).unwrap();
    }
    std::fs::remove_file(job.checkpoint().root().join(format!("commits/{}", commit.batch_id))).unwrap();
    // Other threads, other buffers; and no cancelling, which was tried before.
    let other = Cut {
        threads: 5 - cut.threads,
        batch_bytes: cut.batch_bytes + 1000,
        memory_limit: if cut.memory_limit > 1 << 20 { 1 << 10 } else { 256 << 20 },
        state_deltas: if cut.state_deltas > 1 { 1 } else { 3 },
        max_offsets: None,
        cancels: Vec::new(),
    };
    job.run(sql, &other);
    let again = job.checkpoint().commit(commit.batch_id).unwrap();
    assert_eq!(named(&commit), named(&again), "the files that a replayed batch commits");
    for (path, content) in &before {
        let found = std::fs::read(path).unwrap_or_else(|e| panic!("{} after the replay: {e}", path.display()));
        assert!(found == *content, "{} has other bytes after the replay", path.display());
    }
    assert_eq!(contents(&again).len(), before.len());
}

/// Path to content of every file that the commit names.
fn contents(commit: &Commit) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = commit
        .files()
        .flat_map(|output| output.files.iter().map(move |file| PathBuf::from(output.location).join(&file.target)));
    files
        .map(|path| (path.clone(), std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))))
        .collect()
}

/// What the commit says of its files, but where they were staged.
fn named(commit: &Commit) -> Vec<(String, String, u64, u64, String)> {
    let mut all: Vec<_> = commit
        .files()
        .flat_map(|o| {
            o.files.iter().map(move |f| (o.output.to_string(), f.target.clone(), f.rows, f.bytes, f.checksum.clone()))
        })
        .collect();
    all.sort();
    all
}
