"""What the tests with real servers share: the three writer schemas, the registry, and how to run sluicebox.

Nothing here comes from sluicebox: events are written by confluent-kafka and fastavro, tables are read by DuckDB.
"""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

NAMESPACE = "sluicebox.sales"
DELAY_US = 10 * 60 * 1_000_000
MAX_FUTURE_US = 3600 * 1_000_000
REGIONS = ["NA", "EMEA", "APAC", "LATAM"]
TIERS = ["free", "pro", "enterprise"]
CURRENCIES = ["USD", "EUR", "GBP"]

_MICROS = {"type": "long", "logicalType": "timestamp-micros"}
_AMOUNT = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}


def _record(fields):
    return {"type": "record", "name": "SalesEvent", "namespace": NAMESPACE, "fields": fields}


# The first version. `amount` is last, so that a test can replace its bytes at the end of the body.
V1 = _record([
    {"name": "event_id", "type": ["null", "string"], "default": None},
    {"name": "account_id", "type": "string"},
    {"name": "event_time", "type": _MICROS},
    {"name": "ingest_time", "type": _MICROS},
    {"name": "region", "type": "string"},
    {"name": "plan_tier", "type": "string"},
    {"name": "product", "type": "string"},
    {"name": "quantity", "type": "int"},
    {"name": "currency", "type": "string"},
    {"name": "amount", "type": _AMOUNT},
])

# The second adds a field with a default.
V2 = _record(V1["fields"] + [{"name": "channel", "type": "string", "default": "web"}])

# The third puts the fields in another order, promotes quantity from int to long, renames product (an alias remains), and
# adds an optional field, an array and an enum. `payment` is last, so that a test can replace its one byte.
V3 = _record([
    {"name": "account_id", "type": "string"},
    {"name": "event_id", "type": ["null", "string"], "default": None},
    {"name": "event_time", "type": _MICROS},
    {"name": "ingest_time", "type": _MICROS},
    {"name": "channel", "type": "string", "default": "web"},
    {"name": "region", "type": "string"},
    {"name": "plan_tier", "type": "string"},
    {"name": "product_name", "aliases": ["product"], "type": "string"},
    {"name": "quantity", "type": "long"},
    {"name": "currency", "type": "string"},
    {"name": "amount", "type": _AMOUNT},
    {"name": "coupon", "type": ["null", "string"], "default": None},
    {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
    {"name": "payment", "default": "UNKNOWN",
     "type": {"type": "enum", "name": "Payment", "symbols": ["UNKNOWN", "CARD", "INVOICE"], "default": "UNKNOWN"}},
])

# A record of another kind that strays into the topic: framed, known to the registry, and no sale.
OTHER = {"type": "record", "name": "Heartbeat", "namespace": NAMESPACE, "fields": [
    {"name": "host", "type": "string"}, {"name": "beat", "type": "long"}]}


class Registry:
    """A client of the Confluent REST API, with nothing but the standard library."""

    def __init__(self, url):
        self.url = url.rstrip("/")

    def call(self, method, path, body=None):
        request = urllib.request.Request(
            self.url + path, method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/vnd.schemaregistry.v1+json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error

    def register(self, subject, schema):
        return self.call("POST", f"/subjects/{subject}/versions", {"schema": json.dumps(schema)})["id"]


def servers():
    """The brokers and the registry's address, from the environment."""
    try:
        return os.environ["KAFKA_BOOTSTRAP_SERVERS"], os.environ["SCHEMA_REGISTRY_URL"]
    except KeyError as missing:
        raise SystemExit(f'{missing} is not set: eval "$(scripts/servers.sh up)"') from missing


def sql(text):
    """`text` as an SQL string."""
    return "'" + str(text).replace("'", "''") + "'"


def settings(topic):
    """What every run over a topic of the contract producer sets: it takes some of its transactions back."""
    return {"sales_events.subscribe": topic, "sales_events.kafka.isolation.level": "read_committed"}


def command(binary, pipeline, settings, checkpoint="checkpoints/run", more=()):
    """The command line of a run that takes what is there and ends."""
    line = [os.path.abspath(binary), "run", os.path.abspath(pipeline), "--trigger", "available-now",
            "--checkpoint", checkpoint, "--progress", "json"]
    for key, value in settings.items():
        line += ["--set", f"{key}={value}"]
    return line + list(more)


def run(binary, pipeline, folder, settings, env=None, log="run.log"):
    """Runs to the end in `folder`; the log's end is shown when it fails."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, log)
    with open(path, "ab") as out:
        code = subprocess.call(command(binary, pipeline, settings), cwd=folder, stdout=out, stderr=out,
                               stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})
    if code != 0:
        with open(path, errors="replace") as text:
            sys.stderr.write("".join(text.readlines()[-25:]))
        raise SystemExit(f"sluicebox ended with {code} in {folder}; its log: {path}")
