//! Kinds of sources and of tables, and formats of events, by their names: what the text of a pipeline may say of each.

use std::fmt;

use arrow::datatypes::DataType;
use sluicebox_core::words::OptionDef;
pub use sluicebox_core::words::{ColumnsFrom, FormatWords};

/// What a kind of source is called, and which options it alone takes.
///
/// Those of every source come by themselves: how values and keys are encoded, where the registry is, `maxOffsetsPerTrigger`,
/// `includeHeaders`, `dead.letters.max.ratio`, `idleTimeout` and `maxFuture`.
#[derive(Debug)]
pub struct SourceWords {
    /// Its name after `USING`, in lower case.
    pub name: &'static str,
    /// Its own options.
    pub options: &'static [OptionDef],
}

/// A kind of source, by its name.
#[derive(Clone, Copy)]
pub struct SourceKind(&'static SourceWords);

impl SourceKind {
    /// The one that `words` are about.
    #[must_use]
    pub const fn new(words: &'static SourceWords) -> Self {
        Self(words)
    }

    /// As it is written after `USING`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// What the text of a pipeline may say of it.
    #[must_use]
    pub const fn words(self) -> &'static SourceWords {
        self.0
    }
}

/// By the name, which each has alone.
impl PartialEq for SourceKind {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for SourceKind {}

impl fmt::Debug for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a kind of table is called whose rows go neither to files nor to Kafka, and which properties it takes beside `on.error`.
#[derive(Debug)]
pub struct TableWords {
    /// Its name after `USING`, in lower case.
    pub name: &'static str,
    /// Its own properties; their names are in lower case.
    pub properties: &'static [OptionDef],
}

/// A kind of table, by its name.
#[derive(Clone, Copy)]
pub struct TableKind(&'static TableWords);

impl TableKind {
    /// The one that `words` are about.
    #[must_use]
    pub const fn new(words: &'static TableWords) -> Self {
        Self(words)
    }

    /// As it is written after `USING`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// What the text of a pipeline may say of it.
    #[must_use]
    pub const fn words(self) -> &'static TableWords {
        self.0
    }
}

/// By the name, which each has alone.
impl PartialEq for TableKind {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for TableKind {}

impl fmt::Debug for TableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How values, or keys, are encoded: one of the formats that there are, by its name.
#[derive(Clone, Copy)]
pub struct ValueFormat(&'static FormatWords);

impl ValueFormat {
    /// The one that `words` are about.
    #[must_use]
    pub const fn new(words: &'static FormatWords) -> Self {
        Self(words)
    }

    /// Its name, as the options take it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// What the text of a pipeline may say of it.
    #[must_use]
    pub const fn words(self) -> &'static FormatWords {
        self.0
    }

    /// The type of the one column that it gives, if it gives one.
    #[must_use]
    pub fn single(self) -> Option<DataType> {
        match &self.0.columns {
            ColumnsFrom::Format(single) => Some(single.clone()),
            ColumnsFrom::Registry | ColumnsFrom::List => None,
        }
    }
}

/// By the name, which each has alone.
impl PartialEq for ValueFormat {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for ValueFormat {}

impl fmt::Debug for ValueFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
