"""HTTP/2 downstream: what clients may say and what they get, and that upstreams see the same as by HTTP/1.1."""

import base64
import hashlib
import os
import signal
import socket
import struct
import subprocess
import threading
import time

import h2.settings
import pytest

from gateway import FIELDS, plain
from h2_client import ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, SETTINGS, H2Client, RawH2, frame
from pki import Pki
from raw import Client, request_bytes, wait_until

MIB = 1024 * 1024
WINDOW = h2.settings.SettingCodes.INITIAL_WINDOW_SIZE
PROTOCOL_ERROR, NO_ERROR, CANCEL = 1, 0, 8


def logged(upstream, **extra):
    config = plain(upstream, **extra)
    config["access_log"] = {"path": "access.log", "format": "json", "fields": [*FIELDS, "stream", "tls_alpn"]}
    return config


@pytest.fixture
def pki(tmp_path):
    mine = Pki(str(tmp_path))
    mine.make("www", "www.test")
    return mine


def secure(upstream, pki, **listener):
    tls = {"certificates": [{"cert": pki.path("www.pem"), "key": pki.path("www.key")}]}
    return logged(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "tls": tls, **listener}])


def run(*args, **options):
    return subprocess.run(args, capture_output=True, timeout=60, check=False, **options)


# --- the same exchange as by HTTP/1.1

def test_request_reaches_an_http_1_upstream_whole(start, upstream):
    gateway = start(logged(upstream))
    with H2Client(gateway.address) as client:
        answer = client.get("/a%20b?c=d", fields=[("x-one", "1"), ("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers")])
    assert (answer.status, answer.body, answer.ended) == (200, b"ok", True)
    seen = upstream.last
    assert (seen.method, seen.target) == ("GET", "/a%20b?c=d")
    assert seen.all("host") and seen.get("x-one") == "1" and seen.get("te") == "trailers"
    assert seen.all("cookie") == ["a=1; b=2"]
    assert seen.get("via") == "2.0 sluice" and seen.get("x-forwarded-proto") == "http"
    assert not [name for name in seen.names() if name.startswith(":")]
    line = gateway.expect_end("completed", protocol="HTTP/2")
    assert line["stream"] == 1 and line["connection_requests"] == 1
    assert gateway.metric("sluice_http2_streams_total") == 1


def test_content_goes_both_ways_through_many_windows(start, upstream):
    upstream.on("/echo", lambda exchange: exchange.reply(body=exchange.read_body()))
    gateway = start(logged(upstream))
    content = os.urandom(3 * MIB)
    with H2Client(gateway.address) as client:
        answer = client.answer(client.ask("POST", "/echo", body=content, fields=[("content-length", str(len(content)))]))
        assert answer.status == 200 and answer.body == content
        answer = client.answer(client.ask("POST", "/echo", body=content))
        assert answer.body == content
    assert [r.get("content-length") for r in upstream.requests] == [str(len(content)), None]
    assert gateway.expect_end("completed")["bytes_in"] == len(content)


