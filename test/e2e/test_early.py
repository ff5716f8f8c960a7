"""Answers that come early, and upstreams that go early: the client always knows what it has."""

import threading

import pytest

from gateway import expect_problem
from raw import Closed, request_bytes, wait_until
from upstream import response_bytes

MIB = 1024 * 1024
UPLOAD = b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (8 * MIB)


def test_an_early_answer_reaches_the_client_whole_while_it_uploads(gateway, upstream):
    """The upstream answers after the head and takes nothing more."""
    body = b"too much" * 5000
    release = threading.Event()
    upstream.on("/up", lambda ex: (ex.reply(413, body, {"Connection": "close"}), release.wait(10), ex.close()))
    with gateway.client() as client:
        client.send(UPLOAD)
        sender = threading.Thread(target=client.try_send, args=(b"x" * (8 * MIB),))
        sender.start()
        answer = client.read_response()
        assert (answer.status, answer.body) == (413, body)
        release.set()
        client.read_until_close()
        sender.join()
    line = gateway.wait_access(path="/up")
    assert line["status"] == 413 and line["bytes_out"] == len(body)


def test_an_early_answer_survives_the_reset_that_follows_it(gateway, upstream):
    """Closing with unread bytes sends RST right behind the answer: it must have been read first."""
    upstream.on("/up", lambda ex: (ex.conn.take(1000), ex.reply(413, b"too much"), ex.close()))
    for _ in range(10):
        with gateway.client() as client:
            client.send(UPLOAD)
            sender = threading.Thread(target=client.try_send, args=(b"x" * (8 * MIB),))
            sender.start()
            answer = client.read_response()
            assert (answer.status, answer.body) == (413, b"too much")
            client.read_until_close()
            sender.join()


def test_an_early_answer_of_an_upstream_that_reads_on_keeps_everything_whole(gateway, upstream):
    data = b"y" * MIB
    sizes = []
    upstream.on("/up",
                lambda ex: (ex.reply(202, b"taken"), ex.read_body(sink=lambda piece: sizes.append(len(piece)))))
    with gateway.client() as client:
        client.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(data))
        assert client.read_response().body == b"taken"
        taken = client.try_send(data)
        if taken and client.try_send(request_bytes(target="/next")):
            try:
                assert client.read_response().status == 200
            except Closed:
                pass  # ending the connection after an early answer is right too
    upstream_body = sum(sizes)
    assert upstream_body <= len(data)


def test_a_gateways_own_refusal_reaches_a_client_that_is_uploading(start, upstream):
    gateway = start({"routes": [{"match": {"path": "/else"}, "echo": True}]})
    with gateway.client() as client:
        client.send(UPLOAD)
        sender = threading.Thread(target=client.try_send, args=(b"x" * (8 * MIB),))
        sender.start()
        expect_problem(client.read_response(), 404, "not_found")
        client.read_until_close()
        sender.join()


def test_an_upstream_that_closes_before_the_head_is_502(gateway, upstream):
    upstream.on("/", lambda ex: ex.close())
    with gateway.client() as client:
        expect_problem(client.ask("POST"), 502, "upstream_closed")  # which is not sent again
        assert client.is_open(), "the client's connection has done nothing wrong"
    gateway.expect_end("upstream_closed")
    gateway.wait_metric(lambda m: m.get("sluice_upstream_failures_total", upstream="app",
                                        reason="upstream_closed") == 1)


def test_an_upstream_that_resets_before_the_head_is_502(gateway, upstream):
    upstream.on("/", lambda ex: ex.reset())
    expect_problem(gateway.ask(), 502, "upstream_reset")
    gateway.expect_end("upstream_reset")


