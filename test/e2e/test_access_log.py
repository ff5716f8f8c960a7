"""One line for each exchange, always, with the fields that were chosen and nothing secret."""

import json
import os
import re
import signal

import pytest

from gateway import FIELDS, plain, read_text
from raw import request_bytes, wait_until


def logging(upstream, path="access.log", **keys):
    return plain(upstream, access_log={"path": path, **keys})


def lines_of(path, count):
    wait_until(lambda: len(read_text(path).splitlines()) >= count, what=f"{count} lines in {path}")
    return read_text(path).splitlines()


def test_every_field_says_what_happened(gateway, upstream):
    upstream.on("/a/b", lambda ex: ex.reply(201, ex.read_body() + b"!"))
    with gateway.client() as client:
        answer = client.ask("POST", "/a/b?c=d", {"User-Agent": "probe/1", "Referer": "http://r/"}, body=b"hello",
                            host="www.example:81")
        assert answer.status == 201
        line = gateway.wait_access(path="/a/b")
        assert line["client_port"] == client.port
    assert list(line) == FIELDS, "the fields in the order of the configuration"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert re.fullmatch("[0-9a-f]{32}", line["request_id"])
    want = {"client": "127.0.0.1", "method": "POST", "scheme": "http", "path": "/a/b", "query": "c=d",
            "target": "/a/b?c=d", "protocol": "HTTP/1.1", "status": 201, "reason": "completed", "bytes_in": 5,
            "bytes_out": 6,
            "connect_reused": False, "route": "all", "upstream": "app", "endpoint": upstream.address, "tries": 1,
            "listener": "main", "connection_requests": 1, "generation": 1, "user_agent": "probe/1",
            "referer": "http://r/"}
    assert {name: line[name] for name in want} == want
    assert line["host"].startswith("www.example")
    assert 0 <= line["upstream_ms"] <= line["duration_ms"] < 60000
    assert line["worker"] == 0


def test_only_the_chosen_fields_are_written_in_their_order(start, upstream):
    gateway = start(logging(upstream, fields=["status", "path", "reason"]))
    gateway.ask(target="/x")
    [line] = lines_of(gateway.access_path, 1)
    assert list(json.loads(line).items()) == [("status", 200), ("path", "/x"), ("reason", "completed")]


def test_without_fields_the_documented_ones_are_written(start, upstream):
    gateway = start(logging(upstream))
    gateway.ask()
    [line] = lines_of(gateway.access_path, 1)
    assert list(json.loads(line)) == ["time", "request_id", "client", "method", "host", "path", "status", "reason",
                                      "bytes_in",
                                      "bytes_out", "duration_ms", "route", "upstream", "endpoint"]


def test_a_pattern_is_filled_in(start, upstream):
    gateway = start(logging(upstream, format="pattern",
                            pattern='{client} "{method} {path} {protocol}" {status} {bytes_out} {reason} {req.x-a}'))
    gateway.ask(target="/p?q", fields={"X-A": "seen"})
    assert lines_of(gateway.access_path, 1) == ['127.0.0.1 "GET /p HTTP/1.1" 200 2 completed seen']


def test_a_pattern_cannot_be_forged_by_a_client(start, upstream):
    gateway = start(logging(upstream, format="pattern", pattern='"{user_agent}" {status}'))
    gateway.ask(fields={"User-Agent": 'a" 500 "b\\'})
    [line] = lines_of(gateway.access_path, 1)
    assert not re.fullmatch(r'"a" 500 "b.*', line), line
    assert line.endswith(" 200")


def test_odd_bytes_make_valid_json_lines(gateway):
    odd = 'quote " back \\ tab \t high \xe9\xff </script>'
    gateway.ask(fields={"User-Agent": odd, "Referer": "\xc3\x28"}, target="/%22%0a%00?x=%22")
    line = gateway.wait_access()
    assert 'quote " back \\ tab \t high' in line["user_agent"]
    assert len(read_text(gateway.access_path).splitlines()) == 1
    raw = open(gateway.access_path, "rb").read()
    raw.decode("utf-8")


def test_request_and_response_fields_can_be_logged(start, upstream):
    upstream.answer("/", b"HTTP/1.1 200 OK\r\nX-Cache: hit\r\nContent-Length: 2\r\n\r\nok")
    gateway = start(logging(upstream, fields=["req.x-tenant", "resp.x-cache", "req.x-missing"]))
    gateway.ask(fields={"X-Tenant": "blue"})
    [line] = lines_of(gateway.access_path, 1)
    assert json.loads(line) == {"req.x-tenant": "blue", "resp.x-cache": "hit", "req.x-missing": None}


@pytest.mark.parametrize("name",
                         ["authorization", "cookie", "proxy-authorization", "x-api-key", "Authorization", "COOKIE"])
@pytest.mark.parametrize("form", ["json", "pattern"])
def test_secrets_cannot_be_logged(sluice, tmp_path, name, form):
    chosen = f"fields: [ req.{name} ]" if form == "json" else f"format: pattern\n  pattern: '{{req.{name}}}'"
    (tmp_path / "c.yaml").write_text(f"routes: [ {{ echo: true }} ]\naccess_log:\n  path: stdout\n  {chosen}\n")
    run = sluice("check", "c.yaml")
    assert run.returncode == 3 and name.lower() in (run.stdout + run.stderr).lower(), run


