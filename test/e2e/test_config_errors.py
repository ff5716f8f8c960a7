"""A broken configuration is told completely, at the exact place, with what would be right."""

import json
import os
import re

import pytest
import yaml

from gateway import ROOT, plain

UP = "upstreams: { app: { endpoints: [ '127.0.0.1:9000' ] } }\n"


def case(name, text, line, column, *words):
    return pytest.param(text, line, column, words, id=name)


BROKEN = [
    case("unknown-key", UP + "routes: [ { upstream: app } ]\nlistners: []\n", 3, 1, "listners", "listeners"),
    case("unknown-inner-key", UP + "routes:\n  - upstreem: app\n", 3, 5, "upstreem", "upstream"),
    case("duplicate-key", UP + "routes: [ { upstream: app } ]\nworkers: 1\nworkers: 2\n", 4, 1, "workers", "3"),
    case("duplicate-upstream",
         "upstreams:\n  app: { endpoints: [ '127.0.0.1:1' ] }\n  app: { endpoints: [ '127.0.0.1:2' ] }\n"
         "routes: [ { upstream: app } ]\n", 3, 3, "app"),
    case("wrong-type", UP + "routes: none\n", 2, 9, "none"),
    case("wrong-type-scalar", UP + "routes: [ { upstream: app } ]\nworkers: [ 1 ]\n", 3, 10, "workers"),
    case("not-a-number", UP + "routes: [ { upstream: app } ]\nworkers: many\n", 3, 10, "many", "auto"),
    case("out-of-range", UP + "routes: [ { upstream: app } ]\nworkers: 1000\n", 3, 10, "256"),
    case("no-unit", UP + "routes:\n  - upstream: app\n    timeout: { response: 10 }\n", 4, 26, "10s"),
    case("bad-unit", UP + "routes:\n  - upstream: app\n    timeout: { response: 10x }\n", 4, 26, "10x"),
    case("bad-size", UP + "routes:\n  - upstream: app\n    limits: { body: 10Mb }\n", 4, 21, "10Mb", "MiB"),
    case("bad-choice", UP + "routes: [ { upstream: app } ]\nlog: { level: warning }\n", 3, 15, "warning", "warn",
         "info"),
    case("undefined-upstream", UP + "routes:\n  - upstream: ap\n", 3, 15, "ap", "app"),
    case("undefined-upstream-in-split", UP + "routes:\n  - split: [ { upstream: appp, weight: 1 } ]\n", 3, 26, "appp",
         "app"),
    case("undefined-listener", UP + "listeners: [ { name: edge, bind: '127.0.0.1:0' } ]\nroutes:\n  - upstream: app\n"
         "    listeners: [ egde ]\n", 5, 18, "egde", "edge"),
    case("two-actions", UP + "routes:\n  - upstream: app\n    echo: true\n", (3, 4), 5, "upstream", "echo"),
    case("no-action", UP + "routes:\n  - match: { path: /a }\n", 3, 5, "upstream", "redirect", "respond"),
    case("bad-address", "upstreams:\n  app:\n    endpoints: [ '127.0.0.1' ]\nroutes: [ { upstream: app } ]\n", 3, 18,
         "127.0.0.1"),
    case("bad-port", "upstreams:\n  app:\n    endpoints: [ '127.0.0.1:70000' ]\nroutes: [ { upstream: app } ]\n", 3,
         18, "70000"),
    case("no-endpoints", "upstreams:\n  app: { endpoints: [] }\nroutes: [ { upstream: app } ]\n", 2, 21, "endpoint"),
    case("bad-weight",
         "upstreams:\n  app:\n    endpoints: [ { address: '127.0.0.1:1', weight: 65536 } ]\nroutes: [ { upstream: app } ]\n",
         3, 52, "65535"),
    case("bad-regex", UP + "routes:\n  - upstream: app\n    match: { path_regex: '^/(a' }\n", 4, (26, 27, 30, 31),
         "path_regex"),
    case("path-without-slash", UP + "routes:\n  - upstream: app\n    match: { path: orders }\n", 4, 20, "/"),
    case("two-paths", UP + "routes:\n  - upstream: app\n    match: { path: /a, path_exact: /b }\n", 4, (12, 14, 24, 36),
         "path"),
    case("bad-host", UP + "routes:\n  - upstream: app\n    match: { host: 'a.*.example' }\n", 4, 20, "*."),
    case("bad-cidr",
         UP + "routes: [ { upstream: app } ]\nlisteners:\n  - bind: '127.0.0.1:0'\n    forwarded: { trust: [ '10.0.0.0/33' ] }\n",
         5, 27, "10.0.0.0/33"),
    case("bad-field-name", UP + "routes:\n  - upstream: app\n    request_fields: { set: { 'x a': b } }\n", 4, 30,
         "x a"),
    case("field-value-with-newline",
         UP + 'routes:\n  - upstream: app\n    request_fields: { set: { x-a: "b\\r\\nx-c: d" } }\n', 4, (30, 35),
         "x-a"),
    case("bad-status", "routes:\n  - redirect: { status: 200, path: /a }\n", 2, 25, "200", "308"),
    case("secret-in-access-log",
         UP + "routes: [ { upstream: app } ]\naccess_log:\n  path: stdout\n  fields: [ time, req.authorization ]\n",
         5, 19, "req.authorization"),
    case("unknown-access-field", UP + "routes: [ { upstream: app } ]\naccess_log:\n  fields: [ time, pathh ]\n", 4,
         19, "pathh", "path"),
    case("unknown-variable", UP + "routes: [ { upstream: app } ]\nworkers: ${SLUICE_TEST_NOT_SET}\n", 3, 10,
         "SLUICE_TEST_NOT_SET"),
    case("tab", UP + "routes:\n\t- upstream: app\n", 3, (1, 2)),
    case("syntax", UP + "routes: [ { upstream: app }\n", (2, 3), (1, 9, 10, 27)),
    case("two-listeners-on-one-address",
         UP + "routes: [ { upstream: app } ]\nlisteners:\n  - { name: a, bind: '127.0.0.1:8080' }\n"
         "  - { name: b, bind: '127.0.0.1:8080' }\n", 5, (5, 7, 22), "127.0.0.1:8080"),
    case("two-listeners-of-one-name",
         UP + "routes: [ { upstream: app } ]\nlisteners:\n  - { name: a, bind: '127.0.0.1:8080' }\n"
         "  - { name: a, bind: '127.0.0.1:8081' }\n", 5, (5, 7, 13), "a"),
    case("head-too-large",
         UP + "routes: [ { upstream: app } ]\nlisteners:\n  - bind: '127.0.0.1:0'\n    limits: { head: 128KiB }\n", 5,
         21, "64KiB"),
]


