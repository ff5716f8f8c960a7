"""The PROXY protocol towards endpoints: what they are told, whose connections are kept for whom."""

import socket
import struct

import pytest

import raw
from gateway import plain
from haproxy import Haproxy
from nginx import Nginx
from pki import Pki, TlsClient

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL = SIGNATURE + b"\x20\0\0\0"


class Reader:
    """Reads PROXY headers on the connections of a fake upstream, before anything else; .headers has them, in order."""

    def __init__(self, fake, context=None):
        self.headers = []
        self.context = context
        fake.on_connect = self.on_connect

    def exactly(self, sock, n):
        data = b""
        while len(data) < n:
            more = sock.recv(n - len(data))
            assert more, f"ended within a header: {data!r}"
            data += more
        return data

    def on_connect(self, conn):
        data = self.exactly(conn.sock, 12)
        if data == SIGNATURE:
            data += self.exactly(conn.sock, 4)
            data += self.exactly(conn.sock, struct.unpack("!H", data[14:16])[0])
        else:
            while not data.endswith(b"\r\n"):
                data += self.exactly(conn.sock, 1)
        self.headers.append(data)
        if self.context:
            conn.sock = self.context.wrap_socket(conn.sock, server_side=True)
        return False


def parse_v2(data):
    """(source, destination, {type: value})"""
    assert data[:12] == SIGNATURE and data[12] == 0x21 and data[13] == 0x11, data
    source, destination, source_port, destination_port = struct.unpack("!4s4sHH", data[16:28])
    tlvs, rest = {}, data[28:]
    while rest:
        kind, length = struct.unpack("!BH", rest[:3])
        tlvs[kind] = rest[3:3 + length]
        rest = rest[3 + length:]
    return ((socket.inet_ntoa(source), source_port), (socket.inet_ntoa(destination), destination_port), tlvs)


def towards(proxy_protocol, *fakes, **config):
    made = plain(*fakes, **config)
    next(iter(made["upstreams"].values()))["proxy_protocol"] = proxy_protocol
    return made


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    made = Pki(str(tmp_path_factory.mktemp("pki")))
    made.make("www", "www.test", "127.0.0.1")
    return made


def test_version_1_names_the_client(start, upstream):
    reader = Reader(upstream)
    gateway = start(towards("v1", upstream))
    with raw.Client(gateway.address) as client:
        assert client.ask().status == 200
        port = client.sock.getsockname()[1]
    there = gateway.address.rsplit(":", 1)[1]
    assert reader.headers == [b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % (port, int(there))]


def test_version_2_names_the_client(start, upstream):
    reader = Reader(upstream)
    gateway = start(towards("v2", upstream))
    with raw.Client(gateway.address) as client:
        assert client.ask().status == 200
        source = client.sock.getsockname()
    assert parse_v2(reader.headers[0]) == (source, ("127.0.0.1", int(gateway.address.rsplit(":", 1)[1])), {})


def test_a_connection_is_kept_for_its_client_alone(start, upstream):
    reader = Reader(upstream)
    gateway = start(towards("v2", upstream))
    with raw.Client(gateway.address) as one, raw.Client(gateway.address) as other:
        for _ in range(3):
            for client in (one, other):
                assert client.ask().status == 200
        ports = [client.sock.getsockname()[1] for client in (one, other)]
    assert [parse_v2(header)[0][1] for header in reader.headers] == ports
    assert gateway.metric("sluice_upstream_connects_total") == 2


def test_what_is_kept_gives_way_at_the_cap(start, upstream):
    reader = Reader(upstream)
    config = towards("v1", upstream)
    config["upstreams"]["app"]["connections"] = {"max": 1}
    gateway = start(config)
    for _ in range(3):
        assert raw.ask(gateway.address).status == 200
    assert len(set(reader.headers)) == 3


def test_the_header_comes_before_tls_and_says_what_is_asked(start, upstream, pki):
    reader = Reader(upstream, pki.server("www"))
    config = towards({"version": "v2", "tlvs": ["alpn", "authority", "ssl", "unique_id", "crc32c"]}, upstream,
                     listeners=[{"name": "main", "bind": "127.0.0.1:0", "tls": {
                         "certificates": [{"cert": pki.path("www.pem"), "key": pki.path("www.key")}]}}])
    config["upstreams"]["app"]["tls"] = {"ca": pki.ca}
    gateway = start(config)
    context = pki.client()
    context.set_alpn_protocols(["http/1.1"])
    with TlsClient(gateway.address, context) as client:
        for _ in range(2):
            assert client.ask().status == 200
        cipher = client.sock.cipher()[0]
    assert len(reader.headers) == 1
    _, _, tlvs = parse_v2(reader.headers[0])
    assert tlvs[1] == b"http/1.1" and tlvs[2] == b"www.test" and len(tlvs[3]) == 4
    assert tlvs[5] == b"%d" % gateway.wait_access(2, path="/")[0]["connection"]
    assert tlvs[0x20][:1] == b"\1" and b"TLSv1.3" in tlvs[0x20] and cipher.encode() in tlvs[0x20]


