#!/usr/bin/env bash
# bench/rate.sh [FOLDER]: how long one core takes to rate, check and close a month of one and of ten
# million records, and in how much memory; ledgers are made in FOLDER (default: build/bench-meter).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build
cmake --preset release >build/cmake-release.log
cmake --build --preset release --target dyno make_cert >build/build-release.log
folder=${1:-build/bench-meter}
mkdir -p "$folder"
gcc -std=c17 -D_GNU_SOURCE -O2 -Iinclude -Isrc -o "$folder/make_usage" bench/meter/make_usage.c \
  build/release/libdyno_meter.a build/release/libdyno_db.a build/release/libdyno_base.a -ldl -lm -lpthread
exec python3 bench/meter/bench_rate.py "$folder" build/release
