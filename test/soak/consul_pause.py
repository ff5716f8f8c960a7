#!/usr/bin/env python3
"""A real Consul agent stands still (SIGSTOP) for a minute, under wrk.

Passes when no request failed, the gateway said that what it knows is stale, and a change made right after is taken
over within the bound of the backoff. Prints the figures and PASS or FAIL; exits with 1 on failure.

    test/soak/consul_pause.py [--seconds 60] [--connections 64] [--sluice PATH]
"""

import argparse
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from consul import Consul  # noqa: E402
from consul_scene import config, members, state  # noqa: E402
from gateway import DEFAULT_BINARY, Gateway  # noqa: E402
from nginx import Nginx  # noqa: E402
from raw import wait_until  # noqa: E402
from reload_under_load import ends_of, errors_of, wrk  # noqa: E402

BACKOFF_S = 30  # the longest pause between two questions
ANSWER_S = 15   # and how long one may take


def run(options, folder, agent, servers):
    first, second = servers
    agent.register("web", first.address)
    gateway = Gateway(options.sluice, f"{folder}/gateway",
                      {**config(agent, {"wait": "5s"}, web="web"), "workers": "auto",
                       "routes": [{"name": "all", "upstream": "web"}]})
    try:
        wait_until(lambda: set(members(gateway)) == {first.address})
        agent.pause()
        load = wrk(gateway.address, options)
        wait_until(lambda: state(gateway) == "stale", deadline_s=40, what="it says that it is stale")
        output = load.communicate()[0]
        age = gateway.metric("sluice_consul_age_seconds", service="web")
        agent.resume()
        agent.register("web", second.address)
        began = time.monotonic()
        wait_until(lambda: set(members(gateway)) == {first.address, second.address},
                   deadline_s=BACKOFF_S + ANSWER_S, what="the new endpoint")
        fresh = time.monotonic() - began
        ends = ends_of(gateway)
    finally:
        agent.resume()
        gateway.stop()
    left = ends.pop("client_closed", 0) + ends.pop("client_reset", 0)
    failures = errors_of(output)
    print(output)
    print(f"stood still {options.seconds} s: age {age:.0f} s at the end, fresh {fresh:.1f} s after; ends {ends} "
          f"left at the end {left} wrk errors {failures}")
    return not any(failures.values()) and set(ends) == {"completed"} and age >= options.seconds - 10


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--sluice", default=os.environ.get("SLUICE", DEFAULT_BINARY))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sluice-soak-") as folder:
        agent = Consul(f"{folder}/consul").start()
        servers = [Nginx(f"{folder}/nginx{n}", {"1k.bin": os.urandom(1024)}, log=False) for n in range(2)]
        try:
            passed = run(options, folder, agent, servers)
        finally:
            for server in servers:
                server.stop()
            agent.stop()
    print(f"{'PASS' if passed else 'FAIL'} pause")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
