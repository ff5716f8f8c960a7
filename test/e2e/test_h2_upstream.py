"""HTTP/2 to upstreams: what is said there, how connections are shared, and what failures mean.

Real peers (nghttpd, nginx) show that it is spoken; a scripted one does what real ones do seldom.
"""

import base64
import concurrent.futures
import hashlib
import os
import signal
import socket
import subprocess
import threading

import h2.settings
import pytest
import yaml

import raw
from gateway import plain
from h2_client import H2Client
from h2_upstream import CANCEL, NO_ERROR, REFUSED
from pki import Pki
from raw import wait_until

MAX_STREAMS = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
WINDOW = h2.settings.SettingCodes.INITIAL_WINDOW_SIZE


def h2c(*fakes, workers=1, **upstream):
    config = plain(*fakes, workers=workers)
    config["upstreams"]["app"].update({"protocol": "h2c", **upstream})
    return config


def together(gateway, count, **options):
    """So many requests at a time; their answers."""
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return [f.result() for f in [pool.submit(gateway.ask, **options) for _ in range(count)]]


def streams(gateway):
    return gateway.metric("sluice_upstream_streams", upstream="app")


def resets(gateway, cause):
    return gateway.metric("sluice_upstream_stream_resets_total", upstream="app", cause=cause)


# --- real peers


def test_nghttpd_serves_small_and_large_answers(nghttpd, start):
    big = bytes(range(256)) * 4096 * 3
    gateway = start(h2c(nghttpd({"small": b"hello\n", "big": big})))
    answers = together(gateway, 8, target="/small")
    assert {a.body for a in answers} == {b"hello\n"}
    assert gateway.ask(target="/big").body == big
    head = gateway.ask("HEAD", "/big")
    assert (head.status, head.get("content-length"), head.body) == (200, str(len(big)), b"")
    assert gateway.ask(target="/none").status == 404
    line = gateway.wait_access(path="/big", method="GET")
    assert (line["bytes_out"], line["reason"]) == (len(big), "completed")
    # Who came while the connection was being dialled has shared it.
    assert gateway.metric("sluice_upstream_connects_total", upstream="app") == 1
    assert gateway.metric("sluice_upstream_h2_connections", upstream="app") == 1


def test_nghttpd_takes_a_large_request(nghttpd, start):
    gateway = start(h2c(nghttpd({"x": b"taken"})))
    answer = gateway.ask("POST", "/x", body=b"q" * 3_000_000)
    assert (answer.status, answer.body) == (200, b"taken")
    assert gateway.wait_access()["bytes_in"] == 3_000_000


def test_nginx_speaks_it_without_tls(nginx, start):
    server = nginx({"a.bin": b"n" * 500_000}, listen="http2")
    gateway = start(h2c(server))
    assert b"HTTP/2.0" in gateway.ask(target="/who").body
    assert gateway.ask(target="/a.bin").body == b"n" * 500_000
    assert gateway.ask("PUT", "/upload/x", body=b"u" * 300_000).status == 201
    assert gateway.ask(target="/empty").status == 204
    assert gateway.ask(target="/auth").body == b"no\n"
    assert len({c for c, *_ in server.accesses()}) == 1


@pytest.fixture
def tls_nginx(nginx, tmp_path):
    """A function that starts nginx with TLS, and gives the upstream that speaks this protocol to it."""
    pki = Pki(str(tmp_path))
    pair = pki.make("origin", "origin.test")

    def begin(protocol, listen):
        server = nginx({}, listen="ssl " + listen, server=f"ssl_certificate {pair['cert']}; ssl_certificate_key {pair['key']};")
        config = plain(server)
        config["upstreams"]["app"].update({"protocol": protocol, "tls": {"ca": pki.ca, "sni": "origin.test"}})
        return config
    return begin


@pytest.mark.parametrize("protocol, listen, version", [("h2", "http2", "HTTP/2.0"), ("auto", "http2", "HTTP/2.0"),
                                                       ("auto", "", "HTTP/1.1"), ("h1", "http2", "HTTP/1.1")])
def test_alpn_decides_over_tls(tls_nginx, start, protocol, listen, version):
    gateway = start(tls_nginx(protocol, listen))
    for _ in range(3):
        answers = together(gateway, 12, target="/who")
        assert {(a.status, a.body.split()[2]) for a in answers} == {(200, version.encode())}
    assert gateway.metric("sluice_upstream_h2_connections", upstream="app") == (version == "HTTP/2.0")
    assert gateway.ask("POST", "/who", body=b"x" * 100_000).status == 200
    if version == "HTTP/2.0":
        assert gateway.metric("sluice_upstream_connects_total", upstream="app") == 1