@pytest.mark.parametrize("text, line, column, words", BROKEN)
def test_an_error_is_told_at_its_place_with_what_would_be_right(sluice, tmp_path, text, line, column, words):
    """line and column are numbers, or tuples of numbers where more than one place would be right."""
    (tmp_path / "broken.yaml").write_text(text)
    run = sluice("check", "broken.yaml")
    told = run.stdout + run.stderr
    assert run.returncode == 3, run
    lines, columns = (value if isinstance(value, tuple) else (value,) for value in (line, column))
    errors = re.findall(r"^(\S*broken\.yaml):(\d+):(\d+): error: (.*)$", told, re.M)
    assert errors, told
    places = [(int(at), int(col)) for _, at, col, _ in errors]
    assert any(at in lines and col in columns for at, col in places), told
    for word in words:
        assert word in told, (word, told)
    for at in {at for at, col in places if at in lines and col in columns}:
        source = (text.splitlines() + [""])[at - 1]
        assert "\t" in source or source in told, told
        assert re.search(r"^.*\^", told, re.M), told


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]\n", "just text\n", "- a\n- b\n", "\0", "routes: &a [ *a ]\n",
                                  "a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\nd: &d [*c,*c,*c]\n", "\xff\xfe",
                                  "routes: " + "[" * 3000, "x" * 100000 + ": 1\n"],
                         ids=["empty", "comment", "list", "scalar", "list-of-scalars", "nul", "self-alias",
                              "alias-bomb",
                              "high-bytes", "deep", "long-key"])
