#!/usr/bin/env python3
"""Takes the registry and the broker away from a run, and gives them back; adds partitions; makes the topic anew. Starts
servers of its own.

    outage_test.py --binary BINARY [--folder DIR]
"""

import argparse
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import duckdb
from confluent_kafka.admin import AdminClient, NewPartitions

import oracle

HERE = os.path.dirname(os.path.abspath(__file__))
PIPELINE = os.path.abspath(os.path.join(HERE, "..", "..", "sql", "gold_revenue.sql"))
SERVERS = os.path.abspath(os.path.join(HERE, "..", "..", "scripts", "servers.sh"))


class Outage:
    def __init__(self, options, base):
        self.binary, self.folder = os.path.abspath(options.binary), os.path.join(base, "run")
        self.log = os.path.join(base, "run.log")
        self.env = {**os.environ, "SLUICEBOX_SERVERS": os.path.join(base, "servers")}
        os.makedirs(self.folder, exist_ok=True)

    def servers(self, *words):
        return subprocess.run([SERVERS, *words], env=self.env, check=True, stdout=subprocess.PIPE, text=True).stdout

    def up(self):
        for line in self.servers("up").splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            self.env[name] = value

    def produce(self, events, seed):
        line = [self.binary, "produce", "sales", "--events", str(events), "--seed", str(seed), "--malformed", "0"]
        subprocess.run(line, env=self.env, cwd=self.folder, check=True)

    def start(self, *more):
        line = [self.binary, "run", PIPELINE, "--checkpoint", "checkpoints/run", *more]
        with open(self.log, "ab") as out:
            return subprocess.Popen(line, cwd=self.folder, env=self.env, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def said(self):
        with open(self.log, errors="replace") as text:
            return text.read()

    def fail(self, what):
        sys.stderr.write("".join(self.said().splitlines(keepends=True)[-25:]))
        raise SystemExit(f"{what}; the log: {self.log}")

    def rows(self):
        pattern = oracle.files(self.folder, "data/bronze/sales")
        if not glob.glob(pattern, recursive=True):
            return 0
        return duckdb.sql(f"SELECT count(*) FROM {oracle.parquet(pattern)}").fetchone()[0]

    def until(self, what, check, run, seconds=90):
        """Waits for `check`; the run must live on."""
        limit = time.monotonic() + seconds
        while not check():
            if run.poll() is not None:
                self.fail(f"the run ended with {run.returncode} while {what} was awaited")
            if time.monotonic() > limit:
                run.kill()
                self.fail(f"{what} did not happen within {seconds} s")
            time.sleep(0.05)

    def end(self, run, seconds=60):
        code = run.wait(seconds)
        if code != 0:
            self.fail(f"the run ended with {code}")

    def interrupt(self, run):
        run.send_signal(signal.SIGINT)
        self.end(run)

    def a_restart_needs_no_registry(self):
        self.produce(30_000, 1)
        run = self.start("--trigger", "available-now", "--set", "sales_events.maxOffsetsPerTrigger=2000")
        self.until("a first batch", lambda: self.rows() > 0, run)
        self.interrupt(run)
        before = self.rows()
        assert before < 30_000, "it was not stopped in time"
        self.servers("stop", "registry")
        self.end(self.start("--trigger", "available-now"))
        assert self.rows() == 30_000, self.rows()
        print(f"stopped at {before} rows; the rest was read without the registry")

    def a_broker_that_is_away_is_waited_for(self):
        self.servers("start", "registry")
        self.servers("stop", "kafka")
        mark = len(self.said())
        run = self.start()
        self.until("a word about the broker at the start", lambda: len(self.said()) > mark, run)
        self.servers("start", "kafka")
        self.produce(5_000, 2)
        self.until("the rows after the start", lambda: self.rows() == 35_000, run)
        mark = len(self.said())
        self.servers("stop", "kafka")
        self.until("a word about the broker", lambda: len(self.said()) > mark, run)
        self.servers("start", "kafka")
        self.produce(5_000, 3)
        self.until("the rows after the outage", lambda: self.rows() == 40_000, run)
        about = [line for line in self.said()[mark:].splitlines() if "127.0.0.1" in line or "roker" in line]
        assert 0 < len(about) <= 6, f"{len(about)} messages about one outage: {about[:8]}"
        print(f"the broker was away twice; it said so in {len(about)} lines: {about[0]}")
        return run

    def new_partitions_are_found(self, run):
        admin = AdminClient({"bootstrap.servers": self.env["KAFKA_BOOTSTRAP_SERVERS"]})
        admin.create_partitions([NewPartitions("sales.events.v1", 5)])["sales.events.v1"].result(60)
        self.produce(5_000, 4)
        self.until("the rows of the new partitions", lambda: self.rows() == 45_000, run)
        self.interrupt(run)
        partitions = duckdb.sql("SELECT DISTINCT _partition FROM "
                                + oracle.parquet(oracle.files(self.folder, "data/bronze/sales"))).fetchall()
        assert len(partitions) == 5, partitions
        print("two partitions were added while it ran, and read")

    def a_topic_made_anew_is_another_topic(self):
        """More events than any position, so that nothing but the topic's id tells it from the old one."""
        admin = AdminClient({"bootstrap.servers": self.env["KAFKA_BOOTSTRAP_SERVERS"]})
        mark = len(self.said())
        run = self.start()
        self.until("a start", lambda: "goes on at batch" in self.said()[mark:], run)
        admin.delete_topics(["sales.events.v1"])["sales.events.v1"].result(60)
        limit = time.monotonic() + 60
        while "sales.events.v1" in admin.list_topics(timeout=60).topics:
            assert time.monotonic() < limit, "the topic was not deleted"
            time.sleep(0.05)
        self.servers("topic", "sales.events.v1", "5")
        self.produce(100_000, 5)
        # Noticed while it reads, by whichever comes first: the topic's id, or that it was gone for a moment.
        code = run.wait(120)
        assert code in (1, 2), f"the run ended with {code}"
        assert self.rows() == 45_000, f"{self.rows()} rows: some of the new topic's were taken"
        run = self.start("--trigger", "available-now")
        assert run.wait(120) == 2, "the checkpoint went on in another topic"
        assert "deleted and made anew" in self.said().splitlines()[-1], self.said()[-500:]
        assert self.rows() == 45_000, self.rows()
        print("the topic was deleted and made anew with more events; neither the run nor the next start took any")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--folder", help="kept; default: a temporary one, removed when all is well")
    options = parser.parse_args()
    base = os.path.abspath(options.folder or tempfile.mkdtemp(prefix="sluicebox-outage-"))
    outage = Outage(options, base)
    try:
        outage.up()
        outage.a_restart_needs_no_registry()
        outage.new_partitions_are_found(outage.a_broker_that_is_away_is_waited_for())
        outage.a_topic_made_anew_is_another_topic()
    finally:
        outage.servers("down")
    if not options.folder:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
