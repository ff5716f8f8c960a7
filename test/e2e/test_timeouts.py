"""Every wait has a deadline, and its end says which one it was."""

import socket
import threading
import time

import pytest

from gateway import expect_problem, plain
from raw import Closed, request_bytes

SHORT = "200ms"
LISTENER = {"name": "main", "bind": "127.0.0.1:0"}


def with_timeout(upstream, **timeout):
    config = plain(upstream)
    config["upstreams"]["app"]["timeout"] = timeout
    return config


def with_listener(upstream, **timeout):
    return plain(upstream, listeners=[{**LISTENER, "timeout": timeout}])


def test_a_head_that_does_not_come_is_408(start, upstream):
    gateway = start(with_listener(upstream, head=SHORT))
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost:")
        expect_problem(client.read_response(), 408, "head_timeout")
        client.expect_close()
        gateway.expect_end("head_timeout", client_port=client.port)
    assert upstream.requests == []


def test_a_head_in_single_bytes_does_not_live_for_ever(start, upstream):
    """Slowloris: progress does not extend the time of the head."""
    gateway = start(with_listener(upstream, head="300ms"))
    end = time.monotonic() + 10
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        while time.monotonic() < end and client.try_send(b"x"):
            if not client.is_open(0.02):
                break
        assert time.monotonic() < end
    gateway.expect_end("head_timeout")


def test_a_second_head_has_its_deadline_too(start, upstream):
    gateway = start(with_listener(upstream, head=SHORT))
    with gateway.client() as client:
        client.ask()
        client.send(b"GET /second HT")
        expect_problem(client.read_response(), 408, "head_timeout")


def test_a_connection_that_says_nothing_is_closed_in_silence(start, upstream):
    gateway = start(with_listener(upstream, head=SHORT, idle=SHORT))
    with gateway.client() as client:
        client.expect_close()
    assert gateway.access_log() == []


def test_a_body_that_stops_is_408(start, upstream):
    gateway = start(with_listener(upstream, body=SHORT))
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
        expect_problem(client.read_response(), 408, "body_timeout")
        assert client.read_until_close() == b""
        line = gateway.expect_end("body_timeout", client_port=client.port)
        assert line["bytes_in"] == 5
    upstream.wait_idle()
    assert not any(exchange.complete for exchange in upstream.requests)


def test_a_body_that_trickles_is_not_stopped(start, upstream):
    gateway = start(with_listener(upstream, body="500ms"))
    upstream.on("/", lambda ex: ex.reply(200, ex.read_body()))
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n")
        for _ in range(8):
            threading.Event().wait(0.1)
            client.send(b"x")
        assert client.read_response().body == b"x" * 8


def test_a_client_that_does_not_read_is_ended(start, upstream):
    upstream.on("/", lambda ex: ex.reply(200, b"x" * (32 * 1024 * 1024)))
    gateway = start(with_listener(upstream, write=SHORT))
    with gateway.client(receive_buffer=4096) as client:
        client.send(request_bytes())
        line = gateway.expect_end("write_timeout", client_port=client.port)
        assert line["status"] == 200
    upstream.wait_idle()


def full_endpoint():
    """A listening socket whose queue is full: connects to it hang. (socket, those that fill it)"""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(sock.getsockname())
        fillers.append(filler)
    return sock, fillers


def test_a_connect_that_hangs_is_504(start):
    sock, fillers = full_endpoint()
    config = {"upstreams": {"app": {"endpoints": ["127.0.0.1:%d" % sock.getsockname()[1]],
                                    "timeout": {"connect": SHORT}}},
              "routes": [{"upstream": "app"}]}
    gateway = start(config)
    expect_problem(gateway.ask(), 504, "connect_timeout")
    gateway.expect_end("connect_timeout")
    gateway.wait_metric(lambda m: m.get("sluice_upstream_failures_total", upstream="app",
                                        reason="connect_timeout") >= 1)
    for filler in [sock, *fillers]:
        filler.close()


def test_an_answer_that_does_not_come_is_504(start, upstream):
    upstream.on("/", lambda ex: ex.wait_gone())
    gateway = start(with_timeout(upstream, response=SHORT))
    with gateway.client() as client:
        expect_problem(client.ask(), 504, "response_timeout")
        assert client.ask(target="/fine").status == 200, "the client's connection stays"
    gateway.expect_end("response_timeout", path="/")
    gateway.wait_metric(lambda m: m.get("sluice_upstream_failures_total", reason="response_timeout") == 1)


def test_the_time_of_an_upload_is_not_the_time_of_the_answer(start, upstream):
    """response counts from the sent request, not from its first byte."""
    upstream.on("/", lambda ex: ex.reply(200, ex.read_body()))
    gateway = start(with_timeout(upstream, response="400ms"))
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n")
        for _ in range(6):
            threading.Event().wait(0.1)
            client.send(b"x")
        assert client.read_response().body == b"x" * 6


def test_an_answer_that_stops_in_its_body_is_cut(start, upstream):
    upstream.on("/", lambda ex: (ex.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"), ex.wait_gone()))
    gateway = start(with_timeout(upstream, idle=SHORT))
    with gateway.client() as client:
        with pytest.raises(Closed) as closed:
            client.ask()
        assert closed.value.got == b"hello"
    line = gateway.expect_end("upstream_idle_timeout")
    assert line["status"] == 200


def test_total_ends_an_exchange_before_its_head_by_504(start, upstream):
    upstream.on("/", lambda ex: ex.wait_gone())
    gateway = start(with_timeout(upstream, total=SHORT))
    expect_problem(gateway.ask(), 504, "total_timeout")
    gateway.expect_end("total_timeout")


def test_total_cuts_an_answer_that_goes_on(start, upstream):
    def drip(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            exchange.send(b"1\r\nx\r\n")
            threading.Event().wait(0.02)
    upstream.on("/", drip)
    gateway = start(with_timeout(upstream, total="300ms"))
    with gateway.client() as client:
        with pytest.raises(Closed):
            client.ask()
    assert gateway.expect_end("total_timeout")["status"] == 200


def test_a_route_overrides_the_times_of_its_upstream(start, upstream):
    upstream.script = lambda ex: ex.wait_gone()
    config = with_timeout(upstream, response="60s")
    config["routes"] = [{"match": {"path": "/fast"}, "upstream": "app", "timeout": {"response": SHORT}},
                        {"match": {"path": "/total"}, "upstream": "app", "timeout": {"total": SHORT}},
                        {"match": {"path": "/slow"}, "upstream": "app"}]
    gateway = start(config)
    with gateway.client() as client:
        expect_problem(client.ask(target="/fast"), 504, "response_timeout")
        expect_problem(client.ask(target="/total"), 504, "total_timeout")
        client.send(request_bytes(target="/slow"))
        assert client.is_open(0.4)


def test_a_waiting_request_takes_nothing_from_the_next(start, upstream):
    """A deadline of one exchange never fires in the following one on the same connection."""
    gateway = start(with_timeout(upstream, response="300ms", total="400ms"))
    with gateway.client() as client:
        for _ in range(6):
            assert client.ask().status == 200
            threading.Event().wait(0.1)
