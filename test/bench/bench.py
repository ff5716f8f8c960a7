#!/usr/bin/env python3
"""Compare sluice with nginx and HAProxy: CPU time, speed and memory for the same work on one machine.

Each gateway runs one worker on the first CPU; the load and the upstream share the last one; all of it
stays on 127.0.0.1. All gateways of a case are up; they are asked in turns, for a moment each, so that what
the machine does slowly meets all of them. A table goes to standard output and, with every single figure
beside it as JSON, to test/bench/results/.

    test/bench/bench.py [--rounds 15] [--seconds 2] [--only keepalive-64,idle] [--sluice PATH]
"""

import argparse
import os
import re
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import contenders
import machine
import report

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CPUS = os.sched_getaffinity(0)  # before this program keeps to one of them
WARM_S = 1
IDLE_CONNECTIONS = 15000
FEW_CONNECTIONS = 64  # what "hardly any" means when a start-up reservation is measured
IDLE_ROUNDS = 3
SETTLE_S = 2
QUIET_CORES = 0.2
FOREIGN_CORES = 0.15
RST_ON_CLOSE = struct.pack("ii", 1, 0)
UNIT_US = {"us": 1, "ms": 1e3, "s": 1e6, "m": 60e6}


@dataclass
class Case:
    """One kind of load, or the idle one, which has no path."""
    name: str
    title: str
    path: str = ""
    connections: int = 64
    extra: tuple = ()
    only: tuple = ("sluice", "nginx", "haproxy")
    rate: int = 0  # requests a second, whatever the answers do; 0: as many as are answered

    def load(self, port, seconds):
        """The command; pace is a program of this folder."""
        if self.rate:
            return ["pace", str(port), self.path, str(self.connections), str(self.rate), str(seconds)]
        return ["wrk", "-t1", f"-c{self.connections}", f"-d{seconds}s", "--latency", "--timeout", "10s", *self.extra,
                f"http://{contenders.HOST}:{port}{self.path}"]


ALL = ("sluice", "sluice-pgo", "nginx", "haproxy", "relay")
CASES = [
    Case("keepalive-64", "GET 1 KiB, 64 kept connections", "/1k", 64, only=ALL),
    Case("keepalive-512", "GET 1 KiB, 512 kept connections", "/1k", 512, only=ALL),
    Case("paced-10k", "GET 1 KiB, 64 kept connections, 10,000 requests/s offered", "/1k", 64, only=ALL, rate=10000),
    Case("bulk-64k", "GET 64 KiB, 32 kept connections", "/64k", 32),
    Case("bulk-1m", "GET 1 MiB, 32 kept connections", "/1m", 32),
    Case("new-connection", "GET 1 KiB, a new connection for each request, 64 at once", "/1k", 64,
         ("-H", "Connection: close")),
    Case("plugins", "GET 1 KiB with a token, 64 kept connections; request_id, jwt_auth (cached token), rate_limit "
         "(local), circuit_breaker and tracing (1 %) against the bare proxy", "/1k", 64,
         ("-H", "Authorization: Bearer " + contenders.token()), ("sluice", "sluice-plugins", "nginx")),
    Case("idle", f"Idle kept connections, {IDLE_CONNECTIONS:,} of them, one answered request each"),
]


def gateway_cpu():
    return min(CPUS)


def load_cpu():
    return max(CPUS)


def default_sluice():
    return os.environ.get("SLUICE", os.path.join(ROOT, "build", "release", "sluice"))


def read_wrk(text):
    """What wrk reports, as numbers."""
    latency = {share: float(value) * UNIT_US[unit]
               for share, value, unit in re.findall(r"^\s+(\d+)%\s+([\d.]+)(us|ms|s|m)$", text, re.M)}
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return {
        "requests": int(re.search(r"(\d+) requests in", text)[1]),
        "per_second": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
        "p50_us": latency["50"],
        "p99_us": latency["99"],
        "errors": sum(map(int, errors.groups())) if errors else 0,
        "refused": int(refused[1]) if refused else 0,
    }


def read_pace(text):
    told = {name: int(value) for name, value in (line.split() for line in text.splitlines())}
    return {**told, "per_second": told["requests"] / told["took_us"] * 1e6, "refused": 0}


def run_load(command, cpu):
    return subprocess.run(command, capture_output=True, text=True, check=True,
                          preexec_fn=lambda: contenders.pin(cpu)).stdout


def open_idle(port, count):
    """Connections on which one request has been answered; they close by reset and leave nothing waiting."""
    opened = []
    for _ in range(count):
        connection = socket.create_connection((contenders.HOST, port), timeout=10)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
        opened.append(connection)
        if not contenders.get(connection, "/1k"):
            raise RuntimeError(f"connection {len(opened)} got no answer")
    return opened


def close_all(connections):
    for connection in connections:
        connection.close()


