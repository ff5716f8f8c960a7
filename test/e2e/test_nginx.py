"""A real server behind the gateway: what works with nginx alone works through sluice."""

import gzip
import hashlib
import shutil
import subprocess

import pytest

from raw import ask, wait_until

TEXT = b"a line of text that compresses well\n" * 200
BIG = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(32768))  # 1 MiB


@pytest.fixture
def server(nginx):
    return nginx({"a.txt": b"hello\n", "text.txt": TEXT, "big.bin": BIG, "empty.txt": b""})


@pytest.fixture
def through(server, start):
    gateway = start({"upstreams": {"app": {"endpoints": [server.address]}},
                     "routes": [{"name": "all", "upstream": "app"}]})
    wait_until(lambda: gateway.ask(target="/who").status == 200)
    return gateway


def same(direct, proxied):
    """The fields nginx chose arrive unchanged (the framing's may move), but for those of its connection and the time."""
    skip = ("connection", "date", "keep-alive", "transfer-encoding")
    last = ("content-length",)
    return (sorted(direct.all("content-length")) == sorted(proxied.all("content-length"))
            and [f for f in direct.fields if f[0] not in skip + last] == [f for f in proxied.fields if f[0] not in skip + last])


@pytest.mark.parametrize("target, fields", [
    ("/a.txt", {}), ("/big.bin", {}), ("/empty.txt", {}), ("/nowhere", {}), ("/moved", {}), ("/empty", {}),
                                            ("/auth", {}),
    ("/text.txt", {"Accept-Encoding": "gzip"}), ("/big.bin", {"Range": "bytes=100-199"}),
                                            ("/big.bin", {"Range": "bytes=-10"}),
    ("/big.bin", {"Range": "bytes=99999999-"}), ("/a.txt", {"If-None-Match": '"nope"'}),
    ("/a.txt", {"If-Modified-Since": "Fri, 31 Dec 2066 23:59:59 GMT"}),
])
def test_an_answer_through_the_gateway_equals_the_direct_one(server, through, target, fields):
    direct = ask(server.address, target=target, fields=fields)
    proxied = through.ask(target=target, fields=fields)
    assert (proxied.status, proxied.body) == (direct.status, direct.body)
    assert same(direct, proxied), (direct.fields, proxied.fields)


def test_several_ranges_arrive_as_nginx_made_them(through):
    answer = through.ask(target="/big.bin", fields={"Range": "bytes=0-9,100-109"})
    assert answer.status == 206 and answer.get("content-type").startswith("multipart/byteranges")
    assert BIG[0:10] in answer.body and BIG[100:110] in answer.body


def test_a_conditional_request_gets_304(through):
    first = through.ask(target="/a.txt")
    with through.client() as client:
        for _ in range(3):
            again = client.ask(target="/a.txt", fields={"If-None-Match": first.get("etag")})
            assert again.status == 304 and again.get("etag") == first.get("etag")


def test_compressed_text_is_passed_on_as_it_is(through):
    answer = through.ask(target="/text.txt", fields={"Accept-Encoding": "gzip"})
    assert answer.get("content-encoding") == "gzip"
    assert gzip.decompress(answer.body) == TEXT


def test_head_tells_the_length_of_the_file(through):
    with through.client() as client:
        assert client.ask("HEAD", "/big.bin").get("content-length") == str(len(BIG))
        assert client.ask("GET", "/a.txt").body == b"hello\n"


def test_an_upload_is_stored_and_served(through, server):
    assert through.ask("PUT", "/upload/x.bin", body=BIG).status in (201, 204)
    answer = through.ask(target="/upload/x.bin")
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(BIG).digest()
    assert through.ask("PUT", "/upload/y.bin", body=[BIG[:1000], BIG[1000:]]).status in (201, 204)
    assert through.ask(target="/upload/y.bin").body == BIG


def test_one_connection_to_nginx_carries_many_requests(through, server):
    for _ in range(50):
        assert through.ask(target="/a.txt").status == 200
    rows = wait_until(lambda: len(server.accesses()) >= 50 and server.accesses())
    rows = [row for row in rows if row[3] == "/a.txt"]
    assert len({connection for connection, *_ in rows}) == 1
    assert [number for _, number, *_ in rows] == sorted(number for _, number, *_ in rows)


def test_nginx_sees_http_1_1_and_the_clients_host(through):
    seen = through.ask(target="/who?x=y", host="www.example").body.decode()
    assert seen.startswith("GET /who?x=y HTTP/1.1 host=www.example ")


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_is_content_with_everything(through, tmp_path):
    (tmp_path / "big").write_bytes(BIG)
    base = f"http://{through.address}"
    for args in (["-f", f"{base}/a.txt"], ["-f", "-L", f"{base}/moved"], ["-f", "--compressed", f"{base}/text.txt"],
                 ["-f", "-I", f"{base}/big.bin"], ["-f", "-T", str(tmp_path / "big"), f"{base}/upload/curl.bin"],
                 ["-f", "-T", str(tmp_path / "big"), "-H", "Transfer-Encoding: chunked", f"{base}/upload/curl2.bin"],
                 ["-f", "--http1.0", f"{base}/big.bin"], ["-f", "-C", "1000", f"{base}/big.bin"],
                 ["-f", "-H", "Expect: 100-continue", "-T", str(tmp_path / "big"), f"{base}/upload/curl3.bin"],
                 ["-f", f"{base}/a.txt", f"{base}/a.txt", f"{base}/a.txt"]):
        run = subprocess.run(["curl", "-sS", "--max-time", "20", "-o", str(tmp_path / "out"), *args],
                             capture_output=True, text=True, check=False)
        assert run.returncode == 0, (args, run.stderr)
    assert through.ask(target="/upload/curl3.bin").body == BIG


@pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
def test_a_second_of_wrk_has_no_error(through):
    run = subprocess.run(["wrk", "-t1", "-c32", "-d1s", f"http://{through.address}/a.txt"], capture_output=True,
                         text=True, check=True)
    assert "Socket errors" not in run.stdout and "Non-2xx" not in run.stdout, run.stdout
    reading = through.wait_metric(lambda m: m.get("sluice_downstream_connections") == 0)
    ends = {labels["reason"]: value for _, labels, value in reading.find("sluice_request_ends_total") if value}
    # wrk leaves in the middle of its last requests; nothing else may have gone wrong
    assert set(ends) <= {"completed", "client_closed", "client_reset"}, ends


def test_an_nginx_that_has_stopped_is_502_and_counted(through, server):
    server.stop()
    assert through.ask(target="/a.txt").status == 502
    through.wait_metric(lambda m: m.get("sluice_upstream_failures_total", upstream="app",
                                        reason="connect_failed") >= 1)
