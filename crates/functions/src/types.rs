//! Spark's types: their names, and the common type of two of them (ANSI mode).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

/// The most digits of a DECIMAL.
pub const MAX_PRECISION: u8 = 38;

/// `TIMESTAMP`: microseconds since 1970-01-01 00:00:00 UTC.
#[must_use]
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
}

/// `data_type` as Spark spells it in a schema, `array<int>` and `map<string, int>`, with what Spark has no word for said plainly.
#[must_use]
pub fn sql_name(data_type: &DataType) -> String {
    spelled(data_type, false)
}

/// `data_type` as a message calls it: [`sql_name`] in capitals, with the names of fields as they are. The type of NULL is `NULL`, and a
/// difference of times an `INTERVAL`.
#[must_use]
pub fn name(data_type: &DataType) -> String {
    spelled(data_type, true)
}

/// [`name`] with its article: `an INT`, `a STRING`.
#[must_use]
pub fn article(data_type: &DataType) -> String {
    let name = name(data_type);
    let article = if name.starts_with(['A', 'I', 'U']) { "an" } else { "a" };
    format!("{article} {name}")
}

fn spelled(data_type: &DataType, capitals: bool) -> String {
    use DataType as D;
    let of = |inner: &Field| spelled(inner.data_type(), capitals);
    let word = |word: &str| if capitals { word.to_uppercase() } else { word.to_owned() };
    match data_type {
        D::List(item) | D::LargeList(item) | D::ListView(item) | D::LargeListView(item) | D::FixedSizeList(item, _) => {
            format!("{}<{}>", word("array"), of(item))
        }
        D::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|f| format!("{}: {}", f.name(), of(f))).collect();
            format!("{}<{}>", word("struct"), fields.join(", "))
        }
        D::Map(entries, _) => match entries.data_type() {
            D::Struct(pair) if pair.len() == 2 => format!("{}<{}, {}>", word("map"), of(&pair[0]), of(&pair[1])),
            _ => format!("{}<{}>", word("map"), of(entries)),
        },
        D::Dictionary(_, value) => spelled(value, capitals),
        D::Null if capitals => "NULL".to_owned(),
        D::Duration(_) if capitals => "INTERVAL".to_owned(),
        simple => word(&simple_name(simple)),
    }
}

/// The name of a type that has none in it.
fn simple_name(data_type: &DataType) -> String {
    use DataType as D;
    let name = match data_type {
        D::Null => "void",
        D::Boolean => "boolean",
        D::Int8 => "tinyint",
        D::Int16 => "smallint",
        D::Int32 => "int",
        D::Int64 => "bigint",
        D::UInt8 => "unsigned tinyint",
        D::UInt16 => "unsigned smallint",
        D::UInt32 => "unsigned int",
        D::UInt64 => "unsigned bigint",
        D::Float32 => "float",
        D::Float64 => "double",
        D::Utf8 | D::LargeUtf8 | D::Utf8View => "string",
        D::Binary | D::LargeBinary | D::BinaryView => "binary",
        D::FixedSizeBinary(n) => return format!("binary({n})"),
        D::Date32 | D::Date64 => "date",
        D::Time32(_) | D::Time64(_) => "time",
        D::Decimal32(p, s) | D::Decimal64(p, s) | D::Decimal128(p, s) | D::Decimal256(p, s) => {
            return format!("decimal({p},{s})");
        }
        D::Timestamp(unit, zone) => {
            let name = if zone.is_some() { "timestamp" } else { "timestamp_ntz" };
            let precision = match unit {
                TimeUnit::Second => "(0)",
                TimeUnit::Millisecond => "(3)",
                TimeUnit::Microsecond => "",
                TimeUnit::Nanosecond => "(9)",
            };
            return format!("{name}{precision}");
        }
        D::Interval(_) => "interval",
        D::Duration(_) => "duration",
        other => return other.to_string(),
    };
    name.to_owned()
}