def test_an_endpoint_that_does_not_agree_to_http2_is_not_used(tls_nginx, start):
    gateway = start(tls_nginx("h2", ""))
    assert gateway.ask(target="/who").status == 502
    gateway.expect_end("connect_failed")
    [told] = gateway.log("TLS handshake with an endpoint failed")
    assert "application protocol" in told["cause"] or "does not agree" in told["cause"]


@pytest.mark.parametrize("upstream, told", [
    ({"protocol": "h2"}, "protocol h2 is HTTP/2 over TLS, and tls is off"),
    ({"protocol": "h2c", "tls": True}, "protocol h2c is HTTP/2 without TLS, and tls is on"),
    ({"protocol": "http2"}, "allowed: h1, h2, h2c, auto"),
    ({"protocol": "h2c", "http2": {"max_concurrent_streams": 0}}, "0 is too small"),
])
def test_what_does_not_fit_together_is_told(sluice, tmp_path, upstream, told):
    config = {"upstreams": {"app": {"endpoints": ["127.0.0.1:1"], **upstream}}, "routes": [{"upstream": "app"}]}
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(config))
    answer = sluice("check", "bad.yaml")
    assert answer.returncode != 0 and told in answer.stdout + answer.stderr, answer


# --- what is said upstream


def test_a_request_arrives_as_it_was_meant(h2_upstreams, start):
    up = h2_upstreams()
    gateway = start(h2c(up))
    answer = gateway.ask("POST", "/a/b?c=d", [("X-Thing", "One"), ("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"),
                                              ("Keep-Alive", "timeout=5"), ("TE", "trailers, gzip")], b"content")
    assert (answer.status, answer.body) == (200, b"ok")
    [seen] = up.wait_requests()
    assert (seen.method, seen.path, seen.get(":scheme"), seen.get(":authority")) == ("POST", "/a/b?c=d", "http", "test.example")
    assert (seen.body, seen.get("content-length")) == (b"content", "7")
    assert (seen.get("x-thing"), seen.get("te")) == ("One", "trailers")
    names = [name for name, _ in seen.fields]
    assert not {"connection", "keep-alive", "x-hop", "host", "transfer-encoding"} & set(names)
    assert all(name == name.lower() for name in names)
    assert seen.get("x-forwarded-for") == "127.0.0.1"


def test_host_endpoint_is_the_authority(h2_upstreams, start):
    up = h2_upstreams()
    gateway = start(h2c(up, host="endpoint"))
    assert gateway.ask().status == 200
    assert up.wait_requests()[0].get(":authority") == up.address


def test_trailers_pass_both_ways(h2_upstreams, start):
    def script(exchange):
        exchange.read_body()
        exchange.reply(200, b"sum", trailers=[("x-sum", "42")])
    up = h2_upstreams(script)
    gateway = start(h2c(up))
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n",
                    raw.chunked([b"one", b"two"], [("X-Check", "7")]))
        answer = client.read_response("POST")
    assert (answer.body, answer.trailers) == (b"sum", [("x-sum", "42")])
    [seen] = up.wait_requests()
    assert (seen.body, seen.trailers) == (b"onetwo", [("x-check", "7")])


def test_interim_responses_pass(h2_upstreams, start):
    def script(exchange):
        exchange.head(103, [("link", "</style.css>")])
        exchange.reply(200, b"done")
    up = h2_upstreams(script)
    gateway = start(h2c(up))
    with gateway.client() as client:
        client.send(raw.request_bytes())
        first = client.read_head()
        answer = client.read_response()
    assert (first.status, first.get("link")) == (103, "</style.css>")
    assert (answer.status, answer.body) == (200, b"done")


def test_content_is_paced_by_the_windows_of_the_endpoint(h2_upstreams, start):
    released = threading.Event()

    def script(exchange):
        released.wait(60)
        exchange.conn.upstream.reads = True
        exchange.conn.act(lambda h: h.increment_flow_control_window(4_000_000))
        exchange.conn.act(lambda h: h.increment_flow_control_window(4_000_000, exchange.id))
        exchange.read_body()
        exchange.reply(200, str(len(exchange.body)).encode())
    up = h2_upstreams(script)
    up.reads = False
    gateway = start(h2c(up))
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n")
        sender = threading.Thread(target=client.try_send, args=[b"x" * 3_000_000])
        sender.start()
        [exchange] = up.wait_requests()
        wait_until(lambda: len(exchange.body) == 65535, what="the first window filled")
        released.set()
        answer = client.read_response("POST")
        sender.join()
    assert answer.body == b"3000000"


