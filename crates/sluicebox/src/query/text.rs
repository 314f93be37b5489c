//! The text of a query, and what it is called in messages.

use sluicebox_pipeline::diagnostic::{Diagnostic, Diagnostics};

/// A query as it was written.
#[derive(Debug, Clone)]
pub struct Text {
    /// The file that it stands in; `query` for one on the command line or at the prompt.
    pub file: String,
    /// The statements.
    pub sql: String,
}

impl Text {
    /// What is wrong with it, to be drawn.
    pub fn wrong(&self, found: Vec<Diagnostic>) -> Diagnostics {
        Diagnostics::new(self.file.clone(), self.sql.as_str(), found)
    }
}

/// A file that was there when a table was looked at is no more: a compaction exchanged it. The next look sees the others.
#[derive(Debug)]
pub struct Gone(pub String);

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a file was there and is no more: {}", self.0)
    }
}

impl std::error::Error for Gone {}
