"""Engines with convolutions of cuDNN, which the emulated library computes (cudnn.c).

Without g++ there is no run-time compiler, and nothing to test: exit 77.
"""
import json

from harness import check
from onnx_bytes import attr_ints, good, graph, model, node, small_values, tensor, value

SKIPPED = 77


def probe(t):
    """Is there a run-time compiler?"""
    got = t.dyno("build", f"--onnx={t.put('probe.onnx', good())}", "--saveEngine=probe.engine", "--device=cuda", "--lean",
                 "--builderOptimizationLevel=0")
    if "NVRTC" in got.stderr:
        print(got.stderr)
        raise SystemExit(SKIPPED)
    check(got.returncode == 0, got.stderr)


def conv_net(batch=2):
    """Convolutions in each form that cuDNN takes, and one with a tail that it does not: (model, how many it takes)."""
    def conv(x, w, y, *more, **attrs):
        return node("Conv", [x, w, *more], [y], [attr_ints(k, v) for k, v in attrs.items()], y)
    nodes = [
        conv("x", "w1", "c1", "b1", pads=[1, 1, 1, 1]), node("Relu", ["c1"], ["r1"]),
        conv("r1", "w2", "c2", "b1"), node("Add", ["c2", "r1"], ["a2"]), node("Relu", ["a2"], ["r2"]),
        conv("r2", "w2", "c3"), node("Add", ["r1", "c3"], ["a3"]),
        conv("a3", "w2", "c4", "b1", strides=[2, 2]), node("Sigmoid", ["c4"], ["s4"]),
        conv("s4", "w3", "c5"), node("Flatten", ["c5"], ["out/y"]),
    ]
    constants = [tensor("w1", [16, 5, 3, 3], small_values(720)), tensor("b1", [16], small_values(16)),
                 tensor("w2", [16, 16, 1, 1], small_values(256)), tensor("w3", [5, 16, 3, 3], small_values(720))]
    return model(graph(nodes, [value("x", [batch, 5, 6, 6])], [value("out/y", [batch, 5])], constants)), 4


def cudnn_engine(t, name, *flags):
    """An engine whose convolutions run by cuDNN where they can: estimates of small ones like it best."""
    onnx, count = conv_net()
    probe(t)
    path = t.put("conv.onnx", onnx)
    said = t.works("build", f"--onnx={path}", f"--saveEngine={name}.engine", "--device=cuda",
                   "--builderOptimizationLevel=0", "--verbose", *flags)
    return path, t.path(f"{name}.engine"), said, count


def case_convs(t):
    """Plans of cuDNN's give what the CPU gives, captured and not; --lean leaves them out."""
    for name, flags, tol in (("f32", (), "1e-5"), ("f16", ("--fp16",), "0.02"), ("bf16", ("--bf16",), "0.05")):
        path, engine, said, count = cudnn_engine(t, name, *flags)
        check("library cuDNN 9.19.0" in said and said.count("conv_cudnn_cuda") == count, said)
        t.works("compare", path, engine, f"--rtol={tol}", "--layers")
        got = json.loads(t.works("bench", f"--loadEngine={engine}", "--duration=0", "--warmUp=0", "--iterations=4",
                                 "--streams=2", "--json"))
        check(got["runs"] >= 4, got)
    path, engine, said, _ = cudnn_engine(t, "lean", "--lean", "--fp16")
    check("conv_cudnn_cuda" not in said, said)
    t.works("compare", path, engine, "--rtol=0.02", env={"DYNO_CUDNN": "/none"})
    path, engine, said, count = cudnn_engine(t, "plain", "--baseline")
    check(said.count("conv_cudnn_cuda") == count + 1, said)
    t.works("compare", path, engine, "--rtol=1e-5")


def case_parallel(t):
    """Convolutions 1x1 of one value stay apart where cuDNN may read what they make: its plans take no parts of tensors."""
    nodes, constants = [], []
    for name in "ab":
        nodes += [node("Conv", ["x", f"w{name}"], [f"{name}1"], name=name),
                  node("Conv", [f"{name}1", f"v{name}"], [f"y{name}"], [attr_ints("pads", [1, 1, 1, 1])], f"{name}_")]
        constants += [tensor(f"w{name}", [16, 16, 1, 1], small_values(256)[::1 if name == "a" else -1]),
                      tensor(f"v{name}", [16, 16, 3, 3], small_values(2304))]
    probe(t)
    path = t.put("m.onnx", model(graph(nodes, [value("x", [1, 16, 4, 4])],
                                       [value(f"y{name}", [1, 16, 4, 4]) for name in "ab"], constants)))
    for name, flags, env, count in (("full", (), {}, 4), ("lean", ("--lean",), {}, 3), ("none", (), {"DYNO_CUDNN": "/none"}, 3)):
        t.works("build", f"--onnx={path}", f"--saveEngine={name}.engine", "--device=cuda", "--fp16",
                "--builderOptimizationLevel=0", *flags, env=env)
        steps = json.loads(t.works("inspect", "engine", f"{name}.engine", "--json"))["steps"]
        kinds = [s["LayerType"] for s in steps]
        check(kinds.count("Conv") == count and "Slice" not in kinds, name, steps)
        t.works("compare", path, f"{name}.engine", "--rtol=0.02", env=env)


