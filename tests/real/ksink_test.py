#!/usr/bin/env python3
"""Tables that are topics: as JSON and as Avro, written by a run that is killed again and again, and passed by another while it
stands still. What confluent-kafka reads with read_committed must be the rows of a table of files with the same query.

    ksink_test.py --binary BINARY [--kills N] [--seed N] [--folder DIR]
"""

import argparse
import collections
import datetime
import decimal
import io
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import uuid

import duckdb
import fastavro
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import common
import oracle

PARTITIONS = 3
COLUMNS = "event_id, account_id, region, quantity, amount, event_time, _partition, _offset"

SQL = """
SET 'pipeline.name' = 'ksink';
CREATE TABLE sales_events USING kafka OPTIONS (
  'subscribe' = '{source}', 'value.format' = 'avro', 'maxOffsetsPerTrigger' = '{batch}');
CREATE STREAMING TABLE kept AS SELECT {columns} FROM STREAM sales_events;
CREATE STREAMING TABLE sent_json USING kafka
  TBLPROPERTIES ('topic' = '{json}', 'key.columns' = 'account_id', 'header.columns' = 'region', 'kafka.linger.ms' = '1')
  AS SELECT {columns} FROM STREAM sales_events;
CREATE STREAMING TABLE sent_avro USING kafka
  TBLPROPERTIES ('topic' = '{avro}', 'value.format' = 'avro', 'key.columns' = 'account_id,region')
  AS SELECT {columns} FROM STREAM sales_events;
"""


