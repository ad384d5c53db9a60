"""Budgets in money: what is posted is what the invoice charges; certified work."""
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import time

from harness import check
from test_gate import BODY, add, comes_true
from test_meter import records
from test_quota import BOOK, infer, quota, start, usage, used_ns


def case_money_agrees_with_the_invoice(t):
    """What is posted is what the invoice charges, to the nano-unit or two."""
    (t.folder / "book.json").write_text(json.dumps(BOOK))
    key = add(t, "acme", "--class=realtime")
    quota(t, "set", "acme", "--money=100", "--currency=USD", "--period=none")
    server = start(t, f"--tariffs={t.folder}/book.json")
    batch = json.dumps({**json.loads(BODY), "parameters": {"sla": "batch"}})
    for i in range(100):
        check(infer(server, key, batch if i % 3 == 0 else BODY)[0] == 200)
    server.stop()
    got = subprocess.run([t.build / "dyno", "invoice", f"--ledger={t.folder}/ledger", "--since=2026-01-01", "--json",
                          f"--tariffs={t.folder}/book.json"], capture_output=True, text=True, check=True)
    lines = [line for line in json.loads(got.stdout)["lines"] if line["kind"] == "usage"]
    exact = sum(float(line["exact"]) for line in lines)
    posted = int(quota(t, "show", "acme")[0]["used_nano"]) / 1e9
    check(len(lines) == 2 and exact > 0 and abs(exact - posted) <= 3.1e-9, exact, posted, lines)


def put_book(t, text):
    """As a whole; None: it goes."""
    if text is None:
        (t.folder / "book.json").unlink()
        return
    (t.folder / "next.json").write_text(text)
    (t.folder / "next.json").rename(t.folder / "book.json")


def case_the_tariff_is_named(t):
    """In each record: the version that its tenant has when it begins, by the book that lies there; a bad one changes nothing."""
    at = int(time.time()) + 4
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    first = {**BOOK["tariffs"][0], "until": when}
    own = {**BOOK["tariffs"][0], "name": "own", "version": 7}
    text = json.dumps({"tariffs": [first, {**first, "version": 2, "from": when, "until": "2100-01-01"}, own],
                       "grants": [*BOOK["grants"], {"tenant": "bolt", "tariff": "own"}]})
    (t.folder / "book.json").write_text(text)
    acme, bolt = add(t, "acme"), add(t, "bolt")
    server = start(t, f"--tariffs={t.folder}/book.json")

    def named():
        for key in (acme, bolt):
            check(infer(server, key)[0] == 200)
        return [r["tariff"] for r in records(t, t.folder / "ledger") if r["kind"] == "usage"][-2:]
    while time.time() < at + 0.1:
        begun = time.time()
        got = named()
        check(got in (["flat/1", "own/7"], ["flat/2", "own/7"]), got)
        check(got[0] == "flat/1" or time.time() >= at, got)
        check(got[0] == "flat/2" or begun < at, got)
        time.sleep(0.2)
    check(named() == ["flat/2", "own/7"])
    bill = [t.build / "dyno", "invoice", f"--ledger={t.folder}/ledger", "--since=2026-01-01", f"--tariffs={t.folder}/book.json"]
    put_book(t, text.replace('"version": 7', '"version": 8'))
    comes_true("the new book", lambda: named() == ["flat/2", "own/8"])
    server.expected.append("^warn: the book of tariffs before stays in force: .*")
    for bad, says in ((text.replace('"version": 7', '"version": 0'), r"book\.json: tariff 'own': version must be"),
                      ("{", r"book\.json: .*line 1"), (None, r'cannot open ".*book\.json": No such file or directory')):
        put_book(t, bad)
        comes_true("the reason", lambda: re.search(f"warn: the book of tariffs before stays in force: .*{says}",  # noqa: B023
                                                   server.log.read_text()))
        check(named() == ["flat/2", "own/8"])
    check(server.log.read_text().count("stays in force") == 3, "each is told once")
    put_book(t, text.replace('"version": 7', '"version": 9'))
    os.kill(server.process.pid, signal.SIGHUP)
    comes_true("the next book", lambda: named() == ["flat/2", "own/9"])
    put_book(t, text.replace('"version": 7', '"version": 8'))
    server.stop()
    got = subprocess.run(bill, capture_output=True, text=True, check=True).stdout
    count = sum(r.get("tariff") == "own/7" for r in records(t, t.folder / "ledger"))
    count += sum(r.get("tariff") == "own/9" for r in records(t, t.folder / "ledger"))
    check(re.findall(r"Warning: (\d+) requests were recorded under another version", got) == [str(count)], got)
    server = start(t, f"--tariffs={t.folder}/book.json")
    check(named() == ["flat/2", "own/8"])
    server.stop()


