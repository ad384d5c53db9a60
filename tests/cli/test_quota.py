"""dyno quota: budgets set, shown, topped up; what is refused."""
import json
import sqlite3
import time
from random import Random

from harness import check

DB = "--control-db=c.db"
BOOK = {"tariffs": [{"name": "flat", "version": 1, "currency": "EUR", "kind": "flat-epu", "epu_hour": "1"}],
        "grants": [{"tariff": "flat"}]}


def told(t, *args):
    return json.loads(t.works("quota", *args, DB, "--json"))


def tenants(t, *names):
    for name in names:
        t.works("tenant", "add", name, DB)


def case_set_show_list(t):
    tenants(t, "acme", "other")
    got, = told(t, "set", "acme", "--epu-hours=2.5", "--period=month", "--model=m", "--class=batch")
    created, renewed = got.pop("created"), got.pop("renewed")
    check(created.startswith("20") and renewed.endswith("-01T00:00:00Z"), created, renewed)
    check(got == {"id": 1, "tenant": "acme", "of_every_tenant": False, "model": "m", "class": "batch",
                  "unit": "epu-hours", "period": "month", "hard": True, "alerts": [80, 100], "amount": "2.5",
                  "used": "0", "used_reference_ns": "0", "reserved": "0", "left": "2.5", "leased": "0",
                  "used_percent": 0}, got)
    text = t.works("quota", "show", "acme", DB)
    check(text.startswith("budget 1 of acme: 2.5 EPU-hours a month for model 'm' and class 'batch'\n"), text)
    check("  left        2.5\n" in text and f"  renewed     {renewed}\n" in text and "  alerts      80,100\n" in text,
          text)
    # The same scope again is the same budget.
    got, = told(t, "set", "acme", "--epu-hours=3", "--period=month", "--model=m", "--class=batch", "--soft",
                "--alerts=none")
    check((got["id"], got["amount"], got["hard"], got["alerts"]) == (1, "3", False, []), got)
    got, = told(t, "set", "acme", "--epu-hours=4", "--period=month", "--model=m", "--class=batch", "--alerts=7")
    check((got["hard"], got["alerts"]) == (False, [7]), got)
    told(t, "set", "--every", "--epu-hours=1", "--period=day")
    check([(b["tenant"], b["id"], b["of_every_tenant"]) for b in told(t, "list")] ==
          [("acme", 1, False), ("acme", 2, True), ("other", 2, True)], told(t, "list"))
    told(t, "set", "acme", "--epu-hours=9", "--period=day")  # his own, in the place of every tenant's
    check([b["amount"] for b in told(t, "show", "acme")] == ["4", "9"], told(t, "show", "acme"))
    rows = t.works("quota", "list", DB).splitlines()
    check(len(rows) == 4 and rows[0].split()[:3] == ["TENANT", "ID", "UNIT"], rows)
    check(rows[1].endswith("m, batch, only alerts") and rows[3].endswith("all models"), rows)
    check(told(t, "remove", "acme", "--period=day") == {"removed": 3})
    check(t.works("quota", "remove", "--every", DB) == "budget 2 is removed\n")
    check(t.works("quota", "show", "other", DB) == "tenant other has no such budget\n")
    check(t.works("quota", "set", "--every", "--epu-hours=1", "--period=day", DB).startswith("budget 4 of acme"))


def case_prepaid(t):
    tenants(t, "acme")
    t.put("book.json", json.dumps(BOOK).encode())
    got, = told(t, "set", "acme", "--money=50", "--tariffs=book.json", "--period=none")
    check((got["unit"], got["amount"], got["left"], got["used_nano"], got["renewed"]) ==
          ("EUR", "50.00", "50.00", "0", None), got)
    got, = told(t, "topup", "acme", "--money=0.000000001", "--currency=EUR")
    check(got["amount"] == "50.000000001", got)
    text = t.works("quota", "show", "acme", DB)
    check("50.000000001 EUR, prepaid\n" in text and "renewed     when it is topped up" in text, text)


