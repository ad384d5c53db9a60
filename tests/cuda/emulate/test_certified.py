"""dyno certify for a GPU, on the emulated one, whose clock counts launches and threads: what is held
against what, what it says, what it refuses.  Without g++ there is nothing to test: exit 77.
"""
import json
import os
import re
import xml.dom.minidom

from harness import check
from onnx_bytes import attr_int, attr_ints, good, graph, model, node, small_values, tensor, value

SKIPPED = 77
LEVEL_0 = "--builderOptimizationLevel=0"
# So that a run of a small model fills a segment, and what others take of the processor is nothing beside it.
SLOW = {"DYNO_EMULATE_CLOCK": "100000"}


def build(t, name, onnx, *flags):
    t.put(f"{name}.onnx", onnx)
    got = t.dyno("build", f"--onnx={name}.onnx", f"--saveEngine={name}.engine", LEVEL_0, *flags)
    if "NVRTC" in got.stderr:
        print(got.stderr)
        raise SystemExit(SKIPPED)
    check(got.returncode == 0, flags, got.stderr)
    return got.stdout


def certify(t, *more, env=None):
    return json.loads(t.works("certify", "m.onnx", "--engine=m.engine", "--trial", "--json", *more, env={**SLOW, **(env or {})}))


def read(t, report, kind):
    return json.loads((t.folder / report[kind]["file"]).read_text())


def case_baseline(t):
    """The unoptimised execution: every operator a step, all of them there, and the numbers of the CPU's."""
    nodes = [
        node("Conv", ["x", "w"], ["c"], [attr_ints("pads", [1, 1, 1, 1])], "first"),
        node("BatchNormalization", ["c", "s", "b", "b", "s"], ["n"], name="norm"),
        node("Relu", ["n"], ["r"], name="relu"),
        node("Conv", ["r", "v"], ["d"], [attr_ints("pads", [1, 1, 1, 1]), attr_int("group", 8)], "depthwise"),
        node("MaxPool", ["d"], ["p"], [attr_ints("kernel_shape", [2, 2])], "pool"),
        node("ConvTranspose", ["p", "u"], ["t"], name="up"),
        node("ReduceMean", ["t"], ["m"], [attr_ints("axes", [2, 3]), attr_int("keepdims", 1)], "mean"),
        node("Mul", ["t", "m"], ["g"], name="gate"),
        node("GlobalAveragePool", ["g"], ["a"], name="all"),
        node("Flatten", ["a"], ["f"], name="flat"),
        node("MatMul", ["f", "k"], ["out/y"], name="product"),
    ]
    constants = [tensor("w", [8, 3, 3, 3], small_values(216)), tensor("v", [8, 1, 3, 3], small_values(72)),
                 tensor("u", [8, 4, 2, 2], small_values(128)), tensor("k", [4, 5], small_values(20)),
                 tensor("s", [8], [1.0 + i / 9 for i in range(8)]), tensor("b", [8], small_values(8))]
    onnx = model(graph(nodes, [value("x", [2, 3, 6, 6])], [value("out/y", [2, 5])], constants))
    said = build(t, "m", onnx, "--device=cuda", "--baseline", "--fp16")
    engine = "m.engine"
    check("; 0 steps run on the CPU" in said and "10 steps (0 layout changes, 1 views)" in said, said)
    plain = json.loads(t.works("inspect", "engine", engine, "--json"))
    check(len(plain["steps"]) == 10 and all(s["TacticName"] in
          ("conv_cudnn_cuda", "conv_rows_cuda", "channel_norm_cuda", "pointwise_cuda", "pool_cuda", "reduce_cuda",
           "matmul_cublaslt_cuda") for s in plain["steps"]), plain["steps"])
    by = {s["Name"]: s["TacticName"] for s in plain["steps"]}
    check(by["first"] == "conv_cudnn_cuda" and by["product"] == "matmul_cublaslt_cuda", by)
    check(by["depthwise"] == by["up"] == "conv_rows_cuda", by)
    t.works("compare", "m.onnx", engine, "--rtol=1e-5", "--layers")
    got = json.loads(t.works("bench", f"--onnx=m.onnx", "--baseline", "--device=cuda", "--duration=0",
                             "--warmUp=0", "--iterations=2", "--json"))
    check(got["gpu"] == "Emulated GPU" and got["gpu_ms"]["median"] > 0 and got["launches"] >= got["steps"], got)


