//! The names that a program may add to the language: kinds of sources and of tables, and formats of events.
//!
//! The parser looks names and options up here, so that it can show a mistake at its place, with the names that exist. It does not know who
//! reads a source or a format, or who writes a table.

use sluicebox_core::nearest::nearest;
use thiserror::Error;

use crate::kinds::{FormatWords, SourceKind, SourceWords, TableKind, TableWords, ValueFormat};
use crate::options::{self, OF_EVENTS, OF_ROWS};
use crate::settings::tables::{is_of_clients, is_property};
use crate::values::{self, OptionDef, ValueType, listed};

/// Why a name is not taken into a vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WordError {
    /// Something of this kind has the name.
    #[error("there is {what} `{name}` already; give it another name")]
    Taken {
        /// What it would be: `a kind of source`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The text of a pipeline could not name it.
    #[error("{what} cannot be called `{name}`: write lower-case letters, digits and _, and begin with a letter")]
    NoName {
        /// What it would be.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// An option of a format that does not say whose it is.
    #[error("the option `{option}` of the format `{format}` does not begin with `{format}.`")]
    OtherOption {
        /// The format.
        format: String,
        /// The option.
        option: String,
    },
}

/// The kinds of sources and of tables, and the formats of events, that a pipeline may name.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    sources: Vec<SourceKind>,
    formats: Vec<ValueFormat>,
    tables: Vec<TableKind>,
}

/// Those that every pipeline has: sources of Kafka, the formats `avro`, `json`, `text` and `binary`, and no tables but those of files and of
/// Kafka.
impl Default for Vocabulary {
    fn default() -> Self {
        Self { sources: vec![SourceKind::KAFKA], formats: ValueFormat::STANDARD.to_vec(), tables: Vec::new() }
    }
}

impl Vocabulary {
    /// Adds a kind of source.
    ///
    /// # Errors
    /// When its name or one of its options is another's, or the name is none.
    pub fn add_source(&mut self, words: &'static SourceWords) -> Result<(), WordError> {
        const WHAT: &str = "a kind of source";
        named(WHAT, words.name, self.source(words.name).is_some())?;
        for option in words.options {
            let mut of_formats = self.formats.iter().flat_map(|format| format.words().options);
            let is_taken =
                options::is_of_all(option.name) || of_formats.any(|other| other.name.eq_ignore_ascii_case(option.name));
            taken("an option of every source", option.name, is_taken)?;
        }
        self.sources.push(SourceKind::new(words));
        Ok(())
    }

    /// Adds a format of events.
    ///
    /// # Errors
    /// When its name or one of its options is another's, the name is none, or an option of it does not begin with its name.
    pub fn add_format(&mut self, words: &'static FormatWords) -> Result<(), WordError> {
        named("a format", words.name, self.format(words.name).is_some())?;
        for option in words.options {
            let own = option.name.strip_prefix(words.name).is_some_and(|rest| rest.starts_with('.'));
            if !own {
                let (format, option) = (words.name.to_owned(), option.name.to_owned());
                return Err(WordError::OtherOption { format, option });
            }
            let mut of_sources = self.sources.iter().flat_map(|kind| kind.words().options);
            let is_taken = options::is_of_all(option.name)
                || is_of_clients(option.name)
                || of_sources.any(|other| other.name.eq_ignore_ascii_case(option.name));
            taken("an option of a source", option.name, is_taken)?;
        }
        self.formats.push(ValueFormat::new(words));
        Ok(())
    }

    /// Adds a kind of table.
    ///
    /// # Errors
    /// When its name or one of its properties is another's, or the name is none.
    pub fn add_table(&mut self, words: &'static TableWords) -> Result<(), WordError> {
        const WHAT: &str = "a kind of table";
        let is_standard = ["parquet", "kafka"].contains(&words.name);
        named(WHAT, words.name, is_standard || self.table(words.name).is_some())?;
        for property in words.properties {
            let is_taken = is_property(property.name)
                || self.properties().any(|other| other.name.eq_ignore_ascii_case(property.name));
            taken("a property", property.name, is_taken)?;
        }
        self.tables.push(TableKind::new(words));
        Ok(())
    }

    /// The formats, in the order in which they were added.
    pub(crate) fn formats(&self) -> impl Iterator<Item = ValueFormat> {
        self.formats.iter().copied()
    }

    /// Every option of a source of the kind `kind`, in the order of the reference; `kafka.*` are not in the list.
    pub fn options_of(&self, kind: SourceKind) -> impl Iterator<Item = &'static OptionDef> {
        let of_formats = self.formats().flat_map(|format| format.words().options);
        kind.words().options.iter().chain(OF_EVENTS).chain(of_formats).chain(OF_ROWS)
    }

    /// What a value may be, as the reference says it.
    #[must_use]
    pub fn describe(&self, value: ValueType) -> String {
        match value {
            ValueType::Format => listed(&self.format_names()),
            ValueType::KeyFormat => listed(&self.key_format_names()),
            other => values::describe(other),
        }
    }

    /// The format of this name, in any case.
    #[must_use]
    pub fn format(&self, name: &str) -> Option<ValueFormat> {
        self.formats().find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// The kind of source of this name.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<SourceKind> {
        self.sources.iter().copied().find(|kind| kind.name() == name)
    }

    /// The kind of table of this name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<TableKind> {
        self.tables.iter().copied().find(|kind| kind.name() == name)
    }

    /// The names of the kinds of sources.
    pub(crate) fn source_names(&self) -> impl Iterator<Item = &'static str> {
        self.sources.iter().map(|kind| kind.name())
    }

    /// The properties of kinds of tables that were added.
    pub(crate) fn properties(&self) -> impl Iterator<Item = &'static OptionDef> {
        self.tables.iter().flat_map(|kind| kind.words().properties)
    }

    /// What to write after the `USING` of a table in the place of `other`.
    pub(crate) fn using_help(&self, other: &str) -> String {
        let own: Vec<&str> = self.tables.iter().map(|kind| kind.name()).collect();
        match nearest(other, own.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None if own.is_empty() => "write USING parquet, or take USING out".to_owned(),
            None => format!("write USING parquet, kafka or {}, or take USING out", own.join(" or ")),
        }
    }

    /// The names of the formats, as `value.format` takes them.
    pub(crate) fn format_names(&self) -> Vec<&'static str> {
        self.formats().map(ValueFormat::name).collect()
    }

    /// Those that `key.format` takes.
    pub(crate) fn key_format_names(&self) -> Vec<&'static str> {
        self.formats().filter(|format| format.words().of_keys).map(ValueFormat::name).collect()
    }
}

fn named(what: &'static str, name: &str, is_taken: bool) -> Result<(), WordError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(plain) {
        return Err(WordError::NoName { what, name: name.to_owned() });
    }
    taken(what, name, is_taken)
}

fn taken(what: &'static str, name: &str, is_taken: bool) -> Result<(), WordError> {
    match is_taken {
        true => Err(WordError::Taken { what, name: name.to_owned() }),
        false => Ok(()),
    }
}
