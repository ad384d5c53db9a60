"""Version folders that are a model.onnx: built by a child, kept in a cache, swapped in."""
import contextlib
import json
import operator
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np

from harness import PATIENCE_S, ROOT, check

KEY_FILE = re.compile(r"[0-9a-f]{64}\.(engine|used)$")


def put(t, model, name, version=1):
    """A version folder with nothing but the model."""
    folder = t.repository / model / str(version)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(t.build / "serve-engines" / f"{name}.onnx", folder / "model.onnx")
    return folder


def start(t, *flags, **how):
    return t.start(f"--engine-cache={t.folder / 'cache'}", *flags, models=(), **how)


def start_explicit(t, *flags):
    """Models come and go by request; all are there at the start."""
    names = sorted(p.name for p in t.repository.iterdir() if p.name[0] != "-")
    return start(t, "--model-control-mode=explicit", *(f"--load-model={n}" for n in names), *flags)


def cached(t):
    """Engines of the cache; whatever else lies there is told of."""
    names = sorted(p.name for p in (t.folder / "cache").iterdir())
    check(all(KEY_FILE.match(n) for n in names), "in the cache:", names)
    return [n for n in names if n.endswith(".engine")]


def rows(server):
    """Of the index: (model, version) -> state, reason."""
    return {(r["name"], r.get("version")): (r["state"], r["reason"])
            for r in server.json("POST", "/v2/repository/index")}


def wait_for(what, seconds=PATIENCE_S):
    end = time.monotonic() + seconds
    while not what():
        check(time.monotonic() < end, "it does not come")
        time.sleep(0.01)


def infer(server, model, x, name="x"):
    """Status, variant, values (or the error)."""
    body = {"inputs": [{"name": name, "shape": list(x.shape), "datatype": "FP32",
                        "data": x.ravel().tolist()}]}
    status, _, text = server.request("POST", f"/v2/models/{model}/infer",
                                     json.dumps(body).encode())
    answer = json.loads(text)
    if status != 200:
        return status, None, answer["error"]
    values = np.array(answer["outputs"][0]["data"], "f4").reshape(answer["outputs"][0]["shape"])
    return status, answer["parameters"]["variant"], values


def variant(server, model, x):
    return infer(server, model, x)[1]


def children(server):
    """Processes that the worker has started."""
    worker = server.worker()
    path = pathlib.Path(f"/proc/{worker}/task")
    found = []
    for task in path.iterdir():
        with contextlib.suppress(OSError):
            found += (task / "children").read_text().split()
    return [int(pid) for pid in found]


def slow_builder(t, seconds=600):
    """The real one, but its tuned builds take a while, or until there is a file `go`."""
    script = t.folder / "dyno-slow"
    if script.exists():  # written anew it would be another builder
        return f"--builder={script}"
    script.write_text(f"""#!/bin/sh
for a; do case $a in --builderOptimizationLevel=*) : >"{t.folder}/tunes"
  n=0; while [ $n -lt {seconds}0 ] && [ ! -e "{t.folder}/go" ]; do sleep 0.1; n=$((n + 1)); done;; esac; done
exec "{t.build / 'dyno'}" "$@"
""")
    script.chmod(0o755)
    return f"--builder={script}"


ROWS = (np.arange(2 * 64 * 64) % 7).reshape(2, 64, 64).astype("f4")


