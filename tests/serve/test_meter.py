"""Metering: a record a request, durable before its answer; what a crash and a full disk leave."""
import calendar
import concurrent.futures
import contextlib
import datetime
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import numpy as np
import tritonclient.grpc as grpcclient
from clients import wait_for
from harness import PATIENCE_S, check
from test_hostile import PREFACE, frame, literal
from tritonclient.grpc import service_pb2

BODY = {"inputs": [{"name": "x", "shape": [1, 16], "datatype": "FP32", "data": list(range(16))}]}


def usage(t, ledger, *flags):
    got = subprocess.run([t.build / "dyno", "usage", f"--ledger={ledger}", "--since=2026-01-01", "--json", *flags],
                         capture_output=True, text=True, check=True)
    return json.loads(got.stdout)


def delivered(t, ledger):
    """Without what memory was held for: of a server that has run for a while there is that, too."""
    return [r for r in usage(t, ledger) if r["kind"] == "delivered"]


def records(t, ledger):
    got = subprocess.run([t.build / "dyno", "ledger", "export", str(ledger), "--json"], capture_output=True, text=True,
                         check=True)
    return [json.loads(line) for line in got.stdout.splitlines()]


def metered(t, *flags, **how):
    ledger = t.folder / "ledger"
    return ledger, t.start(f"--ledger={ledger}", *flags, **how)


def infer(server, model="identity", body=None):
    status, _, text = server.request("POST", f"/v2/models/{model}/infer", json.dumps(body or BODY).encode())
    return status, json.loads(text)


def case_each_answer_has_its_record(t):
    ledger, server = metered(t)
    ids = set()
    for _ in range(5):
        status, answer = infer(server)
        check(status == 200, answer)
        ids.add(answer["parameters"]["record"])
    with grpcclient.InferenceServerClient(f"127.0.0.1:{server.grpc}") as client:
        tensor = grpcclient.InferInput("x", [2, 16], "FP32")
        tensor.set_data_from_numpy(np.zeros((2, 16), np.float32))
        got = client.infer("identity", [tensor]).get_response()
        ids.add(got.parameters["record"].string_param)
    check(len(ids) == 6 and all(re.fullmatch(r"1-\d+-\d+", i) for i in ids), ids)
    server.stop()
    rows = [r for r in records(t, ledger) if r["kind"] == "usage"]
    check({r["id"] for r in rows} == ids, ids, rows)
    check(sorted(r["items"] for r in rows) == [1, 1, 1, 1, 1, 2], rows)
    check({(r["tenant"], r["model"], r["variant"], r["class"]) for r in rows} ==
          {("guest", "identity", "1/fp32", "standard")}, rows[0])
    check({r["shape"] for r in rows} == {"1x16", "2x16"}, rows)
    check(all(r["device_ns"] > 0 and "uncertified" in r["flags"] and "core-ns" in r["flags"] for r in rows), rows)
    got = subprocess.run([t.build / "dyno", "ledger", "verify", str(ledger), "--json"], capture_output=True, text=True, check=True)
    told = json.loads(got.stdout)
    check(told["records"] > 6 and told["unconfirmed"] == 0, "an end in order leaves nothing open", told)
    told = delivered(t, ledger)
    check([r["requests"] for r in told] == [6], told)
    kinds = {r["kind"] for r in records(t, ledger)}
    check({"platform", "idle"} <= kinds, kinds)  # memory held: by the second


def group_sizes(ledger):
    """How many records each group has."""
    sizes = []
    for path in sorted(ledger.glob("*.ledger")):
        with contextlib.closing(sqlite3.connect(path)) as db:
            sizes += [int.from_bytes(header[20:24], "little") for header, in db.execute("SELECT header FROM record_group")]
    return sizes


