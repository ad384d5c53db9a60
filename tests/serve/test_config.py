"""--config and --print-config: a server out of a file, and the file out of a server's flags."""
import json
import os
import re
import subprocess

from harness import check
from ports import free_port


def run(t, program, *flags):
    return subprocess.run([*program, *flags], capture_output=True, text=True, timeout=60,
                          check=False, cwd=t.folder)


def effective(t, *flags, program=("dyno-serve",)):
    got = run(t, [t.build / program[0], *program[1:]], "--print-config", *flags)
    check(got.returncode == 0 and got.stderr == "", got)
    return json.loads(got.stdout)


def put(t, config, name="serve.json"):
    path = t.folder / name
    path.write_text(config if isinstance(config, str) else json.dumps(config, indent=1))
    return f"--config={path}"


def case_serves_out_of_a_file(t):
    port = free_port()
    # What the harness says on the command line stands: other ports, no drain, a line of JSON.
    flag = put(t, {"http-port": 1, "grpc-port": 1, "drain-secs": 600, "json": False,
                   "model-repository": ["/nowhere"], "model-control-mode": "explicit",
                   "load-model": ["identity"], "max-input-size": 1})
    server = t.start(flag, f"--http-port={port}", models=("identity", "soft"))
    check(server.http == port, server.http)
    index = server.json("POST", "/v2/repository/index", {"ready": True})
    check([m["name"] for m in index] == ["identity"], index)
    status, _, _ = server.request("POST", "/v2/models/identity/infer", b" " * (1 << 20) + b" ")
    check(status == 413, status)


def case_flags_win(t):
    flag = put(t, {"http-port": 1000, "address": "127.0.0.2", "open-to-all": True,
                   "model-repository": ["a", "b"], "drain-secs": 2.5})
    for program in (("dyno-serve",), ("dyno", "serve")):
        got = effective(t, flag, program=program)
        check(got["http-port"] == 1000 and got["address"] == "127.0.0.2", got)
        check(got["open-to-all"] is True and got["model-repository"] == ["a", "b"], got)
        check(got["drain-secs"] == 2.5 and got["grpc-port"] == 8001, got)
        for flags in ((flag, "--http-port=2000", "--model-repository=c", "--open-to-all=false"),
                      ("--http-port=2000", "--model-repository=c", "--open-to-all=false", flag)):
            got = effective(t, *flags, program=program)
            check(got["http-port"] == 2000 and got["model-repository"] == ["c"], got)
            check(got["open-to-all"] is False and got["address"] == "127.0.0.2", got)


def case_what_is_printed_is_a_configuration(t):
    """Every flag but the two is there, and the file means the same."""
    text = run(t, [t.build / "dyno-serve"], "--help").stdout
    flags = set(re.findall(r"^  --([a-z-]+)", text, re.M)) - {"config", "print-config"}
    first = effective(t, "--http-port=7", "--exit-timeout-secs=0.125", "--no-supervisor",
                      "--load-model=a", "--load-model=b", "--control-db=c.db", "--tls-cert=d.pem",
                      "--tls-key=d.key", "--tls-client-ca=e.pem", "--tls-ports=grpc",
                      "--access-log=-", "--ledger=l", "--ledger-key=k.pem", "--certificates=c",
                      "--device-class=x", "--builder=f", "--engine-cache=g", "--fleet-ledger=service=s",
                      "--publish-heads=p", "--budget-db=service=b", "--tariffs=t.json", "--factors=f.json")
    check(set(first) == flags, set(first) ^ flags)
    check(effective(t, put(t, first)) == first)
    check(effective(t) == effective(t, put(t, {})))


def case_refusals(t):
    def bad(code, says, config, *flags):
        flag = put(t, config)
        for program in ([t.build / "dyno-serve"], [t.build / "dyno", "serve"]):
            got = run(t, program, flag, *flags)
            check(got.returncode == code and got.stdout == "", got)
            check(got.stderr == f"dyno serve: {t.folder}/serve.json: {says}\n", got.stderr)
    bad(65, '"http-port" wants a whole number between -1 and 65535, not 70000',
        {"http-port": 70000})
    bad(65, '"http-port" wants a whole number between -1 and 65535, not a string',
        {"http-port": "8000"}, "--http-port=0")
    bad(65, '"max-connections" wants a whole number between 1 and 1048576, not 0',
        {"max-connections": 0})
    bad(65, '"model-repository" wants a list of at most 64 strings that are not empty, not a '
        'string', {"model-repository": "/models"})
    bad(65, 'there is no key "port": keys are the flags of dyno serve --help without their dashes',
        {"port": 1})
    bad(65, "JSON line 1 column 2: a key in double quotes expected", "{http: 1}")
    # A rule that no single row knows holds for a file, too.
    flag = put(t, {"model-repository": ["."], "model-control-mode": "now and then"})
    got = run(t, [t.build / "dyno-serve"], flag)
    check(got.returncode == 64 and "wants none, explicit, poll or demand" in got.stderr, got)
    got = run(t, [t.build / "dyno-serve"], "--config=missing.json")
    check(got.returncode == 66 and "cannot open" in got.stderr, got)
    os.mkdir(t.folder / "folder")
    got = run(t, [t.build / "dyno-serve"], "--config=folder")
    check(got.returncode == 74 and got.stderr.count("\n") == 1, got)
