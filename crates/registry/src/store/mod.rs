//! The embedded registry: a folder that any number of processes may use at once, and its API over HTTP.
//!
//! The registry is a sequence of changes, one file each, `<number>.json`, numbered from 1 without gaps. A process decides a change against
//! the state after all earlier changes, and creates its file if absent. If two processes decide at the same time, one gets the number; the
//! other one reads that change and decides again. So each id and version is given once, and compatibility is judged against the versions
//! that exist.
//!
//! Parsing a schema and comparing it with earlier ones takes long, so both run without the lock. The registry acts on the result only if
//! its basis still holds.
//!
//! **A crash** leaves a change as a complete file or not at all, and perhaps a temporary file that nothing reads.

mod compat;
mod error;
mod identity;
mod json;
mod judge;
mod level;
mod list;
mod named;
mod path;
mod request;
mod rest;
mod state;
#[cfg(test)]
mod tests;
mod turns;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use sluicebox_durable::fault::What;
use sluicebox_durable::{self as durable, Created};

use crate::cache::{read_sealed, seal};
use crate::error::SchemaFileError;
use crate::key::{Guid, SchemaKey};
use crate::registry::{PinnedSchema, Reference, Registry, RegistryError, SchemaText};
use crate::schema::AvroSchema;
use identity::{compact, identity};
use judge::{Sent, judge};
use state::{Change, State};

pub use compat::Incompatibility;
pub use error::StoreError;
pub use level::Level;
pub use named::{NewSchema, Registered, VersionName};
pub use rest::{failure, router};

/// The embedded registry.
#[derive(Debug)]
pub struct RegistryStore {
    dir: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    /// Changes that `state` holds.
    applied: u64,
}

/// A schema and where it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaOfKey {
    /// Its id.
    pub id: i32,
    /// Its GUID.
    pub guid: Guid,
    /// Its JSON.
    pub schema: String,
    /// What it refers to directly.
    pub references: Vec<Reference>,
}

const WAY_OUT: &str = "restore the file from a backup, or, if its events are not needed, remove the whole folder";