def case_what_is_asked_together_is_one_group(t):
    """Requests that come in one piece: their records are committed together, and each is answered."""
    ledger, server = metered(t)
    check(infer(server)[0] == 200, "warm")
    fields = {b":method": b"POST", b":scheme": b"http", b":path": b"/inference.GRPCInferenceService/ModelInfer",
              b":authority": b"a", b"te": b"trailers", b"content-type": b"application/grpc"}
    head = b"".join(literal(name, value) for name, value in fields.items())
    tensor = grpcclient.InferInput("x", [1, 16], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 16), np.float32))
    ask = service_pb2.ModelInferRequest(model_name="identity", inputs=[tensor._get_tensor()],
                                        raw_input_contents=[bytes(64)]).SerializeToString()
    ask = b"\0" + len(ask).to_bytes(4, "big") + ask
    streams = range(1, 65, 2)
    asked = PREFACE + frame(4, 0, 0) + b"".join(frame(1, 4, i, head) + frame(0, 1, i, ask) for i in streams)
    answered, end_s = 1, time.monotonic() + PATIENCE_S
    while max(group_sizes(ledger)) < len(streams):  # a run that took long once goes to a lane
        check(time.monotonic() < end_s, group_sizes(ledger))
        answered += len(streams)
        with socket.create_connection(("127.0.0.1", server.grpc), timeout=PATIENCE_S) as sock:
            sock.sendall(asked)
            wait_for(lambda: server.metric("nv_inference_request_success", model="identity") == answered)
    server.stop()


def case_its_file_stays_locked(t):
    """Whoever opens a ledger's file with SQLite, to write even, and closes it, leaves the server its log."""
    ledger, server = metered(t)
    log, = ledger.glob("*.ledger-wal")
    before = log.stat().st_ino
    for _ in range(3):
        check(infer(server)[0] == 200)
        check(sum(group_sizes(ledger)) > 0 and log.stat().st_ino == before, "the log is another one")
    server.stop()
    check(len([r for r in records(t, ledger) if r["kind"] == "usage"]) == 3)


def case_memory_is_told_by_its_span(t):
    """A record of memory begins when the span began that it is of, and says how long that was."""
    text = lambda seconds: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    held, run_s = [], 2
    while not held:  # it is told by the second: of a server that ran too short there is nothing
        check(run_s < PATIENCE_S, "no record of memory")
        began = time.time()
        ledger, server = metered(t)
        ends = time.monotonic() + run_s
        while time.monotonic() < ends:
            check(infer(server)[0] == 200)
        held_bytes = int(server.metric("dyno_model_memory_bytes"))
        server.stop()
        held = [r for r in records(t, ledger) if r["kind"] == "residency" and text(began - 1) < r["start"]]
        run_s *= 2
    for row in held:
        begins = calendar.timegm(time.strptime(row["start"][:19], "%Y-%m-%dT%H:%M:%S"))
        check(began - 1 <= begins and begins + row["queue_ns"] / 1e9 <= time.time() + 1, row)
        check(0 < int(row["memory_byte_ns"]) <= held_bytes * (row["queue_ns"] + 10**8), row, held_bytes)


def case_batches_add_up(t):
    # With sanitizers the server is slow enough.
    head, count = ("slow", 4) if "release" in t.build.name else ("rows", 0)
    ledger, server = metered(t, "--lanes=1", models={"rows", head})
    body = {"inputs": [{"name": "x", "shape": [1, 64, 64], "datatype": "FP32", "data": [0.5] * 4096}]}
    slow = {"inputs": [{"name": "x", "shape": [512, 256], "datatype": "FP32", "data": [0.5] * 131072}]}
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        before = [pool.submit(infer, server, head, slow) for _ in range(count)]  # others wait behind, and share runs
        got = list(pool.map(lambda _: infer(server, "rows", body)[0], range(100 - count)))
        got += [job.result()[0] for job in before]
    check(got == [200] * 100, got)
    check(server.metric("dyno_account_balanced") == 1)
    check(server.metric("dyno_usage_records_total") == 100)
    wall = server.metric("dyno_account_core_seconds_total", account="wall")
    parts = sum(server.metric("dyno_account_core_seconds_total", account=a) for a in ("tenants", "platform", "idle"))
    check(abs(wall - parts) < 0.5, wall, parts)  # of four readings
    server.stop()
    rows = [r for r in records(t, ledger) if r["kind"] == "usage"]
    check(len(rows) == 100, len(rows))
    runs = {}
    for row in rows:
        runs.setdefault(row["batch_id"], []).append(row)
    check(all(len(run) == run[0]["batch_size"] for run in runs.values()), runs)
    check(any(len(run) > 1 for run in runs.values()), "no request shared a run")


