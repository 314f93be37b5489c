//! The pin of a source: the checkpoint keeps it, so that values are read alike at every start.

use std::fmt;

use serde::{Deserialize, Serialize};
use sluicebox_registry::PinnedSchema;

/// The format whose pin does not say its name: those of the first versions are all of it.
const FIRST: &str = "avro";

/// How the values of a source are read. The checkpoint pins it, so that a row's columns do not change between two starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SourcePin {
    /// By a schema of a registry.
    Schema {
        /// The format.
        #[serde(default = "first")]
        format: String,
        /// The reader schema.
        #[serde(flatten)]
        schema: PinnedSchema,
        /// The reader schema of the keys, if they have one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<Box<PinnedSchema>>,
    },
    /// By the pipeline's text, which declares the columns, or by the format alone.
    Text {
        /// The format.
        format: String,
        /// The reader schema of the keys, if they have one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<Box<PinnedSchema>>,
    },
}

impl SourcePin {
    /// Avro, by the reader schema `schema`.
    #[must_use]
    pub fn avro(schema: PinnedSchema) -> Self {
        Self::Schema { format: first(), schema, key: None }
    }

    /// The format `format`, which needs no schema.
    #[must_use]
    pub fn of_format(format: &str) -> Self {
        Self::Text { format: format.to_owned(), key: None }
    }

    /// The same, with keys that the reader schema `schema` reads, if there is one.
    #[must_use]
    pub fn with_key(mut self, schema: Option<PinnedSchema>) -> Self {
        let (Self::Schema { key, .. } | Self::Text { key, .. }) = &mut self;
        *key = schema.map(Box::new);
        self
    }

    /// The format's name.
    #[must_use]
    pub fn format(&self) -> &str {
        match self {
            Self::Schema { format, .. } | Self::Text { format, .. } => format,
        }
    }

    /// The reader schema of the keys, if there is one.
    #[must_use]
    pub fn key(&self) -> Option<&PinnedSchema> {
        let (Self::Schema { key, .. } | Self::Text { key, .. }) = self;
        key.as_deref()
    }

    /// The reader schema of the values, if there is one.
    #[must_use]
    pub fn schema(&self) -> Option<&PinnedSchema> {
        match self {
            Self::Schema { schema, .. } => Some(schema),
            Self::Text { .. } => None,
        }
    }
}

impl fmt::Display for SourcePin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema { schema, .. } => write!(f, "{} version {}", schema.subject, schema.version)?,
            Self::Text { format, .. } => f.write_str(format)?,
        }
        match self.key() {
            Some(key) => write!(f, ", keys by {} version {}", key.subject, key.version),
            None => Ok(()),
        }
    }
}

fn first() -> String {
    FIRST.to_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use sluicebox_registry::SchemaText;

    use super::*;

    #[test]
    fn pins_of_the_first_versions_are_read() {
        let old = r#"{"subject": "s-value", "version": 3, "id": 7, "schema": "\"long\""}"#;
        let pin: SourcePin = serde_json::from_str(old).unwrap();
        let text = SchemaText::new("\"long\"");
        assert_eq!(pin, SourcePin::avro(PinnedSchema { subject: "s-value".into(), version: 3, id: 7, text }));
        assert_eq!((pin.format(), pin.to_string().as_str()), ("avro", "s-value version 3"));
        let written = serde_json::to_string(&pin).unwrap();
        assert_eq!(written, r#"{"format":"avro","subject":"s-value","version":3,"id":7,"schema":"\"long\""}"#);
        assert_eq!(serde_json::from_str::<SourcePin>(&written).unwrap(), pin);
        // And the first versions read what this one writes.
        assert_eq!(Some(&serde_json::from_str::<PinnedSchema>(&written).unwrap()), pin.schema());
    }

    #[test]
    fn keys_have_a_schema_of_their_own() {
        let text = SchemaText::new("\"string\"");
        let schema = PinnedSchema { subject: "s-key".into(), version: 2, id: 9, text };
        for pin in [SourcePin::of_format("json"), SourcePin::avro(PinnedSchema { id: 1, ..schema.clone() })] {
            assert_eq!(pin.key(), None);
            let pin = pin.with_key(Some(schema.clone()));
            let written = serde_json::to_string(&pin).unwrap();
            assert_eq!(serde_json::from_str::<SourcePin>(&written).unwrap(), pin, "{written}");
            assert_eq!(pin.key(), Some(&schema));
            assert!(pin.to_string().ends_with(", keys by s-key version 2"), "{pin}");
        }
    }

    #[test]
    fn a_format_without_a_schema_is_its_name() {
        let pin: SourcePin = serde_json::from_str(r#"{"format": "json"}"#).unwrap();
        assert_eq!((pin.format(), pin.schema()), ("json", None));
        assert_eq!(pin, SourcePin::of_format("json"));
        assert!(serde_json::from_str::<SourcePin>(r#"{"subject": "s-value"}"#).is_err(), "a pin is never half of one");
    }
}
