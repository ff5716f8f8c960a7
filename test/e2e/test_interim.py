"""1xx answers: 100-continue from end to end, the others passed on, none to HTTP/1.0."""

import re
import threading

import pytest

from gateway import expect_problem, plain
from raw import Closed, request_bytes, wait_until

HEAD = b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"


def test_100_continue_goes_from_end_to_end(gateway, upstream):
    gate = threading.Event()
    upstream.on("/up", lambda ex: (gate.wait(10), ex.send(b"HTTP/1.1 100 Continue\r\n\r\n"),
                                   ex.reply(200, ex.read_body())))
    with gateway.client() as client:
        client.send(HEAD)
        upstream.wait_requests()
        assert upstream.last.get("expect").lower() == "100-continue"
        assert client.is_open(), "a 100 of the gateway's own would promise what the upstream has not"
        gate.set()
        assert client.read_head().status == 100
        client.send(b"hello")
        assert client.read_response().body == b"hello"
        assert client.ask().status == 200
    gateway.expect_end("completed", path="/up")


def test_a_body_that_does_not_wait_for_100_arrives_too(gateway, upstream):
    upstream.on("/up", lambda ex: (ex.send(b"HTTP/1.1 100 Continue\r\n\r\n"), ex.reply(200, ex.read_body())))
    with gateway.client() as client:
        client.send(HEAD + b"hello")
        assert client.read_response().body == b"hello"


def test_an_upstream_that_ignores_expect_works(gateway, upstream):
    upstream.on("/up", lambda ex: ex.reply(200, ex.read_body()))
    with gateway.client() as client:
        client.send(HEAD)
        upstream.wait_requests()
        client.send(b"hello")
        assert client.read_response().body == b"hello"


def test_a_final_answer_instead_of_100_reaches_the_client(gateway, upstream):
    upstream.on("/up", lambda ex: ex.reply(417, b"no thanks"))
    with gateway.client() as client:
        client.send(HEAD)
        answer = client.read_response()
        assert (answer.status, answer.body) == (417, b"no thanks")
        # What comes next on this connection must not be taken for the body's absence.
        if client.try_send(request_bytes(target="/next")):
            try:
                again = client.read_response()
                assert again.status in (200, 400), again
            except Closed:
                pass
    for exchange in upstream.requests:
        assert exchange.path in ("/up", "/next")


def test_an_answer_of_the_gateway_comes_without_100(start, upstream):
    gateway = start(plain(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "limits": {"body": 4}}]))
    with gateway.client() as client:
        client.send(HEAD)
        answer = client.read_response()
        expect_problem(answer, 413, "body_too_large")
        assert answer.interim == []
    assert upstream.requests == []


def test_103_is_passed_on(gateway, upstream):
    upstream.answer("/",
                    b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-h\r\nX-H: 1\r\n\r\n"
                         b"HTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\n"
                         b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    with gateway.client() as client:
        answer = client.ask()
        assert [hint.status for hint in answer.interim] == [103, 103]
        assert answer.interim[0].all("link") == ["</a.css>; rel=preload"]
        assert answer.interim[0].all("x-h") == [], "hop-by-hop in an interim answer"
        assert answer.body == b"ok"
        assert client.ask().body == b"ok"
    assert gateway.wait_access(2)[0]["status"] == 200
    assert gateway.metric("sluice_requests_total", **{"class": "1xx"}) == 0


def test_103_comes_before_the_final_answer_is_there(gateway, upstream):
    gate = threading.Event()
    upstream.on("/",
                lambda ex: (ex.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), gate.wait(10), ex.reply()))
    with gateway.client() as client:
        client.send(request_bytes())
        assert client.read_head().status == 103
        gate.set()
        assert client.read_response().status == 200


@pytest.mark.parametrize("interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n",
                                     b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"])
def test_a_1_0_client_gets_no_interim_answer(gateway, upstream, interim):
    upstream.answer("/", interim + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        assert re.match(rb"HTTP/1\.[01] 200 ", client.read_until_close())


def test_an_unasked_100_does_no_harm(gateway, upstream):
    upstream.answer("/", b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    with gateway.client() as client:
        for _ in range(2):
            answer = client.ask()
            assert answer.status == 200 and answer.body == b"ok"


def test_interim_answers_do_not_stop_the_response_timeout_of_a_silent_upstream(start, upstream):
    config = plain(upstream)
    config["upstreams"]["app"]["timeout"] = {"response": "300ms"}
    upstream.on("/", lambda ex: (ex.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), ex.wait_gone()))
    gateway = start(config)
    with gateway.client() as client:
        expect_problem(client.ask(), 504, "response_timeout")


def test_an_upstream_that_closes_after_an_interim_answer_is_told(gateway, upstream):
    upstream.answer("/", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", close=True)
    with gateway.client() as client:
        answer = client.ask("POST")  # which is not sent again
        assert [hint.status for hint in answer.interim] == [103]
        expect_problem(answer, 502, "upstream_closed")


def test_a_request_for_another_protocol_is_answered_in_http_1_1(gateway, upstream):
    """h2c is never passed on: the fields stop here and the answer is an ordinary one."""
    with gateway.client() as client:
        answer = client.ask(fields={"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c",
                                    "HTTP2-Settings": "AAMAAABk"})
        assert answer.status == 200
    wait_until(lambda: upstream.requests)
    assert upstream.last.all("upgrade") == [] and upstream.last.all("http2-settings") == []
