//! Scalar values: their type, and whether they fit their column.

use std::borrow::Cow;

use super::number;
use super::plan::Op;
use super::reader::{Number, shortened};
use super::time::{self, Timestamps};
use super::walk::Walk;
use crate::class::ErrorClass;
use crate::fault::{Fault, Step};
use crate::limits::FURTHEST_MICROS;

impl<'a> Walk<'a, '_> {
    pub(super) fn text(&mut self, op: &Op) -> Step<Cow<'a, [u8]>> {
        self.wants(b'"', op)?;
        self.reader.string()
    }

    #[inline]
    pub(super) fn number(&mut self, op: &Op) -> Step<Number<'a>> {
        match self.reader.ahead() {
            Some(b'-' | b'0'..=b'9') => self.reader.number(),
            _ => Err(self.wrong_type(op)),
        }
    }

    #[inline]
    pub(super) fn integer(&mut self, op: &Op) -> Step<i64> {
        let number = self.number(op)?;
        if !number.whole {
            // As in Spark, 1.0 is no whole number.
            let (number, wanted) = (shown(number.text), op.name());
            let problem = format!("{number} is written with a point or an exponent, and {wanted} is wanted");
            return Err(self.reader.fault(ErrorClass::WrongType, problem));
        }
        number::integer(number.text).ok_or_else(|| self.out_of_range(number.text, op))
    }

    #[inline]
    pub(super) fn narrow<T: TryFrom<i64>>(&mut self, op: &Op) -> Step<T> {
        let value = self.integer(op)?;
        T::try_from(value).map_err(|_| self.out_of_range(value.to_string().as_bytes(), op))
    }

    pub(super) fn float<F: std::str::FromStr + Into<f64> + From<f32> + Copy>(&mut self, op: &Op) -> Step<F> {
        if self.reader.ahead() == Some(b'"') {
            // What JSON has no number for; Spark writes and reads these words.
            let text = self.reader.string()?;
            let value = match &*text {
                b"NaN" => f32::NAN,
                b"Infinity" | b"+Infinity" | b"INF" | b"+INF" => f32::INFINITY,
                b"-Infinity" | b"-INF" => f32::NEG_INFINITY,
                _ => return Err(self.text_for(op)),
            };
            return Ok(value.into());
        }
        let number = self.number(op)?;
        number::float(number.text).ok_or_else(|| self.out_of_range(number.text, op))
    }

    pub(super) fn decimal(&mut self, op: &Op, precision: u8, scale: u8) -> Step<i128> {
        let text = match self.reader.ahead() {
            // Producers that keep all digits write them as a text.
            Some(b'"') => match self.reader.string()? {
                text if number::is_number(&text) => text,
                _ => return Err(self.text_for(op)),
            },
            _ => Cow::Borrowed(self.number(op)?.text),
        };
        let exact = number::exact(&text, scale.into()).filter(|exact| !exact.cut);
        let value = exact.and_then(|exact| number::within(exact.digits, precision));
        value.ok_or_else(|| self.out_of_range(&text, op))
    }

    pub(super) fn boolean(&mut self, op: &Op) -> Step<bool> {
        match self.reader.ahead() {
            Some(b't') => self.reader.word("true").map(|()| true),
            Some(b'f') => self.reader.word("false").map(|()| false),
            _ => Err(self.wrong_type(op)),
        }
    }

    pub(super) fn timestamp(&mut self, op: &Op, in_utc: bool) -> Step<i64> {
        if self.declared.timestamps != Timestamps::Iso8601 {
            let Number { text, whole } = self.number(op)?;
            let micros = self.declared.timestamps.of_number(text, whole);
            let micros = micros.filter(|micros| (-FURTHEST_MICROS..=FURTHEST_MICROS).contains(micros));
            return micros.ok_or_else(|| self.out_of_range(text, op));
        }
        let text = self.text(op)?;
        let written = time::timestamp(&text);
        let micros =
            if in_utc { written.map(time::Written::in_utc) } else { written.and_then(time::Written::without_zone) };
        micros.ok_or_else(|| match written {
            Some(_) => self.no_time(&text, "TIMESTAMP_NTZ has no time zone"),
            None => self.no_time(&text, "a timestamp is written as 2026-11-30T18:33:00.123456Z"),
        })
    }

    #[cold]
    fn text_for(&self, op: &Op) -> Box<Fault> {
        self.reader.fault(ErrorClass::WrongType, format!("it is a text, and {} is wanted", op.name()))
    }

    #[cold]
    fn out_of_range(&self, number: &[u8], op: &Op) -> Box<Fault> {
        self.reader.fault(ErrorClass::OutOfRange, format!("{} does not fit {}", shown(number), op.name()))
    }

    #[cold]
    pub(super) fn no_time(&self, text: &[u8], form: &str) -> Box<Fault> {
        let text = String::from_utf8_lossy(text);
        self.reader.fault(ErrorClass::InvalidTimestamp, format!("'{}' cannot be read: {form}", shortened(&text)))
    }
}

/// The beginning of a number, which may be long.
fn shown(number: &[u8]) -> String {
    shortened(&String::from_utf8_lossy(number)).into_owned()
}
