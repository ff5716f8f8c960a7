"""HTTP/2 with clients and servers that are not ours: nghttp, h2load, nghttpd, curl, and nginx in front of the gateway."""

import hashlib
import re
import subprocess

import pytest

from gateway import plain
from pki import Pki
from raw import Client, wait_until

TIMEOUT_S = 180
CONTENT = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(10 * 32768))  # 10 MiB
DOWN = {"h2c": "http", "h2": "https"}


def run(*words, **options):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=TIMEOUT_S, check=False, **options)
    assert done.returncode == 0, done
    return done.stdout.decode("latin-1")


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    made = Pki(str(tmp_path_factory.mktemp("pki")))
    made.pairs = {name: made.make(name, f"{name}.test", "127.0.0.1") for name in ("www", "origin")}
    return made


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("content") / "big"
    path.write_bytes(CONTENT)
    return str(path)


def between(pki, upstream, down, up="h1"):
    """One route; DOWN is how clients speak to it, UP how it speaks to the upstream."""
    config = plain(upstream)
    config["upstreams"]["app"]["protocol"] = up
    if up == "h2":
        config["upstreams"]["app"]["tls"] = {"ca": pki.ca, "sni": "origin.test"}
    listener = {"name": "main", "bind": "127.0.0.1:0"}
    if down == "h2":
        listener["tls"] = {"certificates": [pki.pairs["www"]]}
    return {**config, "listeners": [listener]}


def url(gateway, down, path):
    return f"{DOWN[down]}://{gateway.address}{path}"


def all_completed(gateway, count):
    """So many requests, and every one of them to its end."""
    page = gateway.wait_metric(lambda m: m.get("sluice_request_ends_total") >= count, f"{count} ends")
    ends = {labels["reason"]: value for _, labels, value in page.find("sluice_request_ends_total") if value}
    assert ends == {"completed": count}


# --- clients


@pytest.mark.parametrize("down", list(DOWN))
@pytest.mark.parametrize("up", ["h2c", "h2"])
def test_h2load_to_nghttpd_fails_no_request(pki, nghttpd, start, down, up):
    server = nghttpd({"small": b"s" * 500}, pair=pki.pairs["origin"] if up == "h2" else None)
    gateway = start(between(pki, server, down, up))
    told = run("h2load", "-n", "2000", "-c", "8", "-m", "32", url(gateway, down, "/small"))
    assert "2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout" in told, told
    assert "status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx" in told, told
    all_completed(gateway, 2000)
    lines = gateway.wait_access(2000, protocol="HTTP/2", status=200, bytes_out=500)
    assert len(lines) == 2000 and {line["tries"] for line in lines} == {1}
    page = gateway.metrics()
    assert page.get("sluice_downstream_connections_total", listener="main") == 8
    assert page.get("sluice_upstream_failures_total", upstream="app") == 0
    assert page.get("sluice_upstream_connects_total", upstream="app") < 64  # of 256 streams at a time


def test_h2load_uploads_to_nghttpd_over_both(pki, nghttpd, start, tmp_path):
    (tmp_path / "sent").write_bytes(CONTENT[:300_000])
    gateway = start(between(pki, nghttpd({"x": b"taken"}), "h2c", "h2c"))
    told = run("h2load", "-n", "100", "-c", "4", "-m", "8", "-d", str(tmp_path / "sent"), url(gateway, "h2c", "/x"))
    assert "100 succeeded, 0 failed, 0 errored, 0 timeout" in told and "100 2xx" in told, told
    all_completed(gateway, 100)
    assert len(gateway.wait_access(100, method="POST", bytes_in=300_000)) == 100


@pytest.mark.parametrize("down", list(DOWN))
@pytest.mark.parametrize("length", [[], ["--no-content-length"]])
def test_nghttp_uploads_with_trailers_to_http_1(pki, upstream, start, content, down, length):
    """Content whose length was told keeps that framing in HTTP/1.1, which has no place for trailers then."""
    def script(exchange):
        exchange.read_body()
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-told\r\n\r\n"
                      b"5\r\nhello\r\n0\r\nx-told: 42\r\n\r\n")
    upstream.on("/up", script)
    gateway = start(between(pki, upstream, down))
    told = run("nghttp", "-v", "-y", "-H", "te: trailers", "-d", content, "--trailer", "x-sum: 17", *length,
               url(gateway, down, "/up"))
    assert ":status: 200" in told and "hello" in told and "x-told: 42" in told, told
    seen = upstream.last
    assert seen.method == "POST" and seen.body == CONTENT
    if length:
        assert seen.trailers == [("x-sum", "17")] and seen.get("transfer-encoding") == "chunked"
    else:
        assert seen.trailers == [] and seen.get("content-length") == str(len(CONTENT))
    assert gateway.expect_end("completed", path="/up")["bytes_in"] == len(CONTENT)


@pytest.mark.parametrize("down, up", [("h2c", "h2"), ("h2", "h2c")])
def test_trailers_pass_between_nghttp_and_nghttpd(pki, nghttpd, start, content, down, up):
    server = nghttpd({"x": b"taken"}, "-v", "--trailer", "x-told: 42", pair=pki.pairs["origin"] if up == "h2" else None)
    gateway = start(between(pki, server, down, up))
    told = run("nghttp", "-v", "-y", "-H", "te: trailers", "-d", content, "--trailer", "x-sum: 17",
               url(gateway, down, "/x"))
    assert ":status: 200" in told and "taken" in told and "x-told: 42" in told, told
    wait_until(lambda: "x-sum: 17" in server.log(), what="the trailer in nghttpd's log")
    assert gateway.expect_end("completed", path="/x")["bytes_in"] == len(CONTENT)


