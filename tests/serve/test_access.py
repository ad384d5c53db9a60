"""The access log and trace context: a line for every request, whatever becomes of it."""
import json
import operator
import os
import queue
import re
import signal
import socket
import subprocess
import threading
import time

import grpc
import numpy as np
import tritonclient.grpc as triton
from clients import wait_for
from harness import PATIENCE_S, check
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as pb_grpc

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
SERVICE = "/inference.GRPCInferenceService/"


def body(rows=1, **rest):
    return json.dumps({"inputs": [{"name": "x", "shape": [rows, 16], "datatype": "FP32",
                                   "data": [8191.5] * 16 * rows}], **rest}).encode()


class Log:
    """A server with an access log, and the lines that were not read yet."""

    def __init__(self, t, *flags, **options):
        self.path = t.folder / "access.log"
        self.server = t.start(f"--access-log={self.path}", *flags, **options)
        self.seen = 0
        self.lines(0, lambda line: line["route"] == "/v2/health/ready")

    def all(self):
        text = self.path.read_bytes().decode()
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def lines(self, count, skip=lambda line: False):
        """The next lines, when there are so many; no more may come."""
        end = time.monotonic() + PATIENCE_S
        while True:
            got = [line for line in self.all()[self.seen:] if not skip(line)]
            if len(got) >= count or time.monotonic() > end:
                break
            time.sleep(0.01)
        time.sleep(0.05)
        got = [line for line in self.all()[self.seen:] if not skip(line)]
        self.seen = len(self.all())
        check(len(got) == count, count, "lines wanted:", got)
        for line in got:
            check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"]), line)
            check(re.fullmatch(r"127\.0\.0\.1:\d+", line["peer"]), line)
            check(line["total_us"] >= 0, line)
        return got

    def line(self, **want):
        line = self.lines(1)[0]
        for key, value in want.items():
            check(line.get(key) == value, key, "is", repr(line.get(key)), "not", repr(value), line)
        return line


