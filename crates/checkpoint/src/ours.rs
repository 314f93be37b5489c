//! The names that runs give in a checkpoint. A folder with other names and no metadata belongs to somebody else and is no checkpoint. A
//! removal of records leaves every other name in a checkpoint alone.

use std::fs::DirEntry;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sluicebox_durable::fault::What;
use sluicebox_durable::sealed::begins_sealed;
use sluicebox_durable::{self as durable, FileError, Own, is_no_file};
use sluicebox_sinks::{OUTBOX, is_outbox_name, owner};
use sluicebox_sources::LONGEST_TOPIC;

use crate::numbers::{NUMBERED, id_of};
use crate::purge::{batch_of, is_operator};
use crate::{Checkpoint, CheckpointError};

#[cfg(test)]
mod tests;

/// What a filesystem has of its own where it is mounted.
const OF_FILESYSTEMS: &str = "lost+found";

/// So many bytes of a file tell whether it may be a record.
const HEAD: u64 = 32;

/// A folder of a checkpoint, by what runs put into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Records that have numbers for names.
    Records,
    /// A folder for each operator.
    Operators,
    /// The state of an operator.
    State,
    /// A folder for each table whose sink takes rows in transactions.
    Outboxes,
    /// The rows of such a table that are to be sent.
    Outbox,
    /// A folder for each source.
    Sources,
    /// What is pinned for a source.
    Source,
    /// The ids of its topics.
    Topics,
    /// The schemas that its events have named.
    Schemas,
}

impl Kind {
    /// That of the folder `name` in the checkpoint's own.
    fn of(name: &str) -> Option<Self> {
        match name {
            "state" => Some(Self::Operators),
            OUTBOX => Some(Self::Outboxes),
            "sources" => Some(Self::Sources),
            name => NUMBERED.contains(&name).then_some(Self::Records),
        }
    }

    /// That of the folder `name` in this one, if runs make one of that name.
    fn folder(self, name: &str) -> Option<Self> {
        match (self, name) {
            (Self::Operators, name) => is_operator(name).then_some(Self::State),
            (Self::Outboxes, _) => Some(Self::Outbox),
            (Self::Sources, _) => Some(Self::Source),
            (Self::Source, "topics") => Some(Self::Topics),
            (Self::Source, "schemas") => Some(Self::Schemas),
            _ => None,
        }
    }

    /// Whether runs make a file of that name in it, one that is there to stay.
    fn file(self, name: &str) -> bool {
        match self {
            Self::Records => id_of(name).is_some(),
            Self::State => batch_of(name).is_some(),
            Self::Outbox => is_outbox_name(name),
            Self::Source => matches!(name, "start" | "reader"),
            Self::Topics => is_topic(name),
            Self::Schemas => is_schema(name),
            Self::Operators | Self::Outboxes | Self::Sources => false,
        }
    }

    /// Whether its files are sealed.
    fn is_sealed(self) -> bool {
        !matches!(self, Self::Operators | Self::State | Self::Outboxes | Self::Outbox | Self::Sources)
    }
}

/// What an entry of such a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// A file of a run, or a link in the place of a folder.
    File,
    /// A folder of a run.
    Folder(Kind),
    /// A folder that has the name of a file.
    InTheWay,
    /// Nothing that a run puts there.
    Strange,
}

fn look(kind: Kind, entry: &DirEntry) -> Result<Entry, FileError> {
    let found = entry.file_type().map_err(|e| FileError::new("look at", entry.path(), e))?;
    let name = entry.file_name();
    // No run gives a name that is no UTF-8.
    let Some(name) = name.to_str() else { return Ok(Entry::Strange) };
    Ok(match kind.folder(name) {
        Some(within) if found.is_dir() => Entry::Folder(within),
        Some(_) if found.is_symlink() => Entry::File,
        _ if found.is_dir() && kind.file(name) => Entry::InTheWay,
        _ if !found.is_dir() && (kind.file(name) || durable::is_temporary(name)) => Entry::File,
        _ => Entry::Strange,
    })
}

/// Whether a topic may have this name.
fn is_topic(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=LONGEST_TOPIC).contains(&name.len()) && name.bytes().all(legal)
}

/// Whether the file of a schema has this name: `id-<n>.json` or `guid-<uuid>.json`.
fn is_schema(name: &str) -> bool {
    let Some(key) = name.strip_suffix(".json") else { return false };
    let guid = |guid: &str| guid.len() == 36 && guid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    key.strip_prefix("id-").is_some_and(|id| id.parse::<i64>().is_ok()) || key.strip_prefix("guid-").is_some_and(guid)
}

