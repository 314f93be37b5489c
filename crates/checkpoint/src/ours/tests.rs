//! Which folders count as checkpoints, and which files stay when their records go.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
use std::collections::BTreeMap;
use std::fs;

use super::*;
use crate::records::{Metadata, Refresh};

fn put(root: &Path, files: &[&str]) {
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "v1 0123456789abcdef\n{}\n").unwrap();
    }
}

fn metadata() -> Metadata {
    let (id, pipeline) = ("q".to_owned(), "p".to_owned());
    Metadata { id, generation: 1, pipeline, created_micros: 0, plan_partitions: 1, logs: BTreeMap::new() }
}

/// Files of every form that runs give.
const OURS: [&str; 17] = [
    "offsets/0",
    "offsets/7",
    "offsets/.tmp-writer1-2-3-8",
    "commits/7",
    "compactions/1",
    "pipelines/1",
    "state/silver.sales.dedup.0/000000007-1.delta.arrow",
    "state/silver.sales.dedup.0/000000007-1-0.segment",
    "state/silver.sales.dedup.0/.tmp-1-2-segment",
    "state/backfill-2.gold.aggregate.1/000000003-1.snapshot.arrow",
    "outbox/alerts/000000007-1.arrow",
    "sources/orders/start",
    "sources/orders/reader",
    "sources/orders/topics/sales.events.v1",
    "sources/orders/schemas/id-7.json",
    "sources/orders/schemas/guid-01234567-89ab-cdef-0123-456789abcdef.json",
    "sources/backfill-2.orders/start",
];

/// What is somebody's, in every folder of a checkpoint.
const THEIRS: [&str; 15] = [
    "offsets/readme",
    "offsets/007",
    "commits/msg",
    "commits/old/7",
    "compactions/+1",
    "pipelines/shop.sql",
    "outbox/alerts/letter.arrow",
    "state/terraform.tfstate",
    "state/deep/f",
    "state/deep/000000007-1.delta.arrow",
    "state/silver.sales.dedup.0/7-1.delta.arrow",
    "sources/main.c",
    "sources/orders/main.c",
    "sources/orders/schemas/orders.json",
    "sources/orders/topics/a topic",
];

#[test]
fn a_folder_with_anything_that_no_run_makes_is_no_checkpoint() {
    let begun = ["lock", "epochs/1", "epochs/.tmp-1-2-2", "sources/orders/schemas/id-7.json"];
    let passes = |files: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), files);
        Checkpoint::new(dir.path()).refuse_no_checkpoint()
    };
    passes(&[]).unwrap();
    passes(&begun).unwrap();
    passes(&OURS).unwrap();
    passes(&[".gitkeep", "lost+found/x", ".tmp-1-2-trial/staged", "lock", "refresh"]).unwrap();
    passes(&["state/t/_sluicebox_owner", "state/t/x.parquet", "state/.u_sluicebox_owner", "state/u/x.parquet"])
        .unwrap();
    for theirs in THEIRS.into_iter().chain(["readme", "metadata/x", "etl/offsets/0", "epochs/a"]) {
        let beside = [&begun[..], &[theirs]].concat();
        for files in [&[theirs][..], &beside[..]] {
            let refused = passes(files).unwrap_err();
            assert!(matches!(refused, CheckpointError::NoCheckpoint { .. }), "{theirs}: {refused}");
        }
    }
    // A name alone is no proof.
    for theirs in ["commits/7", "offsets/0", "sources/kafka/topics/orders", "metadata", "refresh"] {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), &[theirs]);
        fs::write(dir.path().join(theirs), "v1\n{}").unwrap();
        let refused = Checkpoint::new(dir.path()).refuse_no_checkpoint().unwrap_err().to_string();
        assert!(refused.contains(theirs) && refused.contains("--checkpoint"), "{refused}");
    }
}

#[test]
fn metadata_make_a_checkpoint_of_a_folder_and_damaged_ones_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(dir.path());
    checkpoint.prepare().unwrap();
    checkpoint.lock(false, "run", 0).unwrap();
    checkpoint.replace_metadata(&metadata()).unwrap();
    put(dir.path(), &THEIRS);
    checkpoint.refuse_no_checkpoint().unwrap();
    fs::write(dir.path().join("metadata"), "").unwrap();
    assert!(matches!(checkpoint.refuse_no_checkpoint(), Err(CheckpointError::NoCheckpoint { .. })));
    for theirs in THEIRS {
        fs::remove_file(dir.path().join(theirs)).unwrap();
    }
    fs::remove_dir(dir.path().join("commits/old")).unwrap();
    fs::remove_dir(dir.path().join("state/deep")).unwrap();
    put(dir.path(), &OURS);
    // It is a checkpoint that has lost them.
    for torn in [Some("torn"), Some(""), None] {
        match torn {
            Some(torn) => fs::write(dir.path().join("metadata"), torn).unwrap(),
            None => fs::remove_file(dir.path().join("metadata")).unwrap(),
        }
        checkpoint.refuse_no_checkpoint().unwrap();
    }
}

#[test]
fn a_first_start_that_was_killed_before_its_metadata_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(dir.path().join("c"));
    checkpoint.refuse_no_checkpoint().unwrap();
    checkpoint.prepare().unwrap();
    checkpoint.refuse_no_checkpoint().unwrap();
    drop(checkpoint.lock(false, "run", 0).unwrap());
    checkpoint.refuse_no_checkpoint().unwrap();
    let refresh = Refresh { id: "q".to_owned(), generation: 1, locations: Vec::new(), taken: Vec::new() };
    checkpoint.write_refresh(&refresh).unwrap();
    fs::write(durable::temporary_name(&dir.path().join("c/metadata")), "half").unwrap();
    checkpoint.refuse_no_checkpoint().unwrap();
}

#[test]
fn what_no_run_has_put_there_stays_when_the_records_go() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(dir.path());
    let remove = || {
        for folder in ["offsets", "commits", OUTBOX, "compactions", "state", "sources", "pipelines"] {
            checkpoint.check_removal(What::Refresh, folder).unwrap();
            checkpoint.remove_records(What::Refresh, folder).unwrap();
            checkpoint.remove_records(What::Refresh, folder).unwrap();
        }
    };
    put(dir.path(), &OURS);
    put(dir.path(), &THEIRS);
    remove();
    for name in OURS {
        assert!(!dir.path().join(name).exists(), "{name} is there");
    }
    for name in THEIRS {
        assert!(dir.path().join(name).exists(), "{name} is gone");
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    fs::remove_dir_all(dir.path().join("state/deep")).unwrap();
    fs::remove_dir_all(dir.path().join("commits/old")).unwrap();
    put(dir.path(), &OURS);
    remove();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "folders with nothing in them go");
}

#[test]
fn a_folder_in_the_place_of_a_record_is_told_before_anything_goes() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::new(dir.path());
    for name in ["commits/7", "sources/orders/start", "state/t.dedup.0/000000007-1.delta.arrow"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
        let folder = name.split('/').next().unwrap();
        let refused = checkpoint.check_removal(What::Refresh, folder).unwrap_err().to_string();
        assert!(refused.contains(name) && refused.contains("Move it away"), "{refused}");
    }
}
