"""What readers share that look at the tables over and over while a run writes them, each by an engine of its own."""

import argparse
import glob
import os
import sys
import time

TABLES = {"bronze": "data/bronze/sales", "silver": "data/silver/sales", "gold": "data/gold/revenue_5m",
          "dead_letters": "data/dead_letters/sales_events", "late": "data/late/silver_sales",
          "quarantine": "data/quarantine/silver_sales"}
PLACE = ["_topic", "_partition", "_offset"]
# What may be there only once.
ONCE = {"bronze": PLACE, "silver": PLACE, "gold": ["window_start", "region", "plan_tier"]}


class Watcher:
    """A reader has `look_at(table)`, `look_at_copies()` and `newest(table)`; what it finds wrong goes to `wrong`."""

    def __init__(self, folder):
        self.folder = folder
        self.reads = 0
        self.counts = {}
        self.wrong = []

    def pattern(self, table):
        return os.path.join(self.folder, TABLES[table], "**", "*.parquet")

    def files(self, table):
        return sorted(glob.glob(self.pattern(table), recursive=True))

    def note_none(self, table):
        """There is no file: that is no failed read, unless there was one before."""
        if self.counts.get(table):
            self.wrong.append(f"{table}: {self.counts[table]} rows, then no file")

    def note_rows(self, table, rows):
        if rows < self.counts.get(table, 0):
            self.wrong.append(f"{table}: {self.counts[table]} rows, then {rows}")
        self.counts[table] = rows

    def look_at_layers(self):
        """Whatever is in silver is in bronze, which is published before it."""
        silver = self.newest("silver")
        bronze = self.newest("bronze") if silver else {}
        for partition, offset in silver.items():
            if bronze.get(partition, -1) < offset:
                self.wrong.append(f"silver has {partition}/{offset}, bronze ends at {bronze.get(partition)}")

    def until(self, stop_file):
        last = False
        while not last:
            # One more look after the stop: at what the run left.
            last = os.path.exists(stop_file)
            for table in TABLES:
                self.look_at(table)
            self.look_at_copies()
            self.look_at_layers()
            if len(self.wrong) > 20:
                break
            time.sleep(0.02)


def main(reader_class, name, doc):
    parser = argparse.ArgumentParser(description=doc.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("stop_file")
    options = parser.parse_args()
    reader = reader_class(os.path.abspath(options.folder))
    reader.until(options.stop_file)
    for wrong in reader.wrong[:20]:
        print(f"{name}: {wrong}")
    print(f"{name}: {reader.reads} reads, {len(reader.wrong)} wrong, rows at the end {reader.counts}")
    sys.exit(1 if reader.wrong else 0)
