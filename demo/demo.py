#!/usr/bin/env python3
"""The main job, seen: trained models become engines, a table compares, a page is read, then again over
the network, then by two tenants who get a bill.

Everything that was made is kept in the cache folder under a name that holds the digests of the
program and of the model, so that a second run does nothing twice.
"""
import argparse
import contextlib
import hashlib
import json
import pathlib
import subprocess
import sys
import time
import urllib.request

TREE = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TREE / "python"))
sys.path.insert(0, str(TREE / "demo"))

# What each model is tuned for: PP-OCR detection takes any page, recognition any line.
MODELS = [
    {"title": "PP-OCRv6 det", "served": "ocr_det", "file": "PP-OCRv6_det_small.onnx", "bench": "x:1x3x640x640",
     "profile": ["--minShapes=x:1x3x32x32", "--optShapes=x:1x3x640x640", "--maxShapes=x:1x3x4096x4096"]},
    {"title": "PP-OCRv6 rec", "served": "ocr_rec", "file": "PP-OCRv6_rec_small.onnx", "bench": "x:6x3x48x320",
     "profile": ["--minShapes=x:1x3x48x8", "--optShapes=x:6x3x48x320", "--maxShapes=x:64x3x48x8192"]},
    {"title": "PP-OCR cls", "served": "ocr_cls", "file": "ch_ppocr_mobile_v2.0_cls_mobile.onnx", "bench": "x:6x3x48x192",
     "profile": ["--minShapes=x:1x3x48x192", "--optShapes=x:6x3x48x192", "--maxShapes=x:64x3x48x192"]},
]


def digest(*paths):
    sha = hashlib.sha256()
    for path in paths:
        sha.update(pathlib.Path(path).read_bytes())
    return sha.hexdigest()[:16]


def run_json(command):
    """Standard error stays on the terminal: progress bars and warnings are for the person."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return json.loads(done.stdout)


def build(args, model, baseline):
    path = args.cache / model["file"]
    kind = "baseline" if baseline else "tuned"
    name = f"{path.stem}.{kind}.{digest(args.dyno, path)}.engine"
    engine = args.cache / "engines" / name
    report = engine.with_name(name + ".json")
    if not (engine.exists() and report.exists()):
        engine.parent.mkdir(exist_ok=True)
        print(f"building {model['title']} ({kind}) ...", file=sys.stderr, flush=True)
        command = [args.dyno, "build", f"--onnx={path}", f"--saveEngine={engine}", "--json", *model["profile"],
                   f"--timingCacheFile={args.cache / 'timing.cache'}"]
        run_json(command + (["--baseline"] if baseline else []))
    return engine, json.loads(report.read_text())


def bench(args, model, engine):
    saved = engine.with_name(engine.name + ".bench.json")
    if not saved.exists():
        print(f"measuring {engine.name.split('.')[0]} ...", file=sys.stderr, flush=True)
        result = run_json([args.dyno, "bench", f"--loadEngine={engine}", f"--shapes={model['bench']}",
                           "--duration=2", "--json"])
        saved.write_text(json.dumps(result))
    return json.loads(saved.read_text())


def table(rows):
    head = ["model (shape)", "", "median ms", "p99 ms", "items/s", "peak MiB", "launches", "build s", "file MiB",
            "speed-up"]
    lines = [head]
    for model, pairs in rows:
        base_ms = pairs[0][1]["latency_ms"]["median"]
        for kind, result, report in pairs:
            latency = result["latency_ms"]
            lines.append([
                f"{model['title']} ({model['bench'].split(':')[1]})" if kind == "unoptimised" else "",
                kind, f"{latency['median']:.2f}", f"{latency['p99']:.2f}", f"{result['items_s']:.1f}",
                f"{result['peak_rss_bytes'] / 2**20:.0f}", str(result["steps"]), f"{report['build_ms'] / 1e3:.2f}",
                f"{report['engine_bytes'] / 2**20:.1f}", f"{base_ms / latency['median']:.2f}x"])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for number, line in enumerate(lines):
        cells = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths))]
        print("  ".join(cells).rstrip())
        if number == 0:
            print("  ".join("-" * w for w in widths))


def show(title, lines):
    print(f"\n{title}:\n")
    for text, score in lines:
        print(f"  {score:.3f}  {text}")
    if not lines:
        sys.exit("no line was read")


# --- over the network ---

def fill_repository(args, engines):
    """MODEL/1/fp32.engine for each engine; the engines themselves are not copied."""
    repository = args.cache / "repository"
    for model, engine in zip(MODELS, engines):
        folder = repository / model["served"] / "1"
        folder.mkdir(parents=True, exist_ok=True)
        link = folder / "fp32.engine"
        link.unlink(missing_ok=True)
        link.symlink_to(engine)
    return repository


@contextlib.contextmanager
def serving(args, repository, *flags):
    """A server on free ports: {"http": N, "grpc": N}."""
    process = subprocess.Popen([args.dyno, "serve", f"--model-repository={repository}", "--http-port=0", "--grpc-port=0",
                                "--metrics-port=0", "--drain-secs=0", "--json", *flags], stdout=subprocess.PIPE,
                               text=True)
    try:
        hello = process.stdout.readline()
        if not hello:
            sys.exit("the server did not start")
        ports = json.loads(hello)
        url = f"http://127.0.0.1:{ports['http']}/v2/health/ready"
        for _ in range(3000):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(url).close()
                break
            time.sleep(0.01)
        yield ports
    finally:
        process.terminate()
        process.wait()


def read_over_network(args, engines, models, page, want):
    import tritonclient.grpc
    import tritonclient.http

    from read_page import read_page_over_network
    names = [m["served"] for m in MODELS]
    with serving(args, fill_repository(args, engines)) as ports:
        print(f"\nserved on 127.0.0.1: HTTP {ports['http']}, gRPC {ports['grpc']}; read by tritonclient:\n")
        for title, module, port in (("HTTP", tritonclient.http, ports["http"]), ("gRPC", tritonclient.grpc, ports["grpc"])):
            start = time.monotonic()
            lines = read_page_over_network(args.dyno, models, names, page, f"127.0.0.1:{port}", module)
            same = [text for text, _ in lines] == [text for text, _ in want]
            print(f"  over {title}: {len(lines)} lines in {time.monotonic() - start:.1f} s, "
                  f"{'the same text' if same else 'NOT the same text'}")
            if not same:
                sys.exit("the text read over the network is another one")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dyno", type=pathlib.Path, required=True)
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    args = parser.parse_args()
    rows, baselines, engines = [], [], []
    for model in MODELS:
        pairs = []
        for baseline in (True, False):
            engine, report = build(args, model, baseline)
            pairs.append(("unoptimised" if baseline else "optimised", bench(args, model, engine), report))
            baselines += [engine] if baseline else []
        engines.append(engine)
        rows.append((model, pairs))
    first = rows[0][1][0][1]
    print(f"\nunoptimised against optimised, FP32, {first['threads']} threads, {first['processor']}\n")
    table(rows)

    from read_page import read_page
    models, page = [args.cache / m["file"] for m in MODELS], args.cache / "page.png"
    start = time.monotonic()
    lines = read_page(args.dyno, models, engines, page)
    show(f"page.png, read in {time.monotonic() - start:.1f} s", lines)
    read_over_network(args, engines, models, page, lines)
    import bill
    bill.show(args, MODELS, baselines, engines, page, serving)


if __name__ == "__main__":
    main()
