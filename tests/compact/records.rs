//! The records of exchanges: which stand for which, and for which rows.

use sluicebox_checkpoint::Checkpoint;

use crate::support::Workspace;
use crate::{proved, tally};

const SQL: &str = "tally.sql";

/// The table of [`tally`] with `part` as its partitions, empty.
fn job(part: &str) -> (Workspace, Checkpoint) {
    let job = Workspace::new();
    job.write(SQL, &tally("PARTITIONED BY (part)", part));
    let checkpoint = Checkpoint::new(job.path().join("checkpoints/tally"));
    (job, checkpoint)
}

/// Adds events and reads them, so many in a batch.
fn more(job: &Workspace, events: u64, seed: u64, in_a_batch: u32) {
    job.produce(events, seed);
    let cut = format!("sales_events.maxOffsetsPerTrigger={in_a_batch}");
    job.ok(&["run", SQL, "--trigger", "available-now", "--set", &cut]);
}

/// A compaction stands for the one before of its folder and for no other. So the record of that one must be gone before the next
/// compaction comes: of files that nobody stands for it would be said that they are lost.
#[cfg(feature = "faults")]
#[test]
fn a_record_that_another_stands_for_is_removed_by_the_start_after_a_crash() {
    let (job, checkpoint) = job(", 'all' AS part");
    more(&job, 200, 5, 50);
    job.ok(&["compact", SQL]);
    more(&job, 200, 6, 50);
    // Exchanged, and the record of the first is to go.
    let mut crashes = job.command(&["compact", SQL]);
    let crashed = crashes.env("SLUICEBOX_CRASH_AT", "compaction.remove:before:1").output().unwrap();
    assert_eq!(crashed.status.code(), None, "it was not reached");
    assert_eq!(checkpoint.compaction_numbers().unwrap(), [1, 2]);
    proved(&checkpoint);
    more(&job, 200, 7, 50);
    assert_eq!(checkpoint.compaction_numbers().unwrap(), [2]);
    job.ok(&["compact", SQL]);
    assert_eq!(checkpoint.compaction_numbers().unwrap(), [3]);
    let verdict = proved(&checkpoint);
    assert_eq!((verdict.compacted, verdict.notes.len()), (1, 0), "{verdict}");
}

/// Of batches whose own records were purged the records of compactions alone say how many rows they had. Here each has some in
/// several partitions, so that several records speak of it; and a folder that is compacted again hands on what its record said.
#[test]
fn rows_of_old_batches_are_counted_over_all_partitions_that_were_compacted() {
    let (job, checkpoint) = job(", _partition AS part");
    more(&job, 360, 5, 3);
    for events in [0, 30] {
        if events > 0 {
            more(&job, events, 6, 3);
        }
        job.ok(&["compact", SQL]);
        let verdict = proved(&checkpoint);
        assert!(verdict.older_batches >= 10 && verdict.compacted == 3, "{verdict}");
        assert_eq!(checkpoint.compaction_numbers().unwrap().len(), 3, "one for each partition");
    }
}
