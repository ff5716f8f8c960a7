"""A second attempt beside one that takes long: the first head wins, and nobody notices the other."""

import threading

import pytest

from gateway import expect_problem, plain
from raw import wait_until


@pytest.fixture
def gate():
    event = threading.Event()
    yield event
    event.set()


def hedging(*fakes, after="30ms", budget=None, hedge=None, **app):
    config = plain(*fakes)
    config["upstreams"]["app"].update({"hedge": hedge or {"after": after}, **app})
    if budget:
        config["upstreams"]["app"]["retry_budget"] = budget
    return config


def hedges(gateway, result):
    return gateway.metric("sluice_upstream_hedges_total", upstream="app", result=result)


def never(exchange):
    """No answer, until the gateway has enough of it."""
    exchange.wait_gone()


def test_the_quick_one_wins_and_the_slow_one_is_ended(start, upstreams):
    late, quick = upstreams(never), upstreams()
    gateway = start(hedging(late, quick))
    with gateway.client() as client:
        for _ in range(3):
            assert client.ask().body == b"ok"
    late.wait_idle()
    lines = gateway.wait_access(3)
    assert [line["hedged"] for line in lines] == ["won"] * 3
    assert {line["endpoint"] for line in lines} == {quick.address}
    assert {line["tries"] for line in lines} == {2}
    assert hedges(gateway, "won") == 3 and hedges(gateway, "lost") == 0
    gateway.wait_metric(lambda m: m.get("sluice_upstream_connections", endpoint=late.address) == 0)


def test_the_first_one_may_still_win(start, upstreams):
    arrived = threading.Event()
    first = upstreams(lambda ex: (arrived.wait(10), ex.reply(200, b"first")))
    second = upstreams(lambda ex: (arrived.set(), ex.wait_gone()))
    gateway = start(hedging(first, second))
    assert gateway.ask().body == b"first"
    second.wait_idle()
    line = gateway.expect_end("completed")
    assert line["hedged"] == "lost" and line["endpoint"] == first.address
    assert hedges(gateway, "lost") == 1


def test_one_that_is_quick_is_not_hedged(start, upstreams):
    fakes = upstreams(), upstreams()
    gateway = start(hedging(*fakes, after="10s"))
    assert [gateway.ask().status for _ in range(4)] == [200] * 4
    assert [line["hedged"] for line in gateway.wait_access(4)] == [None] * 4
    assert sum(len(fake.requests) for fake in fakes) == 4


@pytest.mark.parametrize("method, body", [("POST", b""), ("POST", b"x"), ("PUT", b"x"), ("PATCH", b"")])
def test_what_is_not_idempotent_or_has_content_is_not_hedged(start, upstreams, gate, method, body):
    late, other = upstreams(never), upstreams()
    gateway = start(hedging(late, other, timeout={"response": "200ms"}, retry=0))
    expect_problem(gateway.ask(method, body=body), 504, "response_timeout")
    assert not other.requests


def test_when_the_first_fails_the_second_goes_on(start, upstreams):
    arrived = threading.Event()
    first = upstreams(lambda ex: (arrived.wait(10), ex.reset()))
    second = upstreams(lambda ex: (arrived.set(), first.wait_idle(), ex.reply(200, b"second")))
    gateway = start(hedging(first, second, retry=0))
    assert gateway.ask().body == b"second"
    assert gateway.wait_access()["hedged"] == "won"


def test_when_the_second_fails_the_first_goes_on(start, upstreams):
    first = upstreams(lambda ex: (wait_until(lambda: second.requests), second.wait_idle(), ex.reply(200, b"first")))
    second = upstreams(lambda ex: ex.reset())
    gateway = start(hedging(first, second, retry=0))
    assert gateway.ask().body == b"first"
    assert gateway.wait_access()["hedged"] == "lost"


def test_a_failure_that_the_retry_rule_names_does_not_win(start, upstreams):
    arrived = threading.Event()
    first = upstreams(lambda ex: (arrived.wait(10), second.wait_idle(), ex.reply(200, b"first")))
    second = upstreams(lambda ex: (arrived.set(), ex.reply(503, b"no"), ex.wait_gone()))
    gateway = start(hedging(first, second, retry={"on": [503]}))
    assert gateway.ask().body == b"first"


def test_one_endpoint_has_no_rival(start, upstream, gate):
    upstream.script = lambda ex: (gate.wait(0.2), ex.reply())
    gateway = start(hedging(upstream))
    assert gateway.ask().status == 200
    assert len(upstream.requests) == 1 and gateway.wait_access()["hedged"] is None


