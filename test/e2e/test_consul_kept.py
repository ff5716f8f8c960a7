"""Members from Consul: many services in groups, what is kept on disk, what grows old."""

import os
import time

from consul_scene import config, members, serves, state, wait_members, wait_state
from raw import wait_until


def test_x_more_services_than_connections_are_watched_in_groups(fake, start, upstreams):
    up, other = upstreams(), upstreams()
    names = [f"s{i}" for i in range(40)]
    for name in names:
        fake.put(name, up.address, node=f"node-{name}")
    gateway = start(config(fake, {"connections": 20}, **{name: name for name in names}))
    wait_until(lambda: gateway.metrics().get("sluice_consul_endpoints") == 40)
    assert all(s[1]["mode"] == "grouped" for s in gateway.metrics().find("sluice_consul_state"))
    wait_until(lambda: fake.checks_waiters and fake.names_waiters)
    assert len(fake.writers) <= 20
    asked = {name: fake.asked(f"/v1/health/service/{name}") for name in names}
    fake.put("s7", up.address, status="critical", node="node-s7")  # a check that flaps
    wait_until(lambda: members(gateway, "s7")[up.address]["state"] == "failing")
    more = [name for name in names if fake.asked(f"/v1/health/service/{name}") > asked[name]]
    assert more == ["s7"]  # nobody else was asked
    fake.put("s8", other.address, node="node-s8")
    wait_members(gateway, up.address, other.address, upstream="s8")
    fake.down()
    wait_state(gateway, "stale", "s9")
    assert serves(gateway, "/s9")
    fake.put("s9", other.address, node="node-s9")
    fake.up()
    wait_members(gateway, up.address, other.address, upstream="s9")
    wait_state(gateway, "fresh", "s9")


def test_a_group_sees_what_no_check_tells(fake, start, upstreams):
    up, other = upstreams(), upstreams()
    names = [f"s{i}" for i in range(12)]
    for name in names:
        fake.put(name, up.address)
    gateway = start(config(fake, {"connections": 20}, **{name: name for name in names}))
    wait_until(lambda: gateway.metrics().get("sluice_consul_endpoints") == 12)
    with fake.lock:  # a service without checks of its own: only the catalog's index moves
        service = fake.services["dc1", "s3"]
        entry = fake.entry("s3", "new", *other.address.split(":"))
        entry["Service"]["Port"] = int(other.address.split(":")[1])
        entry["Checks"] = []
        service.entries["new"] = entry
        fake.index += 1
        service.index = fake.names_index = fake.index
        service.body = None
        fake._wake(fake.names_waiters)
    wait_until(lambda: len(members(gateway, "s3")) == 2, deadline_s=40)


def test_a_group_does_not_need_the_list_of_all_checks_for_one_that_flaps(fake, start, upstreams):
    up = upstreams()
    names = [f"s{i}" for i in range(12)]
    for name in names:
        fake.put(name, up.address, node=f"node-{name}")
    gateway = start(config(fake, {"connections": 20}, **{name: name for name in names}))
    wait_until(lambda: gateway.metrics().get("sluice_consul_endpoints") == 12)
    wait_until(lambda: fake.checks_waiters and all(fake.unwell_waiters.values()))
    fake.mute_checks = True
    for status, wanted in (("critical", "failing"), ("passing", "serving"), ("warning", "warning")):
        updates = gateway.metric("sluice_consul_updates_total", service="s5")
        fake.put("s5", up.address, status=status, node="node-s5", weights=(3, 1))
        wait_until(lambda: gateway.metric("sluice_consul_updates_total", service="s5") > updates, what=status)
        assert members(gateway, "s5")[up.address]["state"] == wanted
    fake.fail_node("node-s6")  # nothing of this tells the service
    wait_until(lambda: members(gateway, "s6")[up.address]["state"] == "failing")
    assert members(gateway, "s7")[up.address]["state"] == "serving"



def test_a_start_without_consul_serves_what_was_kept_and_says_its_age(fake, start, upstreams, tmp_path):
    one, two = upstreams(), upstreams()
    kept = tmp_path / "state"
    kept.mkdir()
    fake.put("web", one.address, weights=(3, 1), tags=["prod"])
    first = start(config(fake, {"state_dir": str(kept)}))
    wait_members(first, one.address)
    wait_until(lambda: [f for f in os.listdir(kept) if f.endswith(".state")])
    first.stop()
    fake.down()
    [name] = os.listdir(kept)
    hour_ago = time.time() - 3600
    os.utime(kept / name, (hour_ago, hour_ago))
    second = start(config(fake, {"state_dir": str(kept)}))
    assert set(members(second)) == {one.address}  # at once, without waiting
    assert serves(second) and members(second)[one.address]["weight"] == 3
    assert state(second) == "stale"
    assert 3600 <= second.metric("sluice_consul_age_seconds", service="web") < 3700
    assert second.log("endpoints as kept from before")[0]["age_s"] >= 3600
    fake.put("web", two.address)
    fake.up()
    wait_members(second, one.address, two.address)
    wait_state(second, "fresh")
    assert second.metric("sluice_consul_age_seconds", service="web") < 60


def test_a_broken_file_is_as_if_it_were_not_there(fake, start, upstreams, tmp_path):
    up = upstreams()
    fake.put("web", up.address)
    first = start(config(fake, {"state_dir": str(tmp_path)}))
    wait_until(lambda: [f for f in os.listdir(tmp_path) if f.endswith(".state")])
    first.stop()
    [name] = [f for f in os.listdir(tmp_path) if f.endswith(".state")]
    with open(tmp_path / name, "r+b") as kept:
        kept.seek(-3, os.SEEK_END)
        kept.write(b"x")
    fake.down()
    second = start(config(fake, {"state_dir": str(tmp_path)}))
    assert members(second) == {} and second.log("what was kept of consul cannot be used")
    fake.up()
    wait_members(second, up.address)


def test_what_is_older_than_max_stale_is_used_no_more(fake, start, upstreams):
    up = upstreams()
    fake.put("web", up.address)
    gateway = start(config(fake, {"max_stale": "1s"}))
    wait_members(gateway, up.address)
    fake.down()
    wait_members(gateway)
    wait_until(lambda: gateway.log("endpoints are older than max_stale and used no more"))
    fake.up()
    wait_members(gateway, up.address)


def test_an_agent_that_is_cut_off_makes_its_answers_old(fake, start, upstreams):
    one, two = upstreams(), upstreams()
    fake.put("web", one.address)
    gateway = start(config(fake))
    wait_members(gateway, one.address)
    fake.age = 300
    fake.put("web", two.address)
    wait_members(gateway, one.address, two.address)
    fake.touch("web")
    wait_state(gateway, "stale")
    assert gateway.metric("sluice_consul_age_seconds", service="web") >= 300