def case_http(t):
    log = Log(t, "--io-threads=1")
    server = log.server
    begin = time.time()
    server.json("POST", "/v2/models/identity/infer", {**json.loads(body(3)), "id": "17"},
                headers={"traceparent": PARENT, "sla": "batch"})
    line = log.line(port="http", method="POST", route="/v2/models/*/infer", status=200,
                    model="identity", version="1", variant="fp32", id="17", trace=TRACE, rows=3,
                    batch_rows=3, **{"class": "batch"})
    check(set(line) == {"time", "port", "peer", "method", "route", "status", "model", "version",
                        "variant", "class", "id", "trace", "rows", "batch_rows", "bytes_in",
                        "bytes_out", "total_us", "queue_us", "compute_us"}, line)
    check(line["bytes_in"] > 100 and line["bytes_out"] > 100, line)
    check(line["total_us"] >= line["queue_us"] + line["compute_us"] >= 0, line)
    stamp = time.mktime(time.strptime(line["time"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
    check(begin - 2 < stamp < time.time() + 2, line["time"], begin)
    server.request("GET", "/v2/models/identity/versions/1/ready")
    line = log.line(method="GET", route="/v2/models/*/versions/#/ready", status=200,
                    model="identity", version="1", bytes_in=0, bytes_out=32)
    check("rows" not in line and "queue_us" not in line and len(line["trace"]) == 32, line)
    server.request("HEAD", "/v2")
    log.line(method="HEAD", route="/v2", status=200, bytes_out=0)
    server.request("GET", "/metrics", port=server.metrics)
    log.line(port="metrics", route="/metrics", status=200)
    # What is refused.
    server.request("POST", "/v2/models/none/infer", body())
    line = log.line(route="/v2/models/*/infer", status=404, model="none", bytes_in=len(body()))
    check("variant" not in line and "rows" not in line, line)
    server.request("POST", "/v2/models/identity/infer", b"{")
    log.line(status=400, model="identity", bytes_in=1)
    server.request("POST", "/v2/models/identity/infer", body(outputs=[{"name": "q"}]))
    line = log.line(status=400, model="identity", variant="fp32")
    check("rows" not in line and line["queue_us"] == line["compute_us"] == 0, line)
    server.request("POST", "/v2/models/identity/infer", body(id="before"))
    log.line(status=200, id="before")
    server.request("POST", "/v2/models/identity/infer", b"x", {"Content-Encoding": "br"})
    check("id" not in log.line(status=501, model="identity"))
    server.request("GET", "/v2/secret?key=hidden")
    check("route" not in log.line(method="GET", status=404, bytes_in=0))
    server.request("DELETE", "/v2")
    check("route" not in log.line(method="OTHER", status=405))
    server.raw(b"nonsense\r\n\r\n")
    check("route" not in log.line(port="http", status=400))
    server.raw(b"POST /v2 HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n")
    log.line(status=413)
    server.raw(b"POST /v3 HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc")
    log.line(method="POST", status=404)
    with socket.create_connection(("127.0.0.1", server.http)) as sock:
        sock.sendall(b"POST /v2/models/identity/infer HTTP/1.1\r\nContent-Length: 50\r\n\r\nabc")
        time.sleep(0.1)
    log.line(status=499, model="identity", bytes_in=3)


def case_grpc(t):
    log = Log(t, models=("identity", "slow"))
    server = log.server
    client = triton.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    item = triton.InferInput("x", [2, 16], "FP32")
    item.set_data_from_numpy(np.zeros((2, 16), np.float32))
    client.infer("identity", [item], request_id="a", headers={"traceparent": PARENT})
    line = log.line(port="grpc", method="POST", route=SERVICE + "ModelInfer", status=0,
                    model="identity", version="1", variant="fp32", id="a", trace=TRACE, rows=2,
                    batch_rows=2, **{"class": "standard"})
    check(line["bytes_in"] > 128 and line["bytes_out"] > 128 and line["compute_us"] >= 0, line)
    client.is_server_live()
    line = log.line(route=SERVICE + "ServerLive", status=0, bytes_in=5)
    check(line["bytes_out"] > 5 and "model" not in line, line)
    for model, status in (("none", 5), ("slow", 3)):
        try:
            client.infer(model, [item])
        except triton.InferenceServerException:
            pass
        log.line(route=SERVICE + "ModelInfer", status=status, model=model)
    client.close()
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        unknown = channel.unary_unary('/a.B/C"', lambda m: m, lambda m: m)
        try:
            unknown(b"", timeout=10)
        except grpc.RpcError as error:
            check(error.code() == grpc.StatusCode.UNIMPLEMENTED, error)
        check("route" not in log.line(port="grpc", status=12))
        # A deadline that passes, and a call that is cancelled.
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        slow = pb.ModelInferRequest(model_name="slow", id="b")
        tensor = slow.inputs.add(name="x", datatype="FP32")
        tensor.shape.extend([512, 256])
        slow.raw_input_contents.append(b"\0" * 512 * 256 * 4)
        stub.ModelInfer(slow, timeout=60)
        log.line(status=0, model="slow")
        for _ in range(3):
            call = stub.ModelInfer.future(slow, timeout=PATIENCE_S)
            wait_for(lambda call=call: call.done() or
                     server.metric("nv_inference_pending_request_count", model="slow") > 0)  # it has come
            call.cancel()
        for line in log.lines(3, lambda line: line["port"] == "metrics"):
            check(line["status"] in (0, 1) and line["route"] == SERVICE + "ModelInfer", line)
    server.raw(b"GET / HTTP/1.1\r\n\r\n", server.grpc)
    log.lines(0, lambda line: line["port"] == "metrics")


def case_stream(t):
    log = Log(t)
    with grpc.insecure_channel(f"127.0.0.1:{log.server.grpc}") as channel:
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        requests = queue.Queue()
        answers = stub.ModelStreamInfer(iter(requests.get, None), timeout=30,
                                        metadata=(("traceparent", PARENT),))
        for name, model in (("a", "identity"), ("b", "none"), ("c", "identity")):
            request = pb.ModelInferRequest(model_name=model, id=name)
            tensor = request.inputs.add(name="x", datatype="FP32")
            tensor.shape.extend([1, 16])
            request.raw_input_contents.append(b"\0" * 64)
            requests.put(request)
            next(answers)
        lines = log.lines(3)
        check([(line["id"], line["status"], line["model"]) for line in lines] ==
              [("a", 0, "identity"), ("b", 5, "none"), ("c", 0, "identity")], lines)
        check(all(line["trace"] == TRACE and line["route"] == SERVICE + "ModelStreamInfer" and
                  line["bytes_in"] > 64 and line["bytes_out"] > 0 for line in lines), lines)
        requests.put(None)
        check(list(answers) == [], "more answers")
        line = log.line(status=0, messages=3, trace=TRACE)
        check("model" not in line and line["bytes_in"] > 200 and line["bytes_out"] > 100, line)
        check(dict(answers.initial_metadata())["traceparent"] == PARENT)


def case_traces(t):
    log = Log(t)
    plain = t.start(models=())

    def answer(server, *values):
        with socket.create_connection(("127.0.0.1", server.http), timeout=PATIENCE_S) as sock:
            sock.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" +
                         b"".join(b"TraceParent: %s\r\n" % v.encode() for v in values) + b"\r\n")
            text = b""
            while chunk := sock.recv(65536):
                text += chunk
        found = re.findall(r"(?i)\r\ntraceparent: (.*?)\r\n", text.decode())
        check(len(found) <= 1 and text.startswith(b"HTTP/1.1 200 "), text)
        return found[0] if found else None
    later = f"cc-{TRACE}-00f067aa0ba902b7-ff"
    good = {PARENT: PARENT, PARENT[:-1] + "0": PARENT[:-1] + "0",
            later: f"00-{TRACE}-00f067aa0ba902b7-01", later + "-more": PARENT}
    bad = ["", "00", PARENT[:-1], PARENT + "0", PARENT + "-more", PARENT.upper(), later + "x",
           "ff" + PARENT[2:], "0" + PARENT, f"00-{'0' * 32}-00f067aa0ba902b7-01",
           f"00-{TRACE}-{'0' * 16}-01", PARENT.replace("-", "_"), PARENT.replace("4b", "4g"),
           "00-" + "é" * 26]
    for text, want in good.items():
        check(answer(plain, text) == want and answer(log.server, text) == want, text)
        log.line(trace=TRACE)
    made = set()
    for texts in [[text] for text in bad] + [[], [PARENT, PARENT]]:
        check(answer(plain, *texts) is None, texts)
        got = answer(log.server, *texts)
        check(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", got) and TRACE not in got, got)
        made.add(got)
        log.line(trace=got[3:35])
    check(len(made) == len(bad) + 2, made)
    # Refused before the body, and an answer without one.
    got = log.server.request("POST", "/v3", b"x", {"traceparent": PARENT})
    check(got[0] == 404 and got[1]["traceparent"] == PARENT, got)
    for server, sent, want in ((plain, (("traceparent", PARENT),), PARENT), (plain, (), None)):
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
            stub = pb_grpc.GRPCInferenceServiceStub(channel)
            _, call = stub.ServerLive.with_call(pb.ServerLiveRequest(), metadata=sent)
            check(dict(call.initial_metadata()).get("traceparent") == want, sent)
            try:
                stub.ModelMetadata(pb.ModelMetadataRequest(name="none"), metadata=sent)
                check(False, "not refused")
            except grpc.RpcError as error:
                have = dict(error.initial_metadata()) | dict(error.trailing_metadata())
                check(have.get("traceparent") == want, have)


def case_hostile_text(t):
    """Nothing that a client says leaves its field; keys and bodies are in none."""
    log = Log(t)
    server = log.server
    name = 'a"}\n{"time": "\x01\x7f\u2028é'
    server.json("POST", "/v2/models/identity/infer", {**json.loads(body()), "id": name},
                headers={"Authorization": "Bearer topsecret", "X-Api-Key": "topsecret"})
    log.line(id=name, status=200)
    server.request("POST", "/v2/models/%22%7d%0a%c3%28%01/infer?topsecret", body())
    line = log.line(status=404)
    check(line["model"].startswith('"}\n') and "\ufffd" in line["model"], line)
    server.request("POST", "/v2/models/" + "m" * 2000 + "/infer", body())
    check(log.line(status=404)["model"] == "m" * 128)
    server.json("POST", "/v2/models/identity/infer", {**json.loads(body()), "id": "i" * 8000})
    check(log.line(status=200)["id"] == "i" * 256)
    server.request("GET", "/topsecret", headers={"topsecret": "topsecret"})
    log.line(status=404)
    client = triton.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    check(client.is_server_live(headers={"authorization": "Bearer topsecret"}))
    client.close()
    log.line(status=0)
    text = log.path.read_bytes()
    check(b"topsecret" not in text and b"8191.5" not in text, text)
    check(all(c >= 32 or c == 10 for c in text), "control characters")
    check((log.path.stat().st_mode & 0o777) == 0o640, oct(log.path.stat().st_mode))


def case_tenants(t):
    """Whose key it was, by name; who was not let in has none, and a key is never written."""
    made = subprocess.run([t.build / "dyno", "tenant", "add", "acme", "--rights=infer,read",
                           f"--control-db={t.folder}/c.db", "--json"], capture_output=True,
                          text=True, check=True)
    key = json.loads(made.stdout)["key"]
    log = Log(t, f"--control-db={t.folder}/c.db")
    server, headers = log.server, {"Authorization": f"Bearer {key}"}
    check(server.request("POST", "/v2/models/identity/infer", body(), headers)[0] == 200)
    log.line(status=200, tenant="acme", variant="fp32")
    check(server.request("POST", "/v2/models/identity/infer", body(), {"X-Api-Key": key})[0] == 200)
    log.line(status=200, tenant="acme")
    check(server.request("POST", "/v2/models/identity/infer", body(),
                         {"Authorization": f"Bearer {key}x"})[0] == 401)
    line = log.line(status=401, route="/v2/models/*/infer", model="identity")
    check("tenant" not in line, line)
    client = triton.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    item = triton.InferInput("x", [1, 16], "FP32")
    item.set_data_from_numpy(np.zeros((1, 16), np.float32))
    client.infer("identity", [item], headers={"authorization": f"Bearer {key}"})
    log.line(port="grpc", status=0, tenant="acme")
    try:
        client.load_model("identity", headers={"authorization": f"Bearer {key}"})
        check(False, "let in")
    except triton.InferenceServerException:
        pass
    log.line(port="grpc", status=7, route=SERVICE + "RepositoryModelLoad")
    try:
        client.infer("identity", [item])
        check(False, "let in")
    except triton.InferenceServerException:
        pass
    check("tenant" not in log.line(port="grpc", status=16))
    client.close()
    check(key.encode() not in log.path.read_bytes(), "a key in the log")


def case_rotation(t):
    """Renamed and told of, without a line lost; a file that cannot be made is told of."""
    log = Log(t, "--io-threads=2")
    server, stop, counts = log.server, threading.Event(), [0, 0, 0]

    def work(i):
        with socket.create_connection(("127.0.0.1", server.http), timeout=PATIENCE_S) as sock:
            while not stop.is_set():
                sock.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n")
                check(b" 200 OK" in sock.recv(4096))
                counts[i] += 1
    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(counts))]
    for thread in threads:
        thread.start()
    old = []
    for i in range(5):
        time.sleep(0.05)
        old.append(t.folder / f"access.log.{i}")
        log.path.rename(old[-1])
        server.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + PATIENCE_S
        while not log.path.exists():
            check(time.monotonic() < end, "no new file")
            time.sleep(0.005)
        want = [done + 3 for done in counts]
        wait_for(lambda: all(map(operator.ge, counts, want)))
    stop.set()
    for thread in threads:
        thread.join()
    server.stop()
    text = b"".join(path.read_bytes() for path in [*old, log.path])
    lines = [json.loads(line) for line in text.splitlines()]
    count = sum(line["route"] == "/v2/health/live" for line in lines)
    check(count == sum(counts) and min(counts) > 10, count, counts)
    check(all(path.stat().st_size > 0 for path in old), "an empty file")


def case_file_goes_away(t):
    folder = t.folder / "logs"
    folder.mkdir()
    path = folder / "access.log"
    server = t.start(f"--access-log={path}")
    server.expected = ["cannot open the access log '.*': No such file.*; the old one is written on"]
    held = os.open(path, os.O_RDONLY)
    path.unlink()
    folder.rmdir()
    server.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + PATIENCE_S
    while "written on" not in server.log.read_text():
        check(time.monotonic() < end, "nothing was said")
        time.sleep(0.01)
    for fell in (False, True):
        before = os.fstat(held).st_size
        server.request("GET", "/v2")
        while not fell and os.fstat(held).st_size == before:
            check(time.monotonic() < end, "the old file is not written")
            time.sleep(0.01)
        if not fell:
            # A worker that is started again serves without its log, and opens it when it can.
            server.expected += ["worker [0-9]+ fell: SIGKILL", "cannot open the access log '[^;]*$",
                                "the access log '.*' is written again, [0-9]+ lines were dropped$"]
            os.kill(server.worker(), signal.SIGKILL)
            server.wait_ready()
    folder.mkdir()
    end = time.monotonic() + PATIENCE_S
    while not (path.exists() and path.stat().st_size > 0):
        server.request("GET", "/v2")
        check(time.monotonic() < end, "not opened again")
        time.sleep(0.05)
    check(server.metric("dyno_access_log_dropped_total") > 0)
    os.close(held)


def case_full_disk(t):
    server = t.start("--access-log=/dev/full")
    server.expected = ["^error: cannot write the access log '/dev/full': No space left on device; "
                       "lines are dropped$"]
    for _ in range(300):
        check(server.request("POST", "/v2/models/identity/infer", body())[0] == 200)
    end = time.monotonic() + PATIENCE_S
    while server.metric("dyno_access_log_dropped_total") < 300:
        check(time.monotonic() < end, server.metric("dyno_access_log_dropped_total"))
        time.sleep(0.01)
    check(server.log.read_text().count("\n") == 1, server.log.read_text())


def case_slow_disk(t):
    """A pipe that nobody reads: serving goes on, what does not fit is counted."""
    path = t.folder / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDWR)
    server = t.start(f"--access-log={path}", "--io-threads=1")
    server.expected = ["cannot write the access log '.*/pipe': Resource temporarily unavailable"]
    for _ in range(8):
        many = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n" * 999
        last = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        check(server.raw(many + last).count(b"HTTP/1.1 200 OK") == 1000)
    dropped = server.metric("dyno_access_log_dropped_total")
    check(dropped > 500, dropped)
    server.stop()
    os.set_blocking(reader, False)
    lines = os.read(reader, 1 << 20).splitlines()
    check(len(lines) > 100 and all(json.loads(line) for line in lines[:-1]), len(lines))
    os.close(reader)


