#!/usr/bin/env python3
"""WebSocket tunnels, half of them over TLS, held through reloads, a certificate change and an upstream member change.

Passes when none is lost, a frame comes back on every one afterwards, no old configuration is held for them and the
gateway's memory has not grown. Prints the figures and PASS or FAIL; exits with 1 on failure. A small run is
test/e2e/test_tunnels_held.py.

    test/soak/tunnels.py [--tunnels 8000] [--reloads 100] [--sluice PATH]
"""

import argparse
import os
import resource
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

from gateway import DEFAULT_BINARY  # noqa: E402
from tunnels import Tunnels  # noqa: E402

GROWTH_MAX = 0.1  # of what the tunnels took: reloads leave some of the allocator's memory in pieces
FREE_KIB = 4096


def run(options, directory):
    scene = Tunnels(options.sluice, directory, options.tunnels)
    wrong = []
    try:
        empty = scene.gateway.own_kib()
        opened = scene.open()
        held = scene.gateway.own_kib()
        print(f"opened {opened} tunnels, {(held - empty) * 1024 / opened:.0f} bytes each (half of them TLS), memory {held} KiB")
        first = scene.echo()
        for number in range(1, options.reloads + 1):
            scene.gateway.must_reload(scene.config(number))
            if number == options.reloads // 3:
                scene.change_certificate()
            if number == options.reloads // 2:
                scene.change_members()
        after = scene.gateway.own_kib()
        print(f"{options.reloads} reloads, a certificate, members: {scene.gateway.metric('sluice_tunnels', route='ws'):.0f} "
              f"open, {scene.configurations()} configurations held, memory {after} KiB")
        last = scene.echo()
        print(f"echo before: {first}, after: {last}")
        if (opened, first, last) != (options.tunnels,) * 3:
            wrong.append("tunnels were lost")
        if scene.configurations() != 1:
            wrong.append("old configurations are held")
        if after - held > (held - empty) * GROWTH_MAX + FREE_KIB:
            wrong.append(f"memory has grown by {after - held} KiB")
    finally:
        scene.close()
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--tunnels", type=int, default=8000)
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--sluice", default=DEFAULT_BINARY)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    fits = (hard - 500) // 2
    if options.tunnels > fits:
        print(f"{options.tunnels} do not fit into {hard} descriptors: {fits}")
        options.tunnels = fits // 2 * 2
    with tempfile.TemporaryDirectory() as directory:
        wrong = run(options, directory)
    print("FAIL: " + "; ".join(wrong) if wrong else "PASS")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
