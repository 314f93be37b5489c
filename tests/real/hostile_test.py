#!/usr/bin/env python3
"""A producer with nothing but write access to one topic tries to stop a run, or to take its memory. An honest one goes on.

    hostile_test.py --binary BINARY [--seconds 60] [--seed N] [--folder DIR] [--only ATTACK,...] [--memory MB]

The run may have 2 GB of addresses, as by `ulimit -v 2000000`. At the end

- it still reads, ends when it is asked to, and starts again; its most memory was below --memory, and what it said acts on no terminal;
- every honest event is in each table as often as it should;
- every offset of the topic is a row, a tombstone, a dead letter, or lost since its batch cannot be read, and only one of these;
- every row of bronze is in each table above it, or in its quarantine, and `checkpoint verify` agrees.

The seed of a failure chooses the same attacks again. What is sent when, and so what is in a batch, is another matter each time.
"""

import argparse
import collections
import glob
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import duckdb
import fastavro
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import attacks
import common
import oracle
import record_batches

PIPELINE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hostile.sql")
PARTITIONS = 3
# What may be in a batch of the topic, packed.
LARGEST = 20 * attacks.MB
HONEST_A_SECOND, ATTACKS_A_SECOND = 100, 2
# Of bytes that bombs unpack to: a build without optimisation unpacks some 20 MB a second.
UNPACKED_A_SECOND = 10 * attacks.MB
# What acts on a terminal, or is not seen, and stands in no line of ours.
ACTS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
BRONZE = "data/bronze/hostile"
TABLES = ["data/silver/texts", "data/silver/rows", "data/silver/lists"]


