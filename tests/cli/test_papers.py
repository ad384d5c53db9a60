"""What stands on the papers of a closing: forms of earlier programs, the date of issue, seller and customers."""
import csv
import hashlib
import io
import json
import re
import time

from harness import check
from test_closing import ask, begin, books, invoice

PARTIES = {"seller": ["Example Compute Ltd", "1 High Street, Sometown", "VAT GB 000 & co"],
           "customers": [{"tenant": "acme", "lines": ["ACME <Inc.>", "Würzburg"]}, {"tenant": "other", "lines": ["Nobody of this"]}]}


def put_parties(t, **more):
    t.put("parties.json", json.dumps({**PARTIES, **more}).encode())


def to_form(t, form, names):
    """The papers of closing 1 as they were written by that form, before members were added."""
    said = {}
    for name in names:
        path = t.folder / "books" / f"{name}.invoice.json"
        text = path.read_text()
        check(text.startswith('{\n  "dyno_invoice": 3,\n'), text[:40])
        text = text.replace('  "dyno_invoice": 3,\n', '  "dyno_invoice": 2,\n' if form == 2 else "")
        path.write_text(re.sub(r'^  "(issued|seller|customer)": .*\n', "", text, flags=re.M))
        said[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    path = t.folder / "books" / "00000001.closing.json"
    closing = path.read_text().replace('"dyno_closing": 3', f'"dyno_closing": {form}')
    closing = re.sub(r'^  "(issued|seller|customers)": .*\n', "", closing, flags=re.M)
    for row in json.loads(closing)["invoices"]:
        closing = closing.replace(row["sha256"], said[row["number"]])
    path.write_text(closing)


def earlier_form(t, form):
    begin(t)
    t.works(*ask("2024-10"), "--final", "--first")
    to_form(t, form, ("1-1", "1-2"))
    first = books(t)
    check("was made before" in t.works(*ask("2024-10"), "--final"))
    for name in ("1-1", "1-2"):
        t.works("invoice", "--ledger=ledger", "--books=books", f"--verify=books/{name}.invoice.json")
        for kind in ("text", "json", "html", "csv", "focus"):
            got = t.works("invoice", "--ledger=ledger", "--books=books", f"--number={name}", f"--format={kind}")
            check(kind != "json" or got.encode() == first[f"{name}.invoice.json"], got)
            check("Issued" not in got, got)
    (t.folder / "books" / "1-2.invoice.json").unlink()
    t.works(*ask("2024-10"), "--final")
    t.works(*ask("2024-11", "next.json"), "--final")
    check({name: text for name, text in books(t).items() if name in first} == first)
    check(json.loads((t.folder / "books" / "00000002.closing.json").read_text())["dyno_closing"] == 3)
    check(invoice(t, "2-1")["dyno_invoice"] == 3)
    t.put("bad.json", re.sub(rb'^{\n(  "dyno_invoice".*\n)?', b'{\n  "dyno_invoice": 4,\n', first["1-1.invoice.json"]))
    t.fails("E_FORMAT", "*bad.json: dyno_invoice must be a form that this program knows, at most 3", "invoice",
            "--ledger=ledger", "--books=books", "--verify=bad.json")


def case_form_1(t):
    """What was closed before goes on to be what it is, to the byte, and the next closing goes on from it."""
    earlier_form(t, 1)


def case_form_2(t):
    earlier_form(t, 2)


def case_date_of_issue(t):
    """A final invoice has the day of its closing, whenever it is printed; a draft has none."""
    begin(t)
    today = lambda: time.strftime("%Y-%m-%d", time.gmtime())
    draft = json.loads(t.works("invoice", "--ledger=ledger", "--period=2024-10", "--tariffs=book.json", "--tenant=acme", "--json"))
    check(draft["issued"] is None and draft["number"] == "" and draft["seller"] == draft["customer"] == [], draft)
    days = {today()}
    t.works(*ask("2024-10"), "--final", "--first")
    days.add(today())
    day = invoice(t, "1-1")["issued"]
    path = t.folder / "books" / "00000001.closing.json"
    check(day in days and json.loads(path.read_text())["issued"] == day, day)
    # Of a closing that was made long ago it is still that day.
    changed = {}
    for name in ("1-1", "1-2"):
        one = t.folder / "books" / f"{name}.invoice.json"
        before = hashlib.sha256(one.read_bytes()).hexdigest()
        one.write_text(one.read_text().replace(f'"issued": "{day}"', '"issued": "2024-11-03"'))
        changed[before] = hashlib.sha256(one.read_bytes()).hexdigest()
    text = path.read_text().replace(f'"issued": "{day}"', '"issued": "2024-11-03"')
    for before, after in changed.items():
        text = text.replace(before, after)
    path.write_text(text)
    check("was made before" in t.works(*ask("2024-10"), "--final"))
    t.works("invoice", "--verify=books/1-1.invoice.json", "--ledger=ledger", "--books=books")
    again = ("invoice", "--ledger=ledger", "--books=books", "--number=1-1")
    check("\nNumber   1-1\nIssued   2024-11-03\nTo       acme\n" in t.works(*again))
    check("<span>Issued</span><b>2024-11-03</b>" in t.works(*again, "--format=html"))
    row = next(csv.DictReader(io.StringIO(t.works(*again, "--format=csv"))))
    check((row["invoice"], row["issued"]) == ("1-1", "2024-11-03"), row)
    for bad in ("2024-10-31", "2024-11-03T00:00:00Z", "soon"):
        path.write_text(text.replace('"issued": "2024-11-03"', f'"issued": "{bad}"'))
        t.fails("E_FORMAT", "*closing.json: issued must be a day that is not before the period's end", *again)


def case_parties(t):
    """Seller and customer are lines of text; the closing keeps them, and so the invoice needs no file for them."""
    begin(t)
    put_parties(t)
    draft = ("invoice", "--ledger=ledger", "--period=2024-10", "--tariffs=book.json", "--parties=parties.json", "--tenant=acme")
    text = t.works(*draft)
    check(text.startswith("DRAFT INVOICE from the platform\n         Example Compute Ltd\n         1 High Street, Sometown\n         "
                          "VAT GB 000 & co\nTo       acme\n         ACME <Inc.>\n         Würzburg\nPeriod   "), text)
    page = t.works(*draft, "--format=html")
    check("<b>acme</b><br>ACME &lt;Inc.&gt;<br>Würzburg</div>" in page and "<br>VAT GB 000 &amp; co</div>" in page, page)
    t.works(*ask("2024-10"), "--final", "--first", "--parties=parties.json")
    (t.folder / "parties.json").unlink()
    acme, bolt = invoice(t, "1-1"), invoice(t, "1-2")
    check(acme["seller"] == bolt["seller"] == PARTIES["seller"] and acme["customer"] == PARTIES["customers"][0]["lines"] and
          bolt["customer"] == [], acme, bolt)
    closing = json.loads((t.folder / "books" / "00000001.closing.json").read_text())
    check(closing["customers"] == PARTIES["customers"][:1], closing["customers"])  # of nobody who has no invoice
    check("was made before" in t.works(*ask("2024-10"), "--final"))
    for name in ("1-1", "1-2"):
        t.works("invoice", f"--verify=books/{name}.invoice.json", "--ledger=ledger", "--books=books")
    check("         ACME <Inc.>\n" in t.works("invoice", "--ledger=ledger", "--books=books", "--number=1-1"))
    said = (t.folder / "books" / "1-1.invoice.json").read_text()
    t.put("bad.json", said.replace("ACME", "BOLT").encode())
    t.fails("E_MISMATCH", "*no closing of books lists this text as invoice 1-1", "invoice", "--verify=bad.json", "--ledger=ledger",
            "--books=books")
    put_parties(t)
    t.works(*ask("2024-10"), "--final", "--first", "--parties=parties.json")
    put_parties(t, seller=["somebody else"])
    t.fails("E_EXISTS", "*closing 1 in books names other parties than parties.json, and keeps them", *ask("2024-10"), "--final",
            "--first", "--parties=parties.json")
    (t.folder / "parties.json").unlink()
    t.fails("E_ARG", "*--parties is for a draft or --final: a final invoice has its own", "invoice", "--ledger=ledger",
            "--books=books", "--number=1-1", "--parties=parties.json")
    t.fails("E_NOT_FOUND", '*cannot open "parties.json": No such file or directory', *draft)
    for more, says in (({"seller": "Us"}, "seller must be an array of at most 16 lines of text"),
                       ({"seller": ["Us"] * 17}, "seller must be an array of at most 16 lines of text"),
                       ({"seller": ["Us\nTOTAL 0.00"]}, "seller: a line has 1 to 255 bytes of text without control characters"),
                       ({"seller": [""]}, "seller: a line has 1 to 255 bytes*"), ({"seller": [7]}, "seller: a line has*"),
                       ({"customers": {}}, "customers must be an array of at most 100000 objects"),
                       ({"customers": [7]}, "customers: each wants its tenant, a name"),
                       ({"customers": [{"tenant": "acme"}]}, "customers: tenant 'acme': lines must be an array*"),
                       ({"customers": PARTIES["customers"][:1] * 2}, "customers: tenant 'acme' is there twice")):
        put_parties(t, **more)
        t.fails("E_FORMAT", "*parties.json: " + says, *draft)
