"""Which endpoints a request may go to: priorities, panic, zones, and subsets by tags and meta."""

from collections import Counter

import pytest

from gateway import expect_problem, plain
from raw import wait_until

CHECKS = {"path": "/healthz", "interval": "50ms", "unhealthy_interval": "30ms", "timeout": "1s", "jitter": "0%"}


class Site:
    """Fakes with a switch each for their health checks."""

    def __init__(self, upstreams, count):
        self.fakes = [upstreams() for _ in range(count)]
        self.status = [200] * count
        for i, fake in enumerate(self.fakes):
            fake.on("/healthz", lambda ex, i=i: ex.reply(self.status[i]))

    def config(self, facts, **app):
        config = plain(*self.fakes)
        config["upstreams"]["app"].update(app, health=CHECKS)
        config["upstreams"]["app"]["endpoints"] = [{"address": fake.address, **fact}
                                                   for fake, fact in zip(self.fakes, facts)]
        return config

    def set(self, gateway, *well):
        """Each of the fakes is as well as said, and the gateway knows."""
        self.status = [200 if one else 503 for one in well]
        for fake, one in zip(self.fakes, well):
            gateway.wait_metric(lambda page, fake=fake, one=one: page.get(
                "sluice_upstream_healthy", upstream="app", endpoint=fake.address) == int(one), what=f"{well}")

    def served(self, gateway, count=20, **ask):
        """Who serves so many requests: counts, in the order of the fakes."""
        number = len(gateway.access_log())
        for _ in range(count):
            assert gateway.ask(**ask).status == 200
        gateway.wait_access(number + count)
        seen = Counter(line["endpoint"] for line in gateway.access_log()[number:])
        return [seen[fake.address] for fake in self.fakes]


# -- priorities ---------------------------------------------------------------------


@pytest.mark.parametrize("balance", ["round_robin", "least_requests", "random", "peak_ewma", "sticky_cookie"])
def test_the_next_priority_takes_over_and_hands_back(start, upstreams, balance):
    site = Site(upstreams, 3)
    gateway = start(dict(site.config([{}, {}, {"priority": 1}], balance=balance, panic_threshold=0), workers=1))
    site.set(gateway, True, True, True)
    assert site.served(gateway)[2] == 0
    site.set(gateway, True, False, True)  # 70 % can be taken by the one that is left
    counts = site.served(gateway, 300)
    assert counts[1] == 0 and 50 <= counts[2] <= 135, counts
    assert gateway.metric("sluice_upstream_priority_share", upstream="app", priority="1") == pytest.approx(0.3)
    site.set(gateway, False, False, True)
    assert site.served(gateway) == [0, 0, 20]
    assert gateway.metric("sluice_upstream_backup_picks_total", upstream="app") == counts[2] + 20
    site.set(gateway, True, True, True)
    assert site.served(gateway)[2] == 0


def test_a_failed_try_goes_to_the_next_priority_when_there_is_nobody_else(start, upstreams):
    dead, backup = upstreams(), upstreams()
    config = plain(dead, backup)
    config["upstreams"]["app"]["endpoints"] = [dead.address, {"address": backup.address, "priority": 1}]
    gateway = start(config)
    dead.stop_listening()
    for _ in range(5):
        assert gateway.ask().status == 200
    assert len(backup.requests) == 5


def test_overprovisioning_can_be_less(start, upstreams):
    site = Site(upstreams, 3)
    gateway = start(dict(site.config([{}, {}, {"priority": 1}], overprovisioning=100, panic_threshold=0), workers=1))
    site.set(gateway, True, False, True)
    counts = site.served(gateway, 300)
    assert counts[1] == 0 and 105 <= counts[2] <= 195, counts


# -- panic --------------------------------------------------------------------------


def test_below_the_threshold_all_are_asked_and_it_is_counted(start, upstreams):
    site = Site(upstreams, 3)
    gateway = start(site.config([{}] * 3))
    site.set(gateway, True, True, False)
    assert site.served(gateway)[2] == 0
    assert gateway.metric("sluice_upstream_panic_picks_total", upstream="app") == 0
    site.set(gateway, True, False, False)
    assert min(site.served(gateway, 30)) >= 8
    assert gateway.metric("sluice_upstream_panic_picks_total", upstream="app") == 30
    gateway.wait_metric(lambda page: page.get("sluice_upstream_panic", upstream="app", priority="0") == 1)
    (line,) = wait_until(lambda: gateway.log("upstream in panic: all endpoints are asked"), what="the log line")
    assert (line["upstream"], line["priority"], line["well"], line["endpoints"]) == ("app", 0, 1, 3)
    site.set(gateway, True, True, True)
    wait_until(lambda: gateway.log("upstream out of panic"), what="the log line")
    assert gateway.metric("sluice_upstream_panic", upstream="app", priority="0") == 0
    site.served(gateway)
    assert gateway.metric("sluice_upstream_panic_picks_total", upstream="app") == 30


def test_without_panic_nobody_serves_when_nobody_is_well(start, upstreams):
    site = Site(upstreams, 2)
    gateway = start(site.config([{}] * 2, panic_threshold=0))
    site.set(gateway, True, False)
    assert site.served(gateway) == [20, 0]
    site.set(gateway, False, False)
    expect_problem(gateway.ask(), 503, "no_endpoint")
    assert gateway.wait_access(status=503)["reason"] == "no_endpoint"


