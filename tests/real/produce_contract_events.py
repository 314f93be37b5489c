#!/usr/bin/env python3
"""Writes sales to a real topic, good and bad, and a ledger of what it wrote.

Confluent-kafka and fastavro write; three versions of the schema share the topic. The ledger has one JSON line for each
record that a consumer can see, with the offset that the broker gave it:

    {"partition", "offset", "timestamp_ms", "key", "kind", "schema_id", "version", "row"}       a row
    {"partition", "offset", "timestamp_ms", "key", "kind": "tombstone"}                          a deletion
    {"partition", "offset", "timestamp_ms", "key", "kind", "error_class": [...], "value"}        no row, and why

`kind` says what it was meant to be; the oracle does not look at it.
"""

import argparse
import base64
import io
import json
import random
import sys
import time
import uuid
import zlib
from decimal import Decimal

import fastavro
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

import common

PRODUCTS = [("seat", 1900), ("seat-annual", 19000), ("storage-100", 500), ("support", 9900), ("café ☕", 350)]


class Writer:
    """Sends records and keeps the ledger."""

    def __init__(self, brokers, topic, partitions, ledger, transactional):
        self.topic, self.partitions, self.ledger = topic, partitions, ledger
        self.failed = []
        base = {"bootstrap.servers": brokers, "compression.type": "lz4", "linger.ms": 20, "enable.idempotence": True}
        self.producer = Producer(base)
        self.aborting = None
        if transactional:
            self.aborting = Producer({**base, "transactional.id": f"contract-{uuid.uuid4()}"})
            self.aborting.init_transactions(60)

    def partition(self, key):
        return zlib.crc32(key) % self.partitions

    def send(self, partition, key, value, timestamp_ms, entry, headers=None):
        entry = {"partition": partition, "offset": None, "timestamp_ms": timestamp_ms,
                 "key": None if key is None else key.decode(), **entry}

        def delivered(error, message):
            if error is not None:
                self.failed.append(str(error))
                return
            entry["offset"] = message.offset()
            self.ledger.append(entry)

        while True:
            try:
                self.producer.produce(self.topic, value=value, key=key, partition=partition, timestamp=timestamp_ms,
                                      headers=headers, on_delivery=delivered)
                break
            except BufferError:
                self.producer.poll(0.1)
        self.producer.poll(0)

    def abort_some(self, values, timestamp_ms):
        """Records of a transaction that is taken back: offsets without an event for whoever reads committed ones."""
        if self.aborting is None:
            return
        self.flush()
        self.aborting.begin_transaction()
        for n, value in enumerate(values):
            self.aborting.produce(self.topic, value=value, key=b"aborted", partition=n % self.partitions,
                                  timestamp=timestamp_ms)
        self.aborting.flush(60)
        self.aborting.abort_transaction(60)

    def flush(self):
        self.producer.flush(60)
        if self.failed:
            raise SystemExit(f"{len(self.failed)} records were not delivered; the first: {self.failed[0]}")


