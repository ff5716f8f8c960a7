"""The plugin tracing in a real gateway, with a collector that decodes what it gets."""

import re
import threading

import pytest

import plugins
from gateway import FIELDS
from otlp import CLIENT, OTLP, SERVER, Collector
from raw import SANITIZED, Client, wait_until

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SAMPLED = ("traceparent", f"00-{TRACE}-{PARENT}-01")


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.stop()


def traced(collector, *fakes, app=None, workers=1, **options):
    return {"workers": workers,
            "access_log": {"path": "access.log", "format": "json", "fields": [*FIELDS, "attr.trace.id", "attr.span.id"]},
            "plugins": [{"tracing": {"endpoint": collector if isinstance(collector, str) else collector.url,
                                     "interval": "20ms", **options}}],
            "upstreams": {"app": {"endpoints": [fake.address for fake in fakes], **(app or {})}},
            "routes": [{"name": "all", "upstream": "app"}]}


def seen(exchange):
    """The context that an upstream got: trace, span, flags."""
    parts = exchange.all("traceparent")
    assert len(parts) == 1, exchange.fields
    match = re.fullmatch("00-([0-9a-f]{32})-([0-9a-f]{16})-(0[0-3])", parts[0])
    assert match, parts
    return match.groups()


def number(gateway, name, **labels):
    return gateway.metrics().get("sluice_plugin_tracing_" + name, **labels)


def failing(end):
    def script(exchange):
        exchange.read_body()
        if isinstance(end, int):
            exchange.reply(end, b"failed")
        else:
            getattr(exchange, end)()
    return script


# --- spans


def test_an_exchange_is_a_server_span_with_a_client_span_below(start, upstream, collector):
    gateway = start(traced(collector, upstream, service="edge", resource={"deployment.environment.name": "test"},
                           response_field="x-trace-id", request_fields=["X-Tenant"], attributes={"who": "${client.address}"}))
    answer = gateway.ask(target="/orders?key=secret", fields=[
        SAMPLED, ("tracestate", "foo=1, bar=2"), ("User-Agent", "test/1"), ("X-Tenant", "blue"), ("Cookie", "secret"),
        ("Baggage", "user=7")], host="shop.example:8080")
    assert answer.status == 200
    assert answer.get("x-trace-id") == TRACE
    server, = collector.wait(1, kind=SERVER)
    client, = collector.spans(kind=CLIENT)
    assert (server.trace, server.parent, client.trace, client.parent) == (TRACE, PARENT, TRACE, server.id)
    assert seen(upstream.last) == (TRACE, client.id, "01")
    assert upstream.last.all("tracestate") == ["foo=1, bar=2"]
    assert upstream.last.all("baggage") == ["user=7"]
    assert server.name == "GET all" and client.name == "GET"
    assert server.resource["service.name"] == "edge"
    assert server.resource["deployment.environment.name"] == "test"
    assert server.attributes == {
        "http.request.method": "GET", "url.path": "/orders", "url.scheme": "http", "server.address": "shop.example",
        "server.port": 8080, "client.address": "127.0.0.1", "network.peer.address": "127.0.0.1",
        "network.protocol.version": "1.1", "http.route": "all", "http.response.status_code": 200,
        "user_agent.original": "test/1", "http.request.header.x-tenant": ["blue"], "who": "127.0.0.1"}
    host, port = upstream.address.split(":")
    assert client.attributes == {"http.request.method": "GET", "server.address": host, "server.port": int(port),
                                 "sluice.upstream": "app", "http.response.status_code": 200}
    assert server.begun_ns <= client.begun_ns <= client.ended_ns <= server.ended_ns
    assert server.state == "foo=1, bar=2" and (server.flags, client.flags) == (0x301, 0x101)
    assert (server.status, client.status) == (0, 0)
    line = gateway.wait_access()
    assert (line["attr.trace.id"], line["attr.span.id"]) == (TRACE, server.id)
    gateway.wait_metric(lambda page: page.get("sluice_plugin_tracing_exported_total") == 2)
    assert number(gateway, "exports_total", result="ok") == 1
    assert number(gateway, "sampled_total", by="parent") == 1
    assert number(gateway, "dropped_total") == 0


