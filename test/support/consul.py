"""A real Consul agent for a test, on free ports of the loopback. `consul` comes with scripts/install-deps test."""

import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request

from raw import wait_until

HAS_CONSUL = shutil.which("consul") is not None


def free_ports(count):
    """Ports that were free a moment ago, held together so that no two are the same."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


class Consul:
    """One agent: a server of its own (dev=True, in memory), or with a data directory and more configuration.

    conf: merged into its configuration, such as {"server": True, "bootstrap_expect": 3, "retry_join": [...]}.
    https: the files ca_file, cert_file and key_file, and what else belongs to them; `https` is then its address,
    beside plain HTTP at `address`.
    """

    def __init__(self, directory, dev=True, conf=None, token=None, name="n1", https=None):
        self.dir = str(directory)
        self.name = name
        self.token = token
        os.makedirs(self.dir, exist_ok=True)
        http, serf_lan, serf_wan, server, tls = free_ports(5)
        self.https = f"https://127.0.0.1:{tls}" if https else None
        self.ports = {"http": http, "https": tls if https else -1, "dns": -1, "grpc": -1, "serf_lan": serf_lan, "serf_wan": serf_wan,
                      "server": server}
        self.conf = {"node_name": name, "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "ports": self.ports,
                     "log_level": "warn", "disable_update_check": True, "leave_on_terminate": False,
                     "skip_leave_on_interrupt": True, "performance": {"raft_multiplier": 1}, **(https or {}), **(conf or {})}
        if not dev:
            self.conf.setdefault("data_dir", f"{self.dir}/data")
        self.dev = dev
        self.process = None
        self.port = http
        self.address = f"http://127.0.0.1:{http}"
        self.serf = f"127.0.0.1:{serf_lan}"

    def start(self, wait=True):
        with open(f"{self.dir}/agent.json", "w", encoding="utf-8") as out:
            json.dump(self.conf, out)
        with open(f"{self.dir}/agent.log", "ab") as log:
            self.process = subprocess.Popen(
                ["consul", "agent", *(["-dev"] if self.dev else []), "-config-file", f"{self.dir}/agent.json"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        if wait:
            self.wait_leader()
        return self

    def wait_leader(self):
        wait_until(self.has_leader, deadline_s=60, what="consul has a leader")
        return self

    def has_leader(self):
        assert self.process.poll() is None, f"consul ended: {self.log()[-2000:]}"
        try:
            return self.ask("/v1/status/leader") != "" and self.ask("/v1/catalog/nodes") != []
        except (OSError, urllib.error.URLError):
            return False

    def log(self):
        with open(f"{self.dir}/agent.log", encoding="utf-8", errors="replace") as log:
            return log.read()

    def ask(self, path, method="GET", body=None, token=None):
        """The JSON of an answer; OSError (urllib.error.HTTPError) when it is none of 200."""
        request = urllib.request.Request(self.address + path, method=method,
                                         data=json.dumps(body).encode() if body is not None else None)
        if token or self.token:
            request.add_header("X-Consul-Token", token or self.token)
        with urllib.request.urlopen(request, timeout=15) as answer:
            data = answer.read()
        try:
            return json.loads(data) if data else None
        except ValueError:
            return data.decode()

    def register(self, name, address, ident=None, **facts):
        """facts: members of the registration, such as Tags, Meta, Weights, Check, TaggedAddresses."""
        host, _, port = address.rpartition(":")
        self.ask("/v1/agent/service/register", "PUT",
                 {"Name": name, "ID": ident or f"{name}-{port}", "Address": host, "Port": int(port), **facts})

    def deregister(self, ident):
        self.ask(f"/v1/agent/service/deregister/{ident}", "PUT")

    def maintain(self, ident, enable=True):
        self.ask(f"/v1/agent/service/maintenance/{ident}?enable={str(enable).lower()}&reason=test", "PUT")

    def check(self, check_id, status):
        """Set a TTL check: passing, warning or critical."""
        self.ask(f"/v1/agent/check/update/{check_id}", "PUT", {"Status": status})

    def pause(self):
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self):
        os.killpg(self.process.pid, signal.SIGCONT)

    def kill(self):
        """As power loss does; start() it again on the same ports."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(20)

    def stop(self):
        self.kill()
