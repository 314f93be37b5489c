#!/usr/bin/env bash
# Runs the tests with a real Kafka broker, a real registry and clients of other makers.
#
#   scripts/test-real.sh BINARY [readers|prompt|registry|embedded|contract|json|live|outage|ksink|hostile|soak]...      default: all of them
#
# `hostile` attacks for a minute; tests/real/hostile_test.py --seconds 3600 does for an hour. `soak` needs sluicebox-soak beside BINARY, where the tests' build puts it.
#
# BINARY is the built sluicebox. The servers are started and taken down again, unless the environment names some
# (KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL).
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BINARY=${1:?usage: scripts/test-real.sh BINARY [readers|prompt|registry|embedded|contract|json|live|outage|ksink|hostile|soak]...}
[ -x "$BINARY" ] || { echo "test-real.sh: $BINARY is no program; build it first: cargo build" >&2; exit 2; }
shift
[ $# -gt 0 ] || set -- readers prompt registry embedded contract json live outage ksink hostile soak
PYTHON=$("$HERE/python-env.sh")
REAL=$HERE/../tests/real

if [ -z "${KAFKA_BOOTSTRAP_SERVERS:-}" ] || [ -z "${SCHEMA_REGISTRY_URL:-}" ]; then
  SLUICEBOX_SERVERS=$(mktemp -d "${TMPDIR:-/tmp}/sluicebox-test.XXXXXX")
  export SLUICEBOX_SERVERS
  trap '"$HERE/servers.sh" down' EXIT
  eval "$("$HERE/servers.sh" up)"
fi

run_test() {
  case $1 in
  # Ten kills over 100,000 events, then tables that are compacted meanwhile; sluicebox-soak --help says how to have more.
  soak)
    soak --minutes 0.35 --events 100000 --kills 10 &&
      soak --minutes 0.6 --events 60000 --compact
    ;;
  # With Spark among the readers where there is Java for it.
  readers)
    local spark=()
    if command -v java >/dev/null; then spark=(--spark "$("$HERE/python-env.sh" "$HERE/spark-requirements.txt")"); fi
    "$PYTHON" "$REAL/readers_test.py" --binary "$BINARY" "${spark[@]}"
    ;;
  *) "$PYTHON" "$REAL/${1}_test.py" --binary "$BINARY" ;;
  esac
}

soak() { "$(dirname "$BINARY")/sluicebox-soak" soak --binary "$BINARY" "$@"; }

passed=0 failed=0
for test in "$@"; do
  echo "==== $test"
  if run_test "$test"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
