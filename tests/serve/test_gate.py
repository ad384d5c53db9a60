"""Tenants and keys: who is let in, over HTTP and gRPC; changes while the server runs."""
import http.client
import json
import queue
import re
import shutil
import sqlite3
import subprocess
import threading
import time

import grpc
import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from harness import PATIENCE_S, ROOT, Failure, check
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as pb_grpc

BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 16], "datatype": "FP32",
                               "data": list(range(16))}]})
INFER = "/v2/models/identity/infer"
DB = "--control-db=c.db"


def tenant(t, *args):
    """dyno tenant, its report."""
    got = subprocess.run([t.build / "dyno", "tenant", *args, f"--control-db={t.folder}/c.db",
                          "--json"], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    check(got.returncode == 0, args, got.stderr)
    return json.loads(got.stdout)


def add(t, name, *flags):
    return tenant(t, "add", name, *flags)["key"]


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def status(server, key, path=INFER, body=BODY, port=None):
    return server.request("POST" if body else "GET", path, body, bearer(key), port=port)[0]


def comes_true(what, condition, seconds=PATIENCE_S):
    """In force within a second, says the rule; a busy machine has more."""
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, what, "does not come true")
        time.sleep(0.05)


def item(x, name="x"):
    tensor = triton_grpc.InferInput(name, x.shape, "FP32")
    tensor.set_data_from_numpy(x)
    return tensor


def stub_of(server):
    return pb_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(f"127.0.0.1:{server.grpc}"))


def request_of(model="identity", shape=(1, 16), request_id=""):
    x = np.zeros(shape, np.float32)
    return pb.ModelInferRequest(
        model_name=model, id=request_id, raw_input_contents=[x.tobytes()],
        inputs=[pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=x.shape)])


def code_of(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code().name, error
    return "OK", None


def rows(name, macro):
    text = (ROOT / "src/serve/app" / name).read_text()
    found = [re.split(r",\s*", args) for args in re.findall(rf"^{macro}\(([^)]*)\)", text, re.M)]
    check(found, "no rows of", macro)
    return found


# --- nobody gets by ---

def case_every_route_needs_a_key(t):
    keys = {right: add(t, f"only-{right.lower()}", f"--rights={right.lower()}")
            for right in ("INFER", "READ", "CONTROL", "METRICS")}
    server = t.start(DB, "--model-control-mode=explicit", "--load-model=identity")
    routes = [(method, pattern.strip('"'), right, server.http)
              for method, pattern, right, _ in rows("routes.def", "DYNO_ROUTE")]
    routes.append(("GET", "metrics", "METRICS", server.metrics))
    check(len(routes) > 20 and {r[2] for r in routes} == {"OPEN", *keys}, routes)
    for method, pattern, right, port in routes:
        path = "/" + pattern.replace("*", "identity").replace("#", "1").replace("?", "any")
        for spelt in {path, "/" + path, path.replace("e", "%65"), path + "?key=x"}:
            got, head, text = server.request(method, spelt, port=port)
            if right == "OPEN":
                check(got == 200, spelt, got)
                continue
            check(got == 401 and head["www-authenticate"] == "Bearer", method, spelt, got, text)
            check("a key is wanted" in json.loads(text)["error"], text)
        if right == "OPEN":
            continue
        check(server.request(method, path, headers=bearer("dyno_none"), port=port)[0] == 401)
        check(server.request(method, path, b"{}" if method == "POST" else None, port=port)[0] == 401)
        if method == "GET":
            check(server.request("HEAD", path, port=port)[0] == 401, path)
        for other, key in keys.items():
            got = server.request(method, path, headers=bearer(key), port=port)[0]
            if other == right:
                check(got not in (401, 403), method, path, "with its right:", got)
            else:
                check(got == 403, method, path, "with the right", other, "only:", got)
        server.json("POST", "/v2/repository/models/identity/load", headers=bearer(keys["CONTROL"]))


def case_every_method_needs_a_key(t):
    keys = {right: add(t, f"only-{right.lower()}", f"--rights={right.lower()}")
            for right in ("INFER", "READ", "CONTROL", "METRICS")}
    server = t.start(DB, "--model-control-mode=explicit", "--load-model=identity")
    methods = [(service, name, right) for service, name, right, _ in rows("methods.def",
                                                                          "DYNO_METHOD")]
    methods += [(service, name, "INFER") for service, name, _ in rows("methods.def",
                                                                      "DYNO_METHOD_INFER")]
    check(len(methods) > 12 and {m[2] for m in methods} == {"OPEN", *keys} - {"METRICS"}, methods)
    channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc}")
    for service, name, right in methods:
        path = f"/{service.strip(chr(34))}/{name.strip(chr(34))}"

        def call(metadata=(), path=path, name=name):
            if "Stream" in name:
                return list(channel.stream_stream(path)(iter([b""]), metadata=metadata, timeout=PATIENCE_S))
            return channel.unary_unary(path)(b"", metadata=metadata, timeout=PATIENCE_S)
        got, error = code_of(call)
        if right == "OPEN":
            check(got == "OK", path, error)
            continue
        check(got == "UNAUTHENTICATED" and "a key is wanted" in error.details(), path, error)
        check(code_of(lambda: call((("authorization", "Bearer x"),)))[0] == "UNAUTHENTICATED", path)
        for other, key in keys.items():
            got, error = code_of(lambda: call((("authorization", f"Bearer {key}"),)))
            if other == right:
                check(got not in ("UNAUTHENTICATED", "PERMISSION_DENIED"), path, error)
            else:
                check(got == "PERMISSION_DENIED" and "lacks the right" in error.details(), path,
                      other, error)
    channel.close()