def test_content_behind_a_head_that_came_in_two_arrives_whole(start, upstream):
    """It is read behind the part of the head that was kept, and what was kept goes before the stream takes it."""
    body, go_on = os.urandom(5000), threading.Event()

    def script(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        go_on.wait(60)
        exchange.send(b"ngth: 5000\r\n\r\n" + body)
    upstream.on("/two", script)
    gateway = start(logged(upstream))
    with H2Client(gateway.address) as client:
        stream = client.ask(path="/two")
        wait_until(lambda: "/two" in upstream.paths(), what="the request upstream")
        assert client.get("/other").status == 200  # the one worker has been round
        go_on.set()
        assert client.answer(stream).body == body


def test_many_streams_at_once(start, upstream):
    gate = threading.Event()

    def wait(exchange):
        gate.wait(30)
        exchange.reply(body=exchange.target.encode())
    for i in range(50):
        upstream.on(f"/{i}", wait)
    gateway = start(logged(upstream))
    with H2Client(gateway.address) as client:
        streams = [client.ask(path=f"/{i}") for i in range(50)]
        gateway.wait_metric(lambda m: m.get("sluice_worker_exchanges_active") == 50, "50 exchanges")
        gate.set()
        for i, stream in enumerate(streams):
            assert client.answer(stream).body == f"/{i}".encode()
    assert sorted(line["stream"] for line in gateway.wait_access(50)) == streams


def test_many_requests_in_one_write_are_answered_in_order(start, upstream):
    """One connection begins a few in each turn of its worker; the others wait in line."""
    gateway = start(logged(upstream, routes=[{"match": {"path": "/fixed"}, "respond": {"body": "fixed"}}, {"upstream": "app"}]))
    with RawH2(gateway.address) as client:
        client.send(b"".join(client.head(stream, path="/fixed") for stream in range(1, 200, 2)))
        client.read_frames(lambda kind, flags, stream, _: stream == 199 and flags & END_STREAM)
        assert [stream for kind, _, stream, _ in client.frames if kind == HEADERS] == list(range(1, 200, 2))
    gateway.wait_metric(lambda m: m.get("sluice_request_ends_total", reason="responded") == 100, "100 answers")
    assert gateway.metric("sluice_http2_put_off_total") > 0
    assert gateway.metric("sluice_http2_not_begun_total") == 0


def test_drain_serves_requests_that_wait_for_their_turn(start, upstream):
    upstream.on("/", lambda exchange: exchange.reply(body=b"ok"))
    gateway = start(logged(upstream, drain={"pause": "0s", "timeout": "20s", "idle": "20ms"}))
    with RawH2(gateway.address) as client:
        client.read_frames(lambda kind, flags, *_: kind == SETTINGS and flags & ACK)
        client.send(b"".join(client.head(stream) for stream in range(1, 200, 2)))
        gateway.wait_metric(lambda m: m.get("sluice_http2_streams_total") == 100, "100 requests")
        gateway.drain()
        assert client.read_frames(lambda kind, *_: False) is None
        ended = {stream for kind, flags, stream, _ in client.frames if kind == DATA and flags & END_STREAM}
        assert ended == set(range(1, 200, 2))
    assert gateway.wait() == 0


def test_trailers_both_ways(start, upstream):
    def script(exchange):
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n"
                      b"2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n")
    upstream.on("/", script)
    gateway = start(logged(upstream))
    with H2Client(gateway.address) as client:
        stream = client.ask("POST", "/", body=b"abc", end=False)
        client.h2.send_headers(stream, [("x-mine", "9")], end_stream=True)
        client.flush()
        answer = client.answer(stream)
    assert answer.body == b"hi" and answer.trailers == [("x-sum", "7")]
    assert upstream.last.trailers == [("x-mine", "9")]


def test_interim_head_and_no_content_answers(start, upstream):
    upstream.answer("/", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
    upstream.answer("/head", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    gateway = start(logged(upstream))
    with H2Client(gateway.address) as client:
        answer = client.get("/")
        assert answer.interim == [103] and answer.status == 204 and answer.body == b""
        answer = client.answer(client.ask("HEAD", "/head"))
        assert answer.get("content-length") == "10" and answer.body == b"" and answer.ended


def test_early_answer_leaves_a_short_rest_unharmed(start, upstream):
    gateway = start(logged(upstream, routes=[{"match": {"path": "/no"}, "respond": {"status": 403}}, {"upstream": "app"}]))
    with H2Client(gateway.address) as client:
        stream = client.ask("POST", "/no", fields=[("content-length", "5000")], body=b"x" * 2000, end=False)
        answer = client.answer(stream)
        assert answer.status == 403 and answer.reset is None
        client.send_body(stream, b"x" * 3000)
        client.ping()
        assert client.answers[stream].reset is None
        assert client.get("/").status == 200
        # A rest that is long is not waited for.
        stream = client.ask("POST", "/no", fields=[("content-length", "5000000")], body=b"x" * 2000, end=False)
        client.wait(lambda: client.answers[stream].reset is not None, "the end of the request")
        answer = client.answers[stream]
        assert (answer.status, answer.ended, answer.reset) == (403, True, NO_ERROR)


def test_body_limit_holds(start, upstream):
    gateway = start(logged(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "limits": {"body": "1KiB"}}]))
    with H2Client(gateway.address) as client:
        assert client.answer(client.ask("POST", "/", body=b"x" * 5000)).status == 413
        stream = client.ask("POST", "/", body=b"", end=False, fields=[("content-length", "5000")])
        assert client.answer(stream).status == 413


# --- what is refused

BAD_HEADS = {
    "no-path": ([(":method", "GET"), (":scheme", "http"), (":authority", "a")], 400),
    "no-method": ([(":scheme", "http"), (":path", "/"), (":authority", "a")], 400),
    "no-authority": ([(":method", "GET"), (":scheme", "http"), (":path", "/")], 400),
    "path-twice": ([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":path", "/b"), (":authority", "a")], 400),
    "pseudo-behind": ([(":method", "GET"), (":scheme", "http"), (":path", "/"), ("x", "1"), (":authority", "a")], 400),
    "unknown-pseudo": ([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), (":x", "1")], 400),
    "status": ([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), (":status", "200")], 400),
    "empty-path": ([(":method", "GET"), (":scheme", "http"), (":path", ""), (":authority", "a")], 400),
    "absolute-path": ([(":method", "GET"), (":scheme", "http"), (":path", "http://b/"), (":authority", "a")], 400),
    "path-space": ([(":method", "GET"), (":scheme", "http"), (":path", "/ HTTP/1.1"), (":authority", "a")], 400),
    "path-crlf": ([(":method", "GET"), (":scheme", "http"), (":path", "/\r\nx: y"), (":authority", "a")], 400),
    "path-fragment": ([(":method", "GET"), (":scheme", "http"), (":path", "/#a"), (":authority", "a")], 400),
    "path-long": ([(":method", "GET"), (":scheme", "http"), (":path", "/" + "a" * 9000), (":authority", "a")], 414),
    "method-space": ([(":method", "GET /x"), (":scheme", "http"), (":path", "/"), (":authority", "a")], 400),
    "method-crlf": ([(":method", "GET / HTTP/1.1\r\nx: y\r\n\r\nGET"), (":scheme", "http"), (":path", "/"), (":authority", "a")],
                    400),
    "scheme": ([(":method", "GET"), (":scheme", "ftp"), (":path", "/"), (":authority", "a")], 400),
    "userinfo": ([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "u:p@a")], 400),
    "authority-crlf": ([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a\r\nx: y")], 400),
    "host-differs": ([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), ("host", "b")], 400),
    "host-twice": ([(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "a"), ("host", "a")], 400),
    "connect-path": ([(":method", "CONNECT"), (":path", "/"), (":scheme", "http"), (":authority", "a:80")], 400),
    "connect": ([(":method", "CONNECT"), (":authority", "a:80")], 501),
}

BAD_FIELDS = {
    "upper-case": ("X-Upper", "1"), "empty-name": ("", "1"), "name-space": ("x y", "1"), "name-colon": ("x:y", "1"),
    "name-crlf": ("x\r\ny", "1"), "value-crlf": ("x", "1\r\nevil: 2"), "value-lf": ("x", "1\nevil: 2"), "value-nul": ("x", "a\0b"),
    "value-cr": ("x", "a\rb"), "value-blank": ("x", " a"), "value-blank-behind": ("x", "a\t"), "value-escape": ("x", "a\x1bb"),
    "connection": ("connection", "close"), "keep-alive": ("keep-alive", "1"), "upgrade": ("upgrade", "websocket"),
    "proxy-connection": ("proxy-connection", "close"), "transfer-encoding": ("transfer-encoding", "chunked"),
    "te": ("te", "gzip"), "length": ("content-length", "1"), "length-sign": ("content-length", "+0"),
    "length-words": ("content-length", "0, 0"),
}


def refused(gateway, upstream, head, status):
    """Answered with the status, and the connection serves on."""
    with RawH2(gateway.address) as client:
        block = client.encoder.encode(head, huffman=False)
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block[:16000]) if len(block) < 16000 else b"")
        client.read_frames(lambda kind, flags, stream, _: stream == 1 and flags & END_STREAM)
        assert b":status" not in client.buffer
        client.send(client.head(3, path="/after"))
        client.read_frames(lambda kind, flags, stream, _: stream == 3 and flags & END_STREAM)
        assert not [f for f in client.frames if f[0] == GOAWAY]
    line = gateway.wait_access(stream=1)
    assert line["status"] == status, line
    assert upstream.paths() == ["/after"]


@pytest.mark.parametrize("name", BAD_HEADS)
def test_malformed_head_is_answered_and_never_forwarded(start, upstream, name):
    head, status = BAD_HEADS[name]
    refused(start(logged(upstream)), upstream, head, status)


@pytest.mark.parametrize("name", BAD_FIELDS)
def test_malformed_field_is_answered_and_never_forwarded(start, upstream, name):
    head = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), BAD_FIELDS[name]]
    refused(start(logged(upstream)), upstream, head, 400)


@pytest.mark.parametrize("length, content, end", [("3", b"abcd", True), ("3", b"ab", True), ("0", b"a", True)],
                         ids=["more", "less", "none-announced"])
def test_content_that_differs_from_its_length_resets_the_stream(start, upstream, length, content, end):
    def script(exchange):
        exchange.read_body()
        exchange.reply()
    upstream.on("/", script)
    gateway = start(logged(upstream))
    with H2Client(gateway.address) as client:
        stream = client.ask("POST", "/", fields=[("content-length", length)], end=False)
        client.send_bytes(frame(0, END_STREAM if end else 0, stream, content))
        answer = client.answers[stream]
        client.wait(lambda: answer.reset is not None or answer.ended, "a reset")
        assert answer.reset == PROTOCOL_ERROR or (length == "0" and answer.status == 200)
        assert client.get("/").status == 200
    assert all(len(r.body) <= int(length) for r in upstream.requests)


def test_head_beyond_the_limit_is_answered_431(start, upstream):
    gateway = start(logged(upstream))
    with H2Client(gateway.address) as client:
        answer = client.get(fields=[("x-long", "a" * 9000), ("x-more", "b" * 9000)])
        assert answer.status == 431
        assert client.get().status == 200
        answer = client.get(fields=[(f"x-{i}", "1") for i in range(101)])
        assert answer.status == 431
    assert len(upstream.requests) == 1


# --- which protocol

def test_limit_of_fields_that_is_raised_holds_for_old_connections(start, upstream):
    def config(fields):
        return logged(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "limits": {"fields": fields, "head": "64KiB"}}],
                      routes=[{"respond": {"status": 204}}])
    gateway = start(config(50))
    many = [(f"x-{i}", "1") for i in range(900)]
    with H2Client(gateway.address) as client:
        assert client.answer(client.ask(fields=many)).status == 431
        gateway.must_reload(config(1000))
        assert client.answer(client.ask(fields=many)).status == 204
        assert client.answer(client.ask(fields=[*many, *many])).status == 431


def test_alpn_chooses_and_http_1_1_is_served_beside(start, upstream, pki):
    gateway = start(secure(upstream, pki))
    context = pki.client()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with H2Client(gateway.address, context) as client:
        assert client.sock.selected_alpn_protocol() == "h2"
        assert client.get("/").status == 200
    assert gateway.wait_access(protocol="HTTP/2")["tls_alpn"] == "h2"
    assert upstream.last.get("x-forwarded-proto") == "https"
    plain_context = pki.client()
    curl = run("curl", "-sS", "--http1.1", "--cacert", pki.ca, "--resolve", f"www.test:{port_of(gateway)}:127.0.0.1",
               f"https://www.test:{port_of(gateway)}/", "-w", "%{http_version}")
    assert curl.stdout == b"ok1.1", curl
    assert plain_context is not None
    curl = run("curl", "-sS", "--http2", "--cacert", pki.ca, "--resolve", f"www.test:{port_of(gateway)}:127.0.0.1",
               f"https://www.test:{port_of(gateway)}/", "-w", "%{http_version}")
    assert curl.stdout == b"ok2", curl


def port_of(gateway):
    return str(gateway.address).rsplit(":", 1)[1] if isinstance(gateway.address, str) else gateway.address[1]


def test_listener_that_speaks_only_http_1_1_refuses_the_preface(start, upstream):
    gateway = start(logged(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "protocols": ["http/1.1"]}]))
    with Client(gateway.address) as client:
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert client.read_response().status == 505


def test_listener_that_speaks_only_http_2_ends_others(start, upstream):
    gateway = start(logged(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "protocols": ["h2"]}]))
    with H2Client(gateway.address) as client:
        assert client.get("/").status == 200
    with Client(gateway.address) as client:
        client.send(request_bytes(target="/one"))
        client.sock.settimeout(20)
        data = b"".join(iter(lambda: client.sock.recv(65536), b""))
    assert b"HTTP/1.1" not in data
    assert upstream.paths() == ["/"]


def test_preface_in_pieces_is_understood(start, upstream):
    gateway = start(logged(upstream))
    with RawH2(gateway.address) as first:
        wire = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4) + first.head(1)
    with Client(gateway.address) as client:
        for i in range(len(wire)):
            client.send(wire[i:i + 1])
        data = b""
        while b"ok" not in data:
            data += client.sock.recv(65536)
    assert gateway.wait_access(protocol="HTTP/2")["status"] == 200


def test_real_clients_get_their_answers(start, upstream):
    upstream.on("/big", lambda exchange: exchange.reply(body=b"x" * (5 * MIB)))
    gateway = start(logged(upstream))
    url = f"http://127.0.0.1:{port_of(gateway)}"
    curl = run("curl", "-sS", "--http2-prior-knowledge", url + "/big", "-o", os.devnull, "-w", "%{http_version} %{size_download}")
    assert curl.stdout == b"2 %d" % (5 * MIB), curl
    nghttp = run("nghttp", "-n", "-s", "-m", "10", url + "/")
    assert nghttp.returncode == 0, nghttp
    load = run("h2load", "-n", "400", "-c", "4", "-m", "16", url + "/")
    assert b"400 succeeded, 0 failed" in load.stdout, load


# --- slow and stubborn clients

def test_stream_whose_window_stays_shut_is_given_up(start, upstream):
    upstream.on("/", lambda exchange: exchange.reply(body=b"x" * MIB))
    gateway = start(logged(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "timeout": {"write": "300ms"}}]))
    with H2Client(gateway.address, settings={WINDOW: 0}) as client:
        stream = client.ask()
        answer = client.answers[stream]
        client.wait(lambda: answer.reset is not None, "a reset")
        assert answer.reset == CANCEL and answer.body == b""
    gateway.expect_end("write_timeout")
    assert gateway.metric("sluice_http2_ended_total", cause="slow_stream") == 1
    wait_until(lambda: gateway.metric("sluice_worker_exchanges_active") == 0, what="the end of the exchange")


def test_client_that_takes_nothing_holds_the_upstream_and_little_memory(start, upstream):
    upstream.on("/", lambda exchange: exchange.reply(body=b"x" * (20 * MIB)))
    gateway = start(logged(upstream))
    with H2Client(gateway.address, open_windows=False) as client:
        stream = client.ask()
        client.wait(lambda: len(client.answers[stream].body) == 65535, "a window full")
        assert gateway.metric("sluice_worker_block_bytes") < 2 * MIB
        client.open_windows = True
        client.h2.acknowledge_received_data(65535, stream)
        client.flush()
        assert len(client.answer(stream).body) == 20 * MIB


def test_content_for_a_busy_upstream_is_held_by_the_window(start, upstream):
    gate = threading.Event()

    def script(exchange):
        gate.wait(30)
        exchange.reply(body=str(len(exchange.read_body())).encode())
    upstream.on("/", script)
    gateway = start(logged(upstream))
    with H2Client(gateway.address) as client:
        stream = client.ask("POST", "/", end=False)
        sent = 0
        sender = threading.Timer(1.5, gate.set)
        sender.start()
        while sent < 8 * MIB:
            room = min(client.h2.local_flow_control_window(stream), 16384)
            if room == 0:
                client.receive()
                continue
            client.h2.send_data(stream, b"x" * room)
            client.flush()
            sent += room
        client.h2.end_stream(stream)
        client.flush()
        assert client.answer(stream).body == str(sent).encode()


def test_slow_request_content_is_answered_408(start, upstream):
    gateway = start(logged(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "timeout": {"body": "300ms"}}]))
    with H2Client(gateway.address) as client:
        answer = client.answer(client.ask("POST", "/", body=b"a", end=False))
        assert answer.status == 408
        assert client.get("/").status == 200
    gateway.expect_end("body_timeout")


def test_silence_after_the_answer_has_begun_is_no_slow_content(start, upstream):
    """As in a call of gRPC that streams both ways."""
    def script(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
        exchange.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(exchange.read_body()), exchange.body))
    upstream.on("/", script)
    gateway = start(logged(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "timeout": {"body": "200ms"}}]))
    with H2Client(gateway.address) as client:
        for _ in range(50):  # until the answer begins before the content is late
            stream = client.ask("POST", "/", end=False)
            client.send_body(stream, b"a", end=False)
            client.wait(lambda: client.answers[stream].body, "the first piece")
            if client.answers[stream].status == 200:
                break
        time.sleep(0.7)  # several times what content may take
        client.send_body(stream, b"b")
        answer = client.answer(stream)
    assert (answer.status, answer.body, answer.reset) == (200, b"hiab", None)


def test_reset_by_the_client_reaches_the_upstream(start, upstream):
    gone = threading.Event()

    def script(exchange):
        exchange.wait_gone()
        gone.set()
    upstream.on("/", script)
    gateway = start(logged(upstream))
    with H2Client(gateway.address) as client:
        stream = client.ask()
        upstream.wait_requests(1)
        client.h2.reset_stream(stream, CANCEL)
        client.flush()
        assert gone.wait(20)
    gateway.expect_end("client_reset")
    assert gateway.metric("sluice_http2_resets_received_total", code="cancel") == 1


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("keepalive", ["0s", "60s"])
def test_a_connection_that_is_reset_with_its_request_ends_all_its_exchanges(start, upstream, pki, keepalive, tls):
    """No event tells of the reset apart, and nothing is written to the client for long."""
    begun, ended = [], []
    upstream.on("/slow", lambda exchange: (begun.append(1), exchange.wait_gone(), ended.append(1)))
    listener = {"name": "main", "bind": "127.0.0.1:0", "http2": {"keepalive": keepalive}}
    gateway = start(secure(upstream, pki, **listener) if tls else logged(upstream, listeners=[listener]))
    context = pki.client() if tls else None
    if tls:
        context.set_alpn_protocols(["h2"])
    with H2Client(gateway.address, context) as client:
        assert client.get().status == 200
        client.ask(path="/slow")
        upstream.wait_requests(2)
        if not tls:
            time.sleep(1.5)  # it was looked at once, and that is not to be all
        os.kill(gateway.pid, signal.SIGSTOP)  # so that it is one event
        client.ask(path="/slow")
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sock.close()
        os.kill(gateway.pid, signal.SIGCONT)
        gateway.expect_end("client_reset", path="/slow", stream=3)
        gateway.expect_end("client_reset", path="/slow", stream=5)
    wait_until(lambda: 1 <= len(begun) == len(ended), what="the end of what was asked of the upstream")


def test_client_that_goes_makes_no_resets(start, upstream):
    """Its streams end with the connection: nobody has reset them."""
    upstream.on("/", lambda exchange: exchange.wait_gone())
    gateway = start(logged(upstream))
    with H2Client(gateway.address) as client:
        for _ in range(3):
            client.ask()
        upstream.wait_requests(3)
    gateway.wait_metric(lambda m: m.get("sluice_request_ends_total") == 3, "the end of all requests")
    reading = gateway.metrics()
    assert reading.get("sluice_http2_resets_sent_total") == 0
    assert reading.get("sluice_http2_resets_received_total") == 0


def test_upstream_that_breaks_resets_only_its_stream(start, upstream):
    def script(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        exchange.reset()
    upstream.on("/bad", script)
    gateway = start(logged(upstream))
    with H2Client(gateway.address) as client:
        bad, good = client.ask(path="/bad"), client.ask(path="/good")
        assert client.answer(good).status == 200
        answer = client.answer(bad)
        assert answer.reset == 2 and not answer.ended
    assert gateway.wait_access(path="/bad")["reason"].startswith("upstream_")


# --- the end of a connection

def test_drain_tells_twice_and_serves_what_is_under_way(start, upstream):
    gate = threading.Event()

    def script(exchange):
        gate.wait(30)
        exchange.reply(body=b"late")
    upstream.on("/slow", script)
    gateway = start(logged(upstream, drain={"pause": "0s", "timeout": "20s", "idle": "20ms"}))
    with RawH2(gateway.address) as client:
        client.send(client.head(1, path="/slow"))
        upstream.wait_requests(1)
        gateway.drain()
        assert client.read_frames(lambda kind, *_: kind == GOAWAY)[3][:8] == b"\x7f\xff\xff\xff" + bytes(4)
        ping = client.read_frames(lambda kind, *_: kind == PING)
        client.send(frame(PING, ACK, 0, ping[3]))
        assert client.read_frames(lambda kind, *_: kind == GOAWAY)[3][:8] == b"\0\0\0\1" + bytes(4)
        gate.set()
        assert client.read_frames(lambda kind, flags, stream, _: stream == 1 and flags & END_STREAM)[3] == b"late"
        assert client.read_frames(lambda kind, *_: False) is None
    assert gateway.wait() == 0


def test_request_that_crosses_the_first_goaway_is_served(start, upstream):
    gateway = start(logged(upstream, drain={"pause": "0s", "timeout": "20s", "idle": "20ms"}))
    with RawH2(gateway.address) as client:
        client.read_frames(lambda kind, *_: kind == 4)
        gateway.drain()
        client.read_frames(lambda kind, *_: kind == GOAWAY)
        client.send(client.head(1, path="/crossed"))  # the PING is not answered: a second is left
        client.read_frames(lambda kind, flags, stream, _: stream == 1 and flags & END_STREAM)
        assert client.read_frames(lambda kind, *_: False) is None
    assert upstream.paths() == ["/crossed"]
    assert gateway.wait() == 0


def test_old_connection_is_told_to_end_and_loses_nothing(start, upstream):
    gateway = start(logged(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "http2": {"max_age": "1ms"}}]))
    with RawH2(gateway.address) as client:
        stream = -1
        while not [f for f in client.frames if f[0] == GOAWAY]:
            stream += 2
            client.send(client.head(stream))
            client.read_frames(lambda kind, flags, number, _: number == stream and flags & END_STREAM)
        client.send(frame(PING, ACK, 0, bytes(8)))
        assert client.read_frames(lambda kind, *_: False) is None
    goaways = [payload[:8] for kind, _, _, payload in client.frames if kind == GOAWAY]
    assert goaways == [b"\x7f\xff\xff\xff" + bytes(4), stream.to_bytes(4, "big") + bytes(4)]
    assert len(upstream.requests) == (stream + 1) / 2


def test_idle_connection_is_ended_in_order(start, upstream):
    gateway = start(logged(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "timeout": {"idle": "100ms"}}]))
    with H2Client(gateway.address) as client:
        assert client.get("/").status == 200
        client.read_out()
        assert client.goaways == [(1, NO_ERROR)]


def test_client_that_answers_no_ping_is_given_up(start, upstream):
    upstream.on("/", lambda exchange: exchange.wait_gone())
    gateway = start(logged(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "http2": {"keepalive": "150ms"}}]))
    with RawH2(gateway.address) as client:
        client.send(client.head(1))
        assert client.read_frames(lambda kind, *_: kind == 6)
        assert client.read_frames(lambda kind, *_: False) is None
    assert gateway.metric("sluice_http2_dead_total") == 1


# --- RFC 8441

def websocket(exchange):
    """An HTTP/1.1 server that switches, with the right answer to the key, and echoes."""
    key = exchange.get("sec-websocket-key").encode()
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
                  b"Sec-WebSocket-Accept: " + accept + b"\r\nSec-WebSocket-Protocol: chat\r\n\r\n")
    exchange.keep = False
    sock = exchange.conn.sock
    while data := sock.recv(65536):
        sock.sendall(data)


def tunnels(upstream, **extra):
    return logged(upstream, routes=[{"match": {"path": "/ws"}, "upstream": "app", "upgrade": ["websocket"]},
                                    {"upstream": "app", "upgrade": []}], **extra)


def open_websocket(client, path="/ws"):
    return client.ask("CONNECT", path, end=False, pseudo=[(":protocol", "websocket")],
                      fields=[("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat")])


def test_websocket_over_http_2_to_an_http_1_upstream(start, upstream):
    upstream.on("/ws", websocket)
    gateway = start(tunnels(upstream))
    with H2Client(gateway.address) as client:
        client.wait(lambda: client.settings.get(8) == 1, "the offer of extended CONNECT")
        stream = open_websocket(client)
        answer = client.answers[stream]
        client.wait(lambda: answer.status, "the answer")
        assert answer.status == 200 and answer.get("sec-websocket-protocol") == "chat"
        assert answer.get("sec-websocket-accept") is None and answer.get("upgrade") is None
        client.send_body(stream, b"frames", end=False)
        client.wait(lambda: answer.body == b"frames", "the echo")
        assert client.get("/other").status == 200
        client.h2.end_stream(stream)
        client.flush()
        client.wait(lambda: answer.ended, "the end of the tunnel")
    seen = next(r for r in upstream.requests if r.target == "/ws")
    assert seen.method == "GET" and seen.get("upgrade") == "websocket" and seen.get("sec-websocket-version") == "13"
    assert len(base64.b64decode(seen.get("sec-websocket-key"))) == 16
    assert gateway.wait_access(path="/ws")["reason"] == "completed"


@pytest.mark.parametrize("answer, status", [
    (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
     b"Sec-WebSocket-Accept: wrong\r\n\r\n", 502),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", 502),
    (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403)], ids=["wrong-key", "no-switch", "refused"])
def test_upstream_that_does_not_switch_opens_no_tunnel(start, upstream, answer, status):
    upstream.answer("/ws", answer)
    gateway = start(tunnels(upstream))
    with H2Client(gateway.address) as client:
        assert client.answer(open_websocket(client)).status == status


def test_route_that_allows_no_upgrade_refuses_extended_connect(start, upstream):
    gateway = start(tunnels(upstream))
    with H2Client(gateway.address) as client:
        assert client.answer(open_websocket(client, "/other")).status == 501
    assert upstream.requests == []


