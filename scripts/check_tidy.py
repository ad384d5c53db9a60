#!/usr/bin/env python3
"""check_tidy.py [PATH]...: run clang-tidy 14 over every C file that the release build compiles, or over
those that are PATH or under it; fail on any finding.

One file and command a process: this version invents findings about va_list when it is given several.  A file
is looked at again only when something that can change the verdict has changed: it, what it
includes of the tree, its compile command, a .clang-tidy above it, clang-tidy itself.  The keys
of clean files are kept in the folder tidy of the cache (DYNO_CACHE), for all checkouts.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"
CACHE = os.environ.get("DYNO_CACHE") or os.environ.get("XDG_CACHE_HOME", "~/.cache") + "/dyno"
STAMPS = pathlib.Path(CACHE).expanduser() / "tidy"
DAYS_MAX = 30  # that a key is kept unused
TIDY = "clang-tidy-14"
INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.MULTILINE)


def included(path: pathlib.Path, folders: list, seen: dict) -> None:
    """Adds path and the files of the tree that it includes to seen: path -> bytes."""
    if path in seen:
        return
    seen[path] = path.read_bytes()
    for name in INCLUDE.findall(seen[path]):
        for folder in [path.parent, *folders]:
            found = pathlib.Path(os.path.normpath(folder / name.decode()))
            if found.is_file():
                included(found, folders, seen)
                break


def key_of(source: pathlib.Path, command: str, version: bytes) -> str:
    folders = [pathlib.Path(word[2:]) for word in shlex.split(command) if word.startswith("-I")]
    seen = {}
    included(source, folders, seen)
    for folder in source.parents:
        rules = folder / ".clang-tidy"
        if rules.is_file():
            seen[rules] = rules.read_bytes()
        if folder == ROOT:
            break
    digest = hashlib.sha256(version + command.replace(str(ROOT), "").encode())
    for path, content in sorted(seen.items()):
        digest.update(b"%s %d\n%s" % (bytes(path.relative_to(ROOT)), len(content), content))
    return digest.hexdigest()


def look(entry: dict, version: bytes, key: str) -> str:
    """What clang-tidy says about the file as this command compiles it (a file may have several); when
    nothing, "" and the key is kept."""
    source = pathlib.Path(entry["file"])
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "compile_commands.json").write_text(json.dumps([entry]))
        done = subprocess.run([TIDY, "-p", folder, "--quiet", source], cwd=ROOT, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode == 0:
        if key_of(source, entry["command"], version) == key:  # nobody edited it meanwhile
            (STAMPS / key).touch()
        return ""
    said = done.stdout.replace(f"{ROOT}/", "").strip()
    return said or f"{source}: {TIDY} stopped with {done.returncode}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=lambda text: pathlib.Path(text).resolve(), metavar="PATH")
    paths = parser.parse_args().paths or [ROOT]
    version = subprocess.run([TIDY, "--version"], stdout=subprocess.PIPE, check=True).stdout
    STAMPS.mkdir(parents=True, exist_ok=True)
    stale = []
    count = 0
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        source = pathlib.Path(entry["file"])
        if BUILD in source.parents or not any(path in (source, *source.parents) for path in paths):
            continue
        count += 1
        key = key_of(source, entry["command"], version)
        if (STAMPS / key).is_file():
            (STAMPS / key).touch()
        else:
            stale.append((entry, version, key))
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for said in pool.map(lambda row: look(*row), stale):
            if said:
                bad += 1
                print(said, flush=True)
    for stamp in STAMPS.iterdir():
        if stamp.stat().st_mtime < time.time() - DAYS_MAX * 86400:
            stamp.unlink(missing_ok=True)
    print(f"clang-tidy: {count} files, {len(stale)} looked at, {bad} with findings")
    return 1 if bad or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
