"""gRPC with an official implementation on both sides of the gateway: the four forms of calls, deadlines, cancellation."""

import concurrent.futures
import threading

import grpc
import pytest

from gateway import plain
from pki import Pki
from raw import DEADLINE_S, wait_until

FORMS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]


class Service:
    """A server of /demo.Echo with one method of each form, and some that end otherwise."""

    def __init__(self, credentials=None):
        self.active, self.cancelled, self.metadata = 0, 0, []
        self.go_on = threading.Event()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers([self])
        if credentials:
            port = self.server.add_secure_port("127.0.0.1:0", credentials)
        else:
            port = self.server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"
        self.server.start()

    def service(self, details):
        """grpc.GenericRpcHandler, without inheriting from it."""
        self.metadata.append(dict(details.invocation_metadata))
        name = details.method.rsplit("/", 1)[1]
        forms = {"unary_unary": (grpc.unary_unary_rpc_method_handler, self.unary_unary),
                 "unary_stream": (grpc.unary_stream_rpc_method_handler, self.unary_stream),
                 "stream_unary": (grpc.stream_unary_rpc_method_handler, self.stream_unary),
                 "stream_stream": (grpc.stream_stream_rpc_method_handler, self.stream_stream),
                 "fail": (grpc.unary_unary_rpc_method_handler, self.fail),
                 "wait": (grpc.unary_stream_rpc_method_handler, self.wait)}
        if name not in forms:
            return None
        make, method = forms[name]
        return make(method)

    def unary_unary(self, request, context):
        context.set_trailing_metadata([("x-trailer", "t")])
        return b"<" + request + b">"

    def unary_stream(self, request, context):
        yield from (request + b"%d" % i for i in range(5))

    def stream_unary(self, requests, context):
        return b",".join(requests)

    def stream_stream(self, requests, context):
        for request in requests:
            yield b"<" + request + b">"

    def fail(self, request, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not like this: 100 % ä")

    def wait(self, request, context):
        ended = threading.Event()
        returned = threading.Event()

        def on_end():
            # Who is cancelled between two answers is not resumed: nothing after the yield may tell.
            self.cancelled += not returned.is_set()
            ended.set()
        if not context.add_callback(on_end):
            on_end()
        self.active += 1
        yield b"begun"
        while not ended.wait(0.02) and not self.go_on.is_set():
            pass
        if not ended.is_set():
            returned.set()

    def stop(self):
        stopping = self.server.stop(0)  # ends the calls; those that went on first would end well
        self.go_on.set()
        stopping.wait(DEADLINE_S)


@pytest.fixture
def service():
    made = []

    def make(*args):
        made.append(Service(*args))
        return made[-1]
    yield make
    for one in made:
        one.stop()


@pytest.fixture
def channel():
    """Channels to an address; closed at the end."""
    made = []

    def make(address, credentials=None, options=()):
        options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1), *options]
        made.append(grpc.secure_channel(address, credentials, options) if credentials
                    else grpc.insecure_channel(address, options))
        return made[-1]
    yield make
    for one in made:
        one.close()


def to(service, **upstream):
    config = plain(service)
    config["upstreams"]["app"].update({"protocol": "h2c", **upstream})
    return config


def make_call(channel, form, name=None):
    return getattr(channel, form)("/demo.Echo/" + (name or form))


def expect_forms(channel):
    """All four forms, small and large."""
    big = b"B" * 1_000_000
    for data in (b"x", big):
        answer, call = make_call(channel, "unary_unary").with_call(data, timeout=60)
        assert answer == b"<" + data + b">" and dict(call.trailing_metadata())["x-trailer"] == "t"
        assert list(make_call(channel, "unary_stream")(data, timeout=60)) == [data + b"%d" % i for i in range(5)]
        assert make_call(channel, "stream_unary")(iter([data] * 4), timeout=60) == b",".join([data] * 4)
        assert list(make_call(channel, "stream_stream")(iter([data] * 4), timeout=60)) == [b"<" + data + b">"] * 4


