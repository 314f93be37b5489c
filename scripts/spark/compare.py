"""Sluicebox and Spark on the same topic of the same broker, one after the other: called by scripts/bench-spark.sh.

Both read everything that is there into bronze, silver and gold (throughput, processor time, memory), then a steady stream
(from the broker's time of an event to the silver file that shows it). Prints what each took and the ratios.
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import pyarrow.parquet as parquet

args = argparse.ArgumentParser()
args.add_argument("--events", type=int, default=2_000_000)
args.add_argument("--latency-seconds", type=int, default=60)
args.add_argument("--rate", type=int, default=2000)
args.add_argument("--jars", required=True)
args.add_argument("--submit", required=True, help="spark-submit")
args.add_argument("--binary", required=True, help="sluicebox")
args.add_argument("--sql", required=True)
args.add_argument("--servers", required=True, help="scripts/servers.sh")
args = args.parse_args()

HERE = Path(__file__).resolve().parent
BROKERS = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
REGISTRY = os.environ["SCHEMA_REGISTRY_URL"]
#: Of the steady stream, these seconds are the warming up of either.
WARM_UP = 15
#: The cores that each may use.
CORES = sorted(os.sched_getaffinity(0))[:2]


class Process:
    """A running program with its processor time and the most memory that it and its children had resident."""

    def __init__(self, command, folder):
        cores = ",".join(map(str, CORES))
        self.started = time.time()
        self.child = subprocess.Popen(
            ["taskset", "-c", cores, *command], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        self.peak = 0
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()

    def watch(self):
        while self.child.returncode is None:
            self.peak = max(self.peak, sum(resident(pid) for pid in family(self.child.pid)))
            time.sleep(0.05)

    def end(self):
        """Waits for it; gives wall seconds, processor seconds and peak MiB."""
        _, status, usage = os.wait4(self.child.pid, 0)
        wall = time.time() - self.started
        self.child.returncode = os.waitstatus_to_exitcode(status)
        self.watcher.join()
        if self.child.returncode != 0:
            raise SystemExit(f"{self.child.args}: exit code {self.child.returncode}")
        return wall, usage.ru_utime + usage.ru_stime, self.peak / 2**20


def family(pid):
    """`pid` and everything that it started."""
    found = [pid]
    for parent in found:
        try:
            tasks = Path(f"/proc/{parent}/task").iterdir()
            found += [int(c) for task in tasks for c in (task / "children").read_text().split()]
        except OSError:
            pass
    return found


def resident(pid):
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def produce(topic, *options):
    subprocess.run([args.binary, "produce", "sales", "--seed", "42", "--topic", topic, *map(str, options)], check=True)


def schema(topic, folder):
    """Writes the schema of the topic's events to a file; gives its path and id."""
    with urllib.request.urlopen(f"{REGISTRY}/subjects/{topic}-value/versions/latest") as answer:
        found = json.load(answer)
    path = Path(folder, "schema.avsc")
    path.write_text(found["schema"])
    return path, found["id"]


def spark(topic, folder, *options):
    path, schema_id = schema(topic, folder)
    conf = {
        "spark.sql.shuffle.partitions": 2,
        "spark.ui.enabled": "false",
        "spark.sql.streaming.numRecentProgressUpdates": 100000,
        "spark.sql.session.timeZone": "UTC",
        "spark.log.level": "ERROR",
    }
    command = [args.submit, "--master", "local[2]", "--driver-memory", "8g", "--jars"]
    command.append(",".join(map(str, Path(args.jars).glob("*.jar"))))
    for key, value in conf.items():
        command += ["--conf", f"{key}={value}"]
    command += [HERE / "sales.py", "--brokers", BROKERS, "--topic", topic, "--schema", path, "--schema-id", schema_id]
    return Process([str(c) for c in [*command, "--folder", folder, *options]], folder)


def sluicebox(topic, folder, trigger):
    # The sample is for those without a broker.
    sql = Path(args.sql).read_text().replace(", 'sample' = 'sales'", "")
    Path(folder, "sales.sql").write_text(sql)
    command = [args.binary, "run", "sales.sql", "--trigger", trigger, "--progress", "json"]
    return Process([*command, "--set", f"sales_events.subscribe={topic}"], folder)


