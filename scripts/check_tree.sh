#!/usr/bin/env bash
# check_tree.sh: the include rules, the format, and the linters.  Prints what is wrong.
set -uo pipefail
cd "$(dirname "$0")/.."
code=0
python3 scripts/check_layers.py || code=1
mapfile -t sources < <(git ls-files '*.c' '*.h')
clang-format-14 --dry-run --Werror "${sources[@]}" 2>build/format.log || {
  echo "not formatted (clang-format-14 -i FILE):"; grep -oE '^[^:]+' build/format.log | sort -u | head -n 20; code=1; }
cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,portability --inline-suppr -j "$(nproc)" \
  --suppress=missingIncludeSystem --suppress=preprocessorErrorDirective -Iinclude -Isrc -D_GNU_SOURCE -D__x86_64__ \
  src >build/cppcheck.log 2>&1 || { echo "cppcheck:"; head -n 20 build/cppcheck.log; code=1; }
[ -f build/release/compile_commands.json ] || cmake --preset release >build/cmake-release.log || code=1
scripts/check_tidy.py >build/tidy.log 2>&1 || { echo "clang-tidy:"; grep -E '(warning|error):' build/tidy.log || cat build/tidy.log; code=1; }
[ "$code" -eq 0 ] && echo "check_tree: includes, format and lint are clean"
exit "$code"
