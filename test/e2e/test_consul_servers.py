"""A real Consul that is guarded by ACLs, loses its leader, or stands still."""

import pytest
from consul import HAS_CONSUL, Consul
from consul_scene import config, serves, state, wait_members, wait_state
from raw import wait_until

pytestmark = pytest.mark.skipif(not HAS_CONSUL, reason="no consul: scripts/install-deps test")

MASTER = "5e1f6a1c-6a4e-4f0a-9d3c-0f4a0c1f2b3d"
RULES = 'node_prefix "" { policy = "read" } service_prefix "" { policy = "write" } key_prefix "" { policy = "read" }'


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """An agent that says nothing without a token."""
    acl = {"enabled": True, "default_policy": "deny", "tokens": {"master": MASTER, "agent": MASTER}}
    consul = Consul(tmp_path_factory.mktemp("guarded"), conf={"acl": acl}, token=MASTER).start()
    wait_until(lambda: answers(consul, "/v1/acl/tokens"), deadline_s=30, what="ACLs are ready")
    consul.ask("/v1/acl/policy", "PUT", {"Name": "gateway", "Rules": RULES})
    yield consul
    consul.stop()


def answers(consul, path):
    try:
        return consul.ask(path)
    except OSError:
        return None


def new_token(consul):
    """(to revoke it, to use it)"""
    token = consul.ask("/v1/acl/token", "PUT", {"Policies": [{"Name": "gateway"}]})
    return token["AccessorID"], token["SecretID"]


def passing(consul, name):
    """Of the catalog, which servers keep: what the agent alone knows does not count."""
    checks = answers(consul, f"/v1/health/checks/{name}") or []
    return [c["Status"] for c in checks] == ["passing"]


def test_a_token_that_is_rotated(guarded, start, upstreams, tmp_path):
    one, two = upstreams(), upstreams()
    guarded.register("web", one.address)
    accessor, secret = new_token(guarded)
    path = tmp_path / "token"
    path.write_text(secret + "\n")
    gateway = start(config(guarded, {"token": f"file:{path}",
                                     "register": {"name": "edge", "id": "edge-1", "port": 80, "ttl": "3s"}}))
    wait_members(gateway, one.address)
    wait_until(lambda: passing(guarded, "edge"), deadline_s=20)
    _, fresh = new_token(guarded)
    guarded.ask(f"/v1/acl/token/{accessor}", "DELETE")
    guarded.register("web", two.address)
    assert serves(gateway)
    path.write_text(fresh + "\n")
    wait_until(lambda: gateway.log("the token of consul has been read"), deadline_s=20)
    wait_until(lambda: set(gateway_members(gateway)) == {one.address, two.address}, deadline_s=60)
    wait_state(gateway, "fresh")
    # Registered again with the new one: the agent tells the servers by the token it was given then.
    wait_until(lambda: gateway.metric("sluice_consul_registrations_total") >= 2, deadline_s=20)
    guarded.deregister("edge-1")
    wait_until(lambda: passing(guarded, "edge"), deadline_s=30)
    assert secret not in gateway.stderr() and fresh not in gateway.stderr()
    assert fresh not in gateway.metrics().text


def gateway_members(gateway):
    return {e["address"] for u in gateway.admin.json("/upstreams")["upstreams"] for e in u["endpoints"]}


def test_a_token_without_rights_is_not_taken_for_an_empty_service(guarded, start, upstreams, tmp_path):
    one = upstreams()
    guarded.register("secret", one.address)
    accessor, secret = new_token(guarded)
    path = tmp_path / "token"
    path.write_text(secret)
    gateway = start(config(guarded, {"token": f"file:{path}", "wait": "1s", "read": "default"}, web="secret"))
    wait_members(gateway, one.address)
    guarded.ask(f"/v1/acl/token/{accessor}", "DELETE")
    wait_until(lambda: state(gateway, "secret") == "stale", deadline_s=60)
    assert serves(gateway)


@pytest.fixture
def servers(tmp_path):
    """Three servers that know each other."""
    made = [Consul(tmp_path / f"s{n}", dev=False, name=f"s{n}",
                   conf={"server": True, "bootstrap_expect": 3, "disable_update_check": True}) for n in range(3)]
    for server in made:
        server.conf["retry_join"] = [other.serf for other in made]
        server.conf["retry_interval"] = "1s"
        server.start(wait=False)
    for server in made:
        server.wait_leader()
    yield made
    for server in made:
        server.stop()


def leader_of(servers):
    address = servers[0].ask("/v1/status/leader")
    return next(s for s in servers if address.endswith(f":{s.ports['server']}"))


def test_a_leader_that_is_lost(servers, start, upstreams):
    one, two = upstreams(), upstreams()
    leader = leader_of(servers)
    asked, other = [s for s in servers if s is not leader]
    asked.register("web", one.address)
    gateway = start(config(asked, {"wait": "2s", "read": "default"}))
    wait_members(gateway, one.address)
    leader.kill()
    assert serves(gateway)
    wait_until(lambda: answers(asked, "/v1/status/leader") not in (None, "")
               and not answers(asked, "/v1/status/leader").endswith(f":{leader.ports['server']}"), deadline_s=60,
               what="another leader")
    asked.register("web", two.address)
    wait_until(lambda: gateway_members(gateway) == {one.address, two.address}, deadline_s=60)
    other.kill()  # no majority any more
    wait_until(lambda: state(gateway) == "stale", deadline_s=60)
    assert serves(gateway) and gateway_members(gateway) == {one.address, two.address}
    other.start(wait=False)
    wait_until(lambda: state(gateway) == "fresh", deadline_s=60)


def test_an_agent_that_stands_still(start, upstreams, tmp_path):
    one, two = upstreams(), upstreams()
    consul = Consul(tmp_path / "consul").start()
    try:
        consul.register("web", one.address)
        gateway = start(config(consul, {"wait": "1s"}))
        wait_members(gateway, one.address)
        consul.pause()
        wait_until(lambda: state(gateway) == "stale", deadline_s=30)
        assert serves(gateway)
        consul.resume()
        consul.register("web", two.address)
        wait_until(lambda: gateway_members(gateway) == {one.address, two.address}, deadline_s=40)
        wait_state(gateway, "fresh")
    finally:
        consul.resume()
        consul.stop()
