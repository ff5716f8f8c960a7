"""A real Redis on a free port of loopback, started and stopped by tests."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Redis:
    """One server. stop() and start() keep the port. tls: (Pki, the pair of its certificate); clients show one too."""

    def __init__(self, password=None, tls=None):
        self.folder = tempfile.mkdtemp(prefix="redis-")
        self.password = password
        self.tls = tls
        self.process = None
        self.port = None
        for _ in range(5):  # somebody may take the port first
            self.port = free_port()
            if self.start():
                return
        raise AssertionError("redis-server does not start")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        command = ["redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self.folder,
                   "--daemonize", "no", "--tls-port" if self.tls else "--port", str(self.port)]
        if self.tls:
            pki, pair = self.tls
            command += ["--port", "0", "--tls-cert-file", pair["cert"], "--tls-key-file", pair["key"],
                        "--tls-ca-cert-file", pki.ca]
        if self.password:
            command += ["--requirepass", self.password]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                return self.ask("PING") in (b"+PONG", b"-NOAUTH Authentication required.")
            except OSError:
                time.sleep(0.02)
        return False

    def connect(self):
        link = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        if not self.tls:
            return link
        pki, pair = self.tls
        context = pki.client()
        context.load_cert_chain(pair["cert"], pair["key"])
        return context.wrap_socket(link, server_hostname="127.0.0.1")

    def ask(self, *words):
        """The first line of the answer to one command."""
        with self.connect() as link:
            commands = [words]
            if self.password and words[0] != "PING":
                commands.insert(0, ("AUTH", self.password))
            lines = link.makefile("rb")
            for command in commands:
                text = f"*{len(command)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in command)
                link.sendall(text.encode())
                answer = lines.readline().rstrip(b"\r\n")
            if answer.startswith(b"$") and answer != b"$-1":
                answer = lines.readline().rstrip(b"\r\n")
            return answer

    def freeze(self):
        """It takes connections and says nothing, until thaw() or stop()."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