def case_baseline_has_operators_of_frameworks(t):
    """Gelu that an exporter took apart is one launch, as it is in frameworks; on the CPU it stays five."""
    nodes = [node("Div", ["x", "r"], ["d"], name="d"), node("Erf", ["d"], ["e"], name="e"),
             node("Add", ["e", "o"], ["a"], name="a"), node("Mul", ["x", "a"], ["m"], name="m"),
             node("Mul", ["m", "h"], ["y"], name="y")]
    onnx = model(graph(nodes, [value("x", [2, 8])], [value("y", [2, 8])],
                       [tensor("r", [], [2 ** 0.5]), tensor("o", [], [1.0]), tensor("h", [], [0.5])]))
    build(t, "m", onnx, "--device=cuda", "--baseline")
    kinds = lambda: [s["LayerType"] for s in json.loads(t.works("inspect", "engine", "m.engine", "--json"))["steps"]]
    check(kinds() == ["Gelu"], kinds())
    t.works("compare", "m.onnx", "m.engine", "--rtol=1e-5")
    build(t, "m", onnx, "--baseline")
    check(len(kinds()) == 5, kinds())


def case_baseline_of_any_shape(t):
    """Where no convolution is, sizes may be open: one engine for all of them, whatever is 1 or no multiple of 4."""
    nodes = [node("MatMul", ["x", "m"], ["a"], name="p"), node("Add", ["a", "b"], ["c"], name="bias"),
             node("Transpose", ["c"], ["t"], [attr_ints("perm", [0, 2, 1])], "t"), node("MatMul", ["c", "t"], ["s"], name="s"),
             node("Relu", ["s"], ["r"], name="relu"), node("Add", ["r", "s"], ["u"], name="u"),
             node("Softmax", ["u"], ["w"], [attr_int("axis", -1)], "w"), node("MatMul", ["w", "c"], ["y"], name="o")]
    onnx = model(graph(nodes, [value("x", ["n", "s", 16])], [value("y", ["n", "s", 8])],
                       [tensor("m", [16, 8], small_values(128)), tensor("b", [8], small_values(8))]))
    build(t, "m", onnx, "--device=cuda", "--baseline", "--minShapes=x:1x1x16", "--optShapes=x:2x8x16", "--maxShapes=x:4x32x16")
    for sizes in ("1x1", "1x7", "2x8", "3x5", "4x32", "1x32"):
        t.works("compare", "m.onnx", "m.engine", f"--shapes=x:{sizes}x16", "--rtol=1e-5")


