#!/usr/bin/env bash
# Says at once what the tests need and this machine lacks, and the line that installs it.
#
#   scripts/needs.sh [rust|real|all]        as scripts/test.sh; default: all
#
# Ends with 1 when something is missing. Java is not asked for: servers.sh takes one from PyPI where none is new enough.
set -euo pipefail
what=${1:-all}
case $what in all | rust | real) ;; *) echo "usage: scripts/needs.sh [rust|real|all]" >&2; exit 2 ;; esac

OLDEST_RUST=1.95
PYTHON3=${PYTHON3:-python3}
CACHE=${SLUICEBOX_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/sluicebox}
missing=() packages=()

# need PROGRAM PACKAGES FOR-WHAT: notes the program and the Debian packages that bring it, if it is not there.
need() {
  if command -v "$1" >/dev/null; then return; fi
  missing+=("$1: $3")
  for package in $2; do packages+=("$package"); done
}

# at_least VERSION MINIMUM
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

need_rust() {
  local version
  if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
    missing+=("cargo and rustc $OLDEST_RUST or newer: everything; from https://rustup.rs, for no release of Debian or Ubuntu has them so new")
    return
  fi
  version=$(rustc --version | cut -d' ' -f2)
  at_least "$version" "$OLDEST_RUST" || missing+=("rustc $OLDEST_RUST or newer: everything; there is $version, and 'rustup update' brings a new one")
}

# Python with what makes environments: Debian and Ubuntu have it in a package of its own.
need_python() {
  local version missed=${#missing[@]}
  need "$PYTHON3" 'python3 python3-venv' "the clients of the tests with real servers"
  if [ "${#missing[@]}" -gt "$missed" ]; then return; fi
  if ! "$PYTHON3" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    # One that does not run says so itself.
    version=$("$PYTHON3" --version 2>&1 | head -n 1) || true
    missing+=("Python 3.10 or newer: the clients of the tests with real servers; $PYTHON3 says '$version', and PYTHON3 names another")
  elif ! "$PYTHON3" -c 'import venv, ensurepip' 2>/dev/null; then
    missing+=("venv of $PYTHON3: the clients of the tests with real servers")
    packages+=(python3-venv)
  fi
}

need_rust
need cc build-essential "libraries in C: librdkafka, OpenSSL, zstd, jemalloc"
need make build-essential "librdkafka, OpenSSL, jemalloc"
need perl perl "OpenSSL"
# What these two fetch stays there.
compgen -G "$CACHE/libduckdb-*/libduckdb.so" >/dev/null || need npm npm "DuckDB's library, which comes by npm"
if [ "$what" != real ]; then
  need prlimit util-linux "tests that give a run few files and threads"
  need setpriv util-linux "tests that become another user"
  [ "$(id -u)" -eq 0 ] || missing+=("root: tests that become another user, in tests/disks/limits.rs; a container's root will do")
fi
if [ "$what" != rust ]; then
  need_python
  compgen -G "$CACHE/servers-*/kafka" >/dev/null || need mvn maven "Kafka and the registry, which come by Maven"
fi
if [ "${#missing[@]}" -eq 0 ]; then exit 0; fi

{
  echo "The tests need what this machine lacks:"
  printf '  %s\n' "${missing[@]}"
  if [ "${#packages[@]}" -gt 0 ]; then
    echo "On Debian 12, Debian 13 and Ubuntu:"
    echo "  sudo apt-get install $(printf '%s\n' "${packages[@]}" | sort -u | tr '\n' ' ')"
  fi
} >&2
exit 1