def test_odd_files_are_refused_in_words_and_without_harm(sluice, tmp_path, text):
    (tmp_path / "odd.yaml").write_bytes(text.encode("latin-1"))
    run = sluice("check", "odd.yaml")
    assert run.returncode == 3, run
    assert "error" in run.stdout + run.stderr
    assert len(run.stdout + run.stderr) < 100000


def test_all_errors_are_told_at_once(sluice, tmp_path):
    (tmp_path / "many.yaml").write_text("""\
wrokers: 1
log: { level: loud }
listeners:
  - bind: "127.0.0.1:99999"
    timeout: { head: 10 }
upstreams:
  app: { endpoints: [ "nonsense" ], balance: fair }
routes:
  - upstream: nobody
  - match: { path: x }
    echo: true
    respond: { status: 42 }
  - { }
""")
    run = sluice("check", "many.yaml")
    told = run.stdout + run.stderr
    lines = {int(line) for line in re.findall(r"many\.yaml:(\d+):\d+: error:", told)}
    assert run.returncode == 3
    assert {1, 2, 4, 5, 7, 9, 10, 12, 13} <= lines, told
    assert told.count(": error:") >= 10, told


def find_places(told):
    """Every {line, column} anywhere in a JSON answer."""
    if isinstance(told, dict):
        if "line" in told and "column" in told:
            yield told["line"], told["column"]
        for value in told.values():
            yield from find_places(value)
    elif isinstance(told, list):
        for value in told:
            yield from find_places(value)


def test_check_speaks_json_too(sluice, tmp_path):
    (tmp_path / "broken.yaml").write_text("routes: [ { echo: true } ]\nlistners: []\n")
    run = sluice("check", "broken.yaml", "--json")
    assert run.returncode == 3
    told = json.loads(run.stdout)
    assert told["ok"] is False
    assert (2, 1) in list(find_places(told)), told


def test_a_good_file_is_told_as_good(sluice, tmp_path):
    (tmp_path / "good.yaml").write_text("routes: [ { echo: true } ]\n")
    run = sluice("check", "good.yaml")
    assert run.returncode == 0 and "error" not in run.stdout + run.stderr
    assert json.loads(sluice("check", "--json", "-c", "good.yaml").stdout)["ok"] is True


def test_warnings_do_not_refuse(sluice, tmp_path):
    (tmp_path / "warn.yaml").write_text(UP.replace("app", "unused")
                                        + "routes: [ { echo: true }, { match: { path: / }, echo: true } ]\n")
    run = sluice("check", "warn.yaml")
    assert run.returncode == 0
    assert re.search(r"warn\.yaml:1:\d+: warning: .*unused", run.stdout + run.stderr), run


def test_run_refuses_a_broken_file_with_3_and_the_same_words(sluice, tmp_path):
    (tmp_path / "broken.yaml").write_text("routes: [ { echo: true } ]\nlistners: []\n")
    run = sluice("run", "-c", "broken.yaml")
    assert run.returncode == 3
    assert "broken.yaml:2:1: error:" in run.stderr and "listeners" in run.stderr


def test_a_refused_reload_leaves_the_running_gateway_untouched(start, upstream):
    gateway = start(plain(upstream))
    good = open(gateway.file, encoding="utf-8").read()
    with gateway.client() as client:
        client.ask()
        for broken in BROKEN:
            gateway.configure(broken.values[0])
            status, told = gateway.reload()
            assert status == 422 and told["ok"] is False, (broken.id, told)
            assert told["notes"] and ": error: " in told["text"], (broken.id, told)
            assert client.ask().status == 200, broken.id
    reading = gateway.metrics()
    assert reading.get("sluice_config_reloads_total", result="refused") == len(BROKEN)
    assert reading.get("sluice_config_reloads_total", result="applied") == 0
    assert reading.get("sluice_config_last_reload_success") == 0
    shown = gateway.admin.json("/config")
    assert shown["generation"] == 1 and shown["last_reload"]["ok"] is False and shown["last_reload"]["notes"]
    assert upstream.connections == 1
    gateway.configure(good)
    gateway.must_reload()
    assert gateway.metric("sluice_config_last_reload_success") == 1


