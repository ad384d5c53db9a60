"""Whole models through dyno on the emulated GPU: built, run, compared with the CPU; and a GPU that fails.

Without g++ there is no run-time compiler, and nothing to test: exit 77.
"""
import json
import os
import pathlib
import struct

from harness import check
from onnx_bytes import I64, attr_int, attr_ints, good, graph, model, node, npy, small_values, tensor, value

SKIPPED = 77
ILLEGAL = "CUDA_ERROR_ILLEGAL_ADDRESS (700: an illegal memory access was encountered)"


def build(t, name, onnx, *flags):
    """The engine's path; from estimates, as times would be those of the emulation."""
    path = t.put(f"{name}.onnx", onnx)
    args = ("build", f"--onnx={path}", f"--saveEngine={name}.engine", "--device=cuda",
            "--builderOptimizationLevel=0", *flags)
    got = t.dyno(*args)
    if "NVRTC" in got.stderr:
        print(got.stderr)
        raise SystemExit(SKIPPED)
    check(got.returncode == 0 and got.stderr == "", args, got.stderr)
    return t.path(f"{name}.engine"), got.stdout


def run(t, engine, where, *flags, **how):
    """Outputs of an engine on small_values, by the name of their file."""
    (t.folder / where).mkdir()
    x = t.put("x.npy", npy([2, 3, 6, 6], data=struct.pack("<216f", *small_values(216))))
    t.works("run", engine, f"--input=x={x}", f"--output={where}", *flags, **how)
    return (t.folder / where / "out_y.npy").read_bytes()


def floats(data):
    start = 10 + struct.unpack("<H", data[8:10])[0]
    return struct.unpack(f"<{(len(data) - start) // 4}f", data[start:])


def case_types(t):
    """f32, f16 and bf16 give what the CPU gives, within what their bits can say."""
    want = floats(run(t, t.put("cpu.onnx", good()), "cpu"))
    check(len(want) == 10 and max(map(abs, want)) > 0.3, want)
    for name, flags, tol in (("f32", (), 1e-6), ("f16", ("--fp16",), 2e-3), ("bf16", ("--bf16",), 2e-2)):
        engine, _ = build(t, name, good(), *flags)
        got = floats(run(t, engine, f"out-{name}"))
        check(all(abs(a - b) <= tol for a, b in zip(got, want, strict=True)), name, got, want)
        t.works("compare", t.path("cpu.onnx"), engine, "--rtol=0.02", "--layers")


def case_few_channels(t):
    """An output of a block of channels or less goes back into rows."""
    for channels in (1, 3, 4, 5, 8, 9):
        conv = node("Conv", ["x", "w"], ["y"], [attr_ints("pads", [1, 1, 1, 1])], "conv")
        onnx = model(graph([conv], [value("x", [2, 16, 9, 7])], [value("y", [2, channels, 9, 7])],
                           [tensor("w", [channels, 16, 3, 3], small_values(channels * 144))]))
        for name, flags in (("f32", ()), ("f16", ("--fp16",)), ("bf16", ("--bf16",))):
            engine, _ = build(t, f"{name}-{channels}", onnx, *flags)
            t.works("compare", t.path(f"{name}-{channels}.onnx"), engine, f"--rtol={1e-6 if name == 'f32' else 1e-2}")


def case_baseline_without_libraries(t):
    """A slower execution by our own kernels would be another unoptimised one: one sentence."""
    path = t.put("m.onnx", good())
    build(t, "probe", good())
    for command in (("build", f"--onnx={path}", "--saveEngine=b.engine"), ("bench", f"--onnx={path}", "--duration=0")):
        t.fails("E_UNSUPPORTED", f"dyno {command[0]}: *the unoptimised execution on a GPU takes Conv by cuDNN, as frameworks "
                "do, which is not here: *", *command, "--device=cuda", "--baseline")
    t.fails("E_UNSUPPORTED", "dyno build: *the unoptimised execution on a GPU takes Conv by cuDNN, as frameworks do, which "
            "this build leaves out*", "build", f"--onnx={path}", "--saveEngine=b.engine", "--device=cuda", "--baseline", "--lean")
    check(not (t.folder / "b.engine").exists())


