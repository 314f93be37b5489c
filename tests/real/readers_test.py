#!/usr/bin/env python3
"""Every file is one that DuckDB, Spark, pyarrow, pandas and polars read as what `plan` says.

    readers_test.py --binary BINARY [--spark PYTHON] [--folder DIR]

Tables with a column of every type that a query can compute, and tables partitioned by every type, are written by the binary from
made-up events. Each reader then says which types it finds and which values; both must be those of `plan --json`, and the values
those of all others. PYTHON is one that has pyspark; without it Spark is left out, and that is said.
"""

import argparse
import datetime
import decimal
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

EVENTS = 400
# What a query can compute, by the type that plan says. NULL where the quantity is a multiple of seven.
COLUMNS = {
    "c_boolean": ("quantity > 3", "boolean"),
    "c_tinyint": ("CAST(quantity % 100 AS TINYINT)", "tinyint"),
    "c_smallint": ("CAST(quantity AS SMALLINT)", "smallint"),
    "c_int": ("quantity", "int"),
    "c_bigint": ("CAST(quantity AS BIGINT)", "bigint"),
    "c_uint8": ("arrow_cast(quantity % 200, 'UInt8')", "smallint"),
    "c_uint16": ("arrow_cast(quantity, 'UInt16')", "int"),
    "c_uint32": ("arrow_cast(quantity, 'UInt32')", "bigint"),
    "c_uint64": ("arrow_cast(quantity, 'UInt64')", "decimal(20,0)"),
    "c_half": ("arrow_cast(quantity, 'Float16')", "float"),
    "c_float": ("CAST(quantity AS FLOAT)", "float"),
    "c_double": ("CAST(quantity AS DOUBLE) / 4", "double"),
    "c_decimal9": ("CAST(quantity AS DECIMAL(9, 2))", "decimal(9,2)"),
    "c_decimal18": ("CAST(quantity AS DECIMAL(18, 4))", "decimal(18,4)"),
    "c_decimal38": ("CAST(amount AS DECIMAL(38, 10))", "decimal(38,10)"),
    "c_decimal32": ("arrow_cast(quantity, 'Decimal32(7, 1)')", "decimal(7,1)"),
    "c_decimal256": ("arrow_cast(quantity, 'Decimal256(30, 3)')", "decimal(30,3)"),
    "c_string": ("'ü ' || product", "string"),
    "c_large_string": ("arrow_cast(product, 'LargeUtf8')", "string"),
    "c_string_view": ("arrow_cast(product, 'Utf8View')", "string"),
    "c_dictionary": ("arrow_cast(region, 'Dictionary(Int32, Utf8)')", "string"),
    "c_binary": ("CAST(product AS BINARY)", "binary"),
    "c_binary_view": ("arrow_cast(CAST(product AS BINARY), 'BinaryView')", "binary"),
    "c_fixed": ("arrow_cast(CAST('0123456789abcdef' AS BINARY), 'FixedSizeBinary(16)')", "binary(16)"),
    "c_date": ("CAST(event_time AS DATE)", "date"),
    "c_date64": ("arrow_cast(event_time, 'Date64')", "date"),
    "c_timestamp": ("event_time", "timestamp"),
    "c_seconds": ("arrow_cast(event_time, 'Timestamp(Second, Some(\"UTC\"))')", "timestamp"),
    "c_millis": ("arrow_cast(event_time, 'Timestamp(Millisecond, Some(\"UTC\"))')", "timestamp"),
    "c_nanos": ("arrow_cast(event_time, 'Timestamp(Nanosecond, Some(\"UTC\"))')", "timestamp"),
    "c_zone": ("arrow_cast(event_time, 'Timestamp(Microsecond, Some(\"+02:00\"))')", "timestamp"),
    "c_ntz": ("arrow_cast(event_time, 'Timestamp(Microsecond, None)')", "timestamp_ntz"),
    "c_ntz_nanos": ("arrow_cast(event_time, 'Timestamp(Nanosecond, None)')", "timestamp_ntz"),
    "c_list": ("make_array(quantity, NULL, quantity)", "array<int>"),
    "c_large_list": ("arrow_cast(make_array(quantity, 7), 'LargeList(Int32)')", "array<int>"),
    "c_fixed_list": ("arrow_cast(make_array(quantity, 7), 'FixedSizeList(2, Int32)')", "array<int>"),
    "c_list_nanos": ("make_array(arrow_cast(event_time, 'Timestamp(Nanosecond, Some(\"UTC\"))'))", "array<timestamp>"),
    "c_struct": ("named_struct('a', quantity, 'b', product)", "struct<a: int, b: string>"),
    "c_list_struct": ("make_array(named_struct('a', quantity))", "array<struct<a: int>>"),
    "c_map": ("map('x', quantity, 'y', quantity)", "map<string, int>"),
}
# A time of day is refused by Spark: a table of its own, of which plan warns.
SPARK_REFUSES = {"c_time": ("arrow_cast(CAST(quantity AS BIGINT) * 1000001, 'Time64(Microsecond)')", "time"),
                 "c_time_millis": ("arrow_cast(quantity, 'Time32(Millisecond)')", "time")}
