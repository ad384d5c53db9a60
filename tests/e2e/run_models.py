#!/usr/bin/env python3
"""Every model, end to end, against ONNX Runtime; on a GPU against our own execution on the CPU.

    run_models.py --dyno DYNO --models DIR --cache DIR [--threads 1,2] [--device cuda [--kinds fp32,fp16,...]] [NAME ...]

For each model and each set of input shapes: build an engine (profile over all the shapes), run it
with one and two threads, compare with ONNX Runtime.  A case fails when an output differs by more
than 1e-4 of its range, or in shape or type.  Where the two differ by more, the reference meaning
(every sum in double, `dyno compare`) decides: ONNX Runtime's own rounding reaches 1.1e-4 on PP-OCR's
detector at 640x640.  The last line counts the cases.

On a GPU each kind of numbers has its tolerance, and where the CPU's best of the last axis is ahead of all others by more
than twice that, it must be the best there, too.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "python"))
import dyno  # noqa: E402
from model_list import MODELS  # noqa: E402

TOLERANCE = 1e-4
# Kinds of numbers on a GPU: flags of the build, tolerance.
KINDS = {"fp32": ([], 1e-4), "fp16": (["--fp16"], 2e-2), "tf32": (["--tf32"], 1e-2), "bf16": (["--bf16"], 5e-2),
         "lean": (["--fp16", "--lean"], 2e-2)}
# They round too much in 16 bits, unless a build keeps a budget (docs/cuda.md), on data that are like those to come.
BUDGETED = {"PP-OCRv6_rec_small", "PP-OCRv6_det_small", "ch_ppocr_mobile_v2.0_cls_mobile"}


def make_page(rng, shape):
    """Lines of dark strokes on white, as PP-OCR normalises a page: noise alone leaves its sigmoid's
    whole output below 1e-3, where ONNX Runtime differs from itself by more than the tolerance."""
    page = np.full(shape, 2.2, np.float32)
    for top in range(6, shape[2] - 10, 18):
        for left in range(4, shape[3] - 8, 7):
            height, width = rng.integers(5, 10), rng.integers(1, 4)
            page[:, :, top:top + height, left:left + width] = -1.9
            page[:, :, top + rng.integers(0, 8), left:left + 5] = -1.9
    return page + 0.05 * rng.standard_normal(shape).astype(np.float32)


def make_input(shape, dtype, name, model=""):
    rng = np.random.default_rng(sum(shape) + len(name))
    if "_det_" in model or "_cls_" in model:
        return make_page(rng, shape)
    if np.issubdtype(dtype, np.integer):
        return rng.integers(0, 257 if name == "bytes" else 1000, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def find_model(args, name):
    path = args.cache / f"{name}.onnx"
    packed = args.models / f"{name}.onnx.xz"
    if not path.exists() and packed.exists():
        args.cache.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")  # others may fill it, too
        subprocess.run([sys.executable, str(args.models / "hydrate.py"), str(packed), str(part)], check=True)
        part.rename(path)
    return path


def worst(got, want):
    """Largest difference as a share of the range; inf when shape or type differ."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return float("inf")
    if want.size == 0:
        return 0.0
    a, b = got.astype(np.float64), want.astype(np.float64)
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return float("inf")
    diff = np.nanmax(np.abs(a - b), initial=0.0)
    spread = np.nanmax(b) - np.nanmin(b)
    return float(diff / (spread if spread > 0 else max(1.0, np.abs(b).max())))


def reference_agrees(args, path, engine_path, name, data, folder):
    """Is the engine within the tolerance of the reference meaning?"""
    saved = pathlib.Path(folder) / "input.npy"
    np.save(saved, data)
    command = [str(args.dyno), "compare", str(path), str(engine_path), f"--input={name}={saved}",
               f"--shapes={name}:{'x'.join(map(str, data.shape))}", f"--rtol={TOLERANCE}"]
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def profile_flags(name, shapes):
    low, high = np.min(shapes, axis=0), np.max(shapes, axis=0)
    text = lambda dims: name + ":" + "x".join(str(int(d)) for d in dims)  # noqa: E731
    return [f"--minShapes={text(low)}", f"--optShapes={text(shapes[0])}", f"--maxShapes={text(high)}"]


def run_model(args, name, folder):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 2
    path = find_model(args, name)
    if not path.exists():
        return [(f"{name}: no model at {path}", False)]
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0]
    dtype = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}[feed.type]
    engine_path = pathlib.Path(folder) / "m.engine"
    command = [str(args.dyno), "build", f"--onnx={path}", f"--saveEngine={engine_path}",
               f"--builderOptimizationLevel={args.level}", "--json", *profile_flags(feed.name, MODELS[name])]
    command += ["--baseline"] if args.baseline else []
    built = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if built.returncode != 0:
        return [(f"{name}: build: {built.stderr.strip()[-600:]}", False)]
    results = []
    for threads in args.threads:
        with dyno.Engine(engine_path, threads=threads) as engine:
            for shape in MODELS[name]:
                data = make_input(shape, dtype, feed.name, name)
                try:
                    got = engine.run({feed.name: data})
                except dyno.DynoError as error:
                    results.append((f"{name} {shape} {threads}t: {error}", False))
                    continue
                want = dict(zip([o.name for o in session.get_outputs()], session.run(None, {feed.name: data})))
                error = max(worst(got[key], want[key]) for key in want)
                ok, note = error < TOLERANCE, ""
                if not ok and np.isfinite(error) and error < 10 * TOLERANCE:
                    ok = reference_agrees(args, path, engine_path, feed.name, data, folder)
                    note = " from ONNX Runtime; the reference " + ("agrees" if ok else "does not agree either")
                results.append((f"{name} {'x'.join(map(str, shape))} {threads}t: {error:.2e}{note}", ok))
    return results