def test_environment_variables_are_filled_in(start, upstream):
    text = """\
workers: 1
admin: 127.0.0.1:0
log: { format: json }
drain: { timeout: 1s, idle: 20ms }
listeners: [ { name: main, bind: "127.0.0.1:${TEST_PORT:-0}" } ]
upstreams: { app: { endpoints: [ "${TEST_UPSTREAM}" ] } }
routes:
  - upstream: app
    request_fields: { set: { x-env: "${TEST_VALUE:-fallback}", x-empty: "<${TEST_EMPTY:-}>" } }
"""
    gateway = start(text, env={"TEST_UPSTREAM": upstream.address})
    assert gateway.ask().status == 200
    assert upstream.last.get("x-env") == "fallback" and upstream.last.get("x-empty") == "<>"


def test_a_value_from_the_environment_cannot_add_keys(sluice, tmp_path):
    (tmp_path / "c.yaml").write_text("routes:\n  - respond: { status: 200, body: \"${EVIL}\" }\n")
    run = sluice("run", "-c", "c.yaml", "--print-config", env={"EVIL": '"\nworkers: 7\nx: "'})
    if run.returncode == 0:
        assert yaml.safe_load(run.stdout).get("workers") != 7


def test_includes_are_merged_and_their_errors_name_the_included_file(start, tmp_path, upstream):
    gateway = start(plain(upstream, include=["conf.d/*.yaml"],
                          routes=[{"name": "main", "match": {"path": "/main"}, "upstream": "app"}]))
    folder = tmp_path / "gateway0" / "conf.d"
    folder.mkdir()
    assert gateway.ask(target="/extra").status == 404
    (folder / "10-extra.yaml").write_text("routes:\n  - { name: extra, match: { path: /extra }, upstream: app }\n")
    gateway.must_reload()
    assert gateway.ask(target="/extra").status == 200 and gateway.ask(target="/main").status == 200
    (folder / "20-broken.yaml").write_text("routes:\n  - { name: broken, match: { path: /b }, upstream: nobody }\n")
    status, told = gateway.reload()
    assert status == 422 and re.search(r"20-broken\.yaml:2:\d+: error:", told["text"]), told
    assert gateway.ask(target="/extra").status == 200


def test_an_include_that_includes_itself_is_refused(sluice, tmp_path):
    (tmp_path / "c.yaml").write_text("include: [ c.yaml ]\nroutes: [ { echo: true } ]\n")
    run = sluice("check", "c.yaml")
    assert run.returncode == 3 and "c.yaml:1:" in run.stdout + run.stderr


def test_a_missing_include_without_pattern_is_an_error(sluice, tmp_path):
    (tmp_path / "c.yaml").write_text("include: [ nowhere.yaml ]\nroutes: [ { echo: true } ]\n")
    run = sluice("check", "c.yaml")
    assert run.returncode == 3 and "nowhere.yaml" in run.stdout + run.stderr


def test_a_secret_from_a_file_is_used_but_never_shown(sluice, start, tmp_path, upstream):
    (tmp_path / "token").write_text("Bearer hush-hush\n")
    route = {"name": "all", "upstream": "app", "request_fields": {"set": {"authorization": f"file:{tmp_path}/token"}}}
    gateway = start(plain(upstream, routes=[route]))
    gateway.ask()
    assert upstream.last.get("authorization") == "Bearer hush-hush"
    shown = gateway.admin.ask(path="/config").body.decode()
    assert "hush-hush" not in shown and "***" in shown
    assert "hush-hush" not in gateway.stderr()
    assert "hush-hush" not in sluice("explain", "-c", gateway.file, "GET", "http://a/").stdout
    run = sluice("check", gateway.file, "--json")
    assert "hush-hush" not in run.stdout + run.stderr


