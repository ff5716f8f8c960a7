"""The admin listener: what an operator reads, and who may not speak to it."""

import json
import re
import shutil
import subprocess

import pytest

from gateway import REASONS, plain
from raw import Client

PAGES = ["/healthz", "/readyz", "/metrics", "/config", "/upstreams", "/memory", "/workers"]


@pytest.mark.parametrize("page", PAGES + ["/"])
def test_a_page_answers(gateway, page):
    answer = gateway.admin.ask(path=page)
    assert answer.status == 200 and answer.body and answer.get("content-type"), answer
    head = gateway.admin.ask("HEAD", page)
    assert head.status in (200, 405) and head.body == b""


def test_the_first_page_lists_the_others(gateway):
    listing = gateway.admin.ask().body.decode()
    for page in [*PAGES, "/reload", "/drain", "/log"]:
        assert page in listing, page


def test_health_and_readiness_are_short_words(gateway):
    assert gateway.admin.ask(path="/healthz").body.strip() == b"ok"
    assert gateway.admin.ask(path="/readyz").body.strip() == b"ready"


def test_an_unknown_page_is_404_and_a_wrong_method_405(gateway):
    assert gateway.admin.ask(path="/nowhere").status == 404
    for method, page in (("GET", "/reload"), ("GET", "/drain"), ("POST", "/metrics"), ("DELETE", "/config"),
                         ("PUT", "/reload")):
        answer = gateway.admin.ask(method, page, body=b"" if method != "GET" else None)
        assert answer.status == 405, (method, page)
    assert gateway.metric("sluice_config_generation") == 1


def test_a_browser_page_cannot_steer_the_gateway(gateway):
    """Neither by its own origin nor by a name that was bent to this address (DNS rebinding)."""
    for method, page in (("POST", "/reload"), ("POST", "/drain"), ("PUT", "/log?level=debug"), ("GET", "/config"),
                         ("GET", "/metrics")):
        body = None if method == "GET" else b""
        assert gateway.admin.ask(method, page, [("Origin", "https://evil.example")], body).status == 403, page
        assert gateway.admin.ask(method, page, [("Origin", "null")], body).status == 403, page
        for host in ("evil.example", "localhost.evil.example", "evil.example:9901", "127.0.0.1.evil.example"):
            assert gateway.admin.ask(method, page, body=body, host=host).status == 403, (page, host)
    assert gateway.metric("sluice_config_generation") == 1 and gateway.metric("sluice_ready") == 1


@pytest.mark.parametrize("host",
                         ["localhost", "localhost:9901", "127.0.0.1", "127.0.0.1:9901", "[::1]:9901", "192.0.2.7",
                          "LOCALHOST"])
def test_a_literal_address_or_localhost_is_let_in(gateway, host):
    assert gateway.admin.ask(path="/healthz", host=host).status == 200


