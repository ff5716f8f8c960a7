"""Trailers, early answers and resets in each phase over every pair of HTTP/1.1 and HTTP/2, plain and TLS: identical results,
nothing left over.

The test is the client and the origin, step by step (support/matrix.py); test_matrix.py is about bodies, by curl.
"""

import itertools
import json

import pytest

from gateway import Gateway
from matrix import CLIENTS, Origins
from pki import Pki
from raw import wait_until

KINDS = {"h1": ("h1", False), "h2": ("h2", False), "h1s": ("h1", True), "h2s": ("h2", True)}  # (protocol, with TLS?)


@pytest.fixture(scope="module")
def steps(binary, tmp_path_factory):
    """A gateway, and an origin of each kind that the test speaks for."""
    folder = tmp_path_factory.mktemp("steps")
    pki = Pki(str(folder))
    tls = {"certificates": [pki.make("gateway", "www.test")]}
    pki.make("origin", "origin.test")
    origins = Origins(pki, KINDS)
    upstreams = {}
    for name, (protocol, has_tls) in KINDS.items():
        upstreams[name] = {"endpoints": [origins.address(name)], "protocol": "h2c" if name == "h2" else protocol,
                           "retry": {"attempts": 0}}
        if has_tls:
            upstreams[name]["tls"] = {"ca": pki.ca, "sni": "origin.test"}
    gateway = Gateway(binary, folder / "front", {
        "workers": 2, "upstreams": upstreams,
        "listeners": [{"name": "plain", "bind": "127.0.0.1:0"}, {"name": "tls", "bind": "127.0.0.1:0", "tls": tls}],
        "routes": [{"match": {"path": f"/{name}/"}, "upstream": name} for name in KINDS]})
    gateway.pki, gateway.origins = pki, origins
    yield gateway
    origins.close()
    gateway.stop()


GAUGES = [("sluice_worker_exchanges_active", {}), ("sluice_worker_connections", {}), ("sluice_worker_tunnels", {}),
          ("sluice_upstream_streams", {}), ("sluice_upstream_tunnels", {}), ("sluice_upstream_h2_connections", {}),
          ("sluice_upstream_connections", {"state": "active"}), ("sluice_upstream_connections", {"state": "idle"})]


def wait_all_gone(gateway):
    """Both ends have left: nothing of the exchange may be counted any more."""
    assert all(gateway.metrics().has(name, **labels) for name, labels in GAUGES)
    left = {}

    def holds():
        metrics = gateway.metrics()
        left.update({(name, *labels.values()): metrics.get(name, **labels) for name, labels in GAUGES})
        return not any(left.values())
    try:
        wait_until(holds)
    except AssertionError:
        raise AssertionError(f"left over: {left}") from None


class Scene:
    """One client and the origin its request comes to."""

    def __init__(self, gateway, down, up):
        self.gateway, self.up, self.down = gateway, up, down
        protocol, has_tls = KINDS[down]
        context = gateway.pki.client() if has_tls else None
        self.client = CLIENTS[protocol](gateway.addresses()["tls" if context else "plain"], context)
        self.origin = None

    def path(self, what):
        return f"/{self.up}/{self.down}-{what}"

    def begin(self, what, content=None):
        """The head of a request, with the beginning of its content, has come to the origin."""
        self.client.begin(self.path(what), content is not None)
        if content:
            self.client.content(content)
        if self.origin is None:
            self.origin = self.gateway.origins.accept(self.up)
        assert self.origin.take() == self.path(what)
        if content:
            self.origin.read_content(len(content))

    def ended(self, what, reason, status, bytes_out):
        line = self.gateway.wait_access(path=self.path(what))
        assert (line["reason"], line["status"], line["bytes_out"]) == (reason, status, bytes_out), line
        assert line["protocol"] == ("HTTP/2" if KINDS[self.down][0] == "h2" else "HTTP/1.1")
        return line

    def answer(self):
        """A whole answer, and the client has it."""
        self.origin.head(200)
        self.origin.content(b"whole")
        self.origin.end()
        assert self.client.whole() == (200, b"whole", [])

    def half_an_answer(self):
        self.origin.head(200)
        self.origin.content(b"begun")
        self.client.read_content(5)
        assert (self.client.status, self.client.body) == (200, b"begun")


