#!/usr/bin/env python3
"""Bytes of user memory that an idle WebSocket tunnel takes, both sides together, in sluice, nginx and HAProxy.

With --h2 the client's side of each is a stream of HTTP/2 (RFC 8441), a hundred on a connection; nginx has none.

Each gateway has one worker. A tunnel is opened, a frame goes there and back, then nothing more is said. Memory is what no
other process shares, before and after; it does not depend on who else uses the machine.

    test/bench/tunnels.py [--tunnels 6000] [--rounds 3] [--h2] [--sluice PATH]
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
import h2_client  # noqa: E402
import tunnels  # noqa: E402

STREAMS = 100  # of a connection

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


class Stream:
    """A tunnel that is a stream of a connection."""

    def __init__(self, client):
        self.client = client
        self.id = client.ask("CONNECT", "/ws", [("sec-websocket-version", "13")], end=False, authority="www.test",
                             pseudo=[(":protocol", "websocket")])
        client.wait(lambda: client.answers[self.id].status is not None, "the head")
        assert client.answers[self.id].status == 200, client.answers[self.id]

    def echoes(self):
        answer = self.client.answers[self.id]
        sent, had = tunnels.frame(os.urandom(32)), len(answer.body)
        self.client.send_body(self.id, sent, end=False)
        self.client.wait(lambda: len(answer.body) >= had + len(sent), "the echo")
        return answer.body[had:] == sent

    def close(self):
        self.client.sock.close()


class Connection:
    """A tunnel that is a connection."""

    def __init__(self, address):
        self.sock = tunnels.open_tunnel(address, None)

    def echoes(self):
        return tunnels.echoes(self.sock)

    def close(self):
        self.sock.close()


def open_tunnel(address, held, h2):
    """One more than those."""
    if not h2:
        return Connection(address)
    if len(held) % STREAMS > 0:
        return Stream(held[-1].client)
    client = h2_client.H2Client(address)
    client.wait(lambda: client.settings.get(8) == 1, "tunnels by HTTP/2")
    return Stream(client)


def measure(one, folder, origin, count, h2):
    one.start(folder, bench.gateway_cpu(), origin, 2 * count + 100)  # nginx counts both sides
    held = []
    try:
        before = settled(one.pids())
        for _ in range(count):
            held.append(open_tunnel(f"{contenders.HOST}:{one.port}", held, h2))
            assert held[-1].echoes()
        after = settled(one.pids())
        alive = sum(tunnel.echoes() for tunnel in held[::50])
    finally:
        for tunnel in held:
            tunnel.close()
        one.stop()
    assert alive == len(held[::50]), f"{one.name}: only {alive} of {len(held[::50])} answer"
    return (after - before) / count


def main():
    parser = argparse.ArgumentParser(description="Bytes of an idle WebSocket tunnel.")
    parser.add_argument("--tunnels", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--h2", action="store_true", help="streams of HTTP/2 on the client's side")
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
                for one in gateways(os.path.abspath(options.sluice)):
                    if options.h2 and one.name == "nginx":
                        continue
                    found.setdefault(f"{one.name} ({one.version()})", []).append(
                        measure(one, folder, listener.getsockname()[1], count, options.h2))
        finally:
            far.kill()
            far.join()
    print(f"bytes an idle tunnel, {count} of them")
    for name, figures in found.items():
        print(f"{name}: {statistics.median(figures):.0f}  (rounds: {', '.join(f'{figure:.0f}' for figure in figures)})")


if __name__ == "__main__":
    main()
