#!/usr/bin/env python3
"""The CUDA back end on one GPU: kernels checked, models compared with the CPU and timed.

Each row is a model at one shape.  "gpu_ms" is what the GPU takes (events around a run); "wall_ms" a
whole call with inputs and outputs on the GPU: ours waits for each, PyTorch's calls are queued back to
back; "lean fp16" has our own kernels alone; "copied_ms" is ours with both copied from and to page-locked
memory; "gpu_bytes" what is held of the GPU's memory (PyTorch: the most that was reserved).  Joules are
the card's own count, all that it took meanwhile.  "baseline" is our unoptimised execution, which may
take 1.1 times what PyTorch's eager one does.  PyTorch runs its own random weights of the same
architecture; "searched" is with cudnn.benchmark, which times cuDNN's kernels where PyTorch takes the
first of a heuristic otherwise.  "launches" are the kernels of a run: ours are counted in its graph,
PyTorch's by its profiler; copies and fills are not among them.  "streams" are live ones of sound that
`dyno serve` answers in time (streams.py).  "model" rows hold every model of the end-to-end tests against the
CPU, "headers" our declarations against NVIDIA's; "sanitizer" rows, the last, are what compute-sanitizer finds
in our own kernels and an engine of them, where it is there.
"""
import argparse
import concurrent.futures
import fnmatch
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DYNO, GCHECK, CYCLES = os.environ["DYNO"], os.environ["GCHECK"], os.environ["CYCLES"]

# name -> graph in models/, input shape, peer
ROWS = {
    "resnet50 b1": ("resnet50.fold", (1, 3, 224, 224), "resnet50"),
    "resnet50 b32": ("resnet50.fold", (32, 3, 224, 224), "resnet50"),
    "resnet50 b128": ("resnet50.fold", (128, 3, 224, 224), "resnet50"),
    "yolov8s b1": ("yolov8s.raw", (1, 3, 640, 640), "yolov8s"),
    "yolov8s b16": ("yolov8s.raw", (16, 3, 640, 640), "yolov8s"),
    "bert_large s128 b1": ("bert_large.raw", (1, 128), "bert"),
    "bert_large s384 b8": ("bert_large.raw", (8, 384), "bert"),
    "wav2vec2 10s b1": ("wav2vec2.fold", (1, 160000), "wav2vec2"),
    "wav2vec2 10s b16": ("wav2vec2.fold", (16, 160000), "wav2vec2"),
    "mobilenet_v2 b32": ("mobilenet_v2.fold", (32, 3, 224, 224), "mobilenet_v2"),
    "ppocr det 640 b1": ("PP-OCRv6_det_small.onnx", (1, 3, 640, 640), None),
    "ppocr rec b6": ("PP-OCRv6_rec_small.onnx", (6, 3, 48, 320), None),
}
KINDS = ["fp32", "fp16", "lean fp16", "tf32", "bf16", "baseline", "eager fp32", "compile fp16", "compile fp16 searched"]
TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2, "lean fp16": 2e-2, "tf32": 1e-2, "bf16": 5e-2, "baseline": 1e-4}
FEWER_LAUNCHES = 0.6  # of the unoptimised ResNet-50's, at least
FLAGS = {"fp16": ["--fp16"], "lean fp16": ["--fp16", "--lean"], "tf32": ["--tf32"], "bf16": ["--bf16"],
         "baseline": ["--baseline"]}
ROUNDS_TOO_MUCH = ["PP-OCRv6_rec_small.onnx"]  # more than the tolerance in f16, unless the build keeps a budget


def run(*args, timeout=300):
    got = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=timeout, check=False)
    return got.returncode, got.stdout, got.stderr.strip()


def must(*args, timeout=300):
    code, out, err = run(*args, timeout=timeout)
    if code != 0:
        raise RuntimeError(err.splitlines()[-1] if err else f"exit {code}")
    return out


def fetched(name):
    """A trained model, which a script has put into build/models."""
    path, by = ROOT / "build/models" / name, "fetch_magika.sh build/models" if name == "magika.onnx" else "fetch_models.sh"
    if not path.exists():
        raise RuntimeError(f"build/models/{name} is not there: scripts/{by} fetches it")
    return path


def model_file(graph, folder):
    """A graph of models/, filled, or a trained one."""
    if graph.endswith(".onnx"):
        return fetched(graph)
    path = folder / f"{graph}.onnx"
    if not path.exists():
        part = path.with_name(f"{path.name}.{threading.get_ident()}")
        must(sys.executable, ROOT / "models/hydrate.py", ROOT / f"models/{graph}.onnx.xz", part)
        part.replace(path)
    return path


