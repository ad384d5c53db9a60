"""Alternatives in runs of the whole graph, on the emulated GPU.  Its clock makes a launch longer for each of its blocks where
another program was before it (DYNO_EMULATE_CHANGE), which no timing alone sees: so the choice by those is not the best.

Without g++ there is no run-time compiler, and nothing to test: exit 77.
"""
import json
import math
import os
import re

from harness import check
from onnx_bytes import I64, attr_int, attr_ints, graph, model, node, small_values, tensor, value

SKIPPED = 77
HOURS = "--retimeBudget=7200"  # how fast this machine is must not matter
CHANGE = {"DYNO_EMULATE_CHANGE": "1000", "DYNO_EMULATE_CLOCK": "200"}


def products():
    """Two equal steps, and one that is another: it has no Relu."""
    nodes = [
        node("MatMul", ["x", "m"], ["a"], name="first"), node("Relu", ["a"], ["b"], name="relu"),
        node("MatMul", ["b", "n"], ["c"], name="second"), node("Relu", ["c"], ["d"], name="relus"),
        node("Softmax", ["d"], ["s"], [attr_int("axis", -1)], "softmax"), node("MatMul", ["s", "k"], ["y"], name="last"),
    ]
    constants = [tensor(name, [64, 64], small_values(64 * 64)) for name in ("m", "n", "k")]
    return model(graph(nodes, [value("x", [64, 64])], [value("y", [64, 64])], constants))


def build(t, name, *flags, env=None):
    """The report of an engine of m.onnx."""
    args = ("build", "--onnx=m.onnx", f"--saveEngine={name}.engine", "--device=cuda", "--builderOptimizationLevel=1", *flags)
    got = t.dyno(*args, env={**CHANGE, **(env or {})})
    if "NVRTC" in got.stderr:
        print(got.stderr)
        raise SystemExit(SKIPPED)
    check(got.returncode == 0, args, got.stderr)
    return json.loads((t.folder / f"{name}.engine.json").read_bytes())


def same(t, a, b):
    return (t.folder / f"{a}.engine").read_bytes() == (t.folder / f"{b}.engine").read_bytes()


def times(t, name, of_trials):
    """Lines of a timing cache: those of trials, or all others."""
    lines = (t.folder / name).read_text().splitlines()[1:]
    return [line for line in lines if (line.split()[2].startswith("retime_")) == of_trials]


def case_taken(t):
    """What is slower in the network gives way, in both steps; the same again from the cache, without a run."""
    t.put("m.onnx", products())
    alone = build(t, "alone", "--retimeBudget=0", "--timingCacheFile=times-alone")
    check("retimed" not in alone, alone)
    report = build(t, "m", HOURS, "--timingCacheFile=times")
    check(report["gpu_programs"] == alone["gpu_programs"] == 3, report)  # both products by one
    told = report["retimed"]
    taken = [trial for trial in told["trials"] if trial["taken"]]
    check(told["all_tried"] and "failure" not in told and told["graph_us"] > 0, told)
    check(len(told["trials"]) >= 5 and [(trial["step"], trial["steps"]) for trial in taken] == [("first", 2), ("last", 1)], told)
    for trial in taken:
        check(trial["saves_us"] > 0 and not trial["cached"], trial)
        check(trial["chosen"]["alone_us"] == trial["other"]["alone_us"], trial)
    check(all(trial["saves_us"] <= 0 for trial in told["trials"] if not trial["taken"]), told)
    check(not same(t, "m", "alone"), "the engine is that of the timings alone")
    t.works("compare", "m.onnx", "m.engine", "--rtol=1e-5", "--layers")
    # What it is now: the next trial is held against it.
    check(told["trials"][told["trials"].index(taken[0]) + 1]["chosen"] == taken[0]["other"], told)
    # The steps' own times are those of a build without trials; new are those of the graph as it is now.
    old, new = set(times(t, "times-alone", False)), set(times(t, "times", False))
    check(old < new and all(line.split()[2].startswith("graph_") for line in new - old), old, new)
    check(len(times(t, "times", True)) == len(told["trials"]) and not times(t, "times-alone", True))
    before = (t.folder / "times").read_bytes()
    again = build(t, "again", HOURS, "--timingCacheFile=times", env={"DYNO_EMULATE_FAIL": "1", "DYNO_EMULATE_CHANGE": "0"})
    check(same(t, "m", "again") and (t.folder / "times").read_bytes() == before, "not the same again")
    check("graph_chain_us" not in again, "the graph has no branches, and was not timed", again)
    check(all(trial["cached"] for trial in again["retimed"]["trials"]) and again["candidates_timed"] == 0, again)
    check([trial["taken"] for trial in again["retimed"]["trials"]] == [trial["taken"] for trial in told["trials"]], again)
    # Who wants none gets none, whatever the cache knows.
    build(t, "none", "--retimeBudget=0", "--timingCacheFile=times")
    check(same(t, "none", "alone"), "trials of the cache were used")