def case_bench_without_transfers(t):
    """dyno bench says whether inputs and outputs were copied, and which GPU it was."""
    engine, _ = build(t, "m", good())
    short = ("--duration=0", "--warmUp=0", "--iterations=3", "--json")
    for flags, copies in (((), True), (("--noDataTransfers",), False)):
        got = json.loads(t.works("bench", f"--loadEngine={engine}", *short, *flags))
        check(got["data_transfers"] is copies and got["runs"] == 3, got)
        check(got["gpu"] == "Emulated GPU" and got["gpu_ms"]["median"] > 0 and got["launches"] > 0, got)
    text = t.works("bench", f"--loadEngine={engine}", *short[:3], "--noDataTransfers", "--streams=2")
    check("Latency (without data transfers): min" in text, text)


def case_segments(t):
    """A step that no GPU kernel does, between two that are done there."""
    nodes = [
        node("Conv", ["x", "w"], ["c"], [attr_ints("pads", [1, 1, 1, 1])], "first"),
        node("CumSum", ["c", "axis"], ["d"], name="sums"),
        node("Relu", ["d"], ["r"], name="relu"),
        node("GlobalAveragePool", ["r"], ["p"], name="mean"),
        node("Flatten", ["p"], ["out/y"], name="flat"),
    ]
    constants = [tensor("w", [8, 3, 3, 3], small_values(216)), tensor("axis", [], [2], I64)]
    onnx = model(graph(nodes, [value("x", [2, 3, 6, 6])], [value("out/y", [2, 8])], constants))
    engine, said = build(t, "m", onnx, "--fp16")
    check("1 steps run on the CPU" in said, said)
    t.works("compare", t.path("m.onnx"), engine, "--rtol=0.02")


def case_groups(t):
    """Convolutions in groups of any size stay on the GPU, by our own kernels: outputs of a group that are no vector, several
    filters a channel, a filter a channel that is wide."""
    ones = [attr_ints("pads", [1, 1, 1, 1])]
    nodes = [node("Conv", ["x", "w"], ["a"], [*ones, attr_int("group", 3)], "threes"),
             node("Conv", ["a", "v"], ["b"], [*ones, attr_int("group", 9)], "twice"),
             node("ConvTranspose", ["b", "t"], ["c"], [attr_int("group", 6), attr_ints("strides", [2, 2])], "up"),
             node("Conv", ["c", "u"], ["y"], [attr_int("group", 6), attr_ints("pads", [0, 33, 0, 33])], "wide")]
    constants = [tensor("w", [9, 2, 3, 3], small_values(162)), tensor("v", [18, 1, 3, 3], small_values(162)),
                 tensor("t", [18, 1, 2, 2], small_values(72)), tensor("u", [6, 1, 1, 66], small_values(396))]
    onnx = model(graph(nodes, [value("x", [2, 6, 5, 5])], [value("y", [2, 6, 10, 11])], constants))
    for name, flags, tol in (("f32", (), "1e-5"), ("f16", ("--fp16",), "0.02")):
        engine, said = build(t, name, onnx, *flags, "--lean")
        check("0 steps run on the CPU" in said, said)
        t.works("compare", t.path(f"{name}.onnx"), engine, f"--rtol={tol}", "--layers")


def case_shapes(t):
    """One engine, batches of one to five."""
    engine, _ = build(t, "m", good(batch="n"), "--fp16", "--minShapes=x:1x3x6x6", "--optShapes=x:4x3x6x6",
                      "--maxShapes=x:5x3x6x6")
    for batch in (1, 3, 5):
        t.works("compare", t.path("m.onnx"), engine, f"--shapes=x:{batch}x3x6x6", "--rtol=0.02")


