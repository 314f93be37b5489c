//! Publishing: committed files get their final names.
//!
//! [`decide`] says what to do for a file, from what was seen of it. The rest of this module looks and acts.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, FileError, Own};

use crate::error::{LakeError, Result};
use crate::layout;
use crate::staged::{StagedFile, folders_of_all};

/// How closely a staged file is looked at before it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Its size only: for the process that staged it a moment ago.
    Size,
    /// Its content against the manifest's checksum: for a restart.
    Content,
}

/// A file as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// No file of that name.
    Absent,
    /// A file.
    File {
        /// Its size.
        bytes: u64,
        /// The checksum over its content; `None` if the content was not looked at.
        checksum: Option<String>,
    },
}

/// What was seen of one file of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishFacts {
    /// The staged name.
    pub staged: Seen,
    /// The final name.
    pub target: Seen,
}

/// What to do for one file of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishStep {
    /// Link the staged file to its final name.
    Link,
    /// Nothing: it has its name.
    Done,
}

/// Why a file of a manifest cannot be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Another file has the final name.
    Foreign,
    /// Neither name has a file.
    Lost,
    /// The staged file is not what was committed.
    Damaged,
}

/// Decides what to do for `file`. It never replaces: a file at the final name is the committed one or stops the run.
///
/// # Errors
/// The reason why nothing can be done.
pub fn decide(file: &StagedFile, facts: &PublishFacts) -> Result<PublishStep, Refusal> {
    let is_committed = |seen: &Seen, unread: bool| match seen {
        Seen::Absent => false,
        Seen::File { bytes, checksum } => {
            *bytes == file.bytes && checksum.as_ref().map_or(unread, |found| *found == file.checksum)
        }
    };
    match (&facts.staged, &facts.target) {
        (_, target @ Seen::File { .. }) if is_committed(target, false) => Ok(PublishStep::Done),
        (_, Seen::File { .. }) => Err(Refusal::Foreign),
        (Seen::Absent, Seen::Absent) => Err(Refusal::Lost),
        (staged, Seen::Absent) if is_committed(staged, true) => Ok(PublishStep::Link),
        (_, Seen::Absent) => Err(Refusal::Damaged),
    }
}

/// Publishes what one process commits, batch after batch.
#[derive(Debug, Default)]
pub struct Publisher {
    /// The folders that the last call wrote into and those above them, whose own names it left durable.
    known: BTreeSet<PathBuf>,
}

impl Publisher {
    /// Gives the files of a commit's manifest their final names, each below its location. May be repeated, by this process
    /// or any other, at any time after the commit: what is done stays done. When it returns, every name is durable.
    ///
    /// Final folders are made; then staged files are linked to their final names, in the manifest's order; then every
    /// folder that a file was linked into or found in is synced, and every folder above up to the location in which a name
    /// may not be durable yet; then staged names are removed. Until then each file has its staged name, which is durable,
    /// so that nothing is lost with a final folder that is lost.
    ///
    /// # Errors
    /// When another file has a final name, a link is in the place of a final folder, a committed file is lost or damaged, or the
    /// filesystem fails. Nothing is ever replaced.
    pub fn publish(&mut self, manifest: &[(&Path, &[StagedFile])], check: Check) -> Result<()> {
        for (location, files) in manifest {
            refuse_strange_paths(location, files)?;
        }
        let (mut folders, mut sync) = (BTreeSet::new(), BTreeSet::new());
        for (location, files) in manifest {
            for folder in folders_of_all(location, files) {
                let is_new = folder != *location && durable::make_dir(What::Publish, &folder)?;
                // LOCATION may be one. Behind a partition's, rows would be out of the reach of all that keeps them.
                if !is_new && folder != *location && folder.is_symlink() {
                    return Err(LakeError::linked(&folder));
                }
                if folder != *location && (is_new || !self.known.contains(&folder)) {
                    sync.extend(folder.parent().map(Path::to_path_buf));
                }
                folders.insert(folder);
            }
        }
        for (location, file) in files_of(manifest) {
            publish_one(location, file, check)?;
            sync.extend(location.join(&file.target).parent().map(Path::to_path_buf));
        }
        durable::sync_dirs(What::Publish, &sync.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
        self.known = folders;
        for (location, file) in files_of(manifest) {
            // The final name is durable.
            Own::given(location).remove(What::Publish, &file.staged)?;
        }
        Ok(())
    }
}

/// [`Publisher::publish`] of one table's files, once.
///
/// # Errors
/// As there.
pub fn publish(location: &Path, files: &[StagedFile], check: Check) -> Result<()> {
    Publisher::default().publish(&[(location, files)], check)
}

fn files_of<'a>(manifest: &[(&'a Path, &'a [StagedFile])]) -> impl Iterator<Item = (&'a Path, &'a StagedFile)> {
    manifest.iter().flat_map(|(location, files)| files.iter().map(|file| (*location, file)))
}

