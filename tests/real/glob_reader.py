#!/usr/bin/env python3
"""Reads the tables by globs, over and over, while a run writes them; stops when a file appears, and says what it saw.

Each read must succeed, no event may be there twice, what was there may not go away, and a table may not be ahead of the
one it is made from. Exit code 0: so it was; 1: it was not.

    glob_reader.py FOLDER STOP_FILE
"""

import argparse
import glob
import os
import sys
import time

import duckdb

import common

TABLES = {"bronze": "data/bronze/sales", "silver": "data/silver/sales", "gold": "data/gold/revenue_5m",
          "dead_letters": "data/dead_letters/sales_events", "late": "data/late/silver_sales",
          "quarantine": "data/quarantine/silver_sales"}
PLACE = "_topic, _partition, _offset"
# What may be there only once.
ONCE = {"bronze": PLACE, "silver": PLACE, "gold": "window_start, region, plan_tier"}


class Reader:
    def __init__(self, folder):
        self.folder = folder
        self.db = duckdb.connect()
        self.db.execute("SET threads = 1; SET TimeZone = 'UTC'")
        self.reads = self.empty = 0
        self.counts = {}
        self.wrong = []

    def source(self, table):
        pattern = os.path.join(self.folder, TABLES[table], "**", "*.parquet")
        # A table without a file yet is no failed read.
        if not glob.glob(pattern, recursive=True):
            return None
        return f"read_parquet({common.sql(pattern)}, hive_partitioning = true, union_by_name = true)"

    def ask(self, query):
        self.reads += 1
        try:
            return self.db.execute(query).fetchall()
        except duckdb.Error as error:
            self.wrong.append(f"failed read: {error}")
            return None

    def look_at(self, table):
        source = self.source(table)
        if source is None:
            self.empty += 1
            if self.counts.get(table):
                self.wrong.append(f"{table}: {self.counts[table]} rows, then no file")
            return
        if table in ONCE:
            rows = self.ask(f"SELECT count(*), count(DISTINCT ({ONCE[table]})) FROM {source}")
            if rows and rows[0][0] != rows[0][1]:
                self.wrong.append(f"{table}: {rows[0][0]} rows, {rows[0][1]} distinct ({ONCE[table]})")
        else:
            rows = self.ask(f"SELECT count(*) FROM {source}")
        if rows:
            if rows[0][0] < self.counts.get(table, 0):
                self.wrong.append(f"{table}: {self.counts[table]} rows, then {rows[0][0]}")
            self.counts[table] = rows[0][0]

    def look_at_copies(self):
        """No sale twice within the delay."""
        source = self.source("silver")
        if source is None:
            return
        rows = self.ask(f"""SELECT event_id, count(*) FROM {source} GROUP BY event_id
            HAVING count(*) > 1 AND epoch_us(max(event_time)) - epoch_us(min(event_time)) <= {common.DELAY_US} LIMIT 3""")
        if rows:
            self.wrong.append(f"silver: sales more than once: {rows}")

    def look_at_layers(self):
        """Whatever is in silver is in bronze, which is published before it."""
        silver = self.source("silver")
        if silver is None:
            return
        places = self.ask(f"SELECT _partition, max(_offset), count(*) FROM {silver} GROUP BY _partition ORDER BY 1")
        bronze = self.source("bronze")
        newest = dict(self.ask(f"SELECT _partition, max(_offset) FROM {bronze} GROUP BY _partition") or []) if bronze else {}
        for partition, offset, _ in places or []:
            if newest.get(partition, -1) < offset:
                self.wrong.append(f"silver has {partition}/{offset}, bronze ends at {newest.get(partition)}")

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
    reader = Reader(os.path.abspath(options.folder))
    reader.until(options.stop_file)
    for wrong in reader.wrong[:20]:
        print(f"glob reader: {wrong}")
    print(f"glob reader: {reader.reads} reads, {len(reader.wrong)} wrong, rows at the end {reader.counts}")
    sys.exit(1 if reader.wrong else 0)


if __name__ == "__main__":
    main()
