//! One encoder a column: it casts the column to one of a few forms, and writes the bytes of a value.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, BooleanArray, Decimal128Array, Decimal256Array,
    FixedSizeBinaryArray, Float64Array, Int64Array, IntervalDayTimeArray, IntervalMonthDayNanoArray,
    IntervalYearMonthArray, LargeBinaryArray, LargeStringArray, PrimitiveArray, RunArray, StringArray, StringViewArray,
    UInt64Array, UnionArray,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, DataType, Date32Type, Date64Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Int16Type, Int32Type, Int64Type, IntervalUnit,
    RunEndIndexType, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};

mod put;

pub(super) use put::put_bytes;
use put::{put_decimal, put_instant, put_length, put_sized, put_tagged};

/// The tags of version 1, see [`crate::keys`].
pub(super) mod tag {
    pub const NULL: u8 = 0x00;
    pub const BOOLEAN: u8 = 0x01;
    pub const INTEGER: u8 = 0x02;
    pub const BIG_INTEGER: u8 = 0x03;
    pub const FLOAT: u8 = 0x04;
    pub const TEXT: u8 = 0x05;
    pub const BINARY: u8 = 0x06;
    pub const DECIMAL: u8 = 0x07;
    pub const TIMESTAMP: u8 = 0x08;
    pub const DATE: u8 = 0x09;
    pub const TIME: u8 = 0x0a;
    pub const DURATION: u8 = 0x0b;
    pub const MONTHS: u8 = 0x0c;
    pub const DAY_TIME: u8 = 0x0d;
    pub const MONTH_DAY_NANO: u8 = 0x0e;
    pub const LIST: u8 = 0x0f;
    pub const STRUCT: u8 = 0x10;
    pub const MAP: u8 = 0x11;
    pub const UNION: u8 = 0x12;
}

/// A column, ready to be encoded row by row.
pub(super) enum Encoder {
    Null,
    Boolean(BooleanArray),
    Integer(Int64Array),
    Unsigned(UInt64Array),
    Float(Float64Array),
    Text(StringArray),
    LargeText(LargeStringArray),
    TextView(StringViewArray),
    Binary(BinaryArray),
    LargeBinary(LargeBinaryArray),
    BinaryView(BinaryViewArray),
    FixedBinary(FixedSizeBinaryArray),
    Decimal(Decimal128Array, i8),
    WideDecimal(Decimal256Array, i8),
    /// An i64 under the given tag: dates and times.
    Plain(u8, Int64Array),
    /// An i64 in parts of a second under the given tag, and how many of them make a second.
    Instant(u8, Int64Array, i64),
    Months(IntervalYearMonthArray),
    DayTime(IntervalDayTimeArray),
    MonthDayNano(IntervalMonthDayNanoArray),
    /// For each row the range of its items; items.
    List(Option<NullBuffer>, Vec<(usize, usize)>, Box<Encoder>),
    Struct(Option<NullBuffer>, Vec<Encoder>),
    /// For each row the range of its entries; keys, values.
    Map(Option<NullBuffer>, Vec<(usize, usize)>, Box<[Encoder; 2]>),
    /// For each row the index of its value, if it has one; values. Dictionaries and runs.
    Indexed(Vec<Option<usize>>, Box<Encoder>),
    /// Rows; for each type id its values.
    Union(UnionArray, Vec<(i8, Encoder)>),
}

/// The type that has no encoding. Boxed: it is large, and hardly ever there.
type Unknown = Box<DataType>;