fn refuse_strange_paths(location: &Path, files: &[StagedFile]) -> Result<()> {
    for file in files {
        for (path, good) in
            [(&file.target, layout::is_target(&file.target)), (&file.staged, layout::is_staged(&file.staged))]
        {
            if !good {
                return Err(LakeError::ManifestPath { location: location.to_path_buf(), path: path.clone() });
            }
        }
    }
    Ok(())
}

fn publish_one(location: &Path, file: &StagedFile, check: Check) -> Result<()> {
    let (staged, target) = (location.join(&file.staged), location.join(&file.target));
    // A second look only after another process was seen to publish the same file.
    for _ in 0..2 {
        let facts = observe(check, |name, check| match name {
            Name::Staged => see(&staged, file, check),
            Name::Target => see(&target, file, check),
        })?;
        match decide(file, &facts).map_err(|refusal| refuse(&refusal, file, &facts, &staged, &target))? {
            PublishStep::Done => return Ok(()),
            PublishStep::Link => {}
        }
        match durable::link(What::Publish, &staged, &target) {
            Ok(()) => return Ok(()),
            Err(e) if matches!(e.source.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) => {}
            Err(e) => return Err(FileError::new("publish", target, e.source).into()),
        }
    }
    let source = io::Error::other("another process moves the same files");
    Err(FileError::new("publish", target, source).into())
}

/// One of a file's two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Staged,
    Target,
}

/// Looks at the staged name first: it goes only after the final name is there, so that of a file that another process
/// publishes meanwhile at least one name is seen.
pub(crate) fn observe(check: Check, look: impl Fn(Name, Check) -> Result<Seen, FileError>) -> Result<PublishFacts> {
    let mut facts =
        PublishFacts { staged: look(Name::Staged, Check::Size)?, target: look(Name::Target, Check::Content)? };
    if check == Check::Content && facts.target == Seen::Absent && facts.staged != Seen::Absent {
        facts.staged = look(Name::Staged, Check::Content)?;
        if facts.staged == Seen::Absent {
            facts.target = look(Name::Target, Check::Content)?;
        }
    }
    Ok(facts)
}

/// Looks at a file; at its content only if `check` asks for it and the size does not already tell.
fn see(path: &Path, file: &StagedFile, check: Check) -> Result<Seen, FileError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Seen::Absent),
        Err(e) => return Err(FileError::new("read", path, e)),
    };
    let bytes = metadata.len();
    if check == Check::Size || bytes != file.bytes || !metadata.is_file() {
        return Ok(Seen::File { bytes, checksum: None });
    }
    match durable::reading(What::Publish, path, || durable::checksum_of(path)) {
        Ok((_, checksum)) => Ok(Seen::File { bytes, checksum: Some(checksum) }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Seen::Absent),
        Err(e) => Err(FileError::new("read", path, e)),
    }
}

fn refuse(refusal: &Refusal, file: &StagedFile, facts: &PublishFacts, staged: &Path, target: &Path) -> LakeError {
    let describe = |seen: &Seen| match seen {
        Seen::Absent => "absent".to_owned(),
        Seen::File { bytes, checksum: None } => format!("{bytes} bytes"),
        Seen::File { bytes, checksum: Some(checksum) } => format!("{bytes} bytes, checksum {checksum}"),
    };
    let committed = format!("{} bytes, checksum {}", file.bytes, file.checksum);
    match refusal {
        Refusal::Foreign => {
            LakeError::ForeignFile { path: target.to_path_buf(), found: describe(&facts.target), committed }
        }
        Refusal::Lost => LakeError::LostFile { path: target.to_path_buf(), staged: staged.to_path_buf() },
        Refusal::Damaged => {
            LakeError::DamagedStagedFile { path: staged.to_path_buf(), found: describe(&facts.staged), committed }
        }
    }
}