def other_best(got, want, tolerance):
    """Rows of the last axis that are clear, and those of them whose best is another."""
    if want.ndim == 0 or want.shape[-1] < 2 or not np.issubdtype(want.dtype, np.floating):
        return 0, 0
    rows = want.reshape(-1, want.shape[-1]).astype(np.float64)
    first, second = np.sort(rows, axis=1)[:, :-3:-1].T
    clear = first - second > 2 * tolerance * (rows.max() - rows.min())
    same = got.reshape(rows.shape).argmax(axis=1) == rows.argmax(axis=1)
    return int(clear.sum()), int((clear & ~same).sum())


def build_engine(args, path, flags):
    """None, or what it says."""
    command = [str(args.dyno), "build", f"--onnx={path}", "--json", *flags]
    built = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return built.stderr.strip()[-600:] if built.returncode != 0 else None


def run_on_gpu(args, name, folder):
    path = find_model(args, name)
    if not path.exists():
        return [(f"{name}: no model at {path}", False)]
    cpu_path, gpu_path = pathlib.Path(folder) / "cpu.engine", pathlib.Path(folder) / "gpu.engine"
    model = subprocess.run([str(args.dyno), "inspect", "model", str(path), "--json"], capture_output=True, text=True)
    feed, = json.loads(model.stdout)["inputs"] if model.returncode == 0 else ("?",)
    said = build_engine(args, path, [f"--saveEngine={cpu_path}", "--builderOptimizationLevel=0",
                                     *profile_flags(feed, MODELS[name])])
    if said is not None:
        return [(f"{name}: build for the CPU: {said}", False)]
    results, wanted = [], []
    with dyno.Engine(cpu_path, threads=2) as engine:
        described, = engine.inputs
        for shape in MODELS[name]:
            data = make_input(shape, described.dtype, feed, name)
            wanted.append((shape, data, engine.run({feed: data})))
    for kind in args.kinds:
        flags, tolerance = KINDS[kind]
        budget = []
        if name in BUDGETED and "16" in "".join(flags):
            alike = [data for _, data, _ in wanted if data.shape[1:] == wanted[0][1].shape[1:]]
            np.save(pathlib.Path(folder) / "x.npy", np.concatenate(alike))
            budget = [f"--accuracyBudget={tolerance / 2}", f"--loadInputs={feed}:{folder}/x.npy"]
        said = build_engine(args, path, [f"--saveEngine={gpu_path}", f"--device={args.device}", *flags, *budget,
                                         f"--builderOptimizationLevel={args.level}", *profile_flags(feed, MODELS[name])])
        if said is not None and "NVRTC" in said:
            print(said)
            sys.exit(77)
        if said is not None:
            results.append((f"{name} {kind}: build: {said}", False))
            continue
        with dyno.Engine(gpu_path, threads=2) as engine:
            for shape, data, want in wanted:
                got = engine.run({feed: data})
                error = max(worst(got[key], want[key]) for key in want)
                clear, others = map(sum, zip(*(other_best(got[key], want[key], tolerance) for key in want)))
                results.append((f"{name} {'x'.join(map(str, shape))} {kind}: {error:.2e}, {clear} clear rows, "
                                f"{others} with another best", error <= tolerance and others == 0))
    return results


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dyno", type=pathlib.Path, required=True)
    parser.add_argument("--models", type=pathlib.Path, required=True)
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("--threads", type=lambda t: [int(x) for x in t.split(",")], default=[1, 2])
    parser.add_argument("--level", type=int, default=0)
    parser.add_argument("--baseline", action="store_true")
    parser.add_argument("--device", help="a GPU: held against the CPU there")
    parser.add_argument("--kinds", type=lambda t: t.split(","), default=["fp32", "fp16", "tf32", "bf16"])
    parser.add_argument("names", nargs="*", default=list(MODELS))
    args = parser.parse_args()
    passed = failed = 0
    for name in args.names or list(MODELS):
        with tempfile.TemporaryDirectory() as folder:
            for text, ok in (run_on_gpu if args.device else run_model)(args, name, folder):
                print(("ok   " if ok else "FAIL ") + text, file=sys.stdout if ok else sys.stderr, flush=True)
                passed, failed = passed + ok, failed + (not ok)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