impl Encoder {
    pub fn try_new(column: &ArrayRef) -> Result<Self, Unknown> {
        use DataType as T;
        Ok(match column.data_type() {
            T::Null => Self::Null,
            T::Boolean => Self::Boolean(column.as_boolean().clone()),
            T::Int64 => Self::Integer(column.as_primitive().clone()),
            T::UInt64 => Self::Unsigned(column.as_primitive().clone()),
            T::Float64 => Self::Float(column.as_primitive().clone()),
            T::Int8 | T::Int16 | T::Int32 | T::UInt8 | T::UInt16 | T::UInt32 => {
                Self::Integer(widened(column, &T::Int64)?.as_primitive().clone())
            }
            T::Float16 | T::Float32 => Self::Float(widened(column, &T::Float64)?.as_primitive().clone()),
            T::Utf8 => Self::Text(column.as_string().clone()),
            T::LargeUtf8 => Self::LargeText(column.as_string().clone()),
            T::Utf8View => Self::TextView(column.as_string_view().clone()),
            T::Binary => Self::Binary(column.as_binary().clone()),
            T::LargeBinary => Self::LargeBinary(column.as_binary().clone()),
            T::BinaryView => Self::BinaryView(column.as_binary_view().clone()),
            T::FixedSizeBinary(_) => Self::FixedBinary(column.as_fixed_size_binary().clone()),
            T::Decimal128(_, scale) => Self::Decimal(column.as_primitive().clone(), *scale),
            T::Decimal256(_, scale) => Self::WideDecimal(column.as_primitive().clone(), *scale),
            T::Decimal32(precision, scale) | T::Decimal64(precision, scale) => {
                let wide = widened(column, &T::Decimal128(*precision, *scale))?;
                Self::Decimal(wide.as_primitive().clone(), *scale)
            }
            T::Interval(IntervalUnit::YearMonth) => Self::Months(column.as_primitive().clone()),
            T::Interval(IntervalUnit::DayTime) => Self::DayTime(column.as_primitive().clone()),
            T::Interval(IntervalUnit::MonthDayNano) => Self::MonthDayNano(column.as_primitive().clone()),
            T::Date32 | T::Date64 | T::Time32(_) | T::Time64(_) | T::Timestamp(..) | T::Duration(_) => time(column)?,
            _ => return Self::nested(column),
        })
    }

    fn nested(column: &ArrayRef) -> Result<Self, Unknown> {
        use DataType as T;
        let nulls = column.nulls().cloned();
        Ok(match column.data_type() {
            T::List(_) => {
                let list = column.as_list::<i32>();
                Self::List(nulls, ranges(list.value_offsets()), Self::boxed(list.values())?)
            }
            T::LargeList(_) => {
                let list = column.as_list::<i64>();
                Self::List(nulls, ranges(list.value_offsets()), Self::boxed(list.values())?)
            }
            T::FixedSizeList(_, _) => {
                let list = column.as_fixed_size_list();
                let size = list.value_length().as_usize();
                let ranges = (0..list.len()).map(|row| (row * size, (row + 1) * size)).collect();
                Self::List(nulls, ranges, Self::boxed(list.values())?)
            }
            T::ListView(_) => {
                let list = column.as_list_view::<i32>();
                Self::List(nulls, views(list.value_offsets(), list.value_sizes()), Self::boxed(list.values())?)
            }
            T::LargeListView(_) => {
                let list = column.as_list_view::<i64>();
                Self::List(nulls, views(list.value_offsets(), list.value_sizes()), Self::boxed(list.values())?)
            }
            T::Struct(_) => {
                let fields = column.as_struct().columns().iter().map(Self::try_new);
                Self::Struct(nulls, fields.collect::<Result<_, _>>()?)
            }
            T::Map(_, _) => {
                let map = column.as_map();
                let entries = Box::new([Self::try_new(map.keys())?, Self::try_new(map.values())?]);
                Self::Map(nulls, ranges(map.value_offsets()), entries)
            }
            T::Dictionary(_, _) => {
                let dictionary = column.as_any_dictionary();
                let keys = dictionary.normalized_keys();
                let valid = |row: usize| dictionary.keys().is_valid(row);
                let index = keys.into_iter().enumerate().map(|(row, key)| valid(row).then_some(key));
                Self::Indexed(index.collect(), Self::boxed(dictionary.values())?)
            }
            T::RunEndEncoded(ends, _) => match ends.data_type() {
                T::Int16 => Self::runs::<Int16Type>(column)?,
                T::Int32 => Self::runs::<Int32Type>(column)?,
                _ => Self::runs::<Int64Type>(column)?,
            },
            T::Union(fields, _) => {
                let union = column.as_any().downcast_ref::<UnionArray>().cloned();
                let union = union.ok_or_else(|| Box::new(column.data_type().clone()))?;
                let child = |(id, _)| Ok((id, Self::try_new(union.child(id))?));
                let children = fields.iter().map(child).collect::<Result<_, Unknown>>()?;
                Self::Union(union, children)
            }
            other => return Err(Box::new(other.clone())),
        })
    }

    fn boxed(column: &ArrayRef) -> Result<Box<Self>, Unknown> {
        Self::try_new(column).map(Box::new)
    }

