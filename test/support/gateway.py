"""Start the real gateway for a test, ask it things, and hold it to its promises at the end."""

import json
import os
import re
import signal
import subprocess
import time

import yaml

import raw
from raw import DEADLINE_S, SANITIZED, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEFAULT_BINARY = os.path.join(ROOT, "build", "release", "sluice")

# Every access log field but the ones a test asks for by name.
FIELDS = ["time", "request_id", "client", "client_port", "method", "scheme", "host", "path", "query", "target",
          "protocol", "status", "grpc_status", "reason", "bytes_in", "bytes_out", "duration_ms", "upstream_ms", "connect_reused",
          "route", "upstream", "endpoint", "tries", "retry_reasons", "hedged", "listener", "worker", "connection", "connection_requests",
          "generation", "user_agent", "referer", "forwarded_for"]

# How an exchange may end: the closed list.
REASONS = {
    "completed", "responded", "redirected", "bad_request", "target_too_long", "head_too_large",
    "version_unsupported", "misdirected", "too_early", "body_too_large", "head_timeout", "body_timeout", "not_found", "method_not_allowed",
    "no_endpoint", "upstream_full", "queue_timeout", "connect_failed", "connect_timeout", "upstream_reset",
    "upstream_closed", "upstream_protocol", "response_timeout", "upstream_idle_timeout", "total_timeout", "tunnel_timeout",
    "tunnel_drained", "operator_closed",
    "client_closed", "client_reset", "write_timeout", "tunnel_unsupported", "plugin_replied", "plugin_failed",
    "plugin_timeout", "response_too_large", "overload", "draining", "internal"}

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')
SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer|runtime error:")