class Events:
    """Makes the records. `now` advances evenly over the span; event times trail it by up to three seconds."""

    def __init__(self, options, ids, writer):
        self.random = random.Random(options.seed)
        self.ids, self.writer, self.options = ids, writer, options
        self.start = options.end_us - options.span_s * 1_000_000
        self.now = self.start
        self.sent = []           # (key, row) of good rows, for copies
        self.newest = {}         # partition -> largest event time that moves a watermark
        self.first_of = {}       # event id -> event time of the first copy
        self.schemas = {v: fastavro.parse_schema(s, named_schemas={})
                        for v, s in ((1, common.V1), (2, common.V2), (3, common.V3))}
        self.other = fastavro.parse_schema(common.OTHER, named_schemas={})

    def body(self, schema, row):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, row)
        return out.getvalue()

    def framed(self, schema_id, body):
        return b"\0" + schema_id.to_bytes(4, "big") + body

    def version(self):
        """The versions come one after the other, and mix: old producers go on for a while."""
        done = (self.now - self.start) / (self.options.span_s * 1_000_000)
        weights = [1, 0.02, 0] if done < 0.3 else [0.4, 1, 0.02] if done < 0.6 else [0.1, 0.4, 1]
        return self.random.choices([1, 2, 3], weights)[0]

    def row(self):
        r = self.random
        account = int(r.random() ** 2 * 3000)
        name, price = r.choice(PRODUCTS)
        quantity = r.randint(1, 9)
        return {
            "event_id": str(uuid.UUID(int=r.getrandbits(128), version=4)), "account_id": f"acct-{account:05d}",
            "event_time": self.now - r.randint(0, 3_000_000), "ingest_time": self.now,
            "region": common.REGIONS[account % 4], "plan_tier": common.TIERS[account % 3], "product": name,
            "quantity": quantity, "currency": r.choice(common.CURRENCIES),
            "amount": Decimal(price * quantity) / 100,
        }

    def encode(self, row, version):
        """`row` as that version writes it, with values for what the version adds; also what it wrote."""
        row = dict(row)
        if version >= 2:
            row["channel"] = self.random.choice(["web", "app", "partner"])
        if version == 3:
            row["product_name"] = row.pop("product")
            row["coupon"] = self.random.choice([None, None, "SPRING"])
            row["tags"] = self.random.choice([[], ["new"], ["new", "vip"]])
            row["payment"] = self.random.choice(["CARD", "INVOICE", "UNKNOWN"])
            if self.random.random() < 0.01:
                row["quantity"] = 5_000_000_000
        return self.body(self.schemas[version], row), row

    def send_row(self, kind, row, version=None, headers=None):
        version = version or self.version()
        body, wrote = self.encode(row, version)
        key = row["account_id"].encode()
        partition = self.writer.partition(key)
        ledger = {k: (str(v) if isinstance(v, Decimal) else v) for k, v in wrote.items()}
        self.writer.send(partition, key, self.framed(self.ids[version], body), self.now // 1000,
                         {"kind": kind, "schema_id": self.ids[version], "version": version, "row": ledger}, headers)
        if row["event_time"] <= self.options.end_us + common.MAX_FUTURE_US // 2:
            self.newest[partition] = max(self.newest.get(partition, 0), row["event_time"])

    def send_bad(self, kind, value, classes):
        key = f"acct-{self.random.randrange(3000):05d}".encode()
        self.writer.send(self.writer.partition(key), key, value, self.now // 1000,
                         {"kind": kind, "error_class": classes, "value": base64.b64encode(value).decode()})

    # -- kinds -------------------------------------------------------------------------------------------------------

    def good(self):
        row = self.row()
        headers = [("trace", b"\x01\xff"), ("none", None)] if self.random.random() < 0.02 else None
        self.send_row("good", row, headers=headers)
        self.sent.append(row)
        if len(self.sent) > 20_000:
            del self.sent[:5_000]

    def late(self):
        row = self.row()
        row["event_time"] = self.now - self.random.randint(630_000_000, 1_800_000_000)
        self.send_row("late", row)

    def copy(self):
        if not self.sent:
            return self.good()
        # Near ones land in the same batch, far ones in another.
        reach = self.random.choice([3, 300, 5_000])
        self.send_row("copy", self.sent[-1 - self.random.randrange(min(reach, len(self.sent)))])

    def copy_with_other_content(self):
        if not self.sent:
            return self.good()
        row = dict(self.sent[-1 - self.random.randrange(min(500, len(self.sent)))])
        row["amount"] += 1
        row["event_time"] += self.random.randint(-2_000_000, 2_000_000)
        self.send_row("copy with other content", row)

    def invalid(self):
        row = self.row()
        what = self.random.choice(["region", "plan_tier", "currency", "amount", "event_id"])
        row[what] = {"region": "MOON", "plan_tier": "platinum", "currency": "XXX", "amount": Decimal("-0.01"),
                     "event_id": None}[what]
        self.send_row(f"invalid {what}", row)
        if self.random.random() < 0.3 and what != "event_id":
            # The same sale again, corrected: the invalid copy must not swallow it.
            fixed = {**self.row(), "event_id": row["event_id"], "account_id": row["account_id"],
                     "event_time": row["event_time"]}
            self.send_row("valid after invalid", fixed)

    def watermark_edge(self):
        """Exactly at the watermark, which is late, and a microsecond after it, which is not."""
        row = self.row()
        newest = self.newest.get(self.writer.partition(row["account_id"].encode()))
        if newest is None:
            return self.send_row("good", row)
        after = self.random.choice([0, 1])
        row["event_time"] = newest - common.DELAY_US + after
        self.send_row(f"{after} us after the watermark", row)

    def dedup_edge(self):
        """A key again, exactly the delay after its first row (a copy) or a microsecond later (a new row)."""
        row = self.row()
        row["event_time"] = self.now - common.DELAY_US + 60_000_000
        self.send_row("first of an edge", row)
        again = {**row, "event_time": row["event_time"] + common.DELAY_US + self.random.choice([0, 1])}
        self.send_row("copy at the edge", again)

    def window_edge(self):
        row = self.row()
        row["event_time"] -= row["event_time"] % 300_000_000
        self.send_row("window edge", row)

    def future(self):
        row = self.row()
        row["event_time"] = self.options.end_us + 10 * 86_400_000_000
        self.send_row("far future", row)

    def tombstone(self):
        key = f"acct-{self.random.randrange(3000):05d}".encode()
        self.writer.send(self.writer.partition(key), key, None, self.now // 1000, {"kind": "tombstone"})

    def malformed(self):
        r = self.random
        body1, _ = self.encode(self.row(), 1)
        body3, _ = self.encode(self.row(), 3)
        good1, good3 = self.framed(self.ids[1], body1), self.framed(self.ids[3], body3)
        kinds = [
            ("truncated", good1[:5 + r.randrange(len(body1))], ["TRUNCATED"]),
            ("truncated v3", good3[:5 + r.randrange(len(body3))], ["TRUNCATED"]),
            ("no body", good1[:5], ["TRUNCATED"]),
            ("short header", good1[:r.randint(1, 4)], ["INCOMPLETE_HEADER"]),
            ("empty", b"", ["INCOMPLETE_HEADER"]),
            ("foreign json", json.dumps({"event_id": "x"}).encode(), ["INVALID_MAGIC_BYTE"]),
            ("foreign bytes", bytes([r.randint(2, 255)]) + r.randbytes(40), ["INVALID_MAGIC_BYTE"]),
            ("unknown id", self.framed(1_900_000_000 + r.randrange(3), body1), ["UNKNOWN_SCHEMA_ID"]),
            ("trailing bytes", good1 + r.randbytes(r.randint(1, 9)), ["TRAILING_BYTES"]),
            ("invalid utf-8", self.framed(self.ids[1], self.break_text(body1)), ["INVALID_UTF8"]),
            ("union branch", self.framed(self.ids[1], b"\x0e" + body1[1:]), ["INVALID_UNION_BRANCH"]),
            ("enum symbol", self.framed(self.ids[3], body3[:-1] + b"\x28"), ["INVALID_ENUM"]),
            ("decimal too long", self.framed(self.ids[1], self.long_amount()), ["INVALID_DECIMAL"]),
            ("varint too long", self.framed(self.ids[1], b"\x80" * 11 + b"\x01" + body1[1:]), ["OVERLONG_VARINT"]),
            ("another record", self.framed(self.ids["other"], self.body(self.other, {"host": "a", "beat": 1})),
             ["UNRESOLVABLE", "UNSUPPORTED_SCHEMA"]),
        ]
        self.send_bad(*r.choice(kinds))

    def break_text(self, body):
        at = body.index(b"acct-")
        return body[:at] + b"\xc3\x28" + body[at + 2:]

    def long_amount(self):
        """A body whose amount has 13 digits, one more than its type."""
        row = {**self.row(), "amount": Decimal("0.01")}
        body = self.body(self.schemas[1], row)
        assert body.endswith(b"\x02\x01")
        digits = (10**12).to_bytes(6, "big")
        return body[:-2] + bytes([len(digits) * 2]) + digits

    def produce(self):
        kinds = [(self.good, 0.94), (self.late, 0.01), (self.copy, 0.012), (self.copy_with_other_content, 0.003),
                 (self.invalid, 0.01), (self.malformed, 0.01), (self.tombstone, 0.005), (self.watermark_edge, 0.004),
                 (self.dedup_edge, 0.001), (self.window_edge, 0.004), (self.future, 0.0002)]
        makers, weights = [k for k, _ in kinds], [w for _, w in kinds]
        total, rate, begun = self.options.events, self.options.rate, time.monotonic()
        for n in range(total):
            while rate and n > (time.monotonic() - begun) * rate:
                self.writer.producer.poll(0.01)
            self.now = self.start + n * self.options.span_s * 1_000_000 // total
            if n % max(1, total // 7) == total // 14:
                self.writer.abort_some([self.framed(self.ids[1], self.encode(self.row(), 1)[0])] * 40, self.now // 1000)
            self.random.choices(makers, weights)[0]()
        # The last records of every partition belong to a transaction that was taken back.
        self.writer.abort_some([b"gone"] * 2 * self.writer.partitions, self.now // 1000)
        self.writer.flush()


def create_topic(brokers, topic, partitions):
    admin = AdminClient({"bootstrap.servers": brokers})
    for future in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
        future.result(60)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--topic", required=True, help="is created")
    parser.add_argument("--ledger", required=True, help="the file to write")
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--partitions", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--span-s", type=int, default=7200, help="seconds of event time")
    parser.add_argument("--rate", type=float, help="events a second; default: as fast as it goes")
    parser.add_argument("--no-transactions", action="store_true", help="leave no gaps in the offsets")
    options = parser.parse_args()
    options.end_us = int(time.time()) * 1_000_000
    brokers, url = common.servers()
    registry = common.Registry(url)
    create_topic(brokers, options.topic, options.partitions)
    subject = f"{options.topic}-value"
    ids = {n: registry.register(subject, schema) for n, schema in ((1, common.V1), (2, common.V2), (3, common.V3))}
    ids["other"] = registry.register(f"{options.topic}-heartbeat-value", common.OTHER)
    ledger = []
    writer = Writer(brokers, options.topic, options.partitions, ledger, not options.no_transactions)
    Events(options, ids, writer).produce()
    ledger.sort(key=lambda e: (e["partition"], e["offset"]))
    with open(options.ledger, "w") as out:
        out.write(json.dumps({"topic": options.topic, "partitions": options.partitions, "seed": options.seed,
                              "end_us": options.end_us, "ids": {str(k): v for k, v in ids.items()}}) + "\n")
        for entry in ledger:
            out.write(json.dumps(entry) + "\n")
    print(f"{len(ledger)} records in {options.topic}, seed {options.seed}, ledger {options.ledger}", file=sys.stderr)


if __name__ == "__main__":
    main()
