#!/usr/bin/env bash
# bench/serve.sh [ARGS of bench/serve/bench_serve.py]: the server against bare echo servers, against
# runs in-process, and what connections cost, on this processor.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build bench perf # perf: a client of Triton's from before it moved to a newer libc
cmake --preset release >build/cmake-release.log
cmake --build --preset release --target dyno dyno_serve_program dyno_shared >build/build-release.log
mkdir -p build/models build/bench-serve
gcc -O2 -o build/bench-serve/echo_h1 bench/serve/echo_h1.c -lhttp_parser -lpthread
gcc -O2 -o build/bench-serve/echo_h2 bench/serve/echo_h2.c -lnghttp2 -lpthread
exec build/venv-bench/bin/python bench/serve/bench_serve.py "$@"
