"""Bodies are streamed: however large they are and however slowly they are read, memory stays flat."""

import hashlib
import threading

import pytest

from gateway import plain
from raw import SANITIZED, chunked

pytestmark = pytest.mark.skipif(SANITIZED, reason="a sanitizer keeps freed memory")

MIB = 1024 * 1024
TOTAL = 256 * MIB
GROWTH_MAX_KIB = 8 * 1024  # blocks in flight and page cache noise; a buffered body would be 262144
PIECE = hashlib.sha256(b"seed").digest() * (MIB // 32)


class Watch:
    """Read the gateway's memory while a transfer runs."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.start = gateway.pss_kib()
        self.peak = self.start
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.ended.wait(0.02):
            self.peak = max(self.peak, self.gateway.pss_kib())

    def growth_kib(self):
        self.ended.set()
        self.thread.join()
        return self.peak - self.start


def slowly(hasher, every=64 * MIB, pause_s=0.1):
    """A sink that stops now and then, so that everything before it fills up."""
    seen = [0]

    def take(piece):
        before = seen[0] // every
        seen[0] += len(piece)
        hasher.update(piece)
        if seen[0] // every != before:
            threading.Event().wait(pause_s)
    take.seen = seen
    return take


def expected():
    want = hashlib.sha256()
    for _ in range(TOTAL // MIB):
        want.update(PIECE)
    return want.hexdigest()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_large_download_with_a_slow_reader_leaves_memory_flat(start, upstream, framing):
    def script(exchange):
        if framing == "length":
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % TOTAL)
        else:
            exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(TOTAL // MIB):
            exchange.send(PIECE if framing == "length" else b"%x\r\n%s\r\n" % (MIB, PIECE))
        if framing == "chunked":
            exchange.send(b"0\r\n\r\n")
    upstream.on("/down", script)
    gateway = start(plain(upstream))
    gateway.ask()
    watch = Watch(gateway)
    got = hashlib.sha256()
    with gateway.client() as client:
        client.send(b"GET /down HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_response(sink=slowly(got))
    assert got.hexdigest() == expected()
    assert watch.growth_kib() < GROWTH_MAX_KIB
    assert gateway.expect_end("completed", path="/down")["bytes_out"] == TOTAL


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_large_upload_with_a_slow_upstream_leaves_memory_flat(start, upstream, framing):
    got = hashlib.sha256()
    upstream.on("/up", lambda ex: (ex.read_body(sink=slowly(got)), ex.reply()))
    gateway = start(plain(upstream))
    gateway.ask()
    watch = Watch(gateway)
    with gateway.client() as client:
        client.sock.settimeout(60)
        if framing == "length":
            client.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % TOTAL)
        else:
            client.send(b"POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(TOTAL // MIB):
            client.send(PIECE if framing == "length" else b"%x\r\n%s\r\n" % (MIB, PIECE))
        if framing == "chunked":
            client.send(chunked([]))
        assert client.read_response().status == 200
    assert got.hexdigest() == expected()
    assert watch.growth_kib() < GROWTH_MAX_KIB
    assert gateway.expect_end("completed", path="/up")["bytes_in"] == TOTAL


def test_idle_connections_cost_little(start, upstream):
    """A rough bound; the exact figure is measured by the benchmark at 15,000."""
    gateway = start(plain(upstream))
    warm = [gateway.client() for _ in range(50)]
    for client in warm:
        client.ask()
    before = gateway.own_kib()
    clients = [gateway.client() for _ in range(500)]
    for client in clients:
        client.ask()
    grown = gateway.own_kib() - before
    assert grown < 1500, f"{grown} KiB for 500 idle connections"
    for client in warm + clients:
        client.close()
