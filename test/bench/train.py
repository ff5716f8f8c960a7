#!/usr/bin/env python3
"""What the compiler is shown for "make pgo": a short life of the gateway, most of it small GETs.

    test/bench/train.py build/train/release/sluice

The binary was built with -fprofile-generate and leaves what it counted beside its objects when it ends.
What is asked is always the same, so that two trainings differ by little more than timing.
"""

import http.server
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HOST = "127.0.0.1"
START_S, END_S = 60, 60
CONNECTIONS = 32
BROWSER = ("User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
           "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
           "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n"
           "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n"
           "Sec-Fetch-Mode: navigate\r\n")

CONFIG = """
workers: 1
admin: "off"
log: {{ level: warn }}
{access}
listeners:
  - bind: "{host}:{port}"
upstreams:
  origin: {{ endpoints: [ "{host}:{origin}" ] }}
routes:
  - upstream: origin
"""


class Upstream(http.server.BaseHTTPRequestHandler):
    """Answers /SIZE with that many bytes, of a length told or, under /chunked, in chunks."""
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return
        while size := int(self.rfile.readline(), 16):
            self.rfile.read(size + 2)
        self.rfile.readline()

    def answer(self):
        self.body()
        content = b"x" * int(self.path.rpartition("/")[2] or 0)
        chunked = self.path.startswith("/chunked/")
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Cache-Control", "no-store")
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if chunked:
            content = b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content)
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = answer

    def log_message(self, *_):
        pass


def head(method, path, fields=""):
    return f"{method} {path} HTTP/1.1\r\nHost: www.example.com\r\n{fields}\r\n".encode()


def exchanges():
    """(request, how often), weighed like traffic: most are small, kept alive and good."""
    yield head("GET", "/1024"), 60
    yield head("GET", "/api/v1/users/42/1024", BROWSER), 60
    yield head("GET", "/65536", BROWSER), 6
    yield head("GET", "/chunked/3000", BROWSER), 6
    yield head("HEAD", "/1024", BROWSER), 2
    yield head("POST", "/64", "Content-Type: application/json\r\nContent-Length: 300\r\n") + b"j" * 300, 6
    yield head("POST", "/64", "Transfer-Encoding: chunked\r\n") + b"8\r\n12345678\r\n0\r\n\r\n", 3
    yield b"GET  / HTTP/1.1\r\n\r\n", 1


def read_answer(file, method):
    """Read one answer whole; False when the connection ends with it."""
    length, chunked, keep = 0, False, True
    if not file.readline():
        return False
    while (line := file.readline().strip().lower()):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            length = int(value)
        chunked |= name == b"transfer-encoding"
        keep &= not (name == b"connection" and b"close" in value)
    if method == b"HEAD":
        return keep
    while chunked:
        size = int(file.readline(), 16)
        file.read(size + 2)
        chunked = size > 0
    file.read(length)
    return keep


def client(port, rounds):
    connection = None
    for _ in range(rounds):
        for request, times in exchanges():
            for _ in range(times):
                if connection is None:
                    connection = socket.create_connection((HOST, port), timeout=30)
                    file = connection.makefile("rb")
                connection.sendall(request)
                if not read_answer(file, request.split(b" ", 1)[0]):
                    connection.close()
                    connection = None


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def serves(port):
    try:
        socket.create_connection((HOST, port), timeout=2).close()
        return True
    except OSError:
        return False


def live(binary, folder, upstream, access):
    """Start the gateway, ask, and let it end in order."""
    port = free_port()
    file = os.path.join(folder, "sluice.yaml")
    with open(file, "w", encoding="utf-8") as out:
        out.write(CONFIG.format(host=HOST, port=port, origin=upstream, access=access))
    gateway = subprocess.Popen([binary, "run", "-c", file])
    try:
        give_up = time.monotonic() + START_S
        while not serves(port):
            if gateway.poll() is not None or time.monotonic() > give_up:
                raise SystemExit("train: the gateway does not serve")
            time.sleep(0.05)
        clients = [threading.Thread(target=client, args=(port, 2)) for _ in range(CONNECTIONS)]
        for one in clients:
            one.start()
        for one in clients:
            one.join()
    finally:
        gateway.send_signal(signal.SIGTERM)
        code = gateway.wait(END_S)
    if code:
        raise SystemExit(f"train: the gateway ended with {code}")


def main():
    server = http.server.ThreadingHTTPServer((HOST, 0), Upstream)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="sluice-train-") as folder:
        for access in "", "access_log: { path: " + os.path.join(folder, "access.log") + " }":
            live(os.path.abspath(sys.argv[1]), folder, server.server_address[1], access)
    server.shutdown()


if __name__ == "__main__":
    main()