def case_baseline_then_tuned(t):
    """Answers from the first ready moment on, all of them right, none refused."""
    put(t, "m", "two_rows")
    server = start(t, slow_builder(t))
    told, failed, stop, counts = [], [], threading.Event(), [0, 0]

    def hammer(i):
        while not stop.is_set():
            status, which, got = infer(server, "m", ROWS)
            if status != 200 or not np.array_equal(got, ROWS):
                failed.append((status, which, got))
            elif not told or told[-1] != which:
                told.append(which)
            counts[i] += 1
    threads = [threading.Thread(target=hammer, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    wait_for(lambda: min(counts) > 0)
    check("building the tuned engine" in rows(server)["m", "1"][1], rows(server))
    (t.folder / "go").touch()
    wait_for(lambda: "tuned" in told)
    want = [count + 3 for count in counts]
    wait_for(lambda: all(map(operator.ge, counts, want)))
    stop.set()
    for thread in threads:
        thread.join()
    check(not failed, failed[:3])
    check(told[0] == "baseline" and told[-1] == "tuned", told)
    check(rows(server) == {("m", "1"): ("READY", "")}, rows(server))
    check(len(cached(t)) == 2, cached(t))
    check(server.metric("dyno_builds_total") == 2 and server.metric("dyno_builds_running") == 0)
    check(server.metric("dyno_build_seconds_total") > 0)
    check(server.json("GET", "/v2/models/m")["versions"] == ["1"])


def case_a_second_start_builds_nothing(t):
    put(t, "m", "two_rows")
    first = start(t)
    wait_for(lambda: variant(first, "m", ROWS) == "tuned")
    first.stop()
    times = {p: p.stat().st_ctime_ns for p in (t.folder / "cache").glob("*.engine")}
    second = start(t, "--build-jobs=2")
    check(variant(second, "m", ROWS) == "tuned", "the baseline answers")
    check(second.metric("dyno_engine_cache_hits_total") == 1 and
          second.metric("dyno_builds_total") == 0)
    check({p: p.stat().st_ctime_ns for p in (t.folder / "cache").glob("*.engine")} == times)
    second.stop()
    # One that is damaged is built again, and whatever is no engine is left alone.
    for path in times:
        path.write_bytes(path.read_bytes()[:-100])
    third = start(t)
    third.expected.append("engine cache: one is built again")
    wait_for(lambda: variant(third, "m", ROWS) == "tuned")
    check(third.metric("dyno_builds_total") >= 1)


def case_model_of_many_layers(t):
    """A convolutional network, against the unoptimised execution by the program."""
    folder = t.repository / "net" / "1"
    folder.mkdir(parents=True)
    subprocess.run([sys.executable, ROOT / "models" / "hydrate.py",
                    ROOT / "models" / "squeezenet1_1.raw.onnx.xz", folder / "model.onnx"],
                   check=True, stdout=subprocess.DEVNULL)
    shape = [1, 3, 224, 224]
    t.configure("net", {"build": {"level": 0, "max_batch": 1}})
    server = start(t)
    info = server.json("GET", "/v2/models/net")["inputs"][0]
    check(info["shape"] == shape, info)
    x = np.random.default_rng(1).uniform(-1, 1, shape).astype("f4")
    np.save(t.folder / "x.npy", x)
    subprocess.run([t.build / "dyno", "run", folder / "model.onnx", "--baseline",
                    f"--input={info['name']}={t.folder}/x.npy", f"--output={t.folder}"],
                   check=True, stdout=subprocess.DEVNULL)
    want = np.load(next(p for p in t.folder.glob("*.npy") if p.name != "x.npy"))

    def ask():
        status, which, got = infer(server, "net", x, info["name"])
        check(status == 200 and np.allclose(got, want, atol=1e-4 * np.abs(want).max()), status, got)
        return which == "tuned"
    wait_for(ask, 100)


def case_weights_beside_it(t):
    """External data in the folder; another file of weights is another model."""
    import onnx
    folder = put(t, "m", "two_rows")
    model = onnx.load(folder / "model.onnx")
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="weights.bin",
              size_threshold=0)
    check((folder / "weights.bin").exists(), list(folder.iterdir()))
    server = start_explicit(t)
    wait_for(lambda: variant(server, "m", ROWS) == "tuned")
    check(np.array_equal(infer(server, "m", ROWS)[2], ROWS))
    (folder / "new").write_bytes((2 * np.fromfile(folder / "weights.bin", "f4")).tobytes())
    (folder / "new").rename(folder / "weights.bin")
    server.json("POST", "/v2/repository/models/m/load", {})
    check(np.array_equal(infer(server, "m", ROWS)[2], 4 * ROWS))  # two products
    wait_for(lambda: variant(server, "m", ROWS) == "tuned")
    check(np.array_equal(infer(server, "m", ROWS)[2], 4 * ROWS))


def case_broken_models(t):
    (put(t, "bad", "identity") / "model.onnx").write_bytes(b"rubbish, no protobuf")
    t.put("good", "identity")
    server = start_explicit(t)
    server.expected += ["the baseline engine cannot be built", "failed to load 'bad'"]
    state, reason = rows(server)["bad", "1"]
    check(state == "UNAVAILABLE" and reason.startswith("model.onnx: protobuf"), state, reason)
    check(infer(server, "good", np.ones((1, 16), "f4"))[0] == 200)
    body = json.dumps({"inputs": [{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1]}]})
    status, head, _ = server.request("POST", "/v2/models/bad/infer", body)
    check(status == 503 and "retry-after" in head, status, head)
    server.error("POST", "/v2/repository/models/bad/load", 400, "failed to load 'bad': model.onnx")
    check(server.metric("dyno_build_failures_total") == 2)
    import onnx
    from onnx import helper
    graph = onnx.load(t.build / "serve-engines" / "identity.onnx").graph
    graph.node[0].op_type = "Frobnicate"
    graph.node.append(helper.make_node("Blubber", ["y"], ["z"], name="blub"))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]),
              t.repository / "bad" / "1" / "model.onnx")
    server.error("POST", "/v2/repository/models/bad/load", 400,
                 "model.onnx: 2 problems; the first: node 0 Frobnicate.* is not known")
    put(t, "bad", "identity")  # it is mended
    server.json("POST", "/v2/repository/models/bad/load", {})
    check(infer(server, "bad", np.ones((1, 16), "f4"))[0] == 200)


