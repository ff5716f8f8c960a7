#!/usr/bin/env python3
"""Hold many connections through every kind of change, in one process, and lose none.

N connections are opened, one request (or frame) is answered on each, and they are held for a while:
every second the configuration is reloaded, and a plugin's file, the members of the upstream or the
certificate are replaced in turn, while sixteen others ask ten times a second each. Then each is asked
once more. What was lost, answered and used is told on standard output and, as Markdown and JSON, in a
folder. The exit status is 1 when anything was lost, refused or not answered.

    test/scale/scale.py [-n 20000] [--kind plain|ws|tls] [--hold 20] [--results DIR]
    SCALE_GUEST=/path/to/guest-run test/scale/scale.py -n 500000 --hold 600 --memory 12288

A process may have so many open files here as `ulimit -Hn` says: N is cut to what fits, which is told.
With SCALE_GUEST, a program that runs a command in a guest with a kernel of its own, it is not: that
is called as `GUEST -m MIB -t SECONDS -o FOLDER -f FILE... -e NAME=VALUE... -- COMMAND`.
"""

import argparse
import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "test", "bench"))

import machine  # noqa: E402
import plot  # noqa: E402

RESERVE = 800  # descriptors of the gateway that no client has: load, upstream, files
TUNNELS_A_PORT = 20000
CASES = {"plain": "idle kept connections", "ws": "idle WebSocket tunnels", "tls": "idle TLS connections"}


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def compile_tools(folder):
    compiler = [os.environ.get("CC", "cc"), "-O2", "-std=c11", "-D_GNU_SOURCE"]
    for name, libraries in (("far", []), ("holder", ["-lssl", "-lcrypto"])):
        subprocess.run([*compiler, "-o", os.path.join(folder, name), os.path.join(HERE, f"{name}.c"), *libraries],
                       check=True)


def make_certificates(folder):
    for name in ("a", "b"):
        path = os.path.join(folder, name)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "30", "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:scale.example",
                        "-keyout", path + ".key", "-out", path + ".pem"], check=True, capture_output=True)


def collect(sluice, folder):
    """All that the run needs, in one folder."""
    compile_tools(folder)
    make_certificates(folder)
    shutil.copy(sluice, os.path.join(folder, "sluice"))
    shutil.copy(os.path.join(HERE, "run.sh"), folder)
    os.mkdir(os.path.join(folder, "plugins"))
    shutil.copy(os.path.join(os.path.dirname(sluice), "plugins", "headers.so"), os.path.join(folder, "plugins"))


