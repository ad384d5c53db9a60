"""Engines for a GPU: served in a process of their own, which may fall.

The GPU is the emulated one (tests/cuda/emulate), whose numbers are real.
"""
import contextlib
import csv
import inspect
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from harness import PATIENCE_S, Failure, check

SHAPES = {"identity": "x:{}x16", "two_rows": "x:{}x64x64"}


def library(build):
    """The folder of the emulated driver and compiler; None: they were not built."""
    folder = build / "tests/cuda/emulate/lib"
    return folder if (folder / "libcuda.so.1").exists() else None


def gpu_engine(t, name):
    """Built once for a build, by its own program, as the CPU's engines are."""
    folder = t.build / "serve-engines" / "gpu"
    path = folder / f"{name}.engine"
    lib = library(t.build)
    program = t.build / "dyno"
    if not path.exists() or path.stat().st_mtime < max(program.stat().st_mtime,
                                                       (lib / "libcuda.so.1").stat().st_mtime):
        folder.mkdir(exist_ok=True)
        draft = folder / f"{name}.{os.getpid()}.engine"
        shape = SHAPES.get(name)
        shapes = [f"--{kind}Shapes={shape.format(n)}" for kind, n in (("min", 1), ("opt", 4), ("max", 16))] \
            if shape else []
        subprocess.run([program, "build", f"--onnx={t.build}/serve-engines/{name}.onnx", f"--saveEngine={draft}",
                        "--device=cuda", "--builderOptimizationLevel=0", *shapes],
                       check=True, stdout=subprocess.DEVNULL, env=env_of(t))
        draft.rename(path)
    return path


def env_of(t, **more):
    """Emulated driver and compiler, and no library of NVIDIA's, whatever this machine has."""
    lib = library(t.build)
    return {**os.environ, "LD_LIBRARY_PATH": str(lib), "DYNO_NVRTC": str(lib / "libnvrtc-emulated.so"),
            "DYNO_CUDNN": "none", "DYNO_CUBLASLT": "none", **more}


def put(t, model, name, version=1, variant="gpu"):
    folder = t.repository / model / str(version)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{variant}.engine").write_bytes(gpu_engine(t, name).read_bytes())


def start(t, *flags, env=None, **more):
    return t.start(*flags, models=(), env=env_of(t, **(env or {})), **more)


def has_gpu(t):
    if library(t.build) is None:
        print("skipped: the emulated GPU was not built")
        return False
    return True


def child(server, device="cuda:0"):
    """The process that drives a GPU; 0: there is none."""
    path = pathlib.Path(f"/proc/{server.worker()}/task")
    pids = []
    for task in path.iterdir():
        with contextlib.suppress(OSError):  # it ends just now
            pids += (task / "children").read_text().split()
    for pid in pids:
        with contextlib.suppress(OSError):
            if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().endswith(f"--drive-gpu\0{device}\0".encode()):
                return int(pid)
    return 0


def wait_for(condition, seconds=PATIENCE_S):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, "it does not come:", inspect.getsource(condition).strip())
        time.sleep(0.01)


def index(server):
    rows = server.json("POST", "/v2/repository/index")
    return {row["name"]: (row["state"], row["reason"]) for row in rows}


def ask(client, model, x):
    tensor = tritonclient.http.InferInput("x", x.shape, "FP32")
    tensor.set_data_from_numpy(x)
    return client.infer(model, [tensor]).as_numpy("y")


def images(seed, rows, *dims):
    return np.random.default_rng(seed).standard_normal((rows, *dims)).astype("f4")


class Asking:
    """Clients that ask for relu(x) as long as it lasts: each answer is right, or says why there is none."""

    def __init__(self, server, model, clients=4):
        self.server, self.model, self.stopping = server, model, threading.Event()
        self.wrong, self.refused, self.count = [], [], 0
        self.threads = [threading.Thread(target=self.work, args=(i,)) for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def work(self, number):
        client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{self.server.http}", connection_timeout=PATIENCE_S,
                                                         network_timeout=PATIENCE_S)
        turn = 0
        while not self.stopping.is_set():
            turn += 1
            x = images(number * 100000 + turn, 1 + turn % 3, 64, 64)
            try:
                y = ask(client, self.model, x)
            except InferenceServerException as failure:
                self.refused.append((failure.status(), failure.message()))
                time.sleep(0.002)
                continue
            if y.shape != x.shape or not np.array_equal(y, np.maximum(x, 0)):
                self.wrong.append((number, turn))
            self.count += 1

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        check(not self.wrong, "wrong answers:", self.wrong[:5])


