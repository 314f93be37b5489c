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
    /// An event that is a dead letter, whether or not something of it was appended.
    #[cold]
    #[must_use]
    pub fn event(schema_id: Option<i32>, class: ErrorClass, message: String) -> Self {
        Self::Event(Box::new(Letter { schema_id, class, message, in_columns: true }))
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Fields};
    use async_trait::async_trait;
    use sluicebox_core::raw::RawEvents;

    use super::*;
    use crate::decoder::{Decoder, Prepared};
    use crate::pin::SourcePin;
    use crate::run::Run;
    use crate::source::{DecoderOptions, SourceDecoder};
    use crate::testing::conforms;

    /// Two numbers with a space between: the first is appended before the second is looked at.
    #[derive(Debug, Clone)]
    struct Pairs(Fields);

    #[async_trait]
    impl Decoder for Pairs {
        fn columns(&self) -> &Fields {
            &self.0
        }

        fn pin(&self) -> SourcePin {
            SourcePin::of_format("pairs")
        }

        async fn prepare(&self, _: &[RawEvents]) -> Result<Arc<dyn Prepared>, FormatError> {
            Ok(Arc::new(self.clone()))
        }
    }

    impl Prepared for Pairs {
        fn decode(&self, run: &mut Run<'_>) -> Result<(), FormatError> {
            run.each(&mut Reading)
        }
    }

    struct Reading;

    impl EventDecoder for Reading {
        fn decode(&mut self, event: Event<'_>, columns: &mut Column) -> Result<Row, Refused> {
            let Column::Struct(row) = columns else { return Err(Refused::full()) };
            let text = std::str::from_utf8(event.value).unwrap_or_default();
            for (number, column) in text.split(' ').zip(&mut row.children) {
                match (number.parse::<i64>(), column) {
                    (Ok(number), Column::Int64(column)) => column.push(number),
                    _ => {
                        let problem = format!("'{number}' is no number");
                        return Err(Refused::event(None, ErrorClass::WrongType, problem));
                    }
                }
            }
            row.end();
            Ok(Row { schema_id: None, bytes: event.value.len(), values: 0 })
        }
    }

    #[test]
    fn what_an_event_has_appended_goes_with_it() {
        let columns = ["a", "b"].map(|name| Field::new(name, DataType::Int64, false));
        let columns = columns.into_iter().collect::<Fields>();
        let decoder = SourceDecoder::new(&DecoderOptions::new("events"), Pairs(columns)).unwrap();
        let bad = [b"7 x".to_vec(), b"x 7".to_vec()].map(|value| (value, ErrorClass::WrongType));
        conforms(&decoder, &[b"1 2".to_vec(), b"-3 4".to_vec()], &bad);
    }
}
