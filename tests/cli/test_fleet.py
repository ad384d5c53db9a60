"""The fleet's ledger in PostgreSQL: shipped by hand, read, verified; what is delivered badly; what is refused."""
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys

from harness import check
from test_billing import put_all
from test_closing import begin, die
from test_ledger import keys, make

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import postgres  # noqa: E402


class Fleet:
    """A cluster, and dyno beside it."""

    def __init__(self, t, pg):
        self.t, self.pg, self.flag = t, pg, "--fleet-ledger=" + pg.conninfo()

    def works(self, *args):
        return self.t.works(*args, self.flag, env=self.pg.env())

    def fails(self, status, says, *args):
        return self.t.fails(status, says, *args, self.flag, env=self.pg.env())

    def json(self, *args):
        return json.loads(self.works(*args, "--json"))

    def same(self, folder, node=3):
        """The fleet has what the folder has, and it verifies."""
        local = json.loads(self.t.works("ledger", "verify", folder, "--json"))
        got = [n for n in self.json("ledger", "verify")["nodes"] if n["node"] == node]
        check(got == [local], got, local)
        export = self.t.works("ledger", "export", folder)
        check(self.works("ledger", "export", f"--node={node}") == export, "the exports differ")
        return local


def case_ship(t):
    keys(t)
    with postgres.cluster() as pg:
        fleet = Fleet(t, pg)
        make(t, key="key.pem")
        text = fleet.works("ledger", "ship", "l")
        check("with 201 records: the fleet has node 3 up to record 3-" in text, text)
        local = fleet.same("l")
        check(local["heads"] == local["signed_heads"] == 6, local)
        again = fleet.json("ledger", "ship", "l")
        check(again["groups"] == 0 and again["records"] == 0 and again["seq"] == 100, again)
        make(t, key="key.pem")  # goes on
        more = fleet.json("ledger", "ship", "l")
        check(more["records"] == 201, more)
        fleet.same("l")
        make(t, "m", node=4)
        fleet.works("ledger", "ship", "m")
        fleet.same("m", node=4)
        heads = t.works("ledger", "heads", "l", "--json")
        check(fleet.works("ledger", "heads", "--node=3", "--json") == heads, "the heads differ")
        t.put("head.json", heads.splitlines()[3].encode())
        fleet.works("ledger", "verify", "--node=3", "--key=key.pub", "--head=head.json")
        fleet.fails("E_MISMATCH", "*is not signed with the key that was given", "ledger", "verify", "--key=key.pub")
        record = t.works("ledger", "export", "l").splitlines()[42].split(",")[0]
        proof = fleet.works("ledger", "prove", record)
        check(proof == t.works("ledger", "prove", record, "l"), proof)
        rows = sorted(tuple(r) for r in pg.sql("SELECT node, seq, sent_seq FROM dyno_ledger.watermark"))
        first, second = ("101", "101"), ("100", "95")
        check(rows == sorted([("3", *first), ("3", *second)] * 2 + [("4", *first), ("4", *second)]), rows)


def case_bad_deliveries(t):
    """Lost, twice, in another order, the connection begun anew: all is there once."""
    with postgres.cluster() as pg:
        fleet = Fleet(t, pg)
        program = pathlib.Path(t.program).with_name("ship_badly")
        for node in range(1, 6):
            make(t, f"l{node}", node=node, records=1500, unsent=3, segment=700)
            said = run(t, pg, program, pg.conninfo(), f"l{node}", str(node))
            check("lost" in said and " 0 lost" not in said and " 0 twice" not in said, said)
            fleet.same(f"l{node}", node=node)
        got = pg.sql("SELECT count(*), sum(length(items)) FROM dyno_ledger.record_group")
        check(int(got[0][0]) > 400, got)


def run(t, pg, *args):
    got = subprocess.run(args, capture_output=True, text=True, cwd=t.folder, timeout=600, check=False,
                         env={**os.environ, **pg.env()})
    check(got.returncode == 0, got.stdout, got.stderr)
    return got.stdout


def case_without_memory(t):
    """Allocations of a shipper fail, one a time: it ends with a sentence and leaves nothing behind."""
    with postgres.cluster() as pg:
        make(t, records=200)
        said = run(t, pg, pathlib.Path(t.program).with_name("ship_badly"), pg.conninfo(), "l", "starved")
        check(int(said.split()[0]) > 500, said)
        Fleet(t, pg).same("l")


