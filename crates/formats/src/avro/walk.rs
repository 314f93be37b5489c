//! Walks a body: checks every value and appends it to its column, in one pass.

use uuid::Uuid;

use crate::avro::cursor::Cursor;
use crate::avro::program::{Items, Op, Program, Record, Scale, What};
use crate::avro::skip::skip;
use crate::class::ErrorClass;
use crate::column::{Column, Struct};
use crate::fault::{Fault, Step};
use crate::limits::{Limits, WORTH};

/// Appends the value of `body` to `root`, the struct of the value's columns, as one row; the result is the number of
/// values it was charged for. If it fails, the caller truncates `root`.
pub(crate) fn decode(program: &Program, body: &[u8], root: &mut Column, limits: &Limits) -> Step<usize> {
    if body.len() > limits.bytes {
        let problem = format!("the value has {} bytes, the limit is {}", body.len(), limits.bytes);
        return Err(Fault::new(ErrorClass::TooLarge, 0, problem));
    }
    let mut cursor = Cursor::new(body, limits);
    let walk = Walk { program, limits };
    match (&program.root, root) {
        (Op::Record(record), Column::Struct(columns)) => walk.record(record, columns, &mut cursor)?,
        _ => return Err(mismatch(&cursor)),
    }
    cursor.end()?;
    Ok(cursor.values_used(limits))
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    program: &'a Program,
    limits: &'a Limits,
}

impl Walk<'_> {
    /// The types that most columns have, without a call; [`Walk::nested`] and [`other`] do the rest.
    #[inline(always)]
    fn value(self, op: &Op, column: &mut Column, cursor: &mut Cursor<'_>) -> Step {
        match (op, column) {
            (Op::String, Column::Bytes(c)) => room(c.push(cursor.string()?), cursor),
            (Op::Long, Column::Int64(c)) => {
                c.push(cursor.long()?);
                Ok(())
            }
            (Op::Within { int: false, least, most }, Column::Int64(c)) => {
                c.push(in_range(cursor.long()?, (*least, *most), cursor)?);
                Ok(())
            }
            (Op::Double, Column::Float64(c)) => {
                c.push(f64::from_le_bytes(cursor.array("a double")?));
                Ok(())
            }
            (Op::Int, Column::Int32(c)) => {
                c.push(cursor.int()?);
                Ok(())
            }
            (Op::Decimal128(decimal), Column::Decimal128(c)) => {
                c.push(decimal.read(cursor)?);
                Ok(())
            }
            (Op::Nullable { null, other }, column) => {
                let branch = cursor.index(2, ErrorClass::InvalidUnionBranch, "union branch")?;
                if branch == usize::from(*null) {
                    column.push_null();
                    return Ok(());
                }
                self.nested(other, column, cursor)
            }
            (op, column) => self.nested(op, column, cursor),
        }
    }

    #[inline(never)]
    fn nested(self, op: &Op, column: &mut Column, cursor: &mut Cursor<'_>) -> Step {
        match (op, column) {
            (Op::String, Column::Bytes(c)) => room(c.push(cursor.string()?), cursor),
            (
                Op::Nullable { .. }
                | Op::Within { int: false, .. }
                | Op::Long
                | Op::Int
                | Op::Double
                | Op::Decimal128(_),
                column,
            ) => self.value(op, column, cursor),
            (Op::Record(record), Column::Struct(columns)) => self.record(record, columns, cursor),
            (Op::Array(items), Column::List(list)) => {
                self.array(items, &mut list.items, cursor)?;
                room(list.end(), cursor)
            }
            (Op::Map(items), Column::Map(map)) => {
                while let Some(block) = cursor.block(items.width, items.empty)? {
                    for _ in 0..block.items {
                        room(map.keys.push(cursor.string()?), cursor)?;
                        self.value(&items.op, &mut map.values, cursor)?;
                    }
                    cursor.end_block(&block)?;
                }
                room(map.end(), cursor)
            }
            (Op::Union(branches), column) => {
                let branch = cursor.index(branches.len(), ErrorClass::InvalidUnionBranch, "union branch")?;
                self.nested(&branches[branch], column, cursor)
            }
            (Op::Member { member, op }, Column::Struct(columns)) => {
                for (index, child) in columns.children.iter_mut().enumerate() {
                    if index == *member {
                        self.nested(op, child, cursor)?;
                    } else {
                        child.push_null();
                    }
                }
                columns.end();
                Ok(())
            }
            (op, column) => other(op, column, cursor),
        }
    }

    #[inline]
    fn record(self, record: &Record, columns: &mut Struct, cursor: &mut Cursor<'_>) -> Step {
        for step in &record.steps {
            let done = match &step.what {
                What::Read { column, op } => self.value(op, &mut columns.children[*column], cursor),
                What::Skip(node) => skip(self.program, *node, cursor),
                What::Default { column, op, bytes, cost } => cursor.charge(*cost).and_then(|()| {
                    self.nested(op, &mut columns.children[*column], &mut Cursor::new(bytes, self.limits))
                }),
            };
            if let Err(fault) = done {
                return Err(fault.within(&step.name));
            }
        }
        columns.end();
        Ok(())
    }

    fn array(self, items: &Items, column: &mut Column, cursor: &mut Cursor<'_>) -> Step {
        while let Some(block) = cursor.block(items.width, items.empty)? {
            for _ in 0..block.items {
                self.value(&items.op, column, cursor)?;
            }
            cursor.end_block(&block)?;
        }
        Ok(())
    }
}