class Metrics:
    """One reading of /metrics."""

    def __init__(self, text):
        self.text = text
        self.samples = []  # (name, {label: value}, number)
        self.types = {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name not in self.types, f"two TYPE lines for {name}"
                self.types[name] = kind
            elif line and not line.startswith("#"):
                match = SAMPLE.fullmatch(line)
                assert match, f"bad metric line {line!r}"
                self.samples.append((match[1], dict(LABEL.findall(match[2] or "")), float(match[3])))

    def get(self, name, **labels):
        """The sum of the samples of this name that carry these labels; 0 when there is none."""
        return sum(value for _, _, value in self.find(name, **labels))

    def find(self, name, **labels):
        return [s for s in self.samples if s[0] == name and labels.items() <= s[1].items()]

    def has(self, name, **labels):
        return bool(self.find(name, **labels))


class Admin:
    """Requests to the admin listener."""

    def __init__(self, address):
        self.address = address

    def ask(self, method="GET", path="/", fields=(), body=None, host="localhost"):
        with raw.Client(self.address) as client:
            client.send(raw.request_bytes(method, path, [*fields, ("Connection", "close")], body, host))
            return client.read_response(method)

    def json(self, path, method="GET"):
        answer = self.ask(method, path)
        assert answer.get("content-type", "").startswith("application/json"), answer
        return json.loads(answer.body)

    def metrics(self):
        answer = self.ask("GET", "/metrics")
        assert answer.status == 200, answer
        return Metrics(answer.body.decode())


def run_sluice(binary, *args, env=None, cwd=None, stdin=None, timeout=30):
    """Run a command of the binary to its end; text in, text out."""
    return subprocess.run([binary, *args], env={**os.environ, **(env or {})}, cwd=cwd, input=stdin,
                          stdin=None if stdin is not None else subprocess.DEVNULL,
                          capture_output=True, text=True, errors="replace", timeout=timeout,
                          check=False)


def read_text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def json_lines(text):
    """The complete lines that are JSON objects."""
    return [json.loads(line) for line in text.split("\n")[:-1] if line.startswith("{")]


def message_of(record):
    """The constant message of one line of the JSON log."""
    for key in ("message", "msg"):
        if key in record:
            return record[key]
    return None


class Gateway:
    """A running gateway. `config` is a dict (defaults for tests are filled in) or YAML text as it is."""

    def __init__(self, binary, directory, config=None, args=None, env=None, wait=True):
        self.binary = binary
        self.dir = str(directory)
        os.makedirs(self.dir, exist_ok=True)
        self.file = os.path.join(self.dir, "sluice.yaml")
        self.access_path = os.path.join(self.dir, "access.log")
        self.stderr_path = os.path.join(self.dir, "stderr.log")
        self.stdout_path = os.path.join(self.dir, "stdout.log")
        if config is not None:
            self.configure(config)
        arguments = args if args is not None else ["run", "-c", self.file]
        with open(self.stderr_path, "wb") as err, open(self.stdout_path, "wb") as out:
            self.process = subprocess.Popen([binary, *arguments], env={**os.environ, **(env or {})}, cwd=self.dir,
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        self.pid = self.process.pid
        self.stopped = False
        if wait:
            self.wait_ready()

    # --- configuration

    def configure(self, config):
        """Write the configuration file (no reload)."""
        text = config if isinstance(config, str) else yaml.safe_dump(self.filled(config), sort_keys=False)
        temporary = self.file + ".new"
        with open(temporary, "w", encoding="utf-8") as out:
            out.write(text)
        os.replace(temporary, self.file)

    def filled(self, config):
        full = {
            "workers": 1,
            "log": {"level": "info", "format": "json", "path": "stderr"},
            "access_log": {"path": self.access_path, "format": "json", "fields": FIELDS},
            "admin": {"bind": "127.0.0.1:0"},
            "drain": {"pause": "0s", "timeout": "1s", "idle": "20ms"},
            "listeners": [{"name": "main", "bind": "127.0.0.1:0"}],
        }
        full.update(config)
        return full

    # --- logs

    def stderr(self):
        return read_text(self.stderr_path)

    def log(self, message=None):
        """The records of the JSON log, or those with this message."""
        records = json_lines(self.stderr())
        return [r for r in records if message is None or message_of(r) == message]

    def access_log(self, **where):
        """The lines of the access log whose fields have these values."""
        lines = json_lines(read_text(self.access_path))
        return [line for line in lines if all(line.get(k) == v for k, v in where.items())]

    def wait_access(self, count=1, **where):
        """Wait for that many matching lines; one line when count is 1, else the list."""
        wait_until(lambda: len(self.access_log(**where)) >= count, what=f"{count} access log lines with {where}; "
                   f"log ends with {read_text(self.access_path)[-600:]}")
        lines = self.access_log(**where)
        for line in lines:
            if "reason" in line:
                assert line["reason"] in REASONS, line
        return lines[0] if count == 1 else lines

    def expect_end(self, reason, **where):
        """One exchange ended for this reason: its access log line (returned) and the metric say so."""
        line = self.wait_access(**where)
        assert line["reason"] == reason, line
        self.wait_metric(lambda m: m.get("sluice_request_ends_total", reason=reason) >= 1, reason)
        return line

    # --- addresses and admin

    def wait_ready(self):
        def ready():
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.stderr()}"
            return self.log("ready")
        wait_until(ready, what=f"ready in the log: {self.stderr()[-2000:]}")
        return self

    def addresses(self):
        """{listener name: address}, the latest told of each."""
        return {r["listener"]: r["address"] for r in self.log("listening")}

    @property
    def address(self):
        addresses = self.addresses()
        return addresses.get("main") or next(iter(addresses.values()))

    @property
    def admin(self):
        return Admin(self.log("admin listening")[-1]["address"])

    def metrics(self):
        return self.admin.metrics()

    def metric(self, name, **labels):
        return self.metrics().get(name, **labels)

    def wait_metric(self, condition, what="a metric"):
        """Wait until condition(Metrics) holds; return that reading."""
        reading = [None]

        def holds():
            reading[0] = self.metrics()
            return condition(reading[0])
        wait_until(holds, what=what)
        return reading[0]

    # --- traffic

    def client(self, listener=None, **options):
        return raw.Client(self.addresses()[listener] if listener else self.address, **options)

    def ask(self, method="GET", target="/", fields=(), body=None, host="test.example", listener=None):
        return raw.ask(self.addresses()[listener] if listener else self.address, method, target, fields, body, host)

    # --- change

    def reload(self, config=None):
        """Ask the admin listener to reload; (status, JSON answer)."""
        if config is not None:
            self.configure(config)
        answer = self.admin.ask("POST", "/reload")
        return answer.status, json.loads(answer.body)

    def must_reload(self, config=None):
        status, told = self.reload(config)
        assert status == 200 and told["ok"] is True, told
        return told

    def hup(self, config=None):
        """Reload by SIGHUP and wait until that has been counted."""
        if config is not None:
            self.configure(config)
        before = self.metric("sluice_config_reloads_total")
        self.process.send_signal(signal.SIGHUP)
        self.wait_metric(lambda m: m.get("sluice_config_reloads_total") > before, "a counted reload")

    def drain(self):
        """Send SIGTERM; wait() for the end."""
        self.process.send_signal(signal.SIGTERM)

    # --- the process

    def pss_kib(self):
        text = read_text(f"/proc/{self.pid}/smaps_rollup")
        return int(re.search(r"^Pss:\s+(\d+) kB", text, re.M)[1])

    def own_kib(self):
        """Memory that nobody shares; what is shared counts differently as others come and go."""
        text = read_text(f"/proc/{self.pid}/smaps_rollup")
        return int(re.search(r"^Anonymous:\s+(\d+) kB", text, re.M)[1])

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def wait(self, deadline_s=DEADLINE_S * 2):
        """Wait for the end of the process and return its exit code."""
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running {deadline_s} s after it should have ended: "
                                 f"{self.stderr()[-2000:]}") from None

    def stop(self):
        """Drain, and check what every end must satisfy: exit code 0, no report, nothing left."""
        if self.stopped:
            return
        self.stopped = True
        try:
            if self.process.poll() is None:
                self.drain()
            code = self.wait()
        finally:
            self.kill()
        self.check_stderr()
        assert code == 0, f"exit code {code}: {self.stderr()[-2000:]}"

    def check_stderr(self):
        found = SANITIZER.search(self.stderr())
        assert not found, self.stderr()[max(0, found.start() - 200):found.start() + 6000]

    def leaves(self):
        """Has it ended without what it started? A sanitizer's symbolizer ends a moment after it."""
        end = time.monotonic() + (10 if SANITIZED else 0)
        while group_exists(self.pid):
            if time.monotonic() >= end:
                return True
            time.sleep(0.01)
        return False

    def kill(self):
        """End it and whatever it started; nothing may be left behind."""
        left = False
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        else:
            left = self.leaves()
        if group_exists(self.pid):
            os.killpg(self.pid, signal.SIGKILL)
        assert not left, "the gateway left a process behind"


def plain(*fakes, **extra):
    """The configuration of one route to one upstream "app" of these endpoints."""
    return {"upstreams": {"app": {"endpoints": [fake.address for fake in fakes]}},
            "routes": [{"name": "all", "upstream": "app"}], **extra}


def close_all_exchanges(*gateways):
    """Wait until no exchange and no stream is left on any of them."""
    for gateway in gateways:
        gateway.wait_metric(lambda m: m.get("sluice_worker_exchanges_active") == 0 and m.get("sluice_upstream_streams") == 0,
                            "the last exchange to end")


def group_exists(pgid):
    try:
        os.killpg(pgid, 0)
        return True
    except (ProcessLookupError, PermissionError):
        return False


def expect_problem(response, status, reason):
    """An error answer of the gateway itself (RFC 9457); returns the problem."""
    assert response.status == status, response
    assert response.get("content-type") == "application/problem+json", response
    problem = json.loads(response.body)
    assert problem["status"] == status, problem
    assert problem["reason"] == reason, problem
    assert problem["type"] == "about:blank", problem
    assert problem["title"], problem
    assert re.fullmatch("[0-9a-f]{32}", problem["request_id"]), problem
    assert response.get("x-request-id") == problem["request_id"], response
    return problem
