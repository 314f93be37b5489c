//! The options that the text of a pipeline may set for a source, a table or a format: names and types, as data.
//!
//! A crate that brings a kind of source or a format describes it so. The language checks the text against it, and the reference lists it.

use arrow::datatypes::DataType;

/// An option of a source, a setting of the pipeline, or a property of a table.
#[derive(Debug, Clone, Copy)]
pub struct OptionDef {
    /// The name, as it is written; looked up without regard to case, as in Spark.
    pub name: &'static str,
    /// What its value may be.
    pub value: ValueType,
    /// What holds without it, as the reference says it.
    pub default: &'static str,
    /// What it means.
    pub doc: &'static str,
}

/// An option, a setting or a property.
#[must_use]
pub const fn option(name: &'static str, value: ValueType, default: &'static str, doc: &'static str) -> OptionDef {
    OptionDef { name, value, default, doc }
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// Any text; references such as `${env:NAME}` are kept.
    Text,
    /// A text that is a secret: only a reference is taken.
    Secret,
    /// `true` or `false`.
    Bool,
    /// A whole number, at least and at most these.
    Int(u64, u64),
    /// A number from 0 to 1.
    Ratio,
    /// A size such as `16 MiB`, at least this many bytes.
    Size(u64),
    /// A duration such as `10 seconds`, not negative.
    Duration,
    /// A duration such as `1 second`, or `available-now`.
    Trigger,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// The name of a format of values, of those that there are.
    Format,
    /// The name of a format of keys, of those that there are.
    KeyFormat,
    /// Names with commas between them.
    Names,
    /// A regular expression.
    Pattern,
    /// `{"topic": [0, 1]}`.
    Partitions,
    /// `earliest`, `latest`, or `{"topic": {"0": 23, "1": -2}}`.
    Offsets,
    /// A name that can be a folder's.
    Name,
    /// A path on this machine.
    Path,
    /// URLs of HTTP servers, with commas between.
    Url,
}

/// Where the columns of a format come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnsFrom {
    /// A schema of the registry.
    Registry,
    /// The list of columns of the source.
    List,
    /// The format itself: there is one column, of this type.
    Format(DataType),
}

/// What a format is called, and what the text of a pipeline may say of it.
#[derive(Debug)]
pub struct FormatWords {
    /// Its name, as `value.format` takes it, in lower case.
    pub name: &'static str,
    /// Where its columns come from.
    pub columns: ColumnsFrom,
    /// Whether keys can be encoded so: `key.format` takes it.
    pub of_keys: bool,
    /// The options of a source that are about values in this format. Their names begin with that of the format, as `json.maxDepth`.
    pub options: &'static [OptionDef],
}