def test_hedges_spend_the_budget(start, upstreams, gate):
    fakes = [upstreams().on("/late", lambda ex: (gate.wait(0.2), ex.reply())) for _ in range(2)]
    budget = {"share": "10%", "min_per_second": 0, "interval": "60s"}
    gateway = start(hedging(*fakes, after="30s", budget=budget))
    assert [gateway.ask().status for _ in range(7)] == [200] * 7
    gateway.must_reload(hedging(*fakes, budget=budget))
    assert [gateway.ask(target="/late").status for _ in range(5)] == [200] * 5
    assert hedges(gateway, "won") + hedges(gateway, "lost") == 1
    assert hedges(gateway, "refused") == 4
    assert sum(len(fake.requests) for fake in fakes) == 13


def test_a_client_that_leaves_ends_both(start, upstreams):
    fakes = upstreams(never), upstreams(never)
    gateway = start(hedging(*fakes))
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: test.example\r\n\r\n")
        wait_until(lambda: all(fake.requests for fake in fakes))
    for fake in fakes:
        fake.wait_idle()
    gateway.expect_end("client_closed")


def test_the_total_time_ends_both(start, upstreams):
    fakes = upstreams(never), upstreams(never)
    gateway = start(hedging(*fakes, timeout={"total": "150ms"}))
    expect_problem(gateway.ask(), 504, "total_timeout")
    for fake in fakes:
        fake.wait_idle()


def test_more_than_one_may_be_asked_beside_the_first(start, upstreams):
    first, second = upstreams(never), upstreams(never)
    third = upstreams()
    gateway = start(hedging(first, second, third, hedge={"after": "30ms", "max": 2}))
    assert gateway.ask().body == b"ok"
    for fake in (first, second):
        fake.wait_idle()
        assert len(fake.requests) == 1
    line = gateway.wait_access()
    assert (line["hedged"], line["tries"], line["endpoint"]) == ("won", 3, third.address)
    assert hedges(gateway, "won") == 1 and hedges(gateway, "lost") == 1


def test_of_three_two_may_fail(start, upstreams):
    all_asked = threading.Event()
    first = upstreams(lambda ex: (all_asked.wait(10), ex.reset()))
    second = upstreams(lambda ex: (all_asked.wait(10), ex.reset()))
    third = upstreams(lambda ex: (all_asked.set(), first.wait_idle(), second.wait_idle(), ex.reply(200, b"third")))
    gateway = start(hedging(first, second, third, hedge={"after": "30ms", "max": 2}, retry=0))
    assert gateway.ask().body == b"third"
    assert gateway.wait_access()["hedged"] == "won"


def test_no_more_are_asked_than_there_are_endpoints(start, upstreams):
    fakes = upstreams(never), upstreams(never)
    gateway = start(hedging(*fakes, hedge={"after": "30ms", "max": 3}, timeout={"total": "1s"}))
    expect_problem(gateway.ask(), 504, "total_timeout")
    assert [len(fake.requests) for fake in fakes] == [1, 1]


def test_the_wait_is_learnt_from_what_answers_take(start, upstreams):
    """Nothing is known at first, so nothing is hedged; once it is, who takes longer than usual is."""
    late = threading.Event()
    fakes = [upstreams().on("/late", lambda ex: (late.set(), ex.wait_gone()) if not late.is_set() else ex.reply(200, b"2"))
             for _ in range(2)]
    budget = {"share": "100%", "min_per_second": 100}
    gateway = start(hedging(*fakes, hedge={"percentile": "95%"}, budget=budget))
    with gateway.client() as client:
        for _ in range(100):
            assert client.ask().status == 200
        assert hedges(gateway, "won") + hedges(gateway, "lost") == 0
        assert client.ask(target="/late").body == b"2"
    assert gateway.wait_access(path="/late")["hedged"] in ("won", "lost")  # the second may have been read first


def test_a_route_says_it_otherwise(start, upstreams):
    late, quick = upstreams(never), upstreams()
    config = hedging(late, quick, after="1s", timeout={"response": "3s"}, retry=0)
    config["routes"] = [{"match": {"path": "/alone"}, "upstream": "app", "hedge": "0s"}, {"upstream": "app"}]
    gateway = start(config)
    expect_problem(gateway.ask(target="/alone"), 504, "response_timeout")
    assert not quick.requests
    quick_first = gateway.ask()  # it is the next one's turn
    assert quick_first.status == 200
    assert gateway.ask().status == 200 and gateway.wait_access(3)[-1]["hedged"] == "won"
