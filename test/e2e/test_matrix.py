"""The same exchanges over every pair of HTTP/1.1 and HTTP/2, plain and TLS, on both sides: identical results, nothing left over.

A second gateway stands before the scripted origin, so that it can be spoken to in all four ways. curl is the client.
"""

import hashlib
import itertools
import os
import subprocess
import tempfile

import pytest

from gateway import Gateway, close_all_exchanges, plain
from pki import Pki
from upstream import Upstream

DOWN = {"h1": ("http", ["--http1.1"]), "h2": ("http", ["--http2-prior-knowledge"]),
        "h1s": ("https", ["--http1.1"]), "h2s": ("https", ["--http2"])}
UP = {"h1": ("plain", "h1"), "h2": ("plain", "h2c"), "h1s": ("tls", "h1"), "h2s": ("tls", "h2")}
BODY = int(os.environ.get("SLUICE_MATRIX_MIB", "3")) * 1024 * 1024
CURL_STREAM = 92  # exit code: an error of the stream


def serve(exchange):
    what = exchange.path.rsplit("/", 1)[1]
    if what == "echo":
        body = exchange.read_body()
        exchange.reply(200, body, [("X-Sum", hashlib.sha256(body).hexdigest())])
    elif what == "trailers":
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n")
    elif what == "early":
        exchange.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")
        exchange.read_body(sink=lambda piece: None)
    elif what == "cut":
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100000)
        exchange.reset()
    elif what == "endless":
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:  # until the client has gone
            exchange.send(b"1000\r\n" + b"y" * 4096 + b"\r\n")


@pytest.fixture(scope="module")
def pair(binary, tmp_path_factory):
    """The gateway that clients speak to, with an upstream of each kind, and the one before the origin."""
    folder = tmp_path_factory.mktemp("matrix")
    pki = Pki(str(folder))
    tls = {"certificates": [pki.make("gateway", "gateway.test")]}
    listeners = [{"name": "plain", "bind": "127.0.0.1:0"}, {"name": "tls", "bind": "127.0.0.1:0", "tls": tls}]
    origin = Upstream(serve)
    behind = Gateway(binary, folder / "behind", plain(origin, listeners=listeners, workers=2))
    upstreams = {}
    for name, (listener, protocol) in UP.items():
        upstreams[name] = {"endpoints": [behind.addresses()[listener]], "protocol": protocol, "retry": {"attempts": 0}}
        if listener == "tls":
            upstreams[name]["tls"] = {"ca": pki.ca, "sni": "gateway.test"}
    front = Gateway(binary, folder / "front", {
        "workers": 2, "listeners": listeners, "upstreams": upstreams,
        "routes": [{"match": {"path": f"/{name}/"}, "upstream": name} for name in UP]})
    front.pki, front.origin = pki, origin
    (folder / "body").write_bytes(os.urandom(BODY))
    front.body = str(folder / "body")
    yield front
    try:
        close_all_exchanges(front, behind)
    finally:
        for gateway in (front, behind):
            gateway.stop()
        origin.close_connections()
        origin.stop_listening()


def command(front, down, up, what, *options):
    scheme, words = DOWN[down]
    port = front.addresses()["tls" if scheme == "https" else "plain"].rsplit(":", 1)[1]
    return ["curl", "-sS", *words, "--cacert", front.pki.ca, "--resolve", f"gateway.test:{port}:127.0.0.1", *options,
            f"{scheme}://gateway.test:{port}/{up}/{what}"]


def leave(front, down, up):
    """Take some of an endless answer, and go."""
    client = subprocess.Popen(command(front, down, up, "endless", "-N"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with client.stdout:
        assert client.stdout.read(10000).strip(b"y") == b""
        client.kill()
    client.wait(60)
    line = front.wait_access(path=f"/{up}/endless", protocol="HTTP/2" if down.startswith("h2") else "HTTP/1.1")
    for one in line if isinstance(line, list) else [line]:
        assert one["reason"] in ("client_closed", "client_reset"), one


def curl(front, down, up, what, *options):
    """(exit code, status, fields with trailers in lower case, content)."""
    with tempfile.NamedTemporaryFile() as fields, tempfile.NamedTemporaryFile() as body:
        words = ["--max-time", "60", "-D", fields.name, "-o", body.name, "-w", "%{http_code} %{http_version}", *options]
        out = subprocess.run(command(front, down, up, what, *words), capture_output=True, timeout=120, check=False)
        code, version = out.stdout.split()
        assert version == (b"2" if down.startswith("h2") else b"1.1") or out.returncode == CURL_STREAM, out
        return out.returncode, int(code), fields.read().lower(), body.read()


@pytest.mark.parametrize("down, up", list(itertools.product(DOWN, UP)))
def test_every_pair_of_protocols(pair, down, up):
    with open(pair.body, "rb") as sent:
        data = sent.read()
    code, status, fields, body = curl(pair, down, up, "echo", "--data-binary", "@" + pair.body)
    assert (code, status) == (0, 200) and body == data
    assert b"x-sum: " + hashlib.sha256(data).hexdigest().encode() in fields

    code, status, fields, body = curl(pair, down, up, "trailers", "-H", "TE: trailers")
    assert (code, status, body) == (0, 200, b"hello") and b"x-sum: 42" in fields

    code, status, fields, body = curl(pair, down, up, "early", "--data-binary", "@" + pair.body)
    if code != CURL_STREAM:  # this curl forgets an answer when its upload is reset in the same breath
        assert (status, body) == (413, b"large"), (code, status)
    pair.wait_access(path=f"/{up}/early", status=413, bytes_out=5)

    code, status, fields, body = curl(pair, down, up, "cut")
    assert code != 0 and status == 200 and len(body) <= 100000

    leave(pair, down, up)


def test_content_of_unknown_length(pair):
    for down, up in itertools.product(DOWN, UP):
        code, status, _, body = curl(pair, down, up, "echo", "-H", "Transfer-Encoding: chunked", "-T", pair.body, "-X", "POST")
        assert (code, status, len(body)) == (0, 200, BODY), (down, up)
