#!/usr/bin/env python3
"""What a request costs as the configuration and the crowd grow: routes, endpoints, idle connections, workers.

Routes and endpoints by instructions of the worker (see guard.py), which nobody else's work disturbs; idle
connections and workers by CPU time under wrk. Each curve is an SVG in results/, with a page and the
figures as JSON.

    test/bench/curves.py [--only routes,endpoints,idle,sharing,workers] [--sluice PATH] [--results DIR]
"""

import argparse
import json
import os
import resource
import tempfile
import time

import bench
import contenders
import guard
import machine
import plot

IDLE = (0, 1000, 5000, 15000)
SECONDS = 4
ROUNDS = 3


def contender_of(sluice, template):
    return contenders.Contender("sluice", sluice, "sluice.yaml", template, ["{binary}", "run", "-c", "{file}"], "version")


def workers_of(sluice, count):
    return contender_of(sluice, contenders.SLUICE.replace("workers: 1", f"workers: {count}"))


def with_routes(count):
    """As many routes with a path of their own, and the one that all others take."""
    rows = [f'  - {{{{ match: {{{{ path: /r{i}/ }}}}, upstream: origin }}}}' for i in range(count - 1)]
    return contenders.SLUICE.replace("routes:\n", "routes:\n" + "\n".join(rows) + "\n")


def with_endpoints(count):
    """As many addresses of one upstream, which listens at all of them."""
    rows = ", ".join(f'"127.0.{1 + i // 250}.{1 + i % 250}:{{origin}}"' for i in range(count))
    return contenders.SLUICE.replace('[ "{host}:{origin}" ]', f"[ {rows} ]")


class Curves:
    def __init__(self, sluice, folder):
        self.sluice = sluice
        self.folder = folder
        self.files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def with_origin(self, work, files=None):
        resource.setrlimit(resource.RLIMIT_NOFILE, (files or self.files, self.files))
        origin = contenders.Origin(self.folder, bench.load_cpu())
        try:
            return work(origin)
        finally:
            origin.stop()

    def routes(self):
        def one(count):
            contender = contender_of(self.sluice, with_routes(count))
            path = f"/r{count // 2}/x" if count > 1 else "/x"
            return self.with_origin(lambda origin: guard.instructions(contender, self.folder, origin, path), 4096)
        return [(count, one(count)) for count in (1, 100, 10000)]

    def endpoints(self):
        def one(count):
            contender = contender_of(self.sluice, with_endpoints(count))
            # Each endpoint has been asked once, and its connection is there, before it counts. callgrind
            # keeps room for as many descriptors as there may be.
            return self.with_origin(lambda origin: guard.instructions(contender, self.folder, origin, warm=count),
                                    min(self.files, count + 2000))
        return [(count, one(count)) for count in (1, 100, 10000)]

    def loaded(self, contender, origin, idle=0, connections=64, cpus=None):
        """CPU time of a request in us, and requests a second, beside idle connections."""
        contender.start(self.folder, cpus or bench.gateway_cpu(), origin.port, idle + 2048)
        held = []
        try:
            held = bench.open_idle(contender.port, idle)
            case = bench.Case("curve", "", "/1k", connections)
            bench.run_load(case.load(contender.port, 1), bench.load_cpu())
            with machine.Watch(contender.pids(), [origin.pid]) as watch:
                told = bench.run_load(case.load(contender.port, SECONDS), bench.load_cpu())
        finally:
            bench.close_all(held)
            contender.stop()
        figures = bench.read_wrk(told)
        return watch.cpu_ns / 1e3 / max(1, figures["requests"]), figures["per_second"]

    def best(self, measure):
        """The least CPU time of some rounds: what others do on the machine only adds to it."""
        return min(measure() for _ in range(ROUNDS))

    def idle(self):
        contender = contender_of(self.sluice, contenders.SLUICE)
        counts = [count for count in IDLE if count < self.files - 2500]
        return self.with_origin(lambda origin: [
            (count, self.best(lambda: self.loaded(contender, origin, count))[0]) for count in counts])

    def sharing(self):
        """On one processor: what a second worker costs where it can bring nothing."""
        return self.with_origin(lambda origin: [
            (count, self.best(lambda: self.loaded(workers_of(self.sluice, count), origin))[0]) for count in (1, 2)])

    def workers(self):
        """On all processors, which the load and the upstream need as well."""
        def one(count, origin):
            contender = workers_of(self.sluice, count)
            return max(self.loaded(contender, origin, cpus=bench.CPUS)[1] for _ in range(ROUNDS))
        return self.with_origin(lambda origin: [(count, one(count, origin)) for count in (1, 2)])


KINDS = {
    "routes": ("A request among routes", "routes", "instructions of the worker"),
    "endpoints": ("A request among endpoints", "endpoints of its upstream", "instructions of the worker"),
    "idle": ("A request beside idle connections", "idle connections", "CPU time, us"),
    "sharing": ("A request with more workers on one processor", "workers", "CPU time, us"),
    "workers": ("Requests a second with more workers, load and upstream on the same two processors", "workers",
                "requests/s"),
}


def page(about, curves, stem):
    lines = [f"# Curves of {about['date']}", ""]
    lines += [f"- {name}: {text}" for name, text in about.items() if name != "date"]
    for name, points in curves.items():
        title, x_name, y_name = KINDS[name]
        lines += ["", f"## {title}", "", f"![{title}]({stem}-{name}.svg)", "", f"| {x_name} | {y_name} |", "| ---: | ---: |"]
        lines += [f"| {plot.number(x)} | {plot.number(y)} |" for x, y in points]
    return "\n".join(lines) + "\n"


def write(folder, about, curves):
    os.makedirs(folder, exist_ok=True)
    stem = time.strftime("%Y-%m-%d") + "-curves"
    for name, points in curves.items():
        with open(os.path.join(folder, f"{stem}-{name}.svg"), "w", encoding="utf-8") as out:
            out.write(plot.curve(*KINDS[name], points))
    text = page(about, curves, stem)
    with open(os.path.join(folder, stem + ".md"), "w", encoding="utf-8") as out:
        out.write(text)
    with open(os.path.join(folder, stem + ".json"), "w", encoding="utf-8") as out:
        json.dump({"about": about, "curves": curves}, out, indent=1)
    print(text)


def main():
    parser = argparse.ArgumentParser(description="What a request costs as configuration and crowd grow.")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(KINDS))
    parser.add_argument("--sluice", metavar="PATH", default=bench.default_sluice())
    parser.add_argument("--results", metavar="DIR", default=os.path.join(bench.HERE, "results"))
    options = parser.parse_args()
    os.environ["GLIBC_TUNABLES"] = guard.SAME_EVERYWHERE
    contenders.pin(bench.load_cpu())
    with tempfile.TemporaryDirectory(prefix="sluice-curves-") as folder:
        os.chmod(folder, 0o755)
        maker = Curves(os.path.abspath(options.sluice), folder)
        curves = {name: getattr(maker, name)() for name in KINDS if name in options.only}
    about = {"date": time.strftime("%Y-%m-%d"), **machine.describe(), "compiled by": guard.compiler_of(options.sluice)}
    write(options.results, about, curves)


if __name__ == "__main__":
    main()
