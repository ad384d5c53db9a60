"""Nodes and the fleet's ledger: shipped while they serve, while the database is away, and after they were killed."""
import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import tritonclient.grpc
from harness import PATIENCE_S, ROOT, check
from test_meter import infer, records, usage

sys.path.insert(0, str(ROOT / "tests"))
import postgres  # noqa: E402

AWAY = "the fleet's ledger gets nothing: fleet ledger: |worker|started again|models"


def dyno(t, pg, *args, ok=True):
    got = subprocess.run([t.build / "dyno", *args, f"--fleet-ledger={pg.conninfo()}"], capture_output=True, text=True,
                         env={**os.environ, **pg.env()}, timeout=PATIENCE_S, check=False)
    check((got.returncode == 0) == ok, args, got)
    return got.stdout if ok else got.stderr


def fleet_records(t, pg, kind="usage"):
    lines = dyno(t, pg, "ledger", "export", "--json").splitlines()
    return [r for r in map(json.loads, lines) if r["kind"] == kind]


def start(t, pg, *flags, ledger="ledger", node=1, **how):
    return t.start(f"--ledger={t.folder / ledger}", f"--node={node}", f"--fleet-ledger={pg.conninfo()}", *flags,
                   env=pg.env(), **how)


def until(what, seconds=PATIENCE_S):
    end = time.monotonic() + seconds
    while not what():
        check(time.monotonic() < end, "it does not come")
        time.sleep(0.02)


