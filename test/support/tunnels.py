"""Many WebSocket tunnels through one gateway while everything about it changes; half of them with TLS.

Clients and upstreams are processes of their own: this one has descriptors for few.
"""

import base64
import hashlib
import json
import multiprocessing
import os
import re
import select
import socket
import ssl
import struct
import time

from gateway import Gateway
from pki import Pki

PATIENCE_S = 120
A_PROCESS = 2000
HELD = b"\1\0\0\0\0\0\0\0"  # SO_LINGER: an end by reset leaves nothing waiting
ASK = (b"GET /ws HTTP/1.1\r\nHost: www.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
       b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
GRANT = (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
         b"Sec-WebSocket-Accept: %b\r\n\r\n")
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


# --- the upstream: grants every upgrade, then sends back what comes; answers what is plain

def reply(head):
    """What is left of a head that comes (None: it was an upgrade), and what is said to it."""
    if b"\r\n\r\n" not in head:
        return head, b""
    if b"upgrade: websocket" not in head.lower():
        return b"", PLAIN
    key = re.search(rb"\nsec-websocket-key: *(\S+)", head, re.I).group(1)
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    return None, GRANT % accept + head.split(b"\r\n\r\n", 1)[1]


def serve(listener):
    poll, open_by_fd = select.epoll(), {}
    poll.register(listener, select.EPOLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                conn, _ = listener.accept()
                open_by_fd[conn.fileno()] = [conn, b""]
                poll.register(conn, select.EPOLLIN)
                continue
            held = open_by_fd[fd]
            try:
                data = held[0].recv(65536)
                answer = data
                if held[1] is not None:  # a head is still coming
                    held[1], answer = reply(held[1] + data)
                held[0].sendall(answer)
            except OSError:
                data = b""
            if not data:
                poll.unregister(fd)
                open_by_fd.pop(fd)[0].close()


# --- clients

def open_tunnel(address, context):
    host, port = address.rsplit(":", 1)
    sock = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, HELD)
    if context:
        sock = context.wrap_socket(sock, server_hostname="www.test")
    sock.sendall(ASK)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = sock.recv(1)
        assert piece, f"ended in the head: {head!r}"
        head += piece
    assert head.startswith(b"HTTP/1.1 101"), head
    return sock


def frame(payload):
    """A masked binary frame."""
    mask = os.urandom(4)
    return bytes([0x82, 0x80 | len(payload)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def echoes(sock):
    sent = frame(struct.pack("!d", time.time()) + os.urandom(24))
    try:
        sock.sendall(sent)
        got = b""
        while len(got) < len(sent):
            piece = sock.recv(len(sent) - len(got))
            if not piece:
                return False
            got += piece
        return got == sent
    except OSError:
        return False


def hold(pipe, address, ca, count):
    """Open, say so, and echo on each whenever asked."""
    context = ssl.create_default_context(cafile=ca) if ca else None
    held = [open_tunnel(address, context) for _ in range(count)]
    pipe.send(len(held))
    while pipe.recv() == "echo":
        pipe.send(sum(echoes(sock) for sock in held))


# --- the scene

class Tunnels:
    """A gateway with `count` tunnels to three upstreams; close() ends all of it."""

    def __init__(self, binary, directory, count):
        self.dir, self.count, self.children, self.pipes = str(directory), count, [], []
        os.makedirs(self.dir, exist_ok=True)
        self.pki = Pki(self.dir)
        self.pair = self.pki.make("www", "www.test")
        self.members = os.path.join(self.dir, "members.json")
        self.upstreams = [self.serve() for _ in range(max(3, 1 + count // A_PROCESS))]
        self.list(self.upstreams[:-1])
        self.gateway = Gateway(binary, os.path.join(self.dir, "gateway"), self.config(0))

    def close(self):
        for child in self.children:
            child.kill()
            child.join()
        self.gateway.stop()

    def child(self, target, *args):
        process = multiprocessing.get_context("fork").Process(target=target, args=args, daemon=True)
        process.start()
        self.children.append(process)

    def serve(self):
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
            self.child(serve, listener)
            return "127.0.0.1:%d" % listener.getsockname()[1]

    def list(self, addresses):
        with open(self.members + ".new", "w", encoding="ascii") as out:
            json.dump([{"address": address} for address in addresses], out)
        os.replace(self.members + ".new", self.members)

    def config(self, number):
        """One that differs from its neighbours."""
        return {"workers": 2,
                "listeners": [{"name": "main", "bind": "127.0.0.1:0", "connections": 2 * self.count + 100},
                              {"name": "tls", "bind": "127.0.0.1:0", "connections": 2 * self.count + 100,
                               "tls": {"certificates": [self.pair]}}],
                "upstreams": {"app": {"file": {"path": self.members, "interval": "200ms"},
                                      "balance": ["round_robin", "least_requests"][number % 2],
                                      "connections": {"idle": 0}, "timeout": {"tunnel": "2h"}}},
                "routes": [{"name": f"extra-{n}", "match": {"path": f"/extra/{n}"}, "respond": {"status": 200}}
                           for n in range(number % 5)] + [{"name": "ws", "match": {"path": "/ws"}, "upstream": "app"}]}

    def open(self):
        """All tunnels, half with TLS, in as many processes as descriptors ask for."""
        addresses = self.gateway.addresses()
        for name, ca in (("main", None), ("tls", self.pki.ca)):
            left = self.count // 2
            while left:
                here, there = multiprocessing.Pipe()
                self.child(hold, there, addresses[name], ca, min(left, A_PROCESS))
                self.pipes.append(here)
                left -= min(left, A_PROCESS)
        return self.answers()

    def answers(self):
        total = 0
        for pipe in self.pipes:
            assert pipe.poll(PATIENCE_S), "a client is stuck"
            total += pipe.recv()
        return total

    def echo(self):
        """On how many tunnels a frame came back."""
        for pipe in self.pipes:
            pipe.send("echo")
        return self.answers()

    def in_rotation(self):
        upstream = self.gateway.admin.json("/upstreams")["upstreams"][0]
        return sorted(endpoint["address"] for endpoint in upstream["endpoints"])

    def change_members(self):
        """The first leaves, the last comes: tunnels to the first stay."""
        self.list(self.upstreams[1:])
        self.wait(lambda: self.in_rotation() == sorted(self.upstreams[1:]), "the new members")

    def change_certificate(self):
        before = self.gateway.metric("sluice_config_file_changes_total")
        self.pki.make("www", "www.test")
        self.wait(lambda: self.gateway.metric("sluice_config_file_changes_total") > before, "the new certificate")

    def configurations(self):
        kinds = self.gateway.admin.json("/memory")["kinds"]
        return next(kind["used"] for kind in kinds if kind["kind"] == "configurations")

    @staticmethod
    def wait(condition, what):
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            time.sleep(0.05)