# Partition columns, with the odd values of each; NULL in every eleventh event.
PARTITIONS = {
    "p_boolean": ("quantity > 3", "boolean"),
    "p_tinyint": ("CAST(quantity % 5 - 2 AS TINYINT)", "tinyint"),
    "p_int": ("CAST(quantity % 5 - 2 AS INT)", "int"),
    "p_bigint": ("CAST(quantity % 5 AS BIGINT) * 10000000000", "bigint"),
    "p_digits": ("'00' || CAST(quantity % 5 AS STRING)", "string"),
    "p_string": ("CASE quantity % 6 WHEN 0 THEN 'a b/c=d%e' WHEN 1 THEN 'null' WHEN 2 THEN 'ü' WHEN 3 THEN '2026-01-01' WHEN 4 "
                 "THEN 'true' ELSE '001' END", "string"),
    "p_day": ("CAST(event_time AS DATE)", "date"),
    "p_timestamp": ("date_trunc('hour', event_time)", "timestamp"),
    "p_ntz": ("arrow_cast(date_trunc('hour', event_time), 'Timestamp(Nanosecond, None)')", "timestamp_ntz"),
    "p_decimal": ("CAST(quantity % 5 AS DECIMAL(9, 2))", "decimal(9,2)"),
}
SOURCE = ("CREATE TABLE s USING kafka OPTIONS ('subscribe' = 'sales.events.v1', 'value.format' = 'avro', "
          "'startingOffsets' = 'earliest');\n")
KEY = "CAST(_partition AS BIGINT) * 1000000 + _offset AS k"


def pipeline():
    def some(expression, every, of="quantity"):
        return f"CASE WHEN {of} % {every} <> 0 THEN {expression} END"

    def table(name, columns, by=""):
        listed = ",\n  ".join([KEY] + [f"{expression} AS {column}" for column, expression in columns])
        return f"CREATE STREAMING TABLE {name}{by} AS SELECT\n  {listed} FROM STREAM s;\n"

    plain = [(name, some(expression, 7)) for name, (expression, _) in COLUMNS.items()]
    times = [(name, some(expression, 7)) for name, (expression, _) in SPARK_REFUSES.items()]
    sql = SOURCE + table("bronze_all", plain) + table("bronze_times", times)
    for name, (expression, _) in PARTITIONS.items():
        sql += table(f"silver_{name}", [(name, some(expression, 11, "_offset"))], f" PARTITIONED BY ({name})")
    return sql


# From plan's words to one spelling, and from each reader's types to the same.
def normal(text):
    return re.sub(r"binary\(\d+\)", "binary", text.replace(" ", ""))


