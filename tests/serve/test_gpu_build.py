"""Version folders that are a model.onnx, on a server with a GPU: built for it, and served there.

The GPU is the emulated one (tests/cuda/emulate), whose numbers are real.
"""
import json
import pathlib
import re
import subprocess

import numpy as np

from harness import check
from test_gpu import child, env_of, has_gpu, library, wait_for
from test_onnx import ROWS, cached, infer, put, rows, variant
from test_onnx import start as start_plain


def start(t, *flags, env=None, **how):
    """With NVIDIA's libraries, by which the unoptimised execution is."""
    lib = library(t.build)
    libraries = {f"DYNO_{name}": str(lib / f"lib{name.lower()}-emulated.so") for name in ("CUBLASLT", "CUDNN")}
    return start_plain(t, *flags, env=env_of(t, **{**libraries, **(env or {})}), **how)


def put_quick(t, model, **build):
    """Chosen from estimates: times would be those of the emulation."""
    put(t, model, "two_rows")
    t.configure(model, {"build": {"level": 0, "max_batch": 16, **build}})


def held_builder(t):
    """The real one, but its tuned builds wait until `go` is there."""
    script = t.folder / "dyno-held"
    script.write_text(f"""#!/bin/sh
for a; do case $a in --builderOptimizationLevel=*) until test -e "{t.folder}/go"; do sleep 0.05; done;; esac; done
exec "{t.build / 'dyno'}" "$@"
""")
    script.chmod(0o755)
    return f"--builder={script}"


def is_right(server, model, count=3):
    """Answers of several sizes; the variants that gave them."""
    told = set()
    for n in range(1, count + 1):
        x = np.concatenate([ROWS] * n) - 3
        status, which, got = infer(server, model, x)
        check(status == 200 and np.array_equal(got, np.maximum(x, 0)), status, which, got)
        told.add(which)
    return told


def reason(server, model):
    """State and reason."""
    for row in server.json("POST", "/v2/repository/index"):
        if row["name"] == model and "state" in row:
            return row["state"], row["reason"]
    return "", ""


def case_baseline_then_tuned(t):
    """First the unoptimised engine, then the tuned one, both there; the worker has no driver in it, the account adds up."""
    if not has_gpu(t):
        return
    put_quick(t, "m")
    server = start(t, "--device=cuda", "--ledger=ledger", held_builder(t))
    check(is_right(server, "m") == {"baseline"})
    check(reason(server, "m")[1] == "variant 'tuned': building the tuned engine on cuda:0", rows(server))
    check(server.metric("dyno_gpu_memory_bytes", device="cuda:0") > 0)
    (t.folder / "go").touch()
    wait_for(lambda: variant(server, "m", ROWS) == "tuned")
    check(is_right(server, "m") == {"tuned"} and reason(server, "m") == ("READY", ""), rows(server))
    check(server.metric("dyno_builds_total") == 2 and server.metric("dyno_engine_cache_misses_total") == 2)
    check("libcuda" not in pathlib.Path(f"/proc/{server.worker()}/maps").read_text())
    check("libcuda" in pathlib.Path(f"/proc/{child(server)}/maps").read_text())
    engines = [subprocess.run([t.build / "dyno", "inspect", "engine", t.folder / "cache" / name], check=True,
                              capture_output=True, text=True).stdout for name in cached(t)]
    check(len(engines) == 2 and all("_cuda" in text for text in engines), engines)
    text = server.request("GET", "/metrics", port=server.metrics)[2].decode()
    account = {name: float(re.search(r'dyno_account_gpu_seconds_total{device="cuda:0",account="%s"} (\S+)' % name,
                                     text)[1]) for name in ("wall", "tenants", "platform", "idle")}
    check(account["tenants"] > 0 and account["platform"] > 0, account)
    check(abs(account["tenants"] + account["platform"] + account["idle"] - account["wall"]) < 1e-8, account)
    server.wait_quiet()


