//! Positions as Spark writes them in JSON: `{"topic":{"0":123,"1":456}}`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sluicebox_core::PartitionId;

/// Topic, then partition, then offset (or count).
pub type TopicOffsets = BTreeMap<String, BTreeMap<i32, i64>>;

/// Reads `{"topic":{"0":123}}`.
///
/// # Errors
/// What is wrong with the text, and where in it.
pub fn parse(text: &str) -> std::result::Result<TopicOffsets, String> {
    let topics: BTreeMap<String, BTreeMap<String, i64>> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let mut out = TopicOffsets::new();
    for (topic, partitions) in topics {
        let offsets = out.entry(topic.clone()).or_default();
        for (partition, offset) in partitions {
            let number = partition
                .parse::<i32>()
                .ok()
                .filter(|n| *n >= 0)
                .ok_or_else(|| format!("'{partition}' of topic '{topic}' is not a partition number"))?;
            offsets.insert(number, offset);
        }
    }
    Ok(out)
}

/// The JSON value of `positions`, topics and partitions ascending.
#[must_use]
pub fn to_json(positions: &BTreeMap<PartitionId, i64>) -> Value {
    let mut topics = Map::new();
    for (id, offset) in positions {
        let topic = topics.entry(id.topic.clone()).or_insert_with(|| Value::Object(Map::new()));
        if let Some(partitions) = topic.as_object_mut() {
            partitions.insert(id.partition.to_string(), Value::from(*offset));
        }
    }
    Value::Object(topics)
}

/// The positions of `source` that `value`, as made by [`to_json`], holds.
///
/// # Errors
/// What is wrong with the value.
pub fn from_json(source: &str, value: &Value) -> std::result::Result<BTreeMap<PartitionId, i64>, String> {
    let topics = parse(&value.to_string())?;
    let flat = topics.into_iter().flat_map(|(topic, partitions)| {
        partitions.into_iter().map(move |(partition, offset)| (topic.clone(), partition, offset))
    });
    Ok(flat.map(|(topic, partition, offset)| (PartitionId::new(source, topic, partition), offset)).collect())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn positions_round_trip_and_keep_partition_order() {
        let positions = BTreeMap::from([
            (PartitionId::new("s", "a", 2), 5),
            (PartitionId::new("s", "a", 10), -2),
            (PartitionId::new("s", "b", 0), i64::MAX),
        ]);
        let json = to_json(&positions);
        assert_eq!(json.to_string(), r#"{"a":{"2":5,"10":-2},"b":{"0":9223372036854775807}}"#);
        assert_eq!(from_json("s", &json).unwrap(), positions);
    }

    #[test]
    fn nonsense_is_refused_with_its_reason() {
        assert!(parse(r#"{"a":{"x":1}}"#).unwrap_err().contains("'x' of topic 'a'"));
        assert!(parse(r#"{"a":{"-1":1}}"#).unwrap_err().contains("'-1'"));
        assert!(parse(r#"{"a":{"0":"earliest"}}"#).unwrap_err().contains("line 1 column"));
        assert!(parse("earliest").is_err());
    }
}
