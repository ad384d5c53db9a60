"""dyno ledger: what it says of good ledgers and of changed ones, proofs, exports, bad input."""
import csv
import io
import json
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess

from harness import check


def make(t, folder="l", node=3, records=100, unsent=5, segment=70, key=None):
    """Returns the two epochs."""
    more = [t.path(key)] if key else []
    text = t.tool("make_two_starts", t.path(folder), node, records, unsent, segment, *more)
    return [int(line) for line in text.splitlines()[:2]]


def keys(t):
    run = lambda *args: subprocess.run(args, check=True, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, cwd=t.folder)
    run("openssl", "genpkey", "-algorithm", "ed25519", "-out", "key.pem")
    run("openssl", "pkey", "-in", "key.pem", "-pubout", "-out", "key.pub")
    run("openssl", "genpkey", "-algorithm", "ed25519", "-out", "other.pem")
    run("openssl", "pkey", "-in", "other.pem", "-pubout", "-out", "other.pub")


def change(t, file, *statements):
    with sqlite3.connect(t.path(file)) as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def case_verify(t):
    make(t)
    text = t.works("ledger", "verify", "l")
    for words in ("good: the ledger of node 3", "201: 200 requests, 1 voids, 5 unconfirmed",
                  "the last one closed", "EPU-hours"):
        check(words in text, words, text)
    got = json.loads(t.works("ledger", "verify", "l", "--json"))
    check(got["good"] and got["records"] == 201 and got["epochs"] == 2 and got["files"] == 4, got)
    check(int(got["reference_ns"]) == sum(8000000 + n for n in range(200) if n % 11 != 10), got)
    check(got["unconfirmed"] == 5 and got["voids"] == 1 and got["signed_heads"] == 0, got)
    files = sorted(str(p) for p in pathlib.Path(t.path("l")).glob("*.ledger"))
    one = json.loads(t.works("ledger", "verify", files[1], "--json"))
    check(one["files"] == 1 and one["first_group"] > 0, one)


def case_changed(t):
    make(t)
    shutil.copytree(t.path("l"), t.path("kept"))
    for statement, says in (
            ("UPDATE record_group SET items = zeroblob(length(items)) WHERE number = 1",
             '*"l/00000001.ledger": group 1: *'),
            ("DELETE FROM record_group WHERE number = 1", "*: group 1 is missing"),
            ("UPDATE head SET bytes = zeroblob(212)", "*: it is no head of a ledger"),
            ("DELETE FROM record_group WHERE number > 2", "*: there is a head over * groups, and there are 3")):
        change(t, "l/00000001.ledger", statement)
        got = t.dyno("ledger", "verify", "l")
        line = got.stderr.strip()
        check(got.returncode in (65, 76) and got.stdout == "", got.returncode, got.stdout)
        check(re.fullmatch(re.escape(says).replace(r"\*", ".*"), line), line, "wants", says)
        shutil.rmtree(t.path("l"))
        shutil.copytree(t.path("kept"), t.path("l"))
    with open(t.path("l/00000002.ledger"), "r+b") as file:
        file.seek(8192)
        file.write(b"\0" * 4096)
    check(t.dyno("ledger", "verify", "l").returncode in (65, 76))


def case_order(t):
    make(t)
    make(t, "other", node=4)
    t.fails("E_MISMATCH", '*"l/00000003.ledger": it is file 3 of node 3, which does not follow file 1 of node 3',
            "ledger", "verify", "l/00000001.ledger", "l/00000003.ledger")
    t.fails("E_MISMATCH", "*it is file 1 of node 4, which does not follow file 4 of node 3", "ledger",
            "verify", "l", "other")


