#!/usr/bin/env python3
"""Does what glob_reader.py does, by pyarrow: reads the tables by globs, over and over, while a run writes them.

Each read must succeed, no event may be there twice, what was there may not go away, and a table may not be ahead of the
one it is made from. Exit code 0: so it was; 1: it was not. With --compacted a read that finds a listed file gone is made again.

    arrow_reader.py FOLDER STOP_FILE [--compacted]
"""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

import common
import watching


class Reader(watching.Watcher):
    def read(self, table, columns):
        """The columns of every file that a glob finds; None without a file, or when it cannot be read."""
        def read():
            files = self.files(table)
            if not files:
                self.note_none(table)
                return None
            try:
                return ds.dataset(files, format="parquet").to_table(columns=columns, use_threads=False)
            except FileNotFoundError as error:
                raise watching.Gone(error) from error

        try:
            return self.attempt(read)
        except (pa.ArrowException, OSError, ValueError) as error:
            self.wrong.append(f"{table}: failed read: {error}")
            return None

    def look_at(self, table):
        columns = watching.ONCE.get(table, [])
        rows = self.read(table, columns or None)
        if rows is None:
            return
        if columns:
            distinct = rows.group_by(columns, use_threads=False).aggregate([]).num_rows
            if distinct != rows.num_rows:
                self.wrong.append(f"{table}: {rows.num_rows} rows, {distinct} distinct {columns}")
        if columns == watching.PLACE:
            self.note_places(table, self.places(table, rows))
        else:
            self.note_rows(table, rows.num_rows)

    def places(self, table, rows):
        ends, found = self.ends.get(table, {}), {}
        for partition in pc.unique(rows["_partition"]).to_pylist():
            offsets = rows.filter(pc.equal(rows["_partition"], partition))["_offset"]
            up_to = pc.sum(pc.less_equal(offsets, ends.get(partition, -1))).as_py()
            found[partition] = (len(offsets), up_to, pc.max(offsets).as_py())
        return found

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


if __name__ == "__main__":
    pa.set_cpu_count(1)
    watching.main(Reader, "arrow reader", __doc__)
