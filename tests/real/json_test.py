#!/usr/bin/env python3
"""JSON from an independent producer, a share of it bad in every way there is: each event has its fate.

    json_test.py --binary BINARY [--events N] [--share S] [--seed N] [--kills N] [--folder DIR]

The producer writes objects by code of its own, in any order of their fields and with any white space, and notes what each must become:
a row with these values, or a dead letter of this class. Two sources read the topic, one that keeps fields that it does not list and one
that refuses them. The run is killed a few times on its way. Tables and dead letters are read by DuckDB.
"""

import argparse
import datetime
import decimal
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import duckdb
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

import common
import oracle

PARTITIONS = 4
MAX_DEPTH = 20
COLUMNS = """
  id BIGINT NOT NULL, name STRING, price DECIMAL(12, 2), qty INT, ratio DOUBLE, flag BOOLEAN, at TIMESTAMP, day DATE,
  tags ARRAY<STRING>, counts MAP<STRING, BIGINT>, address STRUCT<city: STRING NOT NULL, zip: STRING>"""
OPTIONS = "'subscribe' = '{topic}', 'value.format' = 'json', 'key.format' = 'text', 'json.maxDepth' = '{depth}'"
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
TEXTS = ["", "a", "ä", "\u0001", 'quote " and \\', "line\nend", "\U0001f600", "x" * 300, "null", "1.0"]


def pipeline(topic):
    options = OPTIONS.format(topic=topic, depth=MAX_DEPTH)
    return f"""SET 'pipeline.name' = 'json_test';
CREATE TABLE kept ({COLUMNS}) USING kafka OPTIONS ({options}, 'json.extraFields' = 'rescue');
CREATE TABLE strict ({COLUMNS}) USING kafka OPTIONS ({options}, 'json.extraFields' = 'letter');
CREATE STREAMING TABLE bronze_kept AS SELECT * FROM STREAM kept;
CREATE STREAMING TABLE bronze_strict AS SELECT * FROM STREAM strict;
"""


def text(rng, value):
    """A text as JSON, with more or fewer escapes."""
    return json.dumps(value, ensure_ascii=rng.random() < 0.5)


def moment(rng):
    """A timestamp as it is written, and its microseconds since 1970."""
    micros = rng.randrange(-3_000_000_000_000_000, 4_000_000_000_000_000)
    minutes = rng.choice([0, 0, 90, -330])
    shown = EPOCH + datetime.timedelta(microseconds=micros, minutes=minutes)
    written = shown.strftime("%Y-%m-%dT%H:%M:%S")
    if rng.random() < 0.2:
        written = written.replace("T", " ")
    written += f".{micros % 1_000_000:06d}" + rng.choice(["", "9"])
    if minutes:
        sign = "+" if minutes > 0 else "-"
        written += f"{sign}{abs(minutes) // 60:02d}{rng.choice([':', ''])}{abs(minutes) % 60:02d}"
    else:
        written += rng.choice(["Z", "", "+00:00", "z"])
    return json.dumps(written), micros


