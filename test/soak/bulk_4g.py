#!/usr/bin/env python3
"""4 GiB down and 4 GiB up through the gateway, with a reader that stops now and then.

Passes when every byte arrived and the gateway never used 64 MiB of memory (PSS). Prints the figures
and PASS or FAIL; exits with 1 on failure.

    test/soak/bulk_4g.py [--gib 4] [--sluice PATH]
"""

import argparse
import os
import sys
import tempfile
import threading
import time
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

from gateway import DEFAULT_BINARY, Gateway, plain  # noqa: E402
from upstream import Upstream  # noqa: E402

MIB = 1024 * 1024
PSS_MAX_KIB = 64 * 1024
PIECE = os.urandom(MIB)


class SlowReader:
    """A sink that adds up what it gets and stops for a while every 256 MiB."""

    def __init__(self):
        self.bytes = 0
        self.sum = 0

    def __call__(self, piece):
        before = self.bytes // (256 * MIB)
        self.bytes += len(piece)
        self.sum = zlib.crc32(piece, self.sum)
        if self.bytes // (256 * MIB) != before:
            time.sleep(0.5)


class Peak:
    """The largest PSS seen while it is open."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.kib = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.ended.wait(0.05):
            self.kib = max(self.kib, self.gateway.pss_kib())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def wanted(total):
    value = 0
    for _ in range(total // MIB):
        value = zlib.crc32(PIECE, value)
    return value


def verdict(name, reader, total, peak, seconds):
    passed = reader.bytes == total and reader.sum == wanted(total) and peak.kib < PSS_MAX_KIB
    print(f"{'PASS' if passed else 'FAIL'} {name}: {reader.bytes} of {total} bytes, "
          f"{'same' if reader.sum == wanted(total) else 'DIFFERENT'} content, peak PSS {peak.kib} KiB, {seconds:.1f} s")
    return passed


def download(gateway, upstream, total):
    def script(exchange):
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        for _ in range(total // MIB):
            exchange.send(PIECE)
    upstream.on("/down", script)
    reader, began = SlowReader(), time.monotonic()
    with Peak(gateway) as peak, gateway.client() as client:
        client.send(b"GET /down HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_response(sink=reader)
    return verdict("download", reader, total, peak, time.monotonic() - began)


def upload(gateway, upstream, total):
    reader, began = SlowReader(), time.monotonic()
    upstream.on("/up", lambda ex: (ex.read_body(sink=reader), ex.reply()))
    with Peak(gateway) as peak, gateway.client() as client:
        client.sock.settimeout(120)
        client.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % total)
        for _ in range(total // MIB):
            client.send(PIECE)
        status = client.read_response().status
    return verdict("upload", reader, total, peak, time.monotonic() - began) and status == 200


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=4)
    parser.add_argument("--sluice", default=os.environ.get("SLUICE", DEFAULT_BINARY))
    options = parser.parse_args()
    total = int(options.gib * 1024) * MIB
    upstream = Upstream()
    with tempfile.TemporaryDirectory(prefix="sluice-soak-") as folder:
        gateway = Gateway(options.sluice, folder, plain(upstream))
        try:
            results = [download(gateway, upstream, total), upload(gateway, upstream, total)]
        finally:
            gateway.stop()
            upstream.stop()
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
