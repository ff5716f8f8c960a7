"""Members from a Consul whose answers are wrong: (i) to (v) of test/support/fake_consul.py."""

import time

import pytest
from consul_scene import config, members, serves, source, state, wait_members, wait_state, wait_waiting
from raw import wait_until


def test_i_a_lower_index_is_read_again_before_it_is_applied(fake, start, upstreams):
    one, two = upstreams(), upstreams()
    fake.put("web", one.address)
    fake.index = 1000
    fake.touch("web")
    gateway = start(config(fake))
    wait_members(gateway, one.address)
    wait_waiting(fake)
    asked = len(fake.requests)
    fake.lower_index(5)
    wait_until(lambda: gateway.metric("sluice_consul_index_resets_total", service="web") == 1)
    wait_waiting(fake)
    assert [q.get("index") for _, q, _ in fake.requests[asked:]] == ["0", "5"]
    fake.put("web", two.address)
    wait_members(gateway, one.address, two.address)
    assert state(gateway) == "fresh"


@pytest.mark.parametrize("header", ["0", ""])
def test_ii_index_zero_neither_spins_nor_misses_a_change(fake, start, upstreams, header):
    one, two = upstreams(), upstreams()
    fake.index_header = header
    fake.put("web", one.address)
    began = time.monotonic()
    gateway = start(config(fake))
    wait_members(gateway, one.address)
    fake.put("web", two.address)
    wait_members(gateway, one.address, two.address)
    # a burst of two, then one in two seconds
    assert len(fake.requests) <= 4 + (time.monotonic() - began) / 2
    assert {q["index"] for _, q, _ in fake.requests} == {"0", "1"}


def test_iii_one_empty_answer_is_not_believed(fake, start, upstreams):
    up = upstreams()
    fake.put("web", up.address)
    gateway = start(config(fake))
    wait_members(gateway, up.address)
    wait_waiting(fake)
    fake.empty_next["web"] = 1
    fake.touch("web")
    wait_until(lambda: gateway.metric("sluice_consul_held_total", service="web") == 1)
    assert serves(gateway)
    wait_state(gateway, "fresh")
    assert set(members(gateway)) == {up.address}
    warning = gateway.log("consul is not believed, the endpoints stay")
    assert len(warning) == 1 and warning[0]["kept"] == 1 and warning[0]["answered"] == 0
    confirming = [q for _, q, _ in fake.requests if "cached" not in q]
    assert confirming and all("stale" not in q for q in confirming)  # by default consistency, past the cache


def test_iii_an_empty_cache_is_seen_through(fake, start, upstreams):
    up = upstreams()
    fake.put("web", up.address)
    gateway = start(config(fake))
    wait_members(gateway, up.address)
    fake.cached_empty = True
    fake.touch("web")
    wait_until(lambda: gateway.metric("sluice_consul_held_total", service="web") >= 1)
    wait_state(gateway, "fresh")
    assert serves(gateway)


def test_empty_that_a_second_read_confirms_is_empty(fake, start, upstreams):
    up = upstreams()
    fake.put("web", up.address)
    gateway = start(config(fake))
    wait_members(gateway, up.address)
    fake.remove("web")
    wait_members(gateway)
    assert gateway.metric("sluice_consul_held_total", service="web") == 1
    assert gateway.ask(target="/web").status == 503


def test_empty_is_never_believed_when_told_so(fake, start, upstreams):
    up = upstreams()
    fake.put("web", up.address)
    gateway = start(config(fake, {"on_empty": "keep"}))
    wait_members(gateway, up.address)
    fake.remove("web")
    asked = len(fake.requests)
    wait_until(lambda: len(fake.requests) >= asked + 3)
    assert state(gateway) == "held" and serves(gateway)


def test_a_big_step_is_held_for_its_grace(fake, start, upstreams):
    ups = [upstreams() for _ in range(4)]
    for up in ups:
        fake.put("web", up.address)
    gateway = start(config(fake, {"shrink_grace": "1h"}))
    wait_members(gateway, *[u.address for u in ups])
    wait_waiting(fake)
    with fake.lock:
        for up in ups[1:]:
            service = fake.services["dc1", "web"]
            del service.entries[f"web-{up.address}"]
        fake.touch("web")
    wait_state(gateway, "held")
    asked = len(fake.requests)
    wait_until(lambda: len(fake.requests) > asked)
    wait_members(gateway, *[u.address for u in ups])
    config_ = config(fake, {"shrink_grace": "0s"})
    gateway.must_reload(config_)
    wait_members(gateway, ups[0].address)


def test_iv_what_an_acl_hides_is_not_gone(fake, start, upstreams):
    up = upstreams()
    fake.put("web", up.address)
    gateway = start(config(fake))
    wait_members(gateway, up.address)
    wait_waiting(fake)
    fake.hidden.add("web")
    fake.touch("web")
    wait_state(gateway, "held")
    asked = len(fake.requests)
    wait_until(lambda: len(fake.requests) >= asked + 2)  # read again, and still not believed
    assert state(gateway) == "held" and serves(gateway)
    assert "token" in source(gateway)["cause"]
    fake.hidden.clear()
    wait_state(gateway, "fresh")


def test_v_one_service_that_fails_leaves_the_others_alone(fake, start, upstreams):
    one, two, three = upstreams(), upstreams(), upstreams()
    fake.put("bad", one.address)
    fake.put("good", two.address)
    gateway = start(config(fake, bad="bad", good="good"))
    wait_members(gateway, one.address, upstream="bad")
    wait_members(gateway, two.address, upstream="good")
    fake.failing["bad"] = (500, "No cluster leader")
    fake.touch("bad")
    wait_state(gateway, "stale", "bad")
    fake.put("good", three.address)
    wait_members(gateway, two.address, three.address, upstream="good")
    assert serves(gateway, "/bad") and state(gateway, "good") == "fresh"
    assert "status 500: No cluster leader" in source(gateway, "bad")["cause"]
    errors = gateway.metric("sluice_consul_errors_total", service="bad")
    wait_until(lambda: gateway.metric("sluice_consul_errors_total", service="bad") > errors)  # it does not give up
    fake.failing.clear()
    fake.put("bad", three.address)
    wait_members(gateway, one.address, three.address, upstream="bad")


def test_an_answer_that_is_not_json_changes_nothing_and_keeps_the_index(fake, start, upstreams):
    one, two = upstreams(), upstreams()
    fake.put("web", one.address)
    gateway = start(config(fake))
    wait_members(gateway, one.address)
    wait_waiting(fake)
    index = gateway.metric("sluice_consul_index", service="web")
    fake.failing["web"] = (200, "<html>")
    fake.put("web", two.address)
    wait_state(gateway, "stale")
    assert set(members(gateway)) == {one.address}
    assert gateway.metric("sluice_consul_index", service="web") == index
    fake.failing.clear()
    wait_members(gateway, one.address, two.address)
