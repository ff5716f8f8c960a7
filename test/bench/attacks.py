#!/usr/bin/python3
"""Attacks on HTTP/2 beside a normal load: the load stays well, the attackers are cut off, a counter says why.

For each attack a gateway of two workers is started with the limits that it has by default; only timeouts are a second, so
that what hangs is over soon. A paced load asks it all the time, half by HTTP/1.1 and half by HTTP/2, each over kept
connections. After a second of warm-up comes the time before, then the same while attackers go on: each connects anew 20 ms
after it was cut off. Attackers run at a lower priority (nice 10): elsewhere they would have machines of their own. What they
take of this one shows in the time behind the attack: they do the same to a sink, which takes one read and ends the connection.

"p50" and "p99" are of the normal load (before, attacked, while a sink is attacked), "failed" how many of its requests did
not end with 200. "cut off" counts what the gateway ended: connections, or streams where the attack is made of these;
"after" is the median time from connecting (streams: from asking) to that, "frames" how many were sent by then, what waited
in sockets included. "counter" is what /metrics says, "CPU" what the gateway used, "ms a connection" what each of an
attacker's took of that beyond the normal load. PSS is read before, during (the highest of ten a second) and
after, when what is empty has gone back.

It fails when a normal request failed, an attack was not counted, nobody was cut off, an exchange is left over, or PSS
grew by more than --grow; where answers are not taken, that bound is above 4 KiB of content, and what an exchange needs,
for each of 100 streams of each attacker, in each worker. No time is judged.

    test/bench/attacks.py [--seconds 2] [--attackers 8] [--only "PING flood"] [--resets N] [--sluice PATH] [--save FILE]
"""

import argparse
import asyncio
import json
import logging
import multiprocessing
import os
import statistics
import struct
import sys
import tempfile
import time

import contenders
import machine

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test", "support"))

import hpack  # noqa: E402

from gateway import DEFAULT_BINARY, Gateway, run_sluice  # noqa: E402
from h2_client import (CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY,  # noqa: E402
                       RST_STREAM, SETTINGS, WINDOW_UPDATE, frame)

HOST = contenders.HOST
WORKERS = 2
WARM_S, AGAIN_S, DRIP_S, ENDED_S = 1, 0.02, 0.1, 3
CALM_S = 1  # between the attack and the sink's
CONNECTIONS, ANSWER_S, LARGE = 8, 10, 256 * 1024
MIB = 1024 * 1024
STREAMS = 100  # of a connection at the same time, by default
HELD_KIB = 16  # for each stream whose window is shut: 4 KiB of content, and what its exchange needs
SETTLE_S = 12  # what is not needed any more goes back to the system a second later, then half of it each second

# -- upstream --------------------------------------------------------------------------


class Endpoint(asyncio.Protocol):
    """/large: more than any window; all else is never answered. Its requests are no normal load."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        for _ in range(data.count(b"GET /large ")):
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE + bytes(LARGE))


def run_endpoint(pipe):
    async def serve():
        server = await asyncio.get_running_loop().create_server(Endpoint, HOST, 0, backlog=4096)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    os.nice(10)
    asyncio.run(serve())


class Sink(asyncio.Protocol):
    """As the gateway ends a connection that attacks, and does nothing else."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, _):
        if not self.transport.is_closing():
            self.transport.write(frame(GOAWAY, 0, 0, bytes(8)))
            self.transport.close()


def run_sink(pipe):
    async def serve():
        server = await asyncio.get_running_loop().create_server(Sink, HOST, 0, backlog=4096)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    os.nice(10)
    asyncio.run(serve())


# -- the normal load -------------------------------------------------------------------


