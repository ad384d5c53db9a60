"""Runs the cases of one test_*.py against real servers.

    python harness.py --build BUILD --make-engines
    python harness.py --build BUILD test_http.py [CASE ...]

A case gets a Tester: it makes repositories out of prepared engines and starts servers in them. A
server must end with exit code 0 when it is told to, and print nothing that was not expected.
"""
import argparse
import contextlib
import http.client
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


# How long something may take that must come: only a failure waits so long.  Sanitizers are slow, and on a
# busy machine what runs when nobody else does (builds of engines) hardly runs.
PATIENCE_S = 240


class Failure(Exception):
    pass


def check(condition, *what):
    if not condition:
        raise Failure(" ".join(str(w) for w in what) or traceback.format_stack()[-2])


# --- engines: made once for a build ---

def make_models(folder):
    """Small graphs whose results anybody can work out."""
    import onnx
    from onnx import TensorProto, helper

    def save(name, nodes, inputs, outputs, init=()):
        graph = helper.make_graph(nodes, name, inputs, outputs, list(init))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, str(folder / f"{name}.onnx"))

    def io(name, kind, dims):
        return helper.make_tensor_value_info(name, kind, dims)

    f32, i64, i32 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32
    save("identity", [helper.make_node("Identity", ["x"], ["y"])],
         [io("x", f32, ["n", 16])], [io("y", f32, ["n", 16])])
    save("wide", [helper.make_node("Identity", ["x"], ["y"])],
         [io("x", f32, ["n", "m"])], [io("y", f32, ["n", "m"])])
    save("add_sub", [helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]),
                     helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"])],
         [io("INPUT0", i32, ["n", 16]), io("INPUT1", i32, ["n", 16])],
         [io("OUTPUT0", i32, ["n", 16]), io("OUTPUT1", i32, ["n", 16])])
    for name, kind in (("u8", TensorProto.UINT8), ("i8", TensorProto.INT8),
                       ("u16", TensorProto.UINT16), ("i16", TensorProto.INT16),
                       ("u32", TensorProto.UINT32), ("i32", i32), ("u64", TensorProto.UINT64),
                       ("i64", i64), ("f16", TensorProto.FLOAT16), ("f64", TensorProto.DOUBLE),
                       ("bf16", TensorProto.BFLOAT16), ("bool", TensorProto.BOOL)):
        save(f"same_{name}", [helper.make_node("Identity", ["x"], ["y"])],
             [io("x", kind, ["n"])], [io("y", kind, ["n"])])
    save("to_f16", [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT16)],
         [io("x", f32, ["n"])], [io("y", TensorProto.FLOAT16, ["n"])])
    save("nonzero", [helper.make_node("NonZero", ["x"], ["y"])],
         [io("x", f32, [8])], [io("y", i64, [1, None])])
    # The first dimension is no batch, though it is open.
    save("soft", [helper.make_node("Softmax", ["x"], ["y"], axis=0)],
         [io("x", f32, ["n", 16])], [io("y", f32, ["n", 16])])
    # Rows, and rows of several lengths, that take a while: y = x for x >= 0.
    weight = helper.make_tensor("w", f32, [64, 64], np.eye(64, dtype="f4").tobytes(), raw=True)

    def chain(name, dims, count):
        nodes, at = [], "x"
        for i in range(count):
            nodes += [helper.make_node("MatMul", [at, "w"], [f"t{i}"]),
                      helper.make_node("Relu", [f"t{i}"], [f"r{i}"])]
            at = f"r{i}"
        nodes.append(helper.make_node("Identity", [at], ["y"]))
        save(name, nodes, [io("x", f32, dims)], [io("y", f32, dims)], [weight])
    chain("rows", ["n", 64, 64], 40)
    chain("two_rows", ["n", 64, 64], 2)
    # The same with something added to it.
    nodes, at = [], "a"
    for i in range(60):
        nodes += [helper.make_node("MatMul", [at, "w"], [f"t{i}"]),
                  helper.make_node("Relu", [f"t{i}"], [f"r{i}"])]
        at = f"r{i}"
    nodes.append(helper.make_node("Add", [at, "b"], ["y"]))
    cube = ["n", 64, 64]
    save("two", nodes, [io("a", f32, cube), io("b", f32, cube)], [io("y", f32, cube)], [weight])
    chain("ragged", ["n", "m", 64], 40)
    # Mostly weights.
    weight = helper.make_tensor("w", f32, [1024, 4096], np.zeros((1024, 4096), "f4").tobytes(),
                                raw=True)
    save("heavy", [helper.make_node("MatMul", ["x", "w"], ["y"])],
         [io("x", f32, [1, 1024])], [io("y", f32, [1, 4096])], [weight])
    # Slow enough to be seen: a long chain of products.
    weight = helper.make_tensor("w", f32, [256, 256], (np.eye(256, dtype=np.float32)).tobytes(),
                                raw=True)
    chain("slow", [512, 256], 200)
    chain("quick", [512, 256], 2)


