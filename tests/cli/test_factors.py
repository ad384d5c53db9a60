"""The published table of devices (factors/devices.json): how it came to be, who reads it, how a row is added."""
import json
import pathlib
import shutil
import time

from harness import check
from test_billing import BOOK, HOUR

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PUBLISHED = ROOT / "factors" / "devices.json"
H200 = "NVIDIA H200"


def case_published(t):
    """Its first row is what the program makes of the certificate that the repository has."""
    table = json.loads(PUBLISHED.read_text())
    check(table["reference"] == H200 and table["devices"][0]["class"] == H200, table)
    reference, = (ROOT / "bench" / "results" / "h200-resnet50").glob("*.reference.json")
    t.works("certify", f"--show={reference}", "--factors=begun.json")
    begun = json.loads((t.folder / "begun.json").read_text())
    check(begun["devices"] == table["devices"][:1], begun, table)
    check(table["devices"][0]["from"] == f"reference certificate {reference.name[:64]}", table)
    for row in table["devices"][1:]:  # nothing stands there without what it comes from
        check(row["source"] == "measured" and row["pairs"] or row["source"] == "elsewhere" and row["from"], row)


def case_published_is_read(t):
    """By every command that takes --factors; work of a device that has no row is not rated."""
    factors = f"--factors={PUBLISHED}"
    ask = ("--since=2026-11-01", "--until=2100-01-01")
    later = int(time.time()) + 1000  # than the budget that counts it
    (t.folder / "certs").mkdir()
    engine = t.tool("make_cert", "certs", 4, f"device={H200}").split()[1]
    t.put("book.json", json.dumps(BOOK).encode())
    for ledger, device, cited in (("ledger", "", engine), ("other", "@other", "-")):
        t.tool("make_ledger", t.path(ledger), stdin=f"acme resnet fp32 realtime{device} {cited} ok 1 {HOUR} {HOUR} {later}\n")
        t.works("tenant", "add", "acme", f"--control-db={ledger}.db")
        t.works("quota", "set", "acme", "--epu-hours=10", "--period=none", f"--control-db={ledger}.db")
    for command in (("usage", *ask), ("invoice", *ask, "--tariffs=book.json"),
                    ("whatif", *ask, "--tariffs=book.json", "--tariff=hourly"),
                    ("quota", "reconcile", "--node=1", "--control-db={}.db")):
        made_of = [factors, "--certificates=certs", "--ledger={}"]
        got = t.dyno(*(word.format("ledger") for word in (*command, *made_of)))
        check(got.returncode == 0, command, got)
        got = t.dyno(*(word.format("other") for word in (*command, *made_of)))
        check(got.returncode == 66 and "devices.json has no row of device 'other'" in got.stderr, command, got)


def case_a_second_device_adds_its_row(t):
    """A reference certificate of another class of device, beside the reference device's of the same model."""
    shutil.copy(PUBLISHED, t.path("devices.json"))
    before = json.loads(PUBLISHED.read_text())["devices"]
    (t.folder / "certs").mkdir()
    for device, ns in ((H200, 20e6), ("other", 50e6)):
        t.tool("make_cert", "certs", 4, f"device={device}", f"item_ns={ns}")
    refs = {json.loads(p.read_text())["device"]["class"]: p for p in (t.folder / "certs").glob("*.reference.json")}
    t.works("certify", f"--show={refs['other']}", "--factors=devices.json")
    after = json.loads((t.folder / "devices.json").read_text())["devices"]
    check(after[:-1] == before, after)
    row = after[-1]
    check(row["class"] == "other" and row["source"] == "measured" and abs(row["factor_1e9"] / 2.5e9 - 1) < 0.02, row)
    pair, = row["pairs"]
    check((pair["here"], pair["there"]) == tuple(refs[of].name[:64] for of in ("other", H200)), pair, refs)
    t.works("certify", f"--show={refs[H200]}", "--factors=devices.json")  # it is what others are told in
    check(json.loads((t.folder / "devices.json").read_text())["devices"] == after)
