#!/usr/bin/env python3
"""Reads the tables by globs, over and over, while a run writes them; stops when a file appears, and says what it saw.

Each read must succeed, no event may be there twice, what was there may not go away, and a table may not be ahead of the
one it is made from. Exit code 0: so it was; 1: it was not. With --compacted a read that finds a listed file gone is made again.

    glob_reader.py FOLDER STOP_FILE [--compacted]
"""

import duckdb

import common
import watching


class Reader(watching.Watcher):
    def __init__(self, *args):
        super().__init__(*args)
        self.db = duckdb.connect()
        self.db.execute("SET threads = 1; SET TimeZone = 'UTC'")

    def source(self, table):
        # A table without a file yet is no failed read.
        if not self.files(table):
            return None
        return f"read_parquet({common.sql(self.pattern(table))}, hive_partitioning = true, union_by_name = true)"

    def ask(self, query):
        def read():
            try:
                return self.db.execute(query).fetchall()
            except duckdb.IOException as error:
                # Not "No files found": a glob finds all of the one folder or all of the other.
                if "No such file or directory" in str(error):
                    raise watching.Gone(error) from error
                raise

        try:
            return self.attempt(read)
        except duckdb.Error as error:
            self.wrong.append(f"failed read: {error}")
            return None

    def look_at(self, table):
        source = self.source(table)
        if source is None:
            self.note_none(table)
            return
        columns = watching.ONCE.get(table)
        once = f"count(DISTINCT ({', '.join(columns)}))" if columns else "count(*)"
        if columns == watching.PLACE:
            ends = "".join(f" WHEN {partition} THEN {end}" for partition, end in self.ends.get(table, {}).items())
            up_to = f"CASE _partition{ends} ELSE -1 END" if ends else "-1"
            rows = self.ask(f"""SELECT count(*), {once}, _partition, count(*) FILTER (_offset <= {up_to}), max(_offset)
                FROM {source} GROUP BY _partition""")
        else:
            rows = self.ask(f"SELECT count(*), {once} FROM {source}")
        if rows is None:
            return
        count, distinct = (sum(row[at] for row in rows) for at in (0, 1))
        if count != distinct:
            self.wrong.append(f"{table}: {count} rows, {distinct} distinct ({', '.join(columns)})")
        if columns == watching.PLACE:
            self.note_places(table, {row[2]: (row[0], row[3], row[4]) for row in rows})
        else:
            self.note_rows(table, count)

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
