"""Caps on requests under way, and on how long and how often a connection serves."""

import threading

import pytest

from gateway import expect_problem, plain
from raw import wait_until


@pytest.fixture
def gate():
    event = threading.Event()
    yield event
    event.set()


def capped(*fakes, workers=1, **app):
    config = plain(*fakes, workers=workers)
    config["upstreams"]["app"].update(app)
    return config


def asking(gateway, n):
    """So many clients that ask at once; their answers."""
    answers = []

    def ask():
        answers.append(gateway.ask())
    clients = [threading.Thread(target=ask) for _ in range(n)]
    for client in clients:
        client.start()
    return clients, answers


class Crowd:
    """How many requests an upstream serves at once; each waits for the gate."""

    def __init__(self, gate=None):
        self.gate, self.now, self.most, self.lock = gate, 0, 0, threading.Lock()

    def __call__(self, exchange):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        if self.gate:
            self.gate.wait(10)
        with self.lock:
            self.now -= 1
        exchange.reply()


# --- requests under way


@pytest.mark.parametrize("cap, most", [({"max": 3}, 3), (3, 3), ({"per_endpoint": 2}, 4), ({"max": 3, "per_endpoint": 2}, 3)])
@pytest.mark.parametrize("workers", [1, 2])
def test_no_more_are_under_way_and_the_rest_waits(start, upstreams, gate, cap, most, workers):
    crowd = Crowd(gate)
    gateway = start(capped(upstreams(crowd), upstreams(crowd), workers=workers, requests=cap))
    clients, answers = asking(gateway, 12)
    gateway.wait_metric(lambda m: m.get("sluice_upstream_queue", upstream="app") == 12 - most)
    wait_until(lambda: crowd.now == most)
    gate.set()
    for client in clients:
        client.join()
    assert [answer.status for answer in answers] == [200] * 12
    assert crowd.most == most
    gateway.wait_metric(lambda m: m.get("sluice_upstream_queue") == 0)


def test_a_full_queue_is_answered(start, upstream, gate):
    upstream.script = Crowd(gate)
    gateway = start(capped(upstream, requests=1, connections={"queue": 1, "queue_timeout": "60s"}))
    first, answers = asking(gateway, 1)
    upstream.wait_requests(1)
    waiting, late = asking(gateway, 1)
    gateway.wait_metric(lambda m: m.get("sluice_upstream_queue") == 1)
    expect_problem(gateway.ask(), 503, "upstream_full")
    gate.set()
    for client in first + waiting:
        client.join()
    assert [answers[0].status, late[0].status] == [200, 200]
    assert gateway.metric("sluice_upstream_queue_rejected_total", cause="full") == 1


def test_a_long_wait_is_answered(start, upstream, gate):
    upstream.script = Crowd(gate)
    gateway = start(capped(upstream, requests=1, connections={"queue": 1, "queue_timeout": "150ms"}))
    first, answers = asking(gateway, 1)
    upstream.wait_requests(1)
    expect_problem(gateway.ask(), 503, "queue_timeout")
    gate.set()
    first[0].join()
    assert answers[0].status == 200
    assert gateway.metric("sluice_upstream_queue_rejected_total", cause="timeout") == 1


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_failed_request_gives_its_slot_back(start, upstream, end):
    upstream.script = lambda ex: getattr(ex, end)()
    gateway = start(capped(upstream, requests=1, retry=0))
    assert [gateway.ask().status for _ in range(5)] == [502] * 5
    upstream.stop_listening()
    assert [gateway.ask().status for _ in range(5)] == [502] * 5


def test_a_cap_comes_and_goes_with_a_reload(start, upstream, gate):
    upstream.script = Crowd(gate)
    gateway = start(capped(upstream))
    first, _ = asking(gateway, 2)
    upstream.wait_requests(2)
    gateway.must_reload(capped(upstream, requests=1))
    second, _ = asking(gateway, 2)
    upstream.wait_requests(3)  # those from before the cap are not counted
    gateway.wait_metric(lambda m: m.get("sluice_upstream_queue") == 1)
    gateway.must_reload(capped(upstream))
    upstream.wait_requests(4)
    gate.set()
    for client in first + second:
        client.join()


# --- age and use of connections


def test_an_old_connection_is_closed_while_idle(start, upstream):
    gateway = start(capped(upstream, connections={"max_age": "100ms"}))
    assert gateway.ask().status == 200
    upstream.wait_idle()
    gateway.wait_metric(lambda m: m.get("sluice_upstream_connections_expired_total", cause="age") == 1)
    assert gateway.ask().status == 200 and upstream.connections == 2


def test_an_old_connection_is_closed_after_its_request_and_never_in_it(start, upstream, gate):
    upstream.script = lambda ex: (gate.wait(0.3), ex.reply(200, b"whole"))
    gateway = start(capped(upstream, connections={"max_age": "100ms"}))
    assert gateway.ask().body == b"whole"
    upstream.wait_idle()
    assert gateway.metric("sluice_upstream_connections_expired_total", cause="age") == 1


def test_a_connection_serves_so_many_requests_or_a_tenth_less(start, upstreams):
    fake = upstreams()
    gateway = start(capped(fake, connections={"requests": 100}))
    with gateway.client() as client:
        for _ in range(1000):
            client.ask()
    served = {}
    for exchange in fake.requests:
        served[exchange.connection] = served.get(exchange.connection, 0) + 1
    full = sorted(served.values())[1:]  # the last one may be at work
    assert all(90 < n <= 100 for n in full) and len(set(full)) > 1, full
    assert gateway.metric("sluice_upstream_connections_expired_total", cause="requests") == len(served) - (
        1 if gateway.metric("sluice_upstream_connections", state="idle") else 0)
