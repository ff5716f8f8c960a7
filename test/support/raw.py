"""A byte-exact HTTP/1.1 client: it sends what it is told and parses answers strictly.

Nothing here repairs anything. A response that RFC 9112 would not let a server send raises
ProtocolError, so that a test sees what a careful peer would see.
"""

import os
import re
import socket
import struct
import time

SANITIZED = bool(os.environ.get("SLUICE_SAN"))  # set by make when SAN= is given
DEADLINE_S = 30.0 if SANITIZED else 10.0  # longer than any answer takes on a busy machine
HEAD_MAX = 256 * 1024
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2}) ([\t \x21-\x7e\x80-\xff]*)")
VALUE = re.compile(rb"[\t \x21-\x7e\x80-\xff]*")


class ProtocolError(AssertionError):
    """The peer sent what no HTTP/1.1 server may send."""


class Closed(AssertionError):
    """The peer ended the connection where more bytes were due. `got` holds what had come."""

    def __init__(self, what, got=b"", reset=False):
        super().__init__(f"connection {'reset' if reset else 'closed'} {what}; got {got[-200:]!r}")
        self.got = got
        self.reset = reset


class Response:
    """One final response with the interim ones that came before it."""

    def __init__(self, version, status, reason, fields):
        self.version = version  # "HTTP/1.1"
        self.status = status
        self.reason = reason
        self.fields = fields  # [(name in lower case, value)]
        self.body = b""
        self.trailers = []
        self.chunks = None  # the sizes, when chunked
        self.interim = []  # Responses
        self.until_close = False

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def all(self, name):
        return [value for key, value in self.fields if key == name.lower()]

    def names(self):
        return [key for key, _ in self.fields]

    def __repr__(self):
        return f"<{self.version} {self.status} {self.fields} body={self.body[:200]!r}>"


def parse_fields(block):
    """Field lines (no empty line) to [(lower name, value)], strictly."""
    fields = []
    for line in block.split(b"\r\n") if block else []:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.fullmatch(name):
            raise ProtocolError(f"bad field line {line!r}")
        if not VALUE.fullmatch(value):
            raise ProtocolError(f"bad field value {line!r}")
        fields.append((name.decode().lower(), value.strip(b" \t").decode("latin-1")))
    return fields


def parse_response_head(head):
    """The bytes before the empty line to a Response without a body."""
    first, _, rest = head.partition(b"\r\n")
    match = STATUS_LINE.fullmatch(first)
    if not match:
        raise ProtocolError(f"bad status line {first!r}")
    minor, status, reason = match.groups()
    return Response(f"HTTP/1.{minor.decode()}", int(status), reason.decode("latin-1"), parse_fields(rest))


