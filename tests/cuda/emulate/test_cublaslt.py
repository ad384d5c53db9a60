"""Engines with products of cuBLASLt, which the emulated library computes (cublaslt.c).

Without g++ there is no run-time compiler, and nothing to test: exit 77.
"""
import json
import re

from harness import check
from onnx_bytes import attr_ints, attr_string, graph, model, node, small_values, tensor, value

SKIPPED = 77
SHAPES = ("--minShapes=x:1x8x16", "--optShapes=x:4x8x16", "--maxShapes=x:9x8x16")


def products():
    """With a bias and Relu, with a tensor that is added, of two tensors; the batch is open."""
    nodes = [
        node("MatMul", ["x", "w"], ["a"], name="first"),
        node("Add", ["a", "b"], ["s"], name="bias"),
        node("Relu", ["s"], ["r"], name="relu"),
        node("MatMul", ["r", "v"], ["c"], name="second"),
        node("Add", ["c", "x"], ["o"], name="sum"),
        node("Transpose", ["o"], ["t"], [attr_ints("perm", [0, 2, 1])], "turn"),
        node("MatMul", ["o", "t"], ["y"], name="pair"),
    ]
    values = [v / 3 for v in small_values(512)]
    constants = [tensor("w", [16, 32], values), tensor("b", [32], values[:32]), tensor("v", [32, 16], values)]
    return model(graph(nodes, [value("x", ["n", 8, 16])], [value("y", ["n", 8, 8])], constants))


def one_product(m, n, k):
    """Of numbers that no format holds."""
    weights = tensor("w", [k, n], [v / 3 for v in small_values(k * n)])
    return model(graph([node("MatMul", ["x", "w"], ["y"], name="product")], [value("x", [m, k])],
                       [value("y", [m, n])], [weights]))


def build(t, name, *flags, onnx=None, level=0, env=None):
    """The engine's path and what was said; from estimates, unless a level says otherwise."""
    path = t.put(f"{name}.onnx", onnx or products())
    args = ("build", f"--onnx={path}", f"--saveEngine={name}.engine", "--device=cuda", "--verbose",
            f"--builderOptimizationLevel={level}", *flags)
    got = t.dyno(*args, env=env)
    if "NVRTC" in got.stderr:
        print(got.stderr)
        raise SystemExit(SKIPPED)
    check(got.returncode == 0 and got.stderr == "", args, got.stderr)
    return t.path(f"{name}.engine"), got.stdout


def count(said):
    return said.count("matmul_cublaslt_cuda")


def compare(t, name, *batches, tolerance="0.02", env=None):
    for batch in batches:
        t.works("compare", t.path(f"{name}.onnx"), t.path(f"{name}.engine"), f"--shapes=x:{batch}x8x16",
                f"--rtol={tolerance}", env=env)


def case_types(t):
    """In each type, at the shapes of the profile, once step by step and then as a graph."""
    for name, flags, tolerance in (("f32", (), "1e-5"), ("f16", ("--fp16",), "0.02"), ("bf16", ("--bf16",), "0.06")):
        engine, said = build(t, name, *SHAPES, *flags)
        check(count(said) == 3, said)
        check("library cuBLASLt 13.1.0" in said, said)
        compare(t, name, 1, 4, 9, tolerance=tolerance)
        t.works("bench", f"--loadEngine={engine}", "--duration=0", "--warmUp=0", "--iterations=3")


def case_tails(t):
    """The tanh form of GELU is a function of the library's; the exact one is a pass of ours behind the product."""
    for form, flags, tolerance in (("none", (), "1e-5"), ("tanh", (), "1e-5"), ("none", ("--fp16",), "0.02")):
        nodes = [node("MatMul", ["x", "w"], ["a"], name="product"), node("Add", ["a", "b"], ["s"], name="bias"),
                 node("Gelu", ["s"], ["g"], [attr_string("approximate", form)], "gelu"),
                 node("MatMul", ["g", "v"], ["y"], name="second")]
        constants = [tensor("w", [4096, 32], [v / 64 for v in small_values(131072)]), tensor("b", [32], small_values(32)),
                     tensor("v", [32, 8], small_values(256))]
        onnx = model(graph(nodes, [value("x", ["n", 4096])], [value("y", ["n", 8])], constants), opset=20)
        engine, said = build(t, "m", "--minShapes=x:1x4096", "--optShapes=x:4x4096", "--maxShapes=x:9x4096", *flags, onnx=onnx)
        check(count(said) == 2 and f", {1 if form == 'none' else 0} programs;" in said, said)
        for rows in (1, 4, 9):
            t.works("compare", t.path("m.onnx"), engine, f"--shapes=x:{rows}x4096", f"--rtol={tolerance}")
        t.works("bench", f"--loadEngine={engine}", "--duration=0", "--warmUp=0", "--iterations=3")


