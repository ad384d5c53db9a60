"""Runs the cases of one test_*.py: each in a folder of its own, with expectations on exit code,
standard error and the files that are left.

    python3 harness.py --dyno PATH test_help.py [CASE ...]
"""
import argparse
import fnmatch
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import traceback

HERE = pathlib.Path(__file__).resolve().parent
STATUS_H = HERE.parent.parent / "include" / "dyno" / "status.h"


def exit_codes():
    """The documented table: name -> exit code, from the header itself."""
    rows = re.findall(r"X\((\w+), \d+, (\d+),", STATUS_H.read_text())
    return {name: int(code) for name, code in rows}


EXIT = exit_codes()


class Failure(Exception):
    pass


def check(condition, *what):
    if not condition:
        raise Failure(" ".join(str(w) for w in what))


class Tester:
    """What a case works with: a folder, and dyno."""

    def __init__(self, dyno, folder):
        self.program = dyno
        self.folder = pathlib.Path(folder)

    def path(self, name):
        return str(self.folder / name)

    def put(self, name, data):
        (self.folder / name).write_bytes(data)
        return self.path(name)

    def files(self):
        return {str(p.relative_to(self.folder)): p.stat().st_size
                for p in self.folder.rglob("*") if p.is_file()}

    def dyno(self, *args, env=None, preexec=None, stdout=subprocess.PIPE):
        whole = {**os.environ, **(env or {})}
        return subprocess.run([self.program, *args], env=whole, preexec_fn=preexec, cwd=self.folder,
                              stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                              text=True, timeout=600, check=False)

    def tool(self, name, *args, stdin=""):
        """A program of the tests, beside dyno; returns standard output."""
        got = subprocess.run([pathlib.Path(self.program).with_name(name), *map(str, args)], cwd=self.folder,
                             input=stdin, capture_output=True, text=True, timeout=600, check=False)
        check(got.returncode == 0, name, got.stderr)
        return got.stdout

    def works(self, *args, **how):
        """Exit 0, nothing on standard error; returns standard output."""
        got = self.dyno(*args, **how)
        check(got.returncode == 0, "exit", got.returncode, args, got.stderr)
        check(got.stderr == "", "standard error of", args, "has", repr(got.stderr))
        return got.stdout

    def fails(self, status, says, *args, **how):
        """The documented exit code, one sentence like `says` (with * in it), no file touched."""
        before = self.files()
        got = self.dyno(*args, **how)
        check(got.returncode == EXIT[status], "exit", got.returncode, "wants", EXIT[status], args,
              repr(got.stderr))
        check(got.stderr.endswith("\n") and got.stderr.count("\n") == 1, "not one line:",
              repr(got.stderr))
        line = got.stderr[:-1]
        check(fnmatch.fnmatchcase(line, says.replace("[", "[[]")), "says", repr(line), "wants",
              repr(says))
        check(not line.endswith("."), "a final dot:", repr(line))
        check(self.files() == before, "files changed:", before, "->", self.files())
        return line


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name[5:]: item for name, item in vars(module).items() if name.startswith("case_")}


def run_case(name, case, dyno):
    folder = tempfile.mkdtemp(prefix="dyno-cli-")
    try:
        case(Tester(dyno, folder))
        return True
    except Failure as failure:
        print(f"{name}: {failure}", file=sys.stderr)
    except Exception:  # a case that breaks has failed; the others still run
        print(f"{name}: {traceback.format_exc()}", file=sys.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dyno", required=True)
    parser.add_argument("file")
    parser.add_argument("cases", nargs="*")
    args = parser.parse_args()
    sys.path.insert(0, str(HERE))
    sys.modules["harness"] = sys.modules["__main__"]
    cases = load(HERE / args.file)
    wanted = args.cases or list(cases)
    failed = [n for n in wanted if not run_case(n, cases[n], os.path.abspath(args.dyno))]
    print(f"{len(wanted)} cases, {len(failed)} failed")
    return 1 if failed or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())
