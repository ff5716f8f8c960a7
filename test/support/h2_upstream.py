"""A scripted HTTP/2 upstream, by python3-h2: what a real one would do, and what none would.

Each request is served by a thread of its own, which calls script(exchange) when the head has come.
"""

import socket
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from raw import DEADLINE_S, wait_until

REFUSED, CANCEL, NO_ERROR = h2.errors.ErrorCodes.REFUSED_STREAM, h2.errors.ErrorCodes.CANCEL, h2.errors.ErrorCodes.NO_ERROR


class Gone(Exception):
    """The stream or the connection is no more."""


class H2Exchange:
    """One request, and what may be said to it."""

    def __init__(self, conn, stream_id, fields):
        self.conn, self.id = conn, stream_id
        self.fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
        self.body, self.trailers = b"", None
        self.ended = False        # the request is whole
        self.reset_code = None    # the gateway has reset it

    def get(self, name, default=None):
        return next((value for key, value in self.fields if key == name), default)

    @property
    def method(self):
        return self.get(":method")

    @property
    def path(self):
        return self.get(":path")

    def wait(self, condition, what):
        """Wait for something that the connection's thread brings."""
        with self.conn.changed:
            if not self.conn.changed.wait_for(lambda: condition() or self.gone, DEADLINE_S * 2):
                raise AssertionError(f"{what} did not come: {self.fields}")
        if not condition():
            raise Gone(what)

    def act(self, what):
        """Do something with the machine, unless the stream is no more."""
        try:
            self.conn.act(what)
        except h2.exceptions.ProtocolError:
            if self.reset_code is None:
                raise
            raise Gone("the stream") from None

    @property
    def gone(self):
        return self.conn.closed or self.reset_code is not None

    def read_body(self):
        self.wait(lambda: self.ended, "the end of the request")
        return self.body

    def wait_reset(self):
        """The code that the gateway resets this stream with."""
        with self.conn.changed:
            assert self.conn.changed.wait_for(lambda: self.reset_code is not None, DEADLINE_S * 2), "no reset came"
        return self.reset_code

    def head(self, status=200, fields=(), end=False):
        self.act(lambda h: h.send_headers(self.id, [(":status", str(status)), *fields], end_stream=end))

    def data(self, data, end=False):
        """As the gateway's windows let it."""
        while data or end:
            self.wait(lambda: not data or self.conn.window(self.id) > 0, "an open window")
            part = data[:min(self.conn.window(self.id), 16384)] if data else b""
            data = data[len(part):]
            self.act(lambda h, part=part, data=data: h.send_data(self.id, part, end_stream=end and not data))
            if end and not data:
                return

    def trailer(self, *fields):
        self.act(lambda h: h.send_headers(self.id, list(fields), end_stream=True))

    def reply(self, status=200, body=b"ok", fields=(), trailers=None):
        self.head(status, fields, end=not body and not trailers)
        if body:
            self.data(body, end=not trailers)
        if trailers:
            self.trailer(*trailers)

    def reset(self, code=CANCEL):
        self.act(lambda h: h.reset_stream(self.id, code))


