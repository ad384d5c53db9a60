"""What a bill is made of, and is not what it should be: pipes, files given twice, closings that are gone, odd names."""
import json
import os
import re
import shutil

from harness import EXIT, check
from test_billing import ASK, BOOK, HOUR, LINES, NOVEMBER, put_all
from test_full_disk import limit
from test_ledger import change

TARIFFS = "--tariffs=book.json"


def case_named_pipes(t):
    """Nobody waits for who never writes: a pipe in the place of a file is refused at once."""
    put_all(t)
    os.mkfifo(t.path("pipe"))
    os.mkdir(t.path("piped"))
    os.mkfifo(t.path("piped/00000001.ledger"))
    no_file = "*pipe*: not a regular file"
    t.fails("E_IO", no_file, "tariff", "pipe")
    t.fails("E_IO", no_file, "usage", "--ledger=pipe")
    t.fails("E_IO", "*00000001.ledger*: not a regular file", "invoice", TARIFFS, "--ledger=piped")
    t.fails("E_IO", no_file, "invoice", "--verify=pipe", "--ledger=ledger")
    t.fails("E_IO", no_file, "usage", *ASK, "--factors=pipe")
    for flag in ("--proof", "--heads", "--head", "--key"):
        t.fails("E_IO", no_file, "ledger", "verify", f"{flag}=pipe", *(["ledger"] if flag != "--proof" else []))
    t.fails("E_IO", no_file, "certify", "--show=pipe")


def case_a_file_given_twice(t):
    """No record is counted twice, whichever way its file is given twice."""
    put_all(t)
    shutil.copytree(t.path("ledger"), t.path("copy"))
    two = ("--ledger=ledger", "--period=2026-11", TARIFFS)
    says = "*record 1-*-1 comes twice: its file is given twice*"
    for other in ("ledger", "copy", "ledger/00000001.ledger"):
        t.fails("E_ARG", says, "usage", *two[:2], f"--ledger={other}")
        t.fails("E_ARG", says, "invoice", *two, f"--ledger={other}")
        t.fails("E_ARG", says, "whatif", *two, f"--ledger={other}", "--tariff=hourly")
        t.fails("E_ARG", says, "ledger", "export", "ledger", other)
    t.tool("make_ledger", t.path("ledger"), stdin="\n".join(LINES) + "\n")  # a second file, of its own start
    check(json.loads(t.works("usage", *ASK, "--json"))[0]["requests"] == 2)
    files = ("ledger/00000002.ledger", "ledger/00000001.ledger")
    check(json.loads(t.works("usage", *ASK[1:], "--json", *(f"--ledger={file}" for file in files)))[0]["requests"] == 2)
    check(t.works("ledger", "export", *files).count("\n") == 2 * len(LINES) + 2 + 1)  # two voids


def case_groups_that_are_gone(t):
    """A bill is not made of what is left when somebody took records out, and it says where."""
    put_all(t)
    change(t, "ledger/00000001.ledger", "DELETE FROM record_group WHERE number = 1")
    for ask in (("usage", *ASK), ("invoice", *ASK, TARIFFS), ("ledger", "export", "ledger"),
                ("whatif", *ASK, TARIFFS, "--tariff=hourly")):
        t.fails("E_CORRUPT", '*"ledger/00000001.ledger": group 1 is missing', *ask)
    shutil.rmtree(t.path("ledger"))
    put_all(t)
    change(t, "ledger/00000001.ledger", "UPDATE record_group SET items = zeroblob(length(items)) WHERE number = 1")
    t.fails("E_FORMAT", '*"ledger/00000001.ledger": group 1: *', "usage", *ASK)


CLOSE = ("invoice", "--final", "--ledger=ledger", TARIFFS, "--books=books")


