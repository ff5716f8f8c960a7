"""basic_auth before an upstream: real hashes, checked on helper threads; others go on meanwhile."""

import base64
import json
import os
import subprocess
import threading

import pytest

from raw import wait_until


def hashed(password, kind="bcrypt", rounds=5):
    """As mkpasswd makes it."""
    command = ["mkpasswd", "-m", kind, "-R", str(rounds), "-s"]
    return subprocess.run(command, input=password, capture_output=True, text=True, check=True).stdout.strip()


def basic(name, password):
    return [("Authorization", "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode())]


def plugin_folder(binary):
    return os.path.join(os.path.dirname(binary), "plugins")


@pytest.fixture(scope="module")
def users():
    return {"alice": {"password": hashed("open sesame"), "groups": ["staff"]},
            "bob": hashed("sésame", "sha-512", 1000), "carol": hashed("open:sesame", "yescrypt", 1),
            "dave": hashed("x" * 100, "sha-256", 1000)}


@pytest.fixture
def serve(start, binary, upstream):
    def begin(options, workers=1, plugins=None, **more):
        return start({"workers": workers, "plugin_path": [plugin_folder(binary)],
                      "access_log": {"path": "access.log", "format": "json",
                                     "fields": ["status", "path", "reason", "notes", "attr.consumer.name",
                                                "attr.consumer.groups", "attr.auth.method"]},
                      "routes": [{"name": "open", "match": {"path": "/open"}, "upstream": "app"},
                                 {"name": "all", "upstream": "app", "plugins": plugins or [{"basic_auth": options}]}],
                      "upstreams": {"app": {"endpoints": [upstream.address]}}, **more})
    return begin


def checks(gateway, result):
    page = gateway.metrics()
    return page.get("sluice_plugin_basic_auth_checks_total", result=result) if page.has(
        "sluice_plugin_basic_auth_checks_total", result=result) else 0


def test_passwords_of_each_scheme_are_verified(serve, users, upstream):
    gateway = serve({"users": users, "strip": True, "consumer_field": "X-User"})
    for name, password in (("alice", "open sesame"), ("bob", "sésame"), ("carol", "open:sesame"), ("dave", "x" * 100)):
        for _ in range(2):  # the second time it is known
            answer = gateway.ask(fields=basic(name, password) + [("X_User", "root")])
            assert answer.status == 200, name
            assert (upstream.last.all("x-user"), upstream.last.all("x_user")) == ([name], [])
            assert upstream.last.get("authorization") is None
    assert checks(gateway, "right") == 4
    assert gateway.metric("sluice_plugin_basic_auth_requests_total", result="passed") == 8
    lines = gateway.wait_access(8)
    assert (lines[0]["attr.consumer.name"], lines[0]["attr.consumer.groups"], lines[0]["attr.auth.method"]) == (
        "alice", "staff", "basic_auth")


def test_refusals_say_why_and_never_what(serve, users, upstream):
    gateway = serve({"users": users, "groups": ["staff"], "realm": "orders"})
    cases = [([], 401, "basic_auth_missing"), ([("Authorization", "Bearer abc")], 401, "basic_auth_missing"),
             (basic("alice", "wrong-guess"), 401, "basic_auth_wrong"),
             (basic("mallory", "wrong-guess"), 401, "basic_auth_wrong"),
             ([("Authorization", "Basic !")], 401, "basic_auth_malformed"),
             (basic("bob", "sésame"), 403, "basic_auth_group"),
             (basic("alice", "open sesame") * 2, 400, "basic_auth_several")]
    for number, (fields, status, word) in enumerate(cases):
        answer = gateway.ask(fields=fields)
        assert answer.status == status, word
        assert answer.get("www-authenticate") == (
            'Basic realm="orders", charset="UTF-8"' if status == 401 else None), word
        wait_until(lambda number=number: len(gateway.access_log()) > number, what="the line")
        assert gateway.access_log()[-1]["notes"] == word
        assert gateway.access_log()[-1]["attr.consumer.name"] is None
    assert checks(gateway, "wrong") == 2
    assert not upstream.requests
    logs = gateway.stderr() + json.dumps(gateway.access_log())
    for secret in ("sesame", "wrong-guess", "$2"):
        assert secret not in logs


def test_who_checks_passwords_holds_nobody_else(serve, upstream):
    """While helpers are busy with an expensive hash, requests without passwords pass at once."""
    options = {"users": {"slow": hashed("p", rounds=13)}, "max_checks": 2, "cache": "0s"}
    gateway = serve(None, plugins=[{"basic_auth": options, "wait": "30s"}], helpers={"threads": 1})
    answers = []

    def guess(number):
        answers.append(gateway.ask(fields=basic("slow", f"guess-{number}")))
    threads = [threading.Thread(target=guess, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert gateway.ask(target="/open").status == 200
    for thread in threads:
        thread.join()
    statuses = sorted(answer.status for answer in answers)
    assert set(statuses) <= {401, 503} and 401 in statuses and 503 in statuses
    busy = next(answer for answer in answers if answer.status == 503)
    assert busy.get("retry-after") == "1"
    assert checks(gateway, "wrong") == statuses.count(401)
    assert gateway.metric("sluice_plugin_basic_auth_requests_total", result="basic_auth_busy") == statuses.count(503)


def test_the_same_credentials_wait_for_one_check(serve):
    options = {"users": {"slow": hashed("p", rounds=12)}}
    gateway = serve(None, plugins=[{"basic_auth": options, "wait": "30s"}], helpers={"threads": 2})
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(gateway.ask(fields=basic("slow", "p")).status))
               for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 8
    assert checks(gateway, "right") == 1


def test_a_changed_file_is_served_without_a_reload(serve, tmp_path):
    file = tmp_path / "htpasswd"

    def write(text):
        (tmp_path / "new").write_text(text)
        os.replace(tmp_path / "new", file)
    write(f"# users\nalice:{hashed('one')}:staff\n")
    gateway = serve({"file": str(file), "file_interval": "50ms", "cache": "1h", "groups": ["staff"]}, workers=2)
    assert gateway.ask(fields=basic("alice", "one")).status == 200
    write(f"alice:{hashed('two')}:staff\nbob:{hashed('one')}\n")
    wait_until(lambda: gateway.ask(fields=basic("alice", "two")).status == 200, what="the new password")
    for _ in range(5):
        assert gateway.ask(fields=basic("alice", "one")).status == 401
    assert gateway.ask(fields=basic("bob", "one")).status == 403
    write("alice:$apr1$abcdefgh$0123456789abcdef012345\n")
    gateway.wait_metric(lambda page: page.has("sluice_plugin_basic_auth_loads_total", result="failed"), "a failed load")
    assert gateway.ask(fields=basic("alice", "two")).status == 200


def test_any_of_several_ways_is_enough(serve, users, upstream):
    gateway = serve(None, plugins=[{"any_of": [
        {"api_key": {"consumers": {"shop": {"keys": "shop-0123456789ab"}}}},
        {"basic_auth": {"users": users}}]}])
    assert gateway.ask(fields=[("X-API-Key", "shop-0123456789ab")]).status == 200
    assert gateway.ask(fields=basic("alice", "open sesame")).status == 200
    assert gateway.ask(fields=basic("alice", "open sesame")).status == 200  # from the cache
    refused = gateway.ask(fields=[("X-API-Key", "wrong")])
    assert (refused.status, refused.get("www-authenticate")) == (401, 'Basic realm="api", charset="UTF-8"')
    lines = gateway.wait_access(4)
    assert [(line["attr.consumer.name"], line["attr.auth.method"]) for line in lines] == [
        ("shop", "api_key"), ("alice", "basic_auth"), ("alice", "basic_auth"), (None, None)]
    assert "api_key_unknown" in lines[3]["notes"] and "basic_auth_missing" in lines[3]["notes"]
    assert len(upstream.requests) == 3


def test_weak_hashes_are_refused_with_their_place(sluice, binary, tmp_path):
    (tmp_path / "htpasswd").write_text("a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
    file = tmp_path / "sluice.yaml"
    file.write_text(f"""plugin_path: ["{plugin_folder(binary)}"]
listeners: [{{bind: "127.0.0.1:0"}}]
routes:
  - echo: true
    plugins:
      - basic_auth:
          users:
            a: plain-secret
            b: "$apr1$abcdefgh$0123456789abcdef012345"
          file: {tmp_path}/htpasswd
""")
    ran = sluice("check", "-c", str(file))
    told = ran.stdout + ran.stderr
    assert ran.returncode != 0
    for place, what in ((8, "this is no hash"), (9, "MD5"), (10, "line 1: {SHA}")):
        assert f"sluice.yaml:{place}:" in told and what in told
    assert told.count("plain-secret") <= 1  # the line that is shown