/// Whether `data_type` is text of any layout.
#[must_use]
pub fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// Whether `data_type` is binary of any layout.
#[must_use]
pub fn is_binary(data_type: &DataType) -> bool {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary};
    matches!(data_type, Binary | LargeBinary | BinaryView | FixedSizeBinary(_))
}

/// Whether `data_type` is FLOAT or DOUBLE.
#[must_use]
pub fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float16 | DataType::Float32 | DataType::Float64)
}

/// Whether `data_type` is a DECIMAL.
#[must_use]
pub fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(..) | DataType::Decimal256(..))
}

/// Whether `data_type` is a number.
#[must_use]
pub fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer() || is_float(data_type) || is_decimal(data_type)
}

/// Whether `data_type` is a time difference.
#[must_use]
pub fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_) | DataType::Duration(_))
}

/// Precision and scale of the DECIMAL that holds every value of `data_type`, a whole number or a DECIMAL.
#[must_use]
pub fn decimal_of(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 | DataType::UInt8 => Some((5, 0)),
        DataType::Int32 | DataType::UInt16 => Some((10, 0)),
        DataType::Int64 | DataType::UInt64 | DataType::UInt32 => Some((20, 0)),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => Some((*p, *s)),
        _ => None,
    }
}

/// Whole numbers without a sign, which Spark does not have, as the type that holds them.
#[must_use]
pub fn signed(data_type: &DataType) -> DataType {
    match data_type {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        other => other.clone(),
    }
}

/// The type that values of `a` and `b` have in common where they are compared or stand for one another, as in CASE: text
/// beside another type is read as that. None if there is none.
#[must_use]
pub fn common(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType as D;
    if a == b {
        return Some(a.clone());
    }
    match (a, b) {
        (D::Null, other) | (other, D::Null) => Some(other.clone()),
        (D::Date32, t @ D::Timestamp(..)) | (t @ D::Timestamp(..), D::Date32) => Some(micros(t)),
        (D::Timestamp(_, x), D::Timestamp(_, y)) => {
            let zone = x.as_ref().or(y.as_ref());
            Some(D::Timestamp(TimeUnit::Microsecond, zone.map(|_| Arc::from("UTC"))))
        }
        (D::List(x) | D::LargeList(x), D::List(y) | D::LargeList(y)) => {
            let item = common(x.data_type(), y.data_type())?;
            Some(D::List(Arc::new(Field::new(x.name(), item, x.is_nullable() || y.is_nullable()))))
        }
        (D::Struct(x), D::Struct(y)) if x.len() == y.len() => {
            let field = |(x, y): (&Arc<Field>, &Arc<Field>)| {
                x.name().eq_ignore_ascii_case(y.name()).then_some(())?;
                let nullable = x.is_nullable() || y.is_nullable();
                Some(Field::new(x.name(), common(x.data_type(), y.data_type())?, nullable))
            };
            let fields: Option<Vec<Field>> = x.iter().zip(y).map(field).collect();
            Some(D::Struct(Fields::from(fields?)))
        }
        (D::Map(x, sorted), D::Map(y, _)) => {
            let entries = common(x.data_type(), y.data_type())?;
            Some(D::Map(Arc::new(x.as_ref().clone().with_data_type(entries)), *sorted))
        }
        _ if is_number(a) && is_number(b) => number(a, b),
        _ if is_text(a) && is_text(b) => Some(D::Utf8),
        _ if is_binary(a) && is_binary(b) => Some(D::Binary),
        _ if is_text(a) => promoted(b),
        _ if is_text(b) => promoted(a),
        _ => None,
    }
}

/// Whether a map is in it, so that it has no order.
#[must_use]
pub fn has_map(data_type: &DataType) -> bool {
    match data_type {
        DataType::Map(..) => true,
        DataType::Struct(fields) => fields.iter().any(|f| has_map(f.data_type())),
        DataType::List(item) | DataType::LargeList(item) => has_map(item.data_type()),
        _ => false,
    }
}