def case_answers(t):
    """Over both protocols, for several shapes, beside a model of the CPU; the worker has no driver in it."""
    if not has_gpu(t):
        return
    put(t, "g", "two_rows")
    t.put("c", "two_rows")
    server = start(t)
    http = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.http}")
    grpc = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    for rows in (1, 2, 3, 7, 16, 1):
        x = images(rows, rows, 64, 64)
        for model in ("g", "c"):
            check(np.array_equal(ask(http, model, x), np.maximum(x, 0)), model, rows)
        tensor = tritonclient.grpc.InferInput("x", x.shape, "FP32")
        tensor.set_data_from_numpy(x)
        got = grpc.infer("g", [tensor])
        check(np.array_equal(got.as_numpy("y"), np.maximum(x, 0)), rows)
        check(got.get_response().parameters["variant"].string_param == "gpu")
    try:
        ask(http, "g", images(1, 17, 64, 64))
        raise Failure("17 rows were taken")
    except InferenceServerException as refused:
        check("unexpected shape for input 'x'" in refused.message(), refused)
    check(child(server) > 0)
    check("libcuda" not in pathlib.Path(f"/proc/{server.worker()}/maps").read_text())
    check("libcuda" in pathlib.Path(f"/proc/{child(server)}/maps").read_text())
    check(server.metric("dyno_gpu_up", device="cuda:0") == 1)
    check(server.metric("dyno_gpu_restarts_total", device="cuda:0") == 0)
    held = server.metric("dyno_gpu_memory_bytes", device="cuda:0")
    check(0 < held < server.metric("dyno_gpu_memory_limit_bytes", device="cuda:0"), held)
    server.wait_quiet()


def case_without_the_worker_it_ends(t):
    if not has_gpu(t):
        return
    put(t, "g", "identity")
    server = start(t)
    pid = child(server)
    check(pid > 0)
    server.stop()
    wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists())
    server = start(t)
    server.expected = ["worker"]
    pid, worker = child(server), server.worker()
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists())
    wait_for(lambda: server.worker() not in (0, worker) and child(server) not in (0, pid))


def case_many_at_once(t):
    """Rows of several clients share runs, and each gets its own back."""
    if not has_gpu(t):
        return
    put(t, "g", "two_rows")
    server = start(t)
    asking = Asking(server, "g", clients=8)
    wait_for(lambda: asking.count >= 120)
    asking.stop()
    check(not asking.refused, asking.refused[:3])
    runs = server.metric("nv_inference_exec_count", model="g")
    rows = server.metric("nv_inference_count", model="g")
    check(rows > runs, "no runs were shared:", rows, runs)
    server.wait_quiet()


def case_killed_under_load(t):
    """No wrong answer, only 503; it is there again by itself, and the CPU's model never notices."""
    if not has_gpu(t):
        return
    put(t, "g", "two_rows")
    t.put("c", "two_rows")
    server = start(t)
    server.expected = ["GPU cuda:0: its driver was ended by SIGKILL; it is started again",
                       "model 'g' version 1 variant 'gpu': "]
    on_gpu, on_cpu = Asking(server, "g"), Asking(server, "c", clients=2)
    for fall in range(1, 4):
        answered = on_gpu.count
        wait_for(lambda: on_gpu.count > answered + 20)
        old = child(server)
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: server.metric("dyno_gpu_restarts_total", device="cuda:0") == fall)
        wait_for(lambda: index(server)["g"] == ("READY", ""))
        check(child(server) not in (0, old))
    answered = on_gpu.count
    wait_for(lambda: on_gpu.count > answered + 20)
    on_gpu.stop()
    on_cpu.stop()
    check(not on_cpu.refused, on_cpu.refused[:3])
    for status, message in on_gpu.refused:
        check(status in ("503", 503) and ("GPU cuda:0" in message or "not at ready state" in message
                                          or "has no available versions" in message), status, message)
    server.wait_quiet()


