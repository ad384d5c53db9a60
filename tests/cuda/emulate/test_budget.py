"""Precision layer by layer, and an accuracy budget that is kept, on the emulated GPU."""
import json
import os
import struct

from harness import check
from onnx_bytes import I64, attr_int, graph, model, node, npy, tensor, value

SKIPPED = 77


def numbers(count, scale, seed):
    """`count` numbers in [-scale, scale) that look like chance."""
    state, out = seed, []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        out.append(scale * (state / 2**31 - 1))
    return out


def cancelling(rows=64):
    """Two products of the same rows by nearly the same matrix, and their small difference: what 16 bits lose of either is
    much of it.  What comes before is in both."""
    more = numbers(512 * 256, 2.0, 3)
    less = [a + b for a, b in zip(more, numbers(512 * 256, 0.01, 4))]
    nodes = [node("MatMul", ["x", "a"], ["h"], name="enter"), node("Relu", ["h"], ["r"], name="relu"),
             node("MatMul", ["r", "b"], ["g"], name="hidden"), node("Tanh", ["g"], ["t"], name="tanh"),
             node("MatMul", ["t", "c"], ["l"], name="more"), node("MatMul", ["t", "d"], ["k"], name="less"),
             node("Sub", ["l", "k"], ["y"], name="difference")]
    constants = [tensor("a", [256, 512], numbers(256 * 512, 0.1, 1)), tensor("b", [512, 512], numbers(512 * 512, 0.1, 2)),
                 tensor("c", [512, 256], more), tensor("d", [512, 256], less)]
    return model(graph(nodes, [value("x", [rows, 256])], [value("y", [rows, 256])], constants))


def build(t, onnx, *flags):
    """What the build says, as JSON; from estimates, as times would be those of the emulation."""
    path = t.put("m.onnx", onnx)
    args = ("build", f"--onnx={path}", "--saveEngine=m.engine", "--device=cuda", "--builderOptimizationLevel=0", "--json",
            *flags)
    got = t.dyno(*args)
    if "NVRTC" in got.stderr:
        print(got.stderr)
        raise SystemExit(SKIPPED)
    check(got.returncode == 0 and got.stderr == "", args, got.stderr)
    return json.loads(got.stdout)


def precisions(t):
    """By layer; layout changes, which are named as their tensors, left out."""
    steps = json.loads(t.works("inspect", "engine", t.path("m.engine"), "--json"))["steps"]
    return {s["Name"]: s["Precision"] for s in steps if s["LayerType"] != "Reorder"}


def case_layers(t):
    """Layers by name and by pattern; what is not in f32 by estimates is the products."""
    half = {"enter": "FP16", "hidden": "FP16", "more": "FP16", "less": "FP16"}
    build(t, cancelling(), "--fp16")
    check(precisions(t) == half, precisions(t))
    for flag, kept in (("hidden:fp32", ("hidden",)), ("*e:fp32", ("more", "less")), ("tanh:fp32", ("hidden",)),
                       ("*:fp16,hidden:fp32", ("hidden",)), ("hidden:fp32,*:fp16", ("hidden",)), ("*:fp32", tuple(half))):
        build(t, cancelling(), "--fp16", f"--layerPrecisions={flag}")
        want = {name: "FP32" if name in kept or (flag == "*e:fp32" and "e" in name[-1:]) else "FP16" for name in half}
        if flag == "*e:fp32":  # "difference" is done where "less" is
            want = dict(half, more="FP32", less="FP32")
        check(precisions(t) == want, flag, precisions(t), want)
    path, rest = t.path("m.onnx"), ("--saveEngine=m.engine", "--device=cuda", "--fp16")
    for rules, sentence in (
            ("hidden:fp32,third:fp32", "a precision is given for 'third', which is no layer of the model"),
            ("hidden:bf16", "--layerPrecisions: 'hidden:bf16' wants --bf16, too"),
            ("hidden:int8", "--layerPrecisions: 'hidden:int8': there are fp32, fp16 and bf16, not 'int8'"),
            ("hidden", "--layerPrecisions: 'hidden' is not LAYER:PRECISION")):
        t.fails("E_ARG", f"dyno build: {sentence}", "build", f"--onnx={path}", *rest, f"--layerPrecisions={rules}")


