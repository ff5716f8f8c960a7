"""Exchanges that end while a plugin waits: in each phase, for each service, nothing comes back too late."""

import threading

import pytest

import plugins
from h2_client import H2Client
from gateway import expect_problem
from raw import Client, Closed
from redis import Redis

PHASES = ("request_head", "request_body", "response_head", "response_body")
SERVICES = ("timer", "http", "redis", "offload")


@pytest.fixture(scope="module")
def redis():
    server = Redis()
    yield server
    server.close()


class Service:
    """What is waited for, and how it is let go."""

    def __init__(self, name, upstreams, redis, file):
        self.name, self.redis, self.file = name, redis, file
        self.gate, self.gone = threading.Event(), threading.Event()
        self.upstream = upstreams(self.serve)

    def serve(self, exchange):
        exchange.read_body()
        if self.gate.is_set():
            exchange.reply(200, b"at once")
        else:
            exchange.wait_gone()
            self.gone.set()

    def open(self):
        """From now on it answers."""
        self.gate.set()
        self.file.touch()
        if self.name == "redis":
            for _ in range(2):  # the command of who left takes one
                self.redis.ask("RPUSH", "holder", "x")


@pytest.fixture
def serve(start, binary, upstream, upstreams, redis, tmp_path):
    upstream.on("/", lambda ex: (ex.read_body(), ex.reply(200, b"answer")))
    redis.ask("DEL", "holder")

    def begin(name, phase, entry=None, **options):
        service = Service(name, upstreams, redis, tmp_path / "gate")
        config = {"workers": 1, "plugin_path": [plugins.folder(binary)],
                  "plugins": [{"holder": {"hold": phase, "service": name, "target": "others/", "gate": str(service.file), **options},
                               "wait": "1h", **(entry or {})}],
                  "redis": {"address": redis.address},
                  "upstreams": {"app": {"endpoints": [upstream.address]},
                                "others": {"endpoints": [service.upstream.address]}},
                  "routes": [{"name": "all", "upstream": "app"}]}
        return start(config), service
    return begin


def events(gateway, event):
    return gateway.metrics().get("sluice_plugin_holder_events_total", event=event) or 0


def wait_event(gateway, event, n=1):
    gateway.wait_metric(lambda page: page.get("sluice_plugin_holder_events_total", event=event) == n,
                        what=f"{n} times '{event}'")


def expect_nothing_left(gateway, service):
    """What was begun for an exchange that is gone has ended, and told nobody."""
    wait_event(gateway, "done")
    gateway.wait_metric(lambda page: page.get("sluice_worker_exchanges_active") == 0, what="no exchange")
    if service.name == "http":
        assert service.gone.wait(20), "the call's connection is closed"
        gateway.wait_metric(lambda page: page.get("sluice_upstream_connections", upstream="others") == 0,
                            what="no connection of the call")
    if service.name == "offload":
        service.open()
        gateway.wait_metric(lambda page: page.get("sluice_helpers_done_total") == 1, what="the work's end")
    assert events(gateway, "came") == 0


def expect_served(gateway, service, n=1):
    """The next one gets its own answer, whatever is left of the one before."""
    service.open()
    if service.name != "timer":
        answer = gateway.ask("POST", body=b"question")
        assert (answer.status, answer.body) == (200, b"answer")
        wait_event(gateway, "came", n)
        wait_event(gateway, "done", 2)
    if service.name == "redis":
        gateway.wait_metric(lambda page: page.get("sluice_redis_in_flight") == 0, what="no command")


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", SERVICES)
def test_a_client_of_http_1_leaves(serve, name, phase):
    gateway, service = serve(name, phase)
    with Client(gateway.address) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nquestion")
        wait_event(gateway, "waits")
        client.reset()
    expect_nothing_left(gateway, service)
    expect_served(gateway, service)
    gateway.expect_end("client_reset")


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", SERVICES)
def test_a_client_of_http_2_cancels(serve, name, phase):
    gateway, service = serve(name, phase)
    with H2Client(gateway.address) as client:
        stream = client.ask("POST", body=b"question")
        wait_event(gateway, "waits")
        client.h2.reset_stream(stream)
        client.flush()
        expect_nothing_left(gateway, service)
        expect_served(gateway, service)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", SERVICES)
def test_the_wait_is_over_before_the_answer(serve, name, phase):
    gateway, service = serve(name, phase, entry={"wait": "100ms"})
    if phase == "response_body":
        with gateway.client() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nquestion")
            with pytest.raises(Closed):
                client.read_response()
    else:
        expect_problem(gateway.ask("POST", body=b"question"), 500, "plugin_timeout")
    expect_nothing_left(gateway, service)
    gateway.expect_end("plugin_timeout")


@pytest.mark.parametrize("begin, hold", [("request_head", "request_body"), ("request_head", "response_head"),
                                         ("request_body", "response_head"), ("request_head", "response_body"),
                                         ("response_head", "response_body")])
def test_what_is_asked_early_is_waited_for_later(serve, begin, hold):
    gateway, service = serve("http", hold, begin=begin)
    late = threading.Event()
    service.upstream.on("/", lambda ex: (ex.read_body(), late.wait(20), ex.reply(200, b"late")))
    answers = []
    thread = threading.Thread(target=lambda: answers.append(gateway.ask("POST", body=b"question")))
    thread.start()
    wait_event(gateway, "waits")
    late.set()
    thread.join()
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"answer")]
    wait_event(gateway, "done")
    assert events(gateway, "came") == 1
