"""Bodies arrive whole, by either framing, whatever the pieces; a cut is always visible."""

import hashlib
import threading

import pytest

from raw import Closed, chunked, request_bytes
from upstream import response_bytes

MIB = 1024 * 1024


def pattern(size, seed=7):
    """Bytes in which every misplaced piece shows."""
    block = b"".join(hashlib.sha256(b"%d %d" % (seed, n)).digest() for n in range(2048))
    return (block * (size // len(block) + 1))[:size]


def echo(exchange):
    exchange.reply(200, exchange.read_body())


def test_a_body_with_length_arrives_with_its_length(gateway, upstream):
    upstream.on("/", echo)
    answer = gateway.ask("POST", body=b"hello")
    assert answer.body == b"hello" and answer.get("content-length") == "5"
    assert upstream.last.all("content-length") == ["5"]
    assert upstream.last.all("transfer-encoding") == []
    line = gateway.expect_end("completed", path="/")
    assert (line["bytes_in"], line["bytes_out"], line["status"]) == (5, 5, 200)


def test_an_empty_body_with_length_0_stays_one(gateway, upstream):
    gateway.ask("POST", body=b"")
    assert upstream.last.all("content-length") == ["0"]


def test_a_get_without_a_body_gets_no_framing_fields(gateway, upstream):
    gateway.ask()
    assert upstream.last.all("content-length") == [] and upstream.last.all("transfer-encoding") == []


def test_a_get_may_have_a_body(gateway, upstream):
    upstream.on("/", echo)
    assert gateway.ask("GET", body=b"odd but legal").body == b"odd but legal"


def test_a_chunked_body_arrives_chunked(gateway, upstream):
    upstream.on("/", echo)
    assert gateway.ask("POST", body=[b"hel", b"lo"]).body == b"hello"
    assert upstream.last.all("transfer-encoding") == ["chunked"]
    assert upstream.last.all("content-length") == []
    assert gateway.expect_end("completed")["bytes_in"] == 5


def test_an_empty_chunked_body_works_both_ways(gateway, upstream):
    upstream.on("/", lambda ex: (ex.read_body(), ex.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")))
    with gateway.client() as client:
        for _ in range(2):
            assert client.ask("POST", body=[]).body == b""
    assert upstream.last.complete and upstream.last.body == b""


def test_chunk_extensions_are_dropped_both_ways(gateway, upstream):
    """The upstream fake and the client refuse any extension they see."""
    upstream.on("/", lambda ex: (ex.read_body(), ex.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;secret=1\r\nabc\r\n0;more\r\n\r\n")))
    with gateway.client() as client:
        client.send(b'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;a="x"\r\nhi\r\n0;b\r\n\r\n')
        assert client.read_response().body == b"abc"
    assert upstream.last.body == b"hi"
    assert b";" not in upstream.last.raw.partition(b"\r\n\r\n")[2]


def test_trailers_pass_both_ways(gateway, upstream):
    upstream.on("/", lambda ex: (ex.read_body(), ex.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: out\r\n\r\n")))
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + chunked([b"hi"], [("X-Sum", "in"), ("X-Sum", "twice")]))
        answer = client.read_response()
    assert upstream.last.trailers == [("x-sum", "in"), ("x-sum", "twice")]
    assert answer.trailers == [("x-sum", "out")]


@pytest.mark.parametrize("name", ["Content-Length", "Transfer-Encoding", "Host", "Connection"])
def test_a_trailer_that_would_change_framing_is_not_passed_on(gateway, upstream, name):
    with gateway.client() as client:
        client.try_send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                        + chunked([b"hi"], [(name, "5"), ("X-Fine", "1")]))
        status = client.read_response().status
    assert status in (200, 400)
    for exchange in upstream.requests:
        assert name.lower() not in [n for n, _ in exchange.trailers]


def test_a_chunked_answer_arrives_whole(gateway, upstream):
    pieces = [pattern(n) for n in (1, 2, 15, 16, 17, 255, 256, 4095, 4096, 16384, 16385, 70000)]
    upstream.answer("/", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(pieces))
    answer = gateway.ask()
    assert answer.body == b"".join(pieces)
    assert answer.all("transfer-encoding") == ["chunked"]


def test_an_answer_until_close_becomes_chunked_for_a_1_1_client(gateway, upstream):
    upstream.answer("/", b"HTTP/1.1 200 OK\r\n\r\n" + pattern(100000), close=True)
    with gateway.client() as client:
        answer = client.ask()
        assert answer.body == pattern(100000)
        assert answer.chunks is not None, "no way to tell a cut from the end"
        assert client.ask().status == 200


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_none(gateway, upstream, status):
    upstream.answer("/", b"HTTP/1.1 %d X\r\nX-A: b\r\n\r\n" % status)
    with gateway.client() as client:
        answer = client.ask()
        assert answer.status == status and answer.get("x-a") == "b"
        assert answer.all("transfer-encoding") == []
        assert client.ask().status == status
    assert upstream.connections == 1


def test_head_keeps_the_length_and_sends_no_body(gateway, upstream):
    upstream.answer("/", b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")
    upstream.answer("/chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with gateway.client() as client:
        assert client.ask("HEAD").get("content-length") == "12345"
        assert client.ask("HEAD", "/chunked").status == 200
        assert client.ask("HEAD").get("content-length") == "12345"
    assert upstream.connections == 1
    assert gateway.wait_access(3)[0]["bytes_out"] == 0


def test_an_error_answer_to_head_has_no_body(start, upstream):
    gateway = start({"routes": [{"match": {"path": "/there"}, "echo": True}]})
    with gateway.client() as client:
        answer = client.ask("HEAD", "/nowhere")
        assert answer.status == 404
        assert client.ask("HEAD", "/nowhere").status == 404
        assert client.ask("GET", "/there").status == 200


def test_a_1_0_client_gets_no_chunked_answer(gateway, upstream):
    upstream.answer("/", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked([b"hello ", b"you"]))
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        answer = client.read_response()
        assert answer.body == b"hello you" and answer.all("transfer-encoding") == []
        assert client.read_until_close() == b""
    assert upstream.last.version == "HTTP/1.1"


def test_a_1_0_client_may_ask_to_keep_its_connection(gateway, upstream):
    with gateway.client() as client:
        for _ in range(3):
            client.send(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
            answer = client.read_response()
            assert answer.body == b"ok"
            assert "keep-alive" in answer.get("connection", "").lower()


def test_a_1_0_upstream_is_understood(gateway, upstream):
    upstream.answer("/length", b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", close=True)
    upstream.answer("/close", b"HTTP/1.0 200 OK\r\n\r\nhello", close=True)
    with gateway.client() as client:
        for path in ("/length", "/close", "/length"):
            answer = client.ask(target=path)
            assert answer.body == b"hello" and answer.version == "HTTP/1.1"
    assert upstream.connections == 3


def test_a_1_0_post_with_a_length_is_forwarded(gateway, upstream):
    upstream.on("/", echo)
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
        assert client.read_response().body == b"hello"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_20_mib_arrive_intact_both_ways(gateway, upstream, framing):
    data = pattern(20 * MIB)
    got = hashlib.sha256()
    pieces = [data[at:at + 100000] for at in range(0, len(data), 100000)]

    def script(exchange):
        exchange.read_body(sink=got.update)
        if framing == "length":
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data), data)
        else:
            exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunked(pieces))
    upstream.on("/big", script)
    back = hashlib.sha256()
    with gateway.client() as client:
        client.send(request_bytes("PUT", "/big", body=data if framing == "length" else pieces))
        client.read_response(sink=back.update)
    want = hashlib.sha256(data).hexdigest()
    assert got.hexdigest() == want and back.hexdigest() == want
    line = gateway.expect_end("completed", path="/big")
    assert line["bytes_in"] == line["bytes_out"] == len(data)
    reading = gateway.metrics()
    assert reading.get("sluice_request_body_bytes_total", route="all") == len(data)
    assert reading.get("sluice_response_body_bytes_total", route="all") == len(data)


def test_both_directions_flow_at_once(gateway, upstream):
    """An echo in pieces: the upstream answers each piece before the next is sent."""
    def script(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        exchange.read_body(sink=lambda piece: exchange.send(b"%x\r\n%s\r\n" % (len(piece), piece)))
        exchange.send(b"0\r\n\r\n")
    upstream.on("/", script)
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        response = None
        for n in range(20):
            client.send(b"4\r\n%04d\r\n" % n)
            response = response or client.read_head()
            got = b""
            while got != b"%04d" % n:
                size = int(client.read_line("in the echo"), 16)
                parts = []
                client.read_exactly(size, parts.append, parts)
                assert client.read_line("after a chunk") == b""
                got += b"".join(parts)
        client.send(b"0\r\n\r\n")
        assert client.read_line("at the end") == b"0"
        assert client.read_line("at the end") == b""


def test_a_sender_of_single_bytes_is_understood(gateway, upstream):
    upstream.on("/", echo)
    with gateway.client() as client:
        client.send_byte_by_byte(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 + chunked([b"hello", b"world" * 10], [("X-T", "1")]))
        assert client.read_response().body == b"hello" + b"world" * 10
        client.send_byte_by_byte(request_bytes("POST", body=b"by length"))
        assert client.read_response().body == b"by length"


def test_an_upstream_of_single_bytes_is_understood(gateway, upstream):
    data = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n" + chunked([b"hello", b"world"], [("X-T", "1")]))

    def script(exchange):
        for at in range(len(data)):
            exchange.send(data[at:at + 1])
    upstream.on("/", script)
    with gateway.client() as client:
        for _ in range(2):
            answer = client.ask()
            assert answer.body == b"helloworld" and answer.trailers == [("x-t", "1")]


def test_every_split_of_an_answer_is_read_alike(gateway, upstream):
    data = b"HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked([b"hello", b"w"], [("X-T", "1")])
    upstream.on("/", lambda ex: ex.send(data[:int(ex.get("x-at"))], data[int(ex.get("x-at")):]))
    with gateway.client() as client:
        for at in range(1, len(data)):
            answer = client.ask(fields={"X-At": str(at)})
            assert (answer.body, answer.get("x-a"), answer.trailers) == (b"hellow", "b", [("x-t", "1")]), at


def test_pieces_are_passed_on_as_they_come(gateway, upstream):
    """A gateway that waits for more before it passes on breaks server-sent events."""
    gate = threading.Event()
    upstream.on("/", lambda ex: (ex.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                         b"Transfer-Encoding: chunked\r\n\r\n7\r\ndata: 1\r\n"),
                                 gate.wait(10), ex.send(b"7\r\ndata: 2\r\n0\r\n\r\n")))
    with gateway.client() as client:
        client.send(request_bytes())
        client.read_head()
        assert client.read_line("first") == b"7"
        parts = []
        client.read_exactly(7, parts.append, parts)
        assert b"".join(parts) == b"data: 1"
        gate.set()
        assert client.read_line("after") == b""
        assert client.read_line("second") == b"7"


def test_many_small_chunks_do_not_grow_the_answer_without_bound(gateway, upstream):
    upstream.answer("/", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked([b"x"] * 20000))
    answer = gateway.ask()
    assert answer.body == b"x" * 20000


def test_an_unread_request_body_does_not_become_the_next_request(start):
    """A route that answers by itself must still take the body away, or end the connection."""
    gateway = start({"routes": [{"respond": {"status": 200, "body": "own"}}]})
    with gateway.client() as client:
        client.send(request_bytes("POST", body=b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"))
        assert client.read_response().body == b"own"
        if client.try_send(request_bytes(target="/next")):
            try:
                assert client.read_response().body == b"own"
            except Closed:
                pass  # ending the connection is right too
        client.half_close_quietly()
        assert client.read_until_close() == b""
    gateway.wait_access()
    assert gateway.access_log(path="/smuggled") == []


def test_status_fields_and_body_are_passed_on(gateway, upstream):
    upstream.answer("/", response_bytes(201, b"made", {"Location": "/x", "X-Many": "1"}))
    answer = gateway.ask("POST", body=b"")
    assert (answer.status, answer.body, answer.get("location"), answer.get("x-many")) == (201, b"made", "/x", "1")
