"""Upgrades (RFC 9110 7.8): a 101 that was asked for makes a tunnel, anything else is plain HTTP."""

import hashlib
import os
import socket
import threading

import pytest

from gateway import expect_problem, plain
from raw import DEADLINE_S, SANITIZED, Closed, request_bytes, wait_until

MIB = 1024 * 1024
ASK = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
SWITCH = (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
          b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


def echo(exchange):
    """Grant what is asked, send back what comes, and end after the client."""
    exchange.send(SWITCH)
    exchange.keep = False
    sock = exchange.conn.sock
    data = taken(exchange)
    try:
        while True:
            if data:
                sock.sendall(data)
            data = sock.recv(65536)
            if not data:
                return
    except OSError:
        return  # cut, as some tests want it


def taken(exchange):
    """What came behind the head in the same read."""
    data, exchange.conn.buffer = bytes(exchange.conn.buffer), type(exchange.conn.buffer)()
    return data


def receive(sock, count):
    parts = b""
    while len(parts) < count:
        data = sock.recv(count - len(parts))
        assert data, f"ended after {len(parts)} of {count} bytes: {parts[-100:]!r}"
        parts += data
    return parts


def opened(client, target="/", more=b""):
    """Ask for the tunnel and read the 101."""
    client.send(request_bytes(target=target, fields=ASK) + more)
    answer = client.read_head()
    assert answer.status == 101, answer
    return answer


def take(client, count):
    got, client.buffer = client.buffer[:count], client.buffer[count:]
    return got + receive(client.sock, count - len(got))


class Script:
    """An upstream whose socket the test itself drives."""

    def __init__(self, upstream, path="/", first=SWITCH):
        self.ready, self.over = threading.Event(), threading.Event()
        self.first = first
        upstream.on(path, self.run)

    def run(self, exchange):
        exchange.keep = False
        exchange.send(self.first)
        self.exchange, self.sock = exchange, exchange.conn.sock
        self.sock.settimeout(DEADLINE_S)
        self.early = taken(exchange)
        self.ready.set()
        self.over.wait(60)

    def wait(self):
        assert self.ready.wait(DEADLINE_S)
        return self.sock


@pytest.fixture(params=["alone", "with its exchange"])
def gateway(request, start, upstream):
    """A tunnel lets go of its exchange, or a plugin that is told of the end keeps it there: nobody sees a difference."""
    config = plain(upstream)
    if request.param != "alone":
        config["plugins"] = [{"rate_limit": {"limits": [{"name": "at-once", "algorithm": "concurrency", "concurrent": 100}]}}]
    made = start(config)
    made.keeps_exchanges = request.param != "alone"
    return made


@pytest.fixture
def script(upstream):
    made = Script(upstream)
    yield made
    made.over.set()


def test_a_tunnel_echoes_and_ends_in_order(gateway, upstream):
    upstream.on("/", echo)
    with gateway.client() as client:
        answer = opened(client)
        assert answer.get("upgrade") == "websocket"
        assert answer.all("connection") == ["Upgrade"]
        assert answer.get("sec-websocket-accept")
        assert not answer.all("transfer-encoding") and not answer.all("content-length")
        for size in (1, 5, 70000):
            data = os.urandom(size)
            client.send(data)
            assert take(client, size) == data
        assert gateway.metric("sluice_worker_tunnels") == 1
        assert gateway.metric("sluice_tunnels", route="all") == 1
        assert gateway.metric("sluice_upstream_tunnels") == 1
        assert gateway.metric("sluice_request_body_bytes_total", route="all") == 70006, "counted while it lives"
        assert gateway.metric("sluice_response_body_bytes_total", route="all") == 70006
        assert gateway.metric("sluice_worker_exchanges_active") == int(gateway.keeps_exchanges)
        client.half_close()
        client.expect_close()
    line = gateway.expect_end("completed")
    assert (line["status"], line["bytes_in"], line["bytes_out"]) == (101, 70006, 70006)
    gateway.wait_metric(lambda m: m.get("sluice_worker_tunnels") == 0)
    assert gateway.metric("sluice_tunnels") == 0 and gateway.metric("sluice_upstream_tunnels") == 0
    sent = upstream.last
    assert sent.all("upgrade") == ["websocket"] and sent.all("connection") == ["Upgrade"]
    assert sent.get("sec-websocket-key") == ASK["Sec-WebSocket-Key"]
    upstream.wait_idle()


def test_neither_connection_is_used_again(gateway, upstream):
    upstream.on("/ws", echo)
    with gateway.client() as client:
        opened(client, "/ws")
        client.half_close()
        client.expect_close()
    assert gateway.ask().status == 200
    assert upstream.connections == 2


def test_bytes_right_behind_the_request_reach_the_upstream(gateway, upstream):
    upstream.on("/", echo)
    for _ in range(20):
        with gateway.client() as client:
            opened(client, more=b"early" * 1000)
            client.send(b"late")
            assert take(client, 5004) == b"early" * 1000 + b"late"


def test_bytes_right_behind_the_101_reach_the_client(upstream, start):
    Script(upstream, first=SWITCH + b"hello" * 1000).over.set()
    gateway = start(plain(upstream))
    for _ in range(20):
        with gateway.client() as client:
            opened(client)
            assert take(client, 5000) == b"hello" * 1000


def test_bytes_behind_a_refused_upgrade_are_the_next_request(gateway, upstream):
    with gateway.client() as client:
        client.send(request_bytes(fields=ASK) + request_bytes(target="/next"))
        assert client.read_response().status == 200
        assert client.read_response().status == 200
    assert upstream.paths() == ["/", "/next"]


def test_the_clients_half_close_leaves_the_other_way_open(gateway, script):
    with gateway.client() as client:
        opened(client)
        up = script.wait()
        client.send(b"last words")
        client.half_close()
        assert receive(up, 10) == b"last words"
        assert up.recv(1) == b""
        for word in (b"still", b"there"):
            up.sendall(word)
            assert take(client, 5) == word
        assert gateway.access_log() == []
        up.shutdown(socket.SHUT_WR)
        client.expect_close()
    line = gateway.expect_end("completed")
    assert (line["bytes_in"], line["bytes_out"]) == (10, 10)


def test_the_upstreams_half_close_leaves_the_other_way_open(gateway, script):
    with gateway.client() as client:
        opened(client)
        up = script.wait()
        up.sendall(b"last words")
        up.shutdown(socket.SHUT_WR)
        assert take(client, 10) == b"last words"
        client.expect_close()
        for word in (b"still", b"there"):
            client.send(word)
            assert receive(up, 5) == word
        assert gateway.access_log() == []
        client.half_close()
        assert up.recv(1) == b""
    gateway.expect_end("completed")


def expect_reset(sock):
    with pytest.raises(ConnectionResetError):
        while sock.recv(65536):
            pass
        raise AssertionError("an end in order")


@pytest.mark.parametrize("half_closed", [False, True])
def test_a_reset_of_the_client_resets_the_upstream(gateway, script, half_closed):
    client = gateway.client()
    opened(client)
    up = script.wait()
    if half_closed:
        client.half_close()
        assert up.recv(1) == b""
        client.reset()
        gateway.expect_end("client_reset")
        # The end of this side was read before, so the reset shows by what is sent.
        with pytest.raises(OSError):
            while True:
                up.sendall(b"x")
    else:
        client.reset()
        expect_reset(up)
        gateway.expect_end("client_reset")


def test_a_reset_of_the_upstream_resets_the_client(gateway, script):
    with gateway.client() as client:
        opened(client)
        script.wait()
        script.exchange.conn.reset()
        with pytest.raises(Closed) as closed:
            client.read_line("after the reset")
        assert closed.value.reset
    gateway.expect_end("upstream_reset")


def test_a_reset_of_the_upstream_after_its_end_resets_the_client(gateway, script):
    with gateway.client() as client:
        opened(client)
        script.wait().shutdown(socket.SHUT_WR)
        client.expect_close()
        client.send(b"unread")
        script.exchange.conn.reset()
        gateway.expect_end("upstream_reset")


def digest_of(sock, total, pause=None):
    got, left = hashlib.sha256(), total
    while left:
        data = sock.recv(min(left, 65536))
        assert data, f"{left} bytes missing"
        got.update(data)
        left -= len(data)
        if pause and left % (4 * MIB) < 4096:
            threading.Event().wait(pause)
    return got.hexdigest()


def test_much_passes_both_ways_at_once_with_flat_memory(gateway, script):
    total, piece = 20 * MIB, os.urandom(MIB)
    want = hashlib.sha256(piece * 20).hexdigest()
    with gateway.client(receive_buffer=16384) as client:
        opened(client)
        up = script.wait()
        client.sock.settimeout(60)
        up.settimeout(60)
        before, peak, digests = gateway.pss_kib(), [0], {}
        gate = threading.Event()

        def send(sock):
            for _ in range(total // MIB):
                sock.sendall(piece)
            sock.shutdown(socket.SHUT_WR)

        def read(name, sock, pause):
            if pause:
                gate.wait(10)  # everything before this reader is full by then
            digests[name] = digest_of(sock, total, pause)
        threads = [threading.Thread(target=send, args=(client.sock,)), threading.Thread(target=send, args=(up,)),
                   threading.Thread(target=read, args=("up", up, None)),
                   threading.Thread(target=read, args=("down", client.sock, 0.01))]
        for thread in threads:
            thread.start()
        wait_until(lambda: "up" in digests, deadline_s=60)
        peak[0] = gateway.pss_kib()
        gate.set()
        while any(thread.is_alive() for thread in threads):
            peak[0] = max(peak[0], gateway.pss_kib())
            threads[-1].join(0.02)
        assert digests == {"up": want, "down": want}
        assert up.recv(1) == b"" and client.sock.recv(1) == b""
    line = gateway.expect_end("completed")
    assert (line["bytes_in"], line["bytes_out"]) == (total, total)
    if not SANITIZED:
        # PSS moves by some MiB with what else maps the same files; 20 MiB each way would show.
        assert peak[0] - before < 10 * 1024, "memory grew by the transfer"


def timed(upstream, **times):
    config = plain(upstream)
    config["upstreams"]["app"]["timeout"] = times
    return config


def test_a_quiet_tunnel_is_cut_by_its_timeout_and_no_other(start, upstream):
    upstream.on("/", echo)
    gateway = start({**timed(upstream, tunnel="900ms", idle="50ms", response="50ms", total="60ms"),
                     "listeners": [{"name": "main", "bind": "127.0.0.1:0",
                                    "timeout": {"body": "50ms", "write": "50ms", "idle": "50ms"}}]})
    with gateway.client() as client:
        opened(client)
        for _ in range(5):
            threading.Event().wait(0.2)
            client.send(b"x")
            assert take(client, 1) == b"x"
        with pytest.raises(Closed) as closed:
            client.read_line("of a cut tunnel")
        assert closed.value.reset
    line = gateway.expect_end("tunnel_timeout")
    assert line["duration_ms"] >= 1800
    upstream.wait_idle()


def test_a_tunnel_with_an_age_limit_is_cut_though_it_is_busy(start, upstream):
    upstream.on("/", echo)
    gateway = start(timed(upstream, tunnel_max="500ms"))
    with gateway.client() as client:
        opened(client)
        with pytest.raises((Closed, OSError)):
            while True:
                client.send(b"x")
                client.buffer = b""
                client._more("of a busy tunnel")
                threading.Event().wait(0.02)
    assert gateway.expect_end("tunnel_timeout")["duration_ms"] >= 450


def test_the_routes_times_go_over_the_upstreams(start, upstream):
    upstream.on("/", echo)
    config = plain(upstream)
    config["routes"][0]["timeout"] = {"tunnel": "300ms"}
    gateway = start(config)
    with gateway.client() as client:
        opened(client)
        gateway.expect_end("tunnel_timeout")


@pytest.mark.parametrize("fields", [
    {"Connection": "Upgrade", "Upgrade": "chat"}, {"Upgrade": "websocket"}, {"Connection": "Upgrade"},
    {"Connection": "keep-alive", "Upgrade": "websocket"}])
def test_what_is_not_allowed_or_not_asked_goes_on_as_a_plain_request(gateway, upstream, fields):
    with gateway.client() as client:
        assert client.ask(fields=fields).status == 200
        assert client.ask().status == 200
    assert upstream.requests[0].all("upgrade") == []
    assert "upgrade" not in (upstream.requests[0].get("connection") or "").lower()


def test_a_request_with_content_or_of_http_1_0_is_not_upgraded(gateway, upstream):
    with gateway.client() as client:
        assert client.ask("POST", fields=ASK, body=b"content").status == 200
    with gateway.client() as client:
        client.send(request_bytes(fields=ASK, version="HTTP/1.0"))
        assert b" 200 " in client.read_until_close()
    assert [e.all("upgrade") for e in upstream.requests] == [[], []]


@pytest.mark.parametrize("method", ["POST", "DELETE", "HEAD"])
def test_websocket_is_asked_for_by_get_alone(gateway, upstream, method):
    with gateway.client() as client:
        assert client.ask(method, fields=ASK).status == 200
        assert client.ask().status == 200
    assert [e.all("upgrade") for e in upstream.requests] == [[], []]


def test_http_2_is_not_begun_by_an_upgrade(gateway, upstream):
    """RFC 9113 3.1: what RFC 7540 called h2c is a plain request, and its settings are not passed on."""
    fields = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAoAAAAAIAAAAA"}
    with gateway.client() as client:
        assert client.ask(fields=fields).status == 200
        assert client.ask().status == 200
    assert upstream.requests[0].all("upgrade") == upstream.requests[0].all("http2-settings") == []


def test_the_case_of_a_token_does_not_matter(gateway, upstream):
    upstream.on("/", echo)
    with gateway.client() as client:
        client.send(request_bytes(fields={**ASK, "Connection": "keep-alive , UPGRADE", "Upgrade": "h2c,WebSocket"}))
        assert client.read_head().status == 101
    assert upstream.last.all("upgrade") == ["WebSocket"]


def test_an_empty_list_forbids_every_upgrade(start, upstream):
    config = plain(upstream)
    config["routes"][0]["upgrade"] = []
    gateway = start(config)
    assert gateway.ask(fields=ASK).status == 200
    assert upstream.last.all("upgrade") == []


def test_the_first_allowed_protocol_is_asked_for(start, upstream):
    config = plain(upstream)
    config["routes"][0]["upgrade"] = ["chat/2", "websocket"]
    upstream.on("/", lambda ex: (ex.send(SWITCH.replace(b"websocket", b"Chat/2")), ex.wait_gone()))
    gateway = start(config)
    with gateway.client() as client:
        client.send(request_bytes(fields=[("Connection", "close, upgrade"), ("Upgrade", "h2c, chat/2"),
                                          ("Upgrade", "websocket")]))
        answer = client.read_head()
        assert answer.status == 101 and answer.all("upgrade") == ["chat/2"]
    assert upstream.last.all("upgrade") == ["chat/2"]


def test_http_inside_a_tunnel_cannot_be_allowed(sluice, tmp_path, upstream):
    path = tmp_path / "bad.yaml"
    path.write_text("listeners: [ { name: a, bind: '127.0.0.1:0' } ]\n"
                    "upstreams: { app: { endpoints: [ '127.0.0.1:1' ] } }\n"
                    "routes: [ { name: all, upstream: app, upgrade: [ h2c, 'a b' ] } ]\n")
    told = sluice("check", str(path))
    assert told.returncode != 0
    assert "'h2c' cannot be allowed" in told.stdout + told.stderr
    assert "'a b' is no protocol" in told.stdout + told.stderr


@pytest.mark.parametrize("answer", [
    SWITCH.replace(b"Upgrade: websocket", b"Upgrade: chat"), SWITCH.replace(b"Upgrade: websocket\r\n", b""),
    SWITCH.replace(b"Connection: upgrade\r\n", b""), SWITCH.replace(b"HTTP/1.1", b"HTTP/1.0")])
def test_a_101_that_does_not_match_is_a_protocol_error(gateway, upstream, answer):
    upstream.on("/", lambda ex: (ex.send(answer), ex.wait_gone()))
    with gateway.client() as client:
        expect_problem(client.ask(fields=ASK), 502, "upstream_protocol")


def test_a_101_that_was_not_asked_for_is_a_protocol_error(gateway, upstream):
    upstream.on("/", lambda ex: (ex.send(SWITCH), ex.wait_gone()))
    with gateway.client() as client:
        expect_problem(client.ask(), 502, "upstream_protocol")
        assert client.ask(target="/next").status == 200


@pytest.mark.parametrize("status", [200, 403, 426])
def test_another_answer_is_an_ordinary_one(gateway, upstream, status):
    upstream.on("/", lambda ex: ex.reply(status, b"body"))
    with gateway.client() as client:
        for _ in range(2):
            answer = client.ask(fields=ASK)
            assert (answer.status, answer.body) == (status, b"body")
            assert answer.all("upgrade") == []
    assert upstream.connections == 1


def test_a_stale_connection_does_not_lose_an_upgrade(gateway, upstream):
    upstream.on("/ws", echo)
    gateway.ask()
    upstream.close_connections()
    with gateway.client() as client:
        opened(client, "/ws")
        client.send(b"x")
        assert take(client, 1) == b"x"


def test_many_tunnels_live_through_reloads(start, upstream, upstreams):
    upstream.on("/ws", echo)
    config = plain(upstream)
    gateway = start(config)
    clients = [gateway.client() for _ in range(100 if SANITIZED else 500)]
    try:
        for client in clients:
            opened(client, "/ws")
        other = upstreams()
        for n in range(20):
            gateway.must_reload(plain(other if n % 2 else upstream))
        gateway.must_reload(plain(other))
        for n, client in enumerate(clients):
            data = b"%d" % n * 10
            client.send(data)
            assert take(client, len(data)) == data
        assert gateway.metric("sluice_worker_tunnels") == len(clients)
        assert gateway.access_log() == []
    finally:
        for client in clients:
            client.close()
    gateway.wait_metric(lambda m: m.get("sluice_worker_tunnels") == 0)


def test_a_drain_leaves_tunnels_their_time_and_then_cuts_them(start, upstream):
    upstream.on("/", echo)
    gateway = start(plain(upstream, drain={"pause": "0s", "timeout": "700ms", "idle": "20ms"}))
    with gateway.client() as client:
        opened(client)
        gateway.drain()
        wait_until(lambda: gateway.log("draining"))
        client.send(b"still here")
        assert take(client, 10) == b"still here"
        with pytest.raises(Closed) as closed:
            client.read_line("after the drain")
        assert closed.value.reset
    assert gateway.wait() == 0
    assert [line["reason"] for line in gateway.access_log()] == ["draining"]


def test_a_tunnel_that_ends_while_draining_lets_the_gateway_end(start, upstream):
    upstream.on("/", echo)
    gateway = start(plain(upstream, drain={"pause": "0s", "timeout": "30s", "idle": "20ms"}))
    with gateway.client() as client:
        opened(client)
        gateway.drain()
        client.half_close()
        client.expect_close()
    assert gateway.wait(10) == 0


def test_idle_tunnels_own_no_block(start, upstream):
    upstream.on("/", echo)
    gateway = start(plain(upstream))
    clients = [gateway.client() for _ in range(50)]
    for client in clients:
        opened(client)
        client.send(b"x" * 1000)
        assert take(client, 1000) == b"x" * 1000
    before = gateway.metric("sluice_worker_block_bytes")
    more = [gateway.client() for _ in range(100)]
    for client in more:
        opened(client)
        client.send(b"x" * 1000)
        assert take(client, 1000) == b"x" * 1000
    assert gateway.metric("sluice_worker_block_bytes") <= before
    for client in clients + more:
        client.close()


def test_server_sent_events_stream_at_once(gateway, upstream):
    """Every event is read before the next is sent: nothing waits for more."""
    read = threading.Semaphore(0)

    def events(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for n in range(5):
            exchange.send(b"9\r\ndata: %d\n\n\r\n" % n)
            assert read.acquire(timeout=DEADLINE_S)
        exchange.send(b"0\r\n\r\n")
    upstream.on("/events", events)
    seen = []

    def take_event(piece):
        seen.append(piece)
        read.release()
    with gateway.client() as client:
        client.send(request_bytes(target="/events", fields={"Accept": "text/event-stream"}))
        client.read_response(sink=take_event)
    assert b"".join(seen) == b"".join(b"data: %d\n\n" % n for n in range(5))


def test_a_real_websocket_client_and_server_talk_through_the_gateway(start):
    websockets = pytest.importorskip("websockets")
    import asyncio

    async def serve(websocket, *_):
        async for message in websocket:
            await websocket.send(message)

    async def talk():
        async with websockets.serve(serve, "127.0.0.1", 0, max_size=None) as server:
            port = server.sockets[0].getsockname()[1]
            gateway = await asyncio.to_thread(
                start, {"upstreams": {"app": {"endpoints": [f"127.0.0.1:{port}"]}},
                        "routes": [{"name": "all", "upstream": "app"}]})
            async with websockets.connect(f"ws://{gateway.address}/chat", max_size=None) as client:
                for message in ("hello", "x" * 200000, b"\x00\xff" * 500000):
                    await client.send(message)
                    assert await asyncio.wait_for(client.recv(), DEADLINE_S) == message
                await asyncio.wait_for(await client.ping(), DEADLINE_S)
            assert client.close_code == 1000
            return gateway
    gateway = asyncio.run(talk())
    assert gateway.expect_end("completed")["status"] == 101
