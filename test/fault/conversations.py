"""A compact set of conversations through the gateway, each of which yields comparable answers.

`Talk.all()` holds every conversation with a gateway and returns {name: [outcome]}. An outcome is
what a client can tell of one answer, without what changes by itself (dates, ids, ports):

    ("answer", interim statuses, status, fields, body, trailers)   an answer that came whole
    ("cut", what came of the body)                                 the connection ended in it: visibly not whole
    ("unsent",)                                                    no byte of an answer came

A chunked body is compared by its content, not by its chunks: those follow from the reads.
"""

import base64
import hashlib
import re
import socket
import time

import raw
import upstream as fake
from raw import Client, Closed, chunked, request_bytes

SMALL = b"small content, " * 20
CHANGING = ("date", "x-request-id")
ID = re.compile(rb'("(?:request_id|client)": ?")[^"]*"')


def noise(size):
    """Bytes in which a lost, doubled or misplaced piece shows."""
    out, at = [], 0
    while at * 32 < size:
        out.append(hashlib.sha256(b"%d" % at).digest())
        at += 1
    return b"".join(out)[:size]


def outcome_of(answer):
    fields = sorted((name, value) for name, value in answer.fields if name not in CHANGING)
    body = ID.sub(rb'\1"', answer.body)
    if answer.get("content-type") == "application/problem+json":
        fields = [(name, value) for name, value in fields if name != "content-length"]
    return ("answer", [i.status for i in answer.interim], answer.status, fields, body, answer.trailers)


def is_same(got, want):
    """Equal; but an interim answer may be left out while the client has not taken the one before it."""
    if got[0] == want[0] == "answer" and got[1][:1] == want[1][:1] and set(got[1]) <= set(want[1]):
        return got[2:] == want[2:]
    return got == want


def is_problem(outcome):
    """The gateway said itself, by a whole answer, that it could not do it."""
    return (outcome[0] == "answer" and outcome[2] >= 500 and
            ("content-type", "application/problem+json") in outcome[3])


# --- the upstream


def checked(exchange):
    """Read the body; what came whole must be what was sent."""
    exchange.read_body()
    told = exchange.get("x-sha")
    assert told is None or told == hashlib.sha256(exchange.body).hexdigest(), \
        f"{exchange.path}: {len(exchange.body)} bytes came as a whole body, and are not what was sent"
    return exchange.body


def back(exchange):
    exchange.reply(200, checked(exchange), [("X-Trailers", repr(exchange.trailers))])


def back_chunked(exchange):
    body = checked(exchange)
    exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n",
                  chunked([body[at:at + 1000] for at in range(0, len(body), 1000)], [("X-T", "end")]))


def back_until_close(exchange):
    body = checked(exchange)
    exchange.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
    exchange.close()


def early(exchange):
    exchange.reply(200, SMALL)
    checked(exchange)


def early_and_gone(exchange):
    exchange.reply(403, SMALL, [("Connection", "close")])
    try:
        exchange.conn.sock.shutdown(socket.SHUT_WR)
    except OSError:
        raise fake.Gone from None
    exchange.wait_gone()


def cut_length(exchange):
    checked(exchange)
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + SMALL)
    exchange.close()


def cut_large(exchange):
    """Half of what was announced."""
    body = checked(exchange)
    exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * len(body)) + body)
    exchange.close()


def cut_chunked(exchange):
    checked(exchange)
    exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n12c\r\n" + SMALL + b"\r\n")
    exchange.close()


def interim(exchange):
    exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    checked(exchange)
    exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
    exchange.reply(200, SMALL)


def switch(exchange):
    """To a tunnel; with the right answer to a key, where there is one."""
    key, accept = exchange.get("sec-websocket-key"), ""
    if key:
        answer = base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
        accept = f"Sec-WebSocket-Accept: {answer}\r\n"
    exchange.send(f"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Answer: of one\r\n{accept}\r\n".encode())
    exchange.keep = False


def tunnel(exchange):
    """Everything back, once the other side has ended."""
    switch(exchange)
    sock, parts = exchange.conn.sock, [exchange.conn.buffer]
    exchange.conn.buffer = b""
    try:
        while piece := sock.recv(65536):
            parts.append(piece)
        sock.sendall(b"".join(parts))
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        raise fake.Gone from None


def tunnel_counted(exchange):
    """Everything back, once as much has come as was announced."""
    switch(exchange)
    parts, left = [], int(exchange.get("x-length"))
    while left > 0:
        parts.append(exchange.conn.take(left))
        left -= len(parts[-1])
    exchange.send(b"".join(parts))