def case_budget(t):
    """The layers that lose it are in f32, the others are not; the engine says what was found."""
    free = build(t, cancelling(), "--fp16")
    check("accuracy_budget" not in free, free)
    t.fails("E_MISMATCH", "dyno compare: *", "compare", t.path("m.onnx"), t.path("m.engine"), "--rtol=0.02")
    said = build(t, cancelling(), "--fp16", "--accuracyBudget=0.002")
    check(said["accuracy_error_without"] > 0.02 and said["accuracy_error"] <= 0.002 and said["accuracy_budget"] > 0, said)
    check(said["kept_in_f32"] == ["more", "less"] and 3 <= said["accuracy_trials"] <= 10, said)
    check(precisions(t) == {"enter": "FP16", "hidden": "FP16", "more": "FP32", "less": "FP32"}, precisions(t))
    t.works("compare", t.path("m.onnx"), t.path("m.engine"), "--rtol=0.002")
    shown = json.loads(t.works("inspect", "engine", t.path("m.engine"), "--json"))
    check(shown["accuracy_budget"] == said["accuracy_budget"] and shown["accuracy_error"] == said["accuracy_error"], shown)
    text = t.works("inspect", "engine", t.path("m.engine"))
    check("of the output's range, 0.002 allowed" in text and " FP32 more" in text and " FP16 hidden" in text, text)
    first = (t.folder / "m.engine").read_bytes()
    build(t, cancelling(), "--fp16", "--accuracyBudget=0.002")
    check((t.folder / "m.engine").read_bytes() == first, "the same budget gives another engine")
    # What is fastest keeps it: nothing is raised, and nothing more is tried.
    said = build(t, cancelling(), "--fp16", "--accuracyBudget=0.5")
    check(said["kept_in_f32"] == [] and said["accuracy_trials"] == 1, said)
    check(abs(said["accuracy_error"] - said["accuracy_error_without"]) < 1e-6, said)


def faint():
    """Weights too small for f16, which keeps a few bits of them; TF32 keeps ten."""
    nodes = [node("MatMul", ["x", "a"], ["h"], name="faint"), node("Relu", ["h"], ["r"], name="relu"),
             node("MatMul", ["r", "b"], ["g"], name="loud"), node("Tanh", ["g"], ["t"], name="tanh"),
             node("MatMul", ["t", "c"], ["y"], name="leave")]
    constants = [tensor("a", [256, 256], numbers(256 * 256, 1e-6, 1)), tensor("b", [256, 256], numbers(256 * 256, 1e4, 2)),
                 tensor("c", [256, 64], numbers(256 * 64, 0.1, 3))]
    return model(graph(nodes, [value("x", [16, 256])], [value("y", [16, 64])], constants))