def test_what_other_plugins_found_is_in_the_span(start, binary, upstream, collector):
    config = traced(collector, upstream)
    config["plugin_path"] = [plugins.folder(binary)]
    config["plugins"].append(plugins.probe("found"))
    gateway = start(config)
    assert gateway.ask().status == 200
    server, = collector.wait(1, kind=SERVER)
    assert server.attributes["probe.word"] == "found"
    assert all("probe.word" not in span.attributes for span in collector.spans(kind=CLIENT))


def test_each_retry_is_a_span_and_the_parent_that_its_upstream_sees(start, upstreams, collector):
    bad, good = upstreams(failing("reset")), upstreams()
    gateway = start(traced(collector, bad, good, app={"retry": {"on": ["reset"], "backoff": {"base": "0s", "max": "0s"}}}))
    for _ in range(2):
        assert gateway.ask().status == 200
    collector.wait(2, kind=SERVER)
    servers = {span.id: span for span in collector.spans(kind=SERVER)}
    clients = {span.id: span for span in collector.spans(kind=CLIENT)}
    assert len(bad.requests) >= 1 and len(clients) == len(bad.requests) + len(good.requests)
    for fake in (bad, good):
        for exchange in fake.requests:
            trace, span, _ = seen(exchange)
            client = clients.pop(span)
            assert client.trace == trace == servers[client.parent].trace
            assert client.attributes["server.port"] == int(fake.address.split(":")[1])
            if fake is bad:
                assert client.status == 2 and client.attributes["error.type"] == "upstream_reset"
            else:
                assert client.status == 0 and client.attributes["http.response.status_code"] == 200
    assert not clients
    assert {span.attributes.get("http.request.resend_count") for span in collector.spans(kind=CLIENT)} == {None, 1}
    assert all(span.status == 0 and span.parent == "" for span in servers.values())


def test_a_hedge_is_a_span_and_the_parent_that_its_upstream_sees(start, upstreams, collector):
    release = threading.Event()
    slow, quick = upstreams(lambda ex: (ex.read_body(), release.wait(10), ex.reply(200, b"late"))), upstreams()
    gateway = start(traced(collector, slow, quick, app={"hedge": {"after": "30ms"}}))
    try:
        for _ in range(2):
            assert gateway.ask().status == 200
    finally:
        release.set()
    servers = {span.id: span for span in collector.wait(2, kind=SERVER)}
    clients = {span.id: span for span in collector.spans(kind=CLIENT)}
    exchanges = [*slow.requests, *quick.requests]
    assert len(slow.requests) >= 1 and len(clients) == len(exchanges)
    for exchange in exchanges:
        trace, span, _ = seen(exchange)
        assert clients[span].trace == trace == servers[clients[span].parent].trace


def test_what_the_gateway_answers_itself_says_why(start, upstream, collector):
    config = traced(collector, upstream)
    upstream.stop_listening()
    gateway = start(config)
    assert gateway.ask().status == 502
    server, = collector.wait(1, kind=SERVER)
    client, = collector.spans(kind=CLIENT)
    assert server.status == 2 and server.attributes["error.type"] == "connect_failed"
    assert server.attributes["http.response.status_code"] == 502
    assert client.status == 2 and client.attributes["error.type"] == "connect_failed"


# --- context


@pytest.mark.parametrize("fields", [
    [("traceparent", "")], [("traceparent", f"00-{TRACE}-{PARENT}")], [("traceparent", f"ff-{TRACE}-{PARENT}-01")],
    [("traceparent", f"00-{TRACE.upper()}-{PARENT}-01")], [("traceparent", f"00-{'0' * 32}-{PARENT}-01")],
    [("traceparent", f"00-{TRACE}-{'0' * 16}-01")], [SAMPLED, SAMPLED], [("traceparent", f"00-{TRACE}-{PARENT}-01-x")]])