def case_heads(t):
    keys(t)
    make(t, key="key.pem")
    check("signed" in t.works("ledger", "heads", "l"))
    heads = [json.loads(line) for line in t.works("ledger", "heads", "l", "--json").splitlines()]
    check(len(heads) == 6 and all(h["signed"] and h["node"] == 3 for h in heads), heads)
    check([h["groups"] for h in heads] == sorted(h["groups"] for h in heads), heads)
    t.put("head.json", json.dumps(heads[1]).encode())
    t.put("head.hex", heads[5]["head"].encode() + b"\n")
    for name in ("head.json", "head.hex"):
        t.works("ledger", "verify", "l", "--key=key.pub", "--head=" + name)
    t.fails("E_MISMATCH", "*is not signed with the key that was given", "ledger", "verify", "l",
            "--key=other.pub")
    make(t, "again", key="key.pem")  # another ledger with the same key and the same numbers
    t.fails("E_MISMATCH", "*is of another ledger, or this one was changed since", "ledger", "verify",
            "again", "--head=head.json")
    t.put("head.bad", heads[1]["head"].replace("4459", "4458").encode())
    t.fails("E_FORMAT", '*"head.bad": it is no head of a ledger', "ledger", "verify", "l",
            "--head=head.bad")
    digits = heads[1]["head"]
    t.put("head.bad", (digits[:300] + ("0" if digits[300] != "0" else "1") + digits[301:]).encode())
    t.fails("E_CORRUPT", '*"head.bad": the checksum of the head differs', "ledger", "verify", "l",
            "--head=head.bad")
    t.put("head.bad", b"{}")
    t.fails("E_FORMAT", '*"head.bad": it is neither 424 hexadecimal digits nor *', "ledger", "verify",
            "l", "--head=head.bad")


def case_kept_heads(t):
    """Heads that somebody kept, checked without the ledger, and against it: a rewritten one is found out."""
    keys(t)
    make(t, key="key.pem")
    lines = t.works("ledger", "heads", "l", "--json").splitlines(keepends=True)
    t.put("all.jsonl", "".join(lines).encode())
    text = t.works("ledger", "verify", "--heads=all.jsonl", "--key=key.pub")
    check("good: 6 heads of node 3, 6 of them signed" in text and "each goes on from the one before" in text, text)
    # In pieces, in any order, some twice, with an end that a crash tore off.
    t.put("b.jsonl", "".join(lines[3:]).encode())
    t.put("a.jsonl", "".join(lines[4::-1]).encode())
    got = json.loads(t.works("ledger", "verify", "--heads=b.jsonl", "--heads=a.jsonl", "--json"))
    check(got["heads"] == 6 and got["gaps"] == 0 and got["signed_heads"] == 6, got)
    t.put("some.jsonl", (lines[0] + lines[2] + lines[5]).encode())
    check("2 of them do not begin at the one before" in t.works("ledger", "verify", "--heads=some.jsonl"))
    for name in ("all.jsonl", "some.jsonl"):
        check("all of this ledger" in t.works("ledger", "verify", "l", "--heads=" + name))
    make(t)  # it goes on: old heads stay good
    check(json.loads(t.works("ledger", "verify", "l", "--heads=some.jsonl", "--json"))["kept_heads"] == 3)
    # Written anew, with the same key and numbers: in order in itself, and not what was kept.
    make(t, "again", key="key.pem")
    t.works("ledger", "verify", "again", "--key=key.pub")
    for name in ("all.jsonl", "some.jsonl"):
        t.fails("E_MISMATCH", "*is of another ledger, or this one was changed since", "ledger", "verify", "again",
                "--heads=" + name)
    other = t.works("ledger", "heads", "again", "--json").splitlines(keepends=True)
    t.put("mixed.jsonl", (lines[0] + other[1]).encode())
    t.fails("E_MISMATCH", '*"mixed.jsonl", line 2: it does not go on from the head before*', "ledger", "verify",
            "--heads=mixed.jsonl")
    t.put("two.jsonl", (lines[0] + other[0]).encode())
    t.fails("E_MISMATCH", "*there are two heads over * groups with two roots*", "ledger", "verify", "--heads=two.jsonl")
    make(t, "four", node=4)
    t.put("nodes.jsonl", (lines[0] + t.works("ledger", "heads", "four", "--json").splitlines()[2]).encode())
    t.fails("E_MISMATCH", "*it is of node 4, and the one before of node 3", "ledger", "verify", "--heads=nodes.jsonl")
    t.fails("E_MISMATCH", "*is not signed with the key that was given", "ledger", "verify", "--heads=all.jsonl",
            "--key=other.pub")
    first = json.loads(lines[1])
    for key, value, status, says in (
            ("head", first["head"][:-8] + "00000000", "E_CORRUPT", "*the checksum of the head differs"),
            ("head", "xx", "E_FORMAT", '*its "head" is no text of at most 424 hexadecimal digits'),
            ("head", "00" * 300, "E_FORMAT", '*its "head" is no text of at most 424 hexadecimal digits'),
            ("head", "", "E_FORMAT", "*it is no head of a ledger"),
            ("proof", first["proof"][:-2] + "%02x" % (int(first["proof"][-2:], 16) ^ 1), "E_CORRUPT",
             "*its proof leads to another tree"),
            ("proof", first["proof"][:-2], "E_FORMAT", "*the proof of a head has * bytes*")):
        t.put("bad.jsonl", (lines[0] + json.dumps({**first, key: value})).encode())
        t.fails(status, '*"bad.jsonl", line 2: ' + says, "ledger", "verify", "--heads=bad.jsonl")
    for bad in (b"[1]\n", b"{\"head\"", b"7\n", b"{}\n" + b"x" * 70000):
        t.put("bad.jsonl", bad)
        t.fails("E_FORMAT", "*bad.jsonl*", "ledger", "verify", "--heads=bad.jsonl")
    t.put("bad.jsonl", b"")
    t.fails("E_NOT_FOUND", '*"bad.jsonl" has no head', "ledger", "verify", "--heads=bad.jsonl")
    t.fails("E_ARG", "*give one of --head, --heads and --proof", "ledger", "verify", "l", "--heads=all.jsonl", "--head=x")


