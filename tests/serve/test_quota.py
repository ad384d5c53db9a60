"""Budgets: reserved before a run, posted with its record, the same after whatever was killed."""
import concurrent.futures
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import grpc
import numpy as np
from harness import PATIENCE_S, check
from test_gate import BODY, INFER, add, bearer, comes_true, request_of, stub_of
from test_meter import records

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import postgres  # noqa: E402

HOUR_NS = 3_600_000_000_000
BOOK = {"tariffs": [{"name": "flat", "version": 1, "currency": "USD", "kind": "flat-epu", "epu_hour": "1.7",
                     "classes": {"batch": "0.3"}, "device_cores": 2}],
        "grants": [{"tariff": "flat"}]}


def quota(t, *args):
    """dyno quota, its report."""
    got = subprocess.run([t.build / "dyno", "quota", *args, f"--control-db={t.folder}/c.db", "--json"],
                         capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    check(got.returncode == 0, args, got.stderr)
    return json.loads(got.stdout)


def used_ns(t, tenant="acme", idx=0):
    return int(quota(t, "show", tenant)[idx]["used_reference_ns"])


def usage(t, ledger="ledger"):
    """What the ledger says was delivered: (requests, reference-ns)."""
    got = subprocess.run([t.build / "dyno", "usage", f"--ledger={t.folder}/{ledger}", "--since=2026-01-01", "--json",
                          f"--certificates={t.folder}"],
                         capture_output=True, text=True, check=True)
    rows = [r for r in json.loads(got.stdout) if r["kind"] == "delivered"]
    return sum(r["requests"] for r in rows), sum(int(r["reference_ns"]) for r in rows)


def check_spent(t, limit_ns):
    """Not more than the budget had, but for what a few requests ran longer than was predicted (on a busy machine that is
    as much as all others); and most of it."""
    ns = sorted(r["reference_ns"] for i in (1, 2) for r in records(t, t.folder / f"ledger{i}") if r["kind"] == "usage")
    check(sum(ns[:-8]) < limit_ns and sum(ns) > limit_ns * 0.5, sum(ns), sum(ns[:-8]), limit_ns)


def start(t, *flags, **how):
    return t.start("--control-db=c.db", f"--ledger={t.folder}/ledger", *flags, **how)


def infer(server, key, body=BODY, path=INFER):
    status, head, text = server.request("POST", path, body, bearer(key))
    return status, head, json.loads(text)


def all_have_left(t, ledger="ledger"):
    """That every answer of the last start has left is in the ledger, too: who dies now leaves nothing open."""
    def are_settled():
        rows = [(int(r["id"].split("-")[1]), r) for r in records(t, t.folder / ledger) if r["kind"] == "usage"]
        last = max(epoch for epoch, _ in rows)
        return all(r["state"] in ("sent", "voided") for epoch, r in rows if epoch == last)
    comes_true("that all have left", are_settled)


def tell(server):
    """Everything that was used is in the control database: ends the server."""
    server.stop()


def case_used_up_and_refused(t):
    """Until it is used up; then 429 with what is left and when it is full again."""
    key = add(t, "acme")
    quota(t, "set", "acme", "--epu-hours=0.000001", "--period=month")  # 3.6 ms
    server = start(t)
    answers = [infer(server, key) for _ in range(40)]
    while answers[-1][0] == 200:
        answers.append(infer(server, key))
        check(len(answers) < 20000, "never used up")
    status, head, answer = answers[-1]
    check(status == 429, answer)
    said = re.fullmatch(r"tenant 'acme' has used up its budget of 0\.000001 EPU-hours a month: ([\d.]+) left(?:, and "
                        r"this request takes ([\d.]+))?; again at 20\d\d-\d\d-01T00:00:00Z", answer["error"])
    check(said and (float(said[1]) < float(said[2]) if said[2] else said[1] == "0"), answer)
    check(60 <= int(head["retry-after"]) <= 31 * 86400 or int(head["retry-after"]) >= 1, head)
    check(re.fullmatch(r'"budget-1";q=1;qu="micro-epu-hours";w=\d+', head["ratelimit-policy"]), head)
    check(re.fullmatch(rf'"budget-1";r=\d+;t={head["retry-after"]}', head["ratelimit"]), head)
    try:
        stub_of(server).ModelInfer(request_of(), metadata=[("authorization", f"Bearer {key}")])
        check(False, "gRPC is let by")
    except grpc.RpcError as error:
        check(error.code().name == "RESOURCE_EXHAUSTED" and "used up its budget" in error.details(), error)
        trailers = dict(error.trailing_metadata())
        check(trailers["ratelimit-policy"] == head["ratelimit-policy"] and "ratelimit" in trailers and
              int(trailers["retry-after"]) > 0, trailers)
    good = sum(a[0] == 200 for a in answers)
    server.expected = ["^warn: tenant 'acme' has used (80|100) % of its budget 1: "]
    server.stop()
    requests, reference_ns = usage(t)
    check(requests == good and used_ns(t) == reference_ns, requests, good, used_ns(t), reference_ns)
    row, = quota(t, "show", "acme")
    check(float(row["reserved"]) == 0 and float(row["leased"]) == 0, row)


def case_what_is_not_delivered_costs_nothing(t):
    key = add(t, "acme")
    quota(t, "set", "acme", "--epu-hours=1", "--period=day")
    server = start(t)
    check(infer(server, key, b'{"inputs": []}')[0] == 400)
    check(infer(server, key, path="/v2/models/nothing/infer")[0] == 404)
    server.stop()
    check(used_ns(t) == 0, quota(t, "show", "acme"))


def case_nothing_is_loaded_for_nothing(t):
    """Who has nothing left makes no server load an engine."""
    key = add(t, "acme", "--rights=infer,read,control")
    quota(t, "set", "acme", "--epu-hours=0", "--period=none")
    server = start(t, "--model-control-mode=demand")
    status, _, answer = infer(server, key)
    check(status == 429 and answer["error"] == "tenant 'acme' has used up its prepaid 0 EPU-hours: 0 left; again when "
          "it is topped up", answer)
    time.sleep(0.5)
    index = json.loads(server.request("POST", "/v2/repository/index", b"{}", bearer(key))[2])
    check([m.get("state") != "READY" for m in index] == [True], index)
    quota(t, "topup", "acme", "--epu-hours=1")
    comes_true("served", lambda: infer(server, key)[0] == 200)
    index = json.loads(server.request("POST", "/v2/repository/index", b"{}", bearer(key))[2])
    check([m.get("state") for m in index] == ["READY"], index)
    server.expected = ["has used (80|100) % of its budget"]
    server.stop()


def case_scopes(t):
    """Of a model, of a class, of every tenant: all that apply are taken from, or none."""
    key, other = add(t, "acme", "--class=realtime"), add(t, "other")
    quota(t, "set", "acme", "--epu-hours=0", "--period=none", "--model=two_rows")
    quota(t, "set", "acme", "--epu-hours=0", "--period=day", "--class=batch")
    quota(t, "set", "acme", "--epu-hours=1", "--period=day")
    quota(t, "set", "--every", "--epu-hours=0", "--period=month", "--soft")
    quota(t, "set", "--every", "--epu-hours=0", "--period=day")
    server = start(t, models=("identity", "two_rows"))
    server.expected = ["^warn: tenant '(acme|other)' has used "]
    check(infer(server, key)[0] == 200)
    rows = json.dumps({"inputs": [{"name": "x", "shape": [1, 64, 64], "datatype": "FP32", "data": [0.5] * 4096}]})
    status, head, answer = infer(server, key, rows, "/v2/models/two_rows/infer")
    check(status == 429 and re.fullmatch(r"tenant 'acme' has used up its prepaid 0 EPU-hours for model 'two_rows': 0 left, "
                                         r"and this request takes 0\.\d+; again when it is topped up", answer["error"]),
          answer)
    check(";w=" not in head["ratelimit-policy"] and ";t=" not in head["ratelimit"], head)
    status, _, answer = infer(server, key, json.dumps({**json.loads(BODY), "parameters": {"sla": "batch"}}))
    check(status == 429 and "a day for class 'batch'" in answer["error"], answer)
    status, _, answer = infer(server, other)  # acme's own stands before that of every tenant
    check(status == 429 and "tenant 'other' has used up its budget of 0 EPU-hours a day: " in answer["error"], answer)
    # In force while the server runs.
    quota(t, "set", "--every", "--epu-hours=1", "--period=day")
    comes_true("the new amount", lambda: infer(server, other)[0] == 200)
    quota(t, "topup", "acme", "--epu-hours=1", "--model=two_rows")
    comes_true("the topped up", lambda: infer(server, key, rows, "/v2/models/two_rows/infer")[0] == 200)
    budget = next(b for b in quota(t, "show", "acme") if b["class"] == "batch")
    quota(t, "remove", "acme", f"--id={budget['id']}")
    batch = json.dumps({**json.loads(BODY), "parameters": {"sla": "batch"}})
    comes_true("the removal", lambda: infer(server, key, batch)[0] == 200)
    server.stop()
    check([b["of_every_tenant"] for b in quota(t, "show", "acme")] == [False, False, True], quota(t, "show", "acme"))


def load(server, key, seconds, kill_at=None):
    """Requests of eight threads; how many were answered with which status."""
    counts, end = {}, time.monotonic() + seconds

    def work(_):
        while time.monotonic() < end:
            try:
                status = infer(server, key)[0]
            except OSError:
                status = 0
            counts[status] = counts.get(status, 0) + 1
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(work, i) for i in range(8)]
        if kill_at is not None:
            time.sleep(kill_at)
            os.kill(server.worker(), signal.SIGKILL)
        for job in jobs:
            job.result()
    return counts


