"""Attacks on HTTP/2: each is cut off, a counter says why, and other connections are served as before."""

import struct

import pytest

from gateway import plain
from h2_client import (ACK, CALM, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
                       WINDOW_UPDATE, H2Client, RawH2, frame)
from raw import Client, request_bytes, wait_until

FLOOD = {"resets": 20, "provoked_resets": 20, "settings": 20, "pings": 20, "empty_frames": 20, "priorities": 20,
         "tiny_windows": 20, "continuations": 4, "control_queue": 50, "interval": "1h"}
MIB = 1024 * 1024
PROTOCOL_ERROR = 1


def guarded(upstream, **http2):
    return plain(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0",
                                       "http2": {"flood": FLOOD, "max_concurrent_streams": 50, **http2}}])


@pytest.fixture
def under_attack(start, upstream):
    """A gateway with two honest connections, which must work on to the end."""
    gateway = start(guarded(upstream))
    with H2Client(gateway.address) as h2, Client(gateway.address) as h1:
        before = memory(gateway)
        gateway.h2, gateway.h1 = h2, h1
        serves(gateway)
        yield gateway
        serves(gateway)
        assert memory(gateway) - before < 4 * MIB
        wait_until(lambda: gateway.metric("sluice_worker_exchanges_active") == 0, what="the end of all exchanges")


def serves(gateway):
    assert gateway.h2.get("/").status == 200
    gateway.h1.send(request_bytes())
    assert gateway.h1.read_response().status == 200


def memory(gateway):
    reading = gateway.metrics()
    return reading.get("sluice_worker_block_bytes") + reading.get("sluice_worker_slab_bytes")


def cut_off(gateway, client, cause, code=CALM):
    """The connection is ended with the code, and counted."""
    assert client.goaway() == code, client.frames[-5:]
    assert client.read_frames(lambda kind, *_: False) is None
    gateway.wait_metric(lambda m: m.get("sluice_http2_ended_total", cause=cause) == 1, cause)


def flood(client, piece, count=5000, batch=50):
    """Send it over and over, until nobody listens any more."""
    for i in range(0, count, batch):
        if not client.send(b"".join(piece(i + j) for j in range(batch))):
            return


def test_rapid_reset(under_attack, upstream):
    upstream.on("/hang", lambda exchange: exchange.wait_gone())
    with RawH2(under_attack.address) as client:
        flood(client, lambda i: client.head(1 + 2 * i, path="/hang") + frame(RST_STREAM, 0, 1 + 2 * i, struct.pack(">I", 8)))
        cut_off(under_attack, client, "rapid_reset")
    assert len([r for r in upstream.requests if r.target == "/hang"]) <= FLOOD["resets"] + 2


def test_resets_that_the_client_provokes(under_attack, upstream):
    """Made you reset: each request is followed by a frame for which its stream must be reset."""
    upstream.on("/hang", lambda exchange: exchange.wait_gone())
    with RawH2(under_attack.address) as client:
        flood(client, lambda i: client.head(1 + 2 * i, path="/hang") + 
              frame(WINDOW_UPDATE, 0, 1 + 2 * i, b"\x7f\xff\xff\xff"))
        cut_off(under_attack, client, "provoked_reset")
    assert len([r for r in upstream.requests if r.target == "/hang"]) <= FLOOD["provoked_resets"] + 52


def test_streams_beyond_the_limit(under_attack, upstream):
    """Before our SETTINGS are acknowledged streams too many are refused one by one, and that is provoked too."""
    upstream.on("/hang", lambda exchange: exchange.wait_gone())
    with RawH2(under_attack.address) as client:
        flood(client, lambda i: client.head(1 + 2 * i, path="/hang"))
        cut_off(under_attack, client, "provoked_reset")
    assert len([r for r in upstream.requests if r.target == "/hang"]) <= 50


def patient(upstream):
    """No flood is seen: what requests cost is looked at, not when a connection is ended for them."""
    config = plain(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0",
                                         "http2": {"flood": {"resets": 0, "provoked_resets": 0}}}])
    config["access_log"] = {"path": "access.log", "format": "json", "fields": ["path", "status", "reason", "stream", "tries"]}
    return config


