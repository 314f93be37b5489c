//! Walks an event: checks every byte and appends every value to its column, in one pass.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::names::{Names, Seen};
use super::plan::{Item, Op, Record};
use super::reader::{Reader, shortened};
use super::rescue::Rescued;
use super::text::compact;
use super::time;
use super::{Declared, Extra};
use crate::class::ErrorClass;
use crate::column::{Column, Struct};
use crate::fault::{Fault, Step};
use crate::limits::Limits;

/// Appends the event `value` to `root`, the struct of the value's columns, as one row; the result is the number of values that
/// it was charged for. If it fails, the caller truncates `root`.
pub(super) fn decode(declared: &Declared, value: &[u8], root: &mut Struct) -> Step<usize> {
    let limits = &declared.limits;
    check_text(value, limits)?;
    let mut walk = Walk { reader: Reader::new(value, limits), declared, rescued: Rescued::default() };
    match walk.event(&declared.record, root) {
        Ok(()) => Ok(walk.reader.values_used(limits)),
        Err(fault) => Err(first_of(fault, value, limits)),
    }
}

/// Appends `value`, of any type, to `column`, as [`decode`] does. If it fails, the caller truncates `column`.
pub(super) fn decode_one(declared: &Declared, op: &Op, required: bool, value: &[u8], column: &mut Column) -> Step {
    let limits = &declared.limits;
    check_text(value, limits)?;
    let mut walk = Walk { reader: Reader::new(value, limits), declared, rescued: Rescued::default() };
    let read = walk.value(op, required, None, column).and_then(|()| walk.reader.end());
    read.map_err(|fault| first_of(fault, value, limits))
}

fn check_text(value: &[u8], limits: &Limits) -> Step {
    if value.len() > limits.bytes {
        let problem = format!("the value has {} bytes, the limit is {}", value.len(), limits.bytes);
        return Err(Fault::new(ErrorClass::TooLarge, 0, problem));
    }
    if value.first() == Some(&0) {
        let problem = "it begins with the byte 0x00, as the framing of a schema registry does: no JSON does";
        return Err(Fault::new(ErrorClass::NotJson, 0, problem));
    }
    std::str::from_utf8(value)
        .map(drop)
        .map_err(|error| Fault::new(ErrorClass::InvalidUtf8, error.valid_up_to(), "the value is not UTF-8"))
}

/// What is told of an event that failed with `fault`. What is wrong with it as JSON comes first, so that its class does not depend on
/// which columns are declared, nor on the order of its fields.
#[cold]
fn first_of(fault: Box<Fault>, value: &[u8], limits: &Limits) -> Box<Fault> {
    match Reader::new(value, limits).only_value() {
        Err(of_text) if of_text.class != fault.class => of_text,
        _ => fault,
    }
}

pub(super) struct Walk<'a, 'p> {
    pub(super) reader: Reader<'a>,
    pub(super) declared: &'p Declared,
    rescued: Rescued,
}

