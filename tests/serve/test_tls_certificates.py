"""Certificates: those of clients, replaced ones, those a server does not start with."""
import operator
import os
import re
import signal
import socket
import ssl
import subprocess
import threading

import grpc
from harness import PATIENCE_S, check
from test_tls import BODY, GO_ON, Certificates, connect, failures, refused, start, still_serves, wait_for
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as pb_grpc


# --- of clients ---

def case_client_certificates(t):
    certificates = Certificates(t.folder)
    for name in ("server", "client"):
        certificates.issue(name)
    other = Certificates(t.folder, "other")
    other.issue("stranger")
    context = certificates.context(client="client")
    server = t.start(*certificates.flags(), f"--tls-client-ca={certificates.path('ca.pem')}",
                     tls={"http": context})
    still_serves(server)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        good = certificates.context(client="client", version=version)
        session = None
        for reused in (False, True):
            raw = socket.create_connection(("127.0.0.1", server.http), timeout=PATIENCE_S)
            with good.wrap_socket(raw, server_hostname="localhost", session=session) as sock:
                check(sock.session_reused == reused, version, reused)
                sock.sendall(GO_ON)
                check(b"200 OK" in sock.recv(65536))
                session = sock.session
        for bad in (certificates.context(version=version),
                    certificates.context(client="stranger", version=version)):
            refused(server.http, bad, "(?i)certificate.required|handshake.failure|unknown.ca|EOF")
    before = failures(server)
    check(before >= 4, before)
    for client, good in (("client", True), (None, False), ("stranger", False)):
        with certificates.channel(server, client) as channel:
            stub = pb_grpc.GRPCInferenceServiceStub(channel)
            try:
                live = stub.ServerLive(pb.ServerLiveRequest(), timeout=5).live
                check(good and live, client)
            except grpc.RpcError as error:
                check(not good and error.code() == grpc.StatusCode.UNAVAILABLE, client, error)
    still_serves(server)


# --- replaced ones ---

def serial_of(server, context):
    with connect(server.http, context) as sock:
        return sock.getpeercert()["serialNumber"]


def replace(certificates, name, by):
    """As a good tool does it: written aside, then renamed."""
    for kind in ("pem", "key"):
        aside = certificates.path(f"{name}.{kind}.tmp")
        aside.write_bytes(certificates.text(f"{by}.{kind}"))
        os.rename(aside, certificates.path(f"{name}.{kind}"))


def case_reload_while_requests_run(t):
    server, certificates = start(t)
    for i in range(4):
        certificates.issue(f"next{i}")
    context = certificates.context()
    stop, failed, count = threading.Event(), [], [0, 0, 0]

    def anew():
        while not stop.is_set():
            try:
                if server.request("POST", "/v2/models/identity/infer", BODY)[0] != 200:
                    failed.append("http")
            except OSError as error:
                failed.append(error)
            count[0] += 1

    def kept():
        with connect(server.http, context) as sock:
            while not stop.is_set():
                sock.sendall(GO_ON)
                if b" 200 OK" not in sock.recv(65536):
                    failed.append("kept")
                count[1] += 1

    def rpc():
        with certificates.channel(server) as channel:
            stub = pb_grpc.GRPCInferenceServiceStub(channel)
            while not stop.is_set():
                try:
                    stub.ServerLive(pb.ServerLiveRequest(), timeout=PATIENCE_S)
                except grpc.RpcError as error:
                    failed.append(error)
                count[2] += 1
    threads = [threading.Thread(target=work) for work in (anew, anew, kept, rpc)]
    for thread in threads:
        thread.start()
    seen = {serial_of(server, context)}
    for i in range(4):
        replace(certificates, "server", f"next{i}")
        server.process.send_signal(signal.SIGHUP)
        wait_for("no new certificate", lambda: serial_of(server, context) not in seen)
        seen.add(serial_of(server, context))
        want = [done + 6 for done in count]
        wait_for("a client stands still", lambda: all(map(operator.ge, count, want)))
    stop.set()
    for thread in threads:
        thread.join()
    check(not failed and min(count) > 20, count, failed[:3])
    check(len(seen) == 5 and failures(server) == 0, seen, failures(server))


def case_replaced_files_are_noticed(t):
    server, certificates = start(t)
    certificates.issue("next")
    context = certificates.context()
    first = serial_of(server, context)
    replace(certificates, "server", "next")
    wait_for("not noticed", lambda: serial_of(server, context) != first)


