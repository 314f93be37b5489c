//! `USING kafka`: topics of Kafka, or of the embedded log where no broker is configured.

use std::sync::Arc;

use sluicebox_core::Clock;
use sluicebox_engine::Starting;
use sluicebox_pipeline::kinds::{SourceKind, SourceWords};
use sluicebox_sources::{EmbeddedLog, KAFKA_PREFIX, KafkaOptions, KafkaSource, LogSource, Source, SourceError};

use super::{Home, OpenSource, Registries, SourceAsked, SourceConnector, SourceLink};

/// Sources of Kafka and of the embedded log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kafka;

impl SourceConnector for Kafka {
    fn words(&self) -> &'static SourceWords {
        SourceKind::KAFKA.words()
    }

    fn connect(&self, asked: &SourceAsked<'_>) -> Result<Box<dyn SourceLink>, SourceError> {
        let mut options = KafkaOptions::from_options(asked.name, asked.options, &|key| asked.home.variable(key))?;
        options.give_up_after = asked.wait;
        let is_property =
            |name: &str| name.get(..KAFKA_PREFIX.len()).is_some_and(|p| p.eq_ignore_ascii_case(KAFKA_PREFIX));
        for (_, meant) in asked.meant.iter().filter(|(name, _)| is_property(name) && !is_told(name)) {
            options.hide(meant);
        }
        if options.brokers.is_some() {
            KafkaSource::check(asked.name, &options)?;
        }
        Ok(Box::new(KafkaLink {
            name: asked.name.to_owned(),
            options,
            pattern: asked.option("subscribePattern").map(str::to_owned),
            is_made_up: asked.option("sample").is_some(),
            home: asked.home.clone(),
            clock: Arc::clone(asked.clock),
        }))
    }
}

/// Whether the value of the option `name` is told anyway: brokers are called by their addresses, and protocols and mechanisms are words of
/// Kafka's.
pub(crate) fn is_told(name: &str) -> bool {
    const TOLD: [&str; 4] =
        ["kafka.bootstrap.servers", "kafka.security.protocol", "kafka.sasl.mechanism", "kafka.sasl.mechanisms"];
    TOLD.iter().any(|told| told.eq_ignore_ascii_case(name))
}

/// One source of Kafka or of the embedded log.
struct KafkaLink {
    name: String,
    options: KafkaOptions,
    pattern: Option<String>,
    /// Whether made-up events fill its topic where there is no broker.
    is_made_up: bool,
    home: Home,
    clock: Arc<dyn Clock>,
}

impl KafkaLink {
    fn log(&self) -> Result<EmbeddedLog, SourceError> {
        EmbeddedLog::open(self.home.log(), Arc::clone(&self.clock))
    }
}

impl SourceLink for KafkaLink {
    fn description(&self) -> String {
        let topics = match self.options.selection.named_topics() {
            Some(topics) => topics.join(", "),
            None => self.pattern.clone().unwrap_or_default(),
        };
        match &self.options.brokers {
            Some(brokers) => format!("Kafka[{topics}] at {brokers}"),
            None => format!("Log[{topics}] in {}", self.home.log().display()),
        }
    }

    fn open(&self, opening: OpenSource<'_>) -> Result<Box<dyn Source>, SourceError> {
        let OpenSource { name, pipeline, prefetch_bytes } = opening;
        if self.options.brokers.is_some() {
            return Ok(Box::new(KafkaSource::new(name, self.options.clone(), pipeline, prefetch_bytes)?));
        }
        Ok(Box::new(LogSource::new(name, self.log()?, self.options.clone(), prefetch_bytes)?))
    }

    fn starting(&self) -> Starting {
        Starting { at: Some(self.options.starting_offsets.clone()), pattern: self.pattern.clone() }
    }

    fn topic(&self) -> Option<String> {
        self.options.selection.named_topics().and_then(|topics| topics.first().map(|t| (*t).to_owned()))
    }

    fn registries(&self) -> Registries {
        match self.options.brokers {
            Some(_) => Registries::Named,
            None => Registries::Embedded,
        }
    }

    /// Whether the embedded log is there and has the source's topic; one that reads by pattern needs the log only.
    fn missing(&self) -> Result<Option<SourceError>, SourceError> {
        if self.options.brokers.is_some() {
            return Ok(None);
        }
        let (topic, dir) = (self.topic(), self.home.log());
        let known = match (dir.is_dir(), &topic) {
            (true, None) => return Ok(None),
            (true, Some(topic)) => {
                let log = self.log()?;
                if log.topic(topic)?.is_some() {
                    return Ok(None);
                }
                log.topics()?.into_keys().collect()
            }
            (false, _) => Vec::new(),
        };
        let log = format!("the embedded log {}, which is read where no broker is configured", dir.display());
        let (source_name, topic) = (self.name.clone(), topic.unwrap_or_default());
        Ok(Some(SourceError::UnknownTopic { source_name, topic, log, known }))
    }

    fn exposed(&self) -> Vec<String> {
        self.options.exposed()
    }

    fn made_up(&self) -> Option<String> {
        self.topic().filter(|_| self.is_made_up && self.options.brokers.is_none())
    }
}
