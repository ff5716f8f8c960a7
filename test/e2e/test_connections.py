"""The connection table of the admin listener: what it tells of each kind of client, its filters, and the end of one."""

import asyncio
import json
import re
import socket
import subprocess
import threading

import grpc
import pytest
import websockets

import raw
from gateway import plain
from h2_client import H2Client
from pki import Pki, TlsClient
from raw import DEADLINE_S, Client, request_bytes, wait_until
from test_grpc_real import Service

SECRET = "s3cr3t-of-the-client"


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    made = Pki(str(tmp_path_factory.mktemp("pki")))
    made.make("www", "www.test", "127.0.0.1")
    made.make("someone", "someone")
    return made


@pytest.fixture
def gate():
    """Answers to /wait come once it is set; at the end it is."""
    event = threading.Event()
    yield event
    event.set()


def waits(upstream, gate):
    upstream.on("/wait", lambda ex: (ex.read_body(), gate.wait(DEADLINE_S * 4), ex.reply(200, b"late")))
    return upstream


def secure(pki, upstream, **tls):
    pair = {"cert": pki.path("www.pem"), "key": pki.path("www.key")}
    return plain(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "tls": {"certificates": [pair], **tls}}])


def table(gateway, query=""):
    return gateway.admin.json("/connections" + (f"?{query}" if query else ""))


def rows(gateway, query=""):
    return table(gateway, query)["connections"]


def wait_row(gateway, query="", check=lambda row: True, **where):
    """The one row for which this holds."""
    found = []

    def holds():
        found[:] = [row for row in rows(gateway, query) if all(row.get(k) == v for k, v in where.items()) and check(row)]
        return len(found) == 1
    wait_until(holds, what=f"a row with {where}: {rows(gateway, query)}")
    return found[0]


