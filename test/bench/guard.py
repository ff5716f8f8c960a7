#!/usr/bin/env python3
"""Fail when a proxied GET takes more instructions than it did, or an idle connection or tunnel more bytes.

    test/bench/guard.py [--sluice PATH] [--write]

The figures are in guard.json, with what they were made by; --write measures and puts them there, which
belongs into the commit that changes them, with its reason. What is compared is the same on every
machine: instructions of the worker's thread alone by callgrind, one request after the other, the end of
a short run subtracted from a long one, with the C library told to leave out what only some processors
have; and bytes that grow from few to many idle connections or tunnels, without huge pages.

More than 5 % above the figure fails. With the figures' own compiler, runs differ by less than half a
percent; another one, or a processor without AVX2, is told, and fails from 20 % on.
"""

import argparse
import ctypes
import glob
import json
import multiprocessing
import os
import re
import resource
import subprocess
import sys
import tempfile
import time

import bench
import contenders
import machine

sys.path.insert(0, os.path.join(bench.ROOT, "test", "support"))
import tunnels  # noqa: E402

FIGURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guard.json")
SHORT, LONG = 200, 1200  # requests
MANY = 14000  # connections; the first seventh of them is what memory is compared with
TUNNELS = 7000  # the same
LIMIT, LIMIT_ELSEWHERE = 0.05, 0.20
PATIENCE_S = 120
PR_SET_THP_DISABLE = 41
SAME_EVERYWHERE = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-ERMS,-FSRM,-RTM"


def request_of(contender, path="/1k"):
    fields = f"Authorization: Bearer {contenders.token()}\r\n" if contender.name == "sluice-plugins" else ""
    return f"GET {path} HTTP/1.1\r\nHost: bench.example\r\n{fields}\r\n".encode()


def ask(port, count, request):
    connection = contenders.socket.create_connection((contenders.HOST, port), timeout=PATIENCE_S)
    for _ in range(count):
        connection.sendall(request)
        if not contenders.read_answer(connection):
            raise RuntimeError("a request was not answered")
    connection.close()


