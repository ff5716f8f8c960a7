"""The PROXY protocol from those who send it: whose a connection is, who is believed, what is refused."""

import socket
import struct
import subprocess

import pytest

import raw
from gateway import FIELDS, plain
from haproxy import Haproxy
from pki import Pki, TlsClient

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"
LOGGED = FIELDS + ["proxy", "proxy_unique_id"]


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def v2(command=1, family=0x11, block=None, tlvs=b"", checksum=False):
    if block is None:
        block = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 4711, 443)
    if checksum:
        tlvs += tlv(3, b"\0\0\0\0")
    head = SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(block) + len(tlvs)) + block + tlvs
    return head[:-4] + struct.pack("!I", crc32c(head)) if checksum else head


def behind(proxy_protocol, *fakes, tls=None, **config):
    listener = {"name": "main", "bind": "127.0.0.1:0", "proxy_protocol": proxy_protocol}
    if tls:
        listener["tls"] = {"certificates": [tls]}
    return plain(*fakes, listeners=[listener], **config)


def logged(tmp_path):
    return {"access_log": {"path": str(tmp_path / "proxied.log"), "format": "json", "fields": LOGGED}}


def began(gateway, result):
    return gateway.metric("sluice_proxy_protocol_total", listener="main", result=result)


def ask_behind(address, header, **options):
    with raw.Client(address) as client:
        client.send(header)
        return client.ask(**options)


def expect_cut(client):
    """Nothing comes but the end; a reset where bytes were left unread."""
    try:
        client.expect_close()
    except raw.Closed as closed:
        assert closed.reset and not closed.got, closed


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    made = Pki(str(tmp_path_factory.mktemp("pki")))
    made.make("www", "www.test")
    return made


FROM_HERE = {"from": ["127.0.0.0/8"]}


@pytest.mark.parametrize("header, version", [(V1, "v1"), (v2(), "v2"), (v2(checksum=True), "v2"),
                                             (v2(tlvs=tlv(4, b"\0" * 100)), "v2")], ids=["v1", "v2", "crc", "padded"])
def test_the_client_is_whom_the_header_names(start, upstream, tmp_path, header, version):
    gateway = start(behind(FROM_HERE, upstream, **logged(tmp_path)))
    gateway.access_path = str(tmp_path / "proxied.log")
    with raw.Client(gateway.address) as client:
        client.send(header)
        for n in range(2):
            assert client.ask(target=f"/{n}").status == 200
            assert upstream.last.get("x-forwarded-for") == "192.0.2.7"
            assert upstream.last.get("x-forwarded-proto") == "http"
        port = client.sock.getsockname()[1]
    line = gateway.wait_access(path="/1")
    assert (line["client"], line["client_port"], line["proxy"]) == ("192.0.2.7", 4711, f"127.0.0.1:{port}"), line
    assert began(gateway, version) == 1


def test_a_header_may_come_in_pieces_and_with_the_request(start, upstream):
    gateway = start(behind(FROM_HERE, upstream))
    with raw.Client(gateway.address) as client:
        client.send_byte_by_byte(V1)
        assert client.ask().status == 200
    upstream.on("/x", lambda exchange: exchange.reply(200, exchange.read_body()))
    with raw.Client(gateway.address) as client:
        client.send(v2() + raw.request_bytes("POST", "/x", body=b"abc"))
        assert client.read_response("POST").status == 200
    assert upstream.last.get("x-forwarded-for") == "192.0.2.7"
    assert upstream.last.body == b"abc"


def test_tls_follows_the_header(start, upstream, pki):
    gateway = start(behind(FROM_HERE, upstream, tls={"cert": pki.path("www.pem"), "key": pki.path("www.key")}))
    for header in (V1, v2(tlvs=tlv(2, b"www.test"))):
        sock = raw.open_socket(gateway.address)
        sock.sendall(header)
        with pki.client().wrap_socket(sock, server_hostname="www.test") as secured:
            secured.sendall(raw.request_bytes())
            assert secured.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert upstream.last.get("x-forwarded-for") == "192.0.2.7"
        assert upstream.last.get("x-forwarded-proto") == "https"
    assert gateway.metric("sluice_tls_handshakes_total", listener="main", result="full") == 2
    # The header comes before TLS, not in it.
    with pytest.raises((OSError, raw.Closed)):
        TlsClient(gateway.address, pki.client())
    assert began(gateway, "malformed") == 1


def test_tls_that_the_sender_ended_makes_the_scheme(start, upstream, tmp_path):
    gateway = start(behind(FROM_HERE, upstream, **logged(tmp_path)))
    gateway.access_path = str(tmp_path / "proxied.log")
    ssl = tlv(0x20, b"\1\0\0\0\0" + tlv(0x21, b"TLSv1.3"))
    assert ask_behind(gateway.address, v2(tlvs=ssl + tlv(5, b"id-1"))).status == 200
    assert upstream.last.get("x-forwarded-proto") == "https"
    line = gateway.wait_access(path="/")
    assert line["scheme"] == "https" and line["proxy_unique_id"] == "id-1", line


@pytest.mark.parametrize("header", [v2(command=0, family=0, block=b""), v2(family=0, block=b"?" * 8), b"PROXY UNKNOWN\r\n"],
                         ids=["local", "unspec", "unknown"])
