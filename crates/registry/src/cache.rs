//! The schema cache in the checkpoint. A restart or a replay reads it and needs no registry.
//!
//! One file a schema, `id-<n>.json` or `guid-<uuid>.json`, created once and never changed, since an id never changes its meaning. A crash
//! leaves a complete file or none.

use std::path::{Path, PathBuf};

use serde::Serialize;
use sluicebox_durable::fault::What;
use sluicebox_durable::sealed::{self, Broken};
use sluicebox_durable::{self as durable, FileError, Own};

use crate::error::SchemaFileError;
use crate::key::SchemaKey;
use crate::registry::SchemaText;

/// A folder of schemas by id or GUID.
#[derive(Debug, Clone)]
pub struct SchemaCache {
    dir: PathBuf,
}

impl SchemaCache {
    /// The cache in `dir`, which need not be there: the first schema that is put makes it. Leftovers of a crash are swept.
    ///
    /// # Errors
    /// When the folder cannot be swept.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, SchemaFileError> {
        let dir = dir.into();
        durable::sweep_temporaries(What::Schema, &Own::given(&dir))?;
        Ok(Self { dir })
    }

    /// The cache in `dir` for whoever only looks: nothing is swept.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The schema of `key`, or `None` if it was never put.
    ///
    /// # Errors
    /// When its file cannot be read, or is not as it was written.
    pub fn get(&self, key: SchemaKey) -> Result<Option<SchemaText>, SchemaFileError> {
        read_sealed(What::Schema, &self.path(key), WAY_OUT)
    }

    /// All schemas that were put, with the id or GUID of each, as the names of the files have it. A look from outside, which
    /// passes over what it cannot read.
    #[must_use]
    pub fn all(&self) -> Vec<(String, SchemaText)> {
        let entries = durable::list(What::Schema, &self.dir).unwrap_or_default();
        let mut found = Vec::with_capacity(entries.len());
        for path in entries.iter().map(std::fs::DirEntry::path) {
            let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if let Ok(Some(text)) = read_sealed(What::Schema, &path, WAY_OUT) {
                found.push((name, text));
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    /// Keeps `text` as the schema of `key`, durable when this returns. What was put first stays.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put(&self, key: SchemaKey, text: &SchemaText) -> Result<(), SchemaFileError> {
        durable::create_dir_durable(What::Schema, &self.dir)?;
        durable::create_if_absent(What::Schema, &self.path(key), &seal(text, &self.path(key))?)?;
        Ok(())
    }

    fn path(&self, key: SchemaKey) -> PathBuf {
        self.dir.join(match key {
            SchemaKey::Id(id) => format!("id-{id}.json"),
            SchemaKey::Guid(guid) => format!("guid-{guid}.json"),
        })
    }
}

const WAY_OUT: &str = "remove the file while the schema registry can be reached, and the schema is fetched again";

/// `content` as the bytes of a file that can tell whether it is whole.
pub(crate) fn seal<T: Serialize>(content: &T, path: &Path) -> Result<Vec<u8>, SchemaFileError> {
    Ok(sealed::seal(content).map_err(|e| FileError::new("write", path, e.into()))?)
}

/// The content of the sealed file `path`, or `None` if there is no such file.
pub(crate) fn read_sealed<T: serde::de::DeserializeOwned>(
    what: What,
    path: &Path,
    way_out: &'static str,
) -> Result<Option<T>, SchemaFileError> {
    let Some(bytes) = durable::read(what, path)? else { return Ok(None) };
    sealed::unseal(&bytes).map(Some).map_err(|broken| match broken {
        Broken::Damaged(problem) => SchemaFileError::Damaged { path: path.to_owned(), problem, way_out },
        Broken::Newer { .. } => SchemaFileError::Newer { path: path.to_owned(), what: broken },
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;
    use crate::registry::{Reference, ReferencedText};

    #[test]
    fn what_was_put_is_there_after_a_restart_and_the_first_stays() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        let cache = SchemaCache::open(&folder).unwrap();
        let reference = Reference { name: "a.B".into(), subject: "b".into(), version: 1 };
        let text = SchemaText {
            schema: "\"a.B\"".into(),
            references: vec![ReferencedText { reference, schema: "{}".into() }],
        };
        cache.put(SchemaKey::Id(7), &text).unwrap();
        cache.put(SchemaKey::Id(7), &SchemaText::new("\"int\"")).unwrap();
        let again = SchemaCache::open(&folder).unwrap();
        assert_eq!(again.get(SchemaKey::Id(7)).unwrap(), Some(text));
        assert_eq!(again.get(SchemaKey::Id(8)).unwrap(), None);
    }

    #[test]
    fn a_damaged_file_is_named_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let cache = SchemaCache::open(dir.path()).unwrap();
        cache.put(SchemaKey::Id(7), &SchemaText::new("\"int\"")).unwrap();
        let path = dir.path().join("id-7.json");
        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for damaged in [&whole[..whole.len() - 1], &whole[..3], &flipped] {
            std::fs::write(&path, damaged).unwrap();
            let error = cache.get(SchemaKey::Id(7)).unwrap_err().to_string();
            assert!(error.contains("id-7.json") && error.contains("remove the file"), "{error}");
        }
        std::fs::write(&path, "v9 of tomorrow\n{}\n").unwrap();
        let error = cache.get(SchemaKey::Id(7)).unwrap_err().to_string();
        assert!(error.contains("id-7.json") && error.contains("newer Sluicebox"), "{error}");
    }
}