def settled(batches):
    """Without the first fifth, the warming up."""
    return batches[len(batches) // 5 :]


def percentile(values, percent):
    values = sorted(values)
    return values[max(0, -(-len(values) * percent // 100) - 1)]


def rows_of(folder):
    return sum(parquet.read_metadata(path).num_rows for path in Path(folder).rglob("*.parquet"))


def throughput():
    topic = f"sales.spark.{os.getpid()}"
    produce(topic, "--events", args.events)
    took = {}
    for name in ("sluicebox", "Spark"):
        with tempfile.TemporaryDirectory() as folder:
            if name == "Spark":
                run = spark(topic, folder, "--available-now")
                lines = run.child.stdout.read().splitlines()
                seconds = json.loads(lines[-1])["seconds"]
                tables = ("silver", "gold")
            else:
                run = sluicebox(topic, folder, "available-now")
                lines = run.child.stdout.read().splitlines()
                seconds = None
                tables = ("data/silver", "data/gold")
            wall, cpu, peak = run.end()
            rows = [rows_of(Path(folder, table)) for table in tables]
        took[name] = (args.events / wall, args.events / (seconds or wall), cpu / args.events * 1e6, peak, rows)
    print(f"\n{args.events} events, all layers, 2 cores each, the broker on the same machine")
    print(f"{'':<12} {'events/s':>10} {'after start':>12} {'CPU us/ev':>10} {'peak MiB':>9}  rows in silver, gold")
    for name, (rate, after, cpu, peak, rows) in took.items():
        print(f"{name:<12} {rate:>10.0f} {after:>12.0f} {cpu:>10.2f} {peak:>9.0f}  {rows[0]}, {rows[1]}")
    ours, theirs = took["sluicebox"], took["Spark"]
    print(
        f"ratio: {ours[0] / theirs[0]:.1f} times the events (with both starts; {ours[1] / theirs[1]:.1f} without Spark's), "
        f"1/{theirs[2] / ours[2]:.1f} of the CPU, 1/{theirs[3] / ours[3]:.1f} of the memory"
    )


def visible(folder):
    """Milliseconds from each silver row's time at the broker to its file. Spark's files count from the batch's record in
    `_spark_metadata` on, without which a reader may not trust them."""
    shown = {}
    silver = Path(folder, "silver")
    if (log := silver / "_spark_metadata").is_dir():
        number = lambda path: int(re.sub(r"\D", "", path.name))
        for record in sorted((p for p in log.iterdir() if p.name[0].isdigit()), key=number):
            for line in record.read_text().splitlines()[1:]:
                path = json.loads(line)["path"].removeprefix("file://")
                shown.setdefault(path, record.stat().st_mtime)
    else:
        for path in Path(folder, "data/silver").rglob("*.parquet"):
            shown[str(path)] = path.stat().st_ctime
    latencies, first = [], None
    for path, at in shown.items():
        table = parquet.ParquetFile(urllib.request.unquote(path)).read(columns=["_timestamp"])
        times = [t.timestamp() for t in table.column(0).to_pylist()]
        first = min([*times, first or times[0]]) if times else first
        latencies += [(t, (at - t) * 1e3) for t in times]
    return [latency for t, latency in latencies if t >= first + WARM_UP]


def latency():
    took = {}
    for name in ("sluicebox", "Spark"):
        topic = f"sales.steady.{name.lower()}.{os.getpid()}"
        subprocess.run([args.servers, "topic", topic, "3", "message.timestamp.type=LogAppendTime"], check=True)
        # One event registers the schema, and is there before either starts.
        produce(topic, "--events", 1)
        with tempfile.TemporaryDirectory() as folder:
            if name == "Spark":
                run = spark(topic, folder)
                while run.child.stdout.readline().strip() != "ready":
                    pass
                lines = []
            else:
                run = sluicebox(topic, folder, "0 seconds")
                lines = [run.child.stdout.readline()]
                reader = threading.Thread(target=lambda: lines.extend(run.child.stdout))
                reader.start()
            produce(topic, "--rate", args.rate, "--events", args.rate * (WARM_UP + args.latency_seconds))
            time.sleep(3)
            if name == "Spark":
                Path(folder, "stop").touch()
                batches = json.loads(run.child.stdout.read().splitlines()[-1])["batches"]
                lengths = {query: settled([ms for rows, ms in b if rows > 0]) for query, b in batches.items()}
                worst = max(lengths, key=lambda query: percentile(lengths[query], 50))
                batch = lengths[worst]
            else:
                run.child.terminate()
                reader.join()
                progress = [json.loads(line) for line in lines]
                batch = settled([p["batchDuration"] for p in progress if p["numInputRows"] > 0])
            run.end()
            took[name] = (batch, visible(folder))
    print(f"\n{args.rate} events/s for {args.latency_seconds} s, milliseconds")
    print(f"{'':<12} {'batch p50':>10} {'p95':>7}   {'broker to visible silver file p50':>34} {'p95':>7}")
    for name, (batch, rows) in took.items():
        of = lambda values, p: percentile(values, p)
        print(f"{name:<12} {of(batch, 50):>10.0f} {of(batch, 95):>7.0f}   {of(rows, 50):>34.0f} {of(rows, 95):>7.0f}")
    ours, theirs = took["sluicebox"], took["Spark"]
    ratios = [percentile(t, p) / percentile(o, p) for o, t in zip(ours, theirs) for p in (50, 95)]
    print("ratio, Spark's slowest query by the batch of sluicebox: {:.1f}, {:.1f}; silver: {:.1f}, {:.1f}".format(*ratios))


if args.events > 0:
    throughput()
if args.latency_seconds > 0:
    latency()
