"""Several workers: they share the work evenly and add up to one gateway."""

import threading

from gateway import plain
from raw import request_bytes


def per_worker(reading, name):
    return {labels["worker"]: value for _, labels, value in reading.find(name)}


def test_the_number_of_workers_is_as_told(start, upstream):
    gateway = start(plain(upstream, workers=3))
    reading = gateway.metrics()
    assert reading.get("sluice_workers") == 3
    assert set(per_worker(reading, "sluice_worker_connections")) == {"0", "1", "2"}


def test_long_lived_connections_are_spread_evenly(start, upstream):
    gateway = start(plain(upstream, workers=4))
    clients = [gateway.client() for _ in range(200)]
    for client in clients:
        assert client.ask().status == 200
    reading = gateway.wait_metric(lambda m: m.get("sluice_worker_connections") == 200)
    counts = per_worker(reading, "sluice_worker_connections")
    assert reading.get("sluice_downstream_connections", listener="main") == 200
    assert all(40 <= count <= 60 for count in counts.values()), counts
    for client in clients:
        assert client.ask().status == 200, "a connection that changed its worker goes on"
        client.close()
    gateway.wait_metric(lambda m: m.get("sluice_worker_connections") == 0)


def test_the_balance_comes_back_when_one_workers_connections_end(start, upstream):
    gateway = start(plain(upstream, workers=2))
    clients = [gateway.client() for _ in range(60)]
    for client in clients:
        client.ask()
    lines = gateway.wait_access(60)
    first = {line["client_port"] for line in lines if line["worker"] == 0}
    for client in [c for c in clients if c.port in first]:
        client.close()
        clients.remove(client)
    gateway.wait_metric(lambda m: m.get("sluice_worker_connections") == len(clients))
    more = [gateway.client() for _ in range(40)]
    for client in more:
        client.ask()
    counts = per_worker(gateway.wait_metric(lambda m: m.get("sluice_worker_connections") == len(clients) + 40),
                        "sluice_worker_connections")
    assert abs(counts["0"] - counts["1"]) <= 0.4 * sum(counts.values()), counts
    for client in clients + more:
        client.close()


def test_every_worker_serves_and_the_counters_add_up(start, upstream):
    gateway = start(plain(upstream, workers=4))
    for _ in range(100):
        gateway.ask()
    lines = gateway.wait_access(100)
    reading = gateway.metrics()
    assert len({line["worker"] for line in lines}) >= 2
    assert reading.get("sluice_worker_accepted_total") == 100
    assert reading.get("sluice_requests_total", route="all") == 100
    assert reading.get("sluice_upstream_requests_total", upstream="app") == 100
    assert len({(line["worker"], line["connection"]) for line in lines}) == 100


def test_a_stuck_upstream_of_one_worker_stops_no_other(start, upstream):
    gate = threading.Event()
    upstream.on("/stuck", lambda ex: (gate.wait(15), ex.reply()))
    gateway = start(plain(upstream, workers=2))
    stuck = [gateway.client() for _ in range(20)]
    for client in stuck:
        client.send(request_bytes(target="/stuck"))
    upstream.wait_requests(20)
    for _ in range(20):
        assert gateway.ask(target="/fine").status == 200
    gate.set()
    for client in stuck:
        assert client.read_response().status == 200
        client.close()


def test_many_workers_start_and_stop(start, upstream):
    gateway = start(plain(upstream, workers=16))
    assert gateway.ask().status == 200
    gateway.stop()


def test_auto_takes_at_least_one(start, upstream):
    gateway = start(plain(upstream, workers="auto"))
    assert gateway.metric("sluice_workers") >= 1
    assert gateway.ask().status == 200
