"""Connections are kept, ended and reused by the rules, on both sides."""

import os
import signal
import threading
import time

import pytest

from gateway import plain
from raw import request_bytes, wait_until


def test_a_connection_serves_many_requests(gateway, upstream):
    with gateway.client() as client:
        for n in range(50):
            assert client.ask(target=f"/{n}").status == 200
        lines = gateway.wait_access(50, client_port=client.port)
    assert upstream.paths() == [f"/{n}" for n in range(50)]
    assert len({line["connection"] for line in lines}) == 1
    assert [line["connection_requests"] for line in lines] == list(range(1, 51))


def test_pipelined_requests_are_answered_in_order(gateway, upstream):
    gate = threading.Event()
    upstream.on("/0", lambda ex: (gate.wait(10), ex.reply(200, b"/0")))
    upstream.script = lambda ex: (ex.read_body(), ex.reply(200, ex.path.encode() + ex.body))
    with gateway.client() as client:
        client.send(b"".join(request_bytes("GET" if n % 2 else "POST", f"/{n}",
                                           body=None if n % 2 or n == 0 else b"x" * n)
                             for n in range(20)))
        upstream.wait_requests()
        gate.set()
        for n in range(20):
            assert client.read_response().body == b"/%d" % n + (b"" if n % 2 or n == 0 else b"x" * n)


def test_a_pipelined_flood_is_answered_whole(gateway):
    """More than one block of requests in flight: nothing may be lost or doubled."""
    count = 3000
    with gateway.client() as client:
        sender = threading.Thread(target=client.try_send, args=(request_bytes(target="/flood") * count,))
        sender.start()
        for _ in range(count):
            assert client.read_response().status == 200
        sender.join()
        assert client.is_open()


@pytest.mark.parametrize("value", ["close", "Close", "keep-alive, close", "close, x-other", " close "])
def test_connection_close_of_the_client_is_honoured(gateway, value):
    with gateway.client() as client:
        answer = client.ask(fields={"Connection": value})
        assert answer.get("connection", "").lower() == "close"
        client.expect_close()


def test_requests_behind_a_close_are_not_served(gateway, upstream):
    with gateway.client() as client:
        client.send(request_bytes(target="/a", fields={"Connection": "close"}) + request_bytes(target="/b"))
        assert client.read_response().status == 200
        assert client.read_until_close() == b""
    assert upstream.paths() == ["/a"]


def test_a_1_0_client_is_closed_unless_it_asks(gateway):
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.read_response().body == b"ok"
        client.expect_close()


def test_an_idle_connection_is_closed_in_silence(start, upstream):
    gateway = start(plain(upstream,
                          listeners=[{"name": "main", "bind": "127.0.0.1:0", "timeout": {"idle": "100ms"}}]))
    with gateway.client() as client:
        client.ask()
        client.expect_close()
    assert len(gateway.wait_access(1, path="/")) and len(gateway.access_log()) == 1


def test_a_connection_that_never_asks_leaves_no_access_log_line(gateway):
    gateway.client().close()
    gateway.ask(target="/after")
    gateway.wait_access(path="/after")
    assert len(gateway.access_log()) == 1


def test_the_upstream_connection_is_reused(gateway, upstream):
    for _ in range(10):
        gateway.ask()
    assert upstream.connections == 1
    reading = gateway.metrics()
    assert reading.get("sluice_upstream_connects_total", upstream="app", endpoint=upstream.address) == 1
    assert reading.get("sluice_upstream_requests_total", upstream="app", endpoint=upstream.address) == 10
    gateway.wait_metric(lambda m: m.get("sluice_upstream_connections", upstream="app", state="idle") == 1
                        and m.get("sluice_upstream_connections", upstream="app", state="active") == 0)
    assert [line["connect_reused"] for line in gateway.wait_access(10)] == [False] + [True] * 9


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nConnection: Close, x\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
])
def test_an_upstream_that_says_close_is_not_reused_and_the_client_stays(gateway, upstream, answer):
    upstream.answer("/", answer)  # it lies: it stays open
    with gateway.client() as client:
        for _ in range(3):
            got = client.ask()
            assert got.body == b"ok" and "close" not in got.get("connection", "")
    assert upstream.connections == 3


def test_an_upstream_connection_is_retired_after_its_requests(start, upstream):
    config = plain(upstream)
    config["upstreams"]["app"]["connections"] = {"requests": 3}
    gateway = start(config)
    for _ in range(9):
        gateway.ask()
    assert [exchange.connection for exchange in upstream.requests] == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_an_idle_upstream_connection_is_closed_in_time(start, upstream):
    config = plain(upstream)
    config["upstreams"]["app"]["connections"] = {"idle_timeout": "100ms"}
    gateway = start(config)
    gateway.ask()
    upstream.wait_idle()
    assert gateway.ask().status == 200
    assert upstream.connections == 2


def test_no_more_idle_upstream_connections_are_kept_than_told(start, upstream):
    config = plain(upstream)
    config["upstreams"]["app"]["connections"] = {"idle": 2}
    gateway = start(config)
    barrier = threading.Barrier(6, timeout=10)
    upstream.on("/together", lambda ex: (barrier.wait(), ex.reply()))
    clients = [gateway.client() for _ in range(6)]
    for client in clients:
        client.send(request_bytes(target="/together"))
    for client in clients:
        assert client.read_response().status == 200
        client.close()
    assert upstream.connections == 6
    wait_until(lambda: len(upstream.open) == 2, what="two idle connections at the upstream")


