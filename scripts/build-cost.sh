#!/usr/bin/env bash
# Measures what a build costs: from nothing, in a folder of its own that is removed afterwards.
#
#   scripts/build-cost.sh [--commit COMMIT]... [dev|release]... [-- CARGO-OPTION...]      default: both, as the README builds
#
#   scripts/build-cost.sh dev -- --features duckdb
#   scripts/build-cost.sh release -- --config 'profile.release.package.sqlparser.opt-level=3'
#   scripts/build-cost.sh --commit main --commit HEAD dev      before and after
#
# Builds this folder as it is, or else each COMMIT, in their order, from a copy of what it has. Prints seconds by the clock and of processors, how
# many crates and units were built, the units that took longest by cargo's --timings, the size of the binary as it is, without line
# tables and without names, what a build takes after a change of the binary's own crate, and of several commits the share that each takes of
# the first. A unit's seconds are by the clock, while others were built beside it: compare units of one run alone. Crates are
# fetched before, so that no network counts. The machine should have nothing else to do. Needs Python 3 and 15 GB below ${TMPDIR:-/tmp}.
set -euo pipefail
cd "$(dirname "$0")/.."
usage() { echo "usage: scripts/build-cost.sh [--commit COMMIT]... [dev|release]... [-- CARGO-OPTION...]" >&2; exit 2; }
profiles=() commits=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  case $1 in
  dev | release) profiles+=("$1") ;;
  --commit)
    [ $# -gt 1 ] || usage
    commits+=("$(git rev-parse --verify --quiet --short "$2^{commit}")") || { echo "build-cost.sh: there is no commit $2" >&2; exit 2; }
    shift
    ;;
  *) usage ;;
  esac
  shift
done
if [ $# -gt 0 ]; then shift; fi
[ "${#profiles[@]}" -gt 0 ] || profiles=(dev release)

work=$(mktemp -d "${TMPDIR:-/tmp}/sluicebox-build-cost.XXXXXX")
trap 'rm -rf "$work"' EXIT
export CARGO_TARGET_DIR=$work/target CARGO_TERM_PROGRESS_WHEN=never
unset RUSTC_WRAPPER CARGO_BUILD_RUSTC_WRAPPER

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
    # Not the end: what was measured took long.
    print("build-cost.sh: cargo's page of timings has no UNIT_DATA: its form has changed", file=sys.stderr)
    sys.exit(0)
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

# measure PROFILE CARGO-OPTION...: builds what lies in the working directory, prints what it took, and adds a line to the results:
# profile, seconds of processors, bytes.
measure() {
  local profile=$1 folder=$1 clock processor took
  shift
  [ "$profile" = release ] || folder=debug
  rm -rf "$CARGO_TARGET_DIR"
  took=$(timed cargo build --locked --profile "$profile" --timings "$@")
  read -r clock processor <<<"$took"
  printf '%s\n  from nothing %s s by the clock, %s s of processors (%s min)\n' "$profile" "$clock" "$processor" "$((processor / 60))"
  units
  sizes "$CARGO_TARGET_DIR/$folder/sluicebox"
  printf '%s %s %s\n' "$profile" "$processor" "$(stat -c %s "$CARGO_TARGET_DIR/$folder/sluicebox")" >>"$work/results"
  touch src/main.rs
  took=$(timed cargo build --locked --profile "$profile" "$@")
  read -r clock processor <<<"$took"
  printf '  again after a change of src/main.rs %s s by the clock, %s s of processors\n' "$clock" "$processor"
}

# What each build takes of the first one of its profile.
shares() {
  awk '!($1 in processor) { processor[$1] = $2; bytes[$1] = $3; next }
    { printf "%s: %.2f of the processor time of the first, %.2f of its binary\n", $1, $2 / processor[$1], $3 / bytes[$1] }' "$work/results"
}

printf '%s, %s processors\n' "$(rustc --version)" "$(nproc)"
if [ "${#commits[@]}" -eq 0 ]; then
  cargo fetch --locked --quiet
  for profile in "${profiles[@]}"; do measure "$profile" "$@"; done
  exit
fi
repository=$PWD
for commit in "${commits[@]}"; do
  rm -rf "$work/tree"
  mkdir "$work/tree"
  git -C "$repository" archive "$commit" | tar -x -C "$work/tree"
  cd "$work/tree"
  cargo fetch --locked --quiet
  printf '\n%s\n' "$(git -C "$repository" log -1 --format='%h %s' "$commit")"
  for profile in "${profiles[@]}"; do measure "$profile" "$@"; done
done
printf '\n'
shares
