"""When a request is sent again, where to, and when it must not be.

Two endpoints take turns, tries included: the one made first is asked first by every request.
"""

import json
import re
import threading

import pytest

from gateway import expect_problem, plain
from raw import wait_until


def retrying(*fakes, workers=1, budget=None, routes=None, **retry):
    """One upstream of these endpoints, retried without waiting unless it is said."""
    rule = {"backoff": {"base": "0s", "max": "0s"}, **retry}
    config = plain(*fakes, workers=workers)
    config["upstreams"]["app"].update({"retry": rule, **({"retry_budget": budget} if budget else {})})
    if routes:
        config["routes"] = routes
    return config


def retries(gateway, **labels):
    return gateway.metric("sluice_upstream_retries_total", upstream="app", **labels)


def refused(gateway, cause):
    return gateway.metric("sluice_upstream_retries_refused_total", upstream="app", cause=cause)


def failing(end):
    """A script that ends every request so, after having read all of it."""
    def script(exchange):
        exchange.read_body()
        if isinstance(end, int):
            exchange.reply(end, b"failed")
        else:
            getattr(exchange, end)()
    return script


def good(exchange):
    exchange.read_body()
    exchange.reply(200, exchange.body or b"good")


def bodies(*fakes):
    return [exchange.body for fake in fakes for exchange in fake.requests]


# --- causes


@pytest.mark.parametrize("end, on, cause", [("close", "reset", "reset"), ("reset", "reset", "reset"), (503, 503, "status"),
                                            (500, "5xx", "status"), (502, "gateway-error", "status"), (429, 429, "status")])
def test_another_endpoint_answers_for_one_that_fails(start, upstreams, end, on, cause):
    bad, fine = upstreams(failing(end)), upstreams(good)
    gateway = start(retrying(bad, fine, on=[on]))
    for i in range(4):
        assert gateway.ask(target=f"/{i}").body == b"good"
    assert len(bad.requests) == len(fine.requests) == 4
    assert retries(gateway, cause=cause) == 4 == retries(gateway)
    bad.script = good
    assert gateway.ask(target="/well").body == b"good"
    lines = gateway.wait_access(5)
    told = str(end) if isinstance(end, int) else "reset"
    assert [(line["tries"], line["retry_reasons"]) for line in lines] == [(2, told)] * 4 + [(1, None)]
    lines.pop()
    assert {line["endpoint"] for line in lines} == {fine.address}


def test_a_reset_is_retried_by_default_and_a_status_is_not(start, upstreams):
    bad, fine = upstreams(failing("reset")), upstreams(good)
    gateway = start(plain(bad, fine))
    assert [gateway.ask().status for _ in range(4)] == [200] * 4
    bad.script = failing(503)
    assert sorted(gateway.ask().status for _ in range(4)) == [200, 200, 503, 503]
    assert len(bad.requests) == 6 and len(fine.requests) == 6


def test_the_only_endpoint_is_asked_once_more(start, upstreams):
    fake = upstreams()
    fake.script = lambda ex: failing(503)(ex) if len(fake.requests) == 1 else good(ex)
    gateway = start(retrying(fake, on=[503]))
    assert gateway.ask().body == b"good"
    assert fake.connections == 1, "the failed response was short, so its connection was kept"
    assert gateway.wait_access()["connect_reused"] is True


def test_a_long_failed_response_is_cut_off(start, upstreams):
    gate = threading.Event()

    def endless(exchange):
        exchange.send(b"HTTP/1.1 503 X\r\nContent-Length: 100000000\r\n\r\n")
        try:
            while not gate.is_set():
                exchange.send(b"x" * 65536)
        finally:
            exchange.keep = False
    bad, fine = upstreams(endless), upstreams(good)
    gateway = start(retrying(bad, fine, on=[503], backoff={"base": "50ms", "max": "50ms"}))
    assert gateway.ask().body == b"good"
    bad.wait_idle()
    gate.set()
    assert retries(gateway) == 1


