//! Schemas in Spark's text: `a INT, b STRUCT<c: STRING>`, `ARRAY<STRING>`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use crate::nested::types::{list_of, map_of};
use crate::types;

/// The type that `text` says; a list of columns is a struct.
///
/// # Errors
/// Where the text cannot be read, and why.
pub(super) fn parse(text: &str) -> Result<DataType, String> {
    let mut reader = Reader { rest: text, depth: 0 };
    let one = reader.data_type();
    if let Ok(data_type) = &one
        && reader.is_end()
    {
        return Ok(data_type.clone());
    }
    if reader.depth > DEEPEST {
        return one;
    }
    let mut reader = Reader { rest: text, depth: 0 };
    let fields = reader.fields(None)?;
    if reader.is_end() { Ok(DataType::Struct(fields)) } else { Err(reader.unexpected()) }
}

/// So deep may types stand within each other, as in the text of a query.
const DEEPEST: usize = 50;

struct Reader<'a> {
    rest: &'a str,
    /// How many types are around what is read; where reading failed, around that.
    depth: usize,
}

impl<'a> Reader<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn is_end(&mut self) -> bool {
        self.space();
        self.rest.is_empty()
    }

    fn eat(&mut self, c: char) -> bool {
        self.space();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn unexpected(&self) -> String {
        let shown: String = self.rest.chars().take(20).collect();
        if shown.is_empty() { "the schema ends too early".to_owned() } else { format!("`{shown}` was not expected") }
    }

    fn expect(&mut self, c: char) -> Result<(), String> {
        if self.eat(c) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn word(&mut self) -> Result<&'a str, String> {
        self.space();
        if let Some(rest) = self.rest.strip_prefix('`') {
            let end = rest.find('`').ok_or_else(|| self.unexpected())?;
            self.rest = &rest[end + 1..];
            return Ok(&rest[..end]);
        }
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        if end == 0 {
            return Err(self.unexpected());
        }
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(word)
    }

    fn eat_word(&mut self, wanted: &str) -> bool {
        let mut ahead = Reader { rest: self.rest, depth: 0 };
        let found = ahead.word().is_ok_and(|word| word.eq_ignore_ascii_case(wanted));
        if found {
            self.rest = ahead.rest;
        }
        found
    }

    /// Columns up to `end`, or to the end of the text.
    fn fields(&mut self, end: Option<char>) -> Result<Fields, String> {
        let mut fields = Vec::new();
        if end.is_some_and(|end| self.eat(end)) {
            return Ok(Fields::from(fields));
        }
        loop {
            let name = self.word()?;
            self.eat(':');
            let data_type = self.data_type()?;
            if self.eat_word("NOT") && !self.eat_word("NULL") {
                return Err(self.unexpected());
            }
            if self.eat_word("COMMENT") {
                self.comment()?;
            }
            // What is read from a text may be missing, whatever the schema says.
            fields.push(Field::new(name, data_type, true));
            if self.eat(',') {
                continue;
            }
            match end {
                Some(end) => self.expect(end)?,
                None if self.is_end() => {}
                None => return Err(self.unexpected()),
            }
            return Ok(Fields::from(fields));
        }
    }

    fn comment(&mut self) -> Result<(), String> {
        self.space();
        let quote = self.rest.chars().next().filter(|c| *c == '\'' || *c == '"').ok_or_else(|| self.unexpected())?;
        let rest = &self.rest[1..];
        let end = rest.find(quote).ok_or_else(|| self.unexpected())?;
        self.rest = &rest[end + 1..];
        Ok(())
    }

    /// `(a, b)` behind a type's name.
    fn numbers(&mut self) -> Result<Vec<u8>, String> {
        let mut numbers = Vec::new();
        if !self.eat('(') {
            return Ok(numbers);
        }
        loop {
            let number = self.word()?;
            let length = number.parse::<u32>().map_err(|_| format!("`{number}` is no length"))?;
            numbers.push(u8::try_from(length).unwrap_or(u8::MAX));
            if self.eat(')') {
                return Ok(numbers);
            }
            self.expect(',')?;
        }
    }

    fn data_type(&mut self) -> Result<DataType, String> {
        if self.depth > DEEPEST {
            return Err(format!("more than {DEEPEST} types stand within each other"));
        }
        self.depth += 1;
        let read = self.type_here()?;
        self.depth -= 1;
        Ok(read)
    }

    fn type_here(&mut self) -> Result<DataType, String> {
        let word = self.word()?;
        Ok(match word.to_ascii_lowercase().as_str() {
            "boolean" => DataType::Boolean,
            "tinyint" | "byte" => DataType::Int8,
            "smallint" | "short" => DataType::Int16,
            "int" | "integer" => DataType::Int32,
            "bigint" | "long" => DataType::Int64,
            "float" | "real" => DataType::Float32,
            "double" => DataType::Float64,
            "string" => DataType::Utf8,
            "varchar" | "char" | "character" => {
                self.numbers()?;
                DataType::Utf8
            }
            "binary" => DataType::Binary,
            "date" => DataType::Date32,
            "timestamp" | "timestamp_ltz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            "timestamp_ntz" => DataType::Timestamp(TimeUnit::Microsecond, None),
            "decimal" | "dec" | "numeric" => match self.numbers()?.as_slice() {
                [] => DataType::Decimal128(10, 0),
                [p] if *p <= 38 => DataType::Decimal128(*p, 0),
                [p, s] if *p <= 38 && s <= p => DataType::Decimal128(*p, i8::try_from(*s).unwrap_or(0)),
                _ => return Err("a DECIMAL has up to 38 digits, and no more of them behind the point".to_owned()),
            },
            "array" => {
                self.expect('<')?;
                let element = self.data_type()?;
                self.expect('>')?;
                list_of(&element)
            }
            "map" => {
                self.expect('<')?;
                let key = self.data_type()?;
                self.expect(',')?;
                let value = self.data_type()?;
                self.expect('>')?;
                map_of(&key, &value)
            }
            "struct" => {
                self.expect('<')?;
                DataType::Struct(self.fields(Some('>'))?)
            }
            _ => return Err(format!("there is no type `{word}`")),
        })
    }
}