def case_refuses_to_start(t):
    def bad(says, *flags, code=(64, 65, 66, 69)):
        got = subprocess.run([t.build / "dyno-serve", f"--model-repository={t.repository}",
                              "--http-port=0", "--grpc-port=0", "--metrics-port=0", *flags],
                             capture_output=True, text=True, timeout=PATIENCE_S, check=False,
                             cwd=t.folder)
        check(got.returncode in code and re.search(says, got.stderr), got)
        check(got.stderr.count("\n") == 1, got.stderr)
    (t.folder / "noise.db").write_bytes(b"noise" * 1000)
    bad('control database "none.db": No such file', "--control-db=none.db")
    bad('control database "noise.db": file is not a database', "--control-db=noise.db")
    bad("'a b' is no name for a header with a key", "--key-header=a b")
    add(t, "a")
    bad("'Authorization' is no name for a header", "--key-header=Authorization", DB)
    bad("give a --control-db, or say --open-to-all", "--address=0.0.0.0")


def case_others_may_come_with_keys(t):
    key = add(t, "a")
    server = t.start(DB, "--address=0.0.0.0")
    check(status(server, key) == 200)
    check(server.request("POST", INFER, BODY)[0] == 401)


def case_without_the_library(t):
    """It is needed by nobody who has no tenants."""
    if "release" not in t.build.name:
        return
    add(t, "a")
    (t.folder / "lib").mkdir()
    (t.folder / "lib" / "libsqlite3.so.0").write_bytes(b"noise")
    env = {"LD_LIBRARY_PATH": str(t.folder / "lib")}
    server = t.start(env=env)
    check(server.request("POST", INFER, BODY)[0] == 200)
    check("sqlite" not in open(f"/proc/{server.worker()}/maps", encoding="ascii").read())
    got = subprocess.run([t.build / "dyno-serve", f"--model-repository={t.repository}",
                          f"--control-db={t.folder}/c.db"], capture_output=True, text=True,
                         timeout=PATIENCE_S, check=False, env=env)
    check(got.returncode == 69 and "libsqlite3-0" in got.stderr, got)


# --- clients ---

def case_http_clients(t):
    key = add(t, "a", "--rights=infer,read,control,metrics")
    server = t.start(DB, "--model-control-mode=explicit", "--load-model=identity",
                     "--key-header=X-Tenant-Key")
    client = triton_http.InferenceServerClient(f"127.0.0.1:{server.http}")
    check(client.is_server_live() and client.is_server_ready())
    x = np.random.rand(1, 16).astype(np.float32)
    tensor = triton_http.InferInput("x", [1, 16], "FP32")
    tensor.set_data_from_numpy(x)
    for headers in (bearer(key), {"authorization": f"bearer {key}"}, {"x-tenant-key": key},
                    {"X-Tenant-Key": key, "Authorization": "Basic YTpi"}):
        got = client.infer("identity", [tensor], headers=headers)
        check(np.array_equal(got.as_numpy("y"), x), headers)
        check(client.is_model_ready("identity", headers=headers))
        check(client.get_model_metadata("identity", headers=headers)["name"] == "identity")
        client.load_model("identity", headers=headers)
    for headers in (None, {"x-api-key": key}, {"Authorization": key}, bearer(key[:-1]),
                    bearer(key + "0"), bearer("")):
        try:
            client.infer("identity", [tensor], headers=headers)
        except triton_http.InferenceServerException as error:
            check(error.status() == "401", error)
        else:
            raise Failure("let in with", headers)
    client.close()
    curl = shutil.which("curl")
    if curl is not None:
        got = subprocess.run([curl, "-sS", "-w", "%{http_code}", "-H", f"X-Tenant-Key: {key}",
                              f"http://127.0.0.1:{server.metrics}/metrics"], capture_output=True,
                             text=True, check=True).stdout
        check(got.endswith("200") and "nv_inference_count" in got, got[-200:])