class Run:
    """A run of the pipeline that follows the topic, with few addresses."""

    def __init__(self, options, base, topic):
        self.folder, self.binary = os.path.join(base, "run"), os.path.abspath(options.binary)
        self.peak, self.known = 0, {}
        self.memory, self.addresses = options.memory, options.addresses * 1024
        os.makedirs(self.folder)
        self.settings = {"events.subscribe": topic, **dict(pair.split("=", 1) for pair in options.set)}
        self.said = os.path.join(base, "said")

    def start(self, *more):
        line = common.command(self.binary, PIPELINE, self.settings)
        line = [word for word in line if word not in ("--trigger", "available-now")]
        with open(self.said, "ab") as said, open(os.path.join(self.folder, "progress"), "ab") as progress:
            self.process = subprocess.Popen(
                [*line, *more], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=progress, stderr=said,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (self.addresses, self.addresses)))

    def must_live(self):
        """Fails when it has ended; else looks at the most memory that it had."""
        if self.process.poll() is not None:
            self.fail(f"the run ended with {self.process.returncode}")
        with open(f"/proc/{self.process.pid}/status") as status:
            found = re.search(r"VmHWM:\s*(\d+) kB", status.read())
        self.peak = max(self.peak, int(found[1]) // 1000 if found else 0)
        if self.peak > self.memory:
            self.fail(f"its memory is more than {self.memory} MB")

    def fail(self, what):
        with open(self.said, errors="replace") as said:
            sys.stderr.write("".join(said.readlines()[-15:]))
        raise SystemExit(f"{what}, {self.peak} MB at its peak; what it said: {self.said}")

    def until(self, what, check, seconds):
        limit = time.monotonic() + seconds
        while not check():
            self.must_live()
            if time.monotonic() > limit:
                self.fail(f"{what} was not done within {seconds:.0f} s")
            time.sleep(0.1)

    def end(self, seconds):
        """Waits for its end, which must be a good one."""
        limit = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < limit:
            try:
                self.must_live()
            except (FileNotFoundError, SystemExit):
                break
            time.sleep(0.05)
        try:
            code = self.process.wait(max(1, limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            code = "nothing: it goes on"
        if code != 0:
            self.fail(f"asked to end, it ended with {code}")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def sources(self):
        """What the reports say of the source, each read once."""
        for path in glob.glob(os.path.join(self.folder, "data/dq/hostile/metrics/batch_id=*/report.json")):
            if path not in self.known:
                with open(path) as report:
                    self.known[path] = json.load(report)["sources"]
        return [source for sources in self.known.values() for source in sources]

    def ends(self):
        """Where each partition was read to."""
        ends = collections.Counter()
        for source in self.sources():
            for partitions in source["input"].values():
                for partition, part in partitions.items():
                    ends[int(partition)] = max(ends[int(partition)], part["end"])
        return ends


class Topic:
    """The topic, what both producers sent to it, and where honest events are."""

    def __init__(self, options, chance):
        brokers, registry = common.servers()
        self.brokers, self.name = brokers, f"hostile-{options.seed}-{int(time.time())}"
        new = NewTopic(self.name, PARTITIONS, 1, config={"max.message.bytes": str(LARGEST)})
        admin = AdminClient({"bootstrap.servers": brokers})
        admin.create_topics([new])[self.name].result(60)
        registry = common.Registry(registry)
        self.ids = {name: registry.register(f"{self.name}{'' if name == 'reader' else '-' + name}-value", schema)
                    for name, schema in attacks.SCHEMAS.items()}
        self.schema = fastavro.parse_schema(attacks.READER, named_schemas={})
        # A batch of each by its own: what becomes of a bomb is its own matter.
        settings = {"bootstrap.servers": brokers, "message.max.bytes": LARGEST, "linger.ms": 20}
        self.honest_producer = Producer({**settings, "enable.idempotence": True})
        self.hostile_producer = Producer({**settings, "queue.buffering.max.kbytes": 400_000})
        self.broker, self.chance = record_batches.Broker(brokers), chance
        self.honest, self.refused, self.tombstones, self.sent = {}, collections.Counter(), 0, 0
        self.attack = None

    def send_honest(self):
        """An event that every table can compute."""
        k = self.chance.randrange(1, 4)
        row = {"id": f"honest {self.sent}", "at": int(time.time() * 1e6), "k": k, "text": "honest", "pattern": "^h",
               "kind": "GOOD", "tags": ["a"], "filler": "", **{f"c{n}": None for n in range(200)}}
        out = io.BytesIO(b"\0" + self.ids["reader"].to_bytes(4, "big"))
        out.seek(0, io.SEEK_END)
        fastavro.schemaless_writer(out, self.schema, row)

        def delivered(error, message):
            if error is not None:
                raise SystemExit(f"an honest event was not taken: {error}")
            self.honest[message.partition(), message.offset()] = row["id"], k

        self.sent += 1
        self.honest_producer.produce(self.name, value=out.getvalue(), key=row["id"].encode(), partition=self.chance.randrange(PARTITIONS),
                                     on_delivery=delivered)
        self.honest_producer.poll(0)

    def send(self, value, key=None, headers=None):
        """A record of the attack."""
        attack = self.attack

        def delivered(error, _):
            if error is not None:
                self.refused[attack] += 1
            elif value is None:
                self.tombstones += 1

        while True:
            try:
                self.hostile_producer.produce(self.name, value=value, key=key, headers=headers, partition=self.chance.randrange(PARTITIONS),
                                              on_delivery=delivered)
                break
            except BufferError:
                self.hostile_producer.poll(0.1)
        self.hostile_producer.poll(0)

    def send_batch(self, content, tombstones=0):
        """A batch of the attack as it is."""
        try:
            self.broker.produce(self.name, self.chance.randrange(PARTITIONS), content)
            self.tombstones += tombstones
        except record_batches.Refused:
            self.refused[self.attack] += 1

    def flush(self):
        for producer in (self.honest_producer, self.hostile_producer):
            if producer.flush(120):
                raise SystemExit("the broker takes no events any more")

    def ends(self):
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "hostile-test"})
        try:
            return {p: consumer.get_watermark_offsets(TopicPartition(self.name, p), 30)[1] for p in range(PARTITIONS)}
        finally:
            consumer.close()


def besiege(options, run, topic, chance):
    """Sends honest events and attacks until the time is over."""
    only = [name for name in options.only.split(",") if name]
    made = attacks.Attacks(chance, topic.ids, lambda: int(time.time() * 1e6), topic.send, topic.send_batch,
                           max(300 * attacks.MB, int(options.seconds * UNPACKED_A_SECOND)))
    unknown = [name for name in only if name not in made.all]
    if unknown:
        raise SystemExit(f"there is no attack {unknown[0]}; there are {', '.join(made.all)}")
    chosen, counts = only or list(made.all), collections.Counter()
    begun = time.monotonic()
    while (elapsed := time.monotonic() - begun) < options.seconds:
        run.must_live()
        if topic.sent < elapsed * HONEST_A_SECOND:
            topic.send_honest()
        elif sum(counts.values()) < elapsed * ATTACKS_A_SECOND:
            # Each once, then as it comes.
            left = [name for name in chosen if not counts[name]]
            topic.attack = left[0] if left else chance.choice(chosen)
            counts[topic.attack] += 1
            made.all[topic.attack]()
        else:
            time.sleep(0.01)
    # What comes behind all of it is read too.
    for _ in range(20):
        topic.send_honest()
    topic.flush()
    return counts


class Check:
    """Looks at what the run left."""

    def __init__(self, run, topic):
        self.run, self.topic = run, topic
        self.db = duckdb.connect()
        self.db.execute("SET TimeZone = 'UTC'; SET memory_limit = '4GB'")
        self.db.execute("CREATE TABLE honest (p INTEGER, o BIGINT, id VARCHAR, k INTEGER)")
        rows = [f"({p}, {o}, {common.sql(id)}, {k})" for (p, o), (id, k) in topic.honest.items()]
        for at in range(0, len(rows), 5_000):
            self.db.execute(f"INSERT INTO honest VALUES {', '.join(rows[at:at + 5_000])}")
        self.wrong = []

    def places(self, folder, partition="_partition", offset="_offset", more=""):
        """Those of a table, in SQL."""
        pattern = oracle.files(self.run.folder, folder)
        if not glob.glob(pattern, recursive=True):
            return f"(SELECT p, o{more} FROM honest WHERE false)"
        return f"(SELECT {partition} AS p, \"{offset}\" AS o{more} FROM {oracle.parquet(pattern)})"

    def number(self, query):
        return self.db.execute(query).fetchone()[0]

    def same(self, what, found, expected):
        if found != expected:
            self.wrong.append(f"{what}: {found}, expected {expected}")

    def honest_events(self):
        for folder in [BRONZE, *TABLES]:
            rows = "k" if folder.endswith("rows") else "1"
            found = f"(SELECT p, o, id, count(*) AS n FROM {self.places(folder, more=', id')} GROUP BY ALL)"
            wrong = f"FROM honest LEFT JOIN {found} AS t USING (p, o, id) WHERE coalesce(n, 0) <> {rows}"
            example = self.db.execute(f"SELECT p, o, id, coalesce(n, 0) {wrong} LIMIT 1").fetchall()
            count = self.number(f"SELECT count(*) {wrong}")
            self.same(f"{folder}: honest events of which there are more or fewer rows, as {example}", count, 0)

    def every_offset(self):
        """A row of bronze, a tombstone, a letter, or lost with its batch: and one of these only."""
        lost = tombstones = 0
        self.db.execute("CREATE TABLE lost (p INTEGER, o BIGINT)")
        for source in self.run.sources():
            tombstones += source["tombstones"]
            for part in source["lost"]:
                self.same("why offsets are lost", part["reason"], "unreadable")
                lost += part["to"] - part["from"]
                self.db.execute(f"INSERT INTO lost SELECT {part['partition']}, o FROM range({part['from']}, {part['to']}) t(o)")
        bronze, letters = self.places(BRONZE), self.places("data/dead_letters", "partition", "offset")
        counted = [self.number(f"SELECT count(*) FROM {of}") for of in (bronze, letters)]
        all_of = f"(SELECT * FROM {bronze} UNION ALL SELECT * FROM {letters} UNION ALL SELECT * FROM lost)"
        distinct = self.number(f"SELECT count(*) FROM (SELECT DISTINCT p, o FROM {all_of})")
        self.same("places that are there twice", sum(counted) + lost - distinct, 0)
        self.same("tombstones", tombstones, self.topic.tombstones)
        self.same("rows, letters, lost and tombstones", sum(counted) + lost + tombstones, sum(self.topic.ends().values()))
        self.letters = collections.Counter()
        if counted[1]:
            pattern = oracle.parquet(oracle.files(self.run.folder, "data/dead_letters"))
            longest = self.number(f"SELECT coalesce(max(greatest(octet_length(key), octet_length(value))), 0) FROM {pattern}")
            self.same("bytes of the longest key or value of a letter", longest, min(longest, 65_536))
            self.letters.update(dict(self.db.execute(f"SELECT error_class, count(*) FROM {pattern} GROUP BY 1").fetchall()))
        self.counts = {"rows": counted[0], "letters": counted[1], "lost": lost, "tombstones": tombstones}

    def every_row(self):
        for folder in TABLES:
            quarantine = self.places("data/quarantine/hostile/silver_" + os.path.basename(folder))
            twice = f"SELECT count(*) FROM (SELECT DISTINCT * FROM {self.places(folder)}) JOIN {quarantine} USING (p, o)"
            self.same(f"{folder}: rows that are in quarantine too", self.number(twice), 0)
            both = f"(SELECT * FROM {self.places(folder)} UNION SELECT * FROM {quarantine})"
            lacks = f"SELECT count(*) FROM {self.places(BRONZE)} ANTI JOIN {both} USING (p, o)"
            self.same(f"{folder}: rows of bronze that are neither in it nor in quarantine", self.number(lacks), 0)
            self.counts[os.path.basename(folder) + " in quarantine"] = self.number(f"SELECT count(*) FROM {quarantine}")

    def what_it_said(self):
        with open(self.run.said, "rb") as said:
            text = said.read().decode(errors="replace")
        acts = ACTS.search(text)
        self.same("signs that act on a terminal", acts and text[max(0, acts.start() - 60):acts.start() + 20], None)
        for word in ("panicked", "this is a bug"):
            self.same(f"it says '{word}'", word in text, False)

    def verify(self):
        line = [self.run.binary, "checkpoint", "verify", "checkpoints/run"]
        done = subprocess.run(line, cwd=self.run.folder, capture_output=True, text=True)
        self.same("checkpoint verify", (done.returncode, done.stdout[-2000:] if done.returncode else ""), (0, ""))

    def all(self):
        self.honest_events()
        self.every_offset()
        self.every_row()
        self.what_it_said()
        self.verify()


def attacked(options, base):
    """What is wrong."""
    chance = random.Random(options.seed)
    topic = Topic(options, chance)
    run = Run(options, base, topic.name)
    run.start()
    try:
        # A first batch: before it nothing is there to be stopped.
        topic.send_honest()
        topic.flush()
        run.until("a first batch", lambda: run.ends().total() > 0, 300)
        begun = time.monotonic()
        counts = besiege(options, run, topic, chance)
        ends = topic.ends()
        print(f"{topic.sent} honest events and {counts.total()} attacks in {sum(ends.values())} records, "
              f"{topic.refused.total()} refused; {run.ends().total()} were read by then", flush=True)
        run.until("reading the rest", lambda: dict(run.ends()) == ends, 120 + 3 * options.seconds)
        took = time.monotonic() - begun
        run.process.send_signal(signal.SIGTERM)
        run.end(120)
        # Another start finds nothing to do, and nothing that stops it.
        run.start("--trigger", "available-now")
        run.end(120)
    finally:
        run.kill()
    check = Check(run, topic)
    check.all()
    print(f"{took:.0f} s, {run.peak} MB at its peak; {check.counts}; letters {dict(check.letters)}", flush=True)
    return check.wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--seconds", type=float, default=60, help="how long it is attacked; an hour is 3600")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--folder", help="kept; default: a temporary one, removed when all is well")
    parser.add_argument("--only", default="", help="these attacks, with commas between")
    parser.add_argument("--memory", type=int, default=900, help="megabytes that the run may have in all")
    parser.add_argument("--addresses", type=int, default=2_000_000, help="kilobytes of addresses that it may have")
    parser.add_argument("--set", action="append", default=[], help="a setting of the pipeline")
    options = parser.parse_args()
    base = os.path.abspath(options.folder or tempfile.mkdtemp(prefix="sluicebox-hostile-"))
    os.makedirs(base, exist_ok=True)
    print(f"seed {options.seed}, {options.seconds:.0f} s, in {base}", flush=True)
    try:
        wrong = attacked(options, base)
    except BaseException:
        print(f"FAILED with --seed {options.seed} --seconds {options.seconds}; see {base}", flush=True)
        raise
    for what in wrong:
        print(what)
    if wrong:
        print(f"FAILED with --seed {options.seed} --seconds {options.seconds}; see {base}")
        sys.exit(1)
    print(f"neither stopped nor swollen (seed {options.seed})")
    if not options.folder:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
