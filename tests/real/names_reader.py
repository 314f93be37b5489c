#!/usr/bin/env python3
"""Lists the folders of partitions, over and over, as quickly as it can without being in the way of others; stops when a file
appears, and says what it saw. A partition that was there may not be missing, not for a moment. Exit code 0: so it was; 1: not.

    names_reader.py FOLDER STOP_FILE
"""

import argparse
import os
import sys
import time

import watching


def folders(location):
    """The names of the folders that hold files, below the first level of partitions."""
    found = set()
    for outer in os.scandir(location):
        if "=" in outer.name:
            found.update((outer.name, inner.name) for inner in os.scandir(outer.path) if "=" in inner.name)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("stop_file")
    parser.add_argument("--compacted", action="store_true", help="taken as other readers do, without effect")
    options = parser.parse_args()
    reads, wrong, there = 0, [], {}
    while not os.path.exists(options.stop_file) and len(wrong) < 5:
        for table in watching.ONCE:
            try:
                found = folders(os.path.join(options.folder, watching.TABLES[table]))
            except FileNotFoundError:
                # Nothing was written yet.
                continue
            reads += 1
            if missing := there.get(table, set()) - found:
                wrong.append(f"{table}: {len(missing)} of {len(found)} partitions are not there: {sorted(missing)[:3]}")
            there[table] = found
        time.sleep(0.0003)
    for line in wrong:
        print(f"names reader: {line}")
    print(f"names reader: {reads} reads, 0 again, {len(wrong)} wrong, {sum(map(len, there.values()))} partitions at the end")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
