"""gRPC through the gateway: ends of calls, answers of our own, retries.

What a call is told here by raw requests does not depend on who asks; real clients are below.
"""

import os

import pytest

from gateway import plain

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
