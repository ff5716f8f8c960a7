"""Content among plugins: read, changed, collected, held; the framing says what became of it."""

import pytest

import plugins
from gateway import expect_problem
from raw import chunked, wait_until

KIB = 1024


def pattern(size):
    return bytes(97 + i * 7 % 26 for i in range(size))


@pytest.fixture
def serve(start, binary, upstream):
    """A gateway with these plugins before an upstream that sends content back as it came."""
    upstream.on("/", lambda ex: ex.reply(200, ex.read_body()))

    def begin(*entries, **more):
        return start({"plugin_path": [plugins.folder(binary)], "plugins": list(entries),
                      "upstreams": {"app": {"endpoints": [upstream.address]}},
                      "routes": [{"name": "all", "upstream": "app"}], **more})
    return begin


def editor(name=None, **options):
    return {"editor": options, **({"name": name} if name else {})}


def ended(gateway):
    wait_until(lambda: gateway.log("editor done"), what="the end of the exchange")
    return gateway.log("editor done")[-1]


@pytest.mark.parametrize("mode", ["none", "read"])
@pytest.mark.parametrize("body", [b"hello", [b"he", b"llo"], pattern(300 * KIB)], ids=["length", "chunked", "large"])
def test_what_is_only_read_keeps_its_framing(serve, upstream, mode, body):
    gateway = serve(editor(request=mode, response=mode))
    answer = gateway.ask("POST", body=body)
    whole = body if isinstance(body, bytes) else b"".join(body)
    assert answer.body == whole and upstream.last.body == whole
    assert upstream.last.all("content-length") == ([str(len(whole))] if isinstance(body, bytes) else [])
    assert answer.get("content-length") == str(len(whole))
    line = ended(gateway)
    seen = str(len(whole)) if mode == "read" else "0"
    assert (line["request_bytes"], line["response_bytes"]) == (seen, seen)


@pytest.mark.parametrize("body", [b"hello", [b"he", b"llo"], pattern(300 * KIB)], ids=["length", "chunked", "large"])
def test_what_may_be_changed_has_an_open_length(serve, upstream, body):
    gateway = serve(editor(request="edit", upper=True, suffix="!", response="edit"))
    answer = gateway.ask("POST", body=body)
    whole = body if isinstance(body, bytes) else b"".join(body)
    assert upstream.last.body == whole.upper() + b"!" and upstream.last.all("content-length") == []
    assert upstream.last.all("transfer-encoding") == ["chunked"]
    assert answer.body == whole.upper() + b"!!" and answer.get("transfer-encoding") == "chunked"


@pytest.mark.parametrize("body", [b"hello", [b"he", b"llo"], pattern(300 * KIB)], ids=["length", "chunked", "large"])
def test_what_is_wanted_whole_comes_once_and_has_a_length(serve, upstream, body):
    gateway = serve(editor(request="whole", response="whole", upper=True, suffix="!"))
    answer = gateway.ask("POST", body=body)
    whole = body if isinstance(body, bytes) else b"".join(body)
    assert upstream.last.body == whole.upper() + b"!"
    assert upstream.last.all("content-length") == [str(len(whole) + 1)]
    assert upstream.last.all("transfer-encoding") == []
    assert answer.body == whole.upper() + b"!!" and answer.get("content-length") == str(len(whole) + 2)
    line = ended(gateway)
    assert (line["request_parts"], line["response_parts"]) == ("1", "1")


def test_two_plugins_change_one_after_the_other(serve, upstream):
    gateway = serve(editor("a", request="edit", suffix="-a"), editor("b", request="edit", suffix="-b", upper=True))
    gateway.ask("POST", body=b"x")
    assert upstream.last.body == b"X-A-b"


def test_a_plugin_of_the_upstream_sees_what_those_before_collected(serve, upstream):
    gateway = serve(editor("a", request="whole", suffix="-a"),
                    upstreams={"app": {"endpoints": [upstream.address],
                                       "plugins": [editor("b", request="whole", suffix="-b")]}})
    gateway.ask("POST", body=[b"x", b"y"])
    assert upstream.last.body == b"xy-a-b" and upstream.last.all("content-length") == ["6"]