def case_tf32(t):
    """Engines that round are taken where TF32 is allowed, and then alone are they off."""
    weights = tensor("w", [16, 16, 1, 1], [v / 3 for v in small_values(256)])
    path = t.put("m.onnx", model(graph([node("Conv", ["x", "w"], ["y"], name="conv")], [value("x", [1, 16, 4, 4])],
                                       [value("y", [1, 16, 4, 4])], [weights])))
    probe(t)
    rounded = {}
    for flag in ("--noTF32", "--tf32"):
        said = t.works("build", f"--onnx={path}", "--saveEngine=m.engine", "--device=cuda", "--verbose", flag,
                       "--builderOptimizationLevel=0")
        check("conv_cudnn_cuda" in said, said)
        said = t.works("compare", path, t.path("m.engine"), "--rtol=0.01")
        rounded[flag] = float(said.rsplit("= ", 1)[1])
    check(rounded["--noTF32"] < 1e-6 and 1e-5 < rounded["--tf32"] < 1e-2, rounded)


def case_tuned(t):
    """cuDNN's candidates are timed beside our own, for one version of it; what it cannot run is none."""
    probe(t)
    path = t.put("m.onnx", model(graph([node("Conv", ["x", "w"], ["y"], name="conv")], [value("x", [1, 4, 5, 5])],
                                       [value("y", [1, 8, 5, 5])], [tensor("w", [8, 4, 1, 1], small_values(32))])))
    args = ("build", f"--onnx={path}", "--saveEngine=m.engine", "--device=cuda", "--builderOptimizationLevel=1", "--json",
            "--timingCacheFile=m.cache")
    first = json.loads(t.works(*args, env={"DYNO_EMULATE_CUDNN_FAIL": "cudnnBackendExecute"}))
    check(all(step["kernel"] != "conv_cudnn_cuda" for step in first["steps"]), first)
    check("conv_cudnn" not in (t.folder / "m.cache").read_text(), "what fails has no time")
    for version, timed in (("91900", True), ("91900", False), ("91901", True)):
        got = json.loads(t.works(*args, env={"DYNO_EMULATE_CUDNN_VERSION": version}))
        check(any(step["kernel"] == "conv_cudnn_cuda" for step in got["steps"]), got)
        check((got["candidates_timed"] > 0) == timed, version, got["candidates_timed"])
    t.works("compare", path, t.path("m.engine"), "--rtol=1e-5", env={"DYNO_EMULATE_CUDNN_VERSION": "91901"})


def case_workspace(t):
    """A plan that wants more than is allowed is not taken, and the build says what it would save; without a limit 256 MiB are."""
    probe(t)
    path = t.put("m.onnx", model(graph([node("Conv", ["x", "w"], ["y"], name="conv")], [value("x", [1, 16, 12, 12])],
                                       [value("y", [1, 16, 12, 12])], [tensor("w", [16, 16, 1, 1], small_values(256))])))

    def built(name, limit=None, wants=5000):
        """The report, whether the fast plan is in the engine, and what is said."""
        flags = () if limit is None else (f"--memPoolSize=workspace:{limit / 2**20:.20f}",)
        said = t.works("build", f"--onnx={path}", f"--saveEngine={name}.engine", "--device=cuda", "--builderOptimizationLevel=1",
                       *flags, env={"DYNO_EMULATE_CLOCK": "1000", "DYNO_EMULATE_CUDNN_WORKSPACE": str(wants)})
        report = json.loads((t.folder / f"{name}.engine.json").read_bytes())
        step, = (s for s in report["steps"] if s["op"] == "Conv")
        check(step["kernel"] == "conv_cudnn_cuda", step)
        return report, b'"engineId":4}' in (t.folder / f"{name}.engine").read_bytes(), said

    report, is_fast, said = built("free")
    check(is_fast and "larger_workspace" not in report and "would take" not in said, report, said)
    t.works("compare", path, "free.engine", "--rtol=1e-5", env={"DYNO_EMULATE_CUDNN_WORKSPACE": "5000"})
    for limit in (1000, 5255):  # it must lie at a multiple of 256
        report, is_fast, said = built("less", limit)
        told = report["larger_workspace"]
        check(not is_fast and told["steps"] == 1 and told["bytes"] == 5256, limit, told)
        saves = (145 - 72) * 10  # by the clock: for each thread of a launch
        check(abs(told["saves_us"] - saves) < 1, told)
        check(f"1 steps would take {saves:.1f} us less, all together, with a workspace of 1 MiB" in said, said)
    report, is_fast, said = built("enough", 5256)
    check(is_fast and report["larger_workspace"] == {"steps": 0, "saves_us": 0, "bytes": 0}, report)
    check("would take" not in said and (t.folder / "enough.engine").read_bytes() == (t.folder / "free.engine").read_bytes(), said)
    check(not built("most", wants=(256 << 20) + 1)[1], "it has more than 256 MiB")


