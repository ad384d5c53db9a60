"""Rates ledgers of a month on one core: wall time, processor time, peak of memory, a line of JSON each.

    bench_rate.py FOLDER BUILD [RECORDS ...]
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

TARIFFS = {
    "tariffs": [{"name": "gain", "version": 1, "currency": "USD", "kind": "gain-share", "device_hour": "3", "share": "0.5",
                 "cost_hour": "1.8", "classes": {"class-1": "1.5", "class-2": "0.7"}, "minimum": "1",
                 "tiers": {"mode": "graduated", "steps": [{"up_to_epu_hours": "1", "factor": "1"}, {"factor": "0.9"}]}}],
    "grants": [{"tariff": "gain"}]}


def measure(what, records, *args):
    start = time.monotonic()
    pid = os.posix_spawnp("taskset", ["taskset", "-c", "0", *map(str, args)], os.environ,
                          file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)])
    peak_kb, done = 0, 0
    while not done:  # what a process had before it became dyno counts in its usage, and not here
        try:
            text = pathlib.Path(f"/proc/{pid}/status").read_text()
            if "VmHWM" in text and "Name:\tdyno\n" in text:
                peak_kb = int(text.split("VmHWM:")[1].split()[0])
        except OSError:
            pass
        done, status, used = os.wait4(pid, os.WNOHANG)
        time.sleep(0 if done else 0.01)
    wall = time.monotonic() - start
    if status != 0:
        sys.exit(f"{what}: status {status}")
    print(json.dumps({"what": what, "records": records, "wall_s": round(wall, 2),
                      "cpu_s": round(used.ru_utime + used.ru_stime, 2), "peak_rss_mb": round(peak_kb / 1024, 1),
                      "load": round(os.getloadavg()[0], 1)}), flush=True)


def main():
    folder, build = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    dyno = build / "dyno"
    shutil.rmtree(folder / "certs", ignore_errors=True)
    (folder / "certs").mkdir()
    made = subprocess.run([build / "make_cert", folder / "certs", "4"], check=True, capture_output=True, text=True)
    (folder / "tariffs.json").write_text(json.dumps(TARIFFS))
    for records in map(int, sys.argv[3:] or (1_000_000, 10_000_000)):
        for name in ("ledger", "books"):
            shutil.rmtree(folder / name, ignore_errors=True)
        subprocess.run([folder / "make_usage", folder / "ledger", str(records), made.stdout.split()[1]], check=True)
        ask = (f"--ledger={folder / 'ledger'}", f"--certificates={folder / 'certs'}", f"--tariffs={folder / 'tariffs.json'}")
        month = "--period=2024-10"
        measure("usage", records, dyno, "usage", *ask[:2], month)
        measure("invoice, all tenants", records, dyno, "invoice", *ask, month)
        measure("invoice, records of a line", records, dyno, "invoice", *ask, month, "--tenant=tenant-7", "--records",
                "--line=1")
        measure("invoice --final", records, dyno, "invoice", *ask, month, "--final", "--first", f"--books={folder / 'books'}")
        measure("invoice --verify", records, dyno, "invoice", *ask, f"--verify={folder / 'books' / '1-1.invoice.json'}")
        measure("whatif, one tariff beside", records, dyno, "whatif", *ask, month, "--tariff=gain-share,a=0.8")
        measure("ledger verify", records, dyno, "ledger", "verify", folder / "ledger")
    for name in ("ledger", "books", "certs"):
        shutil.rmtree(folder / name, ignore_errors=True)


if __name__ == "__main__":
    main()
