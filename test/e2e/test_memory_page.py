"""`sluice mem` and /memory: where the bytes are, by kind, and that they belong to what is open."""

import os
import subprocess
import threading

import pytest

from gateway import plain
from raw import SANITIZED, request_bytes, wait_until
from test_idle_memory import GRANTED, grant, keep_alive, quiet, tunnel

COUNT = 300
ARENA_REGION = 64 * 1024  # which each worker keeps
KINDS = ["sessions", "upstream_connections", "tunnels", "arenas", "blocks", "large_blocks", "http2_streams", "http2_queues", "pipes",
         "worker_buffers", "counters", "configurations"]


def mem(gateway, *args):
    return subprocess.run([gateway.binary, "mem", "--admin", gateway.admin.address, *args], text=True,
                          capture_output=True, timeout=30, check=False, stdin=subprocess.DEVNULL, env=os.environ)


def kinds(gateway):
    return {kind["kind"]: kind for kind in gateway.admin.json("/memory")["kinds"]}


def test_objects_in_use_are_those_that_are_open(start, upstream):
    upstream.on("/", grant)
    gateway = start(quiet(plain(upstream)))
    before = kinds(gateway)
    assert list(before) == KINDS
    try:
        clients = [tunnel(gateway) for _ in range(COUNT)]
        wait_until(lambda: kinds(gateway)["arenas"]["used"] == before["arenas"]["used"], what="exchanges let go")
        now = kinds(gateway)
        assert now["sessions"]["used"] - before["sessions"]["used"] == COUNT
        assert now["tunnels"]["used"] == COUNT and now["upstream_connections"]["used"] == COUNT
        assert now["blocks"]["used"] == before["blocks"]["used"] == 0
        for name in ("sessions", "tunnels", "upstream_connections"):
            kind = now[name]
            assert 0 < kind["each"] <= 360
            assert kind["bytes"] >= (kind["used"] + kind["free"]) * kind["each"]
        for client in clients:
            client.close()
    finally:
        while GRANTED:
            GRANTED.pop().close()
    wait_until(lambda: kinds(gateway)["sessions"]["used"] == 0, what="all sessions given back")
    after = kinds(gateway)
    assert after["tunnels"]["used"] == 0 and after["tunnels"]["free"] <= COUNT


def test_what_a_burst_has_left_goes_back(start, upstream):
    """Many exchanges at once, each with an arena; then none."""
    gate = threading.Event()

    def hang(exchange):
        gate.wait(60)
        exchange.reply(200)

    upstream.on("/hang", hang)
    gateway = start(quiet(plain(upstream)))
    most = gateway.metric("sluice_workers") * ARENA_REGION
    clients = [gateway.client() for _ in range(COUNT)]
    try:
        for client in clients:
            client.send(request_bytes(target="/hang"))
        wait_until(lambda: kinds(gateway)["arenas"]["used"] >= COUNT, 30, what="all requests under way")
        assert kinds(gateway)["arenas"]["bytes"] >= COUNT * 4096 > most
    finally:
        for client in clients:
            client.close()
        gate.set()
    wait_until(lambda: kinds(gateway)["arenas"]["bytes"] <= most, 60, what="the arenas' memory given back")
    assert gateway.metric("sluice_worker_released_bytes_total") >= COUNT * 4096 - most
    wait_until(lambda: sum(kind.get("empty_bytes", 0) for kind in kinds(gateway).values()) == 0, 60, what="nothing empty")


@pytest.mark.skipif(SANITIZED, reason="a sanitizer has an allocator of its own")
def test_the_kinds_are_part_of_what_the_allocator_has_given_out(start, upstream):
    gateway = start(quiet(plain(upstream)))
    clients = [keep_alive(gateway) for _ in range(50)]
    told = gateway.admin.json("/memory")
    assert told["connections"] == 50
    known = sum(kind["bytes"] for kind in told["kinds"])
    assert told["known_bytes"] == known
    assert told["other_bytes"] == told["allocator"]["in_use_bytes"] - known > 0
    assert told["process"]["pss_bytes"] > 0 and told["process"]["rss_bytes"] >= told["process"]["anonymous_bytes"] > 0
    assert told["bytes_a_connection"] == told["process"]["anonymous_bytes"] // 50
    for client in clients:
        client.close()


def test_reloads_leave_no_configuration_behind(start, upstream):
    upstream.on("/", grant)
    gateway = start(quiet(plain(upstream)))
    try:
        clients = []
        for _ in range(10):
            clients.append(tunnel(gateway))
            gateway.must_reload(quiet(plain(upstream)))
        wait_until(lambda: kinds(gateway)["configurations"]["used"] == 1, what="old configurations gone")
        assert gateway.metric("sluice_worker_tunnels") == 10
        for client in clients:
            client.close()
    finally:
        while GRANTED:
            GRANTED.pop().close()


def test_the_command_shows_a_table_or_json(start, upstream):
    gateway = start(plain(upstream))
    table = mem(gateway)
    assert table.returncode == 0 and table.stderr == "", table
    lines = table.stdout.splitlines()
    assert lines[0].split() == ["KIND", "BYTES", "USED", "FREE", "EACH", "EMPTY", "BYTES"]
    assert [line.split()[0] for line in lines[1:1 + len(KINDS)]] == KINDS
    assert any(line.startswith("PSS ") for line in lines)
    told = mem(gateway, "--json")
    assert told.returncode == 0 and '"kinds"' in told.stdout


def test_the_command_says_when_nobody_answers(start, upstream):
    gateway = start(plain(upstream))
    address = gateway.admin.address
    gateway.stop()
    told = subprocess.run([gateway.binary, "mem", "--admin", address], text=True, capture_output=True, timeout=30,
                          check=False, stdin=subprocess.DEVNULL)
    assert told.returncode == 1 and "does not answer" in told.stderr