class Load:
    """Clients that ask all the time; what was acknowledged, and what was refused."""

    def __init__(self, server, count=3):
        self.server, self.ids, self.refused, self.is_over = server, [], [], False
        self.threads = [threading.Thread(target=self.run) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.is_over:
            try:
                status, answer = infer(self.server)
            except (OSError, ValueError):
                continue
            if status == 200:
                self.ids.append(answer["parameters"]["record"])
            else:
                self.refused.append((status, answer["error"]))

    def end(self):
        self.is_over = True
        for thread in self.threads:
            thread.join()
        return self.ids


def same(t, pg, *ledgers):
    """The fleet verifies, and has each record of the ledgers once."""
    dyno(t, pg, "ledger", "verify")
    got = dyno(t, pg, "ledger", "export", "--json")
    want = "".join(subprocess.run([t.build / "dyno", "ledger", "export", str(t.folder / ledger), "--json"],
                                  capture_output=True, text=True, check=True).stdout for ledger in ledgers)
    check(got == want, "the fleet has", got.count("\n"), "records, the nodes", want.count("\n"))
    return [json.loads(line) for line in got.splitlines()]


def case_shipped_while_serving(t):
    with postgres.cluster() as pg:
        one, two = start(t, pg), start(t, pg, ledger="other", node=2)
        ids = [infer(server)[1]["parameters"]["record"] for server in (one, two) for _ in range(5)]
        until(lambda: all(s.metric("dyno_fleet_shipped_seq") >= 5 for s in (one, two)))
        check({r["id"] for r in fleet_records(t, pg)} == set(ids))
        until(lambda: one.metric("dyno_fleet_lag_records") == 0)
        check(one.metric("dyno_fleet_up") == 1 and one.metric("dyno_fleet_failures_total") == 0)
        check(one.metric("dyno_fleet_shipped_seq") >= 5)
        until(lambda: one.metric("dyno_fleet_lag_seconds") < 1)
        one.stop()
        two.stop()
        rows = same(t, pg, "ledger", "other")  # with what was written when they ended
        check({r["kind"] for r in rows} >= {"usage", "idle", "platform"}, rows)
        check({r["state"] for r in rows} == {"sent"}, rows)
        got = json.loads(dyno(t, pg, "usage", "--since=2026-01-01", "--json"))
        check([(r["kind"], r["requests"]) for r in got if r["requests"] > 0] == [("delivered", 10)], got)


def outage(t, seconds, how):
    """The database goes away under load and comes back: nothing is missing, nothing is there twice, nobody waited."""
    with postgres.cluster() as pg:
        server = start(t, pg)
        server.expected.append(AWAY)
        load = Load(server)
        until(lambda: len(load.ids) > 50)
        times = []
        how(pg, True)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            begun = time.monotonic()
            check(infer(server)[0] == 200, "a request was refused while the fleet was away")
            times.append(time.monotonic() - begun)
            time.sleep(0.02)
        check(server.metric("dyno_fleet_up") == 0 and server.metric("dyno_fleet_failures_total") > 0)
        check(server.metric("dyno_fleet_lag_records") > 0 and server.metric("dyno_fleet_lag_seconds") > seconds / 2)
        how(pg, False)
        until(lambda: server.metric("dyno_fleet_up") == 1)
        ids = load.end()
        until(lambda: server.metric("dyno_fleet_lag_records") == 0)
        server.stop()
        check(load.refused == [], load.refused[:3])
        got = [r["id"] for r in same(t, pg, "ledger") if r["kind"] == "usage"]
        check(len(got) == len(set(got)) and set(ids) <= set(got), len(ids), len(got))
        # Half of them, for a machine may stand still a while.
        check(sorted(times)[len(times) // 2] < 1, "answers took", times)
        return len(got)


def stopped(pg, is_on):
    if is_on:
        pg.stop()
    else:
        pg.start()


def case_database_stopped(t):
    """A few seconds; by hand with DYNO_FLEET_OUTAGE=60 a minute."""
    seconds = float(os.environ.get("DYNO_FLEET_OUTAGE", "3"))
    print(outage(t, seconds, stopped), "requests")


def case_database_fallen(t):
    outage(t, 3, lambda pg, is_on: pg.stop(signal.SIGQUIT) if is_on else pg.start())


def case_database_stands_still(t):
    outage(t, 7, lambda pg, is_on: pg.pause(is_on))


def case_away_at_start(t):
    with postgres.cluster() as pg:
        pg.stop()
        server = start(t, pg)
        server.expected.append(AWAY)
        check(infer(server)[0] == 200 and server.metric("dyno_fleet_up") == 0)
        pg.start()
        until(lambda: server.metric("dyno_fleet_up") == 1)
        server.stop()
        same(t, pg, "ledger")


def case_killed_and_shipped_by_hand(t):
    """A node is killed with what it was doing; its volume is shipped from elsewhere, twice."""
    with postgres.cluster() as pg:
        server = start(t, pg)
        load = Load(server)
        until(lambda: len(load.ids) > 30)
        pg.stop()
        until(lambda: len(load.ids) > 100)
        server.kill()
        server.is_over = True
        ids = load.end()
        pg.start()
        for _ in range(2):
            dyno(t, pg, "ledger", "ship", str(t.folder / "ledger"))
        rows = same(t, pg, "ledger")
        got = [r["id"] for r in rows if r["kind"] == "usage"]
        check(set(ids) <= set(got) and len(got) == len(set(got)), len(ids), len(got))
        local = usage(t, t.folder / "ledger")
        check(json.loads(dyno(t, pg, "usage", "--since=2026-01-01", "--json")) == local, local)
        again = start(t, pg)  # goes on from the same files
        check(infer(again)[0] == 200)
        again.stop()
        same(t, pg, "ledger")


def case_killed_workers(t):
    with postgres.cluster() as pg:
        server = start(t, pg)
        server.expected.append(AWAY)
        load = Load(server)
        for _ in range(4):
            want = len(load.ids) + 50
            until(lambda: len(load.ids) >= want)
            os.kill(server.worker(), signal.SIGKILL)
            server.wait_ready()
        ids = load.end()
        server.stop()
        got = [r["id"] for r in same(t, pg, "ledger") if r["kind"] == "usage"]
        check(set(ids) <= set(got) and len(got) == len(set(got)), len(ids), len(got))


# --- answers that wait for the fleet ---

def case_answers_wait(t):
    """Whoever has an answer finds its record in the fleet."""
    with postgres.cluster() as pg:
        server = start(t, pg, "--durability=fleet")
        until(lambda: infer(server)[0] == 200)
        for _ in range(10):
            status, answer = infer(server)
            check(status == 200, answer)
            node, epoch, seq = answer["parameters"]["record"].split("-")
            got = pg.sql(f"SELECT seq FROM dyno_ledger.watermark WHERE node = {node} AND epoch = {epoch}")
            check(int(got[0][0]) >= int(seq), got, answer)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            got = list(pool.map(lambda _: infer(server)[0], range(300)))
        check(got == [200] * 300, got)
        check(server.metric("dyno_fleet_waiting_answers") == 0)
        server.stop()
        check({r["state"] for r in same(t, pg, "ledger")} == {"sent"})


def case_answers_do_not_wait_for_ever(t):
    """The fleet is away: who waited is refused and not billed, others at once; then all goes on."""
    with postgres.cluster() as pg:
        server = start(t, pg, "--durability=fleet", "--fleet-wait-secs=1.5")
        server.expected.append(AWAY)
        client = tritonclient.grpc.InferenceServerClient(f"{server.host}:{server.grpc}")
        until(lambda: infer(server)[0] == 200)
        pg.stop()
        begun = time.monotonic()
        status, answer = infer(server)
        took = time.monotonic() - begun
        check(status == 503 and "fleet's ledger has not taken" in answer["error"], status, answer)
        check(took > 1.4, took)
        # Whoever spreads requests is told to send them elsewhere; nobody is told to kill it.
        check(server.request("GET", "/v2/health/ready")[0] == 400, "ready, and refuses everybody")
        check(not client.is_server_ready() and client.is_server_live() and client.is_model_ready("identity"))
        server.alive()
        status, answer = infer(server)  # not "has not taken it": he has not waited
        check(status == 503 and "the fleet's ledger is away" in answer["error"], status, answer)
        check(server.metric("dyno_fleet_expired_answers_total") == 1)
        pg.start()
        until(client.is_server_ready)  # without a request
        server.wait_ready()
        check(infer(server)[0] == 200)
        server.stop()
        states = [r["state"] for r in same(t, pg, "ledger") if r["kind"] == "usage"]
        check(states == ["sent", "voided", "sent"], states)


def case_waiting_answers_survive_a_short_outage(t):
    """The database is gone for less than that: every answer comes, and everything is in the fleet."""
    with postgres.cluster() as pg:
        server = start(t, pg, "--durability=fleet", "--fleet-wait-secs=30")
        server.expected.append(AWAY)
        until(lambda: infer(server)[0] == 200)
        load = Load(server)
        until(lambda: len(load.ids) > 20)
        pg.stop()
        until(lambda: server.metric("dyno_fleet_waiting_answers") == len(load.threads))
        count = len(load.ids)
        time.sleep(0.5)
        check(len(load.ids) == count, "an answer left without the fleet")
        pg.start()
        until(lambda: len(load.ids) > count + 20)
        ids = load.end()
        check(load.refused == [], load.refused[:3])
        there = {r["id"] for r in fleet_records(t, pg)}
        check(set(ids) <= there, set(ids) - there)
        server.stop()
        same(t, pg, "ledger")


def case_a_disk_is_lost(t):
    """A node is killed and its disk is gone: whatever was answered is in the fleet, which stands as it is."""
    with postgres.cluster() as pg:
        server = start(t, pg, "--durability=fleet")
        until(lambda: infer(server)[0] == 200)
        load = Load(server)
        until(lambda: len(load.ids) > 100)
        server.kill()
        server.is_over = True
        ids = load.end()
        shutil.rmtree(t.folder / "ledger")
        dyno(t, pg, "ledger", "verify")
        got = [r["id"] for r in fleet_records(t, pg)]
        check(set(ids) <= set(got) and len(got) == len(set(got)), set(ids) - set(got))
        again = t.folder / "again"  # its number is used up; with another one it goes on
        refused = subprocess.run([t.build / "dyno-serve", f"--model-repository={t.repository}", "--http-port=0", "--node=1",
                                  "--grpc-port=-1", "--metrics-port=-1", f"--ledger={again}",
                                  f"--fleet-ledger={pg.conninfo()}"], capture_output=True, text=True, timeout=PATIENCE_S, check=False,
                                 env={**os.environ, **pg.env()})
        check(refused.returncode != 0 and "another ledger of node 1" in refused.stderr, refused)
        other = start(t, pg, ledger="other", node=2)
        check(infer(other)[0] == 200)
        other.stop()
        dyno(t, pg, "ledger", "verify")


# --- what is refused ---

def case_refuses_to_start(t):
    def bad(says, pg, *flags, env=None, ledger="bad"):
        got = subprocess.run([t.build / "dyno-serve", f"--model-repository={t.repository}", "--http-port=0",
                              "--grpc-port=-1", "--metrics-port=-1", f"--ledger={t.folder / ledger}", *flags],
                             capture_output=True, text=True, timeout=PATIENCE_S, check=False,
                             env={**os.environ, **(pg.env() if env is None else env)})
        lines = [line for line in got.stderr.splitlines() if "not signed" not in line]
        check(got.returncode != 0 and len(lines) == 1 and re.search(says, got.stderr), got, "wants", says)
        check(postgres.PASSWORD not in got.stderr and "hunter2" not in got.stderr, got)
    with postgres.cluster() as pg:
        fleet = f"--fleet-ledger={pg.conninfo()}"
        start(t, pg).stop()
        bad("the fleet has another ledger of node 1: two nodes have this number, ", pg, fleet)
        wrong = {**pg.env(), "PGPASSFILE": "/dev/null", "PGPASSWORD": "wrong"}
        bad('fleet ledger: connection to server at "127.0.0.1", port \\d+ failed: FATAL: password authentication failed',
            pg, fleet, env=wrong, ledger="ledger")
        bad("holds no password: that belongs into a passfile", pg, fleet + " password=hunter2", ledger="ledger")
        bad("--durability=fleet wants --fleet-ledger", pg, "--durability=fleet")
        dyno(t, pg, "ledger", "retire", "--node=1")
        bad("the ledger of node 1 was retired at .*Z, after \\d+ groups, and does not go on: give this server another folder",
            pg, fleet, ledger="ledger")
        pg.sql("UPDATE dyno_ledger.schema_version SET version = 9")
        bad('the database "dyno" has version 9 of its tables, made by a newer build', pg, fleet, ledger="ledger")


def case_a_second_node_with_this_number(t):
    """Both start while the database is away; the one that comes first has the number, the other says so and serves."""
    with postgres.cluster() as pg:
        pg.stop()
        servers = [start(t, pg, ledger=f"l{i}") for i in range(2)]
        for server in servers:
            server.expected.append(AWAY + "|another ledger of node 1")
            check(infer(server)[0] == 200)
        pg.start()
        until(lambda: any("another ledger of node 1" in s.log.read_text() for s in servers))
        loser = next(s for s in servers if "another ledger of node 1" in s.log.read_text())
        winner = next(s for s in servers if s is not loser)
        until(lambda: winner.metric("dyno_fleet_up") == 1)
        check(infer(loser)[0] == 200 and infer(winner)[0] == 200 and loser.metric("dyno_fleet_up") == 0)
        for server in servers:
            server.stop()
        same(t, pg, f"l{servers.index(winner)}")


