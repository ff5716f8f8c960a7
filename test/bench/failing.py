#!/usr/bin/env python3
"""Half of ten endpoints fail at once: what clients see, how many tries it costs, how long until they are out.

Each gateway serves the same paced load (25 kept connections, each asking every 50 ms). After two seconds every
other endpoint begins to answer 500, to stall, or to reset; checks of its health are answered in the same way. All
gateways wait 500 ms for an answer. "failed" is the part of all requests after that moment that did not end with 200;
"later" the same from two seconds after it on; "tries" how many requests reached endpoints for each that a client
sent; "out" how long until the last failing endpoint had its first second without a request.

What sluice may repeat is bounded by its retry budget. Four times a second its admin listener is asked for the budget:
"budget" is the highest part of what was allowed in the interval that had been spent, "retried" and "refused" are what its
metrics say at the end (repeated within the budget; named by the retry rule but not repeated for want of it), "part" is the
first of them of all requests. The budget is asked when a request is to be repeated: when requests become fewer later, what
was spent may be more than what would be allowed by then ("budget" above 100 %); "part" is what must stay below the share.

    test/bench/failing.py [--seconds 12] [--only "sluice, detection"] [--mode 500] [--sluice PATH] [--save FILE]
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

import contenders
import machine

HOST = contenders.HOST
ENDPOINTS, CONNECTIONS, PACE_S = 10, 25, 0.05
GOOD_S, LATER_S, ANSWER_S = 2, 2, 0.5
MODES = ["500", "stall", "reset"]

# -- endpoints -------------------------------------------------------------------------


class Endpoint(asyncio.Protocol):
    """Answers at once, or fails as all are told to; writes down when it was asked."""

    def __init__(self, number, state):
        self.number, self.state, self.data = number, state, b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data
        while b"\r\n\r\n" in self.data:
            head, _, self.data = self.data.partition(b"\r\n\r\n")
            self.answer(b" /health " in head.split(b"\r\n", 1)[0])

    def answer(self, is_check):
        mode = self.state.mode if self.number % 2 else ""
        if not is_check:
            self.state.asked.append((time.monotonic(), self.number))
        if mode == "reset":
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                                               b"\x01\0\0\0\0\0\0\0")
            self.transport.abort()
        elif mode == "500":
            self.transport.write(b"HTTP/1.1 500 X\r\nContent-Length: 3\r\n\r\nbad")
        elif mode != "stall":
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class State:
    mode = ""
    asked = ()


def run_endpoints(pipe):
    """A process of its own; is told a mode, tells (moment, endpoint) of all that was asked."""
    state = State()

    async def serve():
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(lambda number=number: Endpoint(number, state), HOST, 0, backlog=1024)
                   for number in range(ENDPOINTS)]
        pipe.send([server.sockets[0].getsockname()[1] for server in servers])
        while True:
            word = await loop.run_in_executor(None, pipe.recv)
            if word == "tell":
                pipe.send(list(state.asked))
            elif word == "end":
                return
            else:
                state.mode, state.asked = ("", []) if word == "good" else (word, state.asked)

    asyncio.run(serve())


# -- clients ------------------------------------------------------------------------------


async def ask_all(port, seconds, until):
    """[(moment, status)] of each request; status 0: no answer."""
    seen = []

    async def client(number):
        reader = writer = None
        due = time.monotonic() + PACE_S * number / CONNECTIONS
        while due < until:
            await asyncio.sleep(max(0, due - time.monotonic()))
            due = max(due + PACE_S, time.monotonic())
            begun, status = time.monotonic(), 0
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection(HOST, port)
                writer.write(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
                status, ends = await asyncio.wait_for(read_answer(reader), seconds)
                if ends:
                    writer.close()
                    writer = None
            except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                if writer:
                    writer.close()
                writer = None
            seen.append((begun, status))

    await asyncio.gather(*(client(number) for number in range(CONNECTIONS)))
    return seen


async def read_answer(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    for line in head.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.split(b":")[1]))
    return int(head.split(b" ")[1]), b"connection: close" in head


# -- gateways --------------------------------------------------------------------------------

SLUICE = """
workers: 2
admin: "{host}:{admin}"
log: {{ level: error }}
listeners: [ {{ bind: "{host}:{port}" }} ]
upstreams:
  app:
    endpoints: [ {endpoints} ]
    timeout: {{ connect: 500ms, response: 500ms }}
{more}
routes: [ {{ upstream: app }} ]
"""

NGINX = """
daemon off;
{user}
worker_processes 2;
pid {folder}/nginx.pid;
error_log /dev/null crit;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    upstream app {{ zone app 256k; {endpoints} keepalive 64; }}
    server {{
        listen {host}:{port};
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_connect_timeout 500ms;
            proxy_read_timeout 500ms;
            {more}
        }}
    }}
}}
"""

HAPROXY = """
global
    nbthread 2
    maxconn 1000
