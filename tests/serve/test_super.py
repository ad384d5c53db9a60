"""The supervisor: what happens when the process that serves falls, and when somebody ends it."""
import contextlib
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import threading
import time

import tritonclient.grpc
from clients import Load, wait_for
from harness import PATIENCE_S, Failure, check, while_it_drains
from ports import free_port

BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 16], "datatype": "FP32",
                               "data": list(range(16))}]})


def is_running(pid):
    """A child that is not waited for yet has ended, too."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
        return not re.search(r"^State:\s+[ZX]", text, re.M)
    except FileNotFoundError:
        return False


def next_worker(server, old):
    wait_for(lambda: server.worker() not in (0, old))
    return server.worker()


def fell(server, *signals):
    server.expected += [f"worker \\d+ fell: SIG{name}.*another one is started"
                        for name in signals]


def answers(server):
    status, _, text = server.request("POST", "/v2/models/identity/infer", BODY)
    return status == 200 and json.loads(text)["outputs"][0]["data"] == list(range(16))


def kill_under_load(t, name):
    server = t.start()
    fell(server, name)
    with Load("127.0.0.1", server.http, server.grpc, 3) as load:
        wait_for(lambda: len(load.results) > 50)
        old, at = server.worker(), time.monotonic()
        os.kill(old, getattr(signal, f"SIG{name}"))
        new = next_worker(server, old)
        # Everybody has got an answer to what he asked since: to several, for some come out of order.
        wait_for(lambda: sum(start > at and not failure for start, _, failure in list(load.results)) > 100)
    failed = load.failed_since(at)
    after = [end - at for start, end, failure in load.results if start > at and not failure]
    # One request a client was in flight, or was sent on its broken connection.
    check(len(failed) <= len(load.threads), failed)
    check(not any(failure == "a wrong answer" for _, failure in failed), failed)
    print(f"back after {min(after):.3f} s, {len(failed)} of {len(load.results)} failed")
    check(new != old and server.metric("dyno_worker_restarts_total") == 1)
    check(answers(server))


def case_kill_under_load(t):
    kill_under_load(t, "KILL")


def case_fault_under_load(t):
    if "release" not in t.build.name:
        return  # a sanitizer takes the signal
    kill_under_load(t, "SEGV")


def case_clients_wait_in_the_queue(t):
    """With no worker at all a connection is made, and answered when there is one again."""
    server = t.start()
    fell(server, "KILL")
    old = server.worker()
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: not is_running(old))
        socks = [socket.create_connection(("127.0.0.1", server.http), timeout=PATIENCE_S)
                 for _ in range(20)]
        for sock in socks:
            sock.sendall(b"POST /v2/models/identity/infer HTTP/1.1\r\nHost: a\r\n"
                         b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY.encode())
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    for sock in socks:
        got = sock.recv(4096)
        check(got.startswith(b"HTTP/1.1 200 "), got)
        sock.close()


def ready(server):
    return {m["name"] for m in server.json("POST", "/v2/repository/index", {"ready": True})}


def fall(server):
    old = server.worker()
    os.kill(old, signal.SIGKILL)
    next_worker(server, old)
    server.wait_ready()


def case_same_models_after_a_fall(t):
    server = t.start("--model-control-mode=explicit", "--load-model=identity", "--load-model=soft",
                     models=("identity", "soft", "add_sub", "nonzero"))
    fell(server, "KILL")
    client = tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}")
    check(ready(server) == {"identity", "soft"}, ready(server))
    fall(server)
    check(ready(server) == {"identity", "soft"}, ready(server))
    check(server.json("POST", "/v2/repository/models/soft/unload")["unload"])
    client.load_model("add_sub")
    server.error("POST", "/v2/repository/models/nothing/load", 404, "nothing")
    fall(server)
    check(ready(server) == {"identity", "add_sub"}, ready(server))
    client.unload_model("identity")
    client.unload_model("add_sub")
    check(server.json("POST", "/v2/repository/models/nonzero/load")["load"])
    check(server.json("POST", "/v2/repository/models/soft/load")["load"])
    check(server.json("POST", "/v2/repository/models/soft/load")["load"])
    fall(server)
    check(ready(server) == {"nonzero", "soft"}, ready(server))
    for name in ("nonzero", "soft"):
        check(server.json("POST", f"/v2/repository/models/{name}/unload")["unload"])
    fall(server)
    check(ready(server) == set(), ready(server))
    check(server.metric("dyno_worker_restarts_total") == 4)
    client.close()


def kill_until(server, says):
    """Each worker as soon as it is there: a busy machine may let one serve for a second, which ends the row."""
    last, end = 0, time.monotonic() + PATIENCE_S
    while says not in server.log.read_text():
        check(time.monotonic() < end, "never", says, server.log.read_text())
        pid = server.worker()
        if pid not in (0, last):
            os.kill(pid, signal.SIGKILL)
            last = pid
        time.sleep(0.002)


def case_crash_loop_backs_off(t):
    server = t.start()
    server.expected += [r"fell: SIGKILL; \d+ in a row: another one is started in \d"]
    fell(server, "KILL")
    begun = time.monotonic()
    kill_until(server, "in 2 s")
    rows = [(int(n), float(s)) for n, s in re.findall(r"(\d+) in a row: another one is started in (\S+) s$",
                                                      server.log.read_text(), re.M)]
    # At once, at once, and then 0.25, 0.5, 1, 2 s later.
    check(all(seconds == 0.25 * 2 ** (n - 3) for n, seconds in rows), rows)
    wait_for(lambda: server.worker() != 0)
    check(time.monotonic() - begun >= 3.75, "it did not wait")
    server.wait_ready()
    check(answers(server))
    check(server.metric("dyno_worker_restarts_total") == server.log.read_text().count("\n"))
    # Who serves for a while begins anew.
    time.sleep(1.2)
    fall(server)
    check(server.log.read_text().endswith("another one is started\n"), server.log.read_text())


def case_ends_while_no_worker_lives(t):
    server = t.start()
    server.expected += ["fell: SIGKILL"]
    kill_until(server, "in 4 s")
    at = time.monotonic()
    server.stop()
    check(time.monotonic() - at < 3.5, "it waited for the next worker")


def case_worker_ends_with_its_supervisor(t):
    server = t.start()
    worker = server.worker()
    server.process.kill()
    server.process.wait()
    wait_for(lambda: not is_running(worker))
    server.stop(code=-signal.SIGKILL)


def case_second_signal_ends_at_once(t):
    server = t.start("--drain-secs=100")
    server.expected += ["fell: SIGKILL, while it was to end"]
    worker = server.worker()
    server.tell_to_end(signal.SIGINT)
    wait_for(lambda: server.request("GET", "/v2/health/ready")[0] == 400)
    check(answers(server), "it does not serve on")
    server.process.send_signal(signal.SIGTERM)
    check(server.process.wait(60) == 128 + signal.SIGKILL, server.process.returncode)
    check(not is_running(worker), "the worker is left")
    server.stop(code=128 + signal.SIGKILL)


def case_signal_to_all_is_one(t):
    """A terminal and some service managers send it to supervisor and worker."""
    def start(seconds):
        server = t.start(f"--drain-secs={seconds}")
        for _ in range(2):
            os.kill(server.worker(), signal.SIGINT)
        return server

    def look(server):
        check(answers(server), "it does not serve on")
    while_it_drains(start, look)


def is_refused(number):
    try:
        socket.create_connection(("127.0.0.1", number), timeout=0.1).close()
    except ConnectionRefusedError:
        return True
    except TimeoutError:  # the moment in which nobody new is let in
        pass
    return False


def case_nobody_waits_where_nobody_listens(t):
    """While it drains connections are refused, whoever was told to end: the supervisor holds no
    queue open, and starts no other worker."""
    x = json.dumps({"inputs": [{"name": "x", "shape": [512, 256], "datatype": "FP32",
                                "data": [0.5] * (512 * 256)}]}).encode()
    many = 12 if "release" in t.build.name else 4  # a few tenths of a second
    for to_worker in (False, True):
        server = t.start("--exit-timeout-secs=60", "--instances=1", models=("slow",))
        results = []

        def work(server=server, results=results):
            results.append(server.request("POST", "/v2/models/slow/infer", x)[0])
        threads = [threading.Thread(target=work) for _ in range(many)]
        for thread in threads:
            thread.start()
        # All have come; on a busy machine the first may be answered before the last is sent.
        wait_for(lambda: server.metric("nv_inference_pending_request_count", model="slow") + len(results) >= many)
        if to_worker:
            server.is_told = True
            os.kill(server.worker(), signal.SIGTERM)
        else:
            server.tell_to_end()
        wait_for(lambda: is_refused(server.http))
        check(len(results) < many, "it has ended, which shows nothing")
        for thread in threads:
            thread.join()
        check(results == [200] * many, results)
        server.stop()


def case_another_beside_it(t):
    """An upgrade on one machine: a second server on the same ports, then the first is told to end.
    Everybody connects anew for each request, and nobody is turned away."""
    port = free_port()

    def start():
        # It listens when its hello is said, and is ready then.
        return t.start(f"--http-port={port}", "--grpc-port=-1", "--drain-secs=0.5",
                       "--listen-when-ready", ready=False)
    stop, failed, count = threading.Event(), [], [0]

    def work():
        while not stop.is_set():
            try:
                if not answers(server):
                    failed.append("a wrong answer")
            except OSError as error:
                failed.append(repr(error))
            count[0] += 1
    server = start()
    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        old, server = server, start()
        old.stop()
        want = count[0] + 16
        wait_for(lambda: count[0] >= want)
    stop.set()
    for thread in threads:
        thread.join()
    check(not failed and count[0] > 50, count, failed[:3])


def case_hangup_is_no_end(t):
    server = t.start()
    worker = server.worker()
    for _ in range(3):
        server.process.send_signal(signal.SIGHUP)
        check(answers(server))
    server.alive()
    check(server.worker() == worker, "another worker")


def case_no_supervisor(t):
    server = t.start("--no-supervisor")
    check(server.pid == server.process.pid and server.worker() == server.process.pid)
    check(server.metric("dyno_worker_restarts_total") == 0)
    server.process.send_signal(signal.SIGHUP)
    check(answers(server))
    server.stop()
    server = t.start("--no-supervisor")
    server.process.kill()
    server.stop(code=-signal.SIGKILL)


def case_hello_is_said_once(t):
    server = t.start()
    fell(server, "KILL")
    check(server.pid == server.worker() != server.process.pid)
    fall(server)
    server.stop()
    check(server.process.stdout.read() == "", "it says hello again")


def case_goes_on_when_nobody_listens(t):
    """What reads standard output and standard error is gone."""
    t.put("identity", "identity")
    process = subprocess.Popen(
        [t.build / "dyno-serve", f"--model-repository={t.repository}", "--http-port=0",
         "--grpc-port=-1", "--metrics-port=-1", "--drain-secs=0", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        hello = json.loads(process.stdout.readline())
        process.stdout.close()
        process.stderr.close()

        def live():
            with socket.create_connection(("127.0.0.1", hello["http"]), timeout=30) as sock:
                sock.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n")
                return sock.recv(100).startswith(b"HTTP/1.1 200 ")
        check(live())
        os.kill(hello["pid"], signal.SIGKILL)
        check(live())
        process.terminate()
        check(process.wait(30) == 0, process.returncode)
    finally:
        process.kill()
        process.wait()


def refuses(t, code, says, *flags, preexec=None):
    for more in ([], ["--no-supervisor"]):
        got = subprocess.run([t.build / "dyno-serve", f"--model-repository={t.repository}", *flags,
                              *more], capture_output=True, text=True, timeout=PATIENCE_S, check=False,
                             preexec_fn=preexec)
        check(got.returncode == code and re.search(says, got.stderr), got)
        check(got.stderr.count("\n") == 1 and got.stdout == "", got)


def case_refusals_keep_their_codes(t):
    refuses(t, 64, "there is no flag --nothing", "--nothing")
    refuses(t, 64, "--http-port=70000", "--http-port=70000")
    refuses(t, 64, "no model has such a long name", "--model-control-mode=explicit",
            "--load-model=" + "a" * 129)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        refuses(t, 74, f"cannot listen on 127.0.0.1 port {number}: Address already in use",
                f"--http-port={number}")

    def few_descriptors():
        resource.setrlimit(resource.RLIMIT_NOFILE, (22, 22))
    # Enough for the listeners, too few for the loops: what the worker says is what is said.
    refuses(t, 75, "cannot make an event loop|Too many open files", "--io-threads=4",
            "--http-port=0", "--grpc-port=0", "--metrics-port=0", preexec=few_descriptors)


def case_tells_the_service_manager(t):
    for flags in ((), ("--no-supervisor",)):
        for name in (str(t.folder / f"notify{len(flags)}"), f"\0dyno-test-{os.getpid()}"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.bind(name)
                manager.settimeout(60)
                server = t.start(*flags, env={"NOTIFY_SOCKET": name.replace("\0", "@")})
                check(manager.recv(100) == b"READY=1")
                if not flags:
                    fell(server, "KILL")
                    fall(server)
                server.tell_to_end()
                check(manager.recv(100) == b"STOPPING=1")
                server.stop()
                manager.settimeout(0.1)
                try:
                    raise Failure("more is said:", manager.recv(100))
                except TimeoutError:
                    pass


def case_nothing_is_inherited(t):
    """A program that the server starts gets none of its sockets."""
    server = t.start()
    for pid in (server.process.pid, server.worker()):
        for path in pathlib.Path(f"/proc/{pid}/fdinfo").iterdir():
            if int(path.name) <= 2:
                continue
            with contextlib.suppress(FileNotFoundError):  # it was just closed
                what = os.readlink(f"/proc/{pid}/fd/{path.name}")
                flags = int(re.search(r"flags:\s+(\d+)", path.read_text()).group(1), 8)
                check(flags & os.O_CLOEXEC, pid, path.name, what)


def case_supervisor_is_tiny(t):
    if "release" not in t.build.name:
        return
    server = t.start()
    text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    own = int(re.search(r"RssAnon:\s+(\d+)", text).group(1))
    check(re.search(r"^Threads:\s+1$", text, re.M), "threads")
    check(own < 600, own, "KiB")
