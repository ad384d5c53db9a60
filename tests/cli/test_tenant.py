"""dyno tenant: tenants, keys, limits; what is refused; what is never shown."""
import hashlib
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess

from harness import EXIT, check

DB = "--control-db=c.db"
KEY = re.compile(r"dyno_[0-9a-f]{12}_[0-9a-f]{64}")


def told(t, *args):
    return json.loads(t.works("tenant", *args, DB, "--json"))


def case_add_show_list(t):
    text = t.works("tenant", "add", "acme", DB)
    lines = text.splitlines()
    check(len(lines) == 2 and KEY.fullmatch(lines[1]), text)
    check(stat.S_IMODE(os.stat(t.path("c.db")).st_mode) == 0o600)
    got = told(t, "add", "other.co", "--rights=infer,metrics", "--class=realtime", "--rate=2.5",
               "--burst=4", "--concurrent=3", "--period=month", "--quota-requests=100",
               "--quota-device-secs=1.5", "--model=b", "--model=a")
    check(got["tenant"] == "other.co" and KEY.fullmatch(got["key"]), got)
    check(got["key"].split("_")[1] == got["key_id"], got)
    one = told(t, "show", "other.co")
    quota = one.pop("quota")
    key, = one.pop("keys")
    check(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", one.pop("created")))
    check(one == {"name": "other.co", "id": 2, "enabled": True, "rights": "infer,metrics",
                  "class": "realtime", "rate_per_s": 2.5, "burst": 4, "concurrent_max": 3,
                  "models": ["a", "b"]}, one)
    check(key["id"] == got["key_id"] and key["ends"] is None, key)
    check(re.fullmatch(r"20\d\d-\d\d-01T00:00:00Z", quota.pop("renewed")), quota)
    check(quota == {"period": "month", "requests": 100, "device_s": 1.5, "used_requests": 0,
                    "used_device_s": 0}, quota)
    check([r["name"] for r in told(t, "list")] == ["acme", "other.co"])
    text = t.works("tenant", "show", "other.co", DB)
    for words in ("id 2, enabled", "2.5 requests a second, 4 at once", "3 requests\n", "a, b",
                  "100 requests a month, 1.5 device-seconds a month", got["key_id"]):
        check(words in text, words, text)
    text = t.works("tenant", "list", DB)
    check(re.search(r"^acme +1  enabled +1  infer,read +standard$", text, re.M), text)
    check("no limit" in t.works("tenant", "show", "acme", DB))


def case_only_the_digest_is_kept(t):
    key = told(t, "add", "acme")["key"]
    data = b"".join(p.read_bytes() for p in t.folder.iterdir())
    secret = key.split("_")[2]
    check(secret.encode() not in data and bytes.fromhex(secret) not in data)
    rows = sqlite3.connect(t.path("c.db")).execute("SELECT id, digest FROM tenant_key").fetchall()
    check(rows == [(key.split("_")[1], hashlib.sha256(key.encode()).digest())], rows)
    for args in (("show", "acme"), ("list",), ("disable", "acme"), ("set", "acme", "--rate=1"),
                 ("revoke", "acme")):
        for more in ((), ("--json",)):
            check(secret not in t.works("tenant", *args, DB, *more), args)


def case_set_enable_disable(t):
    told(t, "add", "acme", "--model=a", "--rate=5")
    got = told(t, "set", "acme", "--concurrent=2")
    check(got["concurrent_max"] == 2 and got["rate_per_s"] == 5 and got["models"] == ["a"], got)
    got = told(t, "set", "acme", "--all-models", "--rate=0", "--rights=control")
    check(got["models"] == [] and got["rate_per_s"] == 0 and got["rights"] == "control", got)
    check(told(t, "set", "acme", "--model=x.1")["models"] == ["x.1"])
    check(told(t, "disable", "acme")["enabled"] is False)
    check("disabled" in t.works("tenant", "list", DB))
    got = told(t, "enable", "acme")
    check(got["enabled"] is True and got["concurrent_max"] == 2 and len(got["keys"]) == 1, got)


def case_keys(t):
    first = told(t, "add", "acme")
    second = told(t, "rotate", "acme", "--grace-secs=1000")
    keys = {k["id"]: k["ends"] for k in told(t, "show", "acme")["keys"]}
    check(keys[first["key_id"]] is not None and keys[second["key_id"]] is None, keys)
    check(f"{first['key_id']}, made" in t.works("tenant", "show", "acme", DB))
    check(", ends 20" in t.works("tenant", "show", "acme", DB))
    got = told(t, "revoke", "acme", f"--key={first['key_id']}")
    check([k["id"] for k in got["keys"]] == [second["key_id"]], got)
    third = t.works("tenant", "rotate", "acme", DB).splitlines()[1]
    check([k["id"] for k in told(t, "show", "acme")["keys"]] == [third.split("_")[1]])
    check(told(t, "revoke", "acme")["keys"] == [])
    check("key         none" in t.works("tenant", "show", "acme", DB))


def case_ids_are_not_given_again(t):
    told(t, "add", "a")
    told(t, "add", "b")
    check(t.works("tenant", "remove", "b", DB) == "tenant b is removed\n")
    told(t, "add", "b")
    check(told(t, "show", "b")["id"] == 3)
    check(told(t, "remove", "b") == {"removed": "b"})


def case_refusals(t):
    def bad(status, says, *args):
        t.fails(status, f"dyno tenant: {says}", "tenant", *args)
    key = told(t, "add", "acme")["key"]
    bad("E_ARG", "wants add|list|*, got 0 of those*")
    bad("E_ARG", "it knows add, list, * and remove, not 'make'", "make", "x", DB)
    bad("E_ARG", "show wants the name of a tenant", "show", DB)
    bad("E_ARG", "list is of all tenants and takes no name", "list", "acme", DB)
    bad("E_ARG", "--control-db=FILE is missing", "list")
    bad("E_NOT_FOUND", 'control database "none.db": No such file or directory', "list",
        "--control-db=none.db")
    bad("E_NOT_FOUND", "there is no tenant 'you'", "show", "you", DB)
    bad("E_NOT_FOUND", "there is no tenant 'you'", "set", "you", "--rate=1", DB)
    bad("E_EXISTS", "there is a tenant 'acme' already", "add", "acme", DB)
    bad("E_ARG", "'a b' is no name of a tenant: *", "add", "a b", DB)
    bad("E_ARG", "'a b' is no name of a tenant: *", "add", "a b", "--control-db=fresh.db")
    bad("E_ARG", "'é' is no name of a service class: *", "add", "x", "--class=é", DB)
    bad("E_ARG", "'a/b' is no name of a model: *", "set", "acme", "--model=a/b", DB)
    bad("E_ARG", "give either --model or --all-models", "set", "acme", "--model=a",
        "--all-models", DB)
    bad("E_ARG", "'root' is no list of rights: *", "set", "acme", "--rights=root", DB)
    bad("E_ARG", "--period=year: wants day or month", "set", "acme", "--period=year", DB)
    bad("E_ARG", "--rate=-2: wants a number between 0 and 1000000000", "set", "acme", "--rate=-2", DB)
    bad("E_ARG", "--burst=1.5: wants a whole number *", "set", "acme", "--burst=1.5", DB)
    bad("E_ARG", "there is nothing to set", "set", "acme", DB)
    bad("E_ARG", "show takes no rights, limits or models: *", "show", "acme", "--rate=1", DB)
    bad("E_ARG", "add takes no --grace-secs", "add", "x", "--grace-secs=1", DB)
    bad("E_ARG", "rotate takes no --key", "rotate", "acme", "--key=1", DB)
    bad("E_NOT_FOUND", "tenant 'acme' has no key 0123456789ab", "revoke", "acme",
        "--key=0123456789ab", DB)
    got = t.dyno("tenant", "revoke", "acme", f"--key={key}", DB)
    check(got.returncode == EXIT["E_ARG"] and key[20:] not in got.stderr, got.stderr)
    check(len(told(t, "show", "acme")["keys"]) == 1)


def case_other_files(t):
    t.put("noise.db", bytes(range(256)) * 64)
    t.fails("E_FORMAT", 'dyno tenant: control database "noise.db": file is not a database',
            "tenant", "list", "--control-db=noise.db")
    other = sqlite3.connect(t.path("other.db"))
    other.execute("CREATE TABLE mine (x)")
    other.commit()
    other.close()
    for action in (("add", "a"), ("list",)):
        t.fails("E_FORMAT", 'dyno tenant: "other.db" is no control database', "tenant", *action,
                "--control-db=other.db")
    told(t, "add", "a")
    newer = sqlite3.connect(t.path("c.db"))
    newer.execute("PRAGMA user_version = 3")
    newer.commit()
    newer.close()
    t.fails("E_UNSUPPORTED", 'dyno tenant: control database "c.db" has schema 3, made by a newer '
            "version: this build knows 2", "tenant", "list", DB)


def case_locked(t):
    told(t, "add", "a")
    other = sqlite3.connect(t.path("c.db"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    check(len(told(t, "list")) == 1)  # who reads does not wait
    other.execute("ROLLBACK")
    other.close()


def case_full_standard_output(t):
    with open("/dev/full", "w", encoding="ascii") as full:
        got = t.dyno("tenant", "add", "acme", DB, stdout=full)
    check(got.returncode == EXIT["E_IO"] and not KEY.search(got.stderr), got)
    check("cannot write to standard output" in got.stderr, got.stderr)


def case_without_the_library(t):
    """SQLite is looked for when it is needed, and missed with a sentence."""
    told(t, "add", "a")
    if "asan" in t.program or "tsan" in t.program:
        return  # they find their own way to libraries
    (t.folder / "lib").mkdir()
    t.put("lib/libsqlite3.so.0", b"noise" * 1000)
    env = {"LD_LIBRARY_PATH": t.path("lib")}
    check("usage" in t.works("tenant", "--help", env=env))
    t.fails("E_UNSUPPORTED", "dyno tenant: databases want the SQLite library (Debian package "
            "libsqlite3-0): *libsqlite3.so.0: *", "tenant", "list", DB, env=env)
    # Some other library under its name.
    libm = re.search(r"=> (\S*libm\.so\.6)", subprocess.run(
        ["ldd", t.program], capture_output=True, text=True, check=True).stdout)
    shutil.copy(libm.group(1), t.path("lib/libsqlite3.so.0"))
    t.fails("E_UNSUPPORTED", "dyno tenant: * libsqlite3.so.0 has no sqlite3_libversion_number",
            "tenant", "list", DB, env=env)
