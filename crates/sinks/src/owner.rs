//! The owner of a folder.
//!
//! A mark beside the folder names its owner: the query and its generation, which grows with every full refresh. A run that is not the
//! owner, or that finds files which its checkpoint does not know, stops before it writes anything. The mark also says where the owner's
//! checkpoint is, so that another pipeline of the same name can tell a live owner from a lost one.
//!
//! At a first start the engine calls [`check_unowned`] on every table, makes its metadata durable, and then calls [`claim`] on every table
//! in path order. At every other start it calls [`claim`] alone. A full refresh makes a record of itself durable, and then calls [`clear`]
//! and [`replace`] on every table.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sluicebox_core::OutputId;
use sluicebox_durable::fault::What;
use sluicebox_durable::sealed::{self, Broken};
use sluicebox_durable::{self as durable, Created, FileError, Own, is_no_file, open_regular};

use crate::error::{LakeError, Result};
use crate::folder::{is_folder, real_path};
use crate::layout;

mod clear;
mod decide;

pub use clear::{check_clear, clear};
pub use decide::{Claim, Home, Observed, decide_claim, decide_foreign, decide_unowned};

/// How the mark's name ends: it lies beside the folder, `.<folder>_sluicebox_owner`, since readers that take a folder as a table
/// stumble over whatever in it is no Parquet file, hidden or not (polars does). Older versions put it into the folder, under this
/// name; so is it where the folder above cannot be written to.
pub const MARK: &str = "_sluicebox_owner";

/// The longest name of a folder beside which a mark has room, its temporary name too.
const LONGEST: usize = layout::MAX_NAME_BYTES - 64;

/// Where the mark of the folder is made: beside the folder that `location` leads to.
#[must_use]
pub fn mark(location: &Path) -> PathBuf {
    let real = real_path(location).unwrap_or_else(|_| location.to_path_buf());
    let beside = real.parent().zip(real.file_name()).map(|(parent, name)| (parent, name.to_string_lossy()));
    match beside {
        Some((parent, name)) if name.len() <= LONGEST => parent.join(format!(".{name}{MARK}")),
        _ => inside(location),
    }
}

fn inside(location: &Path) -> PathBuf {
    location.join(MARK)
}

/// What has the name of the folder's mark, if there is something: no file is no mark, and none is set in its place. One beside a
/// folder that is not there is of a folder that somebody removed.
fn found(location: &Path) -> Option<PathBuf> {
    if !location.is_dir() {
        return None;
    }
    [mark(location), inside(location)].into_iter().find(|path| is_taken(path))
}

/// Whether something has that name, even if it is only a link that leads nowhere.
fn is_taken(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Whether the folder is there and has a mark, or something in the place of one.
#[must_use]
pub fn is_marked(location: &Path) -> bool {
    found(location).is_some()
}

/// Whether a mark cannot be made because of where it would lie.
fn has_no_place(error: &FileError) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem};
    matches!(error.source.kind(), PermissionDenied | ReadOnlyFilesystem | CrossesDevices)
}

/// Moves a mark that an older version made into the folder beside it: it is the same file under another name, so whoever holds
/// it goes on holding it. Where there is no place for it, it stays.
///
/// # Errors
/// When a folder cannot be synced, or the old name not removed.
pub fn move_out(location: &Path) -> Result<()> {
    let (old, new) = (inside(location), mark(location));
    if old == new || !old.is_file() {
        return Ok(());
    }
    if !new.is_file() {
        match durable::link(What::Owner, &old, &new) {
            Ok(()) => {}
            Err(error) if has_no_place(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    sync_around(location)?;
    Own::given(location).tidy(What::Owner, MARK)?;
    Ok(durable::sync_dir(What::Owner, location)?)
}

/// Makes durable what the folder that the mark lies in holds.
fn sync_around(location: &Path) -> Result<(), FileError> {
    match mark(location).parent() {
        Some(parent) if parent != location => match durable::sync_dir(What::Owner, parent) {
            // One that cannot even be opened holds no mark of ours.
            Err(error) if has_no_place(&error) => Ok(()),
            synced => synced,
        },
        _ => Ok(()),
    }
}

/// Forgets the mark beside a folder that is not there: whoever removed the folder has removed the table.
///
/// # Errors
/// When it cannot be removed.
pub(crate) fn forget(location: &Path) -> Result<(), FileError> {
    let mark = mark(location);
    if location.exists() || !mark.is_file() {
        return Ok(());
    }
    if let (Some(beside), Some(name)) = (mark.parent(), mark.file_name()) {
        Own::given(beside).tidy(What::Owner, name)?;
        sync_around(location)?;
    }
    Ok(())
}

/// The owner of a table's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The query's id, as the checkpoint's metadata pin it.
    pub query_id: String,
    /// 1, and one more after each full refresh.
    pub generation: u64,
    /// The pipeline's name, for messages.
    pub pipeline: String,
    /// The table's name, for messages.
    pub table: String,
    /// The checkpoint's folder, absolute: where the query is looked for by a pipeline of the same name.
    pub checkpoint: String,
    /// The name of the machine that wrote the mark; empty in marks of versions that did not say it.
    #[serde(default)]
    pub host: String,
}

impl Owner {
    /// Whether both name the same query in the same generation, wherever its checkpoint is: it may be moved.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.query_id == other.query_id && self.generation == other.generation
    }

    /// Whether both say the same of where the checkpoint is.
    #[must_use]
    pub fn is_at(&self, other: &Self) -> bool {
        self.checkpoint == other.checkpoint && self.host == other.host
    }

    /// Whether the folder holds what stands beside the tables: dead letters, late or quarantined rows. Earlier versions put
    /// them where the folders of a pipeline of that name are now, so that others' may lie in it.
    #[must_use]
    pub fn is_beside(&self) -> bool {
        OutputId::of_mark(&self.table).is_beside()
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "pipeline {} (table {}, query {}, generation {}, checkpoint {})",
            self.pipeline, self.table, self.query_id, self.generation, self.checkpoint
        )
    }
}

