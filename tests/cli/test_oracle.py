"""The bill against a second reckoning of it (oracle.py), over random small ledgers and books."""
import json
import os
import pathlib
import shutil
import time
from fractions import Fraction
from random import Random

import oracle
from harness import Failure, check
from test_closing import live, tell

DAY = 86400
OCTOBER, NOVEMBER, DECEMBER, JANUARY = 1727740800, 1730419200, 1733011200, 1735689600
TENANTS = ("acme", "bolt", "cold")


def span(first_s, next_s):
    return first_s * oracle.NANO, next_s * oracle.NANO


# --- random books ---

def number(rng, least, most, places):
    unit = 10 ** rng.randint(0, places)
    whole = rng.randint(int(least * unit), int(most * unit))
    return f"{whole // unit}.{whole % unit:0{len(str(unit)) - 1}d}" if unit > 1 else str(whole)


def tiers(rng):
    steps, at = [], 0
    for _ in range(rng.randint(0, 3)):
        at += rng.choice((10**6, 10**6, rng.randint(1, 4 * 10**6)))
        steps.append({"up_to_epu_hours": f"{at // 10**6}.{at % 10**6:06d}", "factor": number(rng, 0, 1.5, 3)})
    return {"mode": rng.choice(("graduated", "volume")), "steps": steps + [{"factor": number(rng, 0, 1.5, 3)}]}


def tariff(rng, name, version, currency, part):
    kind = rng.choice(("gain-share", "flat-epu", "device-hour"))
    made = {"name": name, "version": version, "currency": currency, "kind": kind, "device_hour": number(rng, 0, 9, 9),
            "cost_hour": number(rng, 0, 3, 9), **part}
    if kind == "gain-share":
        made["share"] = number(rng, 0, 1, 6)
    if kind == "flat-epu":
        made["epu_hour"] = number(rng, 0, 5, 9)
    for field, some in (("speed_up_max", lambda: number(rng, 1, 5, 6)), ("tiers", lambda: tiers(rng)),
                        ("minimum", lambda: number(rng, 0, 60, 9)), ("device_cores", lambda: rng.randint(1, 7)),
                        ("cold_start", lambda: rng.random() < 0.8),
                        ("classes", lambda: {"batch": number(rng, 0, 1, 9), "realtime": number(rng, 1, 2, 3)}),
                        ("precisions", lambda: {"fp16": number(rng, 0, 1, 4), "fp32": number(rng, 0, 2, 2)}),
                        ("residency", lambda: {"floor": number(rng, 0, 1, 5), "device_bytes": rng.randint(1, 9) * 10**9 + 7})):
        if rng.random() < 0.5:
            made[field] = some()
    if kind == "flat-epu" and not {"cold_start", "residency"} & set(made) and rng.random() < 0.5:
        del made["device_hour"]
    if rng.random() < 0.05:
        del made["cost_hour"]
    return made


def spans(rng, hours):
    """All time, in one or more parts, which begin with a day or within an hour that is used."""
    some = [*(OCTOBER + n * DAY for n in range(1, 60)), *(hour * 3600 + 1800 for hour in hours for _ in range(5))]
    cuts = sorted({rng.choice(some) for _ in range(rng.choice((0, 0, 1, 2)))})
    whole = [None, *(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(cut)) for cut in cuts), None]
    return [{**({"from": a} if a else {}), **({"until": b} if b else {})} for a, b in zip(whole, whole[1:])]


def book(rng, hours):
    currency = rng.choice(("USD", "USD", "EUR", "JPY", "KWD"))
    names = ("alpha", "beta", "gamma")[:rng.randint(1, 3)]
    tariffs = [tariff(rng, name, version, currency, part)
               for name in names for version, part in enumerate(spans(rng, hours), 1)]
    grants = [{"tariff": rng.choice(names)}] if rng.random() < 0.5 else [
        {"tariff": rng.choice(names), **part} for part in spans(rng, hours)]
    for tenant in rng.sample(("acme", "bolt", "idle"), rng.randint(0, 3)):
        some = [{"tenant": tenant, "tariff": rng.choice(names), **part} for part in spans(rng, hours)]
        grants += rng.sample(some, rng.randint(1, len(some)))
    rng.shuffle(grants)
    return {"tariffs": tariffs, "grants": grants}