def case_open_axes(t):
    """Rows of every length of a profile: products of two tensors, their softmax, a mask that spreads, what is element-wise.
    The engine was tuned for rows that vectors divide."""
    nodes = [
        node("MatMul", ["q", "k"], ["s"], name="scores"), node("Add", ["s", "m"], ["a"], name="mask"),
        node("Softmax", ["a"], ["p"], [attr_int("axis", -1)], "softmax"),
        node("MatMul", ["p", "v"], ["c"], name="values"),
        node("Sigmoid", ["s"], ["g"], name="gate"), node("Mul", ["g", "p"], ["h"], name="gated"),
        node("Tanh", ["m"], ["y"], name="rows"),
    ]
    onnx = model(graph(nodes, [value("q", ["n", "a", 8]), value("k", ["n", 8, "b"]), value("m", ["b"]),
                               value("v", ["n", "b", 6])],
                       [value("c", ["n", "a", 6]), value("h", ["n", "a", "b"]), value("y", ["b"])]))

    def shapes(n, a, b):
        return f"q:{n}x{a}x8,k:{n}x8x{b},m:{b},v:{n}x{b}x6"
    for name, flags, tol in (("f32", (), "1e-5"), ("f16", ("--fp16",), "0.02")):
        engine, _ = build(t, name, onnx, *flags, f"--minShapes={shapes(1, 1, 1)}", f"--optShapes={shapes(2, 4, 8)}",
                          f"--maxShapes={shapes(2, 5, 9)}")
        steps = json.loads(t.works("inspect", "engine", engine, "--json"))["steps"]
        check(any(s["TacticName"] == "matmul_pair_cuda" for s in steps), steps)
        for n, a in ((1, 1), (2, 4), (1, 5)):
            for b in range(1, 10):
                t.works("compare", t.path(f"{name}.onnx"), engine, f"--shapes={shapes(n, a, b)}", f"--rtol={tol}")


def case_odd_rows(t):
    """Products with a constant, rows of a length that vectors do not divide, or a constant first: all on the GPU, by our own."""
    nodes = [node("MatMul", ["x", "w"], ["a"], name="narrow"), node("Relu", ["a"], ["b"], name="relu"),
             node("MatMul", ["b", "v"], ["c"], name="wide"), node("MatMul", ["u", "c"], ["y"], name="first")]
    constants = [tensor("w", [13, 30], small_values(390)), tensor("v", [30, 20], small_values(600)),
                 tensor("u", [5, 7], small_values(35))]
    onnx = model(graph(nodes, [value("x", ["n", 7, 13])], [value("y", ["n", 5, 20])], constants))
    for name, flags, tol in (("f32", (), "1e-5"), ("f16", ("--fp16",), "0.02"), ("bf16", ("--bf16",), "0.05")):
        engine, said = build(t, name, onnx, *flags, "--lean", "--minShapes=x:1x7x13", "--optShapes=x:4x7x13",
                             "--maxShapes=x:9x7x13")
        check("0 steps run on the CPU" in said, said)
        for n in (1, 4, 9):
            t.works("compare", t.path(f"{name}.onnx"), engine, f"--shapes=x:{n}x7x13", f"--rtol={tol}")


def case_attention(t):
    """An encoder's attention in f16, whose heads are no multiple of 16, or are one: no layout is changed between it and the
    products around it; at every length of the profile."""
    for heads, size in ((8, 15), (8, 16)):
        width = heads * size
        nodes = []
        for name in "qkv":
            nodes += [node("MatMul", ["x", f"w{name}"], [f"{name}0"], name=f"product_{name}"),
                      node("Reshape", [f"{name}0", "split"], [f"{name}1"], name=f"heads_{name}"),
                      node("Transpose", [f"{name}1"], [name], [attr_ints("perm", [0, 2, 3, 1] if name == "k" else [0, 2, 1, 3])],
                           f"turn_{name}")]
        nodes += [node("MatMul", ["q", "k"], ["s"], name="scores"), node("Mul", ["s", "scale"], ["t"], name="scaled"),
                  node("Softmax", ["t"], ["p"], [attr_int("axis", -1)], "softmax"), node("MatMul", ["p", "v"], ["a"], name="values"),
                  node("Transpose", ["a"], ["b"], [attr_ints("perm", [0, 2, 1, 3])], "back"),
                  node("Reshape", ["b", "join"], ["c"], name="joined"), node("MatMul", ["c", "wo"], ["y"], name="out")]
        constants = [tensor(f"w{name}", [width, width], small_values(width * width)) for name in "qkvo"]
        constants += [tensor("split", [4], [0, -1, heads, size], I64), tensor("join", [3], [0, -1, width], I64),
                      tensor("scale", [], [size ** -0.5])]
        onnx = model(graph(nodes, [value("x", ["n", "l", width])], [value("y", ["n", "l", width])], constants))
        engine, said = build(t, f"m{size}", onnx, "--fp16", f"--minShapes=x:1x1x{width}", f"--optShapes=x:6x80x{width}",
                             f"--maxShapes=x:8x90x{width}")
        steps = json.loads(t.works("inspect", "engine", engine, "--json"))["steps"]
        told = [(s["LayerType"], s["TacticName"], s.get("Precision")) for s in steps]
        at = next(i for i, what in enumerate(told) if what[0] == "MultiHeadAttention")
        check(told[at - 1][0] == "MatMul" and told[at:at + 2] == [
            ("MultiHeadAttention", "attention_cuda", "FP16"), ("MatMul", "matmul_mma_cuda", "FP16")], told)
        for n, length in ((1, 1), (2, 24), (3, 17)):
            t.works("compare", t.path(f"m{size}.onnx"), engine, f"--shapes=x:{n}x{length}x{width}", "--rtol=0.02")


