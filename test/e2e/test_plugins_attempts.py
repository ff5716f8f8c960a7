"""Each try of a request is told to plugins, and its end exactly once: retries, hedges, dead endpoints, lost clients."""

import threading

import pytest

import plugins
from consul import free_ports
from gateway import expect_problem, plain
from raw import wait_until
from test_hedge import hedging, never


@pytest.fixture
def serve(start, binary):
    def begin(config, *entries):
        return start({"plugin_path": [plugins.folder(binary)], "plugins": list(entries or [plugins.probe("a")]), **config})
    return begin


def ends(gateway, n=1, word="a"):
    """What ran of attempts in each exchange."""
    wait_until(lambda: len(plugins.done(gateway, word)) >= n, what=f"{n} ends")
    steps = [[step.split(".")[1] for step in ran] for ran in plugins.done(gateway, word)]
    return [[step for step in ran if step not in ("request", "response", "local", "done")] for ran in steps]


def retrying(*fakes, **rule):
    config = plain(*fakes)
    config["upstreams"]["app"]["retry"] = rule
    return config


def test_a_hedge_that_wins_is_seen_and_the_other_is_cancelled(serve, upstreams):
    late, quick = upstreams(never), upstreams()
    gateway = serve(hedging(late, quick))
    assert gateway.ask().body == b"ok"
    assert ends(gateway) == [["attempt", "attempt", "cancelled", "answered"]]
    assert [quick.last.get("x-attempt"), late.last.get("x-attempt")] == ["2", "1"], "each has its own fields"


def test_a_hedge_that_loses_is_cancelled(serve, upstreams):
    arrived = threading.Event()
    first = upstreams(lambda ex: (arrived.wait(10), ex.reply(200, b"first")))
    second = upstreams(lambda ex: (arrived.set(), ex.wait_gone()))
    gateway = serve(hedging(first, second))
    assert gateway.ask().body == b"first"
    assert ends(gateway) == [["attempt", "attempt", "cancelled", "answered"]]


def test_a_client_that_leaves_ends_both_tries(serve, upstreams):
    fakes = upstreams(never), upstreams(never)
    gateway = serve(hedging(*fakes))
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: all(fake.requests for fake in fakes), what="two tries")
    (steps,) = ends(gateway)
    assert steps[:2] == ["attempt"] * 2 and sorted(steps[2:]) == ["cancelled", "failed"]


def test_who_has_nobody_left_to_ask_does_not_promise_another_try(serve):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    config = {"upstreams": {"app": {"endpoints": addresses, "retry": {"on": ["connect"], "attempts": 4}}},
              "routes": [{"name": "all", "upstream": "app"}]}
    gateway = serve(config)
    expect_problem(gateway.ask(), 502, "connect_failed")
    assert ends(gateway) == [["attempt", "again", "attempt", "failed"]]


def test_a_status_that_is_retried_is_told_as_such(serve, upstreams):
    fakes = [upstreams(lambda ex: ex.reply(503 if ex.get("x-attempt") == "1" else 200, b"ok")) for _ in range(2)]
    gateway = serve(retrying(*fakes, on=["503"], attempts=2))
    assert gateway.ask().status == 200
    assert ends(gateway) == [["attempt", "answered_again", "attempt", "answered"]]


def test_only_who_saw_a_try_is_told_of_its_end(serve, upstream):
    gateway = serve(plain(upstream), plugins.probe("a", "a"), plugins.probe("b", "b", attempt="fail"),
                    plugins.probe("c", "c"))
    expect_problem(gateway.ask(), 500, "plugin_failed")
    assert ends(gateway) == [["attempt", "failed"]]
    assert ends(gateway, word="b") == [["attempt"]]
    assert ends(gateway, word="c") == [[]]