class Bench:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.gateway_cpu, self.load_cpu = gateway_cpu(), load_cpu()
        contenders.pin(self.load_cpu)
        self.origin = contenders.Origin(folder, self.load_cpu)
        self.pace = contenders.compiled("pace", folder)
        others = [contenders.trained(options.pgo), contenders.relay(folder)]
        self.contenders = [c for c in contenders.everyone(options.sluice) + others if self.is_there(c)]

    def is_there(self, contender):
        if not contender.binary:
            print(f"{contender.name}: not found, left out", file=sys.stderr)
        return bool(contender.binary)

    def start(self, contender, connections=2048):
        contender.start(self.folder, self.gateway_cpu, self.origin.port, connections)

    def ask(self, case, contender, seconds):
        command = case.load(contender.port, seconds)
        if command[0] == "pace":
            return read_pace(run_load([self.pace, *command[1:]], self.load_cpu))
        return read_wrk(run_load(command, self.load_cpu))

    def measure_load(self, case, contender):
        """One round of one gateway under load."""
        with machine.Watch(contender.pids(), [self.origin.pid]) as watch:
            figures = self.ask(case, contender, self.options.seconds)
        requests = max(1, figures["requests"])
        return {"cpu_us": watch.cpu_ns / 1e3 / requests, "user_us": watch.user_ns / 1e3 / requests, **figures,
                "cores": watch.cores, "foreign": watch.foreign}

    def measure_idle(self, contender):
        """Bytes a connection, by growth and with what a start for so many reserves."""
        self.start(contender, FEW_CONNECTIONS)
        try:
            contenders.serves(contender.port)
            _, small = machine.memory_bytes(contender.pids())
        finally:
            contender.stop()
        self.start(contender, IDLE_CONNECTIONS + 100)
        held = []
        try:
            contenders.serves(contender.port)
            pss_before, own_before = machine.memory_bytes(contender.pids())
            with machine.Watch(contender.pids(), [self.origin.pid]) as watch:
                held = open_idle(contender.port, IDLE_CONNECTIONS)
                time.sleep(SETTLE_S)
            pss, own = machine.memory_bytes(contender.pids())
            still = sum(contenders.get(connection, "/1k") for connection in held[::100])
        finally:
            close_all(held)
            contender.stop()
        count = len(held)
        return {"grown": (own - own_before) / count, "all_in": (own - small) / count,
                "pss_grown": (pss - pss_before) / count, "errors": len(held[::100]) - still, "foreign": watch.foreign}

    def measure(self, case, contender):
        """One round; one that others disturbed is done again, a few times."""
        for left in range(self.options.retries, -1, -1):
            machine.wait_quiet(QUIET_CORES, self.options.quiet)
            figures = self.measure_load(case, contender) if case.path else self.measure_idle(contender)
            # Memory does not depend on who else runs.
            figures["disturbed"] = bool(case.path) and figures["foreign"] > FOREIGN_CORES
            print(f"  {contender.name}: " + " ".join(
                f"{name}={value:.2f}" for name, value in figures.items() if isinstance(value, float)) +
                (" (disturbed)" if figures["disturbed"] else ""), file=sys.stderr)
            if not figures["disturbed"]:
                break
            if left:
                print("  again", file=sys.stderr)
        return figures

    def run(self, case):
        """All rounds of a case: {name: [figures, ...]}. Who comes first changes with every round."""
        meeting = [contender for contender in self.contenders if contender.name in case.only]
        rounds = {contender.name: [] for contender in meeting}
        up = meeting if case.path else []
        try:
            for contender in up:
                self.start(contender)
                self.ask(case, contender, WARM_S)
            for number in range(self.options.rounds if case.path else IDLE_ROUNDS):
                print(f"{case.name}, round {number + 1}", file=sys.stderr)
                shift = number % len(meeting)
                for contender in meeting[shift:] + meeting[:shift]:
                    rounds[contender.name].append(self.measure(case, contender))
        finally:
            for contender in up:
                if contender.process:
                    contender.stop()
        return rounds

    def describe(self):
        wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
        return {
            "date": time.strftime("%Y-%m-%d %H:%M %Z"),
            **machine.describe(),
            "CPUs": f"gateway on {self.gateway_cpu}, wrk and the upstream on {self.load_cpu}",
            **{contender.name: contender.version() for contender in self.contenders},
            "wrk": (wrk.stdout + wrk.stderr).splitlines()[0],
            "command": " ".join(["test/bench/bench.py", *sys.argv[1:]]),
            "rounds": f"{self.options.rounds} of {self.options.seconds} s, gateways in turns",
        }

    def settings(self):
        values = {"folder": "FOLDER", "port": "PORT", "origin": "ORIGIN", "files": "FILES", "collector": "COLLECTOR", "connections": 2048,
                  "slots": 3148}
        return {contender.file: contender.config(**values).strip() for contender in self.contenders if contender.template}


def parse_options():
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(description="Compare sluice with nginx and HAProxy.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=2, help="of load in each round")
    parser.add_argument("--only", type=lambda text: text.split(","), default=names, help="of " + ",".join(names))
    parser.add_argument("--sluice", metavar="PATH", default=default_sluice())
    parser.add_argument("--pgo", metavar="PATH", default=os.path.join(ROOT, "build", "release-pgo-lto", "sluice"),
                        help="measured beside it where it exists: what `make pgo` builds")
    parser.add_argument("--quiet", type=int, default=10, help="seconds to wait for a quiet machine before a round")
    parser.add_argument("--retries", type=int, default=1, help="of a round that others disturbed")
    parser.add_argument("--results", metavar="DIR", default=os.path.join(HERE, "results"))
    options = parser.parse_args()
    unknown = set(options.only) - set(names)
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return options


def main():
    options = parse_options()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        os.chmod(folder, 0o755)
        bench = Bench(options, folder)
        try:
            results = {case.name: {"title": case.title, "command": " ".join(case.load("PORT", options.seconds)),
                                   "rounds": bench.run(case)} for case in CASES if case.name in options.only}
        finally:
            bench.origin.stop()
        report.write(options.results, bench.describe(), bench.settings(), results)


if __name__ == "__main__":
    main()
