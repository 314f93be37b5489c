//! Framing: how an event names its writer schema.
//!
//! | form | where | bytes |
//! |---|---|---|
//! | V0 | start of the value | `00`, 4 bytes big-endian id, body |
//! | V0 in a header | header `__value_schema_id` | `00`, 4 bytes big-endian id; the value is the body |
//! | V1 in a header | header `__value_schema_id` | `01`, 16 bytes GUID; the value is the body |
//!
//! An event is read as Confluent's "dual" deserialiser does it: the header first, then the start of the value. A key names its schema in
//! the same forms, and its header is `__key_schema_id`.

use sluicebox_registry::{Guid, SchemaKey};
use thiserror::Error;

use crate::class::ErrorClass;

/// The header that names a value's schema.
pub const VALUE_SCHEMA_ID_HEADER: &str = "__value_schema_id";
/// The header that names a key's schema.
pub const KEY_SCHEMA_ID_HEADER: &str = "__key_schema_id";
/// The first byte of an id of 4 bytes.
pub const MAGIC_V0: u8 = 0;
/// The first byte of a GUID of 16 bytes.
pub const MAGIC_V1: u8 = 1;
/// Bytes of the V0 form before the body.
pub const V0_LEN: usize = 5;
const V1_LEN: usize = 17;
/// How the names of the headers begin by which Apicurio's serialisers name a schema.
pub(crate) const APICURIO_HEADERS: &str = "apicurio.value.";

/// A value taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framed<'a> {
    /// The writer's schema.
    pub key: SchemaKey,
    /// The Avro binary body.
    pub body: &'a [u8],
}

/// An event whose framing cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FramingError {
    /// Fewer bytes than the framing needs.
    #[error("{what} has {found} bytes, its framing alone needs {needed}")]
    Incomplete {
        /// `the value`, `the key`, or the header's name.
        what: &'static str,
        /// Bytes there are.
        found: usize,
        /// Bytes there must be.
        needed: usize,
    },
    /// The first byte is none of the known ones.
    #[error(
        "{what} starts with byte {found:#04x}, not with {expected}: it was not written by a schema registry's serialiser"
    )]
    Magic {
        /// `the value`, `the key`, or the header's name.
        what: &'static str,
        /// The byte there is.
        found: u8,
        /// The bytes there may be.
        expected: &'static str,
    },
}

impl FramingError {
    /// The dead letter's class.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Incomplete { .. } => ErrorClass::IncompleteHeader,
            Self::Magic { .. } => ErrorClass::InvalidMagicByte,
        }
    }
}

/// Takes `value` apart. `header` is the content of the last header [`VALUE_SCHEMA_ID_HEADER`], if there is one.
///
/// # Errors
/// When neither the header nor the start of the value is in a known form.
#[inline]
pub fn unframe<'a>(value: &'a [u8], header: Option<&[u8]>) -> Result<Framed<'a>, FramingError> {
    apart(value, "the value", header, VALUE_SCHEMA_ID_HEADER)
}

/// The same of a key. `header` is the content of the last header [`KEY_SCHEMA_ID_HEADER`], if there is one.
///
/// # Errors
/// As [`unframe`].
pub fn unframe_key<'a>(key: &'a [u8], header: Option<&[u8]>) -> Result<Framed<'a>, FramingError> {
    apart(key, "the key", header, KEY_SCHEMA_ID_HEADER)
}

#[inline]
fn apart<'a>(
    bytes: &'a [u8],
    what: &'static str,
    header: Option<&[u8]>,
    called: &'static str,
) -> Result<Framed<'a>, FramingError> {
    if let Some(header) = header {
        return Ok(Framed { key: header_key(header, called)?, body: bytes });
    }
    match bytes {
        [MAGIC_V0, a, b, c, d, body @ ..] => {
            Ok(Framed { key: SchemaKey::Id(i32::from_be_bytes([*a, *b, *c, *d])), body })
        }
        [] | [MAGIC_V0, ..] => Err(FramingError::Incomplete { what, found: bytes.len(), needed: V0_LEN }),
        [found, ..] => Err(FramingError::Magic { what, found: *found, expected: "0x00" }),
    }
}

