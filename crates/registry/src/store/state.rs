//! The contents of the registry, and the pure decisions over them: from the state and a request to the next change.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::key::{Guid, SchemaKey};
use crate::references::ReferenceWalk;
use crate::registry::{Reference, SchemaText};
use crate::schema::SchemaError;
use crate::store::error::StoreError;
use crate::store::identity::{guid_of, identity};
use crate::store::judge::{Basis, Sent};
use crate::store::level::Level;
use crate::store::named::{Registered, VersionName};

/// A change of the state; the registry is the sequence of its changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(crate) enum Change {
    Register { subject: String, version: i32, id: i32, schema: String, references: Vec<Reference> },
    DeleteVersion { subject: String, version: i32, permanent: bool },
    DeleteSubject { subject: String, permanent: bool },
    SetLevel { subject: Option<String>, level: Level },
    DeleteLevel { subject: Option<String> },
}

/// A schema that was once registered. It stays for ever, whatever becomes of its versions: events still name it.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) schema: String,
    pub(crate) references: Vec<Reference>,
    pub(crate) guid: Guid,
}

#[derive(Debug, Clone, Copy)]
struct Version {
    id: i32,
    deleted: bool,
}

#[derive(Debug, Default)]
struct Subject {
    versions: BTreeMap<i32, Version>,
    /// The highest version there ever was: numbers are never used again.
    highest: i32,
}

impl Subject {
    fn live(&self) -> impl DoubleEndedIterator<Item = (i32, i32)> {
        self.versions.iter().filter(|(_, v)| !v.deleted).map(|(number, v)| (*number, v.id))
    }
}

/// Everything the registry holds.
#[derive(Debug, Default)]
pub(crate) struct State {
    schemas: BTreeMap<i32, Stored>,
    /// Ids by what makes two schemas the same.
    by_identity: HashMap<String, i32>,
    by_guid: HashMap<Guid, i32>,
    subjects: BTreeMap<String, Subject>,
    /// The schemas that refer to a version of a subject.
    referrers: BTreeMap<String, BTreeMap<i32, BTreeSet<i32>>>,
    global_level: Option<Level>,
    levels: BTreeMap<String, Level>,
}

