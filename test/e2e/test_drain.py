"""SIGTERM: what is in flight is answered, nothing new begins, and the end comes in time."""

import signal
import threading
import time

from gateway import plain
from raw import Client, Closed, ask, request_bytes, wait_until

LONG = {"pause": "0s", "timeout": "10s", "idle": "20ms"}


def refuses(address):
    try:
        Client(address).close()
        return False
    except OSError:
        return True


def held(upstream):
    """Let the upstream hold /slow until the returned event is set."""
    gate = threading.Event()
    upstream.on("/slow", lambda ex: (gate.wait(15), ex.reply(200, b"slow")))
    return gate


def test_an_idle_gateway_ends_at_once(start, upstream):
    gateway = start(plain(upstream, drain={"pause": "0s", "timeout": "30s", "idle": "1s"}))
    gateway.drain()
    assert gateway.wait(5) == 0


def test_a_request_in_flight_is_answered(start, upstream):
    gate = held(upstream)
    gateway = start(plain(upstream, drain=LONG))
    address = gateway.address
    with gateway.client() as client:
        client.send(request_bytes(target="/slow"))
        upstream.wait_requests()
        gateway.drain()
        wait_until(lambda: refuses(address), what="new connections are refused")
        gate.set()
        answer = client.read_response()
        assert answer.body == b"slow"
        assert answer.get("connection", "").lower() == "close"
        client.expect_close()
    assert gateway.wait() == 0
    assert gateway.access_log(path="/slow")[0]["reason"] == "completed"


def test_a_body_in_flight_arrives_whole(start, upstream):
    gate = threading.Event()
    upstream.on("/slow", lambda ex: (ex.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
                                     gate.wait(10), ex.send(b"5\r\nworld\r\n0\r\n\r\n")))
    gateway = start(plain(upstream, drain=LONG))
    address = gateway.address
    with gateway.client() as client:
        client.send(request_bytes(target="/slow"))
        response = client.read_head()
        gateway.drain()
        wait_until(lambda: refuses(address))
        gate.set()
        client.read_body(response)
        assert response.body == b"helloworld"
        client.expect_close()
    assert gateway.wait() == 0


def test_an_upload_in_flight_is_finished(start, upstream):
    upstream.on("/up", lambda ex: ex.reply(200, ex.read_body()))
    gateway = start(plain(upstream, drain=LONG))
    address = gateway.address
    with gateway.client() as client:
        client.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
        upstream.wait_requests()
        gateway.drain()
        wait_until(lambda: refuses(address))
        client.send(b"world")
        assert client.read_response().body == b"helloworld"
    assert gateway.wait() == 0


def test_readiness_goes_red_and_health_stays_green(start, upstream):
    gate = held(upstream)
    gateway = start(plain(upstream, drain=LONG))
    admin = gateway.admin
    assert admin.ask(path="/readyz").status == 200
    with gateway.client() as client:
        client.send(request_bytes(target="/slow"))
        upstream.wait_requests()
        gateway.drain()
        ready = wait_until(lambda: (a := admin.ask(path="/readyz")).status == 503 and a)
        assert b"draining" in ready.body
        assert admin.ask(path="/healthz").status == 200
        assert admin.metrics().get("sluice_ready") == 0
        gate.set()
        client.read_response()
    assert gateway.wait() == 0


def test_the_pause_still_serves_new_connections(start, upstream):
    """Load balancers need time to see the red light."""
    gateway = start(plain(upstream, drain={"pause": "1s", "timeout": "5s", "idle": "20ms"}))
    address, admin = gateway.address, gateway.admin
    gateway.drain()
    wait_until(lambda: admin.ask(path="/readyz").status == 503)
    assert ask(address).status == 200
    assert gateway.wait() == 0