def test_what_the_gateway_adds_is_not_logged(start, upstream, tmp_path):
    (tmp_path / "key").write_text("supersecret\n")
    config = logging(upstream, fields=["req.x-key", "resp.x-mark", "status"])
    config["routes"] = [{"upstream": "app", "request_fields": {"set": {"x-key": f"file:{tmp_path}/key"}},
                         "response_fields": {"set": {"x-mark": f"file:{tmp_path}/key"}}}]
    gateway = start(config)
    answer = gateway.ask()
    assert answer.all("x-mark") == ["supersecret"] and upstream.last.all("x-key") == ["supersecret"]
    [line] = lines_of(gateway.access_path, 1)
    assert json.loads(line) == {"req.x-key": None, "resp.x-mark": None, "status": 200}


def test_secrets_are_in_no_log_by_themselves(start, upstream):
    gateway = start(plain(upstream, log={"level": "debug", "format": "json", "path": "stderr"}))
    gateway.ask(fields={"Authorization": "Bearer hush", "Cookie": "sid=hush"})
    gateway.wait_access()
    assert "hush" not in read_text(gateway.access_path) and "hush" not in gateway.stderr()


def test_an_exchange_that_never_got_a_head_is_logged(gateway):
    with gateway.client() as client:
        client.try_send(b"nonsense\r\n\r\n")
        client.read_response()
        line = gateway.wait_access(client_port=client.port)
    assert line["reason"] == "bad_request" and line["status"] == 400 and line["route"] in (None, "")


def test_an_aborted_exchange_is_logged_with_what_was_done(gateway, upstream):
    upstream.on("/slow", lambda ex: ex.wait_gone())
    with gateway.client() as client:
        client.send(request_bytes("POST", "/slow", body=b"12345"))
        upstream.wait_requests()
    line = gateway.wait_access(path="/slow")
    assert line["reason"] == "client_closed" and line["bytes_in"] == 5 and line["bytes_out"] == 0
    reading = gateway.wait_metric(lambda m: m.get("sluice_request_ends_total", reason="client_closed") == 1)
    assert reading.get("sluice_requests_total", route="all") == 1


def test_the_request_id_of_an_error_answer_finds_its_line(gateway, upstream):
    upstream.on("/", lambda ex: ex.reset())
    answer = gateway.ask()
    assert gateway.wait_access(request_id=answer.get("x-request-id"))["reason"] == "upstream_reset"


def test_request_ids_are_never_repeated(gateway):
    with gateway.client() as client:
        for _ in range(100):
            client.ask()
    lines = gateway.wait_access(100)
    assert len({line["request_id"] for line in lines}) == 100


def test_the_file_is_reopened_on_sigusr1(gateway):
    gateway.ask(target="/one")
    gateway.wait_access(path="/one")
    os.rename(gateway.access_path, gateway.access_path + ".1")
    gateway.ask(target="/two")
    wait_until(lambda: "/two" in read_text(gateway.access_path + ".1"), what="the old file is still written")
    gateway.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: os.path.exists(gateway.access_path), what="the new file")
    gateway.ask(target="/three")
    gateway.wait_access(path="/three")
    assert "/three" not in read_text(gateway.access_path + ".1")


def test_a_reload_may_change_the_log(start, upstream):
    gateway = start(logging(upstream, fields=["path"]))
    gateway.ask(target="/one")
    lines_of(gateway.access_path, 1)
    gateway.must_reload(logging(upstream, path="other.log", fields=["path", "status"]))
    gateway.ask(target="/two")
    [line] = lines_of(os.path.join(gateway.dir, "other.log"), 1)
    assert json.loads(line) == {"path": "/two", "status": 200}
    assert [json.loads(line) for line in read_text(gateway.access_path).splitlines()] == [{"path": "/one"}]


def test_nothing_is_lost_at_the_end(start, upstream):
    gateway = start(plain(upstream))
    with gateway.client() as client:
        for n in range(300):
            client.ask(target=f"/{n}")
    gateway.stop()
    assert [line["path"] for line in gateway.access_log()] == [f"/{n}" for n in range(300)]


def test_it_goes_to_stdout_when_told_and_nowhere_by_default(start, upstream):
    gateway = start(logging(upstream, path="stdout", fields=["path"]))
    gateway.ask(target="/seen")
    wait_until(lambda: '"/seen"' in read_text(gateway.stdout_path))
    silent = start(plain(upstream, access_log={"path": "off"}))
    silent.ask(target="/unseen")
    silent.stop()
    assert "/unseen" not in read_text(silent.stdout_path) + silent.stderr()


def test_a_log_that_cannot_be_written_never_stops_the_traffic(start, upstream):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    gateway = start(logging(upstream, path="/dev/full"))
    with gateway.client() as client:
        for _ in range(200):
            assert client.ask().status == 200
    gateway.wait_metric(lambda m: m.get("sluice_log_dropped_total", log="access") >= 1)


def test_a_reader_that_blocks_never_stops_the_traffic(start, upstream, tmp_path):
    """A pipe nobody reads: lines are dropped and counted, requests are served."""
    fifo = tmp_path / "log.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    gateway = start(logging(upstream, path=str(fifo)))
    with gateway.client() as client:
        for _ in range(3000):
            assert client.ask(target="/" + "x" * 200).status == 200
    os.set_blocking(reader, True)
    assert b'"path"' in os.read(reader, 65536)
    os.close(reader)
