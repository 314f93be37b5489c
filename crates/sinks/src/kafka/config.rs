//! The configuration of a sink's clients.

use rdkafka::config::ClientConfig;
use sluicebox_core::Certainty;

use super::{KafkaSinkOptions, Place, trouble};
use crate::error::Result;

/// What every client has.
fn client(options: &KafkaSinkOptions) -> ClientConfig {
    let brokers = match &options.place {
        Place::Brokers(brokers) => brokers.as_str(),
        Place::Log { .. } => "",
    };
    let mut config = ClientConfig::new();
    config.set("client.id", "sluicebox");
    config.set("reconnect.backoff.max.ms", "5000");
    for (name, value) in &options.properties {
        config.set(name, value);
    }
    config.set("bootstrap.servers", brokers);
    config
}

/// The producer's configuration: ours first, then the user's, then what a transaction cannot do without.
pub(super) fn producer(options: &KafkaSinkOptions, name: &str) -> ClientConfig {
    let mut config = client(options);
    let mut default = |property: &str, value: &str| {
        if !options.properties.contains_key(property) {
            config.set(property, value);
        }
    };
    // As Java's producer: equal keys come to one partition, whoever writes them.
    default("partitioner", "murmur2_random");
    default("linger.ms", "5");
    // A batch of rows is larger than what waits here for its broker.
    default("queue.buffering.max.kbytes", "65536");
    // The first batches of a long topic are large. A crash holds up readers for no longer than until the next start.
    default("transaction.timeout.ms", "300000");
    config.set("transactional.id", name);
    config.set("enable.idempotence", "true");
    config
}

/// The configuration of who reads the marker. Offsets of a transaction that is not over are waited for. What of the user's is for
/// producers alone it passes over.
pub(super) fn reader(options: &KafkaSinkOptions, name: &str) -> ClientConfig {
    let mut config = client(options);
    config.set("group.id", name);
    config.set("isolation.level", "read_committed");
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    config.set("allow.auto.create.topics", "false");
    config
}

/// Makes sure that the Kafka client takes the properties. Nobody is asked.
///
/// # Errors
/// When it does not.
pub(super) fn check(options: &KafkaSinkOptions) -> Result<()> {
    let checked = producer(options, "sluicebox").create_native_config().map(drop);
    let doing = format!("write to {}", options.described());
    Ok(checked.map_err(|error| trouble::of(&doing, &error, &options.secrets, Certainty::NotDone))?)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use std::collections::BTreeMap;

    use sluicebox_core::secret::Pieces;

    use super::super::{EventFormat, Unknown};
    use super::*;

    fn options(properties: &[(&str, &str)]) -> KafkaSinkOptions {
        KafkaSinkOptions {
            table: "t".to_owned(),
            place: Place::Brokers("localhost:9092".to_owned()),
            topic: "out".to_owned(),
            properties: properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<BTreeMap<_, _>>(),
            secrets: Pieces::default(),
            format: EventFormat::Json,
            key_columns: Vec::new(),
            header_columns: Vec::new(),
            unknown: Unknown::Stop,
        }
    }

    #[test]
    fn what_a_transaction_needs_is_not_for_the_user_to_change() {
        let config = producer(&options(&[("transactional.id", "mine"), ("linger.ms", "50")]), "ours");
        assert_eq!(config.get("transactional.id"), Some("ours"));
        assert_eq!(config.get("enable.idempotence"), Some("true"));
        assert_eq!((config.get("linger.ms"), config.get("partitioner")), (Some("50"), Some("murmur2_random")));
        let config = reader(&options(&[("linger.ms", "50"), ("group.id", "mine")]), "ours");
        assert_eq!((config.get("isolation.level"), config.get("group.id")), (Some("read_committed"), Some("ours")));
    }

    #[test]
    fn a_property_that_the_client_does_not_take_is_told_before_anybody_is_asked() {
        check(&options(&[("linger.ms", "50")])).unwrap();
        let error = check(&options(&[("linger.ms", "soon")])).unwrap_err().to_string();
        assert!(error.contains("kafka.linger.ms"), "{error}");
    }
}
