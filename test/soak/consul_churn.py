#!/usr/bin/env python3
"""wrk through sluice to 20 endpoints of a real Consul, one of which is added or removed every 100 ms.

Passes when no request failed, every change was taken over and the members are the registry's at the end.
Prints the figures and PASS or FAIL; exits with 1 on failure.

    test/soak/consul_churn.py [--seconds 60] [--connections 128] [--every 0.1] [--sluice PATH]
"""

import argparse
import os
import random
import re
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from consul import Consul  # noqa: E402
from consul_scene import config, members  # noqa: E402
from gateway import DEFAULT_BINARY, Gateway  # noqa: E402
from nginx import Nginx  # noqa: E402
from raw import wait_until  # noqa: E402
from reload_under_load import ends_of, errors_of, wrk  # noqa: E402

ENDPOINTS, FEWEST, MOST = 20, 15, 25


class Churn:
    """Adds and removes instances of "web": between FEWEST and MOST of them."""

    def __init__(self, agent, server, options):
        self.agent, self.options = agent, options
        self.addresses = server.addresses
        self.here = set()
        self.changes = 0
        for address in self.addresses[:ENDPOINTS]:
            self.add(address)

    def add(self, address):
        self.agent.register("web", address)
        self.here.add(address)

    def remove(self, address):
        self.agent.deregister("web-" + address.rpartition(":")[2])
        self.here.remove(address)

    def change(self):
        gone = [a for a in self.addresses if a not in self.here]
        if gone and (len(self.here) <= FEWEST or (len(self.here) < MOST and random.random() < 0.5)):
            self.add(random.choice(gone))
        else:
            self.remove(random.choice(sorted(self.here)))
        self.changes += 1

    def run(self, stop):
        due = time.monotonic()
        while not stop.is_set():
            self.change()
            due += self.options.every
            stop.wait(max(0, due - time.monotonic()))


class Servers:
    """MOST servers, so that each endpoint has an address that can be removed by itself."""

    def __init__(self, folder):
        content = {"1k.bin": os.urandom(1024)}
        self.all = [Nginx(f"{folder}/nginx{n}", content, log=False) for n in range(MOST)]
        self.addresses = [server.address for server in self.all]

    def stop(self):
        for server in self.all:
            server.stop()


def run(options, folder, agent, servers):
    churn = Churn(agent, servers, options)
    gateway = Gateway(options.sluice, f"{folder}/gateway",
                      {**config(agent, web="web"), "workers": "auto",
                       "routes": [{"name": "all", "upstream": "web"}],
                       "access_log": {"path": "access.log", "fields": ["reason", "status", "endpoint"]}})
    try:
        wait_until(lambda: set(members(gateway)) == churn.here, what="all members")
        stop = threading.Event()
        thread = threading.Thread(target=churn.run, args=(stop,))
        load = wrk(gateway.address, options)
        thread.start()
        output = load.communicate()[0]
        stop.set()
        thread.join()
        began = time.monotonic()
        wait_until(lambda: set(members(gateway)) == churn.here, deadline_s=30, what="the registry's members")
        behind = time.monotonic() - began
        ends, metrics = ends_of(gateway), gateway.metrics()
    finally:
        gateway.stop()
    left = ends.pop("client_closed", 0) + ends.pop("client_reset", 0)
    failures = errors_of(output)
    updates = int(metrics.get("sluice_consul_updates_total"))
    retries = int(sum(value for _, _, value in metrics.find("sluice_upstream_retries_total")))
    requests = re.search(r"(\d+) requests in", output)[1]
    print(output)
    print(f"changes {churn.changes} sets taken over {updates} held {int(metrics.get('sluice_consul_held_total'))} "
          f"in step {behind:.1f} s after the end; ends {ends} left at the end {left} retries {retries} "
          f"requests {requests} wrk errors {failures}")
    return not any(failures.values()) and set(ends) == {"completed"} and left <= options.connections and updates > 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--connections", type=int, default=128)
    parser.add_argument("--every", type=float, default=0.1, help="seconds between changes")
    parser.add_argument("--sluice", default=os.environ.get("SLUICE", DEFAULT_BINARY))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sluice-soak-") as folder:
        agent, servers = Consul(f"{folder}/consul").start(), Servers(folder)
        try:
            passed = run(options, folder, agent, servers)
        finally:
            servers.stop()
            agent.stop()
    print(f"{'PASS' if passed else 'FAIL'} churn")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
