"""A change never costs a connection; a refused one changes nothing and tells all."""

import copy
import os
import threading

import pytest

from gateway import plain
from raw import SANITIZED, Client, request_bytes, wait_until
from upstream import answer_ok


def says(name, **match):
    return {"name": name, "match": match, "respond": {"status": 200, "body": name}} if match else \
        {"name": name, "respond": {"status": 200, "body": name}}


@pytest.mark.parametrize("way", ["hup", "must_reload"])
def test_new_routes_serve_the_next_request_of_an_open_connection(start, way):
    gateway = start({"routes": [says("old")]})
    with gateway.client() as client:
        assert client.ask().body == b"old"
        getattr(gateway, way)({"routes": [says("new")]})
        assert wait_until(lambda: client.ask().body == b"new")
    assert gateway.metric("sluice_config_generation") == 2
    assert gateway.metric("sluice_config_reloads_total", result="applied") == 1
    assert gateway.metric("sluice_config_last_reload_success") == 1
    assert {line["generation"] for line in gateway.wait_access(2)} == {1, 2}


def test_the_command_line_reload_says_when_it_is_done(sluice, start):
    gateway = start({"routes": [says("old")]})
    gateway.configure({"routes": [says("new")]})
    run = sluice("reload", "--admin", gateway.admin.address)
    assert run.returncode == 0, run
    assert gateway.ask().body == b"new"


def test_the_command_line_finds_the_admin_listener_in_the_configuration(sluice, start, tmp_path):
    gateway = start({"routes": [says("old")], "admin": {"bind": f"unix:{tmp_path}/admin.sock"}})
    gateway.configure({"routes": [says("new")], "admin": {"bind": f"unix:{tmp_path}/admin.sock"}})
    run = sluice("reload", "-c", gateway.file)
    assert run.returncode == 0, run
    assert gateway.ask().body == b"new"


def test_the_command_line_tells_a_refusal_in_full(sluice, start):
    gateway = start({"routes": [says("old")]})
    gateway.configure("routes:\n  - echo: tru\nlistners: []\nworkers: many\n")
    run = sluice("reload", "--admin", gateway.admin.address)
    told = run.stdout + run.stderr
    assert run.returncode == 3, run
    for piece in ("sluice.yaml:3:1: error:", "sluice.yaml:4:10: error:", "listeners"):
        assert piece in told, (piece, told)
    assert gateway.ask().body == b"old"


def test_the_command_line_fails_with_1_when_nobody_answers(sluice, upstream):
    upstream.stop_listening()
    assert sluice("reload", "--admin", upstream.address).returncode == 1


def test_a_refused_hup_is_told_in_the_log_and_keeps_the_old(start):
    gateway = start({"routes": [says("old")]})
    gateway.hup("routes: [ { echo: true } ]\nlistners: []\n")
    assert gateway.ask().body == b"old"
    wait_until(lambda: gateway.log("configuration note"), what="the log tells it")
    [note] = gateway.log("configuration note")
    assert note["file"].endswith("sluice.yaml") and (note["line"], note["column"]) == (2, 1), note
    assert "listners" in note["note"] and "listeners" in note["hint"], note
    assert gateway.metric("sluice_config_reloads_total", result="refused") == 1
    assert gateway.process.poll() is None


def test_each_note_is_a_line_of_the_log(start):
    gateway = start({"routes": [says("old")]})
    gateway.hup("routes: [ { echo: true } ]\nlistners: []\nworkers: many\n")
    wait_until(lambda: gateway.log("configuration refused, the one before stays"))
    assert [note["line"] for note in gateway.log("configuration note")] == [2, 3]


@pytest.mark.parametrize("name", ["log", "access_log"])
def test_a_log_that_cannot_be_opened_is_a_refused_reload(start, name, tmp_path):
    gateway = start({"routes": [says("old")]})
    status, told = gateway.reload({"routes": [says("new")], name: {"path": f"{tmp_path}/none/x.log"}})
    assert status == 422 and told["ok"] is False
    [note] = told["notes"]
    assert f"{name}.path" in note["message"] and "No such file" in note["message"], note
    assert note["file"].endswith("sluice.yaml") and note["line"] > 0, note
    assert gateway.ask().body == b"old"


