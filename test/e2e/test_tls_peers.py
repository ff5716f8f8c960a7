"""TLS with peers that are not ours: what sslscan finds, openssl's client and server. (testssl.sh takes minutes: see
soak/testssl.py.)"""

import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

import raw
from gateway import plain
from pki import Pki
from raw import wait_until


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    made = Pki(str(tmp_path_factory.mktemp("pki")))
    made.make("www", "www.test", "127.0.0.1")
    made.make("rsa", "www.test", "127.0.0.1", kind="rsa")
    made.make("gateway", "gateway.test")
    return made


def pair(pki, name):
    return {"cert": pki.path(f"{name}.pem"), "key": pki.path(f"{name}.key")}


def secured(pki, **tls):
    return {"listeners": [{"name": "main", "bind": "127.0.0.1:0", "tls": {
        "certificates": [pair(pki, "www"), pair(pki, "rsa")], **tls}}], "routes": [{"name": "echo", "echo": True}]}


def handshakes(gateway, result):
    return gateway.metric("sluice_tls_handshakes_total", listener="main", result=result)


# --- sslscan


def scan(gateway, tmp_path):
    subprocess.run(["sslscan", f"--xml={tmp_path}/scan.xml", "--no-colour", "--show-sigs", gateway.address], check=True,
                   stdout=subprocess.DEVNULL, timeout=120)
    return ElementTree.parse(f"{tmp_path}/scan.xml").getroot().find("ssltest")


def test_sslscan_finds_nothing_old_or_weak(start, pki, tmp_path):
    found = scan(start(secured(pki)), tmp_path)
    assert {(p.get("type") + p.get("version")) for p in found.findall("protocol") if p.get("enabled") == "1"} == {"tls1.2", "tls1.3"}
    ciphers = {(c.get("sslversion"), c.get("cipher")) for c in found.findall("cipher")}
    kinds = ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    assert ciphers == {("TLSv1.2", f"ECDHE-{key}-{kind}") for key in ("ECDSA", "RSA") for kind in kinds} | {
        ("TLSv1.3", name) for name in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")}
    assert {c.get("strength") for c in found.findall("cipher")} <= {"acceptable", "strong"}
    assert {g.get("name") for g in found.findall("group")} == {"secp256r1 (NIST P-256)", "secp384r1 (NIST P-384)", "x25519"}
    assert all(int(g.get("bits")) >= 112 for g in found.findall("group"))
    assert found.find("renegotiation").get("supported") == "0"
    assert all(h.get("vulnerable") == "0" for h in found.findall("heartbleed"))
    signatures = {s.get("name") for s in found.findall("connection-signature-algorithm")}
    assert signatures and not [name for name in signatures if "sha1" in name.lower() or "md5" in name.lower() or "any" in name.lower()]


def test_sslscan_sees_the_version_that_is_configured(start, pki, tmp_path):
    found = scan(start(secured(pki, min_version="1.3")), tmp_path)
    assert {(p.get("type") + p.get("version")) for p in found.findall("protocol") if p.get("enabled") == "1"} == {"tls1.3"}


# --- openssl's client


def s_client(gateway, pki, *args, request=b"GET / HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n"):
    """Ask; the whole of what it prints, once the gateway has closed."""
    told = subprocess.run(["openssl", "s_client", "-connect", gateway.address, "-servername", "www.test", "-CAfile", pki.ca,
                           "-verify_return_error", "-ign_eof", *args], input=request, capture_output=True, timeout=60, check=False)
    return told.stdout.decode("latin-1") + told.stderr.decode("latin-1")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_asks_and_resumes(start, pki, tmp_path, version):
    gateway = start(secured(pki))
    # A session that is resumed brings another one in TLS 1.3, where each is used but once.
    first, second = (str(tmp_path / name) for name in ("first", "second"))
    steps = [(["-sess_out", first], "New, TLSv1"), (["-sess_in", first, "-sess_out", second], "Reused, TLSv1")]
    if version == "-tls1_3":
        steps.append((["-sess_in", second], "Reused, TLSv1"))
    for args, how in steps:
        told = s_client(gateway, pki, version, *args)
        assert how in told and "HTTP/1.1 200 " in told, told
        assert "Verify return code: 0 (ok)" in told
    assert handshakes(gateway, "full") == 1 and handshakes(gateway, "resumed") == len(steps) - 1


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_is_told_how_long_it_may_resume(start, pki, tmp_path, version):
    gateway = start(secured(pki, session_timeout="1s"))
    saved = str(tmp_path / "session")
    assert "lifetime hint: 1 (seconds)" in s_client(gateway, pki, version, "-sess_out", saved)
    # It offers what it has all the same, until we say no.
    wait_until(lambda: "New, TLSv1" in s_client(gateway, pki, version, "-sess_in", saved), what="the end of the session")
    assert handshakes(gateway, "full") == 2
    gateway.must_reload(secured(pki))
    assert "lifetime hint: 7200 (seconds)" in s_client(gateway, pki, version)


@pytest.mark.parametrize("group", ["X25519", "P-256", "P-384"])
@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
def test_openssl_with_each_suite_and_group(start, pki, suite, group):
    gateway = start(secured(pki))
    told = s_client(gateway, pki, "-tls1_3", "-ciphersuites", suite, "-groups", group)
    assert f"Cipher is {suite}" in told and "HTTP/1.1 200 " in told, told


def test_openssl_cannot_make_us_weaker(start, pki):
    gateway = start(secured(pki))
    for args in (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), ("-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"),
                 ("-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"), ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256"),
                 ("-tls1_3", "-groups", "ffdhe2048"), ("-alpn", "smtp")):
        told = s_client(gateway, pki, *args)
        assert "HTTP/1.1" not in told, (args, told)
    gateway.wait_metric(lambda m: m.get("sluice_tls_handshakes_total", listener="main", result="failed") == 6, "six failed")
    # To renegotiate is refused, and not by hanging.
    told = s_client(gateway, pki, "-tls1_2", request=b"R\n")
    assert "no renegotiation" in told or "HTTP/1.1 400" in told or "alert" in told, told


