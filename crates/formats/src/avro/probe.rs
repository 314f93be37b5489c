//! Whether the reader schema can read a value's bytes as they are: for hints about values without framing.

use std::sync::Arc;

use arrow::datatypes::{DataType, Fields};
use sluicebox_registry::schema::AvroSchema;

use crate::avro::program::Program;
use crate::avro::walk;
use crate::column::{Column, Room};
use crate::limits::Limits;

/// Bytes that are set aside for what is read.
const MOST_ROOM: usize = 1 << 20;

/// Reads a value as if it had been written with the reader schema.
#[derive(Debug)]
pub(crate) struct Probe {
    program: Option<Program>,
    value: DataType,
    limits: Limits,
}

impl Probe {
    /// Of the reader schema `reader`, whose values have the columns `value`.
    pub(crate) fn new(reader: &AvroSchema, value: &Fields, limits: Limits) -> Self {
        let program = Program::compile(Arc::new(reader.clone()), reader).ok();
        Self { program, value: DataType::Struct(value.clone()), limits }
    }

    /// Whether all of `value`, and no more, is a value of the schema.
    pub(crate) fn reads(&self, value: &[u8]) -> bool {
        let (Some(program), Ok(mut column)) =
            (&self.program, Column::new(&self.value, Room::of(&self.value, 1, MOST_ROOM)))
        else {
            return false;
        };
        !value.is_empty() && walk::decode(program, value, &mut column, &self.limits).is_ok()
    }
}