def of_arrow(t):
    import pyarrow as pa
    simple = [(pa.types.is_boolean, "boolean"), (pa.types.is_int8, "tinyint"), (pa.types.is_int16, "smallint"),
              (pa.types.is_int32, "int"), (pa.types.is_int64, "bigint"), (pa.types.is_float32, "float"),
              (pa.types.is_float64, "double"), (pa.types.is_string, "string"), (pa.types.is_large_string, "string"),
              (pa.types.is_binary, "binary"), (pa.types.is_fixed_size_binary, "binary"), (pa.types.is_date32, "date")]
    for test, word in simple:
        if test(t):
            return word
    if pa.types.is_timestamp(t) and t.unit == "us":
        return "timestamp" if t.tz == "UTC" else "timestamp_ntz" if t.tz is None else str(t)
    if pa.types.is_time64(t) and t.unit == "us":
        return "time"
    if pa.types.is_decimal(t):
        return f"decimal({t.precision},{t.scale})"
    if pa.types.is_list(t):
        return f"array<{of_arrow(t.value_type)}>"
    if pa.types.is_struct(t):
        return "struct<" + ",".join(f"{f.name}:{of_arrow(f.type)}" for f in t) + ">"
    if pa.types.is_map(t):
        return f"map<{of_arrow(t.key_type)},{of_arrow(t.item_type)}>"
    return str(t)


def of_duckdb(t):
    names = {"BOOLEAN": "boolean", "TINYINT": "tinyint", "SMALLINT": "smallint", "INTEGER": "int", "BIGINT": "bigint",
             "FLOAT": "float", "DOUBLE": "double", "VARCHAR": "string", "BLOB": "binary", "DATE": "date", "TIME": "time",
             "TIMESTAMP WITH TIME ZONE": "timestamp", "TIMESTAMP": "timestamp_ntz"}
    if t.id == "list":
        return f"array<{of_duckdb(t.children[0][1])}>"
    if t.id == "struct":
        return "struct<" + ",".join(f"{n}:{of_duckdb(c)}" for n, c in t.children) + ">"
    if t.id == "map":
        return f"map<{of_duckdb(t.children[0][1])},{of_duckdb(t.children[1][1])}>"
    return names.get(str(t), str(t).lower())


def of_polars(t):
    import polars as pl
    names = {pl.Boolean: "boolean", pl.Int8: "tinyint", pl.Int16: "smallint", pl.Int32: "int", pl.Int64: "bigint",
             pl.Float32: "float", pl.Float64: "double", pl.String: "string", pl.Binary: "binary", pl.Date: "date",
             pl.Time: "time"}
    base = t.base_type()
    if base in names:
        return names[base]
    if base == pl.Datetime and t.time_unit == "us":
        return "timestamp" if t.time_zone == "UTC" else "timestamp_ntz" if t.time_zone is None else str(t)
    if base == pl.Decimal:
        return f"decimal({t.precision},{t.scale})"
    if base == pl.List:
        return f"array<{of_polars(t.inner)}>"
    if base == pl.Struct:
        return "struct<" + ",".join(f"{f.name}:{of_polars(f.dtype)}" for f in t.fields) + ">"
    if hasattr(t, "key") and hasattr(t, "value"):
        return f"map<{of_polars(t.key)},{of_polars(t.value)}>"
    return str(t)


def plain(value, kind):
    """A value that all readers spell alike; `kind` is the type that plan says."""
    if value is None or value is NotImplemented or str(value) in ("NaT", "<NA>"):
        return None
    if kind.startswith("map<"):
        pairs = value.items() if isinstance(value, dict) else [tuple(p.values()) if isinstance(p, dict) else p for p in value]
        return sorted([str(k), plain(v, "")] for k, v in pairs)
    if isinstance(value, dict) or hasattr(value, "asDict"):
        members = value if isinstance(value, dict) else value.asDict()
        return {k: plain(v, "") for k, v in members.items()}
    if isinstance(value, (list, tuple)) or type(value).__name__ in ("ndarray", "Series"):
        return [plain(v, "") for v in value]
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return value.replace(fold=0).strftime("%Y-%m-%d %H:%M:%S.%f")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if type(value).__module__ == "numpy":
        value = value.item()
    return float(value) if isinstance(value, float) else value