def case_grpc_clients(t):
    key = add(t, "a")
    server = t.start(DB)
    client = triton_grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    check(client.is_server_live() and client.is_server_ready())
    x = np.random.rand(1, 16).astype(np.float32)
    for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key},
                    {"triton-grpc-protocol-x-api-key": key}):
        got = client.infer("identity", [item(x)], headers=headers)
        check(np.array_equal(got.as_numpy("y"), x), headers)
        check(client.is_model_ready("identity", headers=headers))
    for headers in (None, {"x-other": key}, {"authorization": key}, {"x-api-key": "a" * 10000}):
        try:
            client.infer("identity", [item(x)], headers=headers)
        except triton_grpc.InferenceServerException as error:
            check("UNAUTHENTICATED" in error.status(), error)
        else:
            raise Failure("let in with", headers)
    results = queue.Queue()
    client.start_stream(callback=lambda result, error: results.put((result, error)),
                        headers={"x-api-key": key})
    for _ in range(20):
        client.async_stream_infer("identity", [item(x)])
    for _ in range(20):
        result, error = results.get(timeout=PATIENCE_S)
        check(error is None and np.array_equal(result.as_numpy("y"), x), error)
    client.stop_stream()
    client.close()


def case_hostile_headers(t):
    key = add(t, "a")
    server = t.start(DB)
    for value in ("Bearer " + "a" * 30000, "Bearer", "Bearer\t" + key, "\x01\x02", "Bearer %s%s" %
                  (key, key), "Bearer " + key.upper(), "Bearer dyno_" + "0" * 77,
                  "Bearer " + key.replace("_", "-"), "Bearer " + key[:-1] + "\xff"):
        got = server.raw(f"GET /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: "
                         f"{value}\r\n\r\n".encode("latin-1"))
        check(b" 401 " in got[:20] or b" 400 " in got[:20], value[:50], got[:200])
        check(key.encode() not in got, got)
    server.alive()
    check(status(server, key) == 200)


# --- changes ---

def case_changes_are_in_force(t):
    key = add(t, "a")
    server = t.start(DB)
    check(status(server, key) == 200)
    tenant(t, "disable", "a")
    comes_true("disabled", lambda: status(server, key) == 403)
    server.error("POST", INFER, 403, "^tenant 'a' is disabled$", BODY, bearer(key))
    tenant(t, "enable", "a")
    comes_true("enabled", lambda: status(server, key) == 200)
    tenant(t, "set", "a", "--rights=read")
    comes_true("right", lambda: status(server, key) == 403)
    check(status(server, key, "/v2", None) == 200)
    tenant(t, "set", "a", "--rights=infer")
    comes_true("right", lambda: status(server, key) == 200)
    server.error("GET", "/v2", 403, "lacks the right 'read'", headers=bearer(key))
    later = add(t, "later")
    comes_true("added", lambda: status(server, later) == 200)
    tenant(t, "remove", "later")
    comes_true("removed", lambda: status(server, later) == 401)
    tenant(t, "revoke", "a")
    comes_true("revoked", lambda: status(server, key) == 401)


def case_rotate_with_grace(t):
    first = add(t, "a")
    server = t.start(DB)
    second = tenant(t, "rotate", "a", "--grace-secs=3")["key"]
    comes_true("the other key", lambda: status(server, second) == 200)
    check(status(server, first) == 200, "no grace")
    comes_true("the end", lambda: status(server, first) == 401)
    third = tenant(t, "rotate", "a")
    comes_true("the end", lambda: status(server, second) == 401)
    check(status(server, third["key"]) == 200)
    tenant(t, "revoke", "a", f"--key={third['key_id']}")
    comes_true("the end", lambda: status(server, third["key"]) == 401)


# --- what a key may ---


