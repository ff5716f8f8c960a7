"""Active checks (health): endpoints are asked whether they are well, once for the process."""

import json
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from gateway import plain
from raw import wait_until
from pki import Pki

QUICK = {"interval": "50ms", "unhealthy_interval": "30ms", "timeout": "1s", "jitter": "0%"}


def checked(fakes, health, **app):
    config = plain(*fakes)
    config["upstreams"]["app"].update(health={**QUICK, **health}, **app)
    return config


def healthy(page, fake):
    return page.get("sluice_upstream_healthy", upstream="app", endpoint=fake.address)


def wait_healthy(gateway, fake, value):
    gateway.wait_metric(lambda page: healthy(page, fake) == value, what=f"healthy {value}")


def checks(gateway, fake, result, upstream="app"):
    return gateway.metric("sluice_upstream_checks_total", upstream=upstream, endpoint=fake.address, result=result)


def wait_checks(gateway, fake, result, count=1):
    wait_until(lambda: checks(gateway, fake, result) >= count, what=f"{count} checks that end by {result}")


def served(fake):
    return [ex for ex in fake.requests if ex.path != "/healthz"]


def expect_only(gateway, good, bad, count=20):
    before = len(served(bad))
    for _ in range(count):
        assert gateway.ask().status == 200
    assert len(served(bad)) == before and len(served(good)) >= count


class Switch:
    """Answers /healthz by a status that the test changes."""

    def __init__(self, fake, status=200, body=b"ok"):
        self.status, self.body = status, body
        fake.on("/healthz", lambda ex: ex.reply(self.status, self.body))


# -- HTTP ---------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 4])
def test_an_endpoint_that_fails_its_checks_gets_no_requests_until_it_passes_them(start, upstreams, workers):
    good, bad = upstreams(), upstreams()
    Switch(good)
    switch = Switch(bad)
    gateway = start(dict(checked([good, bad], {"path": "/healthz"}), workers=workers))
    wait_checks(gateway, bad, "passed", 3)
    switch.status = 503
    wait_healthy(gateway, bad, 0)
    expect_only(gateway, good, bad)
    assert healthy(gateway.metrics(), good) == 1
    (line,) = wait_until(lambda: gateway.log("endpoint fails its checks"), what="the log line")
    assert (line["upstream"], line["endpoint"], line["why"]) == ("app", bad.address, "status 503")
    assert checks(gateway, bad, "status") >= 3
    switch.status = 204
    wait_healthy(gateway, bad, 1)
    wait_until(lambda: gateway.log("endpoint passes its checks"), what="the log line")
    before = len(served(bad))
    for _ in range(20):
        assert gateway.ask().status == 200
    assert len(served(bad)) > before


def test_one_process_checks_whatever_the_workers(start, upstreams):
    fake = upstreams()
    Switch(fake)
    gateway = start(dict(checked([fake], {"path": "/healthz"}), workers=4))
    wait_checks(gateway, fake, "passed", 5)
    page = gateway.metrics()
    asked = len(fake.requests)
    assert asked <= page.get("sluice_upstream_checks_total", upstream="app", endpoint=fake.address,
                             result="passed") + 2


def test_the_first_check_decides_alone_and_a_flap_does_not(start, upstreams):
    good, bad = upstreams(), upstreams()
    Switch(good)
    switch = Switch(bad, 500)
    gateway = start(checked([good, bad], {"path": "/healthz", "interval": "1h", "unhealthy_interval": "0s"}))
    wait_healthy(gateway, bad, 0)
    assert checks(gateway, bad, "status") == 1
    count = [0]

    def flap(ex):
        count[0] += 1
        ex.reply(200 if count[0] % 3 else 500)

    bad.on("/healthz", flap)
    assert switch.status == 500
    gateway.must_reload(checked([good, bad], {"path": "/healthz", "unhealthy_threshold": 2}))
    wait_healthy(gateway, bad, 1)
    before = len(gateway.log("endpoint fails its checks"))
    wait_checks(gateway, bad, "status", 6)
    assert len(gateway.log("endpoint fails its checks")) == before, "two in a row never failed"