def case_refused_requests_leave_nothing(t):
    ledger, server = metered(t)
    check(infer(server, body={"inputs": []})[0] == 400)
    check(infer(server, "nothing")[0] == 404)
    server.stop()
    check([r for r in records(t, ledger) if r["kind"] == "usage"] == [])


def case_killed_workers_lose_nothing(t):
    """What was answered is in the ledger once; what was not is unconfirmed, or not there."""
    ledger, server = metered(t, "--lanes=1")
    server.expected.append("worker|uncertified|models|started again")
    acknowledged, killed = set(), 0
    lock, stop = threading.Lock(), threading.Event()

    def work():
        while not stop.is_set():
            try:
                status, answer = infer(server)
            except (OSError, ValueError, http.client.HTTPException):
                continue
            if status == 200:
                with lock:
                    check(answer["parameters"]["record"] not in acknowledged, "an id twice")
                    acknowledged.add(answer["parameters"]["record"])
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(work) for _ in range(2)]
        for _ in range(7):  # each worker has answered before it falls, and the last one
            want = len(acknowledged) + 30
            wait_for(lambda: len(acknowledged) >= want or any(job.done() for job in jobs))
            if killed == 6:
                break
            os.kill(server.worker(), signal.SIGKILL)
            killed += 1
        stop.set()
        for job in jobs:
            job.result()
    server.stop()
    verified = subprocess.run([t.build / "dyno", "ledger", "verify", str(ledger)], capture_output=True, text=True,
                              check=False)
    check(verified.returncode == 0, verified.stderr)
    rows = [r["id"] for r in records(t, ledger) if r["kind"] == "usage"]
    check(len(rows) == len(set(rows)), "ids twice")
    check(acknowledged <= set(rows), "missing:", acknowledged - set(rows))
    check(len({i.split("-")[1] for i in rows}) == killed + 1, "epochs", killed, rows[-1])


def case_a_full_disk(t):
    """Nobody new is let in, the server is not ready, what ran is in the reserve; all goes on when there is space."""
    ledger = t.folder / "ledger"
    ledger.mkdir()
    inside = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
              'mount -t tmpfs -o size=24m tmpfs "$0" && exec "$@"', str(ledger))
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode != 0:
        print("skipped: no file system of one's own may be mounted here")
        return
    server = t.start(f"--ledger={ledger}", inside=inside)
    server.expected.append("uncertified|no space is left for the ledger|has space: work is admitted")
    there = pathlib.Path(f"/proc/{server.process.pid}/root{ledger}")
    check(infer(server)[0] == 200 and (there / "reserve").stat().st_size == 16 << 20)
    with contextlib.suppress(OSError), open(there / "filler", "wb", buffering=0) as file:
        while True:
            file.write(bytes(65536))
    answers = [infer(server)]
    while answers[-1][0] == 200:
        answers.append(infer(server))
        check(len(answers) < 20000, "the disk is never full")
    status, answer = answers[-1]
    check(status == 503 and "usage cannot be written down: the disk is full" in answer["error"], status, answer)
    client = grpcclient.InferenceServerClient(f"{server.host}:{server.grpc}")
    check(server.request("GET", "/v2/health/ready")[0] == 400 and not client.is_server_ready())
    check(client.is_server_live() and server.metric("dyno_ledger_admits") == 0)
    server.alive()
    (there / "filler").unlink()
    server.wait_ready(30)
    check(infer(server)[0] == 200 and client.is_server_ready() and server.metric("dyno_ledger_admits") == 1)
    look = ("nsenter", f"--target={server.process.pid}", "--user", "--preserve-credentials", "--mount", t.build / "dyno",
            "ledger")
    verified, told = (subprocess.run([*look, *how, ledger], capture_output=True, text=True, check=False)
                      for how in (("verify",), ("export", "--json")))
    check(verified.returncode == told.returncode == 0, verified.stderr, told.stderr)
    rows = [r for r in map(json.loads, told.stdout.splitlines()) if r["kind"] == "usage"]
    check(len(rows) == len(answers) - 1 + 2, len(rows), len(answers))


