"""Models that come and go: versions and variants one by one, reloads, reasons, what lies in folders."""
import json
import os
import shutil
import subprocess
import threading
import time

import grpc
import numpy as np
import tritonclient.grpc as triton
from harness import PATIENCE_S, check
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import InferenceServerException

BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 16], "datatype": "FP32",
                               "data": list(range(16))}]})


def load(server, model, status=200, **parameters):
    return server.json("POST", f"/v2/repository/models/{model}/load", {"parameters": parameters}, status)


def unload(server, model, status=200, **parameters):
    return server.json("POST", f"/v2/repository/models/{model}/unload", {"parameters": parameters}, status)


def index(server, model):
    """{version: (state, reason)} of a model."""
    rows = server.json("POST", "/v2/repository/index")
    return {r.get("version"): (r.get("state"), r.get("reason")) for r in rows if r["name"] == model}


def answering(server, model, version=None, status=200):
    """(version, variant) that answers."""
    path = f"/v2/models/{model}" + (f"/versions/{version}" if version else "") + "/infer"
    got = server.json("POST", path, json.loads(BODY), status)
    return (got["model_version"], got["parameters"]["variant"]) if status == 200 else got["error"]


def variants(server, model="m"):
    """The variants that are ready, as the statistics have them."""
    text = server.request("GET", "/metrics", port=server.metrics)[2].decode()
    rows = [line for line in text.splitlines()
            if line.startswith(f'nv_inference_request_success{{model="{model}"')]
    return sorted((line.split('version="')[1].split('"')[0], line.split('variant="')[1].split('"')[0])
                  for line in rows)


def slow_engine(t):
    """(name, input) of an engine that takes a while to load and to run; with sanitizers a smaller one does, too."""
    return ("slow", np.ones((512, 256), np.float32)) if "release" in t.build.name else \
        ("rows", np.ones((4, 64, 64), np.float32))


def request_with(x, **parameters):
    """(body, headers) of an inference of x."""
    head = json.dumps({"parameters": parameters,
                       "inputs": [{"name": "x", "shape": x.shape, "datatype": "FP32",
                                   "parameters": {"binary_data_size": x.nbytes}}]}).encode()
    return head + x.tobytes(), {"Inference-Header-Content-Length": str(len(head))}


def lines_of(server, says):
    return [line for line in server.log.read_text().splitlines() if says in line]


def infer(server, model, body=BODY, headers=(), version=""):
    path = f"/v2/models/{model}{version}/infer"
    return server.request("POST", path, body, headers)


def wait_for(condition, *what, seconds=PATIENCE_S):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, "never came:", *what)
        time.sleep(0.01)


