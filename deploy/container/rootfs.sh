#!/usr/bin/env bash
# rootfs.sh OUT PROGRAM|LIBRARY...: a root file system that holds these programs and what they need.
#
# A word with a slash in it is a program, which goes to OUT/usr/bin without its symbols; any other is
# the name of a library that a program loads when it is used (libssl.so.3).  Every library comes along
# with those that it needs, under the name that the loader looks for.  Nothing else is there: no
# shell, no package manager.  Prints what is how large.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: rootfs.sh OUT PROGRAM|LIBRARY..." >&2; exit 64; }
out=$1
shift
[ ! -e "$out" ] || { echo "rootfs.sh: $out is there already" >&2; exit 73; }
mkdir -p "$out"/{usr/bin,etc,proc,dev,tmp,models,var/lib/dyno,var/cache/dyno}
chmod 1777 "$out/tmp"
chown 65532:65532 "$out/var/lib/dyno" "$out/var/cache/dyno" 2>/dev/null || true # only root can, and only an image needs it
echo "dyno:x:65532:65532:dyno-serve:/:/sbin/nologin" >"$out/etc/passwd"
echo "dyno:x:65532:" >"$out/etc/group"

library() { # soname -> where it lies here
  ldconfig -p | awk -v name="$1" '$1 == name && /x86-64|AArch64/ && !seen++ { print $NF }'
}

# ldd prints "name => /path (address)", and the loader and absolute ones as "/path (address)".
needs() {
  ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }'
}

files=()
for word in "$@"; do
  if [[ $word == */* ]]; then
    strip -o "$out/usr/bin/$(basename "$word")" "$word"
    mapfile -t -O "${#files[@]}" files < <(needs "$word")
  else
    path=$(library "$word")
    [ -n "$path" ] || { echo "rootfs.sh: there is no library $word here" >&2; exit 66; }
    files+=("$path")
    mapfile -t -O "${#files[@]}" files < <(needs "$path")
  fi
done
while read -r path; do
  mkdir -p "$out$(dirname "$path")"
  cp -L "$path" "$out$path"
done < <(printf '%s\n' "${files[@]}" | sort -u)

programs=$(du -cb "$out"/usr/bin/* | tail -n 1 | cut -f 1)
all=$(find "$out" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
awk -v p="$programs" -v a="$all" 'BEGIN {
  printf "programs %.1f MB, libraries %.1f MB, together %.1f MB\n", p / 1e6, (a - p) / 1e6, a / 1e6 }'
