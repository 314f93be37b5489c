//! Column builders that can truncate their last rows, so that an event that fails half-way leaves no trace.

mod finish;
mod size;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanBufferBuilder, NullBufferBuilder, PrimitiveArray, StringArray,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, i256};
use arrow::error::ArrowError;
pub(crate) use finish::finish_struct;
pub(crate) use size::{Room, width};

/// The builder of a column, of any type that a value can have.
#[derive(Debug)]
pub enum Column {
    /// Null: the number of rows.
    Null(usize),
    /// Boolean.
    Boolean {
        /// The values.
        values: BooleanBufferBuilder,
        /// Which of them are not NULL.
        nulls: NullBufferBuilder,
    },
    /// Int8.
    Int8(Values<i8>),
    /// Int16.
    Int16(Values<i16>),
    /// Int32, Date32 and Time32.
    Int32(Values<i32>),
    /// Int64, Time64 and Timestamp.
    Int64(Values<i64>),
    /// Float32.
    Float32(Values<f32>),
    /// Float64.
    Float64(Values<f64>),
    /// Decimal128: unscaled values.
    Decimal128(Values<i128>),
    /// Decimal256: unscaled values.
    Decimal256(Values<i256>),
    /// Utf8 and Binary.
    Bytes(VarBytes),
    /// FixedSizeBinary.
    Fixed {
        /// The bytes of one value.
        size: usize,
        /// The values, one behind the other.
        values: Vec<u8>,
        /// Which of them are not NULL.
        nulls: NullBufferBuilder,
    },
    /// List.
    List(Box<List>),
    /// Map.
    Map(Box<Map>),
    /// Struct.
    Struct(Struct),
}

/// The builder of a column of numbers.
#[derive(Debug)]
pub struct Values<T: ArrowNativeType> {
    values: Vec<T>,
    nulls: NullBufferBuilder,
}

impl<T: ArrowNativeType> Values<T> {
    pub(crate) fn new(rows: usize) -> Self {
        Self { values: Vec::with_capacity(rows), nulls: NullBufferBuilder::new(rows) }
    }

    /// Appends `value`.
    #[inline]
    pub fn push(&mut self, value: T) {
        self.values.push(value);
        self.nulls.append_non_null();
    }

    /// Appends NULL.
    #[inline]
    pub fn push_null(&mut self) {
        self.values.push(T::default());
        self.nulls.append_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.nulls.truncate(rows);
    }

    pub(crate) fn finish<P: ArrowPrimitiveType<Native = T>>(
        &mut self,
        data_type: &DataType,
    ) -> Result<ArrayRef, ArrowError> {
        let values = std::mem::take(&mut self.values);
        let array = PrimitiveArray::<P>::try_new(ScalarBuffer::from(values), self.nulls.finish())?;
        Ok(Arc::new(array.with_data_type(data_type.clone())))
    }
}

