#!/usr/bin/env bash
# test.sh: build and run every test; the last line counts them.
#
#   ./test.sh            release build, all tests, checks of the tree (what CI runs)
#   ./test.sh asan       the same tests that make sense under AddressSanitizer and UBSan
#   ./test.sh tsan       those that use threads, under ThreadSanitizer
set -euo pipefail
cd "$(dirname "$0")"

preset=${1:-release}
scripts/setup.sh build test
DYNO_CACHE=${DYNO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dyno}
export DYNO_CACHE
mkdir -p build/models
if [ "$preset" = release ]; then
  scripts/setup.sh demo
  scripts/fetch_models.sh "$DYNO_CACHE"
  for f in "$DYNO_CACHE"/*.onnx "$DYNO_CACHE"/page.png; do ln -sf "$f" build/models/; done
  scripts/fetch_magika.sh build/models
fi
cmake --preset "$preset" >build/cmake-"$preset".log
cmake --build --preset "$preset" >build/build-"$preset".log 2>&1 || { tail -n 60 build/build-"$preset".log; exit 1; }

filter=()
[ "$preset" != tsan ] || filter=(-R '^unit/(base|engine|db|control|meter|quota|serve)/|^serve/(soak|meter/(each|killed|relaxed|heads|cold)|life/(reload|not_ready))')
code=0
ctest --test-dir build/"$preset" --output-on-failure -j "$(nproc)" "${filter[@]}" 2>&1 | tee build/ctest-"$preset".log || code=1

if [ "$preset" = release ]; then
  scripts/check_tree.sh || code=1
fi
passed=$(grep -cE '^ *[0-9]+/[0-9]+ Test +#.* Passed ' build/ctest-"$preset".log || true)
failed=$(grep -cE '^ *[0-9]+/[0-9]+ Test +#.*\*\*\*(Failed|Timeout|Exception|Not Run)' build/ctest-"$preset".log || true)
[ "$code" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1 # a check of the tree, not a test, failed
echo "$passed passed, $failed failed"
exit "$code"
