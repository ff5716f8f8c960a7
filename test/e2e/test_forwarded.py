"""What the upstream is told about the client, what a client cannot forge, and what stays between hops."""

import re

import pytest

from gateway import plain
from raw import request_bytes

FORGED = {"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example",
          "X-Real-IP": "1.2.3.4", "Forwarded": "for=1.2.3.4;proto=https"}


def listener(**keys):
    return [{"name": "main", "bind": "127.0.0.1:0", **keys}]


def forwarded(trust=(), send="x-forwarded"):
    return listener(forwarded={"trust": list(trust), "send": send})


def everything(exchange):
    return " ".join(f"{name}: {value}" for name, value in exchange.fields)


def parse_forwarded(value):
    """The elements of one Forwarded field as dicts."""
    return [{name.strip().lower(): text.strip('"') for name, _,
             text in (pair.partition("=") for pair in element.split(";"))}
            for element in value.split(",")]


def test_a_disguised_name_is_dropped_too(start, upstream):
    gateway = start(plain(upstream, listeners=forwarded()))
    gateway.ask(fields={"X_Forwarded_For": "7.7.7.7", "X-Forwarded_Proto": "https", "X_Other": "stays"})
    assert "7.7.7.7" not in everything(upstream.last)
    assert upstream.last.all("x-forwarded_proto") == [] and upstream.last.all("x_other") == ["stays"]


def test_the_upstream_learns_client_scheme_and_host(start, upstream):
    start(plain(upstream, listeners=forwarded())).ask(host="www.example:8080")
    assert upstream.last.all("x-forwarded-for") == ["127.0.0.1"]
    assert upstream.last.all("x-forwarded-proto") == ["http"]
    assert upstream.last.all("x-forwarded-host") == ["www.example:8080"]
    assert upstream.last.all("forwarded") == []


def test_a_peer_that_is_not_trusted_cannot_forge_anything(start, upstream):
    gateway = start(plain(upstream, listeners=forwarded(trust=["10.0.0.0/8"])))
    gateway.ask(fields=FORGED)
    assert upstream.last.all("x-forwarded-for") == ["127.0.0.1"]
    assert upstream.last.all("x-forwarded-proto") == ["http"]
    assert "1.2.3.4" not in everything(upstream.last) and "evil" not in everything(upstream.last)
    line = gateway.wait_access()
    assert line["client"] == "127.0.0.1"


def test_without_any_forwarded_key_nobody_is_trusted(gateway, upstream):
    gateway.ask(fields=FORGED)
    assert "1.2.3.4" not in everything(upstream.last) and "evil" not in everything(upstream.last)


def test_forged_fields_split_over_many_lines_are_replaced_too(start, upstream):
    gateway = start(plain(upstream, listeners=forwarded()))
    gateway.ask(fields=[("X-Forwarded-For", "1.1.1.1"), ("x-forwarded-FOR", "2.2.2.2"),
                        ("X-FORWARDED-FOR", "3.3.3.3")])
    assert upstream.last.all("x-forwarded-for") == ["127.0.0.1"]


def test_a_trusted_peer_is_appended_to(start, upstream):
    gateway = start(plain(upstream, listeners=forwarded(trust=["127.0.0.0/8"])))
    gateway.ask(fields={"X-Forwarded-For": "1.2.3.4, 5.6.7.8", "X-Forwarded-Proto": "https",
                        "X-Forwarded-Host": "front.example"})
    assert ", ".join(upstream.last.all("x-forwarded-for")) == "1.2.3.4, 5.6.7.8, 127.0.0.1"
    assert upstream.last.all("x-forwarded-proto") == ["https"]
    assert upstream.last.all("x-forwarded-host") == ["front.example"]


def test_a_trusted_peer_that_says_nothing_gets_the_usual_fields(start, upstream):
    start(plain(upstream, listeners=forwarded(trust=["127.0.0.1"]))).ask()
    assert upstream.last.all("x-forwarded-for") == ["127.0.0.1"]
    assert upstream.last.all("x-forwarded-proto") == ["http"]