def test_what_is_asked_is_what_is_configured(start, upstreams):
    fake = upstreams()
    gateway = start(checked([fake], {"path": "/up?deep=1", "method": "OPTIONS", "host": "health.test",
                                     "fields": {"X-Probe": "sluice"}}))
    wait_checks(gateway, fake, "passed")
    asked = fake.requests[0]
    assert asked.request_line == "OPTIONS /up?deep=1 HTTP/1.1"
    assert (asked.get("host"), asked.get("x-probe")) == ("health.test", "sluice")
    assert asked.get("user-agent").startswith("sluice/")


def test_the_host_is_the_endpoint_when_nothing_else_is_said(start, upstreams):
    fake = upstreams()
    gateway = start(checked([fake], {"path": "/healthz"}))
    wait_checks(gateway, fake, "passed")
    assert fake.requests[0].get("host") == fake.address


@pytest.mark.parametrize("health,body,result", [
    ({"body": '"up"'}, b'{"status":"up"}', "passed"),
    ({"body": '"up"'}, b'{"status":"down"}', "body"),
    ({"body": '"up"'}, b"", "body"),
    ({"body_matches": '"lag": *[0-9]{1,2}[,}]'}, b'{"lag": 42}', "passed"),
    ({"body_matches": '"lag": *[0-9]{1,2}[,}]'}, b'{"lag": 420}', "body"),
    ({"body": "at the start"}, b"at the start" + b"x" * 200000, "passed"),
    ({"status": ["404"]}, b"", "status"),
    ({"status": ["2xx"]}, b"", "passed"),
    ({"status": ["500-599", "200"]}, b"", "passed"),
    ({"method": "HEAD"}, None, "passed"),
], ids=range(10))
def test_the_answer_must_be_as_expected(start, upstreams, health, body, result):
    fake = upstreams()
    fake.on("/healthz", lambda ex: ex.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n") if body is None
            else ex.reply(200, body))
    gateway = start(checked([fake], {"path": "/healthz", **health}))
    wait_checks(gateway, fake, result)
    assert healthy(gateway.metrics(), fake) == (result == "passed")


def test_what_does_not_answer_fails_in_its_own_words(start, upstreams):
    end = threading.Event()
    silent, closing, resetting, garbled, refusing = fakes = [upstreams() for _ in range(5)]
    silent.on("/healthz", lambda ex: end.wait(20))
    closing.on("/healthz", lambda ex: ex.close())
    resetting.on("/healthz", lambda ex: ex.reset())
    garbled.on("/healthz", lambda ex: ex.send(b"hello there\r\n\r\n") or ex.close())
    refusing.stop_listening()
    gateway = start(checked(fakes, {"path": "/healthz", "timeout": "200ms"}))
    try:
        for fake, result in [(silent, "timeout"), (closing, "reset"), (resetting, "reset"), (garbled, "protocol"),
                             (refusing, "connect_failed")]:
            wait_checks(gateway, fake, result)
    finally:
        end.set()


def test_another_port_is_asked(start, upstreams):
    fake, side = upstreams(), upstreams()
    gateway = start(checked([fake], {"path": "/healthz", "port": side.port}))
    wait_checks(gateway, fake, "passed")
    assert side.paths()[0] == "/healthz" and not fake.requests
    assert side.requests[0].get("host") == fake.address


def test_when_none_is_well_all_are_asked(start, upstreams):
    fakes = [upstreams() for _ in range(2)]
    for fake in fakes:
        Switch(fake, 500)
    gateway = start(checked(fakes, {"path": "/healthz"}))
    for fake in fakes:
        wait_healthy(gateway, fake, 0)
    for _ in range(10):
        assert gateway.ask().status == 200
    assert all(len(served(fake)) == 5 for fake in fakes)
    assert gateway.metric("sluice_upstream_panic_picks_total", upstream="app") == 10


def test_a_lot_of_endpoints_are_checked_a_few_at_a_time(start, upstreams):
    """508 addresses of the same fake: none is forgotten, and never more than the cap at once."""
    fake = upstreams()
    running, most, lock = [0], [0], threading.Lock()

    def answer(ex):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.02)
        with lock:
            running[0] -= 1
        ex.reply(200)

    fake.sock.close()  # its own address is not used: it listens on all of 127.0.0.0/8 instead
    fake.sock = socket.socket()
    fake.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    fake.sock.bind(("0.0.0.0", 0))
    fake.sock.listen(1024)
    fake.thread = threading.Thread(target=fake._accept, args=(fake.sock,), daemon=True)
    fake.thread.start()
    port = fake.sock.getsockname()[1]
    fake.on("/healthz", answer)
    config = checked([fake], {"path": "/healthz", "interval": "1h", "timeout": "10s"})
    config["upstreams"]["app"]["endpoints"] = [f"127.0.1.{n}:{port}" for n in range(1, 255)] + [
        f"127.0.2.{n}:{port}" for n in range(1, 255)]
    gateway = start(config)
    gateway.wait_metric(lambda page: len(page.find("sluice_upstream_checks_total", result="passed")) == 508,
                        what="508 endpoints that passed")
    assert 0 < most[0] <= 256


