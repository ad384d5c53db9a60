"""Periods that are closed: final invoices, what comes late, what is taken back, and who checks it."""
import csv
import hashlib
import io
import json
import pathlib
import re
import shutil
import sqlite3
import subprocess
import time

from focus import check_focus
from harness import check
from test_ledger import keys, make

HOUR = 3_600_000_000_000
SEPTEMBER, OCTOBER, NOVEMBER, DECEMBER = 1725148800, 1727740800, 1730419200, 1733011200
GAIN = {"name": "gain", "version": 1, "currency": "USD", "kind": "gain-share", "device_hour": "3", "share": "0.5",
        "until": "2024-11-01"}
BOOK = {"tariffs": [GAIN], "grants": [{"tariff": "gain"}]}
# From November on everything is twice as dear; October keeps its price.
NEXT_BOOK = {"tariffs": [GAIN, {**GAIN, "version": 2, "device_hour": "6", "from": "2024-11-01", "until": "2025-11-01"}],
             "grants": [{"tariff": "gain"}]}


def use(tenant, hours, when, more=""):
    ns = int(hours * HOUR)
    return f"{tenant} resnet fp32 realtime - ok 1 {ns} {ns} {when} {more}".strip()


def append(t, *lines):
    t.tool("make_ledger", t.path("ledger"), stdin="\n".join(lines) + "\n")


def book(t, name, content):
    t.put(name, json.dumps(content).encode())


def begin(t):
    """September is before everything; October: 1 EPU-hour of acme, 2 of bolt; November: 1 of acme."""
    book(t, "book.json", BOOK)
    book(t, "next.json", NEXT_BOOK)
    append(t, use("acme", 9, SEPTEMBER + 5), use("acme", 1, OCTOBER + 5), use("bolt", 2, OCTOBER + 6),
           use("bolt", 4, OCTOBER + 7, "void"), use("acme", 1, NOVEMBER + 5))


def ask(period, tariffs="book.json"):
    return ("invoice", "--ledger=ledger", f"--period={period}", f"--tariffs={tariffs}", "--books=books")


def books(t):
    return {p.name: p.read_bytes() for p in pathlib.Path(t.path("books")).iterdir()}


def invoice(t, number):
    return json.loads((t.folder / "books" / f"{number}.invoice.json").read_text())


def case_closed_once(t):
    begin(t)
    text = t.works(*ask("2024-10"), "--final", "--first", "--platform=Us")
    check("closing 1, 2024-10-01T00:00:00Z to 2024-11-01T00:00:00Z, is made" in text, text)
    check("charged 9.00 + paid by credit 0.00 + residue 0 = revenue 9 USD" in text, text)
    check("\n  the first one in books: what was used before 2024-10-01T00:00:00Z is billed to nobody\n" in text, text)
    first = books(t)
    check(sorted(name for name in first if "tariffs" not in name) ==
          ["00000001.closing.json", "1-1.invoice.json", "1-2.invoice.json"] and len(first) == 4, list(first))
    acme = invoice(t, "1-1")
    check(acme["status"] == "final" and acme["total"] == "3.00" and acme["platform"] == "Us", acme)
    check(acme["closing"]["number"] == 1 and acme["closing"]["before"] == "", acme["closing"])
    head, = acme["closing"]["heads"]
    check(head["node"] == 1 and head["billed_groups"] == 0 and len(head["head"]) == 424, head)
    check(acme["records"][0]["last_seq"] == 6, acme["records"])
    # Again, and after more has come: the same bytes.
    append(t, use("acme", 5, OCTOBER + 9))
    check("was made before" in t.works(*ask("2024-10"), "--final"))
    check(books(t) == first)
    # What a crash left out is made again; what somebody changed is seen.
    (t.folder / "books" / "1-2.invoice.json").unlink()
    t.works("invoice", "--ledger=ledger", "--period=2024-10", "--books=books", "--final")
    check(books(t) == first)
    t.put("books/1-2.invoice.json", first["1-2.invoice.json"].replace(b"6.00", b"5.00"))
    t.fails("E_CORRUPT", "*1-2.invoice.json was changed since it was written", *ask("2024-10"), "--final")
    # And in any form.
    text = t.works("invoice", "--ledger=ledger", "--books=books", "--number=1-1")
    check("INVOICE from Us\nNumber   1-1\n" in text and "Closing  1, by the tariffs" in text, text)
    page = t.works("invoice", "--ledger=ledger", "--books=books", "--number=1-2", "--format=html")
    check("6.00" in page and "(draft)" not in page)
    t.fails("E_NOT_FOUND", "*books has no invoice 1-3", "invoice", "--ledger=ledger", "--books=books", "--number=1-3")