impl State {
    /// Makes `change` part of the state. Every change was decided against the state before it.
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Register { subject, version, id, schema, references } => {
                let identity = identity(&schema, &references);
                let guid = guid_of(&identity);
                self.by_identity.entry(identity).or_insert(id);
                self.by_guid.entry(guid).or_insert(id);
                if let Entry::Vacant(new) = self.schemas.entry(id) {
                    for reference in &references {
                        let of_subject = self.referrers.entry(reference.subject.clone()).or_default();
                        of_subject.entry(reference.version).or_default().insert(id);
                    }
                    new.insert(Stored { schema, references, guid });
                }
                let entry = self.subjects.entry(subject).or_default();
                entry.versions.insert(version, Version { id, deleted: false });
                entry.highest = entry.highest.max(version);
            }
            Change::DeleteVersion { subject, version, permanent } => {
                if let Some(entry) = self.subjects.get_mut(&subject) {
                    if permanent {
                        entry.versions.remove(&version);
                    } else if let Some(version) = entry.versions.get_mut(&version) {
                        version.deleted = true;
                    }
                }
            }
            Change::DeleteSubject { subject, permanent } => {
                self.levels.remove(&subject);
                if let Some(entry) = self.subjects.get_mut(&subject) {
                    if permanent {
                        entry.versions.clear();
                    } else {
                        entry.versions.values_mut().for_each(|v| v.deleted = true);
                    }
                }
            }
            Change::SetLevel { subject: Some(subject), level } => drop(self.levels.insert(subject, level)),
            Change::SetLevel { subject: None, level } => self.global_level = Some(level),
            Change::DeleteLevel { subject: Some(subject) } => drop(self.levels.remove(&subject)),
            Change::DeleteLevel { subject: None } => self.global_level = None,
        }
    }

    /// The version of `subject` that `new` is, if it is one.
    pub(crate) fn found(&self, subject: &str, new: &Sent) -> Option<Registered> {
        self.by_identity.get(&new.identity).and_then(|id| self.version_of(subject, *id, false))
    }

    /// What `new` is registered as, and the change that makes it so, unless the subject has it already. `details` is what
    /// keeps it from that, judged on the basis that holds now.
    pub(crate) fn decide_register(
        &self,
        subject: &str,
        new: &Sent,
        details: Vec<String>,
    ) -> Result<(Registered, Option<Change>), StoreError> {
        if let Some(found) = self.found(subject, new) {
            return Ok((found, None));
        }
        if !details.is_empty() {
            return Err(StoreError::Incompatible { subject: subject.to_owned(), details });
        }
        // What it refers to may have been deleted since it was read.
        self.with_references(&new.schema, &new.references)?;
        let known = self.by_identity.get(&new.identity).copied();
        let subject = subject.to_owned();
        let version = self.subjects.get(&subject).map_or(0, |s| s.highest) + 1;
        let next_id = self.schemas.last_key_value().map_or(0, |(id, _)| *id) + 1;
        let (id, guid) = (known.unwrap_or(next_id), guid_of(&new.identity));
        let (schema, references) = (new.schema.clone(), new.references.clone());
        let change = Change::Register {
            subject: subject.clone(),
            version,
            id,
            schema: schema.clone(),
            references: references.clone(),
        };
        Ok((Registered { subject, version, id, guid, schema, references }, Some(change)))
    }

    pub(crate) fn decide_delete_subject(
        &self,
        subject: &str,
        permanent: bool,
    ) -> Result<(Change, Vec<i32>), StoreError> {
        let entry = self.existing(subject)?;
        let live: Vec<i32> = entry.live().map(|(number, _)| number).collect();
        if permanent && !live.is_empty() {
            return Err(StoreError::SubjectNotSoftDeleted(subject.to_owned()));
        }
        if !permanent && live.is_empty() {
            return Err(StoreError::SubjectSoftDeleted(subject.to_owned()));
        }
        let versions: Vec<i32> = if permanent { entry.versions.keys().copied().collect() } else { live };
        let live = self.live();
        if let Some(version) = versions.iter().find(|v| self.referrers_among(&live, subject, **v).next().is_some()) {
            return Err(StoreError::ReferenceExists { subject: subject.to_owned(), version: *version });
        }
        Ok((Change::DeleteSubject { subject: subject.to_owned(), permanent }, versions))
    }

    pub(crate) fn decide_delete_version(
        &self,
        subject: &str,
        name: VersionName,
        permanent: bool,
    ) -> Result<(Change, i32), StoreError> {
        let entry = self.existing(subject)?;
        let not_found = || StoreError::VersionNotFound { subject: subject.to_owned(), version: name.to_string() };
        let version = match name {
            VersionName::Number(number) => number,
            VersionName::Latest => entry.live().next_back().ok_or_else(not_found)?.0,
        };
        let subject = subject.to_owned();
        match (entry.versions.get(&version).ok_or_else(not_found)?.deleted, permanent) {
            (true, false) => return Err(StoreError::VersionSoftDeleted { subject, version }),
            (false, true) => return Err(StoreError::VersionNotSoftDeleted { subject, version }),
            _ => {}
        }
        if !self.referrers(&subject, version).is_empty() {
            return Err(StoreError::ReferenceExists { subject, version });
        }
        Ok((Change::DeleteVersion { subject, version, permanent }, version))
    }

    /// What a new schema of `subject` is judged by: `against` names one version, else the level says which.
    pub(crate) fn basis(&self, subject: &str, against: Option<VersionName>) -> Result<Basis, StoreError> {
        let level = self.level(subject);
        let mut versions: Vec<(i32, i32)> = match against {
            Some(name) => {
                let found = self.version(subject, name, false)?;
                vec![(found.version, found.id)]
            }
            None => self.subjects.get(subject).map(|s| s.live().collect()).unwrap_or_default(),
        };
        versions.reverse();
        match level {
            Level::None => versions.clear(),
            level if !level.transitive() => versions.truncate(1),
            _ => {}
        }
        Ok(Basis { level, versions })
    }

    /// The schema of an id with the texts of everything that it refers to; `None` if there is no such id.
    pub(crate) fn text(&self, id: i32) -> Result<Option<SchemaText>, StoreError> {
        self.schemas.get(&id).map(|stored| self.with_references(&stored.schema, &stored.references)).transpose()
    }

    /// `schema` with the texts of everything that `references` name.
    pub(crate) fn with_references(&self, schema: &str, references: &[Reference]) -> Result<SchemaText, StoreError> {
        let mut walk = ReferenceWalk::new(references.to_vec());
        let too_many = |problem| SchemaError::new("the references", problem);
        while let Some(reference) = walk.next().map_err(too_many)? {
            let stored = self
                .subjects
                .get(&reference.subject)
                .and_then(|s| s.versions.get(&reference.version))
                .and_then(|v| self.schemas.get(&v.id))
                .ok_or_else(|| StoreError::UnknownReference {
                    name: reference.name.clone(),
                    subject: reference.subject.clone(),
                    version: reference.version,
                })?;
            walk.supply(reference, stored.schema.clone(), stored.references.clone());
        }
        Ok(SchemaText { schema: schema.to_owned(), references: walk.finish() })
    }

    pub(crate) fn level(&self, subject: &str) -> Level {
        self.levels.get(subject).copied().unwrap_or(self.global_level())
    }

    pub(crate) fn subject_level(&self, subject: &str) -> Option<Level> {
        self.levels.get(subject).copied()
    }

    /// BACKWARD unless it was set.
    pub(crate) fn global_level(&self) -> Level {
        self.global_level.unwrap_or(Level::Backward)
    }

    pub(crate) fn subjects(&self, deleted: bool) -> Vec<String> {
        let has = |s: &Subject| if deleted { !s.versions.is_empty() } else { s.live().next().is_some() };
        self.subjects.iter().filter(|(_, s)| has(s)).map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn versions(&self, subject: &str, deleted: bool) -> Result<Vec<i32>, StoreError> {
        let entry = self.existing(subject)?;
        let numbers: Vec<i32> =
            entry.versions.iter().filter(|(_, v)| deleted || !v.deleted).map(|(number, _)| *number).collect();
        if numbers.is_empty() { Err(StoreError::SubjectNotFound(subject.to_owned())) } else { Ok(numbers) }
    }

    pub(crate) fn version(&self, subject: &str, name: VersionName, deleted: bool) -> Result<Registered, StoreError> {
        let numbers = self.versions(subject, deleted)?;
        let number = match name {
            VersionName::Latest => numbers.last().copied(),
            VersionName::Number(number) => numbers.contains(&number).then_some(number),
        };
        number
            .and_then(|number| self.registered(subject, number))
            .ok_or_else(|| StoreError::VersionNotFound { subject: subject.to_owned(), version: name.to_string() })
    }

    /// The version of `subject` whose schema has `identity`.
    pub(crate) fn lookup(&self, subject: &str, identity: &str, deleted: bool) -> Result<Registered, StoreError> {
        self.by_identity
            .get(identity)
            .and_then(|id| self.version_of(subject, *id, deleted))
            .ok_or_else(|| StoreError::SchemaNotFound(subject.to_owned()))
    }

    pub(crate) fn stored(&self, key: SchemaKey) -> Result<(i32, &Stored), StoreError> {
        let id = match key {
            SchemaKey::Id(id) => Some(id),
            SchemaKey::Guid(guid) => self.by_guid.get(&guid).copied(),
        };
        id.and_then(|id| self.schemas.get(&id).map(|stored| (id, stored))).ok_or(StoreError::KeyNotFound(key))
    }

    /// Subjects and versions that have the schema `id`.
    pub(crate) fn uses(&self, id: i32, deleted: bool) -> Vec<(String, i32)> {
        let mut uses = Vec::new();
        for (name, subject) in &self.subjects {
            let of_id = subject.versions.iter().filter(|(_, v)| v.id == id && (deleted || !v.deleted));
            uses.extend(of_id.map(|(number, _)| (name.clone(), *number)));
        }
        uses
    }

    /// Ids of the schemas that refer to a version and have a version that is not deleted.
    pub(crate) fn referrers(&self, subject: &str, version: i32) -> Vec<i32> {
        self.referrers_among(&self.live(), subject, version).collect()
    }

    fn referrers_among<'a>(
        &'a self,
        live: &'a HashSet<i32>,
        subject: &str,
        version: i32,
    ) -> impl Iterator<Item = i32> + use<'a> {
        let all = self.referrers.get(subject).and_then(|of| of.get(&version));
        all.into_iter().flatten().copied().filter(move |id| live.contains(id))
    }

    /// Ids of the schemas that have a version that is not deleted.
    fn live(&self) -> HashSet<i32> {
        self.subjects.values().flat_map(|s| s.live().map(|(_, id)| id)).collect()
    }

    /// Versions of the subjects whose names begin with `prefix`, by subject and number, from the one behind `last` on: each with its id and
    /// its schema.
    pub(crate) fn versions_after<'a>(
        &'a self,
        last: Option<&'a (String, i32)>,
        prefix: &'a str,
        deleted: bool,
    ) -> impl Iterator<Item = (&'a str, i32, i32, &'a Stored)> {
        let from = last.map_or(prefix, |(subject, _)| subject.as_str());
        let subjects = self.subjects.range::<str, _>((Bound::Included(from), Bound::Unbounded));
        subjects.take_while(move |(name, _)| name.starts_with(prefix)).flat_map(move |(name, subject)| {
            let told =
                last.filter(|(of, _)| of == name).map_or(Bound::Unbounded, |(_, number)| Bound::Excluded(*number));
            let versions = subject.versions.range((told, Bound::Unbounded));
            let versions = versions.filter(move |(_, v)| deleted || !v.deleted);
            versions.filter_map(move |(number, v)| Some((name.as_str(), *number, v.id, self.schemas.get(&v.id)?)))
        })
    }

    fn existing(&self, subject: &str) -> Result<&Subject, StoreError> {
        self.subjects
            .get(subject)
            .filter(|s| !s.versions.is_empty())
            .ok_or_else(|| StoreError::SubjectNotFound(subject.to_owned()))
    }

    fn version_of(&self, subject: &str, id: i32, deleted: bool) -> Option<Registered> {
        let versions = &self.subjects.get(subject)?.versions;
        let number = versions.iter().rev().find(|(_, v)| v.id == id && (deleted || !v.deleted))?.0;
        self.registered(subject, *number)
    }

    pub(crate) fn registered(&self, subject: &str, version: i32) -> Option<Registered> {
        let id = self.subjects.get(subject)?.versions.get(&version)?.id;
        let stored = self.schemas.get(&id)?;
        Some(Registered {
            subject: subject.to_owned(),
            version,
            id,
            guid: stored.guid,
            schema: stored.schema.clone(),
            references: stored.references.clone(),
        })
    }
}