# -- TLS, gRPC, TCP ------------------------------------------------------------------------


class TlsFake:
    """A TCP server that answers each connection by a function, with TLS if it has a context."""

    def __init__(self, answer, context=None, alpn=None):
        self.answer, self.context = answer, context
        self.accepted = 0
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        try:
            if self.context:
                sock = self.context.wrap_socket(sock, server_side=True)
            self.answer(sock)
        except OSError:
            pass
        finally:
            sock.close()

    def stop(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


@pytest.fixture
def tcp():
    made = []

    def make(answer=lambda sock: sock.recv(1), context=None):
        made.append(TlsFake(answer, context))
        return made[-1]

    yield make
    for fake in made:
        fake.stop()


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    made = Pki(str(tmp_path_factory.mktemp("pki")))
    made.make("server", "orders.test")
    return made


def answer_http(sock):
    sock.recv(65536)
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def test_checks_use_the_tls_of_the_upstream(start, tcp, pki):
    good = tcp(answer_http, pki.server("server"))
    config = checked([good], {"path": "/healthz"}, tls={"ca": pki.ca, "sni": "orders.test"})
    gateway = start(config)
    wait_checks(gateway, good, "passed")
    config["upstreams"]["app"]["tls"]["sni"] = "other.test"
    gateway.must_reload(config)
    wait_checks(gateway, good, "protocol")


@pytest.mark.parametrize("health", [{"path": "/healthz"}, {"type": "tcp"}])
def test_checks_obey_the_oldest_version_that_is_allowed(start, tcp, pki, health):
    context = pki.server("server")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    old = tcp(answer_http, context)
    config = checked([old], health, tls={"ca": pki.ca, "sni": "orders.test"})
    gateway = start(config)
    wait_checks(gateway, old, "passed")
    config["upstreams"]["app"]["tls"]["min_version"] = "1.3"
    gateway.must_reload(config)
    wait_healthy(gateway, old, 0)


def test_checks_may_be_plain_beside_tls(start, tcp, pki, upstreams):
    side = upstreams()
    main = tcp(answer_http, pki.server("server"))
    gateway = start(checked([main], {"path": "/healthz", "port": side.port, "plain": True},
                            tls={"ca": pki.ca, "sni": "orders.test"}))
    wait_checks(gateway, main, "passed")
    assert side.paths()[0] == "/healthz"


def test_tcp_checks_connect(start, tcp):
    good, refusing = tcp(), tcp()
    refusing.stop()
    gateway = start(checked([good, refusing], {"type": "tcp"}))
    wait_checks(gateway, good, "passed", 3)
    wait_checks(gateway, refusing, "connect_failed")
    assert healthy(gateway.metrics(), good) == 1 and healthy(gateway.metrics(), refusing) == 0


def pong(sock):
    if sock.recv(64) == b"PING\r\n":
        for byte in b"+PONG\r\n":
            sock.sendall(bytes([byte]))
        sock.recv(1)


@pytest.mark.parametrize("with_tls", [False, True])
def test_tcp_checks_say_something_and_expect_an_answer(start, tcp, pki, with_tls):
    context = pki.server("server") if with_tls else None
    good = tcp(pong, context)
    other = tcp(lambda sock: (sock.recv(64), sock.sendall(b"-ERR loading\r\n"), sock.recv(1)), context)
    ending = tcp(lambda sock: sock.recv(64), context)
    app = {"tls": {"ca": pki.ca, "sni": "orders.test"}} if with_tls else {}
    gateway = start(checked([good, other, ending],
                            {"type": "tcp", "send": "PING\r\n", "expect": "+PONG", "timeout": "300ms"}, **app))
    wait_checks(gateway, good, "passed", 2)
    wait_checks(gateway, other, "timeout")
    wait_checks(gateway, ending, "reset")
    assert healthy(gateway.metrics(), good) == 1 and healthy(gateway.metrics(), other) == 0


def test_tcp_checks_with_tls_want_the_right_certificate(start, tcp, pki):
    good = tcp(context=pki.server("server"))
    config = checked([good], {"type": "tcp"}, tls={"ca": pki.ca, "sni": "orders.test"})
    gateway = start(config)
    wait_checks(gateway, good, "passed")
    config["upstreams"]["app"]["tls"]["sni"] = "other.test"
    gateway.must_reload(config)
    wait_checks(gateway, good, "connect_failed")


class GrpcHealth:
    """The standard health service of a real gRPC server."""

    def __init__(self, credentials=None):
        grpc = pytest.importorskip("grpc")
        self.statuses = {b"": 1}
        self.asked = []
        handler = grpc.unary_unary_rpc_method_handler(self.check)
        self.server = grpc.server(ThreadPoolExecutor(max_workers=2))
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),))
        self.grpc = grpc
        if credentials:
            key, cert = (open(path, "rb").read() for path in credentials)
            self.port = self.server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, cert)]))
        else:
            self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{self.port}"
        self.server.start()

    def check(self, request, context):
        service = request[2:] if request[:1] == b"\x0a" else b""
        self.asked.append(service)
        if service not in self.statuses:
            context.abort(self.grpc.StatusCode.NOT_FOUND, "unknown service")
        status = self.statuses[service]
        return bytes([8, status]) if status else b""

    def stop(self):
        self.server.stop(None)


