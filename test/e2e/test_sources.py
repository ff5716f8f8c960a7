"""Where endpoints come from: lists with names, files, DNS; and what happens when these change or fail."""

import json
import os
import threading

import pytest

from dns import SERVFAIL, Dns
from gateway import plain
from raw import wait_until


@pytest.fixture
def dns():
    server = Dns()
    yield server
    server.close()


def routed(source, **more):
    return {"upstreams": {"app": {**source, **more}}, "routes": [{"name": "all", "upstream": "app"}]}


def quick(dns):
    return {"servers": [dns.address], "refresh_min": "100ms", "refresh_max": "1s", "timeout": "100ms",
            "family": "both"}


def app(gateway):
    return gateway.admin.json("/upstreams")["upstreams"][0]


def members(gateway, state=None):
    return sorted(e["address"] for e in app(gateway)["endpoints"] if state in (None, e["state"]))


def wait_members(gateway, expected, state=None):
    wait_until(lambda: members(gateway, state) == sorted(expected), what=f"{expected}: {app(gateway)}")


def port_of(upstream):
    return int(upstream.address.rpartition(":")[2])


def write(path, content):
    temporary = f"{path}.new"
    with open(temporary, "w", encoding="utf-8") as out:
        out.write(content if isinstance(content, str) else json.dumps(content))
    os.replace(temporary, path)


# --- files


def test_a_file_is_followed_while_requests_go_on(start, upstreams, tmp_path):
    first, second = upstreams(), upstreams()
    path = tmp_path / "members.yaml"
    write(path, [first.address])
    gateway = start(routed({"file": {"path": str(path), "interval": "100ms"}}))
    stop = threading.Event()
    statuses = []

    def ask():
        with gateway.client() as client:
            while not stop.is_set():
                statuses.append(client.ask().status)
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        first.wait_requests(5)
        write(path, f"- {first.address}\n- address: {second.address}\n  weight: 3\n  zone: z1\n")
        wait_members(gateway, [first.address, second.address])
        second.wait_requests(5)
        write(path, [second.address])
        wait_members(gateway, [second.address])
    finally:
        stop.set()
        thread.join()
    assert set(statuses) == {200} and len(statuses) > 10
    wait_until(lambda: len(gateway.log("members changed")) == 3, what="three lines, which another thread writes")
    changes = gateway.log("members changed")
    assert [(c["added"], c["removed"], c["changed"]) for c in changes] == [(1, 0, 0), (1, 0, 0), (0, 1, 1)]
    assert changes[-1]["upstream"] == "app" and changes[-1]["source"] == f"file {path}"
    assert changes[-1]["gone"] == first.address and changes[-1]["version"].startswith("written ")


def test_a_bad_file_keeps_the_last_good_members(start, upstream, tmp_path):
    path = tmp_path / "members.yaml"
    write(path, [upstream.address])
    gateway = start(routed({"file": {"path": str(path), "interval": "100ms"}}))
    for bad, told in ((f"- {upstream.address}\n- addres: 127.0.0.1:1\n", f"{path}:2:3: "),
                      ("[]\n", f"{path}:1:1: "), ("- [\n", f"{path}:"), ("- 127.0.0.1\n", f"{path}:1:3: ")):
        write(path, bad)
        wait_until(lambda told=told: any(r["cause"].startswith(told) for r in gateway.log("source failed")),
                   what=f"{told}: {gateway.log('source failed')}")
        assert members(gateway) == [upstream.address]
        assert app(gateway)["source"]["state"] == "stale"
    os.remove(path)
    wait_until(lambda: "No such file" in app(gateway)["source"]["cause"], what="a missing file")
    assert gateway.ask().status == 200
    write(path, [upstream.address])
    wait_until(lambda: app(gateway)["source"]["state"] == "fresh", what="fresh again")


def test_a_bad_file_refuses_a_start_at_its_place(sluice, tmp_path):
    write(tmp_path / "members.json", '[ "127.0.0.1:1", { "address": "127.0.0.1:2", "weight": "x" } ]')
    write(tmp_path / "c.yaml", "upstreams: { app: { file: members.json } }\nroutes: [ { upstream: app } ]\n")
    run = sluice("check", "c.yaml")
    assert run.returncode == 3, run
    assert "members.json:1:56: error: " in run.stderr, run.stderr