def test_who_speaks_for_himself_is_the_client(start, upstream, header):
    gateway = start(behind(FROM_HERE, upstream))
    assert ask_behind(gateway.address, header).status == 200
    assert upstream.last.get("x-forwarded-for") == "127.0.0.1"


@pytest.mark.parametrize("bytes_", [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 02\r\nGET / HTTP/1.1\r\n", b"PROXY " + b"x" * 200,
    v2(tlvs=tlv(3, b"\1\2\3\4")), v2(family=0x12), SIGNATURE + b"\x21\x11\xff\xff"],
    ids=["none", "port", "long", "checksum", "datagram", "length"])
def test_what_is_no_header_is_refused(start, upstream, bytes_):
    gateway = start(behind(FROM_HERE, upstream))
    with raw.Client(gateway.address) as client:
        client.try_send(bytes_)
        expect_cut(client)
    assert began(gateway, "malformed") == 1
    assert not upstream.requests


def test_a_header_that_does_not_come_has_a_deadline(start, upstream):
    gateway = start(behind({**FROM_HERE, "timeout": "100ms"}, upstream))
    with raw.Client(gateway.address) as client:
        client.send(V1[:-1])
        expect_cut(client)
    assert began(gateway, "timeout") == 1
    with raw.Client(gateway.address) as client:
        client.send(V1[:-1])
        client.half_close()
        expect_cut(client)
    assert began(gateway, "malformed") + began(gateway, "timeout") == 2


def test_others_are_refused(start, upstream):
    gateway = start(behind({"from": ["192.0.2.0/24"]}, upstream))
    with raw.Client(gateway.address) as client:
        client.try_send(V1)
        expect_cut(client)
    assert began(gateway, "refused") == 1
    assert not upstream.requests


def test_others_may_be_clients_and_their_headers_are_no_headers(start, upstream):
    gateway = start(behind({"from": ["192.0.2.0/24"], "others": "direct"}, upstream))
    assert raw.ask(gateway.address).status == 200
    assert upstream.last.get("x-forwarded-for") == "127.0.0.1"
    with raw.Client(gateway.address) as client:
        client.send(V1)
        assert client.read_response().status == 400


def test_the_header_may_be_optional(start, upstream):
    gateway = start(behind({**FROM_HERE, "optional": True}, upstream))
    assert raw.ask(gateway.address).status == 200
    assert upstream.last.get("x-forwarded-for") == "127.0.0.1"
    assert ask_behind(gateway.address, V1).status == 200
    assert upstream.last.get("x-forwarded-for") == "192.0.2.7"
    assert began(gateway, "none") == 1 and began(gateway, "v1") == 1


def test_limits_go_by_the_client(start, upstream):
    gateway = start(behind(FROM_HERE, upstream, plugins=[{"ip_filter": {"deny": ["192.0.2.0/24"]}}]))
    assert ask_behind(gateway.address, V1).status == 403
    assert ask_behind(gateway.address, V1.replace(b"192.0.2.7", b"203.0.113.9")).status == 200


def test_a_reload_changes_who_is_believed(start, upstream):
    gateway = start(behind(FROM_HERE, upstream))
    assert ask_behind(gateway.address, V1).status == 200
    gateway.must_reload(plain(upstream))
    assert raw.ask(gateway.address).status == 200
    assert upstream.last.get("x-forwarded-for") == "127.0.0.1"


def test_an_empty_list_is_refused(sluice, tmp_path):
    (tmp_path / "x.yaml").write_text("listeners:\n  - bind: 127.0.0.1:0\n    proxy_protocol: { from: [] }\n"
                                     "routes:\n  - echo: true\n")
    told = sluice("check", "x.yaml")
    assert told.returncode != 0 and "proxy_protocol.from is empty" in told.stderr, told.stderr


# --- real peers


@pytest.mark.parametrize("option, version", [("send-proxy", "v1"), ("send-proxy-v2", "v2"),
                                             ("send-proxy-v2 proxy-v2-options crc32c,unique-id,ssl,authority", "v2")],
                         ids=["v1", "v2", "v2-tlvs"])
def test_haproxy_in_front(start, upstream, tmp_path, option, version):
    gateway = start(behind(FROM_HERE, upstream))
    proxy = Haproxy(tmp_path / "haproxy", f"""
frontend f
    bind {{bind}}
    unique-id-format id-%ci
    default_backend b
backend b
    server s {gateway.address} {option}
""")
    try:
        with raw.Client(proxy.address) as client:
            assert client.ask().status == 200
            # HAProxy is at 127.0.0.1 as its client is, but only the client has this port.
            assert upstream.last.get("x-forwarded-for") == "127.0.0.1"
            port = client.sock.getsockname()[1]
        assert gateway.wait_access(path="/")["client_port"] == port
        assert began(gateway, version) == 1
    finally:
        proxy.stop()


def test_curl_in_front(start, upstream):
    gateway = start(behind(FROM_HERE, upstream))
    told = subprocess.run(["curl", "-sS", "--max-time", "20", "--haproxy-protocol", "-o", "/dev/null", "-w", "%{http_code} %{local_port}",
                           f"http://{gateway.address}/"], capture_output=True, text=True, check=True)
    status, port = told.stdout.split()
    assert status == "200" and gateway.wait_access(path="/")["client_port"] == int(port)
    assert began(gateway, "v1") == 1

