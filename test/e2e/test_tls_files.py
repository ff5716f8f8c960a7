"""What TLS takes from files beside certificates: keys of tickets shared by gateways, OCSP responses, the log of keys; and
what is told of certificates."""

import base64
import datetime
import os
import ssl
import stat
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

import raw
from gateway import plain
from pki import Pki, TlsClient
from raw import wait_until


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    made = Pki(str(tmp_path_factory.mktemp("pki")))
    made.make("www", "www.test")
    made.make("rsa", "www.test", kind="rsa")
    return made


def pair(pki, name="www", **more):
    return {"cert": pki.path(f"{name}.pem"), "key": pki.path(f"{name}.key"), **more}


def secured(certificates, **tls):
    return {"listeners": [{"name": "main", "bind": "127.0.0.1:0", "tls": {"certificates": certificates, **tls}}],
            "routes": [{"name": "echo", "echo": True}]}


def handshakes(gateway, result):
    return gateway.metric("sluice_tls_handshakes_total", listener="main", result=result)


def write(path, data):
    """Whole, or not at all: it is being watched."""
    with open(f"{path}.new", "wb") as out:
        out.write(data)
    os.chmod(f"{path}.new", 0o600)
    os.replace(f"{path}.new", path)


def keys(*records):
    return b"".join(base64.b64encode(record) + b"\n" for record in records)


def connect(gateway, pki, session=None, version=None):
    """One answered request; its session, and whether that was resumed."""
    context = pki.client(**({"maximum_version": version} if version else {}))
    with TlsClient(gateway.address, context, session=session) as client:
        assert client.ask().status == 200
        return client.sock.session, client.sock.session_reused


def resumes(gateway, pki, session):
    """Python resumes with the context that it began with, so what the gateway counts tells."""
    before = handshakes(gateway, "resumed")
    with TlsClient(gateway.address, session[0], session=session[1]) as client:
        assert client.ask().status == 200
    return handshakes(gateway, "resumed") > before


def new_session(gateway, pki):
    context = pki.client()
    with TlsClient(gateway.address, context) as client:
        assert client.ask().status == 200
        return context, client.sock.session


# --- keys of tickets


@pytest.mark.parametrize("size, raw_bytes", [(80, False), (48, False), (80, True), (48, True)],
                         ids=["80-base64", "48-base64", "80-raw", "48-raw"])
def test_gateways_with_the_same_keys_resume_each_others_sessions(start, pki, tmp_path, size, raw_bytes):
    record = os.urandom(size)
    write(tmp_path / "tickets", record if raw_bytes else keys(record))
    one, other = (start(secured([pair(pki)], ticket_keys=str(tmp_path / "tickets"))) for _ in range(2))
    stranger = start(secured([pair(pki)]))
    session = new_session(one, pki)
    assert resumes(other, pki, session)
    assert not resumes(stranger, pki, session)


def test_keys_are_rotated_by_the_file(start, pki, tmp_path):
    old, new = os.urandom(80), os.urandom(80)
    path = tmp_path / "tickets"
    write(path, keys(old))
    gateway = start(secured([pair(pki)], ticket_keys=str(path)))
    session = new_session(gateway, pki)
    write(path, keys(new, old))
    wait_until(lambda: gateway.metric("sluice_config_file_changes_total") == 1, 30)
    assert resumes(gateway, pki, session)
    fresh = new_session(gateway, pki)
    write(path, keys(new))
    wait_until(lambda: gateway.metric("sluice_config_file_changes_total") == 2, 30)
    assert not resumes(gateway, pki, session)
    assert resumes(gateway, pki, fresh)


def test_keys_that_are_none_are_refused_and_told(start, pki, tmp_path, sluice):
    path = tmp_path / "tickets"
    good = os.urandom(80)
    config = secured([pair(pki)], ticket_keys=str(path))
    write(path, keys(good))
    gateway = start(config)
    session = new_session(gateway, pki)
    for data, told in ((b"", "has no key"), (keys(b"x" * 47), "line 1"), (b"!!!!\n", "line 1"), (keys(good, good), "line 2"),
                       (b"x" * 81, "line 1")):
        write(path, data)
        status, answer = gateway.reload()
        assert status != 200 and told in str(answer), answer
    assert resumes(gateway, pki, session)
    write(path, keys(good))
    os.chmod(path, 0o644)
    answer = sluice("check", gateway.file)
    assert answer.returncode == 0 and "may be read by others" in answer.stderr + answer.stdout, answer


