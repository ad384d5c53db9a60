"""TLS: the stock clients, what is refused, hostile peers."""
import ctypes
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import struct
import subprocess
import time

import grpc
import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from harness import PATIENCE_S, Failure, check

BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 16], "datatype": "FP32",
                               "data": list(range(16))}]}).encode()
ONE = b"POST /v2/models/identity/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n" % len(BODY)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
GO_ON, LAST = ONE + b"\r\n" + BODY, ONE + b"Connection: close\r\n\r\n" + BODY


class Certificates:
    """An authority in a folder, and what it issues: NAME.pem and NAME.key."""

    def __init__(self, folder, name="ca"):
        self.folder, self.name = pathlib.Path(folder), name
        self.openssl("req", "-x509", *self.new(name), "-out", f"{name}.pem", "-days", "2")

    def openssl(self, *words):
        done = subprocess.run(["openssl", *words], cwd=self.folder, capture_output=True, text=True,
                              check=False)
        check(done.returncode == 0, words, done.stderr)

    def new(self, name, kind=("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        return [*kind, "-nodes", "-keyout", f"{name}.key", "-subj", f"/CN={name}"]

    def path(self, name):
        return self.folder / name

    def issue(self, name, days=2, **kind):
        self.openssl("req", *self.new(name, **kind), "-out", f"{name}.csr")
        self.path(f"{name}.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{self.name}.pem", "-CAkey",
                     f"{self.name}.key", "-days", str(days), "-extfile", f"{name}.ext", "-out",
                     f"{name}.pem")

    def flags(self, name="server"):
        return f"--tls-cert={self.path(name)}.pem", f"--tls-key={self.path(name)}.key"

    def context(self, alpn=(), client=None, version=None):
        context = ssl.create_default_context(cafile=self.path(f"{self.name}.pem"))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if client:
            context.load_cert_chain(self.path(f"{client}.pem"), self.path(f"{client}.key"))
        if version:
            context.minimum_version = context.maximum_version = version
        return context

    def text(self, name):
        return self.path(name).read_bytes()

    def channel(self, server, client=None):
        pair = [self.text(f"{client}.key"), self.text(f"{client}.pem")] if client else []
        made = grpc.ssl_channel_credentials(self.text(f"{self.name}.pem"), *pair)
        return grpc.secure_channel(f"127.0.0.1:{server.grpc}", made)


def start(t, *flags, issued="server", client=None, ports=("http", "grpc"), **options):
    """A server with a certificate, and its authority."""
    certificates = Certificates(t.folder)
    certificates.issue(issued)
    if client:
        certificates.issue(client)
    context = certificates.context(client=client)
    server = t.start(*certificates.flags(issued), *flags, tls=dict.fromkeys(ports, context),
                     **options)
    return server, certificates


def connect(port, context, timeout=PATIENCE_S):
    raw = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    try:
        return context.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False)
    except BaseException:
        raw.close()
        raise


def talk(port, context, data, bytes_a_time=None):
    """Send, and read to the end, which must be told of (close_notify)."""
    with connect(port, context) as sock:
        for at in range(0, len(data), bytes_a_time or len(data)):
            sock.sendall(data[at:at + (bytes_a_time or len(data))])
        text = b""
        while chunk := sock.recv(65536):
            text += chunk
        return text


def refused(port, context, says, data=b"GET /v2/health/live HTTP/1.1\r\n\r\n"):
    try:
        with connect(port, context) as sock:  # with TLS 1.3 a client hears of it later
            sock.sendall(data)
            text = sock.recv(100)
    except OSError as error:
        check(re.search(says, str(error)), repr(error), "wants", says)
        return
    raise Failure("not refused:", says, text)


def still_serves(server):
    status, _, text = server.request("POST", "/v2/models/identity/infer", BODY)
    check(status == 200 and json.loads(text)["outputs"][0]["data"] == list(range(16)), text)
    server.wait_quiet()


def failures(server):
    return server.metric("dyno_tls_handshake_failures_total")


def cpu_s(server):
    fields = pathlib.Path(f"/proc/{server.worker()}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(what, condition, seconds=PATIENCE_S):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, what)
        time.sleep(0.05)


# --- clients ---

def case_stock_clients(t):
    server, certificates = start(t, "--max-input-size=20", models=("identity", "wide"))
    import gevent.ssl
    x = np.random.rand(1, 4 << 20).astype(np.float32)
    small = np.random.rand(3, 16).astype(np.float32)
    http = triton_http.InferenceServerClient(
        f"localhost:{server.http}", ssl=True, network_timeout=PATIENCE_S, concurrency=2,
        ssl_context_factory=lambda: gevent.ssl.create_default_context(
            cafile=certificates.path("ca.pem")))
    client = triton_grpc.InferenceServerClient(
        f"localhost:{server.grpc}", ssl=True, root_certificates=str(certificates.path("ca.pem")))
    for kind, by in ((triton_http, http), (triton_grpc, client)):
        check(by.is_server_live() and by.is_server_ready(), "not ready")
        for model, data in (("identity", small), ("wide", x), ("identity", small), ("wide", x)):
            item = kind.InferInput("x", data.shape, "FP32")
            item.set_data_from_numpy(data)
            got = by.infer(model, [item]).as_numpy("y")
            check(np.array_equal(got, data), kind.__name__, model)
    http.close()
    client.close()
    check(failures(server) == 0, failures(server))
    server.wait_quiet()


def case_curl(t):
    server, certificates = start(t, models=("wide",))
    x = np.random.rand(4, 200000).astype(np.float32)
    head = json.dumps({"inputs": [{"name": "x", "shape": [4, 200000], "datatype": "FP32",
                                   "parameters": {"binary_data_size": x.nbytes}}],
                       "parameters": {"binary_data_output": True}}).encode()
    (t.folder / "body").write_bytes(head + x.tobytes())
    url = f"https://localhost:{server.http}/v2/models/wide/infer"
    for flags in (["--http1.1"], ["--http1.0"], ["-H", "Transfer-Encoding: chunked"],
                  ["--no-alpn"], ["--tls-max", "1.2"]):
        subprocess.run(["curl", "-sS", "--fail", "-m", "30", "--cacert", certificates.path("ca.pem"),
                        "-o", t.folder / "answer", "--data-binary", f"@{t.folder}/body", "-H",
                        f"Inference-Header-Content-Length: {len(head)}", *flags, url], check=True)
        check((t.folder / "answer").read_bytes().endswith(x.tobytes()), flags)


def case_ports(t):
    """By default the metrics are plain; a port is one or the other, never both."""
    server, certificates = start(t)
    check(server.request("GET", "/metrics", port=server.metrics)[0] == 200)
    check(server.metric("dyno_tls_certificate_expiry_seconds") > time.time() + 86400)
    server.stop()
    server = t.start(*certificates.flags(), "--tls-ports=metrics,grpc",
                     tls={"metrics": certificates.context()})
    check(server.request("GET", "/metrics", port=server.metrics)[0] == 200)
    refused(server.http, certificates.context(), "wrong version|EOF|WRONG_VERSION")
    check(server.raw(b"GET /metrics HTTP/1.1\r\n\r\n", server.metrics).count(b"HTTP") == 0)


def case_without_tls_there_is_no_library(t):
    server = t.start()
    for pid in (server.process.pid, server.worker()):
        check("libssl" not in pathlib.Path(f"/proc/{pid}/maps").read_text())
    check(b"dyno_tls" not in server.request("GET", "/metrics", port=server.metrics)[2])
    server.process.send_signal(signal.SIGHUP)
    time.sleep(0.1)
    still_serves(server)


# --- the rules of the protocol ---

def case_versions_and_ciphers(t):
    server, certificates = start(t)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = certificates.context(version=version)
        check(b" 200 OK" in talk(server.http, context, LAST), version)
        with connect(server.http, context) as sock:
            check(sock.compression() is None and "GCM" in sock.cipher()[0], sock.cipher())
            sock.sendall(GO_ON)
            check(b"200 OK" in sock.recv(65536))
            session = sock.session
        with context.wrap_socket(socket.create_connection(("127.0.0.1", server.http), timeout=PATIENCE_S),
                                 server_hostname="localhost", session=session) as sock:
            check(sock.session_reused, version, "not resumed")
            sock.sendall(GO_ON)
            check(b"200 OK" in sock.recv(65536))
    before = failures(server)
    old = certificates.context()
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    refused(server.http, old, "(?i)protocol.version|no.protocols")
    weak = certificates.context(version=ssl.TLSVersion.TLSv1_2)
    for ciphers in ("AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "AES256-SHA"):
        weak.set_ciphers(ciphers)
        refused(server.http, weak, "(?i)handshake.failure")
    check(failures(server) >= before + 3, before, failures(server))
    still_serves(server)


def case_alpn(t):
    server, certificates = start(t)
    with connect(server.grpc, certificates.context(["http/1.1", "h2"])) as sock:
        check(sock.selected_alpn_protocol() == "h2")
        sock.sendall(PREFACE)
        check(sock.recv(9)[3] == 4, "no SETTINGS")
    with connect(server.http, certificates.context(["h2", "http/1.1"])) as sock:
        check(sock.selected_alpn_protocol() == "http/1.1")
    for port, names in ((server.grpc, ["http/1.1"]), (server.grpc, []), (server.http, ["h2"])):
        refused(port, certificates.context(names), "(?i)application.protocol", PREFACE)
    still_serves(server)


def case_closing_is_told(t):
    """An end without close_notify may be an attacker's; ours has it, whoever begins to close."""
    server, certificates = start(t, "--drain-secs=0")
    context = certificates.context()
    check(b" 200 OK" in talk(server.http, context, LAST))
    check(b" 400 " in talk(server.http, context, b"nonsense\r\n\r\n"))
    kept = connect(server.http, context)
    kept.sendall(GO_ON)
    check(b"200 OK" in kept.recv(65536))
    # The client ends its half first, and is still answered.
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    end = context.wrap_bio(incoming, outgoing, server_hostname="localhost")

    def until(step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
    with socket.create_connection(("127.0.0.1", server.http), timeout=PATIENCE_S) as sock:
        until(end.do_handshake)
        end.write(GO_ON)
        try:
            end.unwrap()
        except ssl.SSLWantReadError:
            pass
        check(b"200 OK" in until(lambda: end.read(65536)))
    with connect(server.http, context) as sock:  # the same without telling
        sock.sendall(GO_ON)
        socket.socket.shutdown(sock, socket.SHUT_WR)
        check(b"200 OK" in sock.recv(65536))
    with connect(server.grpc, certificates.context(["h2"])) as sock:
        sock.sendall(PREFACE)
        said = b""
        while b"\0\0\0\4\1" not in said:  # until our settings are acknowledged, which is the last
            said += sock.recv(1000)
        sock.unwrap().close()  # which wants to be told, too
    still_serves(server)
    server.stop()
    check(kept.recv(100) == b"", "more after the end")
    kept.close()


def case_refused_while_the_body_comes(t):
    """Who still sends gets the answer before the connection ends."""
    server, certificates = start(t, "--max-input-size=1")
    with connect(server.http, certificates.context()) as sock:
        sock.sendall(b"POST /v2/models/identity/infer HTTP/1.1\r\nContent-Length: 9000000\r\n\r\n")
        try:
            for _ in range(500):
                sock.sendall(b"x" * 16384)
        except OSError:
            pass
        check(sock.recv(65536).startswith(b"HTTP/1.1 413 "))
    still_serves(server)


def case_pieces(t):
    """Records of every size, many requests in one, and a reader who takes his time."""
    server, certificates = start(t, "--io-threads=1", models=("identity", "wide"))
    context = certificates.context()
    for size in (1, 7, 50, 137):
        text = talk(server.http, context, LAST, size)
        check(b"200 OK" in text and text.endswith(b"15.0]}]}"), size, text)
    for size in (None, 16384, 16500):
        text = talk(server.http, context, GO_ON * 500 + LAST, size)
        check(text.count(b"HTTP/1.1 200 OK") == 501, size, text.count(b"200 OK"))
    x = np.random.rand(1, 4 << 20).astype(np.float32)
    head = json.dumps({"inputs": [{"name": "x", "shape": list(x.shape), "datatype": "FP32",
                                   "parameters": {"binary_data_size": x.nbytes}}],
                       "parameters": {"binary_data_output": True}}).encode()
    with connect(server.http, context, timeout=60) as sock:
        sock.sendall(b"POST /v2/models/wide/infer HTTP/1.1\r\nInference-Header-Content-Length: %d\r\n"
                     b"Content-Length: %d\r\nConnection: close\r\n\r\n"
                     % (len(head), len(head) + x.nbytes) + head + x.tobytes())
        text = bytearray()
        while chunk := sock.recv(30011):
            if len(text) < 1 << 19:
                time.sleep(0.05)  # more than sockets hold is still to come
            text += chunk
        check(text.endswith(x.tobytes()), len(text))
    server.wait_quiet()


def flood_with_keys(port, is_answered):
    """How many key updates in a row a server takes, about; Python's ssl cannot send one."""
    library = ctypes.CDLL("libssl.so.3")
    for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
        getattr(library, name).restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.SSL_CTX_new(ctypes.c_void_p(library.TLS_client_method())))
    count = 0
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.setblocking(True)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 2, 0))
        session = ctypes.c_void_p(library.SSL_new(context))
        library.SSL_set_fd(session, sock.fileno())
        check(library.SSL_connect(session) == 1, "no handshake")
        while count < 1000000:
            library.SSL_key_update(session, is_answered)
            if library.SSL_do_handshake(session) != 1:
                break
            count += 1
        library.SSL_free(session)
    library.SSL_CTX_free(context)
    return count


def case_key_updates(t):
    """New keys are no trouble, a client that sends nothing else is."""
    server, certificates = start(t, "--io-threads=1")
    words = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.http}", "-CAfile",
             certificates.path("ca.pem"), "-crlf"]

    def interact(*steps, version="-tls1_3"):
        """Each step when the one before was answered: what comes together is not taken for commands."""
        with subprocess.Popen([*words, version], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as process:
            text = b""
            try:
                for says, step in (("Verify return code", b""), *((says_of[step], step) for step in steps)):
                    process.stdin.write(step)
                    process.stdin.flush()
                    want = text.count(says.encode()) + 1
                    while text.count(says.encode()) < want and (more := os.read(process.stdout.fileno(), 65536)):
                        text += more
                process.stdin.close()
            except OSError:
                pass
            return text + process.stdout.read()
    get = b"GET /v2/health/live HTTP/1.1\n\n"
    says_of = {b"K\n": "KEYUPDATE", b"k\n": "KEYUPDATE", b"R\n": "RENEGOTIATING", get: "HTTP/1.1 200 OK"}
    text = interact(b"K\n", get, b"k\n", b"K\n", get)
    check(text.count(b"HTTP/1.1 200 OK") == 2, text)
    # A renegotiation of TLS 1.2 is refused, and the connection is good for nothing then.
    text = interact(get, b"R\n", version="-tls1_2")
    check(text.count(b"HTTP/1.1 200 OK") == 1 and b"no renegotiation" in text, text)
    for is_answered in (0, 1):
        count = flood_with_keys(server.http, is_answered)
        check(count < 50000, count, "key updates were taken")
    still_serves(server)


# --- hostile peers ---

def hello_of(certificates):
    """What a client sends first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        certificates.context().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def case_garbage(t):
    server, certificates = start(t, "--io-threads=1", env={"DYNO_LOG": "debug"})
    server.expected = ["is ready: ", "^debug: a TLS handshake failed: [a-z 0-9]+$"]
    hello = hello_of(certificates)
    said = [GO_ON, b"\0" * 1000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\xff\xff" * 4000,
            hello[:-1], hello[:5], hello[:20] + b"\xff" * 400, hello + b"\xff" * 4000,
            hello + hello, b"\x15\x03\x01\x00\x02\x01\x00" * 1000, b"\x80\x2e\x01\x03\x01" * 20]
    before = failures(server)
    for port in (server.http, server.grpc):
        for data in said:
            for reset in (False, True):
                sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                try:
                    sock.sendall(data)
                    if not reset:
                        sock.shutdown(socket.SHUT_WR)
                        while sock.recv(65536):
                            pass
                except OSError:
                    pass
                sock.close()
    wait_for("not counted", lambda: failures(server) >= before + 2 * len(said))
    # Whoever says nothing at all has begun nothing.
    count = failures(server)
    for _ in range(20):
        socket.create_connection(("127.0.0.1", server.http), timeout=PATIENCE_S).close()
    still_serves(server)
    check(failures(server) == count, "counted", failures(server) - count)
    # In the middle of what was good so far.
    with connect(server.http, certificates.context()) as sock:
        sock.sendall(GO_ON[:100])
        socket.socket.send(sock, b"\x17\x03\x03\x00\x20" + b"\xff" * 32)
        try:
            check(sock.recv(100) == b"", "an answer")
        except OSError:
            pass
    still_serves(server)


def case_gone_while_it_runs(t):
    server, certificates = start(t, models=("identity", "slow"))
    slow = json.dumps({"inputs": [{"name": "x", "shape": [512, 256], "datatype": "FP32",
                                   "parameters": {"binary_data_size": 512 * 1024}}]}).encode()
    whole = b"POST /v2/models/slow/infer HTTP/1.1\r\nInference-Header-Content-Length: %d\r\n" \
            b"Content-Length: %d\r\n\r\n" % (len(slow), len(slow) + 512 * 1024) + slow + \
            b"\0" * (512 * 1024)
    for cut in (100, 300 * 1024, len(whole)):
        for _ in range(3):
            sock = connect(server.http, certificates.context())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.sendall(whole[:cut])
            time.sleep(0.01)
            sock.close()
    wait_for("still pending", lambda: server.metric("nv_inference_pending_request_count",
                                                    model="slow") == 0)
    still_serves(server)


def case_slow_handshake_ends(t):
    """One that does not end is cut off in time, and holds nobody up until then."""
    server, certificates = start(t, "--io-threads=1")
    hello = hello_of(certificates)
    before, begin, busy_s = failures(server), time.monotonic(), cpu_s(server)
    slow = [socket.create_connection(("127.0.0.1", server.http), timeout=40) for _ in range(3)]
    slow[1].sendall(hello[:50])
    slow[2].sendall(hello)
    still_serves(server)
    for sock in slow:
        try:
            while sock.recv(65536):
                pass
        except OSError:
            pass
        sock.close()
    took = time.monotonic() - begin
    check(5 < took < 30, "ended after", took)
    check(failures(server) == before + 2, before, failures(server))
    check(cpu_s(server) - busy_s < 0.5 * took, "waited with open eyes:", cpu_s(server) - busy_s)
    still_serves(server)


def case_connections_come_and_go(t):
    if "release" not in t.build.name:
        return  # sanitizers keep what is freed
    server, certificates = start(t, "--io-threads=1")
    context = certificates.context()

    def cycle(count):
        for i in range(count):
            if i % 4 == 0:
                server.raw(GO_ON, server.http)  # no TLS at all
            else:
                check(b" 200 OK" in talk(server.http, context, LAST))
    cycle(200)
    before = server.rss_kib()
    cycle(1000)
    after = server.rss_kib()
    check(after < before * 1.03 + 200, "KiB before", before, "after", after)