def case_closings_begin_once(t):
    """A second chain is begun by nobody who misspells --books."""
    begin(t)
    says = "*{} has no closing to go on from: --books is the folder that has them, or --first says that no period was closed " \
        "before (what was used before {} is then billed to nobody)"
    t.fails("E_NOT_FOUND", says.format("books", "2024-10-01T00:00:00Z"), *ask("2024-10"), "--final")
    t.fails("E_ARG", "*--first is for --final: it begins the closings", *ask("2024-10"), "--first")
    t.works(*ask("2024-10"), "--final", "--first")
    first = books(t)
    for more in ((), ("--first",)):  # the same command again, as after a crash
        check("was made before" in t.works(*ask("2024-10"), "--final", *more))
    t.fails("E_EXISTS", "*--first: books has its first closing, of the period from 2024-10-01T00:00:00Z, and goes on from the "
            "last one", *ask("2024-11", "next.json"), "--final", "--first")
    (t.folder / "boks").mkdir()  # there, as scripts make it
    for name in ("boks", "none"):
        t.fails("E_NOT_FOUND", says.format(name, "2024-11-01T00:00:00Z"), *ask("2024-11", "next.json")[:-1],
                f"--books={name}", "--final")
    check(books(t) == first and not list((t.folder / "boks").iterdir()))
    t.works(*ask("2024-11", "next.json"), "--final")
    t.fails("E_EXISTS", "*--first: books has its first closing*", *ask("2024-11", "next.json"), "--final", "--first")


def case_late(t):
    """What came after the closing is billed with the next one, at the price of its own time."""
    begin(t)
    t.works(*ask("2024-10"), "--final", "--first")
    append(t, use("acme", 3, OCTOBER + 20), use("cold", 1, OCTOBER + 21), use("acme", 7, SEPTEMBER + 6))
    draft = json.loads(t.works(*ask("2024-11", "next.json"), "--tenant=acme", "--json"))
    check("the first one" not in t.works(*ask("2024-11", "next.json"), "--final"))
    acme, cold = invoice(t, "2-1"), invoice(t, "2-2")
    rows = [(line["late"], line["tariff_version"], line["amount"]) for line in acme["lines"]]
    check(rows == [(True, 1, "9.00"), (False, 2, "6.00")], rows)
    check(acme["total"] == "15.00" and cold["total"] == "3.00" and cold["tenant"] == "cold", acme, cold)
    check(draft["lines"] == acme["lines"] and draft["status"] == "draft", draft)
    check(acme["closing"]["heads"][0]["billed_groups"] == invoice(t, "1-1")["closing"]["heads"][0]["groups"])
    # A third one, of a month without anything.
    t.works(*ask("2024-12", "next.json"), "--final")
    check(json.loads((t.folder / "books" / "00000003.closing.json").read_text())["invoices"] == [])
    total = sum(float(invoice(t, n)["total"]) for n in ("1-1", "1-2", "2-1", "2-2"))
    check(total == 3 + 6 + 15 + 3, total)


