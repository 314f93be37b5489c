//! One writer: the lock and the epoch of a run.
//!
//! The lock keeps a second run out while the first lives. The epoch covers what a lock cannot. If a run was stopped for so long that
//! another one took over, it finds records of a higher epoch, or finds its own record's name taken, and stops.

use std::fs::{File, TryLockError};

use sluicebox_durable::fault::What;
use sluicebox_durable::{Created, DurableFile, FileError};

use crate::records::Epoch;
use crate::{Checkpoint, CheckpointError, envelope, judge};

/// A run's hold on a checkpoint. Dropping it, or the end of the process, lets go.
#[derive(Debug)]
pub struct RunLock {
    /// This run.
    pub epoch: Epoch,
    exclusive: bool,
    // Held for their locks only.
    _lock: Option<File>,
    _own: File,
}

impl RunLock {
    /// Whether the run holds the checkpoint's lock and no other lives: it did not pass any.
    #[must_use]
    pub fn exclusive(&self) -> bool {
        self.exclusive
    }
}

impl Checkpoint {
    /// Takes the lock and the next epoch. With `take_over`, a living holder is passed.
    ///
    /// A run that was started with `take_over` does not hold the lock file, and a lock file may be deleted: so the locks
    /// that runs keep on their own epochs count as well.
    ///
    /// # Errors
    /// [`CheckpointError::Held`] when another run lives.
    pub fn lock(&self, take_over: bool, run_id: &str, started_micros: i64) -> Result<RunLock, CheckpointError> {
        let path = self.root.join("lock");
        let file = DurableFile::open(What::Lock, &path)?.into_file();
        let lock = match file.try_lock() {
            Ok(()) => Some(file),
            Err(TryLockError::WouldBlock) if take_over => None,
            Err(TryLockError::WouldBlock) => return Err(self.held()?),
            Err(TryLockError::Error(e)) => return Err(FileError::new("lock", path, e).into()),
        };
        if !take_over && !self.living_epochs(0)?.is_empty() {
            return Err(self.held()?);
        }
        loop {
            let Some(next) = self.highest_epoch()?.checked_add(1).filter(|next| *next <= judge::MOST) else {
                let why = "the newest epoch, plan or commit is of the highest epoch that there can be".to_owned();
                return Err(CheckpointError::Damaged { path: self.root.clone(), why });
            };
            let epoch = Epoch {
                epoch: next,
                run_id: run_id.to_owned(),
                pid: std::process::id(),
                host: hostname(),
                started_micros,
            };
            let path = self.root.join("epochs").join(next.to_string());
            if envelope::create(What::Epoch, &path, &epoch)? == Created::New {
                let Some(own) = DurableFile::open_found(What::Epoch, &path)? else {
                    // Stopped before it could lock its record, it was passed, and forgotten.
                    self.refuse_later_epochs(next)?;
                    return Err(CheckpointError::Missing { name: format!("epochs/{next}") });
                };
                let own = own.into_file();
                own.lock().map_err(|e| FileError::new("lock", &path, e))?;
                // No record of an earlier run comes in from here on: see `create_fenced`.
                self.fence(next)?;
                let exclusive = lock.is_some() && self.living_epochs(next)?.is_empty();
                return Ok(RunLock { epoch, exclusive, _lock: lock, _own: own });
            }
        }
    }

    /// The error of a run that finds another. The newest that lives is the holder; one whose record cannot be read, or
    /// that has not come to write it, is told without its process.
    fn held(&self) -> Result<CheckpointError, CheckpointError> {
        let holder = self.living_epochs(0)?.into_iter().max();
        let record: Option<Epoch> = holder
            .and_then(|n| envelope::read(What::Epoch, &self.root.join("epochs").join(n.to_string())).ok().flatten());
        let holder = record.map_or_else(
            || "its process is unknown: the record below `epochs` is missing or damaged".to_owned(),
            |e| format!("process {} on {}", e.pid, e.host),
        );
        Ok(CheckpointError::Held { path: self.root.clone(), holder })
    }

    /// The highest epoch that any record names, 0 if there is none. The newest plan and commit count too: should `epochs`
    /// be lost, a run still stands above all that wrote before it. Numbers are taken from names, so that a damaged record
    /// of a run that is over stops nobody.
    fn highest_epoch(&self) -> Result<u64, CheckpointError> {
        let observed = self.observe()?;
        let named = self.ids(What::Epoch, "epochs")?.into_iter().max();
        // Damaged records are not judged here: whoever needs what is in them stops with their names.
        let planned = observed.offsets.and_then(|id| self.offsets(id).ok()).map(|o| o.epoch);
        let committed = observed.commit.and_then(|id| self.commit(id).ok()).map(|c| c.epoch);
        Ok(named.max(planned).max(committed).unwrap_or(0))
    }

    /// The epochs whose processes live, other than `own`: a full refresh may not start beside them.
    ///
    /// # Errors
    /// When a folder cannot be listed or a file not opened.
    pub fn living_epochs(&self, own: u64) -> Result<Vec<u64>, CheckpointError> {
        let mut living = Vec::new();
        for epoch in self.ids(What::Epoch, "epochs")?.into_iter().filter(|e| *e != own) {
            let path = self.root.join("epochs").join(epoch.to_string());
            // One that another run has forgotten meanwhile was over.
            let Some(file) = DurableFile::open_found(What::Epoch, &path)? else { continue };
            let file = file.into_file();
            // Shared, so that two who look do not take each other for the run.
            if matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
                living.push(epoch);
            }
        }
        Ok(living)
    }

    /// Stops a run that a later one has taken over. The create-if-absent of the records decides; this only tells sooner.
    ///
    /// # Errors
    /// [`CheckpointError::TakenOver`] when there is a later epoch.
    pub fn refuse_later_epochs(&self, ours: u64) -> Result<(), CheckpointError> {
        match self.ids(What::Epoch, "epochs")?.into_iter().max() {
            Some(theirs) if theirs > ours => Err(CheckpointError::TakenOver { ours, theirs }),
            _ => Ok(()),
        }
    }

    /// Removes the records of old runs but the newest and those that live.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn forget_epochs(&self, own: u64) -> Result<(), CheckpointError> {
        let living = self.living_epochs(own)?;
        let Some(folder) = self.removable("epochs")? else { return Ok(()) };
        for epoch in self.ids(What::Epoch, "epochs")? {
            if epoch < own && !living.contains(&epoch) {
                folder.remove(What::Epoch, epoch.to_string())?;
            }
        }
        Ok(())
    }
}

/// The name of this machine.
#[must_use]
pub fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "unknown".to_owned(), |s| s.trim().to_owned())
}
