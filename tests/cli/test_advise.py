"""dyno advise: which models waste how much, out of a ledger and certificates that tools of the tests make."""
import json
import pathlib
import shlex
import sys

from harness import check

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import postgres  # noqa: E402

HOUR = 3_600_000_000_000
DAY = 1764547200  # 2025-12-01, in the term of the certificates
BOOK = {"tariffs": [{"name": "gain", "version": 1, "currency": "USD", "kind": "gain-share", "device_hour": "3", "share": "0.5",
                     "device_cores": 2},
                    {"name": "work", "version": 1, "currency": "USD", "kind": "flat-epu", "epu_hour": "2"}],
        "grants": [{"tariff": "gain"}]}
ASK = ("advise", "--ledger=ledger", "--tariffs=book.json", "--certificates=certs", "--since=2025-12-01",
       "--until=2025-12-01T06:00:00Z")


def put(t, lines, book=None):
    t.tool("make_ledger", t.path("ledger"), stdin="\n".join(lines) + "\n")
    t.put("book.json", json.dumps(BOOK if book is None else book).encode())
    (t.folder / "certs").mkdir(exist_ok=True)


def hours(windows, what="acme resnet 1/baseline realtime - on-cores 8", device_ns=2 * HOUR, more=""):
    """A request in each of these windows of an hour: its text, its device time (of cores; a device has two)."""
    return [f"{what} {device_ns} {device_ns} {DAY + 3600 * w + 7} {more}" for w in windows]


def advice_of(t, *ask, model="resnet"):
    """Reason: what is told of it; of the one variant of that model."""
    report = json.loads(t.works(*ASK, *ask, "--json"))
    found, = [m for m in report["models"] if m["model"] == model]
    return {a["reason"]: a for a in found["advice"]}


def speed_of(t, address):
    low, _, high = json.loads((t.folder / "certs" / f"{address}.engine.json").read_text())["s_1e6"]
    return low / 1e6, high / 1e6


def near(text, want):
    return abs(float(text) - want) < 1e-6


def case_unoptimised(t):
    """P x hours x (1 - 1/s), at both ends of s; three windows in a row, not two; by a trial it is an estimate."""
    (t.folder / "certs").mkdir()
    reference, _ = t.tool("make_cert", "certs", 4).split()
    ref = f"acme resnet 1/baseline realtime ref:{reference} on-cores 8"
    put(t, hours((3, 4), ref))
    got = advice_of(t)["unoptimised"]
    check(not got["stands"] and got["cost"] == "6.00", got)
    put(t, hours((5,), ref))
    got = advice_of(t)["unoptimised"]
    low, high = speed_of(t, got["by_certificate"])
    check(got["stands"] and got["since"] == "2025-12-01T03:00:00Z" and got["device_hours"] == "3" and not got["is_estimate"], got)
    check(got["cost"] == "9.00" and near(got["wasted"], 9 * (1 - 1 / low)) and near(got["wasted_at_most"], 9 * (1 - 1 / high)), got)
    check(got["wasted_at_least"] == got["wasted"] and got["speed_up"] == ["1", "1"] and 3.9 < low < high < 4.1, got)
    check(got["commands"] == ["dyno build --onnx=resnet/1/model.onnx --saveEngine=resnet/1/tuned.engine",
                              "dyno certify resnet/1/model.onnx --engine=resnet/1/tuned.engine"], got)
    text = t.works(*ASK)
    check("resnet 1/baseline, since 2025-12-01T03:00:00Z: it runs unoptimised\n  3 device-hours cost 9.00 USD; of that at least 6.7"
          in text and "\n    dyno build --onnx=resnet/1/model.onnx" in text and text.endswith(
              "0 of 1 variants of models: nothing that wastes 1.00 USD in a window of 1h, from 2025-12-01T00:00:00Z until "
              "2025-12-01T06:00:00Z.\n"), text)
    before = t.files()
    t.works(*ASK)
    check(t.files() == before)


def case_falls_again(t):
    """It clears after three calm windows, not after two; and what is under --least never stands."""
    put(t, hours((0, 1, 2)))
    check(advice_of(t, "--until=2025-12-01T05:00:00Z")["unoptimised"]["stands"])
    check(not advice_of(t)["unoptimised"]["stands"])
    check(advice_of(t, "--until=2025-12-01T03:00:00Z", "--least=3")["unoptimised"]["stands"])
    check(not advice_of(t, "--until=2025-12-01T03:00:00Z", "--least=3.000000001")["unoptimised"]["stands"])
    check("1 of 1 variants of models: nothing that wastes 1.00 USD" in t.works(*ASK))
    check(advice_of(t, "--window=30m", "--until=2025-12-01T03:00:00Z", "--least=0")["unoptimised"]["stands"] is False)
    check(not advice_of(t, "--until=2025-12-01T02:59:59Z")["unoptimised"]["stands"])  # a window that is not over is none


