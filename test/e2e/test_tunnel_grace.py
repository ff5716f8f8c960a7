"""Tunnels to an endpoint that leaves stay for timeout.drain_tunnel, then they are cut."""

import pytest

from gateway import plain
from raw import Closed, wait_until
from test_sources import members, routed, wait_members, write
from test_upgrade import echo, opened, take


class Scene:
    """A gateway whose endpoints a file lists, and who answers there."""

    def __init__(self, start, upstreams, tmp_path, drain_tunnel):
        self.path = tmp_path / "members.json"
        self.old, self.other = upstreams(), upstreams()
        for fake in (self.old, self.other):
            fake.on("/ws", echo)
        self.list({"address": self.old.address})
        self.gateway = start(routed({"file": {"path": str(self.path), "interval": "100ms"}},
                                    timeout={"drain_tunnel": drain_tunnel}, connections={"idle": 0}))

    def list(self, *endpoints):
        write(self.path, list(endpoints))

    def remove(self, how="removed"):
        """Take the old endpoint out; True once the workers know."""
        kept = {"removed": [], "draining": [{"address": self.old.address, "state": "draining"}],
                "weight 0": [{"address": self.old.address, "weight": 0}],
                "failing": [{"address": self.old.address, "state": "failing"}]}[how]
        self.list({"address": self.other.address}, *kept)
        wait_members(self.gateway, [self.other.address], "serving")
        number = len(self.other.requests)
        wait_until(lambda: self.gateway.ask().status == 200 and len(self.other.requests) > number, what="the other")


def says(client, data):
    client.send(data)
    assert take(client, len(data)) == data


@pytest.mark.parametrize("how", ["removed", "draining", "weight 0"])
def test_tunnels_end_some_time_after_their_endpoint_has_left(start, upstreams, tmp_path, how):
    scene = Scene(start, upstreams, tmp_path, "1500ms")
    clients = [scene.gateway.client() for _ in range(5)]
    for client in clients:
        opened(client, "/ws")
    scene.remove(how)
    with scene.gateway.client() as young:
        opened(young, "/ws")
        for client in clients:
            says(client, b"still here")
        for client in clients:
            with pytest.raises(Closed) as closed:
                client.read_line("of a cut tunnel")
            assert closed.value.reset
            client.close()
        lines = scene.gateway.wait_access(5, reason="tunnel_drained")
        assert {line["endpoint"] for line in lines} == {scene.old.address}
        assert scene.gateway.metric("sluice_request_ends_total", reason="tunnel_drained") == 5
        says(young, b"with the other endpoint")
    scene.old.wait_idle()


def test_tunnels_stay_when_their_endpoint_comes_back(start, upstreams, tmp_path):
    scene = Scene(start, upstreams, tmp_path, "1s")
    gone = upstreams()
    gone.on("/ws", echo)
    both = [{"address": scene.old.address}, {"address": gone.address}]
    scene.list(*both)
    wait_members(scene.gateway, [one["address"] for one in both])
    wait_until(lambda: scene.gateway.ask().status == 200 and gone.requests, what="both")
    clients = {}
    while len(clients) < 2:
        client = scene.gateway.client()
        before = len(gone.requests)
        opened(client, "/ws")
        clients.setdefault(gone if len(gone.requests) > before else scene.old, client)
    scene.remove()  # both
    scene.list({"address": scene.other.address}, {"address": scene.old.address})
    number = len(scene.old.requests)
    wait_until(lambda: scene.gateway.ask().status == 200 and len(scene.old.requests) > number, what="back")
    with pytest.raises(Closed):
        clients[gone].read_line("of a cut tunnel")  # so the time is over
    says(clients[scene.old], b"still here")
    for client in clients.values():
        client.close()


@pytest.mark.parametrize("how, drain_tunnel", [("removed", "0s"), ("failing", "100ms")])
def test_without_a_time_or_for_a_failing_endpoint_tunnels_stay(start, upstreams, tmp_path, how, drain_tunnel):
    scene = Scene(start, upstreams, tmp_path, drain_tunnel)
    with scene.gateway.client() as client:
        opened(client, "/ws")
        scene.remove(how)
        for n in range(20):
            says(client, b"%d" % n)
            scene.gateway.ask()
        client.half_close()
        client.expect_close()
    assert scene.gateway.wait_access(target="/ws")["reason"] == "completed"


def without(config):
    """The same without the upstream: its route answers itself."""
    return {**config, "upstreams": {}, "routes": [{"name": "all", "respond": {"status": 200}}]}


def ended(client):
    with pytest.raises(Closed) as closed:
        client.read_line("of a cut tunnel")
    assert closed.value.reset


@pytest.mark.parametrize("with_plugin", [False, True])
def test_tunnels_end_some_time_after_their_upstream_has_left_the_configuration(start, upstream, with_plugin):
    upstream.on("/ws", echo)
    config = plain(upstream)
    config["upstreams"]["app"]["timeout"] = {"drain_tunnel": "1500ms"}
    if with_plugin:  # one that is told of the end: the tunnel keeps its exchange, and its configuration
        config["plugins"] = [{"tracing": {"endpoint": "http://127.0.0.1:1/v1/traces"}}]
    gateway = start(config)
    with gateway.client() as client, gateway.client() as other:
        opened(client, "/ws")
        opened(other, "/ws")
        gateway.wait_metric(lambda m: m.get("sluice_worker_exchanges_active") == (2 if with_plugin else 0))
        gateway.must_reload(without(config))
        assert gateway.ask().status == 200 and len(upstream.requests) == 2
        says(client, b"still here")
        ended(client)
        ended(other)
    lines = gateway.wait_access(2, reason="tunnel_drained")
    assert {line["endpoint"] for line in lines} == {upstream.address}
    assert {line["upstream"] for line in lines} == {"app"}
    gateway.wait_metric(lambda m: m.get("sluice_worker_tunnels") == 0)


def test_an_upstream_that_comes_back_keeps_its_tunnels(start, upstream):
    upstream.on("/ws", echo)
    config = plain(upstream)
    config["upstreams"]["app"]["timeout"] = {"drain_tunnel": "1h"}
    gateway = start(config)
    with gateway.client() as client:
        opened(client, "/ws")
        gateway.must_reload(without(config))
        says(client, b"without it")
        gateway.must_reload(config)
        assert gateway.ask().status == 200 and len(upstream.requests) == 2, "new requests go there again"
        says(client, b"with it")
        with gateway.client() as young:
            opened(young, "/ws")
            says(young, b"me too")
        client.half_close()
        client.expect_close()
    gateway.wait_access(1, reason="completed")