def test_a_kept_connection_gets_its_next_answer_with_close(start, upstream):
    gateway = start(plain(upstream, drain={"pause": "0s", "timeout": "10s", "idle": "5s"}))
    address = gateway.address
    with gateway.client() as client:
        assert "close" not in client.ask().get("connection", "")
        gateway.drain()
        wait_until(lambda: refuses(address), what="new connections are refused")
        answer = client.ask()
        assert answer.status == 200 and answer.get("connection", "").lower() == "close"
        client.expect_close()
    assert gateway.wait() == 0


def test_idle_connections_are_ended_not_waited_for(start, upstream):
    gateway = start(plain(upstream, drain=LONG))
    clients = [gateway.client() for _ in range(10)]
    for client in clients[:5]:
        client.ask()
    gateway.drain()
    for client in clients:
        client.expect_close()
    assert gateway.wait(5) == 0


def test_the_timeout_bounds_the_drain(start, upstream):
    gate = held(upstream)
    gateway = start(plain(upstream, drain={"pause": "0s", "timeout": "200ms", "idle": "20ms"}))
    with gateway.client() as client:
        client.send(request_bytes(target="/slow"))
        upstream.wait_requests()
        gateway.drain()
        assert gateway.wait(5) == 0
        gate.set()
    lines = gateway.access_log(path="/slow")
    assert len(lines) == 1, "the exchange that was cut is told"


def test_a_second_signal_ends_at_once(start, upstream):
    gate = held(upstream)
    gateway = start(plain(upstream, drain={"pause": "0s", "timeout": "60s", "idle": "20ms"}))
    address = gateway.address
    with gateway.client() as client:
        client.send(request_bytes(target="/slow"))
        upstream.wait_requests()
        gateway.drain()
        wait_until(lambda: refuses(address))
        assert gateway.process.poll() is None
        gateway.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        gateway.wait(10)
        assert time.monotonic() - began < 10
        gate.set()
    gateway.stopped = True  # it was told to drop what it had: its exit code is not judged
    gateway.check_stderr()


def test_a_drain_by_the_admin_listener_is_the_same(start, upstream):
    gate = held(upstream)
    gateway = start(plain(upstream, drain=LONG))
    address = gateway.address
    with gateway.client() as client:
        client.send(request_bytes(target="/slow"))
        upstream.wait_requests()
        assert gateway.admin.ask("POST", "/drain").status == 202
        wait_until(lambda: refuses(address))
        gate.set()
        assert client.read_response().body == b"slow"
    assert gateway.wait() == 0


def test_a_drain_under_load_answers_everything_it_took(start, upstream):
    gateway = start(plain(upstream, workers=2, drain={"pause": "0s", "timeout": "10s", "idle": "1s"}))
    address = gateway.address
    failures, served = [], []

    def traffic():
        done = 0
        try:
            with Client(address) as client:
                while True:
                    try:
                        answer = client.ask()
                    except Closed as closed:
                        if closed.got or closed.reset:
                            failures.append(closed)  # cut inside an answer, or reset
                        break
                    except BrokenPipeError:
                        break
                    done += 1
                    if answer.status != 200:
                        failures.append(answer)
                    if answer.get("connection", "") == "close":
                        client.expect_close()
                        break
        except OSError as failure:
            failures.append(failure)
        served.append(done)
    threads = [threading.Thread(target=traffic) for _ in range(8)]
    for thread in threads:
        thread.start()
    upstream.wait_requests(100)
    gateway.drain()
    for thread in threads:
        thread.join()
    assert gateway.wait() == 0
    assert failures == []
    assert len(gateway.access_log(reason="completed")) == sum(served) == len(upstream.requests)


def test_nothing_is_accepted_and_then_dropped(start, upstream):
    """Connections that were in the accept queue when the drain began are served or never begun."""
    gateway = start(plain(upstream, drain=LONG))
    address = gateway.address
    clients = [Client(address) for _ in range(50)]
    gateway.drain()
    served = 0
    for client in clients:
        with client:
            if client.try_send(request_bytes()):
                try:
                    assert client.read_response().status == 200
                    served += 1
                except Closed as closed:
                    assert not closed.got
    assert gateway.wait() == 0
    assert served == len(upstream.requests)
