//! The files found in the folders, and how a file differs from its commit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sluicebox_core::OutputId;
use sluicebox_durable::checksum_of;

/// What the folders hold.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Rows by what wrote them (`table t`, `late t`, ...) and batch.
    pub rows: BTreeMap<(OutputId, u64), u64>,
    /// Reports of batches without records, by batch.
    pub reports: BTreeMap<u64, PathBuf>,
    /// What has a folder that was looked at.
    pub outputs: BTreeSet<OutputId>,
}

/// How a file differs from what a commit says of it.
pub(super) fn differs(path: &Path, bytes: u64, expected: &str) -> Option<String> {
    match checksum_of(path) {
        Err(e) => Some(format!("{}: {e}", path.display())),
        Ok((found, _)) if found != bytes => {
            Some(format!("{} has {found} bytes, {bytes} were committed", path.display()))
        }
        Ok((_, checksum)) if checksum != expected => {
            Some(format!("{} has another content than was committed", path.display()))
        }
        Ok(_) => None,
    }
}
