"""A port for a server that must be given one beforehand, or that stops and comes back to it."""
import contextlib
import pathlib
import random
import socket


def free_port():
    """One that nobody has, and that the system gives nobody who asks for any: between this and its use, or while
    its server is down, no other test gets it by chance."""
    low = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(max(1024, low // 2), low)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