def case_two_gpus(t):
    """Engines go to the one that has most left; what falls with one is what was on it."""
    if not has_gpu(t):
        return
    put(t, "g", "two_rows")
    put(t, "h", "two_rows")
    server = start(t, "--device=cuda:0", "--device=cuda:1", "--ledger=ledger", env={"DYNO_EMULATE_GPUS": "2"})
    server.expected = ["GPU cuda:[01]: its driver was ended by SIGKILL; it is started again",
                       "model '[gh]' version 1 variant 'gpu': "]
    held = {device: server.metric("dyno_gpu_memory_bytes", device=device) for device in ("cuda:0", "cuda:1")}
    check(held["cuda:0"] == held["cuda:1"] > 0, held)
    first, second = Asking(server, "g", clients=2), Asking(server, "h", clients=2)
    wait_for(lambda: first.count > 20 and second.count > 20)
    old, other = child(server), child(server, "cuda:1")
    check(0 not in (old, other) and old != other)
    # Which of the two models is on cuda:0 the fall tells; it is loaded again there, or on the other.
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: first.refused or second.refused)
    wait_for(lambda: all(row == ("READY", "") for row in index(server).values()))
    counts = first.count, second.count
    wait_for(lambda: first.count > counts[0] + 10 and second.count > counts[1] + 10)
    first.stop()
    second.stop()
    check(not first.refused or not second.refused, first.refused[:2], second.refused[:2])
    check(server.metric("dyno_gpu_restarts_total", device="cuda:1") == 0 and child(server, "cuda:1") == other)
    text = server.request("GET", "/metrics", port=server.metrics)[2].decode()
    for device in ("cuda:0", "cuda:1"):
        account = {name: float(re.search(r'dyno_account_gpu_seconds_total{device="%s",account="%s"} (\S+)'
                                         % (device, name), text)[1])
                   for name in ("wall", "tenants", "platform", "idle")}
        check(account["tenants"] > 0 and account["platform"] > 0, device, account)
        check(abs(account["tenants"] + account["platform"] + account["idle"] - account["wall"]) < 1e-8, account)


def case_device_of_a_variant(t):
    """It goes to the GPU that its configuration names, and to no other; a change of that loads it again."""
    if not has_gpu(t):
        return
    for model in ("g", "h", "i"):
        put(t, model, "two_rows")
        t.configure(model, {"variants": {"gpu": {"device": "cuda:1"}}})
    t.configure("i", {"variants": {"gpu": {"device": "cuda:7"}}})
    server = start(t, "--device=cuda:0", "--device=cuda:1", "--model-control-mode=explicit", "--load-model=g",
                   "--load-model=h", env={"DYNO_EMULATE_GPUS": "2"})
    server.expected = ["model 'i' version 1 variant 'gpu': "]
    held = lambda device: server.metric("dyno_gpu_memory_bytes", device=device)
    check(child(server) == 0 and child(server, "cuda:1") > 0)
    both = held("cuda:1")
    server.error("POST", "/v2/repository/models/i/load", 500,
                 "^failed to load 'i': .*its configuration wants the GPU cuda:7, which this server does not use", "{}")
    t.configure("h", {"variants": {"gpu": {"device": "cuda"}}})
    check(server.request("POST", "/v2/repository/models/h/load", "{}")[0] == 200)
    wait_for(lambda: held("cuda:1") < both)
    check(held("cuda:0") > 0 and child(server) > 0)
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.http}")
    for model in ("g", "h"):
        x = images(5, 3, 64, 64)
        check(np.array_equal(ask(client, model, x), np.maximum(x, 0)), model)
    server.wait_quiet()