def by_key(columns, rows, kinds):
    k = columns.index("k")
    rows = sorted(rows, key=lambda r: r[k])
    return [{c: plain(v, kinds.get(c, "")) for c, v in zip(columns, row)} for row in rows]


def arrow_kind(text):
    import pyarrow as pa
    kinds = {"boolean": pa.bool_(), "tinyint": pa.int8(), "int": pa.int32(), "bigint": pa.int64(), "string": pa.string(),
             "date": pa.date32(), "timestamp": pa.timestamp("us", "UTC"), "timestamp_ntz": pa.timestamp("us")}
    # pyarrow knows no decimals in folders' names, as plan warns: it reads their text.
    return kinds.get(text, pa.string())


# Each reader: how a folder is read, as the guide says; partition columns with their types. Gives types and rows.
def by_pyarrow(folder, partition, kinds):
    import pyarrow as pa
    import pyarrow.dataset as ds
    parts = ds.partitioning(pa.schema([(c, arrow_kind(t)) for c, t in partition.items()]), flavor="hive")
    table = ds.dataset(folder, format="parquet", partitioning=parts).to_table()
    types = {f.name: of_arrow(f.type) for f in table.schema}
    return types, by_key(table.column_names, [tuple(r.values()) for r in table.to_pylist()], kinds)


def by_pandas(folder, partition, kinds):
    import pandas as pd
    import pyarrow as pa
    import pyarrow.dataset as ds
    parts = ds.partitioning(pa.schema([(c, arrow_kind(t)) for c, t in partition.items()]), flavor="hive")
    frame = pd.read_parquet(folder, dtype_backend="pyarrow", partitioning=parts)
    types = {c: of_arrow(t.pyarrow_dtype) if hasattr(t, "pyarrow_dtype") else str(t) for c, t in frame.dtypes.items()}
    rows = zip(*[pa.array(frame[c].array).to_pylist() for c in frame.columns])
    return types, by_key(list(frame.columns), list(rows), kinds)


def by_duckdb(folder, partition, kinds):
    import duckdb
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    words = {"timestamp": "TIMESTAMPTZ", "timestamp_ntz": "TIMESTAMP", "string": "VARCHAR"}
    hive = ", ".join(f"{c}: '{words.get(t, t.upper())}'" for c, t in partition.items())
    hive = f", hive_partitioning = true, hive_types = {{{hive}}}" if partition else ""
    found = connection.sql(f"SELECT * FROM read_parquet('{folder}/**/*.parquet'{hive}, union_by_name = true)")
    return {n: of_duckdb(t) for n, t in zip(found.columns, found.types)}, by_key(found.columns, found.fetchall(), kinds)


def by_polars(folder, partition, kinds):
    import polars as pl
    words = {"boolean": pl.Boolean, "tinyint": pl.Int8, "int": pl.Int32, "bigint": pl.Int64, "string": pl.String,
             "date": pl.Date, "timestamp": pl.Datetime("us", "UTC"), "timestamp_ntz": pl.Datetime("us")}
    hive = {c: words[t] if t in words else pl.Decimal(*map(int, re.findall(r"\d+", t))) for c, t in partition.items()}
    frame = pl.read_parquet(folder, hive_partitioning=bool(partition), hive_schema=hive or None)
    return {n: of_polars(t) for n, t in frame.schema.items()}, by_key(frame.columns, frame.rows(), kinds)


def by_spark(session, folder, partition, schema, kinds):
    frame = session.read.parquet(folder) if not partition else session.read.schema(schema).parquet(folder)
    types = {f.name: normal(f.dataType.simpleString()) for f in frame.schema}
    return types, by_key(frame.columns, [tuple(r) for r in frame.collect()], kinds)


