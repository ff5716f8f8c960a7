"""Members from a Consul that hangs, refuses, restarts or changes its token: (vi) to (ix) of fake_consul.py."""

import pytest
from consul_scene import config, members, serves, source, state, wait_members, wait_state, wait_waiting
from raw import wait_until


def test_vi_a_query_that_hangs_past_its_wait_is_given_up(fake, start, upstreams):
    one, two = upstreams(), upstreams()
    fake.put("web", one.address)
    gateway = start(config(fake, {"wait": "1s"}))
    wait_members(gateway, one.address)
    fake.hang = True
    # wait * 17/16 + 10 s
    wait_until(lambda: state(gateway) == "stale", deadline_s=30)
    assert "no whole answer in time" in source(gateway)["cause"] and serves(gateway)
    fake.hang = False
    fake.put("web", two.address)
    wait_until(lambda: len(members(gateway)) == 2, deadline_s=30)


@pytest.mark.parametrize("with_429", [True, False])
def test_vii_refused_connections_leave_what_is_known(fake, start, upstreams, with_429):
    up = upstreams()
    fake.put("web", up.address)
    gateway = start(config(fake))
    wait_members(gateway, up.address)
    fake.max_connections, fake.refuse_with_429 = 0, with_429
    fake.drop_connections()
    wait_state(gateway, "stale")
    wait_until(lambda: fake.refused >= 2)
    assert serves(gateway)
    fake.max_connections = None
    wait_state(gateway, "fresh")


def test_viii_an_agent_that_restarts_without_its_memory_is_doubted(fake, start, upstreams):
    one, two = upstreams(), upstreams()
    fake.put("web", one.address)
    fake.index = 5000
    fake.touch("web")
    gateway = start(config(fake))
    wait_members(gateway, one.address)
    fake.down()
    wait_state(gateway, "stale")
    fake.forget()
    fake.up()
    wait_state(gateway, "held")  # it says [] and is asked again
    asked = len(fake.requests)
    wait_until(lambda: len(fake.requests) >= asked + 2)
    assert state(gateway) == "held" and serves(gateway)
    fake.put("web", two.address)
    wait_members(gateway, two.address)
    assert state(gateway) == "fresh"


def test_ix_a_token_that_is_rotated_is_read_again(fake, start, upstreams, tmp_path):
    one, two = upstreams(), upstreams()
    token = tmp_path / "token"
    token.write_text("old-secret\n")
    fake.token = "old-secret"
    fake.put("web", one.address)
    gateway = start(config(fake, {"token": f"file:{token}"}))
    wait_members(gateway, one.address)
    wait_waiting(fake)
    fake.token = "new-secret"
    token.write_text("new-secret\n")
    fake.put("web", two.address)
    wait_members(gateway, one.address, two.address)
    wait_until(lambda: fake.requests[-1][2] == "new-secret")
    told = gateway.stderr() + gateway.metrics().text + gateway.admin.ask("GET", "/config").body.decode()
    assert "old-secret" not in told and "new-secret" not in told
    assert not any("secret" in str(q) for _, q, _ in fake.requests)


def test_ix_a_refused_token_leaves_what_is_known(fake, start, upstreams):
    up = upstreams()
    fake.token = "right"
    fake.put("web", up.address)
    gateway = start(config(fake, {"token": "env:CONSUL_TOKEN_OF_TEST"}), env={"CONSUL_TOKEN_OF_TEST": "right"})
    wait_members(gateway, up.address)
    fake.token = "other"
    fake.touch("web")
    wait_state(gateway, "stale")
    assert serves(gateway) and "status 403" in source(gateway)["cause"]