def test_health_checks_and_calls_speak_for_themselves(start, upstream):
    reader = Reader(upstream)
    for kind, version, said in (({"path": "/well"}, "v2", LOCAL), ({"type": "tcp"}, "v1", b"PROXY UNKNOWN\r\n")):
        reader.headers.clear()
        config = towards(version, upstream)
        config["upstreams"]["app"]["health"] = {**kind, "interval": "100ms"}
        gateway = start(config)
        raw.wait_until(lambda: reader.headers)
        assert reader.headers[0] == said
        gateway.wait_metric(lambda m: m.get("sluice_upstream_checks_total", upstream="app", result="passed") >= 2, "checks")
        gateway.stop()


def test_a_checked_endpoint_over_tls(start, upstream, pki):
    reader = Reader(upstream, pki.server("www"))
    config = towards("v2", upstream)
    config["upstreams"]["app"].update({"tls": {"ca": pki.ca}, "health": {"path": "/well", "interval": "100ms"}})
    gateway = start(config)
    gateway.wait_metric(lambda m: m.get("sluice_upstream_checks_total", upstream="app", result="passed") >= 1, "checks")
    assert reader.headers[0] == LOCAL


def test_a_checked_endpoint_that_is_not_there(start, upstreams):
    gone = upstreams()
    config = towards("v2", gone)
    config["upstreams"]["app"]["health"] = {"path": "/well", "interval": "100ms"}
    gone.stop()
    gateway = start(config)
    gateway.wait_metric(lambda m: m.get("sluice_upstream_checks_total", upstream="app", result="connect_failed") >= 1, "checks")


def test_a_reload_changes_the_form(start, upstream):
    reader = Reader(upstream)
    gateway = start(towards("v1", upstream))
    with raw.Client(gateway.address) as client:
        assert client.ask().status == 200
        gateway.must_reload(towards("v2", upstream))
        assert client.ask().status == 200
    assert reader.headers[0].startswith(b"PROXY TCP4 ") and reader.headers[1].startswith(SIGNATURE)


def test_tlvs_want_version_2(sluice, tmp_path):
    (tmp_path / "x.yaml").write_text("upstreams:\n  app:\n    endpoints: [ \"127.0.0.1:1\" ]\n"
                                     "    proxy_protocol: { version: v1, tlvs: [ ssl ] }\nroutes:\n  - upstream: app\n")
    told = sluice("check", "x.yaml")
    assert told.returncode != 0 and "only version 2 has room" in told.stderr, told.stderr


# --- real peers


@pytest.mark.parametrize("form", ["v1", "v2", {"version": "v2", "tlvs": ["authority", "unique_id", "crc32c"]}],
                         ids=["v1", "v2", "v2-tlvs"])
def test_haproxy_believes_it(start, tmp_path, form):
    proxy = Haproxy(tmp_path / "haproxy", """
frontend f
    bind {bind} accept-proxy
    http-request return status 200 content-type text/plain lf-string "%[src] %[src_port]"
""")
    try:
        gateway = start(towards(form, proxy))
        with raw.Client(gateway.address) as client:
            port = client.sock.getsockname()[1]
            assert client.ask().body == b"127.0.0.1 %d" % port
    finally:
        proxy.stop()


@pytest.mark.parametrize("form", ["v1", "v2"])
def test_nginx_believes_it(start, tmp_path, form):
    nginx = Nginx(tmp_path / "nginx", proxied=True)
    try:
        gateway = start(towards(form, nginx))
        with raw.Client(gateway.address) as client:
            port = client.sock.getsockname()[1]
            assert client.ask(target="/proxied").body == b"127.0.0.1 %d\n" % port
    finally:
        nginx.stop()


def test_from_gateway_to_gateway(start, upstream):
    inner = start(plain(upstream, listeners=[{"name": "main", "bind": "127.0.0.1:0", "proxy_protocol": {"from": ["127.0.0.1"]}}]))
    outer = start(towards("v2", inner))
    with raw.Client(outer.address) as client:
        assert client.ask().status == 200
        assert inner.wait_access(path="/")["client_port"] == client.sock.getsockname()[1]
