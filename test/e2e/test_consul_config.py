"""Pieces of the configuration that lie in the key-value store of a real Consul."""

import os
import signal
import urllib.request

import pytest
from consul import HAS_CONSUL, Consul
from gateway import read_text
from raw import wait_until

pytestmark = pytest.mark.skipif(not HAS_CONSUL, reason="no consul: scripts/install-deps test")

HELLO = "routes:\n  - match: {{ path: /hello }}\n    respond: {{ status: 200, body: {0} }}\n"


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    consul = Consul(tmp_path_factory.mktemp("consul")).start()
    yield consul
    consul.stop()


def put(agent, key, text):
    request = urllib.request.Request(f"{agent.address}/v1/kv/{key}", data=text.encode(), method="PUT")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.read().strip() == b"true"


def remove(agent, key, recurse=False):
    agent.ask(f"/v1/kv/{key}" + ("?recurse" if recurse else ""), "DELETE")


def configured(agent, prefix, **more):
    return {"consul": {"address": agent.address, "config": {"prefix": prefix, "debounce": "50ms",
                                                            **more.pop("config", {})}, **more.pop("consul", {})},
            "routes": [{"match": {"path": "/file"}, "respond": {"status": 200, "body": "file"}}], **more}


def says(gateway, text, path="/hello"):
    wait_until(lambda: gateway.ask(target=path).body.decode() == text, deadline_s=20,
               what=f"{text} from {path}: {gateway.ask(target=path)}")


def state(gateway):
    return [s[1]["state"] for s in gateway.metrics().find("sluice_consul_config_state")][0]


def test_pieces_are_there_from_the_start_and_change_like_a_reload(agent, start, upstreams):
    up = upstreams()
    put(agent, "live/routes.yaml", HELLO.format("one"))
    put(agent, "live/sub/app.yaml", f"upstreams:\n  app: {{ endpoints: [ \"{up.address}\" ] }}\n"
        "routes:\n  - match: { path: /app }\n    upstream: app\n")
    gateway = start(configured(agent, "live"))
    assert gateway.ask(target="/hello").body == b"one"  # the first answer already
    assert gateway.ask(target="/file").body == b"file"
    assert gateway.ask(target="/app").status == 200
    put(agent, "live/routes.yaml", HELLO.format("two"))
    says(gateway, "two")
    assert gateway.metric("sluice_config_reloads_total", result="applied") == 1
    assert gateway.metric("sluice_consul_config_keys") == 2 and state(gateway) == "fresh"
    remove(agent, "live/sub/app.yaml")
    wait_until(lambda: gateway.ask(target="/app").status == 404)
    put(agent, "live2/routes.yaml", HELLO.format("another prefix"))
    gateway.must_reload(configured(agent, "live"))
    assert gateway.ask(target="/hello").body == b"two"


def test_what_is_wrong_is_refused_with_its_key_and_place(agent, start):
    put(agent, "wrong/a.yaml", HELLO.format("good"))
    gateway = start(configured(agent, "wrong"))
    put(agent, "wrong/a.yaml", "routes:\n  - match: { path: /hello }\n    respnd: { status: 200 }\n")
    gateway.wait_metric(lambda m: m.get("sluice_consul_config_refused_total") == 1)
    assert gateway.ask(target="/hello").body == b"good" and state(gateway) == "refused"
    assert gateway.metric("sluice_config_last_reload_success") == 0
    wait_until(lambda: gateway.log("configuration refused, the one before stays"))
    note = gateway.log("configuration note")[-1]
    assert (note["file"], note["line"], note["column"]) == ("consul:wrong/a.yaml", 3, 5), note
    # A file that changes meanwhile is not held up by it.
    config = configured(agent, "wrong")
    config["routes"][0]["respond"]["body"] = "newer"
    gateway.must_reload(config)
    assert gateway.ask(target="/file").body == b"newer" and gateway.ask(target="/hello").body == b"good"
    put(agent, "wrong/a.yaml", HELLO.format("better"))
    says(gateway, "better")
    assert state(gateway) == "fresh"


@pytest.mark.parametrize("text, why", [
    ("consul: { address: 'http://evil:8500' }", "'consul' may not be set from elsewhere"),
    ("admin: 0.0.0.0:1", "'admin' may not be set from elsewhere"),
    ("include: /etc/*.yaml", "'include' may not be set from elsewhere"),
    ("plugin_path: /tmp", "'plugin_path' may not be set from elsewhere"),
    ("log: { path: /tmp/x }", "'log' may not be set from elsewhere"),
    ("routes: [ { respond: { status: 200, body: '${PATH}' } } ]", "${NAME} is not replaced"),
    ("- a list", "expected a map"),
    ("a: [", "consul:refused/")])