def event(rng, number):
    """The fields of an event as JSON, by name; the row that they are."""
    fields, row = {"id": str(number)}, {"id": number}

    def put(name, written, value):
        fields[name], row[name] = written, value

    def maybe(name, make):
        luck = rng.random()
        if luck < 0.15:
            row[name] = None
        elif luck < 0.25:
            put(name, "null", None)
        else:
            put(name, *make())

    def price():
        cents = rng.randrange(-10**11, 10**11)
        written = f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"
        value = decimal.Decimal(cents).scaleb(-2)
        return (json.dumps(written) if rng.random() < 0.3 else written + rng.choice(["", "0", "e0"])), value

    def ratio():
        value = rng.choice([0.1, -2.5e-7, 1e300, float(rng.randrange(10**9)), rng.random()])
        return repr(value), value

    def day():
        value = datetime.date.fromordinal(rng.randrange(datetime.date(1, 1, 1).toordinal(), datetime.date(9999, 12, 31).toordinal()))
        return json.dumps(value.isoformat()), value

    def tags():
        value = [rng.choice(TEXTS + [None]) for _ in range(rng.randrange(4))]
        return "[" + rng.choice([",", " , "]).join("null" if t is None else text(rng, t) for t in value) + "]", value

    def counts():
        value = {key: rng.choice([None, rng.randrange(-2**63, 2**63)]) for key in rng.sample(TEXTS, rng.randrange(4))}
        return "{" + ",".join(f"{text(rng, k)}: {'null' if v is None else v}" for k, v in value.items()) + "}", value

    def address():
        value = {"city": rng.choice(TEXTS), "zip": rng.choice([None, "54290"])}
        parts = [f'"city":{text(rng, value["city"])}']
        if value["zip"] or rng.random() < 0.5:
            parts.append(f'"zip":{json.dumps(value["zip"])}')
        rng.shuffle(parts)
        return "{" + ",".join(parts) + "}", value

    def name():
        value = rng.choice(TEXTS)
        return text(rng, value), value

    maybe("name", name)
    maybe("price", price)
    maybe("qty", lambda: (lambda v: (str(v), v))(rng.randrange(-2**31, 2**31)))
    maybe("ratio", ratio)
    maybe("flag", lambda: rng.choice([("true", True), ("false", False)]))
    maybe("at", lambda: moment(rng))
    maybe("day", day)
    maybe("tags", tags)
    maybe("counts", counts)
    maybe("address", address)
    return fields, row


def written(rng, fields):
    """The object of these fields."""
    order = list(fields.items())
    rng.shuffle(order)
    space = rng.choice(["", "", " ", "\n  "])
    return "{" + space + ("," + space).join(f'"{name}":{space}{value}' for name, value in order) + space + "}"


def extra(rng, fields):
    """Adds fields that no column is listed for; what is kept of them."""
    kept = {}
    if rng.random() < 0.3:
        for name in rng.sample(["note", "extra field", "ID", "nested"], rng.randrange(1, 3)):
            kept[name] = rng.choice([None, 1, "text", [1, {"a": [True]}], {"b": {}}])
            fields[name] = json.dumps(kept[name])
    return kept