def case_two_at_once(t):
    """Four make the tables and ship the same files at the same time."""
    with postgres.cluster() as pg:
        fleet = Fleet(t, pg)
        make(t, records=3000, segment=500)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            done = list(pool.map(lambda _: fleet.works("ledger", "ship", "l"), range(4)))
        check(len(done) == 4)
        fleet.same("l")


def case_refused_nodes(t):
    with postgres.cluster() as pg:
        fleet = Fleet(t, pg)
        make(t)
        shutil.copytree(t.path("l"), t.path("old"))
        make(t)
        fleet.works("ledger", "ship", "l")
        make(t, "other", records=500)
        make(t, "small", records=5)
        for folder in ("other", "small"):
            fleet.fails("E_MISMATCH", "*the fleet has another ledger of node 3: two nodes have this number, *", "ledger",
                        "ship", folder)
            run(t, pg, pathlib.Path(t.program).with_name("ship_badly"), pg.conninfo(), folder, "foreign")
        fleet.fails("E_MISMATCH", "*the fleet has * groups of node 3, and these files end after *: they are an older copy",
                    "ledger", "ship", "old")
        files = sorted(p.name for p in pathlib.Path(t.path("l")).glob("*.ledger"))
        make(t)
        make(t)
        os.mkdir(t.path("late"))
        for path in sorted(pathlib.Path(t.path("l")).glob("*.ledger"))[len(files) + 2:]:
            shutil.copy(path, t.path("late"))
        fleet.fails("E_MISMATCH", "*the fleet has * groups of node 3, and \"late/*\" begins after *: the files between are"
                    " wanted, too", "ledger", "ship", "late")
        last = sorted(pathlib.Path(t.path("l")).glob("*.ledger"))[-1]
        fleet.fails("E_MISMATCH", '*"*" is of node 3 and begins after *, wants the file of node 3 that begins after *',
                    "ledger", "ship", f"l/{files[-1]}", f"l/{last.name}")
        make(t, "m", node=4)
        fleet.fails("E_MISMATCH", '*"l/*" is of node 3, not of node 4: ship the ledgers of two nodes one by one',
                    "ledger", "ship", "l", "m")
        fleet.works("ledger", "ship", "l")  # and nothing of all that is in it
        fleet.same("l")


def case_files_moved_away(t):
    """What the fleet has already need not be there any more."""
    with postgres.cluster() as pg:
        fleet = Fleet(t, pg)
        make(t)
        fleet.works("ledger", "ship", "l")
        shutil.copytree(t.path("l"), t.path("whole"))
        for path in sorted(pathlib.Path(t.path("l")).glob("*.ledger"))[:-1]:
            path.unlink()
        make(t)
        fleet.works("ledger", "ship", "l")
        for path in pathlib.Path(t.path("l")).glob("*.ledger"):
            shutil.copy(path, t.path("whole"))
        fleet.same("whole")


def case_rights(t):
    """Once the tables are there, shipping and reading want no more than docs/fleet.md says."""
    with postgres.cluster() as pg:
        make(t)
        Fleet(t, pg).works("ledger", "ship", "l")
        pg.sql(f"CREATE ROLE sender LOGIN PASSWORD '{postgres.PASSWORD}'; CREATE ROLE viewer LOGIN PASSWORD '{postgres.PASSWORD}';"
               "GRANT USAGE ON SCHEMA dyno_ledger TO sender, viewer;"
               "GRANT SELECT ON ALL TABLES IN SCHEMA dyno_ledger TO sender, viewer;"
               "GRANT INSERT ON ALL TABLES IN SCHEMA dyno_ledger TO sender;"
               "GRANT UPDATE ON dyno_ledger.node, dyno_ledger.watermark TO sender")
        make(t)
        sender, viewer = ("--fleet-ledger=" + pg.conninfo(user=user) for user in ("sender", "viewer"))
        t.fails("E_DENIED", "*fleet ledger: permission denied for table node", "ledger", "ship", "l", viewer, env=pg.env())
        t.works("ledger", "ship", "l", sender, env=pg.env())
        t.works("ledger", "verify", viewer, env=pg.env())
        Fleet(t, pg).same("l")