def case_no_builder_no_builds(t):
    put(t, "m", "identity")
    t.put("good", "identity")
    for flags, says in ((["--builder=/nowhere/dyno"], "the program 'dyno', which would build it"),
                        (["--no-builds"], "this server builds none")):
        server = start(t, *flags)
        server.expected += ["m' version 1", "failed to load 'm'"]
        check(says in rows(server)["m", "1"][1], rows(server))
        check(infer(server, "good", np.ones((1, 16), "f4"))[0] == 200)
        server.stop()
    check(not (t.folder / "cache").exists() or cached(t) == [])


def case_engines_go_first(t):
    """Beside an engine a model.onnx is not looked at; without it it is."""
    put(t, "m", "two_rows")
    t.put("m", "two_rows")
    server = start_explicit(t)
    check(variant(server, "m", ROWS) == "fp32")
    check(not (t.folder / "cache").exists(), "a cache for nothing")
    (t.repository / "m" / "1" / "fp32.engine").unlink()
    server.json("POST", "/v2/repository/models/m/load", {})
    wait_for(lambda: variant(server, "m", ROWS) == "tuned")
    check(np.array_equal(infer(server, "m", ROWS)[2], ROWS))
    t.put("m", "two_rows")
    server.json("POST", "/v2/repository/models/m/load", {})
    check(variant(server, "m", ROWS) == "fp32")


def case_options_of_the_configuration(t):
    put(t, "m", "two_rows")
    t.configure("m", {"build": {"max_batch": 4, "level": 0, "baseline": False, "exact": True}})
    server = start_explicit(t)
    check(variant(server, "m", ROWS) == "tuned")
    check(len(cached(t)) == 1)
    status, _, says = infer(server, "m", np.concatenate([ROWS, ROWS, ROWS]))
    check(status == 400 and "4" in says, status, says)
    for config, says in (({"max_batch": -1}, "build.max_batch"), ({"colour": 1}, "build.colour"),
                         ({"level": 6}, "build.level"), ({"exact": 1}, "build.exact"),
                         ({"opt_batch": 3}, "build.opt_batch"), ({"shapes": {}}, "build.shapes"),
                         ({"shapes": {"x": 1}}, "build.shapes.x"), (1, "build must be"),
                         ({"shapes": {"x": [1, -2]}}, "a size in build.shapes"),
                         ({"shapes": {"x": {"min": [1], "opt": [1]}}}, "build.shapes.x")):
        t.configure("m", {"build": config})
        server.error("POST", "/v2/repository/models/m/load", 400, says)
    check(variant(server, "m", ROWS) == "tuned")
    t.configure("m", {"build": {"shapes": {"y": [1, 64, 64]}}})
    server.expected += ["engine cannot be built"]
    server.json("POST", "/v2/repository/models/m/load", {})  # the old engine goes on
    wait_for(lambda: "'y'" in rows(server)["m", "1"][1])