def test_content_behind_a_head_that_came_in_two_arrives_whole(h2_upstreams, start):
    """It is read behind the part of the head that was kept, and what was kept goes before the stream takes it."""
    body = os.urandom(5000)
    up = h2_upstreams(lambda exchange: exchange.reply(200, bytes(exchange.read_body())))
    gateway = start(h2c(up))
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Le")
        assert gateway.ask().status == 200  # the one worker has been round
        client.send(b"ngth: 5000\r\n\r\n" + body)
        assert client.read_response("POST").body == body


def test_a_client_that_reads_slowly_holds_only_its_own_stream(h2_upstreams, start):
    done = threading.Event()

    def script(exchange):
        if exchange.path == "/big":
            exchange.head(200)
            exchange.data(b"y" * 30_000_000, end=True)
            done.set()
        else:
            exchange.reply(200, b"quick")
    up = h2_upstreams(script)
    gateway = start(h2c(up))
    with gateway.client(receive_buffer=16384) as slow:
        slow.send(raw.request_bytes(target="/big"))
        up.wait_requests()
        for _ in range(20):
            assert gateway.ask(target="/small").body == b"quick"
        assert not done.is_set() and len(up.connections) == 1
        answer = slow.read_response()
    assert answer.body == b"y" * 30_000_000


def test_an_early_answer_ends_the_request(h2_upstreams, start):
    def script(exchange):
        exchange.reply(413, b"too much")
    up = h2_upstreams(script)
    up.reads = False
    gateway = start(h2c(up))
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n", b"z" * 1000)
        answer = client.read_response("POST")
    assert (answer.status, answer.body) == (413, b"too much")
    assert up.wait_requests()[0].wait_reset() == NO_ERROR
    assert gateway.ask(target="/again").status == 413
    assert len(up.connections) == 1


# --- sharing


def test_many_requests_share_one_connection(h2_upstreams, start):
    gate = threading.Barrier(20)

    def script(exchange):
        gate.wait(30)
        exchange.reply()
    up = h2_upstreams(script)
    gateway = start(h2c(up))
    assert [a.status for a in together(gateway, 20)] == [200] * 20
    assert len(up.connections) == 1
    gateway.wait_metric(lambda m: m.get("sluice_upstream_streams", upstream="app") == 0, "no stream left")
    assert gateway.metric("sluice_upstream_connections", upstream="app", state="idle") == 1


@pytest.mark.parametrize("by", ["option", "endpoint"])
def test_more_streams_than_one_connection_takes_make_more_connections(h2_upstreams, start, by):
    gate = threading.Barrier(12)

    def script(exchange):
        if exchange.path == "/all":
            gate.wait(30)
        exchange.reply()
    up = h2_upstreams(script, settings={MAX_STREAMS: 4} if by == "endpoint" else None)
    gateway = start(h2c(up, **({"http2": {"max_concurrent_streams": 4}} if by == "option" else {})))
    assert gateway.ask(target="/first").status == 200  # its SETTINGS are known
    assert [a.status for a in together(gateway, 12, target="/all")] == [200] * 12
    assert len(up.connections) == 3


def test_at_the_cap_of_connections_requests_wait_for_a_stream(h2_upstreams, start):
    def script(exchange):
        exchange.read_body()
        exchange.reply()
    up = h2_upstreams(script, settings={MAX_STREAMS: 2})
    gateway = start(h2c(up, connections={"max": 1}))
    assert [a.status for a in together(gateway, 30)] == [200] * 30
    assert len(up.connections) == 1


def test_an_endpoint_that_wants_no_streams_gets_none(h2_upstreams, start):
    """MAX_CONCURRENT_STREAMS of 0 (RFC 9113 6.5.2): requests wait, or go to another one."""
    shut, other = h2_upstreams(settings={MAX_STREAMS: 0}), h2_upstreams()
    gateway = start(h2c(shut, connections={"queue_timeout": "300ms"}))
    answers = [gateway.ask() for _ in range(3)]
    assert [a.status for a in answers[1:]] == [503] * 2, answers
    assert {line["reason"] for line in gateway.wait_access(3)[1:]} == {"queue_timeout"}
    assert len(shut.connections) <= 3  # it ends those on which it was asked before it had said so
    assert len(shut.exchanges) == 0
    gateway.must_reload(h2c(shut, other, connections={"queue_timeout": "10s"}))
    assert [a.status for a in together(gateway, 20)] == [200] * 20
    assert len(shut.open_connections()) <= 1


