"""Early data (0-RTT): off unless asked for; what is served of it, what is told, what comes again later (RFC 8470)."""

import re
import socket
import subprocess
import threading
import time

import pytest

from gateway import FIELDS, plain
from pki import Pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    made = Pki(str(tmp_path_factory.mktemp("pki")))
    made.make("www", "www.test")
    return made


def secured(pki, *fakes, tmp_path, early=True, **tls):
    listener = {"name": "main", "bind": "127.0.0.1:0", "tls": {
        "certificates": [{"cert": pki.path("www.pem"), "key": pki.path("www.key")}], "early_data": early, **tls}}
    return plain(*fakes, listeners=[listener], access_log={
        "path": str(tmp_path / "early.log"), "format": "json", "fields": FIELDS + ["tls_early", "tls_session"]})


APPLICATION_DATA = 23  # the type of a record, RFC 8446 section 5.1
PATIENCE_S = 20


def passed_on(address, ready):
    """
    An address whose first connection goes on to that one. What the client sends behind its first record of early data, which is
    the end of its handshake, waits until ready() is true: what comes early is then dealt with early, however busy the machine is.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def back(gateway, client):
        try:
            while data := gateway.recv(65536):
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def wait():
        give_up = time.monotonic() + PATIENCE_S
        while not ready() and time.monotonic() < give_up:
            time.sleep(0.02)

    def forth(client, gateway):
        unread, n_data = b"", 0
        while data := client.recv(65536):
            unread += data
            while len(unread) >= 5 and len(unread) >= 5 + int.from_bytes(unread[3:5], "big"):
                record, unread = unread[:5 + int.from_bytes(unread[3:5], "big")], unread[5 + int.from_bytes(unread[3:5], "big"):]
                n_data += record[0] == APPLICATION_DATA
                if n_data == 2:
                    wait()
                gateway.sendall(record)

    def serve():
        client, _ = listener.accept()
        listener.close()
        host, port = address.rsplit(":", 1)
        with client, socket.create_connection((host, int(port)), timeout=60) as gateway:
            answers = threading.Thread(target=back, args=(gateway, client))
            answers.start()
            try:
                forth(client, gateway)
                gateway.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            answers.join()
    threading.Thread(target=serve, daemon=True).start()
    return "127.0.0.1:%d" % listener.getsockname()[1]


class Client:
    """openssl's client: first a session, then requests with it, early or not."""

    def __init__(self, gateway, pki, tmp_path):
        self.gateway, self.pki, self.dir = gateway, pki, tmp_path
        self.session = str(tmp_path / "session")
        self.run("-sess_out", self.session)

    def run(self, *args, request=b"", address=None):
        request += b"GET /last HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n"
        told = subprocess.run(["openssl", "s_client", "-connect", address or self.gateway.address, "-servername", "www.test",
                               "-CAfile", self.pki.ca, "-tls1_3", "-ign_eof", *args], input=request, capture_output=True, timeout=60, check=False)
        return told.stdout.decode("latin-1") + told.stderr.decode("latin-1")

    def early(self, request, later=b""):
        """The rest of the handshake waits until whole requests in it were dealt with."""
        path = self.dir / "early"
        path.write_bytes(request)
        due = len(self.gateway.access_log(path="/early")) + (0 if later else len(re.findall(rb" HTTP/1\.1\r\n", request)))
        address = passed_on(self.gateway.address, lambda: len(self.gateway.access_log(path="/early")) >= due)
        return self.run("-sess_in", self.session, "-early_data", str(path), request=later, address=address)


GET = b"GET /early HTTP/1.1\r\nHost: www.test\r\n\r\n"


def statuses(told):
    return re.findall(r"HTTP/1\.1 (\d+)", told)


@pytest.fixture
def served(start, upstream, pki, tmp_path):
    """A gateway that takes early data, and a client with a session."""
    gateway = start(secured(pki, upstream, tmp_path=tmp_path))
    gateway.access_path = str(tmp_path / "early.log")
    client = Client(gateway, pki, tmp_path)
    upstream.requests.clear()
    return gateway, client


