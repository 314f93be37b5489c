#!/usr/bin/env bash
# Runs the tests with a real Kafka broker, a real registry and clients of other makers.
#
#   scripts/test-real.sh BINARY [registry|embedded|contract|live|outage|kill]...      default: all of them
#
# BINARY is the built sluicebox. The servers are started and taken down again, unless the environment names some
# (KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL).
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BINARY=${1:?usage: scripts/test-real.sh BINARY [registry|embedded|contract|live|outage|kill]...}
[ -x "$BINARY" ] || { echo "test-real.sh: $BINARY is no program; build it first: cargo build" >&2; exit 2; }
shift
[ $# -gt 0 ] || set -- registry embedded contract live outage kill
PYTHON=$("$HERE/python-env.sh")
REAL=$HERE/../tests/real

if [ -z "${KAFKA_BOOTSTRAP_SERVERS:-}" ] || [ -z "${SCHEMA_REGISTRY_URL:-}" ]; then
  SLUICEBOX_SERVERS=$(mktemp -d "${TMPDIR:-/tmp}/sluicebox-test.XXXXXX")
  export SLUICEBOX_SERVERS
  trap '"$HERE/servers.sh" down' EXIT
  eval "$("$HERE/servers.sh" up)"
fi

passed=0 failed=0
for test in "$@"; do
  echo "==== $test"
  if "$PYTHON" "$REAL/${test}_test.py" --binary "$BINARY"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
