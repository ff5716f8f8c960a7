"""How long an exchange may take, by whoever says the shortest time, and what the endpoint is told of it."""

import threading

import pytest

from gateway import expect_problem, plain
from raw import wait_until

FIELD = "x-request-timeout-ms"
GRPC = {"Content-Type": "application/grpc", "TE": "trailers"}
UNITS = {"n": 1e-6, "u": 1e-3, "m": 1, "S": 1000, "M": 60000, "H": 3600000}


def telling(fake, total="10s", trust=None, retry=None, **deadline):
    config = plain(fake)
    app = config["upstreams"]["app"]
    if deadline:
        app["deadline"] = deadline
    if total:
        app["timeout"] = {"total": total}
    if retry:
        app["retry"] = retry
    config["listeners"] = [{"name": "main", "bind": "127.0.0.1:0", "forwarded": {"trust": trust or []}}]
    return config


def grpc_ms(exchange):
    text = exchange.get("grpc-timeout")
    return int(text[:-1]) * UNITS[text[-1]]


@pytest.mark.parametrize("conf", [{"field": FIELD}, {"field": FIELD, "grpc": False}])
def test_the_endpoint_is_told_what_is_left(start, upstream, conf):
    gateway = start(telling(upstream, **conf))
    gateway.ask()
    assert 0 < int(upstream.last.get(FIELD)) <= 10000


def test_nothing_is_told_when_nothing_is_set(start, upstream):
    gateway = start(telling(upstream, total=None, field=FIELD))
    gateway.ask(fields={FIELD: "77"})
    assert upstream.last.get(FIELD) is None, "nobody believes a client"
    gateway.ask("POST", fields=GRPC, body=b"")
    assert upstream.last.get("grpc-timeout") is None


def test_a_client_cannot_say_it(start, upstream):
    gateway = start(telling(upstream, field=FIELD))
    gateway.ask(fields=[(FIELD, "99999"), (FIELD.upper(), "88888")])
    told = [value for name, value in upstream.last.fields if name.lower() == FIELD]
    assert len(told) == 1 and int(told[0]) <= 10000


@pytest.mark.parametrize("sent, most", [("500", 500), ("99999", 10000)])
def test_a_trusted_peer_may_say_less_but_not_more(start, upstream, sent, most):
    gateway = start(telling(upstream, trust=["127.0.0.0/8"], field=FIELD, accept=True))
    gateway.ask(fields={FIELD: sent})
    assert most / 2 < int(upstream.last.get(FIELD)) <= most


@pytest.mark.parametrize("wrong", ["", "-1", "1s", "1.5", "9999999999"])
def test_a_malformed_deadline_of_a_trusted_peer_is_refused(start, upstream, wrong):
    gateway = start(telling(upstream, trust=["127.0.0.1"], field=FIELD, accept=True))
    expect_problem(gateway.ask(fields={FIELD: wrong}), 400, "bad_request")
    assert not upstream.requests


def test_the_time_of_a_trusted_peer_ends_the_exchange(start, upstream):
    gate = threading.Event()
    upstream.script = lambda ex: gate.wait(10)
    gateway = start(telling(upstream, total=None, trust=["127.0.0.1"], field=FIELD, accept=True))
    expect_problem(gateway.ask(fields={FIELD: "60"}), 504, "total_timeout")
    gate.set()


@pytest.mark.parametrize("sent, least, most", [("2S", 1000, 2000), ("500m", 250, 500), ("1H", 5000, 10000),
                                               ("3000000u", 1500, 3000)])
def test_a_grpc_call_has_the_shorter_time(start, upstream, sent, least, most):
    gateway = start(telling(upstream))
    gateway.ask("POST", fields={**GRPC, "grpc-timeout": sent}, body=b"\0\0\0\0\0")
    assert least < grpc_ms(upstream.last) <= most


def test_a_grpc_call_is_told_the_total_when_it_names_none(start, upstream):
    gateway = start(telling(upstream))
    gateway.ask("POST", fields=GRPC, body=b"\0\0\0\0\0")
    assert 5000 < grpc_ms(upstream.last) <= 10000


def test_the_time_of_a_grpc_call_ends_it(start, upstream):
    gate = threading.Event()
    upstream.script = lambda ex: gate.wait(10)
    gateway = start(telling(upstream, total=None))
    answer = gateway.ask("POST", fields={**GRPC, "grpc-timeout": "50m"}, body=b"\0\0\0\0\0")
    assert (answer.status, answer.get("grpc-status")) == (200, "4"), answer
    gate.set()
    gateway.expect_end("total_timeout")


@pytest.mark.parametrize("wrong", ["", "1", "1s", "123456789m", "-1S", "1 S"])
def test_a_malformed_grpc_timeout_is_refused(start, upstream, wrong):
    gateway = start(telling(upstream))
    for fields in ([("grpc-timeout", wrong)], [("grpc-timeout", "1S"), ("grpc-timeout", "2S")]):
        answer = gateway.ask("POST", fields=[*GRPC.items(), *fields], body=b"")
        assert (answer.status, answer.get("grpc-status"), answer.body) == (200, "13", b""), answer
        assert "malformed grpc-timeout" in answer.get("grpc-message")
    assert {line["reason"] for line in gateway.wait_access(2)} == {"bad_request"}
    assert not upstream.requests


def test_what_is_no_grpc_call_keeps_its_field(start, upstream):
    gateway = start(telling(upstream))
    gateway.ask("POST", fields={"grpc-timeout": "anything"}, body=b"x")
    assert upstream.last.get("grpc-timeout") == "anything"
    gateway.must_reload(telling(upstream, grpc=False))
    gateway.ask("POST", fields={**GRPC, "grpc-timeout": "anything"}, body=b"x")
    assert upstream.last.get("grpc-timeout") == "anything"


def test_each_try_is_told_what_is_left_for_it(start, upstream):
    def script(exchange):
        exchange.read_body()
        exchange.reply(503 if len(upstream.requests) < 3 else 200)
    upstream.script = script
    gateway = start(telling(upstream, field=FIELD,
                            retry={"on": [503], "attempts": 2, "backoff": {"base": "0s", "max": "1s"}}))
    assert gateway.ask().status == 200
    wait_until(lambda: len(upstream.requests) == 3)
    told = [int(exchange.get(FIELD)) for exchange in upstream.requests]
    assert told == sorted(told, reverse=True) and told[0] <= 10000


@pytest.mark.parametrize("name", ["host", "Content-Length", "grpc-timeout", "with space", "te"])
def test_a_field_that_means_something_else_is_refused(sluice, tmp_path, name):
    (tmp_path / "c.yaml").write_text(
        "upstreams: { app: { endpoints: [ \"127.0.0.1:9000\" ], deadline: \"%s\" } }\nroutes: [ { upstream: app } ]\n" % name)
    run = sluice("check", "-c", str(tmp_path / "c.yaml"))
    assert run.returncode != 0 and "cannot be the field of a deadline" in run.stdout + run.stderr
