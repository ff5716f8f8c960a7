#!/usr/bin/env python3
"""A plugin that uses every service, under load, reloads and clients that leave.

Passes when every request that began has ended once, no answer was wrong, and no sanitizer said
anything. Prints the figures and PASS or FAIL; exits with 1 on failure. Build with SAN=thread CC=clang
and name that binary to look for races.

    test/soak/plugins_under_reload.py [--seconds 60] [--clients 8] [--rate 10] [--sluice PATH]
"""

import argparse
import os
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "support"), os.path.join(HERE, "..", "e2e")]

from gateway import DEFAULT_BINARY, Gateway  # noqa: E402
from redis import Redis  # noqa: E402
from test_plugins_services import Crowd, config  # noqa: E402
from upstream import Upstream  # noqa: E402

DONE = "sluice_plugin_everything_done_total"
BEGUN = "sluice_plugin_everything_begun_total"


def run(options, gateway, upstream, redis):
    crowd = Crowd(gateway, options.clients)
    until = time.monotonic() + options.seconds
    number = 0
    while time.monotonic() < until:
        number += 1
        if number % (10 * options.rate) == 0:
            redis.stop()
        elif number % (10 * options.rate) == options.rate:
            redis.start() if redis.process is None else None
        gateway.must_reload(config(options.sluice, upstream, redis, number=number))
        time.sleep(1 / options.rate)
    crowd.end()
    gateway.wait_metric(lambda page: page.get(BEGUN) == page.get(DONE), what="every beginning has an end")
    ended = int(gateway.metrics().get(DONE))
    logged = len(gateway.wait_access(ended))
    print(f"reloads {number}, answered {sum(crowd.answered)}, begun = done = {ended}, in the access log {logged}, "
          f"wrong {len(crowd.wrong)}")
    return not crowd.wrong and logged == ended


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rate", type=int, default=10, help="reloads a second")
    parser.add_argument("--sluice", default=os.environ.get("SLUICE", DEFAULT_BINARY))
    options = parser.parse_args()
    options.sluice = os.path.abspath(options.sluice)
    redis, upstream = Redis(), Upstream()
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(options.sluice, f"{folder}/gateway", config(options.sluice, upstream, redis))
        try:
            passed = run(options, gateway, upstream, redis)
        finally:
            gateway.stop()  # says what a sanitizer found
            upstream.stop()
            redis.close()
    print("PASS" if passed else "FAIL")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
