//! The kinds of sources and of tables, the formats of events and the functions that a pipeline may name.
//!
//! [`Connectors::standard`] has those of the command line. A program adds its own, each under a name that is still free. The pipeline then
//! names them like the others, and a mistake in one of their options is shown at its place, before anything is read or written.

mod home;
mod kafka;
mod source;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use sluicebox_formats::{Format, Words, standard};
use sluicebox_pipeline::Vocabulary;
use sluicebox_pipeline::bind::Functions;
use sluicebox_pipeline::kinds::{SourceKind, TableKind, ValueFormat};
use sluicebox_pipeline::vocabulary::WordError;

pub use home::{Home, LOG_DIR};
pub(crate) use kafka::is_told;
pub use source::{OpenSource, Registries, SourceAsked, SourceConnector, SourceLink};
pub use table::{TableAsked, TableConnector};

use crate::error::Result;

use kafka::Kafka;

/// The sources, tables, formats and functions that a pipeline may name.
///
/// ```
/// use std::sync::Arc;
///
/// use datafusion::arrow::datatypes::DataType;
/// use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
/// use sluicebox::Connectors;
///
/// fn same(args: &[ColumnarValue]) -> datafusion::common::Result<ColumnarValue> {
///     Ok(args[0].clone())
/// }
///
/// # fn main() -> sluicebox::Result<()> {
/// let text = vec![DataType::Utf8];
/// let shop_of = create_udf("shop_of", text, DataType::Utf8, Volatility::Immutable, Arc::new(same));
/// let connectors = Connectors::standard().with_scalar(shop_of)?;
/// assert!(connectors.formats().any(|name| name == "json"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Connectors {
    vocabulary: Vocabulary,
    sources: BTreeMap<&'static str, Arc<dyn SourceConnector>>,
    formats: Vec<Arc<dyn Format>>,
    tables: BTreeMap<&'static str, Arc<dyn TableConnector>>,
    functions: Functions,
}

impl Default for Connectors {
    fn default() -> Self {
        Self::standard()
    }
}

impl Connectors {
    /// What every pipeline can name: sources of Kafka and of the embedded log, tables of Parquet files and of Kafka, the formats of
    /// [`sluicebox_formats::standard()`], and Spark's functions.
    #[must_use]
    pub fn standard() -> Self {
        let mut vocabulary = Vocabulary::default();
        let formats = standard();
        for format in &formats {
            if let Words::Own(words) = format.words() {
                // None is refused: a test reads each by its name.
                let _ = vocabulary.add_format(words);
            }
        }
        let kafka: Arc<dyn SourceConnector> = Arc::new(Kafka);
        Self {
            vocabulary,
            sources: BTreeMap::from([(SourceKind::KAFKA.name(), kafka)]),
            formats,
            tables: BTreeMap::new(),
            functions: Functions::default(),
        }
    }

    /// The same with a kind of source.
    ///
    /// # Errors
    /// When its name or one of its options is another's.
    pub fn with_source(mut self, connector: impl SourceConnector + 'static) -> Result<Self> {
        let words = connector.words();
        self.vocabulary.add_source(words)?;
        self.sources.insert(words.name, Arc::new(connector));
        Ok(self)
    }

    /// The same with a format of events, whose words are its own.
    ///
    /// # Errors
    /// When its name or one of its options is another's, or an option of it does not begin with its name.
    pub fn with_format(mut self, format: impl Format + 'static) -> Result<Self> {
        match format.words() {
            Words::Own(words) => self.vocabulary.add_format(words)?,
            // Every pipeline has it, and the decoder that its page describes.
            Words::Standard(name) => return Err(WordError::Taken { what: "a format", name: name.to_owned() }.into()),
        }
        self.formats.push(Arc::new(format));
        Ok(self)
    }

    /// The same with a kind of table.
    ///
    /// # Errors
    /// When its name or one of its properties is another's.
    pub fn with_table(mut self, connector: impl TableConnector + 'static) -> Result<Self> {
        let words = connector.words();
        self.vocabulary.add_table(words)?;
        self.tables.insert(words.name, Arc::new(connector));
        Ok(self)
    }

    /// The same with a function that gives a value a row; see [`Functions`].
    ///
    /// # Errors
    /// When its name is one of Spark's or of another function, or it does not say that it is immutable.
    pub fn with_scalar(mut self, function: ScalarUDF) -> Result<Self> {
        self.functions.add_scalar(function)?;
        Ok(self)
    }

    /// The same with a function that gives a value a group; see [`Functions`].
    ///
    /// # Errors
    /// As [`Self::with_scalar`].
    pub fn with_aggregate(mut self, function: AggregateUDF) -> Result<Self> {
        self.functions.add_aggregate(function)?;
        Ok(self)
    }

    /// The names that the text of a pipeline may use.
    #[must_use]
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The functions beside those that every pipeline has.
    #[must_use]
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    /// The names of the formats, in the order in which they were added.
    pub fn formats(&self) -> impl Iterator<Item = &'static str> {
        self.formats.iter().map(|format| format.words().name())
    }

    /// Who connects sources of this kind.
    pub(crate) fn source(&self, kind: SourceKind) -> Option<&Arc<dyn SourceConnector>> {
        self.sources.get(kind.name())
    }

    /// Who decodes this format.
    pub(crate) fn format(&self, format: ValueFormat) -> Option<&Arc<dyn Format>> {
        self.formats.iter().find(|one| one.words().name() == format.name())
    }

    /// Who makes sinks of tables of this kind.
    pub(crate) fn table(&self, kind: TableKind) -> Option<&Arc<dyn TableConnector>> {
        self.tables.get(kind.name())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use sluicebox_formats::Reads;
    use sluicebox_formats::json::{Extra, JsonOptions, Timestamps};
    use sluicebox_pipeline::formats::{ColumnsFrom, ExtraFields, JsonTimestamps};

    use super::*;

    #[test]
    fn every_format_is_known_to_the_language_and_reads_as_it_says() {
        let connectors = Connectors::standard();
        for name in connectors.formats() {
            let format = connectors.vocabulary().format(name).unwrap();
            let reads = connectors.format(format).unwrap();
            let by_schema = matches!(reads.reads(), Reads::BySchema(_));
            assert_eq!(by_schema, format.words().columns == ColumnsFrom::Registry, "{name}");
        }
        for format in ValueFormat::STANDARD {
            assert!(connectors.format(format).is_some(), "{format:?} has no decoder");
        }
    }

    #[test]
    fn every_word_that_an_option_of_json_takes_has_its_own_meaning() {
        let read = |option: &'static str, word: &'static str| {
            JsonOptions::from_options(&move |name| (name == option).then(|| word.to_uppercase()))
        };
        let extra = ExtraFields::NAMES.iter().copied().map(|word| read("json.extraFields", word).extra);
        assert_eq!(extra.collect::<Vec<_>>(), [Extra::Ignore, Extra::Rescue, Extra::Letter]);
        let timestamps = JsonTimestamps::NAMES.iter().copied().map(|word| read("json.timestamps", word).timestamps);
        let all = [Timestamps::Iso8601, Timestamps::EpochSeconds, Timestamps::EpochMillis, Timestamps::EpochMicros];
        assert_eq!(timestamps.collect::<Vec<_>>(), all);
        let depth = |depth: &'static str| read("json.maxDepth", depth).max_depth;
        assert_eq!((depth("7"), depth("")), (7, sluicebox_pipeline::formats::JsonOptions::MAX_DEPTH));
    }
}