def ours(kind, graph, shape, folder, seconds):
    model = model_file(graph, folder)
    shapes = f"--shapes={'x' if graph.endswith('.onnx') else 'input'}:" + "x".join(map(str, shape))
    cpu, gpu = folder / f"{graph}.{shape}.cpu.engine", folder / "gpu.engine"
    if not cpu.exists():
        for old in folder.glob("*.cpu.engine"):
            old.unlink()
        must(DYNO, "build", f"--onnx={model}", f"--saveEngine={cpu}", shapes, "--builderOptimizationLevel=0")
    start = time.monotonic()
    report = json.loads(must(DYNO, "build", f"--onnx={model}", f"--saveEngine={gpu}", shapes, "--device=cuda",
                             f"--timingCacheFile={folder}/cache", "--json", *FLAGS.get(kind, []),
                             *([f"--accuracyBudget={TOLERANCE[kind]}"] if kind.endswith("fp16") and graph in ROUNDS_TOO_MUCH else [])))
    row = {"build_s": round(time.monotonic() - start, 2), "steps": report["step_count"],
           "cpu_steps": report["cpu_steps"], "programs": report["gpu_programs"],
           "engine_bytes": report["engine_bytes"]}
    code, out, err = run(DYNO, "compare", cpu, gpu, f"--rtol={TOLERANCE[kind]}", "--json")
    worst = [float(x) for x in re.findall(r'"relative": ([-+.\deE]+)', out)]
    row["error"] = max(worst) if worst else None
    row["right"] = code == 0
    if code != 0 and not worst:
        row["says"] = err
    copied = json.loads(must(DYNO, "bench", f"--loadEngine={gpu}", f"--duration={seconds}", "--json"))
    bench = json.loads(must(DYNO, "bench", f"--loadEngine={gpu}", f"--duration={seconds}", "--noDataTransfers",
                            "--dumpProfile", "--json"))
    row.update(gpu_ms=bench["gpu_ms"]["median"], wall_ms=bench["latency_ms"]["median"],
               copied_ms=copied["latency_ms"]["median"], launches=bench["launches"], gpu=bench["gpu"], energy_j_item=bench.get("energy_j_item"),
               load_ms=bench["load_ms"], gpu_bytes=bench["gpu_bytes"],
               layers=[[s["name"], s["op"], s["kernel"], round(s["us"], 2)] for s in bench["layers"]])
    return row


def energy_mj():
    """What the card has taken since it was started; None where it does not tell."""
    try:
        import pynvml
    except ImportError:
        return None
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    try:
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByIndex(int(first)))
    except (ValueError, pynvml.NVMLError):
        return None


def kernels_of(call):
    """Kernels that a call of PyTorch's launches; None where the profiler sees none."""
    import torch
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile
    calls = 3
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        for _ in range(calls):
            call()
        torch.cuda.synchronize()
    count = sum(event.device_type == DeviceType.CUDA and not event.name.startswith(("Memcpy", "Memset"))
                for event in seen.events())
    return count / calls if count else None


