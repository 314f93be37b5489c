//! Casts a whole array at a time.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, MapArray, PrimitiveArray, StructArray, UInt64Array,
    make_array, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast, cast_with_options, take};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, Field, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, exec_err};

use super::{number, show};
use crate::calendar::{DAY, SECOND};
use crate::time::text::{ZoneInText, parse_date, parse_timestamp};
use crate::types;

/// `values` as `to`. A value that the type cannot hold is an error; with `lenient` it becomes NULL.
///
/// # Errors
/// See above; and pairs of types that the planner refuses.
pub fn run(values: &ArrayRef, to: &DataType, lenient: bool) -> Result<ArrayRef> {
    let from = values.data_type();
    if from == to {
        return Ok(Arc::clone(values));
    }
    if from.is_null() {
        return Ok(new_null_array(to, values.len()));
    }
    if let DataType::Dictionary(_, plain) = from {
        return run(&cast(values, plain)?, to, lenient);
    }
    match to {
        t if types::is_text(t) => Ok(cast(&show::text(values)?, to)?),
        DataType::List(item) => list(values, item, lenient),
        DataType::Struct(fields) => structs(values, fields, lenient),
        DataType::Map(entries, _) => map(values, entries, lenient),
        _ if types::is_text(from) => Cast { values, to, lenient }.of_text(),
        _ if types::is_decimal(from) => Cast { values, to, lenient }.of_decimal(),
        _ if types::is_float(from) => Cast { values, to, lenient }.of_float(),
        _ if from.is_integer() => Cast { values, to, lenient }.of_whole(),
        DataType::Date32 if matches!(from, DataType::Timestamp(..)) => days(values, lenient),
        DataType::Timestamp(TimeUnit::Microsecond, _) if from == &DataType::Date32 => {
            Cast { values, to, lenient }
                .mapped::<Date32Type, TimestampMicrosecondType>(|day| i64::from(day).checked_mul(DAY))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) if matches!(from, DataType::Timestamp(..)) => {
            Ok(Arc::new(micros(values, lenient)?.with_timezone_opt(zone.clone())))
        }
        _ if from == &DataType::Boolean && types::is_decimal(to) => run(&cast(values, &DataType::Int32)?, to, lenient),
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
            if matches!(from, DataType::Timestamp(..)) =>
        {
            of_timestamp(values, to, lenient)
        }
        _ => Ok(cast_with_options(values, to, &options(lenient))?),
    }
}

fn options(lenient: bool) -> CastOptions<'static> {
    CastOptions { safe: lenient, ..CastOptions::default() }
}

/// What one cast of simple values is about.
struct Cast<'a> {
    values: &'a ArrayRef,
    to: &'a DataType,
    lenient: bool,
}

/// Calls `$make::<T>` with the type of whole numbers that is cast to, and its limits.
macro_rules! whole {
    ($cast:expr, $from:ty, $to:expr, $one:expr) => {
        match $to {
            DataType::Int8 => {
                $cast.mapped::<$from, Int8Type>(|v| i8::try_from($one(v, i8::MIN.into(), i8::MAX.into())?).ok())
            }
            DataType::Int16 => {
                $cast.mapped::<$from, Int16Type>(|v| i16::try_from($one(v, i16::MIN.into(), i16::MAX.into())?).ok())
            }
            DataType::Int32 => {
                $cast.mapped::<$from, Int32Type>(|v| i32::try_from($one(v, i32::MIN.into(), i32::MAX.into())?).ok())
            }
            _ => $cast.mapped::<$from, Int64Type>(|v| i64::try_from($one(v, i64::MIN, i64::MAX)?).ok()),
        }
    };
}

