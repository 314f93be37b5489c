//! The fence: a superseded run that wakes up cannot create or replace a record.
//!
//! Checking for a later epoch and naming a record are two steps, and a run may be stopped for hours between them. So a run first writes its
//! temporary file, whose name carries its epoch, and then checks. A later run first writes its own epoch, and then removes the temporary
//! files of earlier runs ([`Checkpoint::fence`]). Three outcomes are left: the earlier run sees the epoch, or the later run finds the
//! record, or the earlier run's temporary file is gone.
//!
//! What a source pins at its first start (`sources/<name>/start`, `reader` and `topics/`) needs no fence: it is created if absent, and the
//! first writer wins. Removals need none either. A superseded run purges batches so much older than its own newest one that the later run
//! does not keep them. Compaction records are removed after the exchange, whose folder the later run has removed. A full refresh never runs
//! beside another run, and cannot be superseded.

use std::path::Path;

use serde::Serialize;
use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, Created, Own};
use sluicebox_sinks::owner;

use crate::{Checkpoint, CheckpointError, envelope};

impl Checkpoint {
    /// Creates a record if it is absent, and if no later run has taken over from the run of `epoch`.
    pub(crate) fn create_fenced<T: Serialize>(
        &self,
        what: What,
        path: &Path,
        record: &T,
        epoch: u64,
    ) -> Result<Created, CheckpointError> {
        self.create_content_fenced(what, path, &envelope::wrap(record)?, epoch)
    }

    /// Creates a record of this content if it is absent, and if no later run has taken over from the run of `epoch`.
    pub(super) fn create_content_fenced(
        &self,
        what: What,
        path: &Path,
        content: &[u8],
        epoch: u64,
    ) -> Result<Created, CheckpointError> {
        durable::create_if_absent_unless(what, path, content, epoch, || self.refuse_later_epochs(epoch))
    }

    /// Replaces a record, if no later run has taken over from the run of `epoch`.
    ///
    /// # Errors
    /// When it cannot be made durable, or a later run has taken over.
    pub fn replace_fenced<T: Serialize>(
        &self,
        what: What,
        path: &Path,
        record: &T,
        epoch: u64,
    ) -> Result<(), CheckpointError> {
        let replaced =
            durable::replace_unless(what, path, &envelope::wrap(record)?, epoch, || self.refuse_later_epochs(epoch));
        // It has looked, and the later run then took its temporary file: it is told of that run, not of the file.
        replaced.or_else(|error| self.refuse_later_epochs(epoch).and(Err(error)))
    }

    /// Takes from earlier runs what they were about to name: none of them makes or replaces a record after this. In a folder that is
    /// a link too, for there they would make it; no name but that of a record's writer is removed.
    pub(super) fn fence(&self, epoch: u64) -> Result<(), CheckpointError> {
        for name in ["", "pipelines", "offsets", "commits", "compactions"] {
            durable::sweep_temporaries_before(What::Checkpoint, &Own::given(self.root.join(name)), epoch)?;
        }
        let sources = durable::list(What::Checkpoint, &self.root.join("sources"))?;
        for source in sources.into_iter().filter(|entry| entry.path().is_dir() && !owner::is_marked(&entry.path())) {
            durable::sweep_temporaries_before(What::Checkpoint, &Own::given(source.path()), epoch)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::collections::{BTreeMap, BTreeSet};

    use sluicebox_core::OutputId;

    use super::*;
    use crate::records::{BatchRows, Commit, Compaction, Metadata, Offsets, Why};

    fn checkpoint() -> (tempfile::TempDir, Checkpoint) {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path());
        checkpoint.prepare().unwrap();
        (dir, checkpoint)
    }

    /// Lets the next run take the checkpoint over; gives its epoch.
    fn next(checkpoint: &Checkpoint) -> Result<u64, CheckpointError> {
        Ok(checkpoint.lock(true, "run", 0)?.epoch.epoch)
    }

    fn offsets() -> Offsets {
        Offsets {
            batch_id: 0,
            epoch: 1,
            clock_micros: 0,
            finishing: false,
            watermarks: BTreeMap::new(),
            ranges: Vec::new(),
            run_end: None,
            sql_hash: String::new(),
        }
    }

    fn commit() -> Commit {
        Commit {
            totals: None,
            pipeline: 1,
            pending: BTreeSet::new(),
            batch_id: 0,
            epoch: 1,
            outputs: Vec::new(),
            positions: Vec::new(),
            watermarks: BTreeMap::new(),
            state: BTreeMap::new(),
            schemas: BTreeMap::new(),
        }
    }

    fn compaction() -> Compaction {
        Compaction {
            number: 1,
            epoch: 1,
            after: 0,
            pipeline: 1,
            at_micros: 0,
            why: Why::Compact,
            output: OutputId::Table("t".to_owned()),
            location: "/t".to_owned(),
            folder: "d=1".to_owned(),
            staging: "/.sluicebox-q".to_owned(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            batches: BatchRows::default(),
            replaces: Vec::new(),
        }
    }

    #[test]
    fn a_run_that_was_passed_makes_no_record() {
        let (_dir, checkpoint) = checkpoint();
        assert_eq!((next(&checkpoint).unwrap(), next(&checkpoint).unwrap()), (1, 2));
        let metadata = Metadata {
            id: "q".to_owned(),
            generation: 1,
            pipeline: "p".to_owned(),
            created_micros: 0,
            plan_partitions: 1,
            logs: BTreeMap::new(),
        };
        for made in [
            checkpoint.create_metadata(&metadata, 1),
            checkpoint.write_offsets(&offsets()),
            checkpoint.write_commit(&commit()),
            checkpoint.write_compaction(&compaction()),
        ] {
            assert!(matches!(made, Err(CheckpointError::TakenOver { ours: 1, theirs: 2 })), "{made:?}");
        }
        let seen = checkpoint.observe().unwrap();
        assert_eq!((seen.metadata, seen.offsets, seen.commit), (false, None, None));
        assert!(checkpoint.compaction_numbers().unwrap().is_empty());
    }

    #[test]
    fn a_record_that_was_about_to_be_named_when_another_run_took_over_is_not_made() {
        let (dir, checkpoint) = checkpoint();
        std::fs::create_dir(dir.path().join("sources/s")).unwrap();
        for folder in ["", "pipelines", "offsets", "commits", "compactions", "sources/s"] {
            let epoch = next(&checkpoint).unwrap();
            let path = dir.path().join(folder).join("record");
            // It has looked, and found nobody.
            let passed = || next(&checkpoint).map(drop);
            let made = durable::create_if_absent_unless(What::Checkpoint, &path, b"record", epoch, passed);
            assert!(made.is_err() && !path.exists(), "{folder}: {made:?}");
        }
    }
}