def peer(kind, name, shape, seconds):
    import torch
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = kind.endswith("searched")
    half = "fp16" in kind
    with torch.device("cuda"):
        if name in ("resnet50", "mobilenet_v2"):
            import torchvision
            model, x = getattr(torchvision.models, name)(), torch.randn(shape)
        elif name == "yolov8s":
            from yolov8 import YoloV8s
            model, x = YoloV8s(), torch.randn(shape)
        elif name == "bert":
            from transformers import BertConfig, BertModel
            config = BertConfig(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)
            model, x = BertModel(config), torch.randint(0, 1000, shape)
        else:
            from transformers import Wav2Vec2Config, Wav2Vec2Model
            model, x = Wav2Vec2Model(Wav2Vec2Config()), torch.randn(shape)
    model.eval().requires_grad_(False)
    if half:
        model, x = model.half(), x.half() if x.is_floating_point() else x
    if half and x.dim() == 4:
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    if kind.startswith("compile"):
        model = torch.compile(model, mode="reduce-overhead")
    with torch.no_grad():
        for _ in range(5):
            model(x)
        torch.cuda.synchronize()
        times, end = [], time.monotonic() + seconds
        while time.monotonic() < end or len(times) < 10:
            a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            a.record()
            model(x)
            b.record()
            b.synchronize()
            times.append(a.elapsed_time(b))
        count, start, before = len(times), time.monotonic(), energy_mj()
        for _ in range(count):
            model(x)
        torch.cuda.synchronize()
        wall, used = (time.monotonic() - start) / count * 1e3, energy_mj()
        bytes_held = torch.cuda.max_memory_reserved()
        launches = kernels_of(lambda: model(x)) if kind.startswith("eager") else None
    return {"gpu_ms": sorted(times)[count // 2], "wall_ms": wall, "torch": torch.__version__,
            "energy_j_item": (used - before) / 1e3 / count / shape[0] if before is not None else None,
            "gpu_bytes": bytes_held, "launches": launches}


def check_kernels(shards):
    """gcheck in several processes: compiling is most of its time."""
    with concurrent.futures.ThreadPoolExecutor(shards) as pool:
        got = list(pool.map(lambda i: run(GCHECK, f"--shard={i}/{shards}", timeout=500), range(shards)))
    ends = [out.splitlines()[-1] for _, out, _ in got if out]
    total = {what: sum(int(n) for end in ends for n in re.findall(rf"(\d+) {what}", end))
             for what in ("with a GPU kernel", "trials", "channel views", "failed")}
    return {**total, "right": all(code == 0 for code, _, _ in got) and len(ends) == shards,
            "says": [line for _, _, err in got for line in err.splitlines()][:20]}


def check_headers():
    """Our declarations of NVIDIA's interfaces compiled against the headers of this machine: a toolkit's, or wheels'."""
    folders = sorted(str(path) for path in pathlib.Path(sysconfig.get_paths()["purelib"]).glob("nvidia/*/include"))
    must("cmake", "--preset", "release", f"-DDYNO_NVIDIA_INCLUDE={';'.join(folders)}")
    targets = must("cmake", "--build", "--preset", "release", "--target", "help")
    row = {}
    for name in ("driver", "nvrtc", "nvml", "cudnn", "cublaslt"):
        if f"cuda_check_{name}:" not in targets:
            row[name] = "no header"
            continue
        code, out, err = run("cmake", "--build", "--preset", "release", "--target", f"cuda_check_{name}")
        row[name] = "as declared" if code == 0 else (out + err)[-1000:]
    return {**row, "right": all(told == "as declared" for told in row.values())}


def model_names():
    sys.path.insert(0, str(ROOT / "tests/e2e"))
    import model_list
    return list(model_list.MODELS)


def check_model(name):
    """A model of the end-to-end tests at all its shapes, in each kind of numbers, against the CPU; nothing is timed."""
    kinds = "fp32,fp16,tf32,bf16,lean"
    if not (ROOT / f"models/{name}.onnx.xz").exists():
        fetched(f"{name}.onnx")
    code, out, err = run(sys.executable, ROOT / "tests/e2e/run_models.py", f"--dyno={DYNO}", f"--models={ROOT / 'models'}",
                         f"--cache={ROOT / 'build/models'}", "--device=cuda", f"--kinds={kinds}", name, timeout=580)
    lines = [line.split(None, 1) for line in (out + err).splitlines() if line.startswith(("ok ", "FAIL "))]
    return {"right": code == 0, "right_ones": [text for verdict, text in lines if verdict == "ok"],
            "wrong_ones": [text for verdict, text in lines if verdict != "ok"] or (err.splitlines()[-3:] if code else [])}


def own_kernels():
    """Those of the GPU's kernels that are not a library's."""
    rows = re.findall(r"^DYNO_KERNEL\(cuda, (\w+)\)", (ROOT / "src/backend/kernels.def").read_text(), re.M)
    return [name for name in rows if not name.endswith(("_cudnn", "_cublaslt"))]


def find_sanitizer():
    return shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")


def sanitize(sanitizer, tool, *command):
    """What NVIDIA's compute-sanitizer finds wrong with a command; our own kernels alone."""
    env = {**os.environ, "DYNO_CUDNN": "none", "DYNO_CUBLASLT": "none"}
    got = subprocess.run([sanitizer, "--tool", tool, "--error-exitcode", "86", *map(str, command)], capture_output=True,
                         text=True, timeout=580, check=False, env=env)
    return {"right": got.returncode == 0, "says": [line for line in got.stdout.splitlines() if line][-3:]}


def sanitize_engine(sanitizer, tool, folder):
    """ResNet-50 by own kernels alone, at its ordinary size."""
    engine = folder / f"sanitized.{tool}.engine"
    must(DYNO, "build", f"--onnx={model_file('resnet50.fold', folder)}", f"--saveEngine={engine}", "--device=cuda", "--fp16",
         "--lean", "--shapes=input:1x3x224x224", "--builderOptimizationLevel=0")
    return sanitize(sanitizer, tool, DYNO, "run", engine)


def sanitizer_rows(folder, every):
    """An engine of own kernels, and one in so many trials of each kernel, by each tool; none without compute-sanitizer."""
    sanitizer = find_sanitizer()
    rows = []
    for tool in ("memcheck", "racecheck", "initcheck") if sanitizer else ():
        rows.append((f"sanitizer {tool} lean engine", lambda t=tool: sanitize_engine(sanitizer, t, folder)))
        rows += [(f"sanitizer {tool} {kernel}", lambda t=tool, k=kernel: sanitize(
            sanitizer, t, GCHECK, f"--kernel={k}_cuda", f"--every={every}")) for kernel in own_kernels()]
    return rows


def live_streams(kind, folder, seconds):
    """Wav2Vec2: streams of sound that are served in time (streams.py), by an engine for 1 to 32 windows at once."""
    import streams
    model, engine = model_file("wav2vec2.fold", folder), folder / f"streams.{kind}.engine"
    shapes = [f"--{name}Shapes=input:{rows}x160000" for name, rows in (("min", 1), ("opt", 16), ("max", 32))]
    must(DYNO, "build", f"--onnx={model}", f"--saveEngine={engine}", *shapes, "--device=cuda",
         f"--timingCacheFile={folder}/cache", *FLAGS.get(kind, []))
    bench = json.loads(must(DYNO, "bench", f"--loadEngine={engine}", "--shapes=input:16x160000", "--duration=1", "--json"))
    args = streams.options([str(engine), f"--seconds={seconds}"])
    return {**streams.most_streams(engine, args, max(1, bench["items_s"] / 2)), "items_s_b16": bench["items_s"],
            "gpu": bench["gpu"]}


def cycles(graph, count, folder):
    """Loaded, run and unloaded so often; what the process and the card hold after a tenth and at the end."""
    engine = "tiny"
    if graph is not None:
        engine = folder / "cycles.engine"
        must(DYNO, "build", f"--onnx={model_file(graph, folder)}", f"--saveEngine={engine}", "--device=cuda", "--fp16",
             "--shapes=input:1x3x224x224", "--builderOptimizationLevel=0")
    code, out, err = run(CYCLES, engine, count, timeout=500)
    return {"right": code == 0, "says": (out + err).strip()}


def fewer_launches(results):
    """ResNet-50 at batch 1: how many of the unoptimised execution's launches are saved, of ours and of PyTorch's."""
    count = {kind: results.get(f"resnet50 b1 / {kind}", {}).get("launches") for kind in KINDS}
    row = {kind: count[kind] for kind in ("fp16", "baseline", "eager fp32") if count[kind]}
    if "fp16" not in row or "baseline" not in row:
        raise RuntimeError("ResNet-50 at batch 1 was not measured in f16 and unoptimised")
    for kind in ("baseline", "eager fp32"):
        if kind in row:
            row[f"fewer than {kind}"] = 1 - row["fp16"] / row[kind]
    return {**row, "right": row["fewer than baseline"] >= FEWER_LAUNCHES}


def table(results):
    print(f"{'row':22} {'kind':13} {'GPU ms':>8} {'wall ms':>8} {'copied':>8} {'error':>9}  notes")
    for name in ROWS:
        for kind in KINDS:
            row = results.get(f"{name} / {kind}")
            if row is None:
                continue
            if "gpu_ms" not in row:
                print(f"{name:22} {kind:21} {row.get('failed')}")
                continue
            error = f"{row['error']:.1e}" if row.get("error") is not None else ""
            notes = "" if row.get("right", True) else "WRONG"
            if row.get("launches"):
                notes += f" {row['launches']:.0f} launches,"
            if "steps" in row:
                notes += f" {row['steps']} steps, {row['cpu_steps']} on the CPU, built in {row['build_s']:.0f} s"
            copied = f"{row['copied_ms']:8.3f}" if "copied_ms" in row else " " * 8
            print(f"{name:22} {kind:21} {row['gpu_ms']:8.3f} {row['wall_ms']:8.3f} {copied} {error:>9} {notes}")


def streams_table(results):
    for kind in ("fp16", "baseline"):
        row = results.get(f"streams / {kind}")
        if row and "streams" in row:
            print(f"live Wav2Vec2 streams, {kind}: {row['streams']}, p50 {row['p50_ms']} ms, p99 {row['p99_ms']} ms,"
                  f" {row['rows_a_run'] or 0:.1f} windows a run")


def picture(results, path):
    """Bars: how many times as fast as PyTorch's eager FP32, by wall time, ours in f16 and compiled f16."""
    bars = []
    for name in ROWS:
        ours_, other, eager = (results.get(f"{name} / {kind}", {}).get("wall_ms")
                               for kind in ("fp16", "compile fp16", "eager fp32"))
        if ours_ and other and eager:
            bars.append((name, eager / ours_, eager / other))
    scale, left, row = 420 / max(max(b[1:]) for b in bars), 170, 46
    height = 50 + row * len(bars) + 20
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="680" height="{height}" font-family="sans-serif" font-size="13">',
           f'<rect width="680" height="{height}" fill="#ffffff"/>',
           '<text x="12" y="22" font-size="15">Times as fast as PyTorch eager FP32, one NVIDIA H200, wall time</text>',
           '<rect x="430" y="32" width="12" height="12" fill="#1f6fb2"/><text x="448" y="43">Dyno f16</text>',
           '<rect x="528" y="32" width="12" height="12" fill="#b9b9b9"/><text x="546" y="43">torch.compile f16</text>']
    for i, (name, ours_, other) in enumerate(bars):
        y = 56 + row * i
        out.append(f'<text x="{left - 10}" y="{y + 22}" text-anchor="end">{name}</text>')
        for k, (value, colour) in enumerate(((ours_, "#1f6fb2"), (other, "#b9b9b9"))):
            out.append(f'<rect x="{left}" y="{y + 17 * k}" width="{value * scale:.1f}" height="15" fill="{colour}"/>'
                       f'<text x="{left + value * scale + 6:.1f}" y="{y + 12 + 17 * k}">{value:.1f}x</text>')
    pathlib.Path(path).write_text("\n".join(out + ["</svg>", ""]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="build/gpu.json")
    parser.add_argument("--only", action="append", help="rows / kinds, as a pattern; may be given again")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--stream-seconds", type=float, default=10, help="for each number of streams that is tried")
    parser.add_argument("--sanitize-every", type=int, default=8,
                        help="of a kernel's trials compute-sanitizer looks at one in so many")
    parser.add_argument("--jobs", type=int, default=min(14, os.cpu_count() or 1),
                        help="checks of models and by compute-sanitizer at once; what is timed runs alone")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--svg", help="draw what --out holds")
    args = parser.parse_args()
    out = pathlib.Path(args.out)
    results = json.loads(out.read_text()) if out.exists() else {}
    folder = pathlib.Path(tempfile.gettempdir()) / "dyno-bench-gpu"
    folder.mkdir(exist_ok=True)

    one_writes = threading.Lock()

    def keep(name, make):
        if name in results or not any(fnmatch.fnmatch(name, only) for only in args.only or ["*"]):
            return
        try:
            row = make()
        except (RuntimeError, subprocess.TimeoutExpired, ImportError, KeyError, ValueError) as error:
            row = {"failed": str(error)[:300]}
        with one_writes:
            results[name] = row
            part = out.with_name(out.name + ".part")
            part.write_text(json.dumps(results, indent=1))
            part.replace(out)  # whole, whenever this is stopped
            print(name, {k: v for k, v in row.items() if k != "layers"}, flush=True)

    def keep_all(rows):
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            list(pool.map(lambda row: keep(*row), rows))

    keep("headers", check_headers)
    keep("kernels", lambda: check_kernels(args.jobs))
    keep("cycles tiny", lambda: cycles(None, 10000, folder))
    keep("cycles resnet50", lambda: cycles("resnet50.fold", 200, folder))
    keep_all([(f"model {name}", lambda n=name: check_model(n)) for name in model_names()])
    for name, (graph, shape, other) in ROWS.items():
        for kind in KINDS:
            if kind in TOLERANCE:
                keep(f"{name} / {kind}", lambda k=kind, g=graph, s=shape: ours(k, g, s, folder, args.seconds))
            elif other is not None and not args.no_peers:
                keep(f"{name} / {kind}", lambda k=kind, o=other, s=shape: peer(k, o, s, args.seconds))
    for kind in ("fp16", "baseline"):
        keep(f"streams / {kind}", lambda k=kind: live_streams(k, folder, args.stream_seconds))
    keep_all(sanitizer_rows(folder, args.sanitize_every))
    if any("launches" in results.get(f"resnet50 b1 / {kind}", {}) for kind in KINDS):
        results.pop("launches", None)  # of the rows that are there now
        keep("launches", lambda: fewer_launches(results))
    table(results)
    streams_table(results)
    if args.svg:
        picture(results, args.svg)
    wrong = [n for n, row in results.items() if "failed" in row and row["failed"] or not row.get("right", True)]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