class Http1:
    """One kept connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def ask(self):
        self.writer.write(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        for line in head.split(b"\r\n"):
            if line.startswith(b"content-length:"):
                await self.reader.readexactly(int(line.split(b":")[1]))
        return head.split(b" ")[1] == b"200"


class Http2:
    """The same; one request at a time, its stream alone is looked at."""

    def __init__(self, reader, writer):
        self.reader, self.writer, self.stream = reader, writer, -1
        self.block = hpack.Encoder().encode([(":method", "GET"), (":scheme", "http"), (":path", "/")], huffman=False)
        self.block += b"\x01\x05bench"  # :authority, kept in no table
        writer.write(PREFACE + frame(SETTINGS) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))

    async def ask(self):
        self.stream += 2
        self.writer.write(frame(HEADERS, END_HEADERS | END_STREAM, self.stream, self.block))
        good = False
        while True:
            head = await self.reader.readexactly(9)
            payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
            if kind == SETTINGS and not flags:
                self.writer.write(frame(SETTINGS, 1))
            elif kind == GOAWAY or (kind == RST_STREAM and stream == self.stream):
                return False
            elif stream == self.stream and kind == HEADERS:
                good = payload.lstrip(b"\x20")[:1] == b"\x88"  # :status 200, behind a table of no bytes
            if stream == self.stream and kind in (HEADERS, DATA) and flags & END_STREAM:
                return good


async def ask_until(port, make, number, pace_s, until, seen):
    """Ask at a pace; one that is late puts off the next. seen: (moment, seconds, good)"""
    one, due = None, time.monotonic() + pace_s * number / CONNECTIONS
    while due < until:
        await asyncio.sleep(max(0, due - time.monotonic()))
        due = max(due + pace_s, time.monotonic())
        begun, good = time.monotonic(), False
        try:
            if not one:
                one = make(*await asyncio.open_connection(HOST, port))
            good = await asyncio.wait_for(one.ask(), ANSWER_S)
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, ValueError):
            pass
        seen.append((begun, time.monotonic() - begun, good))
        if not good and one:
            one.writer.close()
            one = None


def run_load(pipe):
    """A process of its own, so that attackers do not make it wait. Is told (port, rate, end), tells what it saw."""
    async def load(port, rate, until):
        seen, pace_s = [], 2 * CONNECTIONS / rate
        await asyncio.gather(*(ask_until(port, make, number, pace_s, until, seen)
                               for make in (Http1, Http2) for number in range(CONNECTIONS)))
        return seen

    while True:
        pipe.send(asyncio.run(load(*pipe.recv())))


# -- attacks ---------------------------------------------------------------------------


class Made:
    """Frames of one connection, made once: the encoder's table goes on as these are sent."""

    def __init__(self):
        self.encoder = hpack.Encoder()

    def head(self, stream, path="/", end=True, flags=END_HEADERS, method="GET", extra=()):
        block = self.encoder.encode([(":method", method), (":scheme", "http"), (":path", path),
                                     (":authority", "bench"), *extra], huffman=False)
        return frame(HEADERS, flags | (END_STREAM if end else 0), stream, block)


def word(number):
    return struct.pack(">I", number)


def ids(count):
    return range(1, 2 * count, 2)


def each(count, make):
    made = Made()
    return [make(made, stream) for stream in ids(count)]


def rapid_reset():
    return each(4000, lambda made, stream: made.head(stream) + frame(RST_STREAM, 0, stream, word(8)))


def provoked_reset():
    """Each request is followed by a frame for which its stream must be reset ("made you reset")."""
    return each(4000, lambda made, stream: made.head(stream) + frame(WINDOW_UPDATE, 0, stream, word(0x7fffffff)))


def streams_beyond():
    """More streams than SETTINGS allow, before these are acknowledged."""
    return each(4000, lambda made, stream: made.head(stream, "/hang"))


def continuation():
    return [Made().head(1, flags=0)] + [frame(CONTINUATION, 0, 1, b"\x00\x01x\x01y")] * 4000


def settings():
    return [frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535))] * 4000


def pings():
    return [frame(PING, 0, 0, bytes(8))] * 4000


def empty_data():
    return [Made().head(1, "/hang", end=False, method="POST")] + [frame(DATA, 0, 1)] * 4000


def empty_headers():
    return [frame(HEADERS, END_HEADERS | END_STREAM, stream) for stream in ids(4000)]


def priorities():
    return [frame(PRIORITY, 0, stream, word(0) + b"\x0f") for stream in ids(4000)]


def in_frames(stream, block):
    """A head of as many frames as it takes."""
    pieces = [block[at:at + 16000] for at in range(0, len(block), 16000)]
    return b"".join(frame(CONTINUATION if n else HEADERS, (0 if n else END_STREAM) | (END_HEADERS if n == len(pieces) - 1 else 0),
                          stream, piece) for n, piece in enumerate(pieces))


def long_list():
    """Heads of 100 KiB, each field with all its bytes and in no table."""
    fields = b"".join(b"\x00\x04x-%02d\x7f\x81\x01" % n + b"v" * 256 for n in range(100)) * 4
    return [in_frames(stream, b"\x82\x86\x84\x01\x05bench" + fields) for stream in ids(40)]


