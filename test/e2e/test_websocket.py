"""Real WebSocket clients and servers (python3-websockets) through the gateway, plain and with TLS on either side."""

import asyncio
import hashlib
import os
import ssl

import pytest
import websockets

from gateway import plain
from pki import Pki
from raw import DEADLINE_S

MIB = 1024 * 1024
TLS = [(False, False), (True, False), (False, True), (True, True)]


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    made = Pki(str(tmp_path_factory.mktemp("pki")))
    made.make("www", "www.test", "test", "127.0.0.1", "localhost")
    return made


class Server:
    """What the upstream does: echo, say a few things by itself, or end as the path says."""

    def __init__(self):
        self.closed = []

    async def serve(self, socket, path):
        if path.startswith("/close/"):
            await socket.close(int(path.split("/")[2]), "as you wish")
            return
        if path == "/say":
            for word in ("one", "two", "three"):
                await socket.send(word)
                assert await socket.recv() == word
        try:
            async for message in socket:
                await socket.send(message)
        finally:
            self.closed.append(socket.close_code)


class Scene:
    """A gateway between a client and a server, each with TLS or not."""

    def __init__(self, start, pki, down_tls, up_tls):
        self.start, self.pki, self.down_tls, self.up_tls = start, pki, down_tls, up_tls
        self.server = Server()

    def config(self, port):
        config = {"upstreams": {"app": {"endpoints": [f"127.0.0.1:{port}"]}},
                  "routes": [{"name": "all", "upstream": "app"}],
                  "listeners": [{"name": "main", "bind": "127.0.0.1:0"}]}
        if self.down_tls:
            config["listeners"][0]["tls"] = {"certificates": [{"cert": self.pki.path("www.pem"),
                                                               "key": self.pki.path("www.key")}]}
        if self.up_tls:
            config["upstreams"]["app"]["tls"] = {"ca": self.pki.path("ca.pem"), "sni": "www.test"}
        return config

    def connect(self, path="/", **options):
        scheme = "wss" if self.down_tls else "ws"
        if self.down_tls:
            options["ssl"] = ssl.create_default_context(cafile=self.pki.path("ca.pem"))
        return websockets.connect(f"{scheme}://{self.gateway.address}{path}", max_size=None, open_timeout=DEADLINE_S,
                                  close_timeout=DEADLINE_S, **options)

    async def play(self, story):
        context = None
        if self.up_tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.pki.path("www.pem"), self.pki.path("www.key"))
        async with websockets.serve(self.server.serve, "127.0.0.1", 0, ssl=context, max_size=None) as serving:
            port = serving.sockets[0].getsockname()[1]
            loop = asyncio.get_running_loop()
            self.gateway = await loop.run_in_executor(None, lambda: self.start(self.config(port)))
            await asyncio.wait_for(story(self), DEADLINE_S * 4)

    def run(self, story):
        asyncio.run(self.play(story))
        return self.gateway


@pytest.mark.parametrize("down_tls,up_tls", TLS)
def test_frames_of_all_sizes_pings_and_the_close_code(start, pki, down_tls, up_tls):
    async def story(scene):
        async with scene.connect() as socket:
            for size in (0, 1, 125, 126, 65535, 65536, 3 * MIB):
                data = os.urandom(size)
                await socket.send(data)
                assert hashlib.sha256(await socket.recv()).digest() == hashlib.sha256(data).digest()
            await socket.send("text, too")
            assert await socket.recv() == "text, too"
            await asyncio.wait_for(await socket.ping(), DEADLINE_S)
            await socket.close(4001, "enough")
            assert socket.close_code == 4001
    scene = Scene(start, pki, down_tls, up_tls)
    gateway = scene.run(story)
    assert scene.server.closed == [4001]
    line = gateway.expect_end("completed")
    assert line["status"] == 101 and min(line["bytes_in"], line["bytes_out"]) > 3 * MIB


@pytest.mark.parametrize("down_tls,up_tls", TLS)
def test_the_server_speaks_first_and_closes_with_its_code(start, pki, down_tls, up_tls):
    async def story(scene):
        async with scene.connect("/say") as socket:
            for word in ("one", "two", "three"):
                assert await socket.recv() == word
                await socket.send(word)
        for code in (1000, 1011, 4999):
            async with scene.connect(f"/close/{code}") as socket:
                with pytest.raises(websockets.ConnectionClosed):
                    await socket.recv()
                assert (socket.close_code, socket.close_reason) == (code, "as you wish")
    gateway = Scene(start, pki, down_tls, up_tls).run(story)
    gateway.wait_access(4, reason="completed")


def test_many_frames_on_many_tunnels_at_once_through_reloads(start, pki):
    async def chat(scene, number):
        async with scene.connect() as socket:
            for i in range(60):
                text = f"{number}:{i}:" + "x" * (i * 97 % 5000)
                await socket.send(text)
                assert await socket.recv() == text

    async def change(scene, port):
        loop = asyncio.get_running_loop()
        for _ in range(5):
            await loop.run_in_executor(None, lambda: scene.gateway.must_reload(scene.config(port)))

    async def story(scene):
        port = int(scene.gateway.admin.json("/upstreams")["upstreams"][0]["endpoints"][0]["address"].split(":")[1])
        await asyncio.gather(change(scene, port), *(chat(scene, n) for n in range(30)))
    gateway = Scene(start, pki, True, False).run(story)
    gateway.wait_access(30, reason="completed")


def test_messages_of_other_subprotocols_and_extensions_are_not_touched(start, pki):
    async def story(scene):
        async with scene.connect(subprotocols=["chat", "superchat"], compression="deflate") as socket:
            await socket.send("compressed" * 1000)
            assert await socket.recv() == "compressed" * 1000
    Scene(start, pki, False, False).run(story).expect_end("completed")


def test_a_plain_answer_to_the_handshake_reaches_the_client(start, pki, upstream):
    upstream.on("/", lambda exchange: exchange.reply(403, b"not you"))
    gateway = start(plain(upstream))

    async def story():
        with pytest.raises(websockets.InvalidStatusCode) as refused:
            async with websockets.connect(f"ws://{gateway.address}/"):
                pass
        assert refused.value.status_code == 403
    asyncio.run(story())