def case_relaxed(t):
    ledger, server = metered(t, "--durability=relaxed")
    for _ in range(20):
        status, answer = infer(server)
        check(status == 200 and "record" not in answer["parameters"], answer)
    server.stop()
    rows = [r for r in records(t, ledger) if r["kind"] == "usage"]
    check(len(rows) == 20 and all("relaxed" in r["flags"] for r in rows), rows)
    told = delivered(t, ledger)
    check([r["requests"] for r in told] == [20], told)


def case_refuses_to_start(t):
    def bad(says, *flags):
        got = subprocess.run([t.build / "dyno-serve", f"--model-repository={t.repository}", "--http-port=0",
                              "--grpc-port=-1", "--metrics-port=-1", *flags], capture_output=True, text=True,
                             timeout=PATIENCE_S, check=False)
        check(got.returncode != 0 and re.search(says, got.stderr), got)
    bad("want --ledger", "--certificates=x")
    bad("wants durable, relaxed or fleet", "--ledger=x", "--durability=maybe")
    bad("nowhere", f"--ledger={t.folder}/ledger", "--certificates=/nowhere")
    ledger, server = metered(t)
    bad("another process", f"--ledger={ledger}")
    server.stop()


def heads_verify(t, *args):
    return subprocess.run([t.build / "dyno", "ledger", "verify", *map(str, args)], capture_output=True, text=True,
                          check=False)


def case_heads_are_published(t):
    """Each head goes to a file and is read at the port; a crash leaves no gap; a rewritten ledger does not go on."""
    key, public, out = t.folder / "key.pem", t.folder / "key.pub", t.folder / "public"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True, capture_output=True)
    out.mkdir()
    flags = (f"--ledger-key={key}", f"--publish-heads={out}")
    ledger, server = metered(t, *flags)
    server.expected.append("worker|uncertified|models|started again")
    check(infer(server)[0] == 200)
    status, headers, text = server.request("GET", "/v2/ledger/heads")
    lines = text.decode().splitlines()
    check(status == 200 and len(lines) == 1 and json.loads(lines[0])["signed"], status, text)
    os.kill(server.worker(), signal.SIGKILL)
    server.wait_ready()
    check(infer(server)[0] == 200)
    kept = server.request("GET", "/v2/ledger/heads")[2]
    check(kept.decode().splitlines()[0] == lines[0] and kept.count(b"\n") == 2, kept)
    file = out / "heads-1.jsonl"
    check(file.read_bytes() == kept)
    server.stop()
    check(file.read_bytes().startswith(kept) and file.read_bytes().count(b"\n") == 3, "one as it ends")
    got = heads_verify(t, f"--heads={file}", f"--key={public}")
    check(got.returncode == 0 and "each goes on from the one before" in got.stdout, got)
    got = heads_verify(t, ledger, f"--heads={file}", f"--key={public}")
    check(got.returncode == 0 and "kept heads  3" in got.stdout, got)
    # A line that a crash tore, and one that it left out: both are mended.
    whole = file.read_bytes()
    file.write_bytes(whole[: whole.index(b"\n") + 100])
    _, server = metered(t, *flags)
    server.stop()
    check(file.read_bytes().startswith(whole), "what was missing was not appended")
    check(file.read_bytes().count(b"\n") == 5 and heads_verify(t, ledger, f"--heads={file}").returncode == 0)
    # Another ledger under the same name does not go on from these heads.
    before = file.read_bytes()
    ledger.rename(t.folder / "old")
    got = subprocess.run([t.build / "dyno-serve", f"--model-repository={t.repository}", "--http-port=0", "--grpc-port=-1",
                          "--metrics-port=-1", f"--ledger={ledger}", *flags, "--no-supervisor"], capture_output=True,
                         text=True, timeout=PATIENCE_S, check=False)
    check(got.returncode == 1 and "is of another ledger, or this one was changed since" in got.stderr, got)
    check(file.read_bytes() == before)
    check(heads_verify(t, ledger, f"--heads={file}").returncode == 1)


def checks(server):
    return {verdict: server.metric("dyno_certificate_checks_total", verdict=verdict)
            for verdict in ("stands", "suspended", "undecided", "failed")}


