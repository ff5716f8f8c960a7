"""A fake upstream whose every byte the test decides.

An upstream listens on a port of its own and runs one thread a connection. What it does with a
request is a Python function, chosen by path (`on`), given the Exchange:

    upstream.on("/slow", lambda ex: (ex.read_body(), gate.wait(10), ex.reply(200, b"late")))

Without a script it reads the whole request and answers 200 with the body "ok". Every request is
recorded byte for byte in `requests`. Waiting is done by events of the test, never by sleeping.
"""

import re
import socket
import struct
import threading

from raw import DEADLINE_S, parse_fields, wait_until

KEEP_RAW_MAX = 4 * 1024 * 1024  # recorded bytes a request: big bodies are hashed by their test


class Gone(Exception):
    """The gateway ended the connection."""


class Exchange:
    """One request as this upstream received it, and the means to answer it."""

    def __init__(self, conn, head):
        self.conn = conn
        self.raw = head + b"\r\n\r\n"  # byte-exact as received, body included
        first, _, rest = head.partition(b"\r\n")
        self.request_line = first.decode("latin-1")
        parts = self.request_line.split(" ")
        assert len(parts) == 3, f"bad request line at the upstream: {first!r}"
        self.method, self.target, self.version = parts
        self.path = self.target.partition("?")[0]
        self.fields = parse_fields(rest)
        self.body = b""
        self.trailers = []
        self.complete = False  # the whole body came
        self.keep = self.version == "HTTP/1.1" and "close" not in (self.get("connection") or "").lower()
        self.connection = conn.number

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def all(self, name):
        return [value for key, value in self.fields if key == name.lower()]

    def names(self):
        return [key for key, _ in self.fields]

    def read_body(self, sink=None, piece_max=65536):
        """Read the body by its framing, strictly; `sink` gets the pieces instead of `body`."""
        parts = []
        sink = sink or parts.append
        if self.all("transfer-encoding"):
            assert self.all("transfer-encoding") == ["chunked"], self.fields
            assert not self.all("content-length"), self.fields
            self._read_chunked(sink, piece_max)
        elif self.all("content-length"):
            lengths = self.all("content-length")
            assert len(lengths) == 1 and re.fullmatch("[0-9]+", lengths[0]), self.fields
            self._read_exactly(int(lengths[0]), sink, piece_max)
        self.complete = True
        self.body = b"".join(parts)
        return self.body

    def _note(self, data):
        if len(self.raw) < KEEP_RAW_MAX:
            self.raw += data

    def _read_exactly(self, left, sink, piece_max=65536):
        while left:
            piece = self.conn.take(min(left, piece_max))
            self._note(piece)
            sink(piece)
            left -= len(piece)

    def _line(self):
        line = self.conn.line()
        self._note(line + b"\r\n")
        return line

    def _read_chunked(self, sink, piece_max):
        while True:
            line = self._line()
            assert re.fullmatch(rb"[0-9A-Fa-f]{1,16}", line), f"chunk line at the upstream: {line!r}"
            size = int(line, 16)
            if size == 0:
                break
            self._read_exactly(size, sink, piece_max)
            assert self._line() == b"", "no CRLF after a chunk at the upstream"
        lines = []
        while True:
            line = self._line()
            if not line:
                break
            lines.append(line)
        self.trailers = parse_fields(b"\r\n".join(lines))

    def send(self, *pieces):
        """Send exactly these bytes."""
        for piece in pieces:
            self.conn.send(piece)

    def reply(self, status=200, body=b"ok", fields=(), reason="X"):
        """Send a well-formed response with Content-Length."""
        self.send(response_bytes(status, body, fields, reason))

    def close(self):
        """End the connection by FIN."""
        self.keep = False
        self.conn.close()

    def reset(self):
        """End the connection by RST."""
        self.keep = False
        self.conn.reset()

    def wait_gone(self):
        """Wait until the gateway has ended this connection; fail after the deadline."""
        try:
            while True:
                self.conn.take(65536)
        except Gone:
            self.keep = False