class Run:
    def __init__(self, options, base, names):
        self.binary, self.folder = os.path.abspath(options.binary), os.path.join(base, "run")
        self.log, self.names = os.path.join(base, "run.log"), names
        os.makedirs(self.folder)
        with open(os.path.join(self.folder, "ksink.sql"), "w") as out:
            out.write(SQL.format(columns=COLUMNS, batch=400, **names))

    def start(self, *more):
        line = [self.binary, "run", "ksink.sql", "--trigger", "available-now", "--progress", "json", *more]
        with open(self.log, "ab") as out:
            return subprocess.Popen(line, cwd=self.folder, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def commits(self):
        folder = os.path.join(self.folder, "checkpoints/ksink/commits")
        return len([name for name in os.listdir(folder) if name.isdigit()]) if os.path.isdir(folder) else 0

    def until(self, what, check, process, seconds=60):
        limit = time.monotonic() + seconds
        while not check():
            if process.poll() is not None:
                return False
            if time.monotonic() > limit:
                process.kill()
                self.fail(f"{what} did not happen within {seconds} s")
            time.sleep(0.005)
        return True

    def end(self, process, seconds=180):
        code = process.wait(seconds)
        if code != 0:
            self.fail(f"the run ended with {code}")

    def fail(self, what):
        with open(self.log, errors="replace") as text:
            sys.stderr.write("".join(text.readlines()[-25:]))
        raise SystemExit(f"{what}; the log: {self.log}")

    def kept(self):
        columns = COLUMNS.replace("event_time", "epoch_us(event_time) AS event_time")
        rows = duckdb.sql(f"SELECT {columns} FROM {oracle.parquet(oracle.files(self.folder, 'data/tables/kept'))}")
        return collections.Counter(rows.fetchall())


def events(topic, isolation):
    """Every event of the topic up to its end."""
    consumer = Consumer({"bootstrap.servers": common.servers()[0], "group.id": f"ksink-{uuid.uuid4()}",
                         "enable.auto.commit": False, "auto.offset.reset": "earliest", "isolation.level": isolation,
                         "enable.partition.eof": True})
    try:
        consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
        left = set(range(PARTITIONS))
        while left:
            for message in consumer.consume(10_000, 30):
                error = message.error()
                if error is None:
                    yield message
                elif error.name() == "_PARTITION_EOF":
                    left.discard(message.partition())
                else:
                    raise KafkaException(error)
    finally:
        consumer.close()


EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def row(fields):
    """A row of fields by name, its time in microseconds, as DuckDB gives it."""
    fields["event_time"] = (fields["event_time"] - EPOCH) // datetime.timedelta(microseconds=1)
    return tuple(fields[name] for name in COLUMNS.split(", "))


def of_json(message):
    fields = json.loads(message.value(), parse_float=decimal.Decimal)
    if list(fields) != COLUMNS.split(", "):
        raise SystemExit(f"a value with other fields: {message.value()!r}")
    if message.key().decode() != fields["account_id"]:
        raise SystemExit(f"the key {message.key()!r} of {message.value()!r}")
    headers = dict(message.headers())
    if headers["region"] != fields["region"].encode():
        raise SystemExit(f"the headers {headers} of {message.value()!r}")
    fields["amount"] = decimal.Decimal(fields["amount"])
    fields["event_time"] = datetime.datetime.fromisoformat(fields["event_time"])
    return row(fields)


def avro_reader(registry):
    schemas = {}

    def of_avro(message):
        magic, schema_id = struct.unpack(">bI", message.value()[:5])
        if magic != 0:
            raise SystemExit(f"no Confluent frame: {message.value()!r}")
        if schema_id not in schemas:
            schema = json.loads(registry.call("GET", f"/schemas/ids/{schema_id}")["schema"])
            schemas[schema_id] = fastavro.parse_schema(schema)
        fields = fastavro.schemaless_reader(io.BytesIO(message.value()[5:]), schemas[schema_id])
        if json.loads(message.key()) != [fields["account_id"], fields["region"]]:
            raise SystemExit(f"the key {message.key()!r} of {fields}")
        return row(fields)

    return of_avro


def compare(what, kept, sent):
    missing, more = kept - sent, sent - kept
    if missing or more:
        for name, rows in ("missing", missing), ("there twice, or in no table", more):
            for line in list(rows.items())[:5]:
                print(f"{what}: {name}: {line}", file=sys.stderr)
        raise SystemExit(f"{what}: {sum(missing.values())} rows are missing, {sum(more.values())} are too many")


def batches(messages):
    """The batches that the headers name, each of one query and generation."""
    found = {dict(message.headers())["sluicebox.batch"].decode() for message in messages}
    if len({name.rsplit(".", 1)[0] for name in found}) != 1:
        raise SystemExit(f"headers of several queries: {sorted(found)[:5]}")
    return found


def killed(run, kills, chance):
    """Kills the run a moment after its next commit, so often; gives how often it was at work then."""
    met = 0
    for _ in range(kills):
        process = run.start()
        before = run.commits()
        if run.until("a commit", lambda: run.commits() > before, process):
            # Between the commit and the end of its transactions, mostly.
            time.sleep(chance.choice([0, 0.002, 0.01, 0.03, 0.1, 0.3]))
            met += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    return met


def passed(run, chance):
    """Stops a run where it stands, lets another one take over, and wakes the first up."""
    first = run.start()
    before = run.commits()
    if not run.until("a commit", lambda: run.commits() > before, first):
        return False
    time.sleep(chance.choice([0, 0.005, 0.02]))
    first.send_signal(signal.SIGSTOP)
    second = run.start("--take-over")
    run.end(second)
    first.send_signal(signal.SIGCONT)
    code = first.wait(60)
    return code != 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--events", type=int, default=24_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--folder")
    options = parser.parse_args()
    print(f"seed {options.seed}")
    chance = random.Random(options.seed)
    brokers, url = common.servers()
    mark = uuid.uuid4().hex[:8]
    names = {"source": f"ksink_in_{mark}", "json": f"ksink_json_{mark}", "avro": f"ksink_avro_{mark}"}
    base = os.path.abspath(options.folder) if options.folder else tempfile.mkdtemp(prefix="sluicebox-ksink-")
    admin = AdminClient({"bootstrap.servers": brokers})
    for made in admin.create_topics([NewTopic(names[name], PARTITIONS, 1) for name in ("json", "avro")]).values():
        made.result(30)
    run = Run(options, base, names)
    subprocess.run([run.binary, "produce", "sales", "--topic", names["source"], "--events", str(options.events), "--seed",
                    str(options.seed), "--malformed", "0", "--invalid", "0"], cwd=run.folder, check=True)

    met = killed(run, options.kills, chance)
    stood = passed(run, chance)
    run.end(run.start())
    kept = run.kept()
    if sum(kept.values()) != options.events:
        run.fail(f"{sum(kept.values())} rows in files of {options.events} events")
    for what, reader in (names["json"], of_json), (names["avro"], avro_reader(common.Registry(url))):
        messages = list(events(what, "read_committed"))
        compare(what, kept, collections.Counter(map(reader, messages)))
        all_of_it = sum(1 for _ in events(what, "read_uncommitted"))
        print(f"{what}: {len(messages)} events of {len(batches(messages))} batches, {all_of_it - len(messages)} of transactions "
              f"that were aborted")
    print(f"killed {options.kills} times, {met} of them at work; a run that was passed {'ended with an error' if stood else 'had ended'}")

    # What is there already is not sent again.
    run.end(run.start())
    compare("again", kept, collections.Counter(map(of_json, events(names["json"], "read_committed"))))
    if not options.folder:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
