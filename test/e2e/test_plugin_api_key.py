"""api_key before an upstream: keys of the configuration and of a file, what goes on, what is logged."""

import hashlib
import json
import os

import pytest

from raw import wait_until

SHOP, ADMIN = "shop-0123456789ab", "admin-0123456789a"


def plugin_folder(binary):
    return os.path.join(os.path.dirname(binary), "plugins")


def digest(key):
    return hashlib.sha256(key.encode()).hexdigest()


def write(path, text):
    """As who cares for a file of keys should."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    os.replace(beside, path)


def by(key):
    return [("X-API-Key", key)]


CONSUMERS = {"consumers": {"shop": {"groups": ["readers"], "keys": [SHOP, "sha256:" + digest("shop-next-0123456")]},
                           "admin": {"groups": ["readers", "writers"], "keys": ADMIN}}}


@pytest.fixture
def serve(start, binary, upstream):
    def begin(options, workers=1, after=(), entry=None, **more):
        return start({"workers": workers, "plugin_path": [plugin_folder(binary)],
                      "access_log": {"path": "access.log", "format": "json",
                                     "fields": ["status", "path", "reason", "notes", "attr.consumer.name",
                                                "attr.consumer.groups", "attr.auth.method"]},
                      "routes": [{"name": "all", "upstream": "app",
                                  "plugins": [{"api_key": options, **(entry or {})}, *after]}],
                      "upstreams": {"app": {"endpoints": [upstream.address]}}, **more})
    return begin


def test_a_key_says_who_it_is(serve, upstream):
    gateway = serve({**CONSUMERS, "consumer_field": "X-Consumer", "groups_field": "X-Groups", "strip": "all"})
    forged = [("X-Consumer", "root"), ("x_consumer", "root"), ("X-Groups", "root")]
    assert gateway.ask(fields=by(SHOP) + forged).status == 200
    seen = upstream.last
    assert (seen.all("x-consumer"), seen.all("x_consumer"), seen.all("x-groups")) == (["shop"], [], ["readers"])
    assert seen.get("x-api-key") is None
    assert gateway.ask(fields=by("shop-next-0123456")).status == 200
    assert gateway.ask(fields=by(ADMIN)).status == 200
    assert upstream.last.get("x-groups") == "readers,writers"
    lines = gateway.wait_access(3)
    assert [line["attr.consumer.name"] for line in lines] == ["shop", "shop", "admin"]
    assert {line["attr.auth.method"] for line in lines} == {"api_key"}
    assert gateway.metric("sluice_plugin_api_key_requests_total", result="passed") == 3


def test_refusals_say_why_and_never_what(serve, upstream):
    gateway = serve({**CONSUMERS, "groups": ["writers"], "query": "key", "realm": "orders"})
    cases = [([], "/", 401, "api_key_missing"), (by("wrong-secret-key"), "/", 401, "api_key_unknown"),
             ([], "/?key=wrong-secret-key", 401, "api_key_unknown"), (by(SHOP), "/", 403, "api_key_group"),
             (by(ADMIN), "/?key=" + SHOP, 400, "api_key_several")]
    for number, (fields, target, status, word) in enumerate(cases):
        answer = gateway.ask(target=target, fields=fields)
        assert answer.status == status, word
        assert answer.get("www-authenticate") == ('ApiKey realm="orders"' if status == 401 else None)
        line = gateway.wait_access(number + 1)
        line = line if isinstance(line, dict) else line[-1]
        assert (line["status"], line["notes"], line["attr.consumer.name"]) == (status, word, None)
    assert gateway.metric("sluice_plugin_api_key_requests_total", result="api_key_unknown") == 2
    assert not upstream.requests
    logs = gateway.stderr() + json.dumps(gateway.access_log())
    for secret in (SHOP, ADMIN, "wrong-secret-key"):
        assert secret not in logs


def test_a_key_in_the_query_or_a_cookie_is_taken_out(serve, upstream):
    gateway = serve({**CONSUMERS, "query": "key", "cookie": "key", "strip": "all"})
    assert gateway.ask(target=f"/a?x=1&key={SHOP}&y=2").status == 200
    assert upstream.last.target == "/a?x=1&y=2"
    assert gateway.ask(fields=[("Cookie", f"a=b; key={SHOP}; c=d")]).status == 200
    assert upstream.last.get("cookie") == "a=b; c=d"


def test_a_dry_run_lets_everybody_in(serve):
    gateway = serve({**CONSUMERS, "dry_run": True})
    assert gateway.ask().status == 200
    assert gateway.ask(fields=by("wrong")).status == 200
    assert [line["notes"] for line in gateway.wait_access(2)] == ["api_key_missing", "api_key_unknown"]


def test_a_changed_file_is_served_without_a_reload(serve, tmp_path):
    file = tmp_path / "keys.txt"
    lines = [f"c{i}::{digest(f'key-{i}')}\n" for i in range(100_000)]
    write(file, "".join(lines))
    gateway = serve({"file": str(file), "file_interval": "50ms"}, workers=2)
    for i in (0, 54321, 99_999):
        assert gateway.ask(fields=by(f"key-{i}")).status == 200
    assert gateway.ask(fields=by("key-100000")).status == 401
    write(file, f"# one is left\nnew:readers:sha256:{digest('key-100000')} until=2099-01-01\n")
    wait_until(lambda: gateway.ask(fields=by("key-100000")).status == 200, what="the new key")
    for _ in range(20):  # on each worker
        assert gateway.ask(fields=by("key-0")).status == 401
        assert gateway.ask(fields=by("key-100000")).status == 200
    write(file, "new:readers:cut\n")
    gateway.wait_metric(lambda page: page.has("sluice_plugin_api_key_loads_total", result="failed"), "a failed load")
    assert gateway.ask(fields=by("key-100000")).status == 200
    assert any("line 1: a digest is" in json.dumps(record) for record in gateway.log())
    assert gateway.metric("sluice_plugin_api_key_loads_total", result="done") == 1


def test_a_reload_changes_the_keys(serve, upstream):
    gateway = serve({"consumers": {"a": {"keys": "first-0123456789"}}})
    assert gateway.ask(fields=by("first-0123456789")).status == 200
    with open(gateway.file, encoding="utf-8") as file:
        text = file.read()
    gateway.must_reload(text.replace("first-0123456789", "other-0123456789"))
    assert gateway.ask(fields=by("first-0123456789")).status == 401
    assert gateway.ask(fields=by("other-0123456789")).status == 200


def test_each_consumer_has_its_own_limit(serve):
    gateway = serve(CONSUMERS, after=[{"rate_limit": {"rate": "2/h", "key": "consumer"}}])
    assert [gateway.ask(fields=by(SHOP)).status for _ in range(3)] == [200, 200, 429]
    assert gateway.ask(fields=by(ADMIN)).status == 200


def test_mistakes_are_told_with_their_place(sluice, binary, tmp_path):
    file = tmp_path / "sluice.yaml"
    file.write_text(f"""plugin_path: ["{plugin_folder(binary)}"]
listeners: [{{bind: "127.0.0.1:0"}}]
routes:
  - echo: true
    plugins:
      - api_key:
          consumers:
            a: {{keys: "sha256:12"}}
          groups: ["a b"]
""")
    ran = sluice("check", "-c", str(file))
    told = ran.stdout + ran.stderr
    assert ran.returncode != 0
    assert "sluice.yaml:8:" in told and "64 hexadecimal digits" in told
    assert "sluice.yaml:9:" in told
