"""Members from Consul: what a service says, how it is asked, reloads."""

import pytest
from consul_scene import config, members, serves, source, state, wait_members, wait_waiting
from fake_consul import FakeConsul
from raw import wait_until


def test_changes_arrive_by_blocking_queries(fake, start, upstreams):
    one, two = upstreams(), upstreams()
    fake.put("web", one.address)
    gateway = start(config(fake))
    wait_members(gateway, one.address)
    assert serves(gateway)
    fake.put("web", two.address)
    wait_members(gateway, one.address, two.address)
    fake.remove("web", one.address)
    wait_members(gateway, two.address)
    path, query, token = fake.requests[-1]
    assert path == "/v1/health/service/web" and token is None
    assert query["wait"] == "60000ms" and int(query["index"]) > 0 and "passing" not in query
    assert state(gateway) == "fresh"
    assert gateway.metric("sluice_consul_index", service="web") == fake.index
    assert gateway.metric("sluice_consul_updates_total", service="web") == 3
    assert 0 <= gateway.metric("sluice_consul_age_seconds", service="web") < 60


def test_an_index_that_moves_for_nothing_changes_nothing(fake, start, upstreams):
    up = upstreams()
    fake.put("web", up.address)
    gateway = start(config(fake))
    wait_members(gateway, up.address)
    updates = source(gateway)["updates"]
    fake.touch("web")
    wait_until(lambda: gateway.metric("sluice_consul_index", service="web") == fake.index)
    assert source(gateway)["updates"] == updates
    assert len(gateway.log("members changed")) == 1


def test_states_weights_and_facts_of_a_node_are_taken_over(fake, start, upstreams):
    ups = [upstreams() for _ in range(4)]
    fake.put("web", ups[0].address, weights=(5, 2), tags=["a"], meta={"version": "2"}, node_meta={"zone": "eu-1"})
    fake.put("web", ups[1].address, weights=(5, 2), status="warning")
    fake.put("web", ups[2].address, checks={"_service_maintenance:x": "critical"})
    fake.put("web", ups[3].address, status="critical")
    gateway = start(config(fake))
    wait_members(gateway, *[u.address for u in ups])
    found = members(gateway)
    assert [found[u.address]["state"] for u in ups] == ["serving", "warning", "draining", "failing"]
    assert [found[u.address]["weight"] for u in ups[:2]] == [5, 2]
    assert found[ups[0].address]["zone"] == "eu-1"
    for _ in range(20):
        assert serves(gateway)
    assert ups[0].requests and ups[1].requests and not ups[2].requests and not ups[3].requests


def test_our_own_checks_come_on_top_of_what_it_says(fake, start, upstreams):
    good, unreachable, critical = upstreams(), upstreams(), upstreams()
    well = {"now": False}
    for up in (good, critical):
        up.on("/healthz", lambda ex: ex.reply(200))
    unreachable.on("/healthz", lambda ex: ex.reply(200 if well["now"] else 503))
    for up in (good, unreachable):
        fake.put("web", up.address)
    fake.put("web", critical.address, status="critical")
    made = config(fake)
    made["upstreams"]["web"].update(panic_threshold=0, health={
        "path": "/healthz", "interval": "50ms", "unhealthy_interval": "50ms", "jitter": "0%"})
    gateway = start(made)
    wait_members(gateway, good.address, unreachable.address, critical.address)

    def healthy(up):
        return gateway.metric("sluice_upstream_healthy", upstream="web", endpoint=up.address)

    def asked(up):
        return [ex.path for ex in up.requests].count("/web")

    # What Consul calls passing and fails our checks is out, and the other way round.
    wait_until(lambda: (healthy(good), healthy(unreachable)) == (1, 0), what="our checks' verdicts")
    assert members(gateway)[unreachable.address]["state"] == "serving"
    before = asked(unreachable)
    for _ in range(20):
        assert serves(gateway)
    assert asked(good) >= 20 and asked(unreachable) == before and asked(critical) == 0
    well["now"] = True
    fake.put("web", critical.address)
    wait_until(lambda: serves(gateway) and asked(unreachable) > before and asked(critical) > 0,
               what="all of them to serve")


def test_a_broken_node_is_counted_and_the_others_serve(fake, start, upstreams):
    up = upstreams()
    fake.put("web", up.address)
    fake.put_raw("web", {"Node": {"Node": "n9"}, "Service": {"ID": "bad", "Address": "10.0.0.1", "Port": 0}})
    gateway = start(config(fake))
    wait_members(gateway, up.address)
    assert gateway.metric("sluice_consul_rejected_nodes_total", service="web") >= 1
    assert "service bad: port 0" in gateway.log("nodes of consul are left out")[0]["first"]


