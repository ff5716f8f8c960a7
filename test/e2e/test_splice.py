"""Large content that the kernel moves from socket to socket: the same bytes, ends and numbers as when it is copied."""

import hashlib
import itertools
import os
import re
import resource
import threading

import pytest

import plugins
from gateway import plain
from raw import Client, Closed, request_bytes, wait_until
from test_bodies import pattern
from test_matrix import DOWN, UP, BODY, curl, pair  # noqa: F401 (a fixture)
from upstream import response_bytes

KIB, MIB = 1024, 1024 * 1024
LEAST = 64 * KIB  # of content to come, by default
PIPE = 256 * KIB  # what one holds at most
LARGE = pattern(24 * MIB)  # more than the buffers of two connections hold
ALWAYS = {"splice": {"min_size": "4KiB"}}
PATIENCE_S = 60.0
LEFT = ("client_closed", "client_reset")


class Gated:
    """An upstream that sends the head of its answer, and the content when it is told to, as far as the client goes on."""

    def __init__(self, upstream, body, length=None, end=None):
        self.gate = threading.Event()
        self.sent = 0
        self.upstream = upstream

        def script(exchange):
            exchange.read_body()
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(body) if length is None else length))
            assert self.gate.wait(PATIENCE_S)
            for at in range(0, len(body), 64 * KIB):
                exchange.send(body[at:at + 64 * KIB])
                self.sent = at
            if end:
                end(exchange)
        upstream.on("/gated", script)

    def ask(self, gateway, **options):
        """A client that has the head of the answer; no content has been sent yet."""
        client = gateway.client(**options)
        client.send(request_bytes(target="/gated"))
        self.head = client.read_head()
        return client

    def read(self, client):
        client.read_body(self.head)
        return self.head.body


def spliced(gateway):
    reading = gateway.metrics()
    return reading.get("sluice_worker_spliced_bytes_total"), reading.get("sluice_worker_spliced_bodies_total")


def wait_filled(gateway):
    """Until content waits in a pipe for a client that does not take it."""
    return gateway.wait_metric(lambda m: m.get("sluice_worker_pipe_bytes") > 0, "content in a pipe")


def wait_empty(gateway):
    gateway.wait_metric(lambda m: m.get("sluice_worker_pipe_bytes") == 0 and m.get("sluice_worker_pipes_used") == 0,
                        "no pipe with content")


def pipes_kind(gateway):
    return next(kind for kind in gateway.admin.json("/memory")["kinds"] if kind["kind"] == "pipes")


@pytest.fixture
def stuck(start, upstream):
    """Begin a large answer whose client takes nothing; content for it is in a pipe then."""
    def begin(body=LARGE, end=None, length=None, **config):
        gateway = start(plain(upstream, **config))
        gated = Gated(upstream, body, length, end)
        client = gated.ask(gateway, receive_buffer=4096)
        gated.gate.set()
        wait_filled(gateway)
        return gateway, gated, client
    return begin


# --- what is moved, and what is not


@pytest.mark.parametrize("size", [LEAST - 1, LEAST, LEAST + 1, 700001, 12 * MIB + 5])
def test_content_is_moved_from_a_size_on(gateway, upstream, size):
    body = pattern(size)
    gated = Gated(upstream, body)
    with gated.ask(gateway) as client:
        gated.gate.set()
        assert gated.read(client) == body
        assert client.ask(target="/small").body == b"ok"
    assert spliced(gateway) == ((size, 1) if size >= LEAST else (0, 0))
    line = gateway.expect_end("completed", path="/gated")
    assert (line["bytes_out"], line["status"], line["upstream_ms"] >= 0) == (size, 200, True)
    gateway.wait_metric(lambda m: m.get("sluice_response_body_bytes_total", route="all") == size + 2, "the bytes of both answers")
    assert upstream.connections == 1, "the connection was kept"
    wait_empty(gateway)
    assert gateway.metric("sluice_worker_pipes_missed_total") == 0


def test_all_sizes_arrive_as_they_were_sent(start, upstream):
    gateway = start(plain(upstream, **ALWAYS))
    sizes = [0, 1, 4095, 4096, 4097, 65535, 65536, 77000, 77824, 77825, 81920, 100000, PIPE, 3 * PIPE + 1, 20 * MIB + 17]
    upstream.on("/n", lambda ex: ex.reply(200, pattern(int(ex.target.partition("?")[2]))))
    with gateway.client() as client:
        for size in sizes:
            answer = client.ask(target=f"/n?{size}")
            assert (answer.get("content-length"), len(answer.body)) == (str(size), size)
            assert hashlib.sha256(answer.body).digest() == hashlib.sha256(pattern(size)).digest(), size
    assert upstream.connections == 1
    moved, bodies = spliced(gateway)
    assert 20 * MIB < moved <= sum(sizes) and bodies >= 1
    lines = gateway.wait_access(len(sizes), path="/n")
    assert sorted(line["bytes_out"] for line in lines) == sizes


