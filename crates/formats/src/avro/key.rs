//! Avro keys as a column.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, FieldRef};
use arrow::error::ArrowError;
use sluicebox_core::raw::RawEvents;
use sluicebox_registry::{PinnedSchema, Registry, SchemaCache};

use crate::avro::asking::{count_keys, of_key};
use crate::avro::decoder::{AvroDecoder, Writer};
use crate::avro::walk;
use crate::avro::writers::Writers;
use crate::column::Column;
use crate::decoder::Decoder;
use crate::error::FormatError;
use crate::events::Events;
use crate::framing::unframe_key;
use crate::source::DecoderOptions;

/// Decodes keys of Avro.
#[derive(Debug)]
pub(crate) struct AvroKey {
    decoder: AvroDecoder,
    field: FieldRef,
    /// What keys are decoded into: a struct, also of a single value that is no record.
    held: DataType,
}

impl AvroKey {
    /// The decoder of keys of the source of `options`, whose reader schema is `pinned`.
    ///
    /// # Errors
    /// As [`AvroDecoder::new`].
    pub(crate) fn new(
        options: &DecoderOptions,
        pinned: PinnedSchema,
        registry: Arc<dyn Registry>,
        cache: SchemaCache,
    ) -> Result<Self, FormatError> {
        let decoder = AvroDecoder::new(options, pinned, registry, cache)?;
        let (field, held) = (decoder.key_field(), DataType::Struct(decoder.columns().clone()));
        Ok(Self { decoder, field, held })
    }

    /// The column.
    pub(crate) fn field(&self) -> &FieldRef {
        &self.field
    }

    /// The type with which the column is made that [`Self::decode`] appends to.
    pub(crate) fn held(&self) -> &DataType {
        &self.held
    }

    /// The reader schema.
    pub(crate) fn pinned(&self) -> &PinnedSchema {
        self.decoder.pinned()
    }

    /// Finds the writer schemas that the keys of `events` name, as those of values are found.
    ///
    /// # Errors
    /// When the registry cannot answer.
    pub(crate) async fn prepare(&self, events: &[RawEvents]) -> Result<Arc<Writers>, FormatError> {
        let mut keys = HashMap::new();
        for raw in events {
            let events = Events::new(raw, 0)?;
            count_keys(events.len(), |row| of_key(&events, row), &mut keys);
        }
        Ok(Arc::new(self.decoder.find(keys).await?))
    }

    /// Appends `key`, whose event has the header `header`, to `column`.
    ///
    /// # Errors
    /// What is wrong with it; what it has left in `column` is to be taken out again.
    pub(crate) fn decode(
        writers: &Writers,
        key: &[u8],
        header: Option<&[u8]>,
        column: &mut Column,
    ) -> Result<(), String> {
        let framed = unframe_key(key, header).map_err(|error| error.to_string())?;
        let program = match writers.by_key.get(&framed.key).map(|writer| &**writer) {
            Some(Writer::Decoded(program)) => program,
            Some(Writer::Refused { message, .. }) => return Err(format!("the key: {message}")),
            None => return Err(format!("the key: the schema of {} was not prepared; please report this", framed.key)),
        };
        let walked = walk::decode(program, framed.body, column, &writers.limits);
        walked.map(drop).map_err(|fault| format!("the key: {fault}"))
    }

    /// The keys in `column` as an array of the column's type. `column` is empty then.
    ///
    /// # Errors
    /// When the parts do not fit together, which no input may bring about.
    pub(crate) fn finish(&self, column: &mut Column) -> Result<ArrayRef, ArrowError> {
        let finished = column.finish(&self.held)?;
        match finished.data_type() == self.field.data_type() {
            true => Ok(finished),
            // A row without a key is NULL within the struct as the struct itself is.
            false => Ok(Arc::clone(finished.as_struct().column(0))),
        }
    }
}