impl RegistryStore {
    /// The registry in `dir`, which is made if it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made or read, a change is damaged, or one is missing.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, SchemaFileError> {
        let dir = dir.into();
        durable::create_dir_durable(What::Subject, &dir)?;
        let mut inner = Inner::default();
        inner.catch_up(&dir)?;
        let newest = newest_change(&dir)?;
        if newest > inner.applied {
            // Another process may have added changes since; only a gap keeps them from being read.
            inner.catch_up(&dir)?;
            if newest > inner.applied {
                return Err(SchemaFileError::Damaged {
                    path: change_path(&dir, inner.applied + 1),
                    problem: format!("the file is missing, while change {newest} is there"),
                    way_out: WAY_OUT,
                });
            }
        }
        Ok(Self { dir, inner: Mutex::new(inner) })
    }

    /// The same, but that a folder which is not there is made with the first change: who only asks, or may never ask, makes nothing.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn at(dir: impl Into<PathBuf>) -> Result<Self, SchemaFileError> {
        let dir = dir.into();
        if dir.is_dir() { Self::open(dir) } else { Ok(Self { dir, inner: Mutex::default() }) }
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Registers `schema` under `subject`, unless the subject has it already; durable when this returns.
    ///
    /// # Errors
    /// When the schema is not valid, breaks the subject's compatibility level, or refers to what is not there.
    pub fn register(&self, subject: &str, schema: &NewSchema) -> Result<Registered, StoreError> {
        let new = self.read(schema)?;
        new.parsed.check_defaults()?;
        loop {
            if let Some(found) = self.current()?.state.found(subject, &new) {
                return Ok(found);
            }
            let (mut inner, details) = self.judged(subject, &new.parsed, None)?;
            let (answer, change) = inner.state.decide_register(subject, &new, details)?;
            let Some(change) = change else { return Ok(answer) };
            if self.append(&mut inner, change)? {
                return Ok(answer);
            }
        }
    }

    /// Deletes all versions of `subject`; the result is their numbers. Softly first; `permanent` only after that. Ids
    /// stay readable, since events name them.
    ///
    /// # Errors
    /// When there is no such subject, in the wrong order, or when another schema refers to a version.
    pub fn delete_subject(&self, subject: &str, permanent: bool) -> Result<Vec<i32>, StoreError> {
        self.change(|state| {
            let (change, versions) = state.decide_delete_subject(subject, permanent)?;
            Ok((versions, Some(change)))
        })
    }

    /// Deletes one version of `subject`; the result is its number. As [`RegistryStore::delete_subject`].
    ///
    /// # Errors
    /// As [`RegistryStore::delete_subject`].
    pub fn delete_version(&self, subject: &str, version: VersionName, permanent: bool) -> Result<i32, StoreError> {
        self.change(|state| {
            let (change, number) = state.decide_delete_version(subject, version, permanent)?;
            Ok((number, Some(change)))
        })
    }

    /// Sets the level of `subject`, or the global one.
    ///
    /// # Errors
    /// When the change cannot be written.
    pub fn set_level(&self, subject: Option<&str>, level: Level) -> Result<(), StoreError> {
        self.change(|_| Ok(((), Some(Change::SetLevel { subject: subject.map(str::to_owned), level }))))
    }

    /// Forgets the level of `subject`, so that the global one counts, or the global one, so that BACKWARD does. The
    /// result is the level that was set.
    ///
    /// # Errors
    /// When the subject has no level of its own.
    pub fn delete_level(&self, subject: Option<&str>) -> Result<Level, StoreError> {
        self.change(|state| {
            let before = match subject {
                Some(name) => state.subject_level(name).ok_or_else(|| StoreError::NoSubjectLevel(name.to_owned()))?,
                None => state.global_level(),
            };
            Ok((before, Some(Change::DeleteLevel { subject: subject.map(str::to_owned) })))
        })
    }

    /// The level of `subject` alone, if it has one.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn subject_level(&self, subject: &str) -> Result<Option<Level>, StoreError> {
        Ok(self.current()?.state.subject_level(subject))
    }

    /// The level of subjects without one of their own: BACKWARD unless it was set.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn global_level(&self) -> Result<Level, StoreError> {
        Ok(self.current()?.state.global_level())
    }

    /// What would keep `schema` from being registered under `subject`: against one version, or against those that the
    /// level says. Nothing if it may.
    ///
    /// # Errors
    /// When the schema is not valid or the version not there.
    pub fn incompatibilities(
        &self,
        subject: &str,
        schema: &NewSchema,
        against: Option<VersionName>,
    ) -> Result<Vec<String>, StoreError> {
        let new = self.read(schema)?;
        Ok(self.judged(subject, &new.parsed, against)?.1)
    }

    /// The names of subjects, sorted.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn subjects(&self, deleted: bool) -> Result<Vec<String>, StoreError> {
        Ok(self.current()?.state.subjects(deleted))
    }

    /// The numbers of the versions of `subject`, ascending.
    ///
    /// # Errors
    /// When there is no such subject.
    pub fn versions(&self, subject: &str, deleted: bool) -> Result<Vec<i32>, StoreError> {
        self.current()?.state.versions(subject, deleted)
    }

    /// A version of `subject`.
    ///
    /// # Errors
    /// When there is no such subject or version.
    pub fn registered(&self, subject: &str, version: VersionName, deleted: bool) -> Result<Registered, StoreError> {
        self.current()?.state.version(subject, version, deleted)
    }

    /// The version of `subject` that has `schema`.
    ///
    /// # Errors
    /// When there is none.
    pub fn lookup(&self, subject: &str, schema: &NewSchema, deleted: bool) -> Result<Registered, StoreError> {
        // A subject that is not there has no schema: what was sent need not be read, which takes memory.
        self.versions(subject, deleted)?;
        let asked = identity(&compact(&schema.schema)?, &schema.references);
        self.current()?.state.lookup(subject, &asked, deleted)
    }

    /// The schema of an id or GUID.
    ///
    /// # Errors
    /// When there is none.
    pub fn schema(&self, key: SchemaKey) -> Result<SchemaOfKey, StoreError> {
        let inner = self.current()?;
        let (id, stored) = inner.state.stored(key)?;
        Ok(SchemaOfKey { id, guid: stored.guid, schema: stored.schema.clone(), references: stored.references.clone() })
    }

    /// Subjects and versions that have the schema `id`.
    ///
    /// # Errors
    /// When there is no such id.
    pub fn uses(&self, id: i32, deleted: bool) -> Result<Vec<(String, i32)>, StoreError> {
        let inner = self.current()?;
        inner.state.stored(SchemaKey::Id(id))?;
        Ok(inner.state.uses(id, deleted))
    }

    /// Ids of the schemas that refer to a version of `subject`.
    ///
    /// # Errors
    /// When there is no such version.
    pub fn referrers(&self, subject: &str, version: VersionName) -> Result<Vec<i32>, StoreError> {
        let inner = self.current()?;
        let found = inner.state.version(subject, version, true)?;
        Ok(inner.state.referrers(subject, found.version))
    }

    fn text(&self, schema: &str, references: &[Reference]) -> Result<SchemaText, StoreError> {
        self.current()?.state.with_references(schema, references)
    }

    fn pinned(&self, found: Registered) -> Result<PinnedSchema, StoreError> {
        let text = self.text(&found.schema, &found.references)?;
        Ok(PinnedSchema { subject: found.subject, version: found.version, id: found.id, text })
    }

    /// Reads what a client sent. What it refers to is looked up, and everything else is done without the state.
    fn read(&self, new: &NewSchema) -> Result<Sent, StoreError> {
        let schema = compact(&new.schema)?;
        let parsed = AvroSchema::parse(&self.text(&schema, &new.references)?)?;
        let identity = identity(&schema, &new.references);
        Ok(Sent { schema, references: new.references.clone(), identity, parsed })
    }

    /// What keeps `new` from following the versions of `subject`, judged without the state; and the state, in which what it was judged
    /// by still holds.
    fn judged(
        &self,
        subject: &str,
        new: &AvroSchema,
        against: Option<VersionName>,
    ) -> Result<(MutexGuard<'_, Inner>, Vec<String>), StoreError> {
        let mut basis = self.current()?.state.basis(subject, against)?;
        loop {
            // For each version the state is asked anew, so that no other request waits for all of them.
            let details = judge(new, &basis, |id| self.locked().state.text(id));
            let inner = self.current()?;
            let now = inner.state.basis(subject, against)?;
            if now == basis {
                return Ok((inner, details?));
            }
            basis = now;
        }
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state with the changes of other processes.
    fn current(&self) -> Result<MutexGuard<'_, Inner>, SchemaFileError> {
        let mut inner = self.locked();
        inner.catch_up(&self.dir)?;
        Ok(inner)
    }

    /// Decides on the current state what to answer and what to change, until the change is the next one.
    fn change<T>(&self, decide: impl Fn(&State) -> Result<(T, Option<Change>), StoreError>) -> Result<T, StoreError> {
        loop {
            let mut inner = self.current()?;
            let (answer, change) = decide(&inner.state)?;
            let Some(change) = change else { return Ok(answer) };
            if self.append(&mut inner, change)? {
                return Ok(answer);
            }
        }
    }

    /// Makes `change` the next one; false when another process has made one since `inner` caught up.
    fn append(&self, inner: &mut Inner, change: Change) -> Result<bool, StoreError> {
        if inner.applied == 0 {
            durable::create_dir_durable(What::Subject, &self.dir).map_err(SchemaFileError::from)?;
        }
        let path = change_path(&self.dir, inner.applied + 1);
        let created =
            durable::create_if_absent(What::Subject, &path, &seal(&change, &path)?).map_err(SchemaFileError::from)?;
        if created == Created::New {
            inner.state.apply(change);
            inner.applied += 1;
        }
        Ok(created == Created::New)
    }
}

