#!/usr/bin/env python3
"""The server measured beside what it could be at best, on this processor.

    bench_serve.py [--rounds N] [--seconds S] [--json OUT] [grpc http latency resnet memory connections meter perf_analyzer ...]

The load generator (h2load, wrk, perf_analyzer) runs on the same cores as the server.  Whatever is
compared is measured in turn, round after round, in one run: A B B A ...; the ratio is the median of the
rounds' ratios, with the 95 % interval of a bootstrap over rounds.

grpc         unary inference of a tiny model (identity, 64 bytes) against a bare nghttp2 echo server
http         the same over HTTP/1.1 with binary tensors against a bare echo on http-parser
latency      one client, one request at a time: the median, beside the bare servers'
resnet       ResNet-50 over gRPC, batched by the server, against `dyno bench` at that batch
memory       an idle server without a model
connections  10,000 idle connections: memory, and what an active one loses
meter        with a ledger, every record durable before its answer, against without one
perf_analyzer  Triton's own client on ResNet-50; its report as it prints it
"""
import argparse
import contextlib
import json
import os
import pathlib
import random
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(TREE / "python"), str(TREE / "bench/cpu")]

import bench_cpu  # noqa: E402

WORK = TREE / "build/bench-serve"
INFER = "/inference.GRPCInferenceService/ModelInfer"
HEADERS = ["-H", "content-type: application/grpc", "-H", "te: trailers"]


# --- servers ---

class Server:
    """A dyno-serve over a repository of its own: {model: engine file}, config.json by model."""

    def __init__(self, models, *flags, configs=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-serve-"))
        for name, engine in models.items():
            place = self.folder / name / "1"
            place.mkdir(parents=True)
            shutil.copy(engine, place / "fp32.engine")
            if configs and name in configs:
                (self.folder / name / "config.json").write_text(json.dumps(configs[name]))
        self.process = subprocess.Popen(
            [TREE / "build/release/dyno-serve", f"--model-repository={self.folder}", "--http-port=0",
             "--grpc-port=0", "--metrics-port=0", "--drain-secs=0", "--json", *flags],
            stdout=subprocess.PIPE, text=True)
        self.ports = json.loads(self.process.stdout.readline())
        self.wait_ready()

    def wait_ready(self):
        for _ in range(6000):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.ports['http']}/v2/health/ready")
                return
            time.sleep(0.01)
        sys.exit("the server is not ready after a minute")

    def metric(self, name, **labels):
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.ports['metrics']}/metrics").read().decode()
        total = 0.0
        for line in text.splitlines():
            match = re.match(r"(\w+)(?:\{(.*)\})? (\S+)$", line)
            if match and match.group(1) == name and all(
                    f'{k}="{v}"' in (match.group(2) or "") for k, v in labels.items()):
                total += float(match.group(3))
        return total

    def pids(self):
        """The process and its children."""
        found = [self.process.pid]
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rsplit(")", 1)[1].split()
                if int(fields[1]) == self.process.pid:
                    found.append(int(stat.parent.name))
        return found

    def rss_mib(self):
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                text = pathlib.Path(f"/proc/{pid}/status").read_text()
                total += int(re.search(r"VmRSS:\s+(\d+)", text).group(1))
        return total / 1024

    def close(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)


@contextlib.contextmanager
def serving(models, *flags, configs=None):
    server = Server(models, *flags, configs=configs)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def echo(program, threads):
    port = free_port()
    process = subprocess.Popen([WORK / program, str(port), str(threads)])
    for _ in range(500):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            break
        time.sleep(0.01)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


# --- models and requests ---

def identity_engine():
    """x: f32 [n, 16] -> the same."""
    engine = WORK / "identity.engine"
    if not engine.exists():
        import onnx
        from onnx import TensorProto, helper
        io = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 16]) for n in "xy"]
        graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", io[:1], io[1:])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
                  str(WORK / "identity.onnx"))
        build(WORK / "identity.onnx", engine, "x:1x16", "x:1x16", "x:64x16", "--builderOptimizationLevel=0")
    return engine


def build(model, engine, least, best, most, *flags):
    subprocess.run([TREE / "build/release/dyno", "build", f"--onnx={model}", f"--saveEngine={engine}",
                    f"--minShapes={least}", f"--optShapes={best}", f"--maxShapes={most}", *flags],
                   check=True, stdout=subprocess.DEVNULL)


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def grpc_body(path, model, name, shape, data):
    """A ModelInferRequest in its frame."""
    tensor = field(1, name.encode()) + field(2, b"FP32") + field(3, b"".join(varint(d) for d in shape))
    message = field(1, model.encode()) + field(5, tensor) + field(7, data)
    path.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    return path