    fn runs<R: RunEndIndexType>(column: &ArrayRef) -> Result<Self, Unknown> {
        let runs = column.as_any().downcast_ref::<RunArray<R>>();
        let runs = runs.ok_or_else(|| Box::new(column.data_type().clone()))?;
        let index = (0..runs.len()).map(|row| Some(runs.get_physical_index(row))).collect();
        Ok(Self::Indexed(index, Self::boxed(runs.values())?))
    }

    /// Appends the encoding of the value at `row`.
    pub fn put(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Indexed(index, values) => match index[row] {
                Some(at) => values.put(at, out),
                None => out.push(tag::NULL),
            },
            _ if self.is_null(row) => out.push(tag::NULL),
            _ => self.put_valid(row, out),
        }
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Null => true,
            Self::Boolean(a) => a.is_null(row),
            Self::Integer(a) | Self::Plain(_, a) | Self::Instant(_, a, _) => a.is_null(row),
            Self::Unsigned(a) => a.is_null(row),
            Self::Float(a) => a.is_null(row),
            Self::Text(a) => a.is_null(row),
            Self::LargeText(a) => a.is_null(row),
            Self::TextView(a) => a.is_null(row),
            Self::Binary(a) => a.is_null(row),
            Self::LargeBinary(a) => a.is_null(row),
            Self::BinaryView(a) => a.is_null(row),
            Self::FixedBinary(a) => a.is_null(row),
            Self::Decimal(a, _) => a.is_null(row),
            Self::WideDecimal(a, _) => a.is_null(row),
            Self::Months(a) => a.is_null(row),
            Self::DayTime(a) => a.is_null(row),
            Self::MonthDayNano(a) => a.is_null(row),
            Self::List(nulls, ..) | Self::Struct(nulls, _) | Self::Map(nulls, ..) => {
                nulls.as_ref().is_some_and(|n| n.is_null(row))
            }
            // Their values say it themselves.
            Self::Indexed(..) | Self::Union(..) => false,
        }
    }

    fn put_valid(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Null | Self::Indexed(..) => out.push(tag::NULL),
            Self::Boolean(a) => out.extend([tag::BOOLEAN, u8::from(a.value(row))]),
            Self::Integer(a) => put_tagged(tag::INTEGER, &a.value(row).to_le_bytes(), out),
            Self::Unsigned(a) => {
                let value = a.value(row);
                let tag = if i64::try_from(value).is_ok() { tag::INTEGER } else { tag::BIG_INTEGER };
                put_tagged(tag, &value.to_le_bytes(), out);
            }
            Self::Float(a) => put_tagged(tag::FLOAT, &canonical(a.value(row)).to_le_bytes(), out),
            Self::Text(a) => put_sized(tag::TEXT, a.value(row).as_bytes(), out),
            Self::LargeText(a) => put_sized(tag::TEXT, a.value(row).as_bytes(), out),
            Self::TextView(a) => put_sized(tag::TEXT, a.value(row).as_bytes(), out),
            Self::Binary(a) => put_sized(tag::BINARY, a.value(row), out),
            Self::LargeBinary(a) => put_sized(tag::BINARY, a.value(row), out),
            Self::BinaryView(a) => put_sized(tag::BINARY, a.value(row), out),
            Self::FixedBinary(a) => put_sized(tag::BINARY, a.value(row), out),
            Self::Decimal(a, scale) => put_decimal(*scale, &a.value(row).to_le_bytes(), out),
            Self::WideDecimal(a, scale) => put_decimal(*scale, &a.value(row).to_le_bytes(), out),
            Self::Plain(tag, a) => put_tagged(*tag, &a.value(row).to_le_bytes(), out),
            Self::Instant(tag, a, per_second) => put_instant(*tag, a.value(row), *per_second, out),
            Self::Months(a) => put_tagged(tag::MONTHS, &a.value(row).to_le_bytes(), out),
            Self::DayTime(a) => {
                let value = a.value(row);
                put_tagged(tag::DAY_TIME, &value.days.to_le_bytes(), out);
                out.extend(value.milliseconds.to_le_bytes());
            }
            Self::MonthDayNano(a) => {
                let value = a.value(row);
                put_tagged(tag::MONTH_DAY_NANO, &value.months.to_le_bytes(), out);
                out.extend(value.days.to_le_bytes());
                out.extend(value.nanoseconds.to_le_bytes());
            }
            Self::List(_, ranges, items) => {
                let (from, to) = ranges[row];
                out.push(tag::LIST);
                put_length(to - from, out);
                (from..to).for_each(|item| items.put(item, out));
            }
            Self::Struct(_, fields) => {
                out.push(tag::STRUCT);
                put_length(fields.len(), out);
                fields.iter().for_each(|field| field.put(row, out));
            }
            Self::Map(_, ranges, entries) => put_map(ranges[row], entries, out),
            Self::Union(union, children) => {
                let id = union.type_id(row);
                put_tagged(tag::UNION, &id.to_le_bytes(), out);
                match children.iter().find(|(child, _)| *child == id) {
                    Some((_, values)) => values.put(union.value_offset(row), out),
                    None => out.push(tag::NULL),
                }
            }
        }
    }
}