def case_models(t):
    key = add(t, "a", "--model=identity", "--rights=infer,read,control")
    every = add(t, "b", "--rights=infer,read")
    server = t.start(DB, "--model-control-mode=explicit", "--load-model=identity",
                     "--load-model=wide", models=("identity", "wide"))
    check(status(server, key) == 200)
    says = "^tenant 'a' may not use this model$"
    for path in ("/ready", "/config", "/stats", "", "/versions/1"):
        server.error("GET", "/v2/models/wide" + path, 403, says, headers=bearer(key))
        check(status(server, key, "/v2/models/identity" + path, None) == 200, path)
    for path in ("/v2/models/wide/infer", "/v2/models/w%69de/infer", "/v2/models/wide/generate",
                 "/v2/models/wide/generate_stream", "/v2/models/wide/trace/setting",
                 "/v2/models/none/versions/1/infer", "/v2/repository/models/wide/unload",
                 "/v2/repository/any/models/wide/load"):
        server.error("POST", path, 403, says, b"{}", bearer(key))
    check(server.json("GET", "/v2/models", headers=bearer(key)) == {"models": ["identity"]})
    check(server.json("GET", "/v2/models", headers=bearer(every)) ==
          {"models": ["identity", "wide"]})
    for who, want in ((key, ["identity"]), (every, ["identity", "wide"])):
        index = server.json("POST", "/v2/repository/index", headers=bearer(who))
        check([m["name"] for m in index] == want, index)
        stats = server.json("GET", "/v2/models/stats", headers=bearer(who))["model_stats"]
        check([m["name"] for m in stats] == want, stats)
    stub, meta = stub_of(server), (("x-api-key", key),)

    def denied(method, request):
        got, error = code_of(lambda: getattr(stub, method)(request, metadata=meta, timeout=PATIENCE_S))
        check(got == "PERMISSION_DENIED" and "may not use this model" in error.details(), method,
              error)
    denied("ModelInfer", request_of("wide"))
    denied("ModelReady", pb.ModelReadyRequest(name="wide"))
    denied("ModelMetadata", pb.ModelMetadataRequest(name="wide"))
    denied("ModelConfig", pb.ModelConfigRequest(name="wide"))
    denied("ModelStatistics", pb.ModelStatisticsRequest(name="wide"))
    denied("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="wide"))
    denied("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="wide"))
    denied("TraceSetting", pb.TraceSettingRequest(model_name="wide"))
    index = stub.RepositoryIndex(pb.RepositoryIndexRequest(), metadata=meta, timeout=PATIENCE_S)
    check([m.name for m in index.models] == ["identity"], index)
    stats = stub.ModelStatistics(pb.ModelStatisticsRequest(), metadata=meta, timeout=PATIENCE_S)
    check([m.name for m in stats.model_stats] == ["identity"], stats)
    check(stub.ModelReady(pb.ModelReadyRequest(name="identity"), metadata=meta, timeout=PATIENCE_S).ready)
    tenant(t, "set", "a", "--all-models")
    comes_true("all models", lambda: status(server, key, "/v2/models/wide", None) == 200)


def case_service_class_of_the_key(t):
    low, high = add(t, "low", "--class=batch"), add(t, "high", "--class=realtime")
    strange = add(t, "strange", "--class=golden")
    server = t.start(DB)

    def ask(key, sla):
        return server.request("POST", INFER, BODY, {**bearer(key), "sla": sla})[0]
    check([ask(low, sla) for sla in ("batch", "standard", "realtime")] == [200, 403, 403])
    check([ask(high, sla) for sla in ("batch", "standard", "realtime")] == [200, 200, 200])
    check([ask(strange, sla) for sla in ("batch", "standard", "realtime")] == [200, 200, 403])
    check(status(server, low) == 200)


# --- what goes wrong ---

def case_secrets_are_nowhere(t):
    keys = [add(t, "a"), add(t, "b", "--rate=0.001")]
    server = t.start(DB, env={"DYNO_LOG": "debug"})
    server.expected = ["."]
    for key in keys:
        for _ in range(3):
            status(server, key)
        status(server, key + "x")
        status(server, key, "/v2/models/none", None)
        code_of(lambda: stub_of(server).ModelInfer(request_of("none"),
                                                   metadata=(("x-api-key", key),), timeout=PATIENCE_S))
    tenant(t, "rotate", "a")
    comes_true("rotated", lambda: status(server, keys[0]) == 401)
    live = b"".join(p.read_bytes() for p in t.folder.iterdir() if p.is_file())
    check(b"SQLite format 3" in live)
    server.stop()
    for data in (live, b"".join(p.read_bytes() for p in t.folder.iterdir() if p.is_file())):
        for key in keys:
            secret = key.split("_")[2]
            check(secret.encode() not in data and bytes.fromhex(secret) not in data)


def case_database_that_is_locked(t):
    """Serving goes on; what was used is written when that is possible again."""
    key = add(t, "a")
    server = t.start(DB)
    server.expected = [r'^warn: control database "c.db" is locked by another process: what tenants '
                       "use is written later$"]
    other = sqlite3.connect(t.folder / "c.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    check([status(server, key) for _ in range(5)] == [200] * 5)
    comes_true("a warning", lambda: server.log.read_text() != "")
    time.sleep(2.5)
    check(server.log.read_text().count("\n") == 1, server.log.read_text())
    check(status(server, key) == 200)
    other.execute("ROLLBACK")
    other.close()
    comes_true("written", lambda: tenant(t, "show", "a")["quota"]["used_requests"] == 6)


def case_database_that_is_spoilt(t):
    """Who was known stays known, and the server says so once."""
    key = add(t, "a")
    server = t.start(DB)
    server.expected = [r"^warn: control database \"c.db\": a row's permits is out of range: the "
                       "tenants known so far stay in force$"]
    other = sqlite3.connect(t.folder / "c.db", isolation_level=None)
    other.execute("UPDATE tenant SET permits = 99")
    comes_true("a warning", lambda: server.log.read_text() != "")
    check(status(server, key) == 200)
    other.execute("UPDATE tenant SET permits = 2")
    comes_true("mended", lambda: status(server, key) == 403)
    check(server.log.read_text().count("\n") == 1, server.log.read_text())
    other.close()


def case_database_without_room(t):
    """A real full file system, where we may mount one: what was used is written later."""
    full = t.folder / "full"
    full.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", full],
                             stderr=subprocess.DEVNULL, check=False)
    if mounted.returncode != 0:
        return
    try:
        key = add(t, "a")
        shutil.move(t.folder / "c.db", full / "c.db")
        server = t.start("--control-db=full/c.db")
        server.expected = ["^warn: .*(full|disk I/O error).*: what tenants use is written later$"]
        ballast = full / "ballast"
        with open(ballast, "wb", buffering=0) as out:
            try:
                while out.write(bytes(1024)):
                    pass
            except OSError:
                pass
        check([status(server, key) for _ in range(3)] == [200] * 3)
        comes_true("a warning", lambda: server.log.read_text() != "")
        check(status(server, key) == 200)
        ballast.unlink()
        (t.folder / "c.db").symlink_to(full / "c.db")
        comes_true("written", lambda: tenant(t, "show", "a")["quota"]["used_requests"] == 4)
        server.stop()
    finally:
        subprocess.run(["umount", "-l", full], check=False)


def case_many_at_once(t):
    """Requests of many threads while tenants change: every answer is one of those that may be."""
    keys = [add(t, f"t{i}", "--rate=100000") for i in range(4)]
    server = t.start(DB, "--io-threads=2")
    stop, wrong, counts = threading.Event(), [], [0] * 4

    def work(idx):
        conn = http.client.HTTPConnection("127.0.0.1", server.http, timeout=PATIENCE_S)
        while not stop.is_set():
            conn.request("POST", INFER, BODY, bearer(keys[idx]))
            got = conn.getresponse()
            got.read()
            if got.status not in ((200,) if idx > 0 else (200, 403)):
                wrong.append((idx, got.status))
            if got.status == 200:
                counts[idx] += 1
            if got.will_close:
                conn.close()
        conn.close()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        tenant(t, "disable", "t0")
        tenant(t, "enable", "t0")
        time.sleep(0.2)
    stop.set()
    for thread in threads:
        thread.join()
    check(not wrong and min(counts) > 0, wrong[:3], counts)
    server.stop()
    for i in range(4):
        check(tenant(t, "show", f"t{i}")["quota"]["used_requests"] == counts[i], i, counts)


def case_refusals_are_counted(t):
    """By reason, on the metrics port; nobody is named."""
    watcher = add(t, "watcher", "--rights=metrics")
    one = add(t, "one-of-them", "--model=other", "--rights=infer")
    two = add(t, "two-of-them", "--rights=infer", "--burst=1", "--rate=0.001")
    server = t.start(DB)

    def counts():
        text = server.request("GET", "/metrics", headers=bearer(watcher), port=server.metrics)[2].decode()
        check("of-them" not in text, "a tenant is named")
        return dict(re.findall(r'dyno_refused_requests_total\{reason="(\w+)"\} (\d+)', text))
    check(counts() == {"unknown_key": "0", "denied": "0", "limit": "0"}, counts())
    check(server.request("POST", INFER, BODY)[0] == 401)
    check(status(server, "dyno_" + "x" * 43) == 401)
    check(status(server, one) == 403)
    check(status(server, watcher) == 403)
    check(status(server, two) == 200)
    for _ in range(4):
        check(status(server, two) == 429)
    check(counts() == {"unknown_key": "2", "denied": "2", "limit": "4"}, counts())