/// Looks at the folder. One that is not there has neither owner nor files.
///
/// # Errors
/// When the folder or its mark cannot be read, or it lies inside another table's.
pub fn observe(location: &Path) -> Result<Observed> {
    // Links in the path lead elsewhere: it is the real folders that readers of an outer table walk.
    for outer in real_path(location)?.ancestors().skip(1).filter(|folder| is_marked(folder)) {
        if !may_hold_others(outer) {
            return Err(LakeError::Nested { inner: location.to_path_buf(), outer: outer.to_path_buf() });
        }
    }
    Ok(Observed { owner: read(location)?, example: visible_file(location, location)? })
}

/// For a start without a checkpoint, before metadata are written: stops if the folder has an owner or files. `home` looks at
/// the checkpoint that a mark names.
///
/// # Errors
/// When it has, with the ways out; or when the folder cannot be read.
pub fn check_unowned(location: &Path, pipeline: &str, home: impl Fn(&Owner) -> Home) -> Result<()> {
    let seen = observe(location)?;
    let home = seen.owner.as_ref().map_or(Home::Lost, home);
    decide_unowned(location, &seen, pipeline, home)
}

/// For a full refresh, which deletes nothing of which nobody knows whose it is: stops if the folder has files and no mark.
///
/// # Errors
/// When it has, with the ways out; or when the folder cannot be read.
pub fn check_unmarked(location: &Path) -> Result<()> {
    match observe(location)? {
        Observed { owner: None, example: Some(example) } => {
            Err(LakeError::FilesButNoOwner { location: location.to_path_buf(), example, mark: mark(location) })
        }
        _ => Ok(()),
    }
}

/// Locks the folder's mark until the file is dropped: no other run writes to the table meanwhile, not even one with a
/// copy of the checkpoint, which holds another lock. `None` without a mark.
///
/// # Errors
/// [`LakeError::HeldFolder`] when another run holds it, or the mark cannot be opened.
pub fn hold(location: &Path) -> Result<Option<File>> {
    loop {
        let Some(path) = found(location) else { return Ok(None) };
        let file = match open_regular(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(FileError::new("open", path, e).into()),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LakeError::HeldFolder { location: location.to_path_buf(), mark: path });
            }
            Err(TryLockError::Error(e)) => return Err(FileError::new("lock", path, e).into()),
        }
        // Whoever replaced the mark meanwhile holds the new one, or is about to.
        if is_still(&file, &path)? {
            return Ok(Some(file));
        }
    }
}