def test_the_standard_field_is_sent_when_asked_for(start, upstream):
    start(plain(upstream, listeners=forwarded(send="forwarded"))).ask(fields=FORGED, host="www.example")
    elements = parse_forwarded(upstream.last.get("forwarded"))
    assert len(elements) == 1
    assert elements[0]["for"].startswith("127.0.0.1")
    assert elements[0]["proto"] == "http" and elements[0]["host"] == "www.example"
    assert "1.2.3.4" not in everything(upstream.last) and "evil" not in everything(upstream.last)


def test_the_standard_field_is_appended_to_for_a_trusted_peer(start, upstream):
    gateway = start(plain(upstream, listeners=forwarded(trust=["127.0.0.1/32"], send="forwarded")))
    gateway.ask(fields={"Forwarded": "for=1.2.3.4;proto=https"})
    elements = parse_forwarded(", ".join(upstream.last.all("forwarded")))
    assert elements[0] == {"for": "1.2.3.4", "proto": "https"}
    assert elements[-1]["for"].startswith("127.0.0.1") and len(elements) == 2


def test_both_kinds_may_be_sent(start, upstream):
    start(plain(upstream, listeners=forwarded(send="both"))).ask()
    assert upstream.last.all("x-forwarded-for") == ["127.0.0.1"]
    assert len(upstream.last.all("forwarded")) == 1


def test_none_sends_none_and_lets_no_forgery_through(start, upstream):
    start(plain(upstream, listeners=forwarded(send="none"))).ask(fields=FORGED)
    assert "1.2.3.4" not in everything(upstream.last) and "evil" not in everything(upstream.last)
    assert upstream.last.all("forwarded") == [] and upstream.last.all("x-forwarded-proto") == []


def test_a_version_6_client_is_told_correctly(start, upstream):
    gateway = start(plain(upstream, listeners=[{"name": "main", "bind": "[::1]:0", "forwarded": {"send": "both"}}]))
    gateway.ask()
    assert upstream.last.all("x-forwarded-for") == ["::1"]
    assert re.search(r'for="\[::1\](:\d+)?"', upstream.last.get("forwarded")), upstream.last.get("forwarded")


def test_via_is_added_behind_what_was_there(start, upstream):
    gateway = start(plain(upstream))
    gateway.ask()
    assert len(upstream.last.all("via")) == 1 and upstream.last.get("via").startswith("1.1 ")
    gateway.ask(fields={"Via": "1.0 before"})
    vias = ", ".join(upstream.last.all("via")).split(", ")
    assert vias[0] == "1.0 before" and vias[1].startswith("1.1 ") and len(vias) == 2
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        client.read_response()
    assert upstream.last.get("via").startswith("1.0 ")


def test_via_can_be_left_out(start, upstream):
    start(plain(upstream, listeners=listener(via=False))).ask()
    assert upstream.last.all("via") == []


@pytest.mark.parametrize("rule, want", [(None, "www.example:8080"), ("preserve", "www.example:8080"),
                                        ("endpoint", None), ("inside.example", "inside.example")])
def test_the_host_rule_decides_the_host(start, upstream, rule, want):
    config = plain(upstream)
    if rule:
        config["upstreams"]["app"]["host"] = rule
    start(config).ask(host="www.example:8080")
    assert upstream.last.all("host") == [want or upstream.address]


def test_a_1_0_request_without_host_gets_one_for_the_upstream(gateway, upstream):
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.read_response().status == 200
    assert len(upstream.last.all("host")) == 1