def test_workers_share_the_cap_of_connections(h2_upstreams, start):
    up = h2_upstreams()
    gateway = start(h2c(up, workers=2, connections={"max": 1, "queue_timeout": "30s"}))
    assert [a.status for a in together(gateway, 16)] == [200] * 16
    assert max_open(up) <= 1


def max_open(up):
    return len(up.open_connections())


def test_the_cap_of_requests_holds_for_streams(h2_upstreams, start):
    running, most, lock = [0], [0], threading.Lock()

    def script(exchange):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        exchange.read_body()
        with lock:
            running[0] -= 1
        exchange.reply()
    up = h2_upstreams(script)
    gateway = start(h2c(up, requests={"max": 3}))
    assert [a.status for a in together(gateway, 24)] == [200] * 24
    assert most[0] <= 3


def test_a_connection_ends_after_its_requests(h2_upstreams, start):
    up = h2_upstreams()
    gateway = start(h2c(up, connections={"requests": 5}))
    for _ in range(12):
        assert gateway.ask().status == 200
    assert len(up.connections) == 3
    wait_until(lambda: len(up.open_connections()) == 1, what="those used up have ended")
    assert [conn.goaway_code for conn in up.connections[:2]] == [0, 0]
    assert gateway.metric("sluice_upstream_connections_expired_total", upstream="app", cause="requests") == 2


def test_an_idle_connection_ends_in_order(h2_upstreams, start):
    up = h2_upstreams()
    gateway = start(h2c(up, connections={"idle_timeout": "50ms"}))
    assert gateway.ask().status == 200
    wait_until(lambda: not up.open_connections(), what="the idle connection to end")
    assert up.connections[0].goaway_code == 0
    assert gateway.ask().status == 200


def test_an_endpoint_that_is_removed_keeps_its_streams(h2_upstreams, start):
    go_on = threading.Event()

    def script(exchange):
        exchange.head(200)
        exchange.data(b"first,")
        go_on.wait(60)
        exchange.data(b"last", end=True)
    old, new = h2_upstreams(script), h2_upstreams()
    gateway = start(h2c(old))
    with gateway.client() as client:
        client.send(raw.request_bytes())
        old.wait_requests()
        gateway.must_reload(h2c(new))
        assert gateway.ask().body == b"ok"
        go_on.set()
        assert client.read_response().body == b"first,last"
    wait_until(lambda: not old.open_connections(), what="the old endpoint is left")


@pytest.mark.parametrize("way", ["whole", "cut"])
def test_an_endpoint_that_is_removed_goes_with_its_last_stream(h2_upstreams, start, way):
    """It ends its connection as it goes: with the end of the answer, in one read, or in the middle of it."""
    go_on, gone = threading.Event(), threading.Event()

    def script(exchange):
        exchange.head(200, [("content-length", "10")])
        exchange.data(b"first")
        go_on.wait(60)
        if way == "whole":
            exchange.data(b"whole", end=True)
        exchange.conn.sock.shutdown(socket.SHUT_WR)
        gone.set()
    old, new = h2_upstreams(script), h2_upstreams()
    gateway = start(h2c(old))
    with gateway.client() as client:
        client.send(raw.request_bytes())
        head = client.read_head()
        gateway.must_reload(h2c(new))
        assert gateway.ask().body == b"ok"
        os.kill(gateway.pid, signal.SIGSTOP)  # so that all of it is there at once
        go_on.set()
        assert gone.wait(60)
        os.kill(gateway.pid, signal.SIGCONT)
        if way == "whole":
            client.read_body(head)
            assert head.body == b"firstwhole"
        else:
            with pytest.raises(raw.Closed):
                client.read_body(head)
    wait_until(lambda: not old.open_connections(), what="the old endpoint is left")
    assert gateway.ask().body == b"ok"


def test_a_change_of_protocol_makes_new_connections(h2_upstreams, upstreams, start):
    two, one = h2_upstreams(), upstreams()
    gateway = start(h2c(two))
    assert gateway.ask().status == 200
    gateway.must_reload(plain(one))
    assert gateway.ask().status == 200
    gateway.must_reload(h2c(two))
    assert gateway.ask().status == 200
    assert len(two.exchanges) == 2