SHAPES = {
    "identity": ["--minShapes=x:1x16", "--optShapes=x:1x16", "--maxShapes=x:64x16"],
    "wide": ["--minShapes=x:1x1", "--optShapes=x:1x16", "--maxShapes=x:16x4194304"],
    "add_sub": ["--minShapes=INPUT0:1x16,INPUT1:1x16", "--optShapes=INPUT0:1x16,INPUT1:1x16",
                "--maxShapes=INPUT0:8x16,INPUT1:8x16"],
    "soft": ["--minShapes=x:1x16", "--optShapes=x:4x16", "--maxShapes=x:64x16"],
    "rows": ["--minShapes=x:1x64x64", "--optShapes=x:4x64x64", "--maxShapes=x:16x64x64"],
    "two_rows": ["--minShapes=x:1x64x64", "--optShapes=x:4x64x64", "--maxShapes=x:16x64x64"],
    "two": ["--minShapes=a:1x64x64,b:1x64x64", "--optShapes=a:4x64x64,b:4x64x64",
            "--maxShapes=a:16x64x64,b:16x64x64"],
    "ragged": ["--minShapes=x:1x1x64", "--optShapes=x:4x64x64", "--maxShapes=x:16x128x64"],
    "nonzero": [], "slow": [], "quick": [], "heavy": [],
}


def make_engines(build):
    folder = build / "serve-engines"
    stamp = folder / "done"
    program = build / "dyno"
    if stamp.exists() and stamp.stat().st_mtime > program.stat().st_mtime:
        return
    folder.mkdir(exist_ok=True)
    make_models(folder)
    for model in sorted(folder.glob("*.onnx")):
        shapes = SHAPES.get(model.stem, ["--minShapes=x:1", "--optShapes=x:4", "--maxShapes=x:64"])
        subprocess.run([program, "build", f"--onnx={model}", "--builderOptimizationLevel=0",
                        f"--saveEngine={folder / model.stem}.engine", *shapes],
                       check=True, stdout=subprocess.DEVNULL)
    trained = ROOT / "build/models/ch_ppocr_mobile_v2.0_cls_mobile.onnx"
    if trained.exists():
        subprocess.run([program, "build", f"--onnx={trained}", "--builderOptimizationLevel=0",
                        f"--saveEngine={folder / 'ocr_cls'}.engine", "--minShapes=x:1x3x48x192",
                        "--optShapes=x:1x3x48x192", "--maxShapes=x:8x3x48x192"],
                       check=True, stdout=subprocess.DEVNULL)
    stamp.write_text("")


# --- servers ---