def test_a_reload_keeps_what_a_source_knows(start, upstreams, tmp_path):
    first, second = upstreams(), upstreams()
    path = tmp_path / "members.yaml"
    write(path, [first.address])
    config = routed({"file": {"path": str(path), "interval": "100ms"}})
    gateway = start(config)
    write(path, [second.address])
    wait_members(gateway, [second.address])
    write(path, "nonsense: [")
    wait_until(lambda: app(gateway)["source"]["state"] == "stale", what="a bad file")
    gateway.must_reload(routed({"file": {"path": str(path), "interval": "100ms"}}, balance="random"))
    assert members(gateway) == [second.address]
    assert gateway.ask().status == 200
    assert second.requests and not first.requests


# --- draining


def test_an_endpoint_that_is_removed_finishes_what_is_in_flight(start, upstreams, tmp_path):
    gate = threading.Event()
    first, second = upstreams(), upstreams()
    first.on("/slow", lambda ex: (gate.wait(20), ex.reply(200, b"late")))
    path = tmp_path / "members.yaml"
    write(path, [first.address])
    gateway = start(routed({"file": {"path": str(path), "interval": "100ms"}}))
    with gateway.client() as slow, gateway.client() as other:
        other.ask()
        slow.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        first.wait_requests(2)
        write(path, [{"address": first.address, "state": "draining"}, second.address])
        wait_members(gateway, [first.address], "draining")
        assert gateway.metric("sluice_upstream_members", upstream="app", state="draining") == 1
        for _ in range(5):
            assert other.ask().status == 200
        assert len(first.requests) == 2
        write(path, [second.address])
        wait_members(gateway, [second.address])
        assert other.ask().status == 200
        gate.set()
        assert slow.read_response("GET").body == b"late"
    first.wait_idle()
    assert len(second.requests) == 6


def test_weight_0_drains_and_comes_back(start, upstreams, tmp_path):
    first, second = upstreams(), upstreams()
    path = tmp_path / "members.yaml"
    write(path, [{"address": first.address, "weight": 0}, second.address])
    gateway = start(routed({"file": {"path": str(path), "interval": "100ms"}}))
    for _ in range(4):
        assert gateway.ask().status == 200
    assert not first.requests
    write(path, [first.address, second.address])
    wait_members(gateway, [first.address, second.address], "serving")
    for _ in range(4):
        assert gateway.ask().status == 200
    assert len(first.requests) == 2


# --- names


def test_addresses_follow_dns_and_stay_while_it_fails(start, upstream, dns):
    port = port_of(upstream)
    dns.set("app.test", ["127.0.0.1"])
    gateway = start(routed({"dns": {"name": "app.test", "port": port, **quick(dns)}}))
    assert gateway.ask().status == 200
    assert members(gateway) == [f"127.0.0.1:{port}"]
    assert app(gateway)["endpoints"][0]["name"] == "app.test"
    dns.set("app.test", ["127.0.0.1", "127.0.0.9", "::1"])
    both = [f"127.0.0.1:{port}", f"127.0.0.9:{port}", f"[::1]:{port}"]
    wait_members(gateway, both)
    for failure in (SERVFAIL, "silent"):
        dns.failure = failure
        wait_until(lambda: app(gateway)["source"]["state"] == "stale", what="stale")
        assert members(gateway) == sorted(both)
        reading = gateway.metrics()
        assert reading.get("sluice_discovery_fresh", upstream="app", source="dns") == 0
        assert reading.get("sluice_discovery_errors_total", upstream="app") > 0
        assert reading.get("sluice_upstream_members", upstream="app", state="in_rotation") == 3
        dns.failure = None
        wait_until(lambda: app(gateway)["source"]["state"] == "fresh", what="fresh")
    dns.forget("app.test")
    wait_until(lambda: app(gateway)["source"]["state"] == "stale", what="no such name")
    assert members(gateway) == sorted(both)
    dns.set("app.test", ["127.0.0.1"])
    wait_members(gateway, [f"127.0.0.1:{port}"])