# --- failures


def test_what_was_refused_is_sent_again_whatever_the_method(h2_upstreams, start):
    def script(exchange):
        if len(exchange.conn.upstream.exchanges) == 1:
            exchange.read_body()
            exchange.reset(REFUSED)
        else:
            exchange.read_body()
            exchange.reply(200, exchange.body)
    up = h2_upstreams(script)
    gateway = start(h2c(up))
    answer = gateway.ask("POST", body=b"once")
    assert (answer.status, answer.body) == (200, b"once")
    assert [e.body for e in up.exchanges] == [b"once", b"once"]
    assert resets(gateway, "refused") == 1
    assert gateway.metric("sluice_upstream_retries_total", upstream="app", cause="refused") == 1
    assert gateway.wait_access()["tries"] == 1


def test_streams_that_a_goaway_leaves_out_are_sent_again(h2_upstreams, start):
    def script(exchange):
        if exchange.conn.number == 0 and exchange.id > 1:
            exchange.conn.goaway(1)
        else:
            exchange.read_body()
            exchange.reply(200, b"by %d" % exchange.conn.number)
    up = h2_upstreams(script)
    gateway = start(h2c(up))
    assert gateway.ask().body == b"by 0"
    answers = [gateway.ask("POST", body=b"x") for _ in range(4)]
    assert [(a.status, a.body) for a in answers] == [(200, b"by 1")] * 4
    assert gateway.metric("sluice_upstream_goaways_total", upstream="app") == 1
    assert gateway.metric("sluice_upstream_failures_total", upstream="app") == 0
    wait_until(lambda: up.connections[0].closed, what="the connection that went away is closed")


def test_streams_below_a_goaway_are_answered(h2_upstreams, start):
    go_on = threading.Event()

    def script(exchange):
        if exchange.conn.number == 0:
            exchange.conn.goaway(exchange.id)
            go_on.wait(60)
        exchange.reply(200, b"by %d" % exchange.conn.number)
    up = h2_upstreams(script)
    gateway = start(h2c(up))
    with gateway.client() as client:
        client.send(raw.request_bytes(target="/first"))
        up.wait_requests()
        gateway.wait_metric(lambda m: m.get("sluice_upstream_goaways_total", upstream="app") == 1, "a GOAWAY")
        assert gateway.ask(target="/second").body == b"by 1"
        go_on.set()
        assert client.read_response().body == b"by 0"


@pytest.mark.parametrize("way", ["reset", "close"])
def test_an_answer_that_came_whole_outlives_its_stream_and_its_connection(h2_upstreams, start, way):
    """Its end lies behind content that the client has not taken yet when the endpoint leaves."""
    go_on = threading.Event()

    def script(exchange):
        exchange.head(200)
        exchange.data(b"a" * 5000)
        go_on.wait(60)
        exchange.data(b"b" * 5000)
        exchange.trailer(("x-sum", "7"))
        if way == "reset":  # the rest of the request is not needed (RFC 9113 8.1)
            exchange.reset(NO_ERROR)
            exchange.conn.act(lambda h: h.ping(b"behindit"))
        else:
            exchange.conn.goaway(exchange.id)
            exchange.conn.sock.shutdown(socket.SHUT_WR)
    up = h2_upstreams(script)
    gateway = start(h2c(up))
    with H2Client(gateway.address, settings={WINDOW: 1000}, open_windows=False) as client:
        stream = client.ask("POST" if way == "reset" else "GET", fields=[("te", "trailers")], end=way != "reset")
        client.wait(lambda: len(client.answers[stream].body) == 1000, "what the window takes")
        go_on.set()
        conn = up.wait_requests()[0].conn
        if way == "reset":
            wait_until(lambda: conn.pongs == 1, what="the gateway to have read the reset")
        else:
            wait_until(lambda: conn.closed, what="the gateway to have closed the connection")
        client.h2.increment_flow_control_window(100_000, stream)
        client.flush()
        answer = client.answer(stream)
    assert answer.body == b"a" * 5000 + b"b" * 5000 and answer.ended, answer
    assert answer.trailers == [("x-sum", "7")]
    gateway.expect_end("completed")
    assert gateway.ask().status == 200
    gateway.wait_metric(lambda m: m.get("sluice_upstream_streams", upstream="app") == 0, "no stream left")