def case_gpu_fails_under_load(t):
    """An error of the GPU stays for its process: that one request fails by it, the others by the fall."""
    if not has_gpu(t):
        return
    put(t, "g", "two_rows")
    server = start(t, env={"DYNO_EMULATE_FAIL": "150"})  # each child, at so many launches
    server.expected = ["GPU cuda:0: its driver ended with exit code 74; it is started again",
                       "model 'g' version 1 variant 'gpu': "]
    asking = Asking(server, "g")
    wait_for(lambda: server.metric("dyno_gpu_restarts_total", device="cuda:0") >= 3)
    answered = asking.count
    wait_for(lambda: asking.count > answered)
    asking.stop()
    told = [message for status, message in asking.refused if "ILLEGAL_ADDRESS" in message]
    check(told, asking.refused[:5])
    for status, message in asking.refused:
        check(str(status) in ("500", "503"), status, message)
    check(asking.count > 20, asking.count)


def case_engine_that_fells_it(t):
    """A model that breaks the GPU whenever it is loaded is not served, and the others are."""
    if not has_gpu(t):
        return
    put(t, "g", "two_rows")
    t.put("c", "two_rows")
    server = start(t, "--model-control-mode=explicit", "--load-model=g", "--load-model=c",
                   env={"DYNO_EMULATE_FAIL": "1"})
    server.expected = ["GPU cuda:0: its driver ended with exit code 74", "model 'g' version 1 variant 'gpu': ",
                       "failed to load 'g': "]
    have = index(server)
    check(have["g"][0] == "UNAVAILABLE" and "ILLEGAL_ADDRESS" in have["g"][1], have)
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.http}")
    x = images(1, 2, 64, 64)
    check(np.array_equal(ask(client, "c", x), np.maximum(x, 0)))
    check(server.metric("dyno_gpu_restarts_total", device="cuda:0") == 0, "nobody wanted it")
    server.error("POST", "/v2/repository/models/g/load", 500, "^failed to load 'g': .*ILLEGAL_ADDRESS", "{}")
    check(server.metric("dyno_gpu_restarts_total", device="cuda:0") == 1)
    check(np.array_equal(ask(client, "c", x), np.maximum(x, 0)))
    server.alive()


def case_flags(t):
    """Devices are called as everywhere, each once."""
    for says, *flags in (("--device=gpu0: wants cpu, cuda or cuda:N", "--device=gpu0"),
                         ("--device=cuda:: wants cpu, cuda or cuda:N", "--device=cuda:"),
                         ("--device=cuda:1x: wants cpu, cuda or cuda:N", "--device=cuda:1x"),
                         ("--device=cuda:0 is given twice", "--device=cuda", "--device=cuda:0"),
                         ("--gpu-memory=much: wants a number of bytes", "--gpu-memory=much")):
        got = subprocess.run([t.build / "dyno-serve", f"--model-repository={t.repository}", *flags],
                             capture_output=True, text=True)
        check(got.returncode == 64 and says in got.stderr, got)


def case_says_why_meanwhile(t):
    """While its GPU is started again a variant is not ready, with the reason."""
    if not has_gpu(t):
        return
    put(t, "g", "identity")
    server = start(t, "--gpu-timeout-secs=2")
    server.expected = ["GPU cuda:0: its driver", "model 'g' version 1 variant 'gpu': "]
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 16], "data": list(range(16))}]})
    check(server.request("POST", "/v2/models/g/infer", body)[0] == 200)
    # A child that stands still is ended when it has not answered in time.
    os.kill(child(server), signal.SIGSTOP)
    server.error("POST", "/v2/models/g/infer", 503,
                 "^GPU cuda:0 failed while this ran: its driver did not answer for 2 s$", body)
    wait_for(lambda: index(server)["g"] == ("READY", ""))
    check(server.request("POST", "/v2/models/g/infer", body)[0] == 200)