/// `data_type` with the fields of its structs named as those of `like` at their places: where rows are compared, names do not matter.
#[must_use]
pub fn named_as(data_type: &DataType, like: &DataType) -> DataType {
    use DataType as D;
    match (data_type, like) {
        (D::List(x), D::List(y)) => {
            D::List(Arc::new(x.as_ref().clone().with_data_type(named_as(x.data_type(), y.data_type()))))
        }
        (D::Struct(x), D::Struct(y)) if x.len() == y.len() => {
            let field = |(x, y): (&Arc<Field>, &Arc<Field>)| {
                x.as_ref().clone().with_name(y.name()).with_data_type(named_as(x.data_type(), y.data_type()))
            };
            D::Struct(x.iter().zip(y).map(field).collect())
        }
        _ => data_type.clone(),
    }
}

/// The type that values of all of `types` have in common, as of [`common`]; NULL where there are no types. `None` if there is none.
#[must_use]
pub fn common_of<'t>(types: impl IntoIterator<Item = &'t DataType>) -> Option<DataType> {
    types.into_iter().try_fold(DataType::Null, |found, next| common(&found, next))
}

/// What text is read as beside a value of type `other`.
#[must_use]
pub fn promoted(other: &DataType) -> Option<DataType> {
    match other {
        t if t.is_integer() => Some(DataType::Int64),
        t if is_float(t) || is_decimal(t) => Some(DataType::Float64),
        DataType::Boolean | DataType::Date32 => Some(other.clone()),
        t @ DataType::Timestamp(..) => Some(micros(t)),
        t if is_binary(t) => Some(DataType::Binary),
        _ => None,
    }
}

fn micros(timestamp: &DataType) -> DataType {
    match timestamp {
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        _ => self::timestamp(),
    }
}

/// The number type that holds both.
fn number(a: &DataType, b: &DataType) -> Option<DataType> {
    let (a, b) = (&signed(a), &signed(b));
    if a == b {
        return Some(a.clone());
    }
    if is_decimal(a) || is_decimal(b) {
        return match (decimal_of(a), decimal_of(b)) {
            (Some((p1, s1)), Some((p2, s2))) => {
                let scale = s1.max(s2);
                let digits = (i32::from(p1) - i32::from(s1)).max(i32::from(p2) - i32::from(s2));
                // Digits before the point are not given up.
                let scale = i32::from(scale).min((i32::from(MAX_PRECISION) - digits).max(0));
                Some(decimal(digits + scale, scale))
            }
            _ => Some(DataType::Float64),
        };
    }
    let rank = |t: &DataType| match t {
        DataType::Int8 => 0,
        DataType::Int16 => 1,
        DataType::Int32 => 2,
        DataType::Int64 => 3,
        DataType::Float32 => 4,
        _ => 5,
    };
    let wider = if rank(a) > rank(b) { a } else { b };
    // A FLOAT does not hold every whole number.
    Some(if *wider == DataType::Float32 { DataType::Float64 } else { wider.clone() })
}

/// A DECIMAL of at most 38 digits.
#[must_use]
pub fn decimal(precision: i32, scale: i32) -> DataType {
    let max = i32::from(MAX_PRECISION);
    let precision = precision.clamp(1, max);
    let scale = scale.clamp(0, precision);
    DataType::Decimal128(u8::try_from(precision).unwrap_or(MAX_PRECISION), i8::try_from(scale).unwrap_or_default())
}

/// The DECIMAL of a result that has `precision` digits, `scale` of them behind the point: of what is over 38 digits the last
/// ones behind the point are given up, but for six.
#[must_use]
pub fn adjusted(precision: i32, scale: i32) -> DataType {
    let max = i32::from(MAX_PRECISION);
    if precision <= max {
        return decimal(precision, scale);
    }
    let digits = precision - scale;
    decimal(max, (max - digits).max(scale.min(6)))
}