def test_hop_by_hop_fields_of_the_request_stop_here(gateway, upstream):
    gateway.ask(fields={"Connection": "keep-alive, X-Private ,x-other", "X-Private": "1", "X-Other": "2",
                        "Keep-Alive": "timeout=5",
                        "Proxy-Connection": "keep-alive", "TE": "gzip", "Upgrade": "websocket", "X-Public": "3"})
    for name in ("x-private", "x-other", "keep-alive", "proxy-connection", "upgrade"):
        assert upstream.last.all(name) == [], name
    assert "gzip" not in (upstream.last.get("te") or "")
    assert "x-private" not in (upstream.last.get("connection") or "").lower()
    assert upstream.last.all("x-public") == ["3"]


def test_te_trailers_is_still_known_to_the_upstream(gateway, upstream):
    gateway.ask(fields={"TE": "trailers, deflate;q=0.5", "Connection": "TE"})
    assert upstream.last.all("te") in ([], ["trailers"])


def test_hop_by_hop_fields_of_the_answer_stop_here(gateway, upstream):
    upstream.answer("/", b"HTTP/1.1 200 OK\r\nConnection: X-Private\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\n"
                         b"Proxy-Connection: close\r\nUpgrade: h2c\r\nX-Public: 3\r\nContent-Length: 2\r\n\r\nok")
    answer = gateway.ask()
    for name in ("x-private", "keep-alive", "proxy-connection", "upgrade"):
        assert answer.all(name) == [], name
    assert answer.all("x-public") == ["3"]


@pytest.mark.parametrize("named",
                         ["Content-Length", "Transfer-Encoding", "Host", "X-Forwarded-For", "X-Forwarded-Proto",
                                   "Forwarded", "Via", "Connection", "X-Forwarded-Host"])
def test_a_client_cannot_strip_what_matters_by_naming_it_in_connection(start, upstream, named):
    gateway = start(plain(upstream, listeners=forwarded(send="both")))
    got = []
    upstream.on("/", lambda ex: (got.append(ex.read_body()), ex.reply()))
    with gateway.client() as client:
        client.send(request_bytes("POST", fields={"Connection": f"close, {named}"}, body=b"hello"))
        answer = client.read_response()
    assert answer.status in (200, 400), answer
    if answer.status == 200:
        assert got == [b"hello"]
        for name in ("host", "x-forwarded-for", "x-forwarded-proto", "forwarded", "via"):
            assert len(upstream.last.all(name)) == 1, name


def test_end_to_end_fields_pass_in_order_and_unchanged(gateway, upstream):
    fields = [("X-B", "1"), ("X-A", "2"), ("X-B", "3"), ("Cookie", "a=b; c=d"), ("Cookie", "e=f"),
              ("Authorization", "Basic Zm9v"),
              ("Accept", "*/*"), ("User-Agent", "odd/1.0 (\xe9)"), ("X-Empty", ""), ("Range", "bytes=0-1"),
              ("If-Match", '"x"')]
    gateway.ask(fields=fields)
    passed = [(name, value) for name, value in upstream.last.fields if name in {n.lower() for n, _ in fields}]
    assert passed == [(name.lower(), value) for name, value in fields]


def test_the_answer_fields_pass_in_order_and_unchanged(gateway, upstream):
    upstream.answer("/", b"HTTP/1.1 200 Fine\r\nSet-Cookie: a=b\r\nX-A: 1\r\nSet-Cookie: c=d\r\nServer: odd/1\r\n"
                         b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nWWW-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nok")
    answer = gateway.ask()
    assert answer.all("set-cookie") == ["a=b", "c=d"]
    assert answer.all("server") == ["odd/1"] and answer.all("www-authenticate") == ["Basic"]
    assert answer.all("date") == ["Sun, 06 Nov 1994 08:49:37 GMT"]


def test_an_answer_of_the_gateway_itself_has_a_date(start):
    gateway = start({"routes": [{"match": {"path": "/x"}, "echo": True}]})
    for target in ("/x", "/nowhere"):
        assert re.fullmatch(r"\w{3}, \d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2} GMT", gateway.ask(target=target).get("date"))