def case_certificate(t):
    """Both kinds: op by op against the engine, on one GPU, by its events; shown, verified, watched."""
    build(t, "m", good(2), "--device=cuda", "--fp16")
    report = certify(t, "--svg=m.svg", "--keep-baseline")
    reference, engine = read(t, report, "reference"), read(t, report, "engine")
    for cert in (reference, engine):
        device = cert["device"]
        check(cert["dyno_certificate"] == 2 and device["class"] == device["processor"] == "Emulated GPU", device)
        check(device["isa"] == "sm_80" and device["threads"] == 1, device)
        gpu = device["gpu"]
        check(gpu["compute"] == 80 and gpu["multiprocessors"] == 108 and gpu["cuda"] == 13000, gpu)
        check(gpu["libraries"].startswith("cuDNN ") and ", cuBLAS" in gpu["libraries"], gpu)
        check(gpu["timed_by"] == ["events", "events"] and gpu["power_limit_mw"] == 0, gpu)
        check(cert["outcome"] == "trial" and cert["breaks"] == "", cert["breaks"])
        for block in sum(cert["attempts"][0]["points"][0]["control"], []):
            check(all(s[2] == 0 for s in block), "a clock that nobody told")
    # The clock counts launches and threads: the same in every block, and fewer launches are faster.
    low, value, high = engine["s_1e6"]
    check(low <= value <= high and value > 1000000, engine["s_1e6"])
    check(reference["attempts"][0]["points"][0]["t_ref_ns"] > 0)
    check(engine["engine"]["precision"] == "fp16" and engine["energy"] is None, engine["engine"])
    check(engine["accuracy"]["agreement_1e6"] >= 990000 and engine["accuracy"]["outputs"][0]["error_1e9"] > 0)
    # The unoptimised execution is an engine file, of this GPU, op by op.
    kept = t.path(f"{engine['baseline_sha256']}.engine")
    steps = json.loads(t.works("inspect", "engine", kept, "--json"))["steps"]
    check([s["LayerType"] for s in steps] == ["Conv", "Relu", "GlobalAveragePool", "MatMul"], steps)
    check(all("_cuda" in s["TacticName"] for s in steps), steps)
    check(len(xml.dom.minidom.parse(str(t.folder / "m.svg")).getElementsByTagName("circle")) > 10)
    path, ref = report["engine"]["file"], report["reference"]["file"]
    text = t.works("certify", f"--show={path}", f"--reference={ref}")
    for what in ("108 multiprocessors", "timed      unoptimised by events, engine by events", "not told by this GPU",
                 "driver for CUDA 13.0", "SingleStream", "energy     not reported", "in force since"):
        check(what in text, what, text)
    check("the certificate stands" in t.works("certify", "m.onnx", "--engine=m.engine", f"--verify={path}", env=SLOW))
    t.works("certify", "m.onnx", f"--verify={ref}", env=SLOW)
    look = json.loads(t.works("certify", f"--watch={path}", "--engine=m.engine", f"--baseline={kept}", "--json", env=SLOW))
    check(look["verdict"] == "stands" and abs(look["measured"] / look["certified"] - 1) < 1e-6, look)
    # The next one cites what is there.
    check("reference" not in certify(t), "another reference certificate")