def test_concurrent_requests_never_share_an_upstream_connection(gateway, upstream):
    barrier = threading.Barrier(8, timeout=10)
    upstream.on("/together", lambda ex: (barrier.wait(), ex.reply(200, str(ex.connection).encode())))
    clients = [gateway.client() for _ in range(8)]
    for client in clients:
        client.send(request_bytes(target="/together"))
    assert len({client.read_response().body for client in clients}) == 8


def test_a_closing_client_during_an_exchange_aborts_it(gateway, upstream):
    """half_close: abort, the default: nobody waits for the answer."""
    upstream.on("/slow", lambda ex: ex.wait_gone())
    with gateway.client() as client:
        client.send(request_bytes(target="/slow"))
        upstream.wait_requests()
    line = gateway.expect_end("client_closed", path="/slow")
    assert line["status"] in (499, None)
    upstream.wait_idle()


def test_a_reset_by_the_client_during_an_exchange_aborts_it(gateway, upstream):
    upstream.on("/slow", lambda ex: ex.wait_gone())
    with gateway.client() as client:
        client.send(request_bytes(target="/slow"))
        upstream.wait_requests()
        client.reset()
    line = gateway.wait_access(path="/slow")
    assert line["reason"] in ("client_reset", "client_closed")
    upstream.wait_idle()


@pytest.mark.parametrize("took_s", [0, 1.2], ids=["quick", "slow"])
def test_an_idle_client_is_closed_in_time_after_any_answer(start, upstream, took_s):
    """Also when its exchange went on for longer than it takes to be asked whether it is there."""
    upstream.on("/", lambda ex: (time.sleep(took_s), ex.reply()))
    config = plain(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "timeout": {"idle": "1200ms"}}])
    gateway = start(config)
    with gateway.client() as client:
        assert client.ask().status == 200
        client.expect_close()


def stand_still(gateway):
    """What comes until SIGCONT comes in one event."""
    os.kill(gateway.pid, signal.SIGSTOP)


@pytest.mark.parametrize("body", [None, b"x" * 100], ids=["a head", "content"])
@pytest.mark.parametrize("half_close", ["abort", "allow"])
def test_a_reset_that_comes_with_the_request_ends_its_exchange(start, upstream, half_close, body):
    """No event tells of it apart, and nothing is written to the client for long."""
    upstream.on("/slow", lambda ex: (ex.read_body(), ex.wait_gone()))
    gateway = start(plain(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "half_close": half_close}]))
    with gateway.client() as client:
        client.ask()
        stand_still(gateway)
        client.send(request_bytes("POST" if body else "GET", "/slow", body=body))
        client.reset()
        os.kill(gateway.pid, signal.SIGCONT)
        gateway.expect_end("client_reset", path="/slow")
    upstream.wait_idle()


def test_a_reset_behind_pipelined_bytes_ends_the_exchange(gateway, upstream):
    upstream.on("/slow", lambda ex: ex.wait_gone())
    with gateway.client() as client:
        client.send(request_bytes(target="/slow"))
        upstream.wait_requests()
        client.send(request_bytes(target="/next"))  # stays with the kernel
        client.reset()
        gateway.expect_end("client_reset", path="/slow")
    assert upstream.paths() == ["/slow"]


def test_an_end_that_comes_with_the_request_ends_its_exchange(gateway, upstream):
    upstream.on("/slow", lambda ex: ex.wait_gone())
    with gateway.client() as client:
        client.ask()
        stand_still(gateway)
        client.send(request_bytes(target="/slow"))
        client.close()
        os.kill(gateway.pid, signal.SIGCONT)
        gateway.expect_end("client_closed", path="/slow")
    upstream.wait_idle()


def test_a_reset_behind_an_allowed_half_close_ends_the_exchange(start, upstream):
    upstream.on("/slow", lambda ex: ex.wait_gone())
    gateway = start(plain(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "half_close": "allow"}]))
    with gateway.client() as client:
        client.send(request_bytes(target="/slow"))
        upstream.wait_requests()
        client.half_close()
        client.reset()
        gateway.expect_end("client_reset", path="/slow")
    upstream.wait_idle()


def test_half_close_may_be_allowed(start, upstream):
    gate = threading.Event()
    upstream.on("/slow", lambda ex: (gate.wait(10), ex.reply(200, b"late")))
    gateway = start(plain(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "half_close": "allow"}]))
    with gateway.client() as client:
        client.send(request_bytes(target="/slow"))
        upstream.wait_requests()
        client.half_close()
        gate.set()
        assert client.read_response().body == b"late"
        client.expect_close()


def test_pipelined_requests_before_a_half_close_are_all_answered_when_allowed(start, upstream):
    gateway = start(plain(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "half_close": "allow"}]))
    with gateway.client() as client:
        client.send(request_bytes() * 5)
        client.half_close()
        for _ in range(5):
            assert client.read_response().status == 200
        client.expect_close()


def test_the_gauges_return_to_zero(gateway, upstream):
    clients = [gateway.client() for _ in range(10)]
    for client in clients:
        client.ask()
    gateway.wait_metric(lambda m: m.get("sluice_downstream_connections", listener="main") == 10)
    for client in clients:
        client.close()
    reading = gateway.wait_metric(lambda m: m.get("sluice_downstream_connections", listener="main") == 0
                                  and m.get("sluice_worker_connections") == 0)
    assert reading.get("sluice_worker_exchanges_active") == 0
    assert reading.get("sluice_downstream_connections_total", listener="main") == 10


def test_descriptors_do_not_leak(gateway, upstream):
    gateway.ask()
    gateway.wait_metric(lambda m: m.get("sluice_downstream_connections") == 0)
    before = gateway.fds()
    for _ in range(100):
        gateway.ask()
    wait_until(lambda: gateway.fds() <= before, what="the descriptors are back")
