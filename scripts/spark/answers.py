#!/usr/bin/env python3
"""Asks Spark what its functions, operators and casts give, and keeps the answers for the tests.

    pip install pyspark==4.1.1          (needs Java 17)
    scripts/spark/answers.py [NAME ...] [--all]

Reads crates/runtime/tests/spark/NAME.questions, every one of them without a name, and writes NAME.answers.jsonl beside it. A question
that has an answer already is not asked again, unless --all is given. The test `spark_answers` of the runtime reads the answers and
needs no Spark.

A question is a line:

    upper(s)                                   an expression over the columns of inputs.ddl, for each row of inputs.jsonl
    agg: max_by(s, i)                          an aggregate over all rows
    sel: SELECT id, x FROM inputs LATERAL VIEW explode(ia) AS x     a query; the order of its rows does not matter

`#` begins a comment line. What follows ` -- ` at the end is for the test alone: `refused` (the pipeline is refused), or `differs: why`.
Spark runs in ANSI mode and in UTC.
"""

import argparse
import datetime
import json
import logging
import os
import pathlib
import sys
import time

os.environ["TZ"] = "UTC"
time.tzset()

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "crates/runtime/tests/spark"


def canonical(value, data_type):
    """A value as JSON: numbers that JSON cannot hold as text, times as ISO 8601, binary as hex, maps as sorted pairs."""
    kind = data_type.typeName()
    if value is None:
        return None
    if kind in ("double", "float"):
        return repr(float(value))
    if kind == "decimal":
        return format(value, "f")
    if kind == "binary":
        return bytes(value).hex()
    if kind in ("timestamp", "timestamp_ntz"):
        return value.replace(tzinfo=None).isoformat(timespec="microseconds")
    if kind == "date":
        return value.isoformat()
    if kind == "array":
        return [canonical(v, data_type.elementType) for v in value]
    if kind == "map":
        pairs = [[canonical(k, data_type.keyType), canonical(v, data_type.valueType)] for k, v in value.items()]
        return sorted(pairs, key=lambda pair: json.dumps(pair, ensure_ascii=False, separators=(",", ":")))
    if kind == "struct":
        return {f.name: canonical(v, f.dataType) for f, v in zip(data_type.fields, value)}
    if isinstance(value, datetime.timedelta):
        return round(value / datetime.timedelta(microseconds=1))
    if isinstance(value, (bool, int, str)):
        return value
    return str(value)


def error_class(error):
    """The class of Spark's error, such as DIVIDE_BY_ZERO."""
    name = getattr(error, "getCondition", getattr(error, "getErrorClass", lambda: None))()
    return name or type(error).__name__


def is_plan_error(error):
    return type(error).__name__ in ("AnalysisException", "ParseException")


def rows(frame):
    schema = frame.schema
    out = []
    for row in frame.collect():
        out.append([canonical(v, f.dataType) for v, f in zip(row, schema.fields)])
    return schema, out


def answer(spark, question):
    """What Spark says to one question."""
    kind, text = "expr", question
    for prefix in ("agg:", "sel:"):
        if question.startswith(prefix):
            kind, text = prefix[:-1], question[len(prefix):].strip()
    out = {"q": question}
    try:
        if kind == "sel":
            schema, found = rows(spark.sql(text))
            out["type"] = [f.dataType.simpleString() for f in schema.fields]
            out["names"] = schema.names
            out["rows"] = sorted(found, key=json.dumps)
            return out
        if kind == "agg":
            schema, found = rows(spark.sql(f"SELECT {text} AS v FROM inputs"))
            out["type"] = schema.fields[0].dataType.simpleString()
            out["rows"] = [r[0] for r in found]
            return out
        frame = spark.sql(f"SELECT {text} AS v FROM inputs ORDER BY id")
        out["type"] = frame.schema.fields[0].dataType.simpleString()
    except Exception as error:
        out["plan_error" if is_plan_error(error) else "error"] = error_class(error)
        return out
    try:
        _, found = rows(frame)
        out["rows"] = [r[0] for r in found]
    except Exception:
        out["rows"] = [one(spark, text, i) for i in range(spark.n_inputs)]
    return out


def one(spark, text, i):
    """The answer for one row of the inputs, after another row has failed."""
    try:
        _, found = rows(spark.sql(f"SELECT {text} AS v FROM inputs WHERE id = {i}"))
        return found[0][0]
    except Exception as error:
        return {"error": error_class(error)}


def session():
    from pyspark.sql import SparkSession, types

    # Python's own conversion fails for the years 1 and 9999.
    epoch = datetime.datetime(1970, 1, 1)
    convert = lambda self, micros: None if micros is None else epoch + datetime.timedelta(microseconds=micros)
    types.TimestampType.fromInternal = convert
    types.TimestampNTZType.fromInternal = convert

    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.ansi.enabled", "true")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.driver.extraJavaOptions", "-Duser.timezone=UTC")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("OFF")
    logging.disable(logging.CRITICAL)
    ddl = (FOLDER / "inputs.ddl").read_text().strip()
    frame = spark.read.schema(ddl).option("mode", "FAILFAST").json(str(FOLDER / "inputs.jsonl"))
    frame = frame.selectExpr("*", "CAST(s AS BINARY) AS bin")
    frame = frame.coalesce(1).cache()
    spark.n_inputs = frame.count()
    frame.createOrReplaceTempView("inputs")
    return spark


def questions(path):
    for line in path.read_text().split("\n"):
        line = line.split(" -- ")[0].strip()
        if line and not line.startswith("#"):
            yield line


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--all", action="store_true", help="ask what has an answer already, too")
    args = parser.parse_args()
    names = args.names or sorted(p.stem for p in FOLDER.glob("*.questions"))
    spark = None
    for name in names:
        path = FOLDER / f"{name}.answers.jsonl"
        known = {}
        if path.exists() and not args.all:
            # Not splitlines(), for which U+2028 within an answer ends a line.
            known = {a["q"]: a for a in map(json.loads, path.read_text().strip().split("\n"))}
        wanted = list(dict.fromkeys(questions(FOLDER / f"{name}.questions")))
        asked = 0
        for question in wanted:
            if question not in known:
                spark = spark or session()
                known[question] = answer(spark, question)
                asked += 1
        lines = [json.dumps(known[q], ensure_ascii=False) for q in wanted]
        path.write_text("".join(line + "\n" for line in lines))
        print(f"{name}: {len(wanted)} questions, {asked} asked", file=sys.stderr)


if __name__ == "__main__":
    main()
