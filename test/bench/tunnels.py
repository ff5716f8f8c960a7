#!/usr/bin/env python3
"""Bytes of user memory that an idle WebSocket tunnel takes, both sides together, in sluice, nginx and HAProxy.

Each gateway has one worker. A tunnel is opened, a frame goes there and back, then nothing more is said. Memory is what no
other process shares, before and after; it does not depend on who else uses the machine.

    test/bench/tunnels.py [--tunnels 6000] [--rounds 3] [--sluice PATH]
"""

import argparse
import multiprocessing
import os
import resource
import socket
import statistics
import sys
import tempfile
import time

import bench
import contenders
import machine

sys.path.insert(0, os.path.join(bench.ROOT, "test", "support"))
import tunnels  # noqa: E402

UPGRADES = """        location /ws {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_read_timeout 10h;
            proxy_send_timeout 10h;
        }}
        location / {{"""


def gateways(sluice):
    """Those of the other cases, with tunnels that may be idle for long."""
    made = [one for one in [*contenders.everyone(sluice), contenders.logging(sluice)]
            if one.name != "sluice-plugins" and one.binary]
    for one in made:
        one.template = one.template.replace("        location / {{", UPGRADES, 1)
        one.template = one.template.replace("timeout server 10h", "timeout server 10h\n    timeout tunnel 10h")
        one.template = one.template.replace("idle_timeout: 1h }}", "idle_timeout: 1h }}\n    timeout: {{ tunnel: 10h }}")
    return made


def settled(pids):
    """Own memory once it stands still."""
    before, now = -1, 0
    while before != now:
        before = now
        time.sleep(0.5)
        now = machine.memory_bytes(pids)[1]
    return now


def measure(one, folder, origin, count):
    one.start(folder, bench.gateway_cpu(), origin, 2 * count + 100)  # nginx counts both sides
    held = []
    try:
        before = settled(one.pids())
        for _ in range(count):
            held.append(tunnels.open_tunnel(f"{contenders.HOST}:{one.port}", None))
            assert tunnels.echoes(held[-1])
        after = settled(one.pids())
        alive = sum(tunnels.echoes(sock) for sock in held[::50])
    finally:
        for sock in held:
            sock.close()
        one.stop()
    assert alive == len(held[::50]), f"{one.name}: only {alive} of {len(held[::50])} answer"
    return (after - before) / count


def main():
    parser = argparse.ArgumentParser(description="Bytes of an idle WebSocket tunnel.")
    parser.add_argument("--tunnels", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sluice", default=bench.default_sluice())
    options = parser.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    count = min(options.tunnels, (limit - 1500) // 2)
    found = {}
    with tempfile.TemporaryDirectory() as folder, socket.create_server((contenders.HOST, 0), backlog=4096) as listener:
        far = multiprocessing.get_context("fork").Process(target=tunnels.serve, args=(listener,), daemon=True)
        far.start()
        try:
            for _ in range(options.rounds):
                for one in gateways(options.sluice):
                    found.setdefault(f"{one.name} ({one.version()})", []).append(
                        measure(one, folder, listener.getsockname()[1], count))
        finally:
            far.kill()
            far.join()
    print(f"bytes an idle tunnel, {count} of them")
    for name, figures in found.items():
        print(f"{name}: {statistics.median(figures):.0f}  (rounds: {', '.join(f'{figure:.0f}' for figure in figures)})")


if __name__ == "__main__":
    main()