def by_thread(contender, folder, origin, count, request):
    """Instructions of each thread of the gateway from its start to its end."""
    pattern = os.path.join(folder, f"{contender.name}.{count}")
    contender.start(folder, bench.gateway_cpu(), origin.port, before=[
        "valgrind", "--quiet", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={pattern}"])
    try:
        ask(contender.port, count, request)
    finally:
        contender.stop(PATIENCE_S)
    return {file[len(pattern):]: sum(int(n) for n in re.findall(r"^totals: (\d+)", machine.read(file), re.M))
            for file in glob.glob(pattern + "*")}


def instructions(contender, folder, origin, path="/1k", warm=0):
    """Of one request: those of the thread that a longer run kept busiest, which is the worker. warm: first requests
    that do not count."""
    short, long = (by_thread(contender, folder, origin, warm + count, request_of(contender, path))
                   for count in (SHORT, LONG))
    grown = [long[thread] - short[thread] for thread in long if thread in short]
    return round(max(grown) / (LONG - SHORT))


def own_bytes(contender):
    return machine.memory_bytes(contender.pids())[1]


def idle_bytes(contender, folder, origin, files):
    """Of one idle connection that has had a request answered."""
    many = min(MANY, files - 1000)
    few = many // 7
    contender.start(folder, bench.gateway_cpu(), origin.port, many + 100)
    held = []
    try:
        held += bench.open_idle(contender.port, few)
        time.sleep(bench.SETTLE_S)
        before = own_bytes(contender)
        held += bench.open_idle(contender.port, many - few)
        time.sleep(bench.SETTLE_S)
        return round((own_bytes(contender) - before) / (many - few))
    finally:
        bench.close_all(held)
        contender.stop()


def tunnel_bytes(contender, folder, files):
    """Of both sides of one idle tunnel over which a frame went there and back."""
    many = min(TUNNELS, (files - 1000) // 2)
    held = []

    def hold(count):
        while len(held) < count:
            held.append(tunnels.open_tunnel(f"{contenders.HOST}:{contender.port}", None))
            assert tunnels.echoes(held[-1])
        time.sleep(bench.SETTLE_S)
        return own_bytes(contender)

    with contenders.socket.create_server((contenders.HOST, 0), backlog=4096) as listener:
        far = multiprocessing.get_context("fork").Process(target=tunnels.serve, args=(listener,), daemon=True)
        far.start()
        contender.start(folder, bench.gateway_cpu(), listener.getsockname()[1], 2 * many + 100)
        try:
            before = hold(many // 7)
            return round((hold(many) - before) / (many - many // 7))
        finally:
            bench.close_all(held)
            contender.stop()
            far.kill()
            far.join()


def measure(sluice):
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    os.environ["GLIBC_TUNABLES"] = SAME_EVERYWHERE
    ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
    everyone = {contender.name: contender for contender in contenders.everyone(sluice)}
    with tempfile.TemporaryDirectory(prefix="sluice-guard-") as folder:
        os.chmod(folder, 0o755)
        # callgrind keeps room for as many descriptors as there may be.
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, files))
        origin = contenders.Origin(folder, bench.load_cpu())
        try:
            found = {"instructions a GET": instructions(everyone["sluice"], folder, origin),
                     "instructions a GET with plugins": instructions(everyone["sluice-plugins"], folder, origin)}
        finally:
            origin.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        origin = contenders.Origin(folder, bench.load_cpu())
        try:
            found["bytes an idle connection"] = idle_bytes(everyone["sluice"], folder, origin, files)
        finally:
            origin.stop()
        found["bytes an idle tunnel"] = tunnel_bytes(contenders.logging(sluice), folder, files)
    return found


def has_avx2():
    """The scan of heads takes it where it is, and fewer instructions then."""
    return re.search(r"^flags\s*:.* avx2\b", machine.read("/proc/cpuinfo"), re.M) is not None


def first_line(*command):
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return (told.stdout + told.stderr).partition("\n")[0]


def compiler_of(sluice):
    """What the binary says it was compiled by: "GCC: (Debian 12.2.0-14) 12.2.0"."""
    told = subprocess.run(["readelf", "-p", ".comment", sluice], capture_output=True, text=True, check=False).stdout
    return re.findall(r"\]\s+(.*)", told)[-1].strip() if "]" in told else "unknown"


def compare(kept, found, limit):
    """Lines about each figure; those that fail begin with FAILED."""
    lines = []
    for name, number in found.items():
        was = kept[name]
        text = f"{name}: {number:,}, kept {was:,} ({(number / was - 1) * 100:+.1f} %)"
        if number > was * (1 + limit):
            text = f"FAILED {text}: more than {limit * 100:.0f} % above"
        elif number < was * (1 - LIMIT):
            text += "; less by far: keep it by test/bench/guard.py --write"
        lines.append(text)
    return lines


def main():
    parser = argparse.ArgumentParser(description="Compare instructions and bytes with the kept figures.")
    parser.add_argument("--sluice", metavar="PATH", default=bench.default_sluice())
    parser.add_argument("--write", action="store_true", help="keep what is measured now")
    options = parser.parse_args()
    if not contenders.shutil.which("valgrind"):
        print("GUARD SKIPPED: there is no valgrind (scripts/install-deps test): NOTHING was compared", file=sys.stderr)
        return 0
    with open(FIGURES, encoding="utf-8") as file:
        kept = json.load(file)
    compiler = compiler_of(options.sluice)
    found = measure(os.path.abspath(options.sluice))
    if options.write:
        made = {"date": time.strftime("%Y-%m-%d"), "compiler": compiler, "avx2": has_avx2(), "valgrind": first_line("valgrind", "--version"),
                **machine.describe(), "command": "test/bench/guard.py --write"}
        with open(FIGURES, "w", encoding="utf-8") as file:
            json.dump({"figures": found, "made": made}, file, indent=1)
            file.write("\n")
        print("\n".join(f"{name}: {number:,}" for name, number in found.items()))
        return 0
    is_same = compiler == kept["made"]["compiler"] and has_avx2() == kept["made"]["avx2"]
    lines = compare(kept["figures"], found, LIMIT if is_same else LIMIT_ELSEWHERE)
    print("guard: " + "\nguard: ".join(lines))
    if not is_same:
        print(f"guard: by {compiler}, {'with' if has_avx2() else 'without'} AVX2; the figures by "
              f"{kept['made']['compiler']}, {'with' if kept['made']['avx2'] else 'without'}")
    return 1 if any(line.startswith("FAILED") for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
