"""Plugins at their places: which phases run, in which order, and what their verdicts do."""

import json

import pytest

import plugins
from gateway import expect_problem
from plugins import done, marks, probe
from raw import wait_until


@pytest.fixture
def serve(start, binary):
    """A gateway whose probes are found; routes and more as given."""
    def begin(routes, **more):
        return start({"plugin_path": [plugins.folder(binary)], "routes": routes, **more})
    return begin


def echo(**more):
    return {"name": "all", "echo": True, **more}


def wait_done(gateway, word, n=1):
    wait_until(lambda: len(done(gateway, word)) >= n, what=f"{n} ends of {word}")
    ran = done(gateway, word)
    assert len(ran) == n
    return ran


def test_request_phases_run_in_order_and_response_phases_in_reverse(serve, upstream):
    gateway = serve([{"name": "all", "upstream": "app", "plugins": [probe("c", "c"), probe("d", "d")]}],
                    plugins=[probe("a", "a")],
                    listeners=[{"name": "main", "bind": "127.0.0.1:0", "plugins": [probe("b", "b")]}],
                    upstreams={"app": {"endpoints": [upstream.address], "plugins": [probe("e", "e")]}})
    answer = gateway.ask()
    assert answer.status == 200
    assert [mark[0][0] for mark in marks(answer)] == ["e", "d", "c", "b", "a"]
    for word in "abcde":
        assert wait_done(gateway, word) == [[f"{word}.{what}" for what in
                                             ("request", "attempt", "answered", "response", "done")]]


def test_an_attempt_has_fields_of_its_own(serve, upstream):
    gateway = serve([{"name": "all", "upstream": "app", "plugins": [probe("a")]}],
                    upstreams={"app": {"endpoints": [upstream.address]}})
    assert gateway.ask().status == 200
    assert upstream.requests[0].get("x-attempt") == "1"


def test_a_reply_ends_the_way_of_a_request_and_is_seen_by_those_it_had_passed(serve):
    gateway = serve([echo(plugins=[probe("b", "b", request="reply"), probe("c", "c")])], plugins=[probe("a", "a")])
    answer = gateway.ask()
    assert (answer.status, answer.body, answer.get("x-answer")) == (418, b"told so\n", "b")
    assert marks(answer) == [["a.request", "a.response"]]
    assert gateway.expect_end("plugin_replied")["status"] == 418
    assert wait_done(gateway, "a") == [["a.request", "a.response", "a.done"]]
    assert wait_done(gateway, "b") == [["b.request", "b.done"]]
    assert not done(gateway, "c"), "it never saw the request"


def test_closed_answers_500_and_open_goes_on_without(serve):
    gateway = serve([echo(match={"path": "/closed"}, name="closed", plugins=[probe("b", request="fail")]),
                     echo(match={"path": "/open"}, name="open",
                          plugins=[probe("b", request="fail", entry={"on_error": "open"})])])
    expect_problem(gateway.ask(target="/closed"), 500, "plugin_failed")
    gateway.expect_end("plugin_failed", path="/closed")
    answer = gateway.ask(target="/open")
    assert answer.status == 200 and marks(answer) == []
    assert wait_done(gateway, "b", 2) == [["b.request", "b.done"]] * 2


def test_a_failure_at_the_response_replaces_it(serve, upstream):
    gateway = serve([{"name": "all", "upstream": "app",
                      "plugins": [probe("a", "a"), probe("b", "b", response="fail")]}],
                    upstreams={"app": {"endpoints": [upstream.address]}})
    expect_problem(gateway.ask(), 500, "plugin_failed")
    assert wait_done(gateway, "b") == [["b.request", "b.attempt", "b.answered", "b.response", "b.done"]]


@pytest.mark.parametrize("phase", ["request", "response"])
def test_waiting_for_nobody_ends_at_the_deadline(serve, upstream, phase):
    gateway = serve([{"name": "all", "upstream": "app", "plugins":
                      [probe("a", entry={"wait": "50ms"}, **{phase: "wait"})]}],
                    upstreams={"app": {"endpoints": [upstream.address]}})
    expect_problem(gateway.ask(), 500, "plugin_timeout")
    gateway.expect_end("plugin_timeout")
    assert wait_done(gateway, "a")[0][-1] == "a.done"


@pytest.mark.parametrize("phase", ["request", "response"])
def test_a_client_that_leaves_while_a_plugin_waits_is_told_to_it(serve, upstream, phase):
    gateway = serve([{"name": "all", "upstream": "app", "plugins":
                      [probe("a", entry={"wait": "1h"}, **{phase: "wait"})]}],
                    upstreams={"app": {"endpoints": [upstream.address]}})
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        if phase == "response":
            wait_until(lambda: upstream.paths() == ["/"], what="the request upstream")
        else:
            wait_until(lambda: gateway.metric("sluice_worker_exchanges_active") == 1, what="a request under way")
    wait_done(gateway, "a")
    gateway.expect_end("client_closed")


