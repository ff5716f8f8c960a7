"""The tools of these tests keep their own promises; no gateway is involved here."""

import threading

import pytest

from raw import Client, Closed, ProtocolError, ask, chunked, request_bytes
from upstream import Upstream


def test_the_default_script_answers_and_records_the_request_byte_for_byte(upstream):
    sent = request_bytes("POST", "/a?b=c", {"X-Odd": "  spaced "}, b"body")
    with Client(upstream.address) as client:
        client.send(sent)
        answer = client.read_response()
    assert (answer.status, answer.body) == (200, b"ok")
    assert upstream.last.raw == sent
    assert upstream.last.body == b"" and upstream.last.complete


def test_a_chunked_body_with_trailers_is_read_and_recorded(upstream):
    upstream.on("/", lambda ex: (ex.read_body(), ex.reply(200, ex.body)))
    body = chunked([b"ab", b"c"], [("X-T", "1")])
    with Client(upstream.address) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        assert client.read_response().body == b"abc"
    assert upstream.last.trailers == [("x-t", "1")]
    assert upstream.last.raw.endswith(body)


def test_connections_are_counted_and_kept(upstream):
    with Client(upstream.address) as client:
        client.ask()
        client.ask()
    ask(upstream.address)
    assert upstream.connections == 2
    assert [exchange.connection for exchange in upstream.requests] == [1, 1, 2]


def test_a_script_may_wait_for_an_event_of_the_test(upstream):
    gate = threading.Event()
    upstream.on("/wait", lambda ex: (gate.wait(10), ex.reply(200, b"late")))
    with Client(upstream.address) as client:
        client.send(request_bytes(target="/wait"))
        upstream.wait_requests()
        assert client.is_open()
        gate.set()
        assert client.read_response().body == b"late"


def test_close_and_reset_reach_the_client(upstream):
    upstream.on("/close", lambda ex: ex.close())
    upstream.on("/reset", lambda ex: ex.reset())
    with pytest.raises(Closed) as closed:
        ask(upstream.address, target="/close")
    assert not closed.value.reset
    with pytest.raises(Closed) as closed:
        ask(upstream.address, target="/reset")
    assert closed.value.reset


def test_a_failed_script_is_told_when_the_upstream_stops():
    def fails(exchange):
        assert exchange.method == "PUT"
    fake = Upstream(fails)
    with pytest.raises(Closed):
        ask(fake.address)
    with pytest.raises(AssertionError, match="scripts of the fake upstream failed"):
        fake.stop()


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;ext\r\na\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nBad Name: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\nY: b\r\n\r\n",
    b"HTTP/2 200 OK\r\n\r\n",
    b"HTTP/1.1 204 X\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.0 200 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
])
def test_the_client_refuses_a_malformed_answer(upstream, answer):
    upstream.answer("/", answer, close=True)
    with pytest.raises(ProtocolError):
        ask(upstream.address)


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Le",
])
def test_the_client_notices_a_cut_answer(upstream, answer):
    upstream.answer("/", answer, close=True)
    with pytest.raises(Closed):
        ask(upstream.address)


def test_interim_answers_are_kept_apart(upstream):
    upstream.answer("/",
                    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    answer = ask(upstream.address)
    assert [hint.status for hint in answer.interim] == [103]
    assert answer.status == 200 and answer.body == b""


def test_a_real_nginx_serves_files(nginx):
    server = nginx({"a.txt": b"hello\n"})
    with Client(server.address) as client:
        assert client.ask(target="/a.txt").body == b"hello\n"
        assert client.ask(target="/who").body.startswith(b"GET /who HTTP/1.1 host=test.example")
