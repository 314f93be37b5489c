#!/usr/bin/env bash
# Fetches libduckdb (the shared library that npm's @duckdb/node-bindings carries) once, and prints the environment that
# building and running with `--features duckdb` needs:
#
#   eval "$(scripts/libduckdb.sh)"
#   cargo run --features duckdb -- query 'SHOW TABLES'
set -euo pipefail
version=1.5.6-r.1
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) package=@duckdb/node-bindings-linux-x64 ;;
  Linux-aarch64) package=@duckdb/node-bindings-linux-arm64 ;;
  *) echo "libduckdb.sh: no library known for $(uname -s) on $(uname -m); build without the feature duckdb" >&2; exit 1 ;;
esac
cache=${SLUICEBOX_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/sluicebox}/libduckdb-$version
if [ ! -e "$cache/libduckdb.so" ]; then
  command -v npm >/dev/null || { echo "libduckdb.sh: needs npm to fetch $package@$version" >&2; exit 1; }
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  (cd "$work" && npm pack --silent "$package@$version" >/dev/null && tar -xzf ./*.tgz)
  mkdir -p "$cache"
  cp "$work"/package/libduckdb.so "$cache/libduckdb.so.part"
  mv "$cache/libduckdb.so.part" "$cache/libduckdb.so"
fi
printf 'export DUCKDB_LIB_DIR=%q\n' "$cache"
printf 'export LD_LIBRARY_PATH=%q\n' "$cache${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
