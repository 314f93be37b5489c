//! Error classes: the closed list of reasons why an event became a dead letter.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Declares [`ErrorClass`] with its text form, so that the list stands in one place.
macro_rules! error_classes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why an event could not become a row. The list is closed: dashboards and replays may rely on it. The text
        /// form, in dead letters, reports and serde, is the name in capitals with underscores.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum ErrorClass {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl ErrorClass {
            /// Every class there is, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The text form, such as `INVALID_MAGIC_BYTE`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

error_classes! {
    /// The value, or the schema id header, is shorter than its framing.
    IncompleteHeader = "INCOMPLETE_HEADER",
    /// The first byte is none that the framing knows: the event was not written by a registry-aware producer.
    InvalidMagicByte = "INVALID_MAGIC_BYTE",
    /// The registry does not know the schema id or GUID that the event names.
    UnknownSchemaId = "UNKNOWN_SCHEMA_ID",
    /// The writer's schema is not Avro, does not parse, or uses what cannot be decoded.
    UnsupportedSchema = "UNSUPPORTED_SCHEMA",
    /// The writer's schema, or this value of it, cannot be resolved to the reader's schema.
    Unresolvable = "UNRESOLVABLE",
    /// The body ends before its schema does.
    Truncated = "TRUNCATED",
    /// The body goes on after its schema ended.
    TrailingBytes = "TRAILING_BYTES",
    /// A string is not UTF-8.
    InvalidUtf8 = "INVALID_UTF8",
    /// A union's branch number is not one of its branches.
    InvalidUnionBranch = "INVALID_UNION_BRANCH",
    /// An enum's symbol number is not one of its symbols.
    InvalidEnum = "INVALID_ENUM",
    /// A boolean is neither 0 nor 1.
    InvalidBoolean = "INVALID_BOOLEAN",
    /// An int or long has more bytes, or more bits, than its type.
    OverlongVarint = "OVERLONG_VARINT",
    /// The length of a string or of bytes is negative.
    NegativeLength = "NEGATIVE_LENGTH",
    /// A decimal is empty, or has more digits than its precision.
    InvalidDecimal = "INVALID_DECIMAL",
    /// A block of an array or map has a size that its items do not have.
    InvalidBlock = "INVALID_BLOCK",
    /// The value is no JSON text.
    NotJson = "NOT_JSON",
    /// More than one JSON value stands in the event.
    SeveralValues = "SEVERAL_VALUES",
    /// The event is a JSON value other than an object.
    NotAnObject = "NOT_AN_OBJECT",
    /// An object has a name twice.
    DuplicateKey = "DUPLICATE_KEY",
    /// A field that is NOT NULL is not there.
    MissingField = "MISSING_FIELD",
    /// A field that is NOT NULL is null.
    NullField = "NULL_FIELD",
    /// A field is there that is not declared, and that the source's options refuse.
    ExtraField = "EXTRA_FIELD",
    /// A value is of another type than its column.
    WrongType = "WRONG_TYPE",
    /// A date or timestamp is not written in the form that the source's options name.
    InvalidTimestamp = "INVALID_TIMESTAMP",
    /// The event's key is not of the format that the source's options name.
    InvalidKey = "INVALID_KEY",
    /// Values are nested deeper than the limit.
    TooDeep = "TOO_DEEP",
    /// Arrays and maps have more items than the limit.
    TooManyItems = "TOO_MANY_ITEMS",
    /// The event, or what it expands to, is larger than the limit.
    TooLarge = "TOO_LARGE",
    /// A value does not fit the type of its column: a timestamp that overflows when its unit is changed, say.
    OutOfRange = "OUT_OF_RANGE",
    /// Decoding failed for another reason.
    DecodeFailed = "DECODE_FAILED",
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for ErrorClass {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|class| class.as_str() == text)
            .ok_or_else(|| format!("'{text}' is no error class; known are {}", names().join(", ")))
    }
}

fn names() -> Vec<&'static str> {
    ErrorClass::ALL.iter().map(|class| class.as_str()).collect()
}