# What is reset in the same read was never begun; a write of a few KiB is one read on the loopback.
SPOILT = {"reset": (frame(RST_STREAM, 0, 1, struct.pack(">I", 8)), "received", "cancel"),
          "provoked": (frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff"), "sent", "flow_control_error")}


@pytest.mark.parametrize("how", SPOILT)
def test_requests_that_are_reset_at_once_cost_the_upstream_nothing(start, upstream, how):
    spoilt, direction, code = SPOILT[how]
    gateway = start(patient(upstream))
    with RawH2(gateway.address) as client:
        client.read_frames(lambda kind, flags, *_: kind == SETTINGS and flags & ACK)
        client.send(b"".join(client.head(stream, path="/spoilt") + spoilt[:5] + struct.pack(">I", stream) + spoilt[9:]
                             for stream in range(1, 200, 2)))
        lines = gateway.wait_access(100)
        assert {(line["path"], line["status"], line["reason"], line["tries"]) for line in lines} == {
            ("/spoilt", None, "client_reset", 0)}
        assert sorted(line["stream"] for line in lines) == list(range(1, 200, 2))
        client.send(client.head(201))
        assert client.read_frames(lambda kind, flags, stream, _: stream == 201 and flags & END_STREAM)
    assert [request.target for request in upstream.requests] == ["/"]
    reading = gateway.metrics()
    assert reading.get("sluice_http2_not_begun_total") == 100
    assert reading.get(f"sluice_http2_resets_{direction}_total", code=code) == 100
    assert reading.get("sluice_upstream_connects_total") == 1
    assert reading.get("sluice_request_ends_total", reason="client_reset") == 100


def test_resets_behind_begun_requests_end_all_of_them(start, upstream):
    """Whatever of a hundred requests was begun before its reset came: all end, and none is both."""
    upstream.on("/hang", lambda exchange: exchange.wait_gone())
    gateway = start(patient(upstream))
    with RawH2(gateway.address) as client:
        client.read_frames(lambda kind, flags, *_: kind == SETTINGS and flags & ACK)
        client.send(b"".join(client.head(stream, path="/hang") for stream in range(1, 200, 2)))
        client.send(b"".join(frame(RST_STREAM, 0, stream, struct.pack(">I", 8)) for stream in range(1, 200, 2)))
        lines = gateway.wait_access(100)
        assert {line["reason"] for line in lines} == {"client_reset"}
        reading = gateway.metrics()
        assert reading.get("sluice_http2_not_begun_total") == len([line for line in lines if line["tries"] == 0])
        assert reading.get("sluice_http2_resets_received_total", code="cancel") == 100
        assert reading.get("sluice_http2_resets_sent_total") == 0
        client.send(client.head(201))
        assert client.read_frames(lambda kind, flags, stream, _: stream == 201 and flags & END_STREAM)


def test_continuation_flood(under_attack):
    with RawH2(under_attack.address) as client:
        client.send(client.head(1, flags=0))
        flood(client, lambda i: frame(CONTINUATION, 0, 1, b"\x00\x01x\x01y"), batch=1, count=100)
        cut_off(under_attack, client, "continuation_flood")


def test_settings_flood(under_attack):
    with RawH2(under_attack.address) as client:
        flood(client, lambda i: frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)))
        cut_off(under_attack, client, "settings_flood")


def test_ping_flood(under_attack):
    with RawH2(under_attack.address) as client:
        flood(client, lambda i: frame(PING, 0, 0, bytes(8)))
        cut_off(under_attack, client, "ping_flood")


def test_many_attackers_at_once(start, upstream):
    """What one of them leaves behind must not be in the way of the next in the same turn."""
    gateway = start(guarded(upstream))
    clients = [RawH2(gateway.address) for _ in range(40)]
    try:
        for client in clients:
            client.read_frames(lambda kind, *_: kind == SETTINGS)
        for client in clients:
            client.send(frame(PING, 0, 0, bytes(8)) * 100)
        for client in clients:
            assert client.goaway() == CALM
        assert gateway.ask().status == 200
        gateway.wait_metric(lambda m: m.get("sluice_http2_ended_total", cause="ping_flood") == 40, "40 causes")
    finally:
        for client in clients:
            client.sock.close()


def test_pings_beside_content_are_no_flood(under_attack, upstream):
    upstream.on("/echo", lambda exchange: exchange.reply(body=exchange.read_body()))
    client = under_attack.h2
    stream = client.ask("POST", "/echo", end=False)
    for i in range(100):
        client.send_body(stream, b"x" * 100, end=i == 99)
        client.ping()
    assert len(client.answer(stream).body) == 10000


def test_empty_data_flood(under_attack):
    with RawH2(under_attack.address) as client:
        client.send(client.head(1, end=False, method="POST"))
        flood(client, lambda i: frame(DATA, 0, 1))
        cut_off(under_attack, client, "empty_frame_flood")


def test_padding_is_no_content(under_attack):
    with RawH2(under_attack.address) as client:
        client.send(client.head(1, end=False, method="POST"))
        flood(client, lambda i: frame(DATA, 8, 1, bytes([9]) + bytes(9)))
        cut_off(under_attack, client, "empty_frame_flood")


def test_unknown_frames_flood(under_attack):
    with RawH2(under_attack.address) as client:
        flood(client, lambda i: frame(0x42, 0, 0, b"x"))
        cut_off(under_attack, client, "empty_frame_flood")


