//! The types of the clients' requests and of the answers.

use crate::key::Guid;
use crate::registry::Reference;
use crate::store::error::StoreError;

/// A schema as a client sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSchema {
    /// Its JSON.
    pub schema: String,
    /// What it refers to directly.
    pub references: Vec<Reference>,
}

impl NewSchema {
    /// A schema that refers to no other.
    pub fn new(schema: impl Into<String>) -> Self {
        Self { schema: schema.into(), references: Vec::new() }
    }
}

/// A version of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The subject.
    pub subject: String,
    /// The version, from 1.
    pub version: i32,
    /// The schema's id, the same under every subject.
    pub id: i32,
    /// The schema's GUID.
    pub guid: Guid,
    /// The schema's JSON without needless white space.
    pub schema: String,
    /// What it refers to directly.
    pub references: Vec<Reference>,
}

/// Which versions a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionName {
    /// The newest that is not deleted.
    Latest,
    /// The one of this number.
    Number(i32),
}

impl std::str::FromStr for VersionName {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        match (text, text.parse()) {
            ("latest" | "-1", _) => Ok(Self::Latest),
            (_, Ok(number)) if number >= 1 => Ok(Self::Number(number)),
            _ => Err(StoreError::InvalidVersion(text.to_owned())),
        }
    }
}

impl std::fmt::Display for VersionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}
