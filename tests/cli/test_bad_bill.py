"""What a bill is made of, and is not what it should be: pipes, files given twice, closings that are gone, odd names."""
import json
import os
import shutil

from harness import check
from test_billing import ASK, BOOK, HOUR, LINES, NOVEMBER, put_all
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