impl Cast<'_> {
    fn of_whole(&self) -> Result<ArrayRef> {
        let values = cast_with_options(self.values, &DataType::Int64, &options(self.lenient))?;
        let this = Cast { values: &values, ..*self };
        match self.to {
            t if t.is_integer() => whole!(this, Int64Type, t, |v: i64, _: i64, _: i64| Some(v)),
            DataType::Decimal128(p, s) => {
                let (p, s) = (*p, *s);
                this.mapped::<Int64Type, Decimal128Type>(|v| number::fits(number::rescaled(v.into(), 0, s)?, p))
            }
            DataType::Timestamp(..) => this.mapped::<Int64Type, TimestampMicrosecondType>(|v| v.checked_mul(SECOND)),
            _ => Ok(cast(self.values, self.to)?),
        }
    }

    /// Microseconds as seconds.
    fn of_micros(&self) -> Result<ArrayRef> {
        let DataType::Decimal128(p, s) = *self.to else { return Ok(cast(self.values, self.to)?) };
        self.mapped::<Int64Type, Decimal128Type>(|v| number::fits(number::rescaled(v.into(), 6, s)?, p))
    }

    fn of_float(&self) -> Result<ArrayRef> {
        let values = cast(self.values, &DataType::Float64)?;
        let this = Cast { values: &values, ..*self };
        match self.to {
            t if t.is_integer() => whole!(this, Float64Type, t, |v: f64, least: i64, most: i64| {
                number::whole_of_double(v, least, most)
            }),
            DataType::Decimal128(p, s) => {
                let (p, s) = (*p, *s);
                // As in Spark, NaN and infinity become NULL when cast to DECIMAL.
                let finite: PrimitiveArray<Float64Type> =
                    values.as_primitive::<Float64Type>().unary_opt(|v: f64| v.is_finite().then_some(v));
                let finite: ArrayRef = Arc::new(finite);
                Cast { values: &finite, ..this }
                    .mapped::<Float64Type, Decimal128Type>(|v| number::decimal_of_double(v, p, s))
            }
            DataType::Timestamp(..) => this.mapped::<Float64Type, TimestampMicrosecondType>(|v| {
                number::whole_of_double(v * 1e6, i64::MIN, i64::MAX)
            }),
            _ => Ok(cast(self.values, self.to)?),
        }
    }

    fn of_decimal(&self) -> Result<ArrayRef> {
        if let (DataType::Decimal256(_, from), DataType::Decimal128(p, s)) = (self.values.data_type(), self.to) {
            let (from, p, s) = (*from, *p, *s);
            return self.mapped::<Decimal256Type, Decimal128Type>(|v| {
                number::fits(number::rescaled(v.to_i128()?, from, s)?, p)
            });
        }
        let DataType::Decimal128(_, scale) = self.values.data_type() else {
            return exec_err!("{} cannot be cast", types::article(self.values.data_type()));
        };
        let scale = *scale;
        let divisor = number::power(u32::try_from(scale).unwrap_or_default()).unwrap_or(i128::MAX);
        match self.to {
            t if t.is_integer() => whole!(self, Decimal128Type, t, |v: i128, _: i64, _: i64| Some(v / divisor)),
            DataType::Decimal128(p, s) => {
                let (p, s) = (*p, *s);
                self.mapped::<Decimal128Type, Decimal128Type>(|v| number::fits(number::rescaled(v, scale, s)?, p))
            }
            DataType::Float64 => {
                self.mapped::<Decimal128Type, Float64Type>(|v| Some(number::double_of_decimal(v, scale)))
            }
            DataType::Float32 => {
                self.mapped::<Decimal128Type, Float32Type>(|v| Some(number::float_of_decimal(v, scale)))
            }
            DataType::Boolean => {
                let decimals = self.values.as_primitive::<Decimal128Type>();
                Ok(Arc::new(BooleanArray::from_unary(decimals, |v| v != 0)))
            }
            DataType::Timestamp(..) => {
                self.mapped::<Decimal128Type, TimestampMicrosecondType>(|v| number::micros_of_seconds(v, scale))
            }
            _ => Ok(cast(self.values, self.to)?),
        }
    }

    fn of_text(&self) -> Result<ArrayRef> {
        match self.to {
            DataType::Int8 => self.parsed::<Int8Type>(|t| i8::try_from(number::whole(t)?).ok()),
            DataType::Int16 => self.parsed::<Int16Type>(|t| i16::try_from(number::whole(t)?).ok()),
            DataType::Int32 => self.parsed::<Int32Type>(|t| i32::try_from(number::whole(t)?).ok()),
            DataType::Int64 => self.parsed::<Int64Type>(number::whole),
            DataType::Float32 => self.parsed::<Float32Type>(number::floating),
            DataType::Float64 => self.parsed::<Float64Type>(number::floating),
            DataType::Decimal128(p, s) => self.parsed::<Decimal128Type>(|t| number::decimal(t, *p, *s)),
            DataType::Date32 => self.parsed::<Date32Type>(parse_date),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                let zone = ZoneInText::of_cast(zone.is_some());
                self.parsed::<TimestampMicrosecondType>(|t| parse_timestamp(t, zone))
            }
            DataType::Boolean => {
                let texts = cast(self.values, &DataType::Utf8)?;
                let found = texts.as_string::<i32>().iter().map(|text| match text {
                    None => Ok(None),
                    Some(text) => self.judged(number::boolean(text), || format!("'{text}'")),
                });
                Ok(Arc::new(found.collect::<Result<BooleanArray>>()?))
            }
            _ => {
                let texts = cast(self.values, &DataType::Utf8)?;
                Ok(cast_with_options(&texts, self.to, &options(self.lenient))?)
            }
        }
    }

    fn judged<T>(&self, value: Option<T>, shown: impl Fn() -> String) -> Result<Option<T>> {
        match value {
            None if !self.lenient => Err(self.bad(&shown())),
            value => Ok(value),
        }
    }

    fn bad(&self, value: &str) -> DataFusionError {
        let to = types::name(self.to);
        if types::is_text(self.values.data_type()) {
            exec_datafusion_err!("{value} is no {to}")
        } else {
            exec_datafusion_err!("{value} does not fit in {to}")
        }
    }

    fn parsed<T: ArrowPrimitiveType>(&self, parse: impl Fn(&str) -> Option<T::Native>) -> Result<ArrayRef> {
        let texts = cast(self.values, &DataType::Utf8)?;
        let parsed = texts.as_string::<i32>().iter().map(|text| match text {
            None => Ok(None),
            Some(text) => self.judged(parse(text), || format!("'{}'", shortened(text))),
        });
        let parsed: PrimitiveArray<T> = parsed.collect::<Result<Vec<_>>>()?.into_iter().collect();
        Ok(Arc::new(parsed.with_data_type(self.to.clone())))
    }

    fn mapped<F: ArrowPrimitiveType, T: ArrowPrimitiveType>(
        &self,
        one: impl Fn(F::Native) -> Option<T::Native>,
    ) -> Result<ArrayRef> {
        let from = self.values.as_primitive::<F>();
        let mapped: PrimitiveArray<T> = from.unary_opt(one);
        if !self.lenient && mapped.null_count() > from.null_count() {
            let at = (0..from.len()).find(|i| mapped.is_null(*i) && from.is_valid(*i)).unwrap_or_default();
            return Err(self.bad(&shown(self.values, at)));
        }
        Ok(Arc::new(mapped.with_data_type(self.to.clone())))
    }
}