def case_energy(t):
    """What the card tells: clock, power, energy; here by a library of the tests'."""
    build(t, "m", good(2), "--device=cuda")
    folder = f"{os.environ['LD_LIBRARY_PATH']}:{os.environ['FAKE_NVML_FOLDER']}"
    report = certify(t, env={"LD_LIBRARY_PATH": folder})
    engine = read(t, report, "engine")
    check(engine["device"]["gpu"]["power_limit_mw"] == 700000 and engine["device"]["gpu"]["memory_mhz"] == 3201)
    check(engine["device"]["gpu"]["driver"] == "580.1.02", engine["device"])
    energy = engine["energy"]
    check(energy["estimate"] is True and energy["baseline"][0] > 0, energy)
    for side, uj in zip(("baseline", "engine"), energy["item_uj"], strict=True):
        items, millijoules = energy[side]
        check(uj == millijoules * 1000 // items > 0, energy)
    for block in sum(engine["attempts"][0]["points"][0]["speedup"], []):
        check(all(abs(131072 / s[2] - 1.98) < 0.01 for s in block), "1980 MHz", block)
    text = t.works("certify", f"--show={report['engine']['file']}")
    for what in ("1.98 to 1.98 GHz by the card", "700 W at most", "J an item unoptimised", "an estimate"):
        check(what in text, what, text)


def case_tf32(t):
    """Steps that round their factors are in the precision, though no type tells it."""
    onnx = model(graph([node("Conv", ["x", "w"], ["y"], [attr_ints("pads", [1, 1, 1, 1])], "conv")],
                       [value("x", [2, 16, 6, 6])], [value("y", [2, 16, 6, 6])],
                       [tensor("w", [16, 16, 3, 3], small_values(2304))]))
    for flags, precision in (([], "fp32"), (["--tf32"], "fp32+tf32")):
        build(t, "m", onnx, "--device=cuda", "--lean", *flags)
        engine = read(t, certify(t), "engine")["engine"]
        check(engine["precision"] == precision, engine)


def case_edited(t):
    build(t, "m", good(2), "--device=cuda")
    report = certify(t)
    text = (t.folder / report["engine"]["file"]).read_text()
    t.put("c.json", text.replace('"dyno_certificate":2', '"dyno_certificate":1').encode())
    t.fails("E_FORMAT", "dyno certify: c.json: a segment of *", "certify", "--show=c.json")  # one without a clock
    for old, new in ((r'"energy":null,"s_1e6":\[\d+', '"energy":null,"s_1e6":[9000000'),
                     (r'"energy":null', '"energy":{"baseline":[1,1],"engine":[1,1]}')):
        t.put("c.json", re.sub(old, new, text).encode())
        t.fails("E_CORRUPT", "dyno certify: c.json: edited: *", "certify", "--show=c.json")
    # Another card's name is another certificate, which is of another device.
    address = report["engine"]["address"]
    t.put(f"{address}.engine.json", text.replace('"processor":"Emulated GPU"', '"processor":"Another GPU"').encode())
    t.fails("E_CORRUPT", "dyno certify: *: edited: its text has the address *", "certify", f"--show={address}.engine.json")


def case_refused(t):
    """The other kind of device, another GPU, an engine with other answers."""
    build(t, "m", good(2), "--device=cuda")
    t.put("n.onnx", good(2))
    t.works("build", "--onnx=n.onnx", "--saveEngine=n.engine", LEVEL_0)
    t.fails("E_ARG", "dyno certify: --device=cpu: what is to be certified is for a GPU", "certify", "m.onnx",
            "--engine=m.engine", "--trial", "--device=cpu")
    t.fails("E_ARG", "dyno certify: --device=cuda: what is to be certified is for the CPU", "certify", "n.onnx",
            "--engine=n.engine", "--trial", "--device=cuda")
    t.fails("E_ARG", "dyno certify: --device=gpu1: there are cpu, cuda and cuda:N", "certify", "m.onnx",
            "--engine=m.engine", "--trial", "--device=gpu1")
    t.fails("E_TARGET", "dyno certify: there is no GPU cuda:3: this machine has 1", "certify", "m.onnx",
            "--engine=m.engine", "--trial", "--device=cuda:3")
    build(t, "l", good(2), "--device=cuda", "--lean")  # needs neither itself
    for name, op in (("CUDNN", "Conv by cuDNN"), ("CUBLASLT", "MatMul by cuBLAS*")):
        t.fails("E_UNSUPPORTED", f"dyno certify: *the unoptimised execution on a GPU takes {op}, as frameworks do, which is "
                "not here: *", "certify", "l.onnx", "--engine=l.engine", "--trial", env={f"DYNO_{name}": "none"})
    report = certify(t)
    t.fails("E_TARGET", "dyno certify: the certificate is of *", "certify", "n.onnx", "--engine=m.engine",
            f"--verify={report['engine']['file']}", "--device-class=another GPU")
    other = good(2).replace(tensor("m", [8, 5], small_values(40)), tensor("m", [8, 5], [v + 0.1 for v in small_values(40)]))
    build(t, "w", other, "--device=cuda")
    t.fails("E_MISMATCH", "dyno certify: refused before it was measured: w.engine agrees with FP32 to *", "certify",
            "m.onnx", "--engine=w.engine", "--trial", env=SLOW)


def case_open_sizes(t):
    """The unoptimised execution meets sizes that are open as the engine does."""
    build(t, "m", good("n"), "--device=cuda", "--minShapes=x:1x3x6x6", "--optShapes=x:2x3x6x6", "--maxShapes=x:4x3x6x6")
    reference = read(t, certify(t), "reference")
    check([row[0] for row in reference["sweep"]] == [1, 2, 4], reference["sweep"])


def case_batches(t):
    """The batch is the smallest within 5 % of the best, on a GPU as well."""
    nodes = [node("MatMul", ["x", "m"], ["z"], name="product"), node("Relu", ["z"], ["y"], name="relu")]
    onnx = model(graph(nodes, [value("x", ["n", 3, 16])], [value("y", ["n", 3, 8])],
                       [tensor("m", [16, 8], small_values(128))]))
    build(t, "m", onnx, "--device=cuda", "--minShapes=x:1x3x16", "--optShapes=x:2x3x16", "--maxShapes=x:4x3x16")
    reference = read(t, certify(t, env={"DYNO_EMULATE_CLOCK": "3000"}), "reference")
    rates = {row[0]: row[1] / row[2] for row in reference["sweep"]}
    check(list(rates) == [1, 2, 4], rates)
    best = max(rates.values())
    check(reference["batch"] == min(b for b, r in rates.items() if r >= 0.95 * best), rates, reference["batch"])
