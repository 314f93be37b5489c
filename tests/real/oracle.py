#!/usr/bin/env python3
"""Computes from a ledger what the tables of sql/gold_revenue.sql must hold, and compares.

Late rows and copies are decided by a plain loop over each partition in offset order, windows by a query written by hand;
no code of sluicebox is used. Exit code 0: equal; 1: not, and the differences are printed.

    oracle.py LEDGER FOLDER      FOLDER is the working directory of the run: data/ lies in it
"""

import argparse
import collections
import glob
import json
import os
import sys
import tempfile

import duckdb

import common

# The reader's columns: those of the third version.
COLUMNS = {
    "account_id": "VARCHAR", "event_id": "VARCHAR", "event_time": "BIGINT", "ingest_time": "BIGINT",
    "channel": "VARCHAR", "region": "VARCHAR", "plan_tier": "VARCHAR", "product_name": "VARCHAR", "quantity": "BIGINT",
    "currency": "VARCHAR", "amount": "DECIMAL(12,2)", "coupon": "VARCHAR", "tags": "VARCHAR[]", "payment": "VARCHAR",
    "_partition": "INTEGER", "_offset": "BIGINT", "_timestamp": "BIGINT", "_key": "VARCHAR", "_schema_id": "INTEGER",
    "ingest_date": "VARCHAR",
}
SILVER_MORE = {"event_date": "VARCHAR"}
GOLD = {"window_start": "BIGINT", "window_end": "BIGINT", "region": "VARCHAR", "plan_tier": "VARCHAR",
        "revenue": "DECIMAL(22,2)", "event_count": "BIGINT", "window_date": "VARCHAR"}
TIMES = {"event_time", "ingest_time", "window_start", "window_end", "_timestamp"}


def resolve(entry, columns):
    """The row as the reader sees it, by default the third version's."""
    row = dict(entry["row"])
    if "product" in row and "product_name" in columns:
        row["product_name"] = row.pop("product")
    for name, default in (("channel", "web"), ("coupon", None), ("tags", []), ("payment", "UNKNOWN")):
        row.setdefault(name, default)
    row.update(_partition=entry["partition"], _offset=entry["offset"], _timestamp=entry["timestamp_ms"] * 1000,
               _key=entry["key"], _schema_id=entry["schema_id"], ingest_date=date(row["ingest_time"]))
    return row


def date(micros):
    import datetime
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=micros)).date().isoformat()


def violated(row):
    """The expectations whose rows go to quarantine."""
    names = []
    if row["event_id"] is None:
        names.append("has_event_id")
    if row["region"] not in common.REGIONS:
        names.append("known_region")
    if row["plan_tier"] not in common.TIERS:
        names.append("known_tier")
    if row["currency"] not in common.CURRENCIES:
        names.append("known_money")
    if row["amount"].startswith("-"):
        names.append("valid_amount")
    return names


class Expected:
    """What every table must hold."""

    def __init__(self, path):
        with open(path) as lines:
            self.head = json.loads(next(lines))
            entries = [json.loads(line) for line in lines]
        self.columns = self.head.get("columns") or COLUMNS
        self.bronze, self.silver, self.late, self.quarantine = [], [], [], {}
        self.dead, self.tombstones, self.duplicates = {}, 0, 0
        partitions = collections.defaultdict(list)
        for entry in entries:
            partitions[entry["partition"]].append(entry)
        newest = [self.partition(sorted(p, key=lambda e: e["offset"])) for p in partitions.values()]
        # At the end of a run every partition is idle: the watermark is the largest of theirs.
        self.watermark = max((n for n in newest if n is not None), default=None)
        if self.watermark is not None:
            self.watermark -= common.DELAY_US

    def partition(self, entries):
        newest, kept = None, {}
        for entry in entries:
            where = (entry["partition"], entry["offset"])
            if entry["kind"] == "tombstone":
                self.tombstones += 1
                continue
            if "error_class" in entry:
                self.dead[where] = entry["error_class"]
                continue
            row = resolve(entry, self.columns)
            self.bronze.append(row)
            time = row["event_time"]
            late = newest is not None and time <= newest - common.DELAY_US
            if time <= self.head["end_us"] + common.MAX_FUTURE_US // 2:
                newest = time if newest is None else max(newest, time)
            if late:
                self.late.append(where)
                continue
            names = violated(row)
            if names:
                self.quarantine[where] = names
                continue
            first = kept.get(row["event_id"])
            if first is not None and time <= first + common.DELAY_US:
                self.duplicates += 1
                continue
            kept[row["event_id"]] = time
            self.silver.append({**row, "event_date": date(time)})
        return newest