def case_over(t):
    """What shares say is added up; a list of those that are nearly used up."""
    tenants(t, "a", "b")
    told(t, "set", "--every", "--epu-hours=1", "--period=none")
    with sqlite3.connect(t.path("c.db")) as db:
        db.execute("INSERT INTO budget_share VALUES (1, 1, 0, 1, 1800000000000, 4294967295, 3600000000, 2000000000000)")
        db.execute("INSERT INTO budget_share VALUES (1, 1, 0, 2, 1080000000000, 2, 0, 1080000000000)")
    got = told(t, "list", "--over=80")
    check(len(got) == 1 and got[0]["used_reference_ns"] == "2880000000001" and got[0]["reserved"] == "0.001", got)
    check(got[0]["left"] == "0.198999999999" and got[0]["used"] == "0.8" and got[0]["leased"].startswith("0.05"), got)
    check("is leased by 2 servers" in t.works("quota", "show", "a", DB), t.works("quota", "show", "a", DB))
    check(told(t, "list", "--over=81") == [] and len(told(t, "show", "a", "--over=80")) == 1)


def case_refusals(t):
    tenants(t, "acme")
    t.put("book.json", json.dumps(BOOK).encode())
    t.put("bad.json", b"{")

    def bad(status, says, *args):
        t.fails(status, f"dyno quota: {says}", "quota", *args)
    some = ("--epu-hours=1", "--period=day", DB)
    bad("E_ARG", "wants set|list|*, got 0 of those*")
    bad("E_ARG", "it knows set, list, show, topup, remove and reconcile, not 'make'", "make", "x", DB)
    bad("E_ARG", "show wants the name of a tenant", "show", DB)
    bad("E_ARG", "list is of all tenants and takes no name", "list", "acme", DB)
    bad("E_ARG", "--control-db=FILE is missing", "list")
    bad("E_NOT_FOUND", 'control database "none.db": No such file or directory', "list", "--control-db=none.db")
    bad("E_NOT_FOUND", "there is no tenant 'you'", "set", "you", *some)
    bad("E_NOT_FOUND", "there is no tenant 'you'", "show", "you", DB)
    bad("E_ARG", "set wants the name of a tenant, or --every", "set", *some)
    bad("E_ARG", "give either the name of a tenant or --every", "set", "acme", "--every", *some)
    bad("E_ARG", "'b?' is no name of a model: *, and no pattern", "set", "acme", "--model=b*", *some)
    bad("E_ARG", "'a b' is no name of a service class: *", "set", "acme", "--class=a b", *some)
    bad("E_ARG", "--epu-hours=-1 is negative", "set", "acme", "--epu-hours=-1", "--period=day", DB)
    bad("E_ARG", "--epu-hours: 1e5 is no decimal number*", "set", "acme", "--epu-hours=1e5", "--period=day", DB)
    bad("E_ARG", "--epu-hours=1200000: a budget is at most 1,111,111", "set", "acme", "--epu-hours=1200000",
        "--period=day", DB)
    bad("E_ARG", "--money=-0.5 is negative", "set", "acme", "--money=-0.5", "--currency=EUR", "--period=day", DB)
    bad("E_ARG", "--money=5000000000: a budget is at most 4,000,000,000", "set", "acme", "--money=5000000000",
        "--currency=EUR", "--period=day", DB)
    bad("E_ARG", "--money wants --currency=CODE, or --tariffs=FILE", "set", "acme", "--money=1", "--period=day", DB)
    bad("E_ARG", "--currency=XXX: there is no such currency", "set", "acme", "--money=1", "--currency=XXX",
        "--period=day", DB)
    bad("E_ARG", "--currency=USD: the book of tariffs is in EUR", "set", "acme", "--money=1", "--currency=USD",
        "--tariffs=book.json", "--period=day", DB)
    bad("E_FORMAT", "bad.json: *", "set", "acme", "--money=1", "--tariffs=bad.json", "--period=day", DB)
    bad("E_ARG", "give either --epu-hours or --money", "set", "acme", "--money=1", *some)
    bad("E_ARG", "--currency and --tariffs want --money", "set", "acme", "--currency=EUR", *some)
    bad("E_ARG", "set wants --epu-hours=N or --money=N", "set", "acme", "--period=day", DB)
    bad("E_ARG", "set wants --period=day, month or none", "set", "acme", "--epu-hours=1", DB)
    bad("E_ARG", "'week' is no period of a budget: day, month or none", "set", "acme", "--epu-hours=1",
        "--period=week", DB)
    bad("E_ARG", "'80,50' is no list of alerts: *", "set", "acme", "--alerts=80,50", *some)
    bad("E_ARG", "give either --soft or --hard", "set", "acme", "--soft", "--hard", *some)
    bad("E_ARG", "show takes no --soft, --hard or --alerts: that is set", "show", "acme", "--soft", DB)
    bad("E_ARG", "list takes no budget: that is set", "list", "--epu-hours=1", DB)
    bad("E_ARG", "set takes no --over", "set", "acme", "--over=5", *some)
    bad("E_ARG", "show takes no --id", "show", "acme", "--id=1", DB)
    t.works("quota", "set", "acme", *some)
    t.works("quota", "set", "acme", "--money=1", "--currency=EUR", "--period=none", DB)
    bad("E_ARG", "there are budgets in another currency than USD: *", "set", "acme", "--money=1", "--currency=USD",
        "--period=day", DB)
    bad("E_ARG", "acme has 2 such budgets: say which by --id", "remove", "acme", DB)
    bad("E_NOT_FOUND", "acme has no such budget", "remove", "acme", "--id=7", DB)
    bad("E_NOT_FOUND", "acme has no such budget", "topup", "acme", "--epu-hours=1", DB)
    bad("E_ARG", "budget 1 is full again with each day, *", "topup", "acme", "--epu-hours=1", "--period=day", DB)
    bad("E_ARG", "topup wants --epu-hours=N or --money=N", "topup", "acme", DB)
    bad("E_ARG", "topup wants the name of a tenant, or --every", "topup", "--epu-hours=1", DB)
    bad("E_ARG", "what is added must be above 0, *", "topup", "acme", "--money=0", "--currency=EUR", DB)
    bad("E_ARG", "a connection string is seen by others and holds no password*", "show", "acme", DB,
        "--budget-db=host=/nowhere password=x")