def wrk_script(path, model, name, shape, data):
    head = json.dumps({"inputs": [{"name": name, "shape": shape, "datatype": "FP32",
                                   "parameters": {"binary_data_size": len(data)}}],
                       "parameters": {"binary_data_output": True}}).encode()
    (WORK / "wrk.body").write_bytes(head + data)
    path.write_text(f'''
local file = io.open("{WORK / 'wrk.body'}", "rb")
wrk.body = file:read("*a")
wrk.method = "POST"
wrk.headers["Inference-Header-Content-Length"] = "{len(head)}"
wrk.headers["Content-Type"] = "application/octet-stream"
''')
    return path


# --- load generators ---

def h2load(port, body, clients, streams, seconds):
    """Answers a second; every one has status 200."""
    done = subprocess.run(["h2load", "-t1", f"-c{clients}", f"-m{streams}", f"-D{seconds}", "--warm-up-time=1", "-d", body,
                           *HEADERS, f"http://127.0.0.1:{port}{INFER}"], capture_output=True, text=True, check=True)
    rate = float(re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", done.stdout).group(1))
    good = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", done.stdout)
    if int(good.group(2)) + int(good.group(3)) + int(good.group(4)):
        sys.exit(done.stdout)
    return rate


def h2load_median_us(port, body, seconds):
    with tempfile.NamedTemporaryFile() as log:
        subprocess.run(["h2load", "-t1", "-c1", "-m1", f"-D{seconds}", f"--log-file={log.name}", "-d", body, *HEADERS,
                        f"http://127.0.0.1:{port}{INFER}"], capture_output=True, check=True)
        times = [int(line.split()[2]) for line in open(log.name)]
    return statistics.median(times[len(times) // 10:])


def wrk(port, path, script, conns, seconds):
    """(Answers a second, median latency in microseconds); every one has status 2xx."""
    done = subprocess.run(["wrk", "-t1", f"-c{conns}", f"-d{seconds}s", "--latency", "-s", script,
                           f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        sys.exit(done.stdout)
    value, unit = re.search(r"50%\s+([\d.]+)(us|ms|s)", done.stdout).groups()
    median_us = float(value) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]
    return float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1)), median_us


def check_none_failed(server):
    """h2load cuts off what is in flight at its end: those count as cancelled."""
    for reason in ("REJECTED", "BACKEND", "OTHER"):
        if server.metric("nv_inference_request_failure", reason=reason):
            sys.exit(f"the server refused requests: {reason}")
    if not server.metric("nv_inference_request_success"):
        sys.exit("no request was answered")


# --- ratios ---

def in_turn(args, ours, theirs):
    """[(ours, theirs)] a round; who goes first changes."""
    pairs = []
    for i in range(args.rounds):
        if i % 2:
            b, a = theirs(), ours()
        else:
            a, b = ours(), theirs()
        pairs.append((a, b))
    return pairs


def interval(values):
    """Median, and the 95 % interval of its bootstrap."""
    rng = random.Random(1)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(2000))
    return statistics.median(values), medians[50], medians[1949]


def row(title, pairs, gate, unit):
    ratio, low, high = interval([a / b for a, b in pairs])
    return {"title": title, "ours": statistics.median(a for a, _ in pairs), "theirs": statistics.median(b for _, b in pairs),
            "unit": unit, "ratio": ratio, "low": low, "high": high, "gate": gate}


# --- what is measured ---

def measure_grpc(args):
    body = grpc_body(WORK / "tiny.grpc", "identity", "x", [1, 16], os.urandom(64))
    rows = []
    with serving({"identity": identity_engine()}, f"--io-threads={args.threads}") as server, \
            echo("echo_h2", args.threads) as port:
        for clients, streams, gate in ((8, 16, 0.6), (64, 1, 0.7)):
            pairs = in_turn(args, lambda c=clients, s=streams: h2load(server.ports["grpc"], body, c, s, args.seconds),
                            lambda c=clients, s=streams: h2load(port, body, c, s, args.seconds))
            check_none_failed(server)
            rows.append(row(f"gRPC, {clients} connections x {streams} streams", pairs, gate, "requests/s"))
    return rows


def measure_http(args):
    data = os.urandom(64)
    script = wrk_script(WORK / "infer.lua", "identity", "x", [1, 16], data)
    path = "/v2/models/identity/infer"
    with serving({"identity": identity_engine()}, f"--io-threads={args.threads}") as server, \
            echo("echo_h1", args.threads) as port:
        pairs = in_turn(args, lambda: wrk(server.ports["http"], path, script, 8, args.seconds)[0],
                        lambda: wrk(port, path, script, 8, args.seconds)[0])
    return [row("HTTP/1.1, binary tensors, 8 connections", pairs, 0.7, "requests/s")]


def measure_latency(args):
    body = grpc_body(WORK / "tiny.grpc", "identity", "x", [1, 16], os.urandom(64))
    script = wrk_script(WORK / "infer.lua", "identity", "x", [1, 16], os.urandom(64))
    path = "/v2/models/identity/infer"
    rows = []
    with serving({"identity": identity_engine()}, f"--io-threads={args.threads}") as server, \
            echo("echo_h2", args.threads) as h2, echo("echo_h1", args.threads) as h1:
        pairs = in_turn(args, lambda: h2load_median_us(server.ports["grpc"], body, args.seconds),
                        lambda: h2load_median_us(h2, body, args.seconds))
        rows.append({**row("gRPC, median latency of one client", pairs, None, "us"), "most": 150})
        pairs = in_turn(args, lambda: wrk(server.ports["http"], path, script, 1, args.seconds)[1],
                        lambda: wrk(h1, path, script, 1, args.seconds)[1])
        rows.append({**row("HTTP, median latency of one client", pairs, None, "us"), "most": 120})
    return rows


def resnet_engine(args, batch):
    engine = WORK / f"resnet50-b{batch}-t{args.threads}.engine"
    if not engine.exists():
        model = bench_cpu.find_model(args, "resnet50.raw")
        build(model, engine, "input:1x3x224x224", f"input:{batch}x3x224x224", f"input:{batch}x3x224x224",
              f"--threads={args.threads}")
    return engine


def bench_images(args, engine, batch, seconds):
    done = subprocess.run([TREE / "build/release/dyno", "bench", f"--loadEngine={engine}", f"--threads={args.threads}",
                           f"--shapes=input:{batch}x3x224x224", f"--duration={seconds}", "--json"],
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["items_s"]


def next_answers(server):
    """When the next batch of answers is counted, and how many there are then."""
    count, end_s = server.metric("nv_inference_request_success"), time.monotonic() + 60
    while server.metric("nv_inference_request_success") == count:
        if time.monotonic() > end_s:
            sys.exit("the server has answered nothing for a minute")
        time.sleep(0.002)
    return time.monotonic(), server.metric("nv_inference_request_success")


def served_images(server, body, clients, streams, seconds):
    """Over the middle of the load: answers by the server's own count, from one batch's end to another's."""
    load = subprocess.Popen(["h2load", "-t1", f"-c{clients}", f"-m{streams}", f"-D{seconds + 120}", "-d", body, *HEADERS,
                             f"http://127.0.0.1:{server.ports['grpc']}{INFER}"], stdout=subprocess.DEVNULL)
    time.sleep(0.7)
    start, before = next_answers(server)
    time.sleep(seconds - 0.5)
    end, after = next_answers(server)
    load.terminate()
    load.wait()
    return (after - before) / (end - start)


def measure_resnet(args):
    batch = args.batch
    engine = resnet_engine(args, batch)
    body = grpc_body(WORK / "resnet.grpc", "resnet50", "input", [1, 3, 224, 224], bytes(4 * 3 * 224 * 224))
    seconds = max(args.seconds, 6)
    with serving({"resnet50": engine}, f"--threads={args.threads}") as server:
        runs = server.metric("nv_inference_exec_count")
        rows = server.metric("nv_inference_count")
        pairs = in_turn(args, lambda: served_images(server, body, 4, batch // 2, seconds),
                        lambda: bench_images(args, engine, batch, seconds))
        mean = (server.metric("nv_inference_count") - rows) / (server.metric("nv_inference_exec_count") - runs)
        check_none_failed(server)
    return [{**row(f"ResNet-50 over gRPC, {2 * batch} in flight, batches of {mean:.1f}, against dyno bench at {batch}",
                   pairs, 0.95, "images/s"), "mean_batch": mean}]


def measure_memory(args):
    with serving({}, f"--io-threads={args.threads}") as server:
        time.sleep(1)
        return [{"title": "idle server without a model", "ours": server.rss_mib(), "unit": "MiB RSS", "most": 10}]


def open_idle(port, count, greeting):
    socks = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(greeting)
        socks.append(sock)
    return socks


def measure_connections(args):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(10000, hard - 200)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    body = grpc_body(WORK / "tiny.grpc", "identity", "x", [1, 16], os.urandom(64))
    script = wrk_script(WORK / "infer.lua", "identity", "x", [1, 16], os.urandom(64))
    path = "/v2/models/identity/infer"
    rows = []
    for title, kind, greeting, most, active in (
            ("HTTP/2", "grpc", preface, 150, lambda s: h2load(s.ports["grpc"], body, 1, 16, args.seconds)),
            ("HTTP/1.1", "http", b"", 60, lambda s: wrk(s.ports["http"], path, script, 1, args.seconds)[0])):
        with serving({"identity": identity_engine()}, f"--io-threads={args.threads}") as server:
            empty_mib = server.rss_mib()
            alone, beside, mib = [], [], 0.0
            for _ in range(args.rounds):
                alone.append(active(server))
                socks = open_idle(server.ports[kind], count, greeting)
                time.sleep(1)
                mib = max(mib, server.rss_mib())
                beside.append(active(server))
                for sock in socks:
                    sock.close()
                time.sleep(1)
            rows.append({"title": f"{count} idle {title} connections", "ours": mib, "theirs": empty_mib,
                         "unit": "MiB RSS (without them)", "most": most})
            rows.append(row(f"an active {title} connection beside them, against alone", list(zip(beside, alone)), 0.95, "requests/s"))
    return rows


def measure_meter(args):
    """With a ledger, every record durable before its answer, against without."""
    body = grpc_body(WORK / "tiny.grpc", "identity", "x", [1, 16], os.urandom(64))
    rows = []

    def both(models, measure, flags, configs=None):
        ledger = tempfile.mkdtemp(prefix="ledger-", dir=WORK)
        try:
            with serving(models, *flags, f"--ledger={ledger}", configs=configs) as metered, \
                    serving(models, *flags, configs=configs) as bare:
                pairs = in_turn(args, lambda: measure(metered), lambda: measure(bare))
                check_none_failed(metered)
                return pairs
        finally:
            shutil.rmtree(ledger)
    pairs = both({"identity": identity_engine()}, lambda s: h2load(s.ports["grpc"], body, 8, 32, args.seconds),
                 [f"--io-threads={args.threads}"])
    rows.append(row("tiny model, 256 in flight, metered against not", pairs, 0.85, "requests/s"))
    engine = resnet_engine(args, args.batch)
    image = grpc_body(WORK / "image.grpc", "resnet50", "input", [1, 3, 224, 224], bytes(4 * 3 * 224 * 224))
    pairs = both({"resnet50": engine}, lambda s: served_images(s, image, 4, args.batch // 2, max(args.seconds, 2)),
                 [f"--threads={args.threads}"], {"resnet50": {"max_batch_size": args.batch}})
    rows.append(row("ResNet-50, metered against not", pairs, 0.97, "images/s"))
    return rows


def measure_perf_analyzer(args):
    program = WORK.parent / "venv-perf/bin/perf_analyzer"
    found = list((WORK.parent / "venv-perf").rglob("libcudart.so.12*"))
    env = {**os.environ, "LD_LIBRARY_PATH": str(found[0].parent) if found else ""}
    engine = resnet_engine(args, args.batch)
    said = ""
    with serving({"resnet50": engine}, f"--threads={args.threads}") as server:
        for protocol in ("grpc", "http"):
            done = subprocess.run([program, "-m", "resnet50", "-i", protocol, "-u", f"127.0.0.1:{server.ports[protocol]}",
                                   "--shape", "input:3,224,224", "--concurrency-range", f"1:{2 * args.batch}:{2 * args.batch - 1}",
                                   "-p", "8000", "--percentile=95"], capture_output=True, text=True, env=env)
            said += f"$ perf_analyzer -m resnet50 -i {protocol}\n{done.stdout}{done.stderr}\n"
    print(said)
    return [{"title": "perf_analyzer", "report": said}]


MEASURES = {"grpc": measure_grpc, "http": measure_http, "latency": measure_latency, "resnet": measure_resnet,
            "memory": measure_memory, "connections": measure_connections, "meter": measure_meter, "perf_analyzer": measure_perf_analyzer}


def show(rows):
    print("| what | Dyno | beside it | unit | ratio (95 % interval) | gate |\n|" + "---|" * 6)
    for r in rows:
        if "report" in r:
            continue
        theirs = f"{r['theirs']:,.1f}" if "theirs" in r else "-"
        ratio = f"{r['ratio']:.2f}x ({r['low']:.2f} to {r['high']:.2f})" if "ratio" in r else "-"
        gate = f"under {r['most']}" if "most" in r else f"{r['gate']}x" if r.get("gate") else "-"
        print(f"| {r['title']} | {r['ours']:,.1f} | {theirs} | {r['unit']} | {ratio} | {gate} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--models", type=pathlib.Path, default=TREE / "models")
    parser.add_argument("--cache", type=pathlib.Path, default=TREE / "build/models")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("what", nargs="*", choices=[[], *MEASURES])
    args = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    print(f"{bench_cpu.processor()}, {args.threads} threads of the server, load on the same cores", flush=True)
    rows = []
    for name in args.what or [n for n in MEASURES if n != "perf_analyzer"]:
        rows += MEASURES[name](args)
        show(rows[-4:])
    if args.json:
        args.json.write_text(json.dumps({"processor": bench_cpu.processor(), "threads": args.threads, "rows": rows}, indent=1))
    print()
    show(rows)


if __name__ == "__main__":
    main()