def case_archives(t):
    """Closed files that became archives are shipped as files are; the fleet has the same."""
    with postgres.cluster() as pg:
        fleet = Fleet(t, pg)
        make(t)
        shutil.copytree(t.path("l"), t.path("files"))
        t.works("ledger", "archive", "l")
        check(list(pathlib.Path(t.path("l")).glob("*.archive")), "nothing was archived")
        fleet.works("ledger", "ship", "l")
        fleet.same("files")
        check(fleet.json("ledger", "ship", "files")["records"] == 0)


def ledgers_of_yesterday(t, count=6):
    """Node 1, started so many times a day ago; returns its files."""
    for i in range(count):
        lines = [f"acme m v standard - ok 1 {5 + i} {7 * k} {1730419200 + k}" for k in range(40)]
        t.tool("make_ledger", t.path("ledger"), "still", 90000 - i, stdin="\n".join(lines) + "\n")
    return files_of(t)


def files_of(t, folder="ledger"):
    return sorted(p.name for p in pathlib.Path(t.path(folder)).iterdir() if p.suffix in (".ledger", ".archive"))


def case_remove_shipped(t):
    """Closed files that the fleet has byte by byte go, the last one stays, and everything goes on from it."""
    with postgres.cluster() as pg:
        fleet = Fleet(t, pg)
        names = ledgers_of_yesterday(t)
        remove = ("ledger", "archive", "ledger", "--remove-shipped")
        t.fails("E_ARG", "*--remove-shipped wants --fleet-ledger, and no --to", *remove)
        fleet.fails("E_ARG", "*--remove-shipped wants --fleet-ledger, and no --to", *remove, "--to=x")
        fleet.fails("E_ARG", "*verify takes no --remove-shipped", "ledger", "verify", "--remove-shipped")
        fleet.fails("E_NOT_FOUND", "*", *remove)
        # The fleet has three files of six, and the head of the third.
        fleet.works("ledger", "ship", *(f"ledger/{name}" for name in names[:3]))
        shutil.copytree(t.path("ledger"), t.path("whole"))
        t.works("ledger", "archive", "ledger")
        shutil.copy(t.path("whole/00000002.ledger"), t.path("ledger"))  # as a stop in the middle leaves it
        got = fleet.json(*remove)
        check(got["removed"] == 3 and got["kept"] == 3 and got["records"] == 120, got)
        check(files_of(t) == ["00000004.archive", "00000005.archive", "00000006.ledger"], files_of(t))
        check(fleet.json(*remove)["removed"] == 0)
        fleet.works("ledger", "ship", "ledger")
        fleet.same("whole", node=1)
        check(fleet.json(*remove, "--until=2020-01-01")["removed"] == 0)
        check(fleet.json(*remove)["removed"] == 2 and files_of(t) == ["00000006.ledger"], files_of(t))
        # It goes on, and what is younger than an hour stays where it is.
        t.tool("make_ledger", t.path("ledger"), stdin="acme m v standard - ok 1 5 7 1730419200\n")
        t.tool("make_ledger", t.path("ledger"), stdin="")
        fleet.works("ledger", "ship", "ledger")
        check(fleet.json(*remove)["removed"] == 1 and files_of(t) == ["00000007.ledger", "00000008.ledger"], files_of(t))
        for name in files_of(t):
            shutil.copy(t.path(f"ledger/{name}"), t.path("whole"))
        fleet.same("whole", node=1)


def case_remove_shipped_refused(t):
    """Whatever is another thing in the fleet than here, or not what was written: nothing is removed."""
    with postgres.cluster() as pg:
        fleet = Fleet(t, pg)
        names = ledgers_of_yesterday(t, 3)
        remove = ("ledger", "archive", "ledger", "--remove-shipped")
        fleet.works("ledger", "ship", "ledger")
        pg.sql("CREATE DATABASE kept TEMPLATE dyno", name="postgres")
        for statement, says in (
                ("UPDATE dyno_ledger.record_group SET items = set_byte(items, 60, get_byte(items, 60) # 1)"
                 " WHERE number = (SELECT max(number) FROM dyno_ledger.record_group WHERE length(items) > 0)",
                 '"node 1, file 3": group '),
                ("UPDATE dyno_ledger.watermark SET seq = seq - 1", "and a watermark at"),
                ("DELETE FROM dyno_ledger.record_group WHERE number = 1", "group 1 is missing")):
            pg.sql(statement)
            got = t.dyno(*remove, fleet.flag, env=pg.env())
            check(got.returncode != 0 and "nothing is removed: " in got.stderr and says in got.stderr, statement, got)
            check(files_of(t) == names, files_of(t))
            pg.sql("DROP DATABASE dyno", name="postgres")
            pg.sql("CREATE DATABASE dyno TEMPLATE kept", name="postgres")
        # Another ledger under this number, in order in itself.
        shutil.rmtree(t.path("ledger"))
        check(ledgers_of_yesterday(t, 3) == names)
        fleet.fails("E_MISMATCH", '*"ledger/00000001.ledger": * is another one in the fleet', *remove)