def case_tuned(t):
    """Algorithms are timed like any candidate, and timings are of one version of the library."""
    def make(name, version="130100"):
        return build(t, name, f"--timingCacheFile={t.path('cache')}", onnx=one_product(8, 32, 16), level=1,
                     env={"DYNO_EMULATE_CUBLASLT_VERSION": version})[1]
    for name in ("a", "b"):
        make(name)
    check((t.folder / "a.engine").read_bytes() == (t.folder / "b.engine").read_bytes(), "they differ")
    t.works("compare", t.path("a.onnx"), t.path("a.engine"), "--rtol=1e-5")
    timed = [int(re.search(r"(\d+) timed", said).group(1)) for said in (make("c"), make("d", "130200"))]
    check(timed[0] == 0 and timed[1] > 5, timed)


def case_tf32(t):
    """Only when it is asked for: then results have its ten bits, and the engine says that it was allowed."""
    worst = {}
    for name, flags, allowed in (("f32", ("--noTF32",), "f32"), ("tf32", ("--tf32",), "f32, tf32")):
        engine, said = build(t, name, *flags, onnx=one_product(256, 512, 512))
        check(f"  allowed {allowed}\n" in said and count(said) == 1, said)
        check(f"  allowed {allowed}\n" in t.works("inspect", "engine", engine), engine)
        told = json.loads(t.works("inspect", "engine", engine, "--json"))
        check(told["precisions"] == allowed.split(", "), told["precisions"])
        said = t.works("compare", t.path(f"{name}.onnx"), engine, "--rtol=0.01")
        worst[name] = float(re.search(r"= (\S+)$", said.strip()).group(1))
    check(worst["f32"] < 1e-6 < 1e-5 < worst["tf32"] < 1e-2, worst)


def case_lean(t):
    """Without them an engine runs where there is no library."""
    _, said = build(t, "m", *SHAPES, "--lean")
    check(count(said) == 0 and "library" not in said, said)
    compare(t, "m", 4, env={"DYNO_CUBLASLT": t.path("none")})


def case_another_version(t):
    """An engine runs with the version that it was built with."""
    engine, _ = build(t, "m", *SHAPES)
    t.fails("E_TARGET", "dyno run: *step 'first': the engine needs cuBLASLt 13.1.0, with which it was built, and 13.2.0 "
            "is here: give it that one (DYNO_CUBLASLT names a file), or build it here", "run", engine,
            env={"DYNO_EMULATE_CUBLASLT_VERSION": "130200"})
    t.fails("E_TARGET", "dyno run: *the engine needs cuBLASLt 13.1.0, *: this machine has no cuBLASLt: DYNO_CUBLASLT "
            "names '*none', which does not load: *", "run", engine, env={"DYNO_CUBLASLT": t.path("none")})
    t.fails("E_TARGET", "dyno run: *this machine has no cuBLASLt: it is version 110000, and 120000 is needed", "run",
            engine, env={"DYNO_EMULATE_CUBLASLT_VERSION": "110000"})
    t.works("run", engine)


def case_other_shapes(t):
    """Where an algorithm does not do a shape of the profile, the library's own choice stands in."""
    build(t, "m", *SHAPES)
    compare(t, "m", 1, 4, 9, tolerance="1e-5", env={"DYNO_EMULATE_CUBLASLT_REFUSE": "40"})


def case_failing_calls(t):
    """Each call of a run fails once: one sentence, or another way to go on; and at last none is left."""
    engine, _ = build(t, "m", *SHAPES)
    failures = 0
    for nth in range(1, 100):
        got = t.dyno("run", engine, env={"DYNO_EMULATE_CUBLASLT_FAIL": str(nth)})
        if got.returncode == 0:
            continue
        check(got.stderr.count("\n") == 1 and got.stderr.startswith("dyno run: "), nth, got.stderr)
        check("cuBLASLt" in got.stderr, nth, got.stderr)
        failures += 1
    check(failures > 30, failures)


def case_failing_build(t):
    """A library that fails is no reason not to build."""
    for nth in (1, 2, 5, 9, 14, 30):
        build(t, f"m{nth}", *SHAPES, env={"DYNO_EMULATE_CUBLASLT_FAIL": str(nth)})
        compare(t, f"m{nth}", 4, tolerance="1e-5")


def case_baseline(t):
    """The unoptimised execution takes the library's own choice for each product."""
    _, said = build(t, "m", *SHAPES, "--baseline")
    check(count(said) == 3, said)
    compare(t, "m", 1, 4, 9, tolerance="1e-5")
