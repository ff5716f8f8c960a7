"""ext_auth with a real service: what it is told, what its answers do, and what happens without it."""

import os

import pytest

from raw import wait_until


def plugin_folder(binary):
    return os.path.join(os.path.dirname(binary), "plugins")


def by(token):
    return [("Authorization", f"Bearer {token}")]


class Service:
    """Tokens it knows pass; others do not."""

    def __init__(self, server):
        self.server = server
        self.address = server.address
        self.tokens = {"good": [("X-User", "alice"), ("X-Groups", "staff,ops"), ("Set-Cookie", "seen=1")],
                       "plain": [("X-User", "bob")]}
        self.bodies = []
        server.script = self.serve

    @property
    def asked(self):
        return self.server.requests

    def serve(self, ex):
        self.bodies.append(ex.read_body())
        token = (ex.get("authorization") or "").removeprefix("Bearer ")
        if token == "broken":
            ex.reply(500, b"oops")
        elif token == "large":
            ex.reply(403, b"x" * 100_000)
        elif token == "silent":
            ex.wait_gone()
        elif token == "login":
            ex.reply(302, b"", [("Location", "https://login.example/"), ("Set-Cookie", "csrf=1"), ("X-Inside", "1")])
        elif token in self.tokens:
            ex.reply(200, b"fine", self.tokens[token])
        else:
            ex.reply(401, b"<p>who?</p>", [("WWW-Authenticate", 'Bearer realm="service"'), ("Content-Type", "text/html")])


@pytest.fixture
def service(upstreams):
    return Service(upstreams())


@pytest.fixture
def serve(start, binary, upstream, service):
    def begin(options=None, workers=1, **more):
        options = {"target": "auth/check?from=gateway", "upstream_fields": ["X-User", "X-Groups"],
                   "client_fields": ["Set-Cookie"], "consumer_field": "X-User", "groups_field": "X-Groups",
                   **(options or {})}
        return start({"workers": workers, "plugin_path": [plugin_folder(binary)],
                      "access_log": {"path": "access.log", "format": "json",
                                     "fields": ["status", "path", "reason", "notes", "attr.consumer.name",
                                                "attr.consumer.groups", "attr.auth.method"]},
                      "routes": [{"name": "all", "upstream": "app", "plugins": [{"ext_auth": options}]}],
                      "upstreams": {"app": {"endpoints": [upstream.address]},
                                    "auth": {"endpoints": [service.address]}}, **more})
    return begin


def count(gateway, result):
    page = gateway.metrics()
    name = "sluice_plugin_ext_auth_requests_total"
    return page.get(name, result=result) if page.has(name, result=result) else 0


def test_the_service_is_told_and_heard(serve, service, upstream):
    gateway = serve()
    forged = [("X-User", "root"), ("x_user", "root"), ("X-Original-URI", "/public"), ("X-Other", "o")]
    answer = gateway.ask("DELETE", "/orders/1?x=1", fields=by("good") + forged)
    assert (answer.status, answer.get("set-cookie")) == (200, "seen=1")
    told = service.asked[-1]
    assert (told.method, told.target) == ("GET", "/check?from=gateway")
    assert told.all("x-original-uri") == ["/orders/1?x=1"]
    assert (told.get("x-original-method"), told.get("x-forwarded-method")) == ("DELETE", "DELETE")
    assert (told.get("x-forwarded-host"), told.get("x-forwarded-proto")) == ("test.example", "http")
    assert told.get("x-forwarded-for") == "127.0.0.1"
    assert told.get("authorization") == "Bearer good"
    assert told.get("x-other") is None and told.get("x-user") is None
    seen = upstream.last
    assert (seen.all("x-user"), seen.all("x_user"), seen.all("x-groups")) == (["alice"], [], ["staff,ops"])
    assert seen.get("set-cookie") is None
    assert seen.target == "/orders/1?x=1" and seen.method == "DELETE"
    line = gateway.wait_access()
    assert (line["attr.consumer.name"], line["attr.consumer.groups"], line["attr.auth.method"]) == (
        "alice", "staff,ops", "ext_auth")
    assert count(gateway, "allowed") == 1
    assert gateway.metric("sluice_plugin_ext_auth_calls_total", result="ok") == 1
    assert gateway.metric("sluice_plugin_ext_auth_call_seconds_count") == 1


def test_a_connection_serves_many_questions(serve, service):
    gateway = serve()
    for _ in range(5):
        assert gateway.ask(fields=by("good")).status == 200
        assert gateway.ask(fields=by("nobody")).status == 401
    assert len(service.asked) == 10
    assert gateway.metric("sluice_upstream_connects_total", upstream="auth") < 5, "as a rule it is one"