def new_upstream():
    server = fake.Upstream()
    for path, script in (("/back", back), ("/back-chunked", back_chunked), ("/back-close", back_until_close),
                         ("/early", early), ("/early-gone", early_and_gone), ("/cut-length", cut_length), ("/cut-large", cut_large),
                         ("/cut-chunked", cut_chunked), ("/interim", interim), ("/tunnel", tunnel), ("/tunnel-counted", tunnel_counted)):
        server.on(path, script)
    server.answer("/head", b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nX-A: b\r\n\r\n")
    server.answer("/none", b"HTTP/1.1 204 No Content\r\n\r\n")
    return server


def configuration(server, seconds):
    """One route to the upstream, and answers of our own; no deadline is longer than these seconds."""
    span = f"{seconds}s"
    return {
        "listeners": [{"name": "main", "bind": "127.0.0.1:0",
                       "timeout": {"head": span, "body": span, "idle": span, "write": span}}],
        "upstreams": {"app": {"endpoints": [server.address],
                              "timeout": {"connect": span, "response": span, "idle": span, "tunnel": span}}},
        "routes": [
            {"name": "echo", "match": {"path": "/echo"}, "echo": True},
            {"name": "hi", "match": {"path": "/hi"}, "respond": {"status": 200, "body": "hi\n"}},
            {"name": "moved", "match": {"path": "/moved"}, "redirect": {"path": "/new"}},
            {"name": "edited", "match": {"path": "/edited"}, "upstream": "app", "rewrite": {"path_prefix": "/back"},
             "request_fields": {"set": {"x-one": "1"}}, "response_fields": {"set": {"x-two": "2"}}},
            {"name": "tiny", "match": {"path": "/tiny"}, "upstream": "app", "limits": {"body": "10B"}},
            {"name": "all", "upstream": "app", "match": {"path": "/"}},
        ]}


def sha(body):
    return ("X-Sha", hashlib.sha256(body).hexdigest())


class Connection(Client):
    """Plain or TLS; one that cannot be made has ended."""

    def __init__(self, address, context=None):
        self.buffer = b""
        try:
            super().__init__(address)
            if context:
                self.sock = context.wrap_socket(self.sock, server_hostname="www.test", suppress_ragged_eofs=False)
        except OSError:
            self.sock = socket.socket()

    def _more(self, what):
        try:
            super()._more(what)
        except OSError:  # TLS ended without saying so, or never began
            raise Closed(what, self.buffer, reset=True) from None


class Talk:
    """Conversations with the gateway at this address; `big` bytes each way in the big ones."""

    def __init__(self, address, big, patience_s, context=None):
        self.address = address
        self.context = context  # of TLS; None: plain
        self.big = noise(big)
        self.patience_s = patience_s

    def all(self):
        names = [name for name in dir(self) if name.startswith("talk_")]
        return {name[len("talk_"):]: getattr(self, name)() for name in names}

    def converse(self, *steps):
        """
        Take the steps on one connection: (pieces to send, methods whose answers follow). The sender does
        not care whether all was taken. After an end, the rest is "unsent".
        """
        out, open_ = [], True
        with self.connect() as client:
            for pieces, methods in steps:
                for piece in pieces:
                    open_ = open_ and client.try_send(piece)
                for method in methods:
                    out.append(self.outcome(client, method))
        return out

    def connect(self):
        client = Connection(self.address, self.context)
        client.sock.settimeout(self.patience_s)
        return client

    @staticmethod
    def outcome(client, method):
        parts, began = [], time.monotonic()
        try:
            answer = client.read_response(method, parts.append)
        except Closed as closed:
            return ("cut", b"".join(parts)) if parts or closed.got else ("unsent",)
        except ConnectionError:
            return ("unsent",)
        except AssertionError as failure:
            if "no bytes for" in str(failure):
                failure.args = (f"hung for {time.monotonic() - began:.1f} s: {failure.args[0]}",)
            raise
        answer.body = b"".join(parts)
        return outcome_of(answer)

    def one(self, method="GET", target="/back", fields=(), body=None):
        return self.converse(([request_bytes(method, target, fields, body)], [method]))

    def talk_get(self):
        return self.one(target="/")

    def talk_head(self):
        return self.one("HEAD", "/head") + self.one(target="/none")

    def talk_post_length(self):
        return self.one("POST", "/back", [sha(SMALL)], SMALL)

    def talk_post_chunked(self):
        head = request_bytes("POST", "/back", [sha(SMALL), ("Transfer-Encoding", "chunked"), ("Trailer", "X-T")])
        return self.converse(([head, chunked([SMALL[:1], SMALL[1:100], SMALL[100:]], [("X-T", "v")])], ["POST"]))

    def talk_edited(self):
        return self.one("POST", "/edited?q=1", [sha(SMALL)], SMALL)

    def talk_pipelined(self):
        requests = (request_bytes("GET", "/") + request_bytes("POST", "/back", [sha(SMALL)], SMALL) +
                    request_bytes("GET", "/hi") + request_bytes("HEAD", "/head") +
                    request_bytes("POST", "/back-chunked", [sha(SMALL)], [SMALL]) + request_bytes("GET", "/"))
        return self.converse(([requests], ["GET", "POST", "GET", "HEAD", "POST", "GET"]))

    def talk_pipelined_many(self):
        """More than a block of heads waits while the first is answered."""
        return self.converse(([b"".join(request_bytes("GET", "/hi" if n % 3 else "/", [("X-Pad", "y" * (490 + n))])
                                        for n in range(60))], ["GET"] * 60))

    def talk_kept(self):
        """Six requests one after the other, on one connection of each side."""
        steps = [([request_bytes("POST", "/back", [sha(SMALL)], SMALL)], ["POST"]),
                 ([request_bytes("GET", "/")], ["GET"])] * 3
        return self.converse(*steps)

    def talk_big_length(self):
        return self.one("POST", "/back", [sha(self.big)], self.big)

    def talk_big_chunked(self):
        pieces = [self.big[at:at + 5000] for at in range(0, len(self.big), 5000)]
        return self.one("POST", "/back-chunked", [sha(self.big)], pieces)

    def talk_until_close(self):
        return self.one("POST", "/back-close", [sha(SMALL)], SMALL)

    def talk_early(self):
        """Whether the connection is kept follows from how much of the content was still to come."""
        [outcome] = self.one("POST", "/early", [sha(self.big)], self.big)
        if outcome[0] == "answer":
            outcome[3][:] = [field for field in outcome[3] if field != ("connection", "close")]
        return [outcome]

    def talk_early_and_gone(self):
        """The answer comes while only a part of the content has been sent."""
        body = self.big[:20000]
        head = request_bytes("POST", "/early-gone", [("Content-Length", str(2 * len(body)))])
        return self.converse(([head, body], ["POST"]))

    def talk_cut(self):
        return self.one(target="/cut-length") + self.one(target="/cut-chunked")

    def talk_tunnel(self):
        """An end in order must mean that all came; anything less must be a reset."""
        return self.tunnel("/tunnel")

    def tunnel(self, target, fields=()):
        parts = []
        with self.connect() as client:
            client.try_send(request_bytes(target=target, fields=[("Connection", "upgrade"), ("Upgrade", "websocket"), *fields]) +
                            self.big[:1000])
            outcome = self.outcome(client, "GET")
            if outcome[0] != "answer" or outcome[2] != 101:
                return [outcome]
            try:
                client.send(self.big[1000:])  # who sends hears of a reset first, and once
                client.half_close()
                client._read_rest(parts.append)
            except (Closed, OSError):
                return [("cut", b"".join(parts))]
        return [outcome[:4] + (b"".join(parts), outcome[5])]

    def tunnel_counted(self, target):
        """Where TLS leaves no half-closed connection, both sides know how much there is."""
        parts, body = [], self.big[:20000]
        with self.connect() as client:
            client.try_send(request_bytes(target=target, fields=[("Connection", "upgrade"), ("Upgrade", "websocket"),
                                                                 ("X-Length", str(len(body)))]))
            outcome = self.outcome(client, "GET")
            if outcome[0] != "answer" or outcome[2] != 101:
                return [outcome]
            client.try_send(body)
            try:
                client._read_rest(parts.append)
            except Closed:
                return [("cut", b"".join(parts))]
        return [outcome[:4] + (b"".join(parts), outcome[5])]

    def talk_interim(self):
        head = request_bytes("POST", "/interim", [sha(SMALL), ("Expect", "100-continue"),
                                                 ("Content-Length", str(len(SMALL)))])
        return self.converse(([head, SMALL], ["POST"]))

    def talk_close(self):
        return self.one(target="/", fields=[("Connection", "close")])

    def talk_local(self):
        return self.converse(*[([request_bytes(method, target, (), body)], [method]) for method, target, body in (
            ("GET", "/hi", None), ("HEAD", "/hi", None), ("GET", "/echo/a?b=c", None), ("GET", "/moved", None),
            ("POST", "/tiny", SMALL), ("GET", "/hi", None))])

    def talk_malformed(self):
        return (self.converse(([b"GET / HTTP/1.1\r\nHost: a\r\nbad line\r\n\r\n"], ["GET"])) +
                self.converse(([request_bytes("POST", "/back", [("Transfer-Encoding", "chunked")]) + b"zz\r\n"],
                               ["POST"])))


def probe(address, patience_s):
    """Is an ordinary request answered right? Nothing is broken any more."""
    with Client(address) as client:
        client.sock.settimeout(patience_s)
        answer = client.ask("GET", "/")
        assert (answer.status, answer.body) == (200, b"ok"), answer
        answer = client.ask("POST", "/back", [sha(SMALL)], [SMALL])
        assert (answer.status, answer.body) == (200, SMALL), answer
