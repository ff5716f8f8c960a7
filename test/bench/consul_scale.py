#!/usr/bin/python3
"""What following many services in Consul costs, and how soon a change reaches the workers.

usage: test/bench/consul_scale.py [--services N] [--endpoints N] [--rounds N] [--seconds S] [WAY ...]

Ways to follow them, all by default:
  shared   a real agent by HTTPS: a blocking query for each service, many over one connection (HTTP/2)
  watched  a real agent by HTTP that allows a connection for each service
  grouped  a real agent by HTTP with its own limits: a few queries for all services
  fake     grouped, with a Consul that has next to no work of its own (test/support/fake_consul.py)

Measured: until all are known, memory, CPU of the control thread, the process and Consul when quiet and under changes;
and from the moment a change is acknowledged until every connection to the gateway, over all workers, is answered by it:
for a check that changes (one endpoint goes, another comes) and for an address that changes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, f"{ROOT}/test/support")

from consul import Consul  # noqa: E402
from gateway import DEFAULT_BINARY, Gateway  # noqa: E402
from raw import wait_until  # noqa: E402
from upstream import Upstream  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
CLIENTS = 8  # the kernel spreads them over two workers, the gateway evens that out
PAUSE_S = 2.1  # a token of the pace is 2 s
OPS_MAX = 64  # of a transaction in Consul


def address_of(number):
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def cpu_s(pid, tid=None):
    """User and system time of a process, or one of its threads."""
    with open(f"/proc/{pid}/task/{tid}/stat" if tid else f"/proc/{pid}/stat", encoding="utf-8") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Fake:
    """The fake one, as a process of its own."""

    def __init__(self, directory, options):
        del directory
        self.process = subprocess.Popen(
            [sys.executable, f"{ROOT}/test/support/fake_consul.py", "--services", str(options.services), "--endpoints",
             str(options.endpoints)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()
        self.pid = self.process.pid
        self.conf = {}

    def change(self, *facts):
        """facts: (service, ident, node, address, port, status, weight), applied together."""
        print(json.dumps([{"put": [service, f"{address}:{port}"],
                           "facts": {"ident": ident, "node": node, "status": status, "weights": [weight, 1],
                                     "tags": ["prod"], "meta": {"version": "1"}}}
                          for service, ident, node, address, port, status, weight in facts]),
              file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "done\n"

    def stop(self):
        self.process.kill()
        self.process.wait()


def make_certificates(directory):
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "agent.key", "-out",
                    "agent.pem", "-days", "2", *name], cwd=directory, check=True, capture_output=True)
    return {"ca_file": f"{directory}/agent.pem", "cert_file": f"{directory}/agent.pem",
            "key_file": f"{directory}/agent.key"}


class Real:
    """A real agent that has all services in its catalog, on 1,000 nodes."""

    def __init__(self, directory, options, tls=False, limit=None):
        os.makedirs(directory)
        https = make_certificates(directory) if tls else None
        conf = {"limits": {"http_max_conns_per_client": limit}} if limit else {}
        self.consul = Consul(directory, conf=conf, https=https).start()
        self.address = self.consul.https or self.consul.address
        self.pid = self.consul.process.pid
        self.conf = {"tls": {"ca": https["ca_file"]}} if tls else {}
        if limit:
            self.conf["connections"] = limit
        self._fill(options)

    def _fill(self, options):
        operations = [{"Node": {"Verb": "set", "Node": {"Node": f"n{n}", "Address": "127.0.0.1"}}} for n in range(1000)]
        for s in range(options.services):
            for e in range(options.endpoints):
                number = s * options.endpoints + e
                operations += self._operations(f"service-{s}", f"{s}-{e}", f"n{number % 1000}", address_of(number), 80,
                                               "passing", 1)
        for at in range(0, len(operations), OPS_MAX):
            self.consul.ask("/v1/txn", "PUT", operations[at:at + OPS_MAX])

    @staticmethod
    def _operations(service, ident, node, address, port, status, weight):
        return [{"Service": {"Verb": "set", "Node": node, "Service": {
                    "ID": ident, "Service": service, "Address": address, "Port": port, "Tags": ["prod"],
                    "Meta": {"version": "1"}, "Weights": {"Passing": weight, "Warning": 1}}}},
                {"Check": {"Verb": "set", "Check": {
                    "Node": node, "CheckID": f"service:{ident}", "Name": "ttl", "Status": status, "ServiceID": ident,
                    "ServiceName": service}}}]

    def change(self, *facts):
        self.consul.ask("/v1/txn", "PUT", [operation for one in facts for operation in self._operations(*one)])

    def stop(self):
        self.consul.stop()


WAYS = {
    "shared": lambda directory, options: Real(directory, options, tls=True),
    "watched": lambda directory, options: Real(directory, options, limit=options.services + 200),
    "grouped": Real,
    "fake": Fake,
}


def service_config(consul, names):
    return {"workers": 2, "consul": {"address": consul.address, "shrink_grace": "0s", **consul.conf},
            "ready_timeout": "100s", "upstreams": {name: {"consul": name} for name in names},
            "routes": [{"match": {"path": "/looked-at"}, "upstream": "looked-at"}]}


def start(directory, config):
    gateway = Gateway(os.environ.get("SLUICE", DEFAULT_BINARY), directory, config, wait=False)
    wait_until(lambda: gateway.log("ready"), deadline_s=120, what="ready")
    return gateway


class Scene:
    """A gateway that follows them all, and clients that ask for one."""

    def __init__(self, consul, gateway, options):
        self.consul, self.gateway, self.options = consul, gateway, options
        self.ups = [Upstream(lambda ex, n=n: ex.reply(body=str(n).encode())) for n in range(2)]
        self.clients = []

    def stop(self):
        for up in self.ups:
            up.stop()
        self.gateway.stop()

    def put(self, ident, up, status="passing"):
        host, _, port = self.ups[up].address.rpartition(":")
        return "looked-at", ident, f"n{ident}", host, int(port), status, 1

    def move(self, turn):
        """The one endpoint has another address."""
        self.consul.change(self.put("1", turn % 2), self.put("2", 0, "critical"))

    def flip(self, turn):
        """Of two endpoints one fails and the other is well again."""
        self.consul.change(self.put("1", 0, "critical" if turn % 2 else "passing"),
                           self.put("2", 1, "passing" if turn % 2 else "critical"))

    def seen(self, body, deadline_s=100):
        """When the last connection was first answered by it, and the slowest request until then."""
        slowest, deadline = 0, time.monotonic() + deadline_s
        for client in self.clients:
            while True:
                asked = time.monotonic()
                got = client.ask("GET", "/looked-at").body[:1]
                slowest = max(slowest, time.monotonic() - asked)
                if got == body:
                    break
                assert time.monotonic() < deadline, f"the change does not arrive, {got}"
        return time.monotonic(), slowest

    def latencies(self, name, change, pause_s=PAUSE_S):
        change(0)
        self.clients = [self.gateway.client() for _ in range(CLIENTS)]
        self.seen(b"0")
        times, slowest = [], 0
        for turn in range(1, self.options.rounds + 1):
            time.sleep(pause_s)
            change(turn)
            began = time.monotonic()
            ended, slow = self.seen(str(turn % 2).encode())
            times.append(1000 * (ended - began))
            slowest = max(slowest, 1000 * slow)
        for client in self.clients:
            client.close()
        p95 = statistics.quantiles(times, n=20, method="inclusive")[-1]
        print(f"  {name}: p50 {statistics.median(times):.1f} ms, p95 {p95:.1f} ms, worst of {len(times)} {max(times):.1f} "
              f"ms; slowest request meanwhile {slowest:.1f} ms", flush=True)

    def cpu(self):
        return [cpu_s(self.gateway.pid, self.gateway.pid), cpu_s(self.gateway.pid), cpu_s(self.consul.pid)]

    def shares(self, name, seconds):
        before = self.cpu()
        time.sleep(seconds)
        control, whole, consul = (100 * (b - a) / seconds for a, b in zip(before, self.cpu()))
        print(f"  {name}: control thread {control:.1f} %, process {whole:.1f} %, Consul {consul:.1f} % of a CPU",
              flush=True)


def histogram(gateway, family):
    """{upper bound in ms: how many were not above}, over all labels, as counted until now."""
    counts = {}
    for _, labels, value in gateway.metrics().find(f"{family}_bucket"):
        bound = float(labels["le"]) * 1000
        counts[bound] = counts.get(bound, 0) + value
    return counts


HISTOGRAMS = {"handling of an answer, from its last byte to the workers' mail": "sluice_consul_handling_seconds",
              "turns of the workers": "sluice_worker_turn_seconds"}


def samples(gateway):
    return {name: histogram(gateway, family) for name, family in HISTOGRAMS.items()}


def say_between(name, before, after):
    """Bounds below which half of the new samples lie, 99 %, and all."""
    new = {bound: after[bound] - before.get(bound, 0) for bound in sorted(after)}
    total = new[float("inf")]
    if total == 0:
        print(f"    {name}: none")
        return
    bounds = [next(b for b, n in new.items() if n >= share * total) for share in (0.5, 0.99, 1)]
    print(f"    {name}: {total:.0f}; half below {bounds[0]:.1f} ms, 99 % below {bounds[1]:.1f} ms, "
          f"all below {bounds[2]:.1f} ms", flush=True)


def say_samples(before, gateway):
    after = samples(gateway)
    for name in HISTOGRAMS:
        say_between(name, before[name], after[name])


def measure(way, directory, options):
    consul = WAYS[way](f"{directory}/consul", options)
    names = [f"service-{i}" for i in range(options.services - 1)] + ["looked-at"]
    bare = start(f"{directory}/bare", {"workers": 2, "routes": [{"echo": True}]})
    bare_kib = bare.pss_kib()
    bare.stop()
    began, consul_began = time.monotonic(), cpu_s(consul.pid)
    consul.change(("looked-at", "1", "n1", "127.0.0.1", 9, "passing", 1))
    gateway = start(f"{directory}/gateway", service_config(consul, names))
    modes = {labels["mode"] for _, labels, _ in gateway.metrics().find("sluice_consul_state")}
    print(f"{way} (mode {', '.join(sorted(modes))}): {options.services} services, "
          f"{options.services * options.endpoints} endpoints: ready after {time.monotonic() - began:.1f} s, "
          f"{cpu_s(gateway.pid, gateway.pid):.1f} s CPU of the control thread, {cpu_s(consul.pid) - consul_began:.1f} s of "
          f"Consul; {(gateway.pss_kib() - bare_kib) / 1024:.0f} MiB more than without upstreams", flush=True)
    scene = Scene(consul, gateway, options)
    time.sleep(16)  # sweeps after the start, and the spread of the first questions
    scene.shares("quiet", options.seconds)
    before = samples(gateway)
    scene.latencies("a check changes", scene.flip)
    if way != "grouped":  # what no check tells is swept, at most every 15 s
        scene.latencies("an address changes", scene.move)
    say_samples(before, gateway)
    churn(scene, names, options)
    print(f"  at the end: {(gateway.pss_kib() - bare_kib) / 1024:.0f} MiB more; turns of a worker longer than 10 ms: "
          f"{gateway.metric('sluice_worker_slow_turns_total'):.0f}", flush=True)
    scene.stop()
    consul.stop()


def churn(scene, names, options):
    """Changes of all others, and one among them."""
    stop = threading.Event()
    before, taken = samples(scene.gateway), len(scene.gateway.log("members changed"))

    def change():
        turn = 0
        while not stop.wait(1 / options.changes):
            turn += 1
            s = turn * 7919 % (options.services - 1)
            number = s * options.endpoints
            scene.consul.change((names[s], f"{s}-0", f"n{number % 1000}", address_of(number), 80,
                                 "warning" if turn // options.services % 2 else "passing", 1 + turn % 100))

    thread = threading.Thread(target=change)
    thread.start()
    scene.shares(f"{options.changes:g} changes a second", options.seconds)
    taken = len(scene.gateway.log("members changed")) - taken
    print(f"    {taken} updates taken over meanwhile", flush=True)
    stop.set()
    thread.join()
    say_samples(before, scene.gateway)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", choices=[[], *WAYS], metavar="WAY")
    parser.add_argument("--services", type=int, default=5000)
    parser.add_argument("--endpoints", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--changes", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    for way in options.ways or WAYS:
        with tempfile.TemporaryDirectory() as directory:
            measure(way, directory, options)


if __name__ == "__main__":
    main()
