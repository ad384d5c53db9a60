"""dyno build --maxBatch: batches of any size up to a maximum, without naming inputs."""
import json

from harness import check
from onnx_bytes import good, graph, model, node, value

HOW = ("build", "--onnx=m.onnx", "--saveEngine=m.engine", "--builderOptimizationLevel=0")


def shapes(t, *flags):
    """Of each input: smallest, optimal, largest dimensions."""
    t.works(*HOW, *flags)
    engine = json.loads(t.works("inspect", "engine", "m.engine", "--json"))
    return {i["name"]: (i["min"], i["opt"], i["max"]) for i in engine["inputs"]}


def sum_of(*inputs):
    """Any number of inputs, which are added up."""
    nodes, at = [], inputs[0][0]
    for i, (name, _) in enumerate(inputs[1:]):
        nodes.append(node("Add", [at, name], [f"s{i}"]))
        at = f"s{i}"
    nodes.append(node("Relu", [at], ["y"]))
    return model(graph(nodes, [value(name, dims) for name, dims in inputs],
                       [value("y", inputs[0][1])]))


def case_bounds_and_optimum(t):
    t.put("m.onnx", good("n"))
    for largest, middle in ((2, 2), (4, 2), (8, 4), (12, 4), (64, 8), (1000, 32)):
        want = {"x": ([1, 3, 6, 6], [middle, 3, 6, 6], [largest, 3, 6, 6])}
        got = shapes(t, f"--maxBatch={largest}")
        check(got == want, largest, got)
    got = shapes(t, "--maxBatch=8", "--optBatch=7")
    check(got["x"] == ([1, 3, 6, 6], [7, 3, 6, 6], [8, 3, 6, 6]), got)
    got = shapes(t, "--maxBatch=1")
    check(got["x"] == ([1, 3, 6, 6],) * 3, got)


def case_several_inputs(t):
    """Those that share the batch, one with a batch of its own name, one without."""
    t.put("m.onnx", sum_of(("a", ["n", 4]), ("b", ["n", 4]), ("c", [1, 4])))
    got = shapes(t, "--maxBatch=16")
    check(got["a"] == got["b"] == ([1, 4], [4, 4], [16, 4]), got)
    check(got["c"] == ([1, 4],) * 3, got)


def case_other_open_sizes_stay(t):
    t.put("m.onnx", sum_of(("a", ["n", "m", 4]), ("b", ["n", "m", 4])))
    bounds = shapes(t)["a"]
    got = shapes(t, "--maxBatch=16")["a"]
    check([d[0] for d in got] == [1, 4, 16], got)
    check([d[1:] for d in got] == [d[1:] for d in bounds], got, bounds)


def case_shape_flags_win(t):
    t.put("m.onnx", sum_of(("a", ["n", 4]), ("b", ["n", 4]), ("c", ["k", 4])))
    named = ("--minShapes=a:2x4", "--optShapes=a:3x4", "--maxShapes=a:5x4")
    got = shapes(t, "--maxBatch=16", *named)
    check(got["a"] == got["b"] == ([2, 4], [3, 4], [5, 4]), got)
    check(got["c"] == ([1, 4], [4, 4], [16, 4]), got)


def case_refused(t):
    t.put("m.onnx", good(2))
    t.fails("E_ARG", "dyno build: no input of 'm.onnx' has an open first dimension, so it takes no "
            "batch up to 8", *HOW, "--maxBatch=8")
    t.fails("E_ARG", "dyno build: --optBatch=9 is more than --maxBatch=8", *HOW, "--maxBatch=8",
            "--optBatch=9")
    t.fails("E_ARG", "dyno build: --maxBatch=-1: wants a whole number *", *HOW, "--maxBatch=-1")
