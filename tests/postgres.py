"""A PostgreSQL of one's own: a cluster in a folder, on a port and a socket that nobody else has.

    with postgres.cluster(folder) as pg: pg.conninfo(), pg.sql("SELECT 1"), pg.stop(), pg.start()

The server of Debian's package postgresql, in whatever version is there. It refuses to be root's, so root starts it as
another user.
"""
import contextlib
import glob
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

from ports import free_port

PASSWORD = "not a secret"


def programs():
    """The folder of the newest server's programs; None: there is none."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda p: int(p.split("/")[4]))
    path = found[-1] if found else shutil.which("initdb")
    return pathlib.Path(path).parent if path else None


def user():
    """Whose processes it is: {} or the arguments of subprocess that change the user."""
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("root may not run PostgreSQL, and there is no other user")


class Cluster:
    def __init__(self, durable=False, folder="/tmp"):
        # Of its own, and short: a socket's path has 107 bytes.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="dyno-pg-", dir=os.path.abspath(folder)))
        self.bin, self.as_user, self.durable = programs(), user(), durable
        self.port, self.process = free_port(), None
        if self.as_user:
            os.chown(self.folder, self.as_user["user"], self.as_user["group"])
        secret = self.folder / "secret"
        secret.write_text(PASSWORD + "\n")
        secret.chmod(0o644)
        # One for the clients: libpq takes no passfile that others may read.
        self.passfile = self.folder / "passfile"
        self.passfile.write_text(f"*:*:*:*:{PASSWORD}\n")
        self.passfile.chmod(0o600)
        self.run("initdb", "-D", self.folder / "data", "-U", "dyno", "-A", "scram-sha-256",
                 f"--pwfile={secret}", "-E", "UTF8", "--no-locale", *([] if durable else ["--no-sync"]))
        self.start()

    def env(self):
        """For whoever connects."""
        return {"PGPASSFILE": str(self.passfile), "PGSERVICEFILE": "/dev/null", "HOME": str(self.folder)}

    def run(self, name, *args):
        got = subprocess.run([self.bin / name, *map(str, args)], capture_output=True, text=True, check=False,
                             cwd=self.folder, timeout=120, **self.as_user)
        if got.returncode != 0:
            raise RuntimeError(f"{name}: {got.stderr}")
        return got.stdout

    def start(self, wait=True):
        with open(self.folder / "log", "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [self.bin / "postgres", "-D", self.folder / "data", "-p", str(self.port), "-k", self.folder,
                 "-h", "127.0.0.1", "-c", f"fsync={'on' if self.durable else 'off'}", "-c", "lc_messages=C",
                 "-c", "log_min_messages=fatal"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, **self.as_user)
        end = time.monotonic() + 60
        while wait:
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("PostgreSQL does not start: " + (self.folder / "log").read_text())
            got = subprocess.run([self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False)
            if got.returncode == 0:
                break
            time.sleep(0.05)

    def stop(self, number=signal.SIGINT):
        """SIGINT: at once, and in order; SIGQUIT: as if it had fallen."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(60)
        self.process = None

    def pause(self, is_on):
        """Everything of it stands still, with its sockets open."""
        pids = [self.process.pid]
        path = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids += [int(p) for p in path.read_text().split()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP if is_on else signal.SIGCONT)

    def conninfo(self, host="127.0.0.1", name="dyno", **more):
        words = {"host": host, "port": self.port, "user": "dyno", "dbname": name, "sslmode": "disable", **more}
        return " ".join(f"{k}={v}" for k, v in words.items())

    def create(self, name="dyno"):
        self.sql(f"CREATE DATABASE {name}", name="postgres")

    def sql(self, text, name="dyno"):
        """Rows as lists of texts."""
        got = subprocess.run([self.bin / "psql", "-X", "-q", "-t", "-A", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", text,
                              self.conninfo(name=name)], capture_output=True, text=True, timeout=120, check=False,
                             env={**os.environ, **self.env()})
        if got.returncode != 0:
            raise RuntimeError(got.stderr)
        return [line.split("\t") for line in got.stdout.splitlines()]

    def remove(self):
        if self.process is not None:
            with contextlib.suppress(FileNotFoundError):
                self.pause(False)
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def cluster(durable=False, folder="/tmp"):
    made = Cluster(durable, folder)
    try:
        made.create()
        yield made
    finally:
        made.remove()
