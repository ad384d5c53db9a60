"""Hostile clients: each ends with an answer or a closed connection, and the server goes on."""
import gzip
import json
import socket
import struct
import time
import zlib

from harness import PATIENCE_S, check

BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 16], "datatype": "FP32",
                               "data": list(range(16))}]}).encode()
INFER = b"POST /v2/models/identity/infer HTTP/1.1\r\nHost: a\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + \
        struct.pack(">I", stream) + payload


def literal(name, value):
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


CALL = b"".join(literal(n, v) for n, v in (
    (b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"),
    (b":path", b"/inference.GRPCInferenceService/ServerLive"),
    (b"content-type", b"application/grpc"), (b"te", b"trailers")))


def still_serves(server):
    status, _, text = server.request("POST", "/v2/models/identity/infer", BODY)
    check(status == 200 and json.loads(text)["outputs"][0]["data"] == list(range(16)), text)
    server.wait_quiet()


def answers(server, data, status):
    got = server.raw(data)
    check(got.startswith(b"HTTP/1.1 %d " % status), got[:200], "wants", status)


def case_malformed_http(t):
    server = t.start()
    answers(server, b"\0\1\2\3\r\n\r\n", 400)
    answers(server, b"GET\r\n\r\n", 400)
    answers(server, b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400)
    answers(server, b"GET /v2 HTTP/2.7\r\nHost: a\r\n\r\n", 400)
    answers(server, INFER + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400)
    answers(server, INFER + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)
    answers(server, INFER + b"Content-Length: -1\r\n\r\n", 400)
    answers(server, INFER + b"Content-Length: 18446744073709551616\r\n\r\n", 400)
    answers(server, INFER + b"Content-Length: 1000000000000\r\n\r\n", 413)
    answers(server, INFER + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", 400)
    answers(server, INFER + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400)
    answers(server, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414)
    answers(server, b"GET /v2 HTTP/1.1\r\n" + b"A: b\r\n" * 65 + b"\r\n", 431)
    answers(server, b"GET /v2 HTTP/1.1\r\nA: " + b"b" * 33000 + b"\r\n\r\n", 431)
    answers(server, b"GET /v2 HTTP/1.1\r\n" + (b"A" * 3000 + b": b\r\n") * 20 + b"\r\n", 431)
    still_serves(server)


def case_chunks(t):
    server = t.start()
    one = b"".join(b"1\r\n%c\r\n" % c for c in BODY)
    good = INFER + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + one + b"0\r\n\r\n"
    answers(server, good, 200)
    answers(server, INFER + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 1000000, 400)
    still_serves(server)


def case_trailers(t):
    """What follows a chunked body is no header, and moves nothing."""
    server = t.start("--io-threads=1")
    chunked = INFER + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    chunked += b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n"
    answers(server, chunked + (b"X-T: " + b"t" * 4000 + b"\r\n") * 3 + b"\r\n", 200)
    answers(server, chunked + b"Inference-Header-Content-Length: 0\r\n\r\n", 200)
    answers(server, chunked + b"Content-Encoding: gzip\r\n\r\n", 200)
    answers(server, chunked + (b"X-T: " + b"t" * 4000 + b"\r\n") * 30 + b"\r\n", 431)
    still_serves(server)


def case_pipelined(t):
    server = t.start()
    one = INFER + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    last = INFER + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
    got = server.raw(one * 500 + last)
    check(got.count(b"HTTP/1.1 200 OK") == 501, got.count(b"HTTP/1.1 200 OK"))
    # In pieces of every size.
    for size in (1, 2, 3, 7, 50, 137):
        with socket.create_connection(("127.0.0.1", server.http), timeout=PATIENCE_S) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(0, len(last), size):
                sock.sendall(last[at:at + size])
                time.sleep(0.0005)
            text = b""
            while chunk := sock.recv(65536):
                text += chunk
        check(b"200 OK" in text and text.endswith(b"15.0]}]}"), size, text)
    still_serves(server)


def case_half_closed_and_reset(t):
    server = t.start(models=("identity", "slow"))
    one = INFER + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    with socket.create_connection(("127.0.0.1", server.http), timeout=PATIENCE_S) as sock:
        sock.sendall(one)
        sock.shutdown(socket.SHUT_WR)
        text = b""
        while chunk := sock.recv(65536):
            text += chunk
        check(b"200 OK" in text, text)
    for cut in (10, len(INFER) + 5, len(one) - 1):
        for linger in (0, None):
            sock = socket.create_connection(("127.0.0.1", server.http), timeout=PATIENCE_S)
            if linger is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.sendall(one[:cut])
            sock.close()
    # Gone while the request runs.
    slow = json.dumps({"inputs": [{"name": "x", "shape": [512, 256], "datatype": "FP32",
                                   "parameters": {"binary_data_size": 512 * 1024}}]}).encode()
    whole = b"POST /v2/models/slow/infer HTTP/1.1\r\nInference-Header-Content-Length: %d\r\n" \
            b"Content-Length: %d\r\n\r\n" % (len(slow), len(slow) + 512 * 1024) + slow + \
            b"\0" * (512 * 1024)
    for _ in range(10):
        sock = socket.create_connection(("127.0.0.1", server.http), timeout=PATIENCE_S)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.sendall(whole)
        time.sleep(0.01)
        sock.close()
    end = time.monotonic() + PATIENCE_S
    while server.metric("nv_inference_pending_request_count", model="slow") > 0:
        check(time.monotonic() < end, "still pending")
        time.sleep(0.02)
    still_serves(server)


def case_zip_bombs(t):
    server = t.start("--max-input-size=2")
    bomb = gzip.compress(b" " * (64 << 20))
    server.error("POST", "/v2/models/identity/infer", 400, "more than", bomb,
                 {"Content-Encoding": "gzip"})
    server.error("POST", "/v2/models/identity/infer", 400, "more than", zlib.compress(b" " * (9 << 20)),
                 {"Content-Encoding": "deflate"})
    server.error("POST", "/v2/models/identity/infer", 400, "damaged", gzip.compress(BODY)[:-4],
                 {"Content-Encoding": "gzip"})
    server.error("POST", "/v2/models/identity/infer", 400, "after the compressed",
                 gzip.compress(BODY) + b"x", {"Content-Encoding": "gzip"})
    still_serves(server)


def case_budget(t):
    """Announced bytes take nothing; sent ones are bounded, and refused when none are left."""
    server = t.start("--max-in-flight=4", "--max-input-size=64")
    idle = []
    for _ in range(50):
        sock = socket.create_connection(("127.0.0.1", server.http), timeout=PATIENCE_S)
        sock.sendall(INFER + b"Content-Length: 60000000\r\n\r\n")
        idle.append(sock)
    time.sleep(0.2)
    status = server.request("POST", "/v2/models/identity/infer", BODY)[0]
    check(status == 200, "announcements took the budget:", status)
    for sock in idle:
        sock.settimeout(0.2)
        try:
            sock.sendall(b" " * (1 << 20))
        except OSError:
            pass
    time.sleep(0.2)
    check(server.metric("dyno_bytes_in_flight") <= 4 << 20, "over the budget")
    check(server.rss_kib() < 150 << 10, server.rss_kib())
    status = server.request("POST", "/v2/models/identity/infer", BODY)[0]
    check(status in (200, 503), status)
    for sock in idle:
        sock.close()
    server.wait_quiet()
    still_serves(server)


def case_malformed_http2(t):
    server = t.start()
    port = server.grpc
    for data in (b"GET / HTTP/1.1\r\n\r\n", PREFACE + b"\xff" * 100,
                 PREFACE + frame(4, 0, 0, b"\0" * 5), PREFACE + frame(0, 0, 1, b"abc"),
                 PREFACE + frame(4, 0, 0) + frame(1, 4, 2, CALL),
                 PREFACE + frame(4, 0, 0) + frame(8, 0, 0, b"\0\0\0\0"),
                 PREFACE + frame(4, 0, 0) + frame(1, 4, 1, b"\x7f\xff\xff\xff\xff\xff")):
        server.raw(data, port)
    still_serves(server)


def case_header_bombs(t):
    server = t.start()
    # One long header put into the table once, then named ten thousand times.
    block = CALL + b"\x40\x01x\x7f\x81\x1e" + b"v" * 4000 + b"\xbe" * 10000
    server.raw(PREFACE + frame(4, 0, 0) + frame(1, 4, 1, block), server.grpc, timeout=1)
    # Headers without end, in CONTINUATION frames.
    more = b"".join(frame(9, 0, 1, literal(b"a%d" % i, b"b" * 100)) for i in range(5000))
    server.raw(PREFACE + frame(4, 0, 0) + frame(1, 0, 1, CALL) + more, server.grpc, timeout=1)
    check(server.rss_kib() < 200 << 10, server.rss_kib())
    still_serves(server)


def case_rapid_reset(t):
    server = t.start()
    data = PREFACE + frame(4, 0, 0)
    for i in range(20000):
        data += frame(1, 4, 2 * i + 1, CALL) + frame(3, 0, 2 * i + 1, b"\0\0\0\x08")
    got = server.raw(data, server.grpc)  # it is closed, or this would be waited for in vain
    check(b"\x07\0\0\0\0\0" in got, "no GOAWAY", got[-100:])
    for flood in (frame(6, 0, 0, b"12345678"), frame(4, 0, 0)):
        server.raw(PREFACE + frame(4, 0, 0) + flood * 20000, server.grpc, timeout=2)
    still_serves(server)


def case_grpc_framing(t):
    server = t.start()

    def call(body, path=b"/inference.GRPCInferenceService/ModelInfer", kind=b"application/grpc",
             method=b"POST", end=1):
        head = b"".join(literal(n, v) for n, v in (
            (b":method", method), (b":scheme", b"http"), (b":authority", b"a"), (b":path", path),
            (b"content-type", kind), (b"te", b"trailers")))
        with socket.create_connection(("127.0.0.1", server.grpc), timeout=2) as sock:
            sock.sendall(PREFACE + frame(4, 0, 0) + frame(1, 4, 1, head) +
                         frame(0, end, 1, body))
            text = b""
            try:
                while b"grpc-status" not in text and b"\x34\x31\x35" not in text:
                    chunk = sock.recv(65536)
                    if not chunk:
                        break
                    text += chunk
                    if len(text) > 200:
                        break
            except TimeoutError:
                pass
            return text
    for body in (b"", b"\0\0\0\0", b"\0\0\0\0\1", b"\0\xff\xff\xff\xff", b"\1\0\0\0\0",
                 b"\2\0\0\0\0", b"\0\0\0\0\0" * 2, b"\0\0\0\0\5abc"):
        check(len(call(body)) > 20, body)
    call(b"", kind=b"text/html")
    call(b"", method=b"GET")
    call(b"\0\0\0\0\0", end=0)
    still_serves(server)


def case_descriptors_run_out(t):
    import resource
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    import subprocess
    server = t.start()
    subprocess.run(["prlimit", f"--pid={server.worker()}", "--nofile=60:60"], check=True)
    socks = []
    for _ in range(200):
        try:
            socks.append(socket.create_connection(("127.0.0.1", server.http), timeout=2))
        except OSError:
            pass
    for sock in socks:
        sock.close()
    time.sleep(1.5)
    still_serves(server)


def case_slow_heads_end(t):
    """A head that does not end is cut off in time; one that comes slowly holds nobody up."""
    server = t.start("--io-threads=1")
    slow = socket.create_connection(("127.0.0.1", server.http), timeout=40)
    slow.sendall(b"GET /v2 HTTP/1.1\r\n")
    start = time.monotonic()
    still_serves(server)
    while True:
        try:
            slow.sendall(b"A: b\r\n")
            slow.settimeout(0.5)
            if slow.recv(100) == b"":
                break
        except TimeoutError:
            pass
        except OSError:
            break
        check(time.monotonic() - start < 30, "still open")
    check(time.monotonic() - start > 5, "closed too early")
    still_serves(server)