def case_prove(t):
    keys(t)
    first, second = make(t, key="key.pem")
    proof = t.works("ledger", "prove", f"3-{second}-42", "l")
    check(len(proof) < 16384, len(proof))
    t.put("proof.json", proof.encode())
    shutil.rmtree(t.path("l"))  # it is checked alone
    text = t.works("ledger", "verify", "--proof=proof.json", "--key=key.pub")
    check(f"good: record 3-{second}-42 is in the ledger of node 3" in text, text)
    check("gain-share/3" in text and "signed by" in text, text)
    got = json.loads(t.works("ledger", "verify", "--proof=proof.json", "--json"))
    check(got["good"] and got["id"] == f"3-{second}-42" and got["head"]["signed"], got)
    check(got["tenant"] in ("acme", "other.co", "ténant") and got["device_ns"] == 2000141, got)
    t.fails("E_MISMATCH", "*its head is not signed with the key that was given", "ledger", "verify",
            "--proof=proof.json", "--key=other.pub")
    parsed = json.loads(proof)
    data = bytearray.fromhex(parsed["record"]["bytes"])
    data[88] ^= 1
    parsed["record"]["bytes"] = data.hex()
    t.put("bad.json", json.dumps(parsed).encode())
    t.fails("E_CORRUPT", '*"bad.json": a record of the proof is not in its group', "ledger", "verify",
            "--proof=bad.json")
    parsed = json.loads(proof)
    parsed["names"] = parsed["names"][1:]
    t.put("bad.json", json.dumps(parsed).encode())
    t.fails("E_FORMAT", "*the proof leaves out the name of the *", "ledger", "verify",
            "--proof=bad.json")
    parsed = json.loads(proof)
    parsed["id"] = f"3-{first}-42"
    t.put("bad.json", json.dumps(parsed).encode())
    t.fails("E_CORRUPT", "*the proof is not of the record that it names: *", "ledger", "verify",
            "--proof=bad.json")
    t.put("bad.json", b"[1]")
    t.fails("E_FORMAT", "*it is no proof of a ledger's record", "ledger", "verify",
            "--proof=bad.json")


def case_prove_any_kind(t):
    """A proof shows all that a record says: memory that was held, what is taken back, time of cores."""
    t.tool("make_ledger", t.path("l"), stdin="acme m v c - on-cores 3 7 11 1793491200\nacme m v c - ok 1 7 11 1793491201 void\n"
           "acme m v c - residency 400 0 0 1793491202\nacme m v c - cold-start 0 5 0 1793491203\n")
    rows = [json.loads(line) for line in t.works("ledger", "export", "l", "--json").splitlines()]
    says = {"usage": ("  outcome               ok\n", "  items                 3, in batch 0 of 0\n", "  device                7 core-ns\n"),
            "void": (f"  takes back            {rows[1]['id']}, which is rated 0\n",),
            "residency": ("  memory                400000000000 byte-ns\n",), "platform": ("  device                5 core-ns\n",)}
    seen = set()
    for row in rows:
        t.put("p.json", t.works("ledger", "prove", row["id"], "l").encode())
        text = t.works("ledger", "verify", "--proof=p.json")
        got = json.loads(t.works("ledger", "verify", "--proof=p.json", "--json"))
        check(all(str(got[key]) == str(row[key]) for key in ("id", "kind", "device_ns", "memory_byte_ns", "voids")), got, row)
        if row["kind"] not in seen:
            check(all(line in text for line in says[row["kind"]]), text)
        check(("items" in text) == ("delivered" in text) == (row["kind"] == "usage"), text)
        seen.add(row["kind"])
    check(seen == set(says), seen)


