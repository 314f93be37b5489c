#!/usr/bin/env python3
"""Kills a run with SIGKILL at random moments, again and again, and looks whether anybody could tell.

A topic of a real broker is read twice: undisturbed in one folder, and in another by a run that is killed and restarted
while a reader globs its tables. Both must equal the oracle, and each other, row for row.

    kill_test.py --binary BINARY [--events 200000] [--kills 20] [--seed N] [--folder DIR]
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import common
import oracle
import same_tables

HERE = os.path.dirname(os.path.abspath(__file__))
PIPELINE = os.path.join(HERE, "..", "..", "sql", "gold_revenue.sql")


def produce(options, topic, ledger):
    line = [sys.executable, os.path.join(HERE, "produce_contract_events.py"), "--topic", topic, "--ledger", ledger,
            "--events", str(options.events), "--seed", str(options.seed)]
    subprocess.run(line, check=True)


class Killer:
    """Starts the run, kills it after a while, starts it again. The waits are random around the time that it should take to
    the batch where the next kill is due, so that the kills are spread over the whole topic."""

    def __init__(self, options, folder, settings, start_s, batch_s, batches):
        self.options, self.folder, self.settings = options, folder, settings
        self.start_s, self.batch_s, self.total = start_s, batch_s, batches
        self.random = random.Random(options.seed)
        self.log = os.path.join(folder, "run.log")
        self.hit_at = []

    def start(self):
        with open(self.log, "ab") as out:
            line = common.command(self.options.binary, PIPELINE, self.settings)
            return subprocess.Popen(line, cwd=self.folder, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def wait(self, kill):
        """How long the run may live before it is killed for the time `kill`, counted from 0."""
        ahead = self.total * (kill + 1) / (self.options.kills + 1) - (self.hit_at[-1] if self.hit_at else 0)
        # A quarter of the kills, and those that are too early, hit while it starts or recovers.
        if ahead < 1 or self.random.random() < 0.25:
            return self.random.uniform(0, self.start_s + self.batch_s)
        return self.random.uniform(self.start_s, self.start_s + 2 * ahead * self.batch_s)

    def go(self):
        """The number of kills that hit before the run came to its end."""
        for kill in range(self.options.kills):
            wait = self.wait(kill)
            run = self.start()
            try:
                code = run.wait(wait)
            except subprocess.TimeoutExpired:
                run.send_signal(signal.SIGKILL)
                run.wait()
                self.hit_at.append(committed(self.folder))
                print(f"kill {kill + 1}: after {wait:.2f} s, {self.hit_at[-1]} of {self.total} batches", flush=True)
                continue
            if code != 0:
                self.fail(code)
            return kill
        return self.options.kills

    def finish(self):
        code = self.start().wait()
        if code != 0:
            self.fail(code)

    def fail(self, code):
        with open(self.log, errors="replace") as text:
            sys.stderr.write("".join(text.readlines()[-25:]))
        raise SystemExit(f"the run ended with {code}; its log: {self.log}")


def committed(folder):
    """How many batches are committed."""
    path = os.path.join(folder, "checkpoints/run/commits")
    return max((int(n) for n in os.listdir(path) if n.isdigit()), default=-1) + 1 if os.path.isdir(path) else 0


def undisturbed(options, folder, settings):
    """Runs to the end; returns the seconds until its first batch and of each after it, and the number of batches."""
    killer = Killer(options, folder, settings, 0, 0, 0)
    begun, first = time.monotonic(), None
    run = killer.start()
    while run.poll() is None:
        if first is None and committed(folder):
            first = time.monotonic() - begun
        time.sleep(0.01)
    if run.returncode != 0:
        killer.fail(run.returncode)
    took, batches = time.monotonic() - begun, committed(folder)
    first = first or took
    print(f"undisturbed: {took:.1f} s, {batches} batches, the first after {first:.1f} s", flush=True)
    return first, (took - first) / max(1, batches - 1), batches


def killed(options, folder, settings, pace):
    """A run that was killed often enough, while a reader looked on; the number of things that were wrong."""
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        stop = folder + ".stop"
        if os.path.exists(stop):
            os.unlink(stop)
        reader = subprocess.Popen([sys.executable, os.path.join(HERE, "glob_reader.py"), folder, stop])
        killer = Killer(options, folder, settings, *pace)
        try:
            kills = killer.go()
            if kills == options.kills:
                killer.finish()
        finally:
            with open(stop, "w"):
                pass
            code = reader.wait()
        if kills < options.kills:
            print(f"only {kills} kills before its end; again")
            continue
        moments = len(set(killer.hit_at))
        print(f"{kills} kills, after {moments} different numbers of batches")
        if moments < min(options.kills, pace[2]) // 3:
            print("the kills hit too few different batches to tell anything")
            return code + 1
        return code
    raise SystemExit("the run ends before it can be killed often enough: give more --events")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000, help="of events and moments")
    parser.add_argument("--folder", help="kept; default: a temporary one, removed when all is well")
    parser.add_argument("--max-offsets", type=int, default=4_000, help="offsets a batch")
    options = parser.parse_args()
    base = os.path.abspath(options.folder or tempfile.mkdtemp(prefix="sluicebox-kill-"))
    calm, wild = os.path.join(base, "calm"), os.path.join(base, "wild")
    os.makedirs(calm, exist_ok=True)
    print(f"seed {options.seed}, {options.events} events, {options.kills} kills, in {base}", flush=True)
    topic, ledger = f"kill-{options.seed}-{int(time.time())}", os.path.join(base, "ledger.jsonl")
    produce(options, topic, ledger)
    settings = {**common.settings(topic), "sales_events.maxOffsetsPerTrigger": options.max_offsets}
    pace = undisturbed(options, calm, settings)
    wrong = killed(options, wild, settings, pace)
    left = [os.path.join(where, name) for where, _, names in os.walk(os.path.join(wild, "data")) for name in names
            if f"{os.sep}_staging{os.sep}" in os.path.join(where, name)]
    if left:
        wrong += 1
        print(f"{len(left)} staged files of killed runs were left behind: {left[:3]}")
    for name, folder in (("undisturbed", calm), ("killed", wild)):
        print(f"-- {name} and the oracle")
        wrong += oracle.compare(ledger, folder)
    print("-- undisturbed and killed")
    wrong += same_tables.compare(calm, wild)
    if wrong:
        print(f"FAILED with seed {options.seed}; see {base}")
        sys.exit(1)
    print(f"{options.kills} kills, and nobody can tell (seed {options.seed})")
    if not options.folder:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
