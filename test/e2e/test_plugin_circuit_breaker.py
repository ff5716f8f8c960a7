"""The plugin circuit_breaker in a real gateway, before an upstream that fails and recovers."""

import json
import threading

from raw import wait_until


class Moody:
    """An upstream that answers, fails or resets, as it is told; counts what it was asked."""

    def __init__(self, upstreams):
        self.mood, self.asked, self.lock = "good", 0, threading.Lock()
        self.upstream = upstreams(self.serve)

    def serve(self, exchange):
        with self.lock:
            self.asked += 1
        if self.mood == "reset":
            exchange.reset()
        else:
            exchange.reply(200 if self.mood == "good" else 503, b"x")


def protected(moody, entry, **more):
    return {"upstreams": {"app": {"endpoints": [moody.upstream.address], "retry": 0}},
            "routes": [{"name": "all", "upstream": "app", "plugins": [{"circuit_breaker": entry}]}],
            **more}


def transitions(gateway):
    metrics = gateway.metrics()
    return {state: int(metrics.get("sluice_plugin_circuit_breaker_transitions_total",
                                   circuit="app", state=state) or 0)
            for state in ("open", "half_open", "closed")}


def statuses(gateway, n):
    return [gateway.ask().status for _ in range(n)]


def test_it_opens_probes_and_closes(start, upstreams):
    moody = Moody(upstreams)
    gateway = start(protected(moody, {"consecutive_failures": 3, "open": "300ms", "probes": 2}))
    assert statuses(gateway, 5) == [200] * 5
    moody.mood = "bad"
    assert statuses(gateway, 3) == [503] * 3
    asked = moody.asked
    refused = gateway.ask()
    assert refused.status == 503 and int(refused.get("retry-after")) >= 1
    assert json.loads(refused.body)["reason"] == "circuit_open"
    assert moody.asked == asked
    assert transitions(gateway) == {"open": 1, "half_open": 0, "closed": 0}
    moody.mood = "good"
    wait_until(lambda: gateway.ask().status == 200, what="a probe to pass")
    wait_until(lambda: transitions(gateway)["closed"] == 1 or gateway.ask() is None, what="it to close")
    assert transitions(gateway) == {"open": 1, "half_open": 1, "closed": 1}
    assert statuses(gateway, 5) == [200] * 5
    assert gateway.metric("sluice_plugin_circuit_breaker_open", circuit="app") == 0


def test_resets_count_and_a_failed_probe_opens_again(start, upstreams):
    moody = Moody(upstreams)
    gateway = start(protected(moody, {"consecutive_failures": 2, "open": "100ms", "probes": 1}))
    moody.mood = "reset"
    assert statuses(gateway, 2) == [502] * 2
    asked = moody.asked
    wait_until(lambda: gateway.ask().status == 502, what="a probe to go and fail")
    assert moody.asked == asked + 1
    assert transitions(gateway) == {"open": 2, "half_open": 1, "closed": 0}


def test_connections_that_fail_count(start, upstreams):
    moody = Moody(upstreams)
    gateway = start(protected(moody, {"consecutive_failures": 2, "open": "1m"}))
    moody.upstream.stop_listening()
    moody.upstream.close_connections()
    found = statuses(gateway, 4)
    assert found[:2] == [502, 502] and found[2:] == [503, 503]


def test_no_storm_of_probes(start, upstreams):
    moody = Moody(upstreams)
    gateway = start(protected(moody, {"consecutive_failures": 1, "open": "100ms", "probes": 2},
                              workers=4))
    moody.mood = "bad"
    assert statuses(gateway, 1) == [503]
    asked = moody.asked
    threads = [threading.Thread(target=statuses, args=(gateway, 40)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = transitions(gateway)
    assert counts["open"] >= 1 and counts["closed"] == 0
    assert moody.asked - asked <= 2 * counts["half_open"]


def test_the_state_survives_a_reload_and_can_be_forced(start, upstreams):
    moody = Moody(upstreams)
    config = protected(moody, {"consecutive_failures": 1, "open": "1m"})
    gateway = start(config)
    moody.mood = "bad"
    assert statuses(gateway, 2) == [503] * 2
    moody.mood = "good"
    config["routes"][0]["timeout"] = {"response": "9s"}
    gateway.must_reload(config)
    assert statuses(gateway, 1) == [503]


def test_a_fallback_upstream_takes_over(start, upstreams):
    moody, spare = Moody(upstreams), upstreams()
    config = protected(moody, {"consecutive_failures": 1, "fallback": {"upstream": "spare"}})
    config["upstreams"]["spare"] = {"endpoints": [spare.address]}
    gateway = start(config)
    moody.mood = "bad"
    assert statuses(gateway, 3) == [503, 200, 200]
    assert len(spare.requests) == 2