def test_a_post_that_may_have_been_processed_is_not_sent_again(h2_upstreams, start):
    def script(exchange):
        exchange.read_body()
        exchange.reset(CANCEL)
    up = h2_upstreams(script)
    gateway = start(h2c(up))
    answer = gateway.ask("POST", body=b"once")
    assert answer.status == 502
    assert len(up.exchanges) == 1
    gateway.expect_end("upstream_reset")
    assert resets(gateway, "cancelled") == 1


def test_a_connection_that_dies_fails_each_stream_by_its_own_rule(h2_upstreams, start):
    arrived = threading.Barrier(3)

    def script(exchange):
        if exchange.conn.number > 0:
            exchange.reply(200, b"again")
            return
        if exchange.path == "/begun":
            exchange.head(200, [("content-length", "100")])
            exchange.data(b"half")
        if arrived.wait(60) == 0:
            exchange.conn.close()
    up = h2_upstreams(script)
    gateway = start(h2c(up))
    with gateway.client() as begun, gateway.client() as get, gateway.client() as post:
        begun.send(raw.request_bytes(target="/begun"))
        head = begun.read_head()
        assert head.status == 200
        get.send(raw.request_bytes(target="/get"))
        up.wait_requests(2)
        post.send(raw.request_bytes("POST", "/post", body=b"x"))
        assert get.read_response().body == b"again"
        assert post.read_response("POST").status == 502
        with pytest.raises(raw.Closed):
            begun.read_body(head)
    assert gateway.wait_access(path="/begun")["reason"] in ("upstream_closed", "upstream_reset")
    assert sorted(e.path for e in up.exchanges) == ["/begun", "/get", "/get", "/post"]


def test_a_client_that_leaves_cancels_its_stream_alone(h2_upstreams, start):
    def script(exchange):
        if exchange.path == "/left":
            exchange.head(200)
            exchange.data(b"begun")
        else:
            exchange.reply()
    up = h2_upstreams(script)
    gateway = start(h2c(up))
    with gateway.client() as client:
        client.send(raw.request_bytes(target="/left"))
        client.read_head()
    assert up.wait_requests()[0].wait_reset() == CANCEL
    assert gateway.ask().status == 200
    assert len(up.connections) == 1
    gateway.wait_metric(lambda m: m.get("sluice_upstream_streams", upstream="app") == 0, "no stream left")
    assert resets(gateway, "unwanted") == 1


BAD_HEADS = {
    "upper case": [(":status", "200"), ("X-Upper", "1")],
    "connection": [(":status", "200"), ("connection", "close")],
    "transfer-encoding": [(":status", "200"), ("transfer-encoding", "chunked")],
    "no status": [("x-a", "1")],
    "two statuses": [(":status", "200"), (":status", "200")],
    "status of four digits": [(":status", "2000")],
    "late pseudo": [("x-a", "1"), (":status", "200")],
    "request pseudo": [(":status", "200"), (":path", "/")],
    "bad length": [(":status", "200"), ("content-length", "1x")],
    "two lengths": [(":status", "200"), ("content-length", "1"), ("content-length", "2")],
    "line break in a value": [(":status", "200"), ("x-a", "b\r\nx-evil: 1")],
    "NUL in a value": [(":status", "200"), ("x-a", "b\0c")],
    "blank in a name": [(":status", "200"), ("x a", "1")],
    "101": [(":status", "101")],
}


@pytest.mark.parametrize("what", BAD_HEADS)
def test_a_malformed_response_is_refused_alone(h2_upstreams, start, what):
    def script(exchange):
        if exchange.path == "/good":
            exchange.reply(200, b"good")
        else:
            exchange.conn.act(lambda h: h.send_headers(exchange.id, BAD_HEADS[what], end_stream=what != "101"))
    up = h2_upstreams(script)
    gateway = start(h2c(up))
    answer = gateway.ask(target="/bad")
    assert answer.status == 502, answer
    assert answer.get("x-evil") is None
    gateway.expect_end("upstream_protocol", path="/bad")
    assert gateway.ask(target="/good").body == b"good"


@pytest.mark.parametrize("announced, sent", [("10", b"12345"), ("3", b"12345")])
def test_content_that_is_not_as_long_as_announced_is_cut(h2_upstreams, start, announced, sent):
    def script(exchange):
        exchange.head(200, [("content-length", announced)])
        exchange.data(sent, end=True)
    up = h2_upstreams(script)
    gateway = start(h2c(up))
    with gateway.client() as client:
        client.send(raw.request_bytes())
        with pytest.raises(AssertionError):
            answer = client.read_response()
            assert answer.status == 200, answer
    assert gateway.wait_access()["reason"] == "upstream_protocol"


