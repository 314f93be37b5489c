//! Text and bytes: a value is the one column [`VALUE`], as it came.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use async_trait::async_trait;
use sluicebox_core::raw::RawEvents;

pub use sluicebox_core::provenance::VALUE_COLUMN as VALUE;

use crate::class::ErrorClass;
use crate::column::Column;
use crate::decoder::{Decoder, Prepared};
use crate::error::FormatError;
use crate::event_decoder::{EventDecoder, Refused, Row};
use crate::events::Event;
use crate::format::{Declared, DeclaredFormat, Format, Reads, Words};
use crate::key::KeyDecoder;
use crate::pin::SourcePin;
use crate::run::Run;
use crate::source::{DecoderOptions, SourceDecoder};

/// The name of the format of text.
pub const TEXT: &str = "text";
/// The name of the format of bytes.
pub const BINARY: &str = "binary";

/// The decoder of a source whose values are text in UTF-8. One that is not is a dead letter.
///
/// # Errors
/// None, with the columns that every row has.
pub fn text(options: &DecoderOptions) -> Result<SourceDecoder, FormatError> {
    SourceDecoder::new(options, PlainDecoder::new(Plain::Text))
}

/// The decoder of a source whose values are bytes.
///
/// # Errors
/// None, with the columns that every row has.
pub fn binary(options: &DecoderOptions) -> Result<SourceDecoder, FormatError> {
    SourceDecoder::new(options, PlainDecoder::new(Plain::Binary))
}

/// Text among the formats.
#[derive(Debug, Clone, Copy)]
pub struct Text;

impl Format for Text {
    fn words(&self) -> Words {
        Words::Standard(TEXT)
    }

    fn reads(&self) -> Reads<'_> {
        Reads::Declared(self)
    }
}

impl DeclaredFormat for Text {
    fn values(&self, options: &DecoderOptions, _: &Declared<'_>) -> Result<SourceDecoder, FormatError> {
        text(options)
    }

    fn keys(&self, _: &DecoderOptions, _: &Declared<'_>) -> Result<Option<KeyDecoder>, FormatError> {
        Ok(Some(KeyDecoder::text()))
    }
}

/// Bytes among the formats.
#[derive(Debug, Clone, Copy)]
pub struct Binary;

impl Format for Binary {
    fn words(&self) -> Words {
        Words::Standard(BINARY)
    }

    fn reads(&self) -> Reads<'_> {
        Reads::Declared(self)
    }
}

impl DeclaredFormat for Binary {
    fn values(&self, options: &DecoderOptions, _: &Declared<'_>) -> Result<SourceDecoder, FormatError> {
        binary(options)
    }

    fn keys(&self, _: &DecoderOptions, _: &Declared<'_>) -> Result<Option<KeyDecoder>, FormatError> {
        Ok(Some(KeyDecoder::binary()))
    }
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plain {
    Text,
    Binary,
}

/// Decodes values that are one column.
#[derive(Debug)]
struct PlainDecoder {
    columns: Fields,
    plain: Plain,
}

impl PlainDecoder {
    fn new(plain: Plain) -> Self {
        let data_type = match plain {
            Plain::Text => DataType::Utf8,
            Plain::Binary => DataType::Binary,
        };
        // What has no value is a tombstone, and no row.
        Self { columns: vec![Field::new(VALUE, data_type, false)].into(), plain }
    }
}

#[async_trait]
impl Decoder for PlainDecoder {
    fn columns(&self) -> &Fields {
        &self.columns
    }

    fn pin(&self) -> SourcePin {
        SourcePin::of_format(match self.plain {
            Plain::Text => TEXT,
            Plain::Binary => BINARY,
        })
    }

    async fn prepare(&self, _: &[RawEvents]) -> Result<Arc<dyn Prepared>, FormatError> {
        Ok(Arc::new(self.plain))
    }
}

impl Prepared for Plain {
    fn decode(&self, run: &mut Run<'_>) -> Result<(), FormatError> {
        run.each(&mut Reading(*self))
    }
}

/// A run of events.
struct Reading(Plain);

impl EventDecoder for Reading {
    #[inline]
    fn decode(&mut self, event: Event<'_>, columns: &mut Column) -> Result<Row, Refused> {
        if self.0 == Plain::Text
            && let Err(error) = std::str::from_utf8(event.value)
        {
            let problem = format!("the value is not UTF-8 (at byte {})", error.valid_up_to());
            return Err(Refused::event(None, ErrorClass::InvalidUtf8, problem));
        }
        let appended = match columns {
            Column::Struct(root) => match &mut root.children[..] {
                [Column::Bytes(column)] => {
                    let appended = column.push(event.value);
                    root.end();
                    appended
                }
                _ => false,
            },
            _ => false,
        };
        match appended {
            true => Ok(Row { schema_id: None, bytes: event.value.len(), values: 0 }),
            false => Err(Refused::full()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use serde_json::json;

    use super::*;
    use crate::testing::{conforms, value_json};

    fn options() -> DecoderOptions {
        DecoderOptions::new("events")
    }

    #[test]
    fn text_is_what_is_utf_8_and_bytes_are_anything() {
        let (text, binary) = (text(&options()).unwrap(), binary(&options()).unwrap());
        let utf8 = [b"".to_vec(), "ä\u{0}\n".as_bytes().to_vec(), b"{\"a\":1}".to_vec()];
        let other = [b"\xff".to_vec(), b"a\xc3".to_vec(), b"\xed\xa0\x80".to_vec()];
        let refused: Vec<_> = other.iter().map(|bytes| (bytes.clone(), ErrorClass::InvalidUtf8)).collect();
        conforms(&text, &utf8, &refused);
        conforms(&binary, &[utf8, other].concat(), &[]);
        assert_eq!((text.pin().format(), binary.pin().format()), (TEXT, BINARY));
    }

    #[test]
    fn a_value_is_as_it_came() {
        let events = [crate::testing::raw(0, &[Some(b"a\0b".to_vec()), None, Some(b"".to_vec())])];
        let rows = |decoder: &SourceDecoder| {
            let prepared = futures::executor::block_on(decoder.prepare(&events)).unwrap();
            let decoded = decoder.decode(&prepared, &events, &[0]).unwrap();
            assert_eq!(decoded.tombstones, 1);
            decoded.rows.iter().flat_map(value_json).collect::<Vec<_>>()
        };
        assert_eq!(rows(&text(&options()).unwrap()), [json!({"value": "a\0b"}), json!({"value": ""})]);
        assert_eq!(rows(&binary(&options()).unwrap()), [json!({"value": "610062"}), json!({"value": ""})]);
    }
}
