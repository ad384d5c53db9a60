"""Starting, loading, reloading, draining; what is linked; metrics."""
import contextlib
import json
import pathlib
import re
import socket
import subprocess
import threading
import time

import numpy as np
from clients import wait_for
from harness import PATIENCE_S, check, while_it_drains

BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 16], "datatype": "FP32",
                               "data": list(range(16))}]})


def case_program_is_the_data_plane_alone(t):
    names = subprocess.run(["nm", t.build / "dyno-serve"], check=True, capture_output=True,
                           text=True).stdout
    for word in ("dyno_pass_", "dyno_import", "dyno_onnx", "dyno_tune", "dyno_build"):
        check(not re.search(rf" [tT] {word}", names), "dyno-serve holds", word)
    check(" T dyno_engine_open" in names, "no symbols at all")

    def needs(program):
        text = subprocess.run(["readelf", "-d", t.build / program], check=True, capture_output=True,
                              text=True).stdout
        return set(re.findall(r"NEEDED.*\[(.*?)\.so", text))
    plain = {"libc", "libm", "ld-linux-x86-64", "ld-linux-aarch64", "libasan", "libubsan", "libtsan"}
    check(needs("dyno") <= plain, needs("dyno"))
    check(needs("dyno-serve") <= plain | {"libnghttp2", "libhttp_parser", "libz"},
          needs("dyno-serve"))


def case_dyno_serve_becomes_the_server(t):
    t.put("identity", "identity")
    process = subprocess.Popen([t.build / "dyno", "serve", f"--model-repository={t.repository}",
                                "--http-port=0", "--grpc-port=-1", "--metrics-port=-1"],
                               stdout=subprocess.PIPE, text=True)
    try:
        hello = process.stdout.readline()
        check(re.match(r"dyno-serve \S+ on 127.0.0.1: http \d+ pid \d+$", hello), hello)
        program = pathlib.Path(f"/proc/{process.pid}/exe").resolve().name
        check(program == "dyno-serve", program)
    finally:
        process.kill()
        process.wait()
    bad = subprocess.run([t.build / "dyno", "serve", "--nothing"], capture_output=True, text=True,
                         check=False)
    check(bad.returncode == 64 and "there is no flag --nothing" in bad.stderr, bad)


def case_refuses_to_start(t):
    def bad(says, *flags):
        got = subprocess.run([t.build / "dyno-serve", *flags], capture_output=True, text=True,
                             timeout=PATIENCE_S, check=False)
        check(got.returncode in (64, 74) and re.search(says, got.stderr), got)
        check(got.stderr.count("\n") == 1, got.stderr)
    repository = f"--model-repository={t.repository}"
    bad("wants --model-repository")
    bad("--open-to-all", repository, "--address=0.0.0.0")
    bad("not a numeric address", repository, "--address=127.localhost")
    bad("none, explicit, poll or demand", repository, "--model-control-mode=sometimes")
    bad("wants --model-control-mode=explicit or demand", repository, "--load-model=a")
    bad("weight wants", repository, "--service-class=x,weight=0")
    bad("begins with its name", repository, "--service-class=,weight=1")
    bad("--lanes", repository, "--lanes=0")
    bad("--lanes", repository, "--lanes=17")
    bad("unknown|cannot listen", repository, "--address=127.255.255.255", "--http-port=1",
        "--address=203.0.113.1", "--open-to-all")