def case_remove_shipped_killed(t):
    """Killed at any moment: what is left has no gap, and with the fleet's copy it is all; asked again, it goes on."""
    with postgres.cluster() as pg:
        fleet = Fleet(t, pg)
        names = ledgers_of_yesterday(t, 12)
        fleet.works("ledger", "ship", "ledger")
        local = fleet.same("ledger", node=1)
        kills = 0
        for step in range(60):
            with subprocess.Popen([t.program, "ledger", "archive", "ledger", "--remove-shipped", fleet.flag], cwd=t.folder,
                                  env={**os.environ, **pg.env()}, stdout=subprocess.DEVNULL) as process:
                try:
                    process.wait(0.002 * step)
                except subprocess.TimeoutExpired:
                    process.kill()
                    kills += 1
            left = files_of(t)
            check(left == names[len(names) - len(left):] and left, left)
            t.works("ledger", "verify", "ledger")
            if left == names[-1:]:
                break
        fleet.works("ledger", "archive", "ledger", "--remove-shipped")  # on a busy machine none of them came to the end
        check(kills > 0 and files_of(t) == names[-1:], kills, files_of(t))
        got, = fleet.json("ledger", "verify")["nodes"]
        check(got == local, got, local)
        fleet.works("ledger", "ship", "ledger")


# What stands between the columns of the view and those of an export.
VIEW_ROW = ("SELECT json_build_object('id', id, 'group', group_number, 'kind', kind, 'state', state, 'outcome', outcome, 'flags',"
            " flags, 'tenant', tenant, 'model', model, 'variant', variant, 'reference_certificate', reference_certificate,"
            " 'engine_certificate', engine_certificate, 'class', class, 'shape', shape, 'device', device, 'tariff', tariff,"
            " 'items', items, 'batch_id', batch_id, 'batch_size', batch_size, 'start', to_char(time AT TIME ZONE 'UTC',"
            " 'YYYY-MM-DD\"T\"HH24:MI:SS.US') || lpad((start_ns % 1000)::text, 3, '0') || 'Z', 'queue_ns', queue_ns,"
            " 'device_ns', device_ns, 'reference_ns', reference_ns, 'memory_byte_ns', memory_byte_ns::text, 'voids', voids)"
            " FROM dyno_ledger.record")


