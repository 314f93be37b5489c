#!/usr/bin/env python3
"""Reads what an independent producer wrote, in several ways, and compares each with the oracle and with the others.

    contract_test.py --binary BINARY [--events 60000] [--seed N] [--folder DIR]
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time

import common
import oracle
import same_tables

HERE = os.path.dirname(os.path.abspath(__file__))
PIPELINE = os.path.join(HERE, "..", "..", "sql", "gold_revenue.sql")
# The same topic, cut into batches otherwise and by other numbers of threads.
WAYS = [("one", {}, {}), ("small", {"sales_events.maxOffsetsPerTrigger": 1_777}, {}),
        ("thread", {"sales_events.maxOffsetsPerTrigger": 9_999}, {"TOKIO_WORKER_THREADS": "1"}),
        ("bytes", {"batch.bytes": 400_000}, {}),
        ("threads", {"sales_events.maxOffsetsPerTrigger": 20_000}, {"TOKIO_WORKER_THREADS": "8"})]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--folder", help="kept; default: a temporary one, removed when all is well")
    options = parser.parse_args()
    base = os.path.abspath(options.folder or tempfile.mkdtemp(prefix="sluicebox-contract-"))
    os.makedirs(base, exist_ok=True)
    topic, ledger = f"contract-{options.seed}-{int(time.time())}", os.path.join(base, "ledger.jsonl")
    print(f"seed {options.seed}, topic {topic}, in {base}", flush=True)
    subprocess.run([sys.executable, os.path.join(HERE, "produce_contract_events.py"), "--topic", topic, "--ledger", ledger,
                    "--events", str(options.events), "--seed", str(options.seed)], check=True)
    wrong, first = 0, None
    for name, settings, env in WAYS:
        folder = os.path.join(base, name)
        shutil.rmtree(folder, ignore_errors=True)
        begun = time.monotonic()
        common.run(options.binary, PIPELINE, folder, {**common.settings(topic), **settings}, env)
        print(f"-- {name}: {time.monotonic() - begun:.1f} s", flush=True)
        wrong += oracle.compare(ledger, folder)
        if first is None:
            first = folder
        else:
            wrong += same_tables.compare(first, folder)
    # Once more over the finished checkpoint: nothing is left to do.
    common.run(options.binary, PIPELINE, first, common.settings(topic))
    print("-- again, with nothing new")
    wrong += oracle.compare(ledger, first)
    if wrong:
        print(f"FAILED with seed {options.seed}; see {base}")
        sys.exit(1)
    print(f"{len(WAYS)} ways to read it, one result (seed {options.seed})")
    if not options.folder:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
