"""The plugin rate_limit in a real gateway, alone and with a real Redis."""

import re
import subprocess
import threading

import pytest

from redis import Redis


@pytest.fixture
def redis():
    server = Redis()
    yield server
    server.close()


def limited(entry, **more):
    return {"routes": [{"name": "all", "respond": {"status": 200, "body": "ok"},
                        "plugins": [{"rate_limit": entry}]}], **more}


def statuses(gateway, n, **options):
    return [gateway.ask(**options).status for _ in range(n)]


def burst(gateway, n_clients, n_each):
    """Statuses of requests that several clients send at the same time."""
    found, lock = [], threading.Lock()

    def client():
        mine = statuses(gateway, n_each)
        with lock:
            found.extend(mine)

    threads = [threading.Thread(target=client) for _ in range(n_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_a_burst_passes_and_the_rest_is_refused_with_fields(start):
    gateway = start(limited({"name": "web", "rate": "3/h"}))
    assert statuses(gateway, 3) == [200, 200, 200]
    refused = gateway.ask()
    assert refused.status == 429
    assert 0 < int(refused.get("retry-after")) <= 1200
    assert re.fullmatch(r'"web";r=0;t=\d+', refused.get("ratelimit"))
    assert refused.get("ratelimit-policy") == '"web";q=3;w=3600'
    gateway.expect_end("plugin_replied", status=429)
    metrics = gateway.metrics()
    assert metrics.get("sluice_plugin_rate_limit_requests_total", limit="web", result="passed") == 3
    assert metrics.get("sluice_plugin_rate_limit_requests_total", limit="web", result="refused") == 1


def test_workers_admit_exactly_the_limit_together(start):
    gateway = start(limited({"rate": "40/h"}, workers=4))
    found = burst(gateway, 8, 20)
    assert found.count(200) == 40 and found.count(429) == 120


def test_what_was_used_is_used_after_a_reload(start):
    config = limited({"name": "kept", "rate": "4/h"})
    gateway = start(config)
    assert statuses(gateway, 3) == [200] * 3
    config["routes"][0]["respond"]["body"] = "other"
    gateway.must_reload(config)
    assert statuses(gateway, 3) == [200, 429, 429]


def test_a_field_can_be_the_key(start):
    gateway = start(limited({"key": "$${request.field.x-tenant}", "rate": "1/h",
                             "missing_key": "skip"}))
    for tenant in ("a", "b"):
        assert statuses(gateway, 2, fields=[("X-Tenant", tenant)]) == [200, 429]
    assert statuses(gateway, 3) == [200] * 3


def test_a_slot_is_held_while_its_request_is_served(start, upstreams):
    reached, go_on = threading.Semaphore(0), threading.Event()

    def slow(exchange):
        reached.release()
        go_on.wait(20)
        exchange.reply(200, b"late")

    upstream = upstreams()
    upstream.on("/slow", slow)
    gateway = start({"upstreams": {"app": {"endpoints": [upstream.address]}},
                     "routes": [{"name": "all", "upstream": "app", "plugins": [
                         {"rate_limit": {"algorithm": "concurrency", "concurrent": 1}}]}]})
    first = threading.Thread(target=gateway.ask, kwargs={"target": "/slow"})
    first.start()
    assert reached.acquire(timeout=20)
    assert gateway.ask(target="/").status == 429
    go_on.set()
    first.join()
    assert gateway.ask(target="/").status == 200


def test_mistakes_are_told_by_line(start, sluice, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("routes:\n  - respond: { status: 200 }\n    plugins:\n"
                    "      - rate_limit: { key: nobody, rate: 5/s }\n"
                    "      - rate_limit: { rate: 5 }\n", encoding="utf-8")
    told = sluice("check", str(path))
    assert told.returncode != 0
    assert ":4:28: error" in told.stderr and "'nobody' is no key" in told.stderr
    assert ":5:" in told.stderr


# -- Redis -------------------------------------------------------------------------


def shared(redis, entry):
    """However slow the machine is, Redis decides."""
    config = limited({"redis_timeout": "10s", **entry}, redis={"address": redis.address})
    config["routes"][0]["plugins"][0]["wait"] = "30s"
    return config


def test_two_gateways_share_one_limit(start, redis):
    config = shared(redis, {"name": "shared", "rate": "30/h", "store": "redis"})
    one, two = start(config), start(config)
    found = statuses(one, 25) + statuses(two, 25)
    assert found.count(200) == 30
    calls = one.metrics().get("sluice_plugin_rate_limit_redis_calls_total", result="answered")
    assert calls == 25


def test_two_gateways_share_leases(start, redis):
    config = shared(redis, {"name": "leased", "rate": "100/h", "store": "hybrid"})
    one, two = start(config), start(config)
    found = []
    for _ in range(80):
        found += statuses(one, 1) + statuses(two, 1)
    assert 85 <= found.count(200) <= 100  # never more; what one has leased the other does not get


@pytest.mark.parametrize("how", ["freeze", "stop"])
def test_without_redis_the_gateway_limits_by_itself(start, redis, how):
    gateway = start(limited({"name": "alone", "rate": "10/h", "store": "redis",
                             "redis_timeout": "100ms", "redis_pause": "200ms"},
                            redis={"address": redis.address}))
    assert statuses(gateway, 2) == [200, 200]
    getattr(redis, how)()
    found = statuses(gateway, 14)
    assert found == [200] * 10 + [429] * 4  # its own count begins when Redis is gone
    if how == "freeze":
        redis.thaw()
    else:
        redis.start()

    def asked_again(metrics):
        gateway.ask()
        return metrics.get("sluice_plugin_rate_limit_redis_calls_total", result="answered") > 2

    gateway.wait_metric(asked_again, "an answer of Redis that is back")


def test_redis_going_and_coming_under_load_loses_nothing(start, redis):
    gateway = start(limited({"rate": "1000000/s", "burst": 1000000000, "store": "redis",
                             "redis_timeout": "50ms"},
                            redis={"address": redis.address}, workers=2))
    load = subprocess.Popen(["wrk", "-t1", "-c8", "-d4s", f"http://{gateway.address}/"],
                            stdout=subprocess.PIPE, text=True)
    for _ in range(3):
        redis.stop()
        redis.start()
    out = load.communicate(timeout=60)[0]
    assert "Non-2xx" not in out and "Socket errors" not in out
    assert "Requests/sec" in out
