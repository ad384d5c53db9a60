"""The page of this folder names tests: they must exist."""
import re
import pathlib
import subprocess

from harness import check

HERE = pathlib.Path(__file__).resolve().parent


def case_names_are_tests(t):
    listed = subprocess.run(["ctest", "--test-dir", t.build, "-N"], capture_output=True, text=True, check=True).stdout
    known = {name.removeprefix("serve/") for name in re.findall(r"Test +#\d+: (\S+)", listed)}
    named = set(re.findall(r"`([a-z0-9_]+(?:/[a-z0-9_]+)+)`", (HERE / "README.md").read_text()))
    check(len(named) > 40, len(named))
    missing = sorted(named - known)
    check(not missing, f"no such tests: {missing}")