def case_no_gpu(t):
    """Without a driver, or without that GPU, the load says so, and the rest is served."""
    if not has_gpu(t):
        return
    put(t, "g", "identity")
    t.put("c", "identity")
    server = start(t, "--device=cuda:7")
    server.expected = ["GPU cuda:7: there is no GPU cuda:7", "model 'g' version 1 variant 'gpu': ",
                       "failed to load 'g': "]
    have = index(server)
    check(have["c"] == ("READY", "") and have["g"][0] == "UNAVAILABLE", have)
    check(have["g"][1] == "engine 'g/1/gpu': there is no GPU cuda:7: this machine has 1", have["g"])
    server.stop()
    # Of two the one that is there.
    server = start(t, "--device=cuda:7", "--device=cuda:0")
    server.expected = ["GPU cuda:7: there is no GPU cuda:7"]
    check(index(server)["g"] == ("READY", ""), index(server))
    check(server.metric("dyno_gpu_up", device="cuda:0") == 1)
    server.stop()
    server = start(t, "--device=cpu")
    server.expected = ["model 'g' version 1 variant 'gpu': ", "failed to load 'g': "]
    have = index(server)
    check(have["c"] == ("READY", ""), have)
    check(have["g"][1] == "engine 'g/1/gpu': it was built for the GPU 'Emulated GPU', and this server uses none "
          "(--device)", have["g"])


def case_unload_and_load(t):
    """What it held of the GPU is given back, to the byte, each time."""
    if not has_gpu(t):
        return
    put(t, "g", "two_rows")
    server = start(t, "--model-control-mode=explicit", "--load-model=g")
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.http}")
    x = images(1, 2, 64, 64)
    held = set()
    for _ in range(5):
        check(np.array_equal(ask(client, "g", x), np.maximum(x, 0)))
        held.add(server.metric("dyno_gpu_memory_bytes", device="cuda:0"))
        server.json("POST", "/v2/repository/models/g/unload", {})
        wait_for(lambda: server.metric("dyno_gpu_memory_bytes", device="cuda:0") == 0)
        server.json("POST", "/v2/repository/models/g/load", {})
    check(len(held) == 1, held)
    check(server.metric("dyno_gpu_restarts_total", device="cuda:0") == 0)


def case_memory_of_the_gpu(t):
    """What does not fit beside the others makes room there, and only there."""
    if not has_gpu(t):
        return
    for model in ("a", "b"):
        put(t, model, "heavy")
    t.put("c", "heavy")
    server = start(t, "--gpu-memory=30M")  # each has 16 MiB of weights
    server.expected = ["variant 'gpu'"]
    x = images(1, 1, 1024)
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.http}", network_timeout=PATIENCE_S)
    for model in ("a", "b", "c", "a"):
        check(not ask(client, model, x).any(), model)
        have = index(server)
        other = {"a": "b", "b": "a"}.get(model)
        check(have[model] == ("READY", "") and have["c"] == ("READY", ""), have)
        if other:
            check(have[other][0] == "UNAVAILABLE", have)
        check(0 < server.metric("dyno_gpu_memory_bytes", device="cuda:0") <= 30 << 20)
    check(server.metric("dyno_model_evictions_total") >= 2)

    def asked():
        return {(model, result): server.metric("dyno_engine_requests_total", model=model, result=result)
                for model in ("a", "b") for result in ("hit", "miss")}
    before = asked()
    for model in ("a", "a", "b", "b", "b"):
        ask(client, model, x)
    got = {key: count - before[key] for key, count in asked().items()}
    check(got == {("a", "hit"): 2, ("a", "miss"): 0, ("b", "hit"): 2, ("b", "miss"): 1}, got)
    server.stop()
    server = start(t, "--gpu-memory=8M")
    server.expected = ["variant 'gpu'", "failed to load"]
    have = index(server)
    check(re.search(r"it needs \d+ bytes of memory of GPU cuda:0, more than the 8388608 that all models may use",
                    have["a"][1]), have)
    check(have["c"] == ("READY", ""), have)


