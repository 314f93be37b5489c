#!/usr/bin/env bash
# Runs the README's run command as a newcomer would, in a copy of the files that are committed: gold rows within a
# minute, Ctrl-C ends it cleanly, run again it goes on where it was.
#
#   scripts/check-run.sh 'cargo run -- run sql/gold_revenue.sql'
set -euo pipefail
cd "$(dirname "$0")/.."
command=$1
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
work=$(mktemp -d)
run_pid=
cleanup() {
  if [ -n "$run_pid" ]; then kill -KILL -- "-$run_pid" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap cleanup EXIT
git archive HEAD | tar -x -C "$work"
cd "$work"
cargo build --locked --quiet
unset KAFKA_BOOTSTRAP_SERVERS SCHEMA_REGISTRY_URL

gold_files() { find data/gold -name '*.parquet' -not -path '*/_*' 2>/dev/null | wc -l; }

# start LOG: the command in a process group of its own, so that Ctrl-C reaches it as a terminal's does.
start() {
  set -m
  bash -c "exec $command" >"$1" 2>&1 &
  run_pid=$!
  set +m
}

stop() {
  kill -INT -- "-$run_pid"
  local code=0
  wait "$run_pid" || code=$?
  run_pid=
  if [ "$code" -ne 0 ]; then
    echo "the run ended with exit code $code after Ctrl-C" >&2
    cat "$1" >&2
    return 1
  fi
}

# wait_for_more COUNT SECONDS LOG: until there are more gold files than COUNT.
wait_for_more() {
  local deadline=$((SECONDS + $2))
  until [ "$(gold_files)" -gt "$1" ]; do
    if ! kill -0 "$run_pid" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
      echo "no gold rows within $2 seconds" >&2
      cat "$3" >&2
      return 1
    fi
    sleep 0.2
  done
}

started=$SECONDS
start first.log
wait_for_more 0 60 first.log
echo "first gold rows after $((SECONDS - started)) s"
stop first.log
"$CARGO_TARGET_DIR/debug/sluicebox" checkpoint verify checkpoints/revenue_5m
"$CARGO_TARGET_DIR/debug/sluicebox" query 'SELECT count(*) AS windows, sum(event_count) AS events FROM gold.revenue_5m'

start second.log
deadline=$((SECONDS + 60))
until grep -q 'goes on at batch' second.log; do
  if ! kill -0 "$run_pid" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
    echo "the second run did not go on" >&2
    cat second.log >&2
    exit 1
  fi
  sleep 0.2
done
stop second.log
"$CARGO_TARGET_DIR/debug/sluicebox" checkpoint verify checkpoints/revenue_5m
echo "stopped and resumed"
