#!/usr/bin/env python3
"""Instructions in user space that a kept-alive GET of 1 KiB takes, by valgrind's callgrind.

They do not depend on who else uses the machine, so that a small gain or loss shows at once. What
the kernel does is not in them: see "make bench" for that. 64 connections send together and wait
together. Two runs of different length are subtracted, which leaves no start and no end in the result.

    test/bench/instructions.py [--functions 25] [--only sluice] [--sluice PATH]
"""

import argparse
import glob
import os
import re
import resource
import socket
import subprocess
import tempfile

import bench
import contenders

BATCH = 64
SHORT, LONG = 20, 120  # batches
PATIENCE_S = 60


def ask_batches(port, batches, fields):
    """The same connections ask together, again and again."""
    request = f"GET /1k HTTP/1.1\r\nHost: bench.example\r\n{fields}\r\n".encode()
    opened = [socket.create_connection((contenders.HOST, port), timeout=60) for _ in range(BATCH)]
    for _ in range(batches):
        for connection in opened:
            connection.sendall(request)
        for connection in opened:
            if not contenders.read_answer(connection):
                raise RuntimeError("a request was not answered")
    for connection in opened:
        connection.close()


def count(contender, folder, origin, batches, fields):
    """Instructions of one run from start to end, and the files that tell where they were spent."""
    pattern = os.path.join(folder, f"{contender.name}.{batches}")
    contender.start(folder, bench.gateway_cpu(), origin.port,
                    before=["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={pattern}.%p"])
    try:
        ask_batches(contender.port, batches, fields)
    finally:
        contender.stop(PATIENCE_S)
    files = glob.glob(pattern + ".*")
    total = 0
    for file in files:
        with open(file, encoding="utf-8", errors="replace") as dump:
            total += sum(int(n) for n in re.findall(r"^totals: (\d+)", dump.read(), re.M))
    return total, files


def functions(files, most):
    """The functions that take most, as callgrind_annotate prints them."""
    biggest = max(files, key=os.path.getsize)
    told = subprocess.run(["callgrind_annotate", "--auto=no", biggest], capture_output=True, text=True, check=True)
    lines = re.findall(r"^ *([\d,]+) \(\s*([\d.]+%)\)\s+(.*)$", told.stdout, re.M)
    found = []
    for instructions, share, place in lines[1:most + 1]:
        name = re.sub(r".*?([^/:]+):(\S+).*", r"\2  \1", place)
        found.append(f"{int(instructions.replace(',', '')) / (LONG * BATCH):9.1f}  {share:>7}  {name}")
    return found


def main():
    parser = argparse.ArgumentParser(description="Instructions of a request in user space, by callgrind.")
    parser.add_argument("--sluice", metavar="PATH", default=bench.default_sluice())
    parser.add_argument("--only", type=lambda text: text.split(","), default=["sluice", "nginx", "haproxy"])
    parser.add_argument("--functions", type=int, default=0, metavar="N", help="also the N most expensive functions")
    parser.add_argument("--token", action="store_true", help="send the token that sluice-plugins asks for")
    options = parser.parse_args()
    if "sluice-plugins" in options.only:
        options.token = True
    fields = f"Authorization: Bearer {contenders.token()}\r\n" if options.token else ""
    # callgrind keeps room for as many descriptors as there may be.
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        os.chmod(folder, 0o755)
        origin = contenders.Origin(folder, bench.load_cpu())
        try:
            for contender in contenders.everyone(options.sluice):
                if contender.name not in options.only or not contender.binary:
                    continue
                short, _ = count(contender, folder, origin, SHORT, fields)
                long, files = count(contender, folder, origin, LONG, fields)
                print(f"{contender.name}: {(long - short) / ((LONG - SHORT) * BATCH):,.0f} instructions a request")
                print("\n".join(functions(files, options.functions)), end="\n" if options.functions else "")
        finally:
            origin.stop()


if __name__ == "__main__":
    main()
