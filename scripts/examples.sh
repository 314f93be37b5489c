#!/usr/bin/env bash
# Runs the programs of examples/, each to its end: they assert what they show. They are built by `cargo test`, so by this after it, with
# the same features, nothing is built once more.
set -euo pipefail
cd "$(dirname "$0")/.."
eval "$(scripts/libduckdb.sh)"
folder=${CARGO_TARGET_DIR:-target}/debug/examples
for source in examples/*.rs; do
  name=$(basename "$source" .rs)
  if [ ! -x "$folder/$name" ]; then
    echo "examples.sh: there is no $folder/$name: run scripts/test.sh rust, which builds it" >&2
    exit 1
  fi
  printf -- '-- %s\n' "$name"
  "$folder/$name"
done