def live(t, *how):
    program = pathlib.Path(t.program).with_name("make_ledger")
    return subprocess.Popen([program, t.path("ledger"), *map(str, how or ("live",))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            cwd=t.folder)


def tell(process, *lines):
    process.stdin.write("\n".join([*lines, "sync"]) + "\n")
    process.stdin.flush()
    got = process.stdout.readline()
    check(got == "ok\n", "make_ledger said", repr(got))


def case_corrections(t):
    """A record that turns out void is given back, one that turns out to have left is charged: while the ledger is
    written, and each at the price it had."""
    book(t, "book.json", BOOK)
    book(t, "next.json", NEXT_BOOK)
    with live(t) as process:
        tell(process, use("acme", 1, OCTOBER + 5), use("acme", 2, OCTOBER + 6), use("bolt", 8, OCTOBER + 8),
             use("acme", 4, OCTOBER + 7, "unsent"), use("cold", 1, OCTOBER + 8, "unsent"))
        t.works(*ask("2024-10"), "--final", "--first")
        got = [invoice(t, n)["total"] for n in ("1-1", "1-2")]
        check(got == ["9.00", "24.00"], got)
        check([line["usage"] for line in invoice(t, "1-3")["lines"]] == ["unconfirmed"])
        tell(process, "void 2", "void 3", "sent 4", "sent 5", use("acme", 1, NOVEMBER + 5), use("bolt", 1, NOVEMBER + 5))
        t.works(*ask("2024-11", "next.json"), "--final", "--credit=bolt=100")
        process.stdin.close()
    rows = [(line["late"], line["taken_back"], line["amount"], int(line["reference_ns"]) // HOUR)
            for line in invoice(t, "2-1")["lines"]]
    check(rows == [(True, False, "12.00", 4), (True, True, "-6.00", -2), (False, False, "6.00", 1)], rows)
    bolt = invoice(t, "2-2")
    check(bolt["total"] == "-18.00" and bolt["credit_left"] == "100", bolt)  # a credit note; nothing of the credit is used
    again = ("invoice", "--ledger=ledger", "--books=books", "--number=2-2")
    check(t.works(*again).startswith("CREDIT NOTE from the platform\nNumber   2-2\n"))
    check("<h1>Credit note</h1>" in t.works(*again, "--format=html"))
    closing = json.loads((t.folder / "books" / "00000002.closing.json").read_text())
    check(closing["revenue"] == "-3" and closing["charged"] == "-3.00" and closing["residue"] == "0", closing)
    t.works("invoice", "--verify=books/2-1.invoice.json", "--ledger=ledger", "--books=books")
    rows = [r for r in csv.DictReader(io.StringIO(t.works("invoice", "--ledger=ledger", "--books=books", "--number=2-1",
                                                          "--records", "--line=2", "--format=csv")))]
    check(len(rows) == 1 and rows[0]["exact"] == "-6" and rows[0]["id"].endswith("-2"), rows)


def case_credit_is_carried(t):
    begin(t)
    t.works(*ask("2024-10"), "--final", "--first", "--credit=acme=5", "--credit=nobody=1")
    check(invoice(t, "1-1")["total"] == "0.00" and invoice(t, "1-1")["credit_left"] == "2")
    t.works(*ask("2024-11", "next.json"), "--final", "--credit=acme=1.005")
    acme = invoice(t, "2-1")
    check((acme["credit_before"], acme["total"], acme["credit_left"]) == ("3.005", "3.00", "0.005"), acme)
    closing = json.loads((t.folder / "books" / "00000002.closing.json").read_text())
    check(closing["credits"] == [{"tenant": "acme", "before": "3.005", "left": "0.005"},
                                 {"tenant": "nobody", "before": "1", "left": "1"}], closing["credits"])
    for number in ("1-1", "2-1"):
        t.works("invoice", f"--verify=books/{number}.invoice.json", "--ledger=ledger", "--books=books")


def case_minimum_of_who_used_nothing(t):
    """Billed with the others, paid by credit that is carried on, and verified as they are."""
    begin(t)
    book(t, "book.json", {"tariffs": [{**GAIN, "minimum": "31"}, {**GAIN, "name": "plain"}],
                          "grants": [{"tenant": "cold", "tariff": "gain", "from": "2024-10-11"}, {"tariff": "plain"}]})
    t.works(*ask("2024-10"), "--final", "--first", "--credit=cold=25")
    check(invoice(t, "1-3")["tenant"] == "cold" and invoice(t, "1-3")["total"] == "0.00", books(t))
    check([line["amount"] for line in invoice(t, "1-3")["lines"]] == ["21.00", "-21.00"], invoice(t, "1-3"))
    closing = json.loads((t.folder / "books" / "00000001.closing.json").read_text())
    check(closing["credits"] == [{"tenant": "cold", "before": "25", "left": "4"}], closing["credits"])
    t.works("invoice", "--verify=books/1-3.invoice.json", "--ledger=ledger", "--books=books")
    before = books(t)
    t.works(*ask("2024-10"), "--final", "--credit=cold=25")
    check(books(t) == before)


def case_verify(t):
    begin(t)
    t.works(*ask("2024-10"), "--final", "--first")
    append(t, use("acme", 5, OCTOBER + 9))
    verify = ("invoice", "--ledger=ledger", "--tariffs=book.json")
    text = t.works(*verify, "--verify=books/1-1.invoice.json")
    check("good: invoice 1-1 of acme is what the ledger, the tariffs and the certificates give" in text, text)
    told = json.loads(t.works(*verify, "--verify=books/1-1.invoice.json", "--json"))
    sha = hashlib.sha256((t.folder / "books" / "1-1.invoice.json").read_bytes()).hexdigest()
    check(told == {"good": True, "number": "1-1", "tenant": "acme", "sha256": sha, "is_listed": False,
                   "requests_after_certificate": 0, "requests_while_suspended": 0, "requests_of_another_tariff": 0}, told)
    told = json.loads(t.works(*verify, "--verify=books/1-1.invoice.json", "--books=books", "--json"))
    check(told["is_listed"] is True, told)
    said = (t.folder / "books" / "1-1.invoice.json").read_text()
    for old, new, status, says in (
            ('"total": "3.00"', '"total": "4.00"', "E_MISMATCH",
             '*line *: it says "total": "4.00",, and the ledger gives "total": "3.00",'),
            ('"requests": 1', '"requests": 2', "E_MISMATCH", '*it says "requests": 2,*'),
            ('"tenant": "acme"', '"tenant": "nobody"', "E_MISMATCH", "*tenant 'nobody' used nothing in this period"),
            ('"groups": ', '"groups": 1', "E_FORMAT", "*its head says otherwise than what stands beside it"),
            ('"from": "2024-10-01', '"from": "2024-10-02', "E_MISMATCH", '*'),
            ('"from": "2024-10-01', '"from": "2024-12-02', "E_FORMAT", '*times are in no order*'),
            ('"closing": {', '"clasing": {', "E_FORMAT", "*bad.json: it is no final invoice as JSON"),
            ('"heads": [', '"heads": [], "x": [', "E_FORMAT", "*heads is empty*"),
            ('"credit_before": "0"', '"credit_before": "-1"', "E_FORMAT", "*credit below 0"),
            ('"credit_before": "0"', '"credit_before": 7', "E_FORMAT", "*credit_before must be a text")):
        check(old in said, old)
        t.put("bad.json", said.replace(old, new).encode())
        t.fails(status, says, *verify, "--verify=bad.json")
    t.put("bad.json", said.replace('"billed_groups": 0', '"billed_groups": 1').encode())  # nobody else knows of the one before
    t.fails("E_MISMATCH", "*bad.json: no closing of books lists this text as invoice 1-1", *verify,
            "--books=books", "--verify=bad.json")
    digits = re.search(r'"head": "([0-9a-f]{424})"', said)[1]
    t.put("bad.json", said.replace(digits, digits[:-1] + ("0" if digits[-1] != "0" else "1")).encode())
    t.fails("E_CORRUPT", "*the checksum of the head differs", *verify, "--verify=bad.json")
    t.put("bad.json", said[: len(said) // 2].encode())
    t.fails("E_FORMAT", "*bad.json: *", *verify, "--verify=bad.json")
    book(t, "other.json", NEXT_BOOK)
    t.fails("E_MISMATCH", "*other.json is another book of tariffs than the invoice was made with*", "invoice",
            "--ledger=ledger", "--tariffs=other.json", "--verify=books/1-1.invoice.json")
    # A ledger in which a record costs less than it did: its own file hangs together no more.
    with sqlite3.connect(t.path("ledger/00000001.ledger")) as db:
        items, = db.execute("SELECT items FROM record_group WHERE items IS NOT NULL AND length(items) > 0").fetchone()
        db.execute("UPDATE record_group SET items = ? WHERE items = ?", (items[:-1] + bytes([items[-1] ^ 1]), items))
    db.close()
    t.fails("E_CORRUPT", "*00000001.ledger*", *verify, "--verify=books/1-1.invoice.json")
    # And another ledger, in order in itself.
    shutil.rmtree(t.path("ledger"))
    for i in range(5):  # as long as the old one, at least
        append(t, use("acme", 1, OCTOBER + i))
    t.fails("E_MISMATCH", "*is of another ledger, or this one was changed since*", *verify,
            "--verify=books/1-1.invoice.json")


def case_not_closed(t):
    begin(t)
    t.fails("E_ARG", "*the period is not closed before 2990-01-01T00:00:00Z: without --final it is a draft", "invoice",
            "--ledger=ledger", "--since=2024-10-01", "--until=2990-01-01", "--tariffs=book.json", "--books=books",
            "--final")
    t.fails("E_ARG", "*--books=DIR is missing*", "invoice", "--ledger=ledger", "--period=2024-10",
            "--tariffs=book.json", "--final")
    t.fails("E_ARG", "*no --tenant", *ask("2024-10"), "--final", "--tenant=acme")
    t.fails("E_ARG", "*give one of --final, --number and --verify", *ask("2024-10"), "--final", "--number=1-1")
    t.fails("E_ARG", "*a final invoice knows its period and credit itself", *ask("2024-10"), "--number=1-1")
    t.works(*ask("2024-10"), "--final", "--first")
    t.fails("E_ARG", "*the next period to be closed begins at 2024-11-01*", *ask("2024-12"), "--final")
    t.fails("E_ARG", "*the last closed period ended at 2024-11-01*", *ask("2024-12"))
    # A price of a closed time is not changed any more; one from now on is.
    book(t, "dear.json", {"tariffs": [{**GAIN, "device_hour": "4"}], "grants": BOOK["grants"]})
    t.fails("E_MISMATCH", "*everybody else had another tariff at 2024-10-01T00:00:00Z when that period was closed*",
            *ask("2024-11", "dear.json"), "--final")
    book(t, "grant.json", {**NEXT_BOOK, "tariffs": [*NEXT_BOOK["tariffs"], {**GAIN, "name": "dear", "device_hour": "4"}],
                           "grants": [{"tariff": "gain"}, {"tenant": "acme", "tariff": "dear", "from": "2024-10-31"}]})
    t.fails("E_MISMATCH", "*acme had another tariff at 2024-10-31T00:00:00Z when that period was closed*",
            *ask("2024-11", "grant.json"), "--final")
    # A node whose ledger is not there, and files that are not.
    shutil.move(t.path("ledger"), t.path("moved"))
    for i in range(5):  # as long as the old one, at least
        append(t, use("acme", 1, NOVEMBER + i))
    t.fails("E_MISMATCH", "*is of another ledger, or this one was changed since", *ask("2024-11", "next.json"), "--final")
    closing = t.folder / "books" / "00000001.closing.json"
    good = closing.read_bytes()
    for old, new, status, says in ((b'"number": 1', b'"number": 2', "E_CORRUPT", "*it says that it is closing 2"),
                                   (b'"dyno_closing": 3', b'"dyno_closing": 9', "E_FORMAT", "*dyno_closing must be*"),
                                   (b'"before": ""', b'"before": "x"', "E_FORMAT", "*before must be a SHA-256*"),
                                   (b'"credits": []', b'"credits": [7]', "E_FORMAT", "*tenant must be a text")):
        check(old in good, old)
        closing.write_bytes(good.replace(old, new))
        t.fails(status, "*books/00000001.closing.json: " + says, *ask("2024-11", "next.json"), "--final")


def case_still_running(t):
    """A node that has no head since the period's end may still hold what was used in it."""
    book(t, "book.json", BOOK)
    with live(t) as process:
        tell(process, use("acme", 1, OCTOBER + 5))
        t.fails("E_ARG", "*the period is not closed before *", "invoice", "--ledger=ledger", "--tariffs=book.json",
                "--since=2024-10-01", "--until=2990-01-01", "--books=books", "--final")
        t.works(*ask("2024-10"), "--final", "--first")
        process.stdin.close()


def die(t, ago=90000):
    """A node that was killed a day ago, more or less: records that no head is over.  The period, as flags."""
    book(t, "book.json", {"tariffs": [{**GAIN, "until": "2100-01-01"}], "grants": BOOK["grants"]})
    now = int(time.time())
    with live(t, "still", ago) as process:
        tell(process, use("acme", 1, now - 80000), use("bolt", 2, now - 80000), use("acme", 4, now - 80000, "unsent"))
        process.kill()
    text = lambda when: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
    return f"--since={text(now - 100000)}", f"--until={text(now - 50000)}"


def case_retired(t):
    """Of a node that never comes back it is said where its ledger ends."""
    since, until = die(t)
    ask = ("invoice", "--ledger=ledger", since, until, "--tariffs=book.json", "--books=books", "--final", "--first")
    t.fails("E_ARG", "*node 1 has no head of its ledger since *If it never comes back: dyno ledger retire", *ask)
    before = json.loads(t.works("ledger", "verify", "ledger", "--json"))
    check(before["heads"] == 1 and before["groups"] > 1 and not before["retired"], before)
    text = t.works("ledger", "retire", "ledger")
    check(text.startswith(f"retired: the ledger of node 1 ends after {before['groups']} groups, with record 1-"), text)
    check("not signed" in text and t.works("ledger", "retire", "ledger") == text.replace("retired:", "retired before:"), text)
    after = json.loads(t.works("ledger", "verify", "ledger", "--json"))
    check(after == {**before, "retired": True, "kept_heads": 0}, after)
    heads = t.works("ledger", "heads", "ledger", "--json")
    last = json.loads(heads.splitlines()[-1])
    check(last["last"] and last["groups"] == before["groups"] and last["root"] == before["root"], last)
    check("the last one, the node was retired" in t.works("ledger", "heads", "ledger"))
    # Who kept heads sees that this one goes on from them.
    t.put("heads.jsonl", heads.encode())
    check("each goes on from the one before" in t.works("ledger", "verify", "--heads=heads.jsonl"))
    t.works("ledger", "verify", "--heads=heads.jsonl", "ledger")
    t.works(*ask)
    acme = invoice(t, "1-1")
    head, = acme["closing"]["heads"]
    check(head["last"] and head["groups"] == before["groups"] and head["head"] == last["head"], head)
    check(acme["total"] == "3.00" and invoice(t, "1-2")["total"] == "6.00", acme)  # what is not known to have left is free
    check("was made before" in t.works(*ask))
    check(", not signed, the last one, root" in t.works("invoice", "--ledger=ledger", "--books=books", "--number=1-1"))
    t.works("invoice", "--verify=books/1-1.invoice.json", "--ledger=ledger", "--books=books")
    # It does not go on; one that does all the same is found out by the heads, the files and the next closing.
    got = subprocess.run([pathlib.Path(t.program).with_name("make_ledger"), t.path("ledger")], capture_output=True, text=True,
                         stdin=subprocess.DEVNULL, check=False)
    check(got.returncode == 1 and "the ledger of node 1 was retired at" in got.stderr, got)
    kept = (t.folder / "ledger" / "retired").read_bytes()
    (t.folder / "ledger" / "retired").unlink()
    append(t, use("acme", 1, int(time.time()) - 70000))
    t.put("more.jsonl", t.works("ledger", "heads", "ledger", "--json").encode())
    t.fails("E_MISMATCH", "*the one before is the last of a ledger that was retired after * groups, and this one goes on *",
            "ledger", "verify", "--heads=heads.jsonl", "--heads=more.jsonl")
    t.put("ledger/retired", kept)
    for args in (("ledger", "verify", "ledger"), ("ledger", "retire", "ledger"),
                 (*ask[:2], "--since=" + until.split("=")[1], "--until=" + time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                  *ask[4:-1])):
        t.fails("E_MISMATCH", "*it comes after the end of the ledger, which was retired", *args)
    digits = last["head"][:-1] + ("0" if last["head"][-1] != "0" else "1")
    t.put("ledger/retired", kept.replace(last["head"].encode(), digits.encode()))
    t.fails("E_CORRUPT", '*ledger/retired": the checksum of the head differs', "ledger", "verify", "ledger")
    t.put("ledger/retired", heads.splitlines()[0].encode())
    t.fails("E_FORMAT", '*ledger/retired": it is not the last head of a ledger', "ledger", "verify", "ledger")


def case_retired_too_early(t):
    """A node that may live, one whose ledger is written, and who may not say it."""
    die(t, ago=1800)
    t.fails("E_BUSY", "*node 1 wrote its ledger at *Z: one that lives makes a head every hour, so it is retired *", "ledger",
            "retire", "ledger")
    with live(t) as process:
        tell(process)
        t.fails("E_BUSY", "*another process writes the ledger *", "ledger", "retire", "ledger")
        process.stdin.close()
    keys(t)
    make(t, "signed", key="key.pem")
    for key in ((), ("--ledger-key=other.pem",)):
        t.fails("E_DENIED", "*the heads of node 3 are signed: its last one must be signed with the same key", "ledger",
                "retire", "signed", *key)
    t.works("ledger", "retire", "signed", "--ledger-key=key.pem")
    t.works("ledger", "verify", "signed", "--key=key.pub")
    t.fails("E_MISMATCH", "*its last head is not signed with the key that was given", "ledger", "verify", "signed",
            "--key=other.pub")
    t.put("heads.jsonl", t.works("ledger", "heads", "signed", "--json").encode())
    t.works("ledger", "verify", "--heads=heads.jsonl", "--key=key.pub", "signed")
    t.fails("E_ARG", '*retire wants the folder of a ledger, and "signed/00000001.ledger" is a file', "ledger", "retire",
            "signed/00000001.ledger")
    t.fails("E_ARG", "*retire wants --fleet-ledger and --node=N, or the folder of a ledger", "ledger", "retire")
    t.fails("E_ARG", "*verify takes no --ledger-key", "ledger", "verify", "signed", "--ledger-key=key.pem")


def case_records(t):
    begin(t)
    append(t, *[use("acme", 1 / 7, OCTOBER + 100 + i) for i in range(50)])
    draft = ("invoice", "--ledger=ledger", "--period=2024-10", "--tariffs=book.json", "--tenant=acme")
    line, = json.loads(t.works(*draft, "--json"))["lines"]
    rows = list(csv.DictReader(io.StringIO(t.works(*draft, "--records", "--line=1"))))
    check(len(rows) == 51 == line["requests"], len(rows))
    check(sum(int(r["reference_ns"]) for r in rows) == int(line["reference_ns"]))
    check(sum(int(r["core_ns"]) for r in rows) == int(line["core_ns"]))
    nano = lambda text: int(text.split(".")[0]) * 10**9 + int((text.split(".") + ["0"])[1].ljust(9, "0"))
    check(sum(nano(r["exact"]) for r in rows) == nano(line["exact"]), line)
    check({r["exact"] for r in rows} - {rows[0]["exact"]} <= {"0.428571428", "0.428571429"}, rows[1])
    objects = [json.loads(text) for text in t.works(*draft, "--records", "--line=1", "--json").splitlines()]
    check([o["id"] for o in objects] == [r["id"] for r in rows], objects[0])
    proof = t.works("ledger", "prove", rows[17]["id"], "ledger")
    t.put("proof.json", proof.encode())
    check(rows[17]["id"] in t.works("ledger", "verify", "--proof=proof.json"))
    t.fails("E_ARG", "*--records wants --line=N, from 1 to 1", *draft, "--records", "--line=2")
    t.fails("E_ARG", "*--records wants --line=N, from 1 to 1", *draft, "--records")
    t.fails("E_ARG", "*--line is for --records", *draft, "--line=1")
    t.fails("E_ARG", "*--records are csv or json, not html", *draft, "--records", "--line=1", "--format=html")
    t.fails("E_ARG", "*--records are of one invoice: --tenant=NAME", *draft[:-1], "--records", "--line=1")
    book(t, "least.json", {"tariffs": [{**GAIN, "minimum": "1000"}], "grants": BOOK["grants"]})
    t.fails("E_ARG", "*line 2 (minimum) is made of the lines before it, and not of records", *draft[:3],
            "--tariffs=least.json", "--tenant=acme", "--records", "--line=2")


def case_focus(t):
    """All kinds of lines, and corrections, by the rules of FOCUS 1.4."""
    book(t, "book.json", {"tariffs": [{**GAIN, "minimum": "100", "cold_start": True, "until": "2025-11-01",
                                       "residency": {"floor": "0.5", "device_bytes": 80000000000},
                                       "tiers": {"mode": "graduated", "steps": [{"up_to_epu_hours": "0.5", "factor": "1"},
                                                                                {"factor": "0.9"}]}}],
                          "grants": BOOK["grants"]})
    with live(t) as process:
        tell(process, use("acme", 1, OCTOBER + 5), use("acme", 1 / 7, OCTOBER + 6), "acme yolo fp32 batch - failed 8 7 0 "
             f"{OCTOBER + 7}", f"acme yolo fp32 batch - cached 8 0 0 {OCTOBER + 7}",
             f"bolt resnet fp32 batch - residency {80000000000 * 3600} 0 0 {OCTOBER + 7}", use("bolt", 1 / 3, OCTOBER + 8))
        t.works(*ask("2024-10"), "--final", "--first", "--credit=acme=5")
        tell(process, "void 2", use("acme", 1, OCTOBER + 55), use("acme", 1, NOVEMBER + 5))
        t.works(*ask("2024-11"), "--final")
        process.stdin.close()
    rows, totals = [], {}
    for number in ("1-1", "1-2", "2-1"):
        got = t.works("invoice", "--ledger=ledger", "--books=books", f"--number={number}", "--format=focus")
        rows += csv.DictReader(io.StringIO(got))
        totals[number] = invoice(t, number)["total"]
    check_focus(rows, totals)
    check({row["x_LineKind"] for row in rows} == {"usage", "residency-floor", "tiers", "minimum", "credit"},
          {row["x_LineKind"] for row in rows})
    corrections = [row["BilledCost"] for row in rows if row["ChargeClass"] == "Correction"]
    check(corrections == ["3.00", "-0.43"], corrections)
    check(all(re.fullmatch("[0-9a-f]{64}", row["x_MerkleRoot"]) for row in rows), rows[0])
    for row in rows:  # so that a column can be added up
        is_work = row["x_LineKind"] in ("usage", "cold-start", "residency-floor")
        check(all((row[of] != "") == is_work for of in ("x_DeviceNs", "x_ReferenceNs")), row)
    lines = list(csv.DictReader(io.StringIO(t.works("invoice", "--ledger=ledger", "--books=books", "--number=1-1",
                                                    "--format=csv"))))
    tiers = next(line for line in lines if line["kind"] == "tiers")
    check(tiers["reference_ns"] == "0" and float(tiers["amount"]) < 0, tiers)


def case_devices(t):
    """Work on another device is told in the reference device's units, by the table of factors, in every way."""
    for where, device, ns in (("certs", "slow", 20e6), ("certs", "fast", 5e6)):
        (t.folder / where).mkdir(exist_ok=True)
        t.tool("make_cert", where, 4, f"device={device}", f"item_ns={ns}")
    refs = {json.loads(p.read_text())["device"]["class"]: p for p in (t.folder / "certs").glob("*.reference.json")}
    check(sorted(refs) == ["fast", "slow"], refs)
    add = lambda device: t.dyno("certify", f"--show={refs[device]}", "--factors=table.json")
    check(add("slow").returncode == 0)  # the first one is the reference device
    table = json.loads((t.folder / "table.json").read_text())
    check(table["reference"] == "slow" and len(table["devices"]) == 1, table)
    got = add("fast")
    check(got.returncode == 0, got.stderr)
    table = json.loads((t.folder / "table.json").read_text())
    fast = table["devices"][1]
    check(fast["class"] == "fast" and fast["source"] == "measured" and len(fast["pairs"]) == 1, table)
    check(abs(fast["factor_1e9"] - 250000000) < 2000000, fast)
    check(add("fast").returncode == 0 and json.loads((t.folder / "table.json").read_text()) == table)
    refs["slow"].unlink()
    got = add("fast")
    check(got.returncode == 66 and "has no reference certificate of this model on the reference device 'slow'" in got.stderr,
          got)
    table["devices"][1] = {"class": "fast", "factor_1e9": 250000000, "source": "elsewhere", "from": "a test: as exact"}
    t.put("table.json", json.dumps(table).encode())
    book(t, "book.json", BOOK)
    append(t, use("acme", 1, OCTOBER + 5).replace("realtime", "realtime@slow"),
           use("acme", 1, OCTOBER + 6).replace("realtime", "realtime@fast"), use("bolt", 1, OCTOBER + 7))
    (t.folder / "books").mkdir()
    plain = json.loads(t.works(*ask("2024-10"), "--tenant=acme", "--json"))
    check(plain["total"] == "6.00", plain)
    factors = ("--factors=table.json",)
    tied = json.loads(t.works(*ask("2024-10"), *factors, "--tenant=acme", "--json"))
    check(tied["total"] == "15.00" and tied["lines"][0]["reference_ns"] == str(5 * HOUR), tied)
    check(json.loads(t.works("usage", "--ledger=ledger", "--period=2024-10", *factors, "--json"))[0]["reference_ns"] ==
          str(5 * HOUR))
    engine = next(p.name[:64] for p in (t.folder / "certs").glob("*.engine.json")
                  if json.loads(p.read_text())["device"]["class"] == "fast")
    t.tool("make_ledger", t.path("own"), stdin=use("acme", 1, OCTOBER + 5).replace(" - ", f" {engine} ") + "\n")
    own = json.loads(t.works("usage", "--ledger=own", "--certificates=certs", "--period=2024-10", *factors, "--json"))
    check(own[0]["reference_ns"] == str(4 * HOUR), own)  # its certificate says which device
    rows = list(csv.DictReader(io.StringIO(t.works(*ask("2024-10"), *factors, "--tenant=acme", "--records", "--line=1"))))
    check([row["exact"] for row in rows] == ["3", "12"], rows)
    t.works(*ask("2024-10"), *factors, "--final", "--first")
    acme = invoice(t, "1-1")
    check(acme["total"] == "15.00" and len(acme["closing"]["factors"]) == 64, acme["closing"])
    verify = ("invoice", "--ledger=ledger", "--tariffs=book.json", "--verify=books/1-1.invoice.json")
    t.works(*verify, *factors)
    t.works(*verify, "--books=books")
    t.fails("E_ARG", "*--factors=FILE or --books=DIR is missing*", *verify)
    check("was made before" in t.works(*ask("2024-10"), "--final"))
    table["devices"][1]["factor_1e9"] = 200000000
    t.put("other.json", json.dumps(table).encode())
    t.fails("E_MISMATCH", "*other.json is another table of devices*", *verify, "--factors=other.json")
    t.fails("E_MISMATCH", "*device 'fast' had another factor when the last period was closed", *ask("2024-11", "book.json"),
            "--factors=other.json", "--final")
    t.fails("E_MISMATCH", "*the last closing had a table of devices*", *ask("2024-11"), "--final")
    del table["devices"][1]
    t.put("other.json", json.dumps(table).encode())
    t.fails("E_NOT_FOUND", "*other.json has no row of device 'fast'", *ask("2024-10")[:-1], "--factors=other.json")
    t.put("other.json", b"{}")
    t.fails("E_FORMAT", "*other.json: it is no table of device factors, version 1", *ask("2024-10")[:-1],
            "--factors=other.json")
