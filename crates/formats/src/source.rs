//! The decoder of one source: a format in the frame that every source row has.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use sluicebox_core::raw::RawEvents;

use crate::column::width;
use crate::decoded::Decoded;
use crate::decoder::{Decoder, Prepared};
use crate::error::FormatError;
use crate::events::{Events, is_taken, source_schema};
use crate::key::{KeyDecoder, WithKeys};
use crate::limits::Limits;
use crate::pin::SourcePin;
use crate::run::{ROW_BYTES, Run, Target};

/// What a decoder needs to know of its source.
#[derive(Debug, Clone)]
pub struct DecoderOptions {
    /// The source's name in the pipeline, for messages.
    pub source: String,
    /// What one event may cost.
    pub limits: Limits,
    /// Whether `_headers` of source rows carries the headers; NULL else. Dead letters always carry them.
    pub include_headers: bool,
}

impl DecoderOptions {
    /// The options of `source`, with the limits that are the default.
    pub fn new(source: impl Into<String>) -> Self {
        Self { source: source.into(), limits: Limits::default(), include_headers: false }
    }
}

/// Decodes the events of one source. Shared by threads: each decodes other events.
#[derive(Debug)]
pub struct SourceDecoder {
    source: String,
    include_headers: bool,
    format: Box<dyn Decoder>,
    key: Option<KeyDecoder>,
    schema: SchemaRef,
    /// Bytes that a row takes at least.
    row: usize,
}

impl SourceDecoder {
    /// The decoder of a source whose values `format` decodes.
    ///
    /// # Errors
    /// When a column of the value has the name of one that every row has.
    pub fn new(options: &DecoderOptions, format: impl Decoder + 'static) -> Result<Self, FormatError> {
        let value = format.columns();
        if let Some(field) = value.iter().find(|field| is_taken(field.name())) {
            return Err(FormatError::ColumnTaken { name: options.source.clone(), column: field.name().clone() });
        }
        Ok(Self {
            source: options.source.clone(),
            include_headers: options.include_headers,
            key: None,
            schema: source_schema(value),
            row: width(&DataType::Struct(value.clone())) + ROW_BYTES,
            format: Box::new(format),
        })
    }

    /// The same, whose rows have the column [`KEY`](crate::KEY) behind those of the value.
    ///
    /// # Errors
    /// When a column of the value has that name.
    pub fn with_key(mut self, key: KeyDecoder) -> Result<Self, FormatError> {
        self.schema = key.beside(&self.source, &self.schema)?;
        self.row += width(key.held());
        self.key = Some(key);
        Ok(self)
    }

    /// The schema of source rows: the value's columns, that of the key if there is one, then `_topic`, `_partition`, `_offset`, `_timestamp`, `_key`,
    /// `_headers`, `_schema_id` (NULL for an event that names none, or a GUID), then the hidden columns of provenance.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// What the checkpoint keeps of it.
    #[must_use]
    pub fn pin(&self) -> SourcePin {
        self.format.pin().with_key(self.key.as_ref().and_then(KeyDecoder::pinned).cloned())
    }

    /// Finds what decoding `events` takes; see [`Decoder::prepare`].
    ///
    /// # Errors
    /// As there.
    pub async fn prepare(&self, events: &[RawEvents]) -> Result<Arc<dyn Prepared>, FormatError> {
        let value = self.format.prepare(events).await?;
        let Some(key) = &self.key else { return Ok(value) };
        match key.prepare(events).await? {
            Some(keys) => Ok(Arc::new(WithKeys { value, keys })),
            None => Ok(value),
        }
    }

    /// Bytes that a row takes at least, whatever its event is.
    #[must_use]
    pub fn least_row(&self) -> usize {
        self.row
    }

    /// Decodes events of a batch, in their order; `parts[i]` is the number of the partition of `raw[i]` in the batch. CPU work
    /// only; threads may share the decoder.
    ///
    /// # Errors
    /// When `prepared` was not made for these events, or on a mistake in the decoder itself: no event fails a batch.
    pub fn decode(
        &self,
        prepared: &Arc<dyn Prepared>,
        raw: &[RawEvents],
        parts: &[i32],
    ) -> Result<Decoded, FormatError> {
        self.decode_within(prepared, raw, parts, usize::MAX)
    }

    /// As [`SourceDecoder::decode`], until rows take `budget` bytes: [`Decoded::taken`] says how many events that are. It is one at least,
    /// and the last one may pass the budget.
    ///
    /// # Errors
    /// As there.
    pub fn decode_within(
        &self,
        prepared: &Arc<dyn Prepared>,
        raw: &[RawEvents],
        parts: &[i32],
        budget: usize,
    ) -> Result<Decoded, FormatError> {
        let events = |(raw, part): (_, &i32)| Events::new(raw, *part);
        let chunks = raw.iter().zip(parts).map(events).collect::<Result<Vec<_>, _>>()?;
        // A batch that cannot be made is told by the first partition that may be in it.
        let columns = |source| {
            let partition = chunks.first().map(Events::partition).unwrap_or_default();
            FormatError::Columns { partition, source }
        };
        let target = Target {
            value: self.format.columns(),
            key: self.key.as_ref(),
            schema: &self.schema,
            include_headers: self.include_headers,
        };
        let mut run = Run::new(target, &chunks, budget.max(1)).map_err(columns)?;
        prepared.decode(&mut run)?;
        run.finish().map_err(columns)
    }
}
