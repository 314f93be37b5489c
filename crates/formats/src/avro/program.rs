//! Programs: how to read bodies of one writer schema into the columns of the reader schema. A program is compiled once by schema
//! resolution. A walk then branches on the bytes of the body alone.

use std::sync::Arc;

use arrow::datatypes::i256;
use sluicebox_registry::schema::{AvroSchema, NodeId};

use crate::avro::number;
use crate::avro::resolve::Resolver;

/// How to read one value into a column. The column has the shape that [`super::shape`] gives the reader's type.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// Reads nothing and appends NULL.
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    IntToLong,
    IntToFloat,
    IntToDouble,
    LongToFloat,
    LongToDouble,
    FloatToDouble,
    /// A time or timestamp of another unit.
    Rescale {
        int: bool,
        scale: Scale,
        /// What the column may hold.
        range: (i64, i64),
    },
    Bytes,
    /// UTF-8, into Utf8 or Binary.
    String,
    Fixed(usize),
    /// A fixed of 16 bytes, as text.
    Uuid,
    Duration,
    /// A date or time, as `int` or as long, into a column of days or of 64 bits: what no calendar can show is refused, for a
    /// query that met it would fail, and with it every event of the batch.
    Within {
        int: bool,
        least: i64,
        most: i64,
    },
    Decimal128(Box<number::Decimal<i128>>),
    Decimal256(Box<number::Decimal<i256>>),
    /// The writer's symbols. Every field of the enum has the same.
    Enum(Symbols),
    Array(Box<Items>),
    Map(Box<Items>),
    Record(Box<Record>),
    /// A union of null and one other branch, into the nullable column of the other.
    Nullable {
        null: u8,
        other: Box<Op>,
    },
    /// The writer's branches.
    Union(Box<[Op]>),
    /// Into one member of a general union's struct.
    Member {
        member: usize,
        op: Box<Op>,
    },
    /// The writer's value cannot be resolved to the reader's type.
    Unresolvable(Box<str>),
}

/// The text of each of the writer's symbols, or why it cannot be read.
pub(crate) type Symbols = Arc<[Result<Box<str>, Box<str>>]>;

/// By what to multiply or divide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    Multiply(i64),
    /// Rounding down.
    Divide(i64),
}

/// The items of an array, or the values of a map.
#[derive(Debug, Clone)]
pub(crate) struct Items {
    pub(crate) op: Op,
    /// Whether an item may take no byte.
    pub(crate) empty: bool,
    /// Columns, nested ones included, that an item appends to.
    pub(crate) width: usize,
}

/// The fields of a record, in the writer's order, then the reader's that the writer lacks.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) steps: Vec<FieldStep>,
}

#[derive(Debug, Clone)]
pub(crate) struct FieldStep {
    /// The writer's name of the field, for messages.
    pub(crate) name: Box<str>,
    pub(crate) what: What,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    /// Into the reader's field of this number.
    Read { column: usize, op: Op },
    /// The reader lacks it.
    Skip(NodeId),
    /// The writer lacks it: the default's binary form, read as any value; `cost` values count against the limit.
    Default { column: usize, op: Op, bytes: Box<[u8]>, cost: usize },
}

/// Reads bodies of one writer's schema into the columns of the reader schema.
#[derive(Debug)]
pub(crate) struct Program {
    /// A [`Op::Record`] over the value's columns.
    pub(crate) root: Op,
    /// The writer's schema, for the fields that are skipped.
    pub(crate) writer: Arc<AvroSchema>,
    /// For each node of `writer`, whether a value of it may take no byte.
    pub(crate) empty: Vec<bool>,
    /// The writer's fields that the reader lacks, as paths.
    pub(crate) ignored: Vec<String>,
}

impl Program {
    /// Resolves `writer` to `reader`, whose columns are those of [`super::shape::value_fields`].
    ///
    /// # Errors
    /// Why no value of `writer` can be read as `reader`.
    pub(crate) fn compile(writer: Arc<AvroSchema>, reader: &AvroSchema) -> Result<Self, String> {
        let empty = writer.may_be_empty();
        let mut resolver = Resolver::new(&writer, reader, &empty);
        let root = resolver.root()?;
        let ignored = resolver.ignored();
        Ok(Self { root, writer, empty, ignored })
    }
}