def hpack_bomb():
    """A field fills the table once; then each byte stands for all of it."""
    made = Made()
    return [made.head(1, flags=0, end=False, extra=[("x-bomb", "b" * 3500)]),
            frame(CONTINUATION, END_HEADERS, 1, b"\xbe" * 16000)]


def hpack_table():
    """A table of 64 KiB, where 4 KiB were offered."""
    return [frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xe1\xff\x03")]


def hpack_churn():
    """Each head pushes all others out of the table, and is far too long as a list."""
    made, wire = Made(), []
    for stream in ids(40):
        block = made.encoder.encode([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "bench"),
                                     *((f"x-{stream}-{n}", "c" * 2000) for n in range(40))], huffman=False)
        wire.append(in_frames(stream, block))
    return wire


def large_answers():
    return [b"".join(each(STREAMS, lambda made, stream: made.head(stream, "/large")))]


def tiny_windows():
    return [Made().head(1, "/large")] + [frame(WINDOW_UPDATE, 0, 1, word(1))] * 4000


def slow_uploads():
    return [b"".join(each(STREAMS, lambda made, stream: made.head(stream, "/hang", end=False, method="POST")))]


def deaf():
    """Makes us answer and reads nothing; content between the PINGs makes them no flood by count."""
    return [Made().head(1, "/hang", end=False, method="POST")] + [
        frame(DATA, 0, 1, b"x") + frame(PING, 0, 0, bytes(8)) * 2] * 20000


class Attack:
    """wire: what is sent, as far as it is taken; drip: then this, ten times a second. cause: of the counter."""

    def __init__(self, wire, cause, *, window=None, drip=b"", family="sluice_http2_ended_total", label="cause",
                 of_streams=False, reads=True, holds=False):
        self.make, self.cause, self.window, self.drip = wire, cause, window, drip
        self.family, self.label, self.of_streams, self.reads, self.holds = family, label, of_streams, reads, holds

    def greeting(self):
        return PREFACE + frame(SETTINGS, payload=struct.pack(">HI", 4, self.window) if self.window is not None else b"")


DRIPS = b"".join(frame(WINDOW_UPDATE, 0, stream, word(1)) for stream in ids(4))  # so few are no flood of tiny windows
ATTACKS = {
    "rapid reset": Attack(rapid_reset, "rapid_reset"),
    "provoked resets": Attack(provoked_reset, "provoked_reset"),
    "streams beyond the limit": Attack(streams_beyond, "provoked_reset"),
    "CONTINUATION flood": Attack(continuation, "continuation_flood"),
    "SETTINGS flood": Attack(settings, "settings_flood"),
    "PING flood": Attack(pings, "ping_flood"),
    "PINGs, answers not read": Attack(deaf, ("ping_flood", "control_queue"), reads=False),
    "PRIORITY flood": Attack(priorities, "priority_flood"),
    "empty DATA flood": Attack(empty_data, "empty_frame_flood"),
    "empty HEADERS flood": Attack(empty_headers, "provoked_reset"),
    "header list size": Attack(long_list, "header_list_size"),
    "HPACK bomb": Attack(hpack_bomb, "header_list_size"),
    "HPACK table churned": Attack(hpack_churn, "header_list_size"),
    "HPACK table grown": Attack(hpack_table, "protocol_error"),
    "zero window held": Attack(large_answers, "slow_stream", window=0, of_streams=True, holds=True),
    "tiny windows": Attack(tiny_windows, "tiny_window_flood", window=0),
    "slow streams, down": Attack(large_answers, "slow_stream", window=0, drip=DRIPS, of_streams=True, holds=True),
    "slow streams, up": Attack(slow_uploads, "body_timeout", family="sluice_request_ends_total", label="reason",
                               of_streams=True),
}
BATCH = 50


