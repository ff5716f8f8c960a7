"""Redis over TLS: both sides show who they are, and who is not believed gets nothing."""

import pytest

from pki import Pki
from raw import wait_until
from redis import Redis

PASSWORD = "open sesame"
CALLS = "sluice_plugin_rate_limit_redis_calls_total"


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    made = Pki(tmp_path_factory.mktemp("pki"))
    made.make("redis", "127.0.0.1", "redis.test")
    made.make("gateway", "gateway.test")
    return made


def pair(pki, name):
    return {"cert": pki.path(f"{name}.pem"), "key": pki.path(f"{name}.key")}


@pytest.fixture
def redis(pki):
    server = Redis(password=PASSWORD, tls=(pki, pair(pki, "redis")))
    yield server
    server.close()


def limited(redis, tls):
    """A limit that Redis alone would never apply, and this gateway by itself never either."""
    return {"redis": {"address": redis.address, "password": PASSWORD, "tls": tls},
            "routes": [{"name": "all", "respond": {"status": 200, "body": "ok"},
                        "plugins": [{"wait": "30s", "rate_limit": {"name": "tls", "rate": "3/h", "store": "redis",
                                                                   "redis_timeout": "10s", "redis_pause": "50ms"}}]}]}


def calls(gateway, result):
    return gateway.metrics().get(CALLS, result=result) or 0


def test_redis_counts_over_tls_and_comes_back(start, pki, redis):
    gateway = start(limited(redis, {"ca": pki.ca, **pair(pki, "gateway")}))
    assert [gateway.ask().status for _ in range(4)] == [200] * 3 + [429]
    assert calls(gateway, "answered") == 4
    assert redis.ask("EXISTS", "sluice:rate_limit:tls:127.0.0.1") == b":1"
    redis.stop()
    assert gateway.ask().status == 200, "its own count begins"
    assert redis.start()
    wait_until(lambda: gateway.ask() and calls(gateway, "answered") > 4, what="Redis to be asked again")
    assert PASSWORD not in gateway.stderr()


@pytest.mark.parametrize("how", ["another authority", "another name", "no certificate of ours", "no tls"])
def test_who_is_not_believed_is_not_asked(start, tmp_path, pki, redis, how):
    other = Pki(tmp_path)
    tls = {"another authority": {"ca": other.ca, **pair(pki, "gateway")},
           "another name": {"ca": pki.ca, "sni": "other.test", **pair(pki, "gateway")},
           "no certificate of ours": {"ca": pki.ca}, "no tls": False}[how]
    gateway = start(limited(redis, tls))
    assert [gateway.ask().status for _ in range(4)] == [200] * 3 + [429], "it limits by itself"
    assert calls(gateway, "answered") == 0 and calls(gateway, "unreachable") + calls(gateway, "timeout") >= 1
    assert gateway.metric("sluice_redis_connect_failures_total") + gateway.metric("sluice_redis_breaks_total") >= 1
    assert redis.ask("EXISTS", "sluice:rate_limit:tls:127.0.0.1") == b":0"
    warned, = gateway.log("redis does not limit, this gateway does by itself")
    assert warned["cause"]
    if how == "another authority":
        assert "certificate" in warned["cause"] or "self-signed" in warned["cause"], warned


def test_another_name_may_be_asked_for(start, pki, redis):
    gateway = start(limited(redis, {"ca": pki.ca, "sni": "redis.test", **pair(pki, "gateway")}))
    assert gateway.ask().status == 200
    assert calls(gateway, "answered") == 1