/// The types without parts that fewer columns have.
#[expect(clippy::cast_precision_loss, reason = "Avro promotes integers to floating-point numbers")]
#[inline(never)]
fn other(op: &Op, column: &mut Column, cursor: &mut Cursor<'_>) -> Step {
    match (op, column) {
        (Op::Null, column) => column.push_null(),
        (Op::Bytes, Column::Bytes(c)) => return room(c.push(cursor.bytes()?), cursor),
        (Op::Boolean, Column::Boolean { values, nulls }) => {
            values.append(cursor.boolean()?);
            nulls.append_non_null();
        }
        (Op::Float, Column::Float32(c)) => c.push(f32::from_le_bytes(cursor.array("a float")?)),
        (Op::IntToLong, Column::Int64(c)) => c.push(i64::from(cursor.int()?)),
        (Op::IntToFloat, Column::Float32(c)) => c.push(cursor.int()? as f32),
        (Op::IntToDouble, Column::Float64(c)) => c.push(f64::from(cursor.int()?)),
        (Op::LongToFloat, Column::Float32(c)) => c.push(cursor.long()? as f32),
        (Op::LongToDouble, Column::Float64(c)) => c.push(cursor.long()? as f64),
        (Op::FloatToDouble, Column::Float64(c)) => c.push(f64::from(f32::from_le_bytes(cursor.array("a float")?))),
        (Op::Rescale { int, scale, range }, Column::Int64(c)) => {
            c.push(in_range(rescaled(*int, *scale, cursor)?, *range, cursor)?);
        }
        (Op::Within { int: true, least, most }, Column::Int64(c)) => {
            c.push(in_range(i64::from(cursor.int()?), (*least, *most), cursor)?);
        }
        (Op::Within { int: true, least, most }, Column::Int32(c)) => {
            let value = cursor.int()?;
            in_range(i64::from(value), (*least, *most), cursor)?;
            c.push(value);
        }
        (Op::Decimal256(decimal), Column::Decimal256(c)) => c.push(decimal.read(cursor)?),
        (Op::Fixed(size), column) => return fixed(*size, column, cursor),
        (Op::Uuid, Column::Bytes(c)) => {
            let mut text = Uuid::encode_buffer();
            let text = Uuid::from_bytes(cursor.array("a uuid")?).hyphenated().encode_lower(&mut text);
            return room(c.push(text.as_bytes()), cursor);
        }
        (Op::Enum(symbols), Column::Bytes(c)) => {
            match &symbols[cursor.index(symbols.len(), ErrorClass::InvalidEnum, "enum symbol")?] {
                Ok(text) => {
                    // A number stands for them in the body.
                    cursor.charge(text.len() / WORTH)?;
                    return room(c.push(text.as_bytes()), cursor);
                }
                Err(problem) => return Err(cursor.fault(ErrorClass::Unresolvable, &**problem)),
            }
        }
        (Op::Duration, Column::Struct(columns)) => {
            for child in &mut columns.children {
                let part = u32::from_le_bytes(cursor.array("a duration")?);
                if let Column::Int64(c) = child {
                    c.push(i64::from(part));
                }
            }
            columns.end();
        }
        (Op::Unresolvable(problem), _) => return Err(cursor.fault(ErrorClass::Unresolvable, &**problem)),
        _ => return Err(mismatch(cursor)),
    }
    Ok(())
}

/// `value`, if it is one that the column may hold.
#[inline]
fn in_range(value: i64, (least, most): (i64, i64), cursor: &Cursor<'_>) -> Step<i64> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(out_of_range(value, cursor))
}

#[cold]
fn out_of_range(value: i64, cursor: &Cursor<'_>) -> Box<Fault> {
    cursor.fault(ErrorClass::OutOfRange, format!("the date or time {value} is none that a calendar or a day has"))
}

fn rescaled(int: bool, scale: Scale, cursor: &mut Cursor<'_>) -> Step<i64> {
    let value = if int { i64::from(cursor.int()?) } else { cursor.long()? };
    let scaled = match scale {
        Scale::Multiply(by) => value.checked_mul(by),
        Scale::Divide(by) => Some(value.div_euclid(by)),
    };
    scaled.ok_or_else(|| {
        let problem = format!("the time {value} does not fit the unit of its column");
        cursor.fault(ErrorClass::OutOfRange, problem)
    })
}

fn fixed(size: usize, column: &mut Column, cursor: &mut Cursor<'_>) -> Step {
    let bytes = cursor.fixed(size)?;
    match column {
        Column::Fixed { values, nulls, .. } => {
            values.extend_from_slice(bytes);
            nulls.append_non_null();
            Ok(())
        }
        Column::Bytes(c) => room(c.push(bytes), cursor),
        _ => Err(mismatch(cursor)),
    }
}

/// A column that is full fails the event that does not fit.
#[inline]
fn room(there_is: bool, cursor: &Cursor<'_>) -> Step {
    if there_is {
        return Ok(());
    }
    Err(cursor.fault(ErrorClass::TooLarge, "a column of the event does not fit 2 GiB"))
}

#[cold]
fn mismatch(cursor: &Cursor<'_>) -> Box<Fault> {
    cursor.fault(ErrorClass::DecodeFailed, "the program does not fit the column; please report this")
}