def case_records_in_sql(t):
    """The view of single records has what an export has, to the last digit: of several nodes, files and starts, with records
    that were voided or are not known to have left, and names of any text."""
    with postgres.cluster() as pg:
        fleet = Fleet(t, pg)
        for node in (3, 4):
            make(t, f"l{node}", node=node, records=100 + node)
            make(t, f"l{node}", node=node, records=50, unsent=2)
            fleet.works("ledger", "ship", f"l{node}")
        since = 1730419200
        lines = [f"{'ä' * 127} m'o\"d,el\\\\ vπx cl@dev - ok 4294967295 {2**64 - 1} {2**64 - 1} {since} void",
                 f"b m v cl ref:{'a' * 64} cached 3 7 0 {since} unsent", f"b m v cl - residency {2**63} 0 0 {since}",
                 f"b m v cl {'f' * 64} cold-start 0 9 0 {since}", f"c m v cl - on-cores 3 7 11 {since} unsent"]
        t.tool("make_ledger", t.path("l1"), stdin="\n".join(lines) + "\n")
        fleet.works("ledger", "ship", "l1")
        want = sorted(map(json.loads, fleet.works("ledger", "export", "--json").splitlines()), key=lambda r: r["id"])
        got = sorted((json.loads(row[0]) for row in pg.sql(VIEW_ROW)), key=lambda r: r["id"])
        check(len(got) == len(want) > 500, len(got), len(want))
        for left, right in zip(got, want):
            check(left == right, left, right)
        check({r["state"] for r in got} == {"sent", "unconfirmed", "voided"} and
              {r["kind"] for r in got} >= {"usage", "void", "residency", "platform"}, got[-1])
        # It adds up, and a part of it can be asked for.
        per = {}
        for r in want:
            if (r["kind"], r["state"], r["outcome"]) == ("usage", "sent", "ok"):
                key = r["tenant"], r["model"]
                per[key] = per.get(key, 0) + r["reference_ns"]
        rows = pg.sql("SELECT tenant, model, sum(reference_ns) FROM dyno_ledger.record WHERE kind = 'usage' AND state = 'sent' AND"
                      " outcome = 'ok' GROUP BY tenant, model")
        check({(r[0], r[1]): int(r[2]) for r in rows} == per and per, rows, per)
        part, = pg.sql("SELECT count(*) FROM dyno_ledger.record WHERE node = 3 AND group_number < 20")
        check(int(part[0]) == sum(r["id"].startswith("3-") and r["group"] < 20 for r in want), part)
        # Who may see the view alone sees records, and not the tables.
        pg.sql(f"CREATE ROLE finance LOGIN PASSWORD '{postgres.PASSWORD}'; GRANT USAGE ON SCHEMA dyno_ledger TO finance;"
               "GRANT SELECT ON dyno_ledger.record TO finance")
        check(pg.sql("SET ROLE finance; SELECT count(*) FROM dyno_ledger.record")[-1] == [str(len(want))])
        # Tables that an older build made get it with the next delivery.
        known = pg.sql("SELECT version FROM dyno_ledger.schema_version")
        pg.sql("DROP VIEW dyno_ledger.record, dyno_ledger.packed_record; DROP FUNCTION dyno_ledger.indices, dyno_ledger.names,"
               " dyno_ledger.u64, dyno_ledger.u32; ALTER TABLE dyno_ledger.node DROP retirement, DROP retirement_proof;"
               " UPDATE dyno_ledger.schema_version SET version = 1")
        fleet.works("ledger", "ship", "l1")
        check(pg.sql("SELECT version FROM dyno_ledger.schema_version") == known)
        check(pg.sql("SELECT count(*) FROM dyno_ledger.record") == [[str(len(want))]])


def case_damage(t):
    """What is changed in the database is found, wherever it is."""
    with postgres.cluster() as pg:
        fleet = Fleet(t, pg)
        make(t)
        fleet.works("ledger", "ship", "l")
        pg.sql("CREATE DATABASE kept TEMPLATE dyno", name="postgres")
        rest = {"E_CORRUPT", "E_FORMAT", "E_MISMATCH"}
        for statement, says in (
                ("UPDATE dyno_ledger.record_group SET items = set_byte(items, 100, get_byte(items, 100) # 1) WHERE number = 1",
                 '"node 3, file 1": group 1: '),
                ("UPDATE dyno_ledger.record_group SET items = '' WHERE number = 1", '"node 3, file 1": group 1: '),
                ("UPDATE dyno_ledger.record_group SET header = '\\x00' WHERE number = 2", '"node 3, file 1": group 2: '),
                ("UPDATE dyno_ledger.record_group SET number = 1000 WHERE number = 2", "group 2 is missing"),
                ("DELETE FROM dyno_ledger.record_group WHERE number = 2", "group 2 is missing"),
                ("DELETE FROM dyno_ledger.record_group WHERE number > 11", "there is a head over "),
                ("DELETE FROM dyno_ledger.record_group WHERE number > 11; DELETE FROM dyno_ledger.head WHERE group_count > 12",
                 "its opening speaks of other groups before it"),
                ("UPDATE dyno_ledger.head SET bytes = proof WHERE group_count = 1", "it is no head of a ledger"),
                ("UPDATE dyno_ledger.file SET opening = '\\x00' WHERE number = 2", '"node 3, file 2": '),
                ("UPDATE dyno_ledger.file SET first_group = first_group - 1 WHERE number = 2", "its opening is that of"),
                ("DELETE FROM dyno_ledger.file WHERE number = 2", "it comes after the end of its file"),
                ("UPDATE dyno_ledger.node SET group_count = group_count + 1", "and its watermark says"),
                ("UPDATE dyno_ledger.node SET chain = sha256(chain)", "with another hash"),
                ("UPDATE dyno_ledger.node SET chain = '\\x00'", "a hash has 1 bytes, wants 32"),
                ("UPDATE dyno_ledger.watermark SET seq = seq + 20 WHERE seq = 100",
                 "node 3: the records 101 to 120 of epoch "),
                ("UPDATE dyno_ledger.watermark SET seq = seq - 1 WHERE seq = 100", "and a watermark at 99 and 95"),
                ("UPDATE dyno_ledger.watermark SET sent_seq = 100 WHERE seq = 100", "and a watermark at 100 and 100"),
                ("DELETE FROM dyno_ledger.watermark WHERE seq = 100", "has no watermark"),
                ("INSERT INTO dyno_ledger.watermark VALUES (3, 4294967295, 1, 1)", "has a watermark and no group"),
                ("DROP VIEW dyno_ledger.record, dyno_ledger.packed_record;"
                 " ALTER TABLE dyno_ledger.record_group ALTER items TYPE text USING 'x'", "items is of another type"),
                ("ALTER TABLE dyno_ledger.head DROP proof", 'column "proof" does not exist')):
            pg.sql(statement)
            got = t.dyno("ledger", "verify", fleet.flag, env=pg.env())
            check(got.returncode != 0 and got.stdout == "" and got.stderr.count("\n") == 1 and says in got.stderr, statement,
                  got, "wants", says)
            pg.sql("DROP DATABASE dyno", name="postgres")
            pg.sql("CREATE DATABASE dyno TEMPLATE kept", name="postgres")
        check(rest and fleet.same("l"))


