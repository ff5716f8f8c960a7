"""The gateways that are compared, each set up for the same work.

One worker, no access log, no limit on requests of a connection, timeouts that do not fire, enough
kept connections to the upstream. Where a default would make a peer slower in one of the cases (nginx
and its buffers, HAProxy and its limits), it gets the better setting.
"""

import base64
import functools
import hashlib
import hmac
import http.server
import json
import os
import resource
import shutil
import socket
import subprocess
import threading
import time

import machine

HOST = "127.0.0.1"
START_S = 20

NGINX = """
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{
    use epoll;
    multi_accept on;
    worker_connections {slots};
}}
http {{
    access_log off;
    server_tokens off;
    keepalive_timeout 10h;
    keepalive_requests 1000000000;
    client_header_timeout 10h;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream origin {{
        server {host}:{origin};
        keepalive 1024;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }}
    server {{
        listen {host}:{port} reuseport backlog=65535;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_buffer_size 8k;
            proxy_buffers 8 32k;
            proxy_busy_buffers_size 64k;
            proxy_max_temp_file_size 0;
        }}
    }}
}}
"""

HAPROXY = """
global
    nbthread 1
    maxconn {connections}
    ulimit-n {files}
    no strict-limits
defaults
    mode http
    maxconn {connections}
    backlog 65535
    timeout connect 5s
    timeout client 10h
    timeout server 10h
    timeout http-request 10h
    timeout http-keep-alive 10h
    option splice-response
    http-reuse always
frontend front
    bind {host}:{port}
    default_backend origin
backend origin
    server origin {host}:{origin}
"""

SLUICE = """
workers: 1
admin: "off"
log: {{ level: warn }}
listeners:
  - bind: "{host}:{port}"
    backlog: 65535
    timeout: {{ idle: 10h }}
upstreams:
  origin:
    endpoints: [ "{host}:{origin}" ]
    connections: {{ idle: 1024, idle_timeout: 1h }}
routes:
  - upstream: origin
"""

# A line for each exchange, of the fields that it has when none are named.
LOGGING = SLUICE + """
access_log: {{ path: "{folder}/access.log" }}
"""

# Beside the bare proxy: what many run in front of an API. Nothing is refused, and no store is remote.
SECRET = "0123456789abcdef0123456789abcdef"
PLUGINS = SLUICE + """
plugins:
  - request_id: {{}}
  - jwt_auth:
      keys: [ {{ kid: bench, alg: HS256, secret: "SECRET" }} ]
      algorithms: [ HS256 ]
      issuers: [ "https://issuer.example" ]
  - rate_limit: {{ key: consumer, rate: 10000000/s }}
  - circuit_breaker: {{}}
  - tracing: {{ endpoint: "http://{host}:{collector}/v1/traces", sample: {{ ratio: "1%" }} }}
""".replace("SECRET", SECRET)