# --- random ledgers ---

def certificates(t):
    """Addresses by what they are; an engine's and a reference certificate were suspended for some time."""
    (t.folder / "certs").mkdir()
    made = {}
    for name, more in (("fast", (4,)), ("fp16", (6, "fp16", "engine=1")), ("slower", (0.5, "engine=2")),
                       ("over", (3, "engine=3", f"ends={NOVEMBER + 10 * DAY}")), ("suspended", (2, "engine=4")),
                       ("slow", (5, "engine=5", "device=slow"))):
        made["ref " + name], made[name] = t.tool("make_cert", "certs", *more).split()
    for name, state, since, first, until in (("suspended", "suspended", "2024-11-14", "2024-10-10", "2024-10-20"),
                                             ("ref slow", "in force", "2024-11-25", "2024-11-05", "2024-11-25")):
        t.put(f"certs/{made[name]}.state.json", json.dumps({
            "certificate": made[name], "state": state, "since": f"{since}T00:00:00Z", "reason": "it drifted",
            "before": [{"from": f"{first}T00:00:00Z", "until": f"{until}T00:00:00Z"}]}).encode())
    return made


def start(rng, hours):
    """Mostly in a few hours, so that memory and requests meet; and at ends of days."""
    if rng.random() < 0.6:
        return rng.choice(hours) * 3600 + rng.choice((0, 1, 1800, 3599))
    return OCTOBER + rng.randint(-1, 70) * DAY + rng.choice((-1, 0, 1, 40000))


