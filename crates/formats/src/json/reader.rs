//! Reads JSON (RFC 8259) from an event, strictly and with every bound checked. Nothing here recurses, so depth costs no stack.

use std::borrow::Cow;

use super::names::Names;
use super::text::plain;
use crate::class::ErrorClass;
use crate::fault::{Fault, Step};
use crate::limits::Limits;

/// A number as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number<'a> {
    pub(super) text: &'a [u8],
    /// Whether it has neither a point nor an exponent.
    pub(super) whole: bool,
}

/// A position in the text of an event, with what is left of the event's limits. The text is UTF-8.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    depth_left: usize,
    values_left: usize,
}

/// What is open where a value is passed over.
enum Open<'a> {
    List,
    Object(Names<'a>),
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a [u8], limits: &Limits) -> Self {
        Self { text, at: 0, depth_left: limits.depth, values_left: limits.values }
    }

    #[cold]
    pub(super) fn fault(&self, class: ErrorClass, problem: impl Into<String>) -> Box<Fault> {
        Fault::new(class, self.at, problem)
    }

    /// That something else than `expected` stands here.
    #[cold]
    pub(super) fn not_json(&self, expected: &str) -> Box<Fault> {
        let problem = match self.text.get(self.at) {
            None => format!("the value ends where {expected} should stand"),
            Some(byte) if byte.is_ascii_graphic() => format!("'{}' stands where {expected} should", char::from(*byte)),
            Some(byte) => format!("the byte {byte:#04x} stands where {expected} should"),
        };
        self.fault(ErrorClass::NotJson, problem)
    }

    /// That an object has `name` twice.
    #[cold]
    pub(super) fn twice(&self, name: &[u8]) -> Box<Fault> {
        let name = String::from_utf8_lossy(name);
        self.fault(ErrorClass::DuplicateKey, format!("an object has '{}' twice", shortened(&name)))
    }

    /// Where it is, in bytes.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// What was read from `start` on.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        &self.text[start..self.at]
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// The first byte behind white space, which it passes over.
    #[inline]
    pub(super) fn ahead(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other,
            }
        }
    }

    /// Opens the object or list that stands here.
    #[inline]
    pub(super) fn enter(&mut self) -> Step {
        match self.depth_left.checked_sub(1) {
            Some(left) => {
                self.depth_left = left;
                self.at += 1;
                Ok(())
            }
            None => Err(self.fault(ErrorClass::TooDeep, "objects and lists are nested deeper than the limit")),
        }
    }

    #[inline]
    fn leave(&mut self) {
        self.at += 1;
        self.depth_left += 1;
    }

    /// Whether the object or list that was just opened has something in it. One without is closed.
    #[inline]
    pub(super) fn has_first(&mut self, end: u8) -> bool {
        let is_empty = self.ahead() == Some(end);
        if is_empty {
            self.leave();
        }
        !is_empty
    }

    /// Whether another item follows, or `end`, which closes the object or list.
    #[inline]
    pub(super) fn has_more(&mut self, end: u8) -> Step<bool> {
        match self.ahead() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == end => {
                self.leave();
                Ok(false)
            }
            _ if end == b'}' => Err(self.not_json("a comma or the end of the object")),
            _ => Err(self.not_json("a comma or the end of the list")),
        }
    }

    /// The name of an object's entry, with the colon behind it.
    #[inline]
    pub(super) fn name(&mut self) -> Step<Cow<'a, [u8]>> {
        if self.ahead() != Some(b'"') {
            return Err(self.not_json("a name in double quotes"));
        }
        let name = self.string()?;
        if self.ahead() != Some(b':') {
            return Err(self.not_json("a colon"));
        }
        self.at += 1;
        Ok(name)
    }

    /// The text that begins here with a double quote.
    #[inline]
    pub(super) fn string(&mut self) -> Step<Cow<'a, [u8]>> {
        let text: &'a [u8] = self.text;
        let start = self.at + 1;
        self.at = start + plain(&text[start..]);
        if self.peek() == Some(b'"') {
            let plain = &text[start..self.at];
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        self.escaped(start).map(Cow::Owned)
    }

    /// The text from `start` on, of which only what is plain has been read.
    fn escaped(&mut self, start: usize) -> Step<Vec<u8>> {
        let text: &'a [u8] = self.text;
        let mut out = text[start..self.at].to_vec();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(&mut out)?;
                }
                Some(byte) => {
                    let problem =
                        format!("the control character {byte:#04x} stands in a text as it is, and not escaped");
                    return Err(self.fault(ErrorClass::NotJson, problem));
                }
                None => return Err(self.not_json("the double quote that ends a text")),
            }
            let from = self.at;
            self.at += plain(&text[from..]);
            out.extend_from_slice(&text[from..self.at]);
        }
    }

    /// Appends what stands behind a backslash.
    fn escape(&mut self, out: &mut Vec<u8>) -> Step {
        let meant = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode(out),
            _ => return Err(self.not_json("an escape that JSON has")),
        };
        self.at += 1;
        out.push(meant);
        Ok(())
    }

    fn unicode(&mut self, out: &mut Vec<u8>) -> Step {
        let start = self.at - 1;
        let first = self.hexadecimal()?;
        let mut code = u32::from(first);
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
            self.at += 1;
            let second = self.hexadecimal()?;
            if (0xdc00..0xe000).contains(&second) {
                code = 0x1_0000 + ((u32::from(first) - 0xd800) << 10) + (u32::from(second) - 0xdc00);
            }
        }
        match char::from_u32(code) {
            Some(char) => {
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                Ok(())
            }
            None => {
                let problem = "an escape names half of a surrogate pair, which is no character";
                Err(Fault::new(ErrorClass::InvalidUtf8, start, problem))
            }
        }
    }

    /// The four digits behind the `u` that stands here.
    fn hexadecimal(&mut self) -> Step<u16> {
        let mut code = 0;
        for _ in 0..4 {
            self.at += 1;
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let digit = digit.and_then(|digit| u16::try_from(digit).ok());
            code = (code << 4) | digit.ok_or_else(|| self.not_json("a hexadecimal digit"))?;
        }
        self.at += 1;
        Ok(code)
    }

    /// The number that begins here.
    pub(super) fn number(&mut self) -> Step<Number<'a>> {
        let text: &'a [u8] = self.text;
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        let mut whole = true;
        if self.peek() == Some(b'.') {
            whole = false;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            whole = false;
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Number { text: &text[start..self.at], whole })
    }

    /// One digit or more.
    fn digits(&mut self) -> Step {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(self.not_json("a digit")) } else { Ok(()) }
    }

    /// Passes over `word`.
    #[inline]
    pub(super) fn word(&mut self, word: &str) -> Step {
        if self.text[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.not_json("a value"))
    }

    /// Checks and passes over a value without parts.
    fn scalar(&mut self) -> Step {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => Err(self.not_json("a value")),
        }
    }

    /// Checks and passes over a value as strictly as one that is read, so that an event's fate does not depend on which
    /// columns are declared.
    pub(super) fn skip(&mut self) -> Step {
        let mut open: Vec<Open<'a>> = Vec::new();
        loop {
            let inside = match self.ahead() {
                Some(b'{') => {
                    self.enter()?;
                    self.has_first(b'}').then(|| Open::Object(Names::default()))
                }
                Some(b'[') => {
                    self.enter()?;
                    self.has_first(b']').then_some(Open::List)
                }
                _ => {
                    self.scalar()?;
                    None
                }
            };
            let mut in_container = inside.is_some();
            open.extend(inside);
            // Behind a value its container goes on or ends, and with it perhaps others.
            while !in_container {
                let Some(innermost) = open.last() else { return Ok(()) };
                in_container = self.has_more(if matches!(innermost, Open::List) { b']' } else { b'}' })?;
                if !in_container {
                    open.pop();
                }
            }
            if let Some(Open::Object(names)) = open.last_mut() {
                let name = self.name()?;
                self.unique(name, names)?;
            }
        }
    }

    /// Adds `name` to the names of an object, which has it once.
    pub(super) fn unique(&self, name: Cow<'a, [u8]>, names: &mut Names<'a>) -> Step {
        match names.add(name) {
            None => Ok(()),
            Some(name) => Err(self.twice(&name)),
        }
    }

    /// Checks that the event is one value, from where it is to the end.
    pub(super) fn only_value(&mut self) -> Step {
        self.skip()?;
        self.end()
    }

    /// Checks that nothing but white space is left.
    pub(super) fn end(&mut self) -> Step {
        if self.ahead().is_none() {
            return Ok(());
        }
        let at = self.at;
        if self.skip().is_ok() {
            return Err(Fault::new(ErrorClass::SeveralValues, at, "another value follows the first one"));
        }
        self.at = at;
        Err(self.not_json("the end of the event"))
    }

    /// Counts `values` against the limit of values.
    #[inline]
    pub(super) fn charge(&mut self, values: usize) -> Step {
        match self.values_left.checked_sub(values) {
            Some(left) => {
                self.values_left = left;
                Ok(())
            }
            None => Err(self.fault(ErrorClass::TooManyItems, "lists and maps have more values than the limit")),
        }
    }

    /// The values charged so far, given the limits at the start.
    pub(super) fn values_used(&self, limits: &Limits) -> usize {
        limits.values - self.values_left
    }
}

/// The beginning of a name that may be long.
pub(super) fn shortened(name: &str) -> Cow<'_, str> {
    const LONGEST: usize = 100;
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => Cow::Owned(format!("{}...", &name[..end])),
        None => Cow::Borrowed(name),
    }
}
