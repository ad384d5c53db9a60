"""Everything at once, for as long as it is told: clients come, go and misbehave while models load and unload.

    python soak.py --build BUILD [--seconds 20] [--model-memory BYTES] [--ledger]

Every answer is checked against what it must be, every error must be one that was asked for, and at the end the server
has nothing in flight, holds no more memory than before, and ends with 0.  Under the address sanitizer that is where leaks
show.  With a bound on the memory of models they are loaded on demand, and go for each other all the time.  With a ledger
answers are held until their records are durable; the server is told to end while everybody still asks, and whoever got an
answer is in the ledger, once.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from tritonclient.utils import InferenceServerException

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from harness import Failure, Tester, check  # noqa: E402

# Model -> shapes of a request; those of COMING come and go.
SHAPES = {"identity": lambda r: (r.randint(1, 8), 16), "rows": lambda r: (r.randint(1, 4), 64, 64),
          "ragged": lambda r: (r.randint(1, 2), r.choice([1, 9, 64]), 64), "soft": lambda r: (r.randint(1, 4), 16),
          "two_rows": lambda r: (r.randint(1, 4), 64, 64), "wide": lambda r: (r.randint(1, 3), r.choice([1, 1000, 300000]))}
COMING = ("ragged", "soft", "two_rows")
GONE = ("is not found", "has no available versions", "no longer", "is not at ready state", "unknown model")
# What may be said of a model that is loaded on demand: there was no room for it in time, it was unloaded meanwhile, or
# its file was just written.
PUT_OFF = ("is in use", "are in use", "could not be loaded: unloaded", "could not be loaded: engine 'ENGINE': ")
CLASSES = ("realtime", "standard", "batch", None)


class Soak:
    def __init__(self, tester, server, seed, is_bound):
        self.is_bound = is_bound
        self.tester, self.server, self.seed = tester, server, seed
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.counts, self.wrong = {}, []
        self.records = []  # of the answers that came, where there is a ledger
        self.is_ending = False  # the server was told to: whoever hears nothing any more was not wronged

    def count(self, name):
        with self.lock:
            self.counts[name] = self.counts.get(name, 0) + 1

    def fail(self, *what):
        with self.lock:
            self.wrong.append(" ".join(str(w) for w in what)[:500])
        self.stopping.set()

    def judge(self, model, array, got):
        # Numbers that are not negative come back from all but one (harness.make_models).
        raised = np.exp(array) if model == "soft" else array
        want = raised / raised.sum(axis=0) if model == "soft" else array
        if got is None or got.shape != want.shape or not np.allclose(got, want, 1e-4, 1e-5):
            self.fail("a wrong answer of", model, array.shape, "got", None if got is None else got.shape)
        self.count("right answers")

    def note_record(self, parameters):
        """What an answer says of its record: a dictionary over HTTP, messages over gRPC."""
        if "record" in parameters:
            record = parameters["record"]
            with self.lock:
                self.records.append(record if isinstance(record, str) else record.string_param)

    def excuse(self, model, error, how):
        """Was this asked for?"""
        text = str(error)
        if self.is_ending:
            self.count("turned away at the end")
        elif model in COMING and any(g in text for g in GONE):
            self.count("model was away")
        elif self.is_bound and any(p.replace("ENGINE", f"{model}/1/fp32") in text for p in PUT_OFF):
            self.count("model was put off")
        elif how.get("timeout") and ("cannot be met" in text or "timeout expired" in text.lower()):
            self.count("refused: deadline")
        elif (how.get("client_timeout") or how.get("parameters")) and \
                any(t in text for t in ("Deadline Exceeded", "cannot be met", "timeout expired", "deadline has passed")):
            self.count("deadline of the client")
        else:
            self.fail("an error that was not asked for:", model, how, text)

    # --- clients that behave ---

    def requests(self, rng):
        while not self.stopping.is_set():
            model = rng.choice(list(SHAPES))
            array = np.random.default_rng(rng.randint(0, 1 << 30)).random(SHAPES[model](rng), np.float32)
            how = {}
            if rng.random() < 0.1:
                how["timeout"] = rng.choice([1000, 20000, 10000000])
            sla = rng.choice(CLASSES)
            if sla is not None:
                how["parameters"] = {"sla": sla}
            yield model, array, how

    def over_grpc(self, rng):
        client = triton_grpc.InferenceServerClient(f"127.0.0.1:{self.server.grpc}")
        for model, array, how in self.requests(rng):
            item = triton_grpc.InferInput("x", array.shape, "FP32")
            item.set_data_from_numpy(array)
            if rng.random() < 0.1:
                how["client_timeout"] = rng.choice([0.002, 0.05, 20])
            if rng.random() < 0.2:
                how["compression_algorithm"] = rng.choice(["gzip", "deflate"])
            try:
                got = client.infer(model, [item], **how)
                self.note_record(got.get_response().parameters)
                self.judge(model, array, got.as_numpy("y"))
            except InferenceServerException as error:
                self.excuse(model, error, how)
            if rng.random() < 0.02:  # come again as another connection
                client.close()
                client = triton_grpc.InferenceServerClient(f"127.0.0.1:{self.server.grpc}")
        client.close()

    def over_http(self, rng):
        client = triton_http.InferenceServerClient(f"127.0.0.1:{self.server.http}", network_timeout=600)
        for model, array, how in self.requests(rng):
            item = triton_http.InferInput("x", array.shape, "FP32")
            item.set_data_from_numpy(array, binary_data=array.size > 5000 or rng.random() < 0.5)
            for name in ("request_compression_algorithm", "response_compression_algorithm"):
                if rng.random() < 0.1:
                    how[name] = rng.choice(["gzip", "deflate"])
            wanted = [triton_http.InferRequestedOutput("y", binary_data=array.size > 5000 or rng.random() < 0.5)]
            try:
                got = client.infer(model, [item], outputs=wanted, **how)
                self.note_record(got.get_response().get("parameters", {}))
                self.judge(model, array, got.as_numpy("y"))
            except InferenceServerException as error:
                self.excuse(model, error, how)
            if rng.random() < 0.02:
                client.close()
                client = triton_http.InferenceServerClient(f"127.0.0.1:{self.server.http}", network_timeout=600)
        client.close()

    def over_streams(self, rng):
        while not self.stopping.is_set():
            client = triton_grpc.InferenceServerClient(f"127.0.0.1:{self.server.grpc}")
            got, done = [], threading.Semaphore(0)

            def callback(result, error, got=got, done=done):
                got.append((result, error))
                done.release()
            client.start_stream(callback)
            asked = []
            for model, array, _ in self.requests(rng):
                item = triton_grpc.InferInput("x", array.shape, "FP32")
                item.set_data_from_numpy(array)
                client.async_stream_infer(model, [item], request_id=str(len(asked)))
                asked.append((model, array))
                if len(asked) == 20:
                    break
            for _ in asked:
                if self.is_ending:
                    done.acquire(timeout=1)
                elif not done.acquire(timeout=120):
                    self.fail("a stream does not answer")
            client.stop_stream()
            client.close()
            for (model, array), (result, error) in zip(asked, got):  # answers come in order
                if error is not None:
                    self.excuse(model, error, {})
                else:
                    self.note_record(result.get_response().parameters)
                    self.judge(model, array, result.as_numpy("y"))

    # --- clients that do not ---

    def cancel(self, rng):
        """Asks for much and takes it back."""
        client = triton_grpc.InferenceServerClient(f"127.0.0.1:{self.server.grpc}")
        array = np.ones((16, 64, 64), np.float32)
        item = triton_grpc.InferInput("x", array.shape, "FP32")
        item.set_data_from_numpy(array)
        while not self.stopping.is_set():
            calls = [client.async_infer("rows", [item], callback=lambda result, error: None) for _ in range(8)]
            time.sleep(rng.random() * 0.02)
            for call in calls:
                call.cancel()
            self.count("cancelled")
            time.sleep(0.05)
        client.close()

    def half_requests(self, rng):
        """Heads and bodies that end anywhere, then a close, a reset, or silence."""
        body = json.dumps({"inputs": [{"name": "x", "shape": [1, 16], "datatype": "FP32", "data": [1] * 16}]}).encode()
        head = b"POST /v2/models/identity/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        silent = []
        while not self.stopping.is_set():
            port = rng.choice([self.server.http, self.server.grpc])
            sock = socket.create_connection(("127.0.0.1", port))
            whole = (head + body) * rng.randint(1, 3) if port == self.server.http else \
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" + os.urandom(rng.randint(0, 200))
            try:
                sock.sendall(whole[:rng.randint(0, len(whole))])
            except OSError:
                pass
            end = rng.randint(0, 3)
            if end == 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if end == 1:
                try:
                    sock.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
            if end == 3 and len(silent) < 50:
                silent.append(sock)
            else:
                sock.close()
            self.count("half requests")
            time.sleep(0.005)
        for sock in silent:
            sock.close()

    def nonsense(self, rng):
        while not self.stopping.is_set():
            path = rng.choice(["/v2/models/identity/infer", "/v2/models/../x/infer", "/v2/models/identity/versions/9/infer",
                               "/v2/repository/index", "/v2/nothing", "/v2/models/identity/infer?x=%00"])
            body = rng.choice([b"", b"{", b"[" * 100000, b'{"inputs":[{"name":"x","shape":[-1],"datatype":"FP32","data":[1]}]}',
                               b'{"inputs":[{"name":"x","shape":[9223372036854775807,16],"datatype":"FP32","data":[1]}]}',
                               os.urandom(2000)])
            try:
                status = self.server.request("POST", path, body)[0]
            except OSError:
                continue
            if status not in (200, 400, 404, 405, 413, 501, 503):
                self.fail("nonsense is answered with", status, path)
            self.count("nonsense")
            time.sleep(0.01)

    # --- models that come and go ---

    def load_and_unload(self, rng):
        client = triton_http.InferenceServerClient(f"127.0.0.1:{self.server.http}", network_timeout=600)
        while not self.stopping.is_set():
            model = rng.choice(COMING)
            try:
                if rng.random() < 0.3:
                    self.tester.put(model, model)  # to be loaded again
                if rng.random() < 0.6:
                    client.load_model(model)
                else:
                    client.unload_model(model)
                self.count("orders")
            except InferenceServerException as error:
                if "is not loaded" not in str(error) and not (self.is_bound and "in use" in str(error)):
                    self.fail("an order fails:", model, error)
            time.sleep(rng.random() * 0.2)
        for model in COMING if not self.is_bound else ():
            client.load_model(model)
        client.close()

    def watch(self, rng):
        while not self.stopping.is_set():
            self.server.metric("dyno_bytes_in_flight")
            self.server.json("GET", "/v2/models/stats")
            self.server.json("POST", "/v2/repository/index")
            time.sleep(0.2 + rng.random() * 0.2)

    def end_under_load(self):
        """Told to end while everybody asks."""
        self.is_ending = True
        self.server.tell_to_end()
        self.server.process.wait(60)
        self.stopping.set()

    def run(self, seconds, ends=False):
        jobs = [self.over_grpc, self.over_grpc, self.over_http, self.over_http, self.over_streams, self.cancel,
                self.half_requests, self.nonsense, self.load_and_unload, self.watch]
        threads = []
        for number, job in enumerate(jobs):
            rng = random.Random(self.seed * 1000 + number)
            threads.append(threading.Thread(target=self.guard, args=(job, rng)))
        for thread in threads:
            thread.start()
        self.stopping.wait(seconds)
        if ends:
            self.end_under_load()
        self.stopping.set()
        for thread in threads:
            thread.join()

    def guard(self, job, rng):
        try:
            job(rng)
        except Exception as error:  # a client that breaks is a finding, too
            if not self.is_ending:
                self.fail(job.__name__, "breaks:", type(error).__name__, error)


def check_ledger(build, ledger, told):
    """Whoever got an answer is in it, once; nobody else was given his id."""
    got = subprocess.run([build / "dyno", "ledger", "verify", ledger], capture_output=True, text=True, check=False)
    check(got.returncode == 0, got.stderr)
    got = subprocess.run([build / "dyno", "ledger", "export", ledger, "--json"], capture_output=True, text=True, check=True)
    ids = [row["id"] for row in map(json.loads, got.stdout.splitlines()) if row["kind"] == "usage"]
    check(told and len(told) == len(set(told)), "an id was told twice, or none")
    check(len(ids) == len(set(ids)) and set(told) <= set(ids), "missing:", sorted(set(told) - set(ids))[:5])
    print(f"{len(ids)} records, {len(told)} of them of answers that came")


def soak(build, seconds, seed, memory, has_ledger):
    folder = tempfile.mkdtemp(prefix="dyno-soak-")
    tester = Tester(build, folder)
    try:
        for model in COMING:
            tester.put(model, model)
        ledger = tester.folder / "ledger"
        server = tester.start(*([f"--ledger={ledger}"] if has_ledger else []), f"--model-control-mode={'demand' if memory else 'explicit'}",
                              f"--model-memory={memory or '0'}", *(f"--load-model={m}" for m in SHAPES),
                              "--max-in-flight=256", models=[m for m in SHAPES if m not in COMING])
        server.expected += ["^warning: "] + ["^warn: model "] * bool(memory) + ["uncertified"] * has_ledger
        work = Soak(tester, server, seed, bool(memory))
        work.run(min(seconds, 5))  # what is made once is made
        work.stopping.clear()
        before_kib = server.rss_kib()
        work.run(seconds)
        server.alive()
        server.wait_quiet(30)
        print(", ".join(f"{v} {k}" for k, v in sorted(work.counts.items())))
        print(f"memory: {before_kib} KiB, after {server.rss_kib()} KiB, allocated "
              f"{int(server.metric('dyno_heap_bytes')) // 1024} KiB")
        check(not work.wrong, "\n".join(work.wrong[:5]))
        check(work.counts.get("right answers", 0) > seconds, "hardly an answer")
        if has_ledger:
            work.stopping.clear()
            work.run(min(seconds, 2), ends=True)
            check(not work.wrong, "\n".join(work.wrong[:5]))
        tester.finish()
        if has_ledger:
            check_ledger(build, ledger, work.records)
    finally:
        tester.abandon()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True, type=lambda p: pathlib.Path(p).resolve())
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model-memory", metavar="BYTES", help="as 4M: models are loaded on demand within this")
    parser.add_argument("--ledger", action="store_true", help="metered, and ended under load")
    args = parser.parse_args()
    try:
        soak(args.build, args.seconds, args.seed, args.model_memory, args.ledger)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