def test_malformed_context_is_replaced(start, upstream, collector, fields):
    gateway = start(traced(collector, upstream))
    assert gateway.ask(fields=[*fields, ("tracestate", "foo=1")]).status == 200
    trace, _, flags = seen(upstream.last)
    assert trace != TRACE and flags == "01"
    assert upstream.last.all("tracestate") == []
    assert number(gateway, "malformed_total", field="traceparent") == 1


def test_b3_goes_on_beside_w3c(start, upstream, collector):
    gateway = start(traced(collector, upstream, b3="both"))
    assert gateway.ask(fields=[("b3", f"{TRACE}-{PARENT}-1")]).status == 200
    client, = collector.wait(1, kind=CLIENT)
    assert seen(upstream.last) == (TRACE, client.id, "01")
    assert upstream.last.all("b3") == [f"{TRACE}-{client.id}-1-{client.parent}"]
    assert upstream.last.all("x-b3-traceid") == [TRACE]
    assert upstream.last.all("x-b3-spanid") == [client.id]
    assert upstream.last.all("x-b3-sampled") == ["1"]


# --- sampling


def test_failures_are_kept_though_not_sampled(start, upstreams, collector):
    fake = upstreams()
    fake.on("/bad", failing(503))
    gateway = start(traced(collector, fake, sample={"ratio": "0%", "errors": "2/h"}))
    for target in ["/good", *["/bad"] * 5, "/good"]:
        gateway.ask(target=target)
    servers = collector.wait(2, kind=SERVER)
    gateway.wait_metric(lambda page: page.get("sluice_plugin_tracing_limited_total", by="errors") == 3)
    sent = {seen(exchange) for exchange in fake.requests if exchange.path == "/bad"}
    clients = collector.spans(kind=CLIENT)
    assert len(servers) == len(clients) == 2
    for client in clients:
        assert (client.trace, client.id, "00") in sent
        assert client.parent in [server.id for server in servers]
    assert all(server.attributes["sluice.sampled_by"] == "errors" for server in servers)


def test_a_rate_holds_for_all_workers_and_over_a_reload(start, upstream, collector):
    config = traced(collector, upstream, workers=4, sample={"rate": "10/h"})
    gateway = start(config)

    def ask():
        for _ in range(5):
            assert gateway.ask().status == 200
    for _ in range(2):
        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        config["plugins"][0]["tracing"]["service"] = "other"
        gateway.must_reload(config)
    wait_until(lambda: len({span.id for span in collector.spans()}) == 20, what="all spans")
    assert number(gateway, "sampled_total", by="ratio") == 10
    assert number(gateway, "limited_total", by="rate") == 50
    assert sum(seen(exchange)[2] == "01" for exchange in upstream.requests) == 10


# --- the way to the collector


def test_a_batch_is_sent_again_when_the_collector_asks_for_it(start, upstream, collector):
    answers = [429, 503]

    def busy(exchange, _):
        if answers:
            exchange.reply(answers.pop(0), b"", [("Retry-After", "0")])
            return True
        return False
    collector.script = busy
    gateway = start(traced(collector, upstream))
    assert gateway.ask().status == 200
    collector.wait(2)
    gateway.wait_metric(lambda page: page.get("sluice_plugin_tracing_exported_total") == 2)
    assert number(gateway, "exports_total", result="busy") == 2
    assert number(gateway, "dropped_total") == 0
    assert len(gateway.log("spans cannot be exported")) == 1
    assert len(gateway.log("spans are exported again")) == 1