class Asking:
    """Clients that ask for a model as long as it lasts, and must be answered."""

    def __init__(self, server, model="m", clients=3):
        self.server, self.model, self.stopping = server, model, threading.Event()
        self.failed, self.count = [], 0
        self.threads = [threading.Thread(target=self.work) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def work(self):
        while not self.stopping.is_set():
            status, _, text = self.server.request("POST", f"/v2/models/{self.model}/infer", BODY)
            self.count += 1
            if status != 200 or json.loads(text)["outputs"][0]["data"] != list(range(16)):
                self.failed.append((status, text))

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        check(not self.failed and self.count > 5, self.count, self.failed[:2])


def case_one_version_or_variant(t):
    for version in (1, 2, 3):
        for variant in ("fp32", "int8"):
            t.put("m", "identity", version, variant)
    server = t.start("--model-control-mode=explicit", models=())
    server.error("GET", "/v2/models/m", 404, "^Request for unknown model: 'm' is not found$")
    check(load(server, "m", version="2")["load"])
    check(variants(server) == [("2", "fp32"), ("2", "int8")], variants(server))
    check(load(server, "m", version=1, variant="int8")["load"])
    check(variants(server) == [("1", "int8"), ("2", "fp32"), ("2", "int8")], variants(server))
    check(answering(server, "m")[0] == "2" and answering(server, "m", 1) == ("1", "int8"))
    check(unload(server, "m", version=2, variant="fp32", unload_dependents=True)["unload"])
    check(answering(server, "m") == ("2", "int8"))
    check(index(server, "m") == {"2": ("READY", "variant 'fp32': unloaded"), "1": ("READY", "")},
          index(server, "m"))
    unload(server, "m", version="2")
    check(answering(server, "m") == ("1", "int8"))
    says = answering(server, "m", 2, 503)
    check(says == "Request for unknown model: 'm' version 2 is not at ready state: unloaded", says)
    # The whole is what the configuration wants: the newest version, and no other.
    load(server, "m")
    check(variants(server) == [("3", "fp32"), ("3", "int8")], variants(server))
    unload(server, "m", variant="int8")
    check(variants(server) == [("3", "fp32")], variants(server))
    unload(server, "m")
    check(variants(server) == [] and index(server, "m") == {"3": ("UNAVAILABLE", "unloaded")})
    says = answering(server, "m", None, 503)
    check(says == "Request for unknown model: 'm' has no available versions: unloaded", says)


def case_parts_over_grpc(t):
    for variant in ("fp32", "int8"):
        t.put("m", "identity", 1, variant)
        t.put("m", "identity", 2, variant)
    server = t.start("--model-control-mode=explicit", models=())
    stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(f"127.0.0.1:{server.grpc}"))

    def order(call, request, **parameters):
        for name, value in parameters.items():
            kind = "bool_param" if isinstance(value, bool) else \
                "int64_param" if isinstance(value, int) else \
                "bytes_param" if isinstance(value, bytes) else "string_param"
            setattr(request.parameters[name], kind, value)
        return call(request)

    def do_load(**parameters):
        return order(stub.RepositoryModelLoad, pb.RepositoryModelLoadRequest(model_name="m"), **parameters)

    def do_unload(**parameters):
        return order(stub.RepositoryModelUnload, pb.RepositoryModelUnloadRequest(model_name="m"),
                     **parameters)

    def refused(code, says, call, **parameters):
        try:
            call(**parameters)
        except grpc.RpcError as error:
            check(error.code() == code and says in error.details(), error)
            return
        check(False, "not refused", parameters)
    do_load(version="1", variant="int8")
    do_load(version=2, variant="fp32")
    check(variants(server) == [("1", "int8"), ("2", "fp32")], variants(server))
    do_unload(version=2, unload_dependents=False)
    check(variants(server) == [("1", "int8")], variants(server))
    code = grpc.StatusCode
    refused(code.NOT_FOUND, "no version 7", do_load, version=7)
    refused(code.NOT_FOUND, "no variant 'none'", do_load, version=1, variant="none")
    refused(code.INVALID_ARGUMENT, "'version' must be", do_load, version="one")
    refused(code.INVALID_ARGUMENT, "'version' must be", do_load, version=-1)
    refused(code.INVALID_ARGUMENT, "'version' must be", do_load, version=b"1")
    refused(code.INVALID_ARGUMENT, "'variant' must be", do_load, variant="../x")
    refused(code.INVALID_ARGUMENT, "'unload_dependents' must be", do_unload, unload_dependents=1)
    refused(code.UNIMPLEMENTED, "'config' is not available", do_load, config="{}")
    try:
        triton.InferenceServerClient(f"127.0.0.1:{server.grpc}").unload_model("other")
    except InferenceServerException as error:
        check("not loaded" in str(error), error)