def open_socket(address, timeout=DEADLINE_S):
    """Connect to "HOST:PORT", "[V6]:PORT" or "unix:PATH"."""
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout)
        sock.connect(address[len("unix:"):])
        return sock
    host, _, port = address.rpartition(":")
    sock = socket.create_connection((host.strip("[]"), int(port)), timeout=timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Client:
    """One connection. Use as a context manager, or close() it."""

    def __init__(self, address, receive_buffer=None):
        if receive_buffer:
            host, _, port = address.rpartition(":")
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.sock.settimeout(DEADLINE_S)
            self.sock.connect((host, int(port)))
        else:
            self.sock = open_socket(address)
        self.buffer = b""
        name = self.sock.getsockname()
        self.port = name[1] if isinstance(name, tuple) else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """End with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def half_close_quietly(self):
        """half_close, where the peer may have ended already."""
        try:
            self.half_close()
        except OSError:
            pass

    def send(self, *pieces):
        """Send the pieces, each by its own call to the kernel."""
        for piece in pieces:
            self.sock.sendall(piece)

    def try_send(self, data):
        """Send; True when the peer still took all of it."""
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            return False

    def send_byte_by_byte(self, data):
        for at in range(len(data)):
            self.sock.sendall(data[at:at + 1])

    def ask(self, method="GET", target="/", fields=(), body=None, host="test.example"):
        """Send one well-formed request and read its answer."""
        self.send(request_bytes(method, target, fields, body, host))
        return self.read_response(method)

    def _more(self, what):
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            raise Closed(what, self.buffer, reset=True) from None
        except (TimeoutError, socket.timeout):
            raise AssertionError(f"no bytes for {DEADLINE_S} s {what}; have {self.buffer[-200:]!r}") from None
        if not data:
            raise Closed(what, self.buffer)
        self.buffer += data

    def read_line(self, what):
        while b"\r\n" not in self.buffer:
            if len(self.buffer) > HEAD_MAX:
                raise ProtocolError(f"endless line {what}")
            self._more(what)
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def read_head(self):
        """Read one response head, interim or final."""
        while b"\r\n\r\n" not in self.buffer:
            if len(self.buffer) > HEAD_MAX:
                raise ProtocolError("endless response head")
            self._more("in a response head")
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        if b"\n" in head.replace(b"\r\n", b"") or b"\r" in head.replace(b"\r\n", b""):
            raise ProtocolError(f"bare CR or LF in {head!r}")
        return parse_response_head(head)

    def read_response(self, method="GET", sink=None):
        """Read interim responses and the final one with its body, by the rules of RFC 9112 6.3.

        With `sink`, body pieces go there (a callable) and not into the response.
        """
        interim = []
        while True:
            response = self.read_head()
            if response.status >= 200 or response.status == 101:
                break
            interim.append(response)
        response.interim = interim
        self.read_body(response, method, sink)
        return response

    def read_body(self, response, method="GET", sink=None):
        lengths, codings = response.all("content-length"), response.all("transfer-encoding")
        if lengths and codings:
            raise ProtocolError("both Content-Length and Transfer-Encoding")
        if len(lengths) > 1 or (lengths and not re.fullmatch("[0-9]+", lengths[0])):
            raise ProtocolError(f"bad Content-Length {lengths}")
        if response.status in (101, 204) and (codings or (lengths and lengths != ["0"])):
            raise ProtocolError(f"a body with {response.status}")
        if method == "HEAD" or response.status in (101, 204, 304):
            return
        parts = []
        sink = sink or parts.append
        if codings:
            if [c.lower() for c in codings] != ["chunked"] or response.version == "HTTP/1.0":
                raise ProtocolError(f"transfer-encoding {codings} in {response.version}")
            self._read_chunked(response, sink, parts)
        elif lengths:
            self.read_exactly(int(lengths[0]), sink, parts)
        else:
            response.until_close = True
            self._read_rest(sink)
        response.body = b"".join(parts)

    def read_exactly(self, left, sink, parts):
        while left:
            if not self.buffer:
                try:
                    self._more(f"with {left} body bytes missing")
                except Closed as closed:
                    closed.got = b"".join(parts)
                    raise
            piece, self.buffer = self.buffer[:left], self.buffer[left:]
            sink(piece)
            left -= len(piece)

    def _read_chunked(self, response, sink, parts):
        response.chunks = []
        while True:
            line = self.read_line("in a chunked body")
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", line):
                raise ProtocolError(f"bad chunk size or an extension: {line!r}")
            size = int(line, 16)
            if size == 0:
                break
            response.chunks.append(size)
            self.read_exactly(size, sink, parts)
            if self.read_line("after a chunk") != b"":
                raise ProtocolError("no CRLF after a chunk")
        lines = []
        while True:
            line = self.read_line("in trailers")
            if line == b"":
                break
            lines.append(line)
        response.trailers = parse_fields(b"\r\n".join(lines))

    def _read_rest(self, sink):
        while True:
            if self.buffer:
                sink(self.buffer)
                self.buffer = b""
            try:
                self._more("")
            except Closed as closed:
                if closed.reset:
                    raise
                return

    def read_until_close(self):
        """Everything up to the peer's end of the connection; a reset counts as an end too."""
        parts = []
        try:
            self._read_rest(parts.append)
        except Closed:
            pass
        return b"".join(parts)

    def expect_close(self):
        """The peer ends the connection by FIN without sending anything more."""
        rest = []
        self._read_rest(rest.append)
        assert b"".join(rest) == b"", f"bytes after the last answer: {b''.join(rest)[:300]!r}"

    def is_open(self, quiet_s=0.05):
        """True when nothing has ended the connection and nothing has come for a moment."""
        self.sock.settimeout(quiet_s)
        try:
            return self.sock.recv(1, socket.MSG_PEEK) != b""
        except (TimeoutError, socket.timeout, BlockingIOError):
            return True
        except OSError:
            return False
        finally:
            self.sock.settimeout(DEADLINE_S)


def request_bytes(method="GET", target="/", fields=(), body=None, host="test.example", version="HTTP/1.1"):
    """A well-formed request; `body` bytes go with Content-Length, a list of bytes goes chunked."""
    lines = [f"{method} {target} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in (fields.items() if isinstance(fields, dict) else fields)]
    tail = b""
    if isinstance(body, list):
        lines.append("Transfer-Encoding: chunked")
        tail = chunked(body)
    elif body is not None:
        lines.append(f"Content-Length: {len(body)}")
        tail = body
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + tail


def chunked(pieces, trailers=()):
    """The pieces as chunks, the last chunk and the trailers."""
    out = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    out += b"0\r\n"
    for name, value in trailers:
        out += f"{name}: {value}\r\n".encode("latin-1")
    return out + b"\r\n"


def ask(address, method="GET", target="/", fields=(), body=None, host="test.example"):
    """One request on a connection of its own."""
    with Client(address) as client:
        return client.ask(method, target, fields, body, host)


def wait_until(condition, deadline_s=DEADLINE_S, what=None):
    """Return the first true value of condition(); fail when the deadline passes first."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            name = what or getattr(condition, "__name__", "condition")
            raise AssertionError(f"not within {deadline_s} s: {name} (last value: {value!r})")
        time.sleep(0.005)