def case_versions_and_policy(t):
    for version in (1, 2, 10):
        t.put("identity", "identity", version)
        t.put("all", "identity", version)
        t.put("some", "identity", version)
    (t.repository / "all" / "007").mkdir()
    (t.repository / "all" / "notes").mkdir()
    (t.repository / ".hidden").mkdir()
    t.configure("all", {"version_policy": {"all": {}}})
    t.configure("some", {"version_policy": {"specific": {"versions": [1, 2]}},
                         "instance_count": 3})
    server = t.start(models=())
    check(server.json("GET", "/v2/models/identity")["versions"] == ["10"])
    check(server.json("GET", "/v2/models/all")["versions"] == ["10", "2", "1"])
    check(server.json("GET", "/v2/models/some")["versions"] == ["2", "1"])
    check(server.json("GET", "/v2/models/some/config")["instance_group"][0]["count"] == 3)
    check(json.loads(server.request("POST", "/v2/models/all/infer", BODY)[2])["model_version"]
          == "10")
    got = json.loads(server.request("POST", "/v2/models/all/versions/2/infer", BODY)[2])
    check(got["model_version"] == "2", got)


def case_bad_models_are_told_of(t):
    t.put("good", "identity")
    for name, data in (("empty", b""), ("noise", b"\0" * 5000)):
        (t.repository / name / "1").mkdir(parents=True)
        (t.repository / name / "1" / "a.engine").write_bytes(data)
    (t.repository / "none" / "1").mkdir(parents=True)
    t.put("config", "identity")
    (t.repository / "config" / "config.json").write_text('{"max_batch_size": -1}')
    server = t.start(models=())
    server.expected = ["'empty'", "'noise'", "'none'", "max_batch_size", "no version"]
    index = {m["name"]: m for m in server.json("POST", "/v2/repository/index")}
    check(index["good"]["state"] == "READY", index)
    for name in ("empty", "noise"):
        check(index[name]["state"] == "UNAVAILABLE" and index[name]["reason"], index[name])
    server.error("GET", "/v2/models/noise", 503, "no available versions")
    check(server.request("POST", "/v2/models/good/infer", BODY)[0] == 200)
    only = server.json("POST", "/v2/repository/index", {"ready": True})
    check([m["name"] for m in only] == ["good"], only)


def case_load_names(t):
    server = t.start("--model-control-mode=explicit", models=("identity",))
    for name in ("..", ".", "%2e%2e", "a%20b", "-x", "a" * 200, "nothing"):
        status = server.request("POST", f"/v2/repository/models/{name}/load")[0]
        check(status in (400, 404), name, status)
    server.error("POST", "/v2/repository/models/identity/load", 501, "not available",
                 json.dumps({"parameters": {"config": "{}"}}))
    server.error("POST", "/v2/repository/models/identity/load", 501, "not available",
                 json.dumps({"parameters": {"file:1/../../x": "AA=="}}))
    server.error("POST", "/v2/repository/models/identity/unload", 404, "not loaded")
    check(server.json("POST", "/v2/repository/models/identity/load")["load"])
    check(server.json("POST", "/v2/repository/models/identity/load")["load"])


def case_reload_without_a_gap(t):
    server = t.start("--model-control-mode=explicit", "--load-model=identity")
    stop, failed, count = threading.Event(), [], [0]

    def work():
        while not stop.is_set():
            status, _, text = server.request("POST", "/v2/models/identity/infer", BODY)
            count[0] += 1
            if status != 200 or json.loads(text)["outputs"][0]["data"] != list(range(16)):
                failed.append((status, text))
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        t.put("identity", "identity")  # what has not changed is not loaded again
        want = count[0] + 2
        check(server.json("POST", "/v2/repository/models/identity/load")["load"])
        wait_for(lambda: count[0] >= want)
    stop.set()
    for thread in threads:
        thread.join()
    check(not failed and count[0] > 50, count, failed[:2])
    # A reload that fails leaves the old one there.
    t.repository.joinpath("identity/1/fp32.engine").write_bytes(b"noise")
    server.expected = ["identity"]
    check(server.request("POST", "/v2/repository/models/identity/load")[0] != 200)
    check(server.request("POST", "/v2/models/identity/infer", BODY)[0] == 200)


