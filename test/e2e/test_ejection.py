"""Endpoints whose answers or connections fail are taken out for a while (outlier_detection)."""

import json
import threading

import pytest

from gateway import plain
from raw import wait_until


def detecting(fakes, outlier=True, **app):
    config = plain(*fakes)
    config["upstreams"]["app"].update(outlier_detection=outlier, **app)
    return config


def healthy(gateway, fake):
    return gateway.metric("sluice_upstream_healthy", upstream="app", endpoint=fake.address)


def ejections(gateway, fake, cause):
    return gateway.metric("sluice_upstream_ejections_total", upstream="app", endpoint=fake.address, cause=cause)


def ask_until_out(gateway, fake, limit=60):
    """Ask until the endpoint is out; every answer on the way there may be anything."""
    for _ in range(limit):
        gateway.ask()
        if not healthy(gateway, fake):
            return
    pytest.fail(f"{fake.address} is not ejected")


def expect_only(gateway, good, bad, count=30):
    before = len(bad.requests)
    for _ in range(count):
        assert gateway.ask().status == 200
    assert len(bad.requests) == before
    assert len(good.requests) >= count


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("status,cause,outlier", [
    (500, "consecutive_5xx", True),
    (503, "consecutive_gateway_failure", {"consecutive_gateway_failure": 3}),
])
def test_failing_answers_eject(start, upstreams, workers, status, cause, outlier):
    good, bad = upstreams(), upstreams()
    bad.script = lambda ex: (ex.read_body(), ex.reply(status))
    gateway = start(dict(detecting([good, bad], outlier), workers=workers))
    ask_until_out(gateway, bad)
    expect_only(gateway, good, bad)
    assert ejections(gateway, bad, cause) == 1
    assert gateway.metric("sluice_upstream_ejected", upstream="app", endpoint=bad.address) == 1
    assert healthy(gateway, good) == 1
    (line,) = wait_until(lambda: gateway.log("endpoint ejected"), what="the log line")
    assert (line["endpoint"], line["cause"], line["upstream"]) == (bad.address, cause, "app")
    wait_until(lambda: gateway.access_log(endpoint=bad.address, status=status), what="its answers")


def test_resets_eject(start, upstreams):
    good, bad = upstreams(), upstreams()
    bad.script = lambda ex: ex.reset()
    gateway = start(detecting([good, bad]))
    ask_until_out(gateway, bad)
    expect_only(gateway, good, bad)
    assert ejections(gateway, bad, "consecutive_local_origin_failure") == 1


def test_timeouts_eject(start, upstreams):
    good, bad = upstreams(), upstreams()
    end = threading.Event()
    bad.script = lambda ex: end.wait(20)
    gateway = start(detecting([good, bad], {"consecutive_local_origin_failure": 2},
                              timeout={"response": "100ms"}))
    try:
        ask_until_out(gateway, bad)
        expect_only(gateway, good, bad)
    finally:
        end.set()
    assert ejections(gateway, bad, "consecutive_local_origin_failure") == 1
    gateway.wait_access(2, reason="response_timeout")


def test_refused_connections_eject(start, upstreams):
    good, bad = upstreams(), upstreams()
    bad.stop_listening()
    gateway = start(detecting([good, bad]))
    ask_until_out(gateway, bad)
    failed = gateway.metric("sluice_upstream_failures_total", upstream="app", endpoint=bad.address,
                            reason="connect_failed")
    assert failed == 5
    for _ in range(20):
        assert gateway.ask().status == 200
    assert gateway.metric("sluice_upstream_failures_total", upstream="app", endpoint=bad.address,
                          reason="connect_failed") == failed


def test_without_detection_nobody_is_ejected(start, upstreams):
    good, bad = upstreams(), upstreams()
    bad.script = lambda ex: (ex.read_body(), ex.reply(500))
    gateway = start(plain(good, bad))
    for _ in range(40):
        gateway.ask()
    assert len(bad.requests) == 20 and healthy(gateway, bad) == 1


def test_no_more_than_the_cap_are_ejected(start, upstreams):
    fakes = [upstreams() for _ in range(4)]
    for fake in fakes:
        fake.script = lambda ex: (ex.read_body(), ex.reply(500))
    gateway = start(detecting(fakes, {"max_ejection_percent": 50, "consecutive_5xx": 2}))
    for _ in range(40):
        assert gateway.ask().status == 500
    assert sum(healthy(gateway, fake) for fake in fakes) == 2
    assert gateway.metric("sluice_upstream_ejections_prevented_total", upstream="app") > 0
    wait_until(lambda: len(gateway.log("endpoint ejected")) == 2, what="the log lines")


