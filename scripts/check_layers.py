#!/usr/bin/env python3
"""Fail when src/<module> includes a header of a module that layers.txt does not allow."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s+"([a-z0-9_]+)/')


def main() -> int:
    allowed = {}
    for line in (ROOT / "scripts/layers.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            module, _, rest = line.partition(":")
            allowed[module] = set(rest.split()) | {module, "dyno"}
    bad = 0
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix not in {".c", ".h", ".cu", ".def"}:
            continue
        module = path.relative_to(ROOT / "src").parts[0]
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = INCLUDE.match(line)
            if found and found.group(1) not in allowed[module]:
                print(f"{path.relative_to(ROOT)}:{number}: {module} may not include {found.group(1)}/")
                bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