def case_metering(t):
    """Records have the time of the GPU's events and its name, and each account adds up by itself."""
    if not has_gpu(t):
        return
    put(t, "g", "two_rows")
    t.put("c", "two_rows")
    server = start(t, "--ledger=ledger")
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.http}")
    for rows in (1, 4, 16, 2):
        x = images(rows, rows, 64, 64)
        for model in ("g", "c"):
            check(np.array_equal(ask(client, model, x), np.maximum(x, 0)))
    text = server.request("GET", "/metrics", port=server.metrics)[2].decode()
    account = {name: float(re.search(r'dyno_account_gpu_seconds_total{device="cuda:0",account="%s"} (\S+)' % name,
                                     text)[1]) for name in ("wall", "tenants", "platform", "idle")}
    check(account["tenants"] > 0 and account["platform"] > 0, account)
    check(abs(account["tenants"] + account["platform"] + account["idle"] - account["wall"]) < 1e-8, account)
    check(server.metric("dyno_account_balanced") == 1)
    server.stop()
    text = subprocess.run([t.build / "dyno", "ledger", "export", "ledger"], check=True, capture_output=True,
                          text=True, cwd=t.folder).stdout
    told = list(csv.DictReader(text.splitlines()))
    usage = {m: [r for r in told if r["kind"] == "usage" and r["model"] == m] for m in ("g", "c")}
    check(len(usage["g"]) == 4 and len(usage["c"]) == 4, told)
    for row in usage["g"]:
        check("core-ns" not in row["flags"] and row["device"] == "Emulated GPU" and int(row["device_ns"]) > 0, row)
    for row in usage["c"]:
        check("core-ns" in row["flags"] and row["device"] == "", row)
    on_gpu = sum(int(row["device_ns"]) for row in usage["g"])
    check(abs(on_gpu - account["tenants"] * 1e9) < 2, on_gpu, account)
    # The platform's runs and idle time, of each device on its own.
    for kind in ("platform", "idle"):
        devices = {(row["device"], "core-ns" in row["flags"]) for row in told if row["kind"] == kind}
        check(devices == {("", True), ("Emulated GPU", False)}, kind, devices)
    spans = [row for row in told if row["device"] == "Emulated GPU" and row["kind"] != "residency"]
    total = sum(int(row["device_ns"]) for row in spans)
    check(total >= account["wall"] * 1e9, total, account)
    # Sums keep the two apart.
    text = subprocess.run([t.build / "dyno", "usage", "--ledger=ledger", "--json"], check=True, capture_output=True,
                          text=True, cwd=t.folder).stdout
    sums = {row["model"]: row for row in json.loads(text) if row["kind"] == "delivered"}
    check(int(sums["g"]["device_ns"]) == on_gpu and "core_ns" not in sums["g"], sums)
    check(int(sums["c"]["core_ns"]) == sum(int(row["device_ns"]) for row in usage["c"]), sums)


def scrape(server):
    """Values of the families that cards tell, by name, each of one GPU."""
    text = server.request("GET", "/metrics", port=server.metrics)[2].decode()
    found = re.findall(r'^(nv_gpu_\w+|nv_energy_\w+)\{gpu_uuid="([^"]*)"\} (\S+)$', text, re.M)
    return {name: (uuid, float(value)) for name, uuid, value in found}


