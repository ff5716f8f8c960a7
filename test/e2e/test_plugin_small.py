"""The plugins request_id, cors, headers, ip_filter and fault in a real gateway."""

import json
import re


UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def with_plugins(upstream, *entries, **more):
    return {"upstreams": {"app": {"endpoints": [upstream.address]}},
            "routes": [{"name": "all", "upstream": "app"}], "plugins": list(entries), **more}


def test_request_id_is_the_same_everywhere(start, upstream):
    gateway = start(with_plugins(upstream, {"request_id": {}}))
    answer = gateway.ask(fields=[("X-Request-Id", "mine")])
    made = answer.get("x-request-id")
    assert answer.status == 200 and UUID7.fullmatch(made)
    assert upstream.requests[0].all("x-request-id") == [made]


def test_request_id_of_a_trusted_peer_is_kept(start, upstream):
    gateway = start(with_plugins(upstream, {"request_id": {"trust": ["127.0.0.0/8", "::1"]}}))
    answer = gateway.ask(fields=[("X-Request-Id", "theirs-1")])
    assert answer.get("x-request-id") == "theirs-1"
    assert gateway.ask(fields=[("X-Request-Id", "not theirs")]).get("x-request-id") != "not theirs"


def test_an_answer_of_a_later_plugin_carries_the_id(start):
    gateway = start({"routes": [{"name": "none", "echo": True,
                                 "plugins": [{"request_id": {"trust": ["127.0.0.0/8"]}},
                                             {"ip_filter": {"otherwise": "deny"}}]}]})
    answer = gateway.ask(fields=[("X-Request-Id", "theirs-2")])
    assert answer.status == 403 and answer.get("x-request-id") == "theirs-2"
    assert json.loads(answer.body)["reason"] == "ip_denied"
    gateway.expect_end("plugin_replied")


def test_cors_answers_preflights_and_adds_fields(start, upstream):
    gateway = start(with_plugins(upstream, {"cors": {"origins": ["https://*.app.example"], "credentials": True,
                                                     "expose_fields": ["etag"]}}))
    asked = [("Origin", "https://a.app.example"), ("Access-Control-Request-Method", "PUT")]
    preflight = gateway.ask("OPTIONS", fields=asked)
    assert preflight.status == 204 and not upstream.requests
    assert preflight.get("access-control-allow-origin") == "https://a.app.example"
    assert "PUT" in preflight.get("access-control-allow-methods")
    answer = gateway.ask(fields=asked[:1])
    assert answer.get("access-control-allow-credentials") == "true"
    assert answer.get("access-control-expose-headers") == "etag"
    assert answer.get("vary") == "Origin"
    stranger = gateway.ask(fields=[("Origin", "https://evil.example")])
    assert stranger.status == 200 and stranger.get("access-control-allow-origin") is None


def test_headers_change_both_ways_and_for_each_try(start, upstream):
    gateway = start(with_plugins(upstream, {"headers": {
        "request": {"remove": ["x-internal-*"], "rename": {"x-old": "x-new"},
                    "set": {"x-client": "of $${client.address}", "x-user": "$${consumer.name}"}},
        "attempt": {"set": {"x-endpoint": "$${endpoint}"}},
        "response": {"remove": ["server"], "default": {"x-frame-options": "DENY"}}}}))
    answer = gateway.ask(fields=[("X-Internal-A", "1"), ("X-Old", "o"), ("X-User", "forged")])
    seen = upstream.requests[0]
    assert (seen.get("x-internal-a"), seen.get("x-old"), seen.get("x-new")) == (None, None, "o")
    assert seen.get("x-client") == "of 127.0.0.1" and seen.get("x-user") is None
    assert seen.get("x-endpoint") == upstream.address
    assert answer.get("x-frame-options") == "DENY"


def test_ip_filter_follows_trusted_proxies_and_a_reload_of_its_file(start, upstream, tmp_path):
    listed = tmp_path / "drop.txt"
    listed.write_text("203.0.113.0/24 ; a list\n", encoding="utf-8")
    gateway = start(with_plugins(upstream, {"ip_filter": {"deny_files": [str(listed)], "status": 451}},
                                 listeners=[{"name": "main", "bind": "127.0.0.1:0",
                                             "forwarded": {"trust": ["127.0.0.0/8"]}}]))

    def of(client):
        return gateway.ask(fields=[("X-Forwarded-For", client)]).status

    assert (of("203.0.113.9"), of("198.51.100.9")) == (451, 200)
    gateway.expect_end("plugin_replied")
    listed.write_text("198.51.100.0/24\n", encoding="utf-8")
    gateway.must_reload()
    assert (of("203.0.113.9"), of("198.51.100.9")) == (200, 451)
    listed.write_text("198.51.100.0/24\nnonsense\n", encoding="utf-8")
    assert gateway.reload()[0] != 200
    assert of("198.51.100.9") == 451, "the old list stays"


def test_fault_aborts_those_who_ask(start, upstream):
    gateway = start(with_plugins(upstream, {"fault": {"abort_field": "x-abort"}},
                                 access_log={"path": "access.log", "format": "json", "fields": ["status", "path", "reason", "notes"]}))
    assert gateway.ask().status == 200
    answer = gateway.ask(target="/abort", fields=[("X-Abort", "503")])
    assert (answer.status, json.loads(answer.body)["reason"]) == (503, "fault_abort")
    assert gateway.wait_access(1, status=503)["notes"] == "fault_abort"  # noted, and the reason of the answer
    gateway.expect_end("plugin_replied", path="/abort")
    assert len(upstream.requests) == 1


def test_fault_delays_until_the_client_or_the_wait_ends(start, upstream):
    gateway = start(with_plugins(upstream, {"fault": {"delay_field": "x-delay"}}))
    late = gateway.ask(target="/late", fields=[("X-Delay", "3000")])
    assert late.status == 500, "the entry's wait is over before"
    gateway.expect_end("plugin_timeout", path="/late")
    assert gateway.ask(fields=[("X-Delay", "30")]).status == 200
    with gateway.client() as client:
        client.send(b"GET /held HTTP/1.1\r\nHost: a\r\nX-Delay: 1900\r\n\r\n")
        gateway.wait_metric(lambda m: m.get("sluice_worker_exchanges_active") == 1, "a request under way")
    gateway.expect_end("client_closed", path="/held")