def case_export(t):
    first, second = make(t)
    rows = list(csv.DictReader(io.StringIO(t.works("ledger", "export", "l"))))
    check(len(rows) == 201, len(rows))
    check(rows[0]["id"] == f"3-{first}-1" and rows[-1]["id"] == f"3-{second}-100", rows[0])
    states = [r["state"] for r in rows]
    check(states.count("unconfirmed") == 5 and states.count("voided") == 1 and
          states[1] == "voided", states)
    check(rows[100]["kind"] == "void" and rows[100]["voids"] == f"3-{first}-2", rows[100])
    check(rows[7]["tenant"] == "other.co" and rows[7]["device_ns"] == "2000007", rows[7])
    lines = t.works("ledger", "export", "l", "--format=json").splitlines()
    objects = [json.loads(line) for line in lines]
    check(len(objects) == 201 and objects[7]["device_ns"] == 2000007 and
          objects[7]["memory_byte_ns"] == str((7 << 66) + 3), objects[7])
    mine = list(csv.DictReader(io.StringIO(t.works("ledger", "export", "l", "--tenant=ténant"))))
    check(len(mine) == 66 and {r["tenant"] for r in mine} == {"ténant"}, len(mine))
    check(t.works("ledger", "export", "l", "--tenant=acme", "--until=2020-01-01").count("\n") == 1)  # nothing then
    for way in ((), ("--json",), ("--format=cloudevents",), ("--format=cloudevents-batch",), ("--since=2090-01-01",)):
        for name in ("nobody", "bert"):  # a model is no tenant
            t.fails("E_NOT_FOUND", f"*the ledger knows no tenant '{name}'", "ledger", "export", "l", f"--tenant={name}", *way)
            check(t.dyno("ledger", "export", "l", f"--tenant={name}", *way).stdout == "", way)
    some = t.works("ledger", "export", "l", "--since=2025-11-29T07:23:21.010Z",
                   "--until=2025-11-29T07:23:21.020Z", "--json").splitlines()
    check([json.loads(s)["start"] for s in some][:1] == ["2025-11-29T07:23:21.010000000Z"], some[:1])
    check(len(some) == 10, len(some))


def case_files_in_any_order(t):
    """Files and folders may be named in any order: what they hold says which it is."""
    first, _ = make(t, records=300, segment=40)
    t.works("ledger", "archive", "l", "--to=cold")
    files = sorted(str(p.relative_to(t.folder)) for p in pathlib.Path(t.folder).glob("*/000000*"))
    check(len(files) > 6 and files[-1].startswith("l/"), files)
    ways = (("verify", "--json"), ("export",), ("heads", "--json"))
    told = [t.works("ledger", *way, *files) for way in ways]
    usage = lambda names: t.works("usage", *(f"--ledger={name}" for name in names), "--since=2020-01-01", "--json")
    for names in (files[::-1], files[3:] + files[:3], ["l", "cold"]):
        check([t.works("ledger", *way, *names) for way in ways] == told, names)
        check(usage(names) == usage(files) and "good" in t.works("ledger", "verify", *names), names)
    proof = lambda names: json.loads(t.works("ledger", "prove", f"3-{first}-42", *names))
    check(proof(files[::-1]) == proof(files))
    t.fails("E_ARG", "*comes twice: its file is given twice", "ledger", "export", *files, files[2])
    stray = f"dyno usage: '{files[1]}' belongs to no flag: --ledger takes one value, and is given again for each further one *"
    t.fails("E_ARG", stray, "usage", "--ledger", *files)
    t.fails("E_ARG", f"dyno usage: '{files[0]}' belongs to no flag, and this takes flags only *", "usage", *files)


