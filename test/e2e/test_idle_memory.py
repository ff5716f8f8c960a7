"""What an idle connection costs, everything counted: less than 400 bytes, a tunnel's two sides less than 880."""

import ctypes
import socket

import pytest

from gateway import plain
from raw import SANITIZED, request_bytes
from test_upgrade import ASK, SWITCH, taken

pytestmark = pytest.mark.skipif(SANITIZED, reason="a sanitizer keeps freed memory")

COUNT = 2500
SLACK = 60  # bytes: slabs grow by 64 KiB, libevent's tables double, and the allocator keeps some
IDLE_BYTES, TUNNEL_BYTES = 400, 880


def quiet(config):
    return {**config, "workers": 1, "access_log": "off",
            "listeners": [{"name": "main", "bind": "127.0.0.1:0", "connections": 4 * COUNT}]}


def tunnel(gateway):
    client = gateway.client()
    client.send(request_bytes(fields=ASK))
    assert client.read_head().status == 101
    return client


def keep_alive(gateway):
    client = gateway.client()
    assert client.ask().status == 200
    return client


def grant(exchange):
    """Leave the socket open behind the 101, and the thread free."""
    exchange.send(SWITCH)
    taken(exchange)
    exchange.keep = False
    GRANTED.append(exchange.conn.sock.dup())


GRANTED = []


@pytest.fixture(autouse=True)
def small_pages():
    """Huge pages would count what nobody has asked for; a child inherits that it has none."""
    libc, set_thp_disable = ctypes.CDLL(None), 41
    libc.prctl(set_thp_disable, 1, 0, 0, 0)
    yield
    libc.prctl(set_thp_disable, 0, 0, 0, 0)


def growth_bytes(gateway, make):
    """Bytes a connection, after as many as make all tables large."""
    warm = [make(gateway) for _ in range(COUNT // 2)]
    before = gateway.own_kib()
    more = [make(gateway) for _ in range(COUNT)]
    grown = (gateway.own_kib() - before) * 1024 / COUNT
    for client in warm + more:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    return grown


def test_an_idle_connection(start, upstream):
    grown = growth_bytes(start(quiet(plain(upstream))), keep_alive)
    assert grown <= IDLE_BYTES + SLACK, f"{grown:.0f} bytes an idle connection"


def test_an_idle_tunnel(start, upstream, tmp_path):
    """With what the log keeps for the line at its end."""
    upstream.on("/", grant)
    config = {**quiet(plain(upstream)), "access_log": {"path": str(tmp_path / "default.log")}}
    try:
        grown = growth_bytes(start(config), tunnel)
    finally:
        while GRANTED:
            GRANTED.pop().close()
    assert grown <= TUNNEL_BYTES + SLACK, f"{grown:.0f} bytes an idle tunnel"