@pytest.fixture
def grpc_health():
    made = []

    def make(credentials=None):
        made.append(GrpcHealth(credentials))
        return made[-1]

    yield make
    for server in made:
        server.stop()


def test_grpc_checks_ask_the_standard_service(start, grpc_health):
    server = grpc_health()
    gateway = start(checked([server], {"type": "grpc"}))
    wait_checks(gateway, server, "passed", 2)
    server.statuses[b""] = 2
    wait_healthy(gateway, server, 0)
    assert checks(gateway, server, "not_serving") >= 3
    (line,) = wait_until(lambda: gateway.log("endpoint fails its checks"), what="the log line")
    assert line["why"] == "NOT_SERVING"
    server.statuses[b""] = 1
    wait_healthy(gateway, server, 1)


def test_grpc_checks_ask_about_a_service(start, grpc_health):
    one, other = grpc_health(), grpc_health()
    one.statuses[b"orders.v1.Orders"] = 1
    gateway = start(checked([one, other], {"service": "orders.v1.Orders"}))
    wait_checks(gateway, one, "passed")
    wait_checks(gateway, other, "status")
    assert set(one.asked) == {b"orders.v1.Orders"}


def test_grpc_checks_over_tls(start, grpc_health, pki):
    server = grpc_health((pki.path("server.key"), pki.path("server.pem")))
    gateway = start(checked([server], {"type": "grpc"}, tls={"ca": pki.ca, "sni": "orders.test"}))
    wait_checks(gateway, server, "passed")


# -- change ---------------------------------------------------------------------------------


def test_a_reload_keeps_what_is_known(start, upstreams):
    good, bad = upstreams(), upstreams()
    Switch(good)
    Switch(bad, 500)
    config = checked([good, bad], {"path": "/healthz", "interval": "1h", "unhealthy_interval": "1h"})
    gateway = start(config)
    wait_healthy(gateway, bad, 0)
    bad.on("/healthz", lambda ex: ex.reply(200))
    config["upstreams"]["app"]["balance"] = "random"
    gateway.must_reload(config)
    expect_only(gateway, good, bad)
    assert len([path for path in bad.paths() if path == "/healthz"]) == 1, "nothing asked it again"


def test_without_checks_nobody_is_out_because_of_one(start, upstreams):
    good, bad = upstreams(), upstreams()
    Switch(good)
    Switch(bad, 500)
    gateway = start(checked([good, bad], {"path": "/healthz"}))
    wait_healthy(gateway, bad, 0)
    gateway.must_reload(plain(good, bad))
    assert healthy(gateway.metrics(), bad) == 1
    asked = len(bad.paths())
    for _ in range(10):
        assert gateway.ask().status == 200
    assert len(served(bad)) == 5 and len(bad.paths()) <= asked + 6


