#!/usr/bin/python3
"""What following many services in Consul costs, and how soon a change reaches the workers.

usage: test/bench/consul_scale.py [--services N] [--endpoints N] [--changes PER_SECOND] [--seconds S]

A fake Consul in this process holds the services; the gateway follows all of them. Measured: until all are
known, memory, CPU of the control thread when quiet and under changes, and from a change in Consul to the first
request that a worker sends by it.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, f"{ROOT}/test/support")

from fake_consul import FakeConsul  # noqa: E402
from gateway import DEFAULT_BINARY, Gateway  # noqa: E402
from raw import wait_until  # noqa: E402
from upstream import Upstream  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid, tid=None):
    """User and system time of a process, or one of its threads."""
    with open(f"/proc/{pid}/task/{tid}/stat" if tid else f"/proc/{pid}/stat", encoding="utf-8") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def share(pid, seconds):
    """Percent of a CPU that the control thread, and the process, use meanwhile."""
    control, whole = cpu_s(pid, pid), cpu_s(pid)
    time.sleep(seconds)
    return [100 * (cpu_s(pid, pid) - control) / seconds, 100 * (cpu_s(pid) - whole) / seconds]


def service_config(address, names, **consul):
    return {"workers": 2, "consul": {"address": address, "shrink_grace": "0s", **consul}, "ready_timeout": "100s",
            "upstreams": {name: {"consul": name} for name in names},
            "routes": [{"match": {"path": f"/{names[0]}"}, "upstream": names[0]}]}


def start(directory, config):
    gateway = Gateway(os.environ.get("SLUICE", DEFAULT_BINARY), directory, config, wait=False)
    wait_until(lambda: gateway.log("ready"), deadline_s=120, what="ready")
    return gateway


def latencies(fake, gateway, service, rounds, pause_s):
    """Milliseconds from a change to the first answer of the new endpoint; and the slowest request meanwhile."""
    ups = [Upstream(lambda ex, n=n: ex.reply(body=str(n).encode())) for n in range(2)]
    client = gateway.client()
    times, slowest = [], 0
    fake.put(service, ups[0].address, ident="only", node="one")
    wait_until(lambda: client.ask("GET", f"/{service}").body == b"0", deadline_s=60)
    for turn in range(rounds):
        time.sleep(pause_s)
        wanted = (turn + 1) % 2
        began = time.monotonic()
        fake.put(service, ups[wanted].address, ident="only", node="one")
        while True:
            asked = time.monotonic()
            body = client.ask("GET", f"/{service}").body
            now = time.monotonic()
            slowest = max(slowest, now - asked)
            if body == str(wanted).encode():
                break
            assert now - began < 60, "the change does not arrive"
        times.append(1000 * (now - began))
    client.close()
    for up in ups:
        up.stop()
    return times, slowest * 1000


def say(name, times, slowest):
    print(f"{name}: median {statistics.median(times):.1f} ms, worst of {len(times)} {max(times):.1f} ms; "
          f"slowest request {slowest:.1f} ms")


def histogram(gateway, family):
    """{upper bound in ms: how many were not above}, over all labels, as counted until now."""
    counts = {}
    for _, labels, value in gateway.metrics().find(f"{family}_bucket"):
        bound = float(labels["le"]) * 1000
        counts[bound] = counts.get(bound, 0) + value
    return counts


def say_between(name, before, after):
    """Bounds below which half of the new samples lie, 99 %, and all."""
    new = {bound: after[bound] - before.get(bound, 0) for bound in sorted(after)}
    total = new[float("inf")]
    if total == 0:
        print(f"  {name}: none")
        return
    bounds = [next(b for b, n in new.items() if n >= share * total) for share in (0.5, 0.99, 1)]
    print(f"  {name}: {total:.0f}; half below {bounds[0]:.1f} ms, 99 % below {bounds[1]:.1f} ms, all below {bounds[2]:.1f} ms")


def measure_watch(directory):
    """Few services, each with a blocking query of its own."""
    fake = FakeConsul()
    gateway = start(directory, service_config(fake.address, ["web"]))
    say("one service, watched", *latencies(fake, gateway, "web", 10, 2.5))
    gateway.stop()
    fake.stop()


def measure_many(directory, options):
    fake = FakeConsul()
    fake.record = False
    names = [f"service-{i}" for i in range(options.services)]
    for s, name in enumerate(names):
        for e in range(options.endpoints if s else 1):
            number = s * options.endpoints + e
            fake.put(name, f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}:80", ident=f"{s}-{e}",
                     node=f"n{number % 1000}", tags=["prod"], meta={"version": "1"}, weights=(1, 1), silent=True)
        fake.services["dc1", name].index = fake.index
    fake.put(names[0], "127.0.0.1:9", ident="only", node="one")
    total = sum(len(s.entries) for s in fake.services.values())
    bare = start(f"{directory}/bare", {"workers": 2, "routes": [{"echo": True}]})
    bare_kib = bare.pss_kib()
    bare.stop()
    began = time.monotonic()
    gateway = start(f"{directory}/many", service_config(fake.address, names))
    print(f"{options.services} services, {total} endpoints: all known after {time.monotonic() - began:.1f} s, "
          f"{cpu_s(gateway.pid, gateway.pid):.1f} s CPU of the control thread; "
          f"{(gateway.pss_kib() - bare_kib) / 1024:.0f} MiB more than without upstreams")
    time.sleep(16)  # sweeps after the start
    print("quiet: control thread %.1f %%, process %.1f %% of a CPU" % tuple(share(gateway.pid, options.seconds)))
    page = gateway.admin.ask(path="/metrics")
    print(f"the metrics page: status {page.status}, {len(page.body) / 1024 / 1024:.1f} MiB")
    handling, turns = (histogram(gateway, f"sluice_{name}_seconds") for name in ("consul_handling", "worker_turn"))
    say("one change at a time", *latencies(fake, gateway, names[0], 8, 2.5))
    say_between("of it in the gateway, from an answer's last byte to the workers' mail", handling,
                histogram(gateway, "sluice_consul_handling_seconds"))
    say_between("turns of the workers meanwhile", turns, histogram(gateway, "sluice_worker_turn_seconds"))
    handling, turns = (histogram(gateway, f"sluice_{name}_seconds") for name in ("consul_handling", "worker_turn"))
    stop = threading.Event()

    def churn():
        turn = 0
        while not stop.wait(1 / options.changes):
            turn += 1
            s = 1 + turn * 7919 % (options.services - 1)
            number = s * options.endpoints
            fake.put(names[s], f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}:80", ident=f"{s}-0",
                     node=f"n{number % 1000}", tags=["prod"], meta={"version": "1"}, weights=(1 + turn % 100, 1))

    thread = threading.Thread(target=churn)
    thread.start()
    before = len(gateway.log("members changed"))
    print("%g changes a second: control thread %.1f %%, process %.1f %% of a CPU" % (
        options.changes, *share(gateway.pid, options.seconds)))
    print(f"  {len(gateway.log('members changed')) - before} updates taken over meanwhile")
    say("  one change among them", *latencies(fake, gateway, names[0], 10, 0.5))
    stop.set()
    thread.join()
    say_between("in the gateway", handling, histogram(gateway, "sluice_consul_handling_seconds"))
    say_between("turns of the workers", turns, histogram(gateway, "sluice_worker_turn_seconds"))
    print(f"  turns longer than 10 ms: {gateway.metric('sluice_worker_slow_turns_total'):.0f}")
    print(f"at the end: {(gateway.pss_kib() - bare_kib) / 1024:.0f} MiB more")
    gateway.stop()
    fake.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=5000)
    parser.add_argument("--endpoints", type=int, default=10)
    parser.add_argument("--changes", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        measure_watch(f"{directory}/watch")
        measure_many(directory, options)


if __name__ == "__main__":
    main()