def test_a_reload_while_draining_says_why_it_is_refused(start):
    gateway = start({"routes": [says("old")], "drain": {"pause": "20s"}})
    gateway.process.send_signal(15)
    assert wait_until(lambda: gateway.admin.ask(path="/readyz").status == 503)
    status, told = gateway.reload()
    assert status == 422
    assert [note["message"] for note in told["notes"]] == ["the gateway is draining"]


def test_a_vanished_file_is_a_refused_reload(start):
    gateway = start({"routes": [says("old")]})
    os.unlink(gateway.file)
    status, told = gateway.reload()
    assert status == 422 and told["ok"] is False
    assert gateway.ask().body == b"old"


def test_kept_upstream_connections_survive(start, upstream):
    gateway = start(plain(upstream))
    with gateway.client() as client:
        client.ask()
        for n in range(5):
            gateway.must_reload(plain(upstream, routes=[{"name": f"r{n}", "upstream": "app"}]))
            assert client.ask().status == 200
    assert upstream.connections == 1
    assert gateway.metric("sluice_upstream_requests_total", upstream="app") == 6, "counters carry over"


def test_a_removed_upstream_loses_its_connections_and_its_metrics_go(start, upstreams):
    one, two = upstreams(), upstreams()
    gateway = start({"upstreams": {"one": {"endpoints": [one.address]}}, "routes": [{"upstream": "one"}]})
    gateway.ask()
    gateway.must_reload({"upstreams": {"two": {"endpoints": [two.address]}}, "routes": [{"upstream": "two"}]})
    gateway.ask()
    one.wait_idle()
    assert len(two.requests) == 1
    gateway.wait_metric(lambda m: m.get("sluice_upstream_connections", upstream="one") == 0)


def test_an_endpoint_added_and_removed_takes_and_loses_traffic(start, upstreams):
    one, two = upstreams(), upstreams()
    gateway = start(plain(one))
    gateway.ask()
    gateway.must_reload(plain(one, two))
    for _ in range(10):
        gateway.ask()
    assert len(two.requests) == 5
    assert one.connections == 1, "the endpoint that stayed kept its connection"
    gateway.must_reload(plain(one))
    for _ in range(10):
        gateway.ask()
    assert len(two.requests) == 5
    two.wait_idle()


def test_an_exchange_in_flight_ends_by_the_old_configuration(start, upstream):
    gate = threading.Event()
    upstream.on("/slow", lambda ex: (gate.wait(10), ex.reply(200, b"slow")))
    old = plain(upstream, routes=[{"name": "old", "upstream": "app", "response_fields": {"set": {"x-by": "old"}}}])
    gateway = start(old)
    with gateway.client() as client:
        client.send(request_bytes(target="/slow"))
        upstream.wait_requests()
        gateway.must_reload({"routes": [says("new")]})
        gateway.must_reload({"routes": [says("newer")]})
        gate.set()
        answer = client.read_response()
        assert answer.body == b"slow" and answer.get("x-by") == "old"
        assert client.ask().body == b"newer"


def test_a_listener_is_added_and_removed(start):
    one = [{"name": "one", "bind": "127.0.0.1:0"}]
    gateway = start({"listeners": one, "routes": [says("r")]})
    first = gateway.addresses()["one"]
    gateway.must_reload({"listeners": one + [{"name": "two", "bind": "127.0.0.2:0"}], "routes": [says("r")]})
    wait_until(lambda: "two" in gateway.addresses(), what="the new listener in the log")
    second = gateway.addresses()["two"]
    with Client(second) as kept:
        assert kept.ask().body == b"r"
        gateway.must_reload({"listeners": one, "routes": [says("r2")]})
        # Its rules went with it: routes may be bound to listeners, so no other listener's may serve it.
        last = kept.ask()
        assert last.body == b"r", "a connection of a removed listener is served by the rules it came in by"
        assert last.all("connection") == ["close"]

    def refused():
        try:
            Client(second).close()
            return False
        except OSError:
            return True
    wait_until(refused, what="the removed listener refuses")
    with Client(first) as client:
        assert client.ask().body == b"r2"