impl Inner {
    fn catch_up(&mut self, dir: &Path) -> Result<(), SchemaFileError> {
        while let Some(change) = read_sealed(What::Subject, &change_path(dir, self.applied + 1), WAY_OUT)? {
            self.state.apply(change);
            self.applied += 1;
        }
        Ok(())
    }
}

fn change_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.json"))
}

/// The highest number of a change's file.
fn newest_change(dir: &Path) -> Result<u64, SchemaFileError> {
    let mut newest = 0;
    for entry in durable::list(What::Subject, dir)? {
        let name = entry.file_name();
        let number = name.to_str().and_then(|n| n.strip_suffix(".json")).and_then(|n| n.parse().ok());
        newest = newest.max(number.unwrap_or(0));
    }
    Ok(newest)
}

#[async_trait]
impl Registry for RegistryStore {
    async fn by_id(&self, id: i32) -> Result<Arc<SchemaText>, RegistryError> {
        let found = self.schema(SchemaKey::Id(id))?;
        Ok(Arc::new(self.text(&found.schema, &found.references)?))
    }

    async fn by_guid(&self, guid: Guid) -> Result<Arc<SchemaText>, RegistryError> {
        let found = self.schema(SchemaKey::Guid(guid))?;
        Ok(Arc::new(self.text(&found.schema, &found.references)?))
    }

    async fn latest(&self, subject: &str) -> Result<PinnedSchema, RegistryError> {
        let found = self.registered(subject, VersionName::Latest, false)?;
        Ok(self.pinned(found)?)
    }

    async fn subjects(&self) -> Result<Vec<String>, RegistryError> {
        Ok(Self::subjects(self, false)?)
    }

    async fn register_schema(&self, subject: &str, schema: &str) -> Result<i32, RegistryError> {
        Ok(self.register(subject, &NewSchema::new(schema))?.id)
    }

    async fn version(&self, subject: &str, version: i32) -> Result<PinnedSchema, RegistryError> {
        let found = self.registered(subject, VersionName::Number(version), true)?;
        Ok(self.pinned(found)?)
    }
}
