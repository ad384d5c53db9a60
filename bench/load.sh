#!/usr/bin/env bash
# bench/load.sh [ARGS of bench/load/bench_load.py]: how long engines take to load, and the memory they hold.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build bench
cmake --preset release >build/cmake-release.log
cmake --build --preset release --target dyno dyno_shared >build/build-release.log
mkdir -p build/models
exec build/venv-bench/bin/python bench/load/bench_load.py "$@"
