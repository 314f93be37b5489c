//! Proves that the end of a partition is still where it was: its broker answers.
//!
//! The client keeps asking a partition at its end, and the broker answers within `fetch.wait.max.ms`, with events or without. librdkafka
//! reports none of these answers. Only its statistics say when it last heard from each broker.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::statistics::{Broker, Statistics};

use crate::buffer::LONGEST;
use crate::options::KafkaOptions;

/// How long ago each broker answered something, by its number; only brokers to which there is a connection.
pub(super) fn answered(statistics: &Statistics) -> BTreeMap<i32, Duration> {
    let ago = |broker: &Broker| Duration::from_micros(u64::try_from(broker.rxidle).unwrap_or(u64::MAX));
    let is_there = |broker: &&Broker| broker.nodeid >= 0 && broker.state == "UP" && broker.rxidle >= 0;
    // The connection to a group's coordinator has the number of its broker; nothing is fetched over it.
    let brokers = statistics.brokers.values().filter(is_there).filter(|broker| broker.source != "logical");
    brokers.map(|broker| (broker.nodeid, ago(broker))).collect()
}

/// For how long a broker that is well may say nothing of a partition at its end.
pub(super) fn longest_silence(options: &KafkaOptions) -> Duration {
    let waits = options.properties.get("fetch.wait.max.ms").and_then(|text| text.trim().parse().ok());
    LONGEST + Duration::from_millis(waits.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(nodeid: i32, state: &str, source: &str, rxidle: i64) -> (String, Broker) {
        let [state, source] = [state, source].map(str::to_owned);
        (format!("{nodeid} {source}"), Broker { nodeid, state, source, rxidle, ..Broker::default() })
    }

    #[test]
    fn a_broker_answers_when_it_is_there_and_something_came() {
        let brokers = [
            broker(1, "UP", "learned", 7),
            broker(2, "DOWN", "learned", 8),
            broker(3, "UP", "configured", 9_000_000),
            broker(4, "UP", "learned", -1),
            broker(-1, "UP", "configured", 5),
            broker(1, "UP", "logical", 4_000),
            broker(5, "CONNECT", "learned", 1),
        ];
        let statistics = Statistics { brokers: brokers.into(), ..Statistics::default() };
        let expected = [(1, Duration::from_micros(7)), (3, Duration::from_secs(9))];
        assert_eq!(answered(&statistics), BTreeMap::from(expected));
    }
}
