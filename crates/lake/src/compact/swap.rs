//! The folder beside the table, and the exchange.

use std::io;
use std::path::{Path, PathBuf};

use sluicebox_core::durable::{self, FileError};
use sluicebox_core::fault::What;

use crate::error::{LakeError, Result};
use crate::folder::real_path;
use crate::layout;

/// What the folders beside tables start with.
const BESIDE: &str = ".sluicebox-";

/// Where a run keeps the folders that it exchanges with those of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staging {
    root: PathBuf,
    epoch: u64,
}

impl Staging {
    /// That of the table at `location` for the run of `epoch` of the query: `.sluicebox-<query>/<epoch>` beside the table's
    /// real folder. Nothing is made.
    ///
    /// # Errors
    /// When a folder above the table cannot be read.
    pub fn of(location: &Path, query_id: &str, epoch: u64) -> Result<Self> {
        let real = real_path(location)?;
        let parent = real.parent().unwrap_or(&real);
        Ok(Self { root: parent.join(format!("{BESIDE}{}", layout::query_of(query_id))), epoch })
    }

    /// The folder of all runs of the query.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of compaction `number`.
    #[must_use]
    pub fn folder(&self, number: u64) -> PathBuf {
        self.own().join(number.to_string())
    }

    fn own(&self) -> PathBuf {
        self.root.join(self.epoch.to_string())
    }

    /// Makes the folder of compaction `number`, empty: what an earlier try of this run left there goes. Its name is durable.
    ///
    /// # Errors
    /// When a folder cannot be made.
    pub fn make(&self, number: u64) -> Result<PathBuf> {
        durable::create_dir_durable(What::Swap, &self.own())?;
        let folder = self.folder(number);
        durable::remove_tree(What::Swap, &folder)?;
        durable::make_dir(What::Swap, &folder)?;
        durable::sync_dir(What::Swap, &self.own())?;
        Ok(folder)
    }

    /// Removes what runs of earlier epochs left beside the table. Only when no record needs it.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn sweep(&self) -> Result<()> {
        for entry in durable::list(What::Swap, &self.root)? {
            let epoch = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok());
            if epoch.is_some_and(|epoch| epoch < self.epoch) {
                durable::remove_tree(What::Swap, &entry.path())?;
            }
        }
        self.tidy();
        Ok(())
    }

    /// Removes the folders of this run and of all runs, where they are empty.
    pub fn tidy(&self) {
        for folder in [&self.own(), &self.root] {
            if durable::remove_dir(What::Swap, folder).is_err() {
                return;
            }
        }
    }
}

/// Proves with folders of its own that those of the table at `location` can be exchanged with those of `staging`. False when
/// a reader that has begun to list meanwhile would miss the partition: its rows may go so, but not be compacted.
///
/// # Errors
/// [`LakeError::CannotExchange`] when they cannot.
pub fn try_exchange(location: &Path, staging: &Staging) -> Result<bool> {
    // Not in the folder that batches stage in: who makes that one makes it durable, before anything in it is committed.
    let inside = location.join(layout::STAGING).join(layout::trial_folder(staging.epoch));
    durable::create_dir_durable(What::Swap, &staging.own())?;
    let beside = staging.own().join("trial");
    durable::make_dir(What::Swap, &inside)?;
    durable::make_dir(What::Swap, &beside)?;
    let tried = durable::exchange_while_listed(What::Swap, &inside, &beside);
    for folder in [&inside, &beside] {
        durable::remove_dir(What::Swap, folder)?;
    }
    tried.map_err(|e| cannot(location, &staging.root, e))
}

fn cannot(location: &Path, staging: &Path, error: FileError) -> LakeError {
    match error.source.raw_os_error() {
        // EPERM, EXDEV, EINVAL, ENOSYS, EOPNOTSUPP, and EBUSY of a folder that is a mount.
        Some(1 | 16 | 18 | 22 | 38 | 95) => LakeError::CannotExchange {
            location: location.to_owned(),
            staging: staging.to_owned(),
            source: error.source,
        },
        _ => error.into(),
    }
}

/// Exchanges the folder `staged` with the partition folder, and makes it durable: both are synced already, and all in them.
///
/// # Errors
/// When one of them is not there, or they cannot be exchanged: then nothing has changed. When a folder cannot be synced: then
/// they are exchanged, maybe not for ever.
pub fn swap(staged: &Path, partition: &Path) -> Result<()> {
    durable::exchange(What::Swap, staged, partition).map_err(|e| cannot(partition, staged, e))?;
    sync_around(partition)?;
    sync_around(staged)
}

fn sync_around(folder: &Path) -> Result<()> {
    Ok(durable::sync_dir(What::Swap, folder.parent().unwrap_or(folder))?)
}

/// Takes the folder of compaction `number` below `root`, whichever run made it, for the run of `epoch`: under its new name no
/// earlier run knows it. Gives the new name, if there is such a folder. All that was done to it and to the partition folder
/// is durable then.
///
/// # Errors
/// When a folder cannot be listed, renamed or synced.
pub fn take(root: &Path, number: u64, epoch: u64, partition: &Path) -> Result<Option<PathBuf>> {
    let name = number.to_string();
    let own = root.join(epoch.to_string());
    // A run that took it and was killed has left it under its own epoch.
    let epochs =
        durable::list(What::Swap, root)?.into_iter().filter_map(|e| e.file_name().to_str()?.parse::<u64>().ok());
    let found = epochs.filter(|of| root.join(of.to_string()).join(&name).is_dir()).max();
    let mut taken = None;
    if let Some(of) = found {
        let (from, to) = (root.join(of.to_string()).join(&name), own.join(&name));
        durable::create_dir_durable(What::Swap, &own)?;
        if of == epoch || durable::rename_dir(What::Swap, &from, &to)? {
            sync_around(&from)?;
            sync_around(&to)?;
            taken = Some(to);
        }
    }
    if partition.parent().is_some_and(Path::is_dir) {
        sync_around(partition)?;
    }
    Ok(taken)
}

/// Removes a folder that was exchanged, with the files in it; nothing is left to do if it is not there.
///
/// # Errors
/// When something cannot be removed.
pub fn remove(folder: &Path) -> Result<()> {
    match durable::remove_tree(What::Swap, folder) {
        Err(e) if e.source.kind() != io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}