@pytest.mark.parametrize("data",
                         [b"GET / HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n",
                          b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
                                  b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"])
def test_the_admin_listener_is_as_strict_on_the_wire(gateway, data):
    with Client(gateway.admin.address) as client:
        client.try_send(data)
        assert client.read_response().status == 400
    assert gateway.admin.ask(path="/healthz").status == 200
    assert gateway.metric("sluice_config_generation") == 1


def test_config_shows_what_is_in_force(gateway, upstream):
    shown = gateway.admin.json("/config")
    assert shown["generation"] == 1
    assert shown["file"].endswith("sluice.yaml")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", str(shown["loaded_at"]))
    assert upstream.address in json.dumps(shown)
    gateway.must_reload()
    shown = gateway.admin.json("/config")
    assert shown["generation"] == 2
    assert shown["last_reload"]["ok"] is True and shown["last_reload"]["notes"] == [] and shown["last_reload"]["at"]


def test_upstreams_shows_endpoints_with_weights_and_counts(start, upstreams):
    fakes = [upstreams() for _ in range(2)]
    config = plain(*fakes)
    config["upstreams"]["app"]["endpoints"][1] = {"address": fakes[1].address, "weight": 3}
    gateway = start(config)
    for _ in range(8):
        gateway.ask()
    told = gateway.admin.json("/upstreams")
    found = told.get("upstreams", told)
    app = found["app"] if isinstance(found, dict) else next(u for u in found if u["name"] == "app")
    assert app["balance"] == "round_robin"
    endpoints = {endpoint["address"]: endpoint for endpoint in app["endpoints"]}
    assert endpoints[fakes[1].address]["weight"] == 3 and endpoints[fakes[0].address]["weight"] == 1
    assert endpoints[fakes[1].address]["requests"] == 6 and endpoints[fakes[0].address]["requests"] == 2
    assert endpoints[fakes[0].address]["failures"] == 0


def test_workers_are_shown_one_by_one(start, upstream):
    gateway = start(plain(upstream, workers=3))
    told = gateway.admin.json("/workers")
    workers = told if isinstance(told, list) else told["workers"]
    assert len(workers) == 3
    assert all("connections" in worker and "exchanges" in worker for worker in workers)


def test_the_log_level_changes_at_once(gateway):
    gateway.ask(target="/before")
    assert not [r for r in gateway.log() if r["level"] == "debug"]
    assert gateway.admin.ask("PUT", "/log?level=debug", body=b"").status == 200
    gateway.ask(target="/nowhere", fields={"Connection": "close"})
    assert gateway.admin.ask("PUT", "/log?level=info", body=b"").status == 200
    assert gateway.admin.ask("PUT", "/log?level=loud", body=b"").status in (400, 422)
    assert gateway.admin.ask("PUT", "/log", body=b"").status in (400, 422)


def test_metrics_have_help_and_type_and_are_well_formed(gateway, upstream):
    gateway.ask()
    gateway.ask(target="/two")
    answer = gateway.admin.ask(path="/metrics")
    assert answer.get("content-type").startswith("text/plain; version=0.0.4")
    text = answer.body.decode()
    assert text.endswith("\n")
    reading = gateway.metrics()
    def family(name):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        return base if reading.types.get(base) == "histogram" else name
    names = {family(name) for name, _, _ in reading.samples}
    for name in names:
        assert name in reading.types, f"no TYPE for {name}"
        assert f"# HELP {name} " in text, f"no HELP for {name}"
        if reading.types[name] == "counter":
            assert name.endswith("_total"), name
    seen = [(name, tuple(sorted(labels.items()))) for name, labels, _ in reading.samples]
    assert len(seen) == len(set(seen)), "a sample twice"


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_finds_nothing_to_say(gateway):
    run = subprocess.run(["promtool", "check", "metrics"], input=gateway.metrics().text, text=True,
                         capture_output=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_promised_metric_is_there(gateway):
    gateway.ask()
    gateway.wait_access()
    reading = gateway.metrics()
    for name in ("sluice_build_info", "sluice_bugs_total", "sluice_ready", "sluice_config_generation", "sluice_config_last_reload_success",
                 "sluice_config_last_reload_timestamp_seconds", "sluice_config_reloads_total", "sluice_workers",
                 "sluice_worker_connections", "sluice_worker_exchanges_active", "sluice_worker_accepted_total",
                 "sluice_worker_handed_off_total", "sluice_worker_loop_turns_total", "sluice_worker_block_bytes",
                 "sluice_worker_slab_bytes", "sluice_downstream_connections", "sluice_downstream_connections_total",
                 "sluice_downstream_refused_total", "sluice_requests_total", "sluice_request_ends_total",
                 "sluice_request_duration_seconds_bucket", "sluice_request_duration_seconds_sum",
                 "sluice_request_duration_seconds_count", "sluice_request_body_bytes_total",
                 "sluice_response_body_bytes_total", "sluice_upstream_requests_total", "sluice_upstream_connections",
                 "sluice_upstream_connects_total", "sluice_upstream_retries_total", "sluice_upstream_queue",
                 "sluice_upstream_queue_rejected_total", "sluice_log_dropped_total", "process_resident_memory_bytes",
                 "process_open_fds", "process_max_fds", "process_cpu_seconds_total", "process_start_time_seconds"):
        assert reading.has(name), name
    assert reading.get("sluice_bugs_total") == 0
    assert reading.get("sluice_build_info") == 1 and reading.find("sluice_build_info")[0][1]["version"]
    assert abs(reading.get("process_open_fds") - gateway.fds()) <= 3
    assert reading.get("process_resident_memory_bytes") > 100000


def test_the_reasons_of_the_metric_are_the_closed_list(gateway):
    gateway.ask()
    reasons = {labels["reason"] for _, labels, _ in gateway.metrics().find("sluice_request_ends_total")}
    assert reasons <= REASONS, reasons - REASONS


def test_the_histogram_adds_up(gateway, upstream):
    for _ in range(10):
        gateway.ask()
    reading = gateway.wait_metric(lambda m: m.get("sluice_request_duration_seconds_count", route="all") == 10)
    buckets = [(float(labels["le"].replace("+Inf", "inf")), value)
               for _, labels, value in reading.find("sluice_request_duration_seconds_bucket", route="all")]
    assert buckets == sorted(buckets) and [v for _, v in buckets] == sorted(v for _, v in buckets)
    assert buckets[-1] == (float("inf"), 10)
    assert 0 < reading.get("sluice_request_duration_seconds_sum", route="all") < 10


def test_a_label_value_is_escaped(start):
    gateway = start({"routes": [{"name": 'odd "name" \\ here', "respond": {"status": 200}}]})
    gateway.ask()
    gateway.wait_metric(lambda m: m.get("sluice_requests_total", route='odd \\"name\\" \\\\ here') == 1)


def test_the_admin_listener_survives_rude_clients(gateway):
    for _ in range(50):
        client = Client(gateway.admin.address)
        client.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.reset()
    silent = [Client(gateway.admin.address) for _ in range(20)]
    assert gateway.admin.ask(path="/readyz").status == 200
    for client in silent:
        client.close()


def test_admin_in_the_scalar_form(start, upstream):
    gateway = start(plain(upstream, admin="127.0.0.1:0"))
    assert gateway.admin.ask(path="/readyz").status == 200


@pytest.mark.parametrize("policy, all_of_them, one", [("all", True, True), ("auto", True, True), ("used", False, True),
                                                     ("none", False, False)])
def test_samples_of_endpoints_are_as_many_as_wanted(start, upstreams, policy, all_of_them, one):
    used = upstreams()
    config = plain(used, admin={"bind": "127.0.0.1:0", "endpoint_metrics": policy})
    config["upstreams"]["idle"] = {"endpoints": ["127.0.0.1:9"]}
    gateway = start(config)
    gateway.ask()
    metrics = gateway.wait_metric(lambda m: m.get("sluice_requests_total", **{"class": "2xx"}) == 1)
    assert metrics.has("sluice_upstream_requests_total", upstream="idle") == all_of_them
    assert metrics.has("sluice_upstream_failures_total", upstream="app") == all_of_them
    assert metrics.has("sluice_upstream_requests_total", endpoint=used.address) == one
    assert metrics.has("sluice_upstream_retries_total", upstream="idle")
    if policy != "none":
        assert (metrics.get("sluice_metrics_samples_left_out") > 0) == (not all_of_them)


def test_turns_of_the_loops_are_measured(gateway):
    gateway.ask()
    metrics = gateway.wait_metric(lambda m: m.get("sluice_worker_turn_seconds_count") > 0)
    assert metrics.has("sluice_worker_slow_turns_total", worker="0")