# --- budgets and invoices ---

def decimal(random, low, high):
    return f"{random.uniform(low, high):.{random.randint(0, 9)}f}"


def random_book(random):
    """Any kind of tariff with any of what changes the price of a request; discounts, a minimum and a floor beside it."""
    kind = random.choice(["device-hour", "flat-epu", "gain-share"])
    tariff = {"name": "t", "version": 1, "currency": "USD", "kind": kind, "device_hour": decimal(random, 0.01, 900),
              "device_cores": random.choice([1, 3, 64]), "cold_start": random.random() < 0.7,
              "classes": {"rt": decimal(random, 0.1, 3)}, "precisions": {"fp32": decimal(random, 0.1, 2)}}
    if kind == "flat-epu":
        tariff["epu_hour"] = decimal(random, 0.01, 900)
    if kind == "gain-share":
        tariff |= {"share": f"{random.random():.6f}", "speed_up_max": f"{random.uniform(1, 9):.6f}"}
    if random.random() < 0.5:
        tariff["tiers"] = {"mode": random.choice(["graduated", "volume"]), "steps": [
            {"up_to_epu_hours": f"{random.uniform(0.001, 1):.6f}", "factor": "1"}, {"factor": decimal(random, 0.1, 1)}]}
    if random.random() < 0.3:
        tariff["minimum"] = "1000"
    if random.random() < 0.3:
        tariff["residency"] = {"floor": "0.5", "device_bytes": 80000000000}
    return {"tariffs": [tariff], "grants": [{"tariff": "t"}]}


def random_records(random, engines, start_s):
    for _ in range(random.randint(1, 60)):
        tenant, model, name = random.choice("ab"), random.choice("mn"), random.choice(["rt", "batch"])
        device = random.choice(["", "@slow", "@fast"])
        engine = random.choice(["-", *engines])
        outcome = random.choice(["ok", "ok", "on-cores", "on-cores", "failed", "cached", "cold-start"])
        ns, cores = random.randint(0, 10 ** random.randint(1, 13)), random.randint(0, 10 ** random.randint(1, 13))
        work = ns if outcome in ("ok", "on-cores") else 0
        how = random.choice(["", "", "", "void", "unsent"]) if work else ""
        if outcome == "cold-start":
            name = "rt"  # a line of it does not tell the class
        when = start_s + random.randint(0, 99)
        yield f"{tenant} {model} fp32 {name}{device} {engine} {outcome} 1 {cores} {work} {when} {how}"