def test_what_the_last_try_answers_goes_to_the_client(start, upstreams):
    fakes = [upstreams(failing(503)) for _ in range(4)]
    gateway = start(retrying(*fakes, on=[503], attempts=2))
    answer = gateway.ask()
    assert answer.status == 503 and answer.body == b"failed"
    assert sum(len(fake.requests) for fake in fakes) == 3
    assert sorted(len(fake.requests) for fake in fakes) == [0, 1, 1, 1], "each time another endpoint"
    assert gateway.expect_end("completed")["retry_reasons"] == "503,503"
    assert refused(gateway, "attempts") == 1


def test_a_try_that_takes_too_long_is_given_up(start, upstreams):
    slow, fine = upstreams(lambda ex: ex.wait_gone()), upstreams(good)
    gateway = start(retrying(slow, fine, on=["timeout"], per_try_timeout="2s"))
    assert gateway.ask().body == b"good"
    slow.wait_idle()
    assert retries(gateway, cause="timeout") == 1
    assert gateway.metric("sluice_upstream_failures_total", endpoint=slow.address, reason="response_timeout") == 1


def test_the_last_try_has_its_own_time_too(start, upstream):
    upstream.script = lambda ex: ex.wait_gone()
    gateway = start(retrying(upstream, on=["timeout"], attempts=1, per_try_timeout="300ms"))
    expect_problem(gateway.ask(), 504, "response_timeout")
    wait_until(lambda: len(upstream.requests) == 2, what="both tries")
    assert retries(gateway) == 1


def test_a_total_time_ends_the_waiting_between_tries(start, upstream):
    upstream.script = lambda ex: ex.reply(503, b"later", {"Retry-After": "60"})
    config = retrying(upstream, on=[503], attempts=9, backoff={"base": "0s", "max": "60s"})
    config["upstreams"]["app"]["timeout"] = {"total": "2s"}
    gateway = start(config)
    expect_problem(gateway.ask(), 504, "total_timeout")
    assert len(upstream.requests) == 1


def test_a_client_that_leaves_between_tries_is_noticed(start, upstream):
    upstream.script = lambda ex: ex.reply(503, b"later", {"Retry-After": "60"})
    gateway = start(retrying(upstream, on=[503], backoff={"base": "0s", "max": "60s"}))
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: test.example\r\n\r\n")
        wait_until(lambda: retries(gateway) == 1)
    gateway.expect_end("client_closed")


@pytest.mark.parametrize("after, status, asked", [("0", 200, 2), ("1", 200, 2), ("3", 503, 1), ("soon", 503, 1),
                                                  ("Fri, 31 Dec 1999 23:59:59 GMT", 503, 1)])
def test_retry_after_is_waited_for_when_it_is_short(start, upstream, after, status, asked):
    def script(exchange):
        exchange.read_body()
        if len(upstream.requests) == 1:
            exchange.reply(503, b"later", {"Retry-After": after})
        else:
            exchange.reply()
    upstream.script = script
    gateway = start(retrying(upstream, on=[503], backoff={"base": "0s", "max": "2s"}))
    answer = gateway.ask()
    assert answer.status == status and len(upstream.requests) == asked
    assert refused(gateway, "retry_after") == (1 if asked == 1 else 0)


# --- what must not be repeated


@pytest.mark.parametrize("method", ["POST", "PATCH", "FROBNICATE"])
@pytest.mark.parametrize("end", ["reset", 503])
def test_what_is_not_idempotent_is_not_sent_twice(start, upstreams, method, end):
    bad = upstreams(failing(end))
    gateway = start(retrying(bad, upstreams(failing(end)), on=["reset", 503]))
    answer = gateway.ask(method, body=b"once")
    assert answer.status == (502 if end == "reset" else 503)
    assert retries(gateway) == 0 and refused(gateway, "method") == 1