def test_an_entry_further_in_replaces_the_one_of_its_name(serve):
    gateway = serve([echo(match={"path": "/own"}, name="own", plugins=[probe("inner")]),
                     echo(match={"path": "/off"}, name="off", plugins=[{"probe": {}, "disabled": True}]),
                     echo(match={"path": "/both"}, name="both", plugins=[probe("inner", "another")]),
                     echo(match={"path": "/none"}, name="none")], plugins=[probe("outer")])

    def words(path):
        return [mark[0].split(".")[0] for mark in marks(gateway.ask(target=path))]
    assert words("/own") == ["inner"]
    assert words("/off") == []
    assert words("/both") == ["inner", "outer"]
    assert words("/none") == ["outer"]


def test_what_no_route_matches_passes_the_outer_plugins(serve):
    gateway = serve([echo(match={"path": "/a"}, plugins=[probe("inner", "inner")])], plugins=[probe("outer")])
    answer = gateway.ask(target="/nowhere")
    expect_problem(answer, 404, "not_found")
    assert answer.get("x-local") == "yes"
    assert marks(answer) == [["outer.request", "outer.local", "outer.response"]]


def test_a_template_puts_in_what_is_known_of_the_request(serve):
    gateway = serve([echo(plugins=[probe("w", text="${request.method} ${request.field.x-a} ${probe.word} "
                                         "${nobody.home:-none} ${client.address/8/64} $${route}")])])
    answer = gateway.ask(fields=[("X-A", "1")])
    assert ["x-text", "GET 1 w none 127.0.0.0 all"] in json.loads(answer.body)["fields"]


def words(answer):
    return [mark[0].split(".")[0] for mark in marks(answer)]


@pytest.mark.parametrize("when, ask, runs", [
    ({"methods": ["POST"]}, {"method": "GET"}, False),
    ({"methods": ["POST"]}, {"method": "POST"}, True),
    ({"path": "/a"}, {"target": "/a/b"}, True),
    ({"path": "/a"}, {"target": "/ab"}, False),
    ({"path_exact": "/a"}, {"target": "/a/b"}, False),
    ({"fields": {"x-a": "1"}}, {"fields": [("X-A", "1")]}, True),
    ({"fields": {"x-a": "1"}}, {"fields": [("X-A", "2")]}, False),
    ({"fields": {"x-a": {"prefix": "1"}}}, {"fields": [("X-A", "12")]}, True),
    ({"fields": {"x-a": {"present": "false"}}}, {}, True),
    ({"not": {"methods": ["POST"]}}, {"method": "POST"}, False),
    ({"not": {"methods": ["POST"]}}, {"method": "GET"}, True),
    ({"path": "/a", "not": {"path": "/a/b"}}, {"target": "/a/b/c"}, False),
])
def test_conditions_choose_requests(serve, when, ask, runs):
    gateway = serve([echo(plugins=[probe("a", entry={"when": when})])])
    assert words(gateway.ask(**ask)) == (["a"] if runs else [])
    wait_until(lambda: gateway.access_log(), what="the end")
    assert len(done(gateway)) == runs


@pytest.mark.parametrize("told, status, ran", [
    (["pass", "reply"], 200, ["a"]), (["reply", "pass"], 200, ["b"]), (["reply", "reply"], 418, None),
    (["fail", "pass"], 200, ["b"]), (["fail", "fail"], 500, None), (["reply", "fail"], 500, None)])
def test_any_of_needs_one_that_lets_pass(serve, told, status, ran):
    gateway = serve([echo(plugins=[{"any_of": [probe(word, request=one) for word, one in zip("ab", told)]},
                                   probe("c", "c")])])
    answer = gateway.ask()
    assert answer.status == status
    if ran:
        assert words(answer) == ["c", *ran]


@pytest.mark.parametrize("told, status", [
    (["fail", "reply"], 418), (["fail", "pass"], 200), (["fail", "fail"], 200), (["reply", "fail"], 200)])
def test_any_of_is_not_passed_by_one_that_is_unable_while_others_are_left(serve, told, status):
    gateway = serve([echo(plugins=[{"any_of": [probe(word, request=one, entry={"on_error": "open"})
                                               for word, one in zip("ab", told)]}])])
    assert gateway.ask().status == status


def test_any_of_is_not_passed_by_those_who_have_no_say(serve):
    gateway = serve([echo(plugins=[{"any_of": [probe("a", request="reply"),
                                               probe("b", entry={"when": {"path": "/b"}})]}])])
    assert gateway.ask(target="/a").status == 418
    assert gateway.ask(target="/b").status == 200


def test_the_access_log_tells_what_plugins_found(serve):
    gateway = serve([echo(plugins=[probe("w", request="reply")])],
                    access_log={"path": "stdout", "format": "json",
                                "fields": ["status", "reason", "notes", "attr.probe.word", "attr.no.body"]})
    gateway.ask()
    wait_until(lambda: open(gateway.stdout_path, encoding="utf-8").read().endswith("\n"), what="a line")
    with open(gateway.stdout_path, encoding="utf-8") as lines:
        assert json.loads(lines.read()) == {"status": 418, "reason": "plugin_replied", "notes": "told_so",
                                            "attr.probe.word": "w", "attr.no.body": None}