def test_many_at_once_do_not_mix(start, upstream):
    gateway = start(plain(upstream, workers=2))
    bodies = [hashlib.sha256(b"%d" % n).digest() * (100 * KIB) for n in range(12)]
    upstream.on("/n", lambda ex: ex.reply(200, bodies[int(ex.target.partition("?")[2])]))
    wrong = []

    def fetch(n):
        with gateway.client(receive_buffer=[None, 4096][n % 2]) as client:
            for _ in range(2):
                if client.ask(target=f"/n?{n}").body != bodies[n]:
                    wrong.append(n)

    threads = [threading.Thread(target=fetch, args=(n,)) for n in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not wrong and not any(thread.is_alive() for thread in threads)
    moved, count = spliced(gateway)
    assert count == 24 and moved > 24 * (len(bodies[0]) - 200 * KIB)
    wait_empty(gateway)


@pytest.mark.parametrize("option", [False, {"enabled": False}, {"min_size": "1GiB"}], ids=str)
def test_it_can_be_switched_off(start, upstream, option):
    gateway = start(plain(upstream, splice=option))
    upstream.on("/", lambda ex: ex.reply(200, LARGE))
    assert gateway.ask().body == LARGE
    assert spliced(gateway) == (0, 0)


@pytest.mark.parametrize("bad, told", [({"min_size": "1KiB"}, "min_size"), ({"pipes": 0}, "pipes"), ({"size": "1MiB"}, "size"),
                                       ("some", "splice")])
def test_a_wrong_option_is_told(sluice, tmp_path, bad, told):
    (tmp_path / "bad.yaml").write_text(f"splice: {bad}\nroutes: [ {{ echo: true }} ]\n".replace("'", ""))
    answer = sluice("check", "bad.yaml")
    assert answer.returncode == 3 and "bad.yaml:1:" in answer.stderr + answer.stdout and told in answer.stderr + answer.stdout


@pytest.mark.parametrize("mode, moves", [("none", True), ("read", False), ("edit", False), ("whole", False)])
def test_what_a_plugin_looks_at_is_copied(start, upstream, binary, mode, moves):
    gateway = start(plain(upstream, plugin_path=[plugins.folder(binary)], plugins=[{"editor": {"response": mode}}]))
    body = LARGE[:500 * KIB]
    gated = Gated(upstream, body)
    with gateway.client() as client:
        client.send(request_bytes(target="/gated"))
        gated.gate.set()
        assert client.read_response().body == body
    assert (spliced(gateway)[0] > 0) == moves


def test_only_plain_http_1_on_both_sides_is_moved(pair):  # noqa: F811
    for down, up in itertools.product(DOWN, UP):
        before = spliced(pair)[1]
        code, status, _, body = curl(pair, down, up, "echo", "--data-binary", "@" + pair.body)
        assert (code, status, len(body)) == (0, 200, BODY)
        pair.wait_access(path=f"/{up}/echo", protocol="HTTP/2" if down.startswith("h2") else "HTTP/1.1",
                         listener="tls" if down.endswith("s") else "plain")
        assert (spliced(pair)[1] > before) == ((down, up) == ("h1", "h1")), (down, up)


def test_content_without_a_length_is_copied(gateway, upstream):
    body = LARGE[:600 * KIB]
    upstream.answer("/chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
    upstream.answer("/close", b"HTTP/1.1 200 OK\r\n\r\n" + body, close=True)
    assert gateway.ask(target="/chunked").body == body
    assert gateway.ask(target="/close").body == body
    assert spliced(gateway) == (0, 0)


def test_a_length_that_describes_no_content_is_none(gateway, upstream):
    upstream.answer("/head", b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
    upstream.answer("/same", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10000000\r\nETag: \"a\"\r\n\r\n")
    with gateway.client() as client:
        for _ in range(2):
            assert client.ask("HEAD", "/head").get("content-length") == "10000000"
            assert client.ask("GET", "/same").status == 304
    assert upstream.connections == 1 and spliced(gateway) == (0, 0)


def test_an_http_1_0_client_and_a_unix_socket_are_served_so_too(start, upstream, tmp_path):
    body = LARGE[:2 * MIB]
    gateway = start(plain(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0"},
                                               {"name": "local", "bind": f"unix:{tmp_path}/s"}]))
    upstream.on("/", lambda ex: ex.reply(200, body))
    with gateway.client() as client:
        client.send(request_bytes(version="HTTP/1.0"))
        assert client.read_response().body == body
    with Client(f"unix:{tmp_path}/s") as client:
        for _ in range(2):
            assert client.ask().body == body
    assert spliced(gateway)[1] == 3 and upstream.connections == 1


def test_requests_behind_it_wait_their_turn(gateway, upstream):
    upstream.on("/large", lambda ex: ex.reply(200, LARGE))
    upstream.on("/small", lambda ex: ex.reply(200, b"small"))
    with gateway.client() as client:
        client.send(b"".join(request_bytes(target=target) for target in ("/large", "/small", "/large", "/small")))
        for want in (LARGE, b"small") * 2:
            assert client.read_response().body == want
    assert upstream.paths() == ["/large", "/small"] * 2 and upstream.connections == 1
    assert spliced(gateway)[1] == 2


# --- a client that takes little or nothing


def test_a_slow_client_holds_the_upstream_and_is_seen(stuck, sluice):
    gateway, gated, client = stuck()
    reading = gateway.metrics()
    assert reading.get("sluice_worker_pipes_used") == 1
    assert 0 < reading.get("sluice_worker_pipe_bytes") <= PIPE
    kind = pipes_kind(gateway)
    assert (kind["used"], kind["bytes"]) == (1, kind["each"]) and 0 < kind["kernel_bytes"] <= PIPE
    table = sluice("mem", "--admin", gateway.admin.address).stdout
    assert re.search(rf"^pipes +{kind['bytes']} +1 +0 +{kind['each']} +with {kind['kernel_bytes']} of the kernel's$", table, re.M), table
    assert gated.sent < len(LARGE) - MIB, "the upstream is not read on"
    [row] = gateway.admin.json("/connections")["connections"]
    assert 0 < row["streams"][0]["bytes_out"] < len(LARGE)
    with client:
        assert gated.read(client) == LARGE
        assert client.ask().body == b"ok"
    assert spliced(gateway)[1] == 1
    wait_empty(gateway)
    gateway.wait_metric(lambda m: m.get("sluice_worker_pipes_spare") == 0, "pipes that nobody needs are closed")


@pytest.mark.parametrize("leave", ["reset", "close"])
def test_a_client_that_leaves_midway_takes_its_pipe_along(stuck, upstream, leave):
    gateway, gated, client = stuck()
    getattr(client, leave)()
    line = gateway.wait_access(path="/gated")
    assert line["reason"] in LEFT and 0 < line["bytes_out"] < len(LARGE)
    wait_empty(gateway)
    assert pipes_kind(gateway)["used"] == 0
    upstream.wait_idle()
    body = pattern(MIB, 3)
    upstream.on("/next", lambda ex: ex.reply(200, body))
    assert gateway.ask(target="/next").body == body, "nothing of the other answer is in it"
    assert spliced(gateway)[1] == 2


def test_a_client_that_takes_nothing_is_ended_in_time(stuck, upstream):
    gateway, _, client = stuck(listeners=[{"name": "main", "bind": "127.0.0.1:0", "timeout": {"write": "300ms"}}])
    with client:
        gateway.expect_end("write_timeout", client_port=client.port)
    wait_empty(gateway)
    upstream.wait_idle()


def test_without_a_pipe_content_is_copied(stuck, upstream):
    gateway, gated, client = stuck(splice={"pipes": 1})
    before = spliced(gateway)
    upstream.on("/other", lambda ex: ex.reply(200, LARGE))
    assert gateway.ask(target="/other").body == LARGE
    assert spliced(gateway) == before
    assert gateway.metric("sluice_worker_pipes_missed_total") > 0
    with client:
        assert gated.read(client) == LARGE
    upstream.on("/next", lambda ex: ex.reply(200, LARGE))
    assert gateway.ask(target="/next").body == LARGE
    assert spliced(gateway)[1] == before[1] + 1


def test_without_descriptors_content_is_copied(gateway, upstream):
    upstream.on("/large", lambda ex: ex.reply(200, LARGE))
    with gateway.client() as client:
        assert client.ask(target="/small").body == b"ok"
        used = set(map(int, os.listdir(f"/proc/{gateway.pid}/fd")))
        limits = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (min(set(range(len(used) + 1)) - used), limits[1]))
        assert client.ask(target="/large").body == LARGE
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, limits)
    assert upstream.connections == 1 and spliced(gateway) == (0, 0)
    assert gateway.metric("sluice_worker_pipes_missed_total") > 0