fn header_key(header: &[u8], what: &'static str) -> Result<SchemaKey, FramingError> {
    let incomplete = |needed| FramingError::Incomplete { what, found: header.len(), needed };
    match header {
        [MAGIC_V0, id @ ..] => Ok(SchemaKey::Id(i32::from_be_bytes(id.try_into().map_err(|_| incomplete(V0_LEN))?))),
        [MAGIC_V1, guid @ ..] => Ok(SchemaKey::Guid(Guid(guid.try_into().map_err(|_| incomplete(V1_LEN))?))),
        [] => Err(incomplete(V0_LEN)),
        [found, ..] => Err(FramingError::Magic { what, found: *found, expected: "0x00 or 0x01" }),
    }
}

/// `body` behind the V0 form of `id`, as a producer writes it.
#[must_use]
pub fn frame(id: i32, body: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(V0_LEN + body.len());
    value.push(MAGIC_V0);
    value.extend_from_slice(&id.to_be_bytes());
    value.extend_from_slice(body);
    value
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    const VECTOR: [u8; 17] =
        [1, 0x89, 0x79, 0x17, 0x62, 0x23, 0x36, 0x41, 0x86, 0x96, 0x74, 0x29, 0x9b, 0x90, 0xa8, 0x02, 0xe2];

    #[test]
    fn the_id_is_big_endian_and_the_rest_is_the_body() {
        let value = frame(0x0102_0304, b"body");
        assert_eq!(&value[..5], &[0, 1, 2, 3, 4]);
        assert_eq!(unframe(&value, None).unwrap(), Framed { key: SchemaKey::Id(0x0102_0304), body: b"body" });
        assert_eq!(unframe(&frame(7, b""), None).unwrap().body, b"");
    }

    #[test]
    fn the_header_wins_over_the_value() {
        let value = frame(1, b"x");
        let framed = unframe(&value, Some(&VECTOR)).unwrap();
        assert_eq!(framed.body, &value[..], "with a header the whole value is the body");
        assert_eq!(framed.key.to_string(), "GUID 89791762-2336-4186-9674-299b90a802e2");
        let by_id = unframe(b"x", Some(&[0, 0, 0, 0, 9])).unwrap();
        assert_eq!(by_id, Framed { key: SchemaKey::Id(9), body: b"x" });
    }

    #[test]
    fn bad_framing_has_its_class() {
        let class = |value: &[u8], header: Option<&[u8]>| unframe(value, header).unwrap_err().class();
        assert_eq!(class(b"", None), ErrorClass::IncompleteHeader);
        assert_eq!(class(&[0, 1, 2, 3], None), ErrorClass::IncompleteHeader);
        assert_eq!(class(b"{\"a\":1}", None), ErrorClass::InvalidMagicByte);
        assert_eq!(class(b"x", Some(b"")), ErrorClass::IncompleteHeader);
        assert_eq!(class(b"x", Some(&VECTOR[..16])), ErrorClass::IncompleteHeader);
        assert_eq!(class(b"x", Some(&[0, 0, 0, 0, 0, 9])), ErrorClass::IncompleteHeader);
        assert_eq!(class(b"x", Some(&[2, 0])), ErrorClass::InvalidMagicByte);
    }

    #[test]
    fn a_key_is_named_as_a_value_is() {
        assert_eq!(unframe_key(&frame(7, b"k"), None).unwrap(), Framed { key: SchemaKey::Id(7), body: b"k" });
        assert_eq!(unframe_key(b"k", Some(&[0, 0, 0, 0, 9])).unwrap(), Framed { key: SchemaKey::Id(9), body: b"k" });
        assert!(unframe_key(b"k", None).unwrap_err().to_string().starts_with("the key starts with byte 0x6b"));
        assert!(unframe_key(b"k", Some(b"")).unwrap_err().to_string().starts_with(KEY_SCHEMA_ID_HEADER));
    }

    #[test]
    fn classes_keep_their_text() {
        for class in ErrorClass::ALL {
            assert_eq!(class.as_str().parse::<ErrorClass>().unwrap(), *class);
            assert_eq!(serde_json::to_string(class).unwrap(), format!("\"{class}\""));
        }
    }
}
