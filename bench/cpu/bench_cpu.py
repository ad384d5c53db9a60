#!/usr/bin/env python3
"""Dyno against ONNX Runtime and OpenVINO on this processor: latency, side by side, in one run.

    bench_cpu.py --dyno DYNO --models DIR --cache DIR [--threads 1,2] [--json OUT] [NAME ...]

Each peer lives in a process of its own with the same number of threads.  They are measured in turn,
round after round, so that what the machine does to one it does to all; a peer's figure is the median
of its best round (and the ratio of medians is what counts).  Engines are built here, tuned for those threads.
"""
import argparse
import json
import pathlib
import platform
import subprocess
import sys
import time

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TREE / "python"))

# title -> (model, input shape, ONNX Runtime's gate of the issue or None)
CASES = {
    "ResNet-50": ("resnet50.raw", (1, 3, 224, 224), 1.2),
    "MobileNetV2": ("mobilenet_v2.raw", (1, 3, 224, 224), 1.1),
    "EfficientNet-B0": ("efficientnet_b0.raw", (1, 3, 224, 224), 1.1),
    "YOLOv8n 640": ("yolov8n.raw", (1, 3, 640, 640), 1.4),
    "PP-OCRv6 det 640": ("PP-OCRv6_det_small", (1, 3, 640, 640), 1.2),
    "PP-OCRv6 rec b1": ("PP-OCRv6_rec_small", (1, 3, 48, 320), 1.1),
    "PP-OCRv6 rec b6": ("PP-OCRv6_rec_small", (6, 3, 48, 320), 1.1),
    "BERT-base s128": ("bert_base.raw", (1, 128), 1.1),
    "Wav2Vec2 10 s": ("wav2vec2.raw", (1, 160000), 1.05),
}


# --- the workers: one process a peer ---

def make_input(shape, is_int):
    import numpy as np
    rng = np.random.default_rng(1)
    if is_int:
        return rng.integers(0, 1000, shape).astype(np.int64)
    return rng.standard_normal(shape).astype(np.float32)


def open_dyno(args):
    import dyno
    engine = dyno.Engine(args.engine, threads=args.threads, bind=True)
    data = make_input(args.shape, engine.inputs[0].dtype.kind == "i")
    feed = {engine.inputs[0].name: data}
    return lambda: engine.run(feed)