def load(db, name, rows, columns):
    """Makes a table of `rows`."""
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as out:
        for row in rows:
            out.write(json.dumps({c: row.get(c) for c in columns}) + "\n")
    types = ", ".join(f"{common.sql(c)}: {common.sql(t)}" for c, t in columns.items())
    source = f"read_json({common.sql(out.name)}, format = 'newline_delimited', columns = {{{types}}})"
    db.execute(f"CREATE TABLE {name} AS SELECT * FROM {source}")
    os.unlink(out.name)


def files(folder, *parts):
    return os.path.join(os.path.abspath(folder), *parts, "**", "*.parquet")


def parquet(pattern):
    return f"read_parquet({common.sql(pattern)}, hive_partitioning = true, hive_types_autocast = false, union_by_name = true)"


def have(db, pattern):
    """The columns of the files, or none when there is no file."""
    if not glob.glob(pattern, recursive=True):
        return {}
    return {c[0]: c[1] for c in db.execute(f"DESCRIBE SELECT * FROM {parquet(pattern)}").fetchall()}


def projected(columns, there):
    """`columns` as they come from Parquet, in the types of the expected table."""
    out = []
    for name, kind in columns.items():
        column = f'"{name}"'
        if name in TIMES and there.get(name, "").startswith("TIMESTAMP"):
            column = f"epoch_us({column})"
        elif name == "_key" and there.get(name) == "BLOB":
            column = f"decode({column})"
        out.append(f'CAST({column} AS {kind}) AS "{name}"')
    return ", ".join(out)


class Comparison:
    def __init__(self, db):
        self.db, self.differences = db, 0

    def complain(self, text):
        self.differences += 1
        print(text)

    def table(self, name, columns, pattern):
        """Compares the table `expected_<name>` with the files, row by row, as bags."""
        wanted = self.db.execute(f"SELECT count(*) FROM expected_{name}").fetchone()[0]
        there = have(self.db, pattern)
        if not there:
            if wanted:
                self.complain(f"{name}: no file matches {pattern}; {wanted} rows were expected")
            return
        missing = [c for c in columns if c not in there]
        if missing:
            self.complain(f"{name}: columns {missing} are missing; there are {list(there)}")
            return
        self.db.execute(f"CREATE OR REPLACE TABLE actual_{name} AS SELECT {projected(columns, there)} FROM {parquet(pattern)}")
        count = self.db.execute(f"SELECT count(*) FROM actual_{name}").fetchone()[0]
        bad = False
        for what, one, other in (("missing", "expected", "actual"), ("not expected", "actual", "expected")):
            rows = self.db.execute(f"SELECT * FROM {one}_{name} EXCEPT ALL SELECT * FROM {other}_{name}").fetchall()
            if rows:
                bad = True
                self.complain(f"{name}: {len(rows)} rows {what}; the first: {rows[:3]}")
        print(f"{name}: {count} rows, {wanted} expected: {'DIFFERENT' if bad else 'equal'}")

    def places(self, name, expected, pattern):
        """Compares which events the files hold, by partition and offset."""
        there = have(self.db, pattern)
        actual = []
        if there:
            p = next((c for c in ("_partition", "partition", "source_partition") if c in there), None)
            o = next((c for c in ("_offset", "offset", "source_offset") if c in there), None)
            if p is None or o is None:
                self.complain(f"{name}: no columns for partition and offset; there are {list(there)}")
                return
            actual = self.db.execute(f'SELECT CAST("{p}" AS INTEGER), "{o}" FROM {parquet(pattern)}').fetchall()
        self.bags(name, collections.Counter(expected), collections.Counter(map(tuple, actual)))

    def bags(self, name, expected, actual):
        lacking, extra = expected - actual, actual - expected
        if lacking:
            self.complain(f"{name}: {sum(lacking.values())} missing; the first: {list(lacking)[:5]}")
        if extra:
            self.complain(f"{name}: {sum(extra.values())} not expected; the first: {list(extra)[:5]}")
        same = "DIFFERENT" if lacking or extra else "equal"
        print(f"{name}: {sum(actual.values())} rows, {sum(expected.values())} expected: {same}")

    def classes(self, expected, pattern):
        """Compares the reasons of the dead letters."""
        there = have(self.db, pattern)
        if not there:
            return
        p, o = ("_partition", "_offset") if "_partition" in there else ("partition", "offset")
        if "error_class" not in there or p not in there:
            self.complain(f"dead letters: no column error_class or {p}; there are {list(there)}")
            return
        rows = self.db.execute(f'SELECT CAST("{p}" AS INTEGER), "{o}", error_class FROM {parquet(pattern)}').fetchall()
        wrong = [(a, b, c, expected.get((a, b))) for a, b, c in rows if c not in expected.get((a, b), ())]
        counts = collections.Counter((c, w[0]) for _, _, c, w in wrong if w)
        if wrong:
            self.complain(f"dead letters: {len(wrong)} of another class (got, expected): {dict(counts)}; {wrong[:3]}")
        print(f"dead letter classes: {len(rows)} looked at: {'DIFFERENT' if wrong else 'equal'}")

    def reports(self, folder, expected):
        """Every batch's report balances, and together they count what there was."""
        paths = sorted(glob.glob(os.path.join(folder, "data/dq/*/metrics/batch_id=*/*.json")))
        if not paths:
            self.complain(f"reports: none below {folder}/data/dq")
            return
        totals = collections.Counter()
        for path in paths:
            with open(path) as text:
                report = json.load(text)
            parts = [(part.get("source") or part["table"], part) for part in report["sources"] + report["tables"]]
            if report["balance"]["ok"] is not True or not all(part["ledger"]["ok"] for _, part in parts):
                self.complain(f"reports: {path} does not balance: {report['balance']}")
            for name, part in parts:
                counts = part.get("fates") or {k: part[k] for k in ("read", "tombstones", "dead_letters", "rows")}
                totals.update({f"{name}.{fate}": count for fate, count in counts.items()})
            for source in report["sources"]:
                totals.update({f"class {name}": count for name, count in source["dead_letters_by_class"].items()})
        rows, silver = len(expected.bronze), len(expected.silver)
        gold = self.db.execute("SELECT count(*) FROM expected_gold").fetchone()[0]
        wanted = {
            "sales_events.read": rows + len(expected.dead) + expected.tombstones, "sales_events.rows": rows,
            "sales_events.tombstones": expected.tombstones, "sales_events.dead_letters": len(expected.dead),
            "bronze_sales.rows_in": rows, "bronze_sales.written": rows,
            "silver_sales.rows_in": rows, "silver_sales.written": silver, "silver_sales.late": len(expected.late),
            "silver_sales.duplicate": expected.duplicates, "silver_sales.quarantined": len(expected.quarantine),
            "silver_sales.dropped": 0, "silver_sales.filtered": 0,
            "gold_revenue_5m.rows_in": silver, "gold_revenue_5m.absorbed": silver, "gold_revenue_5m.late": 0,
            "gold_revenue_5m.written": gold,
        }
        wrong = {name: (totals[name], value) for name, value in wanted.items() if totals[name] != value}
        if wrong:
            self.complain(f"reports: (got, expected) {wrong}")
        print(f"reports: {len(paths)} balance, {len(wanted)} counts: {'DIFFERENT' if wrong else 'equal'}")


