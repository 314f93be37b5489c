#!/usr/bin/env python3
"""A run that follows a topic while it is being written, and is killed a few times meanwhile.

    live_test.py --binary BINARY [--events 45000] [--rate 3000] [--kills 5] [--seed N] [--folder DIR]
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

from confluent_kafka import Consumer, KafkaException, TopicPartition

import common
import oracle

HERE = os.path.dirname(os.path.abspath(__file__))
PIPELINE = os.path.abspath(os.path.join(HERE, "..", "..", "sql", "gold_revenue.sql"))


def until_each_partition_has(brokers, topic, partitions, count, producer):
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "live-test"})
    try:
        while True:
            if producer.poll() is not None:
                raise SystemExit(f"the producer ended with {producer.returncode}")
            try:
                ends = [consumer.get_watermark_offsets(TopicPartition(topic, p), 10)[1] for p in range(partitions)]
            except KafkaException:
                ends = [0]
            if min(ends) >= count:
                return
            time.sleep(0.05)
    finally:
        consumer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--events", type=int, default=45_000)
    parser.add_argument("--rate", type=float, default=3_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--folder", help="kept; default: a temporary one, removed when all is well")
    options = parser.parse_args()
    base = os.path.abspath(options.folder or tempfile.mkdtemp(prefix="sluicebox-live-"))
    os.makedirs(base, exist_ok=True)
    topic, ledger = f"live-{options.seed}-{int(time.time())}", os.path.join(base, "ledger.jsonl")
    print(f"seed {options.seed}, topic {topic}, in {base}", flush=True)
    producer = subprocess.Popen([
        sys.executable, os.path.join(HERE, "produce_contract_events.py"), "--topic", topic, "--ledger", ledger, "--events",
        str(options.events), "--rate", str(options.rate), "--seed", str(options.seed)])
    moments = random.Random(options.seed)
    # Without a trigger it follows the topic, and a batch starts when there is something to read.
    line = [word for word in common.command(options.binary, PIPELINE, common.settings(topic))
            if word not in ("--trigger", "available-now")]
    until_each_partition_has(common.servers()[0], topic, 3, 100, producer)
    log = os.path.join(base, "run.log")
    kills, wrong = 0, 0
    stop = os.path.join(base, "stop")
    reader = subprocess.Popen([sys.executable, os.path.join(HERE, "glob_reader.py"), base, stop])
    try:
        while True:
            with open(log, "ab") as out:
                run = subprocess.Popen(line, cwd=base, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
            over = kills == options.kills or producer.poll() is not None
            try:
                code = producer.wait() if over else run.wait(moments.uniform(0.5, 1.6 * options.events / options.rate
                                                                             / max(1, options.kills)))
            except subprocess.TimeoutExpired:
                run.kill()
                run.wait()
                kills += 1
                continue
            if not over or code != 0 or run.poll() is not None:
                run.kill()
                raise SystemExit(f"the run or its producer ended with {code}; the log: {log}")
            # It may have been started a moment ago, and not listen to signals yet. A SIGINT would then be lost where a shell
            # that runs this in the background has it ignored.
            run.send_signal(signal.SIGTERM)
            if run.wait(60) not in (0, -signal.SIGTERM):
                raise SystemExit(f"after SIGTERM it ended with {run.returncode}; the log: {log}")
            break
        # Whatever was not read yet, and the windows that it closes.
        common.run(options.binary, PIPELINE, base, common.settings(topic))
    finally:
        with open(stop, "w"):
            pass
        wrong += reader.wait()
    wrong += oracle.compare(ledger, base)
    if wrong:
        print(f"FAILED with seed {options.seed}; see {base}")
        sys.exit(1)
    print(f"{kills} kills while the topic grew: the tables equal the oracle (seed {options.seed})")
    if not options.folder:
        shutil.rmtree(base)


if __name__ == "__main__":
    main()
