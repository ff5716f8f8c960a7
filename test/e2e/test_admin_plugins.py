"""The admin page of plugins: what is loaded and where, what places report, commands for them."""

import json
import threading
from urllib.parse import quote

from gateway import plain


def command(gateway, place, text, path=None, **more):
    return gateway.admin.ask("POST", path or "/plugins/" + quote(place, safe=""), body=text.encode(), **more)


def place(gateway, identity):
    places = {one["id"]: one for one in gateway.admin.json("/plugins")["places"]}
    return places[identity]


def reports(shown):
    return {one["worker"]: one["report"] for one in shown["reports"]}


def breaking(upstream, **entry):
    return plain(upstream, workers=2,
                 routes=[{"name": "all", "upstream": "app",
                          "plugins": [{"circuit_breaker": {"consecutive_failures": 3}, **entry}]}])


def test_files_places_and_reports_are_shown(start, upstream):
    config = breaking(upstream, on_error="open")
    config["plugins"] = ["request_id"]
    gateway = start(config)
    for _ in range(4):
        assert gateway.ask().status == 200
    shown = gateway.admin.json("/plugins")
    assert shown["generation"] == 1 and shown["silent_workers"] == []
    files = {one["name"]: one for one in shown["plugins"]}
    assert set(files) == {"request_id", "circuit_breaker"}
    assert files["request_id"]["path"].endswith("/request_id.so") and len(files["request_id"]["content"]) == 16
    assert files["request_id"]["version"] and files["request_id"]["summary"]
    heads = files["circuit_breaker"]["phases"]["request_head"]
    assert heads["calls"] == 4 and heads["failures"] == 0 and heads["seconds"] > 0
    assert [one["id"] for one in shown["places"]] == ["request_id", "route.all.circuit_breaker"]
    breaker = shown["places"][1]
    assert breaker["place"] == "route all, plugins[0]" and breaker["on_error"] == "open"
    assert breaker["takes_commands"] and not shown["places"][0]["takes_commands"]
    assert set(reports(breaker)) == {0, 1}
    assert any(one.get("app", {}).get("state") == "closed" for one in reports(breaker).values())


def test_a_circuit_is_forced_by_hand(start, upstream):
    gateway = start(breaking(upstream))
    answer = command(gateway, "route.all.circuit_breaker", "open app\n")
    assert answer.status == 200, answer
    told = json.loads(answer.body)
    assert told["ok"] and told["id"] == "route.all.circuit_breaker" and told["silent_workers"] == []
    assert set(reports(told)) == {0, 1}
    assert [gateway.ask().status for _ in range(3)] == [503] * 3
    assert gateway.metric("sluice_plugin_circuit_breaker_refused_total", circuit="app") == 3
    assert len(upstream.requests) == 0
    assert command(gateway, "circuit_breaker", "close app").status == 200
    assert gateway.ask().status == 200
    assert command(gateway, "route all, plugins[0]", "auto app").status == 200
    assert gateway.ask().status == 200


def test_a_command_reaches_every_worker(start, upstream):
    config = plain(upstream, workers=2)
    config["plugins"] = [{"fault": {"abort": {"status": 418, "share": "100%"}, "enabled": False}}]
    gateway = start(config)
    assert gateway.ask().status == 200
    assert command(gateway, "fault", "on").status == 200
    assert [gateway.ask().status for _ in range(20)] == [418] * 20
    assert command(gateway, "fault", "off").status == 200
    assert [gateway.ask().status for _ in range(20)] == [200] * 20
    assert {one["enabled"] for one in reports(place(gateway, "fault")).values()} == {False}


def test_what_is_wrong_is_told(start, upstream):
    config = breaking(upstream)
    config["plugins"] = ["request_id"]
    config["routes"].append({"name": "more", "match": {"path": "/more/"}, "upstream": "app",
                             "plugins": ["circuit_breaker"]})
    gateway = start(config)
    assert command(gateway, "request_id", "open app").status == 422
    unknown = command(gateway, "nobody", "open app")
    assert unknown.status == 404 and "route.more.circuit_breaker" in json.loads(unknown.body)["detail"]
    both = command(gateway, "circuit_breaker", "open app")
    assert both.status == 409 and "route.all.circuit_breaker, route.more.circuit_breaker" in json.loads(both.body)["detail"]
    assert command(gateway, "route.all.circuit_breaker", "").status == 422
    refused = command(gateway, "route.all.circuit_breaker", "smash app")
    assert refused.status == 422 and not json.loads(refused.body)["ok"]
    assert "open NAME" in reports(json.loads(refused.body))[0]["error"]
    for fields, host in (([("Origin", "http://localhost")], "localhost"), ([], "evil.example")):
        assert command(gateway, "route.all.circuit_breaker", "open app", fields=fields, host=host).status == 403
    assert gateway.ask().status == 200


def test_it_may_be_asked_while_the_configuration_changes(start, upstream):
    gateway = start(breaking(upstream))
    statuses = []

    def look():
        for _ in range(30):
            statuses.append(gateway.admin.ask(path="/plugins").status)
            statuses.append(command(gateway, "circuit_breaker", "auto app").status)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(10):
        config = breaking(upstream)
        config["plugins"] = ["request_id"] * (number % 2)
        gateway.must_reload(config)
    for thread in threads:
        thread.join()
    assert statuses == [200] * 120
