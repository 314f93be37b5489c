#!/usr/bin/env bash
# Measures what a build costs: from nothing, in a folder of its own that is removed afterwards.
#
#   scripts/build-cost.sh [dev|release]... [-- CARGO-OPTION...]      default: both, as the README builds
#
#   scripts/build-cost.sh dev -- --features duckdb
#   scripts/build-cost.sh release -- --config 'profile.release.package.sqlparser.opt-level=3'
#
# Prints seconds by the clock and of processors, how many crates and units were built, the units that took longest by cargo's
# --timings, the size of the binary as it is, without line tables and without names, and what a build takes after a change of the
# binary's own crate. A unit's seconds are by the clock, while others were built beside it: compare units of one run alone. Crates are
# fetched before, so that no network counts. The machine should have nothing else to do. Needs Python 3 and 15 GB below ${TMPDIR:-/tmp}.
set -euo pipefail
cd "$(dirname "$0")/.."
profiles=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  case $1 in dev | release) profiles+=("$1") ;; *) echo "usage: scripts/build-cost.sh [dev|release]... [-- CARGO-OPTION...]" >&2; exit 2 ;; esac
  shift
done
if [ $# -gt 0 ]; then shift; fi
[ "${#profiles[@]}" -gt 0 ] || profiles=(dev release)

work=$(mktemp -d "${TMPDIR:-/tmp}/sluicebox-build-cost.XXXXXX")
trap 'rm -rf "$work"' EXIT
export CARGO_TARGET_DIR=$work/target CARGO_TERM_PROGRESS_WHEN=never
unset RUSTC_WRAPPER CARGO_BUILD_RUSTC_WRAPPER
cargo fetch --locked --quiet

# timed COMMAND...: its output if it fails; else `CLOCK PROCESSOR` in seconds, all that it started included.
timed() {
  local TIMEFORMAT='%R %U %S'
  if ! { time "$@" >"$work/log" 2>&1; } 2>"$work/time"; then
    cat "$work/log" >&2
    return 1
  fi
  awk '{ printf "%.0f %.0f\n", $1, $2 + $3 }' "$work/time"
}

# The units of cargo's page of timings.
units() {
  python3 - "$CARGO_TARGET_DIR/cargo-timings/cargo-timing.html" <<'PY'
import json
import re
import sys

with open(sys.argv[1], encoding="utf-8") as page:
    text = page.read()
found = re.search(r"UNIT_DATA\s*=\s*", text)
if not found:
    sys.exit("build-cost.sh: cargo's page of timings has no UNIT_DATA: its form has changed")
units, _ = json.JSONDecoder().raw_decode(text, found.end())
crates = {(u["name"], u["version"]) for u in units}
names = {}
for name, version in crates:
    names.setdefault(name, set()).add(version)
twins = sorted(name for name, versions in names.items() if len(versions) > 1)
print(f"  crates      {len(crates)}, in {len(units)} units; {len(twins)} of them in two versions or more: {', '.join(twins) or 'none'}")
print("  units that took longest, in seconds by the clock")
for u in sorted(units, key=lambda u: -u["duration"])[:10]:
    print(f"    {u['duration']:7.1f}  {u['name']} {u['version']}{u.get('target', '')}")
PY
}

# megabytes FILE
megabytes() { awk -v bytes="$(stat -c %s "$1")" 'BEGIN { printf "%.1f", bytes / 1e6 }'; }

sizes() {
  printf '  binary      %s MB' "$(megabytes "$1")"
  if command -v strip >/dev/null; then
    strip --strip-debug -o "$work/without-lines" "$1"
    strip --strip-all -o "$work/without-names" "$1"
    printf ', %s MB without line tables, %s MB without names' "$(megabytes "$work/without-lines")" "$(megabytes "$work/without-names")"
    rm "$work/without-lines" "$work/without-names"
  fi
  printf '\n'
}

printf '%s, %s processors\n' "$(rustc --version)" "$(nproc)"
for profile in "${profiles[@]}"; do
  rm -rf "$CARGO_TARGET_DIR"
  read -r clock processor < <(timed cargo build --locked --profile "$profile" --timings "$@") || exit 1
  folder=$profile
  [ "$profile" = release ] || folder=debug
  printf '%s\n  from nothing %s s by the clock, %s s of processors (%s min)\n' "$profile" "$clock" "$processor" "$((processor / 60))"
  units
  sizes "$CARGO_TARGET_DIR/$folder/sluicebox"
  touch src/main.rs
  read -r clock processor < <(timed cargo build --locked --profile "$profile" "$@") || exit 1
  printf '  again after a change of src/main.rs %s s by the clock, %s s of processors\n' "$clock" "$processor"
done
