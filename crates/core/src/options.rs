//! The options of a source that more than one crate reads: the pipeline checks the text by them, and the binary creates the source from
//! them.
//!
//! The names are Spark's where Spark has the option. This module holds names alone. The pipeline says what each option takes, its default
//! and its meaning; the source says what it does.

/// Topics to read.
pub const SUBSCRIBE: &str = "subscribe";
/// Partitions to read.
pub const ASSIGN: &str = "assign";
/// Topics to read, by a pattern.
pub const SUBSCRIBE_PATTERN: &str = "subscribePattern";
/// Where the first run starts.
pub const STARTING_OFFSETS: &str = "startingOffsets";
/// How many offsets a batch takes at most.
pub const MAX_OFFSETS_PER_TRIGGER: &str = "maxOffsetsPerTrigger";
/// Whether lost offsets stop the run.
pub const FAIL_ON_DATA_LOSS: &str = "failOnDataLoss";
/// What the name of the consumer group starts with.
pub const GROUP_ID_PREFIX: &str = "groupIdPrefix";
/// Whether rows carry the events' headers.
pub const INCLUDE_HEADERS: &str = "includeHeaders";

/// The options of which a source over a log is made, beside those with [`KAFKA_PREFIX`].
pub const OF_LOGS: [&str; 8] = [
    SUBSCRIBE,
    ASSIGN,
    SUBSCRIBE_PATTERN,
    STARTING_OFFSETS,
    MAX_OFFSETS_PER_TRIGGER,
    FAIL_ON_DATA_LOSS,
    GROUP_ID_PREFIX,
    INCLUDE_HEADERS,
];

/// What the properties begin with that are handed to the log's client as they are.
pub const KAFKA_PREFIX: &str = "kafka.";

/// The properties of the client that are not for a pipeline to set, in lower case and without the prefix, and what to write
/// instead.
pub const NOT_TO_SET: &[(&str, &str)] = &[
    ("auto.offset.reset", "startingOffsets says where to start"),
    ("enable.auto.commit", "offsets are committed after each batch, for lag tools only"),
    ("enable.auto.offset.store", "offsets are committed after each batch, for lag tools only"),
    ("enable.partition.eof", "the source needs to see the ends of partitions"),
    ("key.deserializer", "write 'key.format'; without it keys are bytes, in the column _key"),
    ("value.deserializer", "write 'value.format'"),
    ("interceptor.classes", "there is no JVM to load classes"),
    ("sasl.jaas.config", "write 'kafka.sasl.username' and 'kafka.sasl.password' = '${env:NAME}'"),
    ("ssl.truststore.location", "write 'kafka.ssl.ca.location' with a PEM file"),
    ("ssl.truststore.password", "write 'kafka.ssl.ca.location' with a PEM file"),
    (
        "ssl.truststore.type",
        "leave it out, it is a property of the Java client: set 'kafka.ssl.ca.location' to a PEM file",
    ),
    (
        "ssl.keystore.type",
        "leave it out, it is a property of the Java client: 'kafka.ssl.keystore.location' names a PKCS#12 file",
    ),
    (
        "max.poll.records",
        "leave it out, it is a property of the Java client: 'maxOffsetsPerTrigger' bounds what a batch reads",
    ),
    ("metadata.broker.list", "write 'kafka.bootstrap.servers', which is another name of it"),
];

/// The properties of Java's producer alone, in lower case and without the prefix, and what to write instead in a table.
const OF_JAVA_PRODUCERS: &[(&str, &str)] = &[
    ("key.serializer", "leave it out: 'key.columns' says what makes the key"),
    ("value.serializer", "write 'value.format'"),
    ("buffer.memory", "write 'kafka.queue.buffering.max.kbytes'"),
    ("max.block.ms", "leave it out, it is a property of the Java client"),
    ("max.request.size", "write 'kafka.message.max.bytes'"),
    ("partitioner.class", "write 'kafka.partitioner'"),
];

/// The property of the option `key`, without its prefix and as it is written; `None` of other options.
#[must_use]
pub fn property(key: &str) -> Option<&str> {
    let (prefix, property) = key.split_at_checked(KAFKA_PREFIX.len())?;
    prefix.eq_ignore_ascii_case(KAFKA_PREFIX).then_some(property)
}

/// What to write instead of the property `name`, which has no prefix, if it is not for a pipeline to set.
#[must_use]
pub fn instead_of(name: &str) -> Option<&'static str> {
    NOT_TO_SET.iter().find(|(reserved, _)| reserved.eq_ignore_ascii_case(name)).map(|(_, instead)| *instead)
}

/// The same of a property that a table is to set, whose rows a producer sends. What of [`NOT_TO_SET`] is about reading has no way here.
#[must_use]
pub fn instead_of_in_table(name: &str) -> Option<&'static str> {
    let of_java = OF_JAVA_PRODUCERS.iter().find(|(property, _)| property.eq_ignore_ascii_case(name));
    let of_both = || {
        let lower = name.to_lowercase();
        let is_of_both = ["ssl.", "sasl.", "interceptor."].iter().any(|start| lower.starts_with(start));
        instead_of(name).filter(|_| is_of_both)
    };
    of_java.map(|(_, instead)| *instead).or_else(of_both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_told_by_their_prefix_in_any_case() {
        assert_eq!(property("kafka.client.id"), Some("client.id"));
        assert_eq!(property("Kafka.Client.Id"), Some("Client.Id"));
        for other in ["kafka", "subscribe", "", "kafké.x", "xkafka.client.id"] {
            assert_eq!(property(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_not_to_be_set_has_another_way() {
        for (name, instead) in NOT_TO_SET {
            assert_eq!(*name, name.to_lowercase());
            assert_eq!(instead_of(&name.to_uppercase()), Some(*instead));
        }
        assert_eq!(instead_of("client.id"), None);
    }

    #[test]
    fn what_is_of_javas_producers_has_another_way_in_a_table_and_what_is_about_reading_has_none() {
        assert_eq!(instead_of_in_table("Value.Serializer"), Some("write 'value.format'"));
        assert_eq!(instead_of_in_table("ssl.truststore.location"), instead_of("ssl.truststore.location"));
        for of_sources in ["auto.offset.reset", "max.poll.records", "key.deserializer", "linger.ms"] {
            assert_eq!(instead_of_in_table(of_sources), None, "{of_sources}");
        }
    }
}