def case_nobody_knows(t):
    """Without any certificate of an engine all of the time is at stake, and a trial is the command."""
    put(t, hours((3, 4, 5)) + hours((3, 4, 5), "acme it's 1/fp32 realtime - ok 1", HOUR))
    got = advice_of(t)["unoptimised"]
    check(got["stands"] and got["wasted"] is None and got["wasted_at_least"] == "0.00" and got["wasted_at_most"] == "9.00" and got["is_estimate"] and
          got["speed_up_could_be"] is None and got["commands"][1].endswith("tuned.engine --trial"), got)
    got = advice_of(t, model="it's")["uncertified"]  # of a GPU: its time is that of devices
    check(got["cost"] == "9.00" and got["speed_up"] is None and
          got["commands"] == ["dyno certify 'it'\\''s/1/model.onnx' --engine='it'\\''s/1/fp32.engine'"], got)
    check("nobody knows what is wasted" in t.works(*ASK))


def case_probe(t):
    """A quick probe of what an engine could do comes before what lies in the folder; a trial is marked."""
    (t.folder / "other").mkdir()
    _, engine = t.tool("make_cert", "other", 3, "trial").split()
    put(t, hours((3, 4, 5)))
    t.fails("E_NOT_FOUND", "*--probe=*: no record of this time is of its model and device*", *ASK,
            f"--probe=other/{engine}.engine.json")
    got = advice_of(t, f"--probe=resnet=other/{engine}.engine.json")["unoptimised"]
    check(got["stands"] and got["is_estimate"] and got["by_certificate"] == engine and 5.8 < float(got["wasted"]) < 6.1, got)
    check("a trial: this is an estimate" in t.works(*ASK, f"--probe=resnet=other/{engine}.engine.json"))
    t.fails("E_NOT_FOUND", "*no record of this time is of its model*", *ASK, f"--probe=bert=other/{engine}.engine.json")
    t.fails("E_NOT_FOUND", "dyno advise: --probe=nothing: *", *ASK, "--probe=nothing")
    reference = next((t.folder / "other").glob("*.reference.json"))
    t.fails("E_ARG", "*is no engine certificate", *ASK, f"--probe=resnet=other/{reference.name}")
    _, refused = t.tool("make_cert", "other", 4, "biased").split()
    t.fails("E_DENIED", "*was refused: it says nothing", *ASK, f"--probe=resnet=other/{refused}.refused.json")


def case_slow_engine(t):
    """The upper bound under 1.2 is waste, 1.25 is not; what it could be is another engine's."""
    (t.folder / "certs").mkdir()
    _, slow = t.tool("make_cert", "certs", 1.1).split()
    _, fair = t.tool("make_cert", "certs", 1.25, "engine=9").split()
    put(t, hours((3, 4, 5), f"acme resnet 1/fp32 realtime {slow} on-cores 8") +
        hours((3, 4, 5), f"acme fair 1/fp32 realtime {fair} on-cores 8"))
    got = advice_of(t, "--least=0.3")["slow-engine"]
    now, could = speed_of(t, slow), speed_of(t, fair)
    check(got["certificate"] == slow and got["by_certificate"] == fair and got["stands"], got)
    check(near(got["wasted"], 9 * (1 - now[1] / could[0])) and near(got["wasted_at_most"], 9 * (1 - now[0] / could[1])), got)
    check(got["commands"][0].endswith("--builderOptimizationLevel=5"), got)
    check(advice_of(t, model="fair") == {})


def case_suspended(t):
    """The adviser speaks when a certificate is suspended: no row of windows is waited for."""
    (t.folder / "certs").mkdir()
    _, engine = t.tool("make_cert", "certs", 4).split()
    put(t, hours((3, 4), f"acme resnet 1/fp32 realtime {engine} on-cores 8") +
        hours((5,), "acme resnet 1/fp32 realtime - on-cores 8"))
    got = advice_of(t)["uncertified"]
    check(not got["stands"], got)
    t.works("certify", f"--suspend=certs/{engine}.engine.json", "--reason=it drifted by 9 %")
    got = advice_of(t)["suspended"]
    low, high = speed_of(t, engine)
    check(got["stands"] and got["certificate"] == engine and got["certificate_state"] == "suspended" and got["is_estimate"], got)
    check(got["wasted_at_least"] == "0.00" and near(got["wasted"], 3 * (1 - 1 / low)) and
          near(got["wasted_at_most"], 3 * (1 - 1 / high)), got)
    check(got["commands"] == ["dyno certify resnet/1/model.onnx --engine=resnet/1/fp32.engine"], got)
    check("its certificate is suspended: it drifted by 9 %\n" in t.works(*ASK))