impl Checkpoint {
    /// Stops before a folder is taken for a checkpoint that is none: it has no metadata that can be read, and something that no run
    /// puts into a checkpoint. What a first start leaves that is killed is all a run's; so is what is left of a checkpoint that has
    /// lost its metadata. Tables in it are told by who meets them, and what is hidden is nobody's trouble.
    ///
    /// # Errors
    /// [`CheckpointError::NoCheckpoint`] when it is none, or something in it cannot be looked at.
    pub fn refuse_no_checkpoint(&self) -> Result<(), CheckpointError> {
        match self.metadata() {
            Ok(Some(_)) | Err(CheckpointError::Newer { .. }) => return Ok(()),
            Ok(None) | Err(CheckpointError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
        match self.strange()? {
            Some(example) => Err(CheckpointError::NoCheckpoint { checkpoint: self.root.clone(), example }),
            None => Ok(()),
        }
    }

    /// Something in it that no run puts there, if there is something.
    fn strange(&self) -> Result<Option<PathBuf>, CheckpointError> {
        // Damaged metadata, or a damaged refresh, need not look like a record; but they are not alone.
        let has_begun = self.root.join("epochs").is_dir();
        for entry in durable::list(What::Checkpoint, &self.root)? {
            let (name, path) = (entry.file_name(), entry.path());
            let Some(name) = name.to_str() else { return Ok(Some(path)) };
            if name.starts_with('.') || name == OF_FILESYSTEMS {
                continue;
            }
            let found = match (name, Kind::of(name)) {
                // Links are followed: its folders may lie elsewhere.
                (_, Some(kind)) if path.is_dir() => strange_in(&path, kind)?,
                ("lock", _) if !path.is_dir() => None,
                ("metadata" | "refresh", _) if !path.is_dir() && (has_begun || may_be_sealed(&path)?) => None,
                _ => Some(path),
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Makes sure that the records in the folder `name` can be removed. Nothing is changed.
    ///
    /// # Errors
    /// When it, or a folder in it, is a link, or a folder has the name of a record; or one cannot be listed.
    pub fn check_removal(&self, what: What, name: &str) -> Result<(), CheckpointError> {
        match (Own::given(&self.root).folder(name)?, Kind::of(name)) {
            (Some(folder), Some(kind)) => refuse_in_the_way(what, &folder, kind),
            _ => Ok(()),
        }
    }

    /// Removes all records in the folder `name`, and the folder if nothing else is in it, durably. What no run has put there stays.
    ///
    /// # Errors
    /// When it is a link, or something cannot be listed or removed.
    pub fn remove_records(&self, what: What, name: &str) -> Result<(), CheckpointError> {
        let root = Own::given(&self.root);
        if let (Some(folder), Some(kind)) = (root.folder(name)?, Kind::of(name))
            && empty(what, &folder, kind)?
        {
            root.remove_dir(what, name)?;
        }
        Ok(durable::sync_dir(what, &self.root)?)
    }
}

/// Removes what is pinned for `source`, and its folder in `sources` if nothing else is in it.
pub(super) fn remove_source(what: What, sources: &Own, source: &str) -> Result<(), CheckpointError> {
    if let Some(folder) = sources.folder(source)?
        && empty(what, &folder, Kind::Source)?
    {
        sources.remove_dir(what, source)?;
    }
    Ok(())
}

/// Removes what runs have put into `folder`. Whether nothing is left in it; what is left is told.
fn empty(what: What, folder: &Own, kind: Kind) -> Result<bool, CheckpointError> {
    let mut nothing_is_left = true;
    for entry in folder.list(what)? {
        let name = entry.file_name();
        match look(kind, &entry)? {
            Entry::File => {
                folder.remove(what, &name)?;
            }
            Entry::Folder(within) => {
                let Some(inner) = folder.folder(&name)? else { continue };
                if empty(what, &inner, within)? {
                    folder.remove_dir(what, &name)?;
                } else {
                    nothing_is_left = false;
                }
            }
            Entry::InTheWay | Entry::Strange => {
                tracing::warn!("{:?} was not written by Sluicebox and stays: move it away", entry.path());
                nothing_is_left = false;
            }
        }
    }
    if !nothing_is_left {
        durable::sync_dir(what, folder.path())?;
    }
    Ok(nothing_is_left)
}

fn refuse_in_the_way(what: What, folder: &Own, kind: Kind) -> Result<(), CheckpointError> {
    for entry in folder.list(what)? {
        match look(kind, &entry)? {
            Entry::InTheWay => {
                let why = "it is a folder that has the name of a record. Move it away, and run again";
                return Err(FileError::new("remove", entry.path(), io::Error::other(why)).into());
            }
            Entry::Folder(within) => {
                if let Some(inner) = folder.folder(entry.file_name())? {
                    refuse_in_the_way(what, &inner, within)?;
                }
            }
            Entry::File | Entry::Strange => {}
        }
    }
    Ok(())
}

/// Something in `folder` that no run puts there. What a table has there is told by others.
fn strange_in(folder: &Path, kind: Kind) -> Result<Option<PathBuf>, CheckpointError> {
    if owner::is_marked(folder) {
        return Ok(None);
    }
    for entry in durable::list(What::Checkpoint, folder)? {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") || owner::is_marked(&path) {
            continue;
        }
        let found = match look(kind, &entry)? {
            Entry::Folder(within) => strange_in(&path, within)?,
            Entry::File if !kind.is_sealed() || may_be_sealed(&path)? => None,
            Entry::File | Entry::InTheWay | Entry::Strange => Some(path),
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Whether the file begins as a record does. One that has gone meanwhile is nobody's.
fn may_be_sealed(path: &Path) -> Result<bool, CheckpointError> {
    let mut head = Vec::new();
    let read = || durable::open_regular(path)?.take(HEAD).read_to_end(&mut head);
    match durable::reading(What::Checkpoint, path, read) {
        Ok(_) => Ok(begins_sealed(&head)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(e) if is_no_file(&e) => Ok(false),
        Err(e) => Err(FileError::new("read", path, e).into()),
    }
}