def case_left(t):
    """Where launches take what they took alone nothing is gained, and nothing changes."""
    t.put("m.onnx", products())
    build(t, "alone", "--retimeBudget=0", "--timingCacheFile=times")
    told = build(t, "m", HOURS, "--timingCacheFile=times", env={"DYNO_EMULATE_CHANGE": "0"})
    check(told["retimed"]["trials"] and not any(trial["taken"] for trial in told["retimed"]["trials"]), told)
    check(same(t, "m", "alone"), "it changed")


def case_levels(t):
    """Nobody is made to wait who did not ask: none below level 4, none for who forbids it, and it is a GPU's."""
    t.put("m.onnx", products())
    check("retimed" not in build(t, "m", "--timingCacheFile=times"))
    four = "--builderOptimizationLevel=4"
    check("retimed" not in build(t, "m", "--timingCacheFile=times", "--retimeBudget=0", four))
    told = build(t, "m", "--timingCacheFile=times", four)
    check("retimed" in told, told)
    t.fails("E_UNSUPPORTED", "dyno build: --retimeBudget goes with --device=cuda: *", "build", "--onnx=m.onnx",
            "--saveEngine=c.engine", "--retimeBudget=1")
    t.fails("E_ARG", "dyno build: --retimeBudget=-1: *", "build", "--onnx=m.onnx", "--saveEngine=c.engine",
            "--device=cuda", "--retimeBudget=-1")


def case_no_time(t):
    """A search that ended for want of time ends there again, however much of it there is then."""
    t.put("m.onnx", products())
    build(t, "alone", "--retimeBudget=0", "--timingCacheFile=times")
    no_time = ("--retimeBudget=1e-6", "--timingCacheFile=times")
    told = build(t, "m", *no_time)["retimed"]
    check(told["trials"] == [] and not told["all_tried"] and same(t, "m", "alone"), told)
    check([line.split()[2] for line in times(t, "times", True)] == ["retime_stops"])
    told = build(t, "again", *no_time, env={"DYNO_EMULATE_FAIL": "1"})["retimed"]
    check(told["trials"] == [] and not told["all_tried"] and "failure" not in told and same(t, "again", "alone"), told)
    check(build(t, "more", HOURS, "--timingCacheFile=times")["retimed"]["trials"], "other bounds are another search")


def case_gpu_breaks(t):
    """A trial that breaks the GPU leaves what was chosen, also where another was taken before; so does the next build."""
    t.put("m.onnx", products())
    build(t, "alone", "--retimeBudget=0", "--timingCacheFile=times")
    known = (t.folder / "times").read_bytes()
    seen = set()
    for nth in (2, 60, 250, 450):
        t.put("times", known)
        told = build(t, "m", HOURS, "--timingCacheFile=times", env={"DYNO_EMULATE_FAIL": str(nth)})["retimed"]
        if "failure" not in told:
            continue
        check(told["failure"].startswith("a trial in step 'first': ") and "ILLEGAL_ADDRESS" in told["failure"], told)
        check(same(t, "m", "alone") and not any(trial["taken"] for trial in told["trials"]), nth, told)
        seen.add(len(told["trials"]))
        build(t, "again", HOURS, "--timingCacheFile=times")
        check(same(t, "again", "alone"), nth, "the next build decides otherwise")
    check(len(seen) >= 2, "failures at", seen)
    t.works("compare", "m.onnx", "m.engine", "--rtol=1e-5")


def case_no_room(t):
    """Two engines are on the GPU at a time: where they have no room what was chosen stays, or what was taken before."""
    t.put("m.onnx", products())
    build(t, "alone", "--retimeBudget=0", "--timingCacheFile=times")
    known = (t.folder / "times").read_bytes()
    failures = 0
    for kilobytes in (60, 80, 100, 120, 160, 400):
        t.put("times", known)
        env = {"DYNO_EMULATE_MEMORY": str(1000 * kilobytes)}  # the engine holds what the GPU has
        build(t, "alone", "--retimeBudget=0", "--timingCacheFile=times", env=env)
        told = build(t, "m", HOURS, "--timingCacheFile=times", env=env)["retimed"]
        took = any(trial["taken"] for trial in told["trials"])
        check(same(t, "m", "alone") != took, kilobytes, told)
        if "failure" in told:
            check("OUT_OF_MEMORY" in told["failure"], told)
            build(t, "again", HOURS, "--timingCacheFile=times", env={**env, "DYNO_EMULATE_FAIL": "1"})
            check(same(t, "again", "m"), kilobytes, "the next build decides otherwise")
            failures += 1
    check(failures > 0 and "failure" not in told, failures, told)


