#!/usr/bin/env bash
# Sluicebox and Spark 4.1 side by side: the sales pipeline on the same topic of the same broker, 2 cores each, one after the
# other. Prints throughput, processor time, memory and latency of both, and the ratios.
#
#   scripts/bench-spark.sh [--events N] [--latency-seconds N] [--rate N]      2,000,000 events, 60 s, 2,000 a second
#
# Needs what scripts/servers.sh needs, Python 3.10 or newer, and 12 GiB of memory. Fetches Spark once (pyspark from PyPI, its
# jars for Kafka and Avro from Maven Central), below ${SLUICEBOX_CACHE:-~/.cache/sluicebox}. Not part of the tests.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${SLUICEBOX_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/sluicebox}
cd "$HERE/.."
POM=$HERE/spark/pom.xml
SPARK=$CACHE/spark-4.1.1-$(cksum <"$POM" | cut -d' ' -f1)
PYTHON3=${PYTHON3:-python3}

# The mark is written last: what was interrupted is fetched anew.
if [ ! -f "$SPARK/whole" ]; then
  echo "fetching Spark into $SPARK (once)" >&2
  rm -rf "$SPARK"
  mkdir -p "$SPARK"
  "$PYTHON3" -m venv "$SPARK/python"
  "$SPARK/python/bin/pip" --quiet install pyspark==4.1.1 pyarrow==26.0.1
  cp "$POM" "$SPARK/pom.xml"
  mvn -B -q -f "$SPARK/pom.xml" -Djars="$SPARK/jars" package >&2
  touch "$SPARK/whole"
fi
cargo build --release --bin sluicebox
binary=${CARGO_TARGET_DIR:-target}/release/sluicebox

if [ -z "${KAFKA_BOOTSTRAP_SERVERS:-}" ] || [ -z "${SCHEMA_REGISTRY_URL:-}" ]; then
  SLUICEBOX_SERVERS=$(mktemp -d "${TMPDIR:-/tmp}/sluicebox-bench-servers.XXXXXX")
  export SLUICEBOX_SERVERS
  trap '"$HERE/servers.sh" down' EXIT
  eval "$("$HERE/servers.sh" up)"
fi
export PYSPARK_PYTHON=$SPARK/python/bin/python SPARK_HOME=
SPARK_HOME=$("$PYSPARK_PYTHON" -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))')
"$PYSPARK_PYTHON" scripts/spark/compare.py --jars "$SPARK/jars" --submit "$SPARK_HOME/bin/spark-submit" \
  --binary "$(realpath "$binary")" --sql "$PWD/sql/gold_revenue.sql" --servers "$HERE/servers.sh" "$@"