def bad(rng, kind, number):
    """An event that is a dead letter of the class `kind`: its value and key."""
    fields, _ = event(rng, number)
    key, good = b"key", None
    while good is None or len(good) < 12:
        good = written(rng, fields)
    change = {
        "NOT_JSON": [
            lambda: good[:-1].encode(), lambda: (good + " x").encode(), lambda: good.replace('"id"', "'id'").encode(),
            lambda: good.replace("}", ",}", 1).encode() if good.count("}") == 1 else (good + ",").encode(), lambda: b"",
            lambda: b"\0\0\0\0\7" + good.encode(), lambda: (good[:-1] + ',"n":"a\tb"}').encode(), lambda: (good[:-1] + ',"n":01}').encode(),
            lambda: (good[:-1] + ',"n":NaN}').encode(), lambda: "\ufeff".encode() + good.encode(),
        ],
        "SEVERAL_VALUES": [lambda: (good + "\n" + good).encode(), lambda: (good + "1").encode()],
        "NOT_AN_OBJECT": [lambda: f"[{good}]".encode(), lambda: b"null", lambda: b' "text" ', lambda: b"-12.5e3"],
        "DUPLICATE_KEY": [
            lambda: (good[:-1] + ',"id":1}').encode(), lambda: (good[:-1] + ',"n":1,"\\u006e":2}').encode(),
            lambda: (good[:-1] + ',"n":[{"k":1,"k":1}]}').encode(),
        ],
        "TOO_DEEP": [lambda: (good[:-1] + ',"n":' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "}").encode()],
        "INVALID_UTF8": [
            lambda: good[:-1].encode() + b',"n":"\xff"}', lambda: (good[:-1] + ',"n":"\\ud83d"}').encode(),
            lambda: good[:-1].encode() + b',"n":"\xed\xa0\xbd"}',
        ],
        "MISSING_FIELD": [
            lambda: written(rng, {k: v for k, v in fields.items() if k != "id"}).encode(),
            lambda: written(rng, {**fields, "address": '{"zip":"1"}'}).encode(),
        ],
        "NULL_FIELD": [
            lambda: written(rng, {**fields, "id": "null"}).encode(), lambda: written(rng, {**fields, "address": '{"city":null}'}).encode(),
        ],
        "WRONG_TYPE": [
            lambda n=n, v=v: written(rng, {**fields, n: v}).encode()
            for n, v in [("id", '"1"'), ("id", "1.0"), ("qty", "1e2"), ("flag", "1"), ("at", "1700000000"), ("tags", "{}"),
                         ("counts", '{"a":"1"}'), ("address", "[]"), ("price", '"1,5"'), ("ratio", '"x"'), ("day", "20000")]
        ],
        "OUT_OF_RANGE": [
            lambda n=n, v=v: written(rng, {**fields, n: v}).encode()
            for n, v in [("id", "9223372036854775808"), ("qty", "-2147483649"), ("price", "0.001"), ("price", "10000000000.00"),
                         ("ratio", "1e999"), ("counts", '{"a":99999999999999999999}')]
        ],
        "INVALID_TIMESTAMP": [
            lambda n=n, v=v: written(rng, {**fields, n: v}).encode()
            for n, v in [("at", '"31.12.2026"'), ("at", '"2026-02-30T00:00:00Z"'), ("at", '"2026-01-01T24:00:00Z"'), ("day", '"2026-1-1"'),
                         ("day", '"2026-01-01T00:00:00Z"')]
        ],
        "INVALID_KEY": [lambda: good.encode()],
    }[kind]
    if kind == "INVALID_KEY":
        key = b"\xff\xfe"
    return rng.choice(change)(), key


KINDS = ["NOT_JSON", "SEVERAL_VALUES", "NOT_AN_OBJECT", "DUPLICATE_KEY", "TOO_DEEP", "INVALID_UTF8", "MISSING_FIELD", "NULL_FIELD",
         "WRONG_TYPE", "OUT_OF_RANGE", "INVALID_TIMESTAMP", "INVALID_KEY"]


class Topic:
    """The topic, and what became of each event: `fates[(partition, offset)]` of either source."""

    def __init__(self, brokers, name):
        self.name, self.fates, self.failed = name, {}, []
        # Kept in a variable: the client ends when nobody has it any more, and its answers with it.
        admin = AdminClient({"bootstrap.servers": brokers})
        for future in admin.create_topics([NewTopic(name, PARTITIONS, 1)]).values():
            future.result()
        self.producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})

    def send(self, rng, value, key, fate):
        def delivered(error, message):
            if error is not None:
                self.failed.append(str(error))
            else:
                self.fates[(message.partition(), message.offset())] = fate

        while True:
            try:
                self.producer.produce(self.name, value, key, partition=rng.randrange(PARTITIONS), on_delivery=delivered)
                break
            except BufferError:
                self.producer.poll(0.1)
        self.producer.poll(0)

    def fill(self, rng, events, share):
        for number in range(events):
            luck = rng.random()
            if luck < share:
                kind = KINDS[number % len(KINDS)]
                value, key = bad(rng, kind, number)
                self.send(rng, value, key, (kind, kind))
            elif luck < share + 0.01:
                self.send(rng, None, b"key", (None, None))
            else:
                fields, row = event(rng, number)
                kept = extra(rng, fields)
                key = rng.choice([None, b"", b"key", "ä".encode()])
                row["key"] = None if key is None else key.decode()
                strict = "EXTRA_FIELD" if kept else row
                self.send(rng, written(rng, fields).encode(), key, ({**row, "_rescued": kept or None}, strict))
        self.producer.flush()
        if self.failed:
            raise SystemExit(f"{len(self.failed)} events were not written: {self.failed[0]}")