def case_a_second_start_builds_nothing(t):
    """Where the GPU, its driver and the libraries are the same; of another version of one an engine is built again."""
    if not has_gpu(t):
        return
    put_quick(t, "m")
    first = start(t, "--device=cuda")
    wait_for(lambda: variant(first, "m", ROWS) == "tuned")
    first.stop()
    second = start(t, "--device=cuda")
    check(is_right(second, "m") == {"tuned"})
    check(second.metric("dyno_builds_total") == 0 and second.metric("dyno_engine_cache_hits_total") == 1)
    second.stop()
    for env in ({"DYNO_EMULATE_CUDNN_VERSION": "91800"}, {"DYNO_EMULATE_COMPUTE": "90"}):
        have = len(cached(t))
        third = start(t, "--device=cuda", env=env)
        wait_for(lambda server=third: variant(server, "m", ROWS) == "tuned")
        check(is_right(third, "m") == {"tuned"} and third.metric("dyno_builds_total") == 2)
        check(len(cached(t)) == have + 2, cached(t))
        third.stop()
    # What was built for a GPU is nothing for the CPU.
    fourth = start(t, "--device=cpu")
    wait_for(lambda: variant(fourth, "m", ROWS) == "tuned")
    check(is_right(fourth, "m") == {"tuned"} and fourth.metric("dyno_engine_cache_hits_total") == 0)
    check(len(cached(t)) == 8, cached(t))


def loud_builder(t):
    """The real one, which writes down what it was asked for."""
    script = t.folder / "dyno-loud"
    script.write_text(f"""#!/bin/sh
echo "$*" >>"{t.folder}/asked"
exec "{t.build / 'dyno'}" "$@"
""")
    script.chmod(0o755)
    return f"--builder={script}"


def asked(t, model):
    """What the builder was asked for, of a model, without paths."""
    path = t.folder / "asked"
    lines = path.read_text().splitlines() if path.exists() else []
    return [[flag for flag in line.split() if flag.startswith("--") and "/" not in flag]
            for line in lines if f"/{model}/1/" in line]


def case_device_of_a_build(t):
    """That which the configuration names, for the build and for what is served; one that is not used is told of."""
    if not has_gpu(t):
        return
    # Of other batches, as two GPUs of a kind share engines.
    put_quick(t, "first")
    put_quick(t, "second", device="cuda:1", max_batch=15)
    put_quick(t, "third")
    t.configure("third", {"build": {"level": 0, "max_batch": 14}, "variants": {"tuned": {"device": "cuda:1"},
                                                                              "baseline": {"device": "cuda:1"}}})
    put_quick(t, "none", device="cuda:7")
    put_quick(t, "cpu", device="cpu")
    names = ("first", "second", "third", "cpu")
    server = start(t, "--device=cuda:0", "--device=cuda:1", "--model-control-mode=explicit", loud_builder(t),
                   *(f"--load-model={name}" for name in (*names, "none")), env={"DYNO_EMULATE_GPUS": "2"})
    server.expected += ["the baseline engine cannot be built", "failed to load 'none'"]
    for name, device in (("first", "cuda:0"), ("second", "cuda:1"), ("third", "cuda:1"), ("cpu", None)):
        wait_for(lambda name=name: variant(server, name, ROWS) == "tuned")
        check(is_right(server, name) == {"tuned"})
        flags = [[flag for flag in one if flag.startswith("--device")] for one in asked(t, name)]
        wanted = [f"--device={device}"] if device else []
        check(flags and all(one == wanted for one in flags), name, flags)
    wants = "its configuration wants the GPU cuda:7, which this server does not use"
    check(reason(server, "none")[0] == "UNAVAILABLE" and wants in reason(server, "none")[1], rows(server))
    server.error("POST", "/v2/repository/models/none/load", 400, f"^failed to load 'none': {wants}", "{}")
    check(not asked(t, "none"), asked(t, "none"))
    # Another device is another wish, and what answers goes there.
    held = server.metric("dyno_gpu_memory_bytes", device="cuda:1")
    put_quick(t, "first", device="cuda:1")
    server.json("POST", "/v2/repository/models/first/load", {})
    wait_for(lambda: server.metric("dyno_gpu_memory_bytes", device="cuda:1") > held)
    check("tuned" in is_right(server, "first"))
    put_quick(t, "none", device="cuda:1")
    server.json("POST", "/v2/repository/models/none/load", {})
    check(is_right(server, "none") <= {"baseline", "tuned"})