def case_killed_and_the_same(t):
    """What was used is what the ledger says, to the unit, whenever the worker falls; and again."""
    key = add(t, "acme")
    quota(t, "set", "acme", "--epu-hours=10", "--period=month")
    quota(t, "set", "acme", "--epu-hours=10", "--period=none", "--model=identity")
    server = start(t)
    server.expected.append("worker|uncertified|models|started again")
    for i in range(5):
        load(server, key, 0.8, kill_at=0.2 + 0.13 * i)
        server.wait_ready()
        comes_true("it is told", lambda: used_ns(t) == usage(t)[1])
    check(used_ns(t) > 0 and used_ns(t) == used_ns(t, idx=1), quota(t, "show", "acme"))
    check(infer(server, key)[0] == 200)  # of the start before nobody knows any more what has left
    all_have_left(t)
    comes_true("it is told", lambda: used_ns(t) == usage(t)[1])
    before = used_ns(t)
    os.kill(server.worker(), signal.SIGKILL)  # with nothing on its way: the same as before
    server.wait_ready()
    time.sleep(2.5)
    check(used_ns(t) == before == usage(t)[1], used_ns(t), before, usage(t))
    server.stop()
    check(used_ns(t) == before == usage(t)[1], used_ns(t), before, usage(t))


def case_from_an_old_copy(t):
    """A control database out of a backup: the ledger has what it lacks."""
    key = add(t, "acme")
    quota(t, "set", "acme", "--epu-hours=10", "--period=month")
    with sqlite3.connect(f"{t.folder}/c.db") as now, sqlite3.connect(f"{t.folder}/copy.db") as copy:
        now.backup(copy)
    server = start(t)
    for _ in range(30):
        check(infer(server, key)[0] == 200)
    server.stop()
    used = used_ns(t)
    check(used == usage(t)[1] > 0, used)
    for end in ("", "-wal", "-shm"):
        (t.folder / f"c.db{end}").unlink(missing_ok=True)
    (t.folder / "copy.db").rename(t.folder / "c.db")
    check(used_ns(t) == 0)
    start(t).stop()
    check(used_ns(t) == used, used_ns(t), used)


