#!/usr/bin/env python3
"""Instructions in user space that a GET of 1 KiB takes over HTTP/2, by valgrind's callgrind.

As instructions.py, with h2load for a client: 16 connections with 32 streams each, without TLS, to an
upstream of HTTP/1.1. Two runs of different length are subtracted.

    test/bench/h2_instructions.py [--only sluice] [--sluice PATH]
"""

import argparse
import glob
import os
import re
import resource
import subprocess
import tempfile

import bench
import contenders
import guard
import machine

SHORT, LONG = 2048, 8192  # requests
PATIENCE_S = 60


def load(port, requests, connections, streams):
    """h2load's count of answers of 2xx."""
    told = subprocess.run(["h2load", "-n", str(requests), "-c", str(connections), "-m", str(streams),
                           f"http://{contenders.HOST}:{port}/1k"], capture_output=True, text=True, check=False)
    return int((re.findall(r"status codes: (\d+) 2xx", told.stdout) or ["0"])[0])


class OverHttp2(contenders.Contender):
    """The same gateway with HTTP/2 on its port; what it serves is asked over HTTP/2 too."""

    def __init__(self, name, binary, file, template, command):
        super().__init__(name, binary, file, template, command, "")

    def start(self, folder, cpu, origin_port, connections=2048, before=()):
        contenders.serves, before_this = lambda port: load(port, 1, 1, 1) == 1, contenders.serves
        try:
            super().start(folder, cpu, origin_port, connections, before)
        finally:
            contenders.serves = before_this


def over_http2(contender):
    template = (contender.template.replace("reuseport backlog", "http2 reuseport backlog")
                .replace("bind {host}:{port}", "bind {host}:{port} proto h2") if contender.name != "sluice"
                else contender.template)
    return OverHttp2(contender.name, contender.binary, contender.file, template, contender.command)


def count(contender, folder, origin, requests):
    pattern = os.path.join(folder, f"{contender.name}.{requests}")
    contender.start(folder, bench.gateway_cpu(), origin.port,
                    before=["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={pattern}.%p"])
    try:
        answered = load(contender.port, requests, 16, 32)
    finally:
        contender.stop(PATIENCE_S)
    if answered != requests:
        raise RuntimeError(f"{contender.name} answered {answered} of {requests}")
    return sum(int(n) for file in glob.glob(pattern + ".*")
               for n in re.findall(r"^totals: (\d+)", machine.read(file), re.M))


def main():
    parser = argparse.ArgumentParser(description="Instructions of a request over HTTP/2, by callgrind.")
    parser.add_argument("--sluice", metavar="PATH", default=bench.default_sluice())
    parser.add_argument("--only", type=lambda text: text.split(","), default=["sluice", "nginx", "haproxy"])
    options = parser.parse_args()
    os.environ["GLIBC_TUNABLES"] = guard.SAME_EVERYWHERE
    # callgrind keeps room for as many descriptors as there may be.
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        os.chmod(folder, 0o755)
        origin = contenders.Origin(folder, bench.load_cpu())
        try:
            for contender in contenders.everyone(os.path.abspath(options.sluice)):
                if contender.name not in options.only or not contender.binary:
                    continue
                short, long = (count(over_http2(contender), folder, origin, n) for n in (SHORT, LONG))
                print(f"{contender.name}: {(long - short) / (LONG - SHORT):,.0f} instructions a request")
        finally:
            origin.stop()


if __name__ == "__main__":
    main()
