//! The folder beside the table, and the exchange.

use std::path::{Path, PathBuf};

use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, FileError, Own};

use crate::error::{LakeError, Result};
use crate::folder::{is_folder, real_path};
use crate::layout;

/// What the folders beside tables start with.
const BESIDE: &str = ".sluicebox-";

/// Where a run keeps the folders that it exchanges with those of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staging {
    /// The folder beside which it lies: the one around the table.
    around: PathBuf,
    /// Its name in there.
    name: String,
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
        let around = real.parent().unwrap_or(&real).to_owned();
        let name = format!("{BESIDE}{}", layout::query_of(query_id));
        Ok(Self { root: around.join(&name), around, name, epoch })
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

    /// The name of the folder of this run, from the folder around the table.
    fn own_name(&self) -> PathBuf {
        Path::new(&self.name).join(self.epoch.to_string())
    }

    /// The folder of all runs of the query, for removing in it; `None` if it is not there.
    ///
    /// # Errors
    /// When it is a link or no folder.
    pub fn removable(&self) -> Result<Option<Own>> {
        Ok(Own::given(&self.around).folder(&self.name)?)
    }

    /// Makes the folder of compaction `number`, empty: what an earlier try of this run left there goes. Its name is durable.
    ///
    /// # Errors
    /// When a folder cannot be made, or one of them is a link.
    pub fn make(&self, number: u64) -> Result<PathBuf> {
        self.removable()?;
        durable::create_dir_durable(What::Swap, &self.own())?;
        let folder = self.folder(number);
        Own::given(&self.around).remove_tree(What::Swap, self.own_name().join(number.to_string()))?;
        durable::make_dir(What::Swap, &folder)?;
        durable::sync_dir(What::Swap, &self.own())?;
        Ok(folder)
    }

    /// Removes what runs of earlier epochs left beside the table. Only when no record needs it.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn sweep(&self) -> Result<()> {
        let own = self.removable()?.unwrap_or_else(|| Own::given(&self.root));
        for entry in own.list(What::Swap)? {
            let name = entry.file_name();
            let older = name.to_str().and_then(|name| name.parse::<u64>().ok()).is_some_and(|of| of < self.epoch);
            if older && is_folder(&entry)? {
                own.remove_tree(What::Swap, &name)?;
            }
        }
        self.tidy();
        Ok(())
    }

    /// Removes the folders of this run and of all runs, where they are empty.
    pub fn tidy(&self) {
        let around = Own::given(&self.around);
        for folder in [self.own_name().as_path(), Path::new(&self.name)] {
            if around.remove_dir(What::Swap, folder).is_err() {
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
    let trial = Path::new(layout::STAGING).join(layout::trial_folder(staging.epoch));
    staging.removable()?;
    durable::create_dir_durable(What::Swap, &staging.own())?;
    let (inside, beside) = (location.join(&trial), staging.own().join("trial"));
    durable::make_dir(What::Swap, &inside)?;
    durable::make_dir(What::Swap, &beside)?;
    let tried = durable::exchange_while_listed(What::Swap, &inside, &beside);
    Own::given(location).remove_dir(What::Swap, &trial)?;
    Own::given(&staging.around).remove_dir(What::Swap, staging.own_name().join("trial"))?;
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

/// Takes the folder of compaction `number` beside the table, whichever run made it, for the run of `staging`: under its new
/// name no earlier run knows it. Gives the new name, if there is such a folder. All that was done to it and to the partition
/// folder is durable then.
///
/// # Errors
/// When a folder cannot be listed, renamed or synced, or one beside the table is a link.
pub fn take(staging: &Staging, number: u64, partition: &Path) -> Result<Option<PathBuf>> {
    let own = staging.removable()?.unwrap_or_else(|| Own::given(&staging.root));
    let name = number.to_string();
    // A run that took it and was killed has left it under its own epoch.
    let mut found: Option<u64> = None;
    for entry in own.list(What::Swap)? {
        let Some(of) = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()) else { continue };
        if is_folder(&entry)? && own.folder(Path::new(&of.to_string()).join(&name))?.is_some() {
            found = found.max(Some(of));
        }
    }
    let mut taken = None;
    if let Some(of) = found {
        let (from, to) = (staging.root.join(of.to_string()).join(&name), staging.folder(number));
        durable::create_dir_durable(What::Swap, &staging.own())?;
        own.folder(staging.epoch.to_string())?;
        if of == staging.epoch || durable::rename_dir(What::Swap, &from, &to)? {
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

/// Removes the folder of a compaction, as [`Staging::folder`] names it, with the files in it; nothing is left to do if it is not
/// there.
///
/// # Errors
/// When something cannot be removed, or the folder or one around it beside the table is a link.
pub fn remove(folder: &Path) -> Result<()> {
    // `.sluicebox-<query>/<epoch>/<compaction>`.
    let around = folder.ancestors().nth(3).unwrap_or(Path::new("/"));
    Own::given(around).remove_tree(What::Swap, folder.strip_prefix(around).unwrap_or(folder))?;
    Ok(())
}

/// Removes the partition `folder` below `location` if nothing is in it; false if there is none.
///
/// # Errors
/// When it is not empty, cannot be removed, or a folder on the way to it is a link.
pub fn remove_partition(location: &Path, folder: &str) -> Result<bool> {
    Ok(Own::given(location).remove_dir(What::Swap, folder)?)
}