def response_bytes(status=200, body=b"ok", fields=(), reason="X", version="HTTP/1.1"):
    lines = [f"{version} {status} {reason}"]
    lines += [f"{name}: {value}" for name, value in (fields.items() if isinstance(fields, dict) else fields)]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


class Connection:
    """One accepted connection."""

    def __init__(self, sock, number):
        self.sock = sock
        self.sock.settimeout(DEADLINE_S * 3)
        self.number = number
        self.buffer = b""
        self.closed = False
        self.requests = 0

    def _more(self):
        try:
            data = self.sock.recv(65536)
        except OSError:
            raise Gone from None
        if not data:
            raise Gone
        self.buffer += data

    def take(self, count):
        """At least one, at most count bytes."""
        if not self.buffer:
            self._more()
        piece, self.buffer = self.buffer[:count], self.buffer[count:]
        return piece

    def line(self):
        while b"\r\n" not in self.buffer:
            self._more()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def head(self):
        """The next request head without its empty line, or None when the peer has ended."""
        try:
            while b"\r\n\r\n" not in self.buffer:
                self._more()
        except Gone:
            return None
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            raise Gone from None

    def close(self):
        if not self.closed:
            self.closed = True
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.sock.close()

    def reset(self):
        if not self.closed:
            self.closed = True
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.sock.close()


def answer_ok(exchange):
    """The default script."""
    exchange.read_body(sink=lambda piece: None)
    exchange.reply()


class Upstream:
    """A listening fake upstream. stop() it at the end; it fails when one of its scripts failed."""

    def __init__(self, script=answer_ok, name=None, receive_buffer=None):
        self.name = name
        self.script = script
        self.scripts = {}
        self.on_connect = None  # called with each Connection; True means it did everything
        self.requests = []
        self.connections = 0
        self.open = set()
        self.errors = []
        self.receive_buffer = receive_buffer
        self.lock = threading.Lock()
        self.listen()

    def listen(self, port=0):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        self.sock.bind(("127.0.0.1", port))
        self.sock.listen(1024)
        self.port = self.sock.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self._accept, args=(self.sock,), daemon=True)
        self.thread.start()

    def on(self, path, script):
        """Answer requests for this path (without query) by script(exchange)."""
        self.scripts[path] = script
        return self

    def answer(self, path, data, close=False):
        """Answer this path with exactly these bytes, once the whole request has come."""
        def script(exchange):
            exchange.read_body(sink=lambda piece: None)
            exchange.send(data)
            if close:
                exchange.close()
        return self.on(path, script)

    def _accept(self, listening):
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections += 1
                conn = Connection(sock, self.connections)
                self.open.add(conn)
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        try:
            if not (self.on_connect and self.on_connect(conn)):
                while self._serve_one(conn):
                    pass
        except Gone:
            pass
        except Exception as failure:  # a script's assertion is told by stop()
            self.errors.append(failure)
        finally:
            conn.close()
            with self.lock:
                self.open.discard(conn)

    def _serve_one(self, conn):
        head = conn.head()
        if head is None:
            return False
        exchange = Exchange(conn, head)
        conn.requests += 1
        with self.lock:
            self.requests.append(exchange)
        self.scripts.get(exchange.path, self.script)(exchange)
        return exchange.keep and not conn.closed

    def wait_requests(self, count=1):
        return wait_until(lambda: len(self.requests) >= count and self.requests,
                          what=f"{count} requests at the upstream, have {len(self.requests)}")

    def wait_idle(self):
        """Wait until the gateway has ended all its connections to here."""
        wait_until(lambda: not self.open, what="no connection is open at the upstream")

    @property
    def last(self):
        return self.requests[-1]

    def paths(self):
        return [exchange.path for exchange in self.requests]

    def stop_listening(self):
        """New connections are refused from here on; existing ones go on."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        self.thread.join(DEADLINE_S)

    def close_connections(self, reset=False):
        with self.lock:
            conns = list(self.open)
        for conn in conns:
            if reset:
                conn.reset()
            else:
                conn.close()

    def stop(self):
        self.stop_listening()
        self.close_connections()
        if self.errors:
            raise AssertionError(f"scripts of the fake upstream failed: {self.errors!r}") from self.errors[0]