def test_the_four_forms(service, start, channel):
    gateway = start(to(service()))
    expect_forms(channel(gateway.address))
    lines = gateway.wait_access(8)
    assert {(line["status"], line["grpc_status"], line["reason"]) for line in lines} == {(200, 0, "completed")}
    assert {line["protocol"] for line in lines} == {"HTTP/2"}
    assert gateway.metric("sluice_grpc_responses_total", grpc_status="ok") == 8


def test_the_four_forms_over_tls_on_both_sides(service, start, channel, tmp_path):
    pki = Pki(str(tmp_path))
    files = pki.make("server", "localhost", "127.0.0.1")
    with open(files["cert"], "rb") as c, open(files["key"], "rb") as k, open(pki.ca, "rb") as a:
        pair, ca = (k.read(), c.read()), a.read()
    server = service(grpc.ssl_server_credentials([pair]))
    config = to(server, protocol="h2", tls={"ca": pki.ca, "sni": "localhost"})
    config["listeners"] = [{"name": "main", "bind": "127.0.0.1:0", "tls": {"certificates": [files]}}]
    gateway = start(config)
    expect_forms(channel(gateway.address.replace("127.0.0.1", "localhost"), grpc.ssl_channel_credentials(ca)))
    assert gateway.metric("sluice_upstream_h2_connections", upstream="app") == 1


def test_messages_go_one_by_one(service, start, channel):
    """Each message is answered before the next one is sent."""
    gateway = start(to(service()))
    asked = iter([b"1", b"2", b"3"])
    answered = threading.Semaphore(1)

    def requests():
        for message in asked:
            assert answered.acquire(timeout=DEADLINE_S)
            yield message
    got = []
    for answer in make_call(channel(gateway.address), "stream_stream")(requests(), timeout=60):
        got.append(answer)
        answered.release()
    assert got == [b"<1>", b"<2>", b"<3>"]


def test_many_calls_share_connections(service, start, channel):
    gateway = start(to(service()))
    clients = [channel(gateway.address) for _ in range(4)]
    futures = [make_call(clients[i % 4], "unary_unary").future(b"%d" % i, timeout=60) for i in range(200)]
    assert [f.result() for f in futures] == [b"<%d>" % i for i in range(200)]
    assert gateway.metric("sluice_upstream_connects_total", upstream="app") <= 3


def test_a_status_with_its_message_passes(service, start, channel):
    gateway = start(to(service()))
    with pytest.raises(grpc.RpcError) as failure:
        make_call(channel(gateway.address), "unary_unary", "fail")(b"x", timeout=60)
    assert failure.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert failure.value.details() == "not like this: 100 % ä"
    assert gateway.wait_access()["grpc_status"] == 9
    with pytest.raises(grpc.RpcError) as failure:
        make_call(channel(gateway.address), "unary_unary", "none")(b"x", timeout=60)
    assert failure.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_metadata_pass(service, start, channel):
    server = service()
    gateway = start(to(server))
    make_call(channel(gateway.address), "unary_unary")(b"x", timeout=60, metadata=[("x-text", "a b"), ("x-bin", b"\0\xff")])
    assert server.metadata[-1]["x-text"] == "a b" and server.metadata[-1]["x-bin"] == b"\0\xff"


def test_a_deadline_ends_a_call_on_both_sides(service, start, channel):
    server = service()
    gateway = start(to(server))
    with pytest.raises(grpc.RpcError) as failure:
        list(make_call(channel(gateway.address), "unary_stream", "wait")(b"x", timeout=0.5))
    assert failure.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED  # whose ever clock is first
    wait_until(lambda: server.cancelled == 1, what="the call is cancelled at the server")


def expect_end_of_begun(service, start, channel, option):
    """A call whose answer begins, and is then ended by the shortest timeout that let it begin."""
    for seconds in (1, 30):
        gateway = start(to(service(), deadline={"grpc": False}, timeout={option: f"{seconds}s"}))
        call = make_call(channel(gateway.address), "unary_stream", "wait")(b"x", timeout=120)
        got = []
        with pytest.raises(grpc.RpcError) as failure:
            got.extend(call)  # keeps what came before the error
        if got:
            break
    assert got == [b"begun"]
    return failure.value, gateway.wait_access()


