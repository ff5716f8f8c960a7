"""TLS on both sides: certificates, versions, resumption, clients' certificates, reloads, truncation."""

import base64
import hashlib
import json
import os
import signal
import socket
import ssl
import subprocess
import threading

import pytest
import plugins
import raw
from gateway import plain
from pki import Pki, TlsClient, openssl
from raw import wait_until
from upstream import Gone

BULK = 20 * 1024 * 1024


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    made = Pki(str(tmp_path_factory.mktemp("pki")))
    made.make("www", "www.test", "test", "127.0.0.1", "localhost")
    made.make("rsa", "www.test", "test", "127.0.0.1", "localhost", kind="rsa")
    made.make("wild", "*.wild.test")
    made.make("other", "other.test")
    made.make("someone", "someone")
    return made


def pair(pki, name):
    return {"cert": pki.path(f"{name}.pem"), "key": pki.path(f"{name}.key")}


def secured(pki, *fakes, names=("www",), extra=None, **config):
    listener = {"name": "main", "bind": "127.0.0.1:0",
                "tls": {"certificates": [pair(pki, name) for name in names], **(extra or {})}}
    if fakes:
        return plain(*fakes, listeners=[listener], **config)
    return {"listeners": [listener], "routes": [{"name": "echo", "echo": True}], **config}


def handshakes(gateway, result):
    return gateway.metric("sluice_tls_handshakes_total", listener="main", result=result)


def tls_upstream(upstreams, context):
    """A fake upstream that speaks TLS; .names has what it was asked for."""
    fake = upstreams()
    fake.names = []
    context.sni_callback = lambda sock, name, _: fake.names.append(name)

    def wrap(conn):
        try:
            conn.sock = context.wrap_socket(conn.sock, server_side=True)
        except (OSError, ssl.SSLError):
            raise Gone() from None
        return False
    fake.on_connect = wrap
    return fake


# --- clients


def test_requests_are_served_and_told_of(start, pki, upstream):
    gateway = start(secured(pki, upstream, access_log={"path": "access.log", "format": "json", "fields": [
        "path", "scheme", "reason", "tls_version", "tls_cipher", "tls_sni"]}))
    with TlsClient(gateway.address, pki.client()) as client:
        assert client.sock.version() == "TLSv1.3"
        for path in ("/a", "/b"):
            assert client.ask(target=path).status == 200
    assert upstream.last.get("x-forwarded-proto") == "https"
    assert handshakes(gateway, "full") == 1
    wait_until(lambda: os.path.exists(os.path.join(gateway.dir, "access.log")))
    gateway.access_path = os.path.join(gateway.dir, "access.log")
    line = gateway.wait_access(path="/a")
    assert line["scheme"] == "https" and line["tls_version"] == "TLSv1.3" and line["tls_sni"] == "www.test", line
    assert line["tls_cipher"].startswith("TLS_"), line


def test_the_name_asked_for_decides_on_the_certificate(start, pki):
    gateway = start(secured(pki, names=("www", "wild", "other")))
    for name, wanted in (("www.test", "www"), ("WWW.test", "www"), ("other.test", "other"), ("a.wild.test", "wild"),
                         ("a.b.wild.test", "www"), ("wild.test", "www"), ("unknown.test", "www"), (None, "www")):
        with TlsClient(gateway.address, pki.client(check_hostname=False), name) as client:
            assert client.sock.getpeercert(binary_form=True) == pki.subject(wanted), name