class Server:
    """A running dyno-serve, its ports, and plain ways to talk to it."""

    def __init__(self, process, hello, log, host="127.0.0.1"):
        self.process, self.log, self.host = process, log, host
        self.http, self.grpc, self.metrics = (hello.get(k) for k in ("http", "grpc", "metrics"))
        self.pid = hello["pid"]  # of the first process that serves
        self.is_told = self.is_over = False
        self.expected = []  # regular expressions of lines that standard error may have
        self.contexts = {}  # ssl.SSLContext of the ports that speak TLS

    def request(self, method, path, body=None, headers=(), port=None):
        """One HTTP request on a connection of its own: status, headers, body."""
        port = port or self.http
        if port in self.contexts:
            conn = http.client.HTTPSConnection(self.host, port, timeout=PATIENCE_S,
                                               context=self.contexts[port])
        else:
            conn = http.client.HTTPConnection(self.host, port, timeout=PATIENCE_S)
        try:
            conn.request(method, path, body=body, headers=dict(headers))
            got = conn.getresponse()
            return got.status, {k.lower(): v for k, v in got.getheaders()}, got.read()
        finally:
            conn.close()

    def json(self, method, path, body=None, status=200, headers=()):
        data = json.dumps(body).encode() if body is not None else None
        got, _, text = self.request(method, path, data, headers)
        check(got == status, method, path, "answers", got, text[:300], "wants", status)
        return json.loads(text) if text else None

    def error(self, method, path, status, says, body=None, headers=()):
        """An error of the protocol: the status, and {"error": a sentence like `says`}."""
        got, head, text = self.request(method, path, body, headers)
        check(got == status, method, path, "answers", got, text[:300], "wants", status)
        check(head["content-type"] == "application/json", head)
        answer = json.loads(text)
        check(list(answer) == ["error"] and re.search(says, answer["error"]), answer, "wants", says)

    def raw(self, data, port=None, timeout=PATIENCE_S):
        """Send bytes as they are; what comes until the server closes."""
        with socket.create_connection((self.host, port or self.http), timeout=timeout) as sock:
            with contextlib.suppress(OSError):
                sock.sendall(data)
            got = b""
            with contextlib.suppress(OSError):
                while chunk := sock.recv(65536):
                    got += chunk
            return got

    def wait_ready(self, seconds=PATIENCE_S):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            # A worker that is killed takes connections along that it had accepted.
            with contextlib.suppress(ConnectionError, http.client.HTTPException):
                if self.request("GET", "/v2/health/ready")[0] == 200:
                    return
            time.sleep(0.01)
        raise Failure("the server is not ready after", seconds, "seconds")

    def metric(self, name, **labels):
        text = self.request("GET", "/metrics", port=self.metrics)[2].decode()
        total, found = 0.0, False
        for line in text.splitlines():
            match = re.match(r"(\w+)(?:\{(.*)\})? (\S+)$", line)
            if not match or match.group(1) != name:
                continue
            have = dict(re.findall(r'(\w+)="([^"]*)"', match.group(2) or ""))
            if all(have.get(k) == v for k, v in labels.items()):
                total, found = total + float(match.group(3)), True
        check(found, "no metric", name, labels)
        return total

    def wait_quiet(self, seconds=PATIENCE_S):
        """Nothing is in flight any more: what was taken from the budget was given back."""
        end = time.monotonic() + seconds
        while self.metric("dyno_bytes_in_flight") != 0:
            check(time.monotonic() < end, "bytes are still in flight")
            time.sleep(0.01)

    def worker(self):
        """The process that serves: a child of the supervisor, unless there is none; 0 in between."""
        if self.pid == self.process.pid:
            return self.pid
        path = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int((path.read_text().split() or ["0"])[0])

    def rss_kib(self, pid=None):
        text = pathlib.Path(f"/proc/{pid or self.worker()}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text).group(1))

    def alive(self):
        check(self.process.poll() is None, "the server has ended:", self.process.poll(),
              self.log.read_text())
        check(self.request("GET", "/v2/health/live")[0] == 200, "not live")

    def kill(self):
        """At once, with its worker, which would drain otherwise."""
        if self.process.poll() is None:
            worker = self.worker()
            self.process.kill()
            if worker:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
            self.process.wait()

    def tell_to_end(self, number=signal.SIGTERM):
        """Once: a second signal would end it at once."""
        if not self.is_told and self.process.poll() is None:
            self.process.send_signal(number)
        self.is_told = True

    def stop(self, code=0, seconds=PATIENCE_S):
        """It ends as it should; what was stopped before is left alone."""
        if self.is_over:
            return
        self.is_over = True
        self.tell_to_end()
        try:
            got = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure("the server did not end in", seconds, "seconds") from None
        text = self.log.read_text()
        check(got == code, "the server ends with", got, text)
        for line in text.splitlines():
            check(any(re.search(e, line) for e in self.expected), "the server says", line)


def while_it_drains(start, look):
    """`look(server)` between the order to end and the end.  On a busy machine that may be over first: then again, with
    more time.  `start(seconds)` makes a server that serves on so long."""
    for seconds in (1.5, 6, 24, 96):
        server = start(seconds)
        begun = time.monotonic()
        server.tell_to_end(signal.SIGINT)
        try:
            while server.request("GET", "/v2/health/ready")[0] == 200:
                time.sleep(0.005)
            look(server)
        except (Failure, OSError, http.client.HTTPException):
            if time.monotonic() - begun < 0.9 * seconds:
                raise
            continue
        finally:
            server.stop()
        return
    raise Failure("it has ended each time before it was looked at")


class Tester:
    """What a case works with: a folder, engines, servers."""

    def __init__(self, build, folder):
        self.build, self.folder = build, pathlib.Path(folder)
        self.repository = self.folder / "repository"
        self.repository.mkdir()
        self.servers = []

    def engine(self, name):
        return self.build / "serve-engines" / f"{name}.engine"

    def put(self, model, engine, version=1, variant="fp32"):
        folder = self.repository / model / str(version)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.engine(engine), folder / f"{variant}.engine")

    def configure(self, model, config):
        (self.repository / model / "config.json").write_text(json.dumps(config))

    def start(self, *flags, models=("identity",), ready=True, env=None, tls=None, inside=(),
              host="127.0.0.1"):
        """A server over the repository, which gets these engines under their own names.  `tls`: the
        context of a client, by the ports that speak TLS; `inside`: a command that executes another
        one, where the server's address is `host`."""
        for model in models:
            self.put(model, model)
        log = self.folder / f"log{len(self.servers)}"
        with open(log, "w") as err:
            process = subprocess.Popen(
                [*inside, self.build / "dyno-serve", f"--model-repository={self.repository}",
                 "--http-port=0", "--grpc-port=0", "--metrics-port=0", "--drain-secs=0", "--json",
                 *flags],
                stdout=subprocess.PIPE, stderr=err, stdin=subprocess.DEVNULL, text=True,
                cwd=self.folder, env={**os.environ, **(env or {})})
        hello = process.stdout.readline()
        check(hello.startswith("{"), "no ports:", repr(hello), log.read_text())
        ports = json.loads(hello)
        server = Server(process, ports, log, host)
        server.contexts = {ports[name]: context for name, context in (tls or {}).items()}
        self.servers.append(server)
        if ready:
            server.wait_ready()
        return server

    def finish(self):
        for server in self.servers:
            server.stop()

    def abandon(self):
        for server in self.servers:
            server.kill()


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name[5:]: item for name, item in vars(module).items() if name.startswith("case_")}


def run_case(name, case, build):
    folder = tempfile.mkdtemp(prefix="dyno-serve-")
    tester = Tester(build, folder)
    try:
        case(tester)
        tester.finish()
        return True
    except Failure as failure:
        print(f"{name}: {failure}", file=sys.stderr)
    except Exception:  # a case that breaks has failed; the others still run
        print(f"{name}: {traceback.format_exc()}", file=sys.stderr)
    finally:
        tester.abandon()
        shutil.rmtree(folder, ignore_errors=True)
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, type=lambda p: pathlib.Path(p).resolve())
    parser.add_argument("--make-engines", action="store_true")
    parser.add_argument("file", nargs="?")
    parser.add_argument("cases", nargs="*")
    args = parser.parse_args()
    if args.make_engines:
        make_engines(args.build)
        return 0
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    sys.modules["harness"] = sys.modules["__main__"]
    cases = load(HERE / args.file)
    wanted = args.cases or list(cases)
    failed = [n for n in wanted if not run_case(n, cases[n], args.build)]
    print(f"{len(wanted)} cases, {len(failed)} failed")
    return 1 if failed or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())
