"""The sales pipeline as Spark users write it: three queries over one topic, for bronze, silver and gold.

Run by spark-submit; scripts/spark/compare.py says with what. Prints `ready` when all queries run, and at the end a JSON line:
the seconds in which they ran, and the progress of every batch. Stops when there is a file `stop` in its folder, or, with
`--available-now`, when all that was there is done.
"""

import argparse
import json
import time
from pathlib import Path

from pyspark.sql import SparkSession, functions as F
from pyspark.sql.avro.functions import from_avro

args = argparse.ArgumentParser()
args.add_argument("--brokers", required=True)
args.add_argument("--topic", required=True)
args.add_argument("--schema", required=True, help="file with the writer's Avro schema")
args.add_argument("--schema-id", type=int, required=True)
args.add_argument("--folder", required=True)
args.add_argument("--available-now", action="store_true")
args = args.parse_args()

spark = SparkSession.builder.appName("sales").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
schema = open(args.schema).read()
header = (b"\0" + args.schema_id.to_bytes(4, "big")).hex()


def source():
    """Decoded events. Broken ones, and those of other schemas, are left out: Spark keeps no dead letters."""
    raw = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", args.brokers)
        .option("subscribe", args.topic)
        .option("startingOffsets", "earliest")
        .load()
    )
    framed = raw.where(F.expr(f"substring(value, 1, 5) = X'{header}'"))
    body = from_avro(F.expr("substring(value, 6, length(value) - 5)"), schema, {"mode": "PERMISSIVE"})
    row = framed.select(body.alias("v"), "topic", "partition", "offset", "timestamp")
    columns = ["v.*", "topic", "partition", "offset", F.col("timestamp").alias("_timestamp")]
    return row.where("v.account_id IS NOT NULL").select(*columns)


def silver():
    rows = source().where(
        "event_id IS NOT NULL AND region IN ('NA', 'EMEA', 'APAC', 'LATAM') AND plan_tier IN ('free', 'pro', 'enterprise')"
        " AND currency IN ('USD', 'EUR', 'GBP') AND amount >= 0"
    )
    rows = rows.withColumn("event_date", F.to_date("event_time"))
    return rows.withWatermark("event_time", "10 minutes").dropDuplicatesWithinWatermark(["event_id"])


def gold():
    groups = silver().groupBy(F.window("event_time", "5 minutes"), "region", "plan_tier")
    sums = groups.agg(F.sum("amount").alias("revenue"), F.count("*").alias("event_count"))
    return sums.select("window.start", "window.end", "region", "plan_tier", "revenue", "event_count").withColumn(
        "window_date", F.to_date("start")
    )


tables = {
    "bronze": (source().withColumn("ingest_date", F.to_date("ingest_time")), "ingest_date"),
    "silver": (silver(), "event_date"),
    "gold": (gold(), "window_date"),
}
started = time.time()
queries = []
for name, (rows, partition) in tables.items():
    writer = rows.writeStream.format("parquet").outputMode("append").partitionBy(partition).queryName(name)
    writer = writer.option("path", f"{args.folder}/{name}").option("checkpointLocation", f"{args.folder}/checkpoint/{name}")
    if args.available_now:
        writer = writer.trigger(availableNow=True)
    queries.append(writer.start())
batches = {query.name: {} for query in queries}


def look():
    for query in queries:
        for progress in query.recentProgress:
            batches[query.name][progress["batchId"]] = [progress["numInputRows"], progress["batchDuration"]]


print("ready", flush=True)
if args.available_now:
    for query in queries:
        query.awaitTermination()
else:
    # spark-submit does not hand on standard input.
    while not Path(args.folder, "stop").exists():
        time.sleep(0.2)
look()
seconds = time.time() - started
for query in queries:
    query.stop()
print(json.dumps({"seconds": seconds, "batches": {name: list(b.values()) for name, b in batches.items()}}), flush=True)