def test_an_rsa_and_an_ecdsa_certificate_stand_side_by_side(start, pki):
    gateway = start(secured(pki, names=("www", "rsa")))
    for cipher, wanted in (("ECDHE-ECDSA-AES128-GCM-SHA256", "www"), ("ECDHE-RSA-AES128-GCM-SHA256", "rsa")):
        context = pki.client(maximum_version=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(cipher)
        with TlsClient(gateway.address, context) as client:
            assert client.sock.getpeercert(binary_form=True) == pki.subject(wanted)


def test_old_versions_and_weak_ciphers_are_refused(start, pki):
    gateway = start(secured(pki))
    old = pki.client(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    weak = pki.client(maximum_version=ssl.TLSVersion.TLSv1_2)
    weak.set_ciphers("ECDHE-ECDSA-AES128-SHA256")
    for context in (old, weak):
        with pytest.raises(ssl.SSLError):
            TlsClient(gateway.address, context).close()
    gateway.wait_metric(lambda m: m.get("sluice_tls_handshakes_total", result="failed") == 2)


def test_alpn_agrees_on_what_is_configured_and_on_nothing_else(start, pki):
    config = secured(pki)
    config["listeners"][0]["protocols"] = ["http/1.1"]
    gateway = start(config)
    context = pki.client()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with TlsClient(gateway.address, context) as client:
        assert client.sock.selected_alpn_protocol() == "http/1.1"
        assert client.ask().status == 200
    context.set_alpn_protocols(["imap"])
    with pytest.raises(ssl.SSLError):
        TlsClient(gateway.address, context).close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed_by_any_worker_and_after_a_reload(start, pki, version):
    config = secured(pki, workers=2)
    gateway = start(config)
    context = pki.client(minimum_version=version, maximum_version=version)
    with TlsClient(gateway.address, context) as client:
        assert client.ask().status == 200
        session = client.sock.session
    gateway.must_reload(config)
    for _ in range(8):
        with TlsClient(gateway.address, context, session=session) as client:
            assert client.ask().status == 200
            assert client.sock.session_reused
    assert handshakes(gateway, "resumed") == 8


def test_tickets_can_be_turned_off(start, pki):
    gateway = start(secured(pki, extra={"session_tickets": False}))
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = pki.client(maximum_version=version)
        with TlsClient(gateway.address, context) as client:
            client.ask()
            session = client.sock.session
        with TlsClient(gateway.address, context, session=session) as client:
            assert client.ask().status == 200 and not client.sock.session_reused


def test_plain_http_is_told_so(start, pki):
    gateway = start(secured(pki))
    with gateway.client() as client:
        client.send(raw.request_bytes())
        answer = client.read_response()
        assert answer.status == 400 and b"TLS" in answer.body
        client.expect_close()
    assert handshakes(gateway, "plain_http") == 1


def test_why_handshakes_failed_is_counted(start, pki, tmp_path):
    other = Pki(str(tmp_path))
    other.make("stranger", "stranger")
    gateway = start(secured(pki, extra={"strict_sni": True, "client": {"mode": "require", "ca": pki.ca}}))

    def context(version=ssl.TLSVersion.TLSv1_2, by=pki, cert="someone", **options):
        made = by.client(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=version, **options)
        if cert:
            made.load_cert_chain(pki.path(f"{cert}.pem"), pki.path(f"{cert}.key"))
        return made
    old, weak, foreign, stranger = context(ssl.TLSVersion.TLSv1_1), context(), context(), context(cert=None)
    old.set_ciphers("ALL:@SECLEVEL=0")
    weak.set_ciphers("ECDHE-ECDSA-AES128-SHA256")
    foreign.set_alpn_protocols(["smtp"])
    stranger.load_cert_chain(other.path("stranger.pem"), other.path("stranger.key"))
    for count, (cause, how, name) in enumerate([
            ("version", old, "www.test"), ("cipher", weak, "www.test"), ("protocol", foreign, "www.test"),
            ("server_name", context(check_hostname=False), "else.test"), ("no_certificate", context(cert=None), "www.test"),
            ("bad_certificate", stranger, "www.test"), ("alert", context(by=other), "www.test")]):
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            TlsClient(gateway.address, how, name=name).close()
        gateway.wait_metric(lambda m, n=count + 1: m.get("sluice_tls_handshake_failures_total") == n, cause)
        assert gateway.metric("sluice_tls_handshake_failures_total", listener="main", cause=cause) == 1, cause
    with gateway.client() as client:
        client.send(b"\x16\x03\x01\x02")
    gateway.wait_metric(lambda m: m.get("sluice_tls_handshake_failures_total", cause="closed") == 1)
    assert handshakes(gateway, "failed") == 8


def test_garbage_and_silence_end_the_handshake(start, pki):
    gateway = start(secured(pki, extra={"handshake_timeout": "200ms"}))
    with gateway.client() as client:
        client.send(b"\x00" * 64)
        with pytest.raises(raw.Closed):
            while True:
                client._more("after garbage")
    with gateway.client() as client:
        client.expect_close()
    gateway.wait_metric(lambda m: m.get("sluice_tls_handshakes_total", result="timeout") == 1)
    assert handshakes(gateway, "failed") == 1


def test_a_handshake_in_single_bytes_is_a_handshake(start, pki):
    gateway = start(secured(pki))
    context, into, out = pki.client(), ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(into, out, server_hostname="www.test")
    with gateway.client() as client:
        def move(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    client.send_byte_by_byte(out.read())
                    into.write(client.sock.recv(1))
        move(tls.do_handshake)
        tls.write(raw.request_bytes(fields=[("Connection", "close")]))
        client.send_byte_by_byte(out.read())
        got = move(lambda: tls.read(12))
        assert got == b"HTTP/1.1 200"


# --- clients' certificates


def test_a_required_certificate_is_checked_and_forwarded(start, pki, upstream):
    gateway = start(secured(pki, upstream, extra={"client": {"mode": "require", "ca": pki.ca, "forward": True}}))
    context = pki.client()
    with pytest.raises((ssl.SSLError, raw.Closed, ConnectionResetError)):
        with TlsClient(gateway.address, context) as client:
            client.ask()
    context.load_cert_chain(pki.path("someone.pem"), pki.path("someone.key"))
    lie = [("Client-Cert", ":bGll:"), ("client-cert-chain", ":bGll:"), ("Client_Cert", ":bGll:"), ("client-cert_chain", ":bGll:")]
    with TlsClient(gateway.address, context) as client:
        assert client.ask(fields=lie).status == 200
        session = client.sock.session
    wanted = ":" + base64.b64encode(pki.subject("someone")).decode() + ":"
    assert upstream.last.all("client-cert") == [wanted]
    assert not [name for name, value in upstream.last.fields if "bGll" in value], "whatever the name looks like to a CGI"
    with TlsClient(gateway.address, context, session=session) as client:
        assert client.ask().status == 200 and client.sock.session_reused
    assert upstream.last.all("client-cert") == [wanted], "a resumed session has its certificate"


def is_let_in(gateway, pki, name):
    """By TLS 1.2 the handshake tells, and no session of it is offered again."""
    context = pki.client(maximum_version=ssl.TLSVersion.TLSv1_2)
    context.load_cert_chain(pki.path(f"{name}.pem"), pki.path(f"{name}.key"))
    try:
        with TlsClient(gateway.address, context) as client:
            return client.ask().status == 200
    except (ssl.SSLError, raw.Closed, ConnectionResetError):
        return False


def test_a_revoked_certificate_is_not_let_in(start, tmp_path):
    pki = Pki(str(tmp_path))
    for name in ("www", "good", "bad"):
        pki.make(name, f"{name}.test")
    gateway = start(secured(pki, extra={"client": {"mode": "require", "ca": pki.ca, "crl": pki.revoke("bad")}}))
    assert is_let_in(gateway, pki, "good") and not is_let_in(gateway, pki, "bad")
    gateway.wait_metric(lambda m: m.get("sluice_tls_handshakes_total", result="failed") == 1)
    context = pki.client()
    context.load_cert_chain(pki.path("good.pem"), pki.path("good.key"))
    with TlsClient(gateway.address, context) as client:
        client.ask()
        session = client.sock.session
        pki.revoke("good")  # its connection goes on; the file is read again by itself
        wait_until(lambda: is_let_in(gateway, pki, "bad"), deadline_s=60, what="the new list")
        assert client.ask().status == 200
    assert not is_let_in(gateway, pki, "good")
    with pytest.raises((ssl.SSLError, raw.Closed, ConnectionResetError)):
        with TlsClient(gateway.address, context, session=session) as client:
            client.ask()


def test_a_list_of_the_revoked_that_is_none_is_told(sluice, tmp_path):
    pki = Pki(str(tmp_path))
    pki.make("www", "www.test")

    def told(**client):
        (tmp_path / "x.yaml").write_text(json.dumps(secured(pki, extra={"client": {"ca": pki.ca, **client}})))
        return sluice("check", "x.yaml")
    (tmp_path / "none.crl").write_text("nothing\n")
    (tmp_path / "half.crl").write_text(open(pki.revoke("www"), encoding="ascii").read() + "-----BEGIN X509 CRL-----\nMII=\n")
    for name in ("none", "half"):
        answer = told(mode="require", crl=f"{name}.crl")
        assert answer.returncode == 3 and f"{name}.crl' cannot be used" in answer.stderr, answer
    assert "cannot be read" in told(mode="require", crl="missing.crl").stderr
    answer = told(mode="require", crl=pki.revoke("www", days=-1))
    assert answer.returncode == 0 and "is too old" in answer.stderr, answer
    assert "does nothing while mode is none" in told(mode="none", crl="ca.crl").stderr


def test_who_asks_for_no_name_of_ours_may_be_refused(start, pki):
    gateway = start(secured(pki, names=("www", "wild"), extra={"strict_sni": True}))
    for name in ("www.test", "a.wild.test"):
        with TlsClient(gateway.address, pki.client(check_hostname=False), name=name) as client:
            assert client.ask().status == 200
    for name in ("a.b.wild.test", "else.test", None):
        with pytest.raises(ssl.SSLError) as refused:
            TlsClient(gateway.address, pki.client(check_hostname=False), name=name)
        assert "UNRECOGNIZED_NAME" in str(refused.value).upper().replace(" ", "_"), refused.value
    gateway.wait_metric(lambda m: m.get("sluice_tls_handshakes_total", result="failed") == 3)
    gateway.must_reload(secured(pki))
    with TlsClient(gateway.address, pki.client(check_hostname=False), name="else.test") as client:
        assert client.ask().status == 200


def test_plugins_see_whose_certificate_it_is(start, pki, upstream, binary):
    text = "$${tls.client.subject:-nobody} $${tls.client.fingerprint:-none}"
    gateway = start(secured(pki, upstream, extra={"client": {"mode": "optional", "ca": pki.ca}},
                            plugin_path=[plugins.folder(binary)], plugins=[plugins.probe("a", text=text)]))
    context = pki.client()
    with TlsClient(gateway.address, context) as client:
        assert client.ask().status == 200
    assert upstream.last.get("x-text") == "nobody none"
    context.load_cert_chain(pki.path("someone.pem"), pki.path("someone.key"))
    with TlsClient(gateway.address, context) as client:
        assert client.ask().status == 200
    with open(pki.path("someone.pem"), encoding="ascii") as file:
        der = ssl.PEM_cert_to_DER_cert(file.read())
    assert upstream.last.get("x-text") == f"CN=someone {hashlib.sha256(der).hexdigest()}"


def test_what_clients_say_of_certificates_is_never_believed(start, pki, upstream):
    gateway = start(plain(upstream))
    assert gateway.ask(fields=[("Client-Cert", ":bGll:"), ("CLIENT-CERT-CHAIN", ":bGll:"), ("CLIENT_CERT", ":bGll:")]).status == 200
    assert upstream.last.all("client-cert") == upstream.last.all("client-cert-chain") == upstream.last.all("client_cert") == []
    optional = start(secured(pki, upstream, extra={"client": {"mode": "optional", "ca": pki.ca, "forward": True}}))
    with TlsClient(optional.address, pki.client()) as client:
        assert client.ask(fields=[("Client-Cert", ":bGll:")]).status == 200
    assert upstream.last.all("client-cert") == []


def test_a_session_is_not_resumed_where_certificates_are_asked_for(start, pki):
    gateway = start(secured(pki))
    context = pki.client()
    with TlsClient(gateway.address, context) as client:
        client.ask()
        session = client.sock.session
    gateway.must_reload(secured(pki, extra={"client": {"mode": "require", "ca": pki.ca}}))
    with pytest.raises((ssl.SSLError, raw.Closed, ConnectionResetError)):
        with TlsClient(gateway.address, context, session=session) as client:
            client.ask()


# --- reload


def test_a_changed_certificate_is_taken_up_without_touching_connections(start, pki, tmp_path):
    mine = Pki(str(tmp_path))
    mine.make("www", "www.test")
    gateway = start(secured(mine))
    with TlsClient(gateway.address, mine.client()) as old:
        before = mine.subject("www")
        assert old.ask().status == 200
        mine.make("www", "www.test")
        assert mine.subject("www") != before
        gateway.wait_metric(lambda m: m.get("sluice_config_reloads_total") >= 1, "a reload by itself")
        with TlsClient(gateway.address, mine.client()) as new:
            assert new.sock.getpeercert(binary_form=True) == mine.subject("www")
        assert old.ask().status == 200
        assert old.sock.getpeercert(binary_form=True) == before


def test_bad_files_are_told_at_their_place(sluice, pki, tmp_path):
    def check(cert, key, more=""):
        (tmp_path / "x.yaml").write_text("listeners:\n  - bind: 127.0.0.1:8443\n    tls:\n      certificates:\n"
                                         f"        - cert: {cert}\n          key: {key}\n{more}"
                                         "routes: [ { echo: true } ]\n")
        return sluice("check", "-c", "x.yaml")
    os.symlink(pki.path("www.pem"), tmp_path / "www.pem")
    good = check("www.pem", pki.path("www.key"))
    assert good.returncode == 0, good
    for cert, key, words in (("no.pem", pki.path("www.key"), ("x.yaml:5:17: error", "no.pem", "No such file")),
                             ("www.pem", pki.path("other.key"), ("x.yaml:6:16: error", "not that of the cert")),
                             (pki.path("www.key"), pki.path("www.key"), ("x.yaml:5:17", "has no certificate"))):
        told = check(cert, key)
        assert told.returncode == 3, told
        for word in words:
            assert word in told.stderr + told.stdout, told
    for more, word in (("      ciphers: NONSENSE\n", "tls.ciphers 'NONSENSE'"),
                       ("      groups: X9\n", "tls.groups 'X9'"),
                       ("      min_version: \"1.3\"\n      max_version: \"1.2\"\n", "above tls.max_version"),
                       ("      client: { mode: require }\n", "no ca can check them")):
        told = check("www.pem", pki.path("www.key"), more)
        assert told.returncode == 3 and word in told.stderr + told.stdout, told


def test_an_expired_certificate_is_warned_of(sluice, tmp_path):
    mine = Pki(str(tmp_path))
    mine.make("www", "www.test", days=-1)
    (tmp_path / "x.yaml").write_text("listeners:\n  - bind: 127.0.0.1:8443\n    tls:\n      certificates: "
                                     "[ { cert: www.pem, key: www.key } ]\nroutes: [ { echo: true } ]\n")
    told = sluice("check", "-c", "x.yaml")
    assert told.returncode == 0 and "has expired" in told.stderr + told.stdout, told


def test_no_key_is_shown(start, pki):
    gateway = start(secured(pki))
    with open(pki.path("www.key"), encoding="ascii") as key:
        secret = key.read().splitlines()[1]
    assert secret not in gateway.admin.ask("GET", "/config").body.decode() + gateway.stderr()


# --- bodies


def test_bulk_both_ways_over_tls_on_both_sides(start, pki, upstreams):
    fake = tls_upstream(upstreams, pki.server("www"))
    block = os.urandom(1024 * 1024)
    data = block * (BULK // len(block))
    wanted = hashlib.sha256(data).hexdigest()

    def echo(exchange):
        got = hashlib.sha256()
        exchange.read_body(got.update)
        exchange.reply(200, data, [("x-got", got.hexdigest())])
    fake.on("/bulk", echo)
    config = secured(pki, fake)
    config["upstreams"]["app"]["tls"] = {"ca": pki.ca, "sni": "www.test"}
    gateway = start(config)
    with TlsClient(gateway.address, pki.client(), receive_buffer=16384) as client:
        # One after the other, as the upstream does: one TLS object is not for two threads.
        client.send(raw.request_bytes("POST", "/bulk", body=data))
        got = hashlib.sha256()
        answer = client.read_response(sink=got.update)
        assert answer.get("x-got") == wanted and got.hexdigest() == wanted
    if not os.environ.get("SLUICE_SAN"):
        assert gateway.pss_kib() < 40 * 1024, "memory grew with the bodies"


# --- upstreams


def test_a_verified_upstream_is_kept_and_resumed(start, pki, upstreams):
    fake = tls_upstream(upstreams, pki.server("www"))
    config = plain(fake)
    config["upstreams"]["app"].update(tls={"ca": pki.ca, "sni": "www.test"}, connections={"requests": 2})
    gateway = start(config)
    for _ in range(6):
        assert gateway.ask().status == 200
    assert fake.connections == 3, "each for two requests"
    assert fake.names == ["www.test"] * 3
    shaken = {result: gateway.metric("sluice_upstream_tls_handshakes_total", upstream="app", result=result)
              for result in ("full", "resumed", "failed")}
    assert shaken == {"full": 1, "resumed": 2, "failed": 0}
    assert gateway.metric("sluice_upstream_tls_versions_total", upstream="app", version="1.3") == 3
    endpoint = gateway.admin.json("/upstreams")["upstreams"][0]["endpoints"][0]
    assert endpoint["tls_handshakes"] == shaken and endpoint["goaways"] == 0 and endpoint["resets_by_cause"] == {}


@pytest.mark.parametrize("tls, cause", [({}, "self-signed certificate in certificate chain"),
                                        ({"ca": "CA", "sni": "other.test"}, "hostname mismatch"),
                                        (True, "unable to get local issuer certificate")])
def test_an_upstream_that_is_not_who_it_should_be_gets_nothing(start, pki, upstreams, tls, cause):
    fake = tls_upstream(upstreams, pki.server("www"))
    config = plain(fake)
    if isinstance(tls, dict):
        tls = {key: pki.ca if value == "CA" else value for key, value in tls.items()}
    config["upstreams"]["app"]["tls"] = tls
    gateway = start(config)
    answer = gateway.ask()
    assert answer.status == 502
    gateway.expect_end("connect_failed")
    told = gateway.log("TLS handshake with an endpoint failed")
    assert told and (told[0]["cause"].lower() == cause or "issuer" in told[0]["cause"]), told
    assert gateway.metric("sluice_upstream_tls_handshakes_total", upstream="app", result="failed") >= 1
    assert gateway.metric("sluice_upstream_tls_versions_total", upstream="app") == 0
    assert fake.requests == []


def test_an_unverified_upstream_is_possible_and_warned_of(start, pki, upstreams):
    fake = tls_upstream(upstreams, pki.server("other"))
    config = plain(fake)
    config["upstreams"]["app"]["tls"] = {"verify": False}
    gateway = start(config)
    assert gateway.ask().status == 200
    assert "tls.verify is off" in gateway.stderr()


def test_an_address_is_checked_as_an_address(start, pki, upstreams):
    fake = tls_upstream(upstreams, pki.server("www"))
    config = plain(fake)
    config["upstreams"]["app"]["tls"] = {"ca": pki.ca}
    gateway = start(config)
    assert gateway.ask().status == 200
    assert fake.names == [None], "an address is never asked for as a name"


def test_our_certificate_is_shown_to_an_upstream(start, pki, upstreams):
    fake = tls_upstream(upstreams, pki.server("www", client_ca=True))
    config = plain(fake)
    config["upstreams"]["app"]["tls"] = {"ca": pki.ca, "sni": "www.test", **pair(pki, "someone")}
    gateway = start(config)
    assert gateway.ask().status == 200


def test_a_reload_that_asks_for_tls_uses_no_plain_connection(start, pki, upstreams):
    fake = upstreams()
    gateway = start(plain(fake))
    assert gateway.ask().status == 200
    config = plain(fake)
    config["upstreams"]["app"]["tls"] = {"ca": pki.ca}
    gateway.must_reload(config)
    fake.on_connect = lambda conn: True
    assert gateway.ask().status == 502
    assert len(fake.requests) == 1


@pytest.mark.parametrize("in_order", [True, False])
def test_content_until_the_end_needs_the_end_in_order(start, pki, upstreams, in_order):
    fake = tls_upstream(upstreams, pki.server("www"))

    def reply(exchange):
        exchange.send(b"HTTP/1.0 200 OK\r\n\r\nhalf")
        if in_order:
            exchange.conn.sock = exchange.conn.sock.unwrap()
        else:
            exchange.conn.sock = socket.socket(fileno=exchange.conn.sock.detach())
        exchange.conn.sock.shutdown(socket.SHUT_RDWR)
        exchange.close()
    fake.on("/", reply)
    config = plain(fake)
    config["upstreams"]["app"]["tls"] = {"ca": pki.ca}
    gateway = start(config)
    if in_order:
        assert gateway.ask().body == b"half"
    else:
        with pytest.raises(raw.Closed):
            gateway.ask()
        gateway.expect_end("upstream_reset")


def test_a_reset_that_comes_with_the_request_ends_its_exchange(start, pki, upstream):
    """No event tells of it apart, and nothing is written to the client for long."""
    upstream.on("/slow", lambda exchange: exchange.wait_gone())
    gateway = start(secured(pki, upstream))
    client = TlsClient(gateway.address, pki.client())
    client.ask()
    os.kill(gateway.pid, signal.SIGSTOP)  # so that it is one event
    client.send(raw.request_bytes(target="/slow"))
    client.reset()
    os.kill(gateway.pid, signal.SIGCONT)
    gateway.expect_end("client_reset", path="/slow")
    upstream.wait_idle()


def test_a_client_that_leaves_in_order_ends_its_exchange(start, pki, upstreams):
    left = threading.Event()
    fake = upstreams(lambda exchange: (left.set(), exchange.wait_gone()))
    gateway = start(secured(pki, fake))
    client = TlsClient(gateway.address, pki.client())
    client.send(raw.request_bytes())
    assert left.wait(raw.DEADLINE_S)
    client.sock.settimeout(0.2)
    try:
        client.sock.unwrap()
    except (OSError, ssl.SSLError):
        pass
    client.sock.close()
    gateway.expect_end("client_closed")
