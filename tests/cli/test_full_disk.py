"""No room for what is written: nothing half-written is left, what was there stays."""
import os
import resource
import signal
import subprocess

from harness import check
from onnx_bytes import good, npy


def limit(size):
    """At most `size` bytes a file; the write says EFBIG instead of killing the process."""
    def set_limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return set_limit


HOW = ("build", "--onnx=m.onnx", "--saveEngine=m.engine", "--builderOptimizationLevel=0")


def case_limit_on_the_engine(t):
    t.put("m.onnx", good())
    for size in (0, 1, 100, 1000):
        t.fails("E_IO", 'dyno build: cannot write "m.engine": File too large', *HOW,
                preexec=limit(size))


def case_old_engine_stays(t):
    t.put("m.onnx", good())
    t.works(*HOW)
    before = {p.name: p.read_bytes() for p in t.folder.iterdir()}
    t.fails("E_IO", 'dyno build: cannot write "m.engine": File too large', *HOW, "--baseline",
            preexec=limit(1000))
    check({p.name: p.read_bytes() for p in t.folder.iterdir()} == before, "files changed")


def case_limit_on_the_cache(t):
    t.put("m.onnx", good())
    t.fails("E_IO", 'dyno build: cannot write "times": File too large', "build", "--onnx=m.onnx",
            "--saveEngine=m.engine", "--builderOptimizationLevel=1", "--timingCacheFile=times",
            preexec=limit(64))


def case_limit_on_an_output(t):
    t.put("m.onnx", good())
    t.works(*HOW)
    t.put("x.npy", npy([2, 3, 6, 6]))
    t.fails("E_IO", 'dyno run: cannot write "./out_y.npy": File too large', "run", "m.engine",
            "--input=x=x.npy", "--output=.", preexec=limit(100))


def case_full_file_system(t):
    """A real one, where we may mount it."""
    if os.geteuid() != 0:
        return
    full = t.path("full")
    os.mkdir(full)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", full],
                             stderr=subprocess.DEVNULL, check=False)
    if mounted.returncode != 0:
        return
    try:
        t.put("m.onnx", good())
        with open(os.path.join(full, "ballast"), "wb") as ballast:
            ballast.write(bytes(8000))
        t.fails("E_IO", 'dyno build: cannot write "full/m.engine": No space left on device '
                "(the disk or quota is full)", "build", "--onnx=m.onnx",
                "--saveEngine=full/m.engine", "--builderOptimizationLevel=0")
        check(os.listdir(full) == ["ballast"], os.listdir(full))
    finally:
        subprocess.run(["umount", full], check=False)
