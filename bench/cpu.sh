#!/usr/bin/env bash
# bench/cpu.sh [ARGS of bench/cpu/bench_cpu.py]: Dyno against ONNX Runtime and OpenVINO, this processor.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build bench demo
cmake --preset release >build/cmake-release.log
cmake --build --preset release --target dyno dyno_shared >build/build-release.log
mkdir -p build/models
cache=${DYNO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dyno}
scripts/fetch_models.sh "$cache"
for f in "$cache"/*.onnx; do ln -sf "$f" build/models/; done
exec build/venv-bench/bin/python bench/cpu/bench_cpu.py "$@"
