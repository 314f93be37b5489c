//! The only way to remove files.
//!
//! The caller gives a folder, and names the file relative to it by plain names. Each folder on the path is checked: a symbolic link stops
//! the removal. So neither an edited record nor a folder that was replaced by a link leads a removal to somebody else's files. The folder
//! that the caller gives may itself be reached by links, since a table or a checkpoint may be on another disk.

use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use super::{FileError, steps};
use crate::fault::What;

/// A folder in which this process may remove what is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own(PathBuf);

impl Own {
    /// The folder `path`, which need not be there. It is not looked at: only what its user was given, or has made, is a
    /// folder of its own.
    #[must_use]
    pub fn given(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder `name` in it; `None` if nothing is there.
    ///
    /// # Errors
    /// When the name leads out of this folder, or it or a folder on the way to it is a link or no folder.
    pub fn folder(&self, name: impl AsRef<Path>) -> Result<Option<Self>, FileError> {
        let mut path = self.0.clone();
        for part in self.parts(name.as_ref())? {
            path.push(part);
            if !is_folder(&path)? {
                return Ok(None);
            }
        }
        Ok(Some(Self(path)))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The entries of the folder by name; none if it is not there.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn list(&self, what: What) -> Result<Vec<DirEntry>, FileError> {
        steps::list(what, &self.0)
    }

    /// Removes the file `name`, a link as such; false if there is none.
    ///
    /// # Errors
    /// As [`Own::folder`] of what is around it; when it cannot be removed.
    pub fn remove(&self, what: What, name: impl AsRef<Path>) -> Result<bool, FileError> {
        steps::remove(what, &self.entry(name.as_ref())?)
    }

    /// Removes the temporary file `name`, one that no record names; false if there is none.
    ///
    /// # Errors
    /// As [`Own::remove`].
    pub fn tidy(&self, what: What, name: impl AsRef<Path>) -> Result<bool, FileError> {
        steps::tidy(what, &self.entry(name.as_ref())?)
    }

    /// Removes the empty folder `name`; false if there is none.
    ///
    /// # Errors
    /// As [`Own::remove`]; when it is not empty.
    pub fn remove_dir(&self, what: What, name: impl AsRef<Path>) -> Result<bool, FileError> {
        steps::remove_dir(what, &self.entry(name.as_ref())?)
    }

    /// Removes the folder `name` with all that is in it, links in it as such; false if there is none. What somebody else
    /// removes meanwhile is gone as well.
    ///
    /// # Errors
    /// As [`Own::folder`]; when something cannot be listed or removed.
    pub fn remove_tree(&self, what: What, name: impl AsRef<Path>) -> Result<bool, FileError> {
        let path = self.entry(name.as_ref())?;
        is_folder(&path)?;
        steps::remove_tree(what, &path)
    }

    /// The path of `name`, when all folders on the way to it are folders.
    fn entry(&self, name: &Path) -> Result<PathBuf, FileError> {
        let parts = self.parts(name)?;
        let mut path = self.0.clone();
        for (at, part) in parts.iter().enumerate() {
            path.push(part);
            // Below what is not there nothing is: the step that follows finds that out.
            if at + 1 < parts.len() && !is_folder(&path)? {
                return Ok(self.0.join(name));
            }
        }
        Ok(path)
    }

    fn parts<'n>(&self, name: &'n Path) -> Result<Vec<&'n OsStr>, FileError> {
        let plain = name.components().map(|part| match part {
            Component::Normal(part) => Some(part),
            _ => None,
        });
        match plain.collect::<Option<Vec<_>>>() {
            Some(parts) if !parts.is_empty() => Ok(parts),
            _ => {
                let why = format!("it is no name of anything in {}", self.0.display());
                Err(FileError::new("remove", name, io::Error::new(ErrorKind::InvalidInput, why)))
            }
        }
    }
}

/// Whether `path` is a folder, and no link to one; false if nothing is there.
fn is_folder(path: &Path) -> Result<bool, FileError> {
    let refused = |why: String| Err(FileError::new("empty", path, io::Error::other(why)));
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => Ok(true),
        Ok(found) if found.is_symlink() => refused(format!(
            "it is a link to {}, and what is behind a link is not deleted. Put the folder itself there, or remove the link \
             (what it leads to stays), and run again",
            fs::read_link(path).unwrap_or_default().display()
        )),
        Ok(_) => refused("it is no folder. Move it away, and run again".to_owned()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(FileError::new("look at", path, e)),
    }
}