def case_file_between_is_missing(t):
    """What is printed of several files is all that lies between them, or an error that says what is not there."""
    _, second = make(t, records=200, segment=20)
    files = sorted(p.name for p in pathlib.Path(t.path("l")).glob("*.ledger"))
    check(len(files) >= 6, files)
    inside = json.loads(t.works("ledger", "export", "l/00000002.ledger", "--json").splitlines()[0])["id"]
    says = '*dyno ledger: file 2 is missing between "l/00000001.ledger" and "l/00000003.ledger"'
    ways = (("export", "l"), ("export", "l", "--format=cloudevents"), ("export", "l", "--tenant=acme"), ("heads", "l"),
            ("heads", "l", "--json"), ("prove", inside, "l"))
    for way in ways:
        t.works("ledger", *way)
    os.rename(t.path("l/00000002.ledger"), t.path("00000002.ledger"))
    for way in ways:
        t.fails("E_NOT_FOUND", says, "ledger", *way)
        check(t.dyno("ledger", *way).stdout == "", way)
    proof = t.works("ledger", "prove", f"3-{second}-42", "l")  # a record that is there is proved
    check(f"3-{second}-42" in proof, proof)
    rows = t.works("ledger", "export", "l", "--since=2090-01-01").splitlines()  # nothing of then is missing
    check(len(rows) == 1, rows)
    os.rename(t.path("l/00000001.ledger"), t.path("00000001.ledger"))
    rows = t.works("ledger", "export", "l").splitlines()  # what was archived elsewhere is not between
    check(len(rows) > 100, len(rows))
    os.rename(t.path("l/00000004.ledger"), t.path("00000004.ledger"))
    os.rename(t.path("l/00000005.ledger"), t.path("00000005.ledger"))
    t.fails("E_NOT_FOUND", '*: files 4 to 5 are missing between "l/00000003.ledger" and "l/00000006.ledger"', "ledger",
            "export", "l")
    # Groups, where the end of a file was taken away.
    make(t, "m")
    change(t, "m/00000001.ledger", "DELETE FROM record_group WHERE number > 2", "DELETE FROM head WHERE group_count > 3")
    t.fails("E_NOT_FOUND", '*: group* missing between "m/00000001.ledger" and "m/00000002.ledger"', "ledger", "export", "m")


