#!/usr/bin/env bash
# Searches for inputs that stop Sluicebox, led by the coverage of its own crates: libFuzzer, on the stable toolchain.
#
#   scripts/fuzz.sh [--seconds N] [--keep] [TARGET...]
#
# N seconds for each target (60); without TARGET all of crates/fuzz. An input that panics, takes longer than 10 seconds or
# more than 2 GiB is written to the target's corpus as found-..., where every build tries it again, and the script fails.
# With --keep the inputs that reach new code are added to the corpora.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=60
keep=
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --keep) keep=1; shift ;;
    -*) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    *) break ;;
  esac
done
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cd crates/fuzz/corpus && ls -d -- *)

RUSTC_WORKSPACE_WRAPPER=$PWD/scripts/fuzz-rustc.sh \
  cargo build -p sluicebox-fuzz --features libfuzzer --bin fuzz --locked
fuzz=${CARGO_TARGET_DIR:-target}/debug/fuzz
work=$(mktemp -d "${TMPDIR:-/tmp}/sluicebox-fuzz.XXXXXX")
trap 'rm -rf "$work"' EXIT
failed=()
for target in "${targets[@]}"; do
  corpus=crates/fuzz/corpus/$target
  [ -d "$corpus" ] || { echo "there is no target '$target'" >&2; exit 2; }
  mkdir "$work/$target"
  printf '\n== %s, %s seconds\n' "$target" "$seconds"
  if ! SLUICEBOX_FUZZ_TARGET=$target "$fuzz" "$work/$target" "$corpus" -max_total_time="$seconds" -timeout=10 \
    -rss_limit_mb=2048 -artifact_prefix="$corpus/found-" -print_final_stats=1 >"$work/$target.log" 2>&1; then
    failed+=("$target")
    tail -n 40 "$work/$target.log"
  fi
  grep -E '^#[0-9]+.*(INITED|DONE)|stat::number_of_executed_units' "$work/$target.log" || true
  if [ -n "$keep" ]; then
    SLUICEBOX_FUZZ_TARGET=$target "$fuzz" -merge=1 "$corpus" "$work/$target" >"$work/$target.merge" 2>&1
    grep 'MERGE-OUTER: .* new files' "$work/$target.merge" || true
  fi
done
if [ ${#failed[@]} -gt 0 ]; then
  printf '\nfailed: %s; what failed is in crates/fuzz/corpus/ as found-..., and every build tries it\n' "${failed[*]}" >&2
  exit 1
fi
