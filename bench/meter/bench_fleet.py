"""How fast a ledger's files get into PostgreSQL, what they take there, how fast they are read and verified.

    bench_fleet.py DYNO BENCH_LEDGER FOLDER RECORDS GROUP

The server of Debian with its own defaults (fsync, synchronous commits), started here, on the same cores and in FOLDER. The
files are written before. Prints a JSON object.
"""
import json
import os
import pathlib
import resource
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import postgres  # noqa: E402


def cpu_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def timed(args, env):
    begun, cpu = time.monotonic(), cpu_s()
    got = subprocess.run(args, capture_output=True, text=True, check=True, env=env)
    return time.monotonic() - begun, cpu_s() - cpu, got.stdout


def main():
    dyno, bench, folder, records, group = sys.argv[1:]
    ledger = pathlib.Path(folder) / "ledger"
    subprocess.run([bench, ledger, records, group, "8", "keep"], check=True, stdout=subprocess.DEVNULL)
    with postgres.cluster(durable=True, folder=folder) as pg:
        env, fleet = {**os.environ, **pg.env()}, f"--fleet-ledger={pg.conninfo(host=pg.folder)}"
        pg.sql("CHECKPOINT")
        before = pg.sql("SELECT pg_current_wal_lsn()")[0][0]
        ship_s, ship_cpu_s, text = timed([dyno, "ledger", "ship", ledger, fleet, "--json"], env)
        shipped = json.loads(text)
        assert shipped["records"] == int(records) // int(group) * int(group), shipped
        rows = pg.sql("SELECT relname, pg_total_relation_size(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
                      "WHERE nspname = 'dyno_ledger' AND relkind = 'r'")
        wal = pg.sql(f"SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '{before}')")[0][0]
        again_s, _, text = timed([dyno, "ledger", "ship", ledger, fleet, "--json"], env)
        assert json.loads(text)["records"] == 0
        verify_s, _, text = timed([dyno, "ledger", "verify", fleet, "--json"], env)
        assert json.loads(text)["nodes"][0]["records"] == shipped["records"]
        local_s, _, _ = timed([dyno, "ledger", "verify", ledger, "--json"], env)
        version = pg.sql("SHOW server_version")[0][0]
        print(json.dumps({
            "records": shipped["records"], "group": int(group), "groups": shipped["groups"],
            "records_per_s": round(shipped["records"] / ship_s),
            "shipper_cpu_us_per_record": round(ship_cpu_s / shipped["records"] * 1e6, 3),
            "bytes_per_record": round(sum(int(size) for _, size in rows) / shipped["records"], 1),
            "log_bytes_per_record": round(int(wal) / shipped["records"], 1), "tables": {name: int(size) for name, size in rows},
            "nothing_new_s": round(again_s, 3), "verify_s": round(verify_s, 2), "verify_local_s": round(local_s, 2),
            "postgresql": version}))
    subprocess.run(["rm", "-rf", ledger], check=True)


if __name__ == "__main__":
    main()