def case_what_the_card_tells(t):
    """Under Triton's names, as often as Triton asks; a card that tells less, or nothing, has no such metric."""
    if not has_gpu(t):
        return
    put(t, "g", "two_rows")
    told = f"{library(t.build)}:{t.build}/tests/cuda/fake"
    server = start(t, env={"LD_LIBRARY_PATH": told})
    check(np.array_equal(ask(tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.http}"), "g", images(1, 1, 64, 64)),
                         np.maximum(images(1, 1, 64, 64), 0)))
    wait_for(lambda: scrape(server))
    uuid = "GPU-0badcafe-0000-0000-0000-000000000001"
    have = scrape(server)
    energy = have.pop("nv_energy_consumption")
    check(have == {"nv_gpu_utilization": (uuid, 0.75), "nv_gpu_memory_total_bytes": (uuid, 1e6),
                   "nv_gpu_memory_used_bytes": (uuid, 4e5), "nv_gpu_power_usage": (uuid, 412.5),
                   "nv_gpu_power_limit": (uuid, 700.0)}, have)
    check(energy[0] == uuid and energy[1] % 50 == 0, energy)
    ours = {name: server.metric(f"dyno_gpu_{name}", device="cuda:0") for name in (
        "items_total", "core_clock_hertz", "memory_clock_hertz", "temperature_celsius")}
    check(ours == {"items_total": 1, "core_clock_hertz": 1980e6, "memory_clock_hertz": 3201e6, "temperature_celsius": 41}, ours)
    check(server.metric("dyno_gpu_energy_joules_total", device="cuda:0") >= energy[1])
    wait_for(lambda: scrape(server)["nv_energy_consumption"][1] > energy[1])
    # Another child asks anew; the joules go on from where they were.
    os.kill(child(server), signal.SIGKILL)
    server.expected = ["GPU cuda:0", "variant 'gpu'"]
    before = scrape(server).get("nv_energy_consumption", energy)[1]
    wait_for(lambda: child(server) and scrape(server).get("nv_energy_consumption", (uuid, -1))[1] >= before)
    server.stop()
    server = start(t, env={"LD_LIBRARY_PATH": told, "FAKE_NVML": "silent"})
    wait_for(lambda: scrape(server))
    check({name: value for name, (_, value) in scrape(server).items()} ==
          {"nv_gpu_memory_total_bytes": 1e6, "nv_gpu_memory_used_bytes": 4e5}, scrape(server))
    text = server.request("GET", "/metrics", port=server.metrics)[2].decode()
    check("dyno_gpu_items_total" in text and not re.search("dyno_gpu_(energy|core|temperature)", text), text)
    server.stop()
    server = start(t, env={"LD_LIBRARY_PATH": told, "FAKE_NVML": "mig"})
    time.sleep(1.5)
    check(not scrape(server) and server.metric("dyno_gpu_up", device="cuda:0") == 1)


def case_certified(t):
    """A certificate of a GPU counts there: a request is worth what it takes unoptimised; on a GPU of another name, nothing."""
    if not has_gpu(t):
        return
    put(t, "g", "two_rows")
    folder = t.folder / "certificates"
    folder.mkdir()
    got = subprocess.run([t.build / "dyno", "certify", f"{t.build}/serve-engines/two_rows.onnx",
                          f"--engine={gpu_engine(t, 'two_rows')}", "--trial", "--json", f"--out={folder}",
                          "--keep-baseline", "--minShapes=x:1x64x64", "--optShapes=x:1x64x64", "--maxShapes=x:4x64x64"],
                         capture_output=True, text=True, check=False,
                         env=env_of(t, DYNO_EMULATE_CLOCK="1000000", **{
                             f"DYNO_{name}": str(library(t.build) / f"lib{name.lower()}-emulated.so")
                             for name in ("CUBLASLT", "CUDNN")}))
    check(got.returncode == 0, got.stderr)
    report = json.loads(got.stdout)
    t_ref = report["reference"]["points"][0]["t_ref_ns"]
    check(t_ref > 0 and report["engine"]["s"][1] > 0, report)
    # The class of the CPU is not that of the GPU.
    server = start(t, "--ledger=ledger", f"--certificates={folder}", "--accept-trials", "--device-class=a CPU",
                   "--recheck-hours=0.0003")
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{server.http}")
    for rows in (1, 4):
        ask(client, "g", images(rows, rows, 64, 64))
    time.sleep(7)  # idle long enough for a look, which is not made on a GPU
    check(server.metric("dyno_certificate_checks_total", verdict="stands") == 0)
    server.stop()
    text = subprocess.run([t.build / "dyno", "ledger", "export", "ledger"], check=True, capture_output=True,
                          text=True, cwd=t.folder).stdout
    usage = [r for r in csv.DictReader(text.splitlines()) if r["kind"] == "usage"]
    check([int(r["reference_ns"]) for r in usage] == [t_ref, 4 * t_ref], usage, t_ref)
    check(all(r["device"] == "Emulated GPU" and "uncertified" not in r["flags"] for r in usage), usage)
    check(all(report["engine"]["address"] in r.values() for r in usage), usage)
