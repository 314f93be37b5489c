//! The traits of a format, which turns the values of a source's events into columns.
//!
//! A format sees values alone. [`SourceDecoder`](crate::SourceDecoder) does the rest, alike for all formats: the columns that every row
//! has, the form of a dead letter, the budget of a portion of events.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::Fields;
use async_trait::async_trait;
use sluicebox_core::raw::RawEvents;

use crate::error::FormatError;
use crate::pin::SourcePin;
use crate::run::Run;

/// Decodes the values of one source. Threads share it.
///
/// ```
/// use arrow::datatypes::{DataType, Field, Fields};
/// use sluicebox_formats::json::{JsonDecoder, JsonOptions};
/// use sluicebox_formats::{Decoder, DecoderOptions, FormatError, SourceDecoder};
///
/// let options = DecoderOptions::new("orders");
/// let columns = Fields::from(vec![Field::new("id", DataType::Int64, false)]);
/// let json = JsonDecoder::new(&options, &columns, &JsonOptions::default())?;
/// assert_eq!(json.columns(), &columns);
/// assert_eq!(json.pin().format(), "json");
/// // The decoder of a source adds the columns of the event itself.
/// let source = SourceDecoder::new(&options, json)?;
/// assert!(source.schema().index_of("_offset").is_ok());
/// # Ok::<(), FormatError>(())
/// ```
#[async_trait]
pub trait Decoder: Send + Sync + Debug {
    /// The columns of a value.
    fn columns(&self) -> &Fields;

    /// What the checkpoint keeps, so that a row's columns do not change between two starts.
    fn pin(&self) -> SourcePin;

    /// Finds what decoding `events` takes. Only this may ask somebody, and wait.
    ///
    /// # Errors
    /// When what it takes cannot be had.
    async fn prepare(&self, events: &[RawEvents]) -> Result<Arc<dyn Prepared>, FormatError>;
}

/// Decodes the events that it was prepared for: processor time only.
///
/// ```
/// use std::sync::Arc;
///
/// # use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, new_null_array};
/// use futures::executor::block_on;
/// # use sluicebox_core::PartitionId;
/// # use sluicebox_core::raw::{RawEvents, column, raw_schema};
/// use sluicebox_formats::{DecoderOptions, Prepared, text};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let decoder = text::text(&DecoderOptions::new("lines"))?;
/// // Two events: one is text, the other is not.
/// let values = vec![b"text".as_slice(), b"\xff".as_slice()];
/// # let nulls = |field: &arrow::datatypes::FieldRef| new_null_array(field.data_type(), 2);
/// # let mut columns: Vec<ArrayRef> = raw_schema().fields().iter().map(nulls).collect();
/// # columns[column::OFFSET] = Arc::new(Int64Array::from(vec![7, 8]));
/// # columns[column::VALUE] = Arc::new(BinaryArray::from_vec(values));
/// # let events = RecordBatch::try_new(raw_schema(), columns)?;
/// # let events = [RawEvents { partition: PartitionId::new("lines", "topic", 0), events, large: Vec::new() }];
/// let prepared: Arc<dyn Prepared> = block_on(decoder.prepare(&events))?;
/// let decoded = decoder.decode(&prepared, &events, &[0])?;
/// assert_eq!((decoded.rows[0].num_rows(), decoded.dead_letters.num_rows()), (1, 1));
/// # Ok(())
/// # }
/// ```
pub trait Prepared: Send + Sync + Debug {
    /// Decodes the events of `run` in their order, as far as it has room. The same events give the same rows and dead letters,
    /// whatever stands before and behind them.
    ///
    /// # Errors
    /// On a mistake in the caller or in the decoder: no event fails a run.
    fn decode(&self, run: &mut Run<'_>) -> Result<(), FormatError>;
}