class Attacker(asyncio.Protocol):
    """One connection: writes down when it, or its streams, were ended, and after how many frames."""

    def __init__(self, attack, batches, told):
        self.attack, self.batches, self.told = attack, batches, told
        self.buffer, self.frames, self.streams = b"", 0, 0
        self.room, self.over = asyncio.Event(), asyncio.Event()

    def connection_made(self, transport):
        self.transport, self.begun = transport, time.monotonic()
        transport.set_write_buffer_limits(0)
        if not self.attack.reads:
            transport.pause_reading()
        self.room.set()

    def pause_writing(self):
        self.room.clear()

    def resume_writing(self):
        self.room.set()

    def connection_lost(self, exc):
        self.over.set()
        self.room.set()
        if not self.attack.of_streams:
            self.cut_off()

    def cut_off(self):
        self.told.append((time.monotonic() - self.begun, self.frames))

    def data_received(self, data):
        self.buffer += data
        at = 0
        while len(self.buffer) - at >= 9:
            size = int.from_bytes(self.buffer[at:at + 3], "big")
            if len(self.buffer) - at < 9 + size:
                break
            self.take(self.buffer[at + 3], self.buffer[at + 4])
            at += 9 + size
        self.buffer = self.buffer[at:]

    def take(self, kind, flags):
        if kind == SETTINGS and not flags and self.attack.of_streams:
            self.transport.write(frame(SETTINGS, 1))
        ended = kind == RST_STREAM or (kind in (HEADERS, DATA) and flags & END_STREAM)
        if self.attack.of_streams and ended:
            self.cut_off()
            self.streams += 1
            if self.streams >= STREAMS:
                self.transport.close()

    async def go(self, until):
        self.transport.write(self.attack.greeting())
        for count, batch in self.batches:
            await self.room.wait()
            if self.over.is_set():
                break
            self.transport.write(batch)
            self.frames += count
        while not self.over.is_set() and time.monotonic() < until:
            if self.attack.drip:
                self.transport.write(self.attack.drip)
            try:
                await asyncio.wait_for(self.over.wait(), DRIP_S)
            except asyncio.TimeoutError:
                continue
        if not self.over.is_set():
            self.told = []  # it was we who went
            self.transport.abort()


def in_batches(wire):
    """[(how many frames, bytes)]"""
    made = []
    for at in range(0, len(wire), BATCH):
        batch, count, place = b"".join(wire[at:at + BATCH]), 0, 0
        while place < len(batch):
            place += 9 + int.from_bytes(batch[place:place + 3], "big")
            count += 1
        made.append((count, batch))
    return made


async def attack_until(attack, port, number, until):
    """Attackers that come again; [(seconds, frames)] of all that was cut off, and how often they connected."""
    batches, told, connects = in_batches(attack.make()), [], [0]

    async def attacker():
        while time.monotonic() < until:
            try:
                _, one = await asyncio.get_running_loop().create_connection(
                    lambda: Attacker(attack, batches, told), HOST, port)
                connects[0] += 1
                await one.go(until)
            except OSError:
                pass
            await asyncio.sleep(AGAIN_S)

    await asyncio.gather(*(attacker() for _ in range(number)))
    return told, connects[0]


def run_attackers(pipe):
    """A process of its own. Is told (name, port, how many, end)."""
    os.nice(10)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it warns of each write to one that was cut off
    while True:
        name, port, number, until = pipe.recv()
        pipe.send(asyncio.run(attack_until(ATTACKS[name], port, number, until)))


# -- one attack ------------------------------------------------------------------------


class Helper:
    """A process and the pipe to it."""

    def __init__(self, run):
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=run, args=(theirs,), daemon=True)
        self.process.start()

    def stop(self):
        self.process.kill()
        self.process.join()


def config(origin, endpoint, resets):
    flood = {} if resets is None else {"http2": {"flood": {"resets": resets}}}
    return {"workers": WORKERS, "access_log": {"path": "off"},
            "listeners": [{"name": "main", "bind": f"{HOST}:0", "timeout": {"head": "1s", "body": "1s", "write": "1s"}, **flood}],
            "upstreams": {"origin": {"endpoints": [f"{HOST}:{origin}"]}, "other": {"endpoints": [f"{HOST}:{endpoint}"]}},
            "routes": [{"match": {"path": "/large"}, "upstream": "other"}, {"match": {"path": "/hang"}, "upstream": "other"},
                       {"upstream": "origin"}]}


def percentile(seen, share):
    times = sorted(seconds for _, seconds, good in seen if good)
    return times[min(len(times) - 1, int(len(times) * share))] * 1000 if times else 0


def counted(metrics, attack):
    causes = attack.cause if isinstance(attack.cause, tuple) else (attack.cause,)
    return int(sum(metrics.get(attack.family, **{attack.label: cause}) for cause in causes))


