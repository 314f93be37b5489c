//! The grammar.

use std::collections::HashSet;
use std::iter::Peekable;

use arrow::datatypes::{DataType, Fields};

use super::names::{instead, named};
use super::{Column, DEEPEST, How, Kind, Mistake, Piece, Place, What};
use crate::nested::types::{list_of, map_of};
use crate::types::MAX_PRECISION;

/// Pieces, and how far they have been read.
pub(super) struct Reader<I: Iterator> {
    pieces: Peekable<I>,
    how: How,
    /// The place of the piece that was read last.
    last: Place,
    /// How many types are around what is read.
    depth: usize,
}

impl<'a, I: Iterator<Item = Piece<'a>>> Reader<I> {
    pub(super) fn new(pieces: I, how: How) -> Self {
        Self { pieces: pieces.peekable(), how, last: Place::default(), depth: 0 }
    }

    fn next(&mut self) -> Option<Piece<'a>> {
        let piece = self.pieces.next();
        if let Some(piece) = &piece {
            self.last = piece.place;
        }
        piece
    }

    fn eat(&mut self, sign: char) -> bool {
        let there = self.pieces.peek().is_some_and(|p| p.what == What::Sign(sign));
        there && self.next().is_some()
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let there =
            self.pieces.peek().is_some_and(|p| matches!(&p.what, What::Word(w) if w.eq_ignore_ascii_case(word)));
        there && self.next().is_some()
    }

    fn expect(&mut self, sign: char) -> Result<(), Mistake> {
        if self.eat(sign) { Ok(()) } else { Err(self.unexpected(&sign.to_string())) }
    }

    /// The mistake that `wanted` should stand here.
    fn unexpected(&mut self, wanted: &str) -> Mistake {
        let Some(piece) = self.pieces.peek() else {
            return Mistake {
                kind: Kind::End,
                place: self.last,
                message: "the column ends too early".to_owned(),
                label: format!("{wanted} should follow"),
                help: None,
            };
        };
        let found = match &piece.what {
            What::Word(word) => format!("`{word}`"),
            What::Name(name) => format!("`{name}`"),
            What::Text => "a text".to_owned(),
            What::Sign(sign) => format!("`{sign}`"),
        };
        Mistake {
            kind: Kind::Unexpected,
            place: piece.place,
            message: format!("{found} does not belong here in a column"),
            label: format!("expected {wanted}"),
            help: None,
        }
    }

    /// The mistake of what follows a column that should have ended, or gone on with `wanted`.
    fn behind_column(&mut self, wanted: &str) -> Mistake {
        let mistake = self.unexpected(wanted);
        let Some(What::Word(word)) = self.pieces.peek().map(|p| &p.what) else { return mistake };
        match refused(word).filter(|_| self.how == How::Declared) {
            Some((message, help)) => Mistake {
                kind: Kind::Column,
                message: message.to_owned(),
                label: "not here".to_owned(),
                help: Some(help.to_owned()),
                ..mistake
            },
            None => mistake,
        }
    }

    /// That nothing follows.
    pub(super) fn finish(&mut self) -> Result<(), Mistake> {
        if self.pieces.peek().is_none() { Ok(()) } else { Err(self.behind_column("NOT NULL, COMMENT or ,")) }
    }

    /// Columns with commas between them.
    pub(super) fn columns(&mut self) -> Result<Vec<Column>, Mistake> {
        let mut columns = vec![self.column()?];
        while self.eat(',') {
            columns.push(self.column()?);
        }
        Ok(columns)
    }

    /// `name [:] type [NOT NULL] [COMMENT 'text']`.
    pub(super) fn column(&mut self) -> Result<Column, Mistake> {
        let (name, name_place) = self.name()?;
        self.eat(':');
        let (data_type, type_place) = self.data_type()?;
        let may_be_missing = self.how == How::Text;
        let nullable = self.options()? || may_be_missing;
        Ok(Column { name, name_place, data_type, type_place, nullable })
    }

    /// `NOT NULL` and `COMMENT 'text'`, in any order; whether the column may be NULL.
    fn options(&mut self) -> Result<bool, Mistake> {
        let (mut nullable, mut comment) = (true, false);
        loop {
            if nullable && self.eat_word("NOT") {
                if !self.eat_word("NULL") {
                    return Err(self.unexpected("NULL"));
                }
                nullable = false;
            } else if !comment && self.eat_word("COMMENT") {
                if self.pieces.peek().is_none_or(|p| p.what != What::Text) {
                    return Err(self.unexpected("a text between quotes"));
                }
                self.next();
                comment = true;
            } else {
                return Ok(nullable);
            }
        }
    }

    fn name(&mut self) -> Result<(String, Place), Mistake> {
        let declared = self.how == How::Declared;
        let Some(piece) = self.pieces.peek() else { return Err(self.unexpected("the name of a column")) };
        let place = piece.place;
        let name = match &piece.what {
            What::Word(word) if !declared || !word.starts_with(|c: char| c.is_ascii_digit()) => (*word).to_owned(),
            What::Name(name) if !declared || !name.is_empty() => {
                let name = name.clone().into_owned();
                self.next();
                return Ok((name, place));
            }
            _ => return Err(self.unexpected("the name of a column")),
        };
        let folded = name.to_lowercase();
        if declared && folded != name {
            return Err(Mistake {
                kind: Kind::Column,
                place,
                message: format!("`{name}` without backticks is the column {folded}, and a field of an event has case"),
                label: "capitals without backticks".to_owned(),
                help: Some(format!("write `{name}` between backticks, or {folded} if the events have it so")),
            });
        }
        self.next();
        Ok((name, place))
    }

    /// A type, and where it stands.
    pub(super) fn data_type(&mut self) -> Result<(DataType, Place), Mistake> {
        let Some(piece) = self.pieces.peek() else { return Err(self.unexpected("a type")) };
        let (start, place) = (piece.place.start, piece.place);
        let What::Word(word) = piece.what else { return Err(self.unexpected("a type")) };
        if self.depth > DEEPEST {
            return Err(Mistake {
                kind: Kind::Depth,
                place,
                message: format!("more than {DEEPEST} types stand within each other"),
                label: "one too many".to_owned(),
                help: None,
            });
        }
        self.next();
        self.depth += 1;
        let data_type = self.type_of(word, place)?;
        self.depth -= 1;
        Ok((data_type, Place { start, end: self.last.end }))
    }

    /// The type whose first word, at `place`, has been read.
    fn type_of(&mut self, word: &str, place: Place) -> Result<DataType, Mistake> {
        if let Some(simple) = named(word) {
            let takes_none = self.pieces.peek().filter(|p| p.what == What::Sign('(')).map(|p| p.place);
            return match takes_none {
                Some(place) => {
                    let upper = word.to_ascii_uppercase();
                    Err(no_type(place, format!("{upper} takes no length"), Some(format!("write {upper}"))))
                }
                None => Ok(simple),
            };
        }
        match word.to_ascii_lowercase().as_str() {
            "varchar" | "char" | "character" => self.text_type(word, place),
            "decimal" | "dec" | "numeric" => self.decimal(place),
            "array" => {
                self.expect('<')?;
                let (element, _) = self.data_type()?;
                self.expect('>')?;
                Ok(list_of(&element))
            }
            "map" => {
                self.expect('<')?;
                let (key, _) = self.data_type()?;
                self.expect(',')?;
                let (value, _) = self.data_type()?;
                self.expect('>')?;
                Ok(map_of(&key, &value))
            }
            "struct" => {
                self.expect('<')?;
                self.members(place)
            }
            _ => Err(no_type(place, format!("there is no type `{word}`"), instead(word).map(str::to_owned))),
        }
    }

    /// The fields of a struct and the `>` behind them; its name is at `place`.
    fn members(&mut self, place: Place) -> Result<DataType, Mistake> {
        let declared = self.how == How::Declared;
        if self.eat('>') {
            if declared {
                let help = Some("name its fields, as in STRUCT<page: STRING>".to_owned());
                return Err(no_type(place, "a STRUCT without fields holds nothing".to_owned(), help));
            }
            return Ok(DataType::Struct(Fields::empty()));
        }
        let fields = self.columns()?;
        if !self.eat('>') {
            return Err(self.behind_column(", or >"));
        }
        let mut seen: HashSet<&str> = HashSet::with_capacity(fields.len());
        for field in fields.iter().filter(|_| declared) {
            if !seen.insert(field.name.as_str()) {
                return Err(Mistake {
                    kind: Kind::Duplicate,
                    place: field.name_place,
                    message: format!("the struct has two fields called `{}`", field.name),
                    label: "the second one".to_owned(),
                    help: Some("keep one of them".to_owned()),
                });
            }
        }
        Ok(DataType::Struct(fields.iter().map(Column::field).collect()))
    }

    /// `(a, b)` behind a type's name.
    fn numbers(&mut self) -> Result<Vec<u32>, Mistake> {
        let mut numbers = Vec::new();
        if !self.eat('(') {
            return Ok(numbers);
        }
        loop {
            let Some(Piece { what: What::Word(word), place }) = self.pieces.peek() else {
                return Err(self.unexpected("a whole number"));
            };
            let (word, place) = (*word, *place);
            let number = word.parse::<u32>().map_err(|_| no_type(place, format!("`{word}` is no length"), None))?;
            numbers.push(number);
            self.next();
            if self.eat(')') {
                return Ok(numbers);
            }
            self.expect(',')?;
        }
    }

    fn decimal(&mut self, place: Place) -> Result<DataType, Mistake> {
        let numbers = self.numbers()?;
        let (precision, scale) = match numbers.as_slice() {
            [] => (10, 0),
            [precision] => (*precision, 0),
            [precision, scale] => (*precision, *scale),
            _ => (0, 0),
        };
        let sound = (1..=u32::from(MAX_PRECISION)).contains(&precision) && scale <= precision;
        match (u8::try_from(precision), i8::try_from(scale)) {
            (Ok(precision), Ok(scale)) if sound => Ok(DataType::Decimal128(precision, scale)),
            _ => {
                let message =
                    format!("a DECIMAL has up to {MAX_PRECISION} digits, and no more of them behind the point");
                let place = Place { start: place.start, end: self.last.end };
                Err(no_type(
                    place,
                    message,
                    Some("write DECIMAL(p, s) with p digits, s of them behind the point".into()),
                ))
            }
        }
    }

    /// VARCHAR and CHAR, which Spark cuts to length or fills when a row is written.
    fn text_type(&mut self, word: &str, place: Place) -> Result<DataType, Mistake> {
        let numbers = self.numbers()?;
        if self.how == How::Text {
            return Ok(DataType::Utf8);
        }
        let place = Place { start: place.start, end: self.last.end };
        let message = format!("a source does not check lengths, as {} asks for", word.to_ascii_uppercase());
        let longest = numbers.first().copied().unwrap_or(20);
        let help = format!(
            "write STRING; an expectation of the first table below may check it: EXPECT (length(column) <= {longest})"
        );
        Err(no_type(place, message, Some(help)))
    }
}