def case_unloaded_while_it_is_built(t):
    put(t, "m", "two_rows")
    server = start_explicit(t, slow_builder(t))
    check(variant(server, "m", ROWS) == "baseline")
    wait_for((t.folder / "tunes").exists)
    check(len(children(server)) == 1, children(server))
    server.json("POST", "/v2/repository/models/m/unload", {})
    wait_for(lambda: not children(server))
    check(rows(server)["m", "1"] == ("UNAVAILABLE", "unloaded"), rows(server))
    check(len(cached(t)) == 1)
    server.json("POST", "/v2/repository/models/m/load", {})
    check(variant(server, "m", ROWS) == "baseline")
    check(server.metric("dyno_builds_cancelled_total") == 1)


def is_running(pid):
    try:
        return ") Z " not in pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def case_the_end_in_mid_build(t):
    """Told to end, or killed: no process and no file is left of what was being built."""
    put(t, "m", "two_rows")
    for is_killed in (False, True):
        with contextlib.suppress(FileNotFoundError):
            (t.folder / "tunes").unlink()
        server = start(t, slow_builder(t))
        wait_for((t.folder / "tunes").exists)
        builders = children(server)
        check(len(builders) == 1, builders)
        begin = time.monotonic()
        if is_killed:
            os.kill(server.worker(), signal.SIGKILL)
            server.expected.append("worker .* fell: SIGKILL")
            wait_for(lambda: not any(is_running(pid) for pid in builders))
            server.wait_ready()
            check(variant(server, "m", ROWS) == "baseline")
        server.stop()
        check(time.monotonic() - begin < 30, "it takes long to end")
        check(not any(is_running(pid) for pid in builders), builders)
        check(len(cached(t)) == 1, cached(t))


def case_two_servers_one_cache(t):
    for name in ("a", "b", "c"):
        put(t, name, "two_rows")
        t.configure(name, {"build": {"max_batch": 4 + ord(name) % 3, "level": 0}})
    servers = [start(t, ready=False) for _ in range(2)]
    for server in servers:
        server.wait_ready()
        for name in ("a", "b", "c"):
            wait_for(lambda s=server, n=name: variant(s, n, ROWS) == "tuned")
            check(np.array_equal(infer(server, name, ROWS)[2], ROWS))
    check(len(cached(t)) == 6, cached(t))
    check(sum(s.metric("dyno_builds_total") for s in servers) == 6)


def case_full_disk(t):
    """The reason is told, the server goes on, and with room it works."""
    if os.geteuid() != 0:
        print("skipped: only root may mount a small file system")
        return
    put(t, "m", "two_rows")
    t.put("good", "identity")
    cache = t.folder / "cache"
    cache.mkdir(mode=0o700)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "tmpfs", cache],
                      stderr=subprocess.DEVNULL, check=False).returncode != 0:
        print("skipped: nothing can be mounted here")
        return
    try:
        server = start_explicit(t)
        server.expected += ["engine cannot be built", "failed to load 'm'"]
        state, reason = rows(server)["m", "1"]
        check(state == "UNAVAILABLE" and "full" in reason and str(cache) not in reason, reason)
        check(infer(server, "good", np.ones((1, 16), "f4"))[0] == 200)
        check(cached(t) == [])
        subprocess.run(["mount", "-o", "remount,size=64m", cache], check=True)
        server.json("POST", "/v2/repository/models/m/load", {})
        wait_for(lambda: variant(server, "m", ROWS) == "tuned")
        server.stop()
    finally:
        subprocess.run(["umount", "-l", cache], check=False)


def case_room_in_the_cache(t):
    """What no server uses goes when there is no room."""
    put(t, "m", "heavy")
    t.configure("m", {"build": {"level": 0, "baseline": False}})
    first = start(t, "--engine-cache-size=20")
    check(len(cached(t)) == 1)
    first.stop()
    old = cached(t)
    t.configure("m", {"build": {"level": 0, "baseline": False, "exact": True}})
    start(t, "--engine-cache-size=20")
    check(len(cached(t)) == 1 and cached(t) != old, old, cached(t))


