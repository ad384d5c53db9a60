#!/usr/bin/env bash
# tests/long.sh [KILLS [SECONDS [SERVERS]]]: what CI repeats in a short form, in its long one; about an hour with 2000 kills
# of one server (1). Several share the kills, at the same time: about four cores each.
#
#   1. a writer of a ledger is killed KILLS times while three threads append: what it acknowledged is there once
#   2. a server is killed KILLS times under load, and its fleet's PostgreSQL stopped for SECONDS (60) and started again:
#      ids that clients were told are in the node's ledger and in the fleet's, none is missing, none is there twice
#
# Prints what was counted; the last line is "good" or says what failed.
set -euo pipefail
cd "$(dirname "$0")/.."
kills=${1:-2000}
seconds=${2:-60}
servers=${3:-1}
scripts/setup.sh build test >/dev/null
cmake --preset release >build/cmake-release.log
cmake --build --preset release --target dyno dyno_serve_program fault_ledger_kill >build/build-release.log
python=build/venv-test/bin/python
$python -B tests/serve/harness.py --build build/release --make-engines >/dev/null

code=0
echo "== $kills kills of a writer"
build/release/tests/fault/fault_ledger_kill "$kills" || code=1
echo "== $kills kills of $servers servers under load, $seconds s without PostgreSQL"
$python -B tests/serve/long.py --build build/release --kills "$kills" --outage "$seconds" --servers "$servers" || code=1
[ "$code" -eq 0 ] && echo good || echo "failed: see above"
exit "$code"