def case_recogniser(t):
    """PP-OCRv6's recogniser as it is served, any batch and width: no step on the CPU, none that changes a layout alone."""
    path = pathlib.Path(__file__).resolve().parents[3] / "build/models/PP-OCRv6_rec_small.onnx"
    if not path.exists():
        print(f"{path} is not there: scripts/fetch_models.sh fetches it")
        raise SystemExit(SKIPPED)
    build(t, "probe", good())
    said = t.works("build", f"--onnx={path}", "--saveEngine=m.engine", "--device=cuda", "--fp16", "--builderOptimizationLevel=0",
                   "--minShapes=x:1x3x48x32", "--optShapes=x:6x3x48x320", "--maxShapes=x:8x3x48x1024")
    check("0 steps run on the CPU" in said, said)
    steps = json.loads(t.works("inspect", "engine", "m.engine", "--json"))["steps"]
    check(not any(s["LayerType"] == "Reorder" for s in steps), steps)
    attention = [s["Precision"] for s in steps if s["LayerType"] == "MultiHeadAttention"]
    check(attention == ["FP16", "FP16"], attention)


def case_greatest_batch(t):
    """What would be best at the optimum but does not do the greatest batch is not taken."""
    for batch, kernels in ((65535, ("conv_stem_cuda", "conv_patch_cuda")), (65536, ())):
        engine, _ = build(t, f"m{batch}", good(batch="n"), "--fp16", "--minShapes=x:1x3x6x6", "--optShapes=x:2x3x6x6",
                          f"--maxShapes=x:{batch}x3x6x6")
        steps = json.loads(t.works("inspect", "engine", engine, "--json"))["steps"]
        found = [s["TacticName"] for s in steps if s["TacticName"] in ("conv_stem_cuda", "conv_patch_cuda")]
        check(bool(found) == bool(kernels), batch, steps)
    t.works("compare", t.path("m65536.onnx"), engine, "--shapes=x:3x3x6x6", "--rtol=0.02")


def case_channel_views(t):
    """Halves of a convolution, what comes of one of them and poolings of it, without a copy; each of them is shown right."""
    three = [attr_ints("kernel_shape", [3, 3]), attr_ints("pads", [1, 1, 1, 1])]
    nodes = [
        node("Conv", ["x", "w"], ["c"], name="first"),
        node("Split", ["c", "s"], ["a", "b"], [attr_int("axis", 1)], "split"),
        node("Conv", ["b", "v"], ["d"], name="one"),
        node("Add", ["d", "b"], ["e"], name="residual"),
        node("MaxPool", ["e"], ["p"], three, "pool"),
        node("MaxPool", ["p"], ["q"], three, "pools"),
        node("Concat", ["a", "b", "e", "p", "q"], ["j"], [attr_int("axis", 1)], "join"),
        node("Conv", ["j", "u"], ["y"], name="last"),
    ]
    constants = [tensor("w", [32, 3, 1, 1], small_values(96)), tensor("v", [16, 16, 1, 1], small_values(256)),
                 tensor("u", [8, 80, 1, 1], small_values(640)), tensor("s", [2], [16, 16], I64)]
    onnx = model(graph(nodes, [value("x", ["n", 3, 6, 6])], [value("y", ["n", 8, 6, 6])], constants))
    for name, flags, tol in (("f32", (), "1e-5"), ("f16", ("--fp16",), "0.02")):
        engine, _ = build(t, name, onnx, *flags, "--minShapes=x:1x3x6x6", "--optShapes=x:2x3x6x6",
                             "--maxShapes=x:5x3x6x6")
        steps = json.loads(t.works("inspect", "engine", engine, "--json"))["steps"]
        check(not any(s["TacticName"] == "move_cuda" for s in steps), steps)
        for batch in (1, 2, 5):
            t.works("compare", t.path(f"{name}.onnx"), engine, f"--shapes=x:{batch}x3x6x6", f"--rtol={tol}", "--layers")


