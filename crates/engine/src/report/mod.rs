//! The reports of a batch: the durable report, the progress, the live status.

mod durable;
mod live;
mod source;
mod told;

pub use durable::{BuiltReport, build, failed_row, failed_update};
pub use live::{progress, status};
pub use source::SourceTally;
pub use told::Told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sluicebox_checkpoint::records::Metadata;
use sluicebox_durable::checksum;
use sluicebox_sinks::{Sink, Sinks};

use crate::config::Config;

/// What every report and progress of a run begins with.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The query's id.
    pub query_id: String,
    /// The run's id.
    pub run_id: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// xxh3-64 of the pipeline's text.
    pub sql_hash: String,
    /// `Kafka[topic]` of each source, by name.
    pub sources: BTreeMap<String, String>,
    /// Where the tables go: `Parquet`, `the Kafka topic orders`, or both.
    pub sinks: String,
}

impl Identity {
    /// Of a run of `config`.
    #[must_use]
    pub fn new(config: &Config, metadata: &Metadata, run_id: &str) -> Self {
        Self {
            query_id: metadata.id.clone(),
            run_id: run_id.to_owned(),
            pipeline: metadata.pipeline.clone(),
            sql_hash: checksum(config.graph.pipeline.resolved.as_bytes()),
            sources: config.sources.iter().map(|s| (s.name.clone(), s.description.clone())).collect(),
            sinks: described(&config.sinks),
        }
    }
}

fn described(sinks: &Sinks) -> String {
    let one = |sink: &Arc<dyn Sink>| sink.folder().map_or_else(|| sink.identity(), |_| "Parquet".to_owned());
    let all: BTreeSet<String> = sinks.values().map(one).collect();
    all.into_iter().collect::<Vec<_>>().join(", ")
}
