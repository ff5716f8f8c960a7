"""A real browser (Chromium, headless) loads a page through the gateway: HTTP/2, uploads, events, WebSocket."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading

import pytest
import websockets

from gateway import plain
from pki import Pki
from raw import DEADLINE_S, wait_until

CHROMIUM = shutil.which("chromium")
N_PARTS = 40
PAGE = """<!doctype html><title>gateway</title><script>
async function parts() {
  const all = [...Array(%d).keys()].map(async n => (await fetch('/part/' + n)).text());
  return (await Promise.all(all)).join(',');
}
async function upload() {
  const bytes = new Uint8Array(3 << 20).fill(120);
  return (await fetch('/upload', {method: 'POST', body: bytes})).text();
}
function events() {
  return new Promise((done, fail) => {
    const seen = [], source = new EventSource('/events');
    source.onmessage = event => {
      seen.push(event.data);
      fetch('/seen', {method: 'POST', body: event.data});
      if (seen.length == 3) { source.close(); done(seen.join(',')); }
    };
    source.onerror = () => fail('events');
  });
}
function socket() {
  return new Promise((done, fail) => {
    const socket = new WebSocket(location.origin.replace('http', 'ws') + '/ws'), seen = [];
    socket.onopen = () => { socket.send('one'); socket.send('x'.repeat(100000)); };
    socket.onmessage = event => { seen.push(event.data.length); if (seen.length == 2) socket.close(4000, 'done'); };
    socket.onclose = event => done(seen.join(',') + ':' + event.code);
    socket.onerror = () => fail('socket');
  });
}
async function all() {
  const told = {};
  for (const step of [parts, upload, events, socket])
    try { told[step.name] = await step(); } catch (error) { told[step.name] = 'failed: ' + error; }
  const navigation = performance.getEntriesByType('navigation')[0];
  told.protocol = navigation.nextHopProtocol;
  await fetch('/report', {method: 'POST', body: JSON.stringify(told)});
}
addEventListener('load', all);
</script>""" % N_PARTS


class Echo:
    """A WebSocket server in a thread of its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        assert self.ready.wait(DEADLINE_S)

    def run(self):
        self.loop.run_until_complete(self.serve())

    async def serve(self):
        self.end = asyncio.Event()
        async with websockets.serve(self.each, "127.0.0.1", 0) as serving:
            self.address = "127.0.0.1:%d" % serving.sockets[0].getsockname()[1]
            self.ready.set()
            await self.end.wait()

    async def each(self, socket, _path):
        with contextlib.suppress(websockets.ConnectionClosedError):  # by a code of its own
            async for message in socket:
                await socket.send(message)

    def stop(self):
        self.loop.call_soon_threadsafe(self.end.set)
        self.thread.join()


@pytest.fixture
def echo():
    server = Echo()
    yield server
    server.stop()


@pytest.fixture
def visit(tmp_path):
    """Let a browser look at a page; it is ended after the test."""
    running = []

    def begin(url):
        running.append(subprocess.Popen(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
             "--ignore-certificate-errors", "--remote-debugging-port=0", f"--user-data-dir={tmp_path / 'profile'}", url],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True))
    yield begin
    for browser in running:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()


class Site:
    """What the upstream serves, and what the page reports."""

    def __init__(self, upstream):
        self.seen = threading.Semaphore(0)
        self.report = None
        upstream.script = self.serve

    def serve(self, exchange):
        path = exchange.target
        exchange.read_body()
        if path == "/":
            exchange.reply(200, PAGE.encode(), [("Content-Type", "text/html")])
        elif path == "/upload":
            exchange.reply(200, str(len(exchange.body)).encode())
        elif path == "/events":
            self.tell(exchange)
        elif path == "/seen":
            self.seen.release()
            exchange.reply(200, b"")
        elif path == "/report":
            self.report = json.loads(exchange.body)
            exchange.reply(200, b"")
        else:
            exchange.reply(200, path.rsplit("/", 1)[1].encode())

    def tell(self, exchange):
        """Each event is sent when the page has said that it has the one before."""
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for word in (b"a", b"b", b"c"):
            event = b"data: %s\n\n" % word
            exchange.send(b"%x\r\n%s\r\n" % (len(event), event))
            assert self.seen.acquire(timeout=DEADLINE_S * 3), "the page has not got the event"
        exchange.send(b"0\r\n\r\n")


@pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")
@pytest.mark.parametrize("tls", [False, True])
def test_a_page_is_loaded_with_all_that_it_does(start, upstream, echo, visit, tmp_path, tls):
    site = Site(upstream)
    config = plain(upstream)
    config["upstreams"]["echo"] = {"endpoints": [echo.address]}
    config["routes"].append({"name": "ws", "match": {"path_exact": "/ws"}, "upstream": "echo"})
    if tls:
        pair = Pki(str(tmp_path)).make("www", "localhost", "127.0.0.1")
        config["listeners"] = [{"name": "main", "bind": "127.0.0.1:0", "tls": {"certificates": [pair]}}]
    gateway = start(config)
    visit(f"{'https' if tls else 'http'}://{gateway.address}/")
    wait_until(lambda: site.report, DEADLINE_S * 12, "the page's report")
    assert site.report == {"parts": ",".join(map(str, range(N_PARTS))), "upload": str(3 << 20), "events": "a,b,c",
                           "socket": "3,100000:4000", "protocol": "h2" if tls else "http/1.1"}
    tunnel = gateway.wait_access(route="ws")
    assert tunnel["protocol"] == ("HTTP/2" if tls else "HTTP/1.1")
    assert {line["protocol"] for line in gateway.wait_access(N_PARTS, status=200)} == {tunnel["protocol"]}
