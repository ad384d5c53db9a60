"""Kernels of NVIDIA's libraries or our own alone, decided by runs of the whole graph, on the emulated GPU.  What its cuBLASLt does
takes longer behind a program of ours (DYNO_EMULATE_LIBRARY_CHANGE), which no timing alone sees.

Without g++ there is no run-time compiler, and nothing to test: exit 77.
"""
import json

from harness import check
from onnx_bytes import attr_int, graph, model, node, small_values, tensor, value

SKIPPED = 77
FAST = {"DYNO_EMULATE_LIBRARY_NS": "3300"}  # our own products take 3560
SLOW = {**FAST, "DYNO_EMULATE_LIBRARY_CHANGE": "20000"}

def products():
    """Products that are fastest by the library where they are timed alone; between them is what no library does."""
    nodes = [
        node("MatMul", ["x", "m"], ["a"], name="first"), node("Softmax", ["a"], ["s"], [attr_int("axis", -1)], "softmax"),
        node("MatMul", ["s", "n"], ["c"], name="second"), node("Softmax", ["c"], ["u"], [attr_int("axis", -1)], "softmax2"),
        node("MatMul", ["u", "k"], ["y"], name="last"),
    ]
    constants = [tensor(name, [64, 64], [v / 7 for v in small_values(64 * 64)]) for name in ("m", "n", "k")]
    return model(graph(nodes, [value("x", [64, 64])], [value("y", [64, 64])], constants))

def build(t, name, *flags, env=FAST):
    """The report of an engine of m.onnx."""
    args = ("build", "--onnx=m.onnx", f"--saveEngine={name}.engine", "--device=cuda", "--builderOptimizationLevel=1",
            "--branches=off", *flags)
    got = t.dyno(*args, env={"DYNO_EMULATE_CLOCK": "200", **env})
    if "NVRTC" in got.stderr:
        print(got.stderr)
        raise SystemExit(SKIPPED)
    check(got.returncode == 0, args, got.stderr)
    return json.loads((t.folder / f"{name}.engine.json").read_bytes()), got.stdout

def same(t, a, b):
    return (t.folder / f"{a}.engine").read_bytes() == (t.folder / f"{b}.engine").read_bytes()

def library_steps(report):
    return sum("cublaslt" in step["kernel"] for step in report["steps"])


def case_libraries(t):
    """Where they save time in the graph, too, they stay; a build without them asks nothing, nor does one that times nothing."""
    t.put("m.onnx", products())
    report, said = build(t, "m", "--timingCacheFile=times")
    own = report["own_kernels"]
    check(not own["alone"] and own["libraries_save_us"] > 0 and library_steps(report) == 3, own, said)
    check("us less than our own alone" in said and "failure" not in own, said)
    again, _ = build(t, "again", "--timingCacheFile=times", env={**SLOW, "DYNO_EMULATE_FAIL": "1"})
    check(same(t, "again", "m") and again["own_kernels"] == own, "the same cache gives another engine", again["own_kernels"])
    for flag in ("--lean", "--builderOptimizationLevel=0", "--baseline"):
        report, _ = build(t, "other", flag)
        check("own_kernels" not in report, flag, report)
    t.works("compare", "m.onnx", "m.engine", "--rtol=1e-5")


def case_own(t):
    """What a library does is fastest alone, and slower in the graph: the engine has none of it, and needs none."""
    t.put("m.onnx", products())
    report, said = build(t, "m", "--timingCacheFile=times", env=SLOW)
    check(report["own_kernels"]["alone"] and library_steps(report) == 0, report["own_kernels"])
    check("kernels our own alone: the libraries' save nothing in the whole graph" in said, said)
    build(t, "lean", "--lean", "--timingCacheFile=times")
    check(same(t, "m", "lean"), "it is another than --lean builds")
    build(t, "again", "--timingCacheFile=times", env={**FAST, "DYNO_EMULATE_FAIL": "1"})
    check(same(t, "again", "m"), "the same cache gives another engine")
    t.works("compare", "m.onnx", "m.engine", "--rtol=1e-5", env={"DYNO_CUBLASLT": "none"})


def case_far(t):
    """What by the sum of its times has no hope is not built."""
    t.put("m.onnx", products())
    report, _ = build(t, "m", env={"DYNO_EMULATE_LIBRARY_NS": "500"})
    check("own_kernels" not in report and library_steps(report) == 3, report)


def case_gpu_breaks(t):
    """A GPU that breaks while our own alone are tried leaves the choice with the libraries."""
    t.put("m.onnx", products())
    build(t, "m", "--timingCacheFile=times")
    known = [line for line in (t.folder / "times").read_text().splitlines(True) if "retime_" not in line]
    seen = 0
    for nth in range(1, 100, 7):
        t.put("times", "".join(known).encode())
        report, said = build(t, "broken", "--timingCacheFile=times", env={**FAST, "DYNO_EMULATE_FAIL": str(nth)})
        check(same(t, "broken", "m"), nth, report["own_kernels"])
        if "failure" in report["own_kernels"]:
            check("our own alone were not tried" in said and "ILLEGAL_ADDRESS" in said, said)
            seen += 1
    check(seen >= 2, seen)
