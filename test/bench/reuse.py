#!/usr/bin/env python3
"""How many more connections do workers make because each keeps its own?

Many endpoints, few requests a second, each on a client connection of its own so that every worker gets its
share; an idle connection is kept for some seconds only. With one pool for all workers the first row would hold
for all of them.

    test/bench/reuse.py [--endpoints 50] [--rate 100] [--idle 2] [--seconds 12] [--workers 1 2 4]
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

from gateway import DEFAULT_BINARY, Gateway  # noqa: E402


async def answer(reader, writer):
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def ask(host, port):
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET / HTTP/1.1\r\nHost: bench.example\r\nConnection: close\r\n\r\n")
    await reader.read()
    writer.close()


async def ask_at(address, rate, seconds):
    """Poisson arrivals; how many there were."""
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    end, asked = loop.time() + seconds, set()
    count = 0
    while loop.time() < end:
        await asyncio.sleep(random.expovariate(rate))
        task = asyncio.create_task(ask(host, port))
        asked.add(task)
        task.add_done_callback(asked.discard)
        count += 1
    await asyncio.gather(*asked)
    return count


class Endpoints:
    """Servers in a thread with a loop of its own."""

    def __init__(self, number):
        self.loop = asyncio.new_event_loop()
        self.servers = [self.loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", 0)) for _ in range(number)]
        self.addresses = [f"127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in self.servers]
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()


def measure(options, endpoints, workers, folder):
    gateway = Gateway(options.sluice, os.path.join(folder, f"workers{workers}"), {
        "workers": workers, "access_log": {"path": "off"},
        "upstreams": {"app": {"endpoints": endpoints.addresses, "connections": {"idle_timeout": f"{int(options.idle * 1000)}ms"}}},
        "routes": [{"upstream": "app"}]})
    try:
        asyncio.run(ask_at(gateway.address, options.rate, options.idle))  # until the pools are as they will be
        before = gateway.metric("sluice_upstream_connects_total")
        count = asyncio.run(ask_at(gateway.address, options.rate, options.seconds))
        return (gateway.metric("sluice_upstream_connects_total") - before) / count
    finally:
        gateway.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoints", type=int, default=50)
    parser.add_argument("--rate", type=float, default=100, help="requests a second, all together")
    parser.add_argument("--idle", type=float, default=2, help="seconds that an idle connection is kept")
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--sluice", default=DEFAULT_BINARY)
    options = parser.parse_args()
    endpoints = Endpoints(options.endpoints)
    with tempfile.TemporaryDirectory() as folder:
        for workers in options.workers:
            share = measure(options, endpoints, workers, folder)
            print(f"{workers} workers: {share:.1%} of the requests made a connection", flush=True)


if __name__ == "__main__":
    main()
