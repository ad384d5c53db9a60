"""Connections to PostgreSQL (src/db/pg.h) against a real server: values, COPY, failures, and what is said of them."""
import os
import pathlib
import socket
import subprocess
import sys

from harness import check

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import postgres  # noqa: E402


def run(t, pg, conninfo, how, env=None, **more):
    program = pathlib.Path(t.program).with_name("try_pg")
    return subprocess.run([program, conninfo, how], capture_output=True, text=True, timeout=600, check=False,
                          env={**os.environ, **(pg.env() if env is None else env)}, **more)


def case_all(t):
    with postgres.cluster() as pg:
        got = run(t, pg, pg.conninfo(), "all")
        check(got.returncode == 0, got.stdout, got.stderr)


def case_sentences(t):
    with postgres.cluster() as pg:
        def says(want, conninfo, **how):
            got = run(t, pg, conninfo, "open", **how)
            check(got.returncode == 0 and got.stdout.count("\n") == 1 and want in got.stdout, got.stdout, "wants", want)
            check(postgres.PASSWORD not in got.stdout + got.stderr, "the password is told")
        says("ok: \n", pg.conninfo())
        says("ok: \n", pg.conninfo(host=pg.folder))
        wrong = {"PGPASSWORD": "wrong", "PGPASSFILE": "/dev/null"}
        says('not allowed to this caller: trial: connection to server at "127.0.0.1", port '
             f'{pg.port} failed: FATAL: password authentication failed for user "dyno"', pg.conninfo(), env=wrong)
        says("not allowed to this caller: trial: connection to server at", pg.conninfo(),
             env={"PGPASSFILE": "/dev/null", "HOME": "/"})
        says('FATAL: database "nowhere" does not exist', pg.conninfo(name="nowhere"))
        says("input/output failure: trial: could not translate host name \"no.such.host.invalid\"",
             pg.conninfo(host="no.such.host.invalid"))
        says("invalid argument: it is no connection string of PostgreSQL", "host=x hunter2")
        says("invalid argument: a connection string is seen by others and holds no password",
             pg.conninfo(password="hunter2"))
        says("invalid argument: a connection string is seen", f"postgresql://dyno:hunter2@127.0.0.1:{pg.port}/dyno")
        pg.sql("CREATE ROLE poor LOGIN PASSWORD 'not a secret'", name="dyno")
        pg.sql("DROP SCHEMA dyno_try CASCADE")
        says("not allowed to this caller: trial: permission denied for database dyno",
             pg.conninfo(user="poor"))
        pg.stop()
        says(f'input/output failure: trial: connection to server at "127.0.0.1", port {pg.port} failed: '
             "Connection refused", pg.conninfo())
        with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
            says("input/output failure: trial: the server has not answered for 2 seconds",
                 pg.conninfo().replace(str(pg.port), str(silent.getsockname()[1])))


def case_server_stands_still(t):
    with postgres.cluster() as pg:
        program = pathlib.Path(t.program).with_name("try_pg")
        with subprocess.Popen([program, pg.conninfo(), "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, env={**os.environ, **pg.env()}) as process:
            check(process.stdout.readline() == "ready\n")
            pg.pause(True)
            out, err = process.communicate("\n", timeout=600)
            pg.pause(False)
            check(process.returncode == 0, out, err)
