"""What readers share that look at the tables over and over while a run writes them, each by an engine of its own."""

import argparse
import glob
import os
import sys
import time

TABLES = {"bronze": "data/bronze/sales", "silver": "data/silver/sales", "gold": "data/gold/revenue_5m",
          "dead_letters": "data/dead_letters/revenue_5m/sales_events", "late": "data/late/revenue_5m/silver_sales",
          "quarantine": "data/quarantine/revenue_5m/silver_sales"}
PLACE = ["_topic", "_partition", "_offset"]
# What may be there only once.
ONCE = {"bronze": PLACE, "silver": PLACE, "gold": ["window_start", "region", "plan_tier"]}
# A reader that finds a file gone so often in a row has found more than an exchange of a folder.
TRIES = 50


class Gone(Exception):
    """A file that was listed is there no more."""


class Watcher:
    """A reader has `look_at(table)`, `look_at_copies()` and `newest(table)`; what it finds wrong goes to `wrong`.

    Where partitions are compacted, a file may be gone between the glob and the read: then all is listed and read again, and
    counted in `again`. Else that is wrong too.
    """

    def __init__(self, folder, compacted=False):
        self.folder = folder
        self.compacted = compacted
        self.reads = 0
        self.again = 0
        self.counts = {}
        self.ends = {}
        self.wrong = []

    def attempt(self, read):
        """What `read` gives, which raises Gone for a file that is not there."""
        for _ in range(TRIES):
            self.reads += 1
            try:
                return read()
            except Gone as gone:
                if not self.compacted:
                    self.wrong.append(f"failed read: {gone}")
                    return None
                self.again += 1
                last = gone
        self.wrong.append(f"no read of {TRIES} succeeded; the last: {last}")
        return None

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

    def note_places(self, table, partitions):
        """`partitions` has, by partition of the topic, the rows, the rows up to the offset at which the last read ended, and the
        highest offset. What came meanwhile cannot hide here that others are gone."""
        older = sum(up_to for _, up_to, _ in partitions.values())
        if older < self.counts.get(table, 0):
            self.wrong.append(f"{table}: {self.counts[table]} rows up to {self.ends.get(table)}, then {older}")
        self.ends[table] = {partition: newest for partition, (_, _, newest) in partitions.items()}
        self.note_rows(table, sum(rows for rows, _, _ in partitions.values()))

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
    parser.add_argument("--compacted", action="store_true", help="a file that was listed may be gone: read again")
    options = parser.parse_args()
    reader = reader_class(os.path.abspath(options.folder), options.compacted)
    reader.until(options.stop_file)
    for wrong in reader.wrong[:20]:
        print(f"{name}: {wrong}")
    print(f"{name}: {reader.reads} reads, {reader.again} again, {len(reader.wrong)} wrong, rows at the end {reader.counts}")
    sys.exit(1 if reader.wrong else 0)
