"""A message that two parsers could read in two ways is refused, never forwarded (RFC 9112)."""

import itertools

import pytest

from gateway import expect_problem, plain
from raw import Client, Closed, wait_until

serial = itertools.count(1)


def case(name, *parts):
    return pytest.param(*parts, id=name)


def get(fields, line=b"GET / HTTP/1.1"):
    return line + b"\r\n" + fields + b"\r\n"


HOST = b"Host: a.example\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HELLO = b"5\r\nhello\r\n0\r\n\r\n"


def post(fields, body=b""):
    return b"POST / HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body


BAD_REQUESTS = [
    # lengths
    case("length-and-chunked", post(b"Content-Length: 5\r\n" + CHUNKED, HELLO)),
    case("chunked-and-length", post(CHUNKED + b"Content-Length: 5\r\n", HELLO)),
    case("two-lengths-differ", post(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello!")),
    case("length-list-differs", post(b"Content-Length: 5, 6\r\n", b"hello!")),
    case("length-plus", post(b"Content-Length: +5\r\n", b"hello")),
    case("length-minus", post(b"Content-Length: -5\r\n", b"hello")),
    case("length-hex", post(b"Content-Length: 0x5\r\n", b"hello")),
    case("length-space-inside", post(b"Content-Length: 5 5\r\n", b"hello")),
    case("length-letter", post(b"Content-Length: 5a\r\n", b"hello")),
    case("length-exponent", post(b"Content-Length: 1e1\r\n", b"hello")),
    case("length-dot", post(b"Content-Length: 5.0\r\n", b"hello")),
    case("length-empty", post(b"Content-Length:\r\n", b"hello")),
    case("length-comma-only", post(b"Content-Length: ,\r\n", b"hello")),
    case("length-quoted", post(b'Content-Length: "5"\r\n', b"hello")),
    case("length-2-to-63", post(b"Content-Length: 9223372036854775808\r\n", b"hello")),
    case("length-2-to-64", post(b"Content-Length: 18446744073709551616\r\n", b"hello")),
    case("length-2-to-64-plus-5", post(b"Content-Length: 18446744073709551621\r\n", b"hello")),
    case("length-very-long", post(b"Content-Length: " + b"9" * 200 + b"\r\n", b"hello")),
    case("length-vertical-tab", post(b"Content-Length: \x0b5\r\n", b"hello")),
    # transfer codings
    case("coding-unknown", post(b"Transfer-Encoding: xchunked\r\n", HELLO)),
    case("coding-gzip", post(b"Transfer-Encoding: gzip\r\n", HELLO)),
    case("coding-gzip-chunked", post(b"Transfer-Encoding: gzip, chunked\r\n", HELLO)),
    case("coding-chunked-gzip", post(b"Transfer-Encoding: chunked, gzip\r\n", HELLO)),
    case("coding-identity", post(b"Transfer-Encoding: identity\r\n", HELLO)),
    case("coding-chunked-identity", post(b"Transfer-Encoding: chunked, identity\r\n", HELLO)),
    case("coding-twice-in-one", post(b"Transfer-Encoding: chunked, chunked\r\n", HELLO)),
    case("coding-twice", post(CHUNKED + CHUNKED, HELLO)),
    case("coding-chunked-then-identity", post(CHUNKED + b"Transfer-Encoding: identity\r\n", HELLO)),
    case("coding-identity-then-chunked", post(b"Transfer-Encoding: identity\r\n" + CHUNKED, HELLO)),
    case("coding-empty", post(b"Transfer-Encoding:\r\n", HELLO)),
    case("coding-parameter", post(b"Transfer-Encoding: chunked;q=1\r\n", HELLO)),
    case("coding-quoted", post(b'Transfer-Encoding: "chunked"\r\n', HELLO)),
    case("coding-vertical-tab", post(b"Transfer-Encoding: \x0bchunked\r\n", HELLO)),
    case("coding-in-1.0", b"POST / HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n" + HELLO),
    # fields
    case("space-before-colon", post(b"Content-Length : 5\r\n", b"hello")),
    case("tab-before-colon", post(b"Transfer-Encoding\t: chunked\r\n", HELLO)),
    case("obs-fold-space", get(HOST + b"X-A: b\r\n c\r\n")),
    case("obs-fold-tab", get(HOST + b"X-A: b\r\n\tc\r\n")),
    case("obs-fold-coding", post(b"Transfer-Encoding:\r\n chunked\r\n", HELLO)),
    case("space-before-first-field", get(b" " + HOST)),
    case("field-without-colon", get(HOST + b"nonsense\r\n")),
    case("field-without-name", get(HOST + b": x\r\n")),
    case("space-in-name", get(HOST + b"X A: b\r\n")),
    case("paren-in-name", get(HOST + b"X(A): b\r\n")),
    case("quote-in-name", get(HOST + b'X"A: b\r\n')),
    case("high-byte-in-name", get(HOST + b"X\xc3\xa9: b\r\n")),
    case("nul-in-name", get(HOST + b"X\0A: b\r\n")),
    case("nul-in-value", get(HOST + b"X-A: b\0c\r\n")),
    case("control-in-value", get(HOST + b"X-A: b\x01c\r\n")),
    case("delete-in-value", get(HOST + b"X-A: b\x7fc\r\n")),
    case("bare-cr-in-value", get(HOST + b"X-A: b\rc\r\n")),
    case("bare-cr-before-name", get(HOST + b"X-A: b\r\n\rX-B: c\r\n")),
    case("cr-cr-lf", get(HOST + b"X-A: b\r\r\n")),
    case("bare-lf-ends-field", get(HOST + b"X-A: b\nX-B: c\r\n")),
    case("bare-lf-hides-coding", post(b"X-A: b\nTransfer-Encoding: chunked\r\n", HELLO)),
    case("bare-lf-ends-head", b"GET / HTTP/1.1\r\n" + HOST + b"\n\r\n"),
    case("bare-lf-everywhere", b"GET / HTTP/1.1\nHost: a\n\n"),
    # request line
    case("bare-lf-ends-request-line", b"GET / HTTP/1.1\n" + HOST + b"\r\n"),
    case("bare-cr-in-request-line", get(HOST, b"GET /\r HTTP/1.1")),
    case("two-spaces-after-method", get(HOST, b"GET  / HTTP/1.1")),
    case("two-spaces-before-version", get(HOST, b"GET /  HTTP/1.1")),
    case("tabs-as-spaces", get(HOST, b"GET\t/\tHTTP/1.1")),
    case("space-at-end", get(HOST, b"GET / HTTP/1.1 ")),
    case("space-at-start", get(HOST, b" GET / HTTP/1.1")),
    case("space-in-target", get(HOST, b"GET /a b HTTP/1.1")),
    case("nul-in-target", get(HOST, b"GET /a\0b HTTP/1.1")),
    case("control-in-target", get(HOST, b"GET /a\x01 HTTP/1.1")),
    case("no-version", get(HOST, b"GET /")),
    case("no-target", get(HOST, b"GET HTTP/1.1")),
    case("lower-case-version", get(HOST, b"GET / http/1.1")),
    case("version-two-digits", get(HOST, b"GET / HTTP/1.10")),
    case("version-zero-padded", get(HOST, b"GET / HTTP/01.1")),
    case("version-letters", get(HOST, b"GET / HTTP/x.y")),
    case("version-no-dot", get(HOST, b"GET / HTTP/11")),
    case("wrong-protocol", get(HOST, b"GET / HTTQ/1.1")),
    case("paren-in-method", get(HOST, b"GE(T / HTTP/1.1")),
    case("high-byte-in-method", get(HOST, b"G\xc3\x89T / HTTP/1.1")),
    case("empty-method", get(HOST, b" / HTTP/1.1")),
    case("target-without-slash", get(HOST, b"GET index HTTP/1.1")),
    case("asterisk-but-not-options", get(HOST, b"GET * HTTP/1.1")),
    case("authority-but-not-connect", get(HOST, b"GET a.example:80 HTTP/1.1")),
    case("tls-hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 40 + b"\r\n\r\n"),
    # host
    case("no-host", b"GET / HTTP/1.1\r\nX-A: b\r\n\r\n"),
    case("two-hosts-differ", get(HOST + b"Host: b.example\r\n")),
    case("two-hosts-equal", get(HOST + HOST)),
    case("host-with-space", get(b"Host: a b\r\n")),
    case("host-with-slash", get(b"Host: a/b\r\n")),
    case("host-with-user", get(b"Host: user@a\r\n")),
    case("host-list", get(b"Host: a, b\r\n")),
    case("host-port-letters", get(b"Host: a:b\r\n")),
    case("host-port-too-big", get(b"Host: a:65536\r\n")),
    case("host-two-ports", get(b"Host: a:80:81\r\n")),
    case("host-open-bracket", get(b"Host: [::1\r\n")),
    case("host-query", get(b"Host: a?b\r\n")),
]


@pytest.mark.parametrize("request_bytes", BAD_REQUESTS)
def test_a_bad_request_gets_400_and_the_connection_ends(shared, request_bytes):
    seen = len(shared.upstream.requests)
    with shared.client() as client:
        # A second request rides behind it: it must never be answered.
        client.try_send(request_bytes + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = client.read_response()
        expect_problem(answer, 400, "bad_request")
        assert "close" in answer.get("connection", ""), answer
        assert client.read_until_close() == b""
        line = shared.expect_end("bad_request", client_port=client.port)
        assert line["status"] == 400
    assert len(shared.upstream.requests) == seen, shared.upstream.last.raw


@pytest.mark.parametrize("line", [b"GET / HTTP/2.0", b"GET / HTTP/3.0", b"GET / HTTP/9.9", b"GET / HTTP/0.9"])
def test_a_version_that_is_not_1_is_refused_by_505(shared, line):
    seen = len(shared.upstream.requests)
    with shared.client() as client:
        client.try_send(line + b"\r\n" + HOST + b"\r\n")
        expect_problem(client.read_response(), 505, "version_unsupported")
        assert client.read_until_close() == b""
        shared.expect_end("version_unsupported", client_port=client.port)
    assert len(shared.upstream.requests) == seen


def test_connect_is_refused_by_501(shared):
    with shared.client() as client:
        client.try_send(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
        expect_problem(client.read_response("CONNECT"), 501, "tunnel_unsupported")
        shared.expect_end("tunnel_unsupported", client_port=client.port)


BAD_CHUNKS = [
    case("size-not-hex", b"g\r\nhello\r\n0\r\n\r\n"),
    case("size-empty", b"\r\nhello\r\n0\r\n\r\n"),
    case("size-minus", b"-5\r\nhello\r\n0\r\n\r\n"),
    case("size-plus", b"+5\r\nhello\r\n0\r\n\r\n"),
    case("size-0x", b"0x5\r\nhello\r\n0\r\n\r\n"),
    case("size-underscore", b"0_5\r\nhello\r\n0\r\n\r\n"),
    case("size-space-before", b" 5\r\nhello\r\n0\r\n\r\n"),
    case("size-space-inside", b"0 5\r\nhello\r\n0\r\n\r\n"),
    case("size-2-to-64-plus-5", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    case("size-very-long", b"0" * 100 + b"5\r\nhello\r\n0\r\n\r\n"),
    case("size-bare-lf", b"5\nhello\r\n0\r\n\r\n"),
    case("size-bare-cr", b"5\rhello\r\n0\r\n\r\n"),
    case("extension-bare-lf", b"5;a\nhello\r\n0\r\n\r\n"),
    case("extension-bare-cr", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    case("extension-nul", b"5;a\0\r\nhello\r\n0\r\n\r\n"),
    case("extension-endless", b"5;" + b"a" * 70000 + b"\r\nhello\r\n0\r\n\r\n"),
    case("data-too-long", b"5\r\nhelloX\r\n0\r\n\r\n"),
    case("data-then-bare-lf", b"5\r\nhello\n0\r\n\r\n"),
    case("data-then-nothing", b"5\r\nhello0\r\n\r\n"),
    case("last-bare-lf", b"5\r\nhello\r\n0\n\r\n"),
    case("end-bare-lf", b"5\r\nhello\r\n0\r\n\n"),
    case("trailer-space-before-colon", b"5\r\nhello\r\n0\r\nX-T : 1\r\n\r\n"),
    case("trailer-fold", b"5\r\nhello\r\n0\r\nX-T: 1\r\n 2\r\n\r\n"),
    case("trailer-bare-lf", b"5\r\nhello\r\n0\r\nX-T: 1\nX-U: 2\r\n\r\n"),
    case("trailer-nul", b"5\r\nhello\r\n0\r\nX-T: a\0\r\n\r\n"),
    case("trailer-without-colon", b"5\r\nhello\r\n0\r\nnonsense\r\n\r\n"),
]


@pytest.mark.parametrize("body", BAD_CHUNKS)
def test_a_bad_chunk_gets_400_and_the_upstream_never_a_whole_request(shared, body):
    path = f"/chunk{next(serial)}"
    with shared.client() as client:
        client.try_send(b"POST " + path.encode() + b" HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\n" + body
                        + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        expect_problem(client.read_response(), 400, "bad_request")
        assert client.read_until_close() == b""
        shared.expect_end("bad_request", client_port=client.port)
    for exchange in [e for e in shared.upstream.requests if e.path == path]:
        wait_until(lambda: exchange.conn.closed, what="the upstream connection of a broken body is ended")
        assert not exchange.complete
    assert "/smuggled" not in shared.upstream.paths()


def test_a_body_cut_by_the_client_is_never_whole_at_the_upstream(gateway, upstream):
    for n, body in enumerate((b"Content-Length: 10\r\n\r\nhello", CHUNKED + b"\r\n5\r\nhello\r\n"), 1):
        with gateway.client() as client:
            client.send(b"POST /cut HTTP/1.1\r\n" + HOST + body)
            upstream.wait_requests(n)
            client.reset()
    upstream.wait_idle()
    assert [exchange.complete for exchange in upstream.requests] == [False, False]
    lines = gateway.wait_access(2, path="/cut")
    assert {line["reason"] for line in lines} <= {"client_reset", "client_closed"}


GOOD_REQUESTS = [
    case("empty-line-before", b"\r\n" + get(HOST)),
    case("no-space-after-colon", get(b"Host:a.example\r\n")),
    case("much-space-around-value", get(b"Host: \t a.example \t \r\n")),
    case("coding-upper-case", post(b"TRANSFER-ENCODING: Chunked\r\n", HELLO)),
    case("length-zeros", post(b"Content-Length: 0005\r\n", b"hello")),
    case("length-zero", post(b"Content-Length: 0\r\n")),
    case("high-bytes-in-value", get(HOST + b"X-A: \xc3\xa9\xff\r\n")),
    case("empty-value", get(HOST + b"X-A:\r\n")),
    case("chunk-size-upper-case", post(CHUNKED, b"00A\r\n0123456789\r\n000\r\n\r\n")),
    case("chunk-extension", post(CHUNKED, b'5;a=b;c="d\\"e"\r\nhello\r\n0;last\r\n\r\n')),
    case("unknown-method", get(HOST, b"BREW-IT / HTTP/1.1")),
    case("absolute-form", get(b"Host: a.example\r\n", b"GET http://a.example/ HTTP/1.1")),
    case("asterisk-form", get(HOST, b"OPTIONS * HTTP/1.1")),
    case("host-with-port", get(b"Host: a.example:8080\r\n")),
    case("host-v6", get(b"Host: [::1]:80\r\n")),
    case("1.0-without-host", b"GET / HTTP/1.0\r\n\r\n"),
]


@pytest.mark.parametrize("request_bytes", GOOD_REQUESTS)
def test_an_unusual_but_valid_request_is_served(shared, request_bytes):
    with shared.client() as client:
        client.send(request_bytes)
        assert client.read_response().status == 200
        shared.expect_end("completed", client_port=client.port)


def test_equal_lengths_twice_are_refused_or_become_one(shared):
    for fields in (b"Content-Length: 5\r\nContent-Length: 5\r\n", b"Content-Length: 5, 5\r\n"):
        seen = len(shared.upstream.requests)
        with shared.client() as client:
            client.send(post(fields, b"hello"))
            answer = client.read_response()
        if answer.status == 200:
            assert shared.upstream.requests[seen].all("content-length") == ["5"]
        else:
            expect_problem(answer, 400, "bad_request")
            assert len(shared.upstream.requests) == seen


def test_every_split_of_a_request_is_read_alike(shared):
    data = (b"POST /split HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n"
            b"5;x=y\r\nhello\r\n0\r\nX-T: 1\r\n\r\n")
    got = []
    shared.upstream.on("/split", lambda ex: (ex.read_body(), got.append((ex.body, ex.trailers)), ex.reply()))
    with shared.client() as client:
        for at in range(1, len(data)):
            client.send(data[:at])
            client.send(data[at:])
            assert client.read_response().status == 200, at
    assert got == [(b"hello", [("x-t", "1")])] * (len(data) - 1)


def test_a_bad_request_split_at_every_byte_is_refused_too(shared):
    data = post(b"Content-Length: 5\r\n" + CHUNKED, b"")
    seen = len(shared.upstream.requests)
    for at in range(1, len(data), 3):
        with shared.client() as client:
            client.send(data[:at])
            client.try_send(data[at:])
            assert client.read_response().status == 400, at
    assert len(shared.upstream.requests) == seen


def test_a_bad_request_behind_a_good_one_spoils_only_itself(shared):
    with shared.client() as client:
        client.try_send(get(HOST) + get(HOST + b"X A: b\r\n"))
        assert client.read_response().status == 200
        expect_problem(client.read_response(), 400, "bad_request")
        assert client.read_until_close() == b""


def test_an_error_answer_says_nothing_of_the_request_back(shared):
    marker = b"<script>alert(1)</script>"
    with shared.client() as client:
        client.try_send(get(HOST + b"X A: " + marker + b"\r\n", b"GET /" + marker + b" HTTP/1.1"))
        answer = client.read_response()
    assert answer.status == 400 and marker not in answer.body


# --- towards the upstream

OK_BODY = b"\r\nhello"
BAD_ANSWERS = [
    case("length-and-chunked", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO),
    case("two-lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    case("length-list", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!"),
    case("length-letters", b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello"),
    case("length-minus", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"),
    case("length-too-big", b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551621\r\n\r\nhello"),
    case("length-empty", b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello"),
    case("coding-gzip", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello"),
    case("coding-chunked-gzip", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n" + HELLO),
    case("coding-twice", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n" + HELLO),
    case("coding-in-1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + HELLO),
    case("obs-fold", b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 5\r\n" + OK_BODY),
    case("bare-lf", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
    case("bare-lf-in-field", b"HTTP/1.1 200 OK\r\nX-A: b\nX-B: c\r\nContent-Length: 5\r\n" + OK_BODY),
    case("bare-cr", b"HTTP/1.1 200 OK\r\nX-A: b\rc\r\nContent-Length: 5\r\n" + OK_BODY),
    case("space-before-colon", b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n" + OK_BODY),
    case("name-with-space", b"HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 5\r\n" + OK_BODY),
    case("no-colon", b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 5\r\n" + OK_BODY),
    case("nul", b"HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 5\r\n" + OK_BODY),
    case("status-two-digits", b"HTTP/1.1 20 OK\r\nContent-Length: 5\r\n" + OK_BODY),
    case("status-four-digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n" + OK_BODY),
    case("status-letters", b"HTTP/1.1 abc OK\r\nContent-Length: 5\r\n" + OK_BODY),
    case("status-below-100", b"HTTP/1.1 099 OK\r\nContent-Length: 5\r\n" + OK_BODY),
    case("version-2", b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n" + OK_BODY),
    case("version-lower-case", b"http/1.1 200 OK\r\nContent-Length: 5\r\n" + OK_BODY),
    case("icy", b"ICY 200 OK\r\nContent-Length: 5\r\n" + OK_BODY),
    case("no-head-at-all", b"hello\r\n\r\n"),
    case("html", b"<html>hello</html>\r\n\r\n"),
    case("nul-in-reason", b"HTTP/1.1 200 O\0K\r\nContent-Length: 5\r\n" + OK_BODY),
    case("unasked-101", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    case("endless-head", b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 20000 + b"\r\n"),
]


@pytest.mark.parametrize("data", BAD_ANSWERS)
def test_a_bad_answer_of_the_upstream_becomes_502_and_its_connection_ends(shared, data):
    path = f"/bad{next(serial)}"
    shared.upstream.on(path, lambda ex: (ex.send(data), ex.wait_gone()))
    with shared.client() as client:
        expect_problem(client.ask(target=path), 502, "upstream_protocol")
        # The client did nothing wrong: its connection stays.
        assert client.ask(target="/next").status == 200
    line = shared.expect_end("upstream_protocol", path=path)
    assert line["status"] == 502 and line["upstream"] == "app"
    exchange = next(e for e in shared.upstream.requests if e.path == path)
    wait_until(lambda: exchange.conn.closed, what="the upstream connection is ended")
    shared.wait_metric(lambda m: m.get("sluice_upstream_failures_total", upstream="app",
                                       reason="upstream_protocol") >= 1)


BAD_ANSWER_CHUNKS = [
    case("size-not-hex", b"zz\r\n"),
    case("size-too-big", b"10000000000000005\r\nhello"),
    case("size-bare-lf", b"5\nhello\r\n0\r\n\r\n"),
    case("no-crlf-after-data", b"5\r\nhelloX\r\n0\r\n\r\n"),
    case("bad-trailer", b"5\r\nhello\r\n0\r\nX T: 1\r\n\r\n"),
]


@pytest.mark.parametrize("body", BAD_ANSWER_CHUNKS)
def test_a_bad_chunk_of_the_upstream_never_becomes_a_whole_answer(shared, body):
    path = f"/badchunk{next(serial)}"
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n" + body
    shared.upstream.on(path, lambda ex: (ex.send(data), ex.wait_gone()))
    with shared.client() as client:
        client.send(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        try:
            expect_problem(client.read_response(), 502, "upstream_protocol")
        except Closed:
            pass  # the head was on its way already: the cut is what the client sees
    shared.expect_end("upstream_protocol", path=path)


def test_bytes_after_an_answer_end_the_upstream_connection(gateway, upstream):
    """Otherwise they would be read as the answer to somebody else's request."""
    upstream.answer("/more", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                             b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
    with gateway.client() as client:
        assert client.ask(target="/more").body == b"ok"
        for _ in range(5):
            assert client.ask(target="/next").body == b"ok"
    assert upstream.requests[1].connection != upstream.requests[0].connection


def test_bytes_on_an_idle_upstream_connection_end_it(gateway, upstream):
    gateway.ask()
    first = upstream.last.conn
    first.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
    wait_until(lambda: first.closed, what="the poisoned connection is ended")
    assert gateway.ask().body == b"ok"


def test_a_response_to_head_or_304_with_a_length_has_no_body(shared):
    shared.upstream.on("/head", lambda ex: ex.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"))
    shared.upstream.on("/same", lambda ex: ex.send(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"))
    with shared.client() as client:
        assert client.ask("HEAD", "/head").get("content-length") == "1000"
        assert client.ask("GET", "/same").status == 304
        assert client.ask("GET", "/next").body == b"ok"


def test_a_client_that_sends_garbage_forever_is_cut(start, upstream):
    gateway = start(plain(upstream))
    with gateway.client() as client:
        sent = 0
        try:
            while sent < 64 * 1024 * 1024:
                client.sock.sendall(b"X" * 65536)
                sent += 65536
        except OSError:
            pass
        assert sent < 64 * 1024 * 1024
    assert upstream.requests == []


def test_the_gateway_normalises_dot_segments_before_it_matches(start, upstream):
    gateway = start({"upstreams": {"app": {"endpoints": [upstream.address]}},
                     "routes": [{"match": {"path": "/public/"}, "upstream": "app"}]})
    for target in ("/public/../secret", "/public/%2e%2e/secret", "/public/.%2E/secret", "/public/a/../../secret",
                   "//public/../secret", "/public/./../secret"):
        answer = gateway.ask(target=target)
        assert answer.status in (400, 404), (target, answer)
    assert upstream.requests == []
    assert gateway.ask(target="/public/a/../b").status == 200
    assert upstream.last.target == "/public/b"


def test_absolute_form_takes_its_host_from_the_target(shared):
    with Client(shared.address) as client:
        client.send(b"GET http://real.example/abs?x=1 HTTP/1.1\r\nHost: other.example\r\n\r\n")
        assert client.read_response().status == 200
    exchange = next(e for e in shared.upstream.requests if e.path == "/abs")
    assert exchange.target == "/abs?x=1"
    assert exchange.all("host") == ["real.example"]
