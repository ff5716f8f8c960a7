"""A small DNS server over UDP whose answers a test changes as it goes: A, AAAA and SRV."""

import ipaddress
import socket
import struct
import threading

A, AAAA, SRV = 1, 28, 33
SERVFAIL, NXDOMAIN = 2, 3


def pack_name(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.rstrip(".").split(".")) + b"\0"


def read_name(message, at):
    parts = []
    while message[at]:
        parts.append(message[at + 1:at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(parts).lower(), at + 1


class Dns:
    """`set(name, addresses)` and `set_srv(name, [(priority, weight, port, target)])` say what it answers."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.records = {}  # (name, type): (ttl, [rdata])
        self.questions = []
        self.failure = None  # a code for every answer, or "silent"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def set(self, name, addresses, ttl=1):
        packed = [ipaddress.ip_address(address) for address in addresses]
        for kind, version in ((A, 4), (AAAA, 6)):
            self.records[name, kind] = (ttl, [p.packed for p in packed if p.version == version])

    def set_srv(self, name, servers, ttl=1):
        self.records[name, SRV] = (ttl, [struct.pack(">HHH", *server[:3]) + pack_name(server[3]) for server in servers])

    def forget(self, name):
        for key in [key for key in self.records if key[0] == name]:
            del self.records[key]

    def count(self, name):
        return self.questions.count(name)

    def answer(self, message):
        name, at = read_name(message, 12)
        kind = struct.unpack_from(">H", message, at)[0]
        known = any(key[0] == name for key in self.records)
        ttl, data = self.records.get((name, kind), (0, []))
        code = self.failure or (0 if known else NXDOMAIN)
        if code:
            data = []
        self.questions.append(name)
        head = message[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, len(data), 0, 0)
        body = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, ttl, len(one)) + one for one in data)
        return head + message[12:at + 4] + body

    def serve(self):
        while True:
            try:
                message, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            if not message:
                return
            if self.failure != "silent":
                self.socket.sendto(self.answer(message), peer)

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            host, port = self.address.split(":")
            waker.sendto(b"", (host, int(port)))
        self.thread.join(5)
        self.socket.close()
