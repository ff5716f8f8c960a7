"""The conversations of conversations.py by HTTP/2: a client, a scripted upstream, and what is said.

Outcomes are the same as there. A stream that is reset, or whose connection ends, is "cut" or "unsent".
"""

import hashlib
import time

import h2.errors
import h2.exceptions

import h2_upstream
from conversations import CHANGING, ID, SMALL, noise
from h2_client import H2Client

REFUSED, INTERNAL = h2.errors.ErrorCodes.REFUSED_STREAM, h2.errors.ErrorCodes.INTERNAL_ERROR
EXTENDED_CONNECT = 8


# --- the upstream


def checked(exchange):
    """Read the body; what came whole must be what was sent."""
    body = bytes(exchange.read_body())
    told = exchange.get("x-sha")
    assert told is None or told == hashlib.sha256(body).hexdigest(), \
        f"{exchange.path}: {len(body)} bytes came as a whole body, and are not what was sent"
    return body


def back(exchange):
    exchange.reply(200, checked(exchange), [("x-trailers", repr(exchange.trailers))])


def back_trailers(exchange):
    exchange.reply(200, checked(exchange), [("trailer", "x-t")], trailers=[("x-t", "end")])


def early(exchange):
    exchange.reply(200, SMALL)


def cut(exchange):
    checked(exchange)
    exchange.head(200, [("content-length", "1000")])
    exchange.data(SMALL)
    exchange.reset(INTERNAL)


def cut_connection(exchange):
    checked(exchange)
    exchange.head(200)
    exchange.data(SMALL)
    exchange.conn.close()


def interim(exchange):
    exchange.head(103, [("link", "</x>")])
    checked(exchange)
    exchange.reply(200, SMALL)


def is_first(exchange):
    """Has a request with this mark not been here before?"""
    same = [e for e in exchange.conn.upstream.exchanges if e.get("x-mark") == exchange.get("x-mark")]
    return same[0] is exchange


def refuse(exchange):
    """The first try is refused; it was surely not processed, so there is a second."""
    if is_first(exchange):
        exchange.reset(REFUSED)
    else:
        back(exchange)


def leave(exchange):
    """The first try is left out by a GOAWAY."""
    if is_first(exchange):
        exchange.conn.goaway(max(exchange.id - 2, 0))
    else:
        back(exchange)


def tunnel(exchange):
    """Everything back, once the other side has ended."""
    exchange.head(200, [("x-answer", "of two")])
    exchange.data(bytes(exchange.read_body()), end=True)


SCRIPTS = {"/back": back, "/back-chunked": back_trailers, "/early": early, "/cut-length": cut, "/cut-chunked": cut_connection,
           "/interim": interim, "/refuse": refuse, "/leave": leave, "/tunnel": tunnel}


def new_upstream():
    def serve(exchange):
        SCRIPTS.get(exchange.path, h2_upstream.answer_ok)(exchange)
    return h2_upstream.H2Upstream(serve, {EXTENDED_CONNECT: 1})


# --- the client


class Streams(H2Client):
    """Requests on one connection, each of which comes to an outcome whatever becomes of the connection."""

    def __init__(self, address, patience_s, context=None):
        self.patience_s = patience_s
        self.answers, self.closed = {}, True
        try:
            super().__init__(address, context)
        except OSError:
            self.closed = True
            self.sock = None

    def __exit__(self, *_):
        if self.sock:
            self.sock.close()

    def take(self):
        """What comes next; an end is noted."""
        try:
            self.receive(self.patience_s)
        except TimeoutError:
            raise AssertionError(f"hung: no bytes for {self.patience_s} s: {self.answers} {self.goaways}") from None
        except h2.exceptions.ProtocolError as failure:
            raise AssertionError(f"what no server may send: {failure!r}") from None
        except OSError:  # TLS says in its own words that the other side has gone
            self.closed = True

    def say(self, what, stream=None):
        """Let the machine say something; True when that was possible."""
        if self.closed or (stream and self.answers[stream].reset is not None):
            return False
        try:
            what(self.h2)
        except h2.exceptions.ProtocolError:  # it has heard a GOAWAY
            return False
        self.flush()
        return not self.closed

    def begin(self, method="GET", path="/", fields=(), body=None, end=True, trailers=(), pseudo=()):
        """Its stream; None when there is no connection any more."""
        if self.closed:
            return None
        try:
            stream = self.ask(method, path, fields, end=end and body is None, pseudo=pseudo)
        except h2.exceptions.ProtocolError:
            return None
        if body is not None:
            self.send_content(stream, body, end and not trailers)
        if trailers:
            self.say(lambda h: h.send_headers(stream, list(trailers), end_stream=True), stream)
        return stream

    def send_content(self, stream, body, end=True):
        """As fast as the windows let it go."""
        answer, view, going = self.answers[stream], memoryview(body), True
        while view and going and not answer.ended:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(view))
            if room > 0:
                going = self.say(lambda h, part=bytes(view[:room]): h.send_data(stream, part), stream)
                view = view[room:]
            else:
                self.take()
                going = not self.closed and answer.reset is None
        if end and going and not view:
            self.say(lambda h: h.end_stream(stream), stream)

    def outcome(self, stream):
        if stream is None:
            return ("unsent",)
        answer, began = self.answers[stream], time.monotonic()
        while not (answer.ended or answer.reset is not None or self.closed):
            assert time.monotonic() - began < self.patience_s * 4, f"hung: {self.answers}"
            self.take()
        return self.outcome_now(answer)

    @staticmethod
    def outcome_now(answer):
        body = bytes(answer.body)
        if answer.status is None:
            return ("unsent",)
        if not answer.ended:
            return ("cut", body)
        fields = sorted(f for f in answer.fields if f[0] not in CHANGING and f[0] != ":status")
        if ("content-type", "application/problem+json") in fields:
            fields = [field for field in fields if field[0] != "content-length"]
        return ("answer", answer.interim, answer.status, fields, ID.sub(rb'\1"', body), answer.trailers or [])


