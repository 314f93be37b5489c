//! Decoding one value: the part of a format that runs for each event.

use crate::class::ErrorClass;
use crate::column::Column;
use crate::error::FormatError;
use crate::events::Event;
use crate::fault::Fault;

/// Decodes the value of one event. [`Run::each`](crate::Run::each) is compiled for each format, so that an event costs no virtual call.
///
/// ```
/// use std::sync::Arc;
///
/// use arrow::datatypes::{DataType, Field, Fields};
/// use async_trait::async_trait;
/// use sluicebox_core::raw::RawEvents;
/// use sluicebox_formats::{
///     Column, Decoder, DecoderOptions, ErrorClass, Event, EventDecoder, FormatError, Prepared, Refused, Row, Run, SourceDecoder,
///     SourcePin,
/// };
///
/// /// Values that are a decimal number in text: one column, `n`.
/// #[derive(Debug, Clone)]
/// struct Numbers(Fields);
///
/// #[async_trait]
/// impl Decoder for Numbers {
///     fn columns(&self) -> &Fields {
///         &self.0
///     }
///
///     fn pin(&self) -> SourcePin {
///         SourcePin::of_format("numbers")
///     }
///
///     async fn prepare(&self, _: &[RawEvents]) -> Result<Arc<dyn Prepared>, FormatError> {
///         Ok(Arc::new(self.clone()))
///     }
/// }
///
/// impl Prepared for Numbers {
///     fn decode(&self, run: &mut Run<'_>) -> Result<(), FormatError> {
///         run.each(&mut Reading)
///     }
/// }
///
/// struct Reading;
///
/// impl EventDecoder for Reading {
///     fn decode(&mut self, event: Event<'_>, columns: &mut Column) -> Result<Row, Refused> {
///         let number = std::str::from_utf8(event.value).ok().and_then(|text| text.parse::<i64>().ok());
///         let (Some(number), Column::Struct(row)) = (number, columns) else {
///             return Err(Refused::event(None, ErrorClass::WrongType, "the value is no number".to_owned()));
///         };
///         if let [Column::Int64(n)] = &mut row.children[..] {
///             n.push(number);
///         }
///         row.end();
///         Ok(Row { schema_id: None, bytes: event.value.len(), values: 0 })
///     }
/// }
///
/// let columns = Fields::from(vec![Field::new("n", DataType::Int64, false)]);
/// let decoder = SourceDecoder::new(&DecoderOptions::new("events"), Numbers(columns))?;
/// assert_eq!(decoder.schema().field(0).name(), "n");
/// # #[cfg(feature = "testing")]
/// sluicebox_formats::testing::conforms(
///     &decoder,
///     &[b"7".to_vec(), b"-12".to_vec()],
///     &[(b"seven".to_vec(), ErrorClass::WrongType)],
/// );
/// # Ok::<(), FormatError>(())
/// ```
pub trait EventDecoder {
    /// Appends the event's value to `columns`, a struct of the value's columns, as one row.
    ///
    /// # Errors
    /// When it becomes a dead letter; what it has left in `columns` is taken out again.
    fn decode(&mut self, event: Event<'_>, columns: &mut Column) -> Result<Row, Refused>;

    /// The id of the schema that the event names, whose value was not taken whole.
    fn schema_id(&self, event: Event<'_>) -> Option<i32> {
        let _ = event;
        None
    }
}

/// An event that became a row.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The id of the schema that it names.
    pub schema_id: Option<i32>,
    /// Bytes that were read.
    pub bytes: usize,
    /// Values that it was charged for.
    pub values: usize,
}

/// Why there is no row.
#[derive(Debug)]
pub enum Refused {
    /// The event is a dead letter: see [`Refused::event`] and [`Refused::full`].
    Event(Box<Letter>),
    /// A mistake of the caller, or of Sluicebox: the batch fails.
    Run(Box<FormatError>),
}

/// Why an event is a dead letter.
#[derive(Debug)]
pub struct Letter {
    pub(crate) schema_id: Option<i32>,
    pub(crate) class: ErrorClass,
    pub(crate) message: String,
    /// Whether it may have left values in the columns.
    pub(crate) in_columns: bool,
}

impl Refused {
    /// An event that failed before anything was appended.
    #[cold]
    #[must_use]
    pub fn event(schema_id: Option<i32>, class: ErrorClass, message: String) -> Self {
        Self::Event(Box::new(Letter { schema_id, class, message, in_columns: false }))
    }

    /// An event that does not fit its column.
    #[cold]
    #[must_use]
    pub fn full() -> Self {
        let message = "a column of the event does not fit 2 GiB".to_owned();
        Self::Event(Box::new(Letter { schema_id: None, class: ErrorClass::TooLarge, message, in_columns: true }))
    }

    /// An event that failed while it was appended.
    #[cold]
    pub(crate) fn fault(schema_id: Option<i32>, fault: &Fault) -> Self {
        Self::Event(Box::new(Letter { schema_id, class: fault.class, message: fault.to_string(), in_columns: true }))
    }
}