def case_closings_that_are_gone(t):
    """Closings follow one another: one that was removed is not taken for a period that nobody closed."""
    put_all(t, lines=[f"acme resnet fp32 realtime - ok 1 {HOUR} {HOUR} {NOVEMBER - 86400 * back}" for back in (1, 40)])
    draft = ("invoice", "--ledger=ledger", TARIFFS, "--period=2026-11")
    t.fails("E_NOT_FOUND", "*--books=nowhere: there is no such folder (before anything is closed leave --books out)", *draft, "--books=nowhere")
    t.fails("E_NOT_FOUND", "*--books=books: there is no such folder*", "invoice", "--ledger=ledger", "--books=books", "--number=1-1")
    t.works(*CLOSE, "--period=2026-09", "--first")
    t.works(*CLOSE, "--period=2026-10")
    first, second = t.folder / "books/00000001.closing.json", t.folder / "books/00000002.closing.json"
    for file, says in ((first, "*books has closing 2 and not closing 1: it was removed"),
                       (second, "*books has an invoice of closing 2 and not that closing: it was removed")):
        file.rename(t.folder / "aside")
        t.fails("E_CORRUPT", says, *draft, "--books=books")
        t.fails("E_CORRUPT", says, *CLOSE, "--period=2026-09")
        t.fails("E_CORRUPT", says, "invoice", "--ledger=ledger", "--books=books", "--number=1-1")
        (t.folder / "aside").rename(file)
    second.rename(t.folder / "aside")
    second.symlink_to("nowhere")
    t.fails("E_NOT_FOUND", '*cannot open "books/00000002.closing.json"*', *CLOSE, "--period=2026-10")
    second.unlink()
    (t.folder / "aside").rename(second)
    check("was made before" in t.works(*CLOSE, "--period=2026-10"))


def case_no_room_for_invoices(t):
    """A closing stands as soon as it is written: who asks is told that it does, and asks again."""
    put_all(t, lines=LINES[4:])
    # The closing has 1.2 kB, its invoice 2.
    t_limit = ("invoice", *CLOSE[1:], "--period=2026-10", "--first")
    got = t.dyno(*t_limit, preexec=limit(1500))
    check(got.returncode == EXIT["E_IO"] and "closing 1 is made, and asked again writes the invoices that are missing: cannot "
          'write "books/1-1.invoice.json"' in got.stderr, got.stderr)
    check(sorted(p.name for p in (t.folder / "books").iterdir() if "tariffs" not in p.name) == ["00000001.closing.json"])
    check("was made before" in t.works(*CLOSE, "--period=2026-10"))
    check((t.folder / "books/1-1.invoice.json").exists())
    shutil.rmtree(t.path("books"))
    got = t.dyno(*t_limit, preexec=limit(500))
    check(got.returncode == EXIT["E_IO"] and 'cannot write "books/00000001.closing.json": File too large' in got.stderr, got.stderr)


def case_flags_of_something_else(t):
    """What a flag asks for is done, or refused: never passed over."""
    put_all(t)
    ask = ("invoice", *ASK, TARIFFS)
    out = "*--out is for invoices: --final, --verify and --records go to standard output"
    t.fails("E_ARG", out, *CLOSE, "--period=2026-11", "--out=x")
    t.fails("E_ARG", out, *ask, "--tenant=acme", "--records", "--line=1", "--out=x")
    t.fails("E_ARG", out, "invoice", "--ledger=ledger", "--verify=x", "--out=x")
    t.fails("E_ARG", "*--format=html: --final and --verify say what they did as text or as json; *", *CLOSE, "--period=2026-10",
            "--format=html")
    check(json.loads(t.works(*CLOSE, "--first", "--period=2026-10", "--format=json"))["number"] == 1)
    t.fails("E_IO", '*cannot create "no/such/x": No such file or directory', *ask, "--tenant=acme", "--out=no/such/x")
    t.fails("E_EXISTS", "*book.json is there already, and is not written over", *ask, "--tenant=acme", "--out=book.json")
    t.fails("E_ARG", "*--platform holds a control character: it is a name", *ask, "--platform=Us\nTOTAL 0.00")
    t.fails("E_ARG", "*--credit=acme=: the amount:  is no decimal number*", *ask, "--credit=acme=")
    t.fails("E_ARG", "*--credit=acme=1e9: the amount: 1e9 is no decimal number*", *ask, "--credit=acme=1e9")
    later = "*--until must be later than --since: this is from 2026-12-01T00:00:00Z until 2026-11-01T00:00:00Z"
    for command in ("usage", "invoice", "whatif", "advise"):
        t.fails("E_ARG", later, command, "--ledger=ledger", *([TARIFFS] if command != "usage" else []), "--since=2026-12-01",
                "--until=2026-11-01")
    t.fails("E_ARG", "*--until must be later than --since: this is from 2026-12-01T00:00:00.000000000Z until *", "ledger", "export",
            "ledger", "--since=2026-12-01", "--until=2026-11-01")
    t.fails("E_ARG", "*this is from 2090-01-01T00:00:00Z until *", "usage", "--ledger=ledger", "--since=2090-01-01")