def case_precisions(t):
    """What is allowed beside f32 reaches the tuned engine; the CPU has nothing of the kind."""
    if not has_gpu(t):
        return
    put_quick(t, "plain")
    put_quick(t, "half", max_batch=8, fp16=True, layer_precisions={"*": "bf16"})
    put_quick(t, "cpu", fp16=True, device="cpu")
    server = start(t, "--device=cuda", "--model-control-mode=explicit", "--load-model=plain", "--load-model=half",
                   loud_builder(t))
    server.expected += ["the tuned engine cannot be built", "failed to load 'cpu'"]
    wait_for(lambda: "--layerPrecisions: '*:bf16' wants --bf16, too" in reason(server, "half")[1])
    check(is_right(server, "half") == {"baseline"})
    put_quick(t, "half", max_batch=8, fp16=True, tf32=True, accuracy_budget=0.02, layer_precisions={"*": "fp16"})
    server.json("POST", "/v2/repository/models/half/load", {})
    wait_for(lambda: variant(server, "half", ROWS) == "tuned")
    wait_for(lambda: variant(server, "plain", ROWS) == "tuned")
    check(is_right(server, "half") == {"tuned"})  # small whole numbers, which 16 bits hold
    baseline, tuned = asked(t, "half")[0], asked(t, "half")[-1]
    check("--baseline" in baseline and not {"--fp16", "--tf32"} & set(baseline), baseline)
    check({"--fp16", "--tf32", "--accuracyBudget=0.02", "--layerPrecisions=*:fp16"} <= set(tuned), tuned)
    check(not any("--fp16" in one for one in asked(t, "plain")), asked(t, "plain"))
    server.error("POST", "/v2/repository/models/cpu/load", 400, "build.fp16 goes with a GPU, and build.device is cpu", "{}")
    server.stop()
    t.configure("cpu", {"build": {"fp16": True}})
    server = start(t, "--device=cpu", "--model-control-mode=explicit", "--load-model=cpu")
    server.expected += ["the baseline engine cannot be built", "failed to load 'cpu'"]
    check("its configuration has build.fp16, which goes with a GPU, and it is built for the CPU"
          in reason(server, "cpu")[1], reason(server, "cpu"))


def case_without_libraries(t):
    """No unoptimised execution without them: the tuned engine, by our own kernels, is the first."""
    if not has_gpu(t):
        return
    put_quick(t, "m")
    server = start(t, "--device=cuda", env={"DYNO_CUBLASLT": "/none"})
    check(is_right(server, "m") == {"tuned"} and reason(server, "m") == ("READY", ""), rows(server))
    check(server.metric("dyno_builds_total") == 1 and len(cached(t)) == 1, cached(t))
    server.stop()
    server = start(t, "--device=cuda", env={"DYNO_CUBLASLT": "/none"})
    check(is_right(server, "m") == {"tuned"} and server.metric("dyno_builds_total") == 0)


def case_no_compiler_no_driver(t):
    """One sentence says what is missing; it is there when the model is loaded again. The rest is served."""
    if not has_gpu(t):
        return
    put_quick(t, "m")
    t.put("c", "identity")
    said = (({"DYNO_NVRTC": "/none"}, "NVRTC"), ({"LD_LIBRARY_PATH": ""}, "no NVIDIA driver"),
            ({"DYNO_EMULATE_GPUS": "0"}, "no GPU"))
    for env, says in said:
        server = start(t, "--device=cuda", env=env)
        server.expected += ["the (baseline|tuned) engine cannot be built: .*" + says, "failed to load 'm'"]
        state, why = reason(server, "m")
        if says == "no NVIDIA driver" and state != "UNAVAILABLE":
            print("this machine has a driver")
        else:
            check(state == "UNAVAILABLE" and says in why and "/" not in why.replace("/none", ""), env, state, why)
            check(infer(server, "m", ROWS)[0] == 503)
        check(infer(server, "c", np.ones((1, 16), "f4"))[0] == 200)
        server.stop()
    check(cached(t) == [])


