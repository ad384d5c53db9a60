#!/usr/bin/env python3
"""Fail when src/<module> includes a header of a module that layers.txt does not allow."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s+"([a-z0-9_/]+)/[^/"]+"')


def module_of(folder, allowed):
    """base, or serve/net where layers.txt has a line for the folder; a deeper folder belongs to it."""
    parts = folder.split("/")
    two = "/".join(parts[:2])
    return two if two in allowed else parts[0]


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
        module = module_of(str(path.parent.relative_to(ROOT / "src")), allowed)
        if module not in allowed:
            print(f"{path.relative_to(ROOT)}: scripts/layers.txt has no line for {module}")
            bad += 1
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = INCLUDE.match(line)
            to = module_of(found.group(1), allowed) if found else module
            if to not in allowed[module]:
                print(f"{path.relative_to(ROOT)}:{number}: {module} may not include {to}/")
                bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
