//! Which Arrow type each Avro type of a reader schema becomes.
//!
//! | Avro | Arrow |
//! |---|---|
//! | null, boolean, int, long, float, double | Null, Boolean, Int32, Int64, Float32, Float64 |
//! | string, enum, uuid (on string or fixed) | Utf8 |
//! | bytes; fixed | Binary; FixedSizeBinary |
//! | decimal on bytes or fixed | Decimal128 up to 38 digits, Decimal256 up to 76 |
//! | date, time-millis, time-micros | Date32, Time32(ms), Time64(us) |
//! | timestamp-millis, -micros, -nanos | Timestamp(unit, UTC) |
//! | local-timestamp-* | Timestamp(unit) without a time zone |
//! | duration | Struct of Int64 `months`, `days`, `millis` (unsigned 32-bit numbers in Avro) |
//! | array, map, record | List, Map, Struct |
//! | union of null and T | T, nullable |
//! | other unions | Struct of one nullable member per branch other than null, named by the branch's type; nullable itself if null is a branch |
//!
//! A union of a single branch is that branch. Recursive types and decimals of more than 76 digits have no Arrow type: a field of
//! the record that holds one is left out, with its reason.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, FieldRef, Fields, TimeUnit,
};
use sluicebox_core::provenance::VALUE_COLUMN;
use sluicebox_core::raw::LONGEST_EVENT;
use sluicebox_registry::schema::{AvroSchema, Kind, Logical, NodeId, SchemaError, Unit};

use crate::column::width;

/// Columns, nested ones included, that a reader schema may have.
const MOST_COLUMNS: usize = 10_000;
/// How deep a reader schema's types may be nested.
const DEEPEST: usize = 64;

/// A union as its column sees it.
pub(crate) enum UnionShape {
    /// A single branch other than null, and whether null is one too.
    One { branch: NodeId },
    /// Only null.
    Null,
    /// Several branches other than null, in order.
    Many { branches: Vec<NodeId> },
}

/// How the union `branches` becomes a column.
pub(crate) fn union_shape(schema: &AvroSchema, branches: &[NodeId]) -> UnionShape {
    let others: Vec<NodeId> =
        branches.iter().copied().filter(|b| !matches!(schema.node(*b).kind, Kind::Null)).collect();
    match others[..] {
        [] => UnionShape::Null,
        [branch] => UnionShape::One { branch },
        _ => UnionShape::Many { branches: others },
    }
}

/// A field of the reader schema's record that has no column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub field: String,
    /// Why there is none.
    pub reason: String,
}

/// The value's columns: the fields of the reader schema's record, or one column [`VALUE_COLUMN`] for another type; and the fields
/// that can be no column, which cost themselves. Where none is left the first of them is the error.
pub(crate) fn value_fields(schema: &AvroSchema) -> Result<(Fields, Vec<LeftOut>), SchemaError> {
    let mut shaper = Shaper { schema, open: Vec::new(), columns: 0 };
    let Kind::Record { name, fields } = &schema.node(schema.root()).kind else {
        let column = shaper.field(VALUE_COLUMN, schema.root(), VALUE_COLUMN)?;
        return Ok((no_wider_than_an_event(vec![column], VALUE_COLUMN)?, Vec::new()));
    };
    let (mut columns, mut left_out) = (Vec::with_capacity(fields.len()), Vec::new());
    let mut first = None;
    for field in fields {
        let path = format!("{}.{}", name.short(), field.name);
        shaper.open = vec![schema.root()];
        let column = shaper.field(&field.name, field.node, &path);
        match column {
            Ok(column) => columns.push(column),
            // A schema that is too large is so as a whole.
            Err(error) if shaper.columns > MOST_COLUMNS => return Err(error),
            Err(error) => {
                left_out.push(LeftOut { field: field.name.clone(), reason: error.to_string() });
                first.get_or_insert(error);
            }
        }
    }
    match first {
        Some(error) if columns.is_empty() => Err(error),
        _ => Ok((no_wider_than_an_event(columns, name.short())?, left_out)),
    }
}

/// `columns`, unless a row of them takes more than an event may have, whatever is in it.
fn no_wider_than_an_event(columns: Vec<FieldRef>, path: &str) -> Result<Fields, SchemaError> {
    let columns = Fields::from(columns);
    let width = width(&DataType::Struct(columns.clone()));
    if width <= LONGEST_EVENT {
        return Ok(columns);
    }
    let problem = format!(
        "a row of it takes {width} bytes, be it all NULL, and {LONGEST_EVENT} are the most: its types 'fixed' are too large; pin a \
         reader schema without them with 'value.schema.version'"
    );
    Err(SchemaError::new(path, problem))
}

struct Shaper<'a> {
    schema: &'a AvroSchema,
    /// The nodes above, to find recursion.
    open: Vec<NodeId>,
    columns: usize,
}

