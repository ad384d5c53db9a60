"""What a ledger costs, worked out once more: by docs/tariffs.md and docs/metering.md, in exact
fractions, with nothing of the program that it checks.

Records are those of `dyno ledger export --json`, the book and the table of devices as they are
given to the program, certificates as they lie in their folder. Money is a Fraction of the currency.
"""
import calendar
import json
import pathlib
import time
from collections import defaultdict
from fractions import Fraction
from math import floor

HOUR = 3_600_000_000_000
NANO = 10**9
PLACES = {"USD": 2, "EUR": 2, "JPY": 0, "KWD": 3}


# --- numbers and times ---

def cut(x, unit=NANO):
    """Towards zero, to 1 / unit."""
    return Fraction(floor(abs(x) * unit), unit) * (1 if x >= 0 else -1)


def half_away(x, unit):
    return Fraction(floor(abs(x) * unit + Fraction(1, 2)), unit) * (1 if x >= 0 else -1)


def half_even(x, unit):
    return Fraction(round(x * unit), unit)


def hours(ns):
    """As hours are told: to the billionth, half to even."""
    return half_even(Fraction(ns, HOUR), NANO)


def ns_of(text):
    """2026-11-01, with or without T00:00:00, .123, Z."""
    day, _, rest = text.rstrip("Z").partition("T")
    seconds, _, fraction = (rest or "00:00:00").partition(".")
    whole = calendar.timegm(time.strptime(f"{day} {seconds}", "%Y-%m-%d %H:%M:%S"))
    return whole * NANO + int(fraction.ljust(9, "0") or 0)


def inside(span, ns):
    return ("from" not in span or ns_of(span["from"]) <= ns) and ("until" not in span or ns < ns_of(span["until"]))


# --- certificates and devices ---

class Certificates:
    def __init__(self, folder):
        self.texts, self.states = {}, {}
        for path in pathlib.Path(folder).glob("*.*.json"):
            address, kind = path.name.split(".")[:2]
            if kind in ("engine", "reference"):
                self.texts[address] = json.loads(path.read_text())
            if kind == "state":
                self.states[address] = json.loads(path.read_text())

    def speed_up(self, address):
        """The upper end: a doubt never costs the customer."""
        return Fraction(self.texts[address]["s_1e6"][2], 10**6) if address else Fraction(1)

    def precision(self, address):
        return self.texts[address]["engine"]["precision"] if address else ""

    def device(self, address):
        return self.texts[address]["device"]["class"] if address else ""

    def is_trial(self, address):
        return bool(address) and self.texts[address]["trial"] not in (0, False)

    def over(self, address, ns):
        """Of one that is not there no term is known."""
        if address not in self.texts:
            return False
        text = self.texts[address]
        return ns >= ns_of(text["issued"]) + text["term_days"] * 24 * HOUR

    def suspended(self, address, ns):
        """In the second in which the record began."""
        state = self.states.get(address, {"state": "in force"})
        second = ns - ns % NANO
        return (state["state"] == "suspended" and second >= ns_of(state["since"])) or any(
            ns_of(span["from"]) <= second < ns_of(span["until"]) for span in state.get("before", []))

    def threads(self, address):
        return self.texts[address]["device"]["threads"]


class Factors:
    """Without a table every device is the reference device."""

    def __init__(self, table=None):
        self.rows = {row["class"]: row["factor_1e9"] for row in table["devices"]} if table else None
        self.reference = table["reference"] if table else ""

    def convert(self, reference_ns, device):
        if self.rows is None:
            return reference_ns
        return reference_ns * NANO // self.rows[device or self.reference]


# --- what a record is ---