def curl(*args):
    return subprocess.Popen(["curl", "-sS", "--max-time", "60", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def close(gateway, number, now=False):
    answer = gateway.admin.ask("POST", f"/connections/{number}/close" + ("?now=true" if now else ""))
    return answer.status, json.loads(answer.body)


# --- what is told of each kind of client

def test_an_idle_connection_of_http_1(gateway):
    with gateway.client() as client:
        assert client.ask().status == client.ask().status == 200
        row = wait_row(gateway, state="idle")
        assert row["client"] == f"127.0.0.1:{client.port}"
        assert (row["protocol"], row["requests"], row["listener"], row["worker"]) == ("HTTP/1.1", 2, "main", 0)
        assert row["open_streams"] == 0 and row["streams"] == []
        assert row["bytes_in"] > 0 and row["bytes_out"] > row["bytes_in"]
        assert "tls" not in row and "proxy_protocol" not in row
        line = gateway.wait_access(2)[0]
        assert line["connection"] == row["id"]
    wait_until(lambda: table(gateway)["total"] == 0, what="an empty table")


def test_curl_over_tls_by_http_2(start, upstream, pki, gate):
    gateway = start(secure(pki, waits(upstream, gate)))
    host, port = gateway.address.rsplit(":", 1)
    client = curl("--http2", "--cacert", pki.ca, "--resolve", f"www.test:{port}:{host}", "-H",
                  f"authorization: {SECRET}", f"https://www.test:{port}/wait?token={SECRET}")
    row = wait_row(gateway, state="active", check=lambda row: row["streams"][0]["state"] == "forwarding")
    assert row["protocol"] == "HTTP/2" and row["requests"] == row["open_streams"] == 1
    tls = row["tls"]
    assert (tls["version"], tls["server_name"], tls["alpn"]) == ("TLSv1.3", "www.test", "h2")
    assert tls["cipher"].startswith("TLS_") and tls["resumed"] is tls["early_data"] is False
    stream = row["streams"][0]
    assert (stream["id"], stream["method"], stream["route"], stream["upstream"]) == (1, "GET", "all", "app")
    assert stream["endpoint"] == upstream.address and stream["tries"] == 1
    assert SECRET not in gateway.admin.ask("GET", "/connections").body.decode()
    gate.set()
    out, err = client.communicate(timeout=60)
    assert (out, client.returncode) == (b"late", 0), err
    assert gateway.wait_access()["request_id"] == stream["request_id"]


def test_curl_by_http_1_over_tls_with_a_client_certificate(start, upstream, pki, gate):
    gateway = start(secure(pki, waits(upstream, gate), client={"ca": pki.ca, "mode": "require"}))
    host, port = gateway.address.rsplit(":", 1)
    client = curl("--http1.1", "--tls-max", "1.2", "--cacert", pki.ca, "--resolve", f"www.test:{port}:{host}", "--cert",
                  pki.path("someone.pem"), "--key", pki.path("someone.key"), "-d", "x" * 1000, f"https://www.test:{port}/wait")
    row = wait_row(gateway, state="active", check=lambda row: row["streams"][0]["bytes_in"] == 1000)
    assert row["protocol"] == "HTTP/1.1" and row["tls"]["version"] == "TLSv1.2" and row["tls"]["alpn"] == "http/1.1"
    assert row["tls"]["client_subject"] == "CN=someone"
    assert row["streams"][0]["method"] == "POST"
    assert "id" not in row["streams"][0]
    gate.set()
    assert client.communicate(timeout=60)[0] == b"late"


def test_a_resumed_session(start, upstream, pki):
    gateway = start(secure(pki, upstream))
    context = pki.client()
    with TlsClient(gateway.address, context) as client:
        client.ask()
        session = client.sock.session
    with TlsClient(gateway.address, context, session=session) as client:
        client.ask()
        assert client.sock.session_reused
        row = wait_row(gateway, state="idle", client=f"127.0.0.1:{client.port}")
        assert row["tls"]["resumed"] is True


def test_one_that_is_still_shaking_hands(start, upstream, pki):
    gateway = start(secure(pki, upstream))
    with Client(gateway.address) as client:
        row = wait_row(gateway, state="handshake")
        assert row["client"] == f"127.0.0.1:{client.port}" and row["protocol"] == "" and "tls" not in row
        assert wait_row(gateway, "protocol=none")["id"] == row["id"]


def test_streams_and_the_last_reset_of_http_2(start, upstream, gate):
    gateway = start(plain(waits(upstream, gate)))
    with H2Client(gateway.address) as client:
        first, second = client.ask(path="/wait"), client.ask(path="/wait")
        row = wait_row(gateway, open_streams=2)
        assert [stream["id"] for stream in row["streams"]] == [first, second] == [1, 3] and "last_reset" not in row
        client.h2.reset_stream(second, 8)
        client.flush()
        row = wait_row(gateway, open_streams=1)
        assert row["last_reset"] == {"by": "client", "code": "CANCEL", "reason": "client_reset"}
        assert [stream["id"] for stream in row["streams"]] == [first]
        gate.set()
        assert client.answer(first).body == b"late"
        row = wait_row(gateway, state="idle")
        assert row["open_streams"] == 0 and row["requests"] == 2 and row["last_reset"]["code"] == "CANCEL"


def test_a_websocket_is_a_tunnel(start):
    async def serve(server, _):
        async for message in server:
            await server.send(message)

    async def story():
        async with websockets.serve(serve, "127.0.0.1", 0) as serving:
            port = serving.sockets[0].getsockname()[1]
            loop = asyncio.get_running_loop()
            config = {"upstreams": {"app": {"endpoints": [f"127.0.0.1:{port}"]}}, "routes": [{"name": "all", "upstream": "app"}]}
            gateway = await loop.run_in_executor(None, lambda: start(config))
            async with websockets.connect(f"ws://{gateway.address}/chat", open_timeout=DEADLINE_S, compression=None) as client:
                await client.send("x" * 5000)
                assert len(await client.recv()) == 5000
                await loop.run_in_executor(None, lambda: look(gateway, f"127.0.0.1:{port}"))
                with pytest.raises(websockets.ConnectionClosed):
                    await asyncio.wait_for(client.recv(), DEADLINE_S * 2)

    def look(gateway, endpoint):
        row = wait_row(gateway, "protocol=tunnel", state="tunnel")
        assert (row["protocol"], row["open_streams"], row["requests"]) == ("tunnel", 1, 1)
        stream = row["streams"][0]
        assert (stream["route"], stream["upstream"], stream["endpoint"]) == ("all", "app", endpoint)
        assert stream["bytes_in"] > 5000 and stream["bytes_out"] > 5000
        status, told = close(gateway, row["id"])
        assert status == 409 and "now=true" in told["detail"]
        assert close(gateway, row["id"], now=True) == (200, {"ok": True, "closed": True})
        gateway.expect_end("operator_closed", connection=row["id"])
    asyncio.run(story())


def test_a_call_of_grpc(start):
    service = Service()
    config = plain(service)
    config["upstreams"]["app"]["protocol"] = "h2c"
    gateway = start(config)
    try:
        with grpc.insecure_channel(gateway.address) as channel:
            call = channel.unary_stream("/demo.Echo/wait")(b"", timeout=60)
            assert next(call) == b"begun"
            row = wait_row(gateway, open_streams=1)
            stream = row["streams"][0]
            assert row["protocol"] == "HTTP/2" and (stream["method"], stream["status"]) == ("POST", 200)
            assert stream["state"] == "answering" and stream["endpoint"] == service.address
            call.cancel()
    finally:
        service.stop()


def test_who_stands_behind_a_balancer(start, upstream):
    gateway = start(plain(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0",
                                               "proxy_protocol": {"from": ["127.0.0.0/8"]}}]))
    with Client(gateway.address) as client:
        client.send(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n")
        client.ask()
        row = wait_row(gateway, state="idle")
        assert row["client"] == "192.0.2.7:4711"
        assert row["proxy_protocol"] == {"version": 1, "peer": f"127.0.0.1:{client.port}"}
        assert len(rows(gateway, "client=192.0.2.0/24")) == 1
        assert not rows(gateway, "client=127.0.0.1")


# --- many

def test_a_table_is_cut_and_says_so_and_workers_go_on_meanwhile(start, upstream):
    gateway = start(plain(upstream, workers=2))
    clients = [gateway.client() for _ in range(700)]
    try:
        for client in clients:
            assert client.ask().status == 200
        told = table(gateway)
        assert (told["total"], told["matched"], told["shown"], len(told["connections"])) == (700, 700, 100, 100)
        assert told["silent_workers"] == []
        told = table(gateway, "limit=1000")
        assert told["shown"] == 700
        ids = [row["id"] for row in told["connections"]]
        assert len(set(ids)) == 700
        of_workers = [table(gateway, f"limit=1000&worker={worker}") for worker in range(2)]
        assert sum(one["total"] for one in of_workers) == 700
        for worker, one in enumerate(of_workers):  # oldest first
            assert {row["worker"] for row in one["connections"]} <= {worker}
            ids = [row["id"] for row in one["connections"]]
            assert ids == sorted(ids)
        with pytest.raises(AssertionError):
            table(gateway, "worker=2")
    finally:
        for client in clients:
            client.close()


def test_filters_and_orders(start, upstream):
    gateway = start(plain(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0"},
                                               {"name": "other", "bind": "127.0.0.1:0"}]))
    with gateway.client() as one, gateway.client("other") as two, H2Client(gateway.address) as three:
        for _ in range(3):
            assert one.ask().status == 200
        assert two.ask().status == 200
        for _ in range(5):
            assert three.get().status == 200
        wait_until(lambda: len([r for r in rows(gateway) if r["state"] == "idle"]) == 3, what="three that are idle")
        assert [row["requests"] for row in rows(gateway, "sort=requests")] == [5, 3, 1]
        assert [row["requests"] for row in rows(gateway, "sort=requests&limit=1")] == [5]
        assert [row["listener"] for row in rows(gateway, "listener=other")] == ["other"]
        assert [row["protocol"] for row in rows(gateway, "protocol=h2")] == ["HTTP/2"]
        assert [row["protocol"] for row in rows(gateway, "protocol=HTTP/1.1&listener=main")] == ["HTTP/1.1"]
        assert len(rows(gateway, "client=127.0.0.1")) == 3 and not rows(gateway, "client=::1")
        assert not rows(gateway, "idle_over=1h")
        wait_until(lambda: len(rows(gateway, "idle_over=50ms&sort=idle")) == 3, what="three that are idle for a while")
        idle = [row["idle_ms"] for row in rows(gateway, "sort=idle")]
        assert len(idle) == 3
        number = rows(gateway, "listener=other")[0]["id"]
        assert [row["id"] for row in rows(gateway, f"id={number}")] == [number]
        assert table(gateway, "listener=none")["total"] == 3


