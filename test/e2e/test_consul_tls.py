"""Consul by HTTPS: who it is, who we are, and many queries over one connection."""

import pytest
from consul import HAS_CONSUL, Consul
from consul_scene import config, members, state, wait_members, wait_state
from pki import Pki
from raw import wait_until

pytestmark = pytest.mark.skipif(not HAS_CONSUL, reason="no consul: scripts/install-deps test")

SERVICES = 15  # more than the connections that the configuration allows


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    pki = Pki(str(tmp_path_factory.mktemp("pki")))
    pki.make("agent", "127.0.0.1", "consul.test", kind="rsa")
    pki.make("gateway", "gateway.test")
    return pki


@pytest.fixture(scope="module")
def agent(pki, tmp_path_factory):
    """It wants to see a certificate."""
    agent = Consul(tmp_path_factory.mktemp("agent"), conf={"verify_incoming_https": True},
                   https={"ca_file": pki.ca, "cert_file": pki.path("agent.pem"), "key_file": pki.path("agent.key")})
    yield agent.start()
    agent.stop()


def secured(agent, pki, consul=None, **sources):
    tls = {"ca": pki.ca, "cert": pki.path("gateway.pem"), "key": pki.path("gateway.key")}
    return config(agent, {"address": agent.https, "tls": tls, **(consul or {})}, **sources)


def connections_to(port):
    """Established, by what the kernel says of them."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return sum(remote.endswith(f":{port:04X}") and state_ == "01" for _, _, remote, state_, *_ in rows)


def test_many_services_are_watched_over_few_connections(agent, pki, start, upstreams):
    one, two = upstreams(), upstreams()
    names = [f"shared-{i}" for i in range(SERVICES)]
    for name in names:
        agent.register(name, one.address)
    gateway = start(secured(agent, pki, {"connections": 12}, **{name: name for name in names}))
    for name in names:
        wait_members(gateway, one.address, upstream=name)
    wait_until(lambda: len(gateway.metrics().find("sluice_consul_state", mode="watch")) == SERVICES,
               what="each has a query of its own")
    for name in names:
        wait_state(gateway, "fresh", name)
    assert connections_to(int(agent.https.rpartition(":")[2])) < SERVICES
    # What no check tells: seen by the query of this service alone.
    agent.register("shared-7", two.address, ident=f"shared-7-{one.address.rpartition(':')[2]}")
    wait_members(gateway, two.address, upstream="shared-7")


def test_without_a_certificate_nothing_is_said(agent, pki, start, upstreams):
    one = upstreams()
    agent.register("web", one.address)
    gateway = start(secured(agent, pki, {"tls": {"ca": pki.ca}}))
    wait_until(lambda: gateway.metric("sluice_consul_errors_total", service="web") >= 2, what="errors")
    assert members(gateway) == {}
    gateway.must_reload(secured(agent, pki))
    wait_members(gateway, one.address)


def test_another_authority_is_not_believed(agent, pki, start, upstreams, tmp_path):
    one = upstreams()
    agent.register("web", one.address)
    (tmp_path / "other").mkdir()
    other = Pki(str(tmp_path / "other"))
    gateway = start(secured(agent, pki, {"tls": {"ca": other.ca}}))
    wait_until(lambda: gateway.metric("sluice_consul_errors_total", service="web") >= 2, what="errors")
    assert members(gateway) == {} and state(gateway) == "waiting"
