#!/usr/bin/env python3
"""Reads the tables by globs, over and over, while a run writes them; stops when a file appears, and says what it saw.

Each read must succeed, no event may be there twice, what was there may not go away, and a table may not be ahead of the
one it is made from. Exit code 0: so it was; 1: it was not.

    glob_reader.py FOLDER STOP_FILE
"""

import duckdb

import common
import watching


class Reader(watching.Watcher):
    def __init__(self, folder):
        super().__init__(folder)
        self.db = duckdb.connect()
        self.db.execute("SET threads = 1; SET TimeZone = 'UTC'")

    def source(self, table):
        # A table without a file yet is no failed read.
        if not self.files(table):
            return None
        return f"read_parquet({common.sql(self.pattern(table))}, hive_partitioning = true, union_by_name = true)"

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
            self.note_none(table)
            return
        if table in watching.ONCE:
            columns = ", ".join(watching.ONCE[table])
            rows = self.ask(f"SELECT count(*), count(DISTINCT ({columns})) FROM {source}")
            if rows and rows[0][0] != rows[0][1]:
                self.wrong.append(f"{table}: {rows[0][0]} rows, {rows[0][1]} distinct ({columns})")
        else:
            rows = self.ask(f"SELECT count(*) FROM {source}")
        if rows:
            self.note_rows(table, rows[0][0])

    def look_at_copies(self):
        """No sale twice within the delay."""
        source = self.source("silver")
        if source is None:
            return
        rows = self.ask(f"""SELECT event_id, count(*) FROM {source} GROUP BY event_id
            HAVING count(*) > 1 AND epoch_us(max(event_time)) - epoch_us(min(event_time)) <= {common.DELAY_US} LIMIT 3""")
        if rows:
            self.wrong.append(f"silver: sales more than once: {rows}")

    def newest(self, table):
        source = self.source(table)
        if source is None:
            return {}
        return dict(self.ask(f"SELECT _partition, max(_offset) FROM {source} GROUP BY _partition ORDER BY 1") or [])


if __name__ == "__main__":
    watching.main(Reader, "glob reader", __doc__)
