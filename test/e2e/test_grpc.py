"""gRPC through the gateway: ends of calls, answers of our own, retries.

What a call is told here by raw requests does not depend on who asks; real clients are below.
"""

import os
import time

import pytest

from gateway import plain
from h2_client import Answer, H2Client

CALL = [("Content-Type", "application/grpc"), ("TE", "trailers")]


def to(*fakes, **upstream):
    config = plain(*fakes)
    config["upstreams"]["app"].update({"protocol": "h2c", **upstream})
    return config


def call(gateway, path="/demo.Echo/Say", fields=(), body=b"\0\0\0\0\1x"):
    return gateway.ask("POST", path, [*CALL, *fields], body)


def ends(*statuses):
    """A script: each call in turn ends with the next of these, trailers only; the last one for ever."""
    def script(exchange):
        exchange.read_body()
        turn = min(len(exchange.conn.upstream.exchanges), len(statuses)) - 1
        if statuses[turn]:
            exchange.head(200, [("content-type", "application/grpc"), ("grpc-status", str(statuses[turn]))], end=True)
        else:
            exchange.reply(200, b"\0\0\0\0\1y", [("content-type", "application/grpc")], trailers=[("grpc-status", "0")])
    return script


# --- answers of our own


def expect_end(answer, status):
    assert answer.status == 200, answer
    assert answer.get("content-type") == "application/grpc"
    assert answer.get("grpc-status") == str(status), answer
    assert answer.body == b""
    return answer.get("grpc-message")


def test_what_no_route_serves_is_unimplemented(h2_upstreams, start):
    up = h2_upstreams()
    gateway = start({**to(up), "routes": [{"match": {"path": "/other/"}, "upstream": "app"}]})
    assert "route" in expect_end(call(gateway), 12)
    assert gateway.wait_access()["grpc_status"] == 12
    # Others get what they always got.
    assert gateway.ask("POST", body=b"x").status == 404


def test_an_endpoint_that_is_not_there_is_unavailable(h2_upstreams, start):
    up = h2_upstreams()
    up.stop_listening()
    gateway = start(to(up))
    expect_end(call(gateway), 14)
    line = gateway.wait_access()
    assert (line["status"], line["grpc_status"], line["reason"]) == (200, 14, "connect_failed")
    assert gateway.metric("sluice_grpc_responses_total", grpc_status="unavailable") == 1


def test_the_deadline_of_a_call_ends_it(h2_upstreams, start):
    up = h2_upstreams(lambda exchange: exchange.wait_reset())
    gateway = start(to(up))
    expect_end(call(gateway, fields=[("grpc-timeout", "100m")]), 4)
    assert up.wait_requests()[0].get("grpc-timeout").endswith("m")
    assert up.exchanges[0].wait_reset() == 8
    gateway.expect_end("total_timeout")


@pytest.mark.parametrize("http, status", [(401, 16), (403, 7), (404, 12), (429, 14), (503, 14), (500, 2), (400, 13)])
def test_what_a_route_answers_itself_is_told_as_a_status(h2_upstreams, start, http, status):
    up = h2_upstreams()
    gateway = start({**to(up), "routes": [{"respond": {"status": http, "body": "no"}}]})
    expect_end(call(gateway), status)


def test_what_a_plugin_answers_is_told_as_a_status(h2_upstreams, start, binary, tmp_path):
    up = h2_upstreams()
    config = to(up)
    config["plugin_path"] = [os.path.join(os.path.dirname(binary), "plugins")]
    config["routes"][0]["plugins"] = [{"ip_filter": {"deny": ["127.0.0.0/8"]}}]
    gateway = start(config)
    expect_end(call(gateway), 7)
    assert not up.exchanges


# --- ends of calls

MESSAGE = b"\0\0\0\0\5whole"


def begins_with(content, then):
    """A script: the head and this content go out, the rest is then(exchange)."""
    def script(exchange):
        exchange.head(200, [("content-type", "application/grpc")])
        exchange.data(content)
        then(exchange)
    return script


