//! Topics of the embedded log that a source's `sample` option fills with made-up events.

use std::sync::Arc;

use futures::future::join_all;
use sluicebox_core::Clock;
use sluicebox_registry::store::{NewSchema, RegistryStore};
use sluicebox_samples::feeder::{Backlog, SampleFeeder};
use sluicebox_samples::sales::{SALES_SCHEMA, SalesConfig};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::connect::Connection;
use crate::connectors::Home;
use crate::error::{Error, Result};

/// The seed of the sample: the same for everyone.
const SEED: u64 = 1;

/// A topic that is filled with made-up events.
pub struct Sample {
    /// The topic.
    pub topic: String,
    /// Whether its events are made up, and not somebody's that were there before.
    pub made_up: bool,
    feeder: SampleFeeder,
}

impl Sample {
    /// Fills the topic of a source that has a sample and no broker; returns when its backlog is complete.
    pub async fn fill(connection: &Connection, clock: &Arc<dyn Clock>) -> Result<Option<Self>> {
        let Some(topic) = connection.link.made_up() else { return Ok(None) };
        let log = connection.home.open_log(clock)?;
        let mut config = SalesConfig::new(SEED, clock.now_micros());
        config.schema_id = register_sales(&connection.home, &topic, SALES_SCHEMA).await?;
        let mut feeder = SampleFeeder::open(&log, &topic, config, Arc::clone(clock)).await.map_err(unwritten)?;
        let backlog = feeder.ensure_backlog().await.map_err(unwritten)?;
        Ok(Some(Self { topic, made_up: !matches!(backlog, Backlog::Foreign), feeder }))
    }
}

/// Goes on filling `samples`, live, until `stop` turns true.
#[expect(clippy::disallowed_methods, reason = "whoever runs the pipeline is handed its end, and waits for it")]
pub fn feed(samples: Vec<Sample>, stop: &watch::Receiver<bool>) -> Option<JoinHandle<()>> {
    if samples.is_empty() {
        return None;
    }
    let feeds = samples.into_iter().map(|mut sample| {
        let mut stop = stop.clone();
        async move {
            let stopped = async {
                // An error means that the sender is gone: the process ends.
                let _ = stop.wait_for(|stop| *stop).await;
            };
            if let Err(error) = sample.feeder.live(stopped).await {
                tracing::warn!("no more made-up events in {}: {error}", sample.topic);
            }
        }
    });
    let feeds: Vec<_> = feeds.collect();
    Some(tokio::spawn(async move {
        join_all(feeds).await;
    }))
}

/// Registers a schema of sales with the embedded registry, and gives its id.
///
/// # Errors
/// When it cannot be kept.
pub async fn register_sales(home: &Home, topic: &str, schema: &'static str) -> Result<u32> {
    let (subject, folder) = (format!("{topic}-value"), home.registry());
    let registered = tokio::task::spawn_blocking(move || {
        let store = RegistryStore::open(folder).map_err(unwritten)?;
        store.register(&subject, &NewSchema::new(schema)).map_err(unwritten)
    });
    u32::try_from(registered.await.map_err(unwritten)??.id).map_err(unwritten)
}

/// Why made-up events cannot be written.
fn unwritten(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Samples(Box::new(error))
}