def test_a_secret_file_that_is_missing_is_an_error(sluice, tmp_path):
    (tmp_path / "c.yaml").write_text(UP + "routes:\n  - upstream: app\n    request_fields: { set: { authorization: 'file:/nowhere/token' } }\n")
    run = sluice("check", "c.yaml")
    assert run.returncode == 3 and "/nowhere/token" in run.stdout + run.stderr


def with_on(value):
    """What PyYAML reads as true, where it is the name of an option."""
    if isinstance(value, dict):
        return {"on" if key is True else key: with_on(of) for key, of in value.items()}
    return value


def examples_of_the_reference():
    """(section, example) of the generated page, but those that need files of certificates."""
    with open(os.path.join(ROOT, "conf/reference.md"), encoding="utf-8") as page:
        sections = re.split(r"^## `(.*)`$", page.read(), flags=re.M)
    for path, text in zip([""] + sections[1::2], sections[::2]):
        for n, example in enumerate(re.findall(r"^```yaml\n(.*?)^```$", text, flags=re.M | re.S)):
            if ".tls" not in path:
                yield pytest.param(path, with_on(yaml.safe_load(example)), id=f"{path or 'top'}-{n}")


def placed(path, example):
    """A whole configuration with the example where its section says."""
    route = {"upstream": "app", "match": {"path": "/a"}}
    config = {"listeners": [{"name": "edge", "bind": "127.0.0.1:0"}], "routes": [route],
              "upstreams": {name: {"endpoints": ["127.0.0.1:9000"]} for name in ("app", "canary")}}
    if path.startswith(("routes[].redirect", "routes[].respond")):
        del route["upstream"]
    # What says how a rule balances wants that rule.
    rule = {"upstreams.NAME.hash": "ring_hash", "upstreams.NAME.sticky": "sticky_cookie"}.get(path)
    if rule:
        config["upstreams"]["app"]["balance"] = rule
    if re.match(r"upstreams\.NAME\.(file|dns|consul)", path):
        del config["upstreams"]["app"]["endpoints"]
    # What its section requires beside the example.
    if path == "upstreams.NAME.http2":
        config["upstreams"]["app"]["protocol"] = "h2c"
    if path == "routes[].upstream":
        example = {"name": "app", **example}
    if path == "routes[].upstream.subset":
        route["upstream"] = {"name": "app"}
    if path == "routes[].split[]":
        del route["upstream"]
        example = {"upstream": "app", **example}
    example.pop("tls", None)
    if path.startswith("consul.register."):
        config["consul"] = {"register": {"name": "edge", "port": 8080}}
    if path.startswith("plugins[]"):
        # A part of an entry, and what else its plugin requires is left out: it is not to run.
        config["plugins"] = [{"disabled": True}]
    if path == "plugins[]" or path.startswith("plugins[].when"):
        config["plugins"][0]["request_id"] = None
    if path == "plugins[]":
        config["plugins"][0].update(example)
        return config
    steps = re.findall(r"[a-z_0-9]+|\[\]|[A-Z]+", path)
    if not steps:
        return {**config, **example}
    at = config
    for step, following in zip(steps, steps[1:] + [None]):
        key = {"[]": 0, "NAME": "app"}.get(step, step)
        if following is None:
            at[key] = example
        elif step != "[]" and (key not in at or at is not config and not isinstance(at[key], (dict, list))):
            at[key] = [None] if following == "[]" else {}
        elif step == "[]" and at[0] is None:
            at[0] = {}
        at = at[key]
    return config


@pytest.mark.parametrize("path, example", examples_of_the_reference())
def test_the_examples_of_the_reference_are_good(sluice, tmp_path, path, example):
    (tmp_path / "members").mkdir()
    (tmp_path / "members/orders.yaml").write_text("[ 127.0.0.1:9000 ]\n")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(placed(path, example), sort_keys=False))
    run = sluice("check", "-c", str(tmp_path / "c.yaml"))
    errors = [line for line in run.stderr.splitlines() if " error: " in line]
    if path.startswith("plugins[]."):
        # What the example is a part of, and the files that it names, are not here.
        elsewhere = r" error: (missing key|cannot read '|there is no upstream ')"
        assert not [line for line in errors if not re.search(elsewhere, line)], run
    else:
        assert run.returncode == 0, run
