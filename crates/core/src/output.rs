//! The outputs of a pipeline by name: tables, and what is written beside them.
//!
//! The text of an [`OutputId`] is part of commits, of compactions and of messages: `table bronze_sales`, `late silver_sales`, `quarantine
//! silver_sales`, `dead letters sales_events`, `reports`, `samples`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Something that a pipeline writes to a folder of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum OutputId {
    /// The rows of a table.
    Table(String),
    /// The late rows of a table.
    Late(String),
    /// The rows of a table that broke an expectation or could not be computed.
    Quarantine(String),
    /// The events of a source that could not become rows.
    DeadLetters(String),
    /// The reports of all batches.
    Reports,
    /// The rows that reports show.
    Samples,
}

/// A text that names no output.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} names no output")]
pub struct UnknownOutput(String);

type Named = fn(String) -> OutputId;

/// What the text of an output begins with that has a name. None of them begins as another does.
const KINDS: [(&str, Named); 4] = [
    ("table ", OutputId::Table),
    ("late ", OutputId::Late),
    ("quarantine ", OutputId::Quarantine),
    ("dead letters ", OutputId::DeadLetters),
];

impl OutputId {
    /// All that is written of one table.
    #[must_use]
    pub fn all_of_table(table: &str) -> [Self; 3] {
        [Self::Table, Self::Late, Self::Quarantine].map(|kind| kind(table.to_owned()))
    }

    /// The table whose rows these are.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        match self {
            Self::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The table whose rows these are, or whose late or quarantined rows.
    #[must_use]
    pub fn of_table(&self) -> Option<&str> {
        match self {
            Self::Table(table) | Self::Late(table) | Self::Quarantine(table) => Some(table),
            Self::DeadLetters(_) | Self::Reports | Self::Samples => None,
        }
    }

    /// Whether it stands beside the tables: dead letters, late or quarantined rows.
    #[must_use]
    pub fn is_beside(&self) -> bool {
        matches!(self, Self::Late(_) | Self::Quarantine(_) | Self::DeadLetters(_))
    }

    /// How the mark of its folder names it: a table by its name alone.
    #[must_use]
    pub fn in_mark(&self) -> String {
        self.table().map_or_else(|| self.to_string(), str::to_owned)
    }

    /// The output that the mark of a folder names so.
    #[must_use]
    pub fn of_mark(text: &str) -> Self {
        let other = text.parse().ok().filter(|output: &Self| output.table().is_none());
        other.unwrap_or_else(|| Self::Table(text.to_owned()))
    }
}

impl fmt::Display for OutputId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(name) => write!(f, "table {name}"),
            Self::Late(name) => write!(f, "late {name}"),
            Self::Quarantine(name) => write!(f, "quarantine {name}"),
            Self::DeadLetters(name) => write!(f, "dead letters {name}"),
            Self::Reports => write!(f, "reports"),
            Self::Samples => write!(f, "samples"),
        }
    }
}

impl FromStr for OutputId {
    type Err = UnknownOutput;

    fn from_str(text: &str) -> Result<Self, UnknownOutput> {
        match text {
            "reports" => return Ok(Self::Reports),
            "samples" => return Ok(Self::Samples),
            _ => {}
        }
        let named = KINDS.iter().find_map(|(kind, named)| text.strip_prefix(kind).map(|name| named(name.to_owned())));
        named.ok_or_else(|| UnknownOutput(text.to_owned()))
    }
}

impl From<OutputId> for String {
    fn from(output: OutputId) -> Self {
        output.to_string()
    }
}

impl TryFrom<String> for OutputId {
    type Error = UnknownOutput;

    fn try_from(text: String) -> Result<Self, UnknownOutput> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    fn all() -> Vec<OutputId> {
        let name = || "a b.c".to_owned();
        let of_table = OutputId::all_of_table("a b.c");
        of_table.into_iter().chain([OutputId::DeadLetters(name()), OutputId::Reports, OutputId::Samples]).collect()
    }

    #[test]
    fn the_text_is_the_one_in_the_records() {
        let texts: Vec<String> = all().iter().map(ToString::to_string).collect();
        let known = ["table a b.c", "late a b.c", "quarantine a b.c", "dead letters a b.c", "reports", "samples"];
        assert_eq!(texts, known);
        for output in all() {
            assert_eq!(output.to_string().parse::<OutputId>(), Ok(output.clone()));
            let json = serde_json::to_string(&output).unwrap();
            assert_eq!(json, format!("\"{output}\""));
            assert_eq!(serde_json::from_str::<OutputId>(&json).unwrap(), output);
        }
    }

    #[test]
    fn what_names_no_output_is_refused() {
        for text in ["", "t", "tables t", "Table t", "reports t"] {
            assert_eq!(text.parse::<OutputId>(), Err(UnknownOutput(text.to_owned())));
            assert!(serde_json::from_str::<OutputId>(&format!("{text:?}")).is_err(), "{text}");
        }
    }

    #[test]
    fn marks_name_tables_by_their_name_alone() {
        let marks: Vec<String> = all().iter().map(OutputId::in_mark).collect();
        assert_eq!(marks, ["a b.c", "late a b.c", "quarantine a b.c", "dead letters a b.c", "reports", "samples"]);
        for (output, mark) in all().into_iter().zip(marks) {
            assert_eq!(OutputId::of_mark(&mark), output);
        }
        assert_eq!(OutputId::of_mark("table t"), OutputId::Table("table t".to_owned()));
    }
}
