#!/usr/bin/env python3
"""wrk through sluice to nginx while the configuration is replaced again and again.

Passes when no request failed, no connection was cut, every reload was applied and memory is flat at
the end. A second run ends the gateway by SIGTERM under the same load: every request in flight must
be answered. Prints the figures and PASS or FAIL; exits with 1 on failure.

    test/soak/reload_under_load.py [--seconds 30] [--connections 512] [--rate 10] [--sluice PATH]
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

from gateway import DEFAULT_BINARY, Gateway, json_lines, read_text  # noqa: E402
from nginx import Nginx  # noqa: E402

FLAT_KIB = 4096  # allowed difference of PSS between the warm state and the end


def config(server, number):
    """A configuration that differs from its neighbours in every part that matters to a request."""
    extra = [{"name": f"extra-{n}", "match": {"path": f"/extra/{n}"},
              "respond": {"status": 200}} for n in range(number % 7)]
    return {
        "workers": "auto",
        "access_log": {"path": "access.log", "fields": ["reason", "status"]},
        "drain": {"pause": "0s", "timeout": "20s", "idle": "1s"},
        "upstreams": {"app": {"endpoints": [server.address],
                              "balance": ["round_robin", "least_requests"][number % 2]}},
        "routes": extra + [{"name": f"all-{number % 3}", "match": {"path": "/"}, "upstream": "app"}],
    }


def wrk(address, options):
    return subprocess.Popen(["wrk", "-t2", f"-c{options.connections}", f"-d{options.seconds}s", "--latency",
                             "--timeout", "10s",
                             f"http://{address}/1k.bin"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def errors_of(output):
    """{kind: count} from wrk's report."""
    found = {"connect": 0, "read": 0, "write": 0, "timeout": 0, "status": 0}
    match = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    if match:
        found.update(zip(("connect", "read", "write", "timeout"), map(int, match.groups())))
    match = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    if match:
        found["status"] = int(match[1])
    return found


def reload_at_rate(gateway, server, options, stop, told):
    number = 0
    while not stop.wait(1 / options.rate):
        number += 1
        status, answer = gateway.reload(config(server, number))
        told.append(status)
        if status != 200:
            print(answer)


def ends_of(gateway):
    return {labels["reason"]: int(value) for _, labels,
            value in gateway.metrics().find("sluice_request_ends_total") if value}


def run_reloads(options, folder, server):
    gateway = Gateway(options.sluice, f"{folder}/reloads", config(server, 0))
    try:
        warm = argparse.Namespace(connections=options.connections, seconds=3)
        wrk(gateway.address, warm).communicate()
        gateway.wait_metric(lambda m: m.get("sluice_downstream_connections") == 0)
        before, ends_before = gateway.pss_kib(), ends_of(gateway)
        stop, told = threading.Event(), []
        thread = threading.Thread(target=reload_at_rate, args=(gateway, server, options, stop, told))
        load = wrk(gateway.address, options)
        thread.start()
        output = load.communicate()[0]
        stop.set()
        thread.join()
        gateway.wait_metric(lambda m: m.get("sluice_downstream_connections") == 0)
        time.sleep(1)  # ended connections give their memory back
        after = gateway.pss_kib()
        ends = {reason: count - ends_before.get(reason, 0) for reason, count in ends_of(gateway).items()}
    finally:
        gateway.stop()
    # When its time is over, wrk leaves with its last requests unanswered; at most one a connection.
    left = ends.pop("client_closed", 0) + ends.pop("client_reset", 0)
    failures = errors_of(output)
    print(output)
    print(f"reloads {len(told)} refused {sum(1 for s in told if s != 200)} ends {ends} left at the end {left} "
          f"wrk errors {failures} PSS KiB before {before} after {after}")
    return (not any(failures.values()) and set(ends) == {"completed"} and left <= options.connections
            and told and set(told) == {200} and after - before <= FLAT_KIB)


def run_drain(options, folder, server):
    gateway = Gateway(options.sluice, f"{folder}/drain", config(server, 0))
    try:
        load = wrk(gateway.address, options)
        stop, told = threading.Event(), []
        thread = threading.Thread(target=reload_at_rate, args=(gateway, server, options, stop, told))
        thread.start()
        time.sleep(options.seconds * 0.8)
        stop.set()
        thread.join()
        gateway.drain()
        code = gateway.wait(30)
        output = load.communicate()[0]
    finally:
        gateway.kill()
    reasons = {}
    for line in json_lines(read_text(gateway.access_path)):
        reasons[line["reason"]] = reasons.get(line["reason"], 0) + 1
    failures = errors_of(output)
    # Afterwards nobody listens and wrk cannot connect again, which it counts as connect or write errors.
    refused = failures.pop("connect") + failures.pop("write")
    answered = int(re.search(r"(\d+) requests in", output)[1])
    print(output)
    print(f"SIGTERM: exit code {code} ends {reasons} answers seen by wrk {answered} wrk errors {failures}, "
          f"connects refused afterwards {refused}")
    gateway.check_stderr()
    return code == 0 and not any(failures.values()) and reasons == {"completed": answered}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--connections", type=int, default=512)
    parser.add_argument("--rate", type=float, default=10, help="reloads a second")
    parser.add_argument("--sluice", default=os.environ.get("SLUICE", DEFAULT_BINARY))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sluice-soak-") as folder:
        server = Nginx(f"{folder}/nginx", {"1k.bin": os.urandom(1024)}, log=False)
        try:
            results = {"reloads": run_reloads(options, folder, server), "drain": run_drain(options, folder, server)}
        finally:
            server.stop()
    for name, passed in results.items():
        print(f"{'PASS' if passed else 'FAIL'} {name}")
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
