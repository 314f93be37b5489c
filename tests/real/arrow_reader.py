#!/usr/bin/env python3
"""Does what glob_reader.py does, by pyarrow: reads the tables by globs, over and over, while a run writes them.

Each read must succeed, no event may be there twice, what was there may not go away, and a table may not be ahead of the
one it is made from. Exit code 0: so it was; 1: it was not.

    arrow_reader.py FOLDER STOP_FILE
"""

import argparse
import glob
import os
import sys
import time

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

import common

TABLES = {"bronze": "data/bronze/sales", "silver": "data/silver/sales", "gold": "data/gold/revenue_5m",
          "dead_letters": "data/dead_letters/sales_events", "late": "data/late/silver_sales",
          "quarantine": "data/quarantine/silver_sales"}
PLACE = ["_topic", "_partition", "_offset"]
# What may be there only once.
ONCE = {"bronze": PLACE, "silver": PLACE, "gold": ["window_start", "region", "plan_tier"]}


class Reader:
    def __init__(self, folder):
        self.folder = folder
        self.reads = 0
        self.counts = {}
        self.wrong = []

    def files(self, table):
        return sorted(glob.glob(os.path.join(self.folder, TABLES[table], "**", "*.parquet"), recursive=True))

    def read(self, table, columns):
        """The columns of every file that a glob finds; None without a file, or when it cannot be read."""
        files = self.files(table)
        if not files:
            if self.counts.get(table):
                self.wrong.append(f"{table}: {self.counts[table]} rows, then no file")
            return None
        self.reads += 1
        try:
            return ds.dataset(files, format="parquet").to_table(columns=columns, use_threads=False)
        except (pa.ArrowException, OSError, ValueError) as error:
            self.wrong.append(f"{table}: failed read: {error}")
            return None

    def look_at(self, table):
        columns = ONCE.get(table, [])
        rows = self.read(table, columns or None)
        if rows is None:
            return
        if columns:
            distinct = rows.group_by(columns, use_threads=False).aggregate([]).num_rows
            if distinct != rows.num_rows:
                self.wrong.append(f"{table}: {rows.num_rows} rows, {distinct} distinct {columns}")
        if rows.num_rows < self.counts.get(table, 0):
            self.wrong.append(f"{table}: {self.counts[table]} rows, then {rows.num_rows}")
        self.counts[table] = rows.num_rows

    def look_at_copies(self):
        """No sale twice within the delay."""
        rows = self.read("silver", ["event_id", "event_time"])
        if rows is None:
            return
        rows = rows.set_column(1, "event_time", pc.cast(rows["event_time"], pa.int64()))
        sales = rows.group_by("event_id", use_threads=False).aggregate(
            [("event_time", "count"), ("event_time", "min"), ("event_time", "max")])
        apart = pc.subtract(sales["event_time_max"], sales["event_time_min"])
        twice = sales.filter(pc.and_(pc.greater(sales["event_time_count"], 1), pc.less_equal(apart, common.DELAY_US)))
        if twice.num_rows:
            self.wrong.append(f"silver: sales more than once: {twice.slice(0, 3).to_pylist()}")

    def newest(self, table):
        rows = self.read(table, ["_partition", "_offset"])
        if rows is None:
            return {}
        newest = rows.group_by("_partition", use_threads=False).aggregate([("_offset", "max")])
        return dict(zip(newest["_partition"].to_pylist(), newest["_offset_max"].to_pylist()))

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


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("stop_file")
    options = parser.parse_args()
    pa.set_cpu_count(1)
    reader = Reader(os.path.abspath(options.folder))
    reader.until(options.stop_file)
    for wrong in reader.wrong[:20]:
        print(f"arrow reader: {wrong}")
    print(f"arrow reader: {reader.reads} reads, {len(reader.wrong)} wrong, rows at the end {reader.counts}")
    sys.exit(1 if reader.wrong else 0)


if __name__ == "__main__":
    main()
