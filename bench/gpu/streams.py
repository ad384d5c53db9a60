#!/usr/bin/env python3
"""Live streams a card: how many can be served so that 99 of 100 windows are answered in time.

    DYNO=... [STREAMS=...] streams.py ENGINE [--seconds S] [--window SAMPLES] [--step SAMPLES] [--period-ms P]

Each stream sends one second of sound a second, and asks for the last ten (streams.c, which has a connection
for each).  `dyno serve` answers, and puts together what comes at the same time.  The most streams whose p99,
from the last sample to the answer, is at most 100 ms are searched for: up or down by steps, then between.
"""
import argparse
import contextlib
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
LIMIT_MS, STEP_UP, ENOUGH = 100.0, 1.3, 1.06
SEND_LATE_MS = 5.0  # a client that is later than this measures itself


def client():
    """The program that plays the streams: STREAMS, or compiled here."""
    if "STREAMS" in os.environ:
        return os.environ["STREAMS"]
    program = pathlib.Path(tempfile.gettempdir()) / "dyno-bench-gpu" / "streams"
    program.parent.mkdir(exist_ok=True)
    subprocess.run(["cc", "-O2", "-o", program, HERE / "streams.c", "-lpthread"], check=True)
    return str(program)


@contextlib.contextmanager
def served(engine, *flags):
    """`dyno serve` with that engine as model `m`; its ports."""
    with tempfile.TemporaryDirectory(prefix="dyno-streams-") as name:
        folder = pathlib.Path(name) / "m/1"
        folder.mkdir(parents=True)
        shutil.copy(engine, folder / "e.engine")
        log = open(pathlib.Path(name) / "log", "w+b")
        server = subprocess.Popen(
            [os.environ["DYNO"], "serve", f"--model-repository={name}", "--http-port=0", "--grpc-port=-1",
             "--metrics-port=0", "--json", "--drain-secs=0", "--device=cuda:0", "--no-builds",
             "--max-queue-size=65536", "--max-in-flight=16384", "--listen-when-ready", *flags],
            stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            line = server.stdout.readline()
            if not line:
                log.seek(0)
                raise RuntimeError(log.read().decode(errors="replace")[-300:])
            ports = json.loads(line)
            end = time.monotonic() + 60
            while not is_ready(ports["http"]):
                if time.monotonic() > end or server.poll() is not None:
                    log.seek(0)
                    raise RuntimeError("the model is not served: " + log.read().decode(errors="replace")[-300:])
                time.sleep(0.05)
            yield ports
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
            log.close()


def is_ready(port):
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/m/ready", timeout=5).status == 200
    except (urllib.error.URLError, OSError):
        return False


def counts(ports):
    """Windows and runs so far."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{ports['metrics']}/metrics", timeout=5).read().decode()
    total = {"nv_inference_count{": 0.0, "nv_inference_exec_count{": 0.0}
    for line in text.splitlines():
        for name in total:
            if line.startswith(name):
                total[name] += float(line.split()[-1])
    return total.values()


def fits_in_shm(args, streams):
    need = streams * (args.window + 6 * args.step) * 4
    try:
        room = os.statvfs("/dev/shm")
    except OSError:
        return False
    return need < 0.8 * room.f_bavail * room.f_frsize


def play(program, ports, streams, args):
    way = args.way or ("shm" if fits_in_shm(args, streams) else "http")
    rows, runs = counts(ports)
    command = [program, ports["http"], "m", args.input, streams, args.threads, args.window, args.step, args.period_ms,
               args.warm_up, args.seconds, args.arrivals, way]
    got = subprocess.run([str(word) for word in command],
                         capture_output=True, text=True, timeout=60 + 2 * args.seconds, check=False)
    if got.returncode != 0:
        raise RuntimeError(got.stderr.strip()[-300:])
    after_rows, after_runs = counts(ports)
    row = {**json.loads(got.stdout), "way": way, "rows_a_run": (after_rows - rows) / max(after_runs - runs, 1)}
    if row["send_p99_ms"] > SEND_LATE_MS:
        row["client_is_late"] = True
    row["in_time"] = 0 <= row["p99_ms"] <= LIMIT_MS
    print(f"  {streams} streams: p50 {row['p50_ms']} ms, p99 {row['p99_ms']} ms, {row['answered']} of {row['asked']} answered, "
          f"{row['rows_a_run']:.1f} windows a run, by {way}", file=sys.stderr, flush=True)
    return row


def search(measure, guess, least=1):
    """The most for which `measure` says in_time, to ENOUGH; 0: not even `least`.  All that was measured."""
    good, bad, tried, at = 0, math.inf, [], max(least, int(guess))
    while bad == math.inf or (good == 0 and bad > least) or (good and bad / good > ENOUGH and bad - good > 1):
        row = measure(at)
        tried.append(row)
        if row["in_time"]:
            good = max(good, at)
        else:
            bad = min(bad, at)
        if bad == math.inf:
            at = math.ceil(good * STEP_UP)
        elif good == 0:
            at = max(least, int(bad / STEP_UP))
        else:
            at = int(math.sqrt(good * bad))
            at = at if good < at < bad else good + 1
    return good, tried


def most_streams(engine, args, guess):
    """The row: streams, what was measured for them, all tries."""
    program = client()
    with served(engine, *([] if args.way == "http" else ["--allow-client-shm"])) as ports:
        found, tried = search(lambda n: play(program, ports, n, args), guess)
    best = next((row for row in tried if row["streams"] == found), {})
    return {"streams": found, **{k: best.get(k) for k in ("p50_ms", "p99_ms", "rows_a_run", "send_p99_ms", "way")},
            "limit_ms": LIMIT_MS, "arrivals": args.arrivals, "tried": tried,
            "right": not any(row.get("client_is_late") and not row["in_time"] for row in tried)}


def options(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine")
    parser.add_argument("--input", default="input")
    parser.add_argument("--guess", type=float, default=64, help="streams to begin with")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--warm-up", type=float, default=3)
    parser.add_argument("--window", type=int, default=160000)
    parser.add_argument("--step", type=int, default=16000)
    parser.add_argument("--period-ms", type=float, default=1000)
    parser.add_argument("--threads", type=int, default=2, help="of the client")
    parser.add_argument("--arrivals", choices=("even", "random"), default="random")
    parser.add_argument("--way", choices=("shm", "http"), help="shm where /dev/shm has room")
    return parser.parse_args(argv)


if __name__ == "__main__":
    OPTIONS = options()
    print(json.dumps(most_streams(OPTIONS.engine, OPTIONS, OPTIONS.guess), indent=1))