def token():
    """What jwt_auth has verified once and knows by then."""
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")
    claims = {"iss": "https://issuer.example", "sub": "bench", "aud": ["orders", "users"], "exp": 4102444800,
              "scope": "orders.read orders.write users.read", "tenant": "a" * 300}
    signed = part(b'{"alg":"HS256","kid":"bench","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
    return (signed + b"." + part(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest())).decode()


class Collected(http.server.BaseHTTPRequestHandler):
    """Takes spans, and says so."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@functools.lru_cache(1)
def collector_port():
    """Where spans go; it runs beside the load, as long as this program."""
    server = http.server.ThreadingHTTPServer((HOST, 0), Collected)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


class Contender:
    """One gateway: how it is found, configured, started and ended."""

    def __init__(self, name, binary, file, template, command, version):
        self.name = name
        self.binary = binary and shutil.which(binary)
        self.file = file
        self.template = template
        self.command = command  # "{binary}", "{file}", "{port}" and "{origin}" (a port) are filled in
        self.version_flag = version
        self.process = None
        self.port = 0

    def version(self):
        if not self.version_flag:
            return "of this tree"
        told = subprocess.run([self.binary, self.version_flag], capture_output=True, text=True, check=False)
        lines = (told.stdout + told.stderr).strip().splitlines()
        return lines[0] if lines else "?"

    def config(self, **values):
        user = "user root;" if os.geteuid() == 0 else ""
        return self.template.format(host=HOST, user=user, **values)

    def arguments(self, file, origin_port):
        return [part.format(binary=self.binary, file=file, port=self.port, origin=origin_port) for part in self.command]

    def start(self, folder, cpu, origin_port, connections=2048, before=()):
        """Run it for this many client connections, on this CPU or these, and wait until it serves."""
        cpus = [cpu] if isinstance(cpu, int) else cpu
        self.port = free_port()
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        file = os.path.join(folder, self.file)
        with open(file, "w", encoding="utf-8") as out:
            out.write(self.config(folder=folder, port=self.port, origin=origin_port, files=files, collector=collector_port(),
                                  connections=connections, slots=connections + 1100))
        with open(os.path.join(folder, self.name + ".log"), "wb") as log:
            self.process = subprocess.Popen([*before, *self.arguments(file, origin_port)], cwd=folder, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, preexec_fn=lambda: pin(*cpus))
        give_up = time.monotonic() + START_S
        while not serves(self.port):
            if self.process.poll() is not None or time.monotonic() > give_up:
                self.stop()
                raise RuntimeError(f"{self.name} does not serve: {machine.read(log.name)[-2000:]}")
            time.sleep(0.05)

    def pids(self):
        return machine.descendants(self.process.pid)

    def stop(self, patience_s=2):
        """Ask it to end, then insist; its children end with it."""
        pids = self.pids()
        self.process.terminate()
        try:
            self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            for pid in pids:
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    pass
            self.process.wait()


def everyone(sluice):
    return [
        Contender("sluice", sluice, "sluice.yaml", SLUICE, ["{binary}", "run", "-c", "{file}"], "version"),
        Contender("sluice-plugins", sluice, "sluice-plugins.yaml", PLUGINS, ["{binary}", "run", "-c", "{file}"],
                  "version"),
        Contender("nginx", "/usr/sbin/nginx", "nginx.conf", NGINX, ["{binary}", "-c", "{file}"], "-v"),
        Contender("haproxy", "/usr/sbin/haproxy", "haproxy.cfg", HAPROXY, ["{binary}", "-db", "-q", "-f", "{file}"], "-v"),
    ]


def logging(sluice):
    """One that also writes an access log, as it is by default."""
    return Contender("sluice-log", sluice, "sluice-log.yaml", LOGGING, ["{binary}", "run", "-c", "{file}"], "version")


def trained(path):
    """The gateway as `make pgo` builds it; left out where that was not done."""
    return Contender("sluice-pgo", path, "sluice-pgo.yaml", SLUICE, ["{binary}", "run", "-c", "{file}"], "version")


def relay(folder):
    """The floor: what it takes to pass bytes on."""
    return Contender("relay", compiled("relay", folder), "relay.conf", "", ["{binary}", "{port}", "{origin}"], "")


def compiled(name, folder):
    """A program of this folder, compiled here and now."""
    source, binary = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".c"), os.path.join(folder, name)
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-std=c11", "-D_GNU_SOURCE", "-o", binary, source], check=True)
    return binary


class Origin:
    """The upstream of all of them."""

    def __init__(self, folder, cpu):
        self.process = subprocess.Popen([compiled("origin", folder)], stdout=subprocess.PIPE, text=True, preexec_fn=lambda: pin(cpu))
        self.port = int(self.process.stdout.readline())
        self.pid = self.process.pid

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def pin(*cpus):
    os.sched_setaffinity(0, cpus)


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def get(connection, path):
    """One request on a kept connection, answered by a whole 200?"""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: bench.example\r\n"
                       f"Authorization: Bearer {token()}\r\n\r\n".encode())
    return read_answer(connection)


def read_answer(connection):
    """Read one answer to its end; False when it is not a whole 200."""
    head, _, body = read_head(connection)
    length = next((line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b"0")
    missing = int(length) - len(body)
    while missing > 0:
        piece = connection.recv(65536)
        if not piece:
            return False
        missing -= len(piece)
    return head.startswith(b"HTTP/1.1 200 ")


def read_head(connection):
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            break
        received += piece
    return received.partition(b"\r\n\r\n")


def serves(port):
    try:
        with socket.create_connection((HOST, port), timeout=2) as connection:
            return get(connection, "/1k")
    except OSError:
        return False
