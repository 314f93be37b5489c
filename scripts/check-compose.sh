#!/usr/bin/env bash
# Checks docker-compose.yml and the Dockerfile without an engine: that they parse, that what they name is there.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "$("$HERE/python-env.sh")" "$HERE/check_compose.py" "$HERE/.."