def test_a_new_endpoint_is_checked_at_once(start, upstreams):
    good, bad = upstreams(), upstreams()
    Switch(good)
    Switch(bad, 500)
    health = {"path": "/healthz", "interval": "1h"}
    gateway = start(checked([good], health))
    wait_checks(gateway, good, "passed")
    gateway.must_reload(checked([good, bad], health))
    wait_healthy(gateway, bad, 0)
    assert len(good.requests) == 1


def test_a_gateway_ends_while_checks_are_under_way(start, upstreams, tcp):
    silent = tcp(lambda sock: threading.Event().wait(1))
    gateway = start(checked([silent], {"send": "x", "expect": "y", "timeout": "30s"}))
    wait_until(lambda: silent.accepted, what="a check under way")
    gateway.stop()


def test_ejection_and_checks_are_both_needed_to_be_well(start, upstreams):
    good, bad = upstreams(), upstreams()
    Switch(good)
    Switch(bad)
    bad.script = lambda ex: (ex.read_body(), ex.reply(500))
    gateway = start(checked([good, bad], {"path": "/healthz"}, outlier_detection=True))
    wait_checks(gateway, bad, "passed")

    def is_out():
        gateway.ask()
        return healthy(gateway.metrics(), bad) == 0

    wait_until(is_out, what="the ejection")
    passed = checks(gateway, bad, "passed")
    wait_checks(gateway, bad, "passed", passed + 3)
    assert healthy(gateway.metrics(), bad) == 0, "a passed check does not end an ejection"


def test_a_check_that_passes_ends_an_ejection_where_that_is_wanted(start, upstreams):
    good, bad = upstreams(), upstreams()
    Switch(good)
    Switch(bad)
    bad.script = lambda ex: (ex.read_body(), ex.reply(500))
    gateway = start(checked([good, bad], {"path": "/healthz"}, outlier_detection={
        "base_ejection_time": "1h", "max_ejection_time": "1h", "interval": "1h",
        "successful_active_health_check_uneject_host": True}))
    wait_checks(gateway, bad, "passed")
    wait_until(lambda: gateway.ask() and gateway.log("endpoint ejected"), what="the ejection")
    line = wait_until(lambda: gateway.log("endpoint no longer ejected"), what="its end")[0]
    assert (line["endpoint"], line["why"]) == (bad.address, "it passes its checks")


def test_checks_ask_over_one_connection_unless_each_is_to_have_its_own(start, upstreams):
    kept, fresh = upstreams(), upstreams()
    Switch(kept)
    Switch(fresh)
    config = checked([kept], {"path": "/healthz"})
    config["upstreams"]["other"] = checked([fresh], {"path": "/healthz", "reuse_connection": False})["upstreams"]["app"]
    config["routes"].append({"match": {"path": "/other"}, "upstream": "other"})
    gateway = start(config)
    wait_checks(gateway, kept, "passed", 5)
    wait_until(lambda: checks(gateway, fresh, "passed", upstream="other") >= 5, what="checks")
    assert kept.connections == 1
    assert fresh.connections >= 5


@pytest.mark.parametrize("health,why", [
    ({"path": "healthz"}, "cannot be asked for"),
    ({"type": "tcp", "path": "/x"}, "path has no meaning for a check of type tcp"),
    ({"type": "grpc", "body": "x"}, "body has no meaning"),
    ({"send": "x", "status": ["200"]}, "status has no meaning for a check of type tcp"),
    ({"status": ["600"]}, "not a status from 200 to 599"),
    ({"status": ["300-200"]}, "not a status from 200 to 599"),
    ({"body_matches": "a(b"}, "missing closing parenthesis"),
    ({"fields": {"X Y": "1"}}, "cannot be sent as a field"),
    ({"interval": "1ms"}, "at least"),
])
def test_what_is_wrong_is_told(sluice, tmp_path, health, why):
    path = tmp_path / "wrong.yaml"
    path.write_text(json.dumps({"upstreams": {"app": {"endpoints": ["127.0.0.1:1"], "health": health}},
                                "routes": [{"upstream": "app"}]}))
    done = sluice("check", str(path))
    assert done.returncode != 0 and why in done.stdout + done.stderr, done.stderr