def test_a_new_listener_on_an_address_in_use_refuses_the_reload(start, upstream):
    one = [{"name": "one", "bind": "127.0.0.1:0"}]
    gateway = start({"listeners": one, "routes": [says("old")]})
    status, told = gateway.reload({"listeners": one + [{"name": "two", "bind": upstream.address}],
                                   "routes": [says("new")]})
    assert status == 422 and upstream.address in told["text"], told
    assert gateway.ask(listener="one").body == b"old"


def test_listener_options_change_for_the_next_connection(start, upstream):
    def config(line):
        return plain(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "limits": {"line": line}}])
    gateway = start(config("8KiB"))
    assert gateway.ask(target="/" + "a" * 2000).status == 200
    gateway.must_reload(config("1KiB"))
    assert gateway.ask(target="/" + "a" * 2000).status == 414


def test_a_change_that_needs_a_restart_is_told(start):
    gateway = start({"routes": [says("r")], "workers": 1})
    told = gateway.must_reload({"routes": [says("r")], "workers": 2})
    assert "workers" in str(told["notes"]) and "restart" in str(told["notes"]), told
    assert gateway.metric("sluice_workers") == 1


def test_an_equal_configuration_reloads_fine(start):
    gateway = start({"routes": [says("r")]})
    for _ in range(3):
        gateway.must_reload()
    assert gateway.ask().body == b"r"


def test_fifty_reloads_under_traffic_fail_nothing(start, upstreams):
    fakes = [upstreams(), upstreams()]
    configs = [plain(*fakes, workers=2), plain(fakes[0], workers=2)]
    configs.append(copy.deepcopy(configs[0]))
    configs[2]["upstreams"]["app"]["balance"] = "least_requests"
    gateway = start(configs[0])
    stop = threading.Event()
    counts, failures = [], []

    def traffic(number):
        done = 0
        try:
            with gateway.client() as client:
                while not stop.is_set():
                    answer = client.ask("POST" if number % 2 else "GET", f"/{number}",
                                        body=b"x" * 100 if number % 2 else None)
                    assert answer.status == 200, answer
                    done += 1
        except (AssertionError, OSError) as failure:
            failures.append((number, done, failure))
        counts.append(done)
    threads = [threading.Thread(target=traffic, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for n in range(50):
        gateway.must_reload(configs[n % 3])
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sum(counts) > 50
    assert sum(len(fake.requests) for fake in fakes) == sum(counts), "each request reached an upstream exactly once"
    total = sum(counts)
    reading = gateway.wait_metric(lambda m: m.get("sluice_request_ends_total", reason="completed") == total,
                                  f"{total} completed")
    assert reading.get("sluice_config_generation") == 51
    assert reading.get("sluice_request_ends_total") == total


def test_new_connections_during_reloads_are_all_accepted(start):
    gateway = start({"routes": [says("r")], "workers": 2})
    stop = threading.Event()
    failures = []

    def connect():
        while not stop.is_set():
            try:
                if gateway.ask().status != 200:
                    failures.append("status")
            except (AssertionError, OSError) as failure:
                failures.append(failure)
    thread = threading.Thread(target=connect)
    thread.start()
    for n in range(30):
        gateway.must_reload({"routes": [says(f"r{n}")], "workers": 2})
    stop.set()
    thread.join()
    assert failures == []


@pytest.mark.skipif(SANITIZED, reason="a sanitizer keeps freed memory")
def test_memory_and_descriptors_are_flat_over_reloads(start, upstream):
    gateway = start(plain(upstream))
    for _ in range(20):
        gateway.must_reload()
        gateway.ask()
    before, fds = gateway.own_kib(), gateway.fds()
    for _ in range(100):
        gateway.must_reload()
        gateway.ask()
    grown = gateway.own_kib() - before
    assert grown < 1024, f"{grown} KiB for 100 reloads"
    wait_until(lambda: gateway.fds() <= fds + 2)


def test_a_waiting_keepalive_client_survives_reloads(start, upstream):
    upstream.script = answer_ok
    gateway = start(plain(upstream))
    clients = [gateway.client() for _ in range(20)]
    for client in clients:
        client.ask()
    for n in range(10):
        gateway.must_reload(plain(upstream, routes=[{"name": f"n{n}", "upstream": "app"}]))
    for client in clients:
        assert client.ask().status == 200
        client.close()
