"""Two nodes in network namespaces of their own, HAProxy with the configuration of deploy/ in front,
and clients: nodes fall, drain and come back.  Needs root, iproute2 and haproxy."""
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import time

from clients import Load, wait_for
from harness import ROOT, Failure, check

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
HTTP, GRPC, METRICS = 8000, 8001, 8002
libc = ctypes.CDLL(None, use_errno=True)


def ip(*args, inside=()):
    subprocess.run([*inside, "ip", *args], check=True)


def what_is_missing():
    for program in ("ip", "haproxy", "nsenter", "unshare"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    # From here on this process has a network of its own, which ends with it.
    if libc.unshare(CLONE_NEWNET) != 0:
        return f"cannot make a network namespace: {os.strerror(ctypes.get_errno())}"
    made = subprocess.run(["ip", "link", "add", "nodes", "type", "bridge"], capture_output=True,
                          text=True, check=False)
    return f"cannot make a bridge: {made.stderr.strip()}" if made.returncode != 0 else None


class Place:
    """A network namespace with one address on the bridge; it lasts as long as this process."""

    def __init__(self, number):
        self.host = f"10.0.0.{number}"
        self.process = subprocess.Popen(
            ["unshare", "-n", "sleep", "infinity"],
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        self.inside = ("nsenter", "-t", str(self.process.pid), "-n", "--")
        here = os.readlink("/proc/self/ns/net")
        wait_for(lambda: os.readlink(f"/proc/{self.process.pid}/ns/net") != here)
        self.link = f"to{number}"
        ip("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns",
           str(self.process.pid))
        ip("link", "set", self.link, "master", "nodes", "up")
        ip("address", "add", f"{self.host}/24", "dev", "eth0", inside=self.inside)
        ip("link", "set", "eth0", "up", inside=self.inside)
        ip("link", "set", "lo", "up", inside=self.inside)

    def start(self, t):
        return t.start("--address=0.0.0.0", "--open-to-all", f"--http-port={HTTP}",
                       f"--grpc-port={GRPC}", f"--metrics-port={METRICS}", "--drain-secs=3",
                       "--exit-timeout-secs=30", inside=self.inside, host=self.host)


class Balancer:
    """HAProxy as deploy/haproxy/haproxy.cfg says, with these nodes."""

    def __init__(self, t, places):
        text = (ROOT / "deploy/haproxy/haproxy.cfg").read_text()
        self.admin = t.folder / "admin.sock"
        text, count = re.subn(r"stats socket \S+", f"stats socket {self.admin}", text)
        check(count == 1, "no admin socket in the configuration")
        for i, place in enumerate(places, 1):
            check(f"node{i}.example" in text, "no node", i)
            text = text.replace(f"node{i}.example", place.host)
        path = t.folder / "haproxy.cfg"
        path.write_text(text)
        self.process = subprocess.Popen(
            ["haproxy", "-db", "-f", path], stdout=subprocess.DEVNULL,
            stderr=open(t.folder / "haproxy.log", "w", encoding="utf8"),
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        wait_for(self.admin.exists)

    def state(self, node):
        """UP or DOWN, as both backends see it."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.admin))
            sock.sendall(b"show stat -1 4 -1\n")
            text = b""
            while chunk := sock.recv(65536):
                text += chunk
        rows = [line.split(",") for line in text.decode().splitlines() if line]
        at = rows[0].index("status")
        states = {row[at].split()[0] for row in rows[1:] if row[1] == node}
        return states.pop() if len(states) == 1 else "mixed"

    def wait(self, node, state):
        wait_for(lambda: self.state(node) == state)


def count(server):
    return server.metric("nv_inference_request_success", model="identity")


def gets_traffic(*servers):
    before = [count(server) for server in servers]
    wait_for(lambda: all(count(s) > b + 20 for s, b in zip(servers, before)))


def only_what_was_in_flight(load, at):
    failed = load.failed_since(at)
    check(len(failed) <= len(load.threads), failed)
    check(all(start < 0.5 and failure != "a wrong answer" for start, failure in failed), failed)
    return len(failed)


def goes_on(load, seconds=1.0, clients=None):
    """So many clients get answers now, all of them if it is not said."""
    at = time.monotonic()
    wait_for(lambda: sum(start > at and not failure for start, _, failure in list(load.results))
             > 20 * (clients or len(load.threads)))
    time.sleep(seconds)


def fall(node):
    """As if its power were cut, without the network noticing."""
    worker = node.worker()
    node.process.send_signal(signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    node.process.wait()
    node.stop(code=-signal.SIGKILL)


def a_node_falls(t, load, places, nodes, balancer):
    at = time.monotonic()
    fall(nodes[0])
    goes_on(load)
    balancer.wait("node1", "DOWN")
    lost = only_what_was_in_flight(load, at)
    nodes[0] = places[0].start(t)
    balancer.wait("node1", "UP")
    gets_traffic(*nodes)
    return lost


def a_worker_falls(load, nodes):
    """The node stays in the list."""
    nodes[1].expected.append("worker .* fell: SIGKILL; another one is started")
    at = time.monotonic()
    os.kill(nodes[1].worker(), signal.SIGKILL)
    goes_on(load)
    lost = only_what_was_in_flight(load, at)
    gets_traffic(*nodes)
    return lost


def a_network_goes(load, places, nodes, balancer):
    """A machine that vanishes closes nothing: clients hear of it when patience is over."""
    at = time.monotonic()
    ip("link", "set", places[0].link, "down")
    balancer.wait("node1", "DOWN")
    goes_on(load, seconds=0, clients=1)
    wait_for(lambda: load.waiting_since(time.monotonic() - 1) == 0, 60)
    took = time.monotonic() - at
    failed = load.failed_since(at)
    # Until it was out each client may have sent one more.
    check(len(failed) <= 2 * len(load.threads), failed)
    check(all(start < 8 and failure != "a wrong answer" for start, failure in failed), failed)
    check(took < 40, "it took", took, "s")
    ip("link", "set", places[0].link, "up")
    balancer.wait("node1", "UP")
    gets_traffic(*nodes)
    return len(failed)


def nodes_drain(t, load, places, nodes, balancer):
    at = time.monotonic()
    for i in (1, 0):
        nodes[i].stop()
        balancer.wait(f"node{i + 1}", "DOWN")
        goes_on(load)
        check(load.failed_since(at) == [], "while node", i + 1, "drains:", load.failed_since(at))
        nodes[i] = places[i].start(t)
        balancer.wait(f"node{i + 1}", "UP")
        gets_traffic(*nodes)
    load.end()
    check(load.failed_since(at) == [], load.failed_since(at))


def through_it_all(t, places, balancer):
    nodes = [place.start(t) for place in places]
    for i in (1, 2):
        balancer.wait(f"node{i}", "UP")
    with Load("127.0.0.1", HTTP, GRPC, 3) as load:
        gets_traffic(*nodes)
        with_node = a_node_falls(t, load, places, nodes, balancer)
        with_worker = a_worker_falls(load, nodes)
        with_network = a_network_goes(load, places, nodes, balancer)
        nodes_drain(t, load, places, nodes, balancer)
    for node in nodes:
        node.stop()
    print(f"{len(load.results)} requests, lost with a node: {with_node}, with a worker: "
          f"{with_worker}, with a network: {with_network}")


def case_two_nodes(t):
    missing = what_is_missing()
    if missing:
        print("skipped:", missing)
        return
    ip("address", "add", "10.0.0.1/24", "dev", "nodes")
    ip("link", "set", "nodes", "up")
    ip("link", "set", "lo", "up")
    places, balancer = [], None
    try:
        for number in (2, 3):
            places.append(Place(number))
        balancer = Balancer(t, places)
        through_it_all(t, places, balancer)
    except Failure:
        print((t.folder / "haproxy.log").read_text()[-2000:])
        raise
    finally:
        t.abandon()
        for process in [p.process for p in places] + ([balancer.process] if balancer else []):
            process.kill()
            process.wait()
