//! The scope of an id. A backfill has sources, operators and clauses of its own. They have the same names as those of the running pipeline,
//! and the scope tells them apart.
//!
//! An id is written as its name in the running pipeline, and as `backfill-<n>.<name>` in the backfill of pipeline `n`. The text is part of
//! checkpoints.

/// To what an id belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The living pipeline.
    Live,
    /// What fills tables, of the pipeline of this number.
    Backfill(u64),
}

/// What the text of an id in a backfill begins with, before the number.
const BACKFILL: &str = "backfill-";

impl Scope {
    /// The scope of `id`, and the name that it has there.
    #[must_use]
    pub fn split(id: &str) -> (Self, &str) {
        let backfill = || {
            let (number, name) = id.strip_prefix(BACKFILL)?.split_once('.')?;
            // No other text than the one that was written.
            let written = number.parse::<u64>().ok().filter(|n| n.to_string() == number)?;
            Some((Self::Backfill(written), name))
        };
        backfill().unwrap_or((Self::Live, id))
    }

    /// The scope of `id`.
    #[must_use]
    pub fn of(id: &str) -> Self {
        Self::split(id).0
    }

    /// The name that `id` has in its scope.
    #[must_use]
    pub fn name_of(id: &str) -> &str {
        Self::split(id).1
    }

    /// The id of `name` in this scope.
    #[must_use]
    pub fn id(self, name: &str) -> String {
        match self {
            Self::Live => name.to_owned(),
            Self::Backfill(number) => format!("{BACKFILL}{number}.{name}"),
        }
    }

    /// Whether this is the living pipeline.
    #[must_use]
    pub fn is_live(self) -> bool {
        self == Self::Live
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_their_scope_and_their_name() {
        for (scope, name, id) in [
            (Scope::Live, "orders", "orders"),
            (Scope::Live, "silver.dedup.0", "silver.dedup.0"),
            (Scope::Backfill(4), "orders", "backfill-4.orders"),
            (Scope::Backfill(12), "a.b", "backfill-12.a.b"),
            (Scope::Backfill(u64::MAX), "a", "backfill-18446744073709551615.a"),
        ] {
            assert_eq!(scope.id(name), id);
            assert_eq!(Scope::split(id), (scope, name));
            assert_eq!((Scope::of(id), Scope::name_of(id)), (scope, name));
        }
    }

    #[test]
    fn what_no_backfill_is_called_is_a_name_of_the_living_pipeline() {
        for id in ["backfill-x.a", "backfill-.a", "backfill-4", "backfill-04.a", "backfill-+4.a", "xbackfill-4.a", ""] {
            assert_eq!(Scope::split(id), (Scope::Live, id));
        }
    }
}