/// The value at `at` as text, for messages.
#[must_use]
pub fn shown(values: &ArrayRef, at: usize) -> String {
    let text = show::text(&values.slice(at, 1)).ok();
    let text = text.as_ref().and_then(|t| t.as_string_opt::<i32>()).filter(|t| t.is_valid(0));
    text.map_or_else(|| "NULL".to_owned(), |t| shortened(t.value(0)).into_owned())
}

/// The first 60 letters of a text.
fn shortened(text: &str) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()).into(),
        None => text.into(),
    }
}

/// Timestamps of any unit in microseconds, without their zone: all of them are UTC.
fn micros(values: &ArrayRef, lenient: bool) -> Result<PrimitiveArray<TimestampMicrosecondType>> {
    let zone = match values.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    // Arrow looks every value up in its calendar, which ends before ours, where it has to add a zone.
    let micros = cast_with_options(values, &DataType::Timestamp(TimeUnit::Microsecond, zone), &options(lenient))?;
    Ok(micros.as_primitive::<TimestampMicrosecondType>().clone().with_timezone_opt(None::<Arc<str>>))
}

/// The days that timestamps are in.
fn days(values: &ArrayRef, lenient: bool) -> Result<ArrayRef> {
    #[expect(clippy::cast_possible_truncation, reason = "64 bits of microseconds are fewer days than 32 bits hold")]
    let days: PrimitiveArray<Date32Type> = micros(values, lenient)?.unary(|micros| micros.div_euclid(DAY) as i32);
    Ok(Arc::new(days))
}