def found(db, folder, source):
    """What the tables and the dead letters of `source` hold, by place."""
    rescued = "_rescued" if source == "kept" else "NULL AS _rescued"
    names = 'id, name, price, qty, ratio, flag, epoch_us("at") AS "at", day, tags, counts, address, key'
    rows = db.execute(f"SELECT _partition, _offset, {names}, {rescued} FROM "
                      f"{oracle.parquet(oracle.files(folder, 'data/bronze/' + source))}")
    columns = [column[0] for column in rows.description]
    fates, twice = {}, 0
    for row in rows.fetchall():
        there = dict(zip(columns, row))
        place = (there.pop("_partition"), there.pop("_offset"))
        twice += place in fates
        if there["_rescued"] is not None:
            there["_rescued"] = json.loads(there["_rescued"])
        fates[place] = there
    letters = db.execute(f'SELECT partition, "offset", error_class FROM '
                         f"{oracle.parquet(oracle.files(folder, 'data/dead_letters/json_test', source))}")
    for partition, offset, kind in letters.fetchall():
        twice += (partition, offset) in fates
        fates[(partition, offset)] = kind
    return fates, twice


def compare(topic, folder):
    """How many events of either source have another fate than they must."""
    wrong = 0
    with duckdb.connect() as db:
        for index, source in enumerate(["kept", "strict"]):
            there, twice = found(db, folder, source)
            must = {place: fate[index] for place, fate in topic.fates.items() if fate[index] is not None}
            if source == "strict":
                must = {place: {**fate, "_rescued": None} if isinstance(fate, dict) else fate for place, fate in must.items()}
            differ = [place for place in must.keys() | there.keys() if must.get(place) != there.get(place)]
            for place in sorted(differ)[:5]:
                print(f"{source} {place}: must be {must.get(place)!r}, is {there.get(place)!r}")
            rows = sum(isinstance(fate, dict) for fate in there.values())
            kinds = sorted({fate for fate in there.values() if isinstance(fate, str)})
            print(f"{source}: {rows} rows, {len(there) - rows} dead letters of {len(kinds)} classes, {twice} twice, {len(differ)} wrong")
            wrong += len(differ) + twice
            missing = set(KINDS) - set(kinds)
            if missing:
                print(f"{source}: no dead letter of {sorted(missing)}")
                wrong += 1
    return wrong


def killed(options, sql, folder, rng):
    """Runs, and kills it on its way."""
    for _ in range(options.kills):
        with open(os.path.join(folder, "run.log"), "ab") as out:
            run = subprocess.Popen(common.command(options.binary, sql, {"batch.bytes": "1MiB"}), cwd=folder, stdout=out, stderr=out,
                                   stdin=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.3, 3))
        run.send_signal(signal.SIGKILL)
        run.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--share", type=float, default=0.05, help="of the events that are bad, of each kind as many")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--folder", help="kept; default: a temporary one, removed when all is well")
    options = parser.parse_args()
    base = os.path.abspath(options.folder or tempfile.mkdtemp(prefix="sluicebox-json-"))
    os.makedirs(base, exist_ok=True)
    brokers, _ = common.servers()
    rng = random.Random(options.seed)
    topic = Topic(brokers, f"json-{options.seed}-{int(time.time())}")
    print(f"seed {options.seed}, topic {topic.name}, in {base}", flush=True)
    topic.fill(rng, options.events, options.share)
    sql = os.path.join(base, "json.sql")
    with open(sql, "w") as out:
        out.write(pipeline(topic.name))
    folder = os.path.join(base, "run")
    os.makedirs(folder, exist_ok=True)
    killed(options, sql, folder, rng)
    begun = time.monotonic()
    common.run(options.binary, sql, folder, {"batch.bytes": "1MiB"})
    print(f"the last run: {time.monotonic() - begun:.1f} s", flush=True)
    if compare(topic, folder):
        print(f"FAILED with seed {options.seed}; see {base}")
        sys.exit(1)
    print(f"{options.events} events, each with its fate (seed {options.seed})")
    if not options.folder:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