# --- an upstream that does not send what it said


@pytest.mark.parametrize("end, reason", [(lambda ex: ex.close(), "upstream_closed"), (lambda ex: ex.reset(), "upstream_reset")],
                         ids=["close", "reset"])
def test_an_answer_that_is_cut_is_cut_for_the_client(gateway, upstream, end, reason):
    body = LARGE[:3 * MIB]
    gated = Gated(upstream, body, len(LARGE), end)
    parts = []
    with gated.ask(gateway) as client:
        gated.gate.set()
        with pytest.raises(Closed):
            client.read_body(gated.head, sink=parts.append)
    got = b"".join(parts)
    assert body.startswith(got) and (reason == "upstream_reset" or got == body)
    line = gateway.expect_end(reason, path="/gated")
    assert len(got) <= line["bytes_out"] <= len(body)
    assert spliced(gateway)[1] == 1
    wait_empty(gateway)
    assert gateway.ask(target="/next").body == b"ok"


def test_a_cut_reaches_a_slow_client_too(stuck):
    body = LARGE[:12 * MIB]
    gateway, gated, client = stuck(body, lambda ex: ex.close(), len(LARGE))
    parts = []
    with client, pytest.raises(Closed):
        client.read_body(gated.head, sink=parts.append)
    assert b"".join(parts) == body
    assert gateway.expect_end("upstream_closed", path="/gated")["bytes_out"] == len(body)
    wait_empty(gateway)