def case_tf32(t):
    """Layers that need no more than TF32 go there, and no further; that it happened is said."""
    said = build(t, faint(), "--fp16", "--accuracyBudget=0.005")
    check(said["accuracy_error_without"] > 0.01 and said["accuracy_error"] <= 0.005, said)
    check(said["raised_to_tf32"] == ["faint"] and said["kept_in_f32"] == [] and said["accuracy_trials"] <= 10, said)
    check(precisions(t) == {"faint": "TF32", "loud": "FP16", "leave": "FP16"} and "tf32" in said["precisions"], precisions(t), said)
    t.works("compare", t.path("m.onnx"), t.path("m.engine"), "--rtol=0.005")
    first = (t.folder / "m.engine").read_bytes()
    build(t, faint(), "--fp16", "--accuracyBudget=0.005")
    check((t.folder / "m.engine").read_bytes() == first, "the same budget gives another engine")
    # A layer that is to be f32 altogether is that; a layer that may be f16 may be TF32.
    for rule, want in (("faint:fp32", "FP32"), ("*:fp16", "TF32")):
        said = build(t, faint(), "--fp16", "--accuracyBudget=0.005", f"--layerPrecisions={rule}")
        check(precisions(t) == {"faint": want, "loud": "FP16", "leave": "FP16"}, rule, precisions(t), said)
    # Where it is declined, and where the budget is too small for it, f32.
    for flags in (("--noTF32", "--accuracyBudget=0.005"), ("--accuracyBudget=0.00005",)):
        said = build(t, faint(), "--fp16", *flags)
        check("faint" in said["kept_in_f32"] and precisions(t)["faint"] == "FP32", said)
    check("tf32" not in build(t, faint(), "--fp16", "--noTF32", "--accuracyBudget=0.005")["precisions"])
    # Nobody asked, and what is fastest keeps the budget: no TF32.
    said = build(t, faint(), "--fp16", "--accuracyBudget=0.5")
    check(said["raised_to_tf32"] == [] and set(precisions(t).values()) == {"FP16"} and "tf32" not in said["precisions"], said)
    # Asked for without 16 bits, it is what is left where it keeps the budget, and f32 where not.
    said = build(t, faint(), "--tf32", "--accuracyBudget=0.01")
    check(said["accuracy_trials"] == 1 and set(precisions(t).values()) == {"TF32"}, said)
    said = build(t, faint(), "--tf32", "--accuracyBudget=0.0001")
    check(said["raised_to_tf32"] == [] and said["kept_in_f32"], said)


def case_no_budget(t):
    """What no precision keeps: a sentence with both errors, and no engine."""
    path = t.put("m.onnx", cancelling())
    build(t, cancelling(), "--fp16")
    (t.folder / "m.engine").unlink()
    t.fails("E_MISMATCH", "dyno build: the accuracy budget of 1e-08 cannot be kept: the error is * where every layer that can be "
            "is in f32, and 0.0* without that", "build", f"--onnx={path}", "--saveEngine=m.engine", "--device=cuda", "--fp16",
            "--builderOptimizationLevel=0", "--accuracyBudget=1e-8")
    check(not (t.folder / "m.engine").exists())


def case_given_data(t):
    """On data in the caller's files, in batches: data so large that the network saturates has another error than what is made up."""
    made_up = build(t, cancelling(), "--fp16", "--accuracyBudget=0.5")
    x = t.put("x.npy", npy([150, 256], data=struct.pack(f"<{150 * 256}f", *numbers(150 * 256, 40.0, 9))))
    given = build(t, cancelling(), "--fp16", "--accuracyBudget=0.5", f"--loadInputs=x:{x}")
    check(given["accuracy_error"] != made_up["accuracy_error"], given["accuracy_error"])
    onnx = t.path("m.onnx")
    same = ("build", f"--onnx={onnx}", "--saveEngine=m.engine", "--device=cuda", "--builderOptimizationLevel=0")
    t.fails("E_ARG", "dyno build: 'z:*' names no input of the engine (NAME:FILE.npy)", *same, "--fp16", "--accuracyBudget=0.5",
            f"--loadInputs=z:{x}")
    t.fails("E_ARG", "dyno build: --loadInputs goes with --accuracyBudget", *same, "--fp16", f"--loadInputs=x:{x}")
    t.fails("E_ARG", "dyno build: --accuracyBudget goes with --fp16, --bf16 or --tf32: *", *same, "--accuracyBudget=0.5")
    t.fails("E_ARG", "dyno build: --accuracyBudget is for engines: *", *same, "--fp16", "--baseline", "--accuracyBudget=0.5")


