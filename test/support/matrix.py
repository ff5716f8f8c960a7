"""Both ends of an exchange in one thread: a client and an origin, of HTTP/1.1 or HTTP/2, plain or TLS, with the same words.

Nothing happens here but what the test says next, so every step of an exchange has come before the next is made.
"""

import socket
import struct

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from h2_client import RST_STREAM, H2Client, frame
from raw import DEADLINE_S, Client, Closed, parse_fields
from upstream import Connection, Gone

CANCEL = int(h2.errors.ErrorCodes.CANCEL)


def reset_socket(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# --- clients


class H1Client:
    def __init__(self, address, context=None):
        self.raw = Client(address)
        if context:
            context.set_alpn_protocols(["http/1.1"])
            self.raw.sock = context.wrap_socket(self.raw.sock, server_hostname="www.test")
        self.status, self.body, self.trailers, self.ended = None, b"", [], True

    def begin(self, path, has_content):
        self.status, self.body, self.trailers, self.ended = None, b"", [], False
        framing = "Transfer-Encoding: chunked\r\nTE: trailers\r\n" if has_content else ""
        method = "POST" if has_content else "GET"
        self.raw.send(f"{method} {path} HTTP/1.1\r\nHost: www.test\r\n{framing}\r\n".encode())

    def content(self, data):
        self.raw.send(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self, trailers=()):
        self.raw.send(b"0\r\n" + b"".join(f"{name}: {value}\r\n".encode() for name, value in trailers) + b"\r\n")

    def try_end(self, data):
        """The rest of the content, if anybody still takes it."""
        try:
            self.content(data)
            self.end()
            self.raw.half_close_quietly()
        except OSError:
            pass

    def read_head(self):
        if self.status is None:
            self.response = self.raw.read_head()
            self.status = self.response.status

    def add(self, piece):
        self.body += piece

    def read_chunk(self):
        size = int(self.raw.read_line("in content"), 16)
        if size:
            self.raw.read_exactly(size, self.add, [])
            assert self.raw.read_line("after a chunk") == b""
            return
        lines = []
        while (line := self.raw.read_line("in trailers")) != b"":
            lines.append(line)
        self.trailers, self.ended = parse_fields(b"\r\n".join(lines)), True

    def read_content(self, size):
        self.read_head()
        while len(self.body) < size:
            self.read_chunk()

    def whole(self):
        self.read_head()
        length = self.response.get("content-length")
        if length is not None:
            self.raw.read_exactly(int(length), self.add, [])
            self.ended = True
        while not self.ended:
            self.read_chunk()
        return self.status, self.body, self.trailers

    def wait_cut(self):
        try:
            while not self.ended:
                self.read_chunk()
        except Closed:
            return
        raise AssertionError(f"the answer came whole: {self.body!r}")

    def reset(self):
        reset_socket(self.raw.sock)

    def close(self):
        self.raw.close()


class H2ClientOnly:
    """One stream at a time."""

    def __init__(self, address, context=None):
        if context:
            context.set_alpn_protocols(["h2"])
        self.conn = H2Client(address, context)
        self.scheme = "https" if context else "http"
        self.stream = 0

    @property
    def answer(self):
        return self.conn.answers[self.stream]

    @property
    def status(self):
        return self.answer.status

    @property
    def body(self):
        return bytes(self.answer.body)

    def begin(self, path, has_content):
        self.stream = self.conn.h2.get_next_available_stream_id()
        fields = [("te", "trailers")] if has_content else []
        self.conn.send_head(self.stream, [(":method", "POST" if has_content else "GET"), (":scheme", self.scheme), (":path", path),
                                          (":authority", "www.test"), *fields], end=not has_content)

    def content(self, data):
        self.conn.send_body(self.stream, data, end=False)

    def end(self, trailers=()):
        if trailers:
            self.conn.h2.send_headers(self.stream, list(trailers), end_stream=True)
        else:
            self.conn.h2.end_stream(self.stream)
        self.conn.flush()

    def try_end(self, data):
        """The rest of the content, if anybody still takes it."""
        try:
            self.content(data)
            self.end()
        except h2.exceptions.ProtocolError:
            pass
        self.conn.ping()

    def read_content(self, size):
        self.conn.wait(lambda: len(self.answer.body) >= size, "content")

    def whole(self):
        answer = self.conn.answer(self.stream)
        assert answer.ended, answer
        return answer.status, bytes(answer.body), answer.trailers or []

    def wait_cut(self):
        answer = self.conn.answer(self.stream)
        assert answer.reset is not None and not answer.ended, answer

    def reset(self):
        """RST_STREAM, whatever has become of the stream; the connection lives."""
        self.conn.send_bytes(frame(RST_STREAM, 0, self.stream, struct.pack(">I", CANCEL)))
        self.conn.ping()

    def close(self):
        self.conn.sock.close()


CLIENTS = {"h1": H1Client, "h2": H2ClientOnly}


# --- origins


class H1Origin:
    def __init__(self, sock):
        self.conn = Connection(sock, 0)
        self.conn.sock.settimeout(DEADLINE_S * 2)
        self.body, self.trailers, self.ended = b"", [], False

    def take(self):
        """The path of the next request."""
        head = self.conn.head()
        assert head is not None, "the gateway has ended the connection"
        first, _, rest = head.partition(b"\r\n")
        self.body, self.trailers = b"", []
        self.ended = dict(parse_fields(rest)).get("transfer-encoding") != "chunked"
        return first.split(b" ")[1].decode()

    def read_chunk(self):
        left = int(self.conn.line(), 16)
        if left == 0:
            lines = []
            while (line := self.conn.line()) != b"":
                lines.append(line)
            self.trailers, self.ended = parse_fields(b"\r\n".join(lines)), True
            return
        while left:
            piece = self.conn.take(left)
            self.body += piece
            left -= len(piece)
        assert self.conn.line() == b""

    def read_content(self, size):
        while len(self.body) < size:
            self.read_chunk()

    def whole(self):
        while not self.ended:
            self.read_chunk()
        return self.body, self.trailers

    def head(self, status):
        self.conn.send(f"HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n".encode())

    def content(self, data):
        self.conn.send(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self, trailers=()):
        self.conn.send(b"0\r\n" + b"".join(f"{name}: {value}\r\n".encode() for name, value in trailers) + b"\r\n")

    def reset(self):
        self.conn.reset()

    reset_connection = reset

    def wait_gone(self):
        """The gateway has given this exchange up: it ends the connection."""
        try:
            while True:
                self.conn.take(65536)
        except Gone:
            return

    def is_open(self):
        self.conn.sock.settimeout(0.05)
        try:
            return self.conn.sock.recv(1) != b""
        except TimeoutError:
            return True
        finally:
            self.conn.sock.settimeout(DEADLINE_S * 2)

    def close(self):
        self.conn.close()


class H2Origin:
    """One stream at a time."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(DEADLINE_S * 2)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin-1"))
        self.closed, self.pongs = False, 0
        self.stream, self.path, self.seen = 0, None, 0
        self.body, self.trailers, self.ended, self.was_reset = b"", [], False, False
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def on(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.stream, self.path = event.stream_id, dict(event.headers)[":path"]
            self.body, self.trailers, self.ended, self.was_reset = b"", [], False, False
        elif isinstance(event, h2.events.DataReceived):
            self.body += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            self.trailers = list(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            self.ended = True
        elif isinstance(event, h2.events.StreamReset):
            self.was_reset = True
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1

    def wait(self, condition, what):
        while not condition():
            assert not self.closed, f"{what} did not come"
            data = self.sock.recv(65536)  # with a timeout
            self.closed = not data
            for event in self.h2.receive_data(data) if data else []:
                self.on(event)
            if not self.closed:
                self.flush()

    def take(self):
        self.wait(lambda: self.stream > self.seen, "a request")
        self.seen = self.stream
        return self.path

    def read_content(self, size):
        self.wait(lambda: len(self.body) >= size, "content")

    def whole(self):
        self.wait(lambda: self.ended, "the end of the request")
        return self.body, self.trailers

    def head(self, status):
        self.h2.send_headers(self.stream, [(":status", str(status))])
        self.flush()

    def content(self, data):
        self.h2.send_data(self.stream, data)
        self.flush()

    def end(self, trailers=()):
        if trailers:
            self.h2.send_headers(self.stream, list(trailers), end_stream=True)
        else:
            self.h2.end_stream(self.stream)
        self.flush()

    def reset(self):
        self.h2.reset_stream(self.stream, CANCEL)
        self.flush()

    def reset_connection(self):
        reset_socket(self.sock)

    def wait_gone(self):
        """The gateway has given this exchange up: it resets the stream."""
        self.wait(lambda: self.was_reset, "a reset")

    def is_open(self):
        before = self.pongs
        self.h2.ping(b"roundtrp")
        self.flush()
        self.wait(lambda: self.pongs > before, "a pong")
        return True

    def close(self):
        self.sock.close()


ORIGINS = {"h1": H1Origin, "h2": H2Origin}


class Origins:
    """Sockets that listen, by name ({name: (protocol, with TLS?)}); accept() gives the connection that the gateway has made."""

    def __init__(self, pki, kinds):
        self.kinds, self.pki = kinds, pki
        self.listening = {name: socket.create_server(("127.0.0.1", 0)) for name in kinds}

    def address(self, name):
        return "127.0.0.1:%d" % self.listening[name].getsockname()[1]

    def accept(self, name):
        protocol, has_tls = self.kinds[name]
        self.listening[name].settimeout(DEADLINE_S * 2)
        sock, _ = self.listening[name].accept()
        sock.settimeout(DEADLINE_S * 2)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if has_tls:
            context = self.pki.server("origin")
            context.set_alpn_protocols(["h2" if protocol == "h2" else "http/1.1"])
            sock = context.wrap_socket(sock, server_side=True)
        return ORIGINS[protocol](sock)

    def close(self):
        for sock in self.listening.values():
            sock.close()