def test_what_comes_behind_the_content_is_not_an_answer(gateway, upstream):
    """A second response that nobody asked for must not become the answer to the next request."""
    body = LARGE[:MIB]
    upstream.on("/", lambda ex: ex.send(response_bytes(200, body) + response_bytes(200, b"injected")))
    with gateway.client() as client:
        for _ in range(3):
            assert client.ask().body == body
    assert upstream.connections == 3, "none of these connections was used again"
    assert spliced(gateway)[1] == 3


def test_an_upstream_that_falls_silent_midway_is_ended_in_time(start, upstream):
    held = threading.Event()
    body = LARGE[:MIB]
    gateway = start(plain(upstream))
    config = plain(upstream)
    config["upstreams"]["app"]["timeout"] = {"idle": "300ms"}
    gateway.must_reload(config)
    gated = Gated(upstream, body, len(LARGE), lambda ex: held.wait(PATIENCE_S) and ex.close())
    parts = []
    with gated.ask(gateway) as client:
        gated.gate.set()
        with pytest.raises(Closed):
            client.read_body(gated.head, sink=parts.append)
    held.set()
    assert b"".join(parts) == body
    assert gateway.expect_end("upstream_idle_timeout", path="/gated")["bytes_out"] == len(body)
    assert spliced(gateway)[1] == 1


# --- change under way


def test_a_reload_leaves_it_alone(stuck, upstream):
    gateway, gated, client = stuck()
    gateway.must_reload(plain(upstream, splice=False))
    upstream.on("/next", lambda ex: ex.reply(200, LARGE))
    with client:
        assert gated.read(client) == LARGE
        before = spliced(gateway)
        assert before[1] == 1
        assert client.ask(target="/next").body == LARGE
    assert spliced(gateway) == before, "the next exchange goes by the new configuration"
    assert gateway.expect_end("completed", path="/gated")["bytes_out"] == len(LARGE)
    gateway.must_reload(plain(upstream))
    assert gateway.ask(target="/next").body == LARGE
    assert spliced(gateway)[1] == 2


def test_a_drain_lets_it_end(stuck):
    gateway, gated, client = stuck(drain={"timeout": f"{PATIENCE_S:.0f}s"})
    gateway.drain()
    wait_until(lambda: gateway.log("draining"), what="draining in the log")
    with client:
        assert gated.read(client) == LARGE
    assert gateway.wait() == 0
    assert gateway.access_log(path="/gated")[0]["bytes_out"] == len(LARGE)


def test_the_end_of_a_drain_cuts_it(stuck):
    gateway, gated, client = stuck(drain={"timeout": "100ms"})
    gateway.drain()
    assert gateway.wait() == 0
    with client, pytest.raises(Closed):
        gated.read(client)
    assert gateway.access_log(path="/gated")[0]["reason"] == "draining"