/// The builder of a column of texts or bytes.
#[derive(Debug)]
pub struct VarBytes {
    values: Vec<u8>,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl VarBytes {
    fn new(Room { rows, text }: Room) -> Self {
        Self {
            values: Vec::with_capacity(rows * text),
            offsets: first_offset(rows),
            nulls: NullBufferBuilder::new(rows),
        }
    }

    /// Appends `value`; `false` if the column is full, which only rows of over 2 GiB can make it.
    #[inline]
    #[must_use]
    pub fn push(&mut self, value: &[u8]) -> bool {
        self.values.extend_from_slice(value);
        self.nulls.append_non_null();
        self.end()
    }

    #[inline]
    fn end(&mut self) -> bool {
        let end = i32::try_from(self.values.len());
        self.offsets.push(end.unwrap_or(i32::MAX));
        end.is_ok()
    }

    /// Appends NULL.
    pub fn push_null(&mut self) {
        self.nulls.append_null();
        self.end();
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.values.truncate(last(&self.offsets));
        self.nulls.truncate(rows);
    }

    fn finish(&mut self, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        let offsets = take_offsets(&mut self.offsets);
        let mut values = std::mem::take(&mut self.values);
        // It grew by doubling, and is held for as long as its batch.
        values.shrink_to_fit();
        let values = Buffer::from_vec(values);
        let nulls = self.nulls.finish();
        Ok(match data_type {
            DataType::Utf8 => Arc::new(StringArray::try_new(offsets, values, nulls)?),
            _ => Arc::new(BinaryArray::try_new(offsets, values, nulls)?),
        })
    }
}

/// The builder of a column of lists.
#[derive(Debug)]
pub struct List {
    /// The items of all lists.
    pub items: Column,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl List {
    /// Ends a list whose items were appended; `false` if the column is full.
    #[must_use]
    pub fn end(&mut self) -> bool {
        self.nulls.append_non_null();
        push_offset(&mut self.offsets, self.items.len())
    }
}

/// The builder of a column of maps from texts to values.
#[derive(Debug)]
pub struct Map {
    /// The keys of all maps.
    pub keys: VarBytes,
    /// Their values.
    pub values: Column,
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Map {
    /// Ends a map whose entries were appended; `false` if the column is full.
    #[must_use]
    pub fn end(&mut self) -> bool {
        self.nulls.append_non_null();
        push_offset(&mut self.offsets, self.values.len())
    }
}

/// The builder of a column of structs.
#[derive(Debug)]
pub struct Struct {
    /// The columns of the fields.
    pub children: Vec<Column>,
    nulls: NullBufferBuilder,
}

impl Struct {
    /// Ends a row whose children were appended.
    #[inline]
    pub fn end(&mut self) {
        self.nulls.append_non_null();
    }
}

impl Column {
    /// An empty column of `data_type` with that room.
    ///
    /// # Errors
    /// For a type that no format gives.
    pub(crate) fn new(data_type: &DataType, room: Room) -> Result<Self, ArrowError> {
        let rows = room.rows;
        let nulls = NullBufferBuilder::new(rows);
        Ok(match data_type {
            DataType::Null => Self::Null(0),
            DataType::Boolean => Self::Boolean { values: BooleanBufferBuilder::new(rows), nulls },
            DataType::Int8 => Self::Int8(Values::new(rows)),
            DataType::Int16 => Self::Int16(Values::new(rows)),
            DataType::Int32 | DataType::Date32 | DataType::Time32(_) => Self::Int32(Values::new(rows)),
            DataType::Int64 | DataType::Time64(_) | DataType::Timestamp(..) => Self::Int64(Values::new(rows)),
            DataType::Float32 => Self::Float32(Values::new(rows)),
            DataType::Float64 => Self::Float64(Values::new(rows)),
            DataType::Decimal128(..) => Self::Decimal128(Values::new(rows)),
            DataType::Decimal256(..) => Self::Decimal256(Values::new(rows)),
            DataType::Utf8 | DataType::Binary => Self::Bytes(VarBytes::new(room)),
            DataType::FixedSizeBinary(size) => {
                let size = usize::try_from(*size).unwrap_or_default();
                Self::Fixed { size, values: Vec::with_capacity(size * rows), nulls }
            }
            DataType::List(item) => Self::List(Box::new(List {
                items: Self::new(item.data_type(), room)?,
                offsets: first_offset(rows),
                nulls,
            })),
            DataType::Map(entries, _) => {
                let DataType::Struct(fields) = entries.data_type() else { return Err(unknown(data_type)) };
                let [_, value] = &fields[..] else { return Err(unknown(data_type)) };
                Self::Map(Box::new(Map {
                    keys: VarBytes::new(room),
                    values: Self::new(value.data_type(), room)?,
                    offsets: first_offset(rows),
                    nulls,
                }))
            }
            DataType::Struct(fields) => Self::Struct(Struct {
                children: fields.iter().map(|f| Self::new(f.data_type(), room)).collect::<Result<_, _>>()?,
                nulls,
            }),
            other => return Err(unknown(other)),
        })
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Null(len) => *len,
            Self::Boolean { nulls, .. } | Self::Fixed { nulls, .. } => nulls.len(),
            Self::Int8(c) => c.nulls.len(),
            Self::Int16(c) => c.nulls.len(),
            Self::Int32(c) => c.nulls.len(),
            Self::Int64(c) => c.nulls.len(),
            Self::Float32(c) => c.nulls.len(),
            Self::Float64(c) => c.nulls.len(),
            Self::Decimal128(c) => c.nulls.len(),
            Self::Decimal256(c) => c.nulls.len(),
            Self::Bytes(c) => c.nulls.len(),
            Self::List(c) => c.nulls.len(),
            Self::Map(c) => c.nulls.len(),
            Self::Struct(c) => c.nulls.len(),
        }
    }