def case_hostile_parts(t):
    t.put("m", "identity")
    server = t.start("--model-control-mode=explicit", "--load-model=m", models=())
    for how, status, says in (
            ({"version": 0}, 400, "'version' must be"), ({"version": "01"}, 400, "'version' must be"),
            ({"version": "../1"}, 400, "'version' must be"), ({"version": 1.5}, 400, "'version' must be"),
            ({"version": True}, 400, "'version' must be"), ({"version": [1]}, 400, "'version' must be"),
            ({"version": 1 << 70}, 400, "'version' must be"),
            ({"version": 9223372036854775807}, 404, "no version 9223372036854775807"),
            ({"variant": "../../m/1/fp32"}, 400, "'variant' must be"), ({"variant": ""}, 400, "'variant'"),
            ({"variant": "a\0b"}, 400, "'variant' must be"), ({"variant": 1}, 400, "'variant' must be"),
            ({"variant": "x" * 200}, 400, "'variant' must be"),
            ({"variant": "fp16"}, 404, "no variant 'fp16'"), ({"version": 2}, 404, "no version 2"),
            ({"unload_dependents": "yes"}, 400, "must be a boolean"), ({"x": 1}, 501, "not available")):
        server.error("POST", "/v2/repository/models/m/load", status, says, json.dumps({"parameters": how}))
    server.error("POST", "/v2/repository/models/m/unload", 404, "not loaded",
                 json.dumps({"parameters": {"version": 2}}))
    server.error("POST", "/v2/models/m/infer", 404, "no variant 'fp16'",
                 BODY[:-1] + ', "parameters": {"variant": "fp16"}}')
    check(answering(server, "m") == ("1", "fp32"))


def case_what_is_loading_is_not_unknown(t):
    """From the first moment on: 503 and why, never 404."""
    names = [f"m{i}" for i in range(3)]
    for name in names:
        t.put(name, slow_engine(t)[0], 3)
    server = t.start(models=(), ready=False)
    first = server.request("GET", f"/v2/models/{names[-1]}")
    check(first[0] in (200, 503), first)
    seen = set()
    while server.request("GET", "/v2/health/ready")[0] != 200:
        status, _, text = server.request("POST", f"/v2/models/{names[-1]}/versions/3/infer", BODY)
        check(status != 404, status, text)
        seen.add(json.loads(text).get("error"))
        check(server.request("GET", f"/v2/models/{names[-1]}")[0] in (200, 503))
        states = {r["state"] for r in server.json("POST", "/v2/repository/index")}
        check(states <= {"READY", "LOADING"}, states)
    check(f"Request for unknown model: '{names[-1]}' version 3 is not at ready state: it is loading" in seen,
          seen)
    server.error("GET", "/v2/models/none", 404, "^Request for unknown model: 'none' is not found$")


def case_unchanged_is_not_loaded_again(t):
    for variant in ("a", "b"):
        t.put("m", "identity", 1, variant)
    (t.repository / "m" / "names.txt").write_text("one\ntwo\n")
    server = t.start("--model-control-mode=explicit", "--load-model=m", models=(), env={"DYNO_LOG": "info"})
    server.expected = ["info: "]

    def loads():
        return [line.split("variant '")[1][0] for line in lines_of(server, " is ready: ")]
    check(loads() == ["a", "b"], loads())
    line = lines_of(server, " is ready: ")[0]
    check("model 'm' version 1 variant 'a' is ready: 2 contexts, batches of up to 64, " in line and
          " bytes, " in line and line.endswith(" ms"), line)
    server.json("POST", "/v2/models/m/infer", {**json.loads(BODY), "parameters": {"variant": "a"}})
    load(server, "m")
    check(loads() == ["a", "b"] and server.metric("nv_inference_request_success", variant="a") == 1)
    t.put("m", "identity", 1, "b")  # another file of the same bytes
    load(server, "m")
    check(loads() == ["a", "b", "b"], loads())
    t.configure("m", {"max_batch_size": 8})
    load(server, "m")
    check(loads() == ["a", "b", "b", "a", "b"], loads())
    t.configure("m", {"max_batch_size": 8, "labels": {"y": "names.txt"}})
    load(server, "m", version=1, variant="a")
    check(loads()[5:] == ["a"], loads())
    (t.repository / "m" / "names.txt").write_text("one\ntwo\nthree\n")
    load(server, "m")
    check(loads()[6:] == ["a", "b"], loads())
    unload(server, "m", variant="a")
    load(server, "m")
    check(loads()[8:] == ["a"], loads())