def certify(t, folder, name, *flags):
    """A trial, whose unoptimised execution is kept; its report."""
    folder.mkdir()
    got = subprocess.run([t.build / "dyno", "certify", t.engine(name).with_suffix(".onnx"), f"--engine={t.engine(name)}",
                          "--trial", "--threads=1", "--json", f"--out={folder}", "--keep-baseline", *flags],
                         capture_output=True, text=True, check=False)
    check(got.returncode == 0, got.stderr)
    return json.loads(got.stdout)


def samples():
    """Folders of live inputs, wherever they may lie."""
    return {f for place in ("/dev/shm", "/tmp") for f in os.listdir(place) if re.match("dyno-(sample|live)", f)}


def all_go(came):
    """None of them is left behind; another server's go by themselves."""
    wait_for(lambda: not came & samples())


def rows_of(t, ledger):
    return [r for r in records(t, ledger) if r["kind"] == "usage"]


def case_a_certificate_that_drifted_is_suspended(t):
    """Live inputs, an idle device: a certificate that promises 40 times counts for nothing new."""
    folder = t.folder / "certificates"
    report = certify(t, folder, "rows")
    made = folder / pathlib.Path(report["engine"]["file"]).name
    got = subprocess.run([t.build / "make_cert", folder, "40", "trial", f"like={made}"], capture_output=True, text=True,
                         check=True)
    promised = got.stdout.split()[0]
    made.unlink()
    before = samples()
    ledger, server = metered(t, f"--certificates={folder}", "--accept-trials", "--recheck-hours=0.0003", "--threads=1",
                             models=("rows",))
    server.expected.append("the certificate of 'rows' has drifted and is suspended")
    server.expected.append("is not used: it is suspended")
    server.expected.append("undecided|uncertified")
    body = {"inputs": [{"name": "x", "shape": [1, 64, 64], "datatype": "FP32", "data": [1.0] * 4096}]}
    check(infer(server, "rows", body)[0] == 200)
    end = time.monotonic() + 3 * PATIENCE_S
    while not checks(server)["suspended"]:
        check(time.monotonic() < end, "it was not suspended", checks(server))
        check(infer(server, "rows", body)[0] == 200)  # it is also a sample
        time.sleep(8)  # and then nobody is served
    check(infer(server, "rows", body)[0] == 200)
    check(server.metric("dyno_certificate_check_seconds_total") > 0)
    server.stop()
    all_go(samples() - before)
    rows = rows_of(t, ledger)
    check("uncertified" not in rows[0]["flags"] and "uncertified" in rows[-1]["flags"], rows)
    state = [f for f in folder.iterdir() if f.name.endswith(".state.json")]
    check(len(state) == 1 and "it drifted" in state[0].read_text(), list(folder.iterdir()), promised)


ROWS = {"inputs": [{"name": "x", "shape": [1, 64, 64], "datatype": "FP32", "data": [1.0] * 4096}]}


def seconds_of(text):
    return datetime.datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00").timestamp()


def is_certified(server):
    """Does the next request cite a certificate?"""
    before = server.metric("dyno_usage_uncertified_total")
    check(infer(server, "rows", ROWS)[0] == 200)
    return server.metric("dyno_usage_uncertified_total") == before


def case_items_of_a_run_of_ones_own(t):
    """An item is one along the first dimension, also where a model's requests share no runs."""
    t.put("identity", "identity")
    t.configure("identity", {"max_batch_size": 0})
    ledger, server = metered(t, models=())
    for rows in (1, 3):
        check(infer(server, body={"inputs": [{**BODY["inputs"][0], "shape": [rows, 16], "data": [0] * 16 * rows}]})[0] == 200)
    server.stop()
    check([(r["items"], r["shape"], r["batch_size"]) for r in records(t, ledger) if r["kind"] == "usage"] ==
          [(1, "1x16", 1), (3, "3x16", 1)])


