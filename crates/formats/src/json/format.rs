//! JSON among the formats: what the options of a source say of it.

use super::{Extra, JsonOptions, NAME, Timestamps, decoder};
use crate::error::FormatError;
use crate::format::{Declared, DeclaredFormat, Format, Reads, Words};
use crate::key::KeyDecoder;
use crate::source::{DecoderOptions, SourceDecoder};

/// JSON, an object an event.
#[derive(Debug, Clone, Copy)]
pub struct Json;

impl Format for Json {
    fn words(&self) -> Words {
        Words::Standard(NAME)
    }

    fn reads(&self) -> Reads<'_> {
        Reads::Declared(self)
    }
}

impl DeclaredFormat for Json {
    fn values(&self, options: &DecoderOptions, declared: &Declared<'_>) -> Result<SourceDecoder, FormatError> {
        decoder(options, declared.columns, &JsonOptions::from_options(declared.option))
    }

    fn keys(&self, options: &DecoderOptions, declared: &Declared<'_>) -> Result<Option<KeyDecoder>, FormatError> {
        let json = JsonOptions::from_options(declared.option);
        declared.key.map(|column| KeyDecoder::json(options, column, &json)).transpose()
    }
}

impl JsonOptions {
    /// What the options `json.*` of a source say, by their names in the reference; a word that none of them takes is the default.
    pub fn from_options(option: &dyn Fn(&str) -> Option<String>) -> Self {
        let word = |name: &str| option(name).map(|word| word.to_lowercase());
        let default = Self::default();
        Self {
            extra: match word("json.extraFields").as_deref() {
                Some("rescue") => Extra::Rescue,
                Some("letter") => Extra::Letter,
                _ => Extra::Ignore,
            },
            timestamps: match word("json.timestamps").as_deref() {
                Some("epoch_seconds") => Timestamps::EpochSeconds,
                Some("epoch_millis") => Timestamps::EpochMillis,
                Some("epoch_micros") => Timestamps::EpochMicros,
                _ => Timestamps::Iso8601,
            },
            max_depth: option("json.maxDepth").and_then(|depth| depth.trim().parse().ok()).unwrap_or(default.max_depth),
            ..default
        }
    }
}