def case_shapes(t):
    """A plan of one batch is given other sizes; what its engine does not do, another does (the emulated ones that
    estimates like do four)."""
    onnx, count = conv_net("n")
    probe(t)
    path = t.put("m.onnx", onnx)
    for flags, more, tol in (((), 0, "1e-5"), (("--fp16",), 0, "0.02"), (("--baseline",), 1, "1e-5")):
        said = t.works("build", f"--onnx={path}", "--saveEngine=m.engine", "--device=cuda",
                       "--builderOptimizationLevel=0", "--maxBatch=6", "--optBatch=3", "--verbose", *flags)
        check(said.count("conv_cudnn_cuda") == count + more, said)
        for batch in (3, 1, 4, 5, 6):
            t.works("compare", path, t.path("m.engine"), f"--rtol={tol}", f"--shapes=x:{batch}x5x6x6")


def case_fails(t):
    """Another version, no library, calls that fail: one sentence each."""
    _, engine, _, _ = cudnn_engine(t, "m")
    wanted = "dyno run: *step '*': the engine needs cuDNN 9.19.0, "
    t.fails("E_TARGET", wanted + "with which it was built, and 9.21.3 is here: give it that one (DYNO_CUDNN names a "
            "file), or build it here", "run", engine, env={"DYNO_EMULATE_CUDNN_VERSION": "92103"})
    t.fails("E_TARGET", wanted + "as it was built without --lean: the file that DYNO_CUDNN names does not load: *",
            "run", engine, env={"DYNO_CUDNN": t.path("libcudnn.so")})
    t.fails("E_TARGET", wanted + "as it was built without --lean: it is version 8907, and one of 9 is needed",
            "run", engine, env={"DYNO_EMULATE_CUDNN_VERSION": "8907"})
    t.fails("E_NOMEM", "dyno run: *cuDNN failed to start: CUDNN_STATUS_INTERNAL_ERROR (4004: no memory for a handle)",
            "run", engine, env={"DYNO_EMULATE_CUDNN_FAIL": "cudnnCreate"})
    t.fails("E_IO", "dyno run: *cuDNN failed to make the plan: CUDNN_STATUS_EXECUTION_FAILED (5000: nothing is final)",
            "run", engine, env={"DYNO_EMULATE_CUDNN_FAIL": "cudnnBackendFinalize"})
    t.fails("E_IO", "dyno run: *cuDNN failed to run a plan: CUDNN_STATUS_EXECUTION_FAILED (5000: as it was told)",
            "run", engine, env={"DYNO_EMULATE_CUDNN_FAIL": "cudnnBackendExecute"})
    t.works("run", engine)
    for call in ("cudnnCreate", "cudnnBackendFinalize"):
        said = t.works("build", f"--onnx={t.path('conv.onnx')}", "--saveEngine=own.engine", "--device=cuda",
                       "--builderOptimizationLevel=0", "--verbose", env={"DYNO_EMULATE_CUDNN_FAIL": call})
        check("conv_cudnn_cuda" not in said and ("library no cuDNN: " in said) == (call == "cudnnCreate"), said)
    check(t.works("inspect", "engine", engine) != "", "an engine is looked at without a library")


def case_inspected(t):
    """What a GPU is to builds: the versions that they find, or why there is none; the same where the same is here."""
    probe(t)
    facts = json.loads(t.works("inspect", "device", "cuda:0", "--json"))
    check(list(facts) == ["name", "compute", "multiprocessors", "memory_bytes", "driver", "nvrtc", "cublaslt", "cudnn"], facts)
    check(facts["name"] == "Emulated GPU" and facts["driver"] == "13.0" and facts["cudnn"] == "9.19.0", facts)
    check(facts["nvrtc"] and json.loads(t.works("inspect", "device", "cuda", "--json")) == facts, facts)
    other = json.loads(t.works("inspect", "device", "cuda", "--json", env={"DYNO_EMULATE_CUDNN_VERSION": "91800"}))
    check({**facts, "cudnn": "9.18.0"} == other, other)
    none = {"DYNO_CUDNN": "/none", "DYNO_NVRTC": "/none"}
    check({**facts, "cudnn": None, "nvrtc": None} == json.loads(t.works("inspect", "device", "cuda", "--json", env=none)))
    said = t.works("inspect", "device", "cuda", env=none)
    check("cuda: Emulated GPU, compute capability 8.0" in said and "driver for CUDA 13.0" in said, said)
    check("no cuDNN: the file that DYNO_CUDNN names does not load" in said and "no NVRTC: " in said, said)
    t.fails("E_TARGET", "dyno inspect: there is no GPU cuda:1: this machine has 1", "inspect", "device", "cuda:1")