# --- OCSP


def response(pki, name, days=1, status=ocsp.OCSPCertStatus.GOOD, revoked=None):
    with open(pki.path(f"{name}.pem"), "rb") as pem:
        cert = x509.load_pem_x509_certificate(pem.read())
    with open(pki.ca, "rb") as pem:
        ca = x509.load_pem_x509_certificate(pem.read())
    with open(pki.path("ca.key"), "rb") as pem:
        key = serialization.load_pem_private_key(pem.read(), None)
    now = datetime.datetime.utcnow()
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=cert, issuer=ca, algorithm=hashes.SHA1(), cert_status=status, this_update=now - datetime.timedelta(days=3),
        next_update=now + datetime.timedelta(days=days), revocation_time=revoked, revocation_reason=None
    ).responder_id(ocsp.OCSPResponderEncoding.HASH, ca)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def asked_status(gateway, pki, *more):
    told = subprocess.run(["openssl", "s_client", "-connect", gateway.address, "-servername", "www.test", "-status", "-CAfile", pki.ca,
                           *more], input="", capture_output=True, text=True, timeout=30, check=False)
    return told.stdout


def test_a_response_is_given_with_its_certificate(start, pki, tmp_path):
    write(tmp_path / "www.ocsp", response(pki, "www"))
    gateway = start(secured([pair(pki, ocsp=str(tmp_path / "www.ocsp")), pair(pki, "rsa")]))
    told = asked_status(gateway, pki)
    assert "OCSP Response Status: successful" in told and "Cert Status: good" in told, told
    assert "OCSP response: no response sent" in asked_status(gateway, pki, "-sigalgs", "RSA-PSS+SHA256")


def test_a_response_is_renewed_by_the_file_and_left_out_when_too_old(start, pki, tmp_path):
    path = tmp_path / "www.ocsp"
    write(path, response(pki, "www", days=-1))
    gateway = start(secured([pair(pki, ocsp=str(path))]))
    assert "no response sent" in asked_status(gateway, pki)
    write(path, response(pki, "www"))
    wait_until(lambda: "Cert Status: good" in asked_status(gateway, pki), 30)


def test_responses_that_do_not_fit_are_refused(pki, tmp_path, sluice):
    revoked = response(pki, "www", status=ocsp.OCSPCertStatus.REVOKED, revoked=datetime.datetime.utcnow())
    for data, told in ((b"nonsense", "is no OCSP response"), (response(pki, "rsa"), "is about another certificate"),
                       (revoked, "says that the certificate is not good")):
        write(tmp_path / "www.ocsp", data)
        (tmp_path / "x.yaml").write_text(f"""
listeners:
  - bind: 127.0.0.1:0
    tls: {{ certificates: [ {{ cert: {pki.path('www.pem')}, key: {pki.path('www.key')}, ocsp: www.ocsp }} ] }}
routes:
  - echo: true
""")
        answer = sluice("check", "x.yaml")
        assert answer.returncode != 0 and told in answer.stderr, answer.stderr


# --- the log of keys