    /// Appends NULL. A struct's children get one each, which its own NULL covers.
    pub fn push_null(&mut self) {
        match self {
            Self::Null(len) => *len += 1,
            Self::Boolean { values, nulls } => {
                values.append(false);
                nulls.append_null();
            }
            Self::Int8(c) => c.push_null(),
            Self::Int16(c) => c.push_null(),
            Self::Int32(c) => c.push_null(),
            Self::Int64(c) => c.push_null(),
            Self::Float32(c) => c.push_null(),
            Self::Float64(c) => c.push_null(),
            Self::Decimal128(c) => c.push_null(),
            Self::Decimal256(c) => c.push_null(),
            Self::Bytes(c) => c.push_null(),
            Self::Fixed { size, values, nulls } => {
                values.resize(values.len() + *size, 0);
                nulls.append_null();
            }
            Self::List(c) => {
                c.nulls.append_null();
                repeat_offset(&mut c.offsets);
            }
            Self::Map(c) => {
                c.nulls.append_null();
                repeat_offset(&mut c.offsets);
            }
            Self::Struct(c) => {
                c.children.iter_mut().for_each(Self::push_null);
                c.nulls.append_null();
            }
        }
    }

    /// Forgets all but the first `rows` rows. A row may be there in some children only.
    pub(crate) fn truncate(&mut self, rows: usize) {
        match self {
            Self::Null(len) => *len = rows.min(*len),
            Self::Boolean { values, nulls } => {
                values.truncate(rows);
                nulls.truncate(rows);
            }
            Self::Int8(c) => c.truncate(rows),
            Self::Int16(c) => c.truncate(rows),
            Self::Int32(c) => c.truncate(rows),
            Self::Int64(c) => c.truncate(rows),
            Self::Float32(c) => c.truncate(rows),
            Self::Float64(c) => c.truncate(rows),
            Self::Decimal128(c) => c.truncate(rows),
            Self::Decimal256(c) => c.truncate(rows),
            Self::Bytes(c) => c.truncate(rows),
            Self::Fixed { size, values, nulls } => {
                values.truncate(rows * *size);
                nulls.truncate(rows);
            }
            Self::List(c) => {
                c.offsets.truncate(rows + 1);
                c.items.truncate(last(&c.offsets));
                c.nulls.truncate(rows);
            }
            Self::Map(c) => {
                c.offsets.truncate(rows + 1);
                c.keys.truncate(last(&c.offsets));
                c.values.truncate(last(&c.offsets));
                c.nulls.truncate(rows);
            }
            Self::Struct(c) => {
                c.children.iter_mut().for_each(|child| child.truncate(rows));
                c.nulls.truncate(rows);
            }
        }
    }
}

#[cold]
fn unknown(data_type: &DataType) -> ArrowError {
    ArrowError::NotYetImplemented(format!("a decoded column of type {data_type}"))
}

fn first_offset(rows: usize) -> Vec<i32> {
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0);
    offsets
}

fn push_offset(offsets: &mut Vec<i32>, end: usize) -> bool {
    let end = i32::try_from(end);
    offsets.push(end.unwrap_or(i32::MAX));
    end.is_ok()
}

fn repeat_offset(offsets: &mut Vec<i32>) {
    offsets.push(offsets.last().copied().unwrap_or_default());
}

fn last(offsets: &[i32]) -> usize {
    offsets.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or_default()
}

fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(offsets, first_offset(0))))
}