def case_softmax(t):
    """Logits of a range of hundreds: what 16 bits keep of them is not enough for their softmax, which names them by itself."""
    nodes = [node("MatMul", ["x", "a"], ["l"], name="logits"), node("Softmax", ["l"], ["p"], [attr_int("axis", -1)], "softmax"),
             node("MatMul", ["p", "b"], ["y"], name="weigh")]
    constants = [tensor("a", [256, 512], numbers(256 * 512, 4.0, 1)), tensor("b", [512, 256], numbers(512 * 256, 1.0, 2))]
    onnx = model(graph(nodes, [value("x", [64, 256])], [value("y", [64, 256])], constants))
    for flags, where in (((), "raised_to_tf32"), (("--noTF32",), "kept_in_f32")):
        said = build(t, onnx, "--bf16", "--accuracyBudget=0.01", *flags)
        check(said["accuracy_error_without"] > 0.01 >= said["accuracy_error"], said)
        check("logits" in said[where] and precisions(t)["weigh"] == "BF16", said)
        t.works("compare", t.path("m.onnx"), t.path("m.engine"), "--rtol=0.011")


def case_steps_on_the_cpu(t):
    """Engines that were only tried are not counted."""
    nodes = [node("MatMul", ["x", "a"], ["h"], name="enter"), node("CumSum", ["h", "n"], ["y"], name="sum")]
    onnx = model(graph(nodes, [value("x", [4, 16])], [value("y", [4, 16])],
                       [tensor("a", [16, 16], numbers(256, 0.1, 1)), tensor("n", [], [1], I64)]))
    check(build(t, onnx, "--fp16")["cpu_steps"] == 1)
    told = build(t, onnx, "--fp16", "--accuracyBudget=0.5")
    check(told["accuracy_trials"] == 1 and told["cpu_steps"] == 1, told)


def library():
    return {"DYNO_CUBLASLT": os.path.join(os.environ["LD_LIBRARY_PATH"], "libcublaslt-emulated.so")}


def with_libraries(t, onnx, ns, change, *flags, works=True):
    """Timed, with the emulated cuBLASLt: what its products take, and how much longer they do behind a program of ours."""
    path = t.put("m.onnx", onnx)
    got = t.dyno("build", f"--onnx={path}", "--saveEngine=m.engine", "--device=cuda", "--builderOptimizationLevel=1",
                 "--fp16", "--timingCacheFile=times", "--branches=off", *flags,
                 env={**library(), "DYNO_EMULATE_CLOCK": "200", "DYNO_EMULATE_LIBRARY_NS": str(ns),
                      "DYNO_EMULATE_LIBRARY_CHANGE": str(change)})
    if not works:
        return got
    check(got.returncode == 0, got.stderr)
    return json.loads((t.folder / "m.engine.json").read_bytes())


def small_cancelling(size=64):
    """The same in small, as timing takes its time; what GELU makes of a library's product has been rounded once before."""
    more = numbers(size * size, 2.0, 3)
    less = [a + b for a, b in zip(more, numbers(size * size, 0.01, 4))]
    nodes = [node("MatMul", ["x", "a"], ["h"], name="enter"), node("Gelu", ["h"], ["g"], name="gelu"),
             node("MatMul", ["g", "c"], ["l"], name="more"), node("MatMul", ["g", "d"], ["k"], name="less"),
             node("Sub", ["l", "k"], ["y"], name="difference")]
    constants = [tensor("a", [size, size], numbers(size * size, 0.1, 1)), tensor("c", [size, size], more),
                 tensor("d", [size, size], less)]
    return model(graph(nodes, [value("x", [size, size])], [value("y", [size, size])], constants), opset=20)