def case_tariffs_by_their_place(t):
    """One of many tariffs or grants is wrong: the sentence says which, also where it has no name yet."""
    gain, hourly = BOOK["tariffs"]

    def refused(says, tariffs=(), grants=(), status="E_ARG"):
        t.put("b.json", json.dumps({"tariffs": [gain, *tariffs], "grants": list(grants)}).encode())
        t.fails(status, f"dyno tariff: b.json: {says}", "tariff", "b.json")
    refused('tariff 3 of the book: there is no field "device_our"', [hourly, {**hourly, "device_our": "1"}])
    refused("tariff 2 of the book: must be an object", ["x"])
    refused("tariff 2 of the book: name must be a text of 1 to 128 bytes", [{**hourly, "name": ""}])
    refused("tariff 2 of the book: name holds a control character", [{**hourly, "name": "a\nTOTAL 0"}])
    refused("tariff 2 of the book: name begins with '=', which spreadsheets take for a formula", [{**hourly, "name": "=1+1"}])
    refused("tariff 'hourly' version 1: classes: a name in it holds a control character", [{**hourly, "classes": {"a\t": "1"}}])
    refused("tariff 'hourly' version 1: currency 'of the realm' is not known (ISO 4217, as USD)", [{**hourly, "currency": "of the realm"}])
    refused("grant 2 of the book: tenant must be a text of 1 to 128 bytes", [], [{"tariff": "gain"}, {"tariff": "gain", "tenant": None}])
    refused("grant 1 of the book: tenant holds a control character", [], [{"tariff": "gain", "tenant": "a\x7f"}])
    refused("grant 1 of the book, of 'gain': until must be later than from", [],
            [{"tariff": "gain", "from": "2026-02-02", "until": "2026-02-02"}])
    t.put("b.json", b'{"tariffs": [], "a\\nb": 1, "grants": []}')
    t.fails("E_ARG", '*there is no field "a?b"', "tariff", "b.json")


def case_tariffs_with_holes(t):
    """A time in which a tariff is granted and has no version is told of: who uses something then gets no invoice."""
    gain = BOOK["tariffs"][0]
    book = {"tariffs": [{**gain, "from": "2025-01-01", "until": "2026-06-01"}, {**gain, "version": 2, "from": "2026-07-01", "until": "2027-01-01"}],
            "grants": [{"tenant": "acme", "tariff": "gain", "from": "2026-06-15"}, {"tenant": "bolt", "tariff": "gain", "from": "2026-07-01"},
                       {"tenant": "cold", "tariff": "gain", "from": "2027-01-01"}, {"tariff": "gain"}]}
    t.put("b.json", json.dumps(book).encode())
    warnings = [line for line in t.works("tariff", "b.json").splitlines() if line.startswith("Warning")]
    check(warnings == [
        "Warning: no version of gain is in force from 2026-06-15T00:00:00Z until 2026-07-01T00:00:00Z, when acme has it",
        "Warning: no version of gain is in force at any time when cold has it",
        "Warning: no version of gain is in force from 2026-06-01T00:00:00Z until 2026-07-01T00:00:00Z, when everybody else has it"],
        warnings)
    t.put("b.json", json.dumps(BOOK).encode())
    check("Warning" not in t.works("tariff", "b.json"))


