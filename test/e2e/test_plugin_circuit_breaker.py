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


def test_the_state_survives_a_reload(start, upstreams):
    moody = Moody(upstreams)
    config = protected(moody, {"consecutive_failures": 1, "open": "1m"})
    gateway = start(config)
    moody.mood = "bad"
    assert statuses(gateway, 2) == [503] * 2
    moody.mood = "good"
    config["routes"][0]["timeout"] = {"response": "9s"}
    gateway.must_reload(config)
    assert statuses(gateway, 1) == [503]


def count(gateway, name, **labels):
    return int(gateway.metrics().get("sluice_plugin_circuit_breaker_" + name, circuit="app", **labels) or 0)


def test_an_upstream_fails_and_recovers_under_load(start, upstreams):
    """The sequence of states and every counter are exact, whatever the load and the number of workers."""
    moody = Moody(upstreams)
    gateway = start(protected(moody, {"consecutive_failures": 5, "open": "200ms", "open_max": "400ms", "probes": 3},
                              workers=4))
    stop, answers, lock = threading.Event(), [], threading.Lock()

    def load():
        mine = []
        while not stop.is_set():
            answer = gateway.ask()
            mine.append((answer.status, b"circuit_open" in answer.body))
        with lock:
            answers.extend(mine)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: moody.asked > 50, 30, what="load while all is well")
        assert transitions(gateway) == {"open": 0, "half_open": 0, "closed": 0}
        moody.mood = "bad"
        wait_until(lambda: transitions(gateway)["open"] >= 3, 30, what="two failed probings")
        moody.mood = "good"
        wait_until(lambda: transitions(gateway)["closed"] == 1, 30, what="it to close")
        asked = moody.asked
        wait_until(lambda: moody.asked > asked + 50, 30, what="load after it has closed")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    # It began closed and is closed: so many times each leaves one sequence only.
    made = transitions(gateway)
    assert made["closed"] == 1 and made["open"] == made["half_open"] >= 3
    wait_until(lambda: len(gateway.log("circuit changed")) == sum(made.values()), what="each to be told once")
    told = [line["state"] for line in gateway.log("circuit changed")]
    assert made == {state: told.count(state) for state in made}
    assert count(gateway, "open") == 0
    refused = sum(is_refused for _, is_refused in answers)
    assert count(gateway, "refused_total") == refused > 0
    assert moody.asked == len(answers) - refused, "each one was either asked or kept away"
    passed, failed = (count(gateway, "probes_total", result=result) for result in ("passed", "failed"))
    assert passed >= 3 and failed >= made["open"] - 1, "each probing was decided by its probes"
    assert passed + failed <= 3 * made["half_open"], "no storm"
    assert {status for status, is_refused in answers if not is_refused} == {200, 503}


def test_slow_answers_open_it(start, upstreams):
    moody, release = Moody(upstreams), threading.Event()
    moody.upstream.on("/slow", lambda ex: (release.wait(0.15), ex.reply(200, b"late")))
    gateway = start(protected(moody, {"error_ratio": 0, "slow_ratio": "50%", "slow": "100ms", "min_requests": 4,
                                      "window": "1m", "open": "1m"}))
    assert [gateway.ask(target="/slow").status for _ in range(4)] == [200] * 4
    assert statuses(gateway, 1) == [503]
    assert transitions(gateway)["open"] == 1


def test_a_circuit_of_the_upstream_itself_has_a_fallback_too(start, upstreams):
    moody, spare = Moody(upstreams), upstreams()
    circuit = {"consecutive_failures": 1, "open": "1m"}
    gateway = start({
        "upstreams": {"app": {"endpoints": [moody.upstream.address], "retry": 0,
                              "plugins": [{"circuit_breaker": {**circuit, "fallback": {"upstream": "spare"}}}]},
                      "spare": {"endpoints": [spare.address], "plugins": [{"headers": {"request": {"set": {"x-spare": "yes"}}}}]}},
        "routes": [{"name": "all", "upstream": "app"}]})
    moody.mood = "bad"
    assert statuses(gateway, 3) == [503, 200, 200]
    assert [exchange.get("x-spare") for exchange in spare.requests] == ["yes"] * 2, "it passed the spare's own plugins"


def test_fallbacks_do_not_go_in_circles(start, upstreams):
    one, two = Moody(upstreams), Moody(upstreams)

    def circuit(other):
        return [{"circuit_breaker": {"consecutive_failures": 1, "open": "1m", "fallback": {"upstream": other}}}]
    gateway = start({
        "upstreams": {"one": {"endpoints": [one.upstream.address], "retry": 0, "plugins": circuit("two")},
                      "two": {"endpoints": [two.upstream.address], "retry": 0, "plugins": circuit("one")}},
        "routes": [{"name": "all", "upstream": "one"}]})
    one.mood = two.mood = "bad"
    assert statuses(gateway, 2) == [503, 503]
    assert (one.asked, two.asked) == (1, 1)
    asked = gateway.ask()
    assert asked.status == 503 and json.loads(asked.body)["reason"] == "circuit_open"
    assert (one.asked, two.asked) == (1, 1)


def test_a_fallback_upstream_takes_over(start, upstreams):
    moody, spare = Moody(upstreams), upstreams()
    config = protected(moody, {"consecutive_failures": 1, "fallback": {"upstream": "spare"}})
    config["upstreams"]["spare"] = {"endpoints": [spare.address]}
    gateway = start(config)
    moody.mood = "bad"
    assert statuses(gateway, 3) == [503, 200, 200]
    assert len(spare.requests) == 2