# -- zones --------------------------------------------------------------------------


def test_our_own_zone_serves_as_far_as_it_can(start, upstreams):
    site = Site(upstreams, 4)
    zones = [{"zone": zone} for zone in "aabb"]
    config = dict(site.config(zones, zone_preference={"min_endpoints": 2}), zone="a", workers=1)
    gateway = start(config)
    site.set(gateway, True, True, True, True)
    assert site.served(gateway)[2:] == [0, 0]
    site.set(gateway, True, False, True, True)  # a third of the capacity, of two zones: 67 %
    counts = site.served(gateway, 300)
    assert counts[1] == 0 and 150 <= counts[0] <= 250, counts
    assert gateway.metric("sluice_upstream_zone_picks_total", upstream="app", zone="own") == 20 + counts[0]
    site.set(gateway, False, False, True, True)
    assert site.served(gateway) == [0, 0, 10, 10]
    site.set(gateway, True, True, True, True)
    gateway.must_reload(dict(config, zone="b"))
    assert site.served(gateway)[:2] == [0, 0]


def test_the_zone_may_come_from_the_environment(start, upstreams):
    site = Site(upstreams, 2)
    config = dict(site.config([{"zone": "a"}, {"zone": "b"}], zone_preference={"min_endpoints": 2}), zone="${ZONE}")
    gateway = start(config, env={"ZONE": "b"})
    assert site.served(gateway) == [0, 20]


# -- subsets ------------------------------------------------------------------------

VERSIONS = [{"tags": ["stable"]}, {"tags": ["stable"]}, {"tags": ["canary"], "meta": {"version": "v2"}}]


def test_a_split_sends_a_part_to_the_canaries(start, upstreams):
    site = Site(upstreams, 3)
    config = site.config(VERSIONS)
    config["routes"] = [{"split": [{"upstream": "app", "weight": 80, "subset": {"tags": ["stable"]}},
                                   {"upstream": "app", "weight": 20, "subset": {"tags": ["canary"]}}]}]
    gateway = start(config)
    counts = site.served(gateway, 300)
    assert 30 <= counts[2] <= 95 and abs(counts[0] - counts[1]) < 30, counts
    config["routes"][0]["split"][1]["weight"] = 0
    gateway.must_reload(config)
    assert site.served(gateway)[2] == 0


def test_a_route_chooses_by_meta_with_or_without_fallback(start, upstreams):
    site = Site(upstreams, 3)
    config = site.config(VERSIONS, panic_threshold=0)

    def route(path, fallback):
        return {"match": {"path": path},
                "upstream": {"name": "app", "subset": {"meta": {"version": "v2"}, "fallback": fallback}}}
    config["routes"] = [route("/any", "any"), route("/none", "none"), {"upstream": "app"}]
    gateway = start(config)
    assert site.served(gateway, target="/any") == site.served(gateway, target="/none") == [0, 0, 20]
    assert min(site.served(gateway, 30)) >= 8
    site.set(gateway, True, True, False)
    assert site.served(gateway, target="/any")[2] == 0
    expect_problem(gateway.ask(target="/none"), 503, "no_endpoint")
    site.set(gateway, True, True, True)
    assert site.served(gateway, target="/none") == [0, 0, 20]


def test_an_upstream_may_take_a_part_of_its_source(start, upstreams):
    site = Site(upstreams, 3)
    gateway = start(site.config(VERSIONS, subset={"tags": ["stable"]}))
    assert site.served(gateway)[2] == 0

    def shown():
        return {e["address"] for e in gateway.admin.json("/upstreams")["upstreams"][0]["endpoints"]}
    assert shown() == {fake.address for fake in site.fakes[:2]}
    gateway.must_reload(site.config(VERSIONS, subset={"meta": {"version": "v2"}}))
    wait_until(lambda: shown() == {site.fakes[2].address}, what="the other subset")
    assert site.served(gateway) == [0, 0, 20]


def test_a_full_subset_does_not_hold_up_the_others(start, upstreams):
    """The queue is one for the upstream: who waits for the canary is passed by who does not."""
    site = Site(upstreams, 3)
    held = []
    site.fakes[2].on("/canary", held.append)
    config = site.config(VERSIONS, connections={"max": 1, "queue_timeout": "30s"})
    config["routes"] = [{"match": {"path": "/canary"}, "upstream": {"name": "app", "subset": {"tags": ["canary"]}}},
                        {"upstream": {"name": "app", "subset": {"tags": ["stable"]}}}]
    config["workers"] = 1
    gateway = start(config)
    clients = [gateway.client() for _ in range(3)]
    for client in clients:
        client.send(b"GET /canary HTTP/1.1\r\nHost: test.example\r\n\r\n")
    gateway.wait_metric(lambda page: page.get("sluice_upstream_queue", upstream="app") == 2, what="two that wait")
    assert site.served(gateway)[2] == 0
    assert gateway.metric("sluice_upstream_queue", upstream="app") == 2
    for client in clients:
        client.close()