/// Whether `path` is the name of the open `file`.
fn is_still(file: &File, path: &Path) -> Result<bool, FileError> {
    let looked = |e| FileError::new("look at", path, e);
    let open = file.metadata().map_err(looked)?;
    match path.metadata() {
        Ok(named) => Ok((open.dev(), open.ino()) == (named.dev(), named.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(looked(e)),
    }
}

/// Makes sure that [`claim`] by `owner` will be taken, or that the folder is its own already. Nothing is changed.
///
/// # Errors
/// As [`claim`].
pub fn check_claim(location: &Path, owner: &Owner) -> Result<()> {
    decide_claim(location, &observe(location)?, owner).map(|_| ())
}

/// Makes `owner` the owner of the folder, durably, or finds that it is. The folder must be there, see
/// [`crate::prepare`], and the checkpoint's metadata durable.
///
/// # Errors
/// When the folder belongs to somebody else, or has files and no mark; or a file operation fails.
pub fn claim(location: &Path, owner: &Owner) -> Result<()> {
    // What is found may not be durable yet: the mark of a run that was killed before it synced the folder.
    durable::sync_dir(What::Owner, location)?;
    sync_around(location)?;
    if decide_claim(location, &observe(location)?, owner)? == Claim::Ours {
        return Ok(());
    }
    let content = encode(location, owner)?;
    let made = match durable::create_if_absent(What::Owner, &mark(location), &content) {
        Err(error) if has_no_place(&error) => durable::create_if_absent(What::Owner, &inside(location), &content),
        made => made,
    };
    match made? {
        Created::New => Ok(()),
        Created::Exists => match decide_claim(location, &observe(location)?, owner)? {
            Claim::Ours => Ok(()),
            // What had the name a moment ago was removed: a table without a mark is nobody's.
            Claim::Mark => Err(FileError::new("create", mark(location), io::ErrorKind::AlreadyExists.into()).into()),
        },
    }
}

/// Makes `owner` the owner of the folder whoever was it before: for a full refresh, after [`clear`]; and for an owner whose
/// checkpoint was moved. The mark is another file then: who holds the old one has to [`hold`] it anew.
///
/// # Errors
/// When the mark cannot be replaced.
pub fn replace(location: &Path, owner: &Owner) -> Result<()> {
    let content = encode(location, owner)?;
    match durable::replace(What::Owner, &mark(location), &content) {
        Err(error) if has_no_place(&error) => durable::replace(What::Owner, &inside(location), &content)?,
        Err(error) => return Err(error.into()),
        // The mark beside counts; that of an older version would be another's word.
        Ok(()) if mark(location) != inside(location) && inside(location).is_file() => {
            Own::given(location).tidy(What::Owner, MARK)?;
            durable::sync_dir(What::Owner, location)?;
        }
        Ok(()) => {}
    }
    Ok(())
}

/// Who owns the folder; `None` without a mark.
///
/// # Errors
/// When the mark cannot be read, is damaged, no file at all, or of a newer version.
pub fn read(location: &Path) -> Result<Option<Owner>> {
    let Some(path) = found(location) else { return Ok(None) };
    let content = match durable::read(What::Owner, &path) {
        Ok(Some(content)) => content,
        Ok(None) if is_taken(&path) => {
            return Err(LakeError::DamagedOwner { path, reason: "it is a link that leads nowhere".to_owned() });
        }
        Ok(None) => return Ok(None),
        Err(error) if is_no_file(&error.source) => {
            return Err(LakeError::DamagedOwner { path, reason: error.source.to_string() });
        }
        Err(error) => return Err(error.into()),
    };
    sealed::unseal(&content).map(Some).map_err(|broken| match broken {
        Broken::Damaged(reason) => LakeError::DamagedOwner { path, reason },
        Broken::Newer { .. } => LakeError::NewerOwner { path, what: broken },
    })
}

fn encode(location: &Path, owner: &Owner) -> Result<Vec<u8>> {
    Ok(sealed::seal(owner).map_err(|e| FileError::new("encode", mark(location), io::Error::other(e)))?)
}

/// The first file below `folder` that readers would see.
fn visible_file(location: &Path, folder: &Path) -> Result<Option<PathBuf>> {
    for entry in durable::list(What::Owner, folder)? {
        if layout::is_hidden(&entry.file_name().to_string_lossy()) {
            continue;
        }
        if !is_folder(&entry)? {
            return Ok(Some(entry.path()));
        }
        if is_of_another(location, &entry.path())? {
            continue;
        }
        if let Some(found) = visible_file(location, &entry.path())? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Whether `folder`, which lies in `outer`, has an owner of its own and may have one there.
fn is_of_another(outer: &Path, folder: &Path) -> Result<bool> {
    if !is_marked(folder) {
        return Ok(false);
    }
    if may_hold_others(outer) {
        return Ok(true);
    }
    Err(LakeError::Nested { inner: folder.to_path_buf(), outer: outer.to_path_buf() })
}

/// Whether folders of other owners may lie in this one. One whose mark cannot be read may not.
pub(crate) fn may_hold_others(folder: &Path) -> bool {
    matches!(read(folder), Ok(Some(owner)) if owner.is_beside())
}
