#!/usr/bin/env bash
# Measures the sales pipeline from real Kafka and from the embedded log, beside the ceilings of the same run.
#
#   scripts/bench.sh [OPTION]...          for example --events 200000 --latency-seconds 5; --help lists them
#
# Brings up Kafka and a registry (scripts/servers.sh) and takes them down again, unless the environment names some
# (KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL). Builds in the release profile; SLUICEBOX_BENCH_PROFILE=dev takes the
# one of the tests, which shows that the bench runs and not how fast anything is.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$HERE/.."
profile=${SLUICEBOX_BENCH_PROFILE:-release}
flags=()
if [ "$profile" = dev ]; then
  # As scripts/test.sh builds: with other features DataFusion would be built once more.
  eval "$(scripts/libduckdb.sh)"
  flags=(--workspace --features sluicebox/duckdb,sluicebox/faults)
fi
cargo build --profile "$profile" "${flags[@]}" --bench pipeline --bin sluicebox

if [ -z "${KAFKA_BOOTSTRAP_SERVERS:-}" ] || [ -z "${SCHEMA_REGISTRY_URL:-}" ]; then
  SLUICEBOX_SERVERS=$(mktemp -d "${TMPDIR:-/tmp}/sluicebox-bench-servers.XXXXXX")
  export SLUICEBOX_SERVERS
  trap '"$HERE/servers.sh" down' EXIT
  eval "$("$HERE/servers.sh" up)"
fi
cargo bench --profile "$profile" "${flags[@]}" --bench pipeline -- "$@"
