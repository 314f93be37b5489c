//! A topic of the embedded log.

use bytes::Bytes;
use sluicebox_sources::{EmbeddedLog, Record, TopicOptions};

use super::EventSink;
use crate::error::Result;
use crate::sales::GeneratedEvent;

/// Appends to a topic of the embedded log.
#[derive(Debug, Clone)]
pub struct EmbeddedSink {
    log: EmbeddedLog,
    topic: String,
    partitions: i32,
}

impl EmbeddedSink {
    /// The topic `topic` of `log`, made with `partitions` partitions when it is not there; one that is there keeps its own.
    ///
    /// # Errors
    /// When the topic cannot be made.
    pub fn open(log: EmbeddedLog, topic: &str, partitions: i32) -> Result<Self> {
        let made = match log.topic(topic)? {
            Some(found) => found,
            None => log.create_topic(topic, partitions, TopicOptions::default())?,
        };
        Ok(Self { log, topic: topic.to_owned(), partitions: made.partitions })
    }
}

impl EventSink for EmbeddedSink {
    fn partitions(&self) -> i32 {
        self.partitions
    }

    fn append(&mut self, partition: i32, events: &[GeneratedEvent]) -> Result<()> {
        let records: Vec<Record> = events
            .iter()
            .map(|event| Record {
                timestamp_ms: Some(event.timestamp_ms),
                key: Some(Bytes::copy_from_slice(&event.key)),
                value: Some(Bytes::copy_from_slice(&event.value)),
                headers: Vec::new(),
            })
            .collect();
        self.log.append(&self.topic, partition, &records)?;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(self.log.flush()?)
    }
}