def case_reload_of_a_changed_file(t):
    """No request is lost between the old one and the new one, and a bad successor changes nothing."""
    t.put("m", "identity")
    server = t.start("--model-control-mode=explicit", "--load-model=m", models=())
    engine = t.repository / "m" / "1" / "fp32.engine"
    asking = Asking(server)
    for _ in range(30):
        t.put("m", "identity")
        load(server, "m")
    server.expected = ["variant 'fp32'"]
    good = engine.read_bytes()
    for bad in (b"", b"noise", good[:len(good) // 2], good[:-1] + bytes([good[-1] ^ 1]), good + b"x"):
        engine.write_bytes(bad)
        says = load(server, "m", 500 if len(bad) > 20 else 400)["error"]
        check(says.startswith("failed to load 'm': engine 'm/1/fp32': "), says)
        state, reason = index(server, "m")["1"]
        check(state == "READY" and says.endswith(reason), state, reason)
        check(answering(server, "m") == ("1", "fp32"))
    engine.unlink()
    check("no version with an engine" in load(server, "m", 400)["error"])
    check(answering(server, "m") == ("1", "fp32"))
    engine.write_bytes(good)
    load(server, "m")
    check(index(server, "m") == {"1": ("READY", "")}, index(server, "m"))
    asking.stop()


def case_versions_take_over(t):
    """The newest answers when it is there; until then, and when it is bad, the one before it."""
    t.put("m", "identity")
    server = t.start("--model-control-mode=explicit", "--load-model=m", models=())
    asking = Asking(server)
    for version in range(2, 12):
        t.put("m", "identity", version)
        load(server, "m")
        check(index(server, "m").get(str(version)) == ("READY", ""), index(server, "m"))
        check(answering(server, "m")[0] == str(version))
    asking.stop()
    server.expected = ["variant 'fp32'"]
    (t.repository / "m" / "12").mkdir()
    (t.repository / "m" / "12" / "fp32.engine").write_bytes(b"noise")
    check("m/12/fp32" in load(server, "m", 400)["error"])
    have = index(server, "m")
    check(have["11"] == ("READY", "") and have["12"][0] == "UNAVAILABLE" and have["12"][1], have)
    check(answering(server, "m")[0] == "11")
    says = answering(server, "m", 12, 503)
    check(says.endswith("version 12 is not at ready state: it could not be loaded"), says)
    t.put("m", "identity", 12)
    load(server, "m")
    check(answering(server, "m")[0] == "12" and list(index(server, "m")) == ["12"], index(server, "m"))


def case_what_lies_in_folders(t):
    """Nothing of it hangs or ends the server, and each is told of."""
    t.put("good", "identity")
    folder = t.repository / "bad" / "1"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "pipe.engine")
    (folder / "folder.engine").mkdir()
    (folder / "loop.engine").symlink_to(folder / "loop.engine")
    (folder / "gone.engine").symlink_to("/nowhere/x.engine")
    (folder / "device.engine").symlink_to("/dev/zero")
    (folder / "passwords.engine").symlink_to("/etc/passwd")
    (folder / ".hidden.engine").write_bytes(b"x")
    (folder / "a b.engine").write_bytes(b"x")
    (folder / ".engine").write_bytes(b"x")
    (t.repository / "link").symlink_to(t.repository / "good")
    (t.repository / "self").symlink_to(t.repository / "self")
    (t.repository / "up").symlink_to("..")
    (t.repository / "file").write_text("no folder")
    (t.repository / "odd" / "1").mkdir(parents=True)
    (t.repository / "odd" / "config.json").mkdir()
    server = t.start(models=())
    server.expected = ["'bad'", "'odd'", "'up'", "config.json"]
    check(answering(server, "good") == ("1", "fp32") and answering(server, "link") == ("1", "fp32"))
    state, reason = index(server, "bad")["1"]
    check(state == "UNAVAILABLE", state, reason)
    for name in ("device", "folder", "gone", "loop", "passwords", "pipe"):
        check(f"variant '{name}': engine 'bad/1/{name}': " in reason, name, reason)
    check("a b" not in reason and "hidden" not in reason and "/nowhere" not in reason, reason)
    check(index(server, "self") == {} and index(server, "file") == {}, "no folders")
    check(index(server, "odd")[None][0] == "UNAVAILABLE", index(server, "odd"))
    server.error("GET", "/v2/models/odd", 503, "has no available versions")
    server.error("GET", "/v2/models/self", 404, "is not found")


def case_orders_do_not_wait_for_a_load(t):
    """Index and unload of others answer while loads run; orders about one model keep their order."""
    names = [f"m{i}" for i in range(3)]
    for name in names:
        t.put(name, slow_engine(t)[0])
    server = t.start("--model-control-mode=explicit", "--load-model=identity")
    threads = [threading.Thread(target=load, args=(server, name)) for name in names]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    while not any(s[0] == "LOADING" for s in index(server, names[-1]).values()):
        if all(index(server, n).get("1", ("",))[0] == "READY" for n in names):
            break
        time.sleep(0.001)
        check(time.monotonic() < start + PATIENCE_S, "nothing is loaded")
    unload(server, "identity")
    took = time.monotonic() - start
    for thread in threads:
        thread.join()
    total = time.monotonic() - start
    check(took < total, "an unload waited for", took, "of", total)
    # What was sent last is what is: over one connection, without waiting for answers.
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        do_load, do_unload = stub.RepositoryModelLoad, stub.RepositoryModelUnload
        grpc.channel_ready_future(channel).result(timeout=PATIENCE_S)
        for _ in range(20):
            calls = [do_load.future(pb.RepositoryModelLoadRequest(model_name="identity")),
                     do_unload.future(pb.RepositoryModelUnloadRequest(model_name="identity")),
                     do_load.future(pb.RepositoryModelLoadRequest(model_name="identity"))]
            for call in calls:
                call.result()
            check(index(server, "identity")["1"][0] == "READY", index(server, "identity"))


def case_parts_outlive_a_worker(t):
    for version in (1, 2):
        for variant in ("a", "b"):
            t.put("m", "identity", version, variant)
            t.put("n", "identity", version, variant)
    server = t.start("--model-control-mode=explicit", "--load-model=m", models=())
    load(server, "m", version=1, variant="b")
    unload(server, "m", version=2, variant="a")
    load(server, "n", version=1)
    load(server, "n", version=2)
    unload(server, "n", version=1)
    want = [("1", "b"), ("2", "b")], [("2", "a"), ("2", "b")]
    check((variants(server), variants(server, "n")) == want, variants(server), variants(server, "n"))
    server.expected = ["worker"]
    os.kill(server.worker(), 9)
    server.wait_ready()
    check((variants(server), variants(server, "n")) == want, variants(server), variants(server, "n"))
    shutil.rmtree(t.repository / "n")
    check(np.isfinite(server.metric("nv_inference_count")))


# --- what changes in the repository ---

def case_repository_is_polled(t):
    t.put("a", "identity")
    server = t.start("--model-control-mode=poll", "--repository-poll-secs=0.1", models=())
    server.error("POST", "/v2/repository/models/a/unload", 503, "not allowed")
    asking = Asking(server, "a")
    t.put("b", "identity")
    wait_for(lambda: infer(server, "b")[0] == 200, "a new model")
    t.put("a", "identity", 2)
    wait_for(lambda: answering(server, "a")[0] == "2", "a new version")
    wait_for(lambda: list(index(server, "a")) == ["2"], "the old version's end")
    t.put("a", "identity", 2, "int8")
    wait_for(lambda: ("2", "int8") in variants(server, "a"), "a new variant")
    (t.repository / "a" / "2" / "int8.engine").unlink()
    wait_for(lambda: variants(server, "a") == [("2", "fp32")], "its end")
    t.configure("a", {"max_batch_size": 7})
    wait_for(lambda: server.json("GET", "/v2/models/a/config")["max_batch_size"] == 7, "the configuration")
    server.expected = ["model 'a'", "failed to load 'a'", "config.json"]
    t.configure("a", {"max_batch_size": -7})
    wait_for(lambda: "max_batch_size" in index(server, "a")["2"][1], "what is wrong with it")
    check(index(server, "a")["2"][0] == "READY" and len(lines_of(server, "max_batch_size")) <= 2)
    t.configure("a", {})
    wait_for(lambda: index(server, "a")["2"] == ("READY", ""), "the mended configuration")
    asking.stop()
    shutil.rmtree(t.repository / "b")
    wait_for(lambda: infer(server, "b")[0] == 404, "the end of a model")
    check(index(server, "b") == {}, index(server, "b"))
    server.wait_quiet()


def case_half_copied(t):
    """A folder that changes under load, byte by byte: the old one answers until the new one is whole."""
    t.put("m", "identity")
    server = t.start("--model-control-mode=poll", "--repository-poll-secs=0.05", models=(), env={"DYNO_LOG": "info"})
    server.expected = ["info: ", "variant 'fp32'", "failed to load"]
    engine = t.repository / "m" / "1" / "fp32.engine"
    good = engine.read_bytes()
    asking = Asking(server)
    for _ in range(3):
        loads = len(lines_of(server, " is ready: "))
        with open(engine, "wb") as out:
            for i in range(0, len(good), len(good) // 8):
                out.write(good[i:i + len(good) // 8])
                out.flush()
                time.sleep(0.06)
        wait_for(lambda loads=loads: len(lines_of(server, " is ready: ")) > loads, "the whole one")
        wait_for(lambda: index(server, "m")["1"] == ("READY", ""), "no reason")
    check(lines_of(server, "warn: "), "it was never seen half")
    asking.stop()


def case_mode_flags(t):
    def bad(says, *flags):
        got = subprocess.run([t.build / "dyno-serve", f"--model-repository={t.repository}", *flags],
                             capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        check(got.returncode == 64 and says in got.stderr, got)
    bad("wants none, explicit, poll or demand", "--model-control-mode=all")
    bad("wants --model-control-mode=explicit or demand", "--model-control-mode=poll", "--load-model=a")
    bad("--repository-poll-secs", "--repository-poll-secs=-1")
    bad("--max-load-queue", "--max-load-queue=-1")


# --- figures ---

def case_model_figures(t):
    for name in "abc":
        t.put(name, "identity")
    (t.repository / "bad" / "1").mkdir(parents=True)
    (t.repository / "bad" / "1" / "fp32.engine").write_bytes(b"noise")
    server = t.start("--model-control-mode=demand", models=())
    server.expected = ["variant 'fp32'"]

    def states():
        return {s: server.metric("dyno_engines", state=s)
                for s in ("unloaded", "loading", "warming", "ready", "draining", "failed")}
    check(states() == {"unloaded": 4, "loading": 0, "warming": 0, "ready": 0, "draining": 0, "failed": 0}, states())
    for _ in range(3):
        answering(server, "a")
    answering(server, "b")
    check(infer(server, "bad")[0] == 503)
    asked = {(n, r): server.metric("dyno_engine_requests_total", model=n, result=r)
             for n in ("a", "b", "bad") for r in ("hit", "miss")}
    check(asked == {("a", "hit"): 2, ("a", "miss"): 1, ("b", "hit"): 0, ("b", "miss"): 1, ("bad", "hit"): 0,
                    ("bad", "miss"): 1}, asked)
    check(states()["ready"] == 2 and states()["failed"] == 1 and states()["unloaded"] == 1, states())
    check(server.metric("dyno_model_load_seconds_count") == 2 and server.metric("dyno_model_load_seconds_sum") > 0)
    check(server.metric("dyno_model_load_failures_total") == 1 and server.metric("dyno_model_load_put_off_total") == 0)
    text = server.request("GET", "/metrics", port=server.metrics)[2].decode()
    check('model="c"' not in text, "a row for what nobody asked for")
    check(0 <= server.metric("nv_cpu_utilization") <= 1)
    total, used = server.metric("nv_cpu_memory_total_bytes"), server.metric("nv_cpu_memory_used_bytes")
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    check(0 < used < total and abs(total - have) < 0.1 * have, used, total, have)
    heads = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    check(len(heads) == len(set(heads)), "told twice", heads)