def moved(before, after):
    """All that says why, with how much it grew."""
    found = {}
    for family, label in (("sluice_http2_ended_total", "cause"), ("sluice_http2_resets_received_total", "code"),
                          ("sluice_http2_resets_sent_total", "code")):
        for _, labels, value in after.find(family):
            more = int(value - before.get(family, **{label: labels[label]}))
            if more:
                found[f"{family}{{{labels[label]}}}"] = more
    return found


def lowest_pss(gateway, before):
    """When it is near what it was, or as it is after a while."""
    give_up = time.monotonic() + SETTLE_S
    while True:
        now = gateway.pss_kib()
        if now < before + 1024 or time.monotonic() > give_up:
            return now
        time.sleep(0.5)


def highest_pss(gateway, until):
    highest = 0
    while time.monotonic() < until:
        highest = max(highest, gateway.pss_kib())
        time.sleep(0.1)
    return highest


def cpus(gateway, since, cpu):
    return (machine.cpu_ns([gateway.pid]) - cpu) / 1e9 / (time.monotonic() - since)


def run_one(name, options, helpers, ports, folder):
    attack, gateway = ATTACKS[name], Gateway(options.sluice, folder, config(ports["origin"], ports["endpoint"], options.resets))
    try:
        port = int(gateway.address.rpartition(":")[2])
        begun = time.monotonic() + WARM_S
        attacked = begun + options.seconds
        over = attacked + options.seconds
        sunk, ends = over + CALM_S, over + CALM_S + options.seconds
        helpers["load"].pipe.send((port, options.rate, ends + 0.2))
        time.sleep(max(0, begun - time.monotonic()))
        cpu = machine.cpu_ns([gateway.pid])
        time.sleep(max(0, attacked - time.monotonic()))
        at_rest, before, pss = cpus(gateway, begun, cpu), gateway.metrics(), gateway.pss_kib()
        cpu = machine.cpu_ns([gateway.pid])
        helpers["attackers"].pipe.send((name, port, options.attackers, over))
        during = highest_pss(gateway, over)
        busy = cpus(gateway, attacked, cpu)
        told, connects = helpers["attackers"].pipe.recv()
        time.sleep(max(0, sunk - time.monotonic()))
        helpers["attackers"].pipe.send((name, ports["sink"], options.attackers, ends))
        _, sink_connects = helpers["attackers"].pipe.recv()
        seen = helpers["load"].pipe.recv()
        left = exchanges_left(gateway)
        after, pss_after = gateway.metrics(), lowest_pss(gateway, pss)
    finally:
        gateway.stop()
    quiet = [one for one in seen if begun <= one[0] < attacked]
    loud = [one for one in seen if attacked <= one[0] < over]
    beside = [one for one in seen if sunk <= one[0] < ends]
    return {"attack": name, "p50_ms": percentile(quiet, 0.5), "p99_ms": percentile(quiet, 0.99),
            "attacked_p50_ms": percentile(loud, 0.5), "attacked_p99_ms": percentile(loud, 0.99),
            "sink_p50_ms": percentile(beside, 0.5), "sink_p99_ms": percentile(beside, 0.99), "sink_connects": sink_connects,
            "requests": len(quiet), "attacked_requests": len(loud), "failed": sum(not good for _, _, good in seen),
            "pss_kib": [pss, during, pss_after], "cpus": [at_rest, busy],
            "connection_ms": (busy - at_rest) * options.seconds * 1000 / max(connects, 1), "connects": connects, "cut_off": len(told),
            "after_ms": statistics.median(t for t, _ in told) * 1000 if told else None,
            "frames": statistics.median(n for _, n in told) if told else None,
            "counted": counted(after, attack) - counted(before, attack), "cause": attack.cause,
            "moved": moved(before, after), "left": left}


def exchanges_left(gateway):
    give_up = time.monotonic() + ENDED_S
    while True:
        left = int(gateway.metric("sluice_worker_exchanges_active"))
        if left == 0 or time.monotonic() > give_up:
            return left
        time.sleep(0.05)


def wrong(got, options):
    """What is not as it must be."""
    grown = (max(got["pss_kib"]) - got["pss_kib"][0]) / 1024
    bound = options.grow + (options.attackers * STREAMS * HELD_KIB * WORKERS / 1024 if ATTACKS[got["attack"]].holds else 0)
    checks = [(got["failed"] > 0, f"{got['failed']} normal requests failed"),
              (got["counted"] == 0, f"not counted as {got['cause']}"), (got["cut_off"] == 0, "nobody was cut off"),
              (got["left"] > 0, f"{got['left']} exchanges are left over"),
              (grown > bound, f"PSS grew by {grown:.1f} MiB, more than {bound:.0f}")]
    return [text for holds, text in checks if holds]


