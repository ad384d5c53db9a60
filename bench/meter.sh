#!/usr/bin/env bash
# bench/meter.sh [FOLDER]: records a second into the ledger, what they take, how long verifying takes;
# on the disk that FOLDER (default: build/bench-meter) lies on; and the same of a fleet's in PostgreSQL,
# whose user must be able to reach FOLDER.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build bench
cmake --preset release >build/cmake-release.log
cmake --build --preset release --target dyno_meter dyno >build/build-release.log
folder=${1:-build/bench-meter}
mkdir -p "$folder"
gcc -std=c17 -D_GNU_SOURCE -O2 -Iinclude -Isrc -o "$folder/bench_ledger" bench/meter/bench_ledger.c \
  build/release/libdyno_meter.a build/release/libdyno_db.a build/release/libdyno_base.a -ldl -lm -lpthread
for group in 1 16 256 1024; do
  "$folder/bench_ledger" "$folder/ledger" $((group == 1 ? 20000 : 1000000)) "$group" 8
done
"$folder/bench_ledger" "$folder/ledger" 1000000 256 8 free
"$folder/bench_ledger" "$folder/ledger" 10000000 256 8
for group in 1 16 256 1024; do
  python3 -B bench/meter/bench_fleet.py build/release/dyno "$folder/bench_ledger" "$folder" \
    $((group == 1 ? 20000 : 1000000)) "$group"
done
