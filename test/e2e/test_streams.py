"""Server-sent events and long polls: what an upstream says reaches the client before it says more."""

import ssl
import threading

import pytest

from gateway import plain
from pki import Pki
from raw import DEADLINE_S, request_bytes
from upstream import Gone

EVENTS = [b"data: %d\n\n" % n for n in range(5)]


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    made = Pki(str(tmp_path_factory.mktemp("pki")))
    made.make("www", "www.test", "test", "127.0.0.1", "localhost")
    return made


class Source:
    """Sends an event each time the client has been seen to have the one before."""

    def __init__(self, framing):
        self.framing, self.seen = framing, threading.Semaphore(0)

    def frame(self, data):
        return b"%x\r\n%s\r\n" % (len(data), data) if self.framing == "chunked" else data

    def run(self, exchange):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
        if self.framing == "chunked":
            head += b"Transfer-Encoding: chunked\r\n"
        if self.framing == "length":
            head += b"Content-Length: %d\r\n" % sum(map(len, EVENTS))
        if self.framing == "close":
            head += b"Connection: close\r\n"
            exchange.keep = False
        exchange.send(head + b"\r\n")
        for event in EVENTS:
            assert self.seen.acquire(timeout=DEADLINE_S), "the client has not got what was said before"
            exchange.send(self.frame(event))
        if self.framing == "chunked":
            exchange.send(b"0\r\n\r\n")


def secured(pki, config):
    config["listeners"] = [{"name": "main", "bind": "127.0.0.1:0",
                            "tls": {"certificates": [{"cert": pki.path("www.pem"), "key": pki.path("www.key")}]}}]
    return config


def client_of(gateway, pki, tls):
    client = gateway.client()
    if tls:
        context = ssl.create_default_context(cafile=pki.path("ca.pem"))
        client.sock = context.wrap_socket(client.sock, server_hostname="www.test")
    return client


def read_until(client, data, wanted):
    while wanted not in data:
        piece = client.sock.recv(65536)
        assert piece, f"ended before {wanted!r}: {data[-200:]!r}"
        data += piece
    return data


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
def test_each_event_arrives_before_the_next_is_sent(start, upstream, pki, framing, tls):
    source = Source(framing)
    upstream.on("/events", source.run)
    gateway = start(secured(pki, plain(upstream)) if tls else plain(upstream))
    with client_of(gateway, pki, tls) as client:
        client.sock.settimeout(DEADLINE_S)
        client.sock.sendall(request_bytes(target="/events", fields={"Accept": "text/event-stream"}))
        data = read_until(client, b"", b"\r\n\r\n")
        for event in EVENTS:
            source.seen.release()
            data = read_until(client, data, event)
    assert b"text/event-stream" in data
    gateway.wait_metric(lambda m: m.get("sluice_worker_exchanges_active") == 0)


@pytest.mark.parametrize("tls", [False, True])
def test_a_long_poll_answers_when_something_has_happened(start, upstream, pki, tls):
    happened = threading.Event()

    def poll(exchange):
        assert happened.wait(DEADLINE_S)
        exchange.reply(200, b"it happened")
    upstream.on("/poll", poll)
    gateway = start(secured(pki, plain(upstream)) if tls else plain(upstream))
    with client_of(gateway, pki, tls) as client:
        client.sock.settimeout(DEADLINE_S)
        client.sock.sendall(request_bytes(target="/poll"))
        gateway.wait_metric(lambda m: m.get("sluice_worker_exchanges_active") == 1)
        happened.set()
        data = read_until(client, b"", b"it happened")
    assert data.startswith(b"HTTP/1.1 200")


def test_parts_of_a_request_reach_the_upstream_as_they_come(start, upstream):
    got, seen = [], threading.Semaphore(0)

    def take(exchange):
        def piece(data):
            if data:
                got.append(bytes(data))
                seen.release()
        exchange.read_body(piece)
        exchange.reply(200, b"all")
    upstream.on("/up", take)
    gateway = start(plain(upstream))
    with gateway.client() as client:
        client.send(b"POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for n in range(4):
            client.send(b"5\r\npart%d\r\n" % n)
            assert seen.acquire(timeout=DEADLINE_S), f"part {n} is held back"
        client.send(b"0\r\n\r\n")
        assert client.read_response().status == 200
    assert b"".join(got) == b"part0part1part2part3"


def test_a_client_that_leaves_ends_the_stream(start, upstream):
    left = threading.Event()

    def run(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        try:
            exchange.wait_gone()
        except Gone:
            pass
        left.set()
    upstream.on("/events", run)
    gateway = start(plain(upstream))
    client = gateway.client()
    client.send(request_bytes(target="/events"))
    client.read_head()
    client.reset()
    assert left.wait(DEADLINE_S)
    gateway.expect_end("client_reset")