def say_nothing(exchange):
    """Until the gateway has reset the stream, or has gone with its connection."""
    exchange.wait(lambda: exchange.gone, "the end of the call")


@pytest.fixture
def begin(h2_upstreams, start):
    """A call over HTTP/2 whose answer begins with this content and goes on so: its gateway and the whole answer."""
    clients = []

    def make(content, then, fields=(), begun=lambda up: None, **upstream):
        up = h2_upstreams(begins_with(content, then))
        gateway = start(to(up, **upstream))
        client = H2Client(gateway.address)
        clients.append(client)
        stream = client.ask("POST", "/demo.Echo/Say",
                            [("content-type", "application/grpc"), ("te", "trailers"), *fields], b"\0\0\0\0\1x")
        it = client.answers.setdefault(stream, Answer())
        client.wait(lambda: it.body == content or it.ended or it.reset is not None, "the first of the answer")
        begun(up)
        return gateway, client.answer(stream)
    yield make
    for client in clients:
        client.__exit__()


@pytest.fixture
def begin_slowly(begin):
    """The same, of an endpoint that then says nothing: with the shortest time that the head was out in."""
    def make(content, option):
        for ms in (300, 3000, 20000):
            gateway, answer = begin(content, say_nothing, **option(ms))
            if answer.get("grpc-status") is None and answer.body == content:
                break
        return gateway, answer
    return make


def expect_trailers(gateway, answer, status, name, reason):
    assert (answer.status, answer.reset) == (200, None), answer
    trailers = dict(answer.trailers)
    assert trailers["grpc-status"] == str(status) and trailers["grpc-message"], answer
    line = gateway.expect_end(reason)
    assert (line["status"], line["grpc_status"]) == (200, status), line
    gateway.wait_metric(lambda m: m.get("sluice_grpc_responses_total", grpc_status=name) == 1, "the call is counted")


@pytest.mark.parametrize("content", [b"", MESSAGE, MESSAGE * 3], ids=["nothing", "one message", "three messages"])
def test_a_deadline_that_comes_between_messages_is_told_in_trailers(begin_slowly, content):
    gateway, answer = begin_slowly(content, lambda ms: {"fields": [("grpc-timeout", f"{ms}m")]})
    assert answer.body == content
    expect_trailers(gateway, answer, 4, "deadline_exceeded", "total_timeout")


def test_the_total_timeout_is_told_in_trailers(begin_slowly):
    gateway, answer = begin_slowly(MESSAGE, lambda ms: {"timeout": {"total": f"{ms}ms"}})
    expect_trailers(gateway, answer, 4, "deadline_exceeded", "total_timeout")


def test_an_endpoint_that_falls_silent_is_told_in_trailers(begin_slowly):
    gateway, answer = begin_slowly(MESSAGE, lambda ms: {"timeout": {"idle": f"{ms}ms"}})
    expect_trailers(gateway, answer, 14, "unavailable", "upstream_idle_timeout")


def test_an_endpoint_that_dies_between_messages_is_told_in_trailers(begin):
    gateway, answer = begin(MESSAGE, say_nothing,
                            begun=lambda up: up.close_connections())
    assert answer.body == MESSAGE
    expect_trailers(gateway, answer, 14, "unavailable", gateway.wait_access()["reason"])
    assert gateway.wait_access()["reason"] in ("upstream_reset", "upstream_closed")


@pytest.mark.parametrize("code, status, name", [(2, 13, "internal"), (7, 14, "unavailable"), (8, 1, "cancelled"),
                                                (11, 8, "resource_exhausted"), (12, 7, "permission_denied")])
def test_a_reset_between_messages_is_told_as_clients_take_it(begin, code, status, name):
    gateway, answer = begin(MESSAGE, lambda exchange: exchange.reset(code))
    assert answer.body == MESSAGE
    expect_trailers(gateway, answer, status, name, "upstream_reset")


