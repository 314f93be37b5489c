#!/usr/bin/env bash
# All tests: those of the crates, those of the binary, and the binary against a real Kafka and a real registry, with
# events by an independent producer and an oracle that shares no code with it. Fetches what it needs: crates by cargo,
# Kafka and the registry by Maven, DuckDB's library by npm, Python
# packages by pip.
#
#   scripts/test.sh            everything
#   scripts/test.sh rust       only the tests that cargo runs
#   scripts/test.sh real       only those against real servers
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-all}
case $what in all | rust | real) ;; *) echo "usage: scripts/test.sh [rust|real]" >&2; exit 2 ;; esac

# `query` by DuckDB, so that what the binary wrote is read by another engine than the one that wrote it.
eval "$(scripts/libduckdb.sh)"
if [ "$what" != real ]; then
  cargo test --workspace --features sluicebox/duckdb --locked
fi
if [ "$what" != rust ]; then
  cargo build --locked --bin sluicebox --features duckdb
  scripts/test-real.sh "${CARGO_TARGET_DIR:-target}/debug/sluicebox"
fi
