"""The long forms of what CI does shortly: a server under load whose workers are killed again and again, and whose fleet's
PostgreSQL is stopped for a while and comes back.

    python long.py --build BUILD [--kills 2000] [--outage 60] [--clients 3] [--servers 1]

Clients keep the id of each answer that they got.  At the end, in the node's ledger and in the fleet's, none of them is
missing and none is there twice, both verify, and both have the same records.  A worker is killed after it has answered
something, at a random moment of the second after that; one that has served for a second is started again at once.
Several servers share the kills, each with clients and a PostgreSQL of its own, at the same time.
"""
import argparse
import concurrent.futures
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import postgres  # noqa: E402
from harness import Failure, Tester, check  # noqa: E402
from test_meter import infer  # noqa: E402


class Clients:
    """They ask all the time, and keep the ids that they were told."""

    def __init__(self, server, count):
        self.server, self.ids, self.broken, self.others, self.is_over = server, [], 0, {}, False
        self.threads = [threading.Thread(target=self.run) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.is_over:
            try:
                status, answer = infer(self.server)
            except (OSError, ValueError, http.client.HTTPException):
                self.broken += 1  # its worker fell: nobody knows whether there is a record, and nobody is billed
                continue
            if status == 200:
                self.ids.append(answer["parameters"]["record"])
            else:
                self.others[status] = self.others.get(status, 0) + 1

    def wait_for(self, count, seconds=120):
        """So many answers more."""
        wanted, end = len(self.ids) + count, time.monotonic() + seconds
        while len(self.ids) < wanted:
            check(time.monotonic() < end, "no answers any more:", len(self.ids), self.broken, self.others)
            time.sleep(0.005)

    def end(self):
        self.is_over = True
        for thread in self.threads:
            thread.join()


def kill_workers(server, clients, kills, rng):
    for number in range(kills):
        clients.wait_for(5)
        worker = server.worker()
        time.sleep(1 + rng.random())
        if server.worker() == worker != 0:
            os.kill(worker, signal.SIGKILL)
        if sys.stderr.isatty():
            print(f"\r{number + 1} of {kills} kills, {len(clients.ids)} answers", end="", file=sys.stderr)
    clients.wait_for(5)


def stop_database(server, clients, pg, seconds):
    """While the fleet's database is stopped everybody is served."""
    pg.stop()
    before = len(clients.ids)
    time.sleep(seconds)
    during = len(clients.ids) - before
    check(during > 0, "nobody was served while the database was away")
    check(server.metric("dyno_fleet_up") == 0)
    pg.start()
    end = time.monotonic() + 120
    while server.metric("dyno_fleet_up") != 1 or server.metric("dyno_fleet_lag_records") > 1000:
        check(time.monotonic() < end, "the fleet does not catch up")
        time.sleep(0.1)
    return during


def export(t, pg, *where):
    got = subprocess.run([t.build / "dyno", "ledger", "export", "--json", *where], capture_output=True, text=True, check=True,
                         env={**os.environ, **pg.env()})
    return got.stdout


def verify(t, pg, *where):
    got = subprocess.run([t.build / "dyno", "ledger", "verify", *where], capture_output=True, text=True, check=False,
                         env={**os.environ, **pg.env()})
    check(got.returncode == 0, where, got.stderr)


def count(t, pg, clients, fleet):
    """Rows of the result: what was counted, and what it must be (None: it is told)."""
    verify(t, pg, f"{t.folder}/ledger")
    verify(t, pg, fleet)
    local, remote = export(t, pg, f"{t.folder}/ledger"), export(t, pg, fleet)
    ids = [r["id"] for r in map(json.loads, local.splitlines()) if r["kind"] == "usage"]
    acknowledged, there = set(clients.ids), set(ids)
    return [("answers whose ids clients kept", len(clients.ids), None),
            ("of these twice", len(clients.ids) - len(acknowledged), 0),
            ("requests that broke with their worker", clients.broken, None),
            ("other answers", sum(clients.others.values()), None),
            ("requests in the node's ledger", len(ids), None),
            ("of these twice", len(ids) - len(there), 0),
            ("acknowledged and missing in it", len(acknowledged - there), 0),
            ("records that the fleet's ledger has otherwise", sum(a != b for a, b in zip(
                local.splitlines(), remote.splitlines())) + abs(local.count("\n") - remote.count("\n")), 0)]


def run(t, kills, outage, client_count, seed):
    rng = random.Random(seed)
    with postgres.cluster() as pg:
        fleet = f"--fleet-ledger={pg.conninfo()}"
        server = t.start(f"--ledger={t.folder}/ledger", fleet, env=pg.env())
        server.expected.append("worker|uncertified|models|started again|the fleet's ledger gets nothing: fleet ledger: ")
        clients = Clients(server, client_count)
        begun = time.monotonic()
        try:
            clients.wait_for(20)
            kill_workers(server, clients, kills // 2, rng)
            during = stop_database(server, clients, pg, outage)
            kill_workers(server, clients, kills - kills // 2, rng)
        finally:
            clients.end()
        restarts = int(server.metric("dyno_worker_restarts_total"))
        server.stop()
        return [("seconds that it took", round(time.monotonic() - begun), None),
                ("workers killed under load", restarts, kills), ("seconds without PostgreSQL", outage, None),
                ("answers during that time", during, None), *count(t, pg, clients, fleet)]


def one_server(build, kills, outage, client_count, seed):
    """Rows of `count` and those before them, or the sentence that says what failed."""
    tester = Tester(build, tempfile.mkdtemp(prefix="dyno-long-"))
    try:
        rows = run(tester, kills, outage, client_count, seed)
        tester.finish()
        return rows
    except Failure as failure:
        return str(failure)
    finally:
        tester.abandon()
        shutil.rmtree(tester.folder, ignore_errors=True)


def total(servers):
    """The rows of all of them: what was counted is added up, times are not."""
    def of_all(rows):
        values = [value for _, value, _ in rows]
        return max(values) if rows[0][0].startswith("seconds") else sum(values)

    return [(rows[0][0], of_all(rows), None if rows[0][2] is None else sum(want for _, _, want in rows))
            for rows in zip(*servers)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, type=lambda p: pathlib.Path(p).resolve())
    parser.add_argument("--kills", type=int, default=2000)
    parser.add_argument("--outage", type=float, default=60, help="seconds")
    parser.add_argument("--clients", type=int, default=3, help="of each server")
    parser.add_argument("--servers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    shares = [args.kills // args.servers + (i < args.kills % args.servers) for i in range(args.servers)]
    with concurrent.futures.ProcessPoolExecutor(args.servers) as pool:
        got = list(pool.map(one_server, *zip(*((args.build, share, args.outage, args.clients, args.seed + i)
                                               for i, share in enumerate(shares)))))
    failed = [what for what in got if isinstance(what, str)]
    for what in failed:
        print(what, file=sys.stderr)
    rows = total([what for what in got if not isinstance(what, str)])
    print(f"{args.servers} servers at a time, {args.clients} clients each, seeds from {args.seed}")
    for name, value, want in rows:
        print(f"{value:>10}  {name}" + ("" if want in (None, value) else f": WRONG, must be {want}"))
    return 0 if not failed and all(want in (None, value) for _, value, want in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