def test_a_timeout_of_the_gateway_reaches_a_client_as_a_deadline(service, start, channel):
    failure, line = expect_end_of_begun(service, start, channel, "total")
    assert (failure.code(), failure.details()) == (grpc.StatusCode.DEADLINE_EXCEEDED,
                                                   "The exchange took longer than allowed.")
    assert (line["reason"], line["grpc_status"]) == ("total_timeout", 4)


def test_an_endpoint_that_falls_silent_is_unavailable(service, start, channel):
    failure, line = expect_end_of_begun(service, start, channel, "idle")
    assert (failure.code(), failure.details()) == (grpc.StatusCode.UNAVAILABLE, "The service stopped in the middle.")
    assert (line["reason"], line["grpc_status"]) == ("upstream_idle_timeout", 14)


def test_a_client_that_cancels_cancels_at_the_server(service, start, channel):
    server = service()
    gateway = start(to(server))
    call = make_call(channel(gateway.address), "unary_stream", "wait")(b"x", timeout=60)
    assert next(call) == b"begun"
    call.cancel()
    wait_until(lambda: server.cancelled == 1, what="the call is cancelled at the server")
    line = gateway.wait_access()
    assert line["reason"] in ("client_reset", "client_closed"), line


def test_a_server_that_goes_is_unavailable(service, start, channel):
    server = service()
    gateway = start(to(server, retry={"attempts": 0}))
    call = make_call(channel(gateway.address), "unary_stream", "wait")(b"x", timeout=60)
    assert next(call) == b"begun"
    server.stop()
    with pytest.raises(grpc.RpcError) as failure:
        list(call)
    assert failure.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL,
                                    grpc.StatusCode.UNKNOWN), failure.value
    with pytest.raises(grpc.RpcError) as failure:
        make_call(channel(gateway.address), "unary_unary")(b"x", timeout=60)
    assert failure.value.code() == grpc.StatusCode.UNAVAILABLE
    assert failure.value.details() == "The service could not be reached."


def test_our_own_answers_reach_a_client_as_statuses(service, start, channel):
    server = service()
    config = to(server)
    config["routes"] = [{"match": {"path": "/demo.Echo/unary_unary"}, "upstream": "app"},
                        {"match": {"path": "/demo.Echo/fail"}, "respond": {"status": 403, "body": "no"}}]
    gateway = start(config)
    client = channel(gateway.address)
    assert make_call(client, "unary_unary")(b"x", timeout=60) == b"<x>"
    for name, code in (("fail", grpc.StatusCode.PERMISSION_DENIED), ("wait", grpc.StatusCode.UNIMPLEMENTED)):
        with pytest.raises(grpc.RpcError) as failure:
            make_call(client, "unary_unary", name)(b"x", timeout=60)
        assert failure.value.code() == code, failure.value


def test_a_restart_of_the_server_loses_no_call(service, start, channel):
    """One server drains while calls go on: each is answered, by it or by the other.

    What it has not begun it leaves out by GOAWAY, or (this implementation) ends as cancelled.
    """
    one, two = service(), service()
    config = plain(one, two)
    config["upstreams"]["app"].update({"protocol": "h2c", "retry": {"attempts": 5, "grpc": ["cancelled", "unavailable"]},
                                       "retry_budget": {"share": "100%"}})
    gateway = start(config)
    client = channel(gateway.address)
    for _ in range(4):
        make_call(client, "unary_unary")(b"x", timeout=60)
    futures = []
    for i in range(100):
        futures.append(make_call(client, "unary_unary").future(b"%d" % i, timeout=60))
        if i == 50:
            stopping = one.server.stop(30)
    assert [f.result() for f in futures] == [b"<%d>" % i for i in range(100)]
    stopping.wait(60)