def case_providers(t):
    """Our own kernels alone or the libraries' among them: what is faster in the graph, if it keeps the budget; else it is mended,
    and held against the other one if that keeps it as it is."""
    wide = with_libraries(t, small_cancelling(), 2000, 0, "--accuracyBudget=0.5")
    own = wide["own_kernels"]
    check(not own["alone"] and own["libraries_save_us"] > 0 and wide["accuracy_trials"] == 2, own)
    check(abs(wide["accuracy_error"] - own["error_with_libraries"]) < 1e-6 and own["error"] < own["error_with_libraries"], wide)
    check(wide["kept_in_f32"] == wide["raised_to_tf32"] == [], wide)
    between = (own["error"] + own["error_with_libraries"]) / 2
    said = with_libraries(t, small_cancelling(), 2000, 1000, f"--accuracyBudget={between}", "--timingCacheFile=slow")
    check(said["own_kernels"]["alone"] and said["own_kernels"]["libraries_save_us"] < 0 and said["accuracy_trials"] == 2, said)
    check(said["kept_in_f32"] == said["raised_to_tf32"] == [] and said["accuracy_error"] <= between, said)
    for budget in (between, 0.01):
        for change, cache in ((0, "times"), (1000, "slow")):
            flags = (f"--accuracyBudget={budget}", f"--timingCacheFile={cache}")
            first = with_libraries(t, small_cancelling(), 2000, change, *flags)
            check(first["accuracy_trials"] > 2 or (change > 0 and budget == between), first)
            check(first["accuracy_error"] <= budget, first)
            t.works("compare", t.path("m.onnx"), t.path("m.engine"), f"--rtol={first['accuracy_error'] * 1.01}", env=library())
            engine = (t.folder / "m.engine").read_bytes()
            with_libraries(t, small_cancelling(), 2000, change, *flags)
            check((t.folder / "m.engine").read_bytes() == engine, "the same cache gives another engine")
    got = with_libraries(t, small_cancelling(), 2000, 0, "--accuracyBudget=1e-9", works=False)
    check("the accuracy budget of 1e-09 cannot be kept" in got.stderr and got.stderr.count("\n") == 1, got.stderr)


def case_mended_is_slower(t):
    """With the libraries is faster, and mended to keep the budget slower than our own alone, which kept it as it is: all of
    the mending is taken back."""
    wide = with_libraries(t, small_cancelling(), 2000, 0, "--accuracyBudget=0.5", "--noTF32")
    own = wide["own_kernels"]
    check(not own["alone"] and own["libraries_save_us"] > 0 and own["error"] < own["error_with_libraries"], own)
    budget = f"--accuracyBudget={(own['error'] + own['error_with_libraries']) / 2}"
    mended = with_libraries(t, small_cancelling(), 2000, 0, budget)
    check(not mended["own_kernels"]["alone"] and mended["raised_to_tf32"] != [], mended)
    # In f32 our own product behind the library's takes more threads than in f16 and in TF32, for longer than the library saves.
    said = with_libraries(t, small_cancelling(), 2000, 0, budget, "--noTF32")
    check(said["own_kernels"]["alone"] and said["own_kernels"]["libraries_save_us"] < 0, said["own_kernels"])
    check(said["accuracy_trials"] > 2 and said["kept_in_f32"] == said["raised_to_tf32"] == [], said)
    check(abs(said["accuracy_error"] - own["error"]) < 1e-6 and {s["precision"] for s in said["steps"]} == {"FP16"}, said)
    engine = (t.folder / "m.engine").read_bytes()
    t.works("compare", t.path("m.onnx"), t.path("m.engine"), f"--rtol={said['accuracy_error'] * 1.01}",
            env={"DYNO_CUBLASLT": "none"})
    with_libraries(t, small_cancelling(), 2000, 0, budget, "--noTF32")
    check((t.folder / "m.engine").read_bytes() == engine, "the same cache gives another engine")
    # Engines that are tried afterwards are in 16 bits, too: what takes as long alone takes as long in them.
    tried = with_libraries(t, small_cancelling(), 2000, 0, budget, "--noTF32", "--retimeBudget=10000")
    alike = [trial for trial in tried["retimed"]["trials"] if trial["other"]["alone_us"] == trial["chosen"]["alone_us"]]
    check(alike and all(abs(trial["saves_us"]) < 0.1 for trial in alike), alike)
    check({s["precision"] for s in tried["steps"]} == {"FP16"} and tried["kept_in_f32"] == [], tried)