def case_a_new_book_has_new_prices(t):
    """A server that runs takes the next version from when it begins, as the invoice does; never another currency."""
    put_book(t, json.dumps(BOOK))
    key = add(t, "acme")
    quota(t, "set", "acme", "--money=100", "--currency=USD", "--period=none")
    server = start(t, f"--tariffs={t.folder}/book.json")
    for _ in range(20):
        check(infer(server, key)[0] == 200)
    at = int(time.time()) + 12
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    first = {**BOOK["tariffs"][0], "version": 2, "until": when}
    second = {**BOOK["tariffs"][0], "version": 3, "from": when, "epu_hour": "340"}
    put_book(t, json.dumps({**BOOK, "tariffs": [first, second]}))

    def named():
        check(infer(server, key)[0] == 200)
        return [r["tariff"] for r in records(t, t.folder / "ledger") if r["kind"] == "usage"]
    comes_true("the new book", lambda: named()[-1] != "flat/1")
    check(time.time() < at, "too late to tell")
    comes_true("the new version", lambda: named()[-1] == "flat/3")
    for _ in range(20):
        check(infer(server, key)[0] == 200)
    server.expected.append("^warn: the book of tariffs before stays in force: .*book.json is in EUR, and tenant 'acme' has a budget in USD")
    put_book(t, json.dumps({**BOOK, "tariffs": [{**BOOK["tariffs"][0], "currency": "EUR"}]}))
    comes_true("the reason", lambda: "has a budget in USD" in server.log.read_text())
    check(infer(server, key)[0] == 200)
    put_book(t, json.dumps({**BOOK, "tariffs": [first, second]}))
    server.stop()
    got = subprocess.run([t.build / "dyno", "invoice", f"--ledger={t.folder}/ledger", "--since=2026-01-01", "--json",
                          f"--tariffs={t.folder}/book.json"], capture_output=True, text=True, check=True)
    lines = [line for line in json.loads(got.stdout)["lines"] if line["kind"] == "usage"]
    exact = {line["tariff_version"]: float(line["exact"]) for line in lines}
    posted = int(quota(t, "show", "acme")[0]["used_nano"]) / 1e9
    check(sorted(exact) == [2, 3] and exact[3] > exact[2] > 0, lines)
    check(abs(sum(exact.values()) - posted) <= 3.1e-9, exact, posted)
    said = [r["tariff"] for r in records(t, t.folder / "ledger") if r["kind"] == "usage"]
    check(set(said) == {"flat/1", "flat/2", "flat/3"} and sum(line.get("requests_of_another_tariff", 0) for line in lines) ==
          said.count("flat/1"), lines)


def case_cold_starts_and_devices_are_counted(t):
    """As the invoice has them: the engine that a request waited for, and work in the reference device's units; the same
    when the ledger is counted anew."""
    tariff = {**BOOK["tariffs"][0], "device_hour": "3", "cold_start": True}
    (t.folder / "book.json").write_text(json.dumps({**BOOK, "tariffs": [tariff]}))
    (t.folder / "table.json").write_text(json.dumps({"dyno_device_factors": 1, "reference": "slow", "devices": [
        {"class": "slow", "factor_1e9": 1000000000, "source": "definition"},
        {"class": "fast", "factor_1e9": 300000000, "source": "elsewhere", "from": "a test"}]}))
    made_of = (f"--tariffs={t.folder}/book.json", f"--factors={t.folder}/table.json")
    flags = (*made_of, "--model-control-mode=demand", "--device-class=fast")
    key = add(t, "acme", "--class=realtime")
    quota(t, "set", "acme", "--money=100000", "--currency=USD", "--period=none")
    quota(t, "set", "acme", "--epu-hours=1000", "--period=none")
    server = start(t, *flags)
    for _ in range(5):
        check(infer(server, key)[0] == 200)
    server.stop()
    got = subprocess.run([t.build / "dyno", "invoice", f"--ledger={t.folder}/ledger", "--since=2026-01-01", "--json",
                          *made_of], capture_output=True, text=True, check=True)
    lines = [line for line in json.loads(got.stdout)["lines"] if line["kind"] in ("usage", "cold-start")]
    check({line["kind"] for line in lines} == {"usage", "cold-start"}, lines)
    work = sum(int(line["reference_ns"]) for line in lines if line["kind"] == "usage")
    plain = sum(r["reference_ns"] for r in records(t, t.folder / "ledger") if r["kind"] == "usage")
    check(work > 3 * plain, work, plain)
    money = sum(float(line["exact"]) for line in lines)

    def check_used():
        by_unit = {b["unit"]: b for b in quota(t, "show", "acme")}
        check(int(by_unit["epu-hours"]["used_reference_ns"]) == work, by_unit, work)
        posted = int(by_unit["USD"]["used_nano"]) / 1e9
        check(abs(money - posted) <= 1e-9 * (len(lines) + 1) + 1e-12 * money, money, posted, lines)
    check_used()
    with sqlite3.connect(t.folder / "c.db") as db:  # of which nobody knows any more
        db.execute("DELETE FROM budget_share")
        db.execute("DELETE FROM budget_node")
    db.close()
    start(t, *flags).stop()
    check_used()
    published = pathlib.Path(__file__).resolve().parent.parent.parent / "factors" / "devices.json"
    bad = start(t, f"--tariffs={t.folder}/book.json", f"--factors={published}", "--device-class=unknown")
    status, head, answer = infer(bad, key)
    check(status == 503 and "devices.json has no row of device 'unknown'" in answer["error"], answer)
    check(int(head["retry-after"]) > 0, head)
    bad.stop()


