"""Plugins built once, against the header as frozen: a gateway of today serves with them."""

import os
import platform

import pytest

MUSEUM = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "plugins/museum")


@pytest.fixture(autouse=True)
def can_load():
    if platform.machine() != "x86_64":
        pytest.skip(f"THE MUSEUM IS NOT TESTED: it is built for x86-64, and this is {platform.machine()}")


def serving(upstream, *entries):
    return {"plugin_path": [MUSEUM], "plugins": list(entries),
            "upstreams": {"app": {"endpoints": [upstream.address]}},
            "routes": [{"name": "all", "upstream": "app"}]}


def test_options_fields_attributes_and_a_reply(start, upstream):
    gateway = start(serving(upstream, {"museum_head": {"deny": "x-no", "set": {"x-path": "$${request.path}"}}}))
    answer = gateway.ask(target="/a/b")
    assert (answer.status, answer.get("x-museum")) == (200, "curator")
    assert upstream.requests[0].get("x-path") == "/a/b"
    denied = gateway.ask(fields=[("X-No", "1")])
    assert (denied.status, denied.body, denied.get("x-museum")) == (418, b"denied\n", "denied")


def test_bodies_and_attempts(start, upstream):
    gateway = start(serving(upstream, {"museum_body": {}}))
    answer = gateway.ask("POST", body=b"quiet")
    assert upstream.requests[0].get("x-museum-endpoint") == upstream.address
    assert answer.body == b"OK"


def test_bad_options_of_a_kept_plugin_are_told_by_place(sluice, tmp_path):
    (tmp_path / "bad.yaml").write_text(
        f"plugin_path: [{MUSEUM}]\nplugins:\n  - museum_head: {{status: 99, colour: red}}\n"
        "routes:\n  - name: all\n    echo: true\n", encoding="utf-8")
    result = sluice("check", "bad.yaml")
    assert result.returncode == 3
    assert "bad.yaml:3:" in result.stderr + result.stdout
    assert "colour" in result.stderr + result.stdout
