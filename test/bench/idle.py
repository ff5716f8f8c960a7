#!/usr/bin/env python3
"""Bytes of user memory that an idle connection takes, plain and over TLS, of HTTP/1.1 and HTTP/2, in sluice, nginx and HAProxy.

Each gateway has one worker and no access log. A connection has one request answered, then nothing more is said. What is
told is the growth of memory that no other process shares from few connections to many, without huge pages; it does not
depend on who else uses the machine.

    test/bench/idle.py [--connections 3000] [--rounds 3] [--only h2-tls] [--sluice PATH]
"""

import argparse
import ctypes
import os
import resource
import socket
import ssl
import statistics
import sys
import tempfile
import time

import bench
import contenders
import guard
import hpack
import machine

sys.path.insert(0, os.path.join(bench.ROOT, "test", "support"))
from pki import Pki  # noqa: E402

NAME = "bench.example"
LINGER_OFF = b"\1\0\0\0\0\0\0\0"  # they close by reset and leave nothing waiting
SETTINGS, HEADERS, END_STREAM = 4, 1, 1


class Kind:
    """One kind of connection: what each gateway's configuration says of its listener, and how a client opens it."""

    def __init__(self, name, nginx, haproxy, tls, alpn=None):
        self.name, self.nginx, self.haproxy, self.tls, self.alpn = name, nginx, haproxy, tls, alpn

    def configure(self, one, port, pair):
        """Add a listener on this port to the contender's own."""
        both = {"host": contenders.HOST, "port": port, **pair}
        if one.name == "nginx":
            keys = "ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;" if self.tls else ""
            line = f"        listen {{host}}:{{port}} {self.nginx}; {keys}\n        location".format(**both)
            one.template = one.template.replace("        location", line, 1)
        elif one.name == "haproxy":
            line = f"    bind {{host}}:{{port}} {self.haproxy}\n    default_backend".format(**both)
            one.template = one.template.replace("    default_backend", line, 1)
        else:
            tls = "    tls: {{{{ certificates: [ {{{{ cert: {cert}, key: {key} }}}} ] }}}}\n" if self.tls else ""
            line = f'  - bind: "{{host}}:{{port}}"\n    timeout: {{{{{{{{ idle: 10h }}}}}}}}\n{tls}upstreams:'.format(**both)
            one.template = one.template.replace("upstreams:", line, 1)

    def open(self, port, context):
        sock = socket.create_connection((contenders.HOST, port), timeout=30)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_OFF)
        if self.tls:
            sock = context.wrap_socket(sock, server_hostname=NAME)
            assert (sock.version(), sock.selected_alpn_protocol()) == ("TLSv1.3", self.alpn)
        if self.name.startswith("h2"):
            Http2(sock)
        else:
            assert contenders.get(sock, "/1k")
        return sock


class Http2:
    """One GET, answered to its end."""

    def __init__(self, sock):
        self.sock, self.unread = sock, b""
        head = hpack.Encoder().encode([(":method", "GET"), (":scheme", "https"), (":authority", NAME), (":path", "/1k"),
                                       ("user-agent", "bench"), ("accept", "*/*")])
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.frame(SETTINGS) + self.frame(HEADERS, 5, 1, head))
        while not self.take():
            pass

    @staticmethod
    def frame(kind, flags=0, stream=0, payload=b""):
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    def read(self, count):
        while len(self.unread) < count:
            piece = self.sock.recv(65536)
            assert piece, "the connection ended"
            self.unread += piece
        got, self.unread = self.unread[:count], self.unread[count:]
        return got

    def take(self):
        """A frame; is it the last one of the answer?"""
        head = self.read(9)
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        self.read(int.from_bytes(head[:3], "big"))
        if kind == SETTINGS and not flags & 1:
            self.sock.sendall(self.frame(SETTINGS, 1))
        return stream == 1 and kind in (0, HEADERS) and bool(flags & END_STREAM)


KINDS = [
    Kind("h1", "reuseport", "", False),
    Kind("h1-tls", "ssl", "ssl crt {pem} alpn http/1.1", True, "http/1.1"),
    Kind("h2", "http2", "proto h2", False),
    Kind("h2-tls", "ssl http2", "ssl crt {pem} alpn h2", True, "h2"),
]


def own_bytes(one):
    time.sleep(bench.SETTLE_S)
    return machine.memory_bytes(one.pids())[1]


def measure(kind, one, folder, origin, pki, count):
    port, pair = contenders.free_port(), pki.make(NAME, NAME)
    context = pki.client()
    context.set_alpn_protocols([kind.alpn] if kind.alpn else [])
    pair["pem"] = os.path.join(folder, "both.pem")
    with open(pair["pem"], "w", encoding="ascii") as out:
        out.write(machine.read(pair["cert"]) + machine.read(pair["key"]))
    kind.configure(one, port, pair)
    one.start(folder, bench.gateway_cpu(), origin.port, 2 * count)
    held = []
    try:
        while len(held) < count // 6:
            held.append(kind.open(port, context))
        before = own_bytes(one)
        while len(held) < count:
            held.append(kind.open(port, context))
        return (own_bytes(one) - before) / (count - count // 6)
    finally:
        bench.close_all(held)
        one.stop()


def main():
    parser = argparse.ArgumentParser(description="Bytes of an idle connection, by kind.")
    parser.add_argument("--connections", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="of " + ",".join(kind.name for kind in KINDS))
    parser.add_argument("--sluice", metavar="PATH", default=bench.default_sluice())
    options = parser.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    ctypes.CDLL(None).prctl(guard.PR_SET_THP_DISABLE, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        pki, origin = Pki(folder), contenders.Origin(folder, bench.load_cpu())
        try:
            for kind in KINDS:
                if options.only and kind.name not in options.only.split(","):
                    continue
                found = {}
                for _ in range(options.rounds):
                    for one in contenders.everyone(os.path.abspath(options.sluice)):
                        if one.name != "sluice-plugins" and one.binary:
                            found.setdefault(one.version(), []).append(
                                measure(kind, one, folder, origin, pki, options.connections))
                for version, figures in found.items():
                    print(f"{kind.name}: {version}: {statistics.median(figures):.0f}  "
                          f"(rounds: {', '.join(f'{figure:.0f}' for figure in figures)})", flush=True)
        finally:
            origin.stop()


if __name__ == "__main__":
    main()