def grown(folder):
    """A table partitioned by day whose columns grew, read as the guide says: for each reader, rows and rows that have the new one."""
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq
    newest = max(glob.glob(f"{folder}/**/*.parquet", recursive=True), key=os.path.basename)
    day = ds.partitioning(pa.schema([("day", pa.date32())]), flavor="hive")
    schema = pa.unify_schemas([pq.read_schema(newest), day.schema])
    table = ds.dataset(folder, schema=schema, partitioning=day).to_table()
    yield "pyarrow", table.num_rows, len(table["later"].drop_null())
    frame = pd.read_parquet(folder, schema=schema, partitioning=day)
    yield "pandas", len(frame), int(frame["later"].count())
    frame = pl.scan_parquet(f"{folder}/**/*.parquet", schema=pl.read_parquet_schema(newest), missing_columns="insert",
                            hive_partitioning=True, hive_schema={"day": pl.Date}).collect()
    yield "polars", len(frame), int(frame["later"].count())
    found = duckdb.sql(f"SELECT count(*), count(later) FROM read_parquet('{folder}/**/*.parquet', hive_partitioning = true, "
                       f"hive_types = {{'day': 'DATE'}}, union_by_name = true)").fetchone()
    yield "DuckDB", found[0], found[1]


READERS = {"pyarrow": by_pyarrow, "pandas": by_pandas, "DuckDB": by_duckdb, "polars": by_polars}


def spark_side(job):
    """Runs in the Python that has pyspark: reads what `job` names and prints types and rows."""
    from pyspark.sql import SparkSession
    session = (SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
               .config("spark.driver.memory", "800m").config("spark.sql.session.timeZone", "UTC").getOrCreate())
    session.sparkContext.setLogLevel("OFF")
    os.environ["TZ"] = "UTC"
    answers = {}
    for name, table in job.items():
        if name == "silver_grown":
            frame = session.read.option("mergeSchema", "true").parquet(table["folder"])
            answers[name] = [frame.count(), frame.filter("later IS NOT NULL").count()]
            continue
        try:
            answers[name] = by_spark(session, table["folder"], table["partition"], table["schema"], table["kinds"])
        except Exception as error:  # what Spark says is the answer
            answers[name] = str(error).split("\n")[0]
    print("ANSWERS " + json.dumps(answers))