def test_refusals_are_the_services(serve, upstream):
    gateway = serve()
    answer = gateway.ask(fields=by("unknown"))
    assert (answer.status, answer.body, answer.get("content-type")) == (401, b"<p>who?</p>", "text/html")
    assert answer.get("www-authenticate") == 'Bearer realm="service"'
    answer = gateway.ask(fields=by("login"))
    assert (answer.status, answer.get("location"), answer.get("set-cookie")) == (302, "https://login.example/", "csrf=1")
    assert answer.get("x-inside") is None
    assert [line["notes"] for line in gateway.wait_access(2)] == ["ext_auth_unauthorized", "ext_auth_denied"]
    assert count(gateway, "denied") == 2
    assert not upstream.requests


@pytest.mark.parametrize("mode, status", [("closed", 502), ("open", 200)])
def test_without_an_answer_the_mode_decides(serve, service, upstream, mode, status):
    gateway = serve({"failure_mode": mode, "failure_status": 502, "timeout": "200ms"})
    for token in ("broken", "silent"):
        assert gateway.ask(fields=by(token) + [("X-User", "root")]).status == status, token
    assert gateway.ask(fields=by("large")).status == 502  # an answer it is, so nobody passes
    service.server.stop_listening()
    service.server.close_connections()
    assert gateway.ask(fields=by("good") + [("X-User", "root")]).status == status
    assert count(gateway, "failed_open" if mode == "open" else "failed") >= 3
    assert all(request.get("x-user") is None for request in upstream.requests)
    assert len(upstream.requests) == (3 if mode == "open" else 0)
    assert {line["notes"].split(",")[0] for line in gateway.wait_access(4)} == {"ext_auth_failed"}
    calls = gateway.metrics()
    for result in ("error", "timeout", "too_large", "unreachable"):
        assert calls.has("sluice_plugin_ext_auth_calls_total", result=result), result


def test_content_goes_to_both(serve, service, upstream):
    got = []
    upstream.script = lambda ex: (got.append(ex.read_body()), ex.reply())
    gateway = serve({"body": "1KiB", "method": "original"})
    assert gateway.ask("POST", "/a", fields=by("good") + [("Content-Type", "text/x")], body=b"hello").status == 200
    assert service.bodies[-1] == b"hello" and got == [b"hello"]
    assert (service.asked[-1].method, service.asked[-1].get("content-type")) == ("POST", "text/x")
    assert gateway.ask("POST", "/a", fields=by("good"), body=b"x" * 2000).status == 413
    assert gateway.ask("POST", "/a", fields=by("unknown"), body=b"hello").status == 401
    assert len(got) == 1
    assert gateway.ask("GET", "/a", fields=by("good")).status == 200
    assert service.asked[-1].method == "GET"


def test_content_is_not_sent_unless_asked_for(serve, service, upstream):
    got = []
    upstream.script = lambda ex: (got.append(ex.read_body()), ex.reply())
    gateway = serve()
    assert gateway.ask("POST", "/a", fields=by("good"), body=b"x" * 200_000).status == 200
    assert service.bodies[-1] == b"" and service.asked[-1].get("content-type") is None
    assert got == [b"x" * 200_000]


def test_decisions_are_remembered_by_their_key(serve, service, upstream):
    gateway = serve({"cache": {"key": "${request.field.authorization} ${request.path}", "ttl": "1h", "denied_ttl": "1h"}})
    for _ in range(5):
        assert gateway.ask(target="/a", fields=by("plain")).status == 200
        assert upstream.last.get("x-user") == "bob"
        assert gateway.ask(target="/a", fields=by("unknown")).status == 401
    assert len(service.asked) == 2
    assert (count(gateway, "cached_allowed"), count(gateway, "cached_denied")) == (4, 4)
    assert gateway.ask(target="/b", fields=by("plain")).status == 200
    assert len(service.asked) == 3
    for _ in range(2):  # with a cookie for one client
        assert gateway.ask(target="/a", fields=by("good")).get("set-cookie") == "seen=1"
    assert len(service.asked) == 5
    service.tokens.clear()
    gateway.must_reload()  # a reload of the same keeps the place; what is served is still right
    assert gateway.ask(target="/c", fields=by("plain")).status == 401
    assert {line["attr.consumer.name"] for line in gateway.wait_access(8, status=200)} == {"bob", "alice"}


def test_a_client_that_leaves_ends_its_question(serve, service):
    gateway = serve({"timeout": "1500ms"})
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer silent\r\n\r\n")
        wait_until(lambda: service.asked, what="the question")
        client.reset()
    wait_until(lambda: gateway.metric("sluice_worker_exchanges_active") == 0, what="the end")
    assert gateway.ask(fields=by("good")).status == 200


def test_a_url_is_asked_with_the_path_appended(serve, service):
    gateway = serve({"target": f"http://{service.address}/v1", "append_path": True})
    assert gateway.ask(target="/a/b?x=1", fields=by("good")).status == 200
    assert service.asked[-1].target == "/v1/a/b?x=1"
    assert service.asked[-1].get("host") == service.address