def case_certificates_come_and_go(t):
    """What counts for new requests follows the folder while a server runs: suspended, reinstated, replaced by a newer one."""
    folder = t.folder / "certificates"
    made = folder / pathlib.Path(certify(t, folder, "rows")["engine"]["file"]).name
    ledger, server = metered(t, f"--certificates={folder}", "--accept-trials", "--threads=1", models=("rows",))
    server.expected.append("is not used: it is suspended")
    server.expected.append("uncertified")
    check(is_certified(server))
    subprocess.run([t.build / "dyno", "certify", f"--suspend={made}", "--reason=by hand"], check=True)
    wait_for(lambda: not is_certified(server))
    subprocess.run([t.build / "dyno", "certify", f"--reinstate={made}"], check=True)
    server.process.send_signal(signal.SIGHUP)  # at once
    wait_for(lambda: is_certified(server))
    newer = subprocess.run([t.build / "make_cert", folder, "2", "trial", f"like={made}", "ends_in=86400"],
                           capture_output=True, text=True, check=True).stdout.strip()
    check(pathlib.Path(newer).exists())

    def cited():
        check(infer(server, "rows", ROWS)[0] == 200)
        return rows_of(t, ledger)[-1]["engine_certificate"]
    wait_for(lambda: pathlib.Path(newer).name.startswith(cited()))
    server.stop()
    check({r["engine_certificate"] for r in rows_of(t, ledger)} ==
          {"", made.name.split(".")[0], pathlib.Path(newer).name.split(".")[0]}, rows_of(t, ledger))


def case_a_term_ends(t):
    """No record of a request that came after the end of a certificate's term cites it."""
    folder = t.folder / "certificates"
    made = folder / pathlib.Path(certify(t, folder, "rows")["engine"]["file"]).name
    short = subprocess.run([t.build / "make_cert", folder, "4", "trial", f"like={made}", "ends_in=25"], capture_output=True,
                           text=True, check=True).stdout.strip()
    ends_s = seconds_of(json.loads(pathlib.Path(short).read_text())["issued"]) + 86400
    made.unlink()
    ledger, server = metered(t, f"--certificates={folder}", "--accept-trials", "--threads=1", models=("rows",))
    server.expected.append("is not used: the certificate stands from")
    server.expected.append("uncertified")
    if time.time() < ends_s - 10:  # else this machine is too slow to tell
        check(is_certified(server))
    while time.time() < ends_s + 1:
        check(infer(server, "rows", ROWS)[0] == 200)
        time.sleep(0.1)
    check(not is_certified(server))
    server.stop()
    for row in rows_of(t, ledger):
        check(seconds_of(row["start"]) < ends_s or row["engine_certificate"] == "", row, ends_s)


def case_a_look_ends_with_the_server(t):
    """A certificate is looked at: the server still ends at once, and nobody is judged."""
    folder = t.folder / "certificates"
    certify(t, folder, "slow")  # a look takes seconds
    before = samples()
    _, server = metered(t, f"--certificates={folder}", "--accept-trials", "--recheck-hours=0.0003", "--threads=1",
                        models=("slow",))
    server.expected.append("uncertified")
    body = {"inputs": [{"name": "x", "shape": [512, 256], "datatype": "FP32", "data": [1.0] * 131072}]}
    for _ in range(100):  # until one comes when the look is due and wants a sample
        check(infer(server, "slow", body)[0] == 200)
        end = time.monotonic() + 7
        while not samples() - before and time.monotonic() < end:
            time.sleep(0.01)
        if samples() - before:
            break
    check(samples() - before, "nobody looks")
    server.stop()
    all_go(samples() - before)
    check(not [f for f in folder.iterdir() if f.name.endswith(".state.json")], "it was judged")


def case_cold_starts_are_the_tenants(t):
    """An engine that a request waited for is a record of its tenant; what nobody waited for is the platform's."""
    for name in ("wanted", "named"):
        t.put(name, "identity")
    ledger, server = metered(t, "--model-control-mode=demand", "--load-model=named", models=())
    server.expected.append("uncertified")
    for name in ("wanted", "wanted", "named"):
        check(infer(server, name)[0] == 200)
    server.stop()
    rows = [r for r in records(t, ledger) if r["kind"] == "platform"]
    cold = [r for r in rows if r["tenant"]]
    check(len(cold) == 1 and cold[0]["model"] == "wanted" and cold[0]["tenant"] == "guest", rows)
    check(cold[0]["device_ns"] > 0 and "core-ns" in cold[0]["flags"], cold)
    rest = sum(r["device_ns"] for r in rows if not r["tenant"])
    check(rest > 0, "nobody waited for the other one", rows)
    told = usage(t, ledger)
    text = json.dumps(told)
    check("cold-start" in text or "cold_start" in text, text)