def case_retired(t):
    """A node died with its machine, and the fleet has what it wrote: its ledger ends there, for whoever closes, whoever
    checks, and whatever comes under its number."""
    since, until = die(t)
    ask = ("invoice", since, until, "--tariffs=book.json", "--final", "--first", "--books=books")
    with postgres.cluster() as pg:
        fleet = Fleet(t, pg)
        fleet.works("ledger", "ship", "ledger")
        make(t, "other")
        fleet.works("ledger", "ship", "other")
        fleet.fails("E_ARG", "*node 1 has no head of its ledger since *If it never comes back: dyno ledger retire", *ask)
        fleet.fails("E_ARG", "*retire wants --fleet-ledger and --node=N, or the folder of a ledger", "ledger", "retire")
        fleet.fails("E_NOT_FOUND", "*it has no node 9", "ledger", "retire", "--node=9")
        # What somebody has a head over, and the fleet has not.
        shutil.copytree(t.path("ledger"), t.path("longer"))
        t.tool("make_ledger", t.path("longer"), "still", 80000, stdin="")
        t.put("longer.jsonl", t.works("ledger", "heads", "longer", "--json").encode())
        fleet.fails("E_MISMATCH", "*over * groups: of these files none ends there*", "ledger", "retire", "--node=1",
                    "--heads=longer.jsonl")
        last = fleet.works("ledger", "retire", "--node=1", "--json")
        check(fleet.works("ledger", "retire", "--node=1", "--json") == last)
        groups, = pg.sql("SELECT group_count FROM dyno_ledger.node WHERE node = 1")
        check(json.loads(last)["groups"] == int(groups[0]) and json.loads(last)["last"], last, groups)
        nodes = {n["node"]: n["retired"] for n in fleet.json("ledger", "verify")["nodes"]}
        check(nodes == {1: True, 3: False}, nodes)
        heads = fleet.works("ledger", "heads", "--node=1", "--json")
        check(heads.splitlines()[-1] + "\n" == last and last not in fleet.works("ledger", "heads", "--node=3", "--json"))
        t.put("heads.jsonl", heads.encode())
        check("each goes on from the one before" in t.works("ledger", "verify", "--heads=heads.jsonl"))
        # Closed, and again, and replayed by whoever has the files alone.
        fleet.works(*ask)
        check("was made before" in fleet.works(*ask))
        for where in (fleet.works, lambda *args: t.works(*args, "--ledger=ledger", "--ledger=other")):
            where("invoice", "--verify=books/1-1.invoice.json", "--books=books")
        # It may be shipped again as it is; what goes on from it is told so, whenever that begins.
        check(fleet.json("ledger", "ship", "ledger")["groups"] == 0)
        fleet.fails("E_DENIED", "*the ledger of node 1 was retired at *Z, after * groups, and does not go on: *", "ledger", "ship",
                    "longer")
        run(t, pg, pathlib.Path(t.program).with_name("ship_badly"), pg.conninfo(), "longer", "retired")
        pg.sql("UPDATE dyno_ledger.node SET retirement = set_byte(retirement, 40, get_byte(retirement, 40) # 1) WHERE node = 1")
        fleet.fails("E_CORRUPT", "*fleet ledger: node 1: the checksum of the head differs", "ledger", "verify")