def case_branches(t):
    """A graph in branches is tried in branches: what is taken is right there, in any order."""
    nodes = [
        node("MatMul", ["x", "m"], ["a"], name="left"), node("Relu", ["a"], ["b"], name="relu"),
        node("MatMul", ["x", "n"], ["c"], name="right"), node("Relu", ["c"], ["d"], name="relus"),
        node("Softmax", ["d"], ["s"], [attr_int("axis", -1)], "softmax"), node("Mul", ["b", "s"], ["y"], name="both"),
    ]
    numbers = small_values(64 * 64)
    constants = [tensor("m", [64, 64], numbers), tensor("n", [64, 64], numbers[::-1])]  # two products, not one
    t.put("m.onnx", model(graph(nodes, [value("x", [64, 64])], [value("y", [64, 64])], constants)))
    build(t, "alone", "--retimeBudget=0", "--branches=on", "--timingCacheFile=times")
    told = build(t, "m", HOURS, "--branches=on", "--timingCacheFile=times")
    check(told["may_branch"] and any(trial["taken"] for trial in told["retimed"]["trials"]), told)
    check(not same(t, "m", "alone"))
    for seed in range(2, 8):
        t.works("compare", "m.onnx", "m.engine", "--rtol=1e-5", env={"DYNO_EMULATE_SEED": str(seed)})
    # Where it is timed both ways, it is so again with what was taken.
    timed = build(t, "timed", HOURS, "--timingCacheFile=times")
    lines = [line for line in times(t, "times", False) if line.split()[2] == "graph_branches"]
    check(timed["graph_branches_us"] < timed["graph_chain_us"] and timed["may_branch"] and len(lines) == 2, timed, lines)
    check(same(t, "timed", "m"), "it is another")
    # As a chain it is another graph, with trials of its own.
    chain = build(t, "chain", HOURS, "--branches=off", "--timingCacheFile=times")["retimed"]
    check(chain["trials"] and not any(trial["cached"] for trial in chain["trials"]), chain)


def case_steps_on_the_cpu(t):
    """A run of the graph is timed on the GPU: what the CPU does beside it has no trials, be it ever so near."""
    pads = attr_ints("pads", [1, 1, 1, 1])
    nodes = [node("Conv", ["x", "w"], ["c"], [pads], "first"), node("Reshape", ["c", "s"], ["b"], name="volume"),
             node("Conv", ["b", "v"], ["d"], [attr_ints("pads", [1] * 6)], "deep"), node("Relu", ["d"], ["y"], name="relu")]
    constants = [tensor("w", [8, 3, 3, 3], small_values(216)), tensor("v", [8, 2, 3, 3, 3], small_values(432)),
                 tensor("s", [5], [2, 2, 4, 6, 6], I64)]
    t.put("m.onnx", model(graph(nodes, [value("x", [2, 3, 6, 6])], [value("y", [2, 8, 4, 6, 6])], constants)))
    alone = build(t, "alone", "--retimeBudget=0", "--timingCacheFile=times")
    check(alone["cpu_steps"] == 1, alone)
    lines = [line.split() for line in (t.folder / "times").read_text().splitlines()[1:]]
    on_cpu = [line for line in lines if "_cuda" not in line[2] and not line[2].startswith("graph_")]
    check(on_cpu, lines)
    for line in on_cpu:
        line[1] = "5"
    t.put("times", "".join(" ".join(line) + "\n" for line in lines).encode())
    told = build(t, "m", HOURS, "--timingCacheFile=times")["retimed"]["trials"]
    check(told and all(trial["other"]["kernel"].endswith("_cuda") for trial in told), told)