def case_two_servers_share(t):
    """Two servers spend one budget: together never more than it has."""
    key = add(t, "acme")
    limit_ns = HOUR_NS * 4 // 1_000_000
    quota(t, "set", "acme", "--epu-hours=0.000004", "--period=day")
    servers = [t.start("--control-db=c.db", f"--ledger={t.folder}/ledger{i}", f"--node={i}") for i in (1, 2)]
    for server in servers:
        server.expected = ["^warn: tenant 'acme' has used "]
    stop, counts = threading.Event(), [[0, 0], [0, 0]]

    def work(i):
        while not stop.is_set():
            status = infer(servers[i], key)[0]
            check(status in (200, 429), status)
            counts[i][status == 429] += 1
            if status == 429:
                time.sleep(0.02)
    check([infer(server, key)[0] for server in servers] == [200, 200])  # both have something of it
    threads = [threading.Thread(target=work, args=(i,)) for i in (0, 1) for _ in range(2)]
    for thread in threads:
        thread.start()
    comes_true("both refuse", lambda: min(c[1] for c in counts) > 50)
    stop.set()
    for thread in threads:
        thread.join()
    for server in servers:
        server.stop()
    spent = sum(usage(t, f"ledger{i}")[1] for i in (1, 2))
    row, = quota(t, "show", "acme")
    check(int(row["used_reference_ns"]) == spent, row, spent)
    check_spent(t, limit_ns)