def test_srv_records_give_ports_weights_and_priorities(start, upstreams, dns):
    first, second = upstreams(), upstreams()
    dns.set("a.test", ["127.0.0.1"])
    dns.set("b.test", ["127.0.0.1"])
    dns.set_srv("_http._tcp.app.test", [(10, 3, port_of(first), "a.test"), (10, 1, port_of(second), "b.test"),
                                        (20, 0, 9, "b.test")])
    gateway = start(routed({"dns": {"name": "_http._tcp.app.test", "srv": True, **quick(dns)}}))
    shown = {e["address"]: (e["weight"], e["priority"], e["name"]) for e in app(gateway)["endpoints"]}
    assert shown == {first.address: (3, 0, "a.test"), second.address: (1, 0, "b.test"),
                     "127.0.0.1:9": (1, 1, "b.test")}
    dns.set_srv("_http._tcp.app.test", [(10, 3, port_of(first), "a.test")])
    wait_members(gateway, [first.address])
    assert gateway.ask().status == 200


def test_names_in_a_list_are_resolved_without_holding_up_a_reload(start, upstreams, dns):
    first, second = upstreams(), upstreams()
    dns.set("first.test", ["127.0.0.1"])
    names = {"dns": quick(dns)}
    gateway = start({**routed({"endpoints": [f"first.test:{port_of(first)}"]}), **names})
    assert gateway.ask().status == 200
    dns.failure = "silent"
    gateway.must_reload({**routed({"endpoints": [f"second.test:{port_of(second)}"]}), **names})
    assert gateway.ask().status == 200
    assert not second.requests, "until the name is known, requests go where they went"
    dns.set("second.test", ["127.0.0.1"])
    dns.failure = None
    wait_members(gateway, [second.address])
    assert gateway.ask().status == 200
    assert second.requests


def test_a_name_that_does_not_resolve_holds_up_the_start_no_longer_than_told(start, upstream, dns):
    config = {**routed({"endpoints": [f"late.test:{port_of(upstream)}"]}), "dns": quick(dns)}
    gateway = start({**config, "ready_timeout": "300ms"})
    assert gateway.log("ready without endpoints: they are looked for further")[0]["upstream"] == "app"
    assert gateway.ask().status == 503
    dns.set("late.test", ["127.0.0.1"])
    wait_members(gateway, [upstream.address])
    assert gateway.ask().status == 200


def test_readiness_waits_for_the_first_answer(start, upstream, dns):
    dns.failure = "silent"
    config = {**routed({"endpoints": [f"app.test:{port_of(upstream)}"]}), "dns": quick(dns)}
    gateway = start({**config, "ready_timeout": "60s"}, wait=False)
    wait_until(lambda: gateway.log("admin listening"), what="admin")
    answer = gateway.admin.ask("GET", "/readyz")
    assert answer.status == 503 and answer.body == b"starting\n"
    dns.set("app.test", ["127.0.0.1"])
    dns.failure = None
    gateway.wait_ready()
    assert gateway.admin.ask("GET", "/readyz").status == 200
    assert gateway.ask().status == 200


def test_check_tells_of_names_without_an_address(sluice, tmp_path, dns):
    write(tmp_path / "c.yaml", f"dns: {{ servers: [ '{dns.address}' ] }}\nupstreams:\n  app:\n"
          "    endpoints: [ 'nobody.test:80' ]\nroutes: [ { upstream: app } ]\n")
    run = sluice("check", "c.yaml")
    assert run.returncode == 0, run
    assert "c.yaml:4:18: warning: endpoint 'nobody.test:80'" in run.stderr, run.stderr


@pytest.mark.parametrize("source, told", [
    ({}, "does not say where its endpoints come from"),
    ({"endpoints": ["127.0.0.1:1"], "dns": {"name": "a.test", "port": 1}}, "endpoints and dns"),
    ({"dns": {"name": "a.test"}}, "is not said"),
    ({"dns": {"name": "127.0.0.1", "port": 1}}, "not a name"),
    ({"dns": {"name": "a.test", "port": 1, "servers": ["x"]}}, "DNS server"),
])
def test_an_upstream_has_one_source(sluice, tmp_path, source, told):
    write(tmp_path / "c.yaml", routed(source))
    run = sluice("check", "c.yaml")
    assert run.returncode == 3 and told in run.stderr, run


def test_an_ordinary_list_is_there_at_once(start, upstream):
    gateway = start(plain(upstream))
    source = app(gateway)["source"]
    assert (source["kind"], source["state"], source["version"]) == ("endpoints", "fresh", "configuration")