def fitting(options, files):
    """How many connections one gateway can have here."""
    return min(options.n, (files - RESERVE) // (2 if options.kind == "ws" else 1))


def settings(options, n, per_holder, far):
    port, admin = ("8080", "9901") if options.guest else map(str, free_ports(2))
    steps = [step for step in sorted(set(options.steps)) if 0 < step < n] + [n]
    return {"KIND": options.kind, "N": str(n), "A_HOLDER": str(per_holder), "WORKERS": str(options.workers),
            "STEPS": " ".join(map(str, steps)), "PIN": "1" if options.pin else "0", "HOLD": str(options.hold), "BESIDE": str(options.beside), "HERTZ": str(os.sysconf("SC_CLK_TCK")),
            "PORT": port, "ADMIN": admin, "FAR": " ".join(map(str, far))}


def far_ports(options, n):
    count = 2 + (n // TUNNELS_A_PORT if options.kind == "ws" else 0)
    return list(range(20001, 20001 + count)) if options.guest else free_ports(count)


def run_here(folder, out, variables, seconds):
    """The script and all it starts form a group, which ends with it whatever happens."""
    process = subprocess.Popen(["sh", "run.sh"], cwd=folder, env={**os.environ, **variables, "OUT": out},
                               start_new_session=True)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return 124
    finally:
        try:
            os.killpg(process.pid, 15)
        except ProcessLookupError:
            pass
        process.wait()


def run_in_guest(options, folder, out, variables):
    files = [word for name in sorted(os.listdir(folder)) for word in ("-f", os.path.join(folder, name))]
    named = [word for name, value in {**variables, "OUT": "/out"}.items() for word in ("-e", f"{name}={value}")]
    named += [word for one in options.guest_env for word in ("-e", one)]
    return subprocess.run([options.guest, "-m", str(options.memory), "-t", str(options.seconds), "-o", out, *files, *named,
                           "--", "sh", "-c", "mkdir -p /out && sh run.sh"], check=False).returncode


def read_found(out):
    with open(os.path.join(out, "found"), encoding="utf-8") as found:
        return {name: int(value) for name, value in (line.split() for line in found)}


def read_memory(out):
    with open(os.path.join(out, "memory"), encoding="utf-8") as lines:
        rows = [line.split() for line in lines]
    return [{"at_s": int(at), "when": when, "pss_kib": int(pss), "own_kib": int(own), "slab_kib": int(slab)}
            for at, when, pss, own, slab in rows]


def read_curve(out):
    """What a request costs, and what the gateway holds of its own, beside so many idle connections."""
    with open(os.path.join(out, "curve"), encoding="utf-8") as lines:
        rows = [line.split() for line in lines]
    return [{"idle": int(idle), "cpu_us": float(cpu), "bytes": (int(own) - int(rows[0][1])) * 1024 // max(1, int(idle))}
            for idle, own, cpu in rows]


def complaints(n, found):
    """What must not be; empty when all is well."""
    wrong = [f"{name}: {found.get(name)}" for name in ("lost", "reloads_refused", "requests_lost", "exit_status", "errors")
             if found.get(name) != 0]
    wrong += [f"{name}: {found.get(name)} of {n}" for name in ("opened", "answered") if found.get(name) != n]
    wrong += [f"{name}: none" for name in ("reloads", "plugins_replaced", "requests") if not found.get(name)]
    return wrong


def markdown(about, found, curve, memory, wrong):
    first, held = memory[0], [row for row in memory if row["when"] == "held"]
    grown = memory[1]["own_kib"] - first["own_kib"]
    n = max(1, found["opened"])
    lines = [f"# {about['n']:,} {CASES[about['kind']]}, {about['date']}", ""]
    lines += [f"- {name}: {text}" for name, text in about.items() if name not in ("n", "kind", "date")]
    lines += ["", "| found | |", "| --- | ---: |"]
    lines += [f"| {name.replace('_', ' ')} | {value:,} |" for name, value in found.items()]
    lines += [f"| own bytes of the gateway a connection | {grown * 1024 // n:,} |",
              f"| kernel slab a connection, both ends | {(memory[1]['slab_kib'] - first['slab_kib']) * 1024 // n:,} |",
              f"| own memory while held, first to last sample, KiB | {held[0]['own_kib']:,} to {held[-1]['own_kib']:,} |",
              "", "| idle connections | own bytes each | CPU us of a request beside them |", "| ---: | ---: | ---: |"]
    lines += [f"| {row['idle']:,} | {row['bytes']:,} | {row['cpu_us']:,.1f} |" for row in curve]
    lines += ["", "Wrong: " + "; ".join(wrong) + "." if wrong else "Nothing lost, nothing refused.", "",
              "Memory of the gateway (PSS; own: its part without files) and of the kernel (slab), in KiB:", "",
              "| second | when | PSS | own | slab |", "| ---: | --- | ---: | ---: | ---: |"]
    lines += [f"| {row['at_s']} | {row['when']} | {row['pss_kib']:,} | {row['own_kib']:,} | {row['slab_kib']:,} |"
              for row in memory]
    return "\n".join(lines) + "\n"


def draw(path, kind, curve):
    for name, what in (("cpu_us", "CPU \u00b5s a request"), ("bytes", "bytes a connection")):
        points = [(row["idle"], row[name]) for row in curve if row[name] > 0]
        with open(f"{path}-{name.replace('_', '-')}.svg", "w", encoding="utf-8") as out:
            out.write(plot.curve(f"{what} beside {CASES[kind]}", CASES[kind], what, points))


def write(options, about, found, curve, memory, wrong):
    text = markdown(about, found, curve, memory, wrong)
    print(text)
    if not options.results:
        return
    os.makedirs(options.results, exist_ok=True)
    path = os.path.join(options.results, f"{time.strftime('%Y-%m-%d')}-{options.kind}-{about['n']}")
    with open(path + ".md", "w", encoding="utf-8") as out:
        out.write(text)
    with open(path + ".json", "w", encoding="utf-8") as out:
        json.dump({"about": about, "found": found, "curve": curve, "memory": memory, "wrong": wrong}, out, indent=1)
    if len(curve) > 2:
        draw(path, options.kind, curve)
    print(f"written: {os.path.relpath(path)}.md and .json", file=sys.stderr)


def describe(options, n):
    version = subprocess.run([options.sluice, "version"], capture_output=True, text=True, check=True).stdout.strip()
    return {"n": n, "kind": options.kind, "date": time.strftime("%Y-%m-%d"), "gateway": f"{version}, {options.workers} workers",
            **machine.describe(), "where": "a guest with its own kernel, emulated: times say nothing" if options.guest else "here",
            "held": f"{options.hold} s; a reload a second, and in turn a plugin, members, a certificate replaced",
            "command": " ".join(["test/scale/scale.py", *sys.argv[1:]])}


def parse_options():
    parser = argparse.ArgumentParser(description="Hold many connections through every kind of change.")
    parser.add_argument("-n", type=int, default=20000)
    parser.add_argument("--kind", choices=sorted(CASES), default="plain")
    parser.add_argument("--hold", type=int, default=20, help="seconds")
    parser.add_argument("--beside", type=int, default=5,
                        help="seconds of measuring what a request costs, at each step, after as many to warm up")
    parser.add_argument("--steps", type=lambda text: list(map(int, text.split(","))), default=[],
                        help="measure also beside so many connections, on the way to all")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sluice", default=os.environ.get("SLUICE", os.path.join(ROOT, "build", "release", "sluice")))
    parser.add_argument("--results", metavar="DIR", help="write the report there; else it is only printed")
    parser.add_argument("--pin", action="store_true", help="gateway and clients keep to a processor each: twice as quick where "
                        "processors are emulated; the workers then share one")
    parser.add_argument("--guest-env", action="append", default=[], metavar="NAME=VALUE",
                        help="set there: an emulated processor is quicker without the vectors that OpenSSL prefers")
    parser.add_argument("--memory", type=int, default=4096, help="MiB of the guest")
    parser.add_argument("--seconds", type=int, default=900, help="the run is ended then")
    parser.add_argument("--keep", metavar="DIR", help="where what the programs said is left")
    options = parser.parse_args()
    options.guest = os.environ.get("SCALE_GUEST")
    return options


def main():
    options = parse_options()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    n = options.n if options.guest else fitting(options, files)
    if n < options.n:
        print(f"CUT to {n} connections: one process may have {files} files here. See SCALE_GUEST.", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="sluice-scale-") as scratch:
        folder, out = os.path.join(scratch, "run"), options.keep or os.path.join(scratch, "out")
        os.mkdir(folder)
        os.makedirs(out, exist_ok=True)
        collect(options.sluice, folder)
        variables = settings(options, n, 250000 if options.guest else files - RESERVE, far_ports(options, n))
        status = run_in_guest(options, folder, out, variables) if options.guest else \
            run_here(folder, out, variables, options.seconds)
        if status != 0 or not re.search("^seconds ", machine.read(os.path.join(out, "found")), re.M):
            print(f"the run ended early, with {status}; found: {machine.read(os.path.join(out, 'found'))}", file=sys.stderr)
            sys.exit(1)
        found, curve, memory = read_found(out), read_curve(out), read_memory(out)
    wrong = complaints(n, found)
    write(options, describe(options, n), found, curve, memory, wrong)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