def test_keys_are_logged_only_where_it_is_asked_for_and_that_is_said(start, pki, tmp_path):
    path = tmp_path / "keys.log"
    gateway = start(secured([pair(pki)], key_log=str(path)))
    assert "TLS SECRETS ARE BEING LOGGED" in gateway.stderr()
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        connect(gateway, pki, version=version)
    lines = path.read_text(encoding="ascii").splitlines()
    assert {line.split()[0] for line in lines} >= {"SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0", "CLIENT_RANDOM"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = lines[0].split()[2]
    assert secret not in gateway.stderr() and secret not in gateway.metrics().text


def test_a_check_logs_no_keys_but_warns(pki, tmp_path, sluice):
    (tmp_path / "x.yaml").write_text(f"""
listeners:
  - bind: 127.0.0.1:0
    tls: {{ certificates: [ {{ cert: {pki.path('www.pem')}, key: {pki.path('www.key')} }} ], key_log: keys.log }}
upstreams:
  app: {{ endpoints: [ "127.0.0.1:9" ], tls: {{ key_log: upstream.log }} }}
routes:
  - upstream: app
""")
    answer = sluice("check", "x.yaml")
    assert answer.returncode == 0 and "writes the secrets of all connections" in answer.stdout + answer.stderr, answer
    assert not (tmp_path / "keys.log").exists() and not (tmp_path / "upstream.log").exists()


def test_keys_of_upstream_connections_are_logged_where_it_is_asked_for(start, pki, upstreams, tmp_path):
    fake = upstreams()
    context = pki.server("www")

    def wrap(conn):
        conn.sock = context.wrap_socket(conn.sock, server_side=True)
        return False
    fake.on_connect = wrap
    path = tmp_path / "upstream.log"
    config = plain(fake)
    config["upstreams"]["app"]["tls"] = {"ca": pki.ca, "sni": "www.test", "key_log": str(path)}
    gateway = start(config)
    assert "TLS SECRETS ARE BEING LOGGED" in gateway.stderr()
    assert gateway.ask().status == 200
    lines = path.read_text(encoding="ascii").splitlines()
    assert {line.split()[0] for line in lines} >= {"SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = len(lines)
    del config["upstreams"]["app"]["tls"]["key_log"]
    gateway.must_reload(config)
    assert gateway.ask().status == 200
    assert len(path.read_text(encoding="ascii").splitlines()) == before


# --- what is told


def test_when_certificates_end_is_a_metric(start, pki, tmp_path):
    for name in ("www.pem", "www.key"):
        with open(pki.path(name), "rb") as file:
            write(tmp_path / name, file.read())
    gateway = start(secured([{"cert": str(tmp_path / "www.pem"), "key": str(tmp_path / "www.key")}]))
    name = "sluice_tls_certificate_expires_timestamp_seconds"

    def ends(kind):
        with open(pki.path(f"{kind}.pem"), "rb") as pem:
            end = x509.load_pem_x509_certificate(pem.read()).not_valid_after
        return end.replace(tzinfo=datetime.timezone.utc).timestamp()
    labels = {"listener": "main", "certificate": str(tmp_path / "www.pem"), "server_name": "www.test"}
    assert gateway.metric(name, **labels) == ends("www")
    pki.make("later", "www.test", days=20)
    for kind in ("key", "pem"):
        with open(pki.path(f"later.{kind}"), "rb") as file:
            write(tmp_path / f"www.{kind}", file.read())
    wait_until(lambda: gateway.metric(name, **labels) == ends("later"), 30)
    assert gateway.metric("sluice_config_file_changes_total") >= 1


def test_what_was_agreed_on_is_counted_and_logged(start, pki, tmp_path, upstream):
    config = secured([pair(pki)], client={"mode": "optional", "ca": pki.ca})
    config["access_log"] = {"path": str(tmp_path / "facts.log"), "format": "json", "fields": [
        "path", "tls_version", "tls_alpn", "tls_session", "tls_client_subject", "tls_client_fingerprint"]}
    gateway = start(config)
    gateway.access_path = str(tmp_path / "facts.log")
    pki.make("someone", "someone")
    context = pki.client()
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(pki.path("someone.pem"), pki.path("someone.key"))
    with TlsClient(gateway.address, context) as client:
        assert client.ask(target="/new").status == 200
        session = client.sock.session
    line = gateway.wait_access(path="/new")
    assert (line["tls_alpn"], line["tls_session"], line["tls_client_subject"]) == ("http/1.1", "new", "CN=someone"), line
    assert len(line["tls_client_fingerprint"]) == 64
    with TlsClient(gateway.address, context, session=session) as client:
        assert client.ask(target="/again").status == 200
    assert gateway.wait_access(path="/again")["tls_session"] == "resumed"
    connect(gateway, pki, version=ssl.TLSVersion.TLSv1_2)
    page = gateway.metrics()
    assert page.get("sluice_tls_versions_total", listener="main", version="1.3") == 2
    assert page.get("sluice_tls_versions_total", listener="main", version="1.2") == 1
    assert page.get("sluice_tls_ciphers_total", listener="main") == 3
    assert page.get("sluice_tls_protocols_total", listener="main", protocol="http/1.1") == 2
    assert page.get("sluice_tls_protocols_total", listener="main", protocol="none") == 1
    assert page.get("sluice_tls_client_certificates_total", listener="main") == 2
    assert page.get("sluice_tls_handshakes", listener="main") == 0


# --- handshakes and records


def test_how_long_handshakes_take_is_a_metric(start, pki, upstreams):
    context = pki.server("www")
    fake = upstreams()
    fake.on_connect = lambda conn: setattr(conn, "sock", context.wrap_socket(conn.sock, server_side=True)) and False
    tls = {"certificates": [{"cert": pki.path("www.pem"), "key": pki.path("www.key")}]}
    config = plain(fake, listeners=[{"name": "main", "bind": "127.0.0.1:0", "tls": tls},
                                    {"name": "plain", "bind": "127.0.0.1:0"}])
    config["upstreams"]["app"]["tls"] = {"ca": pki.ca, "sni": "www.test"}
    gateway = start(config)
    ours, theirs = "sluice_tls_handshake_duration_seconds", "sluice_upstream_tls_handshake_duration_seconds"
    assert gateway.metric(ours + "_count") == gateway.metric(theirs + "_count") == 0
    for _ in range(3):
        with TlsClient(gateway.address, pki.client()) as client:
            assert client.ask().status == 200
    reading = gateway.metrics()
    assert reading.get(ours + "_count", listener="main") == 3
    assert reading.get(ours + "_bucket", listener="main", le="+Inf") == 3
    assert 0 < reading.get(ours + "_sum", listener="main") < 60
    assert not reading.has(ours + "_count", listener="plain")
    assert reading.get(theirs + "_count", upstream="app") == fake.connections > 0
    assert 0 < reading.get(theirs + "_sum", upstream="app") < 60


def test_handshakes_at_a_time_are_limited(start, pki):
    gateway = start(secured([pair(pki)], handshakes=2, handshake_timeout="30s"))
    idle = [raw.Client(gateway.address) for _ in range(2)]
    gateway.wait_metric(lambda m: m.get("sluice_tls_handshakes", listener="main") == 2, "two handshakes")
    waiting = raw.Client(gateway.address)
    wait_until(lambda: gateway.metric("sluice_downstream_refused_total", listener="main", cause="handshakes") == 1)
    assert gateway.metric("sluice_downstream_connections", listener="main") == 2
    idle[0].close()
    wait_until(lambda: gateway.metric("sluice_downstream_connections_total", listener="main") == 3)
    idle[1].close()
    waiting.close()
    wait_until(lambda: gateway.metric("sluice_tls_handshakes", listener="main") == 0)
    connect(gateway, pki)


class RecordReader:
    """A client that sees the records: TLS over memory, bytes by hand."""

    def __init__(self, address, context):
        self.sock = raw.open_socket(address)
        self.come, self.go = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.come, self.go, server_hostname="www.test")
        self.records, self.rest = [], b""
        self.until(self.tls.do_handshake)

    def until(self, call):
        while True:
            try:
                done = call()
                self.sock.sendall(self.go.read())
                return done
            except ssl.SSLWantReadError:
                self.sock.sendall(self.go.read())
                data = self.sock.recv(65536)
                assert data, "ended"
                self.come.write(data)
                self.rest += data
                while len(self.rest) >= 5 and len(self.rest) >= 5 + int.from_bytes(self.rest[3:5], "big"):
                    length = int.from_bytes(self.rest[3:5], "big")
                    self.records.append((self.rest[0], length))
                    self.rest = self.rest[5 + length:]

    def get(self, path, size):
        self.records.clear()
        self.tls.write(b"GET %s HTTP/1.1\r\nHost: www.test\r\n\r\n" % path.encode())
        got = b""
        while b"\r\n\r\n" not in got or len(got.split(b"\r\n\r\n", 1)[1]) < size:
            got += self.until(lambda: self.tls.read(65536))
        return [length for kind, length in self.records if kind == 23]


@pytest.mark.parametrize("small", ["16KiB", "0"])
def test_records_are_small_at_first_and_large_in_bulk(start, pki, upstream, small):
    body = os.urandom(256 * 1024)
    upstream.on("/bulk", lambda exchange: exchange.reply(200, body))
    config = plain(upstream, listeners=secured([pair(pki)], small_records=small)["listeners"])
    gateway = start(config)
    reader = RecordReader(gateway.address, pki.client())
    try:
        lengths = reader.get("/bulk", len(body))
        # Tickets are records as well; how the upstream's bytes were cut on their way is nobody's promise.
        if small == "0":
            assert max(lengths) > 8 * 1024 and sum(lengths[:6]) > 16 * 1024, lengths[:20]
        else:
            early = [length for at, length in enumerate(lengths) if sum(lengths[:at + 1]) <= 16 * 1024]
            assert max(early) <= 4096 + 64 and len(early) >= 3, lengths[:20]
            assert max(lengths) > 8 * 1024, lengths[:20]
    finally:
        reader.sock.close()
