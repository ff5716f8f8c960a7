"""What plugins must not do is refused, and the gateway serves on; what they may say is shown."""

import json
import re

import pytest

import plugins
from raw import wait_until


@pytest.fixture
def serve(start, binary):
    def begin(routes, *entries, **more):
        return start({"plugin_path": [plugins.folder(binary)], "plugins": list(entries), "routes": routes, **more})
    return begin


def to_app(upstream):
    return {"upstreams": {"app": {"endpoints": [upstream.address]}}}


FORWARD = [{"name": "all", "upstream": "app"}]


def test_what_is_asked_at_the_wrong_place_is_refused(serve, upstream):
    gateway = serve(FORWARD, {"misuse": {}}, **to_app(upstream))
    for _ in range(20):
        assert gateway.ask("POST", body=b"abc").status == 200
    wait_until(lambda: len(gateway.log("all refused")) == 20, what="twenty ends")
    assert not gateway.log("not refused")
    assert upstream.last.get("host") != "b"


def test_a_plugin_names_the_request_in_log_pages_and_templates(serve, upstream):
    gateway = serve([{"name": "gone", "match": {"path": "/gone"}, "upstream": "nobody"}] + FORWARD,
                    {"misuse": {"id": "Root=1-abc;x"}},
                    upstreams={"app": {"endpoints": [upstream.address]},
                               "nobody": {"endpoints": ["127.0.0.1:1"]}})
    assert gateway.ask().status == 200
    assert upstream.last.get("x-text") == "Root=1-abc;x"
    answer = gateway.ask(target="/gone")
    assert answer.status == 502 and answer.get("x-request-id") == "Root=1-abc;x"
    assert json.loads(answer.body)["request_id"] == "Root=1-abc;x"
    assert gateway.expect_end("connect_failed", path="/gone")["request_id"] == "Root=1-abc;x"


def test_without_a_name_of_its_own_it_has_32_digits(serve, upstream):
    gateway = serve(FORWARD, {"misuse": {"id": "not \"sound\""}}, **to_app(upstream))
    assert gateway.ask().status == 200
    name = upstream.last.get("x-text")
    assert re.fullmatch("[0-9a-f]{32}", name)
    assert gateway.expect_end("completed")["request_id"] == name


def test_a_deadline_is_told_where_plugins_may_change_the_fields_of_a_try(serve, upstream):
    gateway = serve(FORWARD, plugins.probe("a"),
                    upstreams={"app": {"endpoints": [upstream.address], "timeout": {"total": "5s"},
                                       "deadline": "x-left"}})
    assert gateway.ask().status == 200
    assert upstream.last.get("x-attempt") == "1"
    assert 0 < int(upstream.last.get("x-left")) <= 5000
