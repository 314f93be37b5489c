//! Plans how JSON values become the declared columns, once for each source.

use std::collections::HashMap;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, FieldRef, Fields, TimeUnit};

/// Fields up to which a name is compared with each: quicker than to hash so few.
const FEW: usize = 8;

/// The type that JSON cannot be read into, behind the path to it.
type Refused = (String, DataType);

/// How a value becomes one of a column.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Text,
    Bytes,
    Date,
    /// In microseconds; in UTC, or on a clock without a zone.
    Timestamp {
        in_utc: bool,
    },
    List(Box<Item>),
    Map(Box<Item>),
    Struct(Box<Record>),
}

/// The items of a list, or the values of a map.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) op: Op,
    /// Whether it may not be NULL.
    pub(super) required: bool,
    /// Columns, nested ones included, that an item appends to.
    pub(super) width: usize,
}

/// The declared fields of an object.
#[derive(Debug, Clone, Default)]
pub(super) struct Record {
    pub(super) fields: Vec<RecordField>,
    /// Where each stands, if they are many.
    places: HashMap<Box<[u8]>, usize>,
}

/// A declared field.
#[derive(Debug, Clone)]
pub(super) struct RecordField {
    pub(super) name: Box<str>,
    pub(super) op: Op,
    /// Whether it may be neither missing nor NULL.
    pub(super) required: bool,
}

impl Record {
    /// The plan of an object with `fields`.
    ///
    /// # Errors
    /// The name and type of the first field that JSON cannot be read into.
    pub(super) fn of(fields: &Fields) -> Result<Self, Refused> {
        let field = |field: &FieldRef| -> Result<RecordField, Refused> {
            let op = Op::of(field.data_type()).map_err(|of| (within(field.name(), &of.0), of.1))?;
            Ok(RecordField { name: field.name().as_str().into(), op, required: !field.is_nullable() })
        };
        let fields = fields.iter().map(field).collect::<Result<Vec<_>, _>>()?;
        let mut places: HashMap<Box<[u8]>, usize> = HashMap::new();
        if fields.len() > FEW {
            places.extend(fields.iter().enumerate().map(|(at, field)| (Box::from(field.name.as_bytes()), at)));
        }
        Ok(Self { fields, places })
    }

    /// Where the field called `name` stands; `guess` is where it stands in most events.
    #[inline]
    pub(super) fn place(&self, name: &[u8], guess: usize) -> Option<usize> {
        let is_it = |field: &RecordField| field.name.as_bytes() == name;
        if self.fields.get(guess).is_some_and(is_it) {
            return Some(guess);
        }
        if self.places.is_empty() { self.fields.iter().position(is_it) } else { self.places.get(name).copied() }
    }
}

impl Op {
    /// How values become `data_type`.
    ///
    /// # Errors
    /// The type within it that JSON cannot be read into, behind the path to it.
    pub(super) fn of(data_type: &DataType) -> Result<Self, Refused> {
        let item = |field: &FieldRef, name: &str| -> Result<Box<Item>, Refused> {
            let op = Self::of(field.data_type()).map_err(|of| (within(name, &of.0), of.1))?;
            let width = op.width();
            Ok(Box::new(Item { op, required: !field.is_nullable(), width }))
        };
        let refused = || Err((String::new(), data_type.clone()));
        Ok(match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Int8 => Self::Int8,
            DataType::Int16 => Self::Int16,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::Float32 => Self::Float32,
            DataType::Float64 => Self::Float64,
            DataType::Decimal128(precision, scale) => match u8::try_from(*scale) {
                Ok(scale) if *precision <= DECIMAL128_MAX_PRECISION => Self::Decimal { precision: *precision, scale },
                _ => return refused(),
            },
            DataType::Utf8 => Self::Text,
            DataType::Binary => Self::Bytes,
            DataType::Date32 => Self::Date,
            DataType::Timestamp(TimeUnit::Microsecond, zone) => match zone.as_deref() {
                Some("UTC") => Self::Timestamp { in_utc: true },
                None => Self::Timestamp { in_utc: false },
                Some(_) => return refused(),
            },
            DataType::List(field) => Self::List(item(field, "element")?),
            DataType::Map(entries, false) => match entries.data_type() {
                DataType::Struct(pair) => match &pair[..] {
                    [key, value] if *key.data_type() == DataType::Utf8 => Self::Map(item(value, "value")?),
                    _ => return refused(),
                },
                _ => return refused(),
            },
            DataType::Struct(fields) => Self::Struct(Box::new(Record::of(fields)?)),
            _ => return refused(),
        })
    }

    /// The type as SQL calls it.
    pub(super) fn name(&self) -> String {
        let name = match self {
            Self::Boolean => "BOOLEAN",
            Self::Int8 => "TINYINT",
            Self::Int16 => "SMALLINT",
            Self::Int32 => "INT",
            Self::Int64 => "BIGINT",
            Self::Float32 => "FLOAT",
            Self::Float64 => "DOUBLE",
            Self::Decimal { precision, scale } => return format!("DECIMAL({precision},{scale})"),
            Self::Text => "STRING",
            Self::Bytes => "BINARY",
            Self::Date => "DATE",
            Self::Timestamp { in_utc: true } => "TIMESTAMP",
            Self::Timestamp { in_utc: false } => "TIMESTAMP_NTZ",
            Self::List(_) => "ARRAY",
            Self::Map(_) => "MAP",
            Self::Struct(_) => "STRUCT",
        };
        name.to_owned()
    }

    /// Columns, nested ones included, that a value appends to, whatever is in it.
    fn width(&self) -> usize {
        match self {
            Self::Struct(record) => 1 + record.fields.iter().map(|field| field.op.width()).sum::<usize>(),
            _ => 1,
        }
    }
}

/// The path `path` below `name`.
pub(super) fn within(name: &str, path: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{name}.{path}") }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::sync::Arc;

    use arrow::datatypes::Field;

    use super::*;

    #[test]
    fn what_json_cannot_become_is_named_with_its_place() {
        let inner = Fields::from(vec![Field::new("t", DataType::Time64(TimeUnit::Microsecond), true)]);
        let list = DataType::List(Arc::new(Field::new("element", DataType::Struct(inner), true)));
        let refused = Record::of(&Fields::from(vec![Field::new("a", list, true)])).unwrap_err();
        assert_eq!(refused, ("a.element.t".to_owned(), DataType::Time64(TimeUnit::Microsecond)));
    }

    #[test]
    fn a_name_is_found_wherever_it_stands() {
        for count in [3, 40] {
            let fields: Fields = (0..count).map(|n| Field::new(format!("f{n}"), DataType::Int32, true)).collect();
            let record = Record::of(&fields).unwrap();
            for at in 0..count {
                for guess in [0, at, at + 1, count] {
                    assert_eq!(record.place(format!("f{at}").as_bytes(), guess), Some(at));
                }
            }
            assert_eq!(record.place(b"F1", 1), None, "names are as they are written");
        }
    }
}
