#!/usr/bin/env python3
"""How long an engine takes to load, and what a loaded model holds in memory, beside ONNX Runtime.

    bench_load.py [--threads N] [--opens N] [--processes N] [NAME ...]

Loading is dyno_engine_open and dyno_context_create on a file in the page cache; for ONNX Runtime,
the making of a session from the model.  "again" is the median of many loads in one process, each closed
before the next; "first" is the median over fresh processes of the first load of each.  "peak" is the most
memory (resident, file pages that are mapped too) that a process held which loads once and runs once.
"""
import argparse
import ctypes
import json
import os
import pathlib
import subprocess
import sys
import time

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(TREE / "python"), str(TREE / "bench/cpu")]

import bench_cpu  # noqa: E402

DEFAULT = ["ResNet-50", "MobileNetV2", "BERT-base s128"]


# --- the workers: one process a figure ---

def load_dyno(args):
    """One load: milliseconds of open, of the context, of both closed again."""
    from dyno._library import Err, check, library
    lib, err = library(), Err()
    pool, engine, context = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    check(lib.dyno_threads_create(args.threads, 0, ctypes.byref(pool), ctypes.byref(err)), err)
    path = os.fsencode(args.engine)
    start = time.perf_counter()
    check(lib.dyno_engine_open(path, ctypes.byref(engine), ctypes.byref(err)), err)
    opened = time.perf_counter()
    check(lib.dyno_context_create(engine, pool, ctypes.byref(context), ctypes.byref(err)), err)
    ready = time.perf_counter()
    lib.dyno_context_destroy(context)
    lib.dyno_engine_close(engine)
    closed = time.perf_counter()
    lib.dyno_threads_destroy(pool)
    return [1e3 * (opened - start), 1e3 * (ready - opened), 1e3 * (closed - ready)]


def load_ort(args):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.log_severity_level = 4
    start = time.perf_counter()
    session = ort.InferenceSession(args.model, options, providers=["CPUExecutionProvider"])
    ready = time.perf_counter()
    del session
    return [1e3 * (ready - start), 0.0, 1e3 * (time.perf_counter() - ready)]


def worker(args):
    """Print the times of `opens` loads; or, for none, the peak of one load and one run."""
    with open(args.engine if args.peer == "dyno" else args.model, "rb") as file:
        while file.read(1 << 24):  # into the page cache
            pass
    if args.opens:
        load = load_dyno if args.peer == "dyno" else load_ort
        print(json.dumps([load(args) for _ in range(args.opens)]))
    else:
        bench_cpu.PEERS[args.peer](args)()
        print(json.dumps(bench_cpu.peak_kib() / 1024))


def ask(args, peer, model, engine, shape, opens):
    command = [sys.executable, __file__, "--worker", peer, "--model", str(model), "--engine", str(engine),
               "--shape", "x".join(map(str, shape)), "--threads", str(args.threads), "--opens", str(opens)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


# --- the comparison ---

def median(values):
    return sorted(values)[len(values) // 2]


def run_case(args, title):
    name, shape, _ = bench_cpu.CASES[title]
    model = bench_cpu.find_model(args, name)
    engine, report = bench_cpu.build(args, model, shape, args.threads, False)
    row = {"title": title, "threads": args.threads, "model_mib": model.stat().st_size / 2**20,
           "engine_mib": engine.stat().st_size / 2**20}
    for peer in ("dyno", "onnxruntime"):
        opens = args.opens if peer == "dyno" else max(3, args.opens // 10)
        loads = ask(args, peer, model, engine, shape, opens)
        firsts = [ask(args, peer, model, engine, shape, 1)[0] for _ in range(args.processes)]
        row[peer] = {
            "again_ms": median([open_ms + context_ms for open_ms, context_ms, _ in loads[1:] or loads]),
            "open_ms": median([load[0] for load in loads]), "context_ms": median([load[1] for load in loads]),
            "close_ms": median([load[2] for load in loads]),
            "first_ms": median([open_ms + context_ms for open_ms, context_ms, _ in firsts]),
            "peak_mib": ask(args, peer, model, engine, shape, 0)}
    return row


def show(rows):
    print("| model | model MiB | engine MiB | load ms: first | again | open + context | close | ONNX Runtime ms: first | again "
          "| peak MiB | ONNX Runtime's |\n|" + "---|" * 11)
    for row in rows:
        ours, theirs = row["dyno"], row["onnxruntime"]
        print(f"| {row['title']} | {row['model_mib']:.0f} | {row['engine_mib']:.0f} | {ours['first_ms']:.1f} | "
              f"{ours['again_ms']:.1f} | {ours['open_ms']:.1f} + {ours['context_ms']:.2f} | {ours['close_ms']:.1f} | "
              f"{theirs['first_ms']:.0f} | {theirs['again_ms']:.0f} | {ours['peak_mib']:.0f} | {theirs['peak_mib']:.0f} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--worker", dest="peer")
    parser.add_argument("--model")
    parser.add_argument("--engine")
    parser.add_argument("--shape", type=lambda t: tuple(map(int, t.split("x"))))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dyno", type=pathlib.Path, default=TREE / "build/release/dyno")
    parser.add_argument("--models", type=pathlib.Path, default=TREE / "models")
    parser.add_argument("--cache", type=pathlib.Path, default=TREE / "build/models")
    parser.add_argument("--level", type=int, default=3)
    parser.add_argument("--opens", type=int, default=100)
    parser.add_argument("--processes", type=int, default=11)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    if args.peer:
        worker(args)
        return
    print(f"{bench_cpu.processor()}, {args.threads} thread(s)", flush=True)
    rows = [run_case(args, title) for title in args.names or DEFAULT]
    if args.json:
        args.json.write_text(json.dumps({"processor": bench_cpu.processor(), "rows": rows}, indent=1))
    show(rows)


if __name__ == "__main__":
    main()