def case_expired(t):
    """A certificate counts for nothing after its term, not even where a record cites it all the same."""
    (t.folder / "certs").mkdir()
    _, engine = t.tool("make_cert", "certs", 4, f"ends={DAY + 4 * 3600}").split()
    put(t, hours((3, 4), f"acme cited 1/tuned realtime {engine} on-cores 8") +
        hours((3, 4, 5), "acme m 1/tuned realtime - on-cores 8") +
        hours((5,), f"acme cited 1/tuned realtime {engine} on-cores 8"))
    got = advice_of(t, model="cited")["expired"]
    check(not got["stands"] and got["device_hours"] == "2" and got["certificate"] == engine, got)
    got = advice_of(t, model="m")["expired"]  # told by the model's name
    check(got["stands"] and got["certificate_state"] == "expired" and len(got["commands"]) == 2, got)


def case_under_batched(t):
    """In smaller batches than the certificate's its speed-up is not reached; in those there is nothing to say."""
    (t.folder / "certs").mkdir()
    _, engine = t.tool("make_cert", "certs", 4).split()  # measured with 2 items a run, by 2 threads
    what = f"acme %s 1/fp32 realtime {engine} on-cores 1 {2 * HOUR} {2 * HOUR}"
    put(t, [f"{what % 'resnet'} {DAY + 3600 * w} batch=1" for w in (3, 4, 5)] +
        [f"{what % 'whole'} {DAY + 3600 * w} batch=2" for w in (3, 4, 5)])
    got = advice_of(t)["under-batched"]
    low, _ = speed_of(t, engine)
    check(got["stands"] and got["batch"] == "1" and got["certified_batch"] == 2 and got["speed_up"] == ["2", "2"], got)
    check(near(got["wasted"], 9 * (1 - 2 / low)) and got["commands"] == [], got)
    check(advice_of(t, model="whole") == {})
    check("in smaller batches than it was certified for: 1.0 of 2 items" in t.works(*ASK))


HALF = 40_000_000_000 * 3600  # byte-seconds: half of a device's memory for an hour, 1.50 USD
MEMORY = {**BOOK, "tariffs": [BOOK["tariffs"][1], {**BOOK["tariffs"][0], "residency": {"floor": "0.2", "device_bytes": 80000000000}}]}


def held(windows, idle=HALF, used=0, what="resnet 1/fp32 -@card"):
    """Memory in each of these windows: of nobody, and of a tenant."""
    return [f"{tenant} {what} - residency {amount} 0 0 {DAY + 3600 * w + 59}" for w in windows
            for tenant, amount in (("-", idle), ("acme", used)) if amount]


def case_idle(t):
    """Memory that nobody used, at P by its share of a device's: three windows of which nine tenths were nobody's."""
    put(t, held((3, 4)), MEMORY)
    got = advice_of(t)["idle"]
    check(not got["stands"] and got["cost"] == "3.00", got)
    put(t, held((5,)), MEMORY)
    got = advice_of(t)["idle"]
    command = """curl http://localhost:8000/v2/repository/models/resnet/unload -d '{"parameters":{"version":"1","variant":"fp32"}}'"""
    check(got["stands"] and got["since"] == "2025-12-01T03:00:00Z" and got["memory_byte_ns"] == str(3 * HALF * 10**9), got)
    check([got[key] for key in ("cost", "wasted", "wasted_at_least", "wasted_at_most")] == ["4.50"] * 4, got)
    check(got["commands"] == [command] and not got["is_estimate"], got)
    text = t.works(*ASK)
    check("resnet 1/fp32 on card, since 2025-12-01T03:00:00Z: it is held in memory, and next to nobody uses it\n  111.758708"
          in text and f" GiB-hours of a device's memory cost 4.50 USD; of that 4.50 while nobody used it\n    {command}\n" in text and
          "0 of 1 variants of models: nothing that wastes" in text, text)
    check(advice_of(t, "--least=1.500000001")["idle"]["stands"] is False)
    put(t, hours((3, 4, 5), "acme resnet 1/fp32 realtime@card - ok 8", HOUR), MEMORY)  # of the same variant
    check(sorted(advice_of(t)) == ["idle", "uncertified"], advice_of(t))


