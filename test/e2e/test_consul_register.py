"""The gateway as a service of a real Consul agent: as long as its workers are alive, and no longer."""

import os
import signal

import pytest
from consul import HAS_CONSUL, Consul
from hang import Hang
from raw import wait_until

pytestmark = pytest.mark.skipif(not HAS_CONSUL, reason="no consul: scripts/install-deps test")


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    consul = Consul(tmp_path_factory.mktemp("consul")).start()
    yield consul
    consul.stop()


def registered(agent, name, **more):
    """A configuration that answers by itself and registers under that name."""
    drain = more.pop("drain", {"pause": "0s", "timeout": "1s", "idle": "20ms"})
    workers = more.pop("workers", 1)
    return {"workers": workers, "drain": drain,
            "consul": {"address": agent.address, **more.pop("consul", {}),
                       "register": {"name": name, "id": f"{name}-1", "port": 8080, "ttl": "3s", **more}},
            "routes": [{"respond": {"status": 200}}]}


def checks(agent, name):
    """{the check's id: (its status, its output)}, of all instances of a service."""
    entries = agent.ask(f"/v1/health/service/{name}")
    return {c["CheckID"]: (c["Status"], c["Output"] + c["Notes"]) for e in entries for c in e["Checks"]
            if c["CheckID"] != "serfHealth"}


def status(agent, name, ident=None):
    return checks(agent, name).get(f"service:{ident or name + '-1'}:workers", (None, ""))[0]


def wait_status(agent, name, wanted, ident=None):
    wait_until(lambda: status(agent, name, ident) == wanted, deadline_s=30,
               what=f"{name} is {wanted}: {checks(agent, name)}")


def test_it_is_registered_with_all_that_was_said(agent, start):
    gateway = start(registered(agent, "edge", address="10.0.0.7", tags=["a", "b"], meta={"zone": "z1"},
                               check={"http": "http://127.0.0.1:1/ready", "interval": "1s"}))
    wait_status(agent, "edge", "passing")
    service = agent.ask("/v1/agent/service/edge-1")
    assert (service["Service"], service["Address"], service["Port"]) == ("edge", "10.0.0.7", 8080)
    assert service["Tags"] == ["a", "b"] and service["Meta"] == {"zone": "z1"}
    assert checks(agent, "edge")["service:edge-1:http"][0] == "critical"  # the agent asks by itself: nobody there
    gateway.wait_metric(lambda m: m.get("sluice_consul_registration_passing", id="edge-1") == 1)
    assert gateway.metric("sluice_consul_registered", service="edge", id="edge-1") == 1
    # Refreshed beyond its time to live.
    before = gateway.metric("sluice_consul_registration_beats_total")
    wait_until(lambda: gateway.metric("sluice_consul_registration_beats_total") >= before + 4, deadline_s=30)
    assert status(agent, "edge") == "passing"
    assert gateway.metric("sluice_consul_registrations_total") == 1


def test_an_identifier_is_made_that_stays_the_same(agent, start):
    config = registered(agent, "named")
    del config["consul"]["register"]["id"]
    ident = f"named-{os.uname().nodename}-8080"
    start(config)
    wait_status(agent, "named", "passing", ident)


def test_check_and_schema_do_not_register(agent, sluice, tmp_path):
    path = tmp_path / "sluice.yaml"
    path.write_text(f"consul: {{ address: '{agent.address}', register: {{ name: never, port: 1 }} }}\n"
                    "routes: [ { echo: true } ]\n")
    assert sluice("check", "-c", str(path)).returncode == 0
    assert agent.ask("/v1/health/service/never") == []


def test_what_is_wrong_is_told_with_its_place(sluice, tmp_path):
    path = tmp_path / "sluice.yaml"
    path.write_text("consul:\n  register: { name: x, port: 0, deregister_after: 5s }\nroutes: [ { echo: true } ]\n")
    told = sluice("check", "-c", str(path))
    assert told.returncode != 0
    assert "sluice.yaml:2:30: error: 0 is too small" in told.stderr
    assert "at least 1m" in told.stderr


def test_a_hung_worker_turns_it_critical_and_is_named(agent, start):
    gateway = start(registered(agent, "hung", workers=2))
    wait_status(agent, "hung", "passing")
    with Hang(gateway.pid, "worker-1"):
        wait_status(agent, "hung", "critical")
        assert "worker 1 has not turned its loop for" in checks(agent, "hung")["service:hung-1:workers"][1]
        assert gateway.metric("sluice_consul_registration_passing") == 0
        assert gateway.log("a worker hangs: the gateway is critical in consul")
    wait_status(agent, "hung", "passing")


def test_a_gateway_that_is_stopped_whole_turns_critical(agent, start):
    gateway = start(registered(agent, "stopped"))
    wait_status(agent, "stopped", "passing")
    os.kill(gateway.pid, signal.SIGSTOP)
    wait_status(agent, "stopped", "critical")
    os.kill(gateway.pid, signal.SIGCONT)
    wait_status(agent, "stopped", "passing")