def test_openssl_updates_its_keys(start, pki):
    gateway = start(secured(pki))
    # "K" on a line of its own: new keys for both sides. -ign_eof would send it as it is.
    told = subprocess.run(["openssl", "s_client", "-connect", gateway.address, "-servername", "www.test", "-CAfile", pki.ca, "-tls1_3",
                           "-no_ign_eof"], input=b"K\nGET / HTTP/1.1\r\nHost: www.test\r\nConnection: close\r\n\r\n",
                          capture_output=True, timeout=60, check=False)
    assert b"KEYUPDATE" in told.stderr + told.stdout, told


# --- openssl's server


class Server:
    """openssl s_server on a free port: it answers each request with a page that says what was agreed on."""

    def __init__(self, pki, *args):
        self.process = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", pki.path("www.pem"), "-key",
                                         pki.path("www.key"), "-www", *args], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            if line.startswith("ACCEPT "):
                self.address = line.split()[1]
                return
        raise AssertionError("openssl s_server has ended")

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_as_the_upstream(start, pki, version):
    server = Server(pki, version, "-Verify", "1", "-CAfile", pki.ca, "-verify_return_error")
    try:
        config = plain(server)
        config["upstreams"]["app"]["tls"] = {"ca": pki.ca, "sni": "www.test", **pair(pki, "gateway")}
        gateway = start(config)
        for how in ("New, TLSv1", "Reused, TLSv1"):
            answer = raw.ask(gateway.address)
            assert answer.status == 200 and how in answer.body.decode("latin-1"), answer.body
        assert b"subject=CN = gateway" in answer.body or b"Client certificate" in answer.body, answer.body
    finally:
        server.stop()


@pytest.mark.parametrize("ours, server, agreed", [
    ({"max_version": "1.2", "ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256"}, [], b"TLSv1.2, Cipher is ECDHE-ECDSA-AES128-GCM-SHA256"),
    ({"ciphersuites": "TLS_CHACHA20_POLY1305_SHA256"}, [], b"TLSv1.3, Cipher is TLS_CHACHA20_POLY1305_SHA256"),
    ({"groups": "P-384"}, ["-groups", "P-384:P-256"], b"TLSv1.3"),
    ({"groups": "X25519"}, ["-groups", "P-384"], None),
    ({"max_version": "1.2"}, ["-tls1_3"], None),
    ({"min_version": "1.3"}, ["-tls1_2"], None)])
def test_an_upstream_is_spoken_to_as_configured(start, pki, ours, server, agreed):
    """By requests and by health checks alike."""
    there = Server(pki, *server)
    try:
        config = plain(there)
        config["upstreams"]["app"]["tls"] = {"ca": pki.ca, "sni": "www.test", **ours}
        answer = raw.ask(start(config).address)
        assert (answer.status, agreed is None or agreed in answer.body) == (200 if agreed else 502, True), answer.body
        config["upstreams"]["app"]["health"] = {"path": "/", "interval": "100ms"}
        gateway = start(config)
        checks = "sluice_upstream_checks_total"
        if agreed:
            gateway.wait_metric(lambda m: m.get(checks, upstream="app", result="passed") > 0, "a check that passed")
        else:
            page = gateway.wait_metric(lambda m: m.get(checks, upstream="app") > 0, "a check")
            assert page.get(checks, upstream="app", result="passed") == 0
    finally:
        there.stop()


def test_unknown_ciphers_towards_upstreams_are_told(sluice, tmp_path):
    for option in ("ciphers: NONSENSE", "ciphersuites: TLS_NONSENSE", "groups: P-17", "{ min_version: \"1.3\", max_version: \"1.2\" }"):
        tls = option if option.startswith("{") else "{ %s }" % option
        (tmp_path / "x.yaml").write_text("upstreams:\n  app:\n    endpoints: [ \"127.0.0.1:1\" ]\n"
                                         f"    tls: {tls}\nroutes:\n  - upstream: app\n")
        told = sluice("check", "x.yaml")
        assert told.returncode != 0 and ("is not known to OpenSSL" in told.stderr or "is above" in told.stderr), told.stderr


def test_an_old_server_is_not_spoken_to(start, pki):
    server = Server(pki, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    try:
        config = plain(server)
        config["upstreams"]["app"]["tls"] = {"ca": pki.ca, "sni": "www.test"}
        gateway = start(config)
        assert raw.ask(gateway.address).status == 502
        gateway.expect_end("connect_failed", path="/")
    finally:
        server.stop()