def open_ort(args, optimised=True):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(args.model, options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    feed = {entry.name: make_input(args.shape, "int" in entry.type)}
    return lambda: session.run(None, feed)


def open_openvino(args):
    import openvino as ov
    core = ov.Core()
    model = core.read_model(args.model)
    model.reshape({model.inputs[0]: ov.PartialShape(list(args.shape))})
    compiled = core.compile_model(model, "CPU", {
        "INFERENCE_NUM_THREADS": args.threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    data = make_input(args.shape, "i64" in str(model.inputs[0].element_type) or "int64" in str(model.inputs[0].element_type))
    return lambda: request.infer({0: data}, share_inputs=True)


def open_torch(args):
    """PyTorch eager on random weights, for the baseline.  It is none of our packages (5 GB from PyPI):
    name it in --peers under a Python that has it, torchvision and transformers."""
    import torch
    torch.set_num_threads(args.threads)
    name = pathlib.Path(args.model).name.split(".")[0]
    if name == "bert_base":
        import transformers
        model = transformers.BertModel(transformers.BertConfig()).eval()
    else:
        import torchvision
        model = getattr(torchvision.models, name)().eval()
    data = torch.from_numpy(make_input(args.shape, name == "bert_base"))

    def run():
        with torch.inference_mode():
            return model(data)
    return run


PEERS = {
    "dyno": open_dyno, "dyno unoptimised": open_dyno, "onnxruntime": open_ort,
    "onnxruntime no opt": lambda args: open_ort(args, optimised=False), "openvino": open_openvino,
    "pytorch eager": open_torch,
}


def peak_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def worker(args):
    """Answer each line 'SECONDS' with the latencies of as many runs, in ms, as JSON."""
    run = PEERS[args.peer](args)
    for _ in range(3):
        run()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        seconds, times = float(line), []
        end = time.perf_counter() + seconds
        while len(times) < 3 or time.perf_counter() < end:
            start = time.perf_counter()
            run()
            times.append(1e3 * (time.perf_counter() - start))
        print(json.dumps({"ms": times, "peak_kib": peak_kib()}), flush=True)


# --- the comparison ---

class Peer:
    def __init__(self, name, model, shape, threads, engine):
        command = [sys.executable, __file__, "--worker", name, "--model", str(model), "--shape",
                   "x".join(map(str, shape)), "--threads", str(threads), "--engine", str(engine)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.medians, self.all, self.peak_kib = [], [], 0
        self.alive = self.process.stdout.readline() != ""
        if not self.alive:
            print(f"  {name}: not here ({self.process.stderr.read().strip().splitlines()[-1:]})", file=sys.stderr)

    def measure(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        ordered = sorted(answer["ms"])
        self.medians.append(ordered[len(ordered) // 2])
        self.all += ordered
        self.peak_kib = answer["peak_kib"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def find_model(args, name):
    path = args.cache / f"{name}.onnx"
    if not path.exists():
        args.cache.mkdir(parents=True, exist_ok=True)
        packed = args.models / f"{name}.onnx.xz"
        subprocess.run([sys.executable, str(args.models / "hydrate.py"), str(packed), str(path)], check=True)
    return path


def build(args, model, shape, threads, baseline):
    out = args.cache / f"{model.stem}.{'x'.join(map(str, shape))}.{threads}t.{'base' if baseline else 'tuned'}.engine"
    name = input_name(model)
    command = [str(args.dyno), "build", f"--onnx={model}", f"--saveEngine={out}", f"--threads={threads}",
               f"--shapes={name}:{'x'.join(map(str, shape))}", "--json",
               f"--timingCacheFile={args.cache / 'timing.cache'}", f"--builderOptimizationLevel={args.level}"]
    done = subprocess.run(command + (["--baseline"] if baseline else []), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return out, json.loads(done.stdout)


def input_name(model):
    return "x" if "PP-OCR" in model.name else "input"


def run_case(args, title, threads):
    name, shape, gate = CASES[title]
    model = find_model(args, name)
    engine, report = build(args, model, shape, threads, False)
    base, _ = build(args, model, shape, threads, True)
    peers = {}
    for peer in args.peers:
        peers[peer] = Peer(peer, model, shape, threads, base if "unoptimised" in peer else engine)
    peers = {k: p for k, p in peers.items() if p.alive}
    for _ in range(args.rounds):
        for peer in peers.values():
            peer.measure(args.seconds)
    row = {"title": title, "threads": threads, "gate": gate, "build_s": report["build_ms"] / 1e3,
           "ms": {k: min(p.medians) for k, p in peers.items()}, "peak_mib": {k: p.peak_kib / 1024 for k, p in peers.items()}}
    for peer in peers.values():
        peer.close()
    return row


def show(rows, names, out=sys.stdout):
    head = ["model", "threads"] + [f"{n} ms" for n in names] + ["against ONNX Runtime", "gate", "against OpenVINO",
                                                                 "unoptimised / faster of no opt and eager"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head), file=out)
    for row in rows:
        ms = row["ms"]
        ratio = lambda a, b: f"{ms[a] / ms[b]:.2f}x" if a in ms and b in ms else "-"  # noqa: E731
        cells = [row["title"], str(row["threads"])] + [f"{ms[n]:.2f}" if n in ms else "-" for n in names]
        plain = min((p for p in ("onnxruntime no opt", "pytorch eager") if p in ms), key=ms.get, default="")
        cells += [ratio("onnxruntime", "dyno"), f"{row['gate']}x", ratio("openvino", "dyno"),
                  ratio("dyno unoptimised", plain)]
        print("| " + " | ".join(cells) + " |", file=out)


def processor():
    fields = {}
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    isa = [f for f in ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile") if f in fields["flags"].split()]
    return f"{fields['model name']} (family {fields['cpu family']} model {fields['model']}; {' '.join(isa)})"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--worker", dest="peer")
    parser.add_argument("--model")
    parser.add_argument("--engine")
    parser.add_argument("--shape", type=lambda t: tuple(map(int, t.split("x"))))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--dyno", type=pathlib.Path, default=TREE / "build/release/dyno")
    parser.add_argument("--models", type=pathlib.Path, default=TREE / "models")
    parser.add_argument("--cache", type=pathlib.Path, default=TREE / "build/models")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--level", type=int, default=3)
    parser.add_argument("--peers", type=lambda t: t.split(","), default=[p for p in PEERS if p != "pytorch eager"])
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    if args.peer:
        args.threads = int(args.threads)
        worker(args)
        return
    rows = []
    print(f"{processor()}, {platform.system()}", flush=True)
    for threads in map(int, args.threads.split(",")):
        for title in args.names or CASES:
            row = run_case(args, title, threads)
            rows.append(row)
            show([row], args.peers, sys.stderr)
            if args.json:
                args.json.write_text(json.dumps({"processor": processor(), "rows": rows}, indent=1))
    show(rows, args.peers)


if __name__ == "__main__":
    main()
