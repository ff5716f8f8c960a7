"""An HTTP/2 client for tests, by python3-h2, that also says what no honest client would."""

import socket
import struct
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hpack

from raw import DEADLINE_S, open_socket

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 1, 4, 1
CALM = h2.errors.ErrorCodes.ENHANCE_YOUR_CALM


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class Answer:
    """What came back on one stream."""

    def __init__(self):
        self.status, self.fields, self.body, self.trailers = None, [], bytearray(), None
        self.interim, self.ended, self.reset = [], False, None

    def get(self, name, default=None):
        return next((value for key, value in self.fields if key == name), default)

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:200]!r} ended={self.ended} reset={self.reset}>"


class H2Client:
    def __init__(self, address, context=None, settings=None, open_windows=True):
        sock = open_socket(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = context.wrap_socket(sock, server_hostname="www.test") if context else sock
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding="latin-1", validate_outbound_headers=False,
            normalize_outbound_headers=False, validate_inbound_headers=True))
        self.h2.initiate_connection()
        if settings:
            self.h2.update_settings(settings)
        self.open_windows = open_windows
        self.answers, self.goaways, self.settings, self.pongs, self.closed = {}, [], {}, 0, False
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def flush(self):
        self.send_bytes(self.h2.data_to_send())

    def send_bytes(self, data):
        """Whatever it is; True when it went."""
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            self.closed = True
            return False

    def ask(self, method="GET", path="/", fields=(), body=None, end=True, authority="www.test", pseudo=()):
        """Begin a request; its stream. body None: the head is the end, if end says so."""
        stream = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "http"), (":path", path), *pseudo]
        if authority is not None:
            head.append((":authority", authority))
        self.send_head(stream, [*head, *fields], end and body is None)
        if body is not None:
            self.send_body(stream, body, end)
        return stream

    def send_head(self, stream, head, end=True):
        self.answers[stream] = Answer()
        self.h2.send_headers(stream, head, end_stream=end)
        self.flush()

    def send_body(self, stream, body, end=True):
        """As fast as the windows let it go."""
        view = memoryview(bytes(body))
        while view and not self.closed and self.answers[stream].reset is None:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(view))
            if room == 0:
                self.receive()
                continue
            last = end and room == len(view)
            self.h2.send_data(stream, bytes(view[:room]), end_stream=last)
            self.flush()
            view = view[room:]
        if end and not body:
            self.h2.end_stream(stream)
            self.flush()

    def receive(self, timeout=DEADLINE_S):
        """Take what comes next; False at the end of the connection."""
        self.sock.settimeout(timeout)
        try:
            data = self.sock.recv(65536)
        except (ConnectionError, BrokenPipeError):
            data = b""
        if not data:
            self.closed = True
            return False
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            if not self.goaways:  # python3-h2 reads nothing behind a GOAWAY
                raise
            events = []
        for event in events:
            self.on(event)
        self.flush()
        return True

    def on(self, event):
        answer = self.answers.setdefault(getattr(event, "stream_id", 0), Answer())
        if isinstance(event, h2.events.InformationalResponseReceived):
            answer.interim.append(int(dict(event.headers)[":status"]))
        elif isinstance(event, h2.events.ResponseReceived):
            answer.fields = list(event.headers)
            answer.status = int(answer.get(":status"))
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = list(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data
            if self.open_windows and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = event.error_code
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaways.append((event.last_stream_id, event.error_code))
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self.settings.update({code: change.new_value for code, change in event.changed_settings.items()})
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1

    def wait(self, condition, what, deadline_s=DEADLINE_S * 2):
        """Read until the condition holds; at the end of the connection it must."""
        until = time.monotonic() + deadline_s
        while not condition():
            left = until - time.monotonic()
            assert left > 0 and not self.closed, f"{what} did not come: {self.answers} {self.goaways}"
            try:
                self.receive(max(left, 0.01))
            except TimeoutError:
                continue

    def answer(self, stream):
        """The whole answer, or as much as came before a reset."""
        it = self.answers[stream]
        self.wait(lambda: it.ended or it.reset is not None, f"the answer of stream {stream}")
        return it

    def get(self, path="/", **options):
        return self.answer(self.ask("GET", path, **options))

    def ping(self):
        """A round trip: everything sent before has been read."""
        before = self.pongs
        self.h2.ping(b"roundtrp")
        self.flush()
        self.wait(lambda: self.pongs > before, "a pong")

    def read_out(self, deadline_s=DEADLINE_S * 2):
        """Read to the end of the connection."""
        until = time.monotonic() + deadline_s
        while not self.closed:
            left = until - time.monotonic()
            assert left > 0, f"the connection does not end: {self.goaways}"
            try:
                self.receive(max(left, 0.01))
            except TimeoutError:
                continue


class RawH2:
    """Frames as bytes, and nothing that understands them but a reader of frame headers."""

    def __init__(self, address, settings=b""):
        self.sock = open_socket(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder = hpack.Encoder()
        self.buffer, self.frames = b"", []
        self.broken = False
        self.send(PREFACE + frame(SETTINGS, payload=settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        """True when it went."""
        if self.broken:
            return False
        try:
            self.sock.sendall(data)
        except OSError:
            self.broken = True
        return not self.broken

    def head(self, stream, end=True, path="/", extra=(), flags=END_HEADERS, method="GET"):
        block = self.encoder.encode([(":method", method), (":scheme", "http"), (":path", path),
                                     (":authority", "www.test"), *extra], huffman=False)
        return frame(HEADERS, flags | (END_STREAM if end else 0), stream, block)

    def read_frames(self, until, deadline_s=DEADLINE_S * 2):
        """Read frames until one for which until(kind, flags, stream, payload), or the end (None)."""
        limit = time.monotonic() + deadline_s
        while True:
            while len(self.buffer) >= 9:
                size = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) < 9 + size:
                    break
                kind, flags = self.buffer[3], self.buffer[4]
                stream = int.from_bytes(self.buffer[5:9], "big") & 0x7fffffff
                payload, self.buffer = self.buffer[9:9 + size], self.buffer[9 + size:]
                self.frames.append((kind, flags, stream, payload))
                if until(kind, flags, stream, payload):
                    return self.frames[-1]
            assert time.monotonic() < limit, f"no such frame: {self.frames[-20:]}"
            self.sock.settimeout(max(limit - time.monotonic(), 0.01))
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                return None
            if not data:
                return None
            self.buffer += data

    def goaway(self):
        """The error code of the GOAWAY that ends the connection; None: it ended without."""
        found = self.read_frames(lambda kind, *_: kind == GOAWAY)
        return int.from_bytes(found[3][4:8], "big") if found else None