def case_workspace(t):
    """What wants more workspace than is allowed is not tried, though its time is known."""
    conv = node("Conv", ["x", "w"], ["y"], [attr_ints("pads", [1, 1, 1, 1])], "conv")
    t.put("m.onnx", model(graph([conv], [value("x", [1, 16, 6, 6])], [value("y", [1, 16, 6, 6])],
                                [tensor("w", [16, 16, 3, 3], small_values(16 * 144))])))
    cudnn = {"DYNO_CUDNN": os.path.join(os.environ["LD_LIBRARY_PATH"], "libcudnn-emulated.so")}
    flags = ("--fp16", HOURS, "--timingCacheFile=times")
    limit = "--memPoolSize=workspace:0.0005"
    free = build(t, "m", *flags, env=cudnn)["retimed"]["trials"]
    check([trial["other"]["kernel"] for trial in free] == ["conv_cudnn_cuda"], free)
    wanting, = (t for t in free[0]["other"]["parameters"] if t not in free[0]["chosen"]["parameters"] and t < 100)
    check(wanting == 4, free)  # the number of the engine that has a workspace, of 1000 bytes
    check("retimed" not in build(t, "m", *flags, limit, env=cudnn), "it was tried")


def case_budget(t):
    """What was judged is judged again where it is another engine now."""
    t.put("m.onnx", products())
    budget = ("--fp16", "--layerPrecisions=*:fp32", "--accuracyBudget=0.01", "--timingCacheFile=times")
    alone = build(t, "alone", "--retimeBudget=0", *budget)
    told = build(t, "m", HOURS, *budget)
    check(any(trial["taken"] for trial in told["retimed"]["trials"]), told)
    check(told["accuracy_trials"] == alone["accuracy_trials"] + 1 and 0 < told["accuracy_error"] <= 0.01, told)
    check(json.loads(t.works("inspect", "engine", "m.engine", "--json"))["accuracy_error"] == told["accuracy_error"])


def case_breaks_the_budget(t):
    """What is faster in the graph, and not exact enough there, gives way again, all of it; so it does from the cache."""
    conv = node("Conv", ["x", "w"], ["y"], [attr_ints("pads", [1, 1, 1, 1])], "conv")
    weights = [math.sin(i) for i in range(16 * 144)]
    t.put("m.onnx", model(graph([conv], [value("x", [1, 16, 6, 6])], [value("y", [1, 16, 6, 6])],
                                [tensor("w", [16, 16, 3, 3], weights)])))
    env = {"DYNO_CUDNN": os.path.join(os.environ["LD_LIBRARY_PATH"], "libcudnn-emulated.so"), "DYNO_EMULATE_CUDNN_ROUNDS": "1"}
    flags = ("--fp16", "--layerPrecisions=*:fp32", "--accuracyBudget=1e-5", "--timingCacheFile=times")

    def rewrite(us):
        """Times of the cache as `us` says: kernel and times before -> time."""
        lines = [line.split(" ") for line in (t.folder / "times").read_text().splitlines()]
        for count, line in enumerate(lines):
            before = [earlier for earlier in lines[1:count] if earlier[2] == line[2]]
            if count > 0 and us(line[2], len(before)) is not None:
                line[1] = str(us(line[2], len(before)))
        t.put("times", "".join(" ".join(line) + "\n" for line in lines).encode())

    build(t, "probe", "--retimeBudget=0", *flags[:2], "--accuracyBudget=0.5", flags[3], env=env)
    rewrite(lambda kernel, nth: {"conv_cudnn_cuda": 105, "conv_ffma_cuda": 100 if nth == 0 else 1000}.get(kernel))
    alone = build(t, "alone", "--retimeBudget=0", *flags, env=env)
    check(alone["accuracy_error"] < 1e-6 and alone["candidates_timed"] == 0, alone)
    trials = build(t, "m", HOURS, *flags, env=env)["retimed"]["trials"]
    check(trials and all(trial["other"]["kernel"] == "conv_cudnn_cuda" for trial in trials), trials)
    rewrite(lambda kernel, nth: 5 if kernel == "retime_saves" else None)  # whatever the emulation's clock said
    told = build(t, "m", HOURS, *flags, env=env)
    check(re.fullmatch("the error is [0-9.e-]+ with them, more than the accuracy budget", told["retimed"]["failure"]), told)
    check(told["retimed"]["trials"] and not any(trial["taken"] for trial in told["retimed"]["trials"]), told)
    check(told["accuracy_trials"] == alone["accuracy_trials"] + 1 and told["accuracy_error"] == alone["accuracy_error"], told)
    check(same(t, "m", "alone"), "it is another engine")
    check(json.loads(t.works("inspect", "engine", "m.engine", "--json"))["accuracy_error"] == alone["accuracy_error"])
    free = build(t, "free", HOURS, *flags[:2], flags[3], env=env)  # who asked for no budget has it
    check(any(trial["taken"] for trial in free["retimed"]["trials"]) and not same(t, "free", "alone"), free)
