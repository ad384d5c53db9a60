#!/usr/bin/env bash
# setup.sh GROUP...: install what the groups of packages.txt need and is missing.
#
# Debian packages need root or sudo; PyPI packages go to build/venv-GROUP.  A second run looks at a
# stamp and does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

rows() { # group, kind -> names
  awk -v g="$1" -v k="$2" '$1 == g && $2 == k { print $3 }' packages.txt
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

missing=()
for group in "$@"; do
  for name in $(rows "$group" apt); do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
done
if [ "${#missing[@]}" -gt 0 ]; then
  echo "installing: ${missing[*]}" >&2
  as_root apt-get update -qq >&2
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
fi

for group in "$@"; do
  names=$(rows "$group" pip)
  [ -n "$names" ] || continue
  venv=build/venv-$group
  stamp=$venv/.installed
  if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$names" ]; then
    echo "installing into $venv: $(echo "$names" | tr '\n' ' ')" >&2
    mkdir -p build
    python3 -m venv "$venv"
    # shellcheck disable=SC2086
    "$venv/bin/pip" install -q --disable-pip-version-check $names >&2
    echo "$names" >"$stamp"
  fi
done