# -- what is told ----------------------------------------------------------------------

HEAD = ["attack", "p50 ms", "p99 ms", "p50 attacked", "p99 attacked", "p50 sink", "p99 sink", "requests", "failed",
        "PSS MiB before, during, after",
        "CPU before, attacked", "ms a connection", "connects", "cut off", "after ms", "frames", "counter"]


def line_of(got):
    why = ", ".join(f"{name.removeprefix('sluice_http2_').replace('_total', '')} {more}"
                    for name, more in got["moved"].items())
    if not isinstance(got["cause"], str) or f"ended_total{{{got['cause']}}}" not in str(got["moved"]):
        why = ", ".join(filter(None, [f"{got['cause']} {got['counted']}" if isinstance(got["cause"], str) else "", why]))
    cells = [got["attack"], *(f"{got[key]:.1f}" for key in ("p50_ms", "p99_ms", "attacked_p50_ms", "attacked_p99_ms",
                                                           "sink_p50_ms", "sink_p99_ms")),
             got["requests"] + got["attacked_requests"], got["failed"],
             " ".join(f"{kib / 1024:.1f}" for kib in got["pss_kib"]), " ".join(f"{used:.2f}" for used in got["cpus"]),
             f"{got['connection_ms']:.2f}",
             got["connects"], got["cut_off"], "-" if got["after_ms"] is None else f"{got['after_ms']:.0f}",
             "-" if got["frames"] is None else f"{got['frames']:.0f}", why]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def save(path, lines, results, options):
    """A page with the machine, the command and the figures, and the same as JSON beside it."""
    about = [f"- {key}: {value}" for key, value in machine.describe().items()]
    about.append(f"- {run_sluice(options.sluice, 'version').stdout.splitlines()[0]}")
    command = (f"    test/bench/attacks.py --seconds {options.seconds:g} --rate {options.rate:g}"
               f" --attackers {options.attackers}")
    with open(path, "w", encoding="utf-8") as out:
        out.write("\n".join(["# Attacks on HTTP/2 under a normal load", "", *about, "", command, "", *lines, ""]))
    with open(os.path.splitext(path)[0] + ".json", "w", encoding="utf-8") as out:
        json.dump({"machine": machine.describe(), "attacks": results}, out, indent=1)
        out.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2, help="before, and again under attack")
    parser.add_argument("--rate", type=float, default=320, help="requests a second of the normal load")
    parser.add_argument("--attackers", type=int, default=8)
    parser.add_argument("--grow", type=float, default=32, help="MiB by which PSS may grow")
    parser.add_argument("--resets", type=int, help="flood.resets of the gateway, if not its own")
    parser.add_argument("--only", choices=list(ATTACKS))
    parser.add_argument("--save", help="write a page about it, and JSON beside it")
    parser.add_argument("--sluice", default=DEFAULT_BINARY)
    options = parser.parse_args()
    options.sluice = os.path.abspath(options.sluice)
    helpers = {"endpoint": Helper(run_endpoint), "sink": Helper(run_sink), "load": Helper(run_load),
               "attackers": Helper(run_attackers)}
    lines = ["| " + " | ".join(HEAD) + " |", "|" + " --- |" * len(HEAD)]
    print("\n".join(lines), flush=True)
    results, bad = [], []
    with tempfile.TemporaryDirectory() as folder:
        origin = contenders.Origin(folder, max(os.sched_getaffinity(0)))
        try:
            ports = {"origin": origin.port, "endpoint": helpers["endpoint"].pipe.recv(), "sink": helpers["sink"].pipe.recv()}
            for name in [options.only] if options.only else ATTACKS:
                results.append(run_one(name, options, helpers, ports, os.path.join(folder, name.replace(" ", "_"))))
                lines.append(line_of(results[-1]))
                print(lines[-1], flush=True)
                bad += [f"{name}: {what}" for what in wrong(results[-1], options)]
        finally:
            origin.stop()
            for helper in helpers.values():
                helper.stop()
    lines += ["", *(bad or ["All attacks were counted, no normal request failed, memory stayed within the bound."])]
    print("\n".join(lines[-len(bad or [1]) - 1:]))
    if options.save:
        save(options.save, lines, results, options)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
