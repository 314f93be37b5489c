#!/usr/bin/env bash
# What a developer repeats all day, with dependencies as scripts/test.sh has them. Cargo gives a dependency the features that all asks for
# what is built together: plain `cargo test -p CRATE` would build DataFusion once more.
#
#   scripts/dev.sh fmt                        formats
#   scripts/dev.sh check                      types alone, of everything
#   scripts/dev.sh clippy                     what CI asks of the text
#   scripts/dev.sh test CRATE [ARG...]        the tests beside a crate's code, for example    test sinks publishing
#   scripts/dev.sh suite NAME [ARG...]        a file or folder of any tests/, for example      suite meaning -- --nocapture
#   scripts/dev.sh run [ARG...]               the binary, for example                          run plan sql/gold_revenue.sql
#   scripts/dev.sh bench NAME [ARG...]        in the release profile: decode, operators, writer, state; scripts/bench.sh has the pipeline's
#
# CRATE is a folder of crates/, where `sluicebox` is the library, or `bin` for the binary. ARGs go to `cargo test` or to the bench.
set -euo pipefail
cd "$(dirname "$0")/.."
usage() { sed -n '2,15s/^# \{0,1\}//p' scripts/dev.sh >&2; exit 2; }
[ $# -gt 0 ] || usage
command=$1
shift
features=(--features sluicebox/duckdb,sluicebox/faults)

# These two beside the crate: the first has the features, the second needs apache-avro in its tests, which asks for features of DataFusion's dependencies.
test_crate() {
  local crate=$1
  shift
  case $crate in
  bin) cargo test -p sluicebox -p sluicebox-samples "${features[@]}" --bin sluicebox "$@" ;;
  sluicebox) cargo test -p sluicebox -p sluicebox-samples -p sluicebox-library "${features[@]}" --lib "$@" ;;
  soak) cargo test -p sluicebox -p sluicebox-samples -p sluicebox-soak "${features[@]}" --bin sluicebox-soak "$@" ;;
  *)
    [ -d "crates/$crate" ] || { echo "dev.sh: there is no crates/$crate" >&2; exit 2; }
    cargo test -p sluicebox -p sluicebox-samples -p "sluicebox-$crate" "${features[@]}" --lib "$@"
    ;;
  esac
}

# The features of a release, which has neither DuckDB nor fault points.
bench() {
  local name=$1
  shift
  case $name in
  decode) cargo bench -p sluicebox-formats --bench decode -- "$@" ;;
  writer) cargo bench -p sluicebox-sinks --bench writer -- "$@" ;;
  operators) cargo bench -p sluicebox -p sluicebox-operators --bench operators -- "$@" ;;
  state) cargo bench -p sluicebox --bench state -- "$@" ;;
  *) usage ;;
  esac
}

case $command in
fmt | bench) ;;
*) eval "$(scripts/libduckdb.sh)" ;;
esac
case $command in
fmt) cargo fmt --all ;;
check) cargo check --workspace --all-targets "${features[@]}" ;;
clippy) cargo clippy --workspace --all-targets "${features[@]}" -- -D warnings ;;
test)
  [ $# -gt 0 ] || usage
  test_crate "$@"
  ;;
suite)
  [ $# -gt 0 ] || usage
  name=$1
  shift
  cargo test --workspace "${features[@]}" --test "$name" "$@"
  ;;
run)
  cargo test --workspace "${features[@]}" --no-run --quiet --test command_line
  exec "${CARGO_TARGET_DIR:-target}/debug/sluicebox" "$@"
  ;;
bench)
  [ $# -gt 0 ] || usage
  bench "$@"
  ;;
*) usage ;;
esac
