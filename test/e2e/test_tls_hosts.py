"""Which host a connection is for: redirects from plain HTTP, requests on another host's connection, what explain and the
admin listener tell of certificates."""

import json
import os
import subprocess

import pytest

import raw
from gateway import expect_problem, plain
from h2_client import H2Client
from pki import Pki, TlsClient


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    made = Pki(str(tmp_path_factory.mktemp("pki")))
    made.make("www", "www.test", "also.test")
    made.make("other", "other.test", "*.wild.test")
    made.make("someone", "someone")
    return made


def pair(pki, name):
    return {"cert": pki.path(f"{name}.pem"), "key": pki.path(f"{name}.key")}


def secured(pki, **tls):
    return {"listeners": [{"name": "main", "bind": "127.0.0.1:0", "tls": {
        "certificates": [pair(pki, "www"), pair(pki, "other")], **tls}}], "routes": [{"name": "echo", "echo": True}]}


def plain_listener(redirect, **more):
    return {"listeners": [{"name": "main", "bind": "127.0.0.1:0", "redirect_to_https": redirect, **more}],
            "routes": [{"name": "echo", "echo": True}]}


# --- redirects


@pytest.mark.parametrize("redirect, host, target, location", [
    (True, "www.test", "/a/b?c=%20d&e", "https://www.test/a/b?c=%20d&e"),
    (True, "www.test:8080", "/", "https://www.test/"),
    (8443, "www.test:8080", "/x//y", "https://www.test:8443/x/y"),
    (True, "[::1]:80", "/", "https://[::1]/"),
    (True, "www.test", "//evil.test/", "https://www.test/evil.test/")])
def test_plain_http_leads_to_https(start, redirect, host, target, location):
    gateway = start(plain_listener(redirect))
    for method in ("GET", "POST"):
        answer = raw.ask(gateway.address, method, target, host=host)
        assert (answer.status, answer.get("location"), answer.body) == (308, location, b""), answer
    gateway.expect_end("redirected", method="POST")


def test_what_came_over_https_is_served(start):
    trusted = start(plain_listener(True, forwarded={"trust": ["127.0.0.1"]}))
    assert raw.ask(trusted.address, fields=[("X-Forwarded-Proto", "https")]).status == 200
    assert raw.ask(trusted.address, fields=[("X-Forwarded-Proto", "http")]).status == 308
    stranger = start(plain_listener(True))
    assert raw.ask(stranger.address, fields=[("X-Forwarded-Proto", "https")]).status == 308


def test_a_malformed_request_is_refused_before_it_is_redirected(start):
    gateway = start(plain_listener(True))
    assert raw.ask(gateway.address, target="/../..").status == 400
    assert raw.ask(gateway.address, host="a b").status == 400


def test_a_redirect_on_a_tls_listener_is_an_error(sluice, pki, tmp_path):
    for value, told in (("true", "would redirect to itself"), ("maybe", "write true, false, or a port")):
        (tmp_path / "x.yaml").write_text(f"""
listeners:
  - bind: 127.0.0.1:0
    redirect_to_https: {value}
    tls: {{ certificates: [ {{ cert: {pki.path('www.pem')}, key: {pki.path('www.key')} }} ] }}
routes:
  - echo: true
""")
        answer = sluice("check", "x.yaml")
        assert answer.returncode != 0 and told in answer.stderr, answer.stderr


# --- another host's connection


def ask_for(gateway, pki, name, host, cert=None):
    context = pki.client(check_hostname=False)
    if cert:
        context.load_cert_chain(pki.path(f"{cert}.pem"), pki.path(f"{cert}.key"))
    with TlsClient(gateway.address, context, name) as client:
        return client.ask(host=host)


def test_a_host_of_another_certificate_is_misdirected(start, pki):
    gateway = start(secured(pki, host_mismatch="refuse"))
    for name, host, status in (("www.test", "www.test", 200), ("www.test", "also.test", 200), ("www.test", "WWW.test:443", 200),
                               ("www.test", "other.test", 421), ("other.test", "a.wild.test", 200), ("other.test", "www.test", 421),
                               ("unknown.test", "www.test", 200), (None, "other.test", 421), ("www.test", "unknown.test", 200)):
        answer = ask_for(gateway, pki, name, host)
        assert answer.status == status, (name, host, answer)
        if status == 421:
            expect_problem(answer, 421, "misdirected")
    assert gateway.metric("sluice_request_ends_total", reason="misdirected") == 3


def test_by_itself_only_where_certificates_of_clients_are_asked_for(start, pki):
    gateway = start(secured(pki))
    assert ask_for(gateway, pki, "www.test", "other.test").status == 200
    asking = start(secured(pki, client={"mode": "require", "ca": pki.ca}))
    assert ask_for(asking, pki, "www.test", "www.test", "someone").status == 200
    assert ask_for(asking, pki, "www.test", "other.test", "someone").status == 421
    allowing = start(secured(pki, client={"mode": "require", "ca": pki.ca}, host_mismatch="allow"))
    assert ask_for(allowing, pki, "www.test", "other.test", "someone").status == 200


# --- what is told


def test_explain_says_which_certificate_a_client_gets(sluice, pki, tmp_path):
    (tmp_path / "x.yaml").write_text(json.dumps(secured(pki, client={"mode": "optional", "ca": pki.ca})))
    for url, name, rest in (("https://a.wild.test/", "other", ", ends 20"),
                            ("https://unknown.test/", "www", " (the first: none is for this host)")):
        told = sluice("explain", "-c", "x.yaml", "GET", url)
        assert told.returncode == 0, told
        line = next(line for line in told.stdout.splitlines() if line.startswith("tls"))
        assert f"certificate {pki.path(f'{name}.pem')}{rest}" in line, line
        assert "versions 1.2 to 1.3; clients may show one" in line, line
    told = json.loads(sluice("explain", "--json", "-c", "x.yaml", "GET", "https://a.wild.test/").stdout)
    assert told["listener"]["tls"]["certificate"] == pki.path("other.pem")
    assert told["listener"]["tls"]["is_for_host"] is True