def test_a_reset_before_the_answer_is_told_as_clients_take_it(h2_upstreams, start):
    gateway = start(to(h2_upstreams(lambda exchange: exchange.reset(11))))
    assert "ENHANCE_YOUR_CALM" in expect_end(call(gateway), 8)


@pytest.mark.parametrize("cut", [1, 4, 5, 9])
def test_a_message_that_is_cut_never_looks_whole(begin, cut):
    gateway, answer = begin(MESSAGE + MESSAGE[:cut], lambda exchange: exchange.reset(8))
    assert answer.reset == 2 and not answer.trailers, answer
    assert gateway.expect_end("upstream_reset")["grpc_status"] is None


def test_a_deadline_in_the_middle_of_a_message_cancels_the_call(begin_slowly):
    """After its deadline a client takes that for what it is."""
    gateway, answer = begin_slowly(MESSAGE[:-1], lambda ms: {"fields": [("grpc-timeout", f"{ms}m")]})
    assert answer.reset == 8 and not answer.trailers, answer
    gateway.expect_end("total_timeout")


def test_a_client_of_http_1_gets_the_trailers_too(h2_upstreams, start):
    gateway = start(to(h2_upstreams(begins_with(MESSAGE, lambda exchange: exchange.reset(8)))))
    answer = call(gateway)
    assert answer.body == MESSAGE and dict(answer.trailers)["grpc-status"] == "1"
    assert gateway.expect_end("upstream_reset")["grpc_status"] == 1


def test_what_is_no_call_is_cut(h2_upstreams, start):
    gateway = start(to(h2_upstreams(begins_with(MESSAGE, lambda exchange: exchange.reset(8)))))
    with H2Client(gateway.address) as client:
        answer = client.answer(client.ask("POST", "/", [("content-type", "text/plain")], b"x"))
        assert answer.reset == 2 and not answer.trailers
    gateway.expect_end("upstream_reset")


def test_a_status_in_the_trailers_passes_and_is_told(h2_upstreams, start):
    def script(exchange):
        exchange.read_body()
        exchange.reply(200, b"\0\0\0\0\0", [("content-type", "application/grpc")],
                       trailers=[("grpc-status", "5"), ("grpc-message", "no such thing")])
    gateway = start(to(h2_upstreams(script)))
    answer = call(gateway)
    assert dict(answer.trailers) == {"grpc-status": "5", "grpc-message": "no such thing"}
    assert gateway.wait_access()["grpc_status"] == 5
    assert gateway.metric("sluice_grpc_responses_total", grpc_status="not_found") == 1


def test_trailers_only_pass(h2_upstreams, start):
    gateway = start(to(h2_upstreams(ends(9))))
    answer = call(gateway)
    assert (answer.status, answer.get("grpc-status"), answer.body) == (200, "9", b"")
    assert gateway.wait_access()["grpc_status"] == 9


# --- retries


@pytest.mark.parametrize("word, status", [("cancelled", 1), ("deadline_exceeded", 4), ("resource_exhausted", 8),
                                          ("internal", 13), ("unavailable", 14)])
def test_a_status_that_the_rule_names_is_tried_again(h2_upstreams, start, word, status):
    up = h2_upstreams(ends(status, 0))
    gateway = start(to(up, retry={"grpc": [word], "backoff": {"base": "0s", "max": "0s"}}))
    answer = call(gateway)
    assert dict(answer.trailers)["grpc-status"] == "0" and answer.body == b"\0\0\0\0\1y"
    assert [e.body for e in up.exchanges] == [b"\0\0\0\0\1x"] * 2
    line = gateway.wait_access()
    assert (line["tries"], line["retry_reasons"], line["grpc_status"]) == (2, "grpc", 0)
    assert gateway.metric("sluice_upstream_retries_total", upstream="app", cause="grpc") == 1