def case_what_a_device_hour_earns(t):
    """It is rounded once: of a third of a price three are the price."""
    t.put("b.json", json.dumps({"tariffs": [{**BOOK["tariffs"][0], "device_hour": "1000000"}], "grants": []}).encode())
    rows = json.loads(t.works("tariff", "b.json", "--json"))[0]["prices"]
    check([row["device_hour_earns"] for row in rows] == ["1000000.00", "1500000.00", "2000000.00", "2500000.00", "3000000.00"], rows)
    check(rows[2]["price"] == "666666.666666667", rows)


def case_names_are_never_cut(t):
    """Two models, tenants, tariffs may differ in their last letter: tables for people show it."""
    long = "a-name-that-is-longer-than-any-column-of-a-table-"
    hourly = {**BOOK["tariffs"][1], "name": long + "tariff"}
    put_all(t, lines=[f"{long}{end} {long}{end} cuda-fp16 realtime - ok 1 {HOUR} {HOUR} {NOVEMBER}" for end in "xy"],
            book={"tariffs": [BOOK["tariffs"][0], hourly], "grants": BOOK["grants"]})
    text = t.works("invoice", *ASK, TARIFFS, f"--tenant={long}y")
    check(re.search(rf"^  1 {long}y / cuda-fp16\n {{34}} +1 +1 +1 +3\.00 +3\.00\n      realtime; 1 item", text, re.M), text)
    text = t.works("whatif", *ASK, TARIFFS, f"--tariff={long}tariff")
    for end in "xy":
        check(re.search(rf"^{long}{end} +3\.00 +3\.00$", text, re.M), text)
    check(re.search(rf"^ +in force {long}tariff$", text, re.M) and re.search(rf"^{long}tariff [=#]{{48}} 6\.00$", text, re.M), text)


def case_the_page_says_the_period(t):
    """Whole days with the last one; anything else to the second."""
    put_all(t)
    page = lambda *time: t.works("invoice", "--ledger=ledger", TARIFFS, "--tenant=acme", "--format=html", *time)
    check("<b>2026-11-01 to 2026-11-30, whole days, UTC</b>" in page("--period=2026-11"))
    check("<b>2026-11-01 to 2026-11-01, whole days, UTC</b>" in page("--since=2026-11-01", "--until=2026-11-02"))
    check("<b>2026-10-31T23:00:00Z until 2026-11-02T00:00:00Z</b>" in page("--since=2026-10-31T23:00:00Z", "--until=2026-11-02"))


def case_months_as_they_are(t):
    """A leap day, the end of a year, and an hour that clocks of other countries have twice are where UTC has them."""
    times = {"2024-02": 1709164799 + 86400, "2024-12": 1735689599, "2025-01": 1735689600, "2026-10": 1792893600}
    check(times["2024-02"] == 1709251199)  # 2024-02-29T23:59:59Z
    put_all(t, lines=[f"acme resnet fp32 realtime - ok {i + 1} {HOUR} {HOUR} {s}" for i, s in enumerate(times.values())])
    for i, month in enumerate(times):
        row, = json.loads(t.works("usage", "--ledger=ledger", f"--period={month}", "--json"))
        check(row["items"] == i + 1, month, row)
    check(json.loads(t.works("usage", "--ledger=ledger", "--period=2024-03", "--json")) == [])
    row, = json.loads(t.works("usage", "--ledger=ledger", "--since=2024-02-29", "--until=2024-03-01", "--json"))
    check(row["items"] == 1, row)
    row, = json.loads(t.works("usage", "--ledger=ledger", "--since=2026-10-25T01:00:00Z", "--until=2026-10-25T03:00:00Z", "--json",
                              env={"TZ": "Europe/Berlin"}))
    check(row["items"] == 4, row)
    for text in ("2026-02-29", "2026-11-31", "2026-11-01T24:00:00Z", "2026-12-31T23:59:60Z", "2026-11-01T00:00:00+01:00", "2026-11-1"):
        t.fails("E_ARG", f"*--since={text}: wants a day or a time in UTC*", "usage", "--ledger=ledger", f"--since={text}")