def sha(body):
    return ("x-sha", hashlib.sha256(body).hexdigest())


class StreamTalk:
    """As Talk, by HTTP/2, to the upstreams one (HTTP/1.1) and two (HTTP/2)."""

    def __init__(self, address, big, patience_s, context=None):
        self.address, self.big, self.patience_s, self.context = address, noise(big), patience_s, context

    def connect(self):
        return Streams(self.address, self.patience_s, self.context)

    def all(self):
        names = [name for name in dir(self) if name.startswith("talk_")]
        return {f"{up}_{name[len('talk_'):]}": getattr(self, name)(f"/{up}") for up in ("one", "two") for name in names}

    def in_turn(self, *requests):
        with self.connect() as client:
            return [client.outcome(client.begin(*request)) for request in requests]

    def talk_plain(self, up):
        return self.in_turn(("GET", up + "/"), ("HEAD", up + "/"), ("POST", up + "/back", [sha(SMALL)], SMALL),
                            ("POST", up + "/back-chunked", [sha(SMALL)], SMALL), ("GET", up + "/"))

    def talk_trailers(self, up):
        with self.connect() as client:
            return [client.outcome(client.begin("POST", up + "/back", [sha(SMALL), ("trailer", "x-t"), ("te", "trailers")], SMALL,
                                                trailers=[("x-t", "v")]))]

    def talk_at_once(self, up):
        """More than a flush of streams, with and without content, and some that are answered here."""
        with self.connect() as client:
            streams = [client.begin("POST", up + "/back", [sha(SMALL)], SMALL) if n % 3 == 1 else
                       client.begin("GET", "/hi" if n % 3 else up + "/") for n in range(12)]
            return [client.outcome(stream) for stream in streams]

    def talk_big(self, up):
        return self.in_turn(("POST", up + "/back", [sha(self.big)], self.big))

    def talk_early(self, up):
        return self.in_turn(("POST", up + "/early", [sha(self.big)], self.big))

    def talk_cut(self, up):
        return self.in_turn(("GET", up + "/cut-length"), ("GET", up + "/cut-chunked"), ("GET", up + "/"))

    def talk_interim(self, up):
        return self.in_turn(("POST", up + "/interim", [sha(SMALL)], SMALL))

    def talk_wrong(self, up):
        """A reset of ours beside a request that goes on; a head that is refused."""
        with self.connect() as client:
            lost = client.begin("POST", up + "/back", [("content-length", "1000")], SMALL, end=False)
            stream = client.begin("GET", up + "/")
            if lost:
                client.say(lambda h: h.reset_stream(lost, h2.errors.ErrorCodes.CANCEL), lost)
            return [client.outcome(stream), client.outcome(client.begin("GET", up + "/", [("x", "a\0b")]))]

    def talk_local(self, up):
        if up != "/one":
            return []
        return self.in_turn(("GET", "/echo/a?b=c"), ("GET", "/moved"), ("POST", "/tiny", [sha(SMALL)], SMALL), ("GET", "/hi"))


class UpstreamTalk:
    """By HTTP/1.1 to the upstreams of these routes."""

    def __init__(self, talk, *routes):
        self.talk, self.routes = talk, routes

    def all(self):
        names = [name for name in dir(self) if name.startswith("talk_")]
        return {f"{up}_1_{name[len('talk_'):]}": getattr(self, name)(f"/{up}") for up in self.routes for name in names}

    def talk_plain(self, up):
        return (self.talk.one(target=up + "/") + self.talk.one("POST", up + "/back", [sha(SMALL)], SMALL) +
                self.talk.one("POST", up + "/back-chunked", [sha(SMALL)], [SMALL]))

    def talk_big(self, up):
        return self.talk.one("POST", up + "/back", [sha(self.talk.big)], self.talk.big)

    def talk_cut(self, up):
        return self.talk.one(target=up + "/cut-length") + self.talk.one(target=up + "/cut-chunked")


class RefusedTalk(UpstreamTalk):
    """The upstream speaks HTTP/2, and refuses some."""

    def talk_refused(self, up):
        """Tried again whatever the method, for it was surely not processed."""
        return [*self.talk.one("POST", up + "/refuse", [sha(SMALL), ("X-Mark", "a")], SMALL),
                *self.talk.one("POST", up + "/leave", [sha(SMALL), ("X-Mark", "b")], SMALL)]


class TunnelTalk:
    """Tunnels in all pairs of protocols, with fields that the access log has to keep for their lines."""

    FIELDS = [("x-tag", "of the client"), ("user-agent", "the test")]

    def __init__(self, talk, routes):
        self.talk, self.routes = talk, routes

    def all(self):
        return {f"{up}_by_{by.__name__}": by(f"/{up}") for up in self.routes for by in (self.one, self.two)}

    def one(self, up):
        return self.talk.tunnel(up + "/tunnel", self.FIELDS)

    def two(self, up):
        with Streams(self.talk.address, self.talk.patience_s) as client:
            stream = client.begin("CONNECT", up + "/tunnel", self.FIELDS, end=False, pseudo=[(":protocol", "websocket")])
            if stream is None:
                return [("unsent",)]
            answer = client.answers[stream]
            while not (answer.status or answer.reset is not None or client.closed):
                client.take()
            if answer.status == 200:
                client.send_content(stream, self.talk.big)
            return [client.outcome(stream)]