def test_explain_says_that_a_client_gets_none(sluice, pki, tmp_path):
    (tmp_path / "x.yaml").write_text(json.dumps(secured(pki, strict_sni=True)))
    told = sluice("explain", "-c", "x.yaml", "GET", "https://unknown.test/").stdout
    assert " (not given: none is for this host, strict_sni)" in told, told
    told = sluice("explain", "-c", "x.yaml", "GET", "https://a.wild.test/").stdout
    assert "strict_sni" not in told and "certificate " in told, told


def test_explain_says_that_a_listener_redirects(sluice, tmp_path):
    (tmp_path / "x.yaml").write_text(json.dumps(plain_listener(8443)))
    assert "308 to https, port 8443" in sluice("explain", "-c", "x.yaml", "GET", "http://a.test/").stdout


def test_explain_says_which_protocols_are_spoken(sluice, tmp_path):
    config = plain_listener(8443)
    config["listeners"][0].pop("redirect_to_https")
    config["listeners"].append({"name": "old", "bind": "127.0.0.1:0", "protocols": ["http/1.1"]})
    config["upstreams"] = {"app": {"endpoints": ["127.0.0.1:9"], "protocol": "h2c"}}
    config["routes"] = [{"upstream": "app"}]
    (tmp_path / "x.yaml").write_text(json.dumps(config))
    told = sluice("explain", "-c", "x.yaml", "GET", "http://a.test/").stdout
    assert "speaks h2 or http/1.1" in told and "asked by h2c" in told, told
    told = sluice("explain", "-c", "x.yaml", "--json", "--listener", "old", "GET", "http://a.test/").stdout
    told = json.loads(told)
    assert told["listener"]["protocols"] == ["http/1.1"] and told["upstreams"][0]["protocol"] == "h2c", told


def test_the_admin_listener_shows_certificates(start, pki):
    gateway = start(secured(pki))
    told = gateway.admin.json("/certificates")["listeners"]
    assert [entry["file"] for entry in told[0]["certificates"]] == [pki.path("www.pem"), pki.path("other.pem")]
    assert told[0]["certificates"][0]["names"] == ["www.test", "also.test"]
    assert told[0]["certificates"][1]["names"] == ["other.test", ".wild.test"]
    assert told[0]["certificates"][0]["days_left"] in (9, 10)
    with open(pki.path("www.key"), encoding="ascii") as key:
        assert key.read().splitlines()[1] not in json.dumps(told)


def test_a_plain_gateway_has_no_certificates(start, upstream):
    gateway = start(plain(upstream))
    assert gateway.admin.json("/certificates") == {"listeners": []}


# --- the same over HTTP/2


def curl(gateway, pki, *args, host="www.test"):
    """curl over HTTP/2: what it wrote, as told by -w."""
    port = gateway.address.rsplit(":", 1)[1]
    told = subprocess.run(["curl", "-sS", "--max-time", "30", "--http2", "--cacert", pki.ca, "--connect-to", f"::{gateway.address}", "-o",
                           os.devnull, "-w", "%{http_version} %{http_code} %{local_port}", *args, f"https://{host}:{port}/x"],
                          capture_output=True, text=True, check=True, timeout=60)
    return told.stdout.split()


def test_another_hosts_connection_over_http2(start, pki):
    config = secured(pki, host_mismatch="refuse")
    config["listeners"][0]["protocols"] = ["h2", "http/1.1"]
    gateway = start(config)
    assert curl(gateway, pki)[:2] == ["2", "200"]
    assert curl(gateway, pki, "-H", "Host: other.test")[:2] == ["2", "421"]
    assert gateway.metric("sluice_tls_protocols_total", listener="main", protocol="h2") == 2


def test_hosts_on_a_shared_connection_over_http2(start, pki):
    """A client that puts another host's request on its connection is told to open one of its own; the connection goes on."""
    config = secured(pki, host_mismatch="refuse")
    config["listeners"][0]["protocols"] = ["h2", "http/1.1"]
    gateway = start(config)
    context = pki.client()
    context.set_alpn_protocols(["h2"])
    with H2Client(gateway.address, context) as client:
        asked = {host: [client.ask(authority=host) for _ in range(3)] for host in ("www.test", "other.test", "also.test")}
        got = {host: [client.answer(stream).status for stream in streams] for host, streams in asked.items()}
        assert got == {"www.test": [200] * 3, "other.test": [421] * 3, "also.test": [200] * 3}
        refused = client.answers[asked["other.test"][0]]
        assert json.loads(bytes(refused.body))["reason"] == "misdirected"
        assert client.get(authority="www.test").status == 200 and not client.goaways
    assert gateway.metric("sluice_request_ends_total", reason="misdirected") == 3


def test_a_proxy_header_before_http2(start, pki, upstream):
    listener = {**secured(pki)["listeners"][0], "protocols": ["h2"], "proxy_protocol": {"from": ["127.0.0.1"]}}
    gateway = start(plain(upstream, listeners=[listener]))
    version, status, port = curl(gateway, pki, "--haproxy-protocol")
    assert (version, status) == ("2", "200")
    assert gateway.wait_access(path="/x")["client_port"] == int(port)
    assert gateway.metric("sluice_proxy_protocol_total", listener="main", result="v1") == 1