@pytest.mark.parametrize("body", [b"x" * 2000, [b"x" * 1500, b"x" * 500]], ids=["length", "chunked"])
def test_a_request_beyond_the_limit_is_answered_413(serve, upstream, body):
    gateway = serve(editor(request="whole", limit="1KiB"))
    expect_problem(gateway.ask("POST", body=body), 413, "body_too_large")
    assert upstream.paths() == []
    gateway.expect_end("body_too_large")


def test_a_response_beyond_the_limit_is_answered_502(serve, upstream):
    upstream.on("/", lambda ex: ex.reply(200, b"x" * 2000))
    gateway = serve(editor(response="whole", limit="1KiB"))
    expect_problem(gateway.ask(), 502, "response_too_large")
    gateway.expect_end("response_too_large")


@pytest.mark.parametrize("mode", ["read", "whole"])
def test_a_plugin_may_answer_in_the_place_of_the_rest(serve, upstream, mode):
    gateway = serve(editor(request=mode, refuse=True))
    answer = gateway.ask("POST", body=b"hello")
    assert (answer.status, answer.body) == (422, b"no\n")
    gateway.expect_end("plugin_replied")


def test_a_plugin_that_fails_in_a_response_under_way_cuts_it(serve):
    gateway = serve(editor(response="edit", fail=True))
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
        with pytest.raises(AssertionError):
            client.read_response("POST")
    gateway.expect_end("plugin_failed")


@pytest.mark.parametrize("method, status", [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_a_response_without_content_is_left_alone(serve, upstream, method, status):
    upstream.on("/", lambda ex: ex.reply(status, b"hello" if method == "HEAD" else None))
    gateway = serve(editor(response="edit", suffix="!"))
    answer = gateway.ask(method)
    assert answer.status == status and answer.body == b""


def test_the_content_of_an_answer_of_our_own_may_be_changed(serve):
    gateway = serve(editor(response="edit", suffix=" (seen)"),
                    routes=[{"name": "fixed", "respond": {"status": 200, "body": "fixed"}}])
    answer = gateway.ask()
    assert answer.body == b"fixed (seen)" and answer.get("content-length") == "12"


def test_trailers_may_be_changed(serve, upstream):
    gateway = serve(editor(request="read"))
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n")
        assert client.read_response("POST").body == b"hi"
    assert upstream.last.body == b"hi" and b"x-seen: 7" in upstream.last.raw.lower()


def test_an_expecting_client_is_told_to_continue(serve, upstream):
    gateway = serve(editor(request="whole", upper=True))
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert client.read_head().status == 100
        client.send(b"hi")
        assert client.read_response("POST").body == b"HI"


@pytest.mark.parametrize("mode", ["read", "edit", "whole"])
@pytest.mark.parametrize("body", [b"hello", pattern(600 * KIB), [b"he", b"llo"]], ids=["length", "large", "chunked"])
def test_held_parts_arrive_whole_and_in_order(serve, upstream, mode, body):
    gateway = serve(editor(request=mode, response=mode, hold="8ms"))
    whole = body if isinstance(body, bytes) else b"".join(body)
    answer = gateway.ask("POST", body=body)
    assert answer.body == whole and upstream.last.body == whole
    assert gateway.metric("sluice_plugin_waits_total", plugin="editor") >= 2


def test_a_client_that_leaves_while_a_part_is_held_ends_all(serve, upstream):
    gateway = serve({"editor": {"request": "read", "hold": "1h"}, "wait": "1h"})
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
        wait_until(lambda: gateway.metric("sluice_plugin_waits_total", plugin="editor") == 1, what="a held part")
        client.reset()
    assert ended(gateway)["request_bytes"] == "5"


def test_a_peer_is_not_read_while_its_content_is_held(serve, upstream):
    gateway = serve({"editor": {"request": "read", "hold": "1h"}, "wait": "1h"})
    sent = 0
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        client.sock.setblocking(False)
        piece = b"x" * 65536
        quiet = 0
        while quiet < 20 and sent < 100000000:
            try:
                sent += client.sock.send(piece)
                quiet = 0
            except BlockingIOError:
                quiet += 1
                wait_until(lambda: gateway.metrics(), what="an answer in between")
        assert sent < 50000000, "the gateway took content that nobody takes"
        client.reset()
    assert int(ended(gateway)["request_bytes"]) < 1024 * KIB