def test_what_may_not_come_from_there_is_refused(agent, start, text, why):
    prefix = f"refused/{abs(hash(text))}"
    gateway = start(configured(agent, prefix))
    put(agent, f"{prefix}/x.yaml", text)
    gateway.wait_metric(lambda m: m.get("sluice_consul_config_refused_total") == 1)
    wait_until(lambda: any(why in n["note"] + n["file"] for n in gateway.log("configuration note")),
               what=f"{why} in {gateway.stderr()}")
    assert gateway.ask(target="/file").status == 200


def test_keys_that_vanish_are_not_believed_unless_told_so(agent, start):
    put(agent, "gone/a.yaml", HELLO.format("kept"))
    gateway = start(configured(agent, "gone"))
    remove(agent, "gone/", recurse=True)
    wait_until(lambda: state(gateway) == "held")
    assert gateway.ask(target="/hello").body == b"kept"
    put(agent, "gone/a.yaml", HELLO.format("again"))
    says(gateway, "again")
    put(agent, "empty/a.yaml", HELLO.format("kept"))
    other = start(configured(agent, "empty", config={"allow_empty": True}))
    remove(agent, "empty/", recurse=True)
    wait_until(lambda: other.ask(target="/hello").status == 404)


def test_another_prefix_or_none_is_another_configuration(agent, start):
    put(agent, "first/a.yaml", HELLO.format("first"))
    put(agent, "second/a.yaml", HELLO.format("second"))
    gateway = start(configured(agent, "first"))
    gateway.must_reload(configured(agent, "second"))
    says(gateway, "second")
    config = configured(agent, "second")
    del config["consul"]["config"]
    config["routes"].append({"match": {"path": "/hello"}, "respond": {"status": 200, "body": "moved"}})
    gateway.must_reload(config)
    assert gateway.ask(target="/hello").body == b"moved"


def test_a_start_without_consul_uses_what_was_applied_last(start, tmp_path):
    consul = Consul(tmp_path / "consul").start()
    kept = tmp_path / "kept"
    kept.mkdir()
    try:
        put(consul, "kept/a.yaml", HELLO.format("one"))
        config = configured(consul, "kept", consul={"state_dir": str(kept)})
        first = start(config)
        put(consul, "kept/a.yaml", HELLO.format("two"))
        says(first, "two")
        put(consul, "kept/a.yaml", "nonsense: true")  # refused, so not what is kept
        first.wait_metric(lambda m: m.get("sluice_consul_config_refused_total") == 1)
        second = start(config)  # Consul says what is refused
        assert second.ask(target="/hello").body == b"two" and state(second) == "refused"
        first.stop()
        second.stop()
        consul.kill()
        third = start(config)
        assert third.ask(target="/hello").body == b"two"
        assert "configuration from consul as kept from before" in third.stderr()
        assert third.metric("sluice_consul_config_age_seconds") >= 0
        consul.start()  # it has forgotten all
        put(consul, "kept/a.yaml", HELLO.format("three"))
        says(third, "three")
    finally:
        consul.stop()


def test_a_start_with_nothing_but_nonsense_is_refused(agent, sluice, start, tmp_path):
    put(agent, "nonsense/a.yaml", "nonsense: true")
    gateway = start(configured(agent, "nonsense"), wait=False)
    assert gateway.process.wait(20) != 0
    assert "consul:nonsense/a.yaml:1:1" in gateway.stderr()
    gateway.stopped = True
    told = sluice("check", "-c", gateway.file)
    assert told.returncode != 0 and "consul:nonsense/a.yaml:1:1: error: unknown key 'nonsense'" in told.stderr
    put(agent, "nonsense/a.yaml", HELLO.format("sense"))
    assert sluice("check", "-c", gateway.file).returncode == 0


def has_asked(pid, port):
    """Has it a connection to that port?"""
    own = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            own.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            continue  # closed meanwhile
    lines = [line.split() for line in read_text(f"/proc/{pid}/net/tcp").splitlines()[1:]]
    return any(line[2].endswith(f":{port:04X}") and f"socket:[{line[9]}]" in own for line in lines)


def test_a_signal_ends_it_while_it_waits_for_consul(start, tmp_path):
    consul = Consul(tmp_path / "consul").start()
    try:
        consul.pause()
        gateway = start(configured(consul, "slow"), wait=False)
        wait_until(lambda: has_asked(gateway.pid, consul.port), what="the gateway asks Consul, which does not answer")
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(10) == 0
        gateway.stopped = True
    finally:
        consul.stop()