def case_standard_error(t):
    server = t.start("--access-log=-")
    server.expected = [r'^\{"time":"[^"]*Z","port":".*"total_us":\d+.*\}$']
    check(server.request("GET", "/v2/secret")[0] == 404)
    server.stop()
    # Each I/O thread hands in its own lines, so those of two connections come in either order.
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    check([line["status"] for line in lines].count(404) == 1, lines)


def case_refuses_to_start(t):
    got = subprocess.run([t.build / "dyno-serve", f"--model-repository={t.repository}",
                          "--http-port=0", "--grpc-port=0", "--metrics-port=0",
                          f"--access-log={t.folder}/none/log"], capture_output=True, text=True,
                         timeout=PATIENCE_S, check=False)
    check(got.returncode == 74 and re.search("cannot open the access log '.*/none/log': No such",
                                             got.stderr), got)
    check(got.stderr.count("\n") == 1, got.stderr)


def case_off(t):
    """Nobody asked: no thread, no number, no trace of our own."""
    server, other = t.start(), t.start(f"--access-log={t.folder}/log")

    def threads(server):
        return len(os.listdir(f"/proc/{server.worker()}/task"))
    check(threads(other) == threads(server) + 1, threads(server), threads(other))
    check(b"access_log" not in server.request("GET", "/metrics", port=server.metrics)[2])
    check("traceparent" not in server.request("GET", "/v2")[1])
