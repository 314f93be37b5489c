#!/bin/sh
# What scripts/fuzz.sh compiles the workspace's own crates with: rustc and the coverage that libFuzzer is led by. The flags are
# stable ones; dependencies are compiled without them, so that they need not be built again.
rustc=$1
shift
exec "$rustc" "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares
