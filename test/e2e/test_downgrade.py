"""Between HTTP/2 and HTTP/1.1, frame by frame: what no honest peer sends must not become something else on the other side."""

import pytest
from h2_client import DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PUSH_PROMISE, RST_STREAM, H2Client, RawH2, frame

import raw
from gateway import plain
from raw import wait_until

PADDED = 8
PROTOCOL_ERROR = 1
USUAL = {":method": "GET", ":scheme": "http", ":path": "/", ":authority": "a"}


def h2c(fake):
    config = plain(fake)
    config["upstreams"]["app"]["protocol"] = "h2c"
    return config


def usual(**changed):
    """The usual head, with some pseudo-fields as given; None leaves one out."""
    head = {**USUAL, **{":" + name: value for name, value in changed.items()}}
    return [(name, value) for name, value in head.items() if value is not None]


def head_frame(client, stream, head, flags=END_HEADERS | END_STREAM):
    return frame(HEADERS, flags, stream, client.encoder.encode(head, huffman=False))


def ends(stream):
    """A condition for read_frames(): the stream's answer is whole, or it was reset."""
    def has_ended(kind, flags, of, _):
        return of == stream and (kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM))
    return has_ended


# --- heads of requests

REFUSED = {
    "method-empty": usual(method=""),
    "method-twice": [*usual(), (":method", "GET")],
    "scheme-twice": [*usual(), (":scheme", "http")],
    "scheme-empty": usual(scheme=""),
    "authority-twice": [*usual(), (":authority", "a")],
    "authority-empty": usual(authority=""),
    "authority-empty-beside-host": [*usual(authority=""), ("host", "a")],
    "authority-port-0": usual(authority="a:0"),
    "authority-port-large": usual(authority="a:65536"),
    "authority-port-sign": usual(authority="a:+80"),
    "authority-blank": usual(authority="a b"),
    "authority-path": usual(authority="a/b"),
    "authority-query": usual(authority="a?b"),
    "authority-list": usual(authority="a,b"),
    "authority-bytes": usual(authority=b"\xc3\xa4"),
    "authority-nul": usual(authority="a\0b"),
    "authority-percent": usual(authority="a%0d%0a"),
    "authority-bracket": usual(authority="[::1"),
    "host-other-port": [*usual(authority="a:80"), ("host", "a:81")],
    "host-empty": [*usual(), ("host", "")],
    "path-relative": usual(path="a"),
    "path-query-only": usual(path="?a"),
    "path-asterisk-of-get": usual(path="*"),
    "path-asterisk-and-more": usual(method="OPTIONS", path="*/a"),
    "path-nul": usual(path="/a\0b"),
    "path-nul-encoded": usual(path="/a%00b"),
    "path-triplet": usual(path="/%zz"),
    "path-bytes": usual(path=b"/\xff"),
    "path-tab": usual(path="/a\tb"),
    "path-delete": usual(path="/a\x7fb"),
    "path-lf": usual(path="/a\nb"),
    "path-above": usual(path="/a/../../b"),
    "path-above-encoded": usual(path="/%2e%2e/b"),
    "query-blank": usual(path="/?a b"),
    "query-lf": usual(path="/?a\nb"),
    "pseudo-upper-case": [(":method", "GET"), (":scheme", "http"), (":Path", "/"), (":authority", "a")],
    "pseudo-empty": [*usual(), (":", "a")],
    "protocol-of-get": [*usual(), (":protocol", "websocket")],
    "protocol-of-trace": [*usual(method="TRACE"), (":protocol", "websocket")],
    "protocol-crlf": [*usual(method="CONNECT"), (":protocol", "websocket\r\nx: y")],
    "protocol-list": [*usual(method="CONNECT"), (":protocol", "websocket, h2c")],
    "connect-protocol-at-the-end": [*usual(method="CONNECT"), (":protocol", "websocket")],
    "length-twice": [*usual(method="POST"), ("content-length", "0"), ("content-length", "0")],
    "length-list": [*usual(method="POST"), ("content-length", "0,0")],
    "length-empty": [*usual(method="POST"), ("content-length", "")],
    "length-hex": [*usual(method="POST"), ("content-length", "0x0")],
    "length-large": [*usual(method="POST"), ("content-length", "9223372036854775808")],
    "length-negative": [*usual(method="POST"), ("content-length", "-1")],
    "te-list": [*usual(), ("te", "trailers, gzip")],
    "te-chunked": [*usual(), ("te", "chunked")],
    "name-upper-host": [*usual(), ("Host", "a")],
    "name-nul": [*usual(), ("x\0y", "1")],
    "name-bytes": [*usual(), (b"x\xc3\xa4", b"1")],
    "name-tab": [*usual(), ("transfer-encoding\t", "chunked")],
    "name-blank-behind": [*usual(), ("transfer-encoding ", "chunked")],
    "name-colon-first": [*usual(), (":host", "b")],
    "value-delete": [*usual(), ("x", "a\x7fb")],
    "value-crlf-at-the-end": [*usual(), ("x", "a\r\n")],
    "cookie-crlf": [*usual(), ("cookie", "a=1"), ("cookie", "b\r\nx: 2")],
}


@pytest.fixture(scope="module")
def to_h1(shared):
    """The shared gateway with HTTP/2 clients and an HTTP/1.1 upstream."""
    return shared


@pytest.mark.parametrize("name", REFUSED)
def test_head_that_http_1_could_not_have_goes_nowhere(to_h1, name):
    before = len(to_h1.upstream.requests)
    with RawH2(to_h1.address) as client:
        client.send(head_frame(client, 1, REFUSED[name]))
        client.read_frames(ends(1))
        client.send(head_frame(client, 3, usual(path="/after")))
        client.read_frames(ends(3))
        assert not [f for f in client.frames if f[0] == GOAWAY]
    assert [r.target for r in to_h1.upstream.requests[before:]] == ["/after"]


ALLOWED = {
    "asterisk": (usual(method="OPTIONS", path="*"), "OPTIONS *"),
    "case-of-the-host": ([*usual(authority="WWW.A"), ("host", "www.a")], "GET /"),
    "host-alone": ([*usual(authority=None), ("host", "b")], "GET /"),
    "dots": (usual(path="/a/./b/../c"), "GET /a/c"),
    "other-scheme": (usual(scheme="https"), "GET /"),
    "authority-ipv6": (usual(authority="[::1]:8080"), "GET /"),
    "empty-crumbs": ([*usual(), ("cookie", ""), ("cookie", "a=1"), ("cookie", ""), ("cookie", "b=2")], "GET /"),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_head_that_is_odd_but_right_arrives_as_one_request(to_h1, name):
    head, line = ALLOWED[name]
    with RawH2(to_h1.address) as client:
        client.send(head_frame(client, 1, head))
        client.read_frames(ends(1))
    seen = to_h1.upstream.last
    assert f"{seen.method} {seen.target}" == line
    told = dict(head)
    assert [host.lower() for host in seen.all("host")] == [told.get(":authority", told.get("host")).lower()]
    assert len(seen.all("cookie")) == ("cookie" in told)
    assert not seen.all("content-length") and not seen.all("transfer-encoding")


# --- content of requests

def test_padding_is_no_content(start, upstream):
    upstream.on("/", lambda exchange: exchange.reply(body=exchange.read_body()))
    gateway = start(plain(upstream))
    with RawH2(gateway.address) as client:
        block = client.encoder.encode([*usual(method="POST"), ("content-length", "5")], huffman=False)
        client.send(frame(HEADERS, END_HEADERS | PADDED, 1, b"\x07" + block + b"\0" * 7))
        client.send(frame(DATA, PADDED, 1, b"\xff" + b"hel" + b"\0" * 255))
        client.send(frame(DATA, PADDED, 1, b"\x00"))
        client.send(frame(DATA, PADDED | END_STREAM, 1, b"\x03" + b"lo" + b"\0" * 3))
        assert client.read_frames(ends(1))[0] != RST_STREAM
    assert upstream.last.body == b"hello" and upstream.last.get("content-length") == "5"


BAD_TRAILERS = {
    "pseudo": ([(":path", "/b")], END_STREAM),
    "status": ([(":status", "200")], END_STREAM),
    "connection": ([("connection", "close")], END_STREAM),
    "transfer-encoding": ([("transfer-encoding", "chunked")], END_STREAM),
    "upper-case": ([("X-A", "1")], END_STREAM),
    "crlf": ([("x-a", "1\r\n\r\nGET /evil HTTP/1.1")], END_STREAM),
    "not-the-end": ([("x-a", "1")], 0),
}


@pytest.mark.parametrize("length", [None, "3"])
@pytest.mark.parametrize("name", BAD_TRAILERS)
def test_malformed_trailers_leave_the_request_unfinished(start, upstreams, name, length):
    upstream = upstreams(lambda exchange: (exchange.read_body(), exchange.reply()))
    gateway = start(plain(upstream))
    trailers, flags = BAD_TRAILERS[name]
    with RawH2(gateway.address) as client:
        client.send(head_frame(client, 1, [*usual(method="POST"), *([("content-length", length)] if length else [])], END_HEADERS))
        client.send(frame(DATA, 0, 1, b"ab" if length else b"abc"))
        client.send(head_frame(client, 1, trailers, END_HEADERS | flags))
        kind, _, _, payload = client.read_frames(ends(1))
        assert kind == RST_STREAM and int.from_bytes(payload, "big") == PROTOCOL_ERROR
        client.send(head_frame(client, 3, usual(path="/after")))
        assert client.read_frames(ends(3))[0] != RST_STREAM
    assert gateway.wait_access(method="POST")["reason"] == "bad_request"
    assert "/evil" not in upstream.paths()


def test_trailers_cannot_say_what_a_head_decides(start, upstream):
    upstream.on("/", lambda exchange: (exchange.read_body(), exchange.reply()))
    gateway = start(plain(upstream))
    names = ["content-length", "host", "authorization", "x-forwarded-for", "x_forwarded_for", "te", "trailer", "expect",
             "client-cert", "set-cookie", "content-type"]
    with RawH2(gateway.address) as client:
        client.send(head_frame(client, 1, usual(method="POST"), END_HEADERS))
        client.send(frame(DATA, 0, 1, b"abc"))
        client.send(head_frame(client, 1, [*((name, "7") for name in names), ("x-sum", "9")]))
        assert client.read_frames(ends(1))[0] != RST_STREAM
    assert upstream.last.trailers == [("x-sum", "9")]


# --- responses

class Frames:
    """One answer as raw frames, on the connection of an exchange."""

    def __init__(self, exchange):
        self.conn, self.id = exchange.conn, exchange.id

    def head(self, fields, flags=END_HEADERS):
        with self.conn.changed:
            block = self.conn.h2.encoder.encode(fields, huffman=False)
            self.conn.raw(frame(HEADERS, flags, self.id, block))

    def data(self, content, flags=0):
        self.conn.raw(frame(DATA, flags, self.id, content))


def status(code, *fields):
    return [(":status", code), *fields]


# What is sent, and what becomes of it: a status, or "cut" in the middle of the answer.
RESPONSES = {
    "status-of-two-digits": ("GET", lambda f: f.head(status("99")), 502),
    "status-with-a-zero": ("GET", lambda f: f.head(status("020")), 502),
    "status-600": ("GET", lambda f: f.head(status("600")), 502),
    "status-with-words": ("GET", lambda f: f.head(status("200 OK")), 502),
    "status-sign": ("GET", lambda f: f.head(status("+20")), 502),
    "status-empty": ("GET", lambda f: f.head(status("")), 502),
    "status-crlf": ("GET", lambda f: f.head(status("200\r\nx-evil: 1")), 502),
    "interim-at-the-end": ("GET", lambda f: f.head(status("103"), END_HEADERS | END_STREAM), 502),
    "interim-with-a-length": ("GET", lambda f: f.head(status("103", ("content-length", "5"))), 502),
    "content-before-the-head": ("GET", lambda f: f.data(b"evil"), 502),
    "name-empty": ("GET", lambda f: f.head(status("200", ("", "a"))), 502),
    "value-blank": ("GET", lambda f: f.head(status("200", ("x-a", " b"))), 502),
    "value-lf": ("GET", lambda f: f.head(status("200", ("x-a", "b\nx-evil: 1"))), 502),
    "value-cr": ("GET", lambda f: f.head(status("200", ("x-a", "b\rx-evil: 1"))), 502),
    "name-colon": ("GET", lambda f: f.head(status("200", ("x-a: b\r\nx-evil", "1"))), 502),
    "upgrade": ("GET", lambda f: f.head(status("200", ("upgrade", "websocket"))), 502),
    "keep-alive": ("GET", lambda f: f.head(status("200", ("keep-alive", "timeout=5"))), 502),
    "length-at-the-end": ("GET", lambda f: f.head(status("200", ("content-length", "5")), END_HEADERS | END_STREAM), 502),
    "length-list": ("GET", lambda f: f.head(status("200", ("content-length", "5, 5"))), 502),
    "head-with-content": ("HEAD", lambda f: (f.head(status("200")), f.data(b"evil", END_STREAM)), "cut"),
    "204-with-content": ("GET", lambda f: (f.head(status("204")), f.data(b"evil", END_STREAM)), "cut"),
    "304-with-content": ("GET", lambda f: (f.head(status("304")), f.data(b"evil", END_STREAM)), "cut"),
    "second-head": ("GET", lambda f: (f.head(status("200")), f.head(status("200"), END_HEADERS | END_STREAM)), "cut"),
    "interim-behind-the-head": ("GET", lambda f: (f.head(status("200")), f.head(status("103"))), "cut"),
    "trailers-not-at-the-end": ("GET", lambda f: (f.head(status("200")), f.head([("x-sum", "1")])), "cut"),
    "trailers-hop": ("GET", lambda f: (f.head(status("200")), f.head([("connection", "close")], END_HEADERS | END_STREAM)), "cut"),
    "trailers-crlf": ("GET", lambda f: (f.head(status("200")), f.head([("x", "a\r\n\r\nevil")], END_HEADERS | END_STREAM)), "cut"),
    "trailers-before-all-content": ("GET", lambda f: (f.head(status("200", ("content-length", "5"))), f.data(b"abc"),
                                                      f.head([("x-sum", "1")], END_HEADERS | END_STREAM)), "cut"),
}


@pytest.mark.parametrize("name", RESPONSES)
@pytest.mark.parametrize("down", ["h1", "h2"])
def test_response_that_http_1_could_not_have_is_no_answer(h2_upstreams, start, name, down):
    method, script, outcome = RESPONSES[name]

    def answer(exchange):
        if exchange.path == "/good":
            exchange.reply(200, b"good")
        else:
            script(Frames(exchange))
    up = h2_upstreams(answer)
    gateway = start(h2c(up))
    if down == "h1":
        with gateway.client() as client:
            client.send(raw.request_bytes(method, "/bad"))
            text = client.read_until_close() if outcome == "cut" else b""
            assert b"evil" not in text
            if outcome != "cut":
                got = client.read_response(method)
                assert got.status == outcome and got.get("x-evil") is None
            elif method != "HEAD" and b" 200 " in text.split(b"\r\n")[0]:
                assert not text.endswith(b"0\r\n\r\n") and (b"chunked" in text or b"Content-Length: 5" in text)
    else:
        with H2Client(gateway.address) as client:
            got = client.answer(client.ask(method, "/bad"))
            assert b"evil" not in got.body and got.get("x-evil") is None
            if outcome == "cut":
                assert got.reset is not None or got.status in (204, 304) or method == "HEAD"
            else:
                assert got.status == outcome
    line = gateway.wait_access(path="/bad")
    assert line["reason"] == "upstream_protocol" or line["status"] in (204, 304) or method == "HEAD", line
    assert gateway.ask(target="/good").body == b"good"


@pytest.mark.parametrize("what", ["data", "trailers", "head"])
def test_frames_behind_the_end_of_an_answer_belong_to_nobody(h2_upstreams, start, what):
    """The answer stands; the connection is given up, and the next request gets its own answer."""
    def answer(exchange):
        if exchange.path == "/good":
            exchange.reply(200, b"good")
            return
        frames = Frames(exchange)
        frames.head(status("200", ("content-length", "4")))
        frames.data(b"fine", END_STREAM)
        if what == "data":
            frames.data(b"evil", END_STREAM)
        else:
            frames.head([("x-sum", "1")] if what == "trailers" else status("200"), END_HEADERS | END_STREAM)
    up = h2_upstreams(answer)
    gateway = start(h2c(up))
    for _ in range(3):
        assert gateway.ask(target="/bad").body == b"fine"
        assert gateway.ask(target="/good").body == b"good"


def test_interim_heads_without_end_are_given_up(h2_upstreams, start):
    def answer(exchange):
        frames = Frames(exchange)
        for _ in range(200):
            frames.head(status("103", ("link", "</a>")))
    up = h2_upstreams(answer)
    gateway = start(h2c(up))
    with H2Client(gateway.address) as client:
        got = client.answer(client.ask())
    assert got.status == 502 and len(got.interim) <= 100
    gateway.expect_end("upstream_protocol")


def test_pushed_answers_are_refused(h2_upstreams, start):
    def answer(exchange):
        if exchange.path == "/good":
            exchange.reply(200, b"good")
            return
        with exchange.conn.changed:
            block = exchange.conn.h2.encoder.encode([(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/good")])
            exchange.conn.raw(frame(PUSH_PROMISE, END_HEADERS, exchange.id, b"\0\0\0\x02" + block))
    up = h2_upstreams(answer)
    gateway = start(h2c(up))
    assert gateway.ask(target="/bad").status == 502
    wait_until(lambda: up.connections[0].closed, what="the end of a connection that pushes")
    assert gateway.ask(target="/good").body == b"good"