def test_it_is_off_by_default(start, upstream, pki, tmp_path):
    gateway = start(secured(pki, upstream, tmp_path=tmp_path, early=False))
    client = Client(gateway, pki, tmp_path)
    (tmp_path / "early").write_bytes(GET)
    told = client.run("-sess_in", client.session, "-early_data", str(tmp_path / "early"))
    assert "Early data was not sent" in told or "Early data was rejected" in told, told
    assert not [r for r in upstream.requests if r.path == "/early"]


def test_a_safe_request_is_served_and_marked(served, upstream):
    gateway, client = served
    told = client.early(GET)
    assert "Early data was accepted" in told and statuses(told) == ["200", "200"], told
    early, last = upstream.requests[-2:]
    assert (early.path, early.get("early-data")) == ("/early", "1")
    assert (last.path, last.get("early-data")) == ("/last", None)
    line = gateway.wait_access(path="/early")
    assert (line["tls_early"], line["tls_session"], line["status"]) == ("1", "resumed", 200), line
    assert gateway.wait_access(2, path="/last")[-1]["tls_early"] is None
    assert gateway.metric("sluice_tls_early_data_total", listener="main") == 1


def test_what_may_not_be_repeated_comes_again_later(served, upstream):
    gateway, client = served
    for request in (b"POST /early HTTP/1.1\r\nHost: www.test\r\nContent-Length: 0\r\n\r\n",
                    b"DELETE /early HTTP/1.1\r\nHost: www.test\r\n\r\n",
                    b"GET /early HTTP/1.1\r\nHost: www.test\r\nContent-Length: 1\r\n\r\nx"):
        told = client.early(request)
        assert "Early data was accepted" in told and statuses(told)[0] == "425", told
    assert not [r for r in upstream.requests if r.path == "/early"]
    assert gateway.metric("sluice_request_ends_total", reason="too_early") == 3
    # After the handshake the same is served.
    told = client.run("-sess_in", client.session, request=b"DELETE /later HTTP/1.1\r\nHost: www.test\r\n\r\n")
    assert statuses(told) == ["200", "200"], told


def test_the_upstream_may_say_too_early(served, upstream):
    _, client = served
    upstream.answer("/early", b"HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n")
    told = client.early(GET)
    assert statuses(told) == ["425", "200"], told
    assert len([r for r in upstream.requests if r.path == "/early"]) == 1


def test_a_client_cannot_say_it_twice(served, upstream):
    _, client = served
    client.early(GET.replace(b"Host:", b"Early-Data: 1\r\nHost:"))
    early = next(r for r in upstream.requests if r.path == "/early")
    assert early.all("early-data") == ["1"]


def test_a_head_that_is_early_in_part_goes_on(served, upstream):
    _, client = served
    told = client.early(GET[:20], later=GET[20:])
    assert "Early data was accepted" in told and statuses(told) == ["200", "200"], told
    assert [r.path for r in upstream.requests[-2:]] == ["/early", "/last"]


def test_several_requests_and_a_large_answer(served, upstream):
    _, client = served
    upstream.on("/early", lambda exchange: exchange.reply(200, b"x" * 300000))
    told = client.early(GET * 3)
    assert statuses(told) == ["200"] * 4 and told.count("x" * 1000) >= 800, statuses(told)


def test_more_than_is_allowed_ends_the_connection(served, upstream):
    gateway, client = served
    told = client.early(b"GET /early HTTP/1.1\r\nHost: www.test\r\nX: " + b"y" * 30000 + b"\r\n\r\n")
    assert not [r for r in upstream.requests if r.path == "/early"], told
    assert gateway.process.poll() is None


def test_without_tickets_it_does_nothing_and_that_is_said(sluice, pki, tmp_path):
    (tmp_path / "x.yaml").write_text(f"""
listeners:
  - bind: 127.0.0.1:0
    tls: {{ certificates: [ {{ cert: {pki.path('www.pem')}, key: {pki.path('www.key')} }} ], early_data: true, session_tickets: false }}
routes:
  - echo: true
""")
    told = sluice("check", "x.yaml")
    assert told.returncode == 0 and "early_data does nothing" in told.stdout + told.stderr
