"""`sluice upstreams`: what the admin listener knows of endpoints, as a table, live, or as JSON."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from gateway import plain
from raw import DEADLINE_S, wait_until


def ask(gateway, *args, timeout=30, env=None):
    return subprocess.run([gateway.binary, "upstreams", "--admin", gateway.admin.address, *args], text=True,
                          capture_output=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL,
                          env={**os.environ, **(env or {})})


def table(gateway, *args):
    run = ask(gateway, *args)
    assert run.returncode == 0 and run.stderr == "", run
    assert "\033" not in run.stdout
    return run.stdout


def row(text, address):
    """The cells of an endpoint by the titles above it."""
    lines = text.splitlines()
    titles = re.split(r"  +", next(line for line in lines if "ENDPOINT" in line).strip())
    cells = re.split(r"  +", next(line for line in lines if line.strip().startswith(address)).strip())
    return dict(zip(titles, cells))


def test_the_table_shows_endpoints_and_their_counts(start, upstreams):
    fakes = [upstreams(), upstreams()]
    config = plain(*fakes)
    config["upstreams"]["app"]["endpoints"][1] = {"address": fakes[1].address, "weight": 3, "zone": "z1"}
    gateway = start(config)
    for _ in range(8):
        gateway.ask()
    text = table(gateway)
    assert text.splitlines()[0] == "app  round_robin, h1, 2 of 2 endpoints healthy"
    assert "source: static, configuration, fresh\n" in text
    assert "retry budget: 30 of 30 left in 10s" in text
    assert row(text, fakes[1].address) == {
        "ENDPOINT": fakes[1].address, "STATE": "serving", "WEIGHT": "3", "PRIORITY": "0", "ZONE": "z1",
        "ACTIVE": "0", "IDLE": "1", "REQUESTS": "6", "FAILURES": "0"}


def test_a_failing_check_and_its_reason_are_shown(start, upstreams):
    fakes = [upstreams(), upstreams()]
    fakes[1].on("/check", lambda ex: (ex.read_body(), ex.reply(503)))
    gateway = start(plain(*fakes))
    config = plain(*fakes)
    config["upstreams"]["app"]["health"] = {"path": "/check", "interval": "50ms", "no_traffic_interval": "50ms"}
    gateway.must_reload(config)
    wait_until(lambda: row(table(gateway), fakes[1].address)["STATE"] == "unhealthy", what="an unhealthy endpoint")
    text = table(gateway)
    assert "1 of 2 endpoints healthy" in text
    assert re.search("check status: .*503", row(text, fakes[1].address)["WHY"]), text
    assert row(text, fakes[0].address)["STATE"] == "serving" and row(text, fakes[0].address)["WHY"] == "check passed"
    told = gateway.admin.json("/upstreams")["upstreams"][0]
    states = {e["address"]: (e["healthy"], e["check"]["state"], e["check"]["last"]) for e in told["endpoints"]}
    assert states == {fakes[0].address: (True, "passing", "passed"), fakes[1].address: (False, "failing", "status")}
    assert told["panic"] is False and told["endpoint_counts"]["healthy"] == 1


def test_panic_is_shown(start, upstream):
    upstream.on("/check", lambda ex: (ex.read_body(), ex.reply(503)))
    config = plain(upstream)
    config["upstreams"]["app"]["health"] = {"path": "/check", "interval": "50ms", "no_traffic_interval": "50ms"}
    gateway = start(config)
    wait_until(lambda: "PANIC" in table(gateway), what="panic")
    assert gateway.admin.json("/upstreams")["upstreams"][0]["panic"] is True


def test_the_shares_of_priorities_are_shown(start, upstreams):
    fakes = [upstreams(), upstreams()]
    fakes[0].on("/check", lambda ex: (ex.read_body(), ex.reply(503)))
    config = plain(*fakes)
    config["upstreams"]["app"]["endpoints"][1] = {"address": fakes[1].address, "priority": 1}
    config["upstreams"]["app"]["health"] = {"path": "/check", "interval": "50ms", "no_traffic_interval": "50ms"}
    gateway = start(config)
    wait_until(lambda: "priorities: 0 takes 0% (0 of 1 healthy), 1 takes 100% (1 of 1 healthy)\n" in table(gateway),
               what="the share of the second priority")
    told = gateway.admin.json("/upstreams")["upstreams"][0]
    assert told["panic"] is False and [one["share_percent"] for one in told["priorities"]] == [0, 100]


def test_an_ejection_and_a_slow_start_are_shown(start, upstreams):
    fakes = [upstreams(), upstreams(), upstreams()]
    fakes[1].on("/", lambda ex: (ex.read_body(), ex.reply(500)))
    config = plain(*fakes[:2])
    config["upstreams"]["app"].update(slow_start="1h", outlier_detection={"consecutive_5xx": 2,
                                                                         "base_ejection_time": "1h", "max_ejection_time": "1h"})
    gateway = start(config)
    for _ in range(8):
        gateway.ask()
    wait_until(lambda: row(table(gateway), fakes[1].address)["STATE"].startswith("ejected"), what="an ejection")
    shown = row(table(gateway), fakes[1].address)
    assert re.fullmatch(r"ejected \d+m", shown["STATE"]) and shown["WHY"] == "consecutive_5xx", shown
    config["upstreams"]["app"]["endpoints"].append(fakes[2].address)
    gateway.must_reload(config)
    for _ in range(4):
        gateway.ask()
    told = {e["address"]: e for e in gateway.admin.json("/upstreams")["upstreams"][0]["endpoints"]}
    assert told[fakes[1].address]["ejected"]["times"] == 1
    assert 0 < told[fakes[1].address]["ejected"]["left_ms"] <= 3600 * 1100
    assert 0 < told[fakes[2].address]["slow_start_left_ms"] <= 3600 * 1000
    assert "slow_start_left_ms" not in told[fakes[0].address]
    assert row(table(gateway), fakes[2].address)["STATE"].startswith("slow start ")


def test_the_latency_is_shown_where_it_is_measured(start, upstream):
    config = plain(upstream)
    config["upstreams"]["app"]["balance"] = "peak_ewma"
    gateway = start(config)
    upstream.on("/", lambda ex: (ex.read_body(), time.sleep(0.02), ex.reply()))  # what is measured, no waiting
    for _ in range(3):
        gateway.ask()
    assert gateway.admin.json("/upstreams")["upstreams"][0]["endpoints"][0]["latency_us"] > 0
    assert row(table(gateway), upstream.address)["LATENCY"].endswith("ms")


def test_the_budget_that_is_left_is_shown(start, upstream):
    upstream.on("/", lambda ex: (ex.read_body(), ex.reply(503)))
    config = plain(upstream)
    config["upstreams"]["app"].update(retry={"on": ["503"], "attempts": 1, "backoff": {"base": "1ms", "max": "1ms"}},
                                      retry_budget={"share": "1%", "min_per_second": 1, "interval": "60s"})
    gateway = start(config)
    for _ in range(5):
        gateway.ask()
    budget = gateway.admin.json("/upstreams")["upstreams"][0]["retry_budget"]
    assert budget == {"interval_ms": 60000, "requests": 5, "allowed": 60, "spent": 5, "left": 55}
    assert "retry budget: 55 of 60 left in 60s; retries: 5" in table(gateway)


def test_one_upstream_by_its_name(start, upstreams):
    fakes = [upstreams(), upstreams()]
    config = {"upstreams": {"a b": {"endpoints": [fakes[0].address]}, "other": {"endpoints": [fakes[1].address]}},
              "routes": [{"name": "a", "match": {"path": "/a"}, "upstream": "a b"}, {"name": "o", "upstream": "other"}]}
    gateway = start(config)
    assert fakes[0].address in table(gateway) and fakes[1].address in table(gateway)
    assert fakes[0].address in table(gateway, "a b") and fakes[1].address not in table(gateway, "a b")
    run = ask(gateway, "nowhere")
    assert run.returncode == 1 and run.stdout == "" and "no upstream 'nowhere'" in run.stderr


def test_json_is_what_the_admin_listener_says(start, upstream):
    gateway = start(plain(upstream))
    told = json.loads(ask(gateway, "--json").stdout)
    page = gateway.admin.json("/upstreams")
    assert told["generation"] == page["generation"] == 1
    for one in (told, page):
        one["upstreams"][0]["source"].pop("as_of")
    assert told["upstreams"] == page["upstreams"]


def test_what_others_have_chosen_does_not_steer_the_terminal(start, upstream):
    config = plain(upstream)
    config["upstreams"]["app"]["endpoints"][0] = {"address": upstream.address, "zone": "z\x1b[2J\x9b"}
    gateway = start(config)
    text = table(gateway)
    assert "z?[2J?" in text


def test_a_gateway_that_is_not_there_exits_with_1(sluice):
    run = sluice("upstreams", "--admin", "127.0.0.1:1")
    assert run.returncode == 1 and "does not answer" in run.stderr and run.stdout == ""


def test_what_is_no_sluice_exits_with_1(sluice, upstream):
    run = sluice("upstreams", "--admin", upstream.address)
    assert run.returncode == 1 and "no sluice" in run.stderr and run.stdout == ""


# --- pages of many


def many(tmp_path, counts):
    """A configuration of upstreams with so many endpoints each."""
    config = {"upstreams": {}, "routes": []}
    for name, n in counts.items():
        endpoints = [f"127.1.{i >> 8}.{i & 255}:9" for i in range(n)]
        path = tmp_path / f"{name}.yaml"
        path.write_text("".join(f"- {e}\n" for e in endpoints))
        config["upstreams"][name] = {"file": {"path": str(path)}} if n else {"dns": {"name": "nowhere.invalid", "port": 9}}
        config["routes"].append({"name": name, "match": {"path": "/" + name}, "upstream": name})
    return config


def test_pages_hold_so_many_rows_and_lose_none(start, tmp_path):
    gateway = start(many(tmp_path, {"a": 7, "b": 5, "c": 1}))
    whole = gateway.admin.json("/upstreams")
    assert whole["rows"] == 13 and "next" not in whole
    seen, offset, pages = [], 0, 0
    while True:
        page = gateway.admin.json(f"/upstreams?limit=4&offset={offset}")
        rows = [(u["name"], e["address"]) for u in page["upstreams"] for e in u["endpoints"]]
        assert len(rows) == min(4, 13 - offset) and page["rows"] == 13
        seen += rows
        pages += 1
        if "next" not in page:
            break
        offset = page["next"]
    assert pages == 4
    assert seen == [(u["name"], e["address"]) for u in whole["upstreams"] for e in u["endpoints"]]
    assert gateway.admin.json("/upstreams?upstream=b&limit=4")["rows"] == 5


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=10001", "limit=-1", "offset=x", "limit="])
def test_a_wrong_page_is_422(gateway, query):
    assert gateway.admin.ask(path="/upstreams?" + query).status == 422
    assert gateway.admin.ask(path="/upstreams?upstream=nowhere").status == 404


def test_more_than_a_page_is_shown_whole(start, tmp_path):
    gateway = start(many(tmp_path, {"a": 2500, "b": 3}))
    assert len(gateway.admin.json("/upstreams")["upstreams"][0]["endpoints"]) == 1000
    told = json.loads(ask(gateway, "--json").stdout)
    assert [(u["name"], len(u["endpoints"])) for u in told["upstreams"]] == [("a", 2500), ("b", 3)]
    assert len({e["address"] for e in told["upstreams"][0]["endpoints"]}) == 2500


# --- live


class Screen:
    """The command in a terminal of its own."""

    def __init__(self, gateway, *args, lines=12, columns=60):
        self.master, slave = pty.openpty()
        self.size(lines, columns)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.seen = ""
        self.process = subprocess.Popen(
            [gateway.binary, "upstreams", "--admin", gateway.admin.address, "--watch", "--interval", "100ms", *args],
            stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm"}, start_new_session=True)

    def size(self, lines, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self):
        while select.select([self.master], [], [], 0.02)[0]:
            self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
        return self.seen

    def wait(self, pattern, what=None):
        """Wait until what was drawn since the last wait has the pattern; returns it."""
        wait_until(lambda: re.search(pattern, self.read(), re.S), what=what or pattern)
        seen, self.seen = self.seen, ""
        return seen

    def press(self, keys):
        os.write(self.master, keys)

    def end(self):
        """The exit code; the terminal must be as it was."""
        code = self.process.wait(DEADLINE_S)
        self.read()
        assert self.seen.endswith("\033[?25h\033[?1049l"), self.seen[-200:]
        assert termios.tcgetattr(self.slave) == self.before
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def screen():
    screens = []

    def open_one(*args, **kwargs):
        screens.append(Screen(*args, **kwargs))
        return screens[-1]
    yield open_one
    for one in screens:
        one.close()


def test_watch_draws_again_and_q_ends_it(start, upstream, screen):
    gateway = start(plain(upstream))
    seen = screen(gateway, columns=100)
    first = seen.wait(re.escape(upstream.address) + ".*q ends")
    assert first.startswith("\033[?1049h") and "\033[32mserving" in first
    for _ in range(77):
        gateway.ask()
    seen.wait(r" 77 ")
    seen.press(b"q")
    assert seen.end() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_a_clean_terminal(start, upstream, screen, number):
    gateway = start(plain(upstream))
    seen = screen(gateway)
    seen.wait("q ends")
    seen.process.send_signal(number)
    assert seen.end() == 0


def test_watch_follows_the_size_and_scrolls(start, tmp_path, screen):
    gateway = start(many(tmp_path, {"a": 40}))
    seen = screen(gateway, lines=12, columns=60)
    drawn = seen.wait("q ends.*lines 1 to 11 of 44")
    assert "127.1.0.6:9" in drawn and "127.1.0.7:9" not in drawn
    lines = re.sub(r"\033\[[0-9;?]*[A-Za-z]", "", drawn).split("\n")
    assert max(len(line.rstrip("\r")) for line in lines[:11]) == 60, lines
    seen.press(b"j\033[B")
    seen.wait("lines 3 to 13 of 44")
    seen.press(b" ")
    seen.wait("lines 13 to 23 of 44")
    seen.press(b"k")
    seen.wait("lines 12 to 22 of 44")
    seen.press(b"g")
    seen.wait("lines 1 to 11 of 44")
    seen.size(50, 120)
    seen.process.send_signal(signal.SIGWINCH)
    drawn = seen.wait(r"127\.1\.0\.39:9.*q ends")
    seen.press(b"q")
    assert seen.end() == 0


def test_watch_outlives_the_gateway_and_says_so(start, upstream, screen):
    gateway = start(plain(upstream))
    seen = screen(gateway, columns=200)
    seen.wait(re.escape(upstream.address))
    gateway.stop()
    drawn = seen.wait("NO ANSWER")
    assert upstream.address in drawn
    seen.press(b"q")
    assert seen.end() == 0


def test_watch_into_a_pipe_prints_again_and_again(start, upstream):
    gateway = start(plain(upstream))
    for args, of_one in (([], lambda text: text.count("-- 20")), (["--json"], lambda text: text.count("\n"))):
        process = subprocess.Popen([gateway.binary, "upstreams", "--admin", gateway.admin.address, "-w", "-n100ms", *args],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        text = b""
        while of_one(text.decode()) < 3:
            text += os.read(process.stdout.fileno(), 65536)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0 and errors == b"" and b"\033" not in text + rest
        if args:
            assert all(json.loads(line)["upstreams"] for line in (text + rest).decode().splitlines())