def case_sentences(t):
    make(t)
    with postgres.cluster() as pg:
        fleet = Fleet(t, pg)
        fleet.fails("E_NOT_FOUND", '*fleet ledger: there is none in the database "dyno" yet', "ledger", "verify")
        fleet.fails("E_NOT_FOUND", '*fleet ledger: there is none in the database "dyno" yet', "usage")
        fleet.works("ledger", "ship", "l")
        fleet.fails("E_NOT_FOUND", "*fleet ledger: it has no node 9", "ledger", "export", "--node=9")
        fleet.fails("E_NOT_FOUND", "*there is no record 3-5-9 in * files", "ledger", "prove", "3-5-9")
        fleet.fails("E_ARG", "*from files or from the fleet, which has them, too: give one of both", "ledger", "verify", "l")
        fleet.fails("E_ARG", "*from files or from the fleet*", "usage", "--ledger=l")
        t.fails("E_ARG", "*--fleet-ledger=CONNINFO is missing", "ledger", "ship", "l")
        t.fails("E_ARG", "*--node says which of the nodes*", "ledger", "export", "l", "--node=3")
        t.fails("E_ARG", "*holds no password: that belongs into a passfile*", "ledger", "ship", "l",
                "--fleet-ledger=host=x password=y")
        wrong = {**pg.env(), "PGPASSFILE": "/dev/null", "PGPASSWORD": "wrong"}
        t.fails("E_DENIED", '*fleet ledger: connection to server at "127.0.0.1", port * failed: FATAL: password authentication '
                'failed for user "dyno"', "ledger", "ship", "l", fleet.flag, env=wrong)
        known = int(pg.sql("SELECT version FROM dyno_ledger.schema_version")[0][0])
        pg.sql(f"UPDATE dyno_ledger.schema_version SET version = {known + 1}")
        for args in (("ledger", "ship", "l"), ("usage",)):
            fleet.fails("E_UNSUPPORTED", f'*fleet ledger: the database "dyno" has version {known + 1} of its tables, made by a '
                        f"newer build: this one knows {known}", *args)
        pg.stop()
        fleet.fails("E_IO", "*fleet ledger: connection to server at *: Connection refused", "ledger", "ship", "l")


def case_same_closing(t):
    """A period that is closed from the fleet has the same papers, and later files stand against them."""
    begin(t)
    ask = ("--period=2024-10", "--tariffs=book.json", "--final", "--first")
    with postgres.cluster() as pg:
        fleet = Fleet(t, pg)
        fleet.works("ledger", "ship", "ledger")
        fleet.works("invoice", *ask, "--books=theirs")
        t.works("invoice", *ask, "--books=ours", "--ledger=ledger")
        papers = [{p.name: p.read_bytes() for p in pathlib.Path(t.path(name)).iterdir()} for name in ("ours", "theirs")]
        check(papers[0] == papers[1] and len(papers[0]) == 4, papers[0].keys(), papers[1].keys())
        number = next(name for name in papers[0] if name.endswith(".invoice.json"))
        for where in (fleet.works, lambda *args: t.works(*args, "--ledger=ledger")):
            where("invoice", f"--verify=theirs/{number}", "--books=theirs")


def case_same_statement(t):
    """Usage, invoices and what-ifs out of the fleet are those out of the files; final ones, too."""
    put_all(t)
    ask, book = ("--period=2026-11",), "--tariffs=book.json"
    with postgres.cluster() as pg:
        fleet = Fleet(t, pg)
        fleet.works("ledger", "ship", "ledger")
        for args in (("usage",), ("usage", "--json"), ("invoice", book), ("invoice", book, "--tenant=bolt", "--json"),
                     ("invoice", book, "--format=focus"), ("whatif", book, "--tariff=hourly", "--json")):
            local = t.works(*args, *ask, "--ledger=ledger")
            check(len(local) > 100 and fleet.works(*args, *ask) == local, args, local)
        make(t, "other", node=2)
        fleet.works("ledger", "ship", "other")
        check(fleet.works("ledger", "export") == t.works("ledger", "export", "ledger", "other"))
        check(fleet.works("usage", *ask) == t.works("usage", *ask, "--ledger=ledger", "--ledger=other"))
