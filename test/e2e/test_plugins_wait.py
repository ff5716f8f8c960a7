"""Requests that plugins hold: they end once, however they end."""

import random
import threading

import pytest

import plugins
from plugins import probe
from raw import ProtocolError, wait_until


@pytest.fixture
def config(binary, upstream):
    def make(**more):
        return {"workers": 2, "plugin_path": [plugins.folder(binary)],
                "plugins": [probe("a", delay="8ms"), probe("b", "b")],
                "upstreams": {"app": {"endpoints": [upstream.address]}},
                "routes": [{"name": "all", "upstream": "app"}], **more}
    return make


def test_a_timer_brings_the_verdict(start, config):
    gateway = start(config())
    answer = gateway.ask()
    assert answer.status == 200
    assert ["a.request", "a.timer", "a.attempt", "a.answered", "a.response"] in plugins.marks(answer)


def test_every_exchange_is_done_once_while_clients_leave_and_configurations_change(start, config):
    gateway = start(config())
    stop = threading.Event()
    failures = []

    def ask(seed):
        dice = random.Random(seed)
        while not stop.is_set():
            try:
                with gateway.client() as client:
                    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    if dice.random() < 0.5:
                        client.reset()
                    else:
                        client.read_response()
            except (OSError, ProtocolError) as failure:
                failures.append(failure)
    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            gateway.must_reload()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures
    wait_until(lambda: gateway.metric("sluice_worker_exchanges_active") == 0, what="the last end")
    begun = int(gateway.metric("sluice_plugin_phase_seconds_count", plugin="probe", phase="done"))
    assert begun > 0
    wait_until(lambda: len(plugins.done(gateway)) == begun, what="the log of all ends")
    # Each exchange has passed the first plugin, and is done there once.
    wait_until(lambda: len(gateway.access_log()) == len(plugins.done(gateway, "a")),
               what=f"{len(plugins.done(gateway, 'a'))} lines, have {len(gateway.access_log())}")


def any_of(*members):
    return {"plugins": [{"any_of": list(members)}, probe("c", "c")], "routes": [{"name": "all", "echo": True}]}


def words(answer):
    return [mark[0].split(".")[0] for mark in plugins.marks(answer)]


def test_any_of_takes_the_first_that_lets_pass_after_it_waited(start, config):
    gateway = start(config(**any_of(probe("a", delay="8ms"), probe("b", request="reply"))))
    answer = gateway.ask()
    assert answer.status == 200 and words(answer) == ["c", "a"], "nobody asks the second"


def test_any_of_asks_the_next_when_one_waited_for_too_long(start, config):
    gateway = start(config(**any_of(probe("a", request="wait", entry={"wait": "30ms"}), probe("b", delay="8ms"))))
    answer = gateway.ask()
    assert answer.status == 200 and words(answer) == ["c", "b"]
    assert gateway.metric("sluice_plugin_wait_timeouts_total", plugin="probe") == 1


def test_any_of_refuses_with_the_last_ones_answer_after_a_wait(start, config):
    gateway = start(config(**any_of(probe("a", request="wait", entry={"wait": "30ms"}), probe("b", request="reply"))))
    answer = gateway.ask()
    assert answer.status == 418
    wait_until(lambda: len(plugins.done(gateway, "a")) == len(plugins.done(gateway, "b")) == 1, what="both ends")
    assert not plugins.done(gateway, "c")