def test_what_the_collector_refuses_is_counted(start, upstream, collector):
    def partly(exchange, spans):
        if len(spans) % 2 == 0 and not collector.taken:
            collector.taken += spans
            exchange.reply(200, OTLP["ExportTraceServiceResponse"](
                partial_success={"rejected_spans": 1, "error_message": "no"}).SerializeToString())
        else:
            exchange.reply(400, b"")
        return True
    collector.script = partly
    gateway = start(traced(collector, upstream))
    assert gateway.ask().status == 200
    gateway.wait_metric(lambda page: page.get("sluice_plugin_tracing_dropped_total", reason="rejected") == 1)
    assert number(gateway, "exported_total") == 1
    assert gateway.ask().status == 200
    gateway.wait_metric(lambda page: page.get("sluice_plugin_tracing_dropped_total", reason="refused") == 2)
    assert number(gateway, "queued_bytes") == 0


def test_spans_that_wait_survive_a_reload(start, upstream, collector):
    config = traced(collector, upstream, workers=2)
    config["plugins"][0]["tracing"]["interval"] = "1m"
    gateway = start(config)
    for _ in range(20):
        assert gateway.ask().status == 200
    assert not collector.spans()
    config["plugins"][0]["tracing"].update(interval="20ms", service="later")
    gateway.must_reload(config)
    wait_until(lambda: len({span.id for span in collector.spans()}) == 40, what="all spans")
    assert number(gateway, "dropped_total") == 0


def test_spans_that_wait_are_sent_when_the_gateway_ends(start, upstream, collector):
    config = traced(collector, upstream, workers=2)
    config["plugins"][0]["tracing"]["interval"] = "1m"
    config["drain"] = {"flush": "60s", "timeout": "60s"}
    gateway = start(config)
    for _ in range(20):
        assert gateway.ask().status == 200
    assert not collector.spans()
    gateway.stop()
    assert len({span.id for span in collector.spans()}) == 40


def test_a_dead_collector_does_not_hold_the_end(start, upstream, collector):
    config = traced(collector, upstream)
    config["plugins"][0]["tracing"]["interval"] = "1m"
    config["drain"] = {"flush": "1h", "timeout": "1h"}
    collector.upstream.stop_listening()
    gateway = start(config)
    assert gateway.ask().status == 200
    gateway.stop()  # fails when it takes long


def test_fields_reach_the_collector_and_nobody_else(start, upstream, collector):
    gateway = start(traced(collector, upstream, fields={"api-key": "open sesame"}))
    assert gateway.ask().status == 200
    collector.wait(2)
    assert collector.upstream.last.get("api-key") == "open sesame"
    assert "open sesame" not in gateway.stderr()
    assert "open sesame" not in gateway.admin.ask("GET", "/config").body.decode()


@pytest.mark.parametrize("how", ["refuses", "hangs"])
def test_a_dead_collector_costs_no_request_and_no_memory(start, upstreams, collector, how):
    fake, release = upstreams(), threading.Event()
    if how == "hangs":
        collector.script = lambda exchange, _: release.wait(60) or True
    else:
        collector.upstream.stop_listening()
    gateway = start(traced(collector, fake, workers=2, queue="64KiB", batch=20, timeout="500ms"))
    failed = []

    def load(count):
        with Client(gateway.address) as client:
            for _ in range(count):
                client.send(b"GET / HTTP/1.1\r\nHost: test.example\r\n\r\n")
                if client.read_response().status != 200:
                    failed.append(1)

    def run(count):
        threads = [threading.Thread(target=load, args=(count,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    try:
        run(400)
        gateway.wait_metric(lambda page: page.get("sluice_plugin_tracing_dropped_total", reason="queue_full") > 0)
        before = gateway.own_kib()
        run(800)
        assert not failed
        if not SANITIZED:
            assert gateway.own_kib() - before < 1024
        page = gateway.metrics()
        assert page.get("sluice_plugin_tracing_queued_bytes") <= 2 * (65536 + 65536)
        assert page.get("sluice_plugin_tracing_exported_total") == 0
        wait_until(lambda: gateway.log("spans cannot be exported"), what="it is told")
        assert len(gateway.log("spans cannot be exported")) <= 2
    finally:
        release.set()
