//! Parses JSON text as Jackson does for Spark: single quotes are accepted, and everything behind the first value is ignored.

use std::borrow::Cow;

use datafusion::common::DataFusionError;

use crate::error::row_error;

/// A value; numbers as they are written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    /// NaN and the infinities, which JSON does not have.
    NotFinite(f64),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// The text is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

type Read<T> = Result<T, Malformed>;

/// What a reader takes beside JSON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lenient {
    /// Control characters within texts.
    pub(super) control: bool,
    /// NaN, INF, Infinity as numbers.
    pub(super) not_finite: bool,
}

/// Deeper values are not read, as by Jackson.
const MAX_DEPTH: usize = 500;

/// So many values may a text have, each of which takes some 50 bytes when it is read, and again what it becomes: one of 16 MiB may
/// have eight million.
const MOST_VALUES: usize = 1 << 20;

/// The first value in `text`; None if there is none.
///
/// # Errors
/// When it is of too many values.
pub(super) fn parse(text: &str, lenient: Lenient) -> Result<Read<Option<Json<'_>>>, DataFusionError> {
    let mut reader = Reader { text, at: 0, depth: 0, values: 0, lenient };
    reader.space();
    if reader.at == text.len() {
        return Ok(Ok(None));
    }
    let value = reader.value().map(Some);
    if reader.values > MOST_VALUES {
        return row_error(format!("a JSON text has more than {MOST_VALUES} values"));
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    /// How many values there were so far.
    values: usize,
    lenient: Lenient,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Read<Json<'a>> {
        self.values += 1;
        if self.values > MOST_VALUES {
            return Err(Malformed);
        }
        self.space();
        match self.peek().ok_or(Malformed)? {
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            quote @ (b'"' | b'\'') => self.quoted(quote).map(Json::Text),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.word(),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Read<Json<'a>>) -> Read<Json<'a>> {
        self.depth += 1;
        self.at += 1;
        if self.depth > MAX_DEPTH {
            return Err(Malformed);
        }
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Read<Json<'a>> {
        let mut fields = Vec::new();
        self.space();
        if self.eat(b'}') {
            return Ok(Json::Object(fields));
        }
        loop {
            self.space();
            let name = match self.peek() {
                Some(quote @ (b'"' | b'\'')) => self.quoted(quote)?,
                _ => return Err(Malformed),
            };
            self.space();
            if !self.eat(b':') {
                return Err(Malformed);
            }
            fields.push((name, self.value()?));
            self.space();
            if self.eat(b'}') {
                return Ok(Json::Object(fields));
            }
            if !self.eat(b',') {
                return Err(Malformed);
            }
        }
    }

    fn array(&mut self) -> Read<Json<'a>> {
        let mut items = Vec::new();
        self.space();
        if self.eat(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value()?);
            self.space();
            if self.eat(b']') {
                return Ok(Json::Array(items));
            }
            if !self.eat(b',') {
                return Err(Malformed);
            }
        }
    }

    fn quoted(&mut self, quote: u8) -> Read<Cow<'a, str>> {
        self.at += 1;
        let mut start = self.at;
        let mut owned = String::new();
        loop {
            match self.peek().ok_or(Malformed)? {
                b if b == quote => {
                    let rest = &self.text[start..self.at];
                    self.at += 1;
                    if owned.is_empty() {
                        return Ok(Cow::Borrowed(rest));
                    }
                    owned.push_str(rest);
                    return Ok(Cow::Owned(owned));
                }
                b'\\' => {
                    owned.push_str(&self.text[start..self.at]);
                    self.at += 1;
                    owned.push(self.escaped()?);
                    start = self.at;
                }
                0..=0x1f if !self.lenient.control => return Err(Malformed),
                _ => self.at += 1,
            }
        }
    }

    fn escaped(&mut self) -> Read<char> {
        let byte = self.peek().ok_or(Malformed)?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\'' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return Ok(char::from_u32(first).unwrap_or('?'));
                }
                let low = self.text.as_bytes().get(self.at..self.at + 2) == Some(b"\\u");
                if !low {
                    return Ok('?');
                }
                self.at += 2;
                let second = self.hex()?;
                if !(0xdc00..0xe000).contains(&second) {
                    return Ok('?');
                }
                char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).unwrap_or('?')
            }
            _ => return Err(Malformed),
        })
    }

    fn hex(&mut self) -> Read<u32> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Malformed)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Malformed);
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| Malformed)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Read<Json<'a>> {
        let start = self.at;
        if self.eat(b'-') && !self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at = start;
            return self.word();
        }
        let leading_zero = self.peek() == Some(b'0');
        if self.digits() > 1 && leading_zero {
            return Err(Malformed);
        }
        if self.eat(b'.') && self.digits() == 0 {
            return Err(Malformed);
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(Malformed);
            }
        }
        self.ends()?;
        Ok(Json::Number(&self.text[start..self.at]))
    }

    /// A number or a word ends at white space or punctuation.
    fn ends(&self) -> Read<()> {
        match self.peek() {
            Some(b) if b.is_ascii_alphanumeric() || b == b'_' || b == b'.' || b >= 0x80 => Err(Malformed),
            _ => Ok(()),
        }
    }

    fn word(&mut self) -> Read<Json<'a>> {
        let rest = &self.text[self.at..];
        let words = [
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
            ("null", Json::Null),
            ("NaN", Json::NotFinite(f64::NAN)),
            ("INF", Json::NotFinite(f64::INFINITY)),
            ("Infinity", Json::NotFinite(f64::INFINITY)),
            ("+INF", Json::NotFinite(f64::INFINITY)),
            ("+Infinity", Json::NotFinite(f64::INFINITY)),
            ("-INF", Json::NotFinite(f64::NEG_INFINITY)),
            ("-Infinity", Json::NotFinite(f64::NEG_INFINITY)),
        ];
        let Some((word, value)) = words.into_iter().find(|(word, _)| rest.starts_with(word)) else {
            return Err(Malformed);
        };
        if matches!(value, Json::NotFinite(_)) && !self.lenient.not_finite {
            return Err(Malformed);
        }
        self.at += word.len();
        self.ends()?;
        Ok(value)
    }
}
