"""Everything that can grow has an end, and what goes over it gets the cheapest right answer."""

import resource
import threading

import pytest

from gateway import expect_problem, plain
from raw import Client, Closed, chunked, request_bytes, wait_until

LISTENER = {"name": "main", "bind": "127.0.0.1:0"}


def limited(upstream, **limits):
    return plain(upstream, listeners=[{**LISTENER, "limits": limits}])


def test_a_long_request_line_is_414(start, upstream):
    gateway = start(limited(upstream, line="1KiB"))
    with gateway.client() as client:
        client.try_send(b"GET /" + b"a" * 1100 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        expect_problem(client.read_response(), 414, "target_too_long")
        assert client.read_until_close() == b""
        gateway.expect_end("target_too_long", client_port=client.port)
    assert gateway.ask(target="/" + "a" * 900).status == 200
    assert len(upstream.requests) == 1


def test_a_request_line_without_end_is_cut_early(gateway, upstream):
    with gateway.client() as client:
        sent = 0
        while sent < 16 * 1024 * 1024 and client.try_send(b"GET /" + b"a" * 65531):
            sent += 65536
        assert sent < 16 * 1024 * 1024
    gateway.wait_metric(lambda m: m.get("sluice_request_ends_total", reason="target_too_long") == 1)


def test_too_many_fields_are_431(start, upstream):
    gateway = start(limited(upstream, fields=10))
    with gateway.client() as client:
        client.try_send(request_bytes(fields=[(f"X-{n}", "1") for n in range(11)]))
        expect_problem(client.read_response(), 431, "head_too_large")
        assert client.read_until_close() == b""
        gateway.expect_end("head_too_large", client_port=client.port)
    assert gateway.ask(fields=[(f"X-{n}", "1") for n in range(9)]).status == 200
    assert len(upstream.requests) == 1


def test_a_large_head_is_431(start, upstream):
    gateway = start(limited(upstream, head="4KiB", line="1KiB"))
    for fields in ({"X-Big": "a" * 5000}, {f"X-{n}": "a" * 100 for n in range(60)}):
        with gateway.client() as client:
            client.try_send(request_bytes(fields=fields))
            expect_problem(client.read_response(), 431, "head_too_large")
            assert client.read_until_close() == b""
    assert gateway.ask(fields={"X-Fine": "a" * 3000}).status == 200


def test_a_head_as_large_as_allowed_passes(start, upstream):
    gateway = start(limited(upstream, head="64KiB", line="8KiB"))
    answer = gateway.ask(target="/" + "a" * 8000, fields={f"X-{n}": "b" * 1000 for n in range(50)})
    assert answer.status == 200
    assert len(upstream.last.get("x-49")) == 1000


def test_a_declared_body_over_the_limit_never_reaches_the_upstream(start, upstream):
    gateway = start(limited(upstream, body="1KiB"))
    with gateway.client() as client:
        client.try_send(request_bytes("POST", body=b"x" * 1025))
        expect_problem(client.read_response(), 413, "body_too_large")
        gateway.expect_end("body_too_large", client_port=client.port)
    assert upstream.requests == []
    assert gateway.ask("POST", body=b"x" * 1024).status == 200


def test_a_chunked_body_over_the_limit_is_413_and_never_whole(start, upstream):
    gateway = start(limited(upstream, body="1KiB"))
    with gateway.client() as client:
        client.try_send(b"POST /big HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked([b"x" * 600, b"y" * 600]))
        expect_problem(client.read_response(), 413, "body_too_large")
        gateway.expect_end("body_too_large", client_port=client.port)
    upstream.wait_idle()
    assert not any(exchange.complete for exchange in upstream.requests)
    assert gateway.ask("POST", body=[b"x" * 512, b"y" * 512]).status == 200


def test_a_route_overrides_the_body_limit(start, upstream):
    config = limited(upstream, body=100)
    config["routes"] = [{"match": {"path": "/big"}, "upstream": "app", "limits": {"body": "1MiB"}},
                        {"match": {"path": "/small"}, "upstream": "app", "limits": {"body": 10}}, {"upstream": "app"}]
    gateway = start(config)
    for path, size, status in (("/big", 5000, 200), ("/small", 11, 413), ("/small", 10, 200), ("/", 101, 413),
                               ("/", 100, 200)):
        assert gateway.ask("POST", path, body=b"x" * size).status == status, (path, size)


@pytest.mark.parametrize("where", ["process", "listener"])
def test_connections_over_the_cap_are_not_served_and_come_back(start, upstream, where):
    config = plain(upstream)
    if where == "process":
        config["limits"] = {"connections": 3}
    else:
        config["listeners"] = [{**LISTENER, "connections": 3}]
    gateway = start(config)
    clients = [gateway.client() for _ in range(3)]
    for client in clients:
        assert client.ask().status == 200
    with gateway.client() as extra:
        extra.try_send(request_bytes(target="/extra"))
        if not extra.is_open(0.3):
            gateway.wait_metric(lambda m: m.get("sluice_downstream_refused_total", cause="limit") >= 1)
        else:
            extra.sock.settimeout(0.05)
            try:
                assert b" 503 " in extra.sock.recv(4096)
            except TimeoutError:
                pass  # left waiting in the accept queue: right too
    for client in clients:
        assert client.ask().status == 200, "those inside are not disturbed"
    assert "/extra" not in upstream.paths()
    assert gateway.admin.ask(path="/readyz").status == 200, "the admin listener is never refused"
    clients.pop().close()

    def served():
        try:
            return gateway.ask().status == 200
        except (Closed, OSError):
            return False
    wait_until(served, what="room again")
    for client in clients:
        client.close()


def capped(upstream, **connections):
    config = plain(upstream)
    config["upstreams"]["app"]["connections"] = connections
    return config


def hold(upstream):
    gate = threading.Event()
    upstream.on("/held", lambda ex: (gate.wait(15), ex.reply(200, b"held")))
    return gate


def test_the_upstream_cap_queues_and_then_serves(start, upstream):
    gate = hold(upstream)
    gateway = start(capped(upstream, max=2, queue=10, queue_timeout="10s"))
    clients = [gateway.client() for _ in range(6)]
    for client in clients:
        client.send(request_bytes(target="/held"))
    upstream.wait_requests(2)
    gateway.wait_metric(lambda m: m.get("sluice_upstream_queue", upstream="app") == 4, "four wait")
    assert upstream.connections == 2
    gate.set()
    for client in clients:
        assert client.read_response().body == b"held"
        client.close()
    assert upstream.connections == 2
    gateway.wait_metric(lambda m: m.get("sluice_upstream_queue", upstream="app") == 0)


def test_a_full_queue_is_503_at_once(start, upstream):
    gate = hold(upstream)
    gateway = start(capped(upstream, max=1, queue=1, queue_timeout="10s"))
    with gateway.client() as first, gateway.client() as second, gateway.client() as third:
        first.send(request_bytes(target="/held"))
        upstream.wait_requests()
        second.send(request_bytes(target="/held"))
        gateway.wait_metric(lambda m: m.get("sluice_upstream_queue", upstream="app") == 1)
        expect_problem(third.ask(target="/third"), 503, "upstream_full")
        gate.set()
        assert first.read_response().status == 200 and second.read_response().status == 200
    gateway.expect_end("upstream_full", path="/third")
    assert gateway.metric("sluice_upstream_queue_rejected_total", upstream="app", cause="full") == 1


def test_waiting_in_the_queue_too_long_is_503(start, upstream):
    gate = hold(upstream)
    gateway = start(capped(upstream, max=1, queue=5, queue_timeout="200ms"))
    with gateway.client() as first, gateway.client() as second:
        first.send(request_bytes(target="/held"))
        upstream.wait_requests()
        expect_problem(second.ask(target="/second"), 503, "queue_timeout")
        gate.set()
        assert first.read_response().status == 200
        assert second.ask(target="/again").status == 200
    gateway.expect_end("queue_timeout", path="/second")
    assert gateway.metric("sluice_upstream_queue_rejected_total", upstream="app", cause="timeout") == 1


def test_a_client_that_leaves_the_queue_takes_no_connection(start, upstream):
    gate = hold(upstream)
    gateway = start(capped(upstream, max=1, queue=5, queue_timeout="10s"))
    with gateway.client() as first:
        first.send(request_bytes(target="/held"))
        upstream.wait_requests()
        with gateway.client() as second:
            second.send(request_bytes(target="/gone"))
            gateway.wait_metric(lambda m: m.get("sluice_upstream_queue", upstream="app") == 1)
        gateway.wait_metric(lambda m: m.get("sluice_upstream_queue", upstream="app") == 0, "it has left the queue")
        gate.set()
        assert first.read_response().status == 200
    assert gateway.ask(target="/after").status == 200
    assert "/gone" not in upstream.paths()
    gateway.expect_end("client_closed", path="/gone")


def test_the_queue_keeps_its_order(start, upstream):
    gate = hold(upstream)
    gateway = start(capped(upstream, max=1, queue=10, queue_timeout="10s"))
    clients = [gateway.client() for _ in range(6)]
    for n, client in enumerate(clients):
        client.send(request_bytes(target="/held" if n == 0 else f"/{n}"))
        if n:
            gateway.wait_metric(lambda m, n=n: m.get("sluice_upstream_queue", upstream="app") == n)
        else:
            upstream.wait_requests()
    gate.set()
    for client in clients:
        assert client.read_response().status == 200
        client.close()
    assert upstream.paths() == ["/held"] + [f"/{n}" for n in range(1, 6)]


def test_the_cap_holds_over_all_workers(start, upstream):
    gate = hold(upstream)
    gateway = start({**capped(upstream, max=2, queue=100, queue_timeout="10s"), "workers": 4})
    clients = [gateway.client() for _ in range(24)]
    for client in clients:
        client.send(request_bytes(target="/held"))
    gateway.wait_metric(lambda m: m.get("sluice_upstream_queue", upstream="app") == 22)
    upstream.wait_requests(2)
    assert upstream.connections == 2
    gate.set()
    for client in clients:
        assert client.read_response().status == 200
        client.close()
    wait_until(lambda: len(upstream.open) <= 2, what="the upstream has seen the end of what was closed")


def test_a_cap_does_not_leak_when_upstreams_fail(start, upstream):
    upstream.on("/reset", lambda ex: ex.reset())
    upstream.answer("/cut", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", close=True)
    gateway = start(capped(upstream, max=1, queue=1, queue_timeout="5s"))
    for _ in range(20):
        assert gateway.ask(target="/reset").status == 502
        with Client(gateway.address) as client:
            client.send(request_bytes(target="/cut"))
            client.read_until_close()
        assert gateway.ask(target="/fine").status == 200


def test_out_of_descriptors_is_survived(start, upstream):
    """EMFILE: connections are refused and counted, nothing spins or dies, and service returns."""
    gateway = start(plain(upstream))
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (gateway.fds() + 12, 4096))
    clients = []
    for _ in range(40):
        try:
            clients.append(gateway.client())
        except OSError:
            break
    wait_until(lambda: not clients[-1].is_open(0.01), what="the last connection is turned away")
    assert gateway.process.poll() is None
    for client in clients:
        client.close()
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (1024, 4096))

    def served():
        try:
            return gateway.ask().status == 200
        except (Closed, OSError):
            return False
    wait_until(served, what="service is back")
    gateway.wait_metric(lambda m: m.get("sluice_downstream_refused_total", cause="descriptors") >= 1)
