"""dyno usage, tariff, invoice, whatif: out of a ledger that a tool of the tests makes."""
import csv
import io
import json
import re
import shutil

from harness import check

HOUR = 3_600_000_000_000
NOVEMBER = 1793491200
BOOK = {
    "tariffs": [
        {"name": "gain", "version": 1, "currency": "USD", "kind": "gain-share", "device_hour": "3", "share": "0.5",
         "cost_hour": "1.8"},
        {"name": "hourly", "version": 1, "currency": "USD", "kind": "device-hour", "device_hour": "3",
         "cost_hour": "1.8"}],
    "grants": [{"tariff": "gain"}]}
LINES = [
    f"acme resnet fp32 realtime - ok 1 {HOUR} {HOUR} {NOVEMBER + 5}",  # unoptimised: an EPU-hour
    f"bolt resnet fp32 batch - ok 8 {HOUR // 2} {HOUR // 2} {NOVEMBER + 6}",
    f"bolt resnet fp32 batch - failed 8 7 0 {NOVEMBER + 7}",
    f"bolt resnet fp32 batch - ok 8 {HOUR} {HOUR} {NOVEMBER + 8} void",
    f"acme resnet fp32 realtime - ok 1 {HOUR} {HOUR} {NOVEMBER - 1}",  # October's
]


def put_all(t, lines=None, book=None):
    t.tool("make_ledger", t.path("ledger"), stdin="\n".join(LINES if lines is None else lines) + "\n")
    t.put("book.json", json.dumps(BOOK if book is None else book).encode())


ASK = ("--ledger=ledger", "--period=2026-11")


