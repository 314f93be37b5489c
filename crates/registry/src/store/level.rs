//! Compatibility levels: which schemas must be able to read which.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::schema::AvroSchema;
use crate::store::compat::{Incompatibility, Work, incompatibilities};
use crate::store::error::StoreError;

/// Which earlier versions a new version of a subject must be compatible with, and in which direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// Anything goes.
    None,
    /// The new schema reads what the latest version wrote: upgrade consumers first.
    Backward,
    /// The new schema reads what every version wrote.
    BackwardTransitive,
    /// The latest version reads what the new schema writes: upgrade producers first.
    Forward,
    /// Every version reads what the new schema writes.
    ForwardTransitive,
    /// Backward and forward.
    Full,
    /// Backward and forward, with every version.
    FullTransitive,
}

impl Level {
    const ALL: [(Self, &'static str); 7] = [
        (Self::None, "NONE"),
        (Self::Backward, "BACKWARD"),
        (Self::BackwardTransitive, "BACKWARD_TRANSITIVE"),
        (Self::Forward, "FORWARD"),
        (Self::ForwardTransitive, "FORWARD_TRANSITIVE"),
        (Self::Full, "FULL"),
        (Self::FullTransitive, "FULL_TRANSITIVE"),
    ];

    /// The level's name in the REST API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(level, _)| *level == self).map_or("NONE", |(_, name)| name)
    }

    /// Whether all versions count, not only the latest.
    #[must_use]
    pub fn transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }

    fn backward(self) -> bool {
        matches!(self, Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive)
    }

    fn forward(self) -> bool {
        matches!(self, Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// What keeps `new` from following `old`, each direction's first hundred problems; nothing if it may.
    #[must_use]
    pub fn problems(self, new: &AvroSchema, old: &AvroSchema) -> Vec<Incompatibility> {
        self.problems_within(new, old, &mut Work::default())
    }

    /// [`Level::problems`], of which `work` is taken. Where there is not enough left, that is a problem.
    pub(super) fn problems_within(self, new: &AvroSchema, old: &AvroSchema, work: &mut Work) -> Vec<Incompatibility> {
        let mut problems = Vec::new();
        if self.backward() {
            problems.extend(incompatibilities(new, old, ("new", "old"), work));
        }
        if self.forward() {
            problems.extend(incompatibilities(old, new, ("old", "new"), work));
        }
        problems
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        Self::ALL
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(text))
            .map(|(level, _)| *level)
            .ok_or_else(|| StoreError::InvalidLevel(text.to_owned()))
    }
}