def case_idle_and_used(t):
    """Under nine tenths it begins nothing, and falls when less than half is nobody's; without a size there is no price."""
    put(t, held((0, 1, 2), 9 * HALF, HALF, "most v -") + held((0, 1, 2), 9 * HALF - 1, HALF, "less v -") +
        held((0, 1, 2, 3, 4, 5), HALF, what="calm v -") + held((3, 4, 5), HALF, 2 * HALF, "calm v -") +
        held((0, 1, 2), HALF, what="falls v -") + held((3, 4, 5), HALF, HALF + 1, "falls v -") +
        held((0, 1, 2), HALF, what="it's/x it's -"), MEMORY)
    until = "--until=2025-12-01T03:00:00Z"
    got = advice_of(t, until, model="most")["idle"]
    check(got["stands"] and got["cost"] == "45.00" and got["wasted"] == "40.50", got)
    check(advice_of(t, until, model="less") == {})
    check(advice_of(t, until, model="falls")["idle"]["stands"] and not advice_of(t, model="falls")["idle"]["stands"])
    check(advice_of(t, model="calm")["idle"]["stands"], "a half and more is neither waste nor calm")
    command, = advice_of(t, until, model="it's/x")["idle"]["commands"]
    check(shlex.split(command) == ["curl", "http://localhost:8000/v2/repository/models/it%27s%2Fx/unload", "-d",
                                   '{"parameters":{"variant":"it\'s"}}'], command)
    t.put("book.json", json.dumps(BOOK).encode())
    check(advice_of(t, until, model="most") == {})
    text = t.works(*ASK)
    check(text.endswith("No tariff of book.json says how much memory a device has (residency, device_bytes), so memory that is held "
                        "idle is not told of.\n"), text)


def case_of_a_fleet(t):
    """Out of the fleet's database it says what it says out of the node's own ledger."""
    (t.folder / "certs").mkdir()
    reference, engine = t.tool("make_cert", "certs", 4).split()
    put(t, hours((3, 4, 5), f"acme resnet 1/baseline realtime ref:{reference} on-cores 8") + held((3, 4, 5)) +
        hours((3, 4, 5), f"acme other 1/fp32 realtime {engine} on-cores 8") + hours((3, 4, 5), more="void"), MEMORY)
    with postgres.cluster() as pg:
        fleet = "--fleet-ledger=" + pg.conninfo()
        t.works("ledger", "ship", "ledger", fleet, env=pg.env())
        for how in ((), ("--json",)):
            want = t.works(*ASK, *how)
            check(want == t.works(ASK[0], fleet, *ASK[2:], *how, env=pg.env()), want)
            check("dyno build --onnx=resnet" in want and "models/resnet/unload" in want, want)


def case_price(t):
    """P is that of the tenant's tariff; of one that is told in EPU alone, the first of the book."""
    book = {**BOOK, "grants": [{"tenant": "bolt", "tariff": "work"}, {"tariff": "gain"}]}
    put(t, hours((3, 4, 5), "bolt resnet 1/baseline batch - ok 8", HOUR), book)
    check(advice_of(t)["unoptimised"]["cost"] == "9.00")
    t.put("book.json", json.dumps({"tariffs": BOOK["tariffs"][1:], "grants": [{"tariff": "work"}]}).encode())
    t.fails("E_ARG", "dyno advise: no tariff of book.json says what a device-hour costs: device_hour is missing", *ASK)


def case_bad_input(t):
    put(t, hours((0, 1, 2), f"acme resnet 1/fp32 realtime {'a' * 64} on-cores 8"))
    t.fails("E_NOT_FOUND", "*aaaa.engine.json*", *ASK)
    t.fails("E_NOT_FOUND", "*--certificates=DIR is missing*", *ASK[:3], *ASK[4:])
    t.fails("E_NOT_FOUND", '*cannot read "nowhere"*', *ASK, "--certificates=nowhere")
    t.fails("E_NOT_FOUND", "*nowhere*", "advise", "--ledger=nowhere", *ASK[2:])
    t.fails("E_ARG", "*--least=-1: wants 0 or more", *ASK, "--least=-1")
    t.fails("E_ARG", "*--least: much is no decimal number*", *ASK, "--least=much")
    for window in ("0h", "1", "h", "-1h", "1w", "1.5h"):
        t.fails("E_ARG", f"*--window={window}: wants minutes, hours or days*", *ASK, f"--window={window}")
    t.fails("E_ARG", "*--window=1d: no such window of the time asked for is over yet", *ASK, "--window=1d")
    t.fails("E_LIMIT", "*--window=1m: at most 100000 windows*", *ASK, "--since=2024-01-01", "--window=1m")
    t.fails("E_NOT_FOUND", "*nobody used a device in this time", *ASK, "--since=2025-11-30", "--until=2025-12-01")
    (t.folder / "ledger").rename(t.folder / "moved")
    t.fails("E_ARG", "*--ledger=PATH or --fleet-ledger=CONNINFO is missing", "advise", "--tariffs=book.json",
            "--since=2025-12-01")
    t.fails("E_ARG", "*--tariffs=FILE is missing", "advise", "--ledger=moved",
            "--since=2025-12-01")