def case_usage(t):
    put_all(t)
    rows = json.loads(t.works("usage", *ASK, "--json"))
    got = [(r["tenant"], r["kind"], r["requests"], int(r["device_ns"]), int(r["reference_ns"])) for r in rows]
    check(got == [("acme", "delivered", 1, HOUR, HOUR), ("bolt", "delivered", 1, HOUR // 2, HOUR // 2),
                  ("bolt", "failed", 1, 7, 0), ("bolt", "unconfirmed", 1, HOUR, 0)], got)
    text = t.works("usage", *ASK, "--tenant=acme")
    check(len(text.splitlines()) == 2 and re.search(r"acme +resnet +fp32 +realtime +delivered +1 +1 +1 +1 +0$", text, re.M),
          text)
    t.fails("E_NOT_FOUND", "*no tenant 'nobody'*", "usage", *ASK, "--tenant=nobody")
    for other in ("resnet", "fp32", "batch"):  # names of the ledger, and no tenant's
        t.fails("E_NOT_FOUND", f"*the ledger knows no tenant '{other}'", "usage", *ASK, f"--tenant={other}")
    both = json.loads(t.works("usage", "--ledger=ledger", "--since=2026-10-01", "--until=2026-12-01", "--json"))
    check(both[0]["requests"] == 2, both[0])


def case_usage_of_certified_work(t):
    """Counting wants no prices, and so no certificates; factors do, where a record names no device."""
    lines = [f"acme resnet fp32 realtime {'a' * 64} ok 1 {HOUR} {HOUR} {NOVEMBER}",
             f"acme resnet fp32 realtime@d {'a' * 64} ok 1 {HOUR} {HOUR} {NOVEMBER}"]
    put_all(t, lines=lines)
    row, = json.loads(t.works("usage", *ASK, "--json"))
    check(row["requests"] == 2 and row["certificate"] == "a" * 64, row)
    (t.folder / "certs").mkdir()
    t.fails("E_NOT_FOUND", "*aaaa.engine.json*", "usage", *ASK, "--certificates=certs")
    t.put("factors.json", json.dumps({"dyno_device_factors": 1, "reference": "d", "devices": [
        {"class": "d", "factor_1e9": 1000000000, "source": "definition"}]}).encode())
    t.fails("E_NOT_FOUND", "*the ledger cites certificate *: --certificates=DIR is missing", "usage", *ASK,
            "--factors=factors.json")
    shutil.rmtree(t.folder / "ledger")
    put_all(t, lines=lines[1:])
    check("realtime" in t.works("usage", *ASK, "--factors=factors.json"))


def case_invoice(t):
    put_all(t)
    ask = ("invoice", *ASK, "--tariffs=book.json")
    text = t.works(*ask)
    check(text.count("DRAFT INVOICE") == 2 and "TOTAL" in text, text)
    acme = json.loads(t.works(*ask, "--tenant=acme", "--json"))
    check(acme["total"] == "3.00" and acme["status"] == "draft" and len(acme["lines"]) == 1, acme)
    bolt = json.loads(t.works(*ask, "--tenant=bolt", "--format=json"))
    check(bolt["total"] == "1.50", bolt)
    check([(line["usage"], line["amount"]) for line in bolt["lines"]] ==
          [("delivered", "1.50"), ("failed", "0.00"), ("unconfirmed", "0.00")], bolt["lines"])
    record, = bolt["records"]
    check(record["node"] == 1 and record["last_seq"] == 6 and re.fullmatch(r"[0-9a-f]{64}", record["root"]), record)
    check(t.works(*ask, "--json", "--tenant=bolt") == t.works(*ask, "--tenant=bolt", "--json"))
    rows = list(csv.DictReader(io.StringIO(t.works(*ask, "--format=csv"))))
    check(sum(float(row["amount"]) for row in rows) == 4.5, rows)
    focus = list(csv.DictReader(io.StringIO(t.works(*ask, "--format=focus"))))
    check(focus[0]["BilledCost"] == "3.00" and focus[0]["x_MerkleRoot"] == record["root"], focus[0])
    page = t.works(*ask, "--format=html", "--tenant=acme", "--platform=A & B")
    check("A &amp; B" in page and page.startswith("<!doctype html>"), page)
    credit = json.loads(t.works(*ask, "--tenant=bolt", "--json", "--credit=bolt=1", "--credit=other=5"))
    check(credit["total"] == "0.50" and credit["credit_left"] == "0", credit)


def case_minimum_of_who_used_nothing(t):
    """Whoever is granted a tariff owes its minimum; who is not, and used nothing, gets no invoice."""
    book = {"tariffs": [{**BOOK["tariffs"][0], "minimum": "30"}, BOOK["tariffs"][1]],
            "grants": [{"tenant": "cold", "tariff": "gain", "until": "2026-11-11"}, {"tariff": "hourly"}]}
    put_all(t, book=book)
    ask = ("invoice", *ASK, "--tariffs=book.json")
    check(t.works(*ask).count("DRAFT INVOICE") == 3)
    cold = json.loads(t.works(*ask, "--tenant=cold", "--json"))
    check(cold["total"] == "10.00" and [line["kind"] for line in cold["lines"]] == ["minimum"], cold)
    paid = json.loads(t.works(*ask, "--tenant=cold", "--json", "--credit=cold=4"))
    check(paid["total"] == "6.00" and paid["credit_left"] == "0", paid)
    t.fails("E_NOT_FOUND", "*tenant 'dora' used nothing in this period", *ask, "--tenant=dora")
    text = t.works("whatif", *ASK, "--tariffs=book.json", "--tariff=hourly", "--svg=p.svg")
    check(re.search(r"^cold +10\.00 +0\.00$", text, re.M) and re.search(r"^all tenants pay +14\.50 +4\.50$", text, re.M),
          text)
    text = t.works("whatif", *ASK, "--tariffs=book.json", "--tariff=gain")
    check(re.search(r"^cold +10\.00 +10\.00$", text, re.M), text)


def case_whatif(t):
    put_all(t)
    ask = ("whatif", *ASK, "--tariffs=book.json", "--tariff=hourly", "--tariff=gain-share,a=0.8",
           "--tariff=flat-epu,q=2")
    got = json.loads(t.works(*ask, "--json"))["scenarios"]
    check([s["tariff"] for s in got] == ["in force", "hourly", "gain-share,a=0.8", "flat-epu,q=2"], got)
    check(got[0]["tenants"] == {"acme": "3.00", "bolt": "1.50"}, got[0])
    check(got[3]["tenants"] == {"acme": "2.00", "bolt": "1.00"}, got[3])
    check(all(s["cost"] == "4.50" for s in got), got)  # of what failed and what did not leave, too
    check(all(s["device_hours"] == "1.5" for s in got), got)
    text = t.works(*ask, "--svg=picture.svg")
    check(re.search(r"^acme +3\.00 +3\.00 +3\.00 +2\.00$", text, re.M), text)
    check("<svg" in (t.folder / "picture.svg").read_text())
    t.fails("E_ARG", "*it knows p=, a=, q=, c=*", "whatif", *ASK, "--tariffs=book.json", "--tariff=flat-epu,z=2")
    t.fails("E_ARG", "*--tariff=free: 'free' is no tariff of book.json and no kind: device-hour, flat-epu or gain-share", "whatif", *ASK, "--tariffs=book.json",
            "--tariff=free")


def case_bad_input(t):
    put_all(t, lines=[f"acme resnet fp32 realtime {'a' * 64} ok 1 {HOUR} {HOUR} {NOVEMBER}"])
    ask = ("invoice", *ASK, "--tariffs=book.json")
    t.fails("E_NOT_FOUND", "*--certificates=DIR is missing*", *ask)
    (t.folder / "certs").mkdir()
    t.fails("E_NOT_FOUND", "*aaaa.engine.json*", *ask, "--certificates=certs")
    t.fails("E_ARG", "*--ledger=PATH or --fleet-ledger=CONNINFO is missing", "invoice", "--period=2026-11", "--tariffs=book.json")
    t.fails("E_ARG", "*wants a month*", "usage", "--ledger=ledger", "--period=2026-13")
    t.fails("E_ARG", "*either --period*", "usage", *ASK, "--since=2026-11-01")
    t.put("book.json", json.dumps({"tariffs": BOOK["tariffs"], "grants": []}).encode())
    shutil.rmtree(t.folder / "ledger")
    put_all(t, lines=LINES[:1], book={"tariffs": BOOK["tariffs"], "grants": []})
    t.fails("E_NOT_FOUND", "*tenant 'acme' has no tariff in force at 2026-11-01T00:00:0*", *ask, "--certificates=x")


def case_by_certificate(t):
    """A price takes the upper end of the speed-up; by a trial nobody is billed; a refused one has no price."""
    (t.folder / "certs").mkdir()
    ask = ("invoice", *ASK, "--tariffs=book.json", "--certificates=certs")
    for more, says in (([], None), (["trial"], None), (["biased"], "*.engine.json*")):
        address = t.tool("make_cert", "certs", 4, *more).split()[1]
        shutil.rmtree(t.folder / "ledger", ignore_errors=True)
        put_all(t, lines=[f"acme resnet fp32 realtime {address} ok 1 {HOUR // 4} {1000 * HOUR} {NOVEMBER}",
                          f"acme resnet fp32 realtime {address} ok 1 {HOUR // 4} {1000 * HOUR} 1729000000"])
        if says is not None:
            t.fails("E_NOT_FOUND", says, *ask)
            continue
        told = json.loads(t.works(*ask, "--tenant=acme", "--json"))["by_trial_certificates"]
        check(told == (more == ["trial"]), told)
        if told:  # to be looked at: no final invoice
            check("and no bill" in t.works(*ask))
            t.fails("E_DENIED", "*nobody is billed by*", "invoice", "--ledger=ledger", "--period=2024-10",
                    "--tariffs=book.json", "--certificates=certs", "--final", "--first", "--books=books")
            continue
        got = json.loads(t.works(*ask, "--tenant=acme", "--json"))["total"]
        upper = json.loads((t.folder / "certs" / f"{address}.engine.json").read_text())["s_1e6"][2]
        want = 3000 * (1 - (1 - 1e6 / upper) / 2)
        check(4000000 < upper < 4100000 and abs(float(got) - want) <= 0.01, got, want, upper)


def exported(t, bill):
    """What the exports say of each line of usage: requests after a certificate, of another tariff, while suspended."""
    rows = list(csv.DictReader(io.StringIO(t.works(*bill, "--format=csv"))))
    names = ("requests_after_certificate", "requests_of_another_tariff", "requests_while_suspended")
    found = [tuple(int(r[name]) for name in names) for r in rows if r["kind"] == "usage"]
    rows = list(csv.DictReader(io.StringIO(t.works(*bill, "--format=focus"))))
    names = ("x_RequestsAfterCertificate", "x_RequestsOfAnotherTariff", "x_RequestsWhileSuspended")
    check([tuple(int(r[name]) for name in names) for r in rows if r["x_LineKind"] == "usage"] == found, rows, found)
    check(all(r[name] == "" for name in names for r in rows if r["x_LineKind"] in ("tiers", "minimum", "credit")), rows)
    return found


def case_after_the_term(t):
    """A record that cites a certificate whose term was over when it began: at most its device time, and the invoice says it."""
    ends = NOVEMBER + 86400
    (t.folder / "certs").mkdir()
    reference, engine = t.tool("make_cert", "certs", 4, f"ends={ends}").split()
    good = f"acme resnet fp32 realtime {engine} ok 1 {100 * HOUR} {400 * HOUR} {ends - 1}"
    ask = (*ASK, "--certificates=certs")
    bill = ("invoice", *ask, "--tariffs=book.json", "--tenant=acme")

    def told(*lines):
        shutil.rmtree(t.folder / "ledger", ignore_errors=True)
        put_all(t, lines=lines)
        text = t.works(*bill)
        line, = json.loads(t.works(*bill, "--json"))["lines"]
        warned = re.search(r"^Warning: (\d+) requests? cites? a certificate whose term was over; of such work at most the "
                           r"device time is charged\.$", text, re.M)
        count = line.get("requests_after_certificate", 0)
        check(int(warned[1]) == count if warned else count == 0, text, line)
        used, = json.loads(t.works("usage", *ask, "--json"))
        check(used["reference_ns"] == line["reference_ns"], used, line)
        check(exported(t, bill) == [(count, 0, 0)], count)
        return count, int(line["reference_ns"]) // HOUR, float(line["unit_price"])
    count, hours, price = told(good)
    check((count, hours) == (0, 400) and 1.8 < price < 2, count, hours, price)
    late = good.replace(str(ends - 1), str(ends))
    check(told(late) == (1, 100, price), "the price of the certificate, and no more work than time")
    check(told(good, late, late) == (2, 600, price))
    check(told(late.replace(" ok ", " on-cores ")) == (1, 50, price), "two threads are the device")
    slow = late.replace(str(100 * HOUR), str(700 * HOUR))
    check(told(slow) == (1, 400, price), "never more than was counted")
    check(told(slow.replace(str(700 * HOUR), str(100 * HOUR)).replace(engine, f"ref:{reference}")) == (1, 100, 3.0))
    (t.folder / "certs" / f"{reference}.reference.json").unlink()
    check(told(late.replace(engine, f"ref:{reference}")) == (0, 400, 3.0), "of what is not there nothing is known")
    shutil.rmtree(t.folder / "ledger")
    put_all(t, lines=[good, late])
    t.works("invoice", "--ledger=ledger", "--period=2026-11", "--certificates=certs", "--tariffs=book.json", "--final",
            "--first", "--books=books")
    replay = ("invoice", "--verify=books/1-1.invoice.json", "--ledger=ledger", "--certificates=certs", "--books=books")
    t.works(*replay)
    check("Warning: 1 request cites" in t.works("invoice", "--ledger=ledger", "--number=1-1", "--books=books",
                                                "--certificates=certs"))
    page = t.works("invoice", "--ledger=ledger", "--number=1-1", "--books=books", "--certificates=certs", "--format=html")
    check("Warning: 1 request cites" in page, page)


def case_while_suspended(t):
    """A record that cites a certificate which was suspended when it began: at most its device time, for good, and the
    invoice says it; by bill, usage and what-if alike."""
    (t.folder / "certs").mkdir()
    reference, engine = t.tool("make_cert", "certs", 4).split()
    ask = (*ASK, "--certificates=certs")
    bill = ("invoice", *ask, "--tariffs=book.json", "--tenant=acme")
    put_all(t, lines=[f"acme resnet fp32 realtime {engine} ok 1 {100 * HOUR} {400 * HOUR} {NOVEMBER + s}" for s in range(10)])

    def says(address, state, since, before=""):
        t.put(f"certs/{address}.state.json", json.dumps({
            "certificate": address, "state": state, "since": f"2026-11-01T00:00:{since:02}Z", "reason": "it drifted",
            "before": [{"from": f"2026-11-01T00:00:{a:02}Z", "until": f"2026-11-01T00:00:{b:02}Z"} for a, b in before]}).encode())

    def told():
        text = t.works(*bill)
        line, = json.loads(t.works(*bill, "--json"))["lines"]
        warned = re.search(r"^Warning: (\d+) requests? cites? a certificate that was suspended when (it|they) began; of such work at "
                           r"most the device time is charged\.$", text, re.M)
        count = line.get("requests_while_suspended", 0)
        check(int(warned[1]) == count if warned else count == 0, text, line)
        check(exported(t, bill) == [(0, 0, count)], count)
        used, = json.loads(t.works("usage", *ask, "--json"))
        check(used["reference_ns"] == line["reference_ns"], used, line)
        what, = json.loads(t.works("whatif", *ask, "--tariffs=book.json", "--json"))["scenarios"]
        check(what["tenants"]["acme"] == line["amount"], what, line)
        return count, int(line["reference_ns"]) // HOUR, float(line["unit_price"])
    count, hours, price = told()
    check((count, hours) == (0, 4000) and 1.8 < price < 2, count, hours, price)
    says(engine, "suspended", 7)
    check(told() == (3, 3100, price), told())
    says(engine, "suspended", 7, [(2, 4)])
    check(told() == (5, 2500, price), told())
    says(engine, "in force", 9, [(2, 4), (7, 9)])
    check(told() == (4, 2800, price), told())
    t.works("invoice", "--ledger=ledger", "--period=2026-11", "--certificates=certs", "--tariffs=book.json", "--final",
            "--first", "--books=books")
    replay = ("invoice", "--verify=books/1-1.invoice.json", "--ledger=ledger", "--certificates=certs", "--books=books")
    check("it warns: 0 of its requests cite a certificate after its term, 4 one that was suspended, 0 were recorded" in
          t.works(*replay))
    check(json.loads(t.works(*replay, "--json"))["requests_while_suspended"] == 4)
    t.works("certify", f"--suspend=certs/{engine}.engine.json", "--reason=again")  # now, and so of no closed time
    t.works("certify", f"--reinstate=certs/{engine}.engine.json")
    t.works(*replay)
    page = t.works("invoice", "--ledger=ledger", "--number=1-1", "--books=books", "--certificates=certs", "--format=html")
    check("Warning: 4 requests cite a certificate that was suspended" in page, page)
    shutil.rmtree(t.folder / "ledger")
    put_all(t, lines=[f"acme resnet fp32 realtime ref:{reference} ok 1 {100 * HOUR} {400 * HOUR} {NOVEMBER}"])
    says(reference, "suspended", 0)
    check(told() == (1, 100, 3.0), "the reference certificate alone")
    t.put(f"certs/{reference}.state.json", b"{}")
    t.fails("E_CORRUPT", f"*certs/{reference}.state.json: the state is of another certificate", *bill)


def case_another_version_was_told(t):
    """What a record says of its tariff is held against the book, which prices it; the invoice says where they differ."""
    def use(tariff, outcome="ok"):
        return f"acme resnet fp32{tariff} realtime - {outcome} 1 {HOUR} {HOUR if outcome == 'ok' else 0} {NOVEMBER + 5}"

    put_all(t, lines=[use(""), use("@gain/1"), use("@gain/2"), use("@gain/11"), use("@hourly/1"), use("@gain"), use("@gai/1"),
                      use("@gain/2", "failed")])
    bill = ("invoice", *ASK, "--tariffs=book.json")
    told = "requests were recorded under another version of the tariff than the book has for that time; the book is charged by."
    for how in ((), ("--format=html",)):
        check(f"Warning: 5 {told}" in t.works(*bill, *how))
    lines = json.loads(t.works(*bill, "--json"))["lines"]
    check([line.get("requests_of_another_tariff") for line in lines] == [5, None] and lines[0]["amount"] == "21.00", lines)
    check(exported(t, bill) == [(0, 5, 0), (0, 0, 0)])
    check("acme" in t.works("whatif", *ASK, "--tariffs=book.json", "--tariff=hourly"))
    t.works(*bill, "--final", "--first", "--books=books")
    replay = ("invoice", "--verify=books/1-1.invoice.json", "--ledger=ledger", "--books=books")
    check("it warns: 0 of its requests cite a certificate after its term, 0 one that was suspended, 5 were recorded under another version of the tariff"
          in t.works(*replay))
    check(json.loads(t.works(*replay, "--json"))["requests_of_another_tariff"] == 5)
    shutil.rmtree(t.folder / "ledger")
    put_all(t, lines=[use(""), use("@gain/1")])
    check("Warning" not in t.works(*bill))


def case_tariff(t):
    put_all(t, lines=[])
    text = t.works("tariff", "book.json")
    check(re.search(r"price of an EPU-hour +3\.00 +2\.25 +2\.00 +1\.875 +1\.80$", text, re.M), text)
    check("gain version 1, gain-share, USD, until further notice\n  an EPU-hour costs 3.00 x (1 - 0.5 x (1 - 1 / speed-up))\n"
          "  a device-hour costs the platform 1.80; of the same work more is left to it than unoptimised as long as the share "
          "is below 0.6\n" in text and "everybody else has gain, until further notice\n" in text, text)
    check(re.search(r"busy device-hour earns +3\.00 +4\.50 +6\.00 +7\.50 +9\.00$", text, re.M), text)
    got = json.loads(t.works("tariff", "book.json", "--json"))
    check(got[0]["prices"][3] == {"speed_up": 4, "price": "1.875", "device_hour_earns": "7.50"}, got)
    every = {**BOOK["tariffs"][0], "device_cores": 4, "speed_up_max": "8", "minimum": "100", "cold_start": True,
             "from": "2026-01-01", "until": "2027-01-01", "classes": {"realtime": "1.5", "batch": "0.7"}, "precisions": {"fp16": "0.95"},
             "tiers": {"mode": "graduated", "steps": [{"up_to_epu_hours": "1000", "factor": "1"}, {"factor": "0.9"}]},
             "residency": {"floor": "0.5", "device_bytes": 80000000000}}
    t.put("every.json", json.dumps({"tariffs": [every], "grants": []}).encode())
    text = t.works("tariff", "every.json")
    check("gain version 1, gain-share, USD, from 2026-01-01T00:00:00Z until 2027-01-01T00:00:00Z\n  an EPU-hour costs 3.00 x "
          "(1 - 0.5 x (1 - 1 / speed-up)), with a speed-up of at most 8; a device-hour is 4 core-hours; EPU-hours of a period x 1 up "
          "to 1000, x 0.9 above; at least 100.00 a period; an hour in which memory is held at least 0.5 x 3.00 x its share of "
          "80000000000 bytes; loading at 3.00 a device-hour\n  classes: realtime x 1.5, batch x 0.7\n  precisions: fp16 x 0.95\n"
          in text, text)
    t.put("bad.json", b'{"tariffs": [{"name": "x"}], "grants": []}')
    t.fails("E_ARG", "*bad.json: tariff 'x': version must be*", "tariff", "bad.json")


def case_whatif_changes_the_price_alone(t):
    """A kind with its numbers is each one's own tariff at another price: cores, classes, tiers, minimum, who has what."""
    own = {**BOOK["tariffs"][0], "device_cores": 4, "classes": {"batch": "0.5"}, "speed_up_max": "2", "minimum": "5",
           "tiers": {"mode": "volume", "steps": [{"up_to_epu_hours": "1", "factor": "1"}, {"factor": "0.5"}]}}
    book = {"tariffs": [own, {**BOOK["tariffs"][1], "device_hour": "6"}],
            "grants": [{"tenant": "acme", "tariff": "gain"}, {"tenant": "idle", "tariff": "gain"}, {"tariff": "hourly"}]}
    (t.folder / "certs").mkdir()
    certificate = t.tool("make_cert", "certs", 4).split()[1]
    put_all(t, book=book, lines=[f"acme resnet fp32 batch {certificate} on-cores 1 {4 * HOUR} {8 * HOUR} {NOVEMBER}",
                                 f"bolt resnet fp32 batch - ok 1 {HOUR} {HOUR} {NOVEMBER}"])
    ask = ("whatif", *ASK, "--tariffs=book.json", "--certificates=certs")
    got = json.loads(t.works(*ask, "--json", "--tariff=gain-share,a=0.5", "--tariff=gain-share,a=0.8,p=4", "--tariff=device-hour",
                             "--tariff=device-hour,c=1", "--tariff=flat-epu,q=1"))["scenarios"]
    # 8 EPU-hours, s at most 2, by half for the class, by half for the tier; the others' P is 6.
    want = [{"acme": "5.00", "bolt": "6.00", "idle": "5.00"}, {"acme": "5.00", "bolt": "6.00", "idle": "5.00"},
            {"acme": "5.00", "bolt": "4.00", "idle": "5.00"}, {"acme": "5.00", "bolt": "6.00", "idle": "5.00"},
            {"acme": "5.00", "bolt": "6.00", "idle": "5.00"}, {"acme": "5.00", "bolt": "1.00", "idle": "5.00"}]
    check([s["tenants"] for s in got] == want, [s["tenants"] for s in got])
    check([s["cost"] for s in got] == ["3.60"] * 4 + ["2.00", "3.60"], [s["cost"] for s in got])  # a device-hour is 4 core-hours
    check(all(s["device_hours"] == "2" and s["device_hours_freed"] == "7" for s in got), got)
    own["minimum"] = "0"
    t.put("book.json", json.dumps(book).encode())
    got = json.loads(t.works(*ask, "--json", "--tariff=gain-share,a=0.5", "--tariff=gain-share,a=0.8,p=4", "--tariff=device-hour",
                             "--tariff=flat-epu,q=1"))["scenarios"]
    check([s["tenants"]["acme"] for s in got] == ["4.50", "4.50", "4.80", "0.75", "2.00"], got)
    t.fails("E_ARG", "*--tariff=flat-epu: q= is missing, the price of an EPU-hour: no tariff of book.json says it", *ask,
            "--tariff=flat-epu")
    put_all(t, book={"tariffs": [{**own, "until": "2020-01-01"}], "grants": []}, lines=[])
    got = json.loads(t.works(*ask, "--json", "--tariff=gain-share,a=0.5"))["scenarios"]
    check([s["tenants"] for s in got] == [{"acme": "4.50", "bolt": "1.50"}], got)  # over or not: ever


def case_whatif_owes_nothing(t):
    """A tariff by which nobody owes anything is a column as others are."""
    idle = {"tenant": "idle", "tariff": "gain"}
    put_all(t, lines=[f"acme resnet fp32 batch - residency 3600000 0 0 {NOVEMBER}"], book={"grants": [idle, {"tariff": "hourly"}], "tariffs": [
        {**BOOK["tariffs"][0], "minimum": "5"}, {**BOOK["tariffs"][1], "residency": {"floor": "1", "device_bytes": 1000}},
        {**BOOK["tariffs"][1], "name": "plain"}]})
    ask = ("whatif", *ASK, "--tariffs=book.json")
    got = json.loads(t.works(*ask, "--tariff=plain", "--json"))["scenarios"]
    check([s["tenants"] for s in got] == [{"acme": "3.00", "idle": "5.00"}, {}], got)
    check([s["charged"] for s in got] == ["8.00", "0.00"] and got[1]["margin"] == "0.00", got)
    text = t.works(*ask, "--tariff=plain", "--svg=p.svg")
    check(re.search(r"^acme +3\.00 +0\.00$", text, re.M), text)
    check(t.works(*ask, "--tariff=hourly", "--json") and "</svg>" in (t.folder / "p.svg").read_text())
    t.put("book.json", json.dumps(BOOK).encode())
    t.fails("E_NOT_FOUND", "*nobody used anything in this period", "whatif", "--ledger=ledger", "--period=2020-01", ask[-1],
            "--tariff=hourly")


def case_whatif_as_it_is_typed(t):
    """Without a path it looks at what lies here; a table, a picture in it, and the picture as a file."""
    put_all(t)
    (t.folder / "book.json").rename(t.folder / "tariffs.json")
    ask = ("whatif", "--tariff=gain-share,a=0.8", "--since=2026-11-01", "--until=2026-12-01")
    text = t.works(*ask)
    check(re.search(r"^all tenants pay +4\.50 +4\.50$", text, re.M), text)
    check(re.search(r"^device-hours freed +0 +0$", text, re.M), text)
    check(re.search(r"^gain-share,a=0\.8 +#{48} 4\.50$", text, re.M), text)
    before = t.files()
    t.works(*ask)
    check(t.files() == before)
    t.works(*ask, "--svg=p.svg")
    check("</svg>" in (t.folder / "p.svg").read_text())


def case_whatif_is_the_invoices(t):
    """Under what is in force it charges what the invoices charge, to the last tenant."""
    random = [(i * 2654435761) % 2**32 for i in range(1, 400)]
    tenants, classes = ("acme", "bolt", "cold"), ("realtime", "batch", "standard")
    lines = [f"{tenants[r % 3]} m{r % 5} fp32 {classes[r // 7 % 3]} - {'failed' if r % 11 == 0 else 'ok'} {1 + r % 8} "
             f"{r} {0 if r % 11 == 0 else r * 1000} {NOVEMBER + r % 2000000} {'void' if r % 13 == 0 else ''}" for r in random]
    put_all(t, lines=lines, book={"tariffs": [
        {**BOOK["tariffs"][0], "classes": {"batch": "0.7"}, "minimum": "1",
         "tiers": {"mode": "graduated", "steps": [{"up_to_epu_hours": "0.01", "factor": "1"}, {"factor": "0.83"}]}},
        BOOK["tariffs"][1]], "grants": [{"tenant": "cold", "tariff": "hourly"}, {"tariff": "gain"}]})
    got = json.loads(t.works("whatif", *ASK, "--tariffs=book.json", "--json"))["scenarios"][0]
    for tenant in tenants:
        said = json.loads(t.works("invoice", *ASK, "--tariffs=book.json", f"--tenant={tenant}", "--json"))
        check(got["tenants"][tenant] == said["total"], tenant, got, said["total"])


def case_whatif_other_engines(t):
    """As if engines of another precision, or of a certificate, had served: the same work in other time, at its price."""
    (t.folder / "certs").mkdir()
    reference, fp32 = t.tool("make_cert", "certs", 4).split()
    again, fp16 = t.tool("make_cert", "certs", 8, "fp16").split()
    check(reference == again and fp32 != fp16)
    put_all(t, lines=[f"acme resnet v realtime {fp32} ok 1 {HOUR // 4} {HOUR} {NOVEMBER}",
                      f"bolt resnet v realtime ref:{reference} ok 1 {HOUR} {HOUR} {NOVEMBER}",
                      f"cold other v realtime - ok 1 {HOUR} {HOUR} {NOVEMBER}"])
    ask = ("whatif", *ASK, "--tariffs=book.json", "--certificates=certs", "--json")
    was, same = json.loads(t.works(*ask, f"--certificate={fp32}", "--tariff=hourly"))["scenarios"][:2]
    check(was["tenants"]["acme"] == same["tenants"]["acme"], was, same)  # itself in its own place
    check(float(was["tenants"]["bolt"]) == 3 and abs(float(same["tenants"]["bolt"]) - 1.87) < 0.02, same)
    check(abs(float(was["device_hours"]) - 2.25) < 1e-6 and abs(float(same["device_hours"]) - 1.5) < 0.01, same)
    was, other, hourly = json.loads(t.works(*ask, "--precision=fp16", "--tariff=hourly"))["scenarios"]
    check(other["tariff"] == "fp16" and other["epu_hours"] == was["epu_hours"] == "3", other)
    check(abs(float(other["tenants"]["acme"]) - 3 * (1 - 0.5 * 7 / 8)) < 0.02, other)
    check(other["tenants"]["cold"] == was["tenants"]["cold"], other)
    check(abs(float(other["device_hours"]) - 1.25) < 0.01 and abs(float(hourly["charged"]) - 3.75) < 0.05, other, hourly)
    check(abs(float(other["device_hours_freed"]) - 1.75) < 0.01, other)
    shutil.rmtree(t.folder / "ledger")  # loading is no work: it takes as long as it took
    put_all(t, lines=[f"acme resnet v realtime {fp32} cold-start 0 {HOUR} 0 {NOVEMBER}",
                      f"acme resnet v realtime {fp32} failed 1 {8 * HOUR} 0 {NOVEMBER}"],
            book={**BOOK, "tariffs": [{**BOOK["tariffs"][0], "cold_start": True}]})
    was, other = json.loads(t.works(*ask, "--precision=fp16"))["scenarios"]
    check(was["tenants"] == other["tenants"] == {"acme": "3.00"}, was, other)
    check(abs(float(was["cost"]) - 9 * 1.8) < 0.01 and abs(float(other["cost"]) - 5 * 1.8) < 0.05, was, other)
    t.fails("E_NOT_FOUND", "*has no engine certificate of precision int8*", *ask, "--precision=int8")
    t.fails("E_ARG", "*give either --certificate or --precision", *ask, "--precision=fp16", "--certificate=x")
    t.fails("E_NOT_FOUND", "*certs/beef.engine.json*", *ask, "--certificate=beef")
    t.fails("E_ARG", "*--certificates=DIR is missing*", *ask[:4], "--precision=fp16")
    shutil.rmtree(t.folder / "ledger")
    put_all(t)
    t.fails("E_NOT_FOUND", "*no record of this period is of a model that these certificates are of", *ask,
            "--precision=fp16")
