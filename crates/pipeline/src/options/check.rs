//! Whether a source has such an option, and whether it may have such a value.

use sluicebox_core::options as of;
use sluicebox_core::secret::is_secret;

use crate::diagnostic::nearest;
use crate::kinds::SourceKind;
use crate::values::{self, OptionDef, Problem, ValueType};
use crate::vocabulary::Vocabulary;

/// Options of Spark that are not here, and why.
const NOT_HERE: &[(&str, &str)] = &[
    ("startingOffsetsByTimestamp", "write the offsets with startingOffsets"),
    ("startingTimestamp", "write the offsets with startingOffsets"),
    ("endingOffsets", "a stream has no end; --trigger available-now stops at what is there"),
    ("endingTimestamp", "a stream has no end; --trigger available-now stops at what is there"),
    ("endingOffsetsByTimestamp", "a stream has no end; --trigger available-now stops at what is there"),
    ("minPartitions", "partitions of the topic are read in parallel as they are"),
    ("minOffsetsPerTrigger", "SET 'trigger' says how often batches start"),
    ("maxTriggerDelay", "SET 'trigger' says how often batches start"),
    ("kafkaConsumer.pollTimeoutMs", "the consumer needs no poll timeout"),
    ("fetchOffset.numRetries", "a broker that is down is waited for"),
    ("fetchOffset.retryIntervalMs", "a broker that is down is waited for"),
    ("format", "write 'value.format', and 'key.format' for keys"),
    ("value.deserializer", "write 'value.format'"),
    ("key.deserializer", "write 'key.format'; without it keys are bytes, in the column _key"),
    ("mode", "an event that cannot be read is a dead letter, and its neighbours are rows"),
    ("columnNameOfCorruptRecord", "an event that cannot be read is a dead letter, which keeps its bytes"),
    ("rescuedDataColumn", "write 'json.extraFields' = 'rescue'"),
    ("timestampFormat", "write 'json.timestamps'; or declare a STRING, and to_timestamp(column, 'pattern') in a table"),
    ("timestampNTZFormat", "declare a STRING, and to_timestamp_ntz(column, 'pattern') in a table"),
    ("dateFormat", "declare a STRING, and to_date(column, 'pattern') in a table"),
    ("maxNestingDepth", "write 'json.maxDepth'"),
    ("multiLine", "an event is one JSON object, on any number of lines"),
    ("primitivesAsString", "declare the columns as STRING"),
    ("prefersDecimal", "declare the columns as DECIMAL(p, s)"),
    ("inferSchema", "list the columns: CREATE TABLE name (column TYPE, ...)"),
    ("topic", "write 'subscribe' = 'topic'"),
    ("topics", "write 'subscribe' = 'topic,topic'"),
    ("bootstrap.servers", "write 'kafka.bootstrap.servers'"),
];

/// The option of this name, looked up without regard to case.
fn find(kind: SourceKind, vocabulary: &Vocabulary, key: &str) -> Option<&'static OptionDef> {
    vocabulary.options_of(kind).find(|o| o.name.eq_ignore_ascii_case(key))
}

/// Whether the value of `key` keeps its references until a source is connected: it may be a secret, or hold one.
pub(crate) fn keeps_references(kind: SourceKind, vocabulary: &Vocabulary, key: &str) -> bool {
    of::property(key).is_some() || find(kind, vocabulary, key).is_none_or(|option| may_be_secret(option.value))
}

/// Whether a value of this type may be a secret, or hold one.
pub(crate) fn may_be_secret(value: ValueType) -> bool {
    matches!(value, ValueType::Text | ValueType::Secret)
}

/// The option's name as it is written in the reference, if key and value are right. `written` is what stands in the file in the place of the
/// value, and is what is shown of it.
pub(crate) fn check(
    kind: SourceKind,
    vocabulary: &Vocabulary,
    key: &str,
    value: &str,
    written: &str,
) -> Result<String, Problem> {
    if let Some(property) = of::property(key).filter(|_| kind == SourceKind::KAFKA) {
        let lower = key.to_lowercase();
        if let Some(instead) = of::instead_of(property) {
            let problem = Problem::unknown(format!("`{key}` is not for the pipeline to set"), instead.to_owned());
            return Err(Problem { label: "not this one".into(), ..problem });
        }
        let value_type = if is_secret(&lower) { ValueType::Secret } else { ValueType::Text };
        values::check(value_type, key, value, written)?;
        return Ok(lower);
    }
    let Some(option) = find(kind, vocabulary, key) else { return Err(unknown(kind, vocabulary, key)) };
    match option.value {
        ValueType::Format => {
            values::check_word(option.name, &vocabulary.format_names(), value, written)?;
        }
        ValueType::KeyFormat => {
            values::check_word(option.name, &vocabulary.key_format_names(), value, written)?;
        }
        other => values::check(other, option.name, value, written)?,
    }
    Ok(option.name.to_owned())
}

fn unknown(kind: SourceKind, vocabulary: &Vocabulary, key: &str) -> Problem {
    let is_kafka = kind == SourceKind::KAFKA;
    if let Some((name, instead)) = NOT_HERE.iter().filter(|_| is_kafka).find(|(name, _)| name.eq_ignore_ascii_case(key))
    {
        return Problem::unknown(format!("`{name}` is not an option here"), (*instead).to_owned());
    }
    let help = match nearest(key, vocabulary.options_of(kind).map(|o| o.name)) {
        Some(near) => format!("did you mean '{near}'?"),
        None if is_kafka => format!(
            "properties of the Kafka client start with kafka.: 'kafka.{key}'; all other options are in docs/sql.md"
        ),
        None => {
            let own: Vec<&str> = kind.words().options.iter().map(|o| o.name).collect();
            match own.is_empty() {
                true => "it has none of its own; those of every source are in docs/sql.md".to_owned(),
                false => format!("its own are {}; those of every source are in docs/sql.md", own.join(", ")),
            }
        }
    };
    Problem::unknown(format!("a source of kind {} has no option `{key}`", kind.name()), help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::EventTimeOptions;

    #[test]
    fn the_reference_says_the_defaults_that_hold() {
        let words = Vocabulary::default();
        let find = |name: &str| find(SourceKind::KAFKA, &words, name);
        let said = |name: &str| find(name).and_then(|option| values::duration(option.default.trim_matches('`')));
        let EventTimeOptions { idle_timeout_micros, max_future_micros } = EventTimeOptions::default();
        assert_eq!(said("idleTimeout"), Some(idle_timeout_micros));
        assert_eq!(said("maxFuture"), Some(max_future_micros));
    }

    #[test]
    fn every_option_of_a_log_can_be_written() {
        let words = Vocabulary::default();
        assert!(of::OF_LOGS.into_iter().all(|name| find(SourceKind::KAFKA, &words, name).is_some()));
    }
}
