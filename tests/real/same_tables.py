#!/usr/bin/env python3
"""Compares the tables of two runs over the same topic, row by row, all columns. Exit code 0: equal; 1: not.

    same_tables.py FOLDER OTHER
"""

import argparse
import os
import sys

import duckdb

import common
from oracle import files, have, parquet

# Dead letters, late and quarantined rows too; the batch that wrote them may be another.
TABLES = ["data/bronze/sales", "data/silver/sales", "data/gold/revenue_5m", "data/late/revenue_5m/silver_sales",
          "data/quarantine/revenue_5m/silver_sales", "data/dead_letters/revenue_5m/sales_events"]
OF_THE_RUN = {"batch_id", "_batch_id", "batch", "query_id", "run_id", "quarantined_at", "failed_at", "_quarantined_at"}


def compare(one, other):
    differences = 0
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    for table in TABLES:
        patterns = files(one, table), files(other, table)
        columns = [have(db, pattern) for pattern in patterns]
        if not any(columns):
            print(f"{table}: no file in either")
            continue
        names = [c for c in columns[0] if c not in OF_THE_RUN]
        if sorted(names) != sorted(c for c in columns[1] if c not in OF_THE_RUN):
            print(f"{table}: columns {list(columns[0])} and {list(columns[1])}")
            differences += 1
            continue
        select = ", ".join(f'"{c}"' for c in names)
        left, right = (f"SELECT {select} FROM {parquet(p)}" for p in patterns)
        for what, a, b in ((f"only in {one}", left, right), (f"only in {other}", right, left)):
            rows = db.execute(f"{a} EXCEPT ALL {b}").fetchall()
            if rows:
                differences += 1
                print(f"{table}: {len(rows)} rows {what}; the first: {rows[:2]}")
        print(f"{table}: {db.execute(f'SELECT count(*) FROM ({left})').fetchone()[0]} rows compared")
    return differences


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("other")
    options = parser.parse_args()
    differences = compare(options.folder, options.other)
    print(f"{differences} differences" if differences else f"{os.path.basename(options.folder)} and "
          f"{os.path.basename(options.other)} hold the same rows")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
