"""`sluice explain` tells the plugins that a request would pass, with where each option came from."""

import json

CONFIG = """\
listeners: [ { name: edge, bind: "127.0.0.1:0" } ]
plugins:
  - request_id
  - fault: { enabled: false }
    on_error: open
    when: { methods: [ POST ] }
upstreams:
  app:
    endpoints: [ "127.0.0.1:9000" ]
    plugins: [ { headers: { request: { set: { authorization: "Bearer hush-hush", x-a: b } } } } ]
routes:
  - name: orders
    upstream: app
    plugins:
      - circuit_breaker: { error_ratio: 50%, fallback: { status: 502 } }
      - request_id: { field: x-other }
  - { name: plain, match: { path: /plain }, upstream: app }
"""


def explain(sluice, tmp_path, *request):
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG)
    text = sluice("explain", "-c", str(path), *request)
    told = sluice("explain", "--json", "-c", str(path), *request)
    assert text.returncode == told.returncode == 0, text.stderr
    assert "hush-hush" not in text.stdout + told.stdout
    return text.stdout, json.loads(told.stdout)


def options(place):
    return {one["name"]: (one["value"], one["line"]) for one in place["options"]}


def test_the_chain_is_told_in_the_order_of_the_request(sluice, tmp_path):
    text, told = explain(sluice, tmp_path, "GET", "http://a/")
    assert [one["id"] for one in told["plugins"]] == ["fault", "route.orders.circuit_breaker", "route.orders.request_id"]
    assert [one["id"] for one in told["upstreams"][0]["plugins"]] == ["upstream.app.headers"]
    assert text.index("fault") < text.index("circuit_breaker") < text.index("request_id") < text.index("headers")


def test_each_option_tells_where_it_came_from(sluice, tmp_path):
    text, told = explain(sluice, tmp_path, "GET", "http://a/")
    breaker = told["plugins"][1]
    assert breaker["plugin"] == "circuit_breaker" and breaker["version"] and breaker["line"] == 15
    assert breaker["place"] == "route orders, plugins[0]" and breaker["on_error"] == "closed"
    assert options(breaker)["error_ratio"] == ("50%", 15)
    assert options(breaker)["fallback.status"] == ("502", 15)
    assert options(breaker)["probes"] == ("3", None)
    assert any(line.split() == ["probes", "3", "default"] for line in text.splitlines())
    assert any(line.split()[:2] == ["error_ratio", "50%"] and line.endswith("c.yaml:15")
               for line in text.splitlines())


def test_secrets_stay_hidden(sluice, tmp_path):
    _, told = explain(sluice, tmp_path, "GET", "http://a/")
    headers = told["upstreams"][0]["plugins"][0]
    assert options(headers)["request.set"][0] == "{ authorization: ***, x-a: b }"


def test_conditions_are_decided_from_the_request(sluice, tmp_path):
    text, told = explain(sluice, tmp_path, "GET", "http://a/")
    assert told["plugins"][0]["when"] is False and told["plugins"][0]["on_error"] == "open"
    assert told["plugins"][1]["when"] is None
    assert "does not hold" in text
    text, told = explain(sluice, tmp_path, "POST", "http://a/")
    assert told["plugins"][0]["when"] is True and "when: holds" in text


def test_a_route_without_plugins_has_those_further_out(sluice, tmp_path):
    _, told = explain(sluice, tmp_path, "GET", "http://a/plain")
    assert [one["id"] for one in told["plugins"]] == ["request_id", "fault"]