def case_a_dead_servers_part_comes_back(t):
    """Killed with its slice: nobody has that until it has read its ledger, and then all have."""
    key = add(t, "acme")
    quota(t, "set", "acme", "--epu-hours=1", "--period=none")
    server = start(t, "--no-supervisor")
    check(infer(server, key)[0] == 200)
    comes_true("a slice", lambda: float(quota(t, "show", "acme")[0]["leased"]) > 0.3)
    server.kill()
    server.is_over = True
    check(float(quota(t, "show", "acme")[0]["leased"]) > 0.3, quota(t, "show", "acme"))
    server = start(t)
    check(infer(server, key)[0] == 200)
    server.stop()
    row, = quota(t, "show", "acme")
    check(float(row["leased"]) == 0 and int(row["used_reference_ns"]) == usage(t)[1], row)


def case_a_fleet_shares(t):
    """Two nodes, each with a copy of the control database, lease from PostgreSQL; and without it for a while."""
    key = add(t, "acme")
    quota(t, "set", "acme", "--epu-hours=0.000004", "--period=day")
    shutil.copy(t.folder / "c.db", t.folder / "c2.db")
    with postgres.cluster() as pg:
        def report():
            got = subprocess.run([t.build / "dyno", "quota", "show", "acme", f"--control-db={t.folder}/c.db", "--json",
                                  f"--budget-db={pg.conninfo()}"], capture_output=True, text=True, check=True,
                                 env={**os.environ, **pg.env()})
            return json.loads(got.stdout)[0]
        servers = [t.start(f"--control-db={db}", f"--ledger={t.folder}/ledger{i}", f"--node={i}",
                           f"--budget-db={pg.conninfo()}", env=pg.env()) for i, db in ((1, "c.db"), (2, "c2.db"))]
        for server in servers:
            server.expected = ["^warn: tenant 'acme' has used ", "^warn: budgets of the fleet: .*budgets are spent as far"]
        comes_true("slices", lambda: float(report()["leased"]) > 0)
        pg.stop()
        check([infer(server, key)[0] for server in servers] == [200, 200])
        time.sleep(1)
        check([infer(server, key)[0] for server in servers] == [200, 200])
        pg.start()
        comes_true("told", lambda: int(report()["used_reference_ns"]) ==
                   sum(usage(t, f"ledger{i}")[1] for i in (1, 2)) > 0)
        ends, answers = time.monotonic() + PATIENCE_S, [[], []]
        while min(a[-20:].count(429) for a in answers) < 20:
            check(time.monotonic() < ends, "never used up", [a[-5:] for a in answers])
            for i in (0, 1):
                answers[i].append(infer(servers[i], key)[0])
        for server in servers:
            server.stop()
        row = report()
        spent = sum(usage(t, f"ledger{i}")[1] for i in (1, 2))
        check(int(row["used_reference_ns"]) == spent and float(row["leased"]) == 0, row, spent)
        check_spent(t, HOUR_NS * 4 // 1_000_000)


def case_one_number_two_servers(t):
    """The node number of another server: the one that was there first says so, and spends what it had leased."""
    key = add(t, "acme")
    quota(t, "set", "acme", "--epu-hours=1", "--period=none")
    servers = [t.start("--control-db=c.db", f"--ledger={t.folder}/ledger1")]
    time.sleep(1.1)  # epochs are of seconds
    servers.append(t.start("--control-db=c.db", f"--ledger={t.folder}/ledger2"))
    servers[0].expected = ["^warn: node 1 leases budgets for another server, too: each wants a --node of its own: "]
    check([infer(server, key)[0] for server in servers] == [200, 200])
    comes_true("it is said", lambda: servers[0].log.read_text() != "")
    check(infer(servers[0], key)[0] == 200)
    servers[0].expected.append("each wants a --node of its own: the next start reads")
    for server in servers:
        server.stop()


def case_reconciled_by_hand(t):
    """A server that does not come back: its ledger is counted, its slice is free."""
    key = add(t, "acme")
    quota(t, "set", "acme", "--epu-hours=1", "--period=none")
    server = start(t, "--no-supervisor")
    for _ in range(20):
        check(infer(server, key)[0] == 200)
    comes_true("a slice", lambda: float(quota(t, "show", "acme")[0]["leased"]) > 0.3)
    all_have_left(t)

    def reconcile(*args):
        return subprocess.run([t.build / "dyno", "quota", "reconcile", f"--control-db={t.folder}/c.db", *args],
                              capture_output=True, text=True, check=False)
    ledger = f"--ledger={t.folder}/ledger"
    got = reconcile(ledger, "--node=1")
    check(got.returncode != 0 and "another process" in got.stderr, got)
    server.kill()
    server.is_over = True
    check(float(quota(t, "show", "acme")[0]["leased"]) > 0.3)
    for args, says in (((ledger, "--node=2"), "node"), ((f"--ledger={t.folder}/none", "--node=1"), "none"),
                       ((ledger,), "wants --ledger=DIR and --node=N")):
        got = reconcile(*args)
        check(got.returncode != 0 and says in got.stderr and got.stderr.count("\n") == 1, args, got)
    check(not (t.folder / "none").exists())
    for _ in range(2):
        got = reconcile(ledger, "--node=1")
        check(got.returncode == 0 and got.stdout == "node 1: its ledger is counted, and it leases nothing\n", got)
        row, = quota(t, "show", "acme")
        check(float(row["leased"]) == 0 and int(row["used_reference_ns"]) == usage(t)[1] > 0, row, usage(t))
    check(usage(t)[0] == 20, usage(t))


def case_database_locked_or_gone(t):
    """What was leased can be spent; what was used is told when the database is there again."""
    key = add(t, "acme")
    quota(t, "set", "acme", "--epu-hours=1", "--period=month")
    server = start(t)
    server.expected = ["locked by another process: (budgets are spent|what tenants use)"]
    check(infer(server, key)[0] == 200)
    lock = sqlite3.connect(f"{t.folder}/c.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    for _ in range(10):
        check(infer(server, key)[0] == 200)
        time.sleep(0.3)
    lock.execute("ROLLBACK")
    lock.close()
    comes_true("told", lambda: used_ns(t) == usage(t)[1])
    server.stop()
    check(used_ns(t) == usage(t)[1] and usage(t)[0] == 11)


def case_alerts(t):
    """A line once a budget, period and threshold, also over a restart; metrics; a list."""
    key = add(t, "acme", "--rights=infer,metrics")
    quota(t, "set", "acme", "--epu-hours=0.000001", "--period=month", "--soft", "--alerts=10,50,100,900")
    server = start(t)
    server.expected = ["^warn: tenant 'acme' has used (10|50|100|900) % of its budget 1: \\S+ of 0.000001 EPU-hours a month$"]

    def lines(what):
        return sum(what in line for line in server.log.read_text().splitlines())

    def metric(name, labels=""):
        text = server.request("GET", "/metrics", headers=bearer(key), port=server.metrics)[2].decode()
        return float(re.search(rf"^{name}{re.escape(labels)} (\S+)$", text, re.M)[1])
    labels = '{tenant="acme",model="",class="",unit="epu-hours",period="month"}'
    while metric("dyno_budget_used", labels) < 0.0000011:
        check(infer(server, key)[0] == 200)
    comes_true("lines", lambda: lines("100 %") == 1)
    check(lines("10 %") == lines("50 %") == 1, server.log.read_text())
    check(metric("dyno_budget_alerts_total") >= 3)
    check(metric("dyno_budget_limit", labels) == 0.000001)
    check(metric("dyno_budget_left", labels) == metric("dyno_budget_reserved", labels) == 0)
    server.stop()
    check(len(quota(t, "list", "--over=100")) == 1 and quota(t, "list", "--over=1000") == [], quota(t, "list"))
    server = start(t)
    server.expected = ["has used 900 %"]
    check(infer(server, key)[0] == 200)
    time.sleep(2.5)
    server.stop()


def case_refuses_to_start(t):
    """A budget that this server cannot keep is said at the start."""
    def bad(says, *flags):
        got = subprocess.run([t.build / "dyno-serve", f"--model-repository={t.repository}", "--http-port=0",
                              "--grpc-port=-1", "--metrics-port=-1", f"--control-db={t.folder}/c.db", *flags],
                             capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        check(got.returncode != 0 and re.search(says, got.stderr), got)
    add(t, "acme")
    (t.folder / "book.json").write_text(json.dumps(BOOK).replace("USD", "EUR"))
    quota(t, "set", "acme", "--money=1", "--currency=USD", "--period=none")
    ledger = f"--ledger={t.folder}/ledger"
    bad("'?acme'? has a budget, which is counted by a ledger: --ledger=DIR is missing")
    bad("has a budget in USD, which needs prices: --tariffs=BOOK is missing", ledger)
    bad("has a budget in USD, and the book of tariffs is in EUR", ledger, f"--tariffs={t.folder}/book.json")
    (t.folder / "book.json").write_text("{}")
    bad("book.json: ", ledger, f"--tariffs={t.folder}/book.json")
    bad("want --ledger", f"--tariffs={t.folder}/book.json")


def case_budgets_that_cannot_be_kept(t):
    """Given while the server runs: nobody is served for what cannot be counted, and the others are."""
    key, other = add(t, "acme"), add(t, "other")
    server = start(t)
    server.expected = ["^warn: acme has a budget in USD, which needs prices: .*: its requests are refused$"]
    check(infer(server, key)[0] == 200)
    quota(t, "set", "acme", "--money=5", "--currency=USD", "--period=none")
    comes_true("refused", lambda: infer(server, key)[0] == 503)
    status, head, answer = infer(server, key)
    check(status == 503 and "no tariff in force" in answer["error"] and int(head["retry-after"]) > 1, head, answer)
    check(infer(server, other)[0] == 200)
    quota(t, "set", "acme", "--money=5", "--currency=USD", "--period=none", "--soft")
    comes_true("let by", lambda: infer(server, key)[0] == 200)
    server.stop()
    check(server.log.read_text().count("\n") == 1, server.log.read_text())


def case_streams(t):
    """Each message of a stream is reserved for; the stream goes on."""
    key = add(t, "acme")
    quota(t, "set", "acme", "--epu-hours=1", "--period=day")
    server = start(t)
    answers = list(stub_of(server).ModelStreamInfer(iter([request_of(request_id=str(i)) for i in range(5)]),
                                                    metadata=[("authorization", f"Bearer {key}")]))
    check([a.error_message for a in answers] == [""] * 5, answers)
    quota(t, "set", "acme", "--epu-hours=0", "--period=day")

    def refused():
        got = list(stub_of(server).ModelStreamInfer(iter([request_of(), request_of()]),
                                                    metadata=[("authorization", f"Bearer {key}")]))
        return len(got) == 2 and all("has used up its budget" in a.error_message for a in got)
    comes_true("refused", refused)
    server.expected = ["has used (80|100) %"]
    server.stop()


def case_relaxed(t):
    key = add(t, "acme")
    quota(t, "set", "acme", "--epu-hours=1", "--period=day")
    server = start(t, "--durability=relaxed")
    for _ in range(20):
        check(infer(server, key)[0] == 200)
    server.stop()
    check(used_ns(t) == usage(t)[1] > 0 and usage(t)[0] == 20, used_ns(t), usage(t))


def case_what_does_not_leave_is_taken_back(t):
    """It ran, its record is written, and its answer has no room: voided, and counted 0."""
    key = add(t, "acme")
    quota(t, "set", "acme", "--epu-hours=1", "--period=day")
    server = start(t, "--max-in-flight=1", models=("identity", "wide"))
    body = json.dumps({"inputs": [{"name": "x", "shape": [1, 60000], "datatype": "FP32", "data": [0] * 60000}]})
    for _ in range(5):
        status, _, answer = infer(server, key, body, "/v2/models/wide/infer")
        check(status == 503 and "bytes in flight" in answer["error"], status, answer)
    check(infer(server, key)[0] == 200)
    server.stop()
    kinds = [r["kind"] for r in records(t, t.folder / "ledger")]
    check(kinds.count("void") == 5, kinds)
    check(used_ns(t) == usage(t)[1] > 0 and usage(t)[0] == 1, used_ns(t), usage(t))


def case_clients_that_go(t):
    """Gone before, while and after it runs: counted as the ledger has it."""
    key = add(t, "acme")
    quota(t, "set", "acme", "--epu-hours=1", "--period=day")
    server = start(t, models=("identity", "slow"))
    body = json.dumps({"inputs": [{"name": "x", "shape": [512, 256], "datatype": "FP32",
                                   "data": np.zeros(512 * 256).tolist()}]})
    began = time.monotonic()
    check(infer(server, key, body, "/v2/models/slow/infer")[0] == 200)
    took = time.monotonic() - began
    for i in range(40):  # gone while it runs, or while its record is written
        conn = http.client.HTTPConnection("127.0.0.1", server.http, timeout=PATIENCE_S)
        conn.request("POST", "/v2/models/slow/infer", body, bearer(key))
        time.sleep(took * i / 40)
        conn.close()
    check(infer(server, key)[0] == 200)
    server.stop()
    check(used_ns(t) == usage(t)[1], used_ns(t), usage(t))