def case_bad_replacement_is_refused(t):
    server, certificates = start(t)
    server.expected = ["the certificate stays the one that is in use: "]
    certificates.issue("next")
    context = certificates.context()
    first = serial_of(server, context)

    def bad(says):
        lines = len(server.log.read_text().splitlines())
        server.process.send_signal(signal.SIGHUP)
        wait_for("nothing was said", lambda: len(server.log.read_text().splitlines()) > lines)
        check(re.search(says, server.log.read_text().splitlines()[-1]), server.log.read_text())
        check(serial_of(server, context) == first, "another certificate:", says)
    key, pem = certificates.path("server.key"), certificates.path("server.pem")
    good_key, good_pem = key.read_bytes(), pem.read_bytes()
    key.write_bytes(certificates.text("next.key"))
    bad("is not that of the certificate")
    key.write_bytes(good_key)
    pem.write_bytes(good_pem[:200])
    bad("damaged|no certificate")
    pem.unlink()
    bad("cannot open .*server.pem': No such file")
    # Nor does a worker that is started again need good files.
    server.expected.append("worker [0-9]+ fell: SIGKILL; another one is started")
    os.kill(server.worker(), signal.SIGKILL)
    server.wait_ready()
    check(serial_of(server, context) == first, "another certificate after the fall")
    replace(certificates, "server", "next")
    server.process.send_signal(signal.SIGHUP)
    wait_for("no new certificate", lambda: serial_of(server, context) != first)
    still_serves(server)


def case_refuses_to_start(t):
    certificates = Certificates(t.folder)
    for name in ("server", "other"):
        certificates.issue(name)
    certificates.issue("old", days=-1)
    certificates.issue("weak", kind=("-newkey", "rsa:1024"))
    cert, key = certificates.flags()
    folder = certificates.path("folder")
    folder.mkdir()
    certificates.path("empty").write_bytes(b"")
    certificates.path("large").write_bytes(b"\n" * (1 << 20))
    certificates.path("cut").write_bytes(certificates.text("server.pem")[:-60])
    certificates.path("chain").write_bytes(certificates.text("server.pem") +
                                           certificates.text("cut"))
    certificates.openssl("ec", "-in", "server.key", "-aes128", "-passout", "pass:word", "-out",
                         "locked.key")

    def bad(says, *flags, **env):
        got = subprocess.run([t.build / "dyno-serve", f"--model-repository={t.repository}",
                              "--http-port=0", "--grpc-port=0", "--metrics-port=0", *flags],
                             capture_output=True, text=True, timeout=PATIENCE_S, check=False,
                             stdin=subprocess.DEVNULL, env={**os.environ, **env})
        check(got.returncode in (64, 65, 66, 69, 74, 75) and re.search(says, got.stderr), got)
        check(got.stderr.count("\n") == 1, got.stderr)

    def cert_of(name):
        return f"--tls-cert={certificates.path(name)}"

    def key_of(name):
        return f"--tls-key={certificates.path(name)}"
    bad("--tls-cert and --tls-key want each other", cert)
    bad("--tls-cert and --tls-key want each other", key)
    bad("--tls-client-ca wants --tls-cert", f"--tls-client-ca={certificates.path('ca.pem')}")
    bad("--tls-ports wants --tls-cert", "--tls-ports=http")
    for ports in ("http,", "https", "http grpc", "http,,grpc"):
        bad("wants a list of http, grpc, metrics", cert, key, f"--tls-ports={ports}")
    bad("cannot open '.*/none.pem': No such file", cert_of("none.pem"), key)
    bad("cannot open '.*/none.key': No such file", cert, key_of("none.key"))
    bad("folder' is no regular file", cert_of("folder"), key)
    bad("empty' holds no certificate in PEM form", cert_of("empty"), key)
    bad("server.key' holds no certificate in PEM form", cert_of("server.key"), key)
    bad("large' is larger than a PEM file may be", cert_of("large"), key)
    bad("a certificate in '.*cut' is damaged", cert_of("cut"), key)
    bad("a certificate in '.*chain' is damaged", cert_of("chain"), key)
    bad("empty' holds no private key in PEM form", cert, key_of("empty"))
    bad("the key in '.*locked.key' is encrypted", cert, key_of("locked.key"))
    bad("the key in '.*other.key' is not that of the certificate in '.*server.pem'", cert,
        key_of("other.key"))
    bad("does not take the certificate in '.*weak.pem': .*too small", *certificates.flags("weak"))
    bad("empty' holds no certificate", cert, key, f"--tls-client-ca={certificates.path('empty')}")
    bad("cannot open '.*/none'", cert, key, f"--tls-client-ca={certificates.path('none')}")
    folder.joinpath("libssl.so.3").write_bytes(b"nothing")
    bad("TLS wants OpenSSL 3: .*libssl.so.3: ", cert, key, LD_LIBRARY_PATH=str(folder))
    if os.getuid() != 0:
        certificates.path("server.key").chmod(0)
        bad("cannot open '.*/server.key': Permission denied", cert, key)
    server = t.start(*certificates.flags("old"), ready=False)
    server.expected = ["^warn: the certificate in '.*old.pem' has expired$"]
    wait_for("no warning", lambda: "has expired" in server.log.read_text())