def case_whatif_as_it_is_mistyped(t):
    """A tariff that is neither in the book nor a kind, a letter said twice; and no table without its picture."""
    put_all(t)
    ask = ("whatif", *ASK, TARIFFS)
    t.fails("E_ARG", "*--tariff=hourli,p=3: 'hourli' is no tariff of book.json and no kind: device-hour, flat-epu or gain-share",
            *ask, "--tariff=hourli,p=3")
    t.fails("E_ARG", "*--tariff=gain-share,a=0.5,a=0.6: a= is there twice", *ask, "--tariff=gain-share,a=0.5,a=0.6")
    for svg, status in (("book.json", "E_EXISTS"), ("no/x.svg", "E_IO")):
        got = t.dyno(*ask, "--tariff=hourly", f"--svg={svg}")
        check(got.returncode == EXIT[status] and got.stdout == "", got)


def case_files_that_are_elsewhere(t):
    """What lies in another folder is told as missing where the time needs it, and not left out of a bill."""
    put_all(t)
    for _ in range(3):
        t.tool("make_ledger", t.path("ledger"), stdin="\n".join(LINES) + "\n")
    t.works("ledger", "archive", "ledger", "--to=old")
    says = '*"ledger/00000004.ledger" goes on from *, and this time needs what is before it: files 1 to 3 are missing'
    for ask in (("usage", *ASK), ("invoice", *ASK, TARIFFS), ("whatif", *ASK, TARIFFS, "--tariff=hourly")):
        t.fails("E_NOT_FOUND", says, *ask)
    check(json.loads(t.works("usage", *ASK, "--ledger=old", "--json"))[0]["requests"] == 4)
    check(json.loads(t.works("usage", "--ledger=old", "--period=2026-11", "--json"))[0]["requests"] == 3)
    (t.folder / "old/00000002.archive").rename(t.folder / "aside")
    t.fails("E_NOT_FOUND", '*: file 2 is missing between "old/00000001.archive" and "old/00000003.archive"', "usage", *ASK,
            "--ledger=old")
    (t.folder / "old/00000001.archive").rename(t.folder / "first")
    t.fails("E_NOT_FOUND", '*"old/00000003.archive" goes on from *: files 1 to 2 are missing', "usage", *ASK, "--ledger=old")
    future = ("--since=2090-01-01", "--until=2090-02-01")  # all of them ended before that
    check(json.loads(t.works("usage", "--ledger=ledger", *future, "--json")) == [])


def case_rows_that_look_the_same(t):
    """Usage of one variant under two certificates is two rows, which say which."""
    one, other = "a" * 64, "b" * 64
    put_all(t, lines=[f"acme m v realtime {certificate} ok 1 {HOUR} {HOUR} {NOVEMBER}" for certificate in (one, other, "-")] +
            [f"acme m v realtime {one} failed 1 5 0 {NOVEMBER}", *LINES[1:2]])
    lines = t.works("usage", *ASK).splitlines()
    check([line.strip() for line in lines if "certificate" in line] ==
          ["by no engine certificate", f"by certificate {one}", f"by certificate {one}", f"by certificate {other}"], lines)
    check(len(lines) == 1 + 5 + 4, lines)