def nano(text):
    whole, _, rest = text.partition(".")
    return int(whole + rest.ljust(9, "0"))


def case_the_invoice_counts_the_same(t):
    """For any tariff and any records: a budget was used by what the lines of usage and of cold starts come to before they
    are rounded, in money and in work, of all and of a model and class. The terms end, and one certificate is
    suspended, while the records begin."""
    start_s = int(time.time()) + 1000
    for device, ns in (("slow", 20e6), ("fast", 5e6)):
        (t.folder / "certs").mkdir(exist_ok=True)
        t.tool("make_cert", "certs", 4, f"device={device}", f"item_ns={ns}", f"ends={start_s + 50}")
    engines = sorted(p.name[:64] for p in (t.folder / "certs").glob("*.engine.json"))
    check(len(engines) == 2, engines)
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start_s + 25))
    t.put(f"certs/{engines[0]}.state.json", json.dumps({"certificate": engines[0], "state": "suspended", "since": since,
                                                        "reason": "a test"}).encode())
    t.put("table.json", json.dumps({"dyno_device_factors": 1, "reference": "slow", "devices": [
        {"class": "slow", "factor_1e9": 1000000000, "source": "definition"},
        {"class": "fast", "factor_1e9": 333333333, "source": "elsewhere", "from": "a test"}]}).encode())
    seen = dict.fromkeys(("cold-start", "tiers", "usage", "minimum", "factors", "lapsed", "suspended"), 0)
    for seed in range(16):
        random = Random(seed)
        db, ledger = f"--control-db={seed}.db", f"l{seed}"
        t.put("book.json", json.dumps(random_book(random)).encode())
        factors = ["--factors=table.json"] if random.random() < 0.5 else []
        seen["factors"] += len(factors)
        for tenant in "ab":
            t.works("tenant", "add", tenant, db)
        for scope in ([], ["--model=m"], ["--model=n", "--class=rt"]):
            t.works("quota", "set", "--every", "--epu-hours=100000", "--period=none", *scope, db)
            t.works("quota", "set", "--every", "--money=900000000", "--currency=USD", "--period=none", *scope, db)
        t.tool("make_ledger", ledger, stdin="\n".join(random_records(random, engines, start_s)) + "\n")
        made_of = ("--tariffs=book.json", "--certificates=certs", *factors)
        got = t.dyno("invoice", f"--ledger={ledger}", "--since=2024-01-01", "--until=2100-01-01", *made_of, "--format=json")
        check(got.returncode == 0, got)
        accounts = [json.loads(text) for text in got.stdout.replace("}\n{", "}\0{").split("\0") if text]
        t.works("quota", "reconcile", f"--ledger={ledger}", "--node=1", *made_of, db)
        for tenant in "ab":
            lines = [line for a in accounts if a["tenant"] == tenant for line in a["lines"]]
            for line in lines:
                seen[line["kind"]] = seen.get(line["kind"], 0) + 1
                seen["lapsed"] += line.get("requests_after_certificate", 0)
                seen["suspended"] += line.get("requests_while_suspended", 0)
            for budget in json.loads(t.works("quota", "show", tenant, db, "--json")):
                mine = [line for line in lines if line["kind"] in ("usage", "cold-start") and
                        budget["model"] in (None, line["model"]) and budget["class"] in (None, line.get("class", "rt"))]
                if budget["unit"] == "epu-hours":
                    work = sum(int(line["reference_ns"]) for line in mine if line["kind"] == "usage")
                    check(int(budget["used_reference_ns"]) == work, seed, budget, work)
                    continue
                money = sum(nano(line["exact"]) for line in mine)  # each is cut to the nano-unit
                check(money - 1 <= int(budget["used_nano"]) <= money + len(mine), seed, budget, money, mine)
    check(all(seen.values()), seen)