def test_nghttp_asks_for_many_at_once(pki, nghttpd, start):
    gateway = start(between(pki, nghttpd({"big": CONTENT[:1_000_000]}), "h2", "h2c"))
    told = run("nghttp", "-n", "-s", "-y", "-m", "50", url(gateway, "h2", "/big"))
    assert len(re.findall(r" 200 +976K /big", told)) == 50, told
    all_completed(gateway, 50)
    assert gateway.metric("sluice_downstream_connections_total", listener="main") == 1


@pytest.mark.parametrize("down, up, words", [
    ("h2c", "h1", ["--http2-prior-knowledge"]), ("h2c", "h2c", ["--http2-prior-knowledge"]), ("h2", "h2c", ["--http2"]),
    ("h2", "h2", ["--http2"])])
def test_curl_uploads_10_mib(pki, upstream, nghttpd, start, content, tmp_path, down, up, words):
    """What comes back is what was sent, by its digest or as it is."""
    if up == "h1":
        server = upstream
        upstream.on("/up", lambda exchange: exchange.reply(200, exchange.read_body()))
    else:
        server = nghttpd({}, "--echo-upload", pair=pki.pairs["origin"] if up == "h2" else None)
    gateway = start(between(pki, server, down, up))
    back = str(tmp_path / "back")
    told = run("curl", "-sS", *words, "--cacert", pki.ca, "--data-binary", "@" + content, "-o", back, "-w",
               "%{http_code} %{http_version} %{size_upload}", url(gateway, down, "/up"))
    assert told == f"200 2 {len(CONTENT)}"
    with open(back, "rb") as file:
        assert file.read() == CONTENT
    line = gateway.expect_end("completed", path="/up")
    assert (line["bytes_in"], line["bytes_out"], line["protocol"]) == (len(CONTENT), len(CONTENT), "HTTP/2")


def test_curl_that_offers_an_upgrade_to_http_2_stays_with_http_1(pki, upstream, start):
    gateway = start(between(pki, upstream, "h2c"))
    assert run("curl", "-sS", "--http2", "-w", " %{http_code} %{http_version}", url(gateway, "h2c", "/")) == "ok 200 1.1"
    assert upstream.last.get("upgrade") is None and upstream.last.get("http2-settings") is None


# --- nginx on either side


@pytest.mark.parametrize("up, listen, version", [("h1", "", "HTTP/1.1"), ("h2", "http2", "HTTP/2.0")])
def test_nginx_over_tls_serves_and_stores(pki, nginx, start, up, listen, version):
    pair = pki.pairs["origin"]
    server = nginx({"big.bin": CONTENT}, listen="ssl " + listen,
                   server=f"ssl_certificate {pair['cert']}; ssl_certificate_key {pair['key']};")
    config = between(pki, server, "h2c", up)
    config["upstreams"]["app"]["tls"] = {"ca": pki.ca, "sni": "origin.test"}
    gateway = start(config)
    assert version.encode() in gateway.ask(target="/who").body
    assert gateway.ask(target="/big.bin").body == CONTENT
    assert gateway.ask("PUT", "/upload/sent", body=CONTENT).status == 201
    assert gateway.ask(target="/upload/sent").body == CONTENT
    all_completed(gateway, 4)
    page = gateway.metrics()
    assert page.get("sluice_upstream_tls_handshakes_total", upstream="app", result="full") == 1


def test_a_certificate_of_nginx_for_another_name_is_refused(pki, nginx, start):
    pair = pki.pairs["www"]
    server = nginx({}, listen="ssl", server=f"ssl_certificate {pair['cert']}; ssl_certificate_key {pair['key']};")
    config = plain(server)
    config["upstreams"]["app"]["tls"] = {"ca": pki.ca, "sni": "origin.test"}
    gateway = start(config)
    assert gateway.ask(target="/who").status == 502
    gateway.expect_end("connect_failed", path="/who")
    assert gateway.log("TLS handshake with an endpoint failed")


@pytest.mark.parametrize("scheme, down, version", [("https", "h2", "HTTP/1.1"), ("grpc", "h2c", "HTTP/2"), ("grpcs", "h2", "HTTP/2")])
def test_nginx_is_a_client(pki, nginx, upstream, start, scheme, down, version):
    """By its proxy module and, over HTTP/2, by the one for gRPC; with TLS it checks our certificate and name."""
    upstream.on("/up", lambda exchange: exchange.reply(200, exchange.read_body()))
    gateway = start(between(pki, upstream, down))
    module = "proxy" if scheme == "https" else "grpc"
    front = nginx({}, server=f"""
        location ~ ^/(up|other)$ {{
            {module}_pass {scheme}://{gateway.address}; {"proxy_http_version 1.1; proxy_request_buffering off;" if module == "proxy" else ""}
            {module}_ssl_verify on; {module}_ssl_trusted_certificate {pki.ca}; {module}_ssl_name www.test; {module}_ssl_server_name on;
        }}""")
    with Client(front.address) as client:
        assert client.ask("POST", "/up", body=CONTENT).body == CONTENT
        assert client.ask("GET", "/other").body == b"ok"
    all_completed(gateway, 2)
    line = gateway.wait_access(path="/up")
    assert (line["bytes_in"], line["bytes_out"], line["protocol"]) == (len(CONTENT), len(CONTENT), version)
    assert gateway.metric("sluice_tls_handshakes_total", listener="main", result="failed") == 0
