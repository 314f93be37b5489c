//! Configures a client, and explains a configuration that librdkafka refuses.

use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use sluicebox_core::secret::is_secret;
use sluicebox_core::threads;

use super::client::{Client, Context, Outage};
use super::seats::SEATS;
use crate::buffer::PrefetchBuffer;
use crate::error::{Result, SourceError};
use crate::options::{KAFKA_PREFIX, KafkaOptions, check_files};

/// What a client is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// Questions about topics and offsets.
    Ask,
    /// Fetching this many partitions, under a budget, and committing for lag tools.
    Fetch { group_id: &'a str, partitions: usize, prefetch_bytes: u64 },
}

impl Purpose<'_> {
    /// The threads of a client that is told of `brokers`, and of who works with it: librdkafka's own two and one for each broker;
    /// one more, for brokers may have other names among themselves; and one that waits for answers, or fetches. To whom a
    /// group belongs, it has another connection.
    fn threads(self, brokers: usize) -> usize {
        let of_group = match self {
            Self::Ask => 0,
            Self::Fetch { .. } => 1,
        };
        2 + brokers + 1 + 1 + of_group
    }
}

/// Makes a client. Nothing is sent yet.
pub(crate) fn create(
    source_name: &str,
    options: &KafkaOptions,
    purpose: Purpose<'_>,
    context: Context,
) -> Result<Client> {
    let config = configure(options, purpose);
    // A client of which some threads can be started and others not waits for ever for what the others were to do.
    let brokers = options.brokers.as_deref().map_or(0, |brokers| brokers.split(',').count());
    let make = move || BaseConsumer::from_config_and_context(&config, context);
    threads::starting("kafka-client", purpose.threads(brokers), make)
        .map_err(|e| SourceError::Threads { source_name: source_name.to_owned(), why: e.to_string() })?
        .map_err(|error| refused(source_name, options, error))
}

/// Makes sure that librdkafka takes the properties of `options`, and that the files which they name can be read. Nobody is
/// asked.
pub(crate) fn check(source_name: &str, options: &KafkaOptions) -> Result<()> {
    check_files(source_name, &options.properties)?;
    if options.properties.keys().any(|name| name.starts_with("ssl.") || name.starts_with("sasl.")) {
        // What is in the files, and whether a mechanism is built in, is looked at by a client alone.
        let ends = PrefetchBuffer::new(0).ends();
        let context = Context::new(source_name, options, Outage::new(source_name, ""), ends);
        return create(source_name, options, Purpose::Ask, context).map(drop);
    }
    let checked = configure(options, Purpose::Ask).create_native_config().map(drop);
    checked.map_err(|error| refused(source_name, options, error))
}

/// Why there is no client.
pub(super) fn refused(source_name: &str, options: &KafkaOptions, error: KafkaError) -> SourceError {
    let secrets = options.secrets();
    match error {
        KafkaError::ClientConfig(_, description, key, value) => {
            let description = secrets.hide(&description);
            let given = if is_hidden(&key) { "(hidden)".to_owned() } else { format!("'{value}'") };
            let remedy = match description.is_empty() || is_hidden(&key) {
                true => "write a value that librdkafka takes for it".to_owned(),
                false => format!("write what librdkafka takes; it says: {description}"),
            };
            SourceError::option(source_name, format!("{KAFKA_PREFIX}{key}"), given, remedy)
        }
        // librdkafka's words.
        KafkaError::ClientCreation(why) if why.starts_with("Failed to create thread") => {
            SourceError::Threads { source_name: source_name.to_owned(), why }
        }
        // `reason` names properties, and may quote what they hold.
        KafkaError::ClientCreation(reason) => {
            // Of a file it names the property: `ssl.key.location failed: ...`.
            let named = options.properties.keys().filter(|name| name.contains('.') && reason.contains(name.as_str()));
            let named = named.max_by_key(|name| name.len()).map_or("*", String::as_str);
            let option = format!("{KAFKA_PREFIX}{named}");
            let reason = secrets.hide(&reason);
            let remedy = format!("give properties that go together; librdkafka says: {reason}");
            SourceError::option(source_name, option, "refused by librdkafka", remedy)
        }
        other => SourceError::kafka("make a Kafka client", other),
    }
}

/// The configuration: ours first, then the user's, then what the source cannot do without.
pub(crate) fn configure(options: &KafkaOptions, purpose: Purpose<'_>) -> ClientConfig {
    let mut config = ClientConfig::new();
    // Kafka's own default, and Spark's; librdkafka's is read_committed.
    config.set("isolation.level", "read_uncommitted");
    config.set("client.id", "sluicebox");
    config.set("fetch.wait.max.ms", "100");
    config.set("fetch.error.backoff.ms", "100");
    // Half a second of pause, librdkafka's habit when its queue is full, would starve a fast reader.
    config.set("fetch.queue.backoff.ms", "2");
    config.set("reconnect.backoff.max.ms", "5000");
    if let Purpose::Fetch { partitions, prefetch_bytes, .. } = purpose {
        // Beyond those that have seats, what waits of a partition is little.
        let share = prefetch_bytes / 4 / partitions.clamp(1, SEATS) as u64;
        config.set("queued.max.messages.kbytes", (share / 1024).clamp(64, 8 * 1024).to_string());
        config.set("fetch.message.max.bytes", share.clamp(64 * 1024, 1 << 20).to_string());
        let message_max = options.properties.get("message.max.bytes").and_then(|t| t.parse().ok()).unwrap_or(1_000_000);
        config.set("fetch.max.bytes", (prefetch_bytes / 2).clamp(message_max, message_max.max(50 << 20)).to_string());
        if partitions > SEATS {
            // A turn is over when the queue is empty: while it is not, nothing is fetched for it.
            config.set("queued.min.messages", "1");
            // A broker answers one fetch at a time: while those at their ends wait for something new, the others wait too.
            config.set("fetch.wait.max.ms", "25");
        }
    }
    for (key, value) in &options.properties {
        config.set(key, value);
    }
    if let Some(brokers) = &options.brokers {
        config.set("bootstrap.servers", brokers);
    }
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    config.set("auto.offset.reset", "error");
    config.set("enable.partition.eof", "true");
    match purpose {
        Purpose::Ask => config.remove("group.id"),
        // By its statistics librdkafka tells that a partition's end is still where it was.
        Purpose::Fetch { group_id, .. } => config.set("group.id", group_id).set("statistics.interval.ms", "500"),
    };
    if !options.properties.contains_key("allow.auto.create.topics") {
        config.set("allow.auto.create.topics", "false");
    }
    config
}

/// Whether a property's value is not shown: a secret, who has it, and certificates, which are long.
fn is_hidden(property: &str) -> bool {
    is_secret(property) || property.contains("username") || property.ends_with(".pem")
}
