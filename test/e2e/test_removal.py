"""Removing an endpoint drains it: nothing new, what is in flight finishes, kept connections close, tunnels stay."""

import json
import os
import socket
import threading

import pytest

from raw import request_bytes, wait_until

ASK = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
SWITCH = (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
          b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


class Members:
    """An upstream whose endpoints a test changes, by a reload or by a file."""

    def __init__(self, start, how, path, fakes, workers=1):
        self.how, self.path, self.workers = how, path, workers
        if how == "file":
            self.write(fakes)
        self.gateway = start(self.config(fakes))

    def config(self, fakes):
        addresses = [fake.address for fake in fakes]
        source = {"endpoints": addresses} if self.how == "reload" else {
            "file": {"path": str(self.path), "interval": "100ms"}}
        return {"workers": self.workers, "upstreams": {"app": source}, "routes": [{"name": "all", "upstream": "app"}]}

    def write(self, fakes):
        with open(f"{self.path}.new", "w", encoding="utf-8") as out:
            json.dump([fake.address for fake in fakes], out)
        os.replace(f"{self.path}.new", self.path)

    def told(self):
        return [e["address"] for e in self.gateway.admin.json("/upstreams")["upstreams"][0]["endpoints"]]

    def become(self, *fakes):
        if self.how == "reload":
            self.gateway.must_reload(self.config(fakes))
        else:
            self.write(fakes)
        wait_until(lambda: self.told() == [fake.address for fake in fakes], what="the members")


@pytest.fixture(params=["reload", "file"])
def members(start, tmp_path, request):
    return lambda *fakes, **more: Members(start, request.param, tmp_path / "members.json", fakes, **more)


def open_connections(gateway, fake):
    return gateway.metric("sluice_upstream_connections", endpoint=fake.address)


def test_it_gets_no_new_requests_and_kept_connections_close(members, upstreams):
    first, second = upstreams(), upstreams()
    them = members(first, second, workers=2)
    gateway = them.gateway
    with gateway.client() as one, gateway.client() as other:
        for client in (one, other) * 4:
            assert client.ask().status == 200
        assert first.requests and second.requests
        before = len(first.requests)
        them.become(second)
        first.wait_idle()
        wait_until(lambda: open_connections(gateway, first) == 0, what="no connection to what is gone")
        for client in (one, other) * 4:  # and the clients keep theirs
            assert client.ask().status == 200
    assert len(first.requests) == before and len(second.requests) >= 8
    assert gateway.metric("sluice_request_ends_total", reason="completed") == 16


def test_what_is_in_flight_finishes(members, upstreams):
    first, second = upstreams(), upstreams()
    gate, half = threading.Event(), threading.Event()

    def slowly(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        half.set()
        gate.wait(20)
        exchange.send(b"rest")

    def late(exchange):
        gate.wait(20)
        exchange.reply(200, b"late")

    first.on("/half", slowly)
    first.on("/late", late)
    them = members(first)
    gateway = them.gateway
    with gateway.client() as one, gateway.client() as two, gateway.client() as new:
        one.send(request_bytes(target="/half"))
        two.send(request_bytes(target="/late"))
        first.wait_requests(2)
        assert half.wait(10)
        them.become(second)
        assert new.ask().status == 200 and len(second.requests) == 1
        assert open_connections(gateway, first) == 2
        gate.set()
        assert one.read_response("GET").body == b"halfrest"
        assert two.read_response("GET").body == b"late"
        first.wait_idle()
        wait_until(lambda: open_connections(gateway, first) == 0, what="no connection to what is gone")
    assert len(gateway.wait_access(2, endpoint=first.address, reason="completed", status=200)) == 2


def test_a_body_on_its_way_up_finishes(members, upstreams):
    first, second = upstreams(), upstreams()
    first.on("/up", lambda exchange: (exchange.read_body(), exchange.reply()))
    them = members(first)
    with them.gateway.client() as client:
        client.send(b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nhalf")
        wait_until(lambda: open_connections(them.gateway, first) == 1, what="a connection")
        them.become(second)
        client.send(b"rest")
        assert client.read_response("POST").status == 200
    assert first.last.body == b"halfrest" and not second.requests


def test_a_tunnel_stays(members, upstreams):
    first, second = upstreams(), upstreams()

    def echo(exchange):
        exchange.send(SWITCH)
        exchange.keep = False
        while True:
            data = exchange.conn.sock.recv(100)
            if not data:
                return
            exchange.conn.sock.sendall(data)

    first.on("/ws", echo)
    them = members(first)
    gateway = them.gateway
    with gateway.client() as tunnel, gateway.client() as other:
        tunnel.send(request_bytes(target="/ws", fields=ASK))
        assert tunnel.read_head().status == 101
        them.become(second)
        assert other.ask().status == 200 and len(second.requests) == 1
        for word in (b"one", b"two"):
            tunnel.send(word)
            assert tunnel.sock.recv(3, socket.MSG_WAITALL) == word
        assert open_connections(gateway, first) == 1
    first.wait_idle()
    wait_until(lambda: open_connections(gateway, first) == 0, what="no connection to what is gone")


def test_what_comes_back_is_used_again(members, upstreams):
    first, second = upstreams(), upstreams()
    them = members(first, second)
    for _ in range(4):
        assert them.gateway.ask().status == 200
    them.become(second)
    them.become(first, second)
    before = len(first.requests)
    for _ in range(4):
        assert them.gateway.ask().status == 200
    assert len(first.requests) == before + 2
