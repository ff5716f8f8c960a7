"""A kept connection that dies under a request is no fault of the client, as long as nothing was done twice.

What the retry rule adds to that is in test_retry.py: here it does not name a reset.
"""

import pytest

import gateway as support
from gateway import expect_problem
from raw import request_bytes, wait_until


def plain(fake):
    config = support.plain(fake)
    config["upstreams"]["app"]["retry"] = {"on": ["connect"]}
    return config


def dies_when_reused(end="close", partial=b""):
    """Serve the first request of each connection; end the connection on its second."""
    def script(exchange):
        if exchange.conn.requests > 1:
            exchange.read_body(sink=lambda piece: None)
            if partial:
                exchange.send(partial)
            getattr(exchange, end)()
        else:
            exchange.read_body()
            exchange.reply(200, exchange.method.encode())
    return script


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
def test_an_idempotent_request_is_sent_again_once_in_silence(start, upstream, end, method):
    upstream.script = dies_when_reused(end)
    gateway = start(plain(upstream))
    with gateway.client() as client:
        client.ask(target="/first")
        answer = client.ask(method, "/second")
        assert answer.status == 200
        assert method == "HEAD" or answer.body == method.encode()
    assert upstream.paths() == ["/first", "/second", "/second"] and upstream.connections == 2
    line = gateway.expect_end("completed", path="/second")
    assert line["connect_reused"] is False, "the answer came on a new connection"
    assert gateway.metric("sluice_upstream_retries_total", upstream="app") == 1
    assert gateway.metric("sluice_upstream_failures_total", upstream="app") == 0, "it is not counted as a failure"


@pytest.mark.parametrize("end, reason", [("close", "upstream_closed"), ("reset", "upstream_reset")])
@pytest.mark.parametrize("body", [b"", b"do it once", [b"do it ", b"once"]], ids=["empty", "length", "chunked"])
def test_a_post_that_may_have_been_processed_is_not_sent_again(start, upstream, end, reason, body):
    upstream.script = dies_when_reused(end)
    gateway = start(plain(upstream))
    with gateway.client() as client:
        client.ask(target="/first")
        expect_problem(client.ask("POST", "/second", body=body), 502, reason)
    assert upstream.paths() == ["/first", "/second"]
    gateway.expect_end(reason, path="/second")
    assert gateway.metric("sluice_upstream_retries_total", upstream="app") == 0


def test_an_answer_that_has_begun_is_never_asked_for_again(start, upstream):
    upstream.script = dies_when_reused(partial=b"HTTP/1.1 2")
    gateway = start(plain(upstream))
    with gateway.client() as client:
        client.ask(target="/first")
        expect_problem(client.ask(target="/second"), 502, "upstream_closed")
    assert upstream.paths() == ["/first", "/second"]


def test_a_new_connection_that_dies_is_not_tried_again(start, upstream):
    upstream.script = lambda ex: ex.close()
    gateway = start(plain(upstream))
    expect_problem(gateway.ask(), 502, "upstream_closed")
    assert len(upstream.requests) == 1
    assert gateway.metric("sluice_upstream_retries_total") == 0


def test_the_second_try_is_the_last(start, upstream):
    def script(exchange):
        if exchange.path == "/first":
            exchange.reply()
        else:
            exchange.close()
    upstream.script = script
    gateway = start(plain(upstream))
    with gateway.client() as client:
        client.ask(target="/first")
        expect_problem(client.ask(target="/second"), 502, "upstream_closed")
    assert upstream.paths() == ["/first", "/second", "/second"]


def test_many_stale_connections_cost_no_request(start, upstreams):
    """The upstream restarts: all kept connections die at once."""
    upstream = upstreams()
    gateway = start(plain(upstream))
    clients = [gateway.client() for _ in range(10)]
    for client in clients:
        client.send(request_bytes())
    for client in clients:
        client.read_response()
    upstream.close_connections(reset=True)
    for client in clients:
        assert client.ask().status == 200
        client.close()


def test_a_connection_closed_while_idle_is_not_used_even_for_a_post(start, upstream):
    gateway = start(plain(upstream))
    gateway.ask()
    upstream.close_connections()
    gateway.wait_metric(lambda m: m.get("sluice_upstream_connections", upstream="app", state="idle") == 0,
                        "the closed connection has left the pool")
    assert gateway.ask("POST", body=b"once").status == 200
    wait_until(lambda: len(upstream.requests) == 2)
    assert gateway.metric("sluice_upstream_retries_total") == 0