def test_who_removes_it_by_hand_sees_it_again(agent, start):
    gateway = start(registered(agent, "removed"))
    wait_status(agent, "removed", "passing")
    agent.deregister("removed-1")
    wait_status(agent, "removed", "passing")
    assert gateway.log("consul has forgotten the gateway: it is registered again")
    assert gateway.metric("sluice_consul_registrations_total") == 2


def test_a_drain_is_told_before_it_is_deregistered(agent, start):
    gateway = start(registered(agent, "drained", drain={"pause": "1500ms", "timeout": "2s", "idle": "20ms"}))
    wait_status(agent, "drained", "passing")
    gateway.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "_service_maintenance:drained-1" in checks(agent, "drained"))
    assert gateway.ask().status == 200  # still in its pause
    wait_until(lambda: agent.ask("/v1/health/service/drained") == [])
    gateway.process.wait(10)
    assert gateway.log("deregistered from consul")


def test_a_drain_without_a_pause_is_deregistered_as_well(agent, start):
    gateway = start(registered(agent, "quick", leave="critical"))
    wait_status(agent, "quick", "passing")
    gateway.process.send_signal(signal.SIGTERM)
    gateway.process.wait(10)
    assert agent.ask("/v1/health/service/quick") == []


def test_a_drain_says_critical_when_told_so(agent, start):
    gateway = start(registered(agent, "leaves", leave="critical",
                               drain={"pause": "1500ms", "timeout": "2s", "idle": "20ms"}))
    wait_status(agent, "leaves", "passing")
    gateway.process.send_signal(signal.SIGTERM)
    wait_until(lambda: checks(agent, "leaves").get("service:leaves-1:workers", ("", ""))[0] == "critical")
    wait_until(lambda: agent.ask("/v1/health/service/leaves") == [])
    gateway.process.wait(10)


def test_killed_in_its_drain_it_does_not_stay_in_maintenance(agent, start):
    gateway = start(registered(agent, "killed", drain={"pause": "60s", "timeout": "2s", "idle": "20ms"}))
    wait_status(agent, "killed", "passing")
    gateway.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "_service_maintenance:killed-1" in checks(agent, "killed"))
    gateway.kill()
    gateway.stopped = True
    start(registered(agent, "killed"))
    wait_until(lambda: "_service_maintenance:killed-1" not in checks(agent, "killed"))
    wait_status(agent, "killed", "passing")


def test_an_operators_maintenance_stays_over_a_start(agent, start):
    gateway = start(registered(agent, "kept"))
    wait_status(agent, "kept", "passing")
    agent.maintain("kept-1")
    gateway.kill()
    gateway.stopped = True
    second = start(registered(agent, "kept"))
    second.wait_metric(lambda m: m.get("sluice_consul_registration_passing") == 1)
    assert "_service_maintenance:kept-1" in checks(agent, "kept")


def test_a_reload_changes_the_registration_in_place(agent, start):
    gateway = start(registered(agent, "changed"))
    wait_status(agent, "changed", "passing")
    gateway.must_reload(registered(agent, "changed", tags=["new"]))
    wait_until(lambda: agent.ask("/v1/agent/service/changed-1")["Tags"] == ["new"])
    assert status(agent, "changed") == "passing"  # not even for a moment
    gateway.must_reload(registered(agent, "changed", id="changed-2"))
    wait_status(agent, "changed", "passing", "changed-2")
    wait_until(lambda: status(agent, "changed") is None)
    config = registered(agent, "changed")
    del config["consul"]["register"]
    gateway.must_reload(config)
    wait_until(lambda: agent.ask("/v1/health/service/changed") == [])
    gateway.must_reload(registered(agent, "changed"))
    wait_status(agent, "changed", "passing")


@pytest.mark.parametrize("kept", [True, False], ids=["with-state", "without-state"])
def test_an_agent_that_restarts(start, tmp_path, kept):
    conf = {"server": True, "bootstrap_expect": 1}
    consul = Consul(tmp_path / "consul", dev=not kept, conf=conf if kept else None).start()
    try:
        gateway = start(registered(consul, "again"))
        wait_status(consul, "again", "passing")
        consul.kill()
        gateway.wait_metric(lambda m: m.get("sluice_consul_registration_errors_total") > 0)
        consul.start()
        wait_status(consul, "again", "passing")
        assert gateway.metric("sluice_consul_registrations_total") == (1 if kept else 2)
    finally:
        consul.stop()


def test_an_agent_that_is_gone_keeps_nobody_from_ending(start, tmp_path):
    consul = Consul(tmp_path / "consul").start()
    try:
        gateway = start(registered(consul, "alone"))
        wait_status(consul, "alone", "passing")
        consul.pause()
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.wait(10)
        assert gateway.log("consul has not confirmed that the gateway is gone")
    finally:
        consul.stop()