def case_nobody_named_one(t):
    """Without --device the first GPU is taken where there is one, and the CPU where there is none."""
    if not has_gpu(t):
        return
    put_quick(t, "m")
    server = start(t)
    check(is_right(server, "m") <= {"baseline", "tuned"} and child(server) > 0)
    wait_for(lambda: variant(server, "m", ROWS) == "tuned")
    server.stop()
    server = start(t, loud_builder(t), env={"DYNO_EMULATE_GPUS": "0", "DYNO_LOG": "info"})
    server.expected += ["^info: "]
    wait_for(lambda: variant(server, "m", ROWS) == "tuned")
    check(is_right(server, "m") == {"tuned"} and child(server) == 0)
    check(all("--device=cuda:0" not in one for one in asked(t, "m")) and len(asked(t, "m")) == 2, asked(t, "m"))
    text = (t.folder / "asked").read_text()
    check(text.count("inspect device cuda:0") == 1, text)  # once for all that was wished for
    check("nothing can be built for the GPU cuda:0: " in server.log.read_text(), server.log.read_text())


def case_one_at_a_time(t):
    """Builds for one GPU wait for each other, however many there may be at one time."""
    if not has_gpu(t):
        return
    script = t.folder / "dyno-counting"
    script.write_text(f"""#!/bin/sh
test "$1" = build || exec "{t.build / 'dyno'}" "$@"
mkdir "{t.folder}/busy" || echo two >>"{t.folder}/two"
"{t.build / 'dyno'}" "$@"
code=$?
rmdir "{t.folder}/busy"
exit $code
""")
    script.chmod(0o755)
    for i, name in enumerate(("a", "b", "c")):
        put_quick(t, name, max_batch=4 + i)
    server = start(t, "--device=cuda", "--build-jobs=3", f"--builder={script}")
    for name in ("a", "b", "c"):
        wait_for(lambda name=name: variant(server, name, ROWS) == "tuned")
    check(server.metric("dyno_builds_total") == 6 and not (t.folder / "two").exists())


def case_falls_while_it_builds(t):
    """The process that serves is another than the one that builds: what is built goes on, and is served."""
    if not has_gpu(t):
        return
    put_quick(t, "m")
    server = start(t, "--device=cuda", held_builder(t))
    server.expected += ["GPU cuda:0: its driver was ended by SIGKILL; it is started again", "model 'm' version 1 variant '"]
    check(is_right(server, "m", 1) == {"baseline"})
    old = child(server)
    subprocess.run(["kill", "-KILL", str(old)], check=True)
    wait_for(lambda: child(server) not in (0, old))
    (t.folder / "go").touch()
    wait_for(lambda: infer(server, "m", ROWS)[1] == "tuned")
    check(is_right(server, "m") == {"tuned"} and server.metric("dyno_builds_total") == 2)


def case_config_is_read(t):
    """Members of `build` that cannot be so fail the load of the model, with the member and the rule."""
    put(t, "m", "two_rows")
    server = start_plain(t, "--model-control-mode=explicit")
    for build, says in (({"device": "gpu"}, "build.device must be cpu, cuda or cuda:N"),
                        ({"fp16": "yes"}, "build.fp16 must be true or false"),
                        ({"accuracy_budget": 0.02}, "build.accuracy_budget goes with fp16, bf16 or tf32"),
                        ({"device": "cpu", "lean": True}, "build.lean goes with a GPU, and build.device is cpu"),
                        ({"best": True}, "build.best is not known")):
        t.configure("m", {"build": build})
        server.error("POST", "/v2/repository/models/m/load", 400, says, json.dumps({}))