@pytest.mark.parametrize("head", [b"H", b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"])
def test_an_upstream_that_closes_inside_the_head_is_502(gateway, upstream, head):
    upstream.answer("/", head, close=True)
    expect_problem(gateway.ask(), 502, "upstream_closed")


def test_nobody_listening_is_502(gateway, upstream):
    upstream.stop_listening()
    expect_problem(gateway.ask(), 502, "connect_failed")
    line = gateway.expect_end("connect_failed")
    assert line["endpoint"] == upstream.address and line["upstream_ms"] is None
    gateway.wait_metric(lambda m: m.get("sluice_upstream_failures_total", reason="connect_failed") >= 1)


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_body_cut_by_the_upstream_is_cut_for_the_client(gateway, upstream, end):
    gate = threading.Event()
    upstream.on("/", lambda ex: (ex.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello"), gate.wait(10),
                                 getattr(ex, end)()))
    with gateway.client() as client:
        client.send(request_bytes())
        client.read_head()
        gate.set()
        got = client.read_until_close()
        assert got == b"hello"
    reason = {"close": "upstream_closed", "reset": "upstream_reset"}[end]
    line = gateway.expect_end(reason, path="/")
    assert line["status"] == 200 and line["bytes_out"] == 5


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_cut_chunked_body_never_gets_its_last_chunk(gateway, upstream, end):
    gate = threading.Event()
    upstream.on("/", lambda ex: (ex.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
                                 gate.wait(10), getattr(ex, end)()))
    with gateway.client() as client:
        client.send(request_bytes())
        client.read_head()
        gate.set()
        got = client.read_until_close()
        assert got.startswith(b"5\r\nhello") and not got.endswith(b"0\r\n\r\n"), got
    gateway.expect_end({"close": "upstream_closed", "reset": "upstream_reset"}[end], path="/")


def test_an_answer_until_close_that_is_reset_never_looks_whole(gateway, upstream):
    gate = threading.Event()
    upstream.on("/", lambda ex: (ex.send(b"HTTP/1.1 200 OK\r\n\r\nhello"), gate.wait(10), ex.reset()))
    with gateway.client() as client:
        client.send(request_bytes())
        response = client.read_head()
        gate.set()
        with pytest.raises(Closed):
            client.read_body(response)
    gateway.expect_end("upstream_reset", path="/")


def test_a_cut_body_for_a_1_0_client_ends_by_reset_or_short_of_its_length(gateway, upstream):
    gate = threading.Event()
    upstream.on("/",
                lambda ex: (ex.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello"), gate.wait(10),
                            ex.close()))
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        response = client.read_head()
        gate.set()
        with pytest.raises(Closed):
            client.read_body(response)


def test_the_pool_survives_cut_answers(gateway, upstream):
    upstream.answer("/cut", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello", close=True)
    for _ in range(20):
        with gateway.client() as client:
            client.send(request_bytes(target="/cut"))
            client.read_until_close()
        assert gateway.ask(target="/fine").body == b"ok"
    gateway.wait_metric(lambda m: m.get("sluice_upstream_connections", upstream="app", state="active") == 0)


def test_a_client_that_leaves_during_the_answer_frees_the_upstream(gateway, upstream):
    block = b"z" * 65536

    def endless(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            exchange.send(b"10000\r\n" + block + b"\r\n")
    upstream.on("/endless", endless)
    with gateway.client() as client:
        client.send(request_bytes(target="/endless"))
        client.read_head()
        client.reset()
    upstream.wait_idle()
    line = gateway.wait_access(path="/endless")
    assert line["reason"] in ("client_reset", "client_closed") and line["status"] == 200


def test_an_upstream_that_stops_reading_is_seen_as_backpressure(gateway, upstream):
    """The gateway must not take in what it cannot pass on."""
    gate = threading.Event()
    done = []
    upstream.on("/up", lambda ex: (gate.wait(20), ex.read_body(sink=lambda piece: None), ex.reply()))
    total = 64 * MIB
    with gateway.client() as client:
        client.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % total)
        sender = threading.Thread(target=lambda: done.append(client.try_send(b"x" * total)))
        sender.start()
        upstream.wait_requests()
        sender.join(0.5)
        assert sender.is_alive(), "64 MiB vanished into the gateway while nobody read them"
        gate.set()
        assert client.read_response().status == 200
        sender.join()
    assert done == [True]


def test_both_ends_reset_at_once_leave_nothing_behind(gateway, upstream):
    upstream.on("/both", lambda ex: ex.reset())
    for _ in range(50):
        client = gateway.client()
        client.send(request_bytes(target="/both"))
        client.reset()
    gateway.wait_metric(lambda m: m.get("sluice_downstream_connections") == 0
                        and m.get("sluice_worker_exchanges_active") == 0
                        and m.get("sluice_upstream_connections", state="active") == 0)
    assert gateway.ask(target="/fine").body == b"ok"


def test_a_large_answer_sent_with_its_head_at_once_is_whole(gateway, upstream):
    upstream.answer("/", response_bytes(200, b"q" * 300000))
    with gateway.client() as client:
        for _ in range(5):
            assert client.ask().body == b"q" * 300000
    wait_until(lambda: upstream.connections == 1)