def case_names_are_no_commands(t):
    """Whatever a repository or a configuration says reaches the builder as it is: there is no
    shell, and no flag can be smuggled in."""
    folder = put(t, "m", "two_rows")
    (folder / "$(touch ran); touch ran").write_bytes(b"weights")
    put(t, "--help", "two_rows")
    server = start_explicit(t)
    check(variant(server, "m", ROWS) == "baseline" or variant(server, "m", ROWS) == "tuned")
    check(("--help", "1") not in rows(server), rows(server))
    server.expected += ["engine cannot be built"]
    for name in ("x;touch ran", "$(touch ran)", "`touch ran`", "x --saveEngine=ran", "\n--json",
                 "x:1 --verbose", "../../ran"):
        t.configure("m", {"build": {"shapes": {name: [1, 64, 64]}}})
        server.json("POST", "/v2/repository/models/m/load", {})
        says = name.splitlines()[-1] + "', which is not an input of the model"
        wait_for(lambda says=says: says in rows(server)["m", "1"][1])
    found = [str(p) for p in t.folder.rglob("ran")]
    check(not found, found)


def case_polled(t):
    """A repository that is looked at: models come, change, break, are mended, and go."""
    put(t, "m", "two_rows")
    server = start(t, "--model-control-mode=poll", "--repository-poll-secs=0.1")
    check(np.array_equal(infer(server, "m", ROWS)[2], ROWS))
    put(t, "n", "identity")
    x = np.ones((1, 16), "f4")
    wait_for(lambda: infer(server, "n", x)[0] == 200)
    server.expected += ["engine cannot be built", "failed to load 'm'"]
    file = t.repository / "m" / "1" / "model.onnx"
    good = file.read_bytes()
    file.write_bytes(good[:-500])  # as if it were being copied
    wait_for(lambda: "protobuf" in rows(server)["m", "1"][1])
    check(np.array_equal(infer(server, "m", ROWS)[2], ROWS), "the old engine does not answer")
    failures = server.metric("dyno_build_failures_total")
    time.sleep(0.5)
    check(server.metric("dyno_build_failures_total") == failures, "it is tried again and again")
    import onnx
    model = onnx.load_from_string(good)
    weight = model.graph.initializer[0]
    weight.raw_data = (3 * np.frombuffer(weight.raw_data, "f4")).tobytes()
    file.write_bytes(model.SerializeToString())
    wait_for(lambda: np.array_equal(infer(server, "m", ROWS)[2], 9 * ROWS))
    t.configure("m", {"build": {"max_batch": 2}})
    wait_for(lambda: infer(server, "m", np.concatenate([ROWS, ROWS]))[0] == 400)
    shutil.rmtree(t.repository / "n")
    wait_for(lambda: infer(server, "n", x)[0] != 200)


def case_on_demand(t):
    """Engines that were evicted come back when they are asked for."""
    for name in ("a", "b"):
        put(t, name, "heavy")
        t.configure(name, {"build": {"level": 0, "baseline": False}})
    server = start(t, "--model-control-mode=demand", "--model-memory=40M")
    x = np.ones((1, 1024), "f4")
    for _ in range(3):
        for name in ("a", "b"):
            status, which, got = infer(server, name, x)
            check(status == 200 and which == "tuned" and not got.any(), status, which, got)
    check(server.metric("dyno_builds_total") == 1)  # the same model twice


def case_no_room_for_both(t):
    """Where baseline and tuned engine do not fit beside each other one goes before the other comes;
    requests wait, and none fails."""
    put(t, "m", "heavy")
    t.configure("m", {"build": {"level": 0}})
    server = start(t, "--model-memory=24M")
    x, told = np.ones((1, 1024), "f4"), []

    def ask():
        status, which, got = infer(server, "m", x)
        check(status == 200 and not got.any(), status, which, got)
        told.append(which)
        return which == "tuned"
    wait_for(ask)
    check(rows(server)["m", "1"] == ("READY", ""), rows(server))
