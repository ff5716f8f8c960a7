"""Members from a real Consul agent in dev mode."""

import pytest
from consul import HAS_CONSUL, Consul
from consul_scene import config, members, serves, state, wait_members, wait_state
from raw import wait_until

pytestmark = pytest.mark.skipif(not HAS_CONSUL, reason="no consul: scripts/install-deps test")


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    consul = Consul(tmp_path_factory.mktemp("consul")).start()
    yield consul
    consul.stop()


def wait_endpoint(gateway, address, **facts):
    wait_until(lambda: facts.items() <= members(gateway, "web").get(address, {}).items(),
               what=f"{address} with {facts}: {members(gateway, 'web')}")


def begin(agent, start, service, **consul):
    """Each test has a service of its own."""
    return start(config(agent, consul, web=service))


@pytest.mark.parametrize("read", ["cached", "default", "stale", "consistent"])
def test_register_and_deregister(agent, start, upstreams, read):
    one, two = upstreams(), upstreams()
    name = f"register-{read}"
    agent.register(name, one.address)
    gateway = begin(agent, start, name, read=read)
    wait_members(gateway, one.address)
    agent.register(name, two.address, Tags=["prod"], Meta={"version": "2"})
    wait_members(gateway, one.address, two.address)
    agent.deregister(f"{name}-{one.port}")
    wait_members(gateway, two.address)
    assert serves(gateway) and state(gateway, name) == "fresh"
    agent.deregister(f"{name}-{two.port}")
    wait_members(gateway)  # empty, confirmed by a second read


def test_weights_and_tags_and_tagged_addresses(agent, start, upstreams):
    one, two = upstreams(), upstreams()
    agent.register("weights", one.address, Weights={"Passing": 7, "Warning": 2}, Tags=["weight=x"])
    gateway = begin(agent, start, {"service": "weights", "address": "wan"})
    wait_endpoint(gateway, one.address, weight=7, state="serving")
    agent.register("weights", one.address, Weights={"Passing": 7, "Warning": 2}, Meta={"weight": "3"})
    wait_endpoint(gateway, one.address, weight=3)
    host, _, port = two.address.partition(":")
    agent.register("weights", "127.0.0.9:1", TaggedAddresses={"wan": {"Address": host, "Port": int(port)}})
    wait_members(gateway, one.address, two.address)


def test_maintenance_drains_and_comes_back(agent, start, upstreams):
    one, two = upstreams(), upstreams()
    agent.register("maintain", one.address)
    agent.register("maintain", two.address)
    gateway = begin(agent, start, "maintain")
    wait_members(gateway, one.address, two.address)
    agent.maintain(f"maintain-{one.port}")
    wait_endpoint(gateway, one.address, state="draining")
    before = len(one.requests)
    for _ in range(10):
        assert serves(gateway)
    assert len(one.requests) == before
    agent.maintain(f"maintain-{one.port}", enable=False)
    wait_endpoint(gateway, one.address, state="serving")


def test_a_check_that_flaps(agent, start, upstreams):
    one, two = upstreams(), upstreams()
    check = {"CheckID": "flap", "TTL": "10m", "Status": "passing"}
    agent.register("flap", one.address, Check=check, Weights={"Passing": 5, "Warning": 1})
    agent.register("flap", two.address)
    gateway = begin(agent, start, "flap")
    wait_members(gateway, one.address, two.address)
    for status, facts in [("warning", {"state": "warning", "weight": 1}), ("critical", {"state": "failing"}),
                          ("passing", {"state": "serving", "weight": 5})]:
        agent.check("flap", status)
        wait_endpoint(gateway, one.address, **facts)
    assert serves(gateway)


def test_a_filter_is_applied_by_consul(agent, start, upstreams):
    one, two = upstreams(), upstreams()
    agent.register("filter", one.address, Tags=["prod"])
    agent.register("filter", two.address, Tags=["canary"])
    gateway = begin(agent, start, {"service": "filter", "filter": '"canary" not in Service.Tags'})
    wait_members(gateway, one.address)


def test_a_prepared_query(agent, start, upstreams):
    one = upstreams()
    agent.register("queried", one.address)
    agent.ask("/v1/query", "POST", {"Name": "query-of-test", "Service": {"Service": "queried"}})
    gateway = begin(agent, start, {"query": "query-of-test", "interval": "500ms"})
    wait_members(gateway, one.address)


def test_many_services_in_groups(agent, start, upstreams):
    one, two = upstreams(), upstreams()
    names = [f"many-{i}" for i in range(15)]
    check = {"CheckID": "many-3-check", "TTL": "10m", "Status": "passing"}
    for name in names:
        agent.register(name, one.address, **({"Check": check} if name == "many-3" else {}))
    gateway = start(config(agent, {"connections": 20}, **{name: name for name in names}))
    for name in names:
        wait_members(gateway, one.address, upstream=name)
        wait_state(gateway, "fresh", name)
    assert len(gateway.metrics().find("sluice_consul_state", mode="grouped")) == 15
    agent.check("many-3-check", "critical")
    wait_until(lambda: members(gateway, "many-3")[one.address]["state"] == "failing")
    agent.register("many-5", two.address, Check={"CheckID": "five", "TTL": "10m", "Status": "passing"})
    wait_members(gateway, one.address, two.address, upstream="many-5")


def test_an_agent_that_is_killed_and_comes_back_empty(start, upstreams, tmp_path):
    one = upstreams()
    agent = Consul(tmp_path).start()
    try:
        agent.register("web", one.address)
        gateway = start(config(agent))
        wait_members(gateway, one.address)
        agent.kill()
        wait_state(gateway, "stale")
        assert serves(gateway)
        agent.start()
        wait_until(lambda: state(gateway) == "held", deadline_s=40)  # it knows nothing, and is not believed
        assert serves(gateway)
        agent.register("web", one.address)
        wait_until(lambda: state(gateway) == "fresh", deadline_s=40)
        assert serves(gateway)
    finally:
        agent.stop()