def test_priority_flood(under_attack):
    with RawH2(under_attack.address) as client:
        flood(client, lambda i: frame(PRIORITY, 0, 1 + 2 * i, struct.pack(">IB", 0, 15)))
        cut_off(under_attack, client, "priority_flood")


def test_tiny_windows(under_attack, upstream):
    """Each update of one byte would cost a frame of one byte."""
    upstream.on("/big", lambda exchange: exchange.reply(body=b"x" * MIB))
    with RawH2(under_attack.address, struct.pack(">HI", 4, 0)) as client:
        client.send(client.head(1, path="/big"))
        flood(client, lambda i: frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 1)))
        cut_off(under_attack, client, "tiny_window_flood")


def test_header_list_far_beyond_the_limit(under_attack):
    """By HPACK a few bytes stand for many: the table is filled once and then referred to."""
    with RawH2(under_attack.address) as client:
        block = client.encoder.encode([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"),
                                       ("x-bomb", "b" * 3500)], huffman=False)
        client.send(frame(HEADERS, 0, 1, block) + frame(CONTINUATION, END_HEADERS, 1, b"\xbe" * 16000))
        cut_off(under_attack, client, "header_list_size")


def test_table_beyond_what_was_offered(under_attack):
    """A table size update above our SETTINGS breaks the connection (RFC 7541 6.3)."""
    with RawH2(under_attack.address) as client:
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xe1\xff\x03"))
        cut_off(under_attack, client, "protocol_error", 9)


def test_client_that_does_not_read_its_answers(under_attack):
    """Answers to PING pile up only so far."""
    with RawH2(under_attack.address) as client:
        client.send(client.head(1, end=False, method="POST"))
        for i in range(20000):  # content between them, so that the count of PINGs is no limit
            if not client.send(frame(DATA, 0, 1, b"x") + frame(PING, 0, 0, bytes(8)) * 2):
                break
        under_attack.wait_metric(lambda m: m.get("sluice_http2_ended_total", cause="ping_flood") +
                                 m.get("sluice_http2_ended_total", cause="control_queue") == 1, "a cause")


def test_windows_held_shut_on_many_streams(start, upstream):
    upstream.on("/big", lambda exchange: exchange.reply(body=b"x" * MIB))
    config = guarded(upstream)
    config["listeners"][0]["timeout"] = {"write": "500ms"}
    gateway = start(config)
    before = memory(gateway)
    with RawH2(gateway.address, struct.pack(">HI", 4, 0)) as client:
        for i in range(50):
            client.send(client.head(1 + 2 * i, path="/big"))
        gateway.wait_metric(lambda m: m.get("sluice_http2_ended_total", cause="slow_stream") == 50, "50 slow streams")
        assert memory(gateway) - before < 50 * 16 * 1024 + MIB
        wait_until(lambda: gateway.metric("sluice_worker_exchanges_active") == 0, what="the end of all exchanges")


@pytest.mark.parametrize("wire, code", [
    (frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR), (frame(HEADERS, END_HEADERS, 0, b"\x82"), PROTOCOL_ERROR),
    (frame(CONTINUATION, END_HEADERS, 1, b"\x82"), PROTOCOL_ERROR), (frame(PING, 0, 0, bytes(7)), 6),
    (frame(SETTINGS, 0, 1, b""), PROTOCOL_ERROR), (frame(SETTINGS, ACK, 0, bytes(6)), 6),
    (frame(WINDOW_UPDATE, 0, 0, bytes(4)), PROTOCOL_ERROR), (frame(DATA, 0, 1, b"x"), PROTOCOL_ERROR),
    (frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 2**31)), 3), (frame(HEADERS, END_HEADERS, 1, b"\xff" * 10), 9),
    (frame(HEADERS, END_HEADERS | END_STREAM, 2, b"\x82"), PROTOCOL_ERROR),
    (frame(DATA, 0, 1, bytes(16385)), 6), (frame(5, END_HEADERS, 1, bytes(10)), PROTOCOL_ERROR)],
    ids=["data-0", "headers-0", "continuation", "ping-size", "settings-stream", "settings-ack", "window-0", "data-idle",
         "window-size", "hpack", "even-stream", "frame-size", "push"])
def test_frames_that_break_the_protocol_end_the_connection(under_attack, wire, code):
    with RawH2(under_attack.address) as client:
        client.send(wire)
        cut_off(under_attack, client, "protocol_error", code)


def test_broken_preface_is_no_http_2(under_attack):
    with Client(under_attack.address) as client:
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX" + bytes(100))
        client.sock.settimeout(20)
        try:
            while client.sock.recv(65536):
                pass
        except ConnectionError:
            pass
    under_attack.wait_metric(lambda m: m.get("sluice_http2_ended_total", cause="protocol_error") == 1, "the cause")
