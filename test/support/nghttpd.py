"""A real nghttpd as an upstream of HTTP/2, with or without TLS, on a free port.

It cannot be handed a socket that listens already. So a socket that does not listen keeps the port
until it does (nobody's connection begins there meanwhile), and should the port be lost all the same,
the next one is tried.
"""

import os
import shutil
import socket
import subprocess

from raw import wait_until

N_PORTS = 5


def kept_port():
    """A bound socket beside which one that listens may be bound."""
    keeper = socket.socket()
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    keeper.bind(("127.0.0.1", 0))
    return keeper


class Nghttpd:
    """files: {name: bytes} served under /. pair: a certificate and its key, for TLS. stop() it at the end."""

    def __init__(self, directory, files, *options, pair=None):
        self.dir = str(directory)
        self.log_path = os.path.join(self.dir, "log")
        os.makedirs(os.path.join(self.dir, "files"))
        for name, data in files.items():
            with open(os.path.join(self.dir, "files", name), "wb") as out:
                out.write(data)
        for _ in range(N_PORTS):
            with kept_port() as keeper:
                if self._begin(keeper.getsockname()[1], options, pair):
                    return
        raise AssertionError(f"nghttpd has ended: {self.log()}")

    def _begin(self, port, options, pair):
        """Whether it listens on that port."""
        self.address = f"127.0.0.1:{port}"
        words = [shutil.which("nghttpd") or "/usr/sbin/nghttpd", "-a", "127.0.0.1", "-d", os.path.join(self.dir, "files"),
                 *options, *([] if pair else ["--no-tls"]), str(port), *([pair["key"], pair["cert"]] if pair else [])]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(lambda: self.process.poll() is not None or self._listens(port), what="nghttpd to listen")
        return self.process.poll() is None

    @staticmethod
    def _listens(port):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            return False

    def log(self):
        """What it has printed: with --verbose and --no-color, the frames and fields of every stream."""
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def stop(self):
        self.process.kill()
        self.process.wait()