/// The mistake of a type that there is not.
fn no_type(place: Place, message: String, help: Option<String>) -> Mistake {
    Mistake { kind: Kind::Type, place, message, label: "not a type here".to_owned(), help }
}

/// What the list of columns of a source does not take, by the word that it begins with: why, and what to write.
#[must_use]
pub fn refused(word: &str) -> Option<(&'static str, &'static str)> {
    Some(match word.to_ascii_uppercase().as_str() {
        "PRIMARY" | "UNIQUE" | "KEY" => (
            "a source has no key: its events come as they are",
            "take it out; SELECT DISTINCT ON (column) * in the first table below keeps one row of each key",
        ),
        "REFERENCES" | "FOREIGN" => ("a column of a source refers to no other table", "take it out"),
        "DEFAULT" => (
            "a column of a source has no default: what is missing in an event is NULL",
            "take it out, and write coalesce(column, value) in the first table below",
        ),
        "GENERATED" | "AS" | "IDENTITY" | "AUTO_INCREMENT" => (
            "a source computes nothing",
            "take it out, and write SELECT *, expression AS column in the first table below",
        ),
        "CHECK" | "CONSTRAINT" | "EXPECT" => (
            "a source judges no rows",
            "take it out, and write CONSTRAINT name EXPECT (condition) in the first table below",
        ),
        "WATERMARK" => (
            "a watermark is given where the source is read",
            "take it out, and write FROM STREAM source WATERMARK column DELAY OF INTERVAL '10 minutes' in a table below",
        ),
        "NULL" => ("any column may be NULL that is not declared NOT NULL", "take NULL out"),
        "COLLATE" => ("texts are compared by their bytes", "take COLLATE out"),
        "METADATA" | "FROM" | "PATH" => (
            "the place of an event is in columns of its own",
            "take the column out: every row has _topic, _partition, _offset, _timestamp, _key and _headers",
        ),
        _ => return None,
    })
}