@pytest.mark.parametrize("query,told", [
    ("limit=0", "limit="), ("limit=1001", "limit="), ("limit=x", "limit="), ("sort=size", "sort="),
    ("protocol=spdy", "protocol="), ("client=nobody", "client="), ("worker=9", "worker="), ("idle_over=soon", "idle_over="),
    ("idle_over=5x", "idle_over="), ("id=-1", "id=")])
def test_a_wrong_question_is_told(gateway, query, told):
    answer = gateway.admin.ask("GET", f"/connections?{query}")
    assert answer.status == 422 and told in json.loads(answer.body)["detail"]


# --- the end of one

def test_the_end_of_an_idle_one(gateway):
    with gateway.client() as client, gateway.client() as other:
        client.ask()
        other.ask()
        number = wait_row(gateway, client=f"127.0.0.1:{client.port}")["id"]
        assert close(gateway, number) == (200, {"ok": True, "closed": True})
        client.expect_close()
        assert other.ask().status == 200
        assert close(gateway, number)[0] == 404


@pytest.mark.parametrize("now", [False, True])
def test_the_end_of_one_that_is_being_answered(start, upstream, gate, now):
    gateway = start(plain(waits(upstream, gate)))
    with gateway.client() as client:
        client.send(request_bytes(target="/wait"))
        number = wait_row(gateway, state="active")["id"]
        status, told = close(gateway, number, now)
        assert (status, told) == ((200, {"ok": True, "closed": True}) if now else (202, {"ok": True, "closed": False}))
        if now:
            gateway.expect_end("operator_closed", connection=number)
        gate.set()
        if not now:
            answer = client.read_response()
            assert answer.body == b"late" and answer.get("connection") == "close"
            gateway.expect_end("completed", connection=number)
        client.expect_close()


