//! One writer: the lock and the epoch of a run.
//!
//! The lock keeps a second run out while the first lives. The epoch does what a lock cannot: a run that was stopped for
//! so long that another took over finds records of a higher epoch, or its own record's name taken, and stops.

use std::fs::{File, TryLockError};

use sluicebox_core::durable::{self, Created, DurableFile, FileError};
use sluicebox_core::fault::What;

use super::records::Epoch;
use super::{Checkpoint, CheckpointError, envelope};

/// A run's hold on a checkpoint. Dropping it, or the end of the process, lets go.
#[derive(Debug)]
pub struct RunLock {
    /// This run.
    pub epoch: Epoch,
    // Held for their locks only.
    lock: Option<File>,
    _own: File,
}

impl RunLock {
    /// Whether the run holds the checkpoint's lock, and did not pass a living holder.
    #[must_use]
    pub fn exclusive(&self) -> bool {
        self.lock.is_some()
    }
}

impl Checkpoint {
    /// Takes the lock and the next epoch. With `take_over`, a living holder of the lock is passed.
    ///
    /// # Errors
    /// [`CheckpointError::Held`] when another run holds the lock.
    pub fn lock(&self, take_over: bool, run_id: &str, started_micros: i64) -> Result<RunLock, CheckpointError> {
        let path = self.root.join("lock");
        let file = DurableFile::open(What::Lock, &path)?.into_file();
        let lock = match file.try_lock() {
            Ok(()) => Some(file),
            Err(TryLockError::WouldBlock) if take_over => None,
            Err(TryLockError::WouldBlock) => {
                let holder = self.newest_epoch()?;
                return Err(CheckpointError::Held {
                    path: self.root.clone(),
                    pid: holder.as_ref().map_or(0, |e| e.pid),
                    host: holder.map_or_else(|| "this machine".to_owned(), |e| e.host),
                });
            }
            Err(TryLockError::Error(e)) => return Err(FileError::new("lock", path, e).into()),
        };
        loop {
            let next = self.newest_epoch()?.map_or(1, |e| e.epoch + 1);
            let epoch = Epoch {
                epoch: next,
                run_id: run_id.to_owned(),
                pid: std::process::id(),
                host: hostname(),
                started_micros,
            };
            let path = self.root.join("epochs").join(next.to_string());
            if envelope::create(What::Epoch, &path, &epoch)? == Created::New {
                let own = DurableFile::open(What::Epoch, &path)?.into_file();
                own.lock().map_err(|e| FileError::new("lock", &path, e))?;
                return Ok(RunLock { epoch, lock, _own: own });
            }
        }
    }

    /// The newest run, if there was one.
    ///
    /// # Errors
    /// When the folder cannot be listed or the record is damaged.
    pub fn newest_epoch(&self) -> Result<Option<Epoch>, CheckpointError> {
        match self.ids(What::Epoch, "epochs")?.into_iter().max() {
            Some(n) => envelope::read(What::Epoch, &self.root.join("epochs").join(n.to_string())),
            None => Ok(None),
        }
    }

    /// The epochs whose processes live, other than `own`: a full refresh may not start beside them.
    ///
    /// # Errors
    /// When a folder cannot be listed or a file not opened.
    pub fn living_epochs(&self, own: u64) -> Result<Vec<u64>, CheckpointError> {
        let mut living = Vec::new();
        for epoch in self.ids(What::Epoch, "epochs")?.into_iter().filter(|e| *e != own) {
            let path = self.root.join("epochs").join(epoch.to_string());
            let file = DurableFile::open(What::Epoch, &path)?.into_file();
            if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
                living.push(epoch);
            }
        }
        Ok(living)
    }

    /// Stops a run that a later one has taken over. The create-if-absent of the records decides; this only tells sooner.
    pub(super) fn refuse_later_epochs(&self, ours: u64) -> Result<(), CheckpointError> {
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
        for epoch in self.ids(What::Epoch, "epochs")? {
            if epoch < own && !living.contains(&epoch) {
                let path = self.root.join("epochs").join(epoch.to_string());
                durable::remove(What::Epoch, &path)?;
            }
        }
        Ok(())
    }
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "unknown".to_owned(), |s| s.trim().to_owned())
}