def test_extended_connect_can_be_switched_off(start, upstream):
    gateway = start(tunnels(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0",
                                                  "http2": {"extended_connect": False}}]))
    with H2Client(gateway.address) as client:
        client.ping()
        assert 8 not in client.settings
        assert client.answer(open_websocket(client)).status == 400


# --- RFC 9218

def sent_first(gateway, ask):
    """Of two streams that ask(client) has begun, which gets content first when their windows open at once."""
    with H2Client(gateway.address, settings={WINDOW: 0}, open_windows=False) as client:
        streams = ask(client)
        client.wait(lambda: all(client.answers[stream].status for stream in streams), "both heads")
        order = []
        on = client.on
        client.on = lambda event: (order.append(event.stream_id) if type(event).__name__ == "DataReceived" else None, on(event))
        client.h2.update_settings({WINDOW: 16000})
        client.flush()
        client.wait(lambda: all(len(client.answers[stream].body) == 16000 for stream in streams), "both windows")
        return min(streams, key=order.index)


def priority_update(stream, value):
    return frame(0x10, 0, 0, struct.pack(">I", stream) + value)


def test_urgent_streams_are_sent_first(start, upstream):
    for path in ("/one", "/two"):
        upstream.on(path, lambda exchange: exchange.reply(body=b"x" * 20000))
    gateway = start(logged(upstream))
    assert sent_first(gateway, lambda client: [client.ask(path="/one", fields=[("priority", "u=7")]),
                                               client.ask(path="/two", fields=[("priority", "u=0")])]) == 3


def test_a_priority_update_counts_more_than_the_field(start, upstream):
    """RFC 9218 7.1: before the head of its stream as well as behind it."""
    for path in ("/one", "/two"):
        upstream.on(path, lambda exchange: exchange.reply(body=b"x" * 20000))
    gateway = start(logged(upstream))

    def ask(client, field_one="u=0", field_two="u=7"):
        return [client.ask(path="/one", fields=[("priority", field_one)]), client.ask(path="/two", fields=[("priority", field_two)])]

    def before(client):
        client.send_bytes(priority_update(1, b"u=5") + priority_update(3, b"u=1"))
        return ask(client)

    def changed_before(client):
        client.send_bytes(b"".join(priority_update(stream, b"u=4") for stream in range(1, 40, 2)))
        client.send_bytes(priority_update(3, b"u=7") + priority_update(1, b"u=6") + priority_update(3, b"u=2"))
        return ask(client)

    def only_before(client):
        client.send_bytes(priority_update(3, b"u=1"))
        return [client.ask(path="/one"), client.ask(path="/two")]

    def behind(client):
        streams = ask(client)
        client.send_bytes(priority_update(1, b"u=5") + priority_update(3, b"u=1"))
        client.ping()
        return streams

    def spent(client):  # it is of its stream alone
        client.send_bytes(priority_update(1, b"u=7"))
        return ask(client, "u=0", "u=6")
    for way in (before, changed_before, only_before, behind, spent):
        assert sent_first(gateway, way) == 3, way.__name__


# --- how streams end, in the log

def test_who_reset_a_stream_and_why_is_logged(start, upstream):
    going = threading.Event()
    upstream.on("/wait", lambda ex: (going.wait(60), ex.reply(200, b"late")))
    upstream.on("/half", lambda ex: (ex.conn.sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"), ex.conn.sock.close()))
    config = logged(upstream)
    config["access_log"]["fields"] += ["reset_by", "reset_code", "upstream_protocol"]
    gateway = start(config)
    gateway.access_path = os.path.join(gateway.dir, "access.log")
    with H2Client(gateway.address) as client:
        stream = client.ask(path="/wait")
        wait_until(lambda: [r for r in upstream.requests if r.path == "/wait"], what="the request upstream")
        client.h2.reset_stream(stream, CANCEL)
        client.flush()
        line = gateway.wait_access(path="/wait")
        assert (line["reset_by"], line["reset_code"], line["reason"]) == ("client", "CANCEL", "client_reset")
        assert line["upstream_protocol"] == "HTTP/1.1"
        going.set()
        assert client.get("/half").reset is not None
        line = gateway.wait_access(path="/half")
        assert (line["reset_by"], line["reset_code"]) == ("sluice", "INTERNAL_ERROR") and line["reason"] == "upstream_closed"
        assert client.get("/fine").status == 200
        line = gateway.wait_access(path="/fine")
        assert (line["reset_by"], line["reset_code"], line["upstream_protocol"]) == (None, None, "HTTP/1.1")