def line(rng, certs, hours):
    tenant = rng.choice(TENANTS)
    model, variant = rng.choice("mn"), rng.choice("vw")
    name = rng.choice((None, None, *certs))
    cited = "-" if name is None else certs[name] if name[:4] != "ref " else f"ref:{certs[name]}" + (
        f"+{certs[name[4:]]}" if rng.random() < 0.5 else "")
    kind = rng.choice(("ok", "ok", "ok", "on-cores", "on-cores", "failed", "cached", "refused", "cancelled", "residency",
                       "residency", "cold-start", "gpu-cold-start"))
    service = rng.choice(("batch", "realtime", "other", "-")) + rng.choice(("", "@slow", "@ref"))
    device_ns = rng.choice((0, 1, rng.randint(0, oracle.HOUR), 3 * oracle.HOUR, oracle.HOUR // 7))
    reference_ns = rng.choice((0, 1, rng.randint(0, 9 * oracle.HOUR), oracle.HOUR)) if kind in ("ok", "on-cores") else 0
    more = rng.choice(("", "", "", "", "", "", "void", "relaxed", "out-of-range", "uncertified degraded"))
    count = rng.choice((0, 1, 8, rng.randint(1, 4000)))
    if kind == "residency":
        count, device_ns, more, cited = rng.randint(0, 20 * 10**12), 0, rng.choice(("", "for=3600", "for=5000")), "-"
    if kind.endswith("cold-start"):
        more = ""
    told = rng.choice(("", "", "@alpha/1", "@beta/2"))
    return (f"{tenant} {model} {variant}{told} {service} {cited} {kind} {count} {device_ns} {reference_ns} "
            f"{start(rng, hours)} {more}")


FACTORS = {"dyno_device_factors": 1, "reference": "ref", "devices": [
    {"class": "ref", "factor_1e9": 1000000000, "source": "definition", "from": "a test"},
    {"class": "slow", "factor_1e9": 3700000001, "source": "elsewhere", "from": "a test"},
    {"class": "cpu of a test, 2 threads", "factor_1e9": 700000000, "source": "elsewhere", "from": "a test"}]}


# --- the same, told twice ---

def invoices(text):
    decoder, at, told = json.JSONDecoder(), 0, {}
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        one, at = decoder.raw_decode(text, at)
        told[one["tenant"]] = one
    return told


WHOLE = ("requests", "items")
KEYS = ("kind", "usage", "model", "variant", "class", "certificate", "tariff", "tariff_version", "late", "taken_back")


def key_of(get):
    return tuple(str(get(name, "")) for name in KEYS)


def same_line(mine, said):
    same = {"requests": mine.requests, "items": mine.items, "core_ns": mine.core_ns, "reference_ns": mine.reference_ns,
            "memory_byte_ns": mine.byte_ns, "exact": oracle.cut(mine.exact), "amount": mine.amount,
            "requests_after_certificate": mine.lapsed, "requests_while_suspended": mine.suspended,
            "requests_of_another_tariff": mine.claimed_another}
    if "unit_price" in said:
        same |= {"unit_price": oracle.half_away(mine.unit_price, oracle.NANO),
                 "quantity": oracle.hours(int(mine.units))}
    check(said.get("precision", "") == mine.precision, mine.key, mine.precision, said)
    for name, value in same.items():
        check(Fraction(said.get(name, 0)) == value, "line", mine.key, name, float(value), "and dyno says", said)


def same_invoice(mine, said):
    is_told = lambda kind, exact: kind != "credit" and (kind != "tiers" or Fraction(exact) != 0)
    told = [one for one in said["lines"] if is_told(one["kind"], one["exact"])]
    lines = {key_of(one.get): one for one in told}
    paid = [one["amount"] for one in said["lines"] if one["kind"] == "credit"]
    own = {key_of(one.key.get): one for one in mine.lines.values() if is_told(one.key["kind"], oracle.cut(one.exact))}
    check(set(lines) == set(own), mine.tenant, "has other lines: dyno's alone", sorted(set(lines) - set(own)),
          "and the oracle's alone", sorted(set(own) - set(lines)))
    check(len(told) == len(lines), mine.tenant, "has two lines that nothing tells apart", told)
    check(sum(map(Fraction, paid)) == -mine.paid and len(paid) == (mine.paid > 0), "credit", paid)
    for key, one in own.items():
        same_line(one, lines[key])
    for name, value in (("total", mine.total), ("residue", mine.residue), ("credit_before", mine.credit_before),
                        ("credit_left", mine.credit_left)):
        check(Fraction(said.get(name, "0")) == value, mine.tenant, name, value, said[name])


def same_invoices(accounts, said):
    check(set(accounts) == set(said), "invoices of", set(accounts), "and dyno has", set(said))
    for tenant, account in accounts.items():
        same_invoice(account, said[tenant])


def same_usage(mine, text):
    rows = {}
    for row in json.loads(text):
        unit = "core_ns" if "core_ns" in row else "device_ns"
        key = tuple(row[name] for name in ("tenant", "model", "variant", "class", "certificate", "kind")) + (
            unit if row["kind"] != "residency" else "",)
        check(key not in rows, "two rows of one key", key)
        rows[key] = [int(row[name]) for name in ("requests", "items", unit, "reference_ns", "memory_byte_ns")]
    wanted = mine.usage()
    check(rows == wanted, "usage", {k: (rows.get(k), wanted.get(k)) for k in {*rows, *wanted} if rows.get(k) != wanted.get(k)})


def same_scenario(accounts, said):
    mine = oracle.Scenario(accounts)
    check({k: Fraction(v) for k, v in said["tenants"].items()} == mine.tenants, said["tariff"], said["tenants"], mine.tenants)
    for name, value in (("charged", mine.charged), ("residue", mine.residue), ("cost", mine.cost), ("margin", mine.margin),
                        ("device_hours", oracle.hours(mine.device_ns)), ("epu_hours", oracle.hours(mine.reference_ns)),
                        ("device_hours_freed", oracle.hours(mine.reference_ns - mine.device_ns))):
        check((Fraction(said[name]) if said[name] else None) == value, said["tariff"], name, value, said[name])


class Made:
    """What a seed makes: certificates are the same for all."""

    def __init__(self, t, certs, seed):
        self.t, self.certs, self.rng = t, certs, Random(seed)
        rng = self.rng
        for name in ("ledger", "books"):
            shutil.rmtree(t.folder / name, ignore_errors=True)
        self.hours = [rng.randint(OCTOBER // 3600, DECEMBER // 3600 - 1) for _ in range(4)]
        self.book = book(rng, self.hours)
        self.factors = FACTORS if rng.random() < 0.4 else None
        t.put("book.json", json.dumps(self.book).encode())
        t.put("factors.json", json.dumps(FACTORS).encode())
        self.ask = ("--ledger=ledger", "--certificates=certs", *(["--factors=factors.json"] if self.factors else []))

    def lines(self, most):
        return [line(self.rng, self.certs, self.hours) for _ in range(self.rng.randint(1, most))]

    def records(self):
        return [json.loads(text) for text in self.t.works("ledger", "export", "ledger", "--json").splitlines()]

    def credits(self):
        made = {tenant: number(self.rng, 0, 40, 9) for tenant in (*TENANTS, "idle") if self.rng.random() < 0.4}
        return {k: Fraction(v) for k, v in made.items()}, [f"--credit={k}={v}" for k, v in made.items()]

    def ledger(self, records, *when, **billed):
        return oracle.Ledger(records, span(*when), oracle.Certificates(self.t.path("certs")), oracle.Factors(self.factors),
                             **billed)


def each_seed(t, case, count):
    certs = certificates(t)
    first = int(os.environ.get("DYNO_ORACLE_SEED", "0"))
    for seed in range(first, first + int(os.environ.get("DYNO_ORACLE_SEEDS", count))):
        try:
            case(t, Made(t, certs, seed))
        except Failure as failure:
            raise Failure(f"seed {seed}: {failure}") from None


def case_drafts(t):
    """Invoices, usage and what-if of a month."""
    each_seed(t, draft, 40)


def draft(t, made):
    for _ in range(made.rng.choice((1, 1, 2))):  # starts of the server
        lines = made.lines(40)
        if made.rng.random() < 0.3:  # nothing after it is known to have left
            lines[-made.rng.randint(1, min(5, len(lines)))] += " unsent"
        t.tool("make_ledger", "ledger", stdin="\n".join(lines) + "\n")
    mine = made.ledger(made.records(), NOVEMBER, DECEMBER)
    credits, paid = made.credits()
    ask = (*made.ask, "--period=2024-11")
    accounts = mine.accounts(made.book, credits)
    if not accounts:
        return t.fails("E_NOT_FOUND", "*nobody used anything in this period", "invoice", *ask, "--tariffs=book.json", *paid)
    said = invoices(t.works("invoice", *ask, "--tariffs=book.json", "--json", *paid))
    same_invoices(accounts, said)
    same_records(t, made, accounts[made.rng.choice(list(accounts))], said, ask)
    same_usage(mine, t.works("usage", *ask, "--json"))
    whatif(t, made, mine, ask)


def same_records(t, made, account, said, ask):
    """A line, record by record."""
    some = [one for one in said[account.tenant]["lines"] if one["kind"] in ("usage", "cold-start")]
    if not some:
        return
    one = made.rng.choice(some)
    line = next(line for line in account.lines.values() if key_of(line.key.get) == key_of(one.get))
    text = t.works("invoice", *ask, "--tariffs=book.json", f"--tenant={account.tenant}", "--records", f"--line={one['line']}",
                   "--format=json")
    got = [(row["id"], int(row["core_ns"]), int(row["reference_ns"]), Fraction(row["exact"]))
           for row in map(json.loads, text.splitlines())]
    wanted = oracle.rows(line, account.version_of(line), account.certs)
    check(got == wanted, "records of line", one, got, wanted)


def whatif(t, made, mine, ask):
    """In force, everybody by one tariff, each one's own at another price; or by other engines."""
    rng, tariffs = made.rng, made.book
    has = lambda field: any(field in tariff for tariff in tariffs["tariffs"])
    specs = [rng.choice(tariffs["tariffs"])["name"], f"device-hour,p={number(rng, 0, 9, 3)}",
             "flat-epu" if has("epu_hour") else "flat-epu,q=1.7", f"gain-share,a={number(rng, 0, 1, 6)},c=0.5" + ("" if has("device_hour") else ",p=2")]
    said = json.loads(t.works("whatif", *ask, "--tariffs=book.json", "--json", *(f"--tariff={spec}" for spec in specs)))
    books = [tariffs, *(oracle.book_of(tariffs, spec) for spec in specs)]
    for one, scenario in zip(books, said["scenarios"], strict=True):
        same_scenario(mine.accounts(one), scenario)
    how, other = rng.choice((("--precision=fp16", made.certs["fp16"]),
                             (f"--certificate={made.certs['slower']}", made.certs["slower"])))
    got = t.dyno("whatif", *ask, "--tariffs=book.json", "--json", how, f"--tariff={specs[3]}")
    if got.returncode != 0:
        return check("no record of this period" in got.stderr, got.stderr)
    mine.swap([other])
    for one, scenario in zip((tariffs, books[4]), json.loads(got.stdout)["scenarios"][1:], strict=True):
        same_scenario(mine.accounts(one), scenario)


# --- periods that are closed ---

def case_closings(t):
    """Three months are drafted and closed; after each more is told of it, and of what was told some turns out otherwise."""
    each_seed(t, closings, 8)


def told_later(rng, words, done):
    """Of what was told before, some is void now, and some has left after all."""
    later = []
    for seq, (kind, state) in enumerate(words, 1):
        if kind != "usage" or seq in done or rng.random() > 0.25:
            continue
        if state == "unsent" and rng.random() < 0.6:
            later.append(f"sent {seq}")
        else:
            later.append(f"void {seq}")
            done.add(seq)
    return later


def records_of(lines):
    """What each line makes: kinds and whether the answer is known to have left."""
    made = []
    for text in lines:
        words = text.split()
        if words[0] in ("sent", "void"):
            made += [("void", "")] if words[0] == "void" else []
            continue
        is_usage = words[5] not in ("residency", "cold-start", "gpu-cold-start")
        is_void = "void" in words[10:]
        made.append(("usage" if is_usage and not is_void else "", "unsent" if "unsent" in words else ""))
        made += [("void", "")] if is_void else []
    return made


def final(t, ask, period, paid, is_first):
    got = t.dyno("invoice", *ask, "--final", *(("--first",) if is_first else ()), *paid)
    check(got.returncode == 0, got.stderr)
    texts = pathlib.Path(t.path("books")).glob("*.invoice.json")
    made = map(json.loads, (path.read_text() for path in texts))
    return {one["tenant"]: one for one in made if one["from"].startswith(period)}


def closings(t, made):
    months = (("2024-10", OCTOBER, NOVEMBER), ("2024-11", NOVEMBER, DECEMBER), ("2024-12", DECEMBER, JANUARY))
    told, done, left, billed = [], set(), {}, None
    with live(t) as process:
        for period, first_s, next_s in months:
            lines = made.lines(30)
            for at in range(len(lines)):
                if made.rng.random() < 0.04:
                    lines[at] += " unsent"
            lines = told_later(made.rng, records_of(told), done) + lines
            told += lines
            tell(process, *lines)
            more, paid = made.credits()
            credits = {tenant: left.get(tenant, 0) + more.get(tenant, 0) for tenant in {*left, *more}}
            records = made.records()
            mine = made.ledger(records, first_s, next_s, billed=billed, billed_ns=OCTOBER * oracle.NANO)
            accounts = mine.accounts(made.book, credits)
            ask = (*made.ask, f"--period={period}", "--tariffs=book.json", "--books=books")
            if accounts and billed is not None:
                same_invoices(accounts, invoices(t.works("invoice", *ask, "--json", *paid)))
            same_invoices(accounts, final(t, ask, period, paid, billed is None))
            left = {**credits, **{tenant: account.credit_left for tenant, account in accounts.items()}}
            billed = {record["id"]: record["state"] for record in records}
        process.stdin.close()