def trailers(scene):
    scene.begin("trailers", b"one")
    scene.client.content(b"two")
    scene.client.end([("x-check", "7")])
    assert scene.origin.whole() == (b"onetwo", [("x-check", "7")])
    scene.origin.head(200)
    scene.origin.content(b"sum")
    scene.origin.end([("x-sum", "42")])
    assert scene.client.whole() == (200, b"sum", [("x-sum", "42")])
    assert scene.ended("trailers", "completed", 200, 3)["bytes_in"] == 6


def early_answer(scene):
    scene.begin("early", b"x" * 10000)
    scene.origin.head(413)
    scene.origin.content(b"large")
    scene.origin.end()
    assert scene.client.whole() == (413, b"large", [])
    scene.client.try_end(b"y" * 10000)  # it may be told to stop, or be let finish
    scene.ended("early", "completed", 413, 5)


def origin_resets_before_its_head(scene):
    scene.begin("reset-early")
    scene.origin.reset()
    status, body, _ = scene.client.whole()
    assert status == 502 and json.loads(body)["reason"] == "upstream_reset"
    scene.ended("reset-early", "upstream_reset", 502, len(body))


def origin_resets_while_it_is_sent_content(scene):
    scene.begin("reset-upload", b"x" * 10000)
    scene.origin.reset()
    status, body, _ = scene.client.whole()
    assert status == 502 and json.loads(body)["reason"] == "upstream_reset"
    scene.client.try_end(b"y" * 10000)
    scene.ended("reset-upload", "upstream_reset", 502, len(body))


def origin_resets_in_its_content(scene):
    scene.begin("reset-half")
    scene.half_an_answer()
    scene.origin.reset()
    scene.client.wait_cut()
    assert scene.client.body == b"begun"
    scene.ended("reset-half", "upstream_reset", 200, 5)


def origin_resets_after_its_answer(scene):
    scene.begin("reset-late")
    scene.answer()
    scene.ended("reset-late", "completed", 200, 5)
    scene.origin.reset_connection()
    scene.gateway.wait_metric(lambda m: not m.get("sluice_upstream_connections"), "the connection to be missed")
    scene.origin = None
    scene.begin("reset-late-next")
    scene.answer()
    scene.ended("reset-late-next", "completed", 200, 5)


def client_resets_before_the_head(scene):
    scene.begin("leave-early")
    scene.client.reset()
    scene.origin.wait_gone()
    assert scene.gateway.wait_access(path=scene.path("leave-early"))["reason"] == "client_reset"


def client_resets_while_it_sends_content(scene):
    scene.begin("leave-upload", b"x" * 10000)
    scene.client.reset()
    scene.origin.wait_gone()
    assert scene.gateway.wait_access(path=scene.path("leave-upload"))["reason"] == "client_reset"


def client_resets_in_the_content(scene):
    scene.begin("leave-half")
    scene.half_an_answer()
    scene.client.reset()
    scene.origin.wait_gone()
    scene.ended("leave-half", "client_reset", 200, 5)


def client_resets_after_the_answer(scene):
    scene.begin("leave-late")
    scene.answer()
    scene.ended("leave-late", "completed", 200, 5)
    scene.client.reset()
    assert scene.origin.is_open()


SCENES = [trailers, early_answer, origin_resets_before_its_head, origin_resets_while_it_is_sent_content, origin_resets_in_its_content,
          origin_resets_after_its_answer, client_resets_before_the_head, client_resets_while_it_sends_content,
          client_resets_in_the_content, client_resets_after_the_answer]


@pytest.mark.parametrize("play", SCENES)
def test_every_pair_step_by_step(steps, play):
    for down, up in itertools.product(KINDS, KINDS):
        scene = Scene(steps, down, up)
        try:
            play(scene)
        except Exception as failure:
            raise AssertionError(f"client {down}, origin {up}: {failure!r}") from failure
        finally:
            scene.client.close()
            if scene.origin:
                scene.origin.close()
        try:
            wait_all_gone(steps)
        except AssertionError as failure:
            raise AssertionError(f"client {down}, origin {up}: {failure!r}") from failure