def compare(reader, table, answer, expected, rows, failures):
    types, found = answer
    if types != expected:
        wrong = {c: (types.get(c), t) for c, t in expected.items() if types.get(c) != t}
        failures.append(f"{reader} reads {table} with other types than plan says (found, expected): {wrong}")
    if json.loads(json.dumps(found)) != rows:
        first = next(((a, b) for a, b in zip(json.loads(json.dumps(found)), rows) if a != b), (len(found), len(rows)))
        failures.append(f"{reader} reads other values of {table} than pyarrow: {str(first)[:600]}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--spark", default="")
    parser.add_argument("--folder")
    options = parser.parse_args()
    folder = options.folder or tempfile.mkdtemp(prefix="sluicebox-readers-")
    os.makedirs(folder, exist_ok=True)
    env = {k: v for k, v in os.environ.items() if k not in ("KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL")}

    def sluicebox(*line):
        done = subprocess.run([os.path.abspath(options.binary), *line], cwd=folder, env=env, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"sluicebox {' '.join(line)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    with open(os.path.join(folder, "p.sql"), "w") as out:
        out.write(pipeline())
    sluicebox("produce", "sales", "--events", str(EVENTS), "--seed", "7")
    told = sluicebox("plan", "p.sql", "--json")
    plan = json.loads(told.stdout)
    warned = [w["code"] for w in plan["warnings"]]
    assert sorted(warned) == ["readers-partition", "readers-time", "readers-time"], f"plan warns of {warned}"
    sluicebox("run", "p.sql", "--trigger", "available-now")

    failures, job, known = [], {}, {}
    asked = {**COLUMNS, **SPARK_REFUSES, **PARTITIONS}
    for table in plan["tables"]:
        name = table["name"]
        path = os.path.join(folder, table["location"])
        expected = {c["name"]: normal(c["type"]) for c in table["columns"]}
        wanted = {c: normal(asked[c][1]) for c in expected if c != "k"}
        if {c: t for c, t in expected.items() if c != "k"} != wanted:
            wrong = {c: (t, wanted[c]) for c, t in expected.items() if c != "k" and t != wanted[c]}
            failures.append(f"plan says other types of {name} (said, expected): {wrong}")
        partition = {c["name"]: c["type"] for c in table["columns"] if c["partition"]}
        rows = None
        # As text where plan warns of decimals in folders' names.
        as_text = {**expected, **{c: "string" for c, t in partition.items() if t.startswith("decimal")}}
        for reader, read in READERS.items():
            try:
                answer = read(path, partition, expected)
            except Exception as error:  # which reader refuses what is what this test tells
                failures.append(f"{reader} does not read {name}: {type(error).__name__}: {str(error)[:300]}")
                continue
            if rows is None:
                rows = json.loads(json.dumps(answer[1]))
                if len(rows) == 0:
                    failures.append(f"{name} has no rows")
            compare(reader, name, answer, as_text if reader in ("pyarrow", "pandas") else expected, rows, failures)
        spark_type = {c: t for c, t in expected.items()}
        schema = ", ".join(f"`{c}` {t}" for c, t in spark_type.items())
        job[name] = {"folder": path, "partition": partition, "schema": schema, "kinds": expected}
        known[name] = (expected, rows)
    older = "SELECT event_id, CAST(event_time AS DATE) AS day FROM STREAM s;\n"
    newer = "SELECT 1 AS later, event_id, CAST(event_time AS DATE) AS day FROM STREAM s;\n"
    for query in older, newer:
        with open(os.path.join(folder, "grown.sql"), "w") as out:
            out.write(SOURCE + "CREATE STREAMING TABLE silver_grown PARTITIONED BY (day) AS " + query)
        sluicebox("run", "grown.sql", "--trigger", "available-now")
        sluicebox("produce", "sales", "--events", "50", "--seed", "8", "--malformed", "0")
    path = os.path.join(folder, "data/silver/grown")
    answers = list(grown(path))
    (total, new), = {(total, new) for _, total, new in answers} if len({a[1:] for a in answers}) == 1 else [(0, 0)]
    if not (new == 50 and total > new):
        failures.append(f"a table whose columns grew is read as {answers}")
    job["silver_grown"] = {"folder": path}
    readers = list(READERS)
    if options.spark:
        readers.append("Spark")
        line = [options.spark, os.path.abspath(__file__), "--as-spark"]
        done = subprocess.run(line, input=json.dumps(job), capture_output=True, text=True,
                              env={**env, "PYSPARK_PYTHON": options.spark, "TZ": "UTC"})
        told = [l for l in done.stdout.splitlines() if l.startswith("ANSWERS ")]
        if not told:
            raise SystemExit(f"Spark gave no answers: {done.stderr[-3000:]}")
        for name, answer in json.loads(told[0][8:]).items():
            if name == "silver_grown":
                if answer != [total, new]:
                    failures.append(f"Spark reads a table whose columns grew as {answer}")
            elif name == "bronze_times":
                if not isinstance(answer, str):
                    failures.append("Spark reads a table with a time of day: the warning of plan is not true any more")
            elif isinstance(answer, str):
                failures.append(f"Spark does not read {name}: {answer}")
            else:
                compare("Spark", name, answer, *known[name], failures)
    else:
        print("without --spark PYTHON, of one that has pyspark, Spark is left out")
    for failure in failures:
        print(failure, file=sys.stderr)
    if failures:
        raise SystemExit(f"{len(failures)} differences; the tables are in {folder}")
    types = sum(len(known[n][0]) for n in known)
    print(f"{types} columns of {len(known)} tables: {', '.join(readers)} read them as plan says")
    if not options.folder:
        shutil.rmtree(folder)


if __name__ == "__main__":
    if sys.argv[1:] == ["--as-spark"]:
        spark_side(json.load(sys.stdin))
    else:
        main()