class Use:
    """A record as a bill looks at it."""

    def __init__(self, record, certs, factors, state=None):
        self.record = record
        self.id = record["id"]
        self.tenant, self.model, self.variant = record["tenant"], record["model"], record["variant"]
        self.ns = ns_of(record["start"])
        self.kind = self._kind(state or record["state"])
        self.device_ns = 0 if self.kind == "residency" else record["device_ns"]
        self.byte_ns = int(record["memory_byte_ns"]) if self.kind == "residency" else 0
        self.is_core = "core-ns" in record["flags"].split(",")
        is_request = self.kind not in ("residency", "cold-start")
        self.requests, self.items = int(is_request), record["items"]
        self.class_name = "" if self.kind == "residency" else record["class"]
        self.certificate = "" if self.kind == "residency" else record["engine_certificate"]
        self.is_lapsed, self.is_suspended, self.reference_ns = False, False, 0
        if self.kind == "delivered":
            self._work(certs, factors)

    def _kind(self, state):
        """None: nobody's, or nothing that was used."""
        record = self.record
        if record["kind"] in ("residency", "platform"):
            return None if not self.tenant else "residency" if record["kind"] == "residency" else "cold-start"
        if record["kind"] != "usage":
            return None
        if state != "sent":
            return "unconfirmed"
        return {"ok": "delivered", "cached": "cached"}.get(record["outcome"], "failed")

    def _work(self, certs, factors):
        record, ns = self.record, self.record["reference_ns"]
        cited = (record["engine_certificate"], record["reference_certificate"])
        over = [address for address in cited if certs and certs.over(address, self.ns)]
        suspended = [address for address in cited if certs and certs.suspended(address, self.ns)]
        if over or suspended:
            self.is_lapsed, self.is_suspended = bool(over), not over
            ns = min(ns, self.device_ns // certs.threads((over + suspended)[0]) if self.is_core else self.device_ns)
        self.reference_ns = factors.convert(ns, record["device"] or (certs.device(cited[0]) if certs else ""))


# --- the book ---

def grant_at(book, tenant, ns):
    """A tenant's own grant, else that for everybody else."""
    for who in (tenant, None):
        for grant in book["grants"]:
            if grant.get("tenant") == who and inside(grant, ns):
                return grant
    return None


def tariff_at(book, tenant, ns):
    grant = grant_at(book, tenant, ns)
    name = book.get("everybody") or (grant["tariff"] if grant else None)
    found = [t for t in book["tariffs"] if t["name"] == name and inside(t, ns)]
    return found[0] if found else None


def num(tariff, field, default=0):
    return Fraction(str(tariff.get(field, default)))


def hour_of_device(tariff):
    return num(tariff, "device_hour")


def cores(tariff):
    return Fraction(tariff.get("device_cores", 1))


def device_hours(tariff, use):
    return Fraction(use.device_ns, HOUR) / (cores(tariff) if use.is_core else 1)


def has_floor(tariff):
    return "residency" in tariff and Fraction(tariff["residency"]["floor"]) > 0


def clamped(tariff, s):
    most = num(tariff, "speed_up_max", 0)
    return max(Fraction(1), min(s, most) if "speed_up_max" in tariff else s)


def price(tariff, use, certs):
    """Of an EPU-hour, or of a device-hour, with the factors of class and precision; loading has none."""
    if use.kind == "cold-start":
        return hour_of_device(tariff)
    factor = Fraction(tariff.get("classes", {}).get(use.class_name, 1))
    if use.certificate:
        factor *= Fraction(tariff.get("precisions", {}).get(certs.precision(use.certificate), 1))
    if tariff["kind"] == "device-hour":
        return hour_of_device(tariff) * factor
    if tariff["kind"] == "flat-epu":
        return num(tariff, "epu_hour") * factor
    s = clamped(tariff, certs.speed_up(use.certificate) if certs else Fraction(1))
    return hour_of_device(tariff) * (1 - num(tariff, "share") * (1 - 1 / s)) * factor


def is_charged(tariff, use):
    return tariff.get("cold_start", False) if use.kind == "cold-start" else use.kind == "delivered"


def units(tariff, use):
    """In ns of an EPU-hour or of a device-hour."""
    by_device = use.kind == "cold-start" or tariff["kind"] == "device-hour"
    return device_hours(tariff, use) * HOUR if by_device else Fraction(use.reference_ns)


def cost(tariff, use, certs):
    """The list price of one record: before tiers, exact."""
    return price(tariff, use, certs) * units(tariff, use) / HOUR if is_charged(tariff, use) else Fraction(0)


def tiers(tariff, epu_hours, listed):
    """What tiers change of a list price: one line."""
    table = tariff.get("tiers")
    if not table or epu_hours == 0:
        return Fraction(0)
    before, weighed, reached = Fraction(0), Fraction(0), None
    for step in table["steps"]:
        factor = Fraction(step["factor"])
        up_to = Fraction(step["up_to_epu_hours"]) if "up_to_epu_hours" in step else epu_hours
        part = max(min(epu_hours, up_to) - before, Fraction(0))
        weighed += part * factor
        if reached is None and epu_hours <= up_to:
            reached = factor
        before = up_to
    return listed * ((weighed / epu_hours if table["mode"] == "graduated" else reached) - 1)


# --- what if ---

NUMBERS = {"p": "device_hour", "a": "share", "q": "epu_hour", "c": "cost_hour"}


def book_of(book, spec):
    """Everybody by a tariff of the book, or each one's own at another price: KIND,p=..,a=..,q=..,c=.."""
    if any(t["name"] == spec for t in book["tariffs"]):
        return {**book, "everybody": spec}
    kind, *said = spec.split(",")
    said = {NUMBERS[text[0]]: text[2:] for text in said}
    by_name = sorted(book["tariffs"], key=lambda t: (t["name"], t["version"]))
    tariffs = []
    for tariff in book["tariffs"]:
        made = {**tariff, **said, "kind": kind}
        for field in NUMBERS.values():
            others = [other[field] for other in by_name if field in other]
            if field not in made and others:
                made[field] = others[0]
        tariffs.append(made)
    return {**book, "tariffs": tariffs}


def instead_of(certs, use, record, candidates):
    """The newest certificate of the same model and device, or by the same reference certificate."""
    text = certs.texts.get(use.certificate)
    if text:
        fits = lambda c: c["model"]["sha256"] == text["model"]["sha256"] and c["device"]["class"] == text["device"]["class"]
    else:
        fits = lambda c: c["reference"] == record["reference_certificate"]
    found = [address for address in candidates if fits(certs.texts[address])]
    return max(found, key=lambda address: (ns_of(certs.texts[address]["issued"]), address), default=None)


def swap(certs, use, candidates):
    """As if that engine had served: the same work in other time; loading takes as long as it took."""
    if use.kind == "residency":
        return
    address = instead_of(certs, use, use.record, candidates)
    if address is None:
        return
    value = lambda a: certs.texts[a]["s_1e6"][1] if a else 10**6
    if use.kind != "cold-start":
        use.device_ns = use.device_ns * value(use.certificate) // value(address)
    use.certificate = address


class Scenario:
    """The sums of a column of what-if."""

    def __init__(self, accounts):
        lines = [(account, line) for account in accounts.values() for line in account.lines.values()]
        self.tenants = {tenant: account.charged for tenant, account in accounts.items()}
        self.charged = sum(self.tenants.values(), Fraction(0))
        self.residue = sum((account.residue for account in accounts.values()), Fraction(0))
        self.cost = Fraction(0)  # None: a tariff does not say what a device-hour costs
        self.device_ns = self.reference_ns = 0
        for account, line in lines:
            if line.core_ns:
                tariff = account.version_of(line)
                if "cost_hour" not in tariff:
                    self.cost = None
                if self.cost is not None:
                    self.cost += cut(num(tariff, "cost_hour") * Fraction(line.core_ns, HOUR) / cores(tariff))
            if line.key.get("usage") == "delivered":
                self.device_ns += floor(line.core_ns / cores(account.version_of(line)))
                self.reference_ns += line.reference_ns
        self.margin = None if self.cost is None else self.charged + self.residue - self.cost


# --- the account of a tenant ---

class Line:
    def __init__(self, **key):
        self.key = key
        self.requests = self.items = self.core_ns = self.reference_ns = self.byte_ns = 0
        self.lapsed = self.suspended = self.claimed_another = 0
        self.exact = self.amount = self.unit_price = self.units = Fraction(0)
        self.precision = ""
        self.uses = []

    def add(self, use, tariff, certs):
        self.uses.append(use)
        self.precision = certs.precision(use.certificate) if use.kind != "cold-start" else ""
        sign = -1 if self.key["taken_back"] else 1
        self.unit_price = price(tariff, use, certs) if is_charged(tariff, use) else Fraction(0)
        self.units += sign * units(tariff, use)
        self.requests += use.requests
        self.items += use.items
        self.core_ns += sign * use.device_ns * (1 if use.is_core else cores(tariff))
        self.reference_ns += sign * use.reference_ns
        self.exact += sign * cost(tariff, use, certs)
        self.lapsed += use.is_lapsed
        self.suspended += use.is_suspended
        claim = use.record["tariff"] if use.kind == "delivered" else ""
        self.claimed_another += claim not in ("", f"{tariff['name']}/{tariff['version']}")


class Account:
    """What a tenant owes for a period: `uses` of it, and of closed ones `late` and `taken_back`."""

    def __init__(self, book, tenant, span, certs, uses, late=(), taken_back=(), credit=Fraction(0)):
        self.book, self.tenant, self.certs = book, tenant, certs
        self.first_ns, self.next_ns = span
        self.unit = 10 ** PLACES[book["tariffs"][0]["currency"]]
        self.lines = {}
        self.used = any(use.kind != "residency" or has_floor(tariff_at(book, tenant, use.ns)) for use in uses)
        for group, flags in ((late, (True, False)), (taken_back, (True, True)), (uses, (False, False))):
            for use in group:
                self._add(use, *flags)
        self._floor(uses)
        for line in self.lines.values():
            self._settle(line)
        self._tiers()
        self._minimum()
        self.charged = sum((line.amount for line in self.lines.values()), Fraction(0))
        self.revenue = sum((cut(line.exact) for line in self.lines.values()), Fraction(0))
        self.credit_before = credit
        self.paid = max(Fraction(0), min(self.charged, cut(credit, self.unit)))
        self.total = self.charged - self.paid
        self.residue = self.revenue - self.charged
        self.credit_left = credit - self.paid

    def _line(self, **key):
        return self.lines.setdefault(tuple(sorted(key.items())), Line(**key))

    def _settle(self, line):
        """Once: half away from zero; what is given back, half to even."""
        line.amount = (half_even if line.exact < 0 else half_away)(line.exact, self.unit)

    def _add(self, use, late, taken_back):
        tariff = tariff_at(self.book, self.tenant, use.ns)
        assert tariff, (self.tenant, use.ns)
        key = dict(late=late, taken_back=taken_back, tariff=tariff["name"], tariff_version=tariff["version"],
                   model=use.model, variant=use.variant)
        if use.kind == "residency":
            return
        if use.kind == "cold-start":
            line = self._line(kind="cold-start", **key)
        else:
            line = self._line(kind="usage", usage=use.kind, certificate=use.certificate, **{"class": use.class_name}, **key)
        line.add(use, tariff, self.certs)

    def _floor(self, uses):
        """Hour by hour: what memory costs at least, less what the requests of that hour came to at
        their list price, line by line; each cut to the nano-unit."""
        hours = defaultdict(lambda: [0, defaultdict(Fraction)])
        for use in uses:
            tariff = tariff_at(self.book, self.tenant, use.ns)
            hour = hours[tariff["name"], tariff["version"], use.model, use.variant, use.ns // HOUR]
            if use.kind == "residency":
                hour[0] += use.byte_ns
            else:
                hour[1][use.kind, use.class_name, use.certificate] += cost(tariff, use, self.certs)
        for (name, version, model, variant, _), (byte_ns, costs) in hours.items():
            tariff = self._versions()[name, version]
            if byte_ns == 0 or not has_floor(tariff):
                continue
            terms = tariff["residency"]
            least = Fraction(terms["floor"]) * hour_of_device(tariff) * Fraction(byte_ns, terms["device_bytes"] * HOUR)
            line = self._line(kind="residency-floor", late=False, taken_back=False, tariff=name, tariff_version=version,
                              model=model, variant=variant)
            line.byte_ns += byte_ns
            line.exact += max(Fraction(0), cut(least) - sum(map(cut, costs.values())))

    def _versions(self):
        return {(t["name"], t["version"]): t for t in self.book["tariffs"]}

    def version_of(self, line):
        return self._versions()[line.key["tariff"], line.key["tariff_version"]]

    def _of(self, version):
        return [line for line in self.lines.values()
                if not line.key["late"] and (line.key["tariff"], line.key["tariff_version"]) == version]

    def _tiers(self):
        for version, tariff in self._versions().items():
            work = [line for line in self._of(version) if line.key["kind"] == "usage"]
            reference_ns = sum(line.reference_ns for line in work)
            change = tiers(tariff, Fraction(reference_ns, HOUR), sum((cut(line.exact) for line in work), Fraction(0)))
            if change == 0:
                continue
            line = self._line(kind="tiers", late=False, taken_back=False, tariff=version[0], tariff_version=version[1])
            line.exact, line.reference_ns = change, reference_ns
            self._settle(line)
            line.amount = max(line.amount, -sum(one.amount for one in work))  # no credit for what was rounded to nothing

    def _held(self):
        """For how long the tenant has each version in the period, for as far as it owes for that."""
        cuts = {self.first_ns, self.next_ns}
        for span in self.book["grants"] + self.book["tariffs"]:
            cuts |= {ns_of(span[end]) for end in ("from", "until") if end in span}
        cuts = sorted(ns for ns in cuts if self.first_ns <= ns <= self.next_ns)
        held = defaultdict(int)
        for start, end in zip(cuts, cuts[1:]):
            grant, tariff = grant_at(self.book, self.tenant, start), tariff_at(self.book, self.tenant, start)
            if tariff and ("tenant" in grant or self.used):
                held[tariff["name"], tariff["version"]] += end - start
        return held

    def _minimum(self):
        for version, ns in self._held().items():
            owed = num(self._versions()[version], "minimum") * Fraction(ns, self.next_ns - self.first_ns)
            if owed == 0:
                continue
            missing = owed - sum(line.amount for line in self._of(version))
            if half_away(missing, self.unit) <= 0:
                continue
            line = self._line(kind="minimum", late=False, taken_back=False, tariff=version[0], tariff_version=version[1])
            line.exact = missing
            self._settle(line)


def rows(line, tariff, certs):
    """The records of a line: id, time of all cores, work, and what the line costs up to it, less what
    it costs up to the one before."""
    told, units_so_far, nano = [], Fraction(0), Fraction(0)
    for use in line.uses:
        units_so_far += units(tariff, use)
        price_of_all = price(tariff, use, certs) if is_charged(tariff, use) else Fraction(0)
        up_to = cut(price_of_all * units_so_far / HOUR)
        told.append((use.id, use.device_ns * (1 if use.is_core else cores(tariff)), use.reference_ns, up_to - nano))
        nano = up_to
    return told


# --- all of it ---

class Ledger:
    """Uses of a period, and what closed periods still lack. `billed` has the state that each record
    had when the last period was closed (those that it saw), which billed from `billed_ns` on."""

    def __init__(self, records, span, certs=None, factors=None, billed=None, billed_ns=0):
        self.span, self.certs = span, certs
        self.uses, self.late, self.taken_back = defaultdict(list), defaultdict(list), defaultdict(list)
        factors = factors or Factors()
        for record in records:
            use = Use(record, certs, factors)
            if use.kind is None or use.ns >= span[1]:
                continue
            if use.ns >= span[0]:
                self.uses[use.tenant].append(use)
            elif billed is not None and use.ns >= billed_ns:
                self._closed(use, record, billed, certs, factors)

    def _closed(self, use, record, billed, certs, factors):
        if use.id not in billed:
            self.late[use.tenant].append(use)
            return
        was = Use(record, certs, factors, billed[use.id])
        if use.kind == "delivered" and was.kind != "delivered":
            self.late[use.tenant].append(use)
        if use.kind != "delivered" and was.kind == "delivered":
            self.taken_back[use.tenant].append(was)

    def accounts(self, book, credits=None):
        """By tenant: of whoever used something, is owed or given back something, or owes a minimum."""
        tenants = set(self.uses) | set(self.late) | set(self.taken_back) | {g["tenant"] for g in book["grants"] if "tenant" in g}
        told = {}
        for tenant in sorted(tenants):
            account = Account(book, tenant, self.span, self.certs, self.uses[tenant], self.late[tenant],
                              self.taken_back[tenant], (credits or {}).get(tenant, Fraction(0)))
            if account.lines or account.used:
                told[tenant] = account
        return told

    def swap(self, candidates):
        for uses in self.uses.values():
            for use in uses:
                swap(self.certs, use, candidates)

    def usage(self):
        """Rows as `dyno usage` has them, by what tells them apart."""
        rows = defaultdict(lambda: [0] * 5)
        for use in (use for uses in self.uses.values() for use in uses):
            unit = "" if use.kind == "residency" else "core_ns" if use.is_core else "device_ns"
            row = rows[use.tenant, use.model, use.variant, use.class_name, use.certificate, use.kind, unit]
            for i, value in enumerate((use.requests, use.items, use.device_ns, use.reference_ns, use.byte_ns)):
                row[i] += value
        return dict(rows)