def test_bytes_that_are_no_http2_end_the_connection(upstreams, start):
    def script(exchange):
        exchange.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        exchange.close()

    def greet(conn):
        conn.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        conn.close()
        return True
    up = upstreams(script)
    up.on_connect = greet
    gateway = start(h2c(up))
    assert gateway.ask("POST", body=b"x").status == 502


def test_an_endpoint_that_is_not_there_is_told_as_such(h2_upstreams, start):
    up = h2_upstreams()
    up.stop_listening()
    gateway = start(h2c(up, retry={"attempts": 0}))
    assert {a.status for a in together(gateway, 4)} == {502}
    assert {line["reason"] for line in gateway.wait_access(4)} == {"connect_failed"}
    assert gateway.metric("sluice_upstream_connections", upstream="app") == 0


def test_another_endpoint_serves_for_one_that_is_not_there(h2_upstreams, start):
    dead, fine = h2_upstreams(), h2_upstreams()
    dead.stop_listening()
    gateway = start(h2c(dead, fine))
    assert [a.status for a in together(gateway, 10)] == [200] * 10


def test_an_endpoint_that_is_silent_is_given_up(h2_upstreams, start):
    up = h2_upstreams(lambda exchange: exchange.wait_reset())
    gateway = start(h2c(up, timeout={"response": "100ms"}, retry={"attempts": 0}))
    assert gateway.ask().status == 504
    gateway.expect_end("response_timeout")
    assert up.wait_requests()[0].wait_reset() == CANCEL


def test_a_connection_without_a_sign_of_life_is_given_up(upstreams, start):
    """It accepts, and never says a word: SETTINGS alone would be a sign of life."""
    def mute(conn):
        try:
            while conn.sock.recv(65536):
                pass
        except OSError:
            pass
        return True
    up = upstreams()
    up.on_connect = mute
    gateway = start(h2c(up, http2={"keepalive_interval": "50ms", "keepalive_timeout": "50ms"}, retry={"attempts": 0}))
    assert gateway.ask().status in (502, 504)
    assert gateway.metric("sluice_upstream_pings_unanswered_total", upstream="app") == 1


def test_pings_are_sent_while_requests_wait(h2_upstreams, start):
    def script(exchange):
        exchange.wait(lambda: exchange.conn.pings >= 3, "three pings")
        exchange.reply()
    up = h2_upstreams(script)
    gateway = start(h2c(up, http2={"keepalive_interval": "20ms", "keepalive_timeout": "30s"}))
    assert gateway.ask().status == 200


# --- calls of plugins


def test_plugins_call_services_that_speak_http2(h2_upstreams, upstreams, start, binary):
    def script(exchange):
        told = exchange.read_body()
        allowed = exchange.get("authorization") == "good" and told == b"question"
        exchange.reply(200 if allowed else 403, b"x" * 5000)
    service, app = h2_upstreams(script), upstreams()
    config = plain(app)
    config["upstreams"]["service"] = {"endpoints": [service.address], "protocol": "h2c"}
    config["plugin_path"] = [os.path.join(os.path.dirname(binary), "plugins")]
    config["routes"][0]["plugins"] = [{"ext_auth": {"target": "service/check", "method": "post", "body": "1KiB",
                                                        "timeout": "1s"}}]
    gateway = start(config)
    assert gateway.ask("POST", fields=[("Authorization", "good")], body=b"question").status == 200
    assert gateway.ask("POST", fields=[("Authorization", "bad")], body=b"question").status == 403
    seen = service.wait_requests(2)
    assert [e.body for e in seen] == [b"question"] * 2 and len(service.connections) == 1
    service.close_connections()
    wait_until(lambda: not service.open_connections(), what="the service to hang up")
    assert gateway.ask("POST", fields=[("Authorization", "good")], body=b"question").status == 200


# --- what an operator sees


def test_the_protocol_is_shown(h2_upstreams, start, sluice):
    up = h2_upstreams()
    gateway = start(h2c(up))
    assert gateway.ask().status == 200
    gateway.wait_metric(lambda m: m.get("sluice_upstream_streams", upstream="app") == 0, "no stream left")
    [shown] = gateway.admin.json("/upstreams")["upstreams"]
    assert shown["protocol"] == "h2c"
    assert shown["endpoints"][0]["connections"] == {"active": 0, "idle": 1, "tunnels": 0, "h2": 1, "streams": 0}
    told = sluice("upstreams", "--admin", gateway.admin.address)
    assert "round_robin, h2c, 1 of 1 endpoints healthy" in told.stdout, told


