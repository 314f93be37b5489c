#!/usr/bin/env python3
"""Makes the oracle's ledger of sales in a topic of a real broker: what a Kafka client reads and fastavro decodes.

    topic_ledger.py TOPIC SCHEMA_ID LEDGER
"""

import argparse
import json
import time

import fastavro
from confluent_kafka import Consumer, KafkaException, TopicPartition

import common
from embedded_log import COLUMNS, TYPE, entry


def records(brokers, topic):
    """Every record of the topic, up to the ends that it has now."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "topic-ledger", "enable.auto.commit": False,
                         "auto.offset.reset": "earliest", "enable.partition.eof": False})
    try:
        partitions = sorted(consumer.list_topics(topic, 30).topics[topic].partitions)
        bounds = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), 30) for p in partitions}
        left = {p: high for p, (low, high) in bounds.items() if high > low}
        consumer.assign([TopicPartition(topic, p, bounds[p][0]) for p in left])
        while left:
            for message in consumer.consume(10_000, 30):
                if message.error() is not None:
                    raise KafkaException(message.error())
                partition, offset = message.partition(), message.offset()
                if offset < bounds[partition][1]:
                    yield partition, offset, message.timestamp()[1], message.key(), message.value()
                if offset >= bounds[partition][1] - 1:
                    left.pop(partition, None)
    finally:
        consumer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("topic")
    parser.add_argument("schema_id", type=int)
    parser.add_argument("ledger")
    options = parser.parse_args()
    schema = fastavro.parse_schema(TYPE)
    count = 0
    with open(options.ledger, "w") as out:
        out.write(json.dumps({"topic": options.topic, "end_us": int(time.time()) * 1_000_000, "columns": COLUMNS}) + "\n")
        for partition, offset, timestamp, key, value in records(common.servers()[0], options.topic):
            line = {"partition": partition, "offset": offset, "timestamp_ms": timestamp,
                    "key": None if key is None else key.decode()}
            line |= {"kind": "tombstone"} if value is None else entry(schema, options.schema_id, value)
            out.write(json.dumps(line) + "\n")
            count += 1
    print(f"ledger: {count} records of {options.topic}")


if __name__ == "__main__":
    main()
