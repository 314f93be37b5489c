//! Schemas in Spark's syntax: `a INT NOT NULL, b STRUCT<c: STRING>`, `ARRAY<STRING>`.
//!
//! One grammar parses them everywhere: in the text that `from_json` takes ([`pieces`]), and in a source's list of columns, for which the
//! pipeline's parser has the tokens. [`How`] holds the differences.

mod names;
mod pieces;
mod read;
#[cfg(test)]
mod tests;
mod written;

use std::borrow::Cow;

use arrow::datatypes::{DataType, Field};

pub use self::names::{IN_WORDS, NAMES, named};
pub use self::pieces::pieces;
use self::read::Reader;
pub use self::read::refused;
pub use self::written::{written, written_columns};

/// So deep may types stand within each other, as in the text of a query.
pub const DEEPEST: usize = 50;

/// Where a schema stands, which decides what its words mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// In a text that a function is given. Names are taken as they are written, any value may be missing whatever the schema says,
    /// and VARCHAR and CHAR are STRING, as Spark reads them there.
    Text,
    /// In the list of columns of a source. A name with capitals stands between backticks, since it would be another one without them,
    /// as in a query. What Spark would check or change in each row is refused: a source does not.
    Declared,
}

/// A place in the text that the pieces are of, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Of the first byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
}

/// A word or sign of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<'a> {
    /// What it is.
    pub what: What<'a>,
    /// Where it stands.
    pub place: Place,
}

/// What a piece is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What<'a> {
    /// A word without quotes, or a number.
    Word(&'a str),
    /// A name between quotes, without them.
    Name(Cow<'a, str>),
    /// A text between quotes; nobody reads what is in it.
    Text,
    /// Any other character.
    Sign(char),
}

/// A column of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub name_place: Place,
    /// Its type.
    pub data_type: DataType,
    /// Where the type stands.
    pub type_place: Place,
    /// Whether it may be NULL.
    pub nullable: bool,
}

impl Column {
    /// The column of Arrow.
    #[must_use]
    pub fn field(&self) -> Field {
        Field::new(&self.name, self.data_type.clone(), self.nullable)
    }
}

/// What is wrong with a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// What kind of mistake it is.
    pub kind: Kind,
    /// Where; at the end of the pieces, the last of them.
    pub place: Place,
    /// What is wrong, in one line that starts in lower case.
    pub message: String,
    /// What is said beside the place.
    pub label: String,
    /// The fix, where there is one to tell.
    pub help: Option<String>,
}

/// The kinds of mistakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something else should stand there.
    Unexpected,
    /// The schema ends where something should follow.
    End,
    /// There is no such type.
    Type,
    /// A column cannot be declared so.
    Column,
    /// Two fields of a struct have one name.
    Duplicate,
    /// Types are nested too deeply.
    Depth,
}

/// The type that all of `pieces` are.
///
/// # Errors
/// The first mistake.
pub fn data_type<'a>(pieces: impl Iterator<Item = Piece<'a>>, how: How) -> Result<DataType, Mistake> {
    let mut reader = Reader::new(pieces, how);
    let (data_type, _) = reader.data_type()?;
    reader.finish()?;
    Ok(data_type)
}

/// The columns that all of `pieces` are, with commas between them.
///
/// # Errors
/// The first mistake.
pub fn columns<'a>(pieces: impl Iterator<Item = Piece<'a>>, how: How) -> Result<Vec<Column>, Mistake> {
    let mut reader = Reader::new(pieces, how);
    let columns = reader.columns()?;
    reader.finish()?;
    Ok(columns)
}

/// The one column that all of `pieces` are.
///
/// # Errors
/// The first mistake.
pub fn column<'a>(pieces: impl Iterator<Item = Piece<'a>>, how: How) -> Result<Column, Mistake> {
    let mut reader = Reader::new(pieces, how);
    let column = reader.column()?;
    reader.finish()?;
    Ok(column)
}
