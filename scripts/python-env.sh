#!/usr/bin/env bash
# Makes the Python environment of the tests with real servers and prints the path of its python.
#
#   PYTHON=$(scripts/python-env.sh [REQUIREMENTS])
#
# Made once for each content of REQUIREMENTS, scripts/python-requirements.txt if none is named, below ${SLUICEBOX_CACHE:-~/.cache/sluicebox}. Needs
# Python 3.10 or newer with venv (on Debian and Ubuntu the packages python3 and python3-venv). PYTHON3 names another.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${SLUICEBOX_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/sluicebox}
PYTHON3=${PYTHON3:-python3}
REQUIREMENTS=${1:-$HERE/python-requirements.txt}

say() { printf '%s\n' "$*" >&2; }
die() { say "python-env.sh: $*"; exit 1; }

command -v "$PYTHON3" >/dev/null || die "there is no $PYTHON3: install Python 3.10 or newer, or name one by PYTHON3"
"$PYTHON3" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || die "$("$PYTHON3" --version) is too old: 3.10 is needed"
version=$("$PYTHON3" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
env=$CACHE/python-$version-$(cksum <"$REQUIREMENTS" | cut -d' ' -f1)

# The mark is written last: an environment without it was interrupted and is made anew.
if [ ! -f "$env/whole" ]; then
  say "making the Python environment $env (once)"
  rm -rf "$env"
  mkdir -p "$CACHE"
  "$PYTHON3" -m venv "$env" >&2 || die "cannot make a virtual environment: install the package python3-venv"
  "$env/bin/python" -m pip install --quiet --disable-pip-version-check -r "$REQUIREMENTS" >&2 ||
    die "pip could not install what $REQUIREMENTS names; what it said is above"
  : >"$env/whole"
fi
printf '%s\n' "$env/bin/python"