def test_one_endpoint_alone_is_never_ejected(start, upstreams):
    fake = upstreams()
    fake.script = lambda ex: (ex.read_body(), ex.reply(500))
    gateway = start(detecting([fake], {"consecutive_5xx": 1, "max_ejection_percent": 100}))
    for _ in range(10):
        assert gateway.ask().status == 500
    assert healthy(gateway, fake) == 1


def test_it_comes_back_and_is_ejected_longer_the_next_time(start, upstreams):
    good, bad = upstreams(), upstreams()
    bad.script = lambda ex: (ex.read_body(), ex.reply(500))
    gateway = start(detecting([good, bad], {"base_ejection_time": "3s", "interval": "1h",
                                            "max_ejection_time_jitter": "0s"}))
    ask_until_out(gateway, bad)
    gateway.wait_metric(lambda page: page.get("sluice_upstream_healthy", upstream="app",
                                              endpoint=bad.address) == 1)
    wait_until(lambda: len(gateway.log("endpoint no longer ejected")) == 1, what="the log line")
    before = len(bad.requests)
    ask_until_out(gateway, bad)
    assert len(bad.requests) == before + 5, "it was asked again, and counted anew"
    wait_until(lambda: len(gateway.log("endpoint ejected")) == 2, what="the log lines")
    first, second = gateway.log("endpoint ejected")
    assert (first["for_ms"], second["for_ms"]) == (3000, 6000)


def test_a_reload_keeps_an_ejection(start, upstreams):
    good, bad, third = upstreams(), upstreams(), upstreams()
    bad.script = lambda ex: (ex.read_body(), ex.reply(500))
    config = detecting([good, bad])
    gateway = start(config)
    ask_until_out(gateway, bad)
    config["upstreams"]["app"]["endpoints"].append(third.address)
    gateway.must_reload(config)
    expect_only(gateway, good, bad, 10)
    assert len(third.requests) > 0
    config["upstreams"]["app"]["endpoints"].remove(bad.address)
    gateway.must_reload(config)
    config["upstreams"]["app"]["endpoints"].append(bad.address)
    gateway.must_reload(config)
    expect_only(gateway, good, bad, 10)
    assert healthy(gateway, bad) == 0


def test_turned_off_by_a_reload_it_is_back(start, upstreams):
    good, bad = upstreams(), upstreams()
    bad.script = lambda ex: (ex.read_body(), ex.reply(500))
    gateway = start(detecting([good, bad]))
    ask_until_out(gateway, bad)
    gateway.must_reload(detecting([good, bad], False))
    assert healthy(gateway, bad) == 1
    assert 500 in [gateway.ask().status for _ in range(4)]


def test_a_low_success_rate_ejects(start, upstreams):
    """Every other answer fails: never five in a row."""
    fakes = [upstreams() for _ in range(5)]
    bad, count = fakes[0], [0]

    def answer(ex):
        ex.read_body()
        count[0] += 1
        ex.reply(500 if count[0] % 2 else 200)

    bad.script = answer
    gateway = start(detecting(fakes, {"interval": "2s", "success_rate_request_volume": 4}))
    client = gateway.client()

    def ejected():  # 20 requests within some interval are enough
        for _ in range(20):
            client.ask()
        return ejections(gateway, bad, "success_rate") == 1

    wait_until(ejected, deadline_s=60, what="the ejection")
    client.close()
    assert all(healthy(gateway, fake) for fake in fakes[1:])


def test_a_large_failure_percentage_ejects(start, upstreams):
    fakes = [upstreams() for _ in range(2)]
    bad, count = fakes[0], [0]

    def answer(ex):
        ex.read_body()
        count[0] += 1
        ex.reply(200 if count[0] % 4 == 0 else 500)

    bad.script = answer
    gateway = start(detecting(fakes, {
        "interval": "2s", "failure_percentage_threshold": 60, "failure_percentage_minimum_hosts": 2,
        "failure_percentage_request_volume": 8}))
    client = gateway.client()

    def ejected():  # 16 requests within some interval are enough
        for _ in range(16):
            client.ask()
        return ejections(gateway, bad, "failure_percentage") == 1

    wait_until(ejected, deadline_s=60, what="the ejection")
    client.close()


@pytest.mark.parametrize("written,why", [
    ({"base_ejection_time": "10m", "max_ejection_time": "5m"}, "max_ejection_time is shorter"),
    ({"max_ejection_percent": 101}, "101 is too large"),
    ({"consecutive_5x": 3}, "consecutive_5xx"),
])
def test_what_is_wrong_is_told(sluice, tmp_path, written, why):
    path = tmp_path / "wrong.yaml"
    path.write_text(json.dumps({"upstreams": {"app": {"endpoints": ["127.0.0.1:1"], "outlier_detection": written}},
                                "routes": [{"upstream": "app"}]}))
    done = sluice("check", str(path))
    assert done.returncode != 0 and why in done.stdout + done.stderr
