#!/usr/bin/env python3
"""What a new user does: runs the first pipeline without any broker, looks, stops it, goes on; and then it is killed.

    embedded_test.py --binary BINARY [--kills 8] [--seed N] [--folder DIR]
"""

import argparse
import glob
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import duckdb

import embedded_log
import oracle

HERE = os.path.dirname(os.path.abspath(__file__))
PIPELINE = os.path.abspath(os.path.join(HERE, "..", "..", "sql", "gold_revenue.sql"))
TOPIC = "sales.events.v1"


class User:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.log = os.path.join(folder, "run.log")
        self.env = {k: v for k, v in os.environ.items() if k not in ("KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL")}

    def start(self, *more):
        line = [os.path.abspath(self.options.binary), "run", PIPELINE, *more]
        with open(self.log, "ab") as out:
            return subprocess.Popen(line, cwd=self.folder, env=self.env, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def fail(self, what):
        with open(self.log, errors="replace") as text:
            sys.stderr.write("".join(text.readlines()[-25:]))
        raise SystemExit(f"{what}; the log: {self.log}")

    def gold(self):
        pattern = oracle.files(self.folder, "data/gold/revenue_5m")
        if not glob.glob(pattern, recursive=True):
            return 0
        return duckdb.sql(f"SELECT count(*) FROM {oracle.parquet(pattern)}").fetchone()[0]

    def said(self):
        if not os.path.exists(self.log):
            return ""
        with open(self.log, errors="replace") as text:
            return text.read()

    def until_said(self, run, what, mark, seconds):
        begun = time.monotonic()
        while not any(words in self.said()[mark:] for words in what):
            if run.poll() is not None:
                self.fail(f"the run ended with {run.returncode}")
            if time.monotonic() - begun > seconds:
                run.kill()
                self.fail(f"it said none of {what} within {seconds} s")
            time.sleep(0.05)

    def until_gold(self, run, more_than, seconds):
        begun = time.monotonic()
        while self.gold() <= more_than:
            if run.poll() is not None:
                self.fail(f"the run ended with {run.returncode}")
            if time.monotonic() - begun > seconds:
                run.kill()
                self.fail(f"no new row in gold within {seconds} s")
            time.sleep(0.05)
        return time.monotonic() - begun

    def stop(self, run):
        run.send_signal(signal.SIGINT)
        code = run.wait(60)
        if code != 0:
            self.fail(f"after Ctrl-C it ended with {code}")


def ends(folder):
    """How far the run has read each partition, by its tables."""
    out = {}
    for parts in (("data/bronze/sales",), ("data/dead_letters/revenue_5m/sales_events",)):
        pattern = oracle.files(folder, *parts)
        columns = oracle.have(duckdb.connect(), pattern)
        if not columns:
            continue
        p, o = ("_partition", "_offset") if "_partition" in columns else ("partition", "offset")
        rows = duckdb.sql(f'SELECT CAST("{p}" AS INTEGER), max("{o}") + 1 FROM {oracle.parquet(pattern)} GROUP BY 1')
        for partition, end in rows.fetchall():
            out[partition] = max(out.get(partition, 0), end)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--folder", help="kept; default: a temporary one, removed when all is well")
    options = parser.parse_args()
    folder = os.path.abspath(options.folder or tempfile.mkdtemp(prefix="sluicebox-embedded-"))
    os.makedirs(folder, exist_ok=True)
    print(f"seed {options.seed}, in {folder}", flush=True)
    user, moments = User(options, folder), random.Random(options.seed)
    stop_file = folder + ".stop"
    reader = subprocess.Popen([sys.executable, os.path.join(HERE, "glob_reader.py"), folder, stop_file])
    try:
        # Killed from its very first moments: while the log, the registry and the backlog are being made.
        for n in range(options.kills):
            run = user.start()
            wait = moments.uniform(0, 0.4 if n % 2 == 0 else 3)
            try:
                user.fail(f"the run ended by itself with {run.wait(wait)}")
            except subprocess.TimeoutExpired:
                run.kill()
                run.wait()
        mark = len(user.said())
        run = user.start()
        print(f"rows in gold after {user.until_gold(run, 0, 60):.1f} s, {user.gold()} of them", flush=True)
        # A process that has not got as far as its own first line is ended by the signal as any other is. On a slow machine all
        # kills may have come before the first commit: then the run goes on from where it was to start.
        user.until_said(run, ("goes on at batch", "goes on from", "starts at"), mark, 60)
        user.stop(run)
        run = user.start("--trigger", "available-now")
        if run.wait(120) != 0:
            user.fail(f"available-now ended with {run.returncode}")
    finally:
        with open(stop_file, "w"):
            pass
        wrong = reader.wait()
        os.unlink(stop_file)
    ledger = os.path.join(folder, "ledger.jsonl")
    reached = ends(folder)
    held = embedded_log.ledger(os.path.join(folder, "data/.log"), TOPIC, 1, reached, int(time.time()) * 1_000_000, ledger)
    print(f"the log holds {held}, read were {reached}")
    if sum(held.values()) < 150_000:
        wrong += 1
        print("the backlog of 150,000 events is not complete")
    wrong += oracle.compare(ledger, folder)
    if wrong:
        print(f"FAILED with seed {options.seed}; see {folder}")
        sys.exit(1)
    print(f"{options.kills} kills, Ctrl-C, and on again: the tables equal the oracle (seed {options.seed})")
    if not options.folder:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