GAIN = {"tariffs": [{"name": "share", "version": 1, "currency": "USD", "kind": "gain-share", "device_hour": "3",
                     "share": "0.5", "speed_up_max": "8", "classes": {"standard": "1.1"},
                     "tiers": {"mode": "graduated", "steps": [{"up_to_epu_hours": "1", "factor": "1"}, {"factor": "0.5"}]}}],
        "grants": [{"tariff": "share"}]}


ROWS = json.dumps({"inputs": [{"name": "x", "shape": [1, 64, 64], "datatype": "FP32", "data": [0.5] * 4096}]})


TWO_ROWS = json.dumps({"inputs": [{"name": "x", "shape": [2, 64, 64], "datatype": "FP32", "data": [0.5] * 8192}]})


def case_certified_work_is_known_before(t):
    """To the reference-ns: as many requests as were paid for, and not one more; money by the certificate's speed-up."""
    shutil.copy(t.build / "serve-engines/two_rows.onnx", t.folder / "m.onnx")
    shutil.copy(t.engine("two_rows"), t.folder / "m.engine")
    got = subprocess.run([t.build / "dyno", "certify", "m.onnx", "--engine=m.engine", "--trial"], cwd=t.folder,
                         capture_output=True, text=True, check=False, timeout=110)
    check(got.returncode == 0, got.stderr)
    (t.folder / "book.json").write_text(json.dumps(GAIN))
    flags = (f"--certificates={t.folder}", "--accept-trials", f"--tariffs={t.folder}/book.json")
    path = "/v2/models/two_rows/infer"
    key, rich = add(t, "acme"), add(t, "rich")
    quota(t, "set", "rich", "--money=1", "--currency=USD", "--period=none")
    server = start(t, *flags, models=("two_rows",))
    check(infer(server, rich, ROWS, path)[0] == 200)
    server.stop()
    item_ns = usage(t)[1]
    check(item_ns > 0)
    limit = -(-7 * item_ns // 3600)  # seven items, in units of 1e-9 EPU-hours
    check(limit * 3600 < 8 * item_ns, item_ns)
    quota(t, "set", "acme", f"--epu-hours={limit / 1e9:.9f}", "--period=month", "--alerts=none")
    server = start(t, *flags, models=("two_rows",))

    def ask(body):
        """Its answer; what is only waiting for another part of the budget waits."""
        for _ in range(100):
            status, head, answer = infer(server, key, body, path)
            if status != 429 or "asking for another part" not in answer["error"]:
                break
            time.sleep(0.1)
        return status, head, answer
    check([ask(TWO_ROWS)[0] for _ in range(3)] == [200] * 3)
    status, head, answer = ask(TWO_ROWS)
    check(status == 429, answer)
    check(ask(ROWS)[0] == 200)
    status, head, answer = ask(ROWS)
    check(status == 429 and f'r={(limit * 3600 - 7 * item_ns) // 3600000};' in head["ratelimit"], head, item_ns)
    for i in range(20):
        check(infer(server, rich, TWO_ROWS if i % 2 else ROWS, path)[0] == 200)
    server.stop()
    check(used_ns(t) == 7 * item_ns, used_ns(t), item_ns)
    got = subprocess.run([t.build / "dyno", "invoice", f"--ledger={t.folder}/ledger", "--since=2026-01-01", "--json",
                          f"--tariffs={t.folder}/book.json", f"--certificates={t.folder}", "--tenant=rich"],
                         capture_output=True, text=True, check=True)
    exact = sum(float(line["exact"]) for line in json.loads(got.stdout)["lines"] if line["kind"] == "usage")
    posted = int(quota(t, "show", "rich")[0]["used_nano"]) / 1e9
    check(exact > 0 and abs(exact - posted) <= 1.1e-9, exact, posted)


def case_prepaid_money_is_used_up(t):
    (t.folder / "book.json").write_text(json.dumps(BOOK))
    key = add(t, "acme")
    quota(t, "set", "acme", "--money=0.000001", f"--tariffs={t.folder}/book.json", "--period=none", "--alerts=none")
    server = start(t, f"--tariffs={t.folder}/book.json")
    for _ in range(20000):
        status, head, answer = infer(server, key)
        if status != 200:
            break
    check(status == 429 and re.search(r"has used up its prepaid 0\.000001 USD: 0\.\d+ left(, and this request "
                                      r"takes 0\.\d+)?; again when it is topped up$", answer["error"]), answer)
    check(head["ratelimit-policy"] == '"budget-1";q=1;qu="micro-USD"', head)
    quota(t, "topup", "acme", "--money=1", "--currency=USD")
    comes_true("the credit", lambda: infer(server, key)[0] == 200)
    server.stop()
