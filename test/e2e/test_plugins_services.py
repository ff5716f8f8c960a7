"""What plugins ask of the gateway besides the message: time, threads, others, shared state, numbers."""

import random
import threading
import time

import pytest

import plugins
from raw import wait_until
from redis import Redis

STEPS = ("words", "timer", "offload", "http", "url", "redis", "map")


@pytest.fixture(scope="module")
def redis():
    server = Redis()
    yield server
    server.close()


def config(binary, upstream, redis=None, number=0, **options):
    """Every request uses every service; the number changes what a reload has to change."""
    asked = {"target": "others/asked", "url": f"http://{upstream.address}/by-url", **options}
    made = {
        "workers": 2,
        "plugin_path": [plugins.folder(binary)],
        "plugins": [{"everything": asked, "wait": "5s"}],
        "helpers": {"threads": 1 + number % 3, "queue": 1000},
        "upstreams": {"app": {"endpoints": [upstream.address]},
                      "others": {"endpoints": [upstream.address]}},
        "routes": [{"name": "all", "upstream": "app"},
                   {"name": f"extra-{number % 5}", "match": {"path": "/extra"}, "echo": True}],
    }
    if redis:
        made["redis"] = {"address": redis.address, "pipeline": 100 + number % 2}
    return made


def ran(answer):
    return dict(step.split("=") for step in answer.get("x-ran").split(" "))


def total(gateway, name, **labels):
    return sum(value for _, value in gateway.metrics().find("sluice_plugin_everything_" + name, **labels))


def test_every_service_does_its_work(start, binary, upstream, redis):
    gateway = start(config(binary, upstream, redis))
    for _ in range(5):
        answer = gateway.ask()
        assert answer.status == 200
        assert ran(answer) == {step: "ok" for step in STEPS}
    asked = [one for one in upstream.requests if one.target == "/asked" and one.method == "POST"]
    assert len(asked) == 5
    assert asked[0].get("content-length") == "8"
    assert asked[0].get("x-from") == "everything"
    by_url = [one for one in upstream.requests if one.target == "/by-url"]
    assert by_url[0].get("host") == upstream.address
    gateway.wait_metric(lambda page: page.get("sluice_plugin_everything_done_total") == 5)
    page = gateway.metrics()
    assert page.get("sluice_plugin_everything_begun_total") == 5
    assert page.get("sluice_plugin_everything_took_seconds_count") == 5
    assert page.get("sluice_plugin_everything_steps_total", step="offload", outcome="ok") == 5
    assert page.get("sluice_helpers_done_total") == 5
    assert page.get("sluice_redis_answers_total") == 5
    assert page.get("sluice_shared_keys", plugin="everything", state="values") == 1
    for step in ("door", "tick", "own_http"):
        gateway.wait_metric(lambda page, step=step: page.has(
            "sluice_plugin_everything_steps_total", step=step, outcome="ok"), what=step)
    assert not page.has("sluice_plugin_everything_steps_total", step="cancelled", outcome="called")


def test_services_that_are_not_configured_are_refused(start, binary, upstream):
    gateway = start(config(binary, upstream, target=None, url=None))
    answer = gateway.ask()
    assert answer.status == 200
    assert {step: ran(answer)[step] for step in ("http", "url", "redis")} == {
        "http": "refused", "url": "refused", "redis": "refused"}


def test_metrics_and_shared_state_survive_a_reload(start, binary, upstream, redis):
    gateway = start(config(binary, upstream, redis))
    assert gateway.ask().status == 200
    gateway.must_reload(config(binary, upstream, redis, number=1))
    assert gateway.ask().status == 200
    gateway.wait_metric(lambda page: page.get("sluice_plugin_everything_done_total") == 2)
    assert gateway.metrics().get("sluice_shared_capacity", plugin="everything", state="counts") == 100


def test_redis_goes_and_comes_back(start, binary, upstream):
    server = Redis(password="open sesame")
    try:
        made = config(binary, upstream, server)
        made["redis"].update(password="open sesame", database=2)
        gateway = start(made)
        assert ran(gateway.ask())["redis"] == "ok"
        server.stop()
        began = time.monotonic()
        for _ in range(10):
            answer = gateway.ask()
            assert answer.status == 200
            assert ran(answer)["redis"] in ("unreachable", "timeout")
        assert time.monotonic() - began < 20, "each of them waits for its own deadline at most"
        assert server.start()
        wait_until(lambda: ran(gateway.ask())["redis"] == "ok", what="Redis is used again")
        assert gateway.metrics().get("sluice_redis_breaks_total") >= 1
        assert "open sesame" not in gateway.stderr()
    finally:
        server.close()


def test_a_wrong_password_is_told(start, binary, upstream):
    server = Redis(password="open sesame")
    try:
        made = config(binary, upstream, server)
        made["redis"]["password"] = "close sesame"
        gateway = start(made)
        assert ran(gateway.ask())["redis"] == "unreachable"
        assert gateway.metrics().get("sluice_redis_connect_failures_total") >= 1
    finally:
        server.close()


def test_whom_nobody_serves_is_told(start, binary, upstream, upstreams, redis):
    gone = upstreams()
    address = gone.address
    gone.stop()
    made = config(binary, upstream, redis)
    made["upstreams"]["others"]["endpoints"] = [address]
    gateway = start(made)
    assert ran(gateway.ask())["http"] == "unreachable"


class Crowd:
    """Clients that ask, and leave before the answer when they feel like it."""

    def __init__(self, gateway, n):
        self.gateway = gateway
        self.stop = threading.Event()
        self.answered = [0] * n
        self.wrong = []
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(n)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        dice = random.Random(number)
        while not self.stop.is_set():
            client = self.gateway.client()
            try:
                for _ in range(5):
                    client.send(b"GET /x HTTP/1.1\r\nHost: test.example\r\n\r\n")
                    if dice.random() < 0.3:
                        time.sleep(dice.random() * 0.01)
                        break
                    answer = client.read_response()
                    if answer.status != 200 or ran(answer)["offload"] == "wrong":
                        self.wrong.append((answer.status, answer.get("x-ran")))
                    self.answered[number] += 1
            except OSError as problem:
                self.wrong.append(problem)
            finally:
                client.close()

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def test_nothing_is_lost_while_everything_changes(start, binary, upstream, redis):
    gateway = start(config(binary, upstream, redis))
    crowd = Crowd(gateway, 6)
    until = time.monotonic() + 4
    number = 0
    while time.monotonic() < until:
        number += 1
        gateway.must_reload(config(binary, upstream, redis, number=number))
        time.sleep(0.05)
    crowd.end()
    assert not crowd.wrong
    assert sum(crowd.answered) > 50 and number > 5
    gateway.wait_metric(lambda page: page.get("sluice_plugin_everything_begun_total") ==
                        page.get("sluice_plugin_everything_done_total"), what="every beginning has an end")
    ended = int(gateway.metrics().get("sluice_plugin_everything_done_total"))
    assert len(gateway.wait_access(ended)) == ended
    gateway.wait_metric(lambda page: page.get("sluice_redis_in_flight") == 0)
    assert not gateway.metrics().has("sluice_plugin_everything_steps_total", step="cancelled", outcome="called")