def case_unload_gives_memory_back(t):
    if "release" not in t.build.name:
        return  # sanitizers keep what is freed
    server = t.start("--model-control-mode=explicit", models=("heavy", "identity"))

    def cycle(count):
        for _ in range(count):
            for what in ("load", "unload"):
                check(server.json("POST", f"/v2/repository/models/heavy/{what}")[what])
    def settled():
        """The last unload's memory goes a moment after its answer."""
        sizes = []
        for _ in range(50):
            sizes.append(server.rss_kib())
            time.sleep(0.02)
        return min(sizes)
    cycle(5)
    before = settled()
    cycle(300)
    after = settled()
    check(after < before * 1.05 + 500, "KiB before", before, "after", after)


def case_drain(t):
    server = t.start("--exit-timeout-secs=60", "--instances=1", models=("slow",))
    x = np.random.rand(512, 256).astype(np.float32)
    head = json.dumps({"inputs": [{"name": "x", "shape": list(x.shape), "datatype": "FP32",
                                   "parameters": {"binary_data_size": x.nbytes}}],
                       "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    results = []

    def work():
        got = server.request("POST", "/v2/models/slow/infer", head + x.tobytes(), headers)
        results.append((got[0] == 200 and got[2].endswith(x.tobytes()), got[1].get("connection")))
    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + PATIENCE_S
    # All have come; on a busy machine the first may be answered before the last is sent.
    while (pending := server.metric("nv_inference_pending_request_count", model="slow")) + len(results) < 12:
        check(time.monotonic() < end, "requests did not arrive")
    server.tell_to_end()
    for thread in threads:
        thread.join()
    check([good for good, _ in results] == [True] * 12, results)
    check(pending < 2 or results[-1][1] == "close", results)
    server.stop()


def case_not_ready_while_draining(t):
    def look(server):
        check(server.request("GET", "/v2/health/ready")[0] == 400, "still ready")
        check(server.request("GET", "/v2/health/live")[0] == 200, "not live")
        check(server.request("POST", "/v2/models/identity/infer", BODY)[0] == 200, "does not serve on")
    while_it_drains(lambda seconds: t.start(f"--drain-secs={seconds}"), look)


def case_scraped_until_the_end(t):
    """Whoever comes to the metrics' port while the server ends, and in its last turn, ends nothing."""
    for _ in range(5):
        server, over = t.start(), threading.Event()

        def come(port=server.metrics, over=over):
            while not over.is_set():
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
        threads = [threading.Thread(target=come) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            server.stop()
        finally:
            over.set()
            for thread in threads:
                thread.join()


def case_metrics(t):
    server = t.start()
    for _ in range(5):
        check(server.request("POST", "/v2/models/identity/infer", BODY)[0] == 200)
    server.request("POST", "/v2/models/identity/infer", BODY.replace("FP32", "INT32"))
    check(server.metric("nv_inference_request_success", model="identity", version="1") == 5)
    check(server.metric("nv_inference_request_failure", model="identity") == 1)
    check(server.metric("nv_inference_count") == 5 and server.metric("nv_inference_exec_count") == 5)
    for name in ("request", "queue", "compute_input", "compute_infer", "compute_output"):
        check(server.metric(f"nv_inference_{name}_duration_us") >= 0)
    for name in ("request", "queue", "compute"):
        check(server.metric(f"dyno_{name}_seconds_count", model="identity") == 5)
        check(server.metric(f"dyno_{name}_seconds_bucket", le="+Inf", model="identity") == 5)
        check(0 <= server.metric(f"dyno_{name}_seconds_sum") < 5)
    check(server.request("GET", "/v2", port=server.metrics)[0] == 404)
    check(server.request("GET", "/metrics")[0] == 404)


def case_small_when_idle(t):
    """Under 10 MB without a model, the supervisor included."""
    if "release" not in t.build.name:
        return
    server = t.start(models=())
    for _ in range(20):
        server.request("GET", "/v2")
    sizes = server.rss_kib(), server.rss_kib(server.process.pid)
    check(sum(sizes) < 10 * 1024, sizes, "KiB")