def expect(db, expected):
    """The expected tables; gold is the query of the pipeline, written by hand for DuckDB."""
    load(db, "expected_bronze", expected.bronze, expected.columns)
    load(db, "expected_silver", expected.silver, {**expected.columns, **SILVER_MORE})
    size = 5 * 60 * 1_000_000
    db.execute(f"""
        CREATE TABLE expected_gold AS
        SELECT window_start, window_start + {size} AS window_end, region, plan_tier,
               CAST(sum(amount) AS DECIMAL(22,2)) AS revenue, count(*) AS event_count,
               strftime(make_timestamp(window_start), '%Y-%m-%d') AS window_date
        FROM (SELECT *, event_time - event_time % {size} AS window_start FROM expected_silver)
        GROUP BY window_start, region, plan_tier
        HAVING window_start + {size} <= {expected.watermark if expected.watermark is not None else 0}""")


def compare(ledger, folder, threads=None):
    """The number of differences between the ledger and the tables below `folder`."""
    expected = Expected(ledger)
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    if threads:
        db.execute(f"SET threads = {threads}")
    expect(db, expected)
    look = Comparison(db)
    look.table("bronze", expected.columns, files(folder, "data/bronze/sales"))
    look.table("silver", {**expected.columns, **SILVER_MORE}, files(folder, "data/silver/sales"))
    look.table("gold", GOLD, files(folder, "data/gold/revenue_5m"))
    look.places("late", expected.late, files(folder, "data/late/revenue_5m/silver_sales"))
    look.places("quarantine", list(expected.quarantine), files(folder, "data/quarantine/revenue_5m/silver_sales"))
    look.places("dead letters", list(expected.dead), files(folder, "data/dead_letters/revenue_5m/sales_events"))
    look.classes(expected.dead, files(folder, "data/dead_letters/revenue_5m/sales_events"))
    look.reports(folder, expected)
    return look.differences


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("ledger")
    parser.add_argument("folder")
    options = parser.parse_args()
    differences = compare(options.ledger, options.folder)
    print(f"{differences} differences" if differences else "the tables equal the oracle")
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