def test_the_end_of_http_2_is_a_goaway_and_loses_nothing(start, upstream, gate):
    gateway = start(plain(waits(upstream, gate)))
    client = subprocess.Popen(["nghttp", "-v", "-t", "60", f"http://{gateway.address}/wait"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    number = wait_row(gateway, state="active")["id"]
    assert close(gateway, number) == (202, {"ok": True, "closed": False})
    assert wait_row(gateway, id=number)["state"] == "draining"
    gate.set()
    told = client.communicate(timeout=60)[0].decode()
    assert "late" in told and "recv GOAWAY" in told and "NO_ERROR" in told, told
    gateway.expect_end("completed", connection=number)
    wait_until(lambda: table(gateway)["total"] == 0, what="its end")


def test_the_end_of_http_2_now(start, upstream, gate):
    gateway = start(plain(waits(upstream, gate)))
    with H2Client(gateway.address) as client:
        client.ask(path="/wait")
        number = wait_row(gateway, state="active")["id"]
        assert close(gateway, number, now=True)[0] == 200
        wait_until(lambda: client.closed or not client.receive(), what="the end of the connection")
    gateway.expect_end("operator_closed", connection=number)


def test_no_browser_ends_a_connection(gateway):
    with gateway.client() as client:
        client.ask()
        number = wait_row(gateway)["id"]
        answer = gateway.admin.ask("POST", f"/connections/{number}/close", [("Origin", "http://evil.example")])
        assert answer.status == 403
        assert gateway.admin.ask("GET", f"/connections/{number}/close").status == 405
        assert gateway.admin.ask("POST", "/connections/x/close").status == 404
        assert gateway.admin.ask("POST", "/connections/0/close").status == 404
        assert client.ask().status == 200


def test_connections_that_come_and_go_while_they_are_told(start, upstream):
    """The walk goes on over those that end and begin under it."""
    gateway = start(plain(upstream, workers=2))
    over = threading.Event()
    failed = []

    def come_and_go():
        try:
            while not over.is_set():
                with raw.Client(gateway.address) as client:
                    if client.ask().status != 200:
                        failed.append("a status")
                    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        except (AssertionError, OSError) as failure:
            failed.append(failure)
    held = [gateway.client() for _ in range(600)]
    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    try:
        wait_until(lambda: table(gateway)["total"] == 600, what="all to be accepted")
        for thread in threads:
            thread.start()
        for _ in range(25):
            told = table(gateway, "limit=1000")
            assert told["total"] >= 600
            assert len({row["id"] for row in told["connections"]}) == told["shown"]
    finally:
        over.set()
        for thread in threads:
            thread.join()
        for client in held:
            client.close()
    assert not failed


# --- connections to endpoints

def up(gateway, query=""):
    return rows(gateway, "side=upstream" + (f"&{query}" if query else ""))


def wait_up(gateway, count, query="", **where):
    """The rows of connections to endpoints for which this holds, when there are so many."""
    found = []

    def holds():
        found[:] = [row for row in up(gateway, query) if all(row.get(k) == v for k, v in where.items())]
        return len(found) == count
    wait_until(holds, what=f"{count} rows with {where}: {up(gateway, query)}")
    return found[0] if count == 1 else found


def test_a_connection_to_an_endpoint_is_active_then_idle(start, upstreams, gate):
    one, other = waits(upstreams(), gate), upstreams()
    config = plain(one)
    config["upstreams"]["other"] = {"endpoints": [other.address]}
    config["routes"].insert(0, {"name": "other", "match": {"path": "/other/"}, "upstream": "other"})
    gateway = start(config)
    with gateway.client() as client, gateway.client() as second:
        assert second.ask(target="/other/").status == 200
        client.send(request_bytes(target="/wait"))
        row = wait_up(gateway, 1, state="active")
        assert (row["upstream"], row["endpoint"], row["protocol"], row["requests"]) == ("app", one.address, "HTTP/1.1", 1)
        assert row["connection"] == wait_row(gateway, state="active")["id"] and row["bytes_out"] > 0 and "tls" not in row
        local = row["local"]
        gate.set()
        assert client.read_response().body == b"late"
        row = wait_up(gateway, 1, local=local, state="idle")
        assert "connection" not in row
        assert [row["upstream"] for row in up(gateway, "upstream=other")] == ["other"]
        assert len(up(gateway)) == 2 and len(up(gateway, "limit=1")) == 1 and not up(gateway, "protocol=h2")
        wait_until(lambda: len(up(gateway, "idle_over=20ms")) == 2, what="both idle for a while")


def test_a_shared_connection_over_tls(start, pki):
    service = Service(grpc.ssl_server_credentials([(open(pki.path("www.key"), "rb").read(),
                                                    open(pki.path("www.pem"), "rb").read())]))
    config = plain(service)
    config["upstreams"]["app"].update(protocol="h2", tls={"ca": pki.ca, "sni": "www.test"})
    gateway = start(config)
    try:
        with grpc.insecure_channel(gateway.address) as channel:
            calls = [channel.unary_stream("/demo.Echo/wait")(b"", timeout=60) for _ in range(3)]
            assert [next(call) for call in calls] == [b"begun"] * 3
            row = wait_up(gateway, 1, open_streams=3)
            assert (row["protocol"], row["state"], row["waiting"], row["endpoint"]) == ("HTTP/2", "active", 0, service.address)
            assert row["room"] > 0
            tls = row["tls"]
            assert (tls["version"], tls["alpn"], tls["server_name"], tls["resumed"]) == ("TLSv1.3", "h2", "www.test", False)
            for call in calls:
                call.cancel()
            assert wait_up(gateway, 1, state="idle")["open_streams"] == 0
    finally:
        service.stop()


def test_a_tunnel_has_a_connection_to_its_endpoint(start):
    async def serve(server, _):
        async for message in server:
            await server.send(message)

    async def story():
        async with websockets.serve(serve, "127.0.0.1", 0) as serving:
            port = serving.sockets[0].getsockname()[1]
            loop = asyncio.get_running_loop()
            config = {"upstreams": {"app": {"endpoints": [f"127.0.0.1:{port}"]}}, "routes": [{"name": "all", "upstream": "app"}]}
            gateway = await loop.run_in_executor(None, lambda: start(config))
            async with websockets.connect(f"ws://{gateway.address}/chat", open_timeout=DEADLINE_S) as client:
                await client.send("x")
                assert await client.recv() == "x"
                row = await loop.run_in_executor(None, lambda: wait_up(gateway, 1, protocol="tunnel"))
                assert row["state"] == "active" and row["endpoint"] == f"127.0.0.1:{port}"
                connection = (await loop.run_in_executor(None, lambda: wait_row(gateway, protocol="tunnel")))["id"]
                assert row["connection"] == connection
    asyncio.run(story())


@pytest.mark.parametrize("query,told", [
    ("side=both", "side="), ("side=upstream&client=10.0.0.1", "client="), ("side=upstream&id=1", "id="), ("upstream=app", "upstream=")])
def test_a_question_for_the_wrong_side_is_told(gateway, query, told):
    answer = gateway.admin.ask("GET", f"/connections?{query}")
    assert answer.status == 422 and told in json.loads(answer.body)["detail"]


# --- the command

def command(gateway, *args):
    return subprocess.run([gateway.binary, "connections", "--admin", gateway.admin.address, *args], text=True,
                          capture_output=True, timeout=60, check=False, stdin=subprocess.DEVNULL)


def shown(gateway, *args):
    """The rows of the table, by its titles; and its last line."""
    run = command(gateway, *args)
    assert run.returncode == 0 and run.stderr == "" and "\033" not in run.stdout, run
    titles, *lines, last = run.stdout.splitlines()
    names = [(match.start(), match.end(), match[0]) for match in re.finditer(r"\S+( \S+)*", titles)]
    cells = []
    for line in lines:
        words = [(match.start(), match.end(), match[0]) for match in re.finditer(r"\S+( \S+)*", line)]
        cells.append({name: word for begin, end, name in names for at, stop, word in words if at < end and begin < stop})
    return cells, last


def test_the_command_shows_a_table(start, upstream, pki):
    gateway = start(secure(pki, upstream))
    with TlsClient(gateway.address, pki.client()) as client:
        assert client.ask().status == client.ask().status == 200
        wait_row(gateway, state="idle")
        cells, last = shown(gateway)
        assert last == "1 of 1 shown, of 1 connections"
        row = cells[0]
        assert (row["CLIENT"], row["LISTENER"], row["PROTOCOL"], row["STATE"]) == (f"127.0.0.1:{client.port}", "main",
                                                                                  "HTTP/1.1", "idle")
        assert (row["TLS"], row["SERVER NAME"], row["REQUESTS"], row["STREAMS"]) == ("TLSv1.3", "www.test", "2", "0")
        cells, last = shown(gateway, "side=upstream", "limit=10")
        assert (cells[0]["ENDPOINT"], cells[0]["UPSTREAM"], cells[0]["REQUESTS"]) == (upstream.address, "app", "2")
        run = command(gateway, "protocol=h2")
        assert (run.returncode, run.stdout) == (0, "0 of 0 shown, of 1 connections\n")
        told = json.loads(command(gateway, "--json", "client=127.0.0.0/8").stdout)
        assert told["shown"] == 1 and told["connections"][0]["requests"] == 2


def test_the_command_says_where_streams_go(start, upstream, gate):
    gateway = start(plain(waits(upstream, gate)))
    with H2Client(gateway.address) as client:
        for _ in range(3):
            client.ask(path="/wait")
        wait_row(gateway, open_streams=3, check=lambda row: all(s["state"] == "forwarding" for s in row["streams"]))
        cells, _ = shown(gateway, "sort=requests")
        assert cells[0]["FORWARDS TO"] == f"app {upstream.address} and 2 more"
        assert (cells[0]["PROTOCOL"], cells[0]["STREAMS"], cells[0]["STATE"]) == ("HTTP/2", "3", "active")


@pytest.mark.parametrize("args,told", [
    (["limit=0"], "limit="), (["colour=red"], "colour=red"), (["sort=age", "size=3"], "size=3"), (["client=no%where"], "client=")])
def test_the_command_tells_what_is_wrong_with_a_filter(gateway, args, told):
    run = command(gateway, *args)
    assert run.returncode == 2 and told in run.stderr and run.stdout == "", run