def test_tags_and_meta_split_one_service_with_one_query(fake, start, upstreams):
    old, new = upstreams(), upstreams()
    fake.put("web", old.address, tags=["prod"], meta={"version": "1"})
    fake.put("web", new.address, tags=["prod", "canary"], meta={"version": "2"})
    gateway = start(config(fake, all={"service": "web"}, canary={"service": "web", "tags": ["prod", "canary"]},
                           old={"service": "web", "meta": {"version": "1"}}))
    wait_members(gateway, old.address, new.address, upstream="all")
    wait_members(gateway, new.address, upstream="canary")
    wait_members(gateway, old.address, upstream="old")
    wait_waiting(fake)
    assert len(fake.services["dc1", "web"].waiters) == 1


def test_a_filter_near_and_namespace_are_sent(fake, start, upstreams):
    up = upstreams()
    fake.put("web", up.address)
    gateway = start(config(fake, {"read": "stale"}, web={"service": "web", "filter": '"a b" in Service.Tags', "near": "_agent",
                                                        "namespace": "team"}))
    wait_members(gateway, up.address)
    _, query, _ = fake.requests[-1]
    assert query["filter"] == '"a b" in Service.Tags' and query["near"] == "_agent" and query["ns"] == "team"
    assert "stale" in query and "cached" not in query


def test_a_second_datacenter_has_the_next_priority(fake, start, upstreams):
    here, there = upstreams(), upstreams()
    fake.put("web", here.address)
    fake.put("web", there.address, dc="dc2")
    gateway = start(config(fake, web={"service": "web", "datacenters": ["dc1", "dc2"]}))
    wait_members(gateway, here.address, there.address)
    found = members(gateway)
    assert [found[u.address]["priority"] for u in (here, there)] == [0, 1]


def test_a_prepared_query_is_asked_again_and_again(fake, start, upstreams):
    one, two = upstreams(), upstreams()
    fake.put("web", one.address)
    fake.queries["nearest"] = ("dc1", "web")
    gateway = start(config(fake, web={"query": "nearest", "interval": "500ms"}))
    wait_members(gateway, one.address)
    fake.put("web", two.address)
    wait_members(gateway, one.address, two.address)
    assert gateway.metrics().has("sluice_consul_state", service="nearest", mode="poll")




def test_a_reload_moves_to_another_agent_and_keeps_what_is_known(fake, start, upstreams):
    one, two = upstreams(), upstreams()
    other = FakeConsul()
    try:
        fake.put("web", one.address)
        other.put("web", one.address)
        gateway = start(config(fake))
        wait_members(gateway, one.address)
        gateway.must_reload(config(other))
        wait_waiting(other)
        asked = len(fake.requests)
        other.put("web", two.address)
        wait_members(gateway, one.address, two.address)
        assert len(fake.requests) == asked  # nobody asks there any more
        assert gateway.metric("sluice_consul_held_total") == 0
    finally:
        other.stop()


def test_a_reload_that_is_refused_changes_nothing(fake, start, upstreams):
    up = upstreams()
    fake.put("web", up.address)
    gateway = start(config(fake))
    wait_members(gateway, up.address)
    wait_waiting(fake)
    asked = len(fake.requests)
    wrong = config(fake, {"address": "ftp://nowhere"})
    status, answer = gateway.reload(wrong)
    assert status == 422 and "is not the address of a Consul agent" in str(answer)
    assert fake.services["dc1", "web"].waiters and len(fake.requests) == asked and serves(gateway)


def test_first_questions_are_spread(fake, start):
    names = [f"s{i}" for i in range(60)]
    gateway = start({**config(fake, **{name: name for name in names}), "ready_timeout": "5s"})
    wait_until(lambda: len({p for p, _, _ in fake.requests}) == 60)
    assert gateway.metrics().find("sluice_consul_state", mode="watch")


@pytest.mark.parametrize("consul,words", [
    ({"address": "unix:relative"}, "is not the address of a Consul agent"),
    ({"token": "env:NO_SUCH_VARIABLE_HERE"}, "the variable 'NO_SUCH_VARIABLE_HERE' is not set"),
    ({"token": "file:/nonexistent/token"}, "cannot be read: No such file"),
    ({"connections": 5}, "at least 12"),
    ({"wait": "11m"}, "at most 10m"),
    ({"read": "quickly"}, "allowed: auto, default, stale, consistent, cached")])
def test_a_wrong_section_is_told(sluice, tmp_path, fake, consul, words):
    import yaml
    file = tmp_path / "sluice.yaml"
    file.write_text(yaml.safe_dump(config(fake, consul)))
    result = sluice("check", str(file))
    assert result.returncode != 0 and words in result.stdout + result.stderr