# --- tunnels (RFC 8441)

ASK = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
       ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]


def tunnelled(up, **upstream):
    config = h2c(up, **upstream)
    config["routes"][0]["upgrade"] = ["websocket"]
    return config


def test_an_upgrade_becomes_an_extended_connect(h2_upstreams, start):
    def script(exchange):
        exchange.head(200, [("sec-websocket-protocol", "chat")])
        exchange.wait(lambda: exchange.body == b"question", "what the client says")
        exchange.data(b"answer")
        exchange.read_body()
        exchange.data(b", last", end=True)
    up = h2_upstreams(script, settings={h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1})
    gateway = start(tunnelled(up))
    with gateway.client() as client:
        client.send(raw.request_bytes(target="/ws?a=b", fields=ASK))
        head = client.read_head()
        assert (head.status, head.get("upgrade")) == (101, "websocket")
        assert head.get("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" and head.get("sec-websocket-protocol") == "chat"
        client.send(b"question")
        client.half_close()
        rest = client.read_until_close()
    assert rest == b"answer, last", rest
    [seen] = up.wait_requests()
    assert (seen.method, seen.get(":protocol"), seen.path, seen.get(":scheme")) == ("CONNECT", "websocket", "/ws?a=b", "http")
    assert seen.get("sec-websocket-key") is None and seen.get("sec-websocket-version") == "13"
    assert gateway.wait_access()["reason"] == "completed"


def test_an_endpoint_that_opens_no_tunnels_is_told_as_such(h2_upstreams, start):
    up = h2_upstreams()
    gateway = start(tunnelled(up))
    for _ in range(2):  # its SETTINGS are not known yet, and are
        answer = gateway.ask(fields=ASK)
        assert answer.status == 502 and b"opens no tunnels" in answer.body, answer.body
    assert gateway.ask().status == 200
    assert [e.method for e in up.exchanges] == ["GET"]


def test_a_tunnel_that_connect_cannot_tell_the_method_of_is_not_opened(h2_upstreams, start):
    up = h2_upstreams(settings={h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1})
    config = tunnelled(up)
    config["routes"][0]["upgrade"] = ["spdy"]
    gateway = start(config)
    fields = [("Connection", "Upgrade"), ("Upgrade", "spdy")]
    assert gateway.ask("POST", fields=fields).status == 502
    assert up.exchanges == []


def test_a_tunnel_that_is_refused_is_an_answer(h2_upstreams, start):
    up = h2_upstreams(lambda exchange: exchange.reply(403, b"no"),
                      settings={h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1})
    gateway = start(tunnelled(up))
    answer = gateway.ask(fields=ASK)
    assert (answer.status, answer.body) == (403, b"no")


def test_a_client_that_leaves_a_tunnel_resets_its_stream(h2_upstreams, start):
    up = h2_upstreams(lambda exchange: exchange.head(200), settings={h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1})
    gateway = start(tunnelled(up))
    with gateway.client() as client:
        client.send(raw.request_bytes(fields=ASK))
        assert client.read_head().status == 101
        client.reset()
    assert up.wait_requests()[0].wait_reset() == CANCEL
    gateway.wait_metric(lambda m: m.get("sluice_upstream_streams", upstream="app") == 0, "no stream left")


def test_a_tunnel_through_two_gateways(upstreams, start):
    def echo(exchange):
        exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
                      b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept_of(exchange.get("sec-websocket-key")))
        exchange.keep = False
        data = bytes(exchange.conn.buffer)
        while True:
            if data:
                exchange.conn.sock.sendall(data)
            data = exchange.conn.sock.recv(65536)
            if not data:
                return
    last = plain(upstreams(echo))
    last["routes"][0]["upgrade"] = ["websocket"]
    second = start(last)
    first = start(tunnelled(second))
    data = os.urandom(400_000)
    with first.client() as client:
        client.send(raw.request_bytes(fields=ASK))
        head = client.read_head()
        assert (head.status, head.get("sec-websocket-accept")) == (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        sender = threading.Thread(target=lambda: (client.send(data), client.half_close()))
        sender.start()
        assert client.read_until_close() == data
        sender.join()
    assert second.wait_access()["protocol"] == "HTTP/2"


def accept_of(key):
    return base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