def case_parallel(t):
    """Convolutions 1x1 of one value, as in an Inception block: what is convolved and pooled further is made by one and read in
    place, what the Concat takes is made by another straight into it."""
    def conv(name, x, channels, of, window=1, strides=1):
        constants.append(tensor(f"w{name}", [channels, of, window, window], small_values(channels * of * window * window)))
        constants.append(tensor(f"b{name}", [channels], small_values(channels)))
        nodes.extend([node("Conv", [x, f"w{name}", f"b{name}"], [f"{name}_"],
                           [attr_ints("pads", [window // 2] * 4), attr_ints("strides", [strides] * 2)], name),
                      node("Relu", [f"{name}_"], [name], name=f"relu_{name}")])
    nodes, constants = [], []
    three = [attr_ints("kernel_shape", [3, 3]), attr_ints("pads", [1, 1, 1, 1])]
    conv("a", "x", 16, 12)
    conv("b", "x", 24, 12)
    conv("c", "x", 8, 12)
    conv("d", "x", 16, 12)
    conv("e", "b", 16, 24, 3)
    conv("f", "c", 8, 8, 5)
    nodes.extend([node("MaxPool", ["d"], ["p"], three, "pool"),
                  node("Concat", ["a", "e", "f", "p"], ["j"], [attr_int("axis", 1)], "join")])
    conv("y", "j", 8, 56)
    onnx = model(graph(nodes, [value("x", ["n", 12, 7, 5])], [value("y", ["n", 8, 7, 5])], constants))
    for name, flags, tol in (("f32", (), "1e-5"), ("f16", ("--fp16",), "0.02"), ("bf16", ("--bf16",), "0.05")):
        engine, said = build(t, name, onnx, *flags, "--lean", "--minShapes=x:1x12x7x5", "--optShapes=x:2x12x7x5",
                             "--maxShapes=x:5x12x7x5")
        check("0 steps run on the CPU" in said, said)
        steps = json.loads(t.works("inspect", "engine", engine, "--json"))["steps"]
        kinds = [s["LayerType"] for s in steps]
        check(kinds.count("Conv") == 5 and kinds.count("MaxPool") == 1 and not {"Slice", "Concat"} & set(kinds), steps)
        for batch in (1, 2, 5):
            t.works("compare", t.path(f"{name}.onnx"), engine, f"--shapes=x:{batch}x12x7x5", f"--rtol={tol}", "--layers")


def case_parts(t):
    """A part that begins at no multiple of 16 bytes is a copy: vectors are read from there.  Others are views."""
    for sizes, dim, steps in (((3, 4), 7, 4), ((4, 8), 12, 3)):
        nodes = [node("Relu", ["x"], ["r"], name="relu"),
                 node("Split", ["r", "s"], ["p", "q"], [attr_int("axis", 1)], "split"),
                 node("MatMul", ["p", "v"], ["a"], name="before"), node("MatMul", ["q", "w"], ["b"], name="behind")]
        constants = [tensor("s", [2], sizes, I64), tensor("v", [sizes[0], 8], small_values(8 * sizes[0])),
                     tensor("w", [sizes[1], 8], small_values(8 * sizes[1]))]
        engine, said = build(t, f"m{dim}", model(graph(nodes, [value("x", [1, dim])], [
            value("a", [1, 8]), value("b", [1, 8])], constants)))
        check(f" {steps} steps " in said, said)
        t.works("compare", t.path(f"m{dim}.onnx"), engine, "--rtol=1e-5")


def product():
    """Few candidates."""
    return model(graph([node("MatMul", ["x", "m"], ["z"], name="product"), node("Relu", ["z"], ["y"], name="relu")],
                       [value("x", [4, 16])], [value("y", [4, 8])], [tensor("m", [16, 8], small_values(128))]))


def case_tuned(t):
    """Candidates are timed, by the emulation's own clock: the same engine twice."""
    path = t.put("m.onnx", product())
    build(t, "probe", good())
    for name in ("a", "b"):
        t.works("build", f"--onnx={path}", f"--saveEngine={name}.engine", "--device=cuda",
                "--builderOptimizationLevel=1")
    t.works("compare", path, t.path("a.engine"), "--rtol=1e-5")
    check((t.folder / "a.engine").read_bytes() == (t.folder / "b.engine").read_bytes(), "they differ")


def case_times_of_another_compiler(t):
    """A program is timed anew where another version of the compiler has made it."""
    t.put("m.onnx", product())
    build(t, "probe", good())
    args = ("build", "--onnx=m.onnx", "--saveEngine=m.engine", "--device=cuda", "--builderOptimizationLevel=1", "--json",
            "--timingCacheFile=times")
    first, again, other, back = (json.loads(t.works(*args, env=env)) for env in (
        {}, {}, {"DYNO_EMULATE_NVRTC_MINOR": "1"}, {}))
    check(first["candidates_timed"] > 0 and again["candidates_timed"] == back["candidates_timed"] == 0, again, back)
    check(other["candidates_timed"] == first["candidates_timed"] and other["candidates_cached"] == 0, other)


def case_tuned_at_one_clock(t):
    """A timing beside which the card's clock fell is repeated; a card that tells none is timed without."""
    build(t, "m", product())
    args = ("build", "--onnx=m.onnx", "--saveEngine=m.engine", "--device=cuda", "--builderOptimizationLevel=1", "--json")
    folder = {"LD_LIBRARY_PATH": f"{os.environ['LD_LIBRARY_PATH']}:{os.environ['FAKE_NVML_FOLDER']}"}
    for mode, repeated in (("told", False), ("falls", True)):
        told = json.loads(t.works(*args, env={**folder, "FAKE_NVML": mode}))
        clock = told["tuning_clock"]
        check(clock["least_mhz"] == clock["most_mhz"] == 1980, clock)
        check((clock["timings_repeated"] > 0) == repeated and clock["timings_repeated"] < told["candidates_timed"], clock)
    check("tuning_clock" not in json.loads(t.works(*args, env={**folder, "FAKE_NVML": "silent"})))


def branched():
    """A stem; two branches of two convolutions and a squeezed one, whose channels are concatenated; and a sum."""
    pads = [attr_ints("pads", [1, 1, 1, 1])]
    nodes = [
        node("Conv", ["x", "w0"], ["s"], pads, "stem"),
        node("Conv", ["s", "w1"], ["a"], pads, "a1"), node("Conv", ["a", "w2"], ["b"], pads, "a2"),
        node("Conv", ["s", "w3"], ["c"], pads, "b1"), node("Conv", ["c", "w4"], ["d"], pads, "b2"),
        node("GlobalAveragePool", ["s"], ["p"], name="mean"), node("Conv", ["p", "v"], ["q"], name="squeeze"),
        node("Mul", ["s", "q"], ["e"], name="scale"),
        node("Concat", ["b", "d", "e"], ["j"], [attr_int("axis", 1)], "join"),
        node("Conv", ["j", "w5"], ["k"], pads, "last"), node("Conv", ["x", "w6"], ["l"], pads, "beside"),
        node("Add", ["k", "l"], ["out/y"], name="sum"),
    ]
    sizes = {"w0": [8, 3, 3, 3], "w1": [16, 8, 3, 3], "w2": [8, 16, 3, 3], "w3": [16, 8, 3, 3], "w4": [8, 16, 3, 3],
             "w5": [8, 24, 3, 3], "w6": [8, 3, 3, 3], "v": [8, 8, 1, 1]}
    constants = [tensor(name, dims, small_values(dims[0] * dims[1] * dims[2] * dims[3])) for name, dims in sizes.items()]
    return model(graph(nodes, [value("x", [2, 3, 6, 6])], [value("out/y", [2, 8, 6, 6])], constants))


def case_branches(t):
    """Steps that overlap, in many orders, give what a chain gives; an edge less is noticed."""
    chain, _ = build(t, "chain", branched(), "--fp16", "--branches=off")
    engine, _ = build(t, "m", branched(), "--fp16", "--branches=on")
    check(b"steps that need not wait" not in t.works("inspect", "engine", chain).encode())
    check("steps that need not wait for each other overlap" in t.works("inspect", "engine", engine))
    bench = ("--duration=0", "--warmUp=0", "--iterations=3", "--json")
    check("branches" not in json.loads(t.works("bench", f"--loadEngine={chain}", *bench)))
    branches = json.loads(t.works("bench", f"--loadEngine={engine}", *bench))["branches"]
    check(branches["steps_at_once"] >= 2 and branches["edges"] >= 9 and branches["steps_in_a_row"] <= 7, branches)
    want = run(t, chain, "out-chain")
    for seed in range(2, 12):
        check(run(t, engine, f"out-{seed}", env={"DYNO_EMULATE_SEED": str(seed)}) == want, seed)
    for lost in range(1, branches["edges"] + 1):
        seeds = (str(seed) for seed in range(2, 60))
        check(any(run(t, engine, f"out-{lost}-{seed}", env={"DYNO_EMULATE_SEED": seed, "DYNO_EMULATE_LOSE_EDGE": str(lost)})
                  != want for seed in seeds), f"edge {lost} of {branches['edges']} is not needed")


def case_branches_timed(t):
    """By the emulation's clock branches overlap, so they are chosen; the same again from the cache, without a run."""
    three = [attr_ints("kernel_shape", [3, 3]), attr_ints("pads", [1, 1, 1, 1])]
    nodes = [node("MaxPool", ["x"], ["a"], three, "a1"), node("MaxPool", ["a"], ["b"], three, "a2"),
             node("AveragePool", ["x"], ["c"], three, "b1"), node("AveragePool", ["c"], ["d"], three, "b2"),
             node("Mul", ["b", "d"], ["y"], name="both")]
    path = t.put("m.onnx", model(graph(nodes, [value("x", [2, 8, 6, 6])], [value("y", [2, 8, 6, 6])])))
    build(t, "probe", good())
    flags = (f"--onnx={path}", "--device=cuda", "--fp16", "--builderOptimizationLevel=1", "--timingCacheFile=times")
    said = t.works("build", *flags, "--saveEngine=a.engine")
    check("in branches: branches" in said, said)
    check("overlap" in t.works("inspect", "engine", "a.engine"))
    report = json.loads((t.folder / "a.engine.json").read_bytes())
    check(report["may_branch"] and report["graph_branches_us"] < report["graph_chain_us"], report)
    t.works("build", *flags, "--saveEngine=b.engine", env={"DYNO_EMULATE_FAIL": "1"})
    check((t.folder / "a.engine").read_bytes() == (t.folder / "b.engine").read_bytes(), "they differ")
    t.works("compare", path, "a.engine", "--rtol=0.02", "--layers")
    t.fails("E_ARG", "dyno build: --branches=some: it is timed, on or off", "build", *flags, "--saveEngine=c.engine", "--branches=some")
    t.fails("E_UNSUPPORTED", "dyno build: --branches goes with --device=cuda: *", "build", f"--onnx={path}",
            "--saveEngine=c.engine", "--branches=on")


def case_no_library(t):
    """A library that is not there is said, and missed by nobody; --lean does not look for it."""
    missing = {"DYNO_CUDNN": t.path("libcudnn.so")}
    build(t, "probe", good())
    args = ("build", f"--onnx={t.path('probe.onnx')}", f"--saveEngine={t.path('m.engine')}", "--device=cuda",
            "--builderOptimizationLevel=0", "--verbose")
    said = t.works(*args, env=missing)
    check("library no cuDNN: the file that DYNO_CUDNN names does not load: " in said, said)
    t.works("compare", t.path("probe.onnx"), t.path("m.engine"), "--rtol=1e-5", env=missing)
    said = t.works(*args, "--lean", env=missing)
    check("library" not in said, said)


def case_what_is_missing(t):
    """A driver or a compiler that is not what is needed: one sentence each, and the CPU is there as ever."""
    engine, _ = build(t, "m", good())
    old = os.path.join(os.environ["LD_LIBRARY_PATH"], "old")
    for env, what in (
            ({"LD_LIBRARY_PATH": old}, "its NVIDIA driver is too old: libcuda.so.1 has no cuInit"),
            ({"DYNO_EMULATE_INIT": "100"}, "its NVIDIA driver finds no GPU"),
            ({"DYNO_EMULATE_INIT": "700"}, "its NVIDIA driver does not start: CUDA_ERROR_ILLEGAL_ADDRESS"),
            ({"DYNO_EMULATE_DRIVER": "11080"}, "its NVIDIA driver is too old: it is for CUDA 11.8, and 12.0 is needed")):
        for command in (("run", engine), ("bench", f"--loadEngine={engine}"), ("inspect", "device", "cuda"),
                        ("build", "--onnx=m.onnx", "--saveEngine=other.engine", "--device=cuda")):
            t.fails("E_TARGET", f"dyno {command[0]}: *this machine cannot run CUDA: {what}", *command, env=env)
        t.works("run", "m.onnx", env=env)
    t.fails("E_TARGET", "dyno run: *the engine was built with a driver for CUDA 13.0; this machine's is for 12.6, which is older: "
            "take a newer driver, or build it here", "run", engine, env={"DYNO_EMULATE_DRIVER": "12060"})
    for nvrtc, what in ((os.path.join(old, "libcuda.so.1"), "it is too old: it has no nvrtcVersion"),
                        ("/nowhere", "DYNO_NVRTC names '/nowhere', which does not load")):
        t.fails("E_TARGET", f"dyno build: *building for a GPU needs NVIDIA's run-time compiler (NVRTC): {what}", "build",
                "--onnx=m.onnx", "--saveEngine=other.engine", "--device=cuda", env={"DYNO_NVRTC": nvrtc})
        t.works("run", engine, env={"DYNO_NVRTC": nvrtc})  # which needs none
    check(not (t.folder / "other.engine").exists())


def case_out_of_memory(t):
    engine, _ = build(t, "m", good())
    line = t.fails("E_NOMEM", "dyno run: * bytes on cuda:0: the GPU failed to give memory: CUDA_ERROR_OUT_OF_MEMORY "
                   "(2: out of memory)", "run", engine, env={"DYNO_EMULATE_MEMORY": "300"})
    check(t.works("run", engine, env={"DYNO_EMULATE_MEMORY": "1000000"}) is not None, line)


def case_failing_launch(t):
    """Each launch of a run fails once: one sentence, which names the steps of the graph, and the next process starts anew.
    Run one by one the step itself is named."""
    engine, _ = build(t, "m", good())
    steps = [(s["Name"], s["LayerType"]) for s in json.loads(t.works("inspect", "engine", engine, "--json"))["steps"]]
    check(len(steps) >= 3, steps)
    (first, first_op), (last, last_op) = steps[0], steps[-1]
    for nth, (name, op) in enumerate(steps, 1):
        fail = {"DYNO_EMULATE_FAIL": str(nth)}
        t.fails("E_IO", f"dyno run: one of the steps from '{first}' ({first_op}) to '{last}' ({last_op}): the GPU failed "
                f"to run: {ILLEGAL}", "run", engine, env=fail)
        t.fails("E_IO", f"dyno compare: step '{name}' ({op}): the GPU failed to run: {ILLEGAL}", "compare", engine, engine,
                "--layers", env=fail)
    t.works("run", engine)


def case_another_gpu(t):
    engine, _ = build(t, "m", good())
    t.fails("E_TARGET", "dyno run: *the engine was built for 'Emulated GPU' of compute capability 8.0; this GPU, "
            "'Emulated GPU', has 9.0: build it here", "run", engine, env={"DYNO_EMULATE_COMPUTE": "90"})