class H2Connection:
    def __init__(self, upstream, sock, number):
        self.upstream, self.sock, self.number = upstream, sock, number
        self.changed = threading.Condition()
        self.closed = False
        self.exchanges = {}
        self.goaway_code = None  # the gateway's
        self.pings = self.pongs = 0
        config = h2.config.H2Configuration(client_side=False, header_encoding=None, validate_outbound_headers=False,
                                           normalize_outbound_headers=False, validate_inbound_headers=True)
        self.h2 = h2.connection.H2Connection(config)
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=upstream.settings)

    def act(self, what):
        """Do something with the machine, and send what comes of it."""
        with self.changed:
            if self.closed:
                raise Gone("the connection")
            try:
                what(self.h2)
            except (h2.exceptions.StreamClosedError, h2.exceptions.NoSuchStreamError, h2.exceptions.StreamIDTooLowError):
                raise Gone("the stream") from None
            except h2.exceptions.ProtocolError:
                if self.goaway_code is None:
                    raise
                raise Gone("the connection") from None  # nothing can be said behind the gateway's GOAWAY
            self.flush()

    def flush(self):
        data = self.h2.data_to_send()
        try:
            if data:
                self.sock.sendall(data)
        except OSError:
            raise Gone("the connection") from None

    def window(self, stream_id):
        with self.changed:
            try:
                return self.h2.local_flow_control_window(stream_id)
            except h2.exceptions.H2Error:
                return 0

    def raw(self, data):
        """Bytes that no machine would send."""
        with self.changed:
            self.flush()
            self.sock.sendall(data)

    def goaway(self, last, code=NO_ERROR):
        """Say that no stream above last is, or will be, processed."""
        self.raw(b"\0\0\x08\x07\0\0\0\0\0" + last.to_bytes(4, "big") + int(code).to_bytes(4, "big"))

    def serve(self):
        try:
            with self.changed:
                self.h2.initiate_connection()
                self.flush()
            while True:
                data = self.sock.recv(65536)
                if not data:
                    break
                with self.changed:
                    for event in self.h2.receive_data(data):
                        self.on_event(event)
                    self.flush()
                    self.changed.notify_all()
        except (OSError, Gone, h2.exceptions.ProtocolError) as failure:
            self.upstream.failures.append(failure)
        finally:
            with self.changed:
                self.closed = True
                self.changed.notify_all()
            self.sock.close()

    def on_event(self, event):
        exchange = self.exchanges.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.RequestReceived):
            exchange = H2Exchange(self, event.stream_id, event.headers)
            exchange.ended = event.stream_ended is not None
            self.exchanges[event.stream_id] = exchange
            self.upstream.on_request(exchange)
        elif isinstance(event, h2.events.DataReceived) and exchange:
            if self.upstream.keeps_bodies:
                exchange.body += event.data
            if self.upstream.reads:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived) and exchange:
            exchange.trailers = [(n.decode(), v.decode()) for n, v in event.headers]
        elif isinstance(event, h2.events.StreamEnded) and exchange:
            exchange.ended = True
        elif isinstance(event, h2.events.StreamReset) and exchange:
            exchange.reset_code = event.error_code
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway_code = event.error_code
        elif isinstance(event, h2.events.PingReceived):
            self.pings += 1
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs += 1

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def answer_ok(exchange):
    exchange.read_body()
    exchange.reply()


class H2Upstream:
    """settings: {h2.settings.SettingCodes: value}. stop() it at the end; fails when a script failed."""

    def __init__(self, script=answer_ok, settings=None):
        self.script, self.settings = script, settings or {}
        self.reads = True         # windows are opened again
        self.keeps_bodies = True
        self.connections, self.exchanges = [], []
        self.failures, self.errors = [], []  # of connections; of scripts
        self.lock = threading.Lock()
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = "127.0.0.1:%d" % self.listening.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listening.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=[sock], daemon=True).start()

    def serve(self, sock):
        with self.lock:
            conn = H2Connection(self, sock, len(self.connections))
            self.connections.append(conn)
        conn.serve()

    def on_request(self, exchange):
        with self.lock:
            self.exchanges.append(exchange)
        threading.Thread(target=self.run, args=[exchange], daemon=True).start()

    def run(self, exchange):
        try:
            self.script(exchange)
        except Gone:
            pass
        except Exception as failure:  # a script's assertion is told by stop()
            self.errors.append(failure)

    def wait_requests(self, count=1):
        wait_until(lambda: len(self.exchanges) >= count, what=f"{count} requests upstream: {self.failures}")
        return self.exchanges[:count]

    def open_connections(self):
        return [conn for conn in self.connections if not conn.closed]

    def stop(self):
        self.stop_listening()
        self.close_connections()
        if self.errors:
            raise AssertionError(f"scripts of the fake upstream failed: {self.errors!r}") from self.errors[0]

    def stop_listening(self):
        try:
            self.listening.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listening.close()

    def close_connections(self):
        for conn in list(self.connections):
            conn.close()