/// Dates, times, timestamps and durations.
fn time(column: &ArrayRef) -> Result<Encoder, Unknown> {
    use DataType as T;
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let unit = |unit: &TimeUnit| match unit {
        Second => 1,
        Millisecond => 1_000,
        Microsecond => 1_000_000,
        Nanosecond => 1_000_000_000,
    };
    Ok(match column.data_type() {
        T::Date32 => Encoder::Plain(tag::DATE, scaled::<Date32Type>(column, 86_400_000)),
        T::Date64 => Encoder::Plain(tag::DATE, scaled::<Date64Type>(column, 1)),
        T::Time32(Second) => Encoder::Plain(tag::TIME, scaled::<Time32SecondType>(column, 1_000_000_000)),
        T::Time32(_) => Encoder::Plain(tag::TIME, scaled::<Time32MillisecondType>(column, 1_000_000)),
        T::Time64(Microsecond) => Encoder::Plain(tag::TIME, scaled::<Time64MicrosecondType>(column, 1_000)),
        T::Time64(_) => Encoder::Plain(tag::TIME, scaled::<Time64NanosecondType>(column, 1)),
        T::Timestamp(u, _) => {
            let values = match u {
                Second => scaled::<TimestampSecondType>(column, 1),
                Millisecond => scaled::<TimestampMillisecondType>(column, 1),
                Microsecond => scaled::<TimestampMicrosecondType>(column, 1),
                Nanosecond => scaled::<TimestampNanosecondType>(column, 1),
            };
            Encoder::Instant(tag::TIMESTAMP, values, unit(u))
        }
        T::Duration(u) => {
            let values = match u {
                Second => scaled::<DurationSecondType>(column, 1),
                Millisecond => scaled::<DurationMillisecondType>(column, 1),
                Microsecond => scaled::<DurationMicrosecondType>(column, 1),
                Nanosecond => scaled::<DurationNanosecondType>(column, 1),
            };
            Encoder::Instant(tag::DURATION, values, unit(u))
        }
        other => return Err(Box::new(other.clone())),
    })
}

/// `column` in units `factor` times smaller. Wraps rather than fails: times of day beyond a day are not our business.
fn scaled<T>(column: &ArrayRef, factor: i64) -> Int64Array
where
    T: ArrowPrimitiveType,
    T::Native: Into<i64>,
{
    let column: &PrimitiveArray<T> = column.as_primitive();
    column.unary(|value| value.into().wrapping_mul(factor))
}

fn widened(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, Unknown> {
    cast(column, to).map_err(|_| Box::new(column.data_type().clone()))
}

fn ranges<O: ArrowNativeType>(offsets: &[O]) -> Vec<(usize, usize)> {
    offsets.windows(2).map(|pair| (pair[0].as_usize(), pair[1].as_usize())).collect()
}

fn views<O: ArrowNativeType>(offsets: &[O], sizes: &[O]) -> Vec<(usize, usize)> {
    offsets.iter().zip(sizes).map(|(from, size)| (from.as_usize(), from.as_usize() + size.as_usize())).collect()
}

/// The bits of a double, the same for all that are equal and for all that are not a number.
fn canonical(value: f64) -> u64 {
    const NAN: u64 = 0x7ff8_0000_0000_0000;
    if value.is_nan() {
        NAN
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    }
}

/// Entries are sorted: a map has no order, and writers that hash put equal maps in different ones.
fn put_map((from, to): (usize, usize), [keys, values]: &[Encoder; 2], out: &mut Vec<u8>) {
    let entry = |at| {
        let mut bytes = Vec::new();
        keys.put(at, &mut bytes);
        values.put(at, &mut bytes);
        bytes
    };
    let mut entries: Vec<Vec<u8>> = (from..to).map(entry).collect();
    entries.sort_unstable();
    out.push(tag::MAP);
    put_length(entries.len(), out);
    entries.iter().for_each(|bytes| out.extend_from_slice(bytes));
}