impl Shaper<'_> {
    fn field(&mut self, name: &str, id: NodeId, path: &str) -> Result<FieldRef, SchemaError> {
        Ok(Arc::new(Field::new(name, self.data_type(id, path)?, self.nullable(id))))
    }

    fn nullable(&self, id: NodeId) -> bool {
        let is_null = |id: &NodeId| matches!(self.schema.node(*id).kind, Kind::Null);
        match &self.schema.node(id).kind {
            Kind::Null => true,
            Kind::Union(branches) => branches.iter().any(is_null),
            _ => false,
        }
    }

    fn data_type(&mut self, id: NodeId, path: &str) -> Result<DataType, SchemaError> {
        let node = self.schema.node(id);
        if self.open.contains(&id) {
            return Err(SchemaError::new(
                path,
                format!(
                    "'{}' holds itself, and a recursive type has no columns; pin a reader schema without this field \
                     with 'value.schema.version'",
                    node.name().map_or(node.type_name(), |n| &n.full)
                ),
            ));
        }
        self.columns += 1;
        if self.columns > MOST_COLUMNS || self.open.len() >= DEEPEST {
            return Err(SchemaError::new(
                path,
                format!("the schema has more than {MOST_COLUMNS} columns, or types nested deeper than {DEEPEST}"),
            ));
        }
        self.open.push(id);
        let data_type = match node.logical {
            Some(logical) => logical_type(logical, path),
            None => self.plain_type(id, path),
        };
        self.open.pop();
        data_type
    }

    fn plain_type(&mut self, id: NodeId, path: &str) -> Result<DataType, SchemaError> {
        Ok(match &self.schema.node(id).kind {
            Kind::Null => DataType::Null,
            Kind::Boolean => DataType::Boolean,
            Kind::Int => DataType::Int32,
            Kind::Long => DataType::Int64,
            Kind::Float => DataType::Float32,
            Kind::Double => DataType::Float64,
            Kind::Bytes | Kind::Fixed { size: 0, .. } => DataType::Binary,
            Kind::String | Kind::Enum { .. } => DataType::Utf8,
            Kind::Fixed { size, .. } => DataType::FixedSizeBinary(i32::try_from(*size).unwrap_or(i32::MAX)),
            Kind::Array(item) => DataType::List(self.field("item", *item, &format!("{path}[]"))?),
            Kind::Map(value) => {
                let value = self.field("value", *value, &format!("{path}{{}}"))?;
                let key = Arc::new(Field::new("key", DataType::Utf8, false));
                let entries = DataType::Struct(Fields::from(vec![key, value]));
                DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
            }
            Kind::Record { fields, .. } => {
                let mut columns = Vec::with_capacity(fields.len());
                for field in fields {
                    columns.push(self.field(&field.name, field.node, &format!("{path}.{}", field.name))?);
                }
                DataType::Struct(Fields::from(columns))
            }
            Kind::Union(branches) => match union_shape(self.schema, branches) {
                UnionShape::Null if branches.is_empty() => {
                    return Err(SchemaError::new(path, "a union without branches has no values"));
                }
                UnionShape::Null => DataType::Null,
                UnionShape::One { branch } => self.data_type(branch, path)?,
                UnionShape::Many { branches } => self.members(&branches, path)?,
            },
        })
    }

    fn members(&mut self, branches: &[NodeId], path: &str) -> Result<DataType, SchemaError> {
        let schema = self.schema;
        let short = |id: &NodeId| schema.node(*id).type_name();
        let mut times: HashMap<&str, usize> = HashMap::with_capacity(branches.len());
        for branch in branches {
            *times.entry(short(branch)).or_default() += 1;
        }
        let mut members = Vec::with_capacity(branches.len().min(MOST_COLUMNS));
        for branch in branches {
            let name = match schema.node(*branch).name() {
                Some(name) if times.get(short(branch)) > Some(&1) => name.full.as_str(),
                _ => short(branch),
            };
            let data_type = self.data_type(*branch, &format!("{path}.{name}"))?;
            members.push(Arc::new(Field::new(name, data_type, true)));
        }
        Ok(DataType::Struct(Fields::from(members)))
    }
}

fn logical_type(logical: Logical, path: &str) -> Result<DataType, SchemaError> {
    Ok(match logical {
        Logical::Decimal { precision, scale } => {
            // Scale is at most precision.
            let (digits, scale) = (u8::try_from(precision).unwrap_or(u8::MAX), i8::try_from(scale).unwrap_or(i8::MAX));
            if digits <= DECIMAL128_MAX_PRECISION {
                DataType::Decimal128(digits, scale)
            } else if digits <= DECIMAL256_MAX_PRECISION {
                DataType::Decimal256(digits, scale)
            } else {
                let most = DECIMAL256_MAX_PRECISION;
                return Err(SchemaError::new(
                    path,
                    format!("a decimal of {precision} digits has no column; {most} is the most"),
                ));
            }
        }
        Logical::Uuid => DataType::Utf8,
        Logical::Date => DataType::Date32,
        Logical::Time(Unit::Millis) => DataType::Time32(TimeUnit::Millisecond),
        Logical::Time(_) => DataType::Time64(TimeUnit::Microsecond),
        Logical::Timestamp { unit, local } => {
            let unit = match unit {
                Unit::Millis => TimeUnit::Millisecond,
                Unit::Micros => TimeUnit::Microsecond,
                Unit::Nanos => TimeUnit::Nanosecond,
            };
            DataType::Timestamp(unit, (!local).then(|| "UTC".into()))
        }
        Logical::Duration => {
            let number = |name: &str| Field::new(name, DataType::Int64, false);
            DataType::Struct(Fields::from(vec![number("months"), number("days"), number("millis")]))
        }
    })
}
