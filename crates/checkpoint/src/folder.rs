//! The folder of a checkpoint. A run creates and reads its records here.

use std::path::{Path, PathBuf};

use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, Created, Own};
use sluicebox_sinks::owner;

use crate::numbers::NUMBERED;
use crate::records::{COMMIT_VERSION, Commit, Metadata, Offsets, Refresh, SourceStart};
use crate::recovery::Observed;
use crate::{CheckpointError, envelope, judge, place};

/// The folder of a checkpoint.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    pub(crate) root: PathBuf,
    /// The run's working directory; folders below it are named relative to the checkpoint.
    project: Option<PathBuf>,
}

impl Checkpoint {
    /// The checkpoint in `root`, which need not exist.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), project: None }
    }

    /// The checkpoint as part of the absolute folder `project`: what its records name below that folder is found again
    /// when the folder has been moved.
    #[must_use]
    pub fn within(self, project: impl Into<PathBuf>) -> Self {
        Self { project: Some(project.into()), ..self }
    }

    /// How a record names the folder `location`.
    pub(crate) fn name_of(&self, location: &str) -> String {
        place::name_of(&self.root, self.project.as_deref(), location)
    }

    /// The folder that a record names so.
    pub(crate) fn location_of(&self, name: &str) -> String {
        place::location_of(&self.root, name)
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the folders, removes what a crash left unfinished in them, and makes what they hold durable: a restart may
    /// act only on what cannot be lost.
    ///
    /// # Errors
    /// When a folder cannot be made, listed or synced.
    pub fn prepare(&self) -> Result<(), CheckpointError> {
        for name in ["", "epochs", "pipelines", "sources", "offsets", "state", "commits", "compactions"] {
            let dir = self.root.join(name);
            durable::create_dir_durable(What::Checkpoint, &dir)?;
            durable::sync_dir(What::Checkpoint, &dir)?;
        }
        Ok(())
    }

    /// Removes temporary files that a crash of an earlier run left behind; only the holder of the lock may.
    ///
    /// # Errors
    /// When a folder cannot be listed or a file not removed.
    pub fn sweep_temporaries(&self) -> Result<(), CheckpointError> {
        durable::sweep_temporaries(What::Checkpoint, &Own::given(&self.root))?;
        for name in NUMBERED {
            if let Some(folder) = self.removable(name)? {
                durable::sweep_temporaries(What::Checkpoint, &folder)?;
            }
        }
        for name in ["sources", "state"] {
            let Some(folder) = self.removable(name)? else { continue };
            for entry in folder.list(What::Checkpoint)? {
                // Links in it, files, and what is a table's are none of ours.
                if entry.file_type().is_ok_and(|kind| kind.is_dir())
                    && let Some(inner) = folder.folder(entry.file_name())?
                    && !owner::is_marked(inner.path())
                {
                    durable::sweep_temporaries(What::Checkpoint, &inner)?;
                }
            }
        }
        Ok(())
    }

    /// The newest records there are.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub fn observe(&self) -> Result<Observed, CheckpointError> {
        Ok(Observed {
            // Whatever it is: who reads it says what is wrong with it.
            metadata: self.root.join("metadata").symlink_metadata().is_ok(),
            offsets: self.ids(What::Offsets, "offsets")?.into_iter().max(),
            commit: self.ids(What::Commit, "commits")?.into_iter().max(),
        })
    }

    /// Whether no run has begun here: there is neither metadata nor any record of a batch, nor a refresh in progress.
    ///
    /// # Errors
    /// When a folder cannot be listed, or the record of a refresh is damaged.
    pub fn is_new(&self) -> Result<bool, CheckpointError> {
        let seen = self.observe()?;
        Ok(!seen.metadata && seen.offsets.is_none() && seen.commit.is_none() && self.refresh()?.is_none())
    }

    /// The ids of all commits, ascending.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn commit_ids(&self) -> Result<Vec<u64>, CheckpointError> {
        let mut ids = self.ids(What::Commit, "commits")?;
        ids.sort_unstable();
        Ok(ids)
    }

    /// `metadata`, if it is there.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn metadata(&self) -> Result<Option<Metadata>, CheckpointError> {
        envelope::read(What::Metadata, &self.root.join("metadata"))
    }

    /// Writes `metadata` at the first start, and never over another's.
    ///
    /// # Errors
    /// When it cannot be made durable, or another run was first.
    pub fn create_metadata(&self, metadata: &Metadata, epoch: u64) -> Result<(), CheckpointError> {
        let path = self.root.join("metadata");
        match self.create_fenced(What::Metadata, &path, metadata, epoch)? {
            Created::New => Ok(()),
            Created::Exists => {
                self.refuse_later_epochs(epoch)?;
                Err(taken(path, epoch, epoch.saturating_sub(1)))
            }
        }
    }

    /// Replaces `metadata`: for a full refresh.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub fn replace_metadata(&self, metadata: &Metadata) -> Result<(), CheckpointError> {
        Ok(durable::replace(What::Metadata, &self.root.join("metadata"), &envelope::wrap(metadata)?)?)
    }

    /// `offsets/<id>`.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn offsets(&self, id: u64) -> Result<Offsets, CheckpointError> {
        let found: Offsets = self.required(What::Offsets, &format!("offsets/{id}"))?;
        self.of_its_name("offsets", id, found.batch_id)?;
        Ok(found)
    }

    /// `commits/<id>`.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn commit(&self, id: u64) -> Result<Commit, CheckpointError> {
        let mut found: Commit = self.required(What::Commit, &format!("commits/{id}"))?;
        self.of_its_name("commits", id, found.batch_id)?;
        judge::commit(&found).map_err(|why| self.damaged("commits", id, why))?;
        found.locations(|location| self.location_of(location));
        Ok(found)
    }

    /// Refuses a record under the name of another batch: whole in itself, and wrong where it is.
    pub(crate) fn of_its_name(&self, folder: &str, name: u64, batch: u64) -> Result<(), CheckpointError> {
        if name == batch {
            return Ok(());
        }
        Err(self.damaged(folder, name, format!("it is the record of number {batch}")))
    }

    pub(crate) fn damaged(&self, folder: &str, name: u64, why: String) -> CheckpointError {
        CheckpointError::Damaged { path: self.root.join(folder).join(name.to_string()), why }
    }

    pub(crate) fn required<T: serde::de::DeserializeOwned>(
        &self,
        what: What,
        name: &str,
    ) -> Result<T, CheckpointError> {
        envelope::read(what, &self.root.join(name))?.ok_or_else(|| CheckpointError::Missing { name: name.to_owned() })
    }

    /// Makes the plan of a batch durable.
    ///
    /// # Errors
    /// When another run planned this batch: this one has been taken over.
    pub fn write_offsets(&self, offsets: &Offsets) -> Result<(), CheckpointError> {
        let path = self.root.join("offsets").join(offsets.batch_id.to_string());
        match self.create_fenced(What::Offsets, &path, offsets, offsets.epoch)? {
            Created::New => Ok(()),
            Created::Exists => Err(taken(path, offsets.epoch, self.offsets(offsets.batch_id)?.epoch)),
        }
    }

    /// Commits a batch: when this returns the batch has happened.
    ///
    /// # Errors
    /// When another run committed this batch: this one has been taken over.
    pub fn write_commit(&self, commit: &Commit) -> Result<(), CheckpointError> {
        let path = self.root.join("commits").join(commit.batch_id.to_string());
        let mut stored = commit.clone();
        stored.locations(|location| self.name_of(location));
        let content = envelope::wrap_as(COMMIT_VERSION, &stored)?;
        match self.create_content_fenced(What::Commit, &path, &content, commit.epoch)? {
            Created::New => Ok(()),
            Created::Exists => Err(taken(path, commit.epoch, self.commit(commit.batch_id)?.epoch)),
        }
    }

    /// The starting offsets of `source`, if they have been resolved.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn source_start(&self, source: &str) -> Result<Option<SourceStart>, CheckpointError> {
        let path = self.source_dir(source).join("start");
        let start: Option<SourceStart> = envelope::read(What::Source, &path)?;
        if let Some(other) =
            start.iter().flat_map(|s| &s.positions).map(|p| &p.partition.source).find(|name| *name != source)
        {
            let why = format!("it holds the starting offsets of the source `{other}`, not of `{source}`");
            return Err(CheckpointError::Damaged { path, why });
        }
        Ok(start)
    }

    /// Pins the starting offsets of `source`.
    ///
    /// # Errors
    /// When the file cannot be made durable.
    pub fn write_source_start(&self, source: &str, start: &SourceStart) -> Result<(), CheckpointError> {
        let path = self.source_dir(source).join("start");
        durable::create_dir_durable(What::Source, &self.source_dir(source))?;
        match envelope::create(What::Source, &path, start)? {
            Created::New => Ok(()),
            Created::Exists if self.source_start(source)?.as_ref() == Some(start) => Ok(()),
            Created::Exists => Err(CheckpointError::Damaged {
                path,
                why: "another run wrote other starting offsets while this one resolved them; run again".to_owned(),
            }),
        }
    }

    /// Pins other starting offsets of `source` in the place of those that name no partition, for the run of `epoch`.
    ///
    /// # Errors
    /// When the file cannot be made durable, or a later run has taken over.
    pub fn replace_source_start(&self, source: &str, start: &SourceStart, epoch: u64) -> Result<(), CheckpointError> {
        self.replace_fenced(What::Source, &self.source_dir(source).join("start"), start, epoch)
    }

    /// The folder of what is pinned for `source`.
    #[must_use]
    pub fn source_dir(&self, source: &str) -> PathBuf {
        self.root.join("sources").join(source)
    }

    /// The full refresh in progress, if there is one.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn refresh(&self) -> Result<Option<Refresh>, CheckpointError> {
        let mut found: Option<Refresh> = envelope::read(What::Refresh, &self.root.join("refresh"))?;
        for location in found.iter_mut().flat_map(|refresh| &mut refresh.locations) {
            *location = self.location_of(location);
        }
        Ok(found)
    }

    /// Makes the record of a full refresh durable, unless there is one.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn write_refresh(&self, refresh: &Refresh) -> Result<(), CheckpointError> {
        let mut stored = refresh.clone();
        for location in &mut stored.locations {
            *location = self.name_of(location);
        }
        envelope::create(What::Refresh, &self.root.join("refresh"), &stored)?;
        Ok(())
    }
}

/// The error of a run that finds the record that it was to create.
pub(crate) fn taken(path: PathBuf, ours: u64, theirs: u64) -> CheckpointError {
    if theirs > ours {
        CheckpointError::TakenOver { ours, theirs }
    } else {
        CheckpointError::Intruder { path, ours, theirs }
    }
}