def test_a_status_that_no_rule_names_is_told(h2_upstreams, start):
    up = h2_upstreams(ends(14))
    gateway = start(to(up, retry={"grpc": ["internal"]}))
    assert call(gateway).get("grpc-status") == "14"
    assert len(up.exchanges) == 1


def pushing_back(*values):
    """A script: each call in turn is unavailable with one of these for grpc-retry-pushback-ms; then all are well."""
    def script(exchange):
        exchange.read_body()
        exchange.at = time.monotonic()
        turn = exchange.conn.upstream.exchanges.index(exchange)
        if turn < len(values):
            pushback = [("grpc-retry-pushback-ms", value) for value in values[turn]]
            exchange.head(200, [("content-type", "application/grpc"), ("grpc-status", "14"), *pushback], end=True)
        else:
            exchange.reply(200, b"\0\0\0\0\1y", [("content-type", "application/grpc")], trailers=[("grpc-status", "0")])
    return script


RETRY = {"grpc": ["unavailable"], "backoff": {"base": "0s", "max": "0s"}}


def test_a_call_is_sent_again_when_its_endpoint_says(h2_upstreams, start):
    up = h2_upstreams(pushing_back(["700"], ["0"]))
    gateway = start(to(up, retry=RETRY))
    assert dict(call(gateway).trailers)["grpc-status"] == "0"
    first, second, _ = up.exchanges
    assert second.at - first.at >= 0.69
    assert gateway.wait_access()["retry_reasons"] == "grpc,grpc"
    assert gateway.metric("sluice_upstream_retries_refused_total", upstream="app", cause="retry_after") == 0


@pytest.mark.parametrize("values", [["-1"], ["soon"], [""], ["1.5"], ["2147483648"], ["0", "0"]])
def test_a_call_is_not_sent_again_when_its_endpoint_forbids(h2_upstreams, start, values):
    up = h2_upstreams(pushing_back(values))
    gateway = start(to(up, retry=RETRY))
    answer = call(gateway)
    assert answer.get("grpc-status") == "14" and answer.get("grpc-retry-pushback-ms") == values[0]
    assert len(up.exchanges) == 1
    assert gateway.metric("sluice_upstream_retries_refused_total", upstream="app", cause="retry_after") == 1


@pytest.mark.parametrize("fields, timeout", [([("grpc-timeout", "60S")], {}), ([], {"response": "60s"}),
                                             ([], {"total": "60s"})])
def test_a_call_that_would_wait_too_long_is_told_at_once(h2_upstreams, start, fields, timeout):
    up = h2_upstreams(pushing_back(["60001"]))
    gateway = start(to(up, retry=RETRY, timeout=timeout))
    assert call(gateway, fields=fields).get("grpc-retry-pushback-ms") == "60001"
    assert len(up.exchanges) == 1


def test_who_pushes_back_is_no_matter_without_a_call(h2_upstreams, start):
    def script(exchange):
        exchange.read_body()
        exchange.reply(503 if len(up.exchanges) == 1 else 200, b"", [("grpc-retry-pushback-ms", "-1")])
    up = h2_upstreams(script)
    gateway = start(to(up, retry={**RETRY, "on": [503]}))
    assert gateway.ask("GET").status == 200


def test_calls_that_fail_eject_their_endpoint(h2_upstreams, start):
    bad = h2_upstreams(ends(14))
    good = h2_upstreams(ends(0))
    gateway = start(to(bad, good, outlier_detection={"consecutive_5xx": 3, "base_ejection_time": "60s"}))
    for _ in range(10):
        call(gateway)
    gateway.wait_metric(lambda m: m.get("sluice_upstream_ejections_total", upstream="app") >= 1, "an ejection")
    before = len(bad.exchanges)
    for _ in range(4):
        assert dict(call(gateway).trailers)["grpc-status"] == "0"
    assert len(bad.exchanges) == before
