//! Which names runs give in a checkpoint. A folder that has others, and no metadata, is somebody else's and no checkpoint; and of what
//! lies in a checkpoint, nothing of another name is removed with the records.

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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;
    use crate::records::{Metadata, Refresh};

    fn put(root: &Path, files: &[&str]) {
        for file in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "v1 0123456789abcdef\n{}\n").unwrap();
        }
    }

    fn metadata() -> Metadata {
        let (id, pipeline) = ("q".to_owned(), "p".to_owned());
        Metadata { id, generation: 1, pipeline, created_micros: 0, plan_partitions: 1, logs: BTreeMap::new() }
    }

    /// Files of every form that runs give.
    const OURS: [&str; 17] = [
        "offsets/0",
        "offsets/7",
        "offsets/.tmp-writer1-2-3-8",
        "commits/7",
        "compactions/1",
        "pipelines/1",
        "state/silver.sales.dedup.0/000000007-1.delta.arrow",
        "state/silver.sales.dedup.0/000000007-1-0.segment",
        "state/silver.sales.dedup.0/.tmp-1-2-segment",
        "state/backfill-2.gold.aggregate.1/000000003-1.snapshot.arrow",
        "outbox/alerts/000000007-1.arrow",
        "sources/orders/start",
        "sources/orders/reader",
        "sources/orders/topics/sales.events.v1",
        "sources/orders/schemas/id-7.json",
        "sources/orders/schemas/guid-01234567-89ab-cdef-0123-456789abcdef.json",
        "sources/backfill-2.orders/start",
    ];

    /// What is somebody's, in every folder of a checkpoint.
    const THEIRS: [&str; 15] = [
        "offsets/readme",
        "offsets/007",
        "commits/msg",
        "commits/old/7",
        "compactions/+1",
        "pipelines/shop.sql",
        "outbox/alerts/letter.arrow",
        "state/terraform.tfstate",
        "state/deep/f",
        "state/deep/000000007-1.delta.arrow",
        "state/silver.sales.dedup.0/7-1.delta.arrow",
        "sources/main.c",
        "sources/orders/main.c",
        "sources/orders/schemas/orders.json",
        "sources/orders/topics/a topic",
    ];

    #[test]
    fn a_folder_with_anything_that_no_run_makes_is_no_checkpoint() {
        let begun = ["lock", "epochs/1", "epochs/.tmp-1-2-2", "sources/orders/schemas/id-7.json"];
        let passes = |files: &[&str]| {
            let dir = tempfile::tempdir().unwrap();
            put(dir.path(), files);
            Checkpoint::new(dir.path()).refuse_no_checkpoint()
        };
        passes(&[]).unwrap();
        passes(&begun).unwrap();
        passes(&OURS).unwrap();
        passes(&[".gitkeep", "lost+found/x", ".tmp-1-2-trial/staged", "lock", "refresh"]).unwrap();
        passes(&["state/t/_sluicebox_owner", "state/t/x.parquet", "state/.u_sluicebox_owner", "state/u/x.parquet"])
            .unwrap();
        for theirs in THEIRS.into_iter().chain(["readme", "metadata/x", "etl/offsets/0", "epochs/a"]) {
            let beside = [&begun[..], &[theirs]].concat();
            for files in [&[theirs][..], &beside[..]] {
                let refused = passes(files).unwrap_err();
                assert!(matches!(refused, CheckpointError::NoCheckpoint { .. }), "{theirs}: {refused}");
            }
        }
        // A name alone is no proof.
        for theirs in ["commits/7", "offsets/0", "sources/kafka/topics/orders", "metadata", "refresh"] {
            let dir = tempfile::tempdir().unwrap();
            put(dir.path(), &[theirs]);
            fs::write(dir.path().join(theirs), "v1\n{}").unwrap();
            let refused = Checkpoint::new(dir.path()).refuse_no_checkpoint().unwrap_err().to_string();
            assert!(refused.contains(theirs) && refused.contains("--checkpoint"), "{refused}");
        }
    }

    #[test]
    fn metadata_make_a_checkpoint_of_a_folder_and_damaged_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path());
        checkpoint.prepare().unwrap();
        checkpoint.lock(false, "run", 0).unwrap();
        checkpoint.replace_metadata(&metadata()).unwrap();
        put(dir.path(), &THEIRS);
        checkpoint.refuse_no_checkpoint().unwrap();
        fs::write(dir.path().join("metadata"), "").unwrap();
        assert!(matches!(checkpoint.refuse_no_checkpoint(), Err(CheckpointError::NoCheckpoint { .. })));
        for theirs in THEIRS {
            fs::remove_file(dir.path().join(theirs)).unwrap();
        }
        fs::remove_dir(dir.path().join("commits/old")).unwrap();
        fs::remove_dir(dir.path().join("state/deep")).unwrap();
        put(dir.path(), &OURS);
        // It is a checkpoint that has lost them.
        for torn in [Some("torn"), Some(""), None] {
            match torn {
                Some(torn) => fs::write(dir.path().join("metadata"), torn).unwrap(),
                None => fs::remove_file(dir.path().join("metadata")).unwrap(),
            }
            checkpoint.refuse_no_checkpoint().unwrap();
        }
    }

    #[test]
    fn a_first_start_that_was_killed_before_its_metadata_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path().join("c"));
        checkpoint.refuse_no_checkpoint().unwrap();
        checkpoint.prepare().unwrap();
        checkpoint.refuse_no_checkpoint().unwrap();
        drop(checkpoint.lock(false, "run", 0).unwrap());
        checkpoint.refuse_no_checkpoint().unwrap();
        let refresh = Refresh { id: "q".to_owned(), generation: 1, locations: Vec::new(), taken: Vec::new() };
        checkpoint.write_refresh(&refresh).unwrap();
        fs::write(durable::temporary_name(&dir.path().join("c/metadata")), "half").unwrap();
        checkpoint.refuse_no_checkpoint().unwrap();
    }

    #[test]
    fn what_no_run_has_put_there_stays_when_the_records_go() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path());
        let remove = || {
            for folder in ["offsets", "commits", OUTBOX, "compactions", "state", "sources", "pipelines"] {
                checkpoint.check_removal(What::Refresh, folder).unwrap();
                checkpoint.remove_records(What::Refresh, folder).unwrap();
                checkpoint.remove_records(What::Refresh, folder).unwrap();
            }
        };
        put(dir.path(), &OURS);
        put(dir.path(), &THEIRS);
        remove();
        for name in OURS {
            assert!(!dir.path().join(name).exists(), "{name} is there");
        }
        for name in THEIRS {
            assert!(dir.path().join(name).exists(), "{name} is gone");
            fs::remove_file(dir.path().join(name)).unwrap();
        }
        fs::remove_dir_all(dir.path().join("state/deep")).unwrap();
        fs::remove_dir_all(dir.path().join("commits/old")).unwrap();
        put(dir.path(), &OURS);
        remove();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "folders with nothing in them go");
    }

    #[test]
    fn a_folder_in_the_place_of_a_record_is_told_before_anything_goes() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path());
        for name in ["commits/7", "sources/orders/start", "state/t.dedup.0/000000007-1.delta.arrow"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
            let folder = name.split('/').next().unwrap();
            let refused = checkpoint.check_removal(What::Refresh, folder).unwrap_err().to_string();
            assert!(refused.contains(name) && refused.contains("Move it away"), "{refused}");
        }
    }
}
