"""What a bill is made of, and is not what it should be: pipes, files given twice, closings that are gone, odd names."""
import json
import os

from harness import check
from test_billing import ASK, BOOK, HOUR, LINES, NOVEMBER, put_all

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