def test_what_was_answered_in_part_is_not_asked_for_again(start, upstreams):
    def script(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        exchange.reset()
    fakes = upstreams(script), upstreams(script)
    gateway = start(retrying(*fakes, on=["reset", "5xx"]))
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: test.example\r\n\r\n")
        client.read_until_close()
    gateway.expect_end("upstream_reset")
    assert sum(len(fake.requests) for fake in fakes) == 1 and retries(gateway) == 0


def test_a_malformed_response_is_not_asked_for_again(start, upstreams):
    def script(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nbad field\r\n\r\n")
    gateway = start(retrying(upstreams(script), upstreams(script), on=["reset", "5xx", "timeout"]))
    expect_problem(gateway.ask(), 502, "upstream_protocol")
    assert retries(gateway) == 0


# --- content


@pytest.mark.parametrize("end", ["reset", 503])
@pytest.mark.parametrize("method, body", [("PUT", b"x" * 1000), ("PUT", [b"pieces ", b"of ", b"content"]),
                                          ("POST", b"y" * 65536), ("POST", [b"z" * 40000, b"z" * 25536])],
                         ids=["length", "chunked", "limit", "chunked-limit"])
def test_content_is_sent_again_whole(start, upstreams, end, method, body):
    bad, fine = upstreams(failing(end)), upstreams(good)
    gateway = start(retrying(bad, fine, on=["reset", 503], methods=["PUT", "POST"]))
    whole = body if isinstance(body, bytes) else b"".join(body)
    assert gateway.ask(method, body=body).body == whole
    assert bodies(bad, fine) == [whole] * 2


def test_content_that_came_in_part_is_sent_again_and_goes_on(start, upstreams):
    """The endpoint refuses before it has all; the client sends the rest to the next one."""
    def early(exchange):
        exchange.conn.take(5)
        exchange.reply(503, b"failed")
        exchange.keep = False
    bad, fine = upstreams(early), upstreams(good)
    gateway = start(retrying(bad, fine, on=[503], methods=["PUT"]))
    with gateway.client() as client:
        client.send(b"PUT / HTTP/1.1\r\nHost: test.example\r\nContent-Length: 10\r\n\r\n01234")
        wait_until(lambda: fine.requests)
        client.send(b"56789")
        assert client.read_response("PUT").body == b"0123456789"
    assert bodies(fine) == [b"0123456789"]


@pytest.mark.parametrize("body", [b"x" * 101, [b"x" * 50, b"y" * 51]], ids=["length", "chunked"])
def test_content_over_the_limit_is_not_sent_again(start, upstreams, body):
    bad = upstreams(failing(503))
    gateway = start(retrying(bad, upstreams(failing(503)), on=[503], body=100, methods=["PUT"]))
    assert gateway.ask("PUT", body=body).status == 503
    assert retries(gateway) == 0 and refused(gateway, "content") == 1


def test_content_that_ends_with_trailers_is_not_sent_again(start, upstreams):
    gateway = start(retrying(upstreams(failing(503)), upstreams(failing(503)), on=[503]))
    with gateway.client() as client:
        client.send(b"PUT / HTTP/1.1\r\nHost: test.example\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n")
        assert client.read_response("PUT").status == 503
    assert refused(gateway, "content") == 1


# --- the route


def test_a_route_says_it_otherwise(start, upstreams):
    bad, fine = upstreams(failing(503)), upstreams(good)
    gateway = start(retrying(bad, fine, on=[503], routes=[
        {"name": "never", "match": {"path": "/never"}, "upstream": "app", "retry": 0},
        {"name": "posts", "match": {"path": "/posts"}, "upstream": "app", "retry": {"methods": ["POST"]}},
        {"name": "all", "upstream": "app"}]))
    assert sorted(gateway.ask(target="/never").status for _ in range(2)) == [200, 503]
    assert [gateway.ask(target="/").status for _ in range(2)] == [200, 200]
    assert [gateway.ask("POST", "/posts", body=b"more").status for _ in range(2)] == [200, 200]
    assert sorted(gateway.ask(target="/posts").status for _ in range(2)) == [200, 503], "GET is not in its list"


def test_a_reload_changes_the_rule(start, upstreams):
    bad, fine = upstreams(failing(503)), upstreams(good)
    gateway = start(retrying(bad, fine, on=[503], attempts=0))
    assert sorted(gateway.ask().status for _ in range(2)) == [200, 503]
    gateway.must_reload(retrying(bad, fine, on=[503], attempts=1))
    assert [gateway.ask().status for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("method, path, said", [
    ("GET", "/", "connect, 500-599, 429; GET is repeated\n"),
    ("POST", "/", "POST is repeated only when no byte of it has left\n"),
    ("GET", "/never", "GET is never repeated\n")])
def test_explain_tells_the_rule_in_force(sluice, tmp_path, method, path, said):
    (tmp_path / "c.yaml").write_text("""
upstreams: { app: { endpoints: [ "127.0.0.1:9000" ], retry: { on: [ connect, 5xx, 429 ] } } }
routes:
  - { match: { path: /never }, upstream: app, retry: 0 }
  - upstream: app
""")
    told = sluice("explain", "-c", str(tmp_path / "c.yaml"), method, f"http://x{path}").stdout
    assert said in told and re.search(r"retries +%s " % ("none" if path == "/never" else "2"), told), told
    told = json.loads(sluice("explain", "--json", "-c", str(tmp_path / "c.yaml"), method, f"http://x{path}").stdout)
    assert told["upstreams"][0]["retry"] == {"on": "connect, 500-599, 429", "repeats": (method, path) == ("GET", "/")}


# --- the budget


def test_over_the_budget_the_failure_is_answered(start, upstreams):
    fakes = upstreams(failing(503)), upstreams(failing(503))
    gateway = start(retrying(*fakes, on=[503], attempts=1,
                             budget={"share": "10%", "min_per_second": 0, "interval": "60s"}))
    assert [gateway.ask().status for _ in range(100)] == [503] * 100
    assert retries(gateway) == 10
    assert sum(len(fake.requests) for fake in fakes) == 110
    assert refused(gateway, "budget") == 90 and refused(gateway, "attempts") == 10


def test_the_minimum_is_there_without_traffic(start, upstreams):
    gateway = start(retrying(upstreams(failing(503)), upstreams(failing(503)), on=[503], attempts=9,
                             budget={"share": "0%", "min_per_second": 1, "interval": "8s"}))
    gateway.ask()
    assert retries(gateway) == 8


def test_no_volume_of_failures_exceeds_the_budget_over_two_workers(start, upstreams):
    fakes = [upstreams(failing("reset")), upstreams(failing(503)), upstreams(failing(500))]
    gateway = start(retrying(*fakes, on=["reset", "5xx"], attempts=5, workers=2,
                             budget={"share": "20%", "min_per_second": 0, "interval": "60s"}))
    answers = []

    def ask_many():
        with gateway.client() as client:
            answers.extend(client.ask().status for _ in range(50))
    clients = [threading.Thread(target=ask_many) for _ in range(16)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert len(answers) == 800 and set(answers) <= {500, 502, 503}
    spent = sum(retries(gateway, cause=cause) for cause in ("reset", "status"))
    stale = retries(gateway, cause="stale")
    assert 800 * 0.2 * 0.9 <= spent <= 800 * 0.2
    assert sum(len(fake.requests) for fake in fakes) == 800 + spent + stale
    assert refused(gateway, "budget") > 0


def test_a_connection_that_cannot_be_made_costs_no_budget(start, upstreams):
    dead, fine = upstreams(), upstreams(good)
    dead.stop_listening()
    gateway = start(retrying(dead, fine, budget={"share": "0%", "min_per_second": 0}))
    assert [gateway.ask("POST", body=b"once").status for _ in range(10)] == [200] * 10
    assert len(fine.requests) == 10 and retries(gateway, cause="connect") == 10


def test_a_connection_that_cannot_be_made_is_no_retry_when_nobody_else_is_there(start, upstreams):
    dead = upstreams()
    dead.stop_listening()
    gateway = start(retrying(dead))
    expect_problem(gateway.ask(), 502, "connect_failed")
    line = gateway.expect_end("connect_failed")
    assert line["tries"] == 1 and line["retry_reasons"] is None
    assert retries(gateway) == 0