/// The schema of a JSON text, as `schema_of_json` writes it; None if it is no JSON.
pub(super) fn schema_of(text: &str) -> Option<String> {
    let lenient = super::parse::Lenient { control: false, not_finite: true };
    let value = super::parse::parse(text, lenient).ok()??;
    Some(shown(&infer(&value)))
}

fn infer(value: &super::parse::Json<'_>) -> DataType {
    use super::parse::Json;
    match value {
        Json::Null => DataType::Null,
        Json::Bool(_) => DataType::Boolean,
        Json::NotFinite(_) => DataType::Float64,
        Json::Number(text) if text.bytes().any(|b| matches!(b, b'.' | b'e' | b'E')) => DataType::Float64,
        Json::Number(text) if text.parse::<i64>().is_ok() => DataType::Int64,
        Json::Number(text) => {
            let digits = text.trim_start_matches('-').len();
            if digits <= 38 { DataType::Decimal128(u8::try_from(digits).unwrap_or(38), 0) } else { DataType::Float64 }
        }
        Json::Text(_) => DataType::Utf8,
        Json::Array(items) => list_of(&items.iter().map(infer).fold(DataType::Null, |a, b| both(&a, &b))),
        Json::Object(fields) => {
            let mut all: Vec<Field> =
                fields.iter().map(|(name, value)| Field::new(name.as_ref(), infer(value), true)).collect();
            all.sort_by(|a, b| a.name().cmp(b.name()));
            DataType::Struct(all.into())
        }
    }
}

fn both(a: &DataType, b: &DataType) -> DataType {
    match (a, b) {
        _ if a == b => a.clone(),
        (DataType::Null, other) | (other, DataType::Null) => other.clone(),
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => DataType::Float64,
        (DataType::List(a), DataType::List(b)) => list_of(&both(a.data_type(), b.data_type())),
        (DataType::Struct(a), DataType::Struct(b)) => {
            let mut all: Vec<Field> = a.iter().map(|f| f.as_ref().clone()).collect();
            let mut places: HashMap<&str, usize> =
                a.iter().enumerate().rev().map(|(at, f)| (f.name().as_str(), at)).collect();
            for field in b {
                match places.entry(field.name()) {
                    Entry::Occupied(at) => {
                        let known = &mut all[*at.get()];
                        *known = Field::new(known.name(), both(known.data_type(), field.data_type()), true);
                    }
                    Entry::Vacant(new) => {
                        new.insert(all.len());
                        all.push(field.as_ref().clone());
                    }
                }
            }
            all.sort_by(|a, b| a.name().cmp(b.name()));
            DataType::Struct(all.into())
        }
        _ => DataType::Utf8,
    }
}

/// The type as [`types::name`] has it, but with quotes around the names of fields that need them.
fn shown(data_type: &DataType) -> String {
    match data_type {
        DataType::Null => "STRING".to_owned(),
        DataType::List(field) => format!("ARRAY<{}>", shown(field.data_type())),
        DataType::Struct(fields) => {
            let plain = |name: &str| {
                !name.is_empty()
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                    && !name.starts_with(|c: char| c.is_ascii_digit())
            };
            let named = |f: &arrow::datatypes::FieldRef| {
                let name = if plain(f.name()) { f.name().clone() } else { format!("`{}`", f.name()) };
                format!("{name}: {}", shown(f.data_type()))
            };
            format!("STRUCT<{}>", fields.iter().map(named).collect::<Vec<_>>().join(", "))
        }
        simple => types::name(simple),
    }
}
