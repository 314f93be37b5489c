//! Recognises values that were not written by a Confluent-compatible serialiser of Avro, and says what to do.
//!
//! A hint is a guess from the bytes alone, so that the same event always gives the same dead letter.

use serde::de::IgnoredAny;

use crate::avro::Probe;

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Foreign {
    Json,
    Text,
    Glue,
    SingleObject,
    Container,
    Apicurio,
    ApicurioHeaders,
    Unframed,
}

impl Foreign {
    /// What the value looks like and what to do; to stand after what is wrong with it.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Json => {
                "it looks like JSON: if all events are, list their columns and set 'value.format' = 'json'; else let the producer write \
                 Avro with the registry's serialiser (KafkaAvroSerializer)"
            }
            Self::Text => {
                "it looks like text: if all events are, set 'value.format' = 'text'; else let the producer write Avro with the \
                 registry's serialiser (KafkaAvroSerializer)"
            }
            Self::Glue => {
                "it looks like the framing of AWS Glue's registry, which is not read: let the producer write with a \
                 Confluent-compatible serialiser and registry"
            }
            Self::SingleObject => {
                "it looks like Avro's single-object encoding, which names a schema by its fingerprint and not by a registry's id: \
                 let the producer write with the registry's serialiser (KafkaAvroSerializer)"
            }
            Self::Container => {
                "it looks like an Avro container file (.avro): send its records one by one, with the registry's serialiser"
            }
            Self::Apicurio => {
                "it looks like Apicurio's framing with an id of 8 bytes: set 'apicurio.registry.as-confluent' = true in the \
                 producer (of version 3, the 4-byte id handler), so that ids have 4 bytes"
            }
            Self::ApicurioHeaders => {
                "Apicurio's serialiser has put the schema's id into headers: set 'apicurio.registry.headers.enabled' = false and \
                 'apicurio.registry.as-confluent' = true in the producer"
            }
            Self::Unframed => {
                "it can be read as Avro of the reader schema without any framing: the producer wrote without a registry's \
                 serialiser; let it use KafkaAvroSerializer"
            }
        }
    }
}

/// What `value` looks like, whose framing cannot be read, or names a schema that nobody knows. `apicurio` says whether it
/// has headers of Apicurio's.
pub(crate) fn look(value: &[u8], apicurio: bool, probe: &Probe) -> Option<Foreign> {
    if apicurio {
        return Some(Foreign::ApicurioHeaders);
    }
    match value {
        [b'O', b'b', b'j', 1, ..] => return Some(Foreign::Container),
        [0xc3, 1, rest @ ..] if rest.len() >= 8 => return Some(Foreign::SingleObject),
        [3, 0 | 5, rest @ ..] if rest.len() >= 16 => return Some(Foreign::Glue),
        [0, 0, 0, 0, 0, rest @ ..] if rest.len() >= 4 => return Some(Foreign::Apicurio),
        _ => {}
    }
    if is_json(value) {
        return Some(Foreign::Json);
    }
    if probe.reads(value) {
        return Some(Foreign::Unframed);
    }
    let is_text = |text: &str| text.len() > 3 && !text.chars().any(|c| c.is_control() && !c.is_whitespace());
    std::str::from_utf8(value).is_ok_and(is_text).then_some(Foreign::Text)
}

/// Whether it is a JSON object or array; a number or a word may be anything.
fn is_json(value: &[u8]) -> bool {
    let start = value.trim_ascii_start().first();
    matches!(start, Some(b'{' | b'[')) && serde_json::from_slice::<IgnoredAny>(value).is_ok()
}