def check_cloudevent(event):
    """What the CloudEvents 1.0 specification and its JSON format ask of an event."""
    check(event["specversion"] == "1.0", event)
    for name in ("id", "source", "type"):
        check(isinstance(event[name], str) and event[name], name, event)
    check(all(re.fullmatch("[a-z0-9]{1,20}", name) for name in event), list(event))  # names of attributes
    check(re.fullmatch(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+", event["source"]), event)  # a URI reference
    check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", event["time"]), event)  # RFC 3339
    check("data_base64" not in event and event["datacontenttype"] == "application/json", event)
    check(isinstance(event["data"], dict) and event.get("subject") != "", event)
    for name, value in event.items():  # of the types of the specification: none of these has a number
        check(name == "data" or isinstance(value, str), name, value)


def case_cloudevents(t):
    """Settled usage, once each, for systems that meter by events."""
    first, _ = make(t)
    rows = list(csv.DictReader(io.StringIO(t.works("ledger", "export", "l"))))
    settled = {r["id"]: r for r in rows if r["kind"] == "usage" and r["state"] == "sent"}
    lines = t.works("ledger", "export", "l", "--format=cloudevents").splitlines()
    events = [json.loads(line) for line in lines]
    for event in events:
        check_cloudevent(event)
    check(len({(e["source"], e["id"]) for e in events}) == len(events) == len(settled) == 194, len(events), len(settled))
    for event in events:
        row, data = settled[event["id"]], event["data"]
        check((event["source"], event["type"]) == ("/dyno/nodes/3", "dyno.usage.v1"), event)
        check(event["subject"] == row["tenant"] == data["tenant"] and event["time"] == row["start"], event)
        check(data["model"] == row["model"] and data["engine_certificate"] == row["engine_certificate"], data)
        took = data["core_ns"] if "core-ns" in row["flags"] else data["device_ns"]
        check(took == int(row["device_ns"]) and data["reference_ns"] == int(row["reference_ns"]), data, row)
        check(abs(float(data["epu_hours"]) * 3.6e12 - data["reference_ns"]) <= 3600, data)
    batch = json.loads(t.works("ledger", "export", "l", "--format=cloudevents-batch"))
    check(batch == events)
    none = t.works("ledger", "export", "l", "--format=cloudevents-batch", "--tenant=acme", "--since=2090-01-01")
    check(json.loads(none) == [], none)


def case_archive(t):
    """Closed files become archives, and nothing that is said of them changes."""
    keys(t)
    first, second = make(t, key="key.pem", records=3000, segment=1000)
    ask = lambda *args: t.works("ledger", *args)
    said = [("verify", "l", "--json"), ("export", "l"), ("heads", "l", "--json"), ("prove", f"3-{first}-42", "l")]
    before = [ask(*args) for args in said]
    files = sorted(p.name for p in pathlib.Path(t.path("l")).glob("*.ledger"))
    text = ask("archive", "l", "--until=2020-01-01")
    check(text.startswith("0 files archived") and sorted(p.name for p in pathlib.Path(t.path("l")).glob("*.ledger")) == files)
    got = json.loads(ask("archive", "l", "--json"))
    check(got["archived"] == len(files) - 1 and got["kept"] == 1 and got["records"] > 3000, got)
    check(got["archive_bytes"] * 2 < got["file_bytes"], got)
    left = sorted(p.name for p in pathlib.Path(t.path("l")).iterdir() if p.name[:4] == "0000")
    check(left == [name.replace("ledger", "archive") for name in files[:-1]] + files[-1:], left)
    check([ask(*args) for args in said] == before)
    check(json.loads(ask("archive", "l", "--json"))["archived"] == 0)
    # Elsewhere, and named beside the rest; and the ledger goes on.
    make(t, "m", records=100, segment=70)
    rows = ask("export", "m")
    ask("archive", "m", "--to=cold")
    check(not list(pathlib.Path(t.path("m")).glob("*.archive")) and ask("export", "cold", "m") == rows)
    check(json.loads(ask("verify", "cold", "m", "--json"))["first_group"] == 0)
    make(t, "m", records=10)
    check(json.loads(ask("verify", "cold", "m", "--json"))["epochs"] == 4)
    t.fails("E_ARG", '*archive wants the folder of a ledger, and "m/00000004.ledger" is a file', "ledger", "archive", "m/00000004.ledger")
    four = [str(p.relative_to(t.folder)) for p in sorted(pathlib.Path(t.path("l")).glob("*.archive"))][:4]
    for action in ("archive", "retire"):
        t.fails("E_ARG", f"*{action} wants one folder of a ledger, not 4 arguments", "ledger", action, *four)
        t.fails("E_NOT_FOUND", '*"none": No such file or directory', "ledger", action, "none")
    t.fails("E_ARG", "*verify takes no --to", "ledger", "verify", "m", "--to=x")
    t.fails("E_ARG", "*--until=soon: wants *", "ledger", "archive", "m", "--until=soon")
    archive = next(pathlib.Path(t.path("cold")).iterdir())
    archive.write_bytes(archive.read_bytes()[:-1])
    t.fails("E_CORRUPT", '*.archive": its end is missing or damaged', "ledger", "verify", "cold", "m")


def case_bad_input(t):
    make(t)
    t.fails("E_ARG", "*it knows verify, prove, export, heads, ship, archive and retire, not 'x'", "ledger", "x", "l")
    t.fails("E_ARG", "*verify wants the folder of a ledger, or files of one, or --fleet-ledger", "ledger", "verify")
    t.fails("E_NOT_FOUND", '*"nowhere": No such file or directory', "ledger", "verify", "nowhere")
    t.put("text", b"hello world" * 100)
    t.fails("E_FORMAT", '*"text"*', "ledger", "verify", "text")
    os.mkdir(t.path("empty"))
    t.fails("E_NOT_FOUND", '*the folder "empty" has no file of a ledger', "ledger", "export", "empty")
    t.fails("E_ARG", "*'12' is no record id: NODE-EPOCH-SEQ*", "ledger", "prove", "12", "l")
    t.fails("E_NOT_FOUND", "*there is no record 3-5-9 in 4 files", "ledger", "prove", "3-5-9", "l")
    t.fails("E_ARG", "*--since=yesterday: wants 2026-01-31*", "ledger", "export", "l",
            "--since=yesterday")
    t.fails("E_ARG", "*--format=xml: wants csv, json, cloudevents or cloudevents-batch", "ledger", "export", "l", "--format=xml")
    t.fails("E_ARG", "*verify takes no --format*", "ledger", "verify", "l", "--tenant=a")
    t.fails("E_ARG", "*heads takes no --key*", "ledger", "heads", "l", "--proof=x")
    t.fails("E_ARG", "*a proof is checked alone*", "ledger", "verify", "l", "--proof=x")
    t.fails("E_NOT_FOUND", "*nokey*", "ledger", "verify", "l", "--key=nokey")


def case_while_it_is_written(t):
    """A reader with its file open does not hold the writer up, and reads up to where it began."""
    make(t)
    reader = sqlite3.connect(t.path("l/00000004.ledger"))
    cursor = reader.execute("SELECT number FROM record_group")
    check(cursor.fetchone() is not None)
    make(t)  # goes on from the same files
    check(json.loads(t.works("ledger", "verify", "l", "--json"))["epochs"] == 4)
    reader.close()
