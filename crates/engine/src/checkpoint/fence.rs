//! What keeps a run that was passed from making or replacing a record when it wakes up.
//!
//! Looking whether a later run has come and naming a record are two steps, and a run may be stopped for hours between them.
//! So it looks after its temporary file is made, whose name carries its epoch, and a later run, once its own epoch is there,
//! removes those of earlier ones ([`Checkpoint::fence`]): either the earlier run sees the epoch, or the later one finds the
//! record, or the earlier one has nothing left to name.
//!
//! What a source pins at its first start (`sources/<name>/start`, `reader` and `topics/`) needs no fence: it is created where
//! nothing is, and of two the first wins. Nor do removals: a purge of a run that was passed takes what is older than its own newest
//! batch by so many that the later run keeps it no longer either; the records of compactions go after an exchange, for
//! which the later run leaves no folder; and a full refresh begins beside nobody and cannot be passed.

use std::path::Path;

use serde::Serialize;
use sluicebox_core::durable::{self, Created, Own};
use sluicebox_core::fault::What;

use super::{Checkpoint, CheckpointError, envelope};

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
    pub(crate) fn replace_fenced<T: Serialize>(
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
        for source in sources.into_iter().filter(|entry| entry.path().is_dir()) {
            durable::sweep_temporaries_before(What::Checkpoint, &Own::given(source.path()), epoch)?;
        }
        Ok(())
    }
}
