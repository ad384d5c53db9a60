#!/usr/bin/env bash
# demo.sh: from a fresh Debian 12 to a page read by tuned engines, here and over the network.
#
# Installs what is missing, builds Dyno, fetches trained models and a scanned page, builds engines,
# prints "unoptimised against optimised", reads the page, serves the engines and reads it again through
# Triton's clients, over HTTP and gRPC.  A second run does nothing twice.
set -euo pipefail
cd "$(dirname "$0")"

scripts/setup.sh build demo
[ -f build/release/build.ninja ] || cmake --preset release >build/cmake.log
cmake --build --preset release --target dyno dyno_shared dyno_serve_program >build/build.log || { tail -n 40 build/build.log; exit 1; }

cache=${DYNO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dyno}
mkdir -p "$cache"
scripts/fetch_models.sh "$cache"
exec build/venv-demo/bin/python demo/demo.py --dyno build/release/dyno --cache "$cache"
