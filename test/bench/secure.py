#!/usr/bin/env python3
"""CPU time of requests over TLS and HTTP/2 and of TLS handshakes, in sluice, nginx and HAProxy.

Each gateway has one worker on the first CPU and no access log; the load and the upstream, which speaks HTTP/1.1, share the
last one. The gateways take turns in every round. TLS is 1.3 with an ECDSA P-256 certificate.

    test/bench/secure.py [--rounds 5] [--seconds 2] [--only h2-tls,full] [--sluice PATH]
"""

import argparse
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import tempfile

import bench
import contenders
import idle
import machine

sys.path.insert(0, os.path.join(bench.ROOT, "test", "support"))
from pki import Pki  # noqa: E402

HANDSHAKES = 500
STREAMS = ["-c16", "-m32"]
PLAN = {"h1-tls": "GET 1 KiB over TLS, 64 kept connections", "h2": "GET 1 KiB over HTTP/2, 16 connections of 32 streams",
        "h2-tls": "the same over TLS", "full": "a connection with a full handshake and a GET",
        "resumed": "a connection that resumes a session, and a GET"}
KINDS = {kind.name: kind for kind in idle.KINDS}


def kind_of(case):
    return KINDS.get(case, KINDS["h1-tls"])


def wrk(port, seconds):
    told = bench.read_wrk(bench.run_load(["wrk", "-t1", "-c64", f"-d{seconds}s", "--latency", "--timeout", "10s",
                                         f"https://{contenders.HOST}:{port}/1k"], bench.load_cpu()))
    if told["errors"] or told["refused"]:
        raise RuntimeError(f"not all was answered: {told}")
    return told["requests"]


def h2load(port, requests, tls):
    told = subprocess.run(["h2load", "-n", str(requests), *STREAMS, f"http{'s' if tls else ''}://{contenders.HOST}:{port}/1k"],
                          capture_output=True, text=True, check=True).stdout
    if int(re.search(r"status codes: (\d+) 2xx", told)[1]) != requests:
        raise RuntimeError(f"not all was answered: {told}")
    return requests


def shake(port, context, session):
    """One connection with one GET; returns the session that the next one may resume."""
    sock = socket.create_connection((contenders.HOST, port), timeout=30)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, idle.LINGER_OFF)
    with context.wrap_socket(sock, server_hostname=idle.NAME, session=session) as secure:
        assert contenders.get(secure, "/1k") and secure.session_reused == (session is not None)
        return secure.session


def handshakes(port, context, resumes):
    session = shake(port, context, None) if resumes else None
    for _ in range(HANDSHAKES):
        shake(port, context, session)
    return HANDSHAKES


def load(case, port, context, options):
    if case == "h1-tls":
        return wrk(port, options.seconds)
    if case in ("h2", "h2-tls"):
        return h2load(port, 20000 * options.seconds, case == "h2-tls")
    return handshakes(port, context, case == "resumed")


def measure(case, one, folder, origin, pki, options):
    """CPU us of the gateway for one of them, and what others used of the machine meanwhile."""
    port, pair, kind = contenders.free_port(), pki.make(idle.NAME, idle.NAME), kind_of(case)
    context = pki.client()
    context.set_alpn_protocols([kind.alpn] if kind.alpn else [])
    pair["pem"] = os.path.join(folder, "both.pem")
    with open(pair["pem"], "w", encoding="ascii") as out:
        out.write(machine.read(pair["cert"]) + machine.read(pair["key"]))
    kind.configure(one, port, pair)
    one.start(folder, bench.gateway_cpu(), origin.port)
    try:
        load(case, port, context, argparse.Namespace(seconds=1))
        machine.wait_quiet(bench.QUIET_CORES, options.quiet)
        with machine.Watch(one.pids(), [origin.pid]) as watch:
            count = load(case, port, context, options)
        return watch.cpu_ns / 1e3 / count, watch.foreign
    finally:
        one.stop()


def tell(case, found):
    print(f"\n{case}: {PLAN[case]}; CPU us each, median (every round)")
    medians = {name: statistics.median(cpu for cpu, _ in rounds) for name, rounds in found.items()}
    for name, rounds in found.items():
        print(f"  {name}: {medians[name]:.1f} ({' '.join(f'{cpu:.1f}' for cpu, _ in rounds)})")
    peers = [value for name, value in medians.items() if name != "sluice"]
    if peers:
        print(f"  ratio to the better peer: {medians['sluice'] / min(peers):.2f}; others used up to "
              f"{max(foreign for rounds in found.values() for _, foreign in rounds):.2f} CPUs", flush=True)


def main():
    parser = argparse.ArgumentParser(description="CPU time over TLS and HTTP/2, and of handshakes.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--quiet", type=int, default=5, help="seconds to wait for a quiet machine before a round")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PLAN), help="of " + ",".join(PLAN))
    parser.add_argument("--sluice", metavar="PATH", default=bench.default_sluice())
    options = parser.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    contenders.pin(bench.load_cpu())
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        pki, origin = Pki(folder), contenders.Origin(folder, bench.load_cpu())
        try:
            for case in options.only:
                found = {}
                for number in range(options.rounds):
                    meeting = [one for one in contenders.everyone(os.path.abspath(options.sluice))
                               if one.name != "sluice-plugins" and one.binary]
                    shift = number % len(meeting)
                    for one in meeting[shift:] + meeting[:shift]:
                        found.setdefault(one.name, []).append(measure(case, one, folder, origin, pki, options))
                tell(case, found)
        finally:
            origin.stop()


if __name__ == "__main__":
    main()