impl<'a> Walk<'a, '_> {
    fn event(&mut self, record: &Record, root: &mut Struct) -> Step {
        if self.reader.ahead() != Some(b'{') {
            let problem = format!("the event is {}, and an object is wanted", self.what_stands_here());
            return Err(self.reader.fault(ErrorClass::NotAnObject, problem));
        }
        self.record(record, &mut root.children)?;
        self.reader.end()?;
        if self.declared.extra == Extra::Rescue
            && let Some(Column::Bytes(column)) = root.children.get_mut(record.fields.len())
        {
            match std::mem::take(&mut self.rescued).finish() {
                Some(text) => self.room(column.push(&text))?,
                None => column.push_null(),
            }
        }
        root.end();
        Ok(())
    }

    /// The object that stands here, into `columns`, one a field.
    fn record(&mut self, record: &Record, columns: &mut [Column]) -> Step {
        self.reader.enter()?;
        let mut seen = Seen::none(record.fields.len());
        let mut others: Option<Names<'a>> = None;
        let mut guess = 0;
        let mut goes_on = self.reader.has_first(b'}');
        while goes_on {
            let name = self.reader.name()?;
            match record.place(&name, guess) {
                Some(at) if !seen.add(at) => return Err(self.reader.twice(&name)),
                Some(at) => {
                    guess = at + 1;
                    self.field(record, at, columns)?;
                }
                None => {
                    self.reader.unique(name.clone(), others.get_or_insert_default())?;
                    self.other(&name)?;
                }
            }
            goes_on = self.reader.has_more(b'}')?;
        }
        if seen.count() < record.fields.len() { self.fill(record, &seen, columns) } else { Ok(()) }
    }

    #[inline]
    fn field(&mut self, record: &Record, at: usize, columns: &mut [Column]) -> Step {
        let (Some(field), Some(column)) = (record.fields.get(at), columns.get_mut(at)) else {
            return Err(self.mismatch());
        };
        let name = Some(field.name.as_bytes());
        self.value(&field.op, field.required, name, column).map_err(|fault| fault.within(&field.name))
    }

    /// The fields of `record` that an object lacks.
    fn fill(&mut self, record: &Record, seen: &Seen, columns: &mut [Column]) -> Step {
        for (at, (field, column)) in record.fields.iter().zip(columns).enumerate() {
            if seen.has(at) {
                continue;
            }
            if field.required {
                let problem = "it is NOT NULL, and the event does not have it";
                return Err(self.reader.fault(ErrorClass::MissingField, problem).within(&field.name));
            }
            column.push_null();
        }
        Ok(())
    }

    /// The value of a field that is not declared.
    fn other(&mut self, name: &[u8]) -> Step {
        match self.declared.extra {
            Extra::Ignore => self.reader.skip(),
            Extra::Letter => {
                let name = String::from_utf8_lossy(name);
                let problem = format!("the field '{}' is not declared", shortened(&name));
                Err(self.reader.fault(ErrorClass::ExtraField, problem))
            }
            Extra::Rescue => {
                let json = self.json()?;
                self.rescued.add(name, json, &mut self.reader)
            }
        }
    }

    /// The text of the value that stands here.
    fn json(&mut self) -> Step<&'a [u8]> {
        self.reader.ahead();
        let start = self.reader.at();
        self.reader.skip()?;
        Ok(self.reader.since(start))
    }

    /// The value that stands here, into `column`; `name` is that of its field or of its entry in a map.
    fn value(&mut self, op: &Op, required: bool, name: Option<&[u8]>, column: &mut Column) -> Step {
        let first = self.reader.ahead();
        if first == Some(b'n') {
            self.reader.word("null")?;
            if required {
                return Err(self.reader.fault(ErrorClass::NullField, "it is NOT NULL, and the event has null"));
            }
            column.push_null();
            return Ok(());
        }
        match (op, column) {
            (Op::Text, Column::Bytes(c)) => {
                let text = match first {
                    Some(b'"') => self.reader.string()?,
                    _ => self.json_text()?,
                };
                self.room(c.push(&text))
            }
            (Op::Int64, Column::Int64(c)) => {
                c.push(self.integer(op)?);
                Ok(())
            }
            (Op::Int32, Column::Int32(c)) => {
                c.push(self.narrow(op)?);
                Ok(())
            }
            (Op::Float64, Column::Float64(c)) => {
                c.push(self.float(op)?);
                Ok(())
            }
            (Op::Timestamp { in_utc }, Column::Int64(c)) => {
                c.push(self.timestamp(op, *in_utc)?);
                Ok(())
            }
            (Op::Boolean, Column::Boolean { values, nulls }) => {
                values.append(self.boolean(op)?);
                nulls.append_non_null();
                Ok(())
            }
            (Op::List(_) | Op::Map(_) | Op::Struct(_), column) => {
                if self.declared.extra != Extra::Rescue {
                    return self.nested(op, column);
                }
                let before = name.map(|name| self.rescued.enter(name));
                self.nested(op, column)?;
                before.into_iter().for_each(|before| self.rescued.leave(before));
                Ok(())
            }
            (op, column) => self.rarer(op, column),
        }
    }

    /// The types without parts that fewer columns have.
    #[inline(never)]
    fn rarer(&mut self, op: &Op, column: &mut Column) -> Step {
        match (op, column) {
            (Op::Int8, Column::Int8(c)) => c.push(self.narrow(op)?),
            (Op::Int16, Column::Int16(c)) => c.push(self.narrow(op)?),
            (Op::Float32, Column::Float32(c)) => c.push(self.float(op)?),
            (Op::Decimal { precision, scale }, Column::Decimal128(c)) => c.push(self.decimal(op, *precision, *scale)?),
            (Op::Date, Column::Int32(c)) => {
                let text = self.text(op)?;
                let days = time::date(&text).ok_or_else(|| self.no_time(&text, "a date is written as 2026-11-30"))?;
                c.push(days);
            }
            (Op::Bytes, Column::Bytes(c)) => {
                let text = self.text(op)?;
                let bytes = STANDARD.decode(&*text).map_err(|_| {
                    self.reader.fault(ErrorClass::WrongType, "the text is not base64, the form of BINARY in JSON")
                })?;
                return self.room(c.push(&bytes));
            }
            _ => return Err(self.mismatch()),
        }
        Ok(())
    }

    fn nested(&mut self, op: &Op, column: &mut Column) -> Step {
        match (op, column) {
            (Op::Struct(record), Column::Struct(columns)) => {
                self.wants(b'{', op)?;
                self.record(record, &mut columns.children)?;
                columns.end();
                Ok(())
            }
            (Op::List(item), Column::List(list)) => {
                self.wants(b'[', op)?;
                self.items(item, &mut list.items)?;
                self.room(list.end())
            }
            (Op::Map(item), Column::Map(map)) => {
                self.wants(b'{', op)?;
                self.reader.enter()?;
                let mut names = Names::default();
                let mut goes_on = self.reader.has_first(b'}');
                while goes_on {
                    let name = self.reader.name()?;
                    self.reader.charge(1 + item.width)?;
                    self.room(map.keys.push(&name))?;
                    self.value(&item.op, item.required, Some(&name), &mut map.values)?;
                    self.reader.unique(name, &mut names)?;
                    goes_on = self.reader.has_more(b'}')?;
                }
                self.room(map.end())
            }
            _ => Err(self.mismatch()),
        }
    }

    fn items(&mut self, item: &Item, column: &mut Column) -> Step {
        self.reader.enter()?;
        let mut index = 0;
        let mut goes_on = self.reader.has_first(b']');
        while goes_on {
            self.reader.charge(item.width)?;
            if self.declared.extra == Extra::Rescue {
                let before = self.rescued.enter_item(index);
                self.value(&item.op, item.required, None, column)?;
                self.rescued.leave(before);
            } else {
                self.value(&item.op, item.required, None, column)?;
            }
            index += 1;
            goes_on = self.reader.has_more(b']')?;
        }
        Ok(())
    }

    /// What stands here, which is not a text, as the text of its JSON.
    fn json_text(&mut self) -> Step<Cow<'a, [u8]>> {
        let mut text = Vec::new();
        compact(self.json()?, &mut text);
        Ok(Cow::Owned(text))
    }

    /// Checks that the value that stands here begins with `first`, as those of `op` do.
    pub(super) fn wants(&mut self, first: u8, op: &Op) -> Step {
        if self.reader.ahead() == Some(first) { Ok(()) } else { Err(self.wrong_type(op)) }
    }

    /// A column that is full fails the event that does not fit.
    #[inline]
    fn room(&self, there_is: bool) -> Step {
        if there_is {
            return Ok(());
        }
        Err(self.reader.fault(ErrorClass::TooLarge, "a column of the event does not fit 2 GiB"))
    }

    fn what_stands_here(&mut self) -> &'static str {
        match self.reader.ahead() {
            Some(b'"') => "a text",
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        }
    }

    #[cold]
    pub(super) fn wrong_type(&mut self, op: &Op) -> Box<Fault> {
        let problem = format!("it is {}, and {} is wanted", self.what_stands_here(), op.name());
        self.reader.fault(ErrorClass::WrongType, problem)
    }

    #[cold]
    fn mismatch(&self) -> Box<Fault> {
        self.reader.fault(ErrorClass::DecodeFailed, "the plan does not fit the column; please report this")
    }
}