/// Seconds since 1970.
fn of_timestamp(values: &ArrayRef, to: &DataType, lenient: bool) -> Result<ArrayRef> {
    let micros = micros(values, lenient)?;
    if to.is_integer() {
        let seconds: PrimitiveArray<Int64Type> = micros.unary(|v| v.div_euclid(SECOND));
        return run(&(Arc::new(seconds) as ArrayRef), to, lenient);
    }
    if types::is_decimal(to) {
        // A DOUBLE does not hold every microsecond.
        let exact: ArrayRef = Arc::new(micros.reinterpret_cast::<Int64Type>());
        return Cast { values: &exact, to, lenient }.of_micros();
    }
    #[expect(clippy::cast_precision_loss, reason = "Spark gives the nearest double, too")]
    let seconds: PrimitiveArray<Float64Type> = micros.unary(|v| v as f64 / 1e6);
    run(&(Arc::new(seconds) as ArrayRef), to, lenient)
}

fn list(values: &ArrayRef, item: &Arc<Field>, lenient: bool) -> Result<ArrayRef> {
    let values = match values.data_type() {
        DataType::LargeList(field) => cast(values, &DataType::List(Arc::clone(field)))?,
        _ => Arc::clone(values),
    };
    // Only what the rows have: a slice of an array, and one with NULLs, may hold more items.
    let values = compact(&values)?;
    let Some(list) = values.as_list_opt::<i32>() else { return cannot(&values, "ARRAY") };
    let items = run(list.values(), item.data_type(), lenient)?;
    let item = Arc::new(item.as_ref().clone().with_nullable(item.is_nullable() || items.null_count() > 0));
    let cast = arrow::array::ListArray::try_new(item, list.offsets().clone(), items, list.nulls().cloned())?;
    Ok(Arc::new(cast))
}

fn structs(values: &ArrayRef, fields: &arrow::datatypes::Fields, lenient: bool) -> Result<ArrayRef> {
    let Some(structs) = values.as_struct_opt().filter(|s| s.num_columns() == fields.len()) else {
        return cannot(values, "STRUCT");
    };
    let columns =
        structs.columns().iter().zip(fields).map(|(c, f)| run(&under(c, structs.nulls())?, f.data_type(), lenient));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, structs.nulls().cloned(), structs.len())?))
}

fn map(values: &ArrayRef, entries: &Arc<Field>, lenient: bool) -> Result<ArrayRef> {
    let values = &compact(values)?;
    let (Some(map), DataType::Struct(pair)) = (values.as_map_opt(), entries.data_type()) else {
        return cannot(values, "MAP");
    };
    let columns = vec![run(map.keys(), pair[0].data_type(), false)?, run(map.values(), pair[1].data_type(), lenient)?];
    let held = StructArray::try_new(pair.clone(), columns, None)?;
    Ok(Arc::new(MapArray::try_new(Arc::clone(entries), map.offsets().clone(), held, map.nulls().cloned(), false)?))
}

/// The same rows without items that belong to none of them.
fn compact(values: &ArrayRef) -> Result<ArrayRef> {
    let all = UInt64Array::from_iter_values(0..u64::try_from(values.len()).unwrap_or_default());
    Ok(take(values, &all, None)?)
}

/// A column of structs, NULL where the struct is.
pub(crate) fn under(column: &ArrayRef, nulls: Option<&NullBuffer>) -> Result<ArrayRef> {
    let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else { return Ok(Arc::clone(column)) };
    let all = NullBuffer::union(Some(nulls), column.logical_nulls().as_ref());
    Ok(make_array(column.to_data().into_builder().nulls(all).build()?))
}

fn cannot<T>(values: &ArrayRef, to: &str) -> Result<T> {
    exec_err!("{} cannot be cast to {to}", types::article(values.data_type()))
}
