"""Errors in options of plugins are told with all others, by check and by a reload."""

import json
from pathlib import Path

from gateway import plain

EXAMPLE = str(Path(__file__).parents[2] / "conf/examples/plugins.yaml")

BAD = """\
plugins:
  - request_id: { fild: x }
upstreams:
  app: { endpoints: [ "127.0.0.1:9000" ], plugins: [ { fault: { fallback: 1 } } ] }
routes:
  - { name: a, echo: true, bogus: 1, plugins: [ { circuit_breaker: { probes: many } }, nobody ] }
  - name: b
    match: { path: /b }
    upstream: app
    plugins: [ { circuit_breaker: { fallback: { upstream: app } } } ]
"""


def test_options_are_told_together_with_the_rest(sluice, tmp_path):
    (tmp_path / "c.yaml").write_text(BAD)
    run = sluice("check", "--json", str(tmp_path / "c.yaml"))
    assert run.returncode == 3
    told = [(one["line"], one["column"], one["message"]) for one in json.loads(run.stdout)["notes"]]
    assert [one[:2] for one in told] == [(2, 19), (4, 65), (6, 28), (6, 78), (6, 88)], told
    assert "unknown key 'fild' in request_id" in told[0][2]
    assert "bogus" in told[2][2] and "nobody.so" in told[4][2]


def test_a_reload_tells_them_too_and_goes_on(start, upstream):
    gateway = start(plain(upstream))
    status, told = gateway.reload({**plain(upstream), "bogus": 1, "plugins": [{"request_id": {"fild": "x"}}]})
    assert status == 422 and "fild" in told["text"] and "bogus" in told["text"]
    assert gateway.ask().status == 200
    gateway.must_reload({**plain(upstream), "plugins": ["request_id"]})


def test_the_example_is_fine(sluice):
    run = sluice("check", EXAMPLE)
    assert run.returncode == 0, run.stderr
    told = json.loads(sluice("explain", "--json", "-c", EXAMPLE, "GET",
                             "http://api.example.com/orders/7").stdout)
    assert [one["plugin"] for one in told["plugins"]] == ["request_id", "tracing", "jwt_auth", "rate_limit",
                                                         "circuit_breaker"]


def test_what_is_switched_off_may_lack_what_is_required(sluice, tmp_path):
    for entry in ("headers: { request: { set: { x-a: b } } }", "api_key: ", "jwt_auth: {}", "basic_auth: { realm: x }"):
        (tmp_path / "c.yaml").write_text(
            f"plugins:\n  - {{ {entry}, disabled: true }}\nroutes:\n  - echo: true\n")
        run = sluice("check", str(tmp_path / "c.yaml"))
        assert run.returncode == 0, (entry, run.stderr)
    (tmp_path / "c.yaml").write_text("plugins:\n  - { api_key: { bogus: 1 }, disabled: true }\nroutes: [ { echo: true } ]\n")
    run = sluice("check", str(tmp_path / "c.yaml"))
    assert run.returncode == 3 and "bogus" in run.stdout + run.stderr
    (tmp_path / "c.yaml").write_text("plugins:\n  - { api_key: , disabled: false }\nroutes: [ { echo: true } ]\n")
    assert sluice("check", str(tmp_path / "c.yaml")).returncode == 3


def test_what_is_switched_off_does_not_start(start, upstream):
    """A token check without keys could neither start nor let a request pass."""
    gateway = start({**plain(upstream), "plugins": ["request_id"]})
    off = {"jwt_auth": None, "disabled": True}
    gateway.must_reload({**plain(upstream), "plugins": ["request_id", off]})
    assert gateway.ask().status == 200
    gateway.must_reload({**plain(upstream), "plugins": ["request_id"]})


def test_an_upstream_that_only_a_plugin_names_is_used(sluice, tmp_path):
    (tmp_path / "c.yaml").write_text("""\
upstreams:
  app: { endpoints: [ "127.0.0.1:9000" ] }
  spare: { endpoints: [ "127.0.0.1:9001" ] }
  auth: { endpoints: [ "127.0.0.1:9002" ] }
  idle: { endpoints: [ "127.0.0.1:9003" ] }
routes:
  - upstream: app
    plugins: [ { ext_auth: { target: auth/check } }, { circuit_breaker: { fallback: { upstream: spare } } } ]
""")
    run = sluice("check", "--json", str(tmp_path / "c.yaml"))
    told = [one["message"] for one in json.loads(run.stdout)["notes"]]
    assert told == ["upstream 'idle' is not used by any route"], (run.stdout, run.stderr)