defaults
    mode http
    timeout connect 500ms
    timeout client 1h
    timeout server 500ms
    timeout http-keep-alive 1h
    timeout check 500ms
frontend front
    bind {host}:{port}
    default_backend app
backend app
    balance roundrobin
    option httpchk GET /health
    {more}
    default-server check inter 2s fastinter 2s downinter 2s fall 3 rise 2 {server}
{endpoints}
"""

DETECTION = "    outlier_detection: true\n"
CHECKS = "    health: { path: /health, interval: 2s, timeout: 500ms }\n"
NO_RETRY = "    retry: { attempts: 0 }\n"
RETRY = "    retry: { attempts: 2, on: [ connect, reset, timeout, 5xx ] }\n"


def sluice(binary, more):
    def write(ports, **values):
        return SLUICE.format(endpoints=", ".join(f'"{HOST}:{port}"' for port in ports), more=more, **values)
    return binary, "sluice.yaml", ["{binary}", "run", "-c", "{file}"], write


def nginx(more, server="max_fails=5 fail_timeout=30s"):
    def write(ports, **values):
        return NGINX.format(endpoints=" ".join(f"server {HOST}:{port} {server};" for port in ports), more=more,
                            user="user root;" if os.geteuid() == 0 else "", **values)
    return "/usr/sbin/nginx", "nginx.conf", ["{binary}", "-c", "{file}"], write


def haproxy(more, server):
    def write(ports, **values):
        lines = "\n".join(f"    server s{port} {HOST}:{port}" for port in ports)
        return HAPROXY.format(endpoints=lines, more=more, server=server, **values)
    return "/usr/sbin/haproxy", "haproxy.cfg", ["{binary}", "-db", "-q", "-f", "{file}"], write


def everyone(binary):
    observe = "observe layer7 error-limit 5 on-error mark-down"
    return {
        "sluice, nothing": sluice(binary, NO_RETRY),
        "sluice, detection": sluice(binary, NO_RETRY + DETECTION),
        "sluice, checks": sluice(binary, NO_RETRY + CHECKS),
        "sluice, both": sluice(binary, NO_RETRY + DETECTION + CHECKS),
        "sluice, retry": sluice(binary, RETRY),
        "sluice, both, retry": sluice(binary, DETECTION + CHECKS + RETRY),
        "nginx, max_fails": nginx("proxy_next_upstream error timeout http_500; proxy_next_upstream_tries 1;"),
        "nginx, max_fails, next": nginx("proxy_next_upstream error timeout http_500; proxy_next_upstream_tries 2;"),
        "haproxy, checks": haproxy("retries 0", ""),
        "haproxy, observe": haproxy("retries 0", observe),
        "haproxy, observe, retries": haproxy("retries 1\n    option redispatch 1\n"
                                             "    retry-on conn-failure empty-response response-timeout 500", observe),
    }


class Gateway:
    """One of them, running in a folder of its own."""

    def __init__(self, made, ports, folder):
        binary, name, command, write = made
        self.port, self.admin = contenders.free_port(), contenders.free_port()
        file = os.path.join(folder, name)
        with open(file, "w", encoding="utf-8") as out:
            out.write(write(ports, host=HOST, port=self.port, admin=self.admin, folder=folder))
        self.log = open(os.path.join(folder, "log"), "w+b")
        self.process = subprocess.Popen([part.format(binary=binary, file=file) for part in command],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        give_up = time.monotonic() + 20
        while not contenders.serves(self.port):
            if self.process.poll() is not None or time.monotonic() > give_up:
                self.log.seek(0)
                raise RuntimeError(f"{name} does not serve: {self.log.read()[-2000:]}")
            time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


# -- the budget -----------------------------------------------------------------------------------


class Budget:
    """Looks at the retry budget of a running sluice, until it is told to stop."""

    def __init__(self, admin):
        self.url = f"http://{HOST}:{admin}"
        self.looks = []  # (allowed, spent)
        self.enough = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def read(self, page):
        with urllib.request.urlopen(self.url + page, timeout=5) as answer:
            return answer.read().decode()

    def run(self):
        while not self.enough.wait(0.25):
            budget = json.loads(self.read("/upstreams"))["upstreams"][0]["retry_budget"]
            self.looks.append((budget["allowed"], budget["spent"]))

    def stop(self):
        """What there is to say of it. Failed connections that were tried elsewhere spend nothing: no byte was sent."""
        self.enough.set()
        self.thread.join()
        retried = refused = 0
        for line in self.read("/metrics").splitlines():
            if line.startswith("sluice_upstream_retries_total{") and not any(
                    f'cause="{cause}"' in line for cause in ("stale", "connect")):
                retried += float(line.rsplit(" ", 1)[1])
            elif line.startswith("sluice_upstream_retries_refused_total{") and 'cause="budget"' in line:
                refused += float(line.rsplit(" ", 1)[1])
        return {"budget": max(spent / allowed for allowed, spent in self.looks), "retried": retried, "refused": refused}


# -- one run ------------------------------------------------------------------------------------


def time_out(asked, broken, end):
    """Seconds until the last failing endpoint had its first second without a request; None: never."""
    longest = 0
    for number in range(1, ENDPOINTS, 2):
        moments = [moment for moment, who in asked if who == number and moment >= broken] + [end]
        last = broken
        for moment in moments:
            if moment - last >= 1:
                break
            last = moment
        else:
            return None
        longest = max(longest, last - broken)
    return longest


def part(answers, since):
    later = [status for moment, status in answers if moment >= since]
    return sum(status != 200 for status in later) / max(len(later), 1)


def run_one(name, made, mode, seconds, pipe, ports):
    pipe.send("good")
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(made, ports, folder)
        try:
            time.sleep(2.5)  # checks pass, kept connections come into being
            pipe.send("good")
            begun = time.monotonic()
            broken, end = begun + GOOD_S, begun + GOOD_S + seconds

            async def whole():
                asyncio.get_running_loop().call_later(GOOD_S, pipe.send, mode)
                return await ask_all(gateway.port, 10, end)

            watcher = Budget(gateway.admin) if name.startswith("sluice") else None
            answers = asyncio.run(whole())
            budget = watcher.stop() if watcher else {}
            if watcher:
                budget["part"] = budget["retried"] / len(answers)
        finally:
            gateway.stop()
    pipe.send("tell")
    asked = pipe.recv()
    sent = sum(moment >= broken for moment, _ in answers)
    tried = sum(moment >= broken for moment, _ in asked)
    return {"sent": sent, "failed": part(answers, broken), "later": part(answers, broken + LATER_S),
            "tries": tried / max(sent, 1), "out": time_out(asked, broken, end), **budget}


HEAD = (f"{'':26} {'mode':6} {'sent':>6} {'failed':>8} {'later':>8} {'tries':>6} {'out':>7} {'budget':>7} {'retried':>8}"
        f" {'refused':>8} {'part':>7}")


def line_of(name, mode, got):
    out = "never" if got["out"] is None else f"{got['out']:.2f} s"
    line = (f"{name:26} {mode:6} {got['sent']:6} {got['failed']:8.2%} {got['later']:8.2%} {got['tries']:6.3f} {out:>7}")
    return line if "budget" not in got else f"{line} {got['budget']:7.1%} {got['retried']:8.0f} {got['refused']:8.0f} {got['part']:7.2%}"


def save(path, lines, options):
    """A page with the machine, the versions, the command and the figures."""
    about = [f"- {key}: {value}" for key, value in machine.describe().items()]
    about += [f"- {each.name}: {each.version()}" for each in contenders.everyone(os.path.abspath(options.sluice)) if each.binary and each.name != "sluice-plugins"]
    with open(path, "w", encoding="utf-8") as out:
        out.write("\n".join(["# Half of the endpoints fail", "", *about, "",
                             f"    test/bench/failing.py --seconds {options.seconds:g}", "", "```", *lines, "```", ""]))


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--only")
    parser.add_argument("--mode", choices=MODES)
    parser.add_argument("--save", help="write a page about it")
    parser.add_argument("--sluice", default=os.path.join(here, "../../build/release/sluice"))
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    endpoints = multiprocessing.Process(target=run_endpoints, args=(theirs,), daemon=True)
    endpoints.start()
    ports = ours.recv()
    lines = [HEAD]
    print(HEAD)
    for mode in [options.mode] if options.mode else MODES:
        for name, made in everyone(os.path.abspath(options.sluice)).items():
            if options.only and options.only != name:
                continue
            lines.append(line_of(name, mode, run_one(name, made, mode, options.seconds, ours, ports)))
            print(lines[-1], flush=True)
    if options.save:
        save(options.save, lines, options)
    ours.send("end")
    endpoints.join(5)


if __name__ == "__main__":
    main()
